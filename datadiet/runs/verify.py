"""After a sweep: whether published runs come out again.

published_again(configs, sample=3)                  # computes three published runs anew and compares
published_again(configs, sample=3, where="cpu")     # on the processor, whatever device they were made on
"""

from numbers import Integral

import numpy as np
import pandas as pd

from datadiet import runs
from datadiet.errors import InputError
from datadiet.nets import device
from datadiet.runs import store

# How far metrics of a run computed again may lie from the published ones, by where it was made and is made again, and by whether
# bfloat16 was in either: it keeps eight bits of each factor. A processor repeats a run to the bit; another rounds differently,
# and training amplifies that. A GPU adds up in an order of its own. On another device dropout and shifts are other draws as
# well, as those of another seed. The limits were set before any run was compared with them; on GPUs nothing is measured yet.
TOLERANCES = {
    "same processor": {"float32": 0.0, "bfloat16": 0.0},  # same name, instructions and threads, and the same releases
    "another processor": {"float32": 0.02, "bfloat16": 0.03},  # or one whose instructions the run did not record
    "a GPU, as before": {"float32": 0.02, "bfloat16": 0.03},
    "another device": {"float32": 0.05, "bfloat16": 0.05},
}


def published_again(configs, sample: int = 3, seed: int = 0, where: str | None = None) -> pd.DataFrame:
    """Compute a random sample of the published runs among `configs` anew, storing nothing, and compare.

    All metrics but times are compared, and the arrays that are published. The limits are those of :data:`TOLERANCES`.

    Parameters
    ----------
    configs : iterable of dict
        The runs to choose from.
    sample, seed : int
        How many, and the seed that draws them.
    where : str, optional
        The device to compute them on: "cpu", "cuda", "mps", or "auto" for the best one here. Not given, each on its own, or on
        the processor where its own is not here. On another device than its own a run is trained in float32, and is otherwise the
        same; the scores that it leans on are the published ones.

    Returns
    -------
    DataFrame
        A row a run: key, task, ``compared`` (a row of the table, and the devices where they are two: "another device: cpu for
        cuda"), ``tolerance``, ``same_machine``, ``metric`` (the one that differs most, with its ``published`` value and that
        from ``here``; empty where none differs), ``arrays`` (whether they are "equal" or "differ") and ``outcome``:

        "equal": to the bit. "close": the counts are equal, and every other metric is within the tolerance; where nothing was
        trained, the arrays too. "another device": as "close", or nearer, but on another device, where it is another run that
        comes out alike. "differs": none of these. "data differs": the data here are not those of the run or of the runs that it
        leans on, and nothing was computed.

    Raises
    ------
    InputError
        `sample` below 1, or nothing published among `configs`; a device `where` or a set that is not here.
    """
    for name, value, least in (("sample", sample, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise InputError(f"verify: {name}={value!r:.60}; it is a whole number, at least {least}.")
    where = where and device.check(device.resolved(where))
    by_key = {runs.key(run): run for run in runs.listed(configs, "verify")}
    found = store.published(by_key)
    if not found:
        raise InputError("verify: none of these runs is published in results/; there is nothing to compare with.")
    chosen = np.random.default_rng(seed).choice(sorted(found), min(sample, len(found)), replace=False)
    return pd.DataFrame([
        {"key": key[:12], "task": by_key[key]["task"]} | _compared(by_key[key], found[key], where) for key in map(str, chosen)
    ])  # fmt: skip


def placed(run: dict, where: str | None = None) -> dict:
    """The run as it is computed again: itself, or on the device `where`; on the processor where its own device is not here."""
    where = where or (run["device"] if device.is_here(run["device"]) else "cpu")
    return run if where == run["device"] else run | {"device": where, "training_precision": "float32"}


def limits(run: dict, again: dict, same_machine: bool) -> tuple[str, float]:
    """The row of :data:`TOLERANCES` for a run and the same run as it was computed `again`, and its tolerance."""
    low = "bfloat16" in {each[name] for each in (run, again) for name in ("precision", "training_precision")}
    if run["device"] != again["device"]:
        row = "another device"
    elif not device.repeats(run["device"]):
        row = "a GPU, as before"
    else:
        row = "same processor" if same_machine else "another processor"
    return row, TOLERANCES[row]["bfloat16" if low else "float32"]


def _compared(run: dict, old: dict, where: str | None) -> dict:
    sources = {runs.key(source): source for source in runs.scoring_runs(run)}
    recorded = {key: each["provenance"]["data_checksum"] for key, each in store.published(sources).items()}
    recorded[runs.key(run)] = old["provenance"]["data_checksum"]
    sources[runs.key(run)] = run
    if any(runs.task_of(sources[key]).checksum != checksum for key, checksum in recorded.items()):
        return {"compared": "", "tolerance": np.nan, "same_machine": None, "metric": "", "published": np.nan, "here": np.nan,
                "arrays": "", "outcome": "data differs"}
    new = placed(run, where)
    metrics, provenance, arrays = runs.again(new, "published")
    same_machine, other_device = _same_machine(old["provenance"], provenance), new["device"] != run["device"]
    row, tolerance = limits(run, new, same_machine)
    before, after = numbers(old["metrics"]), numbers(metrics)
    distances = {name: _distance(value, after.get(name)) for name, value in sorted(before.items())}  # later metrics are new
    largest = max(distances, key=distances.get)
    distance = distances[largest]
    counts_equal = not any(distances[name] for name in distances if isinstance(before.get(name), int))
    pairs = _published_pairs(run, arrays)
    same = all(np.array_equal(one, other, equal_nan=one.dtype.kind == "f") for one, other in pairs)
    near = all(one.shape == other.shape and np.allclose(one, other, tolerance, tolerance, equal_nan=True) for one, other in pairs)
    trained = metrics["updates"] > 0 and tolerance > 0  # its logits wander; to the bit, they do not
    close = counts_equal and distance <= tolerance and (near or trained)
    alike = "another device" if other_device else "equal" if same and not distance else "close"
    return {
        "compared": row + (f": {new['device']} for {run['device']}" if other_device else ""),
        "tolerance": tolerance,
        "same_machine": same_machine,
        "metric": largest if distance else "",
        "published": before.get(largest, np.nan) if distance else np.nan,
        "here": after.get(largest, np.nan) if distance else np.nan,
        "arrays": "equal" if same else "differ",
        "outcome": alike if close else "differs",
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
        elif not isinstance(value, str) and not str(name).endswith("_seconds"):
            out[f"{within}{name}"] = value
    return out


def _published_pairs(run: dict, arrays: dict) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each published array of a run beside the one computed here; empty where a run has no arrays of its own."""
    try:
        old = store.arrays(runs.key(run), "published")
    except InputError:  # runs without a scoring point publish none
        return []
    return [(old[name], np.asarray(arrays.get(name, []))) for name in old]
