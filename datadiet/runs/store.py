"""Where runs are kept: a live store that anything may be computed into, and the published results, which are only read.

Live: ``.datadiet/runs.sqlite`` (WAL) holds a row a run, ``.datadiet/arrays/KEY.npz`` its arrays. The array file is put in place
before the row is written, both atomically, so a kill at any moment leaves either a whole run or none.

Published: ``results/runs.parquet`` holds the same rows, ``results/scores/KEY.parquet`` one row an example in the public order:
id, label, and for each scoring point the logits, the norm of the features and, for a sample, the full GraNd.
"""

import json
import os
import sqlite3
import time
import uuid
import zipfile
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


PATIENCE = 60  # seconds that a connection waits for others


def _connect() -> sqlite3.Connection:
    folder = paths.store()
    (folder / "arrays").mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + PATIENCE
    while True:
        db = sqlite3.connect(folder / "runs.sqlite", timeout=PATIENCE)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("CREATE TABLE IF NOT EXISTS runs (key TEXT PRIMARY KEY, config TEXT, metrics TEXT, provenance TEXT)")
            return db
        except sqlite3.OperationalError as problem:
            db.close()
            # Of two that turn a new file to WAL at once, one is told that it is locked and is not made to wait.
            if problem.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def save(key: str, config: dict, metrics: dict, provenance: dict, arrays: dict) -> None:
    """Store a finished run: arrays first, then the row that makes it visible. A run stored before is replaced."""
    with closing(_connect()) as db:
        place = paths.store() / "arrays" / f"{key}.npz"
        temporary = place.with_suffix(f".{uuid.uuid4().hex}.part")
        try:
            with open(temporary, "xb") as file:  # as open to others as the umask lets it be
                np.savez_compressed(file, **arrays)
            os.replace(temporary, place)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        with db:
            db.execute(
                "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)",
                (key, *(json.dumps(part, sort_keys=True) for part in (config, metrics, provenance))),
            )


def live(keys) -> dict[str, dict]:
    """Rows of the live store among `keys`: key -> {config, metrics, provenance, origin="here"}.

    A run whose array file is gone is not stored: it is computed again.
    """
    if not (paths.store() / "runs.sqlite").is_file():
        return {}
    with closing(_connect()) as db:
        wanted = "SELECT * FROM runs WHERE key IN (SELECT value FROM json_each(?))"
        rows = db.execute(wanted, [json.dumps(list(keys))]).fetchall()
    arrays = paths.store() / "arrays"
    return {row[0]: _row(row, "here") for row in rows if (arrays / f"{row[0]}.npz").is_file()}


def published(keys=None) -> dict[str, dict]:
    """Rows of the published results among `keys`, origin="published"; all of them where no keys are given."""
    file = paths.results() / "runs.parquet"
    if not file.is_file():
        return {}
    stat = file.stat()
    rows = _published(file, stat.st_mtime_ns, stat.st_size)
    return {key: _row(rows[key], "published") for key in (rows if keys is None else dict.fromkeys(keys)) if key in rows}


@lru_cache(maxsize=2)
def _published(file: Path, *changed: int) -> dict[str, tuple]:
    """Rows of a file as they lie there, by key; `changed` as for the arrays."""
    table = pq.read_table(file, columns=list(ROW))
    return {row[0]: row for row in zip(*(table[name].to_pylist() for name in ROW), strict=True)}


def _row(row, origin: str) -> dict:
    config, metrics, provenance = (json.loads(part) for part in row[1:4])
    return {"config": config, "metrics": metrics, "provenance": provenance, "origin": origin}


def find(keys) -> dict[str, dict]:
    """Rows among `keys`, live before published."""
    keys = list(keys)
    return published(keys) | live(keys)


