"""Runs of another store taken into the live one, those that came back from a GPU, from a cluster, or from somebody else; and
runs of the live store put into a folder that can be sent.

    export("for-the-others")         # 123
    merge("store-of-the-gpu")        # {"merged": 123, "there already": 0}

A run is known by its config: its key is computed anew, and must be the one that it was stored under.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from datadiet import paths
from datadiet.errors import InputError
from datadiet.nets import device
from datadiet.runs import configs, database, store
from datadiet.runs.configs import chosen_by, key


def merge(folder: str | Path) -> dict[str, int]:
    """Copy every run of the store in `folder` into the live store; how many were copied, and how many were there already.

    All runs are checked before the first is copied. `folder` is only read. A run stored before the device was part of a config
    was trained in bfloat16 on a GPU where its hardware names one: its config then says so, and so does its key.

    Raises
    ------
    InputError
        No store there; a run whose key is not that of its config, whose arrays are missing, torn or of another training set than
        its metrics say; a run that is stored here with other metrics.
    """
    folder = Path(folder)
    if not (folder / "runs.sqlite").is_file():
        raise InputError(f"merge: {folder} holds no store: runs.sqlite is not there. Name the folder that $DATADIET_STORE named.")
    with database.opened(folder) as db:
        found = database.stored(db)
    runs = []
    for old, *parts, seal, arrays_seal in found:
        config, metrics, provenance = _read(folder, old, parts)
        if key(config) != old:
            raise InputError(
                f"merge: the run {str(old)[:12]} of {folder} is stored under another key than that of its config, "
                f"{key(config)[:12]}: the store was changed by hand, or is of another version. Nothing was merged."
            )
        if seal not in (None, database.row_sum(*parts)):
            raise InputError(
                f"merge: the row of the run {old[:12]} of {folder} is not as it was written; copy the store again. "
                "Nothing was merged."
            )
        config = _with_device(configs.config(**config), provenance)  # complete: a store of before a setting came has not that one
        runs.append((key(config), config, metrics, provenance, _arrays(folder, old, config, metrics, arrays_seal)))
    known = store.live(new for new, *_ in runs)
    for new, _, metrics, _, _ in runs:
        if new in known and _results(known[new]["metrics"]) != _results(metrics):
            raise InputError(
                f"merge: the run {new[:12]} is stored here too, with other metrics; nothing was merged. Move one of "
                "the two stores away, or compute the run again to see which it is."
            )
    for run in runs:
        if run[0] not in known:
            store.save(*run)
    return {"merged": len(runs) - len(known), "there already": len(known)}


def _read(folder: Path, name: str, parts: list) -> list[dict]:
    """Config, metrics and provenance of a row: three objects, with what every run has in them."""
    found = database.objects(parts)
    if found is None or not isinstance(found[2].get("hardware"), str) or not isinstance(found[1].get("n_kept"), int):
        raise InputError(
            f"merge: the row of the run {str(name)[:12]} of {folder} cannot be read; copy the store again. Nothing was merged."
        )
    return found


def _with_device(config: dict, provenance: dict) -> dict:
    """A config that says which device its run was trained on."""
    if "device" in provenance or "NVIDIA" not in provenance["hardware"]:
        return config
    there = {"device": "cuda", "training_precision": device.PRECISION["cuda"]}
    out = config | there
    for name in ("keep", "augment", "branch", "pool"):  # the runs that it leans on were made there too
        if out.get(name) and out[name].get("source"):
            out[name] = out[name] | {"source": out[name]["source"] | there}
    return out


def _arrays(folder: Path, name: str, config: dict, metrics: dict, seal: str | None) -> dict[str, np.ndarray]:
    place = folder / "arrays" / f"{name}.npz"
    try:
        arrays = store.unpacked(place.read_bytes(), seal)
    except store.UNREADABLE as problem:
        raise InputError(
            f"merge: the arrays of the run {name[:12]} cannot be read from {place} ({type(problem).__name__}); copy "
            "the store again. Nothing was merged."
        ) from None
    n = len(arrays.get("ids", ()))
    whole = chosen_by(config) is None and config.get("schedule") is None and config.get("pool") is None
    if not n or len(arrays["labels"]) != n or (whole and metrics["n_kept"] != n):
        raise InputError(
            f"merge: the arrays of the run {name[:12]} in {place} are of {n} examples, its metrics of "
            f"{metrics['n_kept']}; copy the store again. Nothing was merged."
        )
    return arrays


def _results(metrics: dict) -> dict:
    """Metrics but for times."""
    return {name: value for name, value in metrics.items() if not name.endswith("_seconds")}


def export(folder: str | Path, keys=None) -> int:
    """Copy the runs `keys` of the live store, or all, into a new store at `folder`, for :func:`merge` elsewhere; how many.

    Raises
    ------
    InputError
        Something lies at `folder` already; none of the runs is in the live store; a run whose arrays are torn.
    """
    folder = Path(folder)
    if folder.exists():
        raise InputError(f"store.export: {folder} exists already; name a folder that does not, or move it away.")
    if keys is None:
        keys = store.keys()
    found = store.live(keys)
    if not found:
        raise InputError(f"store.export: {paths.store()} holds none of these runs; compute them first, with `datadiet sweep`.")
    for name in tqdm(sorted(found), desc="export", unit="run", leave=False):
        run = found[name]
        store.save(name, run["config"], run["metrics"], run["provenance"], store.arrays(name, "here"), folder)
    database.settled(folder)
    return len(found)
