"""A table as one of another kind of file: done before any work, so that cells that do not fit are found then."""

import datetime
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa

from datadiet.errors import InputError
from datadiet.tables import charset, files, text
from datadiet.tables.columns import Columns, with_range
from datadiet.tables.lines import Lines
from datadiet.tables.table import Table


def like(table: Table, file) -> Table:
    """`table` itself where `file` ends as files of its kind do, else a new one with its cells.

    Cells of text files stay text (``00012`` is no number in Parquet either). In a text file, what is neither text nor a
    number stands as JSON has it.

    Raises
    ------
    InputError
        Two columns of one name, cells that have no common type (Parquet) or no form in JSON.
    """
    ending = files.ending(file)[0]
    if not table.fits(ending):
        ending = files.known("tables.write", Path(file))
    if table.fits(ending):
        return table
    if isinstance(table, Columns):  # an index of pandas that is a range stands beside the columns
        table = Columns(with_range(table.arrow), table.notes)
    twice = [name for name in table.columns if table.columns.count(name) > 1]
    if twice:
        raise InputError(
            f"tables.write: two columns are named {twice[0]!r}, which a {ending} file cannot hold from here; "
            f"rename one, or write the same kind of file."
        )
    columns = {name: shortest(table, name) for name in table.columns}
    if ending in files.TEXT:
        return as_text(columns, ending)
    if ending in files.LINES:
        return as_lines(columns, ending)
    out = {}
    for name, cells in columns.items():
        try:
            out[name] = pa.array(cells)
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as problem:
            raise InputError(
                f"tables.write: the cells of {name!r} have no one type, as a Parquet file needs ({problem}); "
                f"write a {table.kind} file."
            ) from None
    return Columns(pa.table(out))


def shortest(table: Table, name: str) -> list:
    """Cells of a column; numbers of 16 and 32 bits with the digits that tell them from their neighbours, as one typed them."""
    cells = table.cells(name)
    kind = table.arrow.schema.field(name).type if isinstance(table, Columns) else None
    few = np.float16 if kind == pa.float16() else np.float32 if kind == pa.float32() else None
    return cells if few is None else [cell if cell is None else float(str(few(cell))) for cell in cells]


def as_text(columns: dict, ending: str) -> text.Text:
    """Cells in a text file with quotes where they are needed."""
    sep = files.TEXT[ending]
    rows = zip(*([typed(name, cell) for cell in cells] for name, cells in columns.items()), strict=True)
    alone, letter = len(columns) == 1, sep.decode()
    lines = [letter.join([quoted(cell, letter, alone) for cell in row]) for row in [tuple(columns), *rows]]
    out = text.Text()
    try:
        out.data = "\n".join([*lines, ""]).encode("utf-8")
    except UnicodeEncodeError as problem:
        raise InputError(f"tables.write: a cell holds {problem.object[problem.start]!r}, which no text file can hold.") from None
    out.kind, out.charset, out.new, out.notes, out.sep = ending, charset.Charset(), {}, (), sep
    text.parse(out, "the table", 0, b"\n", True, [])
    return out


def quoted(cell: str, sep: str, alone: bool = False) -> str:
    """A cell with quotes around it where it needs them; one that is `alone` in its line and empty would be a blank line.

    >>> quoted("a, b", ","), quoted(" a", ","), quoted("", ",", alone=True), quoted("", ",")
    ('"a, b"', '" a"', '""', '')
    """
    needs = alone and not cell or cell != cell.strip() or any(letter in cell for letter in (sep, '"', "\r", "\n"))
    return '"' + cell.replace('"', '""') + '"' if needs else cell


def typed(name: str, value) -> str:
    """A value as a cell of a text file."""
    if value is None or isinstance(value, float) and math.isnan(value):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat(*([" "] if isinstance(value, datetime.datetime) else []))
    if isinstance(value, dict | list | bool):
        return as_json(name, value)
    if isinstance(value, bytes):
        raise InputError(
            f"tables.write: the column {name!r} holds bytes, which have no form in a text file; write a .parquet file."
        )
    return str(value)


def as_json(name: str, value) -> str:
    """A value as JSON; dates are texts, an infinity is Infinity as in new columns; bytes and the like have no form there."""
    if isinstance(value, float) and math.isinf(value):
        return json.dumps(value)
    try:
        return json.dumps(None if isinstance(value, float) and math.isnan(value) else value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        if isinstance(value, datetime.datetime | datetime.date | datetime.time):
            return json.dumps(value.isoformat())
        raise InputError(
            f"tables.write: the column {name!r} holds {type(value).__name__} values that JSON has no form for; "
            f"write a .parquet file."
        ) from None


def as_lines(columns: dict, ending: str) -> Lines:
    """Cells as JSON objects."""
    keys = [json.dumps(name, ensure_ascii=False) for name in columns]
    out = Lines()
    out.rows = [
        "{" + ", ".join(f"{key}: {as_json(name, cell)}" for key, name, cell in zip(keys, columns, row, strict=True)) + "}"
        for row in zip(*columns.values(), strict=True)
    ]
    try:
        out.rows = [row.encode("utf-8") for row in out.rows]
    except UnicodeEncodeError:
        raise InputError(
            "tables.write: a cell holds half a character, which UTF-8 cannot hold; write another kind of file."
        ) from None
    out.lines = list(range(1, len(out.rows) + 1))
    out.head, out.usual_gap, out.tail = (b"[\n", b",\n", b"\n]\n") if ending == ".json" else (b"", b"\n", b"\n")
    out.in_array = ending == ".json"
    out.gaps = [out.usual_gap] * len(out.rows)
    out.kind, out.charset, out.new, out.notes, out.columns = ending, charset.Charset(), {}, (), tuple(columns)
    return out
