"""What only a GPU can show: norms that are exact there, a run of every kind, a sweep whose workers share it, two chapters.

`pytest -m gpu` runs these and those of `test_static.py`; without a CUDA GPU they are skipped. None has met a GPU yet.
"""

import json
import os
import secrets
import subprocess
from pathlib import Path

import nbformat
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import ROOT
from small import config, words  # noqa: F401
from test_static import no_dropout  # noqa: F401
from transformers import BertConfig, BertForSequenceClassification

from datadiet import gradnorm, paths, runs
from datadiet.book import doctor
from datadiet.nets import device
from datadiet.nets.images import picture_classifier
from datadiet.runs import bill, process, store, verify
from datadiet.training.loop import fit

HERE = torch.cuda.is_available()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not HERE, reason="a CUDA GPU is needed, and torch sees none here")]

IMAGES = {"task": "digits", "size": 60, "encoder": "resnet-small", "batch_size": 16, "learning_rate": 0.05, "optimizer": "sgd"}
KINDS = {
    "text": {},
    "pair": {"task": "pairs"},
    "image": IMAGES,
    "joint": {"task": "assistant", "size": 60},
    "swap": {"task": "feedback", "size": 60},
}


def draw() -> torch.Generator:
    seed = secrets.randbelow(2**32)
    print("seed", seed)
    return torch.Generator().manual_seed(seed)


# --- Exact norms

@pytest.fixture
def tf32():
    """The process allows TF32, as many that import this package do: it rounds the factors of a product to ten bits."""
    places = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [place.allow_tf32 for place in places]
    for place in places:
        place.allow_tf32 = True
    yield
    for place, value in zip(places, before, strict=True):
        place.allow_tf32 = value


def minilm(rng):
    """MiniLM's kind of encoder with fewer and narrower layers, and a batch of padded texts."""
    shape = {"vocab_size": 60, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96,
             "max_position_embeddings": 40, "num_labels": 3}
    lengths = torch.randint(1, 33, (12,), generator=rng)
    mask = (torch.arange(32) < lengths[:, None]).long()
    ids = torch.randint(2, 60, mask.shape, generator=rng) * mask
    labels = torch.randint(0, 3, (12,), generator=rng)
    with device.seeded("cpu", int(torch.randint(2**31, (), generator=rng))):
        model = BertForSequenceClassification(BertConfig(**shape)).eval()
    return model, {"input_ids": ids, "attention_mask": mask, "labels": labels}


def resnet18(rng):
    """The network of Paul et al. (2021), and a batch of images."""
    model = picture_classifier("resnet18", 10, seed=int(torch.randint(2**31, (), generator=rng)))
    images = torch.randn(8, 3, 32, 32, generator=rng)
    return model, {"image": images, "labels": torch.randint(0, 10, (8,), generator=rng)}


def loss(model, batch):
    out = model(**{name: values for name, values in batch.items() if name != "labels"})
    return torch.nn.functional.cross_entropy(getattr(out, "logits", out), batch["labels"], reduction="none")


def moved(batch, where, dtype):
    return {name: values.to(where, dtype if values.is_floating_point() else None) for name, values in batch.items()}


@pytest.mark.parametrize("make", [minilm, resnet18])
@pytest.mark.parametrize("last", [False, True], ids=["as built", "channels last"])
def test_norms_on_a_gpu_are_those_of_one_backward_an_example(tf32, make, last):
    """Fast path: float32 on the GPU, TF32 allowed outside. Slow truth: float64 on the processor, an example at a time."""
    model, batch = make(draw())
    truth = gradnorm.reference_grad_norms(model.double(), moved(batch, "cpu", torch.float64), loss)
    model = model.float().to("cuda")
    if last:
        device.lay_out(model, "cuda")
    norms = gradnorm.grad_norms(model, moved(batch, "cuda", torch.float32), loss)
    torch.testing.assert_close(norms.cpu().double(), truth, rtol=1e-5, atol=0)
    assert torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32, "left as it was"


# --- Runs

@pytest.fixture
def pairs(words):  # noqa: F811
    """A set of pairs of words beside "words": are the two the same word?"""
    rng, fruit = np.random.default_rng(0), np.array("apple pear plum grape melon cherry".split())
    (words / "data" / "pairs").mkdir()
    for split, n in (("train", 45), ("test", 20)):
        labels, first = rng.integers(0, 2, n), rng.integers(0, 6, n)
        second = np.where(labels, first, (first + rng.integers(1, 6, n)) % 6)
        table = pa.table({"text": fruit[first].tolist(), "text_pair": fruit[second].tolist(), "label": labels})
        table = table.replace_schema_metadata({"label_names": json.dumps(["other", "same"])})
        pq.write_table(table, words / "data" / "pairs" / f"{split}.parquet")


