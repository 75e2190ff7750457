"""A table in partitions: a folder of Parquet files, or one file whose row groups are the partitions; each read and written alone.

Partitions are written through a temporary file and a rename, and say in their schema metadata what made them. So a partition is
there whole or not at all, a job may run twice, and a second call goes on where the first stopped.
"""

import json
import os
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from datadiet.errors import InputError
from datadiet.runs import engines, process
from datadiet.tables.columns import plain_column

MADE = b"datadiet.partition"  # key of the schema metadata of a written partition
ENGINES = ("here", "processes")
MOST = 65_536  # different labels of a table


@dataclass(frozen=True)
class Part:
    """A partition: its name, where it is (a file, and a row group where the file has several partitions), and its rows."""

    name: str  # relative path of the partition that is written
    file: str  # absolute
    group: int | None
    start: int  # position of its first row in the whole table
    rows: int
    bytes: int  # of the file, so that another file of the same name is noticed


def parts(source, operation: str) -> list[Part]:
    """The partitions of a folder, by name, or of a file, by row group; their order is the order of the table.

    Files whose names, or whose folders' names, begin with "_" or "." are no partitions, as Spark and Dask have it.

    Raises
    ------
    InputError
        No such place, no Parquet in it, an unreadable file, or partitions with other columns than the first.
    """
    source = Path(source).absolute()
    if not source.exists():
        raise InputError(f"{operation}: {source} is not there; give a folder of Parquet files, or one Parquet file.")
    files = [source] if source.is_file() else [
        file for file in sorted(source.rglob("*.parquet"))
        if not any(each.startswith(("_", ".")) for each in file.relative_to(source).parts)
    ]  # fmt: skip
    if not files:
        raise InputError(f"{operation}: the folder {source} holds no *.parquet; give the folder that the partitions lie in.")
    out, start, first = [], 0, None
    for file in files:
        try:
            footer, schema = pq.read_metadata(file), pq.read_schema(file)
        except (OSError, ValueError, pa.ArrowException) as problem:  # names that were damaged are not UTF-8
            raise InputError(
                f"{operation}: {file} cannot be read as Parquet ({problem}); write it again, or take it out."
            ) from None
        first = schema if first is None else first
        if not schema.equals(first):
            odd = sorted(set(map(str, schema)) ^ set(map(str, first))) or ["their order"]
            raise InputError(
                f"{operation}: {file.name} has other columns than {files[0].name} ({', '.join(odd[:4])}); give "
                "partitions of one table."
            )
        size = file.stat().st_size
        if source.is_file():
            for group in range(footer.num_row_groups):
                rows = footer.row_group(group).num_rows
                out.append(Part(f"{file.stem}-{group:05d}.parquet", str(file), group, start, rows, size))
                start += rows
        else:
            out.append(Part(str(file.relative_to(source)), str(file), None, start, footer.num_rows, size))
            start += footer.num_rows
    return out


