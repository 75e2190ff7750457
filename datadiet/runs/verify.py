"""After a sweep: whether published runs come out again.

published_again(configs, sample=3)            # computes three published runs anew and compares
"""

import numpy as np
import pandas as pd

from datadiet import runs
from datadiet.errors import InputError
from datadiet.runs import store


def published_again(configs, sample: int = 3, seed: int = 0, tolerance: float = 0.02) -> pd.DataFrame:
    """Compute a random sample of the published runs among `configs` anew, storing nothing, and compare.

    Other hardware, thread counts and releases round differently, and training amplifies it; on the same ones a run must come out
    equal. All metrics but times are compared, and the arrays that are published.

    Returns
    -------
    DataFrame
        A row a run: key, task, ``same_machine``, ``metric`` (the one that differs most, with its ``published`` value and that
        from ``here``; empty where none differs), ``arrays`` (whether they are "equal" or "differ") and ``outcome``:

        "equal": to the bit. "close": the counts are equal, and every other metric is within `tolerance`; where nothing was
        trained, the arrays too. "differs": neither. "data differs": the data here are not those of the run or of the runs that it
        leans on, and nothing was computed.

    Raises
    ------
    InputError
        `sample` below 1, or nothing published among `configs`; a device or set that is not here.
    """
    if sample < 1:
        raise InputError(f"verify: a sample of {sample} runs; ask for at least 1.")
    by_key = {runs.key(run): run for run in configs}
    found = store.published(by_key)
    if not found:
        raise InputError("verify: none of these runs is published in results/; there is nothing to compare with.")
    chosen = np.random.default_rng(seed).choice(sorted(found), min(sample, len(found)), replace=False)
    return pd.DataFrame([
        {"key": key[:12], "task": by_key[key]["task"]} | _compared(by_key[key], found[key], tolerance) for key in map(str, chosen)
    ])  # fmt: skip


def _compared(run: dict, old: dict, tolerance: float) -> dict:
    sources = {runs.key(source): source for source in runs.scoring_runs(run)}
    recorded = {key: each["provenance"]["data_checksum"] for key, each in store.published(sources).items()}
    recorded[runs.key(run)] = old["provenance"]["data_checksum"]
    sources[runs.key(run)] = run
    if any(runs.task_of(sources[key]).checksum != checksum for key, checksum in recorded.items()):
        return {"same_machine": None, "metric": "", "published": np.nan, "here": np.nan, "arrays": "", "outcome": "data differs"}
    metrics, provenance, arrays = runs.again(run, "published")
    before, after = numbers(old["metrics"]), numbers(metrics)
    distances = {name: _distance(value, after.get(name)) for name, value in sorted(before.items())}  # later metrics are new
    largest = max(distances, key=distances.get)
    distance = distances[largest]
    counts_equal = not any(distances[name] for name in distances if isinstance(before.get(name), int))
    pairs = _published_pairs(run, arrays)
    same = all(np.array_equal(one, other, equal_nan=one.dtype.kind == "f") for one, other in pairs)
    near = all(one.shape == other.shape and np.allclose(one, other, tolerance, tolerance, equal_nan=True) for one, other in pairs)
    close = counts_equal and distance <= tolerance and (near or metrics["updates"] > 0)
    return {
        "same_machine": _same_machine(old["provenance"], provenance),
        "metric": largest if distance else "",
        "published": before.get(largest, np.nan) if distance else np.nan,
        "here": after.get(largest, np.nan) if distance else np.nan,
        "arrays": "equal" if same else "differ",
        "outcome": "equal" if same and not distance else "close" if close else "differs",
    }


def _same_machine(old: dict, new: dict) -> bool:
    """Whether two runs were made on the same hardware, with as many threads, by the same releases of all that both name."""
    releases = old["versions"].keys() & new["versions"].keys()
    return (old["hardware"], old["threads"]) == (new["hardware"], new["threads"]) and all(
        old["versions"][name] == new["versions"][name] for name in releases
    )


def _distance(one, other) -> float:
    """How far two values of a metric lie apart; without end where one is missing or only one is no number."""
    if one is None or other is None or np.isnan(one) != np.isnan(other):
        return np.inf
    return 0.0 if one == other or np.isnan(one) else abs(one - other)


def numbers(metrics: dict, within: str = "") -> dict[str, float]:
    """Every number of a run's metrics but its times, those in lists and dicts too: name -> number.

    >>> numbers({"updates": 3, "train_seconds": 1.5, "errors": {"all": [[0.5, 0.25]]}})
    {'updates': 3, 'errors.all.0.0': 0.5, 'errors.all.0.1': 0.25}
    """
    out = {}
    for name, value in metrics.items():
        if isinstance(value, (list, tuple)):
            value = dict(enumerate(value))
        if isinstance(value, dict):
            out |= numbers(value, f"{within}{name}.")
        elif not str(name).endswith("_seconds"):
            out[f"{within}{name}"] = value
    return out


def _published_pairs(run: dict, arrays: dict) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each published array of a run beside the one computed here; empty where a run has no arrays of its own."""
    try:
        old = store.arrays(runs.key(run), "published")
    except InputError:  # runs without a scoring point publish none
        return []
    return [(old[name], np.asarray(arrays.get(name, []))) for name in old]
