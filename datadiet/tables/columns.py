"""Tables in Parquet files: types, order, metadata (the index of pandas among them) stay as they are; columns are appended.

Columns of ``ClassLabel``, of ``datasets``, show the names of their classes; the numbers in the file stay.
"""

import copy
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from datadiet.errors import InputError
from datadiet.tables import files
from datadiet.tables.table import Table

PLAIN = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}  # types without rows to take -> those with


class Columns(Table):
    """A table of a Parquet file, or of anything that gives an Arrow table.

    Attributes
    ----------
    arrow : pyarrow.Table
    """

    kind = ".parquet"

    def __init__(self, arrow: pa.Table, notes=()):
        self.arrow, self.notes = arrow, tuple(notes)
        self.columns = tuple(arrow.column_names)

    def __len__(self):
        return self.arrow.num_rows

    def cells(self, name):
        self.require("tables.cells", name)
        try:
            found = self.arrow.column(name).to_pylist()
        except (ValueError, OverflowError, pa.ArrowException) as problem:  # a time finer than Python has, text that is not UTF-8
            raise InputError(f"tables.cells: the column {name!r} cannot be read as Python values: {problem}.") from None
        names = class_names(self.arrow.schema, name)
        return found if names is None else [class_name(value, names, name) for value in found]

    def take(self, positions):
        positions = self.at(positions)
        out = copy.copy(self)
        out.arrow = selected(with_range(self.arrow), positions)
        out.columns = tuple(out.arrow.column_names)
        return out

    def added(self, new):
        table = self.arrow
        for name, values in new.items():
            try:
                table = table.append_column(name, pa.array(values))
            except (pa.ArrowException, ValueError, TypeError) as problem:
                raise InputError(f"tables: the new column {name!r} has no one type: {problem}.") from None
        out = copy.copy(self)
        out.arrow, out.columns = table, tuple(table.column_names)
        return out

    def fits(self, ending):
        return ending == ".parquet"

    def save(self, stream):
        pq.write_table(self.arrow, stream)


def with_range(arrow, first: int = 0):
    """The table (or batch) with an index of pandas that is a range, and not the usual one from 0, as a column: a part of it is no
    range. `first` is the position of its first row in the table that the range is of."""
    try:
        about = json.loads(arrow.schema.metadata[b"pandas"])
        (index,) = about["index_columns"]
        start, step, name = index["start"], index["step"], index["name"]
        column = name or "__index_level_0__"
        if (start, step, name) == (0, 1, None) or column in arrow.column_names:
            return arrow
        values = pa.array(start + step * np.arange(first, first + arrow.num_rows))
        about["index_columns"] = [column]
        about["columns"].append(
            {"name": name, "field_name": column, "pandas_type": "int64", "numpy_type": "int64", "metadata": None}
        )
        metadata = arrow.schema.metadata | {b"pandas": json.dumps(about).encode()}
        return arrow.append_column(column, values).replace_schema_metadata(metadata)
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError, pa.ArrowException):  # no index that pandas wrote
        return arrow


def selected(arrow, rows):
    """Rows of a table (or batch): those at positions, or those that a mask of booleans names.

    Arrow cannot take rows of views (``string_view``), so those go through plain texts and back.

    >>> selected(pa.table({"a": pa.array(["x", "y"], pa.string_view())}), np.array([False, True]))["a"].to_pylist()
    ['y']
    """
    rows, plain = pa.array(rows), pa.schema([field.with_type(PLAIN.get(field.type, field.type)) for field in arrow.schema])
    through = arrow if plain.equals(arrow.schema) else arrow.cast(plain)
    out = through.filter(rows) if pa.types.is_boolean(rows.type) else through.take(rows)
    return out if through is arrow else out.cast(arrow.schema)


def plain_column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column of a batch, to compute with: no views; of ClassLabel the names of the classes, null for a number below 0.

    The same as :func:`class_name` of each cell.
    """
    found, names = batch[name], class_names(batch.schema, name)
    if names is None or not pa.types.is_integer(found.type):
        return found.cast(PLAIN.get(found.type, found.type))
    odd = found.filter(pc.greater_equal(found, len(names))).drop_null()
    if len(odd):
        class_name(odd[0].as_py(), names, name)  # says what is wrong
    return pa.array(names, pa.string()).take(pc.if_else(pc.less(found, 0), pa.scalar(None, found.type), found))


def class_names(schema: pa.Schema, name: str) -> list[str] | None:
    """Names of the classes of a column that ``datasets`` wrote as ClassLabel, or as lists of them; the file has their numbers."""
    try:
        feature = json.loads(schema.metadata[b"huggingface"])["info"]["features"][name]
        while "feature" in feature:
            feature = feature["feature"]
        return list(map(str, feature["names"])) if feature["_type"] == "ClassLabel" else None
    except (TypeError, KeyError, ValueError):
        return None


def class_name(value, names: list[str], column: str):
    """The name of a class, or of each in a list; none for a number below 0, which is no label.

    >>> class_name([0, 1, -1], ["no", "yes"], "label")
    ['no', 'yes', None]
    """
    if isinstance(value, list):
        return [class_name(each, names, column) for each in value]
    if value is None or isinstance(value, int) and value < 0:
        return None
    if not isinstance(value, int) or value >= len(names):
        raise InputError(
            f"tables.cells: the column {column!r} holds {value!r}, and its {len(names)} classes have the numbers 0 to "
            f"{len(names) - 1}; write the file again."
        )
    return names[value]


def read(file) -> Columns:
    """A table from a .parquet file."""
    try:
        whole = pq.ParquetFile(pa.BufferReader(files.content(file))).read()  # read_table refuses two columns of one name
        table = Columns(whole)  # names that were damaged may not be UTF-8
    except (pa.ArrowException, OSError, ValueError) as problem:
        raise InputError(f"tables.read: {file.name} could not be read as Parquet: {problem}.") from None
    if not len(table) or not table.columns:
        raise InputError(f"tables.read: {file.name} holds no rows.")
    return table
