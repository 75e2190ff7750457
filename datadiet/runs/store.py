"""Where runs are kept: a live store that anything may be computed into, and the published results, which are only read.

Live: ``.datadiet/runs.sqlite`` (WAL) holds a row a run, ``.datadiet/arrays/KEY.npz`` its arrays. The array file is put in place
before the row is written, both atomically, so a kill at any moment leaves either a whole run or none.

Published: ``results/runs.parquet`` holds the same rows, ``results/scores/KEY.parquet`` one row an example in the public order:
id, label, and for each scoring point the logits, the norm of the features and, for a sample, the full GraNd.
"""

import json
import os
import sqlite3
import tempfile
from contextlib import closing
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from datadiet import paths
from datadiet.errors import InputError

ROW = ("key", "config", "metrics", "provenance")
COLUMNS = {"feature_norm": "feature_norms"}  # the one column that is not called as its array is


def _connect() -> sqlite3.Connection:
    folder = paths.store()
    (folder / "arrays").mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(folder / "runs.sqlite", timeout=60)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE IF NOT EXISTS runs (key TEXT PRIMARY KEY, config TEXT, metrics TEXT, provenance TEXT)")
    return db


def save(key: str, config: dict, metrics: dict, provenance: dict, arrays: dict) -> None:
    """Store a finished run: arrays first, then the row that makes it visible."""
    with closing(_connect()) as db:
        place = paths.store() / "arrays" / f"{key}.npz"
        handle, temporary = tempfile.mkstemp(dir=place.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, **arrays)
            os.replace(temporary, place)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        with db:
            db.execute(
                "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)",
                (key, *(json.dumps(part, sort_keys=True) for part in (config, metrics, provenance))),
            )


def live(keys) -> dict[str, dict]:
    """Rows of the live store among `keys`: key -> {config, metrics, provenance, origin="here"}."""
    if not (paths.store() / "runs.sqlite").is_file():
        return {}
    with closing(_connect()) as db:
        rows = db.execute("SELECT * FROM runs").fetchall()
    wanted = set(keys)
    return {row[0]: _row(row, "here") for row in rows if row[0] in wanted}


def published(keys) -> dict[str, dict]:
    """Rows of the published results among `keys`, origin="published"."""
    file = paths.root() / "results" / "runs.parquet"
    if not file.is_file():
        return {}
    wanted = set(keys)
    rows = pq.read_table(file, columns=list(ROW)).to_pylist()
    return {row["key"]: _row([row[name] for name in ROW], "published") for row in rows if row["key"] in wanted}


def _row(row, origin: str) -> dict:
    config, metrics, provenance = (json.loads(part) for part in row[1:4])
    return {"config": config, "metrics": metrics, "provenance": provenance, "origin": origin}


def find(keys) -> dict[str, dict]:
    """Rows among `keys`, live before published."""
    keys = list(keys)
    return published(keys) | live(keys)


def arrays(key: str) -> dict[str, np.ndarray]:
    """Arrays of a stored run, live before published.

    ``ids`` [N], ``labels`` [N], ``truth`` [N] where labels were flipped, ``logits`` [T, N, K], ``feature_norms`` [T, N],
    ``grand`` [T, M] with ``grand_positions`` [M] where recorded, ``test_predictions``, and what else the kind of task records.
    """
    for place in (paths.store() / "arrays" / f"{key}.npz", paths.root() / "results" / "scores" / f"{key}.parquet"):
        if place.is_file():
            return _read(place, place.stat().st_mtime_ns)
    raise InputError(f"store.arrays: no arrays are stored for the run {key[:12]}; compute it with runs.sweep first.")


@lru_cache(maxsize=32)  # a ledger asks for the same few runs hundreds of times
def _read(place: Path, changed: int) -> dict[str, np.ndarray]:
    """Arrays of a file; `changed` is its time stamp, so that a file written again is read again."""
    if place.suffix == ".npz":
        with np.load(place) as file:
            return dict(file)
    table = pq.read_table(place)
    rows = {name: _rows(table[name].combine_chunks()) for name in table.column_names}
    out = {"ids": rows.pop("id"), "labels": rows.pop("label")}
    out |= {name: held for name, held in rows.items() if "@" not in name}
    for name in dict.fromkeys(name.split("@")[0] for name in rows if "@" in name):
        out[COLUMNS.get(name, name)] = np.stack([held for column, held in rows.items() if column.split("@")[0] == name])
    if "grand" in out:
        sample = np.flatnonzero(np.isfinite(out["grand"][0]))
        out |= {"grand": out["grand"][:, sample], "grand_positions": sample}
    return out


def _rows(column: pa.Array) -> np.ndarray:
    """A column as an array [N], or [N, K] where each cell is a list of K numbers."""
    if pa.types.is_fixed_size_list(column.type):
        return column.flatten().to_numpy().reshape(len(column), -1)
    return column.to_numpy()


def publish(keys) -> int:
    """Write the live runs among `keys` into ``results/``, keeping what is published already; returns how many were added."""
    found = live(keys)
    folder = paths.root() / "results"
    (folder / "scores").mkdir(parents=True, exist_ok=True)
    file = folder / "runs.parquet"
    rows = {row["key"]: row for row in (pq.read_table(file).to_pylist() if file.is_file() else [])}
    for key, run in found.items():
        held = arrays(key)
        rows[key] = {"key": key, **{name: json.dumps(run[name], sort_keys=True) for name in ROW[1:]}}
        if "logits" in held:
            _write(_scores_table(held, run["config"]["score_at"]), folder / "scores" / f"{key}.parquet")
    _write(pa.Table.from_pylist([rows[key] for key in sorted(rows)]), file)
    return len(found)


def _scores_table(held: dict, points: list) -> pa.Table:
    """Everything that has a row an example: [N] and [N, M] as they are, [T, N] and [T, N, K] as a column a scoring point."""
    n, columns = len(held["ids"]), {"id": held["ids"], "label": held["labels"]}
    if "grand" in held:  # recorded for a sample; elsewhere NaN
        whole = np.full((len(points), n), np.nan, np.float32)
        whole[:, held["grand_positions"]] = held["grand"]
        held = held | {"grand": whole}
    for name, values in held.items():
        if name in ("ids", "labels", "grand_positions", "test_predictions"):
            continue
        if values.shape[:2] == (len(points), n):
            one = {plural: column for column, plural in COLUMNS.items()}.get(name, name)
            columns |= {f"{one}@{at}": _column(values[t]) for t, at in enumerate(points)}
        elif len(values) == n:
            columns[name] = _column(values)
        else:
            raise InputError(f"store.publish: the array {name!r} of shape {values.shape} has no row for each of {n} examples.")
    return pa.table(columns)


def _column(values: np.ndarray) -> pa.Array:
    return pa.array(values) if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1])


def _leaf(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_fixed_size_list(kind) else kind


def _write(table: pa.Table, place: Path) -> None:
    temporary = place.with_suffix(".part")
    # The digits of a float barely compress as they lie; first bytes beside first bytes, they do.
    names = {field.name: field.name + ".list.element" * pa.types.is_fixed_size_list(field.type) for field in table.schema}
    split = [path for name, path in names.items() if pa.types.is_floating(_leaf(table.schema.field(name).type))]
    whole = [path for path in names.values() if path not in split]
    pq.write_table(table, temporary, compression="zstd", use_dictionary=whole, use_byte_stream_split=split)
    os.replace(temporary, place)