@pytest.mark.parametrize("quick", [False, True], ids=["as published runs", "quick"])
@pytest.mark.parametrize("name", KINDS)
def test_a_run_of_every_kind_beside_the_same_on_the_processor(words, pairs, name, quick):  # noqa: F811
    """The untrained model is the same to rounding, the trained one finite and scored at every point; counts are equal."""
    made = config(**KINDS[name] | {"device": "cuda", "quick": quick, "epochs": 3, "score_at": [0, "1ep", "3ep"], "grand_size": 8})
    task = runs.task_of(made)
    there, here = fit(made, task), fit(made | {"device": "cpu", "training_precision": "float32"}, task)
    assert "not_captured" not in there.metrics
    assert there.metrics["updates"] == here.metrics["updates"] and there.metrics["examples"] == here.metrics["examples"]
    assert there.arrays.keys() == here.arrays.keys()
    for array in ("logits", "grand"):
        assert np.isfinite(there.arrays[array]).all()
        np.testing.assert_allclose(there.arrays[array][0], here.arrays[array][0], rtol=2e-2, atol=2e-2, err_msg=array)
    assert not np.array_equal(there.arrays["logits"][-1], there.arrays["logits"][0])


@pytest.mark.parametrize("name", ["text", "pair", "joint", "swap"])
def test_a_captured_run_ends_as_one_that_is_not(words, pairs, no_dropout, name):  # noqa: F811
    """Without dropout the two differ by rounding alone; `test_static.py` compares single updates, with it."""
    made = config(**KINDS[name] | {"device": "cuda", "training_precision": "float32", "epochs": 3, "score_at": ["3ep"]})
    task = runs.task_of(made)
    captured, eager = fit(made | {"quick": True}, task), fit(made | {"quick": False}, task)
    assert "not_captured" not in captured.metrics
    np.testing.assert_allclose(captured.arrays["logits"], eager.arrays["logits"], rtol=5e-2, atol=5e-2)


# --- Sweeps, plans, verification

def test_workers_share_the_gpu_and_their_runs_come_out_as_here(words):  # noqa: F811
    asked = [config(device="cuda", seed=seed) for seed in range(4)]
    found = process.workers({"cuda"}, len(asked), process.need(asked))
    assert found.count == len(found.gpus) >= 1 and set(found.gpus) <= set(process.gpus()) and "GPU" in found.words
    table = runs.sweep(asked, engine="processes")
    assert table["hardware"].str.contains(torch.cuda.get_device_name(), regex=False).all() and (table["device"] == "cuda").all()
    for run in asked[:2]:
        again = runs.again(run)[2]
        np.testing.assert_allclose(store.arrays(runs.key(run))["logits"][0], again["logits"][0], rtol=2e-2, atol=2e-2)


def test_a_plan_is_timed_on_the_gpu(words):  # noqa: F811
    due = bill.of([config(device="cuda"), config(device="cuda", quick=True)])
    assert set(due["device"]) == {"cuda"} and (due["minutes"] > 0).all() and "not timed" not in bill.in_all(due)


def test_a_run_is_verified_on_the_gpu_and_away_from_it(words, monkeypatch):  # noqa: F811
    (words / "profiles").mkdir()
    (words / "claims.yml").write_text("[]")
    monkeypatch.setattr(paths, "root", lambda: words)
    there, here = (config(device=where, epochs=0, score_at=[0]) for where in ("cuda", "cpu"))
    runs.sweep([there, here])
    store.publish(map(runs.key, (there, here)))
    assert verify.published_again([there])["compared"].tolist() == ["a GPU, as before"]
    assert verify.published_again([there])["outcome"].iloc[0] in ("equal", "close")
    for run, where in ((there, "cpu"), (here, "cuda")):
        found = verify.published_again([run], where=where).iloc[0]
        assert (found["compared"], found["outcome"]) == (f"another device: {where} for {run['device']}", "another device")


def test_doctor_describes_the_gpu_that_is_here():
    said = "\n".join(map(str, doctor.gpus()))
    for each in (torch.cuda.get_device_name(), f"CUDA {torch.version.cuda}", "workers", "auto means cuda here"):
        assert each in said


# --- Chapters

@pytest.mark.parametrize("page, parameters", [("quickstart", []), ("score-timing", ["-p", "device", "cuda"])])
def test_a_chapter_is_executed_by_plain_papermill(page, parameters, alone, tmp_path):
    """Where a chapter has a parameter file for smoke it is used; the quickstart has no device and trains on the processor."""
    [source] = [path for path in (ROOT / "chapters" / f"{page}.md", ROOT / f"{page}.md") if path.is_file()]
    file, notebook, output = ROOT / "profiles" / "smoke" / f"{page}.yml", tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    subprocess.run(["jupytext", "--to", "ipynb", "-o", notebook, source], cwd=ROOT, env=alone, check=True)
    given = ["-f", file] if file.is_file() else []
    store_here = alone | {"DATADIET_STORE": os.fspath(tmp_path / "store")}
    ran = subprocess.run(["papermill", notebook, output, *given, *parameters], cwd=ROOT, env=store_here, capture_output=True,
                         text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    cells = [cell for cell in nbformat.read(output, as_version=4).cells if cell.cell_type == "code"]
    assert cells and not any(out.output_type == "error" for cell in cells for out in cell.outputs)
    assert not parameters or (Path(tmp_path) / "store" / "runs.sqlite").is_file()
