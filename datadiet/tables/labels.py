"""Labels of a table as classes, as they were typed: ``01`` is not ``1``, and the words NA and None are classes."""

import json
import re
import unicodedata
from dataclasses import dataclass

import numpy as np

from datadiet.errors import InputError
from datadiet.tables.table import Table, blank, many, wrapped

MANY = 50  # classes beyond which fewer than ten rows a class are remarked upon
SHOWN = 20
EMPTY_WORDS = ("na", "n/a", "none", "null", "nan", "nil", "-", "?")


@dataclass(frozen=True)
class Classes:
    """Classes of the rows of a table.

    Attributes
    ----------
    column : str
    names : tuple of str
        In alphabetical order.
    of : int64 array [rows]
        Class of each row; -1 where it has no label.
    counts : int64 array [classes]
    warnings : tuple of str
        Sentences on names and counts that look like mistakes.
    """

    column: str
    names: tuple[str, ...]
    of: np.ndarray
    counts: np.ndarray
    warnings: tuple[str, ...]

    def __str__(self):
        order = np.argsort(-self.counts, kind="stable")
        shown = ", ".join(f"{shown_name(self.names[c])} {self.counts[c]}" for c in order[:SHOWN])
        more = f" and {len(order) - SHOWN} more" if len(order) > SHOWN else ""
        none = int((self.of < 0).sum())
        empty = f"; {many(none)} no label" if none else ""
        return f"{len(order)} class{'es' if len(order) > 1 else ''} in {self.column!r}: {shown}{more}{empty}."


def shown_name(name: str) -> str:
    """A name for a message: in quotes where one would not see it as it is, and never longer than a line."""
    name = name if len(name) <= 60 else name[:59] + "…"
    return name if name and name.isprintable() and name == " ".join(name.split()) and "," not in name else repr(name)


def named(value) -> str:
    """Name of a label that is no text: as JSON writes it.

    >>> named(True), named(1), named(1.0)
    ('true', '1', '1.0')
    """
    return json.dumps(value) if isinstance(value, bool | int | float) else str(value)


def classes(table: Table, column: str) -> Classes:
    """Classes of `column`: a name each for what was typed. A blank cell, null and NaN are no label.

    Raises
    ------
    InputError
        No such column, or several of that name; cells that hold lists or objects.
    """
    table.require("tables.classes", column, "label ")
    cells = table.cells(column)
    for row, cell in enumerate(cells):
        if isinstance(cell, list | dict | tuple | set | bytes):
            raise InputError(
                f"tables.classes: the label column {column!r} holds a {type(cell).__name__} in {table.where(row)} "
                f"({str(cell)[:60]}); a row has one class here. Give a column with one label a row."
                f"{wrapped(table)}"
            )
    kept = [None if blank(cell) else cell for cell in cells]
    texts = {cell for cell in kept if isinstance(cell, str)}
    in_brackets = [cell for cell in texts if re.fullmatch(r"\s*[\[({].*,.*[\])}]\s*", cell, re.S)]
    if texts and 2 * len(in_brackets) > len(texts):
        raise InputError(
            f"tables.classes: the label column {column!r} holds lists written as text, such as "
            f"{min(in_brackets)[:60]!r}; a row has one class here. Give a column with one label a row."
        )
    names = {}
    for cell in kept:
        if cell is not None and (type(cell), cell) not in names:
            name = cell if isinstance(cell, str) else named(cell)
            names[type(cell), cell] = name if isinstance(cell, str) or name not in texts else f"{name} ({type(cell).__name__})"
    every = tuple(sorted(set(names.values())))
    if not every:
        raise InputError(
            f"tables.classes: the label column {column!r} is empty in all {len(table)} rows; name the right column with --label."
        )
    place = {name: c for c, name in enumerate(every)}
    of = np.array([-1 if cell is None else place[names[type(cell), cell]] for cell in kept], np.int64)
    counts = np.bincount(of[of >= 0], minlength=len(every))
    typed = [name for (kind, cell), name in names.items() if kind is not str and name != named(cell)]
    said = [
        f"{', '.join(map(repr, typed[:5]))}: the same letters are there as a text and as a number or truth value, and are kept "
        "apart. Where they are one, write them alike."
    ] if typed else []  # fmt: skip
    return Classes(column, every, of, counts, tuple(said + warnings(every, counts)))


def folded(name: str) -> str:
    """A name without what people do not see: blanks, case, forms of a letter, zeros in front or behind the point.

    >>> folded(" Billing\\u00a0Info"), folded("01") == folded("1.0")
    ('billinginfo', True)
    """
    name = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) not in ("Cf", "Cc"))
    name = re.sub(r"\s+", "", name.casefold())
    return re.sub(r"^0+(?=\d)|(?<=\d)\.0+$", "", name)


def warnings(names: tuple[str, ...], counts: np.ndarray) -> list[str]:
    """Sentences on names and counts that look like mistakes."""
    out, alike = [], {}
    for name in names:
        alike.setdefault(folded(name), []).append(name)
    groups = [group for group in alike.values() if len(group) > 1]
    if groups:
        shown = "; ".join(" and ".join(map(repr, group[:4])) for group in groups[:5])
        more = f" (and {len(groups) - 5} more such groups)" if len(groups) > 5 else ""
        out.append(
            f"Classes that differ only in blanks, case, form of letters or zeros are kept apart: {shown}{more}. Where "
            f"they are one, write them alike."
        )
    single = [name for name, count in zip(names, counts, strict=True) if count == 1]
    if single:
        shown = ", ".join(map(shown_name, single[:5])) + (f" and {len(single) - 5} more" if len(single) > 5 else "")
        out.append(
            f"{len(single)} class{'es have' if len(single) > 1 else ' has'} one row only ({shown}): such a row cannot "
            f"be told from a mistake."
        )
    words = [name for name in names if name.strip().casefold() in EMPTY_WORDS]
    if words:
        out.append(
            f"{', '.join(map(repr, words))} {'are classes' if len(words) > 1 else 'is a class'} like any other here; "
            f"leave the cell empty where it means that there is no label."
        )
    n = int(counts.sum())
    if len(names) > MANY and 10 * len(names) > n or len(names) > max(2, n // 2):
        out.append(
            f"{len(names)} classes in {n} rows with a label are many: is {n / len(names):.1f} rows a class what the column holds?"
        )
    known = set(names)
    parts = [
        name for name in names if any(all(part.strip() in known for part in name.split(sep)) for sep in ",;|+" if sep in name)
    ]
    parts = parts or combined(names)
    if parts:
        out.append(
            f"{', '.join(map(repr, parts[:3]))} look like several labels in one cell; each such cell is a class of its own here."
        )
    return out


def combined(names: tuple[str, ...]) -> list[str]:
    """Names that are put together out of fewer words than there are such names.

    >>> combined(("a|b", "a|c", "b|c", "none")), combined(("Lima, PE", "Cusco, PE", "Quito, EC"))
    (['a|b', 'a|c', 'b|c'], [])
    """
    for sep in ",;|+":
        joined = [name for name in names if sep in name.strip(sep)]
        words = {word.strip() for name in joined for word in name.split(sep)}
        if len(joined) > 2 and len(words) <= len(joined):
            return joined
    return []
