"""Golden runs: tiny ones of every kind, whose numbers were stored before the loop was changed, and must stay as they are.

With a release of torch, a kind of processor and kernels of BLAS that made them they are the same to the bit. Elsewhere they
are the same up to rounding, which training amplifies: as far as ten times what lies between two of those. A change that means to
change the numbers raises `configs.PROTOCOL`, and makes this file anew, on each kind of processor, with the reason in the commit:

    OMP_NUM_THREADS=1 python tests/test_golden_runs.py
"""

import hashlib
import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from small import config, words  # noqa: F401
from threadpoolctl import threadpool_info

from datadiet import runs
from datadiet.training import branch, frozen, loop

FILE = Path(__file__).resolve().parent / "golden" / "run.json"
IMAGES = {"task": "digits", "size": 200, "encoder": "convnet", "epochs": 2, "batch_size": 32, "learning_rate": 0.05,
          "optimizer": "sgd", "inputs": "standardised", "shifts": True}
RUNS = {
    "text": dict(epochs=2, score_at=[0, 3, "2ep"], grand_size=8, watch=True, vog=True),
    "quick": dict(epochs=2, score_at=["2ep"], quick=True),
    "bfloat16": dict(epochs=2, score_at=["2ep"], precision="bfloat16"),
    "noise": dict(epochs=2, score_at=["2ep"], noise=0.2, seed=3),
    "cycles": dict(epochs=4, score_at=[], schedule={"fraction": 0.4, "warmup": 1, "every": 1, "dropout": True}),
    "reuse": dict(epochs=4, score_at=[], schedule={"fraction": 0.4, "warmup": 1, "every": 1, "reuse": True}),
    "soft": dict(epochs=4, score_at=[], schedule={"rule": "soft"}),
    "image": IMAGES | {"score_at": [0, "2ep"], "grand_size": 8, "watch": True},
    "norm": IMAGES | {"encoder": "resnet-small", "score_at": ["2ep"]},
    "branch": IMAGES | {"score_at": [], "branch": {"spawn": [0, "1ep"], "alphas": 3, "block": 5, "at": "1ep", "seeds": [0]}},
    "joint": dict(task="assistant", size=60, epochs=2, score_at=[0, "2ep"]),
    "swap": dict(task="feedback", size=60, epochs=2, score_at=["2ep"]),
    "frozen": dict(folds=3, score_at=[0]),
}
CLOCKS = ("train_seconds", "scoring_seconds")


@contextmanager
def losses_noted():
    """Losses of every update, in order."""
    noted, update = [], loop.Loop.update

    def noting(self, *args, **kwargs):
        noted.append(update(self, *args, **kwargs))
        return noted[-1]

    loop.Loop.update = noting
    try:
        yield noted
    finally:
        loop.Loop.update = update


def measured(name: str) -> dict:
    """Every array of a golden run: its digest, and some of its numbers; and its metrics."""
    made = RUNS[name]
    if "branch" in made:
        made = made | {"branch": made["branch"] | {"source": config(**IMAGES)}}
    made = config(**made)
    task = runs.task_of(made)
    with losses_noted() as losses:
        if made["branch"]:
            fitted = branch.fit(made, task, np.random.default_rng(0).random(len(task.train)))
        else:
            fitted = (frozen.out_of_fold if made["folds"] else loop.fit)(made, task)
    arrays = dict(fitted.arrays)
    if losses:
        arrays["losses"] = torch.cat(losses).numpy()
    return {
        "metrics": {name: value for name, value in fitted.metrics.items() if name not in CLOCKS},
        "arrays": {name: digest(values) for name, values in sorted(arrays.items())},
    }


def digest(values: np.ndarray) -> dict:
    flat = np.ascontiguousarray(values).ravel()
    some = flat[np.linspace(0, len(flat) - 1, 6).astype(int)]
    return {"sha256": hashlib.sha256(flat.tobytes()).hexdigest(), "shape": list(values.shape), "type": str(values.dtype),
            "some": [float(value) for value in some]}


def made_with() -> dict:
    """What decides the order of additions: torch's own kernels, and those that numpy's and scipy's BLAS choose beside them."""
    blas = {each["architecture"] for each in threadpool_info() if "architecture" in each}
    return {"torch": torch.__version__, "processor": torch.backends.cpu.get_cpu_capability(), "blas": sorted(blas),
            "threads": torch.get_num_threads()}


def near(value):
    """A metric as stored, its floats to 1e-12: libraries may add up a mean or a correlation in another order."""
    if isinstance(value, dict):
        return {name: near(each) for name, each in value.items()}
    if isinstance(value, list):
        return [near(each) for each in value]
    return pytest.approx(value, rel=1e-12, nan_ok=True) if isinstance(value, float) else value


@pytest.mark.parametrize("name", RUNS)
def test_a_golden_run_is_the_same(words, name):  # noqa: F811
    stored, seen = json.loads(FILE.read_text()), measured(name)
    for golden in (each["runs"][name] for each in stored if each["made_with"] == made_with()):
        assert seen["arrays"] == golden["arrays"]
        for metric, value in golden["metrics"].items():
            assert seen["metrics"][metric] == near(value), metric
    golden = [each["runs"][name] for each in stored]
    assert set(golden[0]["arrays"]) == set(seen["arrays"]) and set(golden[0]["metrics"]) <= set(seen["metrics"])
    for array, first in golden[0]["arrays"].items():
        assert seen["arrays"][array]["shape"] == first["shape"]
        several = np.array([each["arrays"][array]["some"] for each in golden])
        apart = 1e-4 + 10 * np.ptp(several, axis=0).max()
        np.testing.assert_allclose(seen["arrays"][array]["some"], several[0], rtol=1e-4, atol=apart, err_msg=array)


if __name__ == "__main__":
    import os
    import tempfile

    from small import write_words

    with tempfile.TemporaryDirectory() as folder:
        write_words(Path(folder))
        os.environ["DATADIET_DATA"] = folder
        new = {"made_with": made_with(), "runs": {name: measured(name) for name in RUNS}}
    out = [each for each in json.loads(FILE.read_text()) if each["made_with"] != new["made_with"]] + [new]
    FILE.write_text(json.dumps(out).replace("}, ", "},\n") + "\n")
