"""A table: columns by name, rows in their order. The kinds of file each have their own; all do what is written here."""

import difflib
import math
import re
from pathlib import Path

import numpy as np

from datadiet.errors import InputError
from datadiet.tables import files


class Table:
    """Rows of a file as they were typed.

    Attributes
    ----------
    columns : tuple of str
        Names as typed; a mark at the start of the file (BOM) is no part of a name.
    notes : tuple of str
        Sentences about what was noticed on reading: encoding, separator, blank lines.
    kind : str
        Ending of the files that hold such a table.
    """

    columns: tuple[str, ...]
    notes: tuple[str, ...]
    kind: str

    def __len__(self) -> int:
        raise NotImplementedError

    def cells(self, name: str) -> list:
        """Cells of a column, a row each: str from a text file ("" where empty), else the value (None where there is none)."""
        raise NotImplementedError

    def take(self, positions) -> "Table":
        """The rows at `positions`, whole numbers from 0, in that order."""
        raise NotImplementedError

    def at(self, positions) -> np.ndarray:
        """Positions of rows as int64, refused where they are none: a mask would be read as the rows 0 and 1."""
        found = np.asarray(positions)
        odd = found.ndim != 1 or found.dtype.kind not in "iu" and len(found) > 0
        if odd or len(found) and not 0 <= found.min() <= found.max() < len(self):
            raise InputError(
                f"tables.take: positions of shape {found.shape} and type {found.dtype}; give whole numbers from 0 to "
                f"{len(self) - 1} (of a mask, np.flatnonzero)."
            )
        return found.astype(np.int64)

    def added(self, new: dict) -> "Table":
        """The table with columns of plain Python values, checked by :meth:`with_columns`, at its end."""
        raise NotImplementedError

    def save(self, stream) -> None:
        """Bytes of the file, into an open binary stream."""
        raise NotImplementedError

    def fits(self, ending: str) -> bool:
        """Whether files with that ending hold such a table as it is."""
        raise NotImplementedError

    def where(self, row: int) -> str:
        """Name of a row for a message: rows count from 1, below the names."""
        return f"row {row + 1}"

    def require(self, operation: str, name: str, kind: str = "") -> None:
        """Refuse a name that no column has, or several."""
        if name not in self.columns:
            near = difflib.get_close_matches(name, self.columns, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            whole = len(self.columns) == 1 and name in self.columns[0]  # all names in one
            way = " Its names stand behind each other: name their separator with --sep." if whole else wrapped(self)
            raise InputError(f"{operation}: there is no {kind}column {name!r}; {hint}the table has {listed(self.columns)}.{way}")
        if self.columns.count(name) > 1:
            raise InputError(
                f"{operation}: {self.columns.count(name)} columns are named {name!r}, so the {kind}column is not "
                f"known; rename one of them in the first line. The table has {listed(self.columns)}."
            )

    def refuse_taken(self, names) -> None:
        """Refuse new columns whose names are taken; to be called before the work whose result they hold."""
        taken = [name for name in names if name in self.columns]
        if taken:
            raise InputError(
                f"tables: the table has a column {taken[0]!r} already, and no column is overwritten; give the table "
                "without it, or rename it."
            )

    def with_columns(self, new: dict) -> "Table":
        """The table with new columns at its end.

        Parameters
        ----------
        new : dict of sequences
            Name -> a value a row: numbers, strings, None. None, NaN and NA are an empty cell, or null.

        Raises
        ------
        InputError
            A name that the table has already, or another number of values than rows.
        """
        self.refuse_taken(new)
        for name, values in new.items():
            if len(values) != len(self):
                raise InputError(
                    f"tables: the new column {name!r} has {len(values)} values for {len(self)} rows; give one a row."
                )
        return self.added({name: [plain(value) for value in values] for name, values in new.items()})

    def write(self, file, force: bool = False) -> None:
        """The table to a file of the kind that was read; whole or not at all.

        Raises
        ------
        InputError
            The file ends as another kind does (:func:`datadiet.tables.like` converts), it is there already and `force` is not
            given, or it cannot be written.
        """
        ending = files.known("tables.write", Path(file))
        if not self.fits(ending):
            raise InputError(
                f"tables.write: a table of a {self.kind} file is not written as {ending}; convert it with tables.like."
            )
        with files.whole(file, force) as stream:
            self.save(stream)


def wrapped(table: Table) -> str:
    """A sentence where the one object of a file holds a whole table: its columns, or its rows under a key; else empty."""
    if len(table) != 1 or table.kind not in files.LINES:
        return ""
    only = {name: table.cells(name)[0] for name in table.columns}
    for key, value in only.items():
        if isinstance(value, list) and len(value) > 1 and all(isinstance(each, dict) for each in value):
            return (
                f" The file is one JSON object, with {len(value)} objects in a list under {key!r}; if these are the rows, write "
                "that list alone."
            )
    values = list(only.values())
    if {type(value) for value in values} in ({dict}, {list}) and len({len(value) for value in values}) == 1 < len(values[0]):
        return (
            " The file is one JSON object that holds columns, not an object for each row; write it by rows (of pandas: "
            "to_json(file, orient='records', lines=True))."
        )
    return ""


def texts(table: Table, name: str, kind: str = "text ") -> list:
    """Cells of a column as texts, None where there is none; a number is the text that was typed, or that Python writes.

    Raises
    ------
    InputError
        No such column, or cells that hold lists or objects.
    """
    table.require("tables.texts", name, kind)
    cells = table.cells(name)
    for row, cell in enumerate(cells):
        if isinstance(cell, list | dict | tuple | bytes):
            raise InputError(
                f"tables.texts: the {kind}column {name!r} holds a {type(cell).__name__} in {table.where(row)} "
                f"({str(cell)[:60]}); give a column of texts."
            )
    return [None if blank(cell) else whole(cell if isinstance(cell, str) else str(cell)) for cell in cells]


def whole(text: str) -> str:
    r"""A text that every encoder reads: half a character, which JSON can hold and UTF-8 cannot, is a mark for an unknown one.

    >>> whole("caf\u00e9"), whole("\ud83d!")
    ('café', '�!')
    """
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def listed(names, most: int = 30) -> str:
    """Names in a message; those with blanks around them show them.

    >>> listed(["text", " label"])
    "text, ' label'"
    """
    shown = [name if name and name == name.strip() and name.isprintable() else repr(name) for name in map(str, names)]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


def many(n: int) -> str:
    """Rows as the subject of a sentence.

    >>> many(1), many(2)
    ('1 row has', '2 rows have')
    """
    return f"{n} row{' has' if n == 1 else 's have'}"


def some(n: int, word: str) -> str:
    """A number and its noun.

    >>> some(1, "cell"), some(2, "cell")
    ('1 cell', '2 cells')
    """
    return f"{n} {word}{'s' if n != 1 else ''}"


def way_to_a_number(cell) -> str:
    """Advice for a cell that is no number but nearly one, to be put behind a message; empty for others.

    >>> way_to_a_number("0,25"), way_to_a_number("90%"), way_to_a_number("x")
    (', with a point for the decimal comma', ', a share of 1 for per cent', '')
    """
    cell = str(cell).strip()
    if re.fullmatch(r"[-+]?\d*,\d+", cell):
        return ", with a point for the decimal comma"
    return ", a share of 1 for per cent" if re.fullmatch(r"[-+]?[\d.,]+\s*%", cell) else ""


def per_cent(option: str, value: float) -> str:
    """The share that a number of per cent is, to be put behind a message; empty for other numbers.

    >>> per_cent("--keep", 70.0), per_cent("--keep", 700.0)
    ('; 70 % is --keep 0.7', '')
    """
    return f"; {value:g} % is {option} {value / 100:g}" if 5 <= value <= 100 else ""


def plain(value):
    """A value of a new column as Python's own; NaN and the NA of pandas are None.

    >>> plain(np.float64(0.5)), plain(np.nan), plain(np.int64(3)), plain(np.str_("a"))
    (0.5, None, 3, 'a')
    """
    if isinstance(value, np.generic):
        value = value.item()
    if type(value).__name__ in ("NAType", "NaTType"):  # of pandas, which is not loaded for this
        return None
    return None if isinstance(value, float) and math.isnan(value) else value


def simple_values(new: dict) -> None:
    """Refuse new columns whose values a text file has no one form for: lists, dates, tensors."""
    for name, values in new.items():
        for value in values:
            if not isinstance(value, str | int | float | bool | None):
                raise InputError(f"tables: the new column {name!r} holds {type(value).__name__}; give numbers, strings or None.")


def blank(value) -> bool:
    """Whether a cell holds nothing: no value, NaN, or only white space. Words such as NA and None are words.

    >>> [blank(value) for value in ("", "  ", None, float("nan"), "NA", 0, False)]
    [True, True, True, True, False, False, False]
    """
    return value is None or isinstance(value, float) and math.isnan(value) or isinstance(value, str) and not value.strip()
