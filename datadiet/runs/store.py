"""Where runs are kept: a live store that anything may be computed into, and the published results, which are only read.

Live: ``.datadiet/runs.sqlite`` (WAL) holds a row a run with its checksum, ``.datadiet/arrays/KEY.npz`` its arrays. The array file
is put in place before the row is written, both atomically, so a kill at any moment leaves either a whole run or none.

Published: ``results/runs.parquet`` holds the same rows, ``results/scores/KEY.parquet`` one row an example in the public order:
id, label, and for each scoring point the logits, the norm of the features and, for a sample, the full GraNd.
``results/SHA256SUMS`` has the checksum of each file, and a file that differs from its line is not read.
"""

import io
import json
import os
import struct
import uuid
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from datadiet import paths
from datadiet.errors import InputError
from datadiet.runs import database, sealed
from datadiet.runs.database import ROW, SUMS

COLUMNS = {"feature_norm": "feature_norms"}  # the one column that is not called as its array is


UNREADABLE = (
    ValueError,
    EOFError,
    OSError,
    KeyError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)  # of a torn npz


def save(key: str, config: dict, metrics: dict, provenance: dict, arrays: dict, folder: Path | None = None) -> None:
    """Store a finished run: arrays first, then the row that makes it visible. A run stored before is replaced.

    Raises
    ------
    InputError
        The store cannot be written to: no rights, a full disk, a newer layout. What was stored before is whole.
    """
    folder = folder or paths.store()
    with database.opened(folder, write=True) as db:
        place = folder / "arrays" / f"{key}.npz"
        temporary = place.with_suffix(f".{uuid.uuid4().hex}.part")
        try:
            with open(temporary, "xb") as file:  # as open to others as the umask lets it be
                np.savez_compressed(file, **arrays)
            seal = sealed.digest(temporary.read_bytes())
            os.replace(temporary, place)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        parts = [json.dumps(part, sort_keys=True) for part in (config, metrics, provenance)]
        with db:
            db.execute(
                f"INSERT OR REPLACE INTO runs ({', '.join((*ROW, *SUMS))}) VALUES (?, ?, ?, ?, ?, ?)",
                (key, *parts, database.row_sum(*parts), seal),
            )


def keys() -> list[str]:
    """Keys of the runs of the live store, in order; none where there is no store."""
    if not (paths.store() / "runs.sqlite").is_file():
        return []
    with database.opened() as db:
        return [row[0] for row in db.execute("SELECT key FROM runs ORDER BY key")]


def live(keys) -> dict[str, dict]:
    """Rows of the live store among `keys`: key -> {config, metrics, provenance, origin="here"}.

    A run whose array file is gone is not stored: it is computed again.

    Raises
    ------
    InputError
        The store is damaged or of a newer release; a row is not as it was written.
    """
    if not (paths.store() / "runs.sqlite").is_file():
        return {}
    with database.opened() as db:
        rows = database.stored(db, "WHERE key IN (SELECT value FROM json_each(?))", json.dumps(list(keys)))
    arrays = paths.store() / "arrays"
    rows = [row for row in rows if (arrays / f"{row[0]}.npz").is_file()]
    for row in rows:
        if row[4] not in (None, database.row_sum(*row[1:4])):
            raise InputError(
                f"store: the row of the run {row[0][:12]} in {paths.store() / 'runs.sqlite'} is not as it was "
                "written. `datadiet store check` finds all such rows, and says what to do."
            )
    return {row[0]: _row(row, "here") for row in rows}


def published(keys=None) -> dict[str, dict]:
    """Rows of the published results among `keys`, origin="published"; all of them where no keys are given."""
    file = paths.results() / "runs.parquet"
    if not file.is_file():
        return {}
    rows = _published(file, *_changed(file))
    return {key: _row(rows[key], "published") for key in (rows if keys is None else dict.fromkeys(keys)) if key in rows}


@lru_cache(maxsize=2)
def _published(file: Path, *changed: int) -> dict[str, tuple]:
    """Rows of a file as they lie there, by key; `changed` as for the arrays."""
    table = pq.read_table(pa.BufferReader(sealed.opened(file.parent, file.name)), columns=list(ROW))
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
            return dict(_read(place, *_changed(place)))
    where = {None: "stored", "here": "stored here", "published": "published"}[origin]
    raise InputError(f"store.arrays: no arrays are {where} for the run {key[:12]}; compute it with runs.sweep first.")


def _changed(place: Path) -> tuple[int, int, int]:
    """What differs once a file is written again: its number, for a clock can go back, its time stamp and its size."""
    stat = place.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=32)  # a ledger asks for the same few runs hundreds of times
def _read(place: Path, *changed: int) -> dict[str, np.ndarray]:
    """Arrays of a file; `changed` says which file it was, so that one written again is read again."""
    if place.suffix == ".npz":
        try:
            out = unpacked(place.read_bytes(), _seal(place))
        except UNREADABLE as problem:
            raise InputError(
                f"store.arrays: {place} is torn ({type(problem).__name__}); delete the file, and the run is "
                "computed again when it is next asked for."
            ) from None
    else:
        data = sealed.opened(place.parent.parent, f"scores/{place.name}")
        out = _from_table(pq.read_table(pa.BufferReader(data), use_threads=False))  # small files: starting threads takes longer
    for values in out.values():
        values.setflags(write=False)  # every caller gets the same arrays
    return out


def unpacked(data: bytes, seal: str | None) -> dict[str, np.ndarray]:
    """The arrays of an npz file; one of ``UNREADABLE`` is raised where it is torn, or has not the checksum `seal`.

    Zip files have checksums of their own, but none of their list of contents: a changed byte there hides an array.
    """
    if seal not in (None, sealed.digest(data)):
        raise ValueError("another checksum")
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return dict(file)


def _seal(place: Path) -> str | None:
    """The checksum that the store has of an array file."""
    folder = place.parent.parent
    if not (folder / "runs.sqlite").is_file():
        return None
    with database.opened(folder) as db:
        return next((row[5] for row in database.stored(db, "WHERE key = ?", place.stem)), None)


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
    rows = {row[0]: row for row in _published(file, *_changed(file)).values()} if file.is_file() else {}
    written = [file.name]
    for key, run in found.items():
        recorded = arrays(key, "here")
        rows[key] = (key, *(json.dumps(run[name], sort_keys=True) for name in ROW[1:]))
        if "logits" in recorded:
            written.append(f"scores/{key}.parquet")
            _write(_scores_table(read(recorded, run["config"]), run["config"]["score_at"]), folder / written[-1])
    _write(pa.Table.from_pylist([dict(zip(ROW, rows[key], strict=True)) for key in sorted(rows)]), file)
    sealed.seal(folder, written)
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