def batches(part: Part, columns: list[str] | None, rows: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """At most `rows` rows at a time, each with the position of its first row in the partition."""
    if not Path(part.file).is_file():
        raise InputError(
            f"partitions: the machine {socket.gethostname()} cannot see {part.file}; every worker must reach the table "
            "and the output under the same path, as on a shared file system."
        )
    at = 0
    with pq.ParquetFile(part.file) as file:
        groups = None if part.group is None else [part.group]
        for batch in file.iter_batches(batch_size=rows, row_groups=groups, columns=columns, use_threads=False):
            yield at, batch
            at += len(batch)


def valid(column: pa.Array) -> np.ndarray:
    """Rows that are neither null nor NaN, nor a blank text."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    there = ~pc.is_null(column, nan_is_null=pa.types.is_floating(column.type)).to_numpy(zero_copy_only=False)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        letters = pc.fill_null(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0)
        there &= letters.to_numpy(zero_copy_only=False) > 0
    return there


def distinct(todo: list[Part], column: str, engine: str, operation: str, rows: int = 65_536) -> list[str]:
    """Different labels of a column in all parts, as they are typed, in alphabetical order.

    Raises
    ------
    InputError
        More than MOST of them: the column holds no classes.
    """
    found: set[str] = set()

    def take(values):
        if len(found) <= MOST:
            found.update(values)

    each([(_distinct, part, column, operation, rows) for part in todo], engine, operation, "looking for classes", take)
    if len(found) > MOST:
        raise InputError(f"{operation}: {column!r} holds more than {MOST} different values; name a column of classes.")
    return sorted(found)


def _distinct(part: Part, column: str, operation: str, rows: int) -> set[str]:
    found: set[str] = set()
    for _, batch in batches(part, [column], rows):
        values = plain_column(batch, column)
        try:
            found.update(pc.cast(pc.unique(values.filter(pa.array(valid(values)))), pa.string()).to_pylist())
        except pa.ArrowException:
            raise InputError(f"{operation}: {column!r} has type {values.type}; name a column of classes.") from None
        if len(found) > MOST:
            break
    return found


def write(part: Part, target: str, made: str, rows: int, change: Callable) -> dict:
    """Write ``change(first row, batch) -> (batch, rows without a score)`` of every batch to `target`, whole or not at all.

    Returns
    -------
    dict
        ``rows`` read, ``kept`` rows written, ``unscored`` rows.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: where a worker was given up for dead and is not, two write the same partition.
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    said, writer = {"rows": 0, "kept": 0, "unscored": 0}, None
    try:
        for at, batch in batches(part, None, rows):
            try:
                new, unscored = change(at, batch)
            except InputError as problem:
                raise InputError(f"In the partition {part.name}, rows {at} to {at + len(batch) - 1}: {problem}") from None
            writer = writer or pq.ParquetWriter(unfinished, new.schema, compression="zstd")
            writer.write_batch(new)
            said = {"rows": said["rows"] + len(batch), "kept": said["kept"] + len(new), "unscored": said["unscored"] + unscored}
        if writer is None:  # a partition without rows
            new, _ = change(0, pa.RecordBatch.from_pylist([], pq.read_schema(part.file)))
            writer = pq.ParquetWriter(unfinished, new.schema, compression="zstd")
        writer.add_key_value_metadata({MADE: json.dumps(said | {"made": made})})
        writer.close()
        os.replace(unfinished, target)
    except BaseException:
        if writer is not None:
            writer.close()
        unfinished.unlink(missing_ok=True)
        raise
    return said


def written(target) -> dict | None:
    """Record of a written partition; None where it is not there."""
    if not Path(target).is_file():
        return None
    try:
        footer = pq.read_metadata(target)
    except (OSError, pa.ArrowException):
        return {"made": "unreadable"}
    said = (footer.metadata or {}).get(MADE)
    return {"made": "elsewhere"} if said is None else json.loads(said) | {"there": footer.num_rows}


def each(jobs: list[tuple], engine: str, operation: str, words: str, take: Callable | None = None) -> list:
    """Answers of ``function(*arguments)`` for each of `jobs`, in their order; all are tried before a failure is raised.

    With `take` nothing is kept: it gets each result as it comes.

    Raises
    ------
    InputError
        A job raised one. The first is shown, with the number of those that failed.
    RuntimeError
        A job failed in another way: a machine went, a disk was full.
    """
    out, failed = [None] * len(jobs), {}
    engines.check(engine, operation, ENGINES)
    with tqdm(total=len(jobs), desc=words, unit="partition", file=sys.stderr, leave=False, delay=1) as bar:

        def done(number, result):
            try:
                if take is None:
                    out[number] = result()
                else:
                    take(result())
            except Exception as problem:
                failed[number] = problem
            bar.update()

        if engine == "here":
            for number, (function, *arguments) in enumerate(jobs):
                done(number, lambda function=function, arguments=arguments: function(*arguments))
        elif jobs:
            with _processes(len(jobs)) if engine == "processes" else engines.dask(engine, operation) as (executor, room, _):
                engines.carry_out(((number, *job) for number, job in enumerate(jobs)), executor, room, done)
    if failed:
        first = failed[min(failed)]
        said = f"{operation}: {len(failed)} of {len(jobs)} partitions failed; a second call does these alone. The first: "
        if isinstance(first, InputError):
            raise InputError(said + str(first)) from None
        raise RuntimeError(said + f"{type(first).__name__}: {first}") from first
    return out


@contextmanager
def _processes(jobs: int):
    workers = process.workers({"cpu"}, jobs)
    with engines.pool(workers.count) as executor:
        yield executor, lambda: 2 * workers.count, workers.words


def carry_out(todo: list[Part], out, settings: dict, job: Callable, engine: str, operation: str, filters: bool = False) -> dict:
    """Write what is missing of the partitions `todo` in the folder `out`, check all, and write ``_manifest.json``; the manifest.

    ``job(part) -> (function, *arguments)`` is computed where the engine says, and writes ``out/part.name``, made by the string
    that :func:`recipe` returns. `filters`: rows may go; else as many have to be there as came in.
    """
    out, sure = Path(out).absolute(), there(todo, out, settings, operation)
    new = not out.is_dir()
    out.mkdir(parents=True, exist_ok=True)
    try:
        each([job(part) for part, done in zip(todo, sure, strict=True) if not done], engine, operation, operation)
    except BaseException:
        for folder in sorted([*out.rglob("*/"), out], reverse=True) if new else ():
            with suppress(OSError):  # a second call goes on with the partitions that are in it
                folder.rmdir()
        raise
    rows = {}
    for part in todo:
        said = written(out / part.name)
        wrong = (
            said is None
            or said["rows"] != part.rows
            or said["kept"] != said["there"]
            or not filters
            and said["there"] != part.rows
        )
        if wrong:
            raise RuntimeError(
                f"{operation}: {part.name} has {part.rows} rows, and what was written of it says {said}; remove "
                f"{out / part.name} and call again."
            )
        rows[part.name] = {name: said[name] for name in ("rows", "kept", "unscored")}
    for left in out.rglob(".*.part"):  # of workers that were killed
        left.unlink(missing_ok=True)
    total = {name: sum(each[name] for each in rows.values()) for name in ("rows", "kept", "unscored")}
    manifest = {"operation": operation, "settings": settings, **total, "partitions": rows}
    unfinished = out / f".manifest.{uuid.uuid4().hex}.part"
    unfinished.write_text(json.dumps(manifest, indent=1))
    os.replace(unfinished, out / "_manifest.json")
    return manifest | {"computed": sure.count(False)}


def there(todo: list[Part], out, settings: dict, operation: str) -> list[bool]:
    """Which of the partitions `todo` are in the folder `out` already; one that was made otherwise is refused."""
    sure = []
    for part in todo:
        said = written(Path(out) / part.name)
        if said is not None and said["made"] != recipe(settings, part):
            raise InputError(
                f"{operation}: {Path(out) / part.name} is there, and was not made from this partition with these settings; "
                "give another folder, or remove this one. Nothing was written."
            )
        sure.append(said is not None)
    return sure


def recipe(settings: dict, part: Part) -> str:
    """Settings and source of a partition, as it says them of itself; the path is left out, a table may be moved."""
    return json.dumps([settings, {k: v for k, v in asdict(part).items() if k != "file"}], sort_keys=True)


def check_output(source, out, operation: str) -> None:
    """Refuse to write a table into itself."""
    source, out = Path(source).absolute().resolve(), Path(out).absolute().resolve()
    if out == source or source in out.parents or out in source.parents:
        raise InputError(
            f"{operation}: the output {out} lies in the table {source}, or the other way round; give a folder of its own."
        )
    if out.exists() and not out.is_dir():
        raise InputError(f"{operation}: the output {out} is a file; give a folder.")