def arrays(key: str, origin: str | None = None) -> dict[str, np.ndarray]:
    """Arrays of a stored run, live before published; with `origin` "here" or "published", those alone. They cannot be written to.

    ``ids`` [N], ``labels`` [N], ``truth`` [N] where labels were flipped, ``logits`` [T, N, K], ``feature_norms`` [T, N],
    ``grand`` [T, M] with ``grand_positions`` [M] where recorded, ``test_predictions``, and what else the kind of task records.

    Raises
    ------
    InputError
        None are stored.
    """
    here, public = paths.store() / "arrays" / f"{key}.npz", paths.results() / "scores" / f"{key}.parquet"
    places = {"here": here, "published": public}
    for place in places.values() if origin is None else [places[origin]]:
        if place.is_file():
            stat = place.stat()
            return dict(_read(place, stat.st_mtime_ns, stat.st_size))
    where = {None: "stored", "here": "stored here", "published": "published"}[origin]
    raise InputError(f"store.arrays: no arrays are {where} for the run {key[:12]}; compute it with runs.sweep first.")


@lru_cache(maxsize=32)  # a ledger asks for the same few runs hundreds of times
def _read(place: Path, *changed: int) -> dict[str, np.ndarray]:
    """Arrays of a file; `changed` are its time stamp and size, so that a file written again is read again."""
    if place.suffix == ".npz":
        try:
            with open(place, "rb") as handle, np.load(handle, allow_pickle=False) as file:
                out = dict(file)
        except (ValueError, EOFError, zipfile.BadZipFile) as problem:
            raise InputError(f"store.arrays: {place} is torn ({type(problem).__name__}); delete the file, and the run is "
                             "computed again when it is next asked for.") from None
    else:
        out = _from_table(pq.read_table(place, use_threads=False))  # small files: starting threads takes longer
    for values in out.values():
        values.setflags(write=False)  # every caller gets the same arrays
    return out


def _from_table(table: pa.Table) -> dict[str, np.ndarray]:
    """The arrays that :func:`_scores_table` made a table of."""
    rows = {name: _rows(table[name].combine_chunks()) for name in table.column_names}
    out = {"ids": rows.pop("id"), "labels": rows.pop("label")}
    out |= {name: values for name, values in rows.items() if "@" not in name}
    for name in dict.fromkeys(name.split("@")[0] for name in rows if "@" in name):
        out[COLUMNS.get(name, name)] = np.stack([values for column, values in rows.items() if column.split("@")[0] == name])
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
    """Write the live runs among `keys` into ``results/``, each in place of one published under its key; returns how many."""
    found = live(keys)
    folder = paths.root() / "results"
    (folder / "scores").mkdir(parents=True, exist_ok=True)
    file = folder / "runs.parquet"
    rows = {row["key"]: row for row in (pq.read_table(file).to_pylist() if file.is_file() else [])}
    for key, run in found.items():
        recorded = arrays(key, "here")
        rows[key] = {"key": key, **{name: json.dumps(run[name], sort_keys=True) for name in ROW[1:]}}
        if "logits" in recorded:
            _write(_scores_table(read(recorded, run["config"]), run["config"]["score_at"]), folder / "scores" / f"{key}.parquet")
    _write(pa.Table.from_pylist([rows[key] for key in sorted(rows)]), file)
    return len(found)


UNREAD = ("logits", "feature_norms")  # of networks that were not trained


def read(arrays: dict, config: dict) -> dict:
    """Those arrays of a run that somebody reads once it is published: of an untrained network, its gradient norms alone."""
    return {name: values for name, values in arrays.items() if config["epochs"] or name not in UNREAD}


def _scores_table(arrays: dict, points: list) -> pa.Table:
    """Everything that has a row an example: [N] and [N, M] as they are, [T, N] and [T, N, K] as a column a scoring point."""
    n, columns = len(arrays["ids"]), {"id": arrays["ids"], "label": arrays["labels"]}
    if "grand" in arrays:  # recorded for a sample; elsewhere NaN
        whole = np.full((len(points), n), np.nan, np.float32)
        whole[:, arrays["grand_positions"]] = arrays["grand"]
        arrays = arrays | {"grand": whole}
    for name, values in arrays.items():
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
