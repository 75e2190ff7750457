"""Predictions made elsewhere: probabilities in columns of a table, or in an array file beside it."""

import itertools
import json
import os
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np

from datadiet.errors import InputError
from datadiet.scores._checks import ROW_SUM_TOLERANCE
from datadiet.tables.columns import Columns, class_names
from datadiet.tables.labels import Classes, folded, shown_name
from datadiet.tables.table import Table, blank, listed, many, some, way_to_a_number

ARRAYS = (".npy", ".npz")
MOST = 1000  # classes for which other orders of the columns are looked at
FAR = 0.4  # share of the labels by which another order has to agree better, to be refused


def probabilities(table: Table, asked: str, groups: Classes) -> tuple[np.ndarray, str]:
    """Probabilities float64 [rows, K], columns in the order of ``groups.names``, and a sentence on which column is which class.

    Parameters
    ----------
    asked : str
        An array file (.npy, or .npz with one array); or the name of one column of lists of K numbers; or names of columns with
        commas between them; or what names begin and end with and a star between, "p_*" or "*_prob". Where
        names, less what they begin or end with alike, are those of the classes, they say which is which; else their order is that
        of the classes in alphabetical order, or, where these are whole numbers or those of ClassLabel, in the order of the
        numbers if the predictions agree with more labels so.

    Raises
    ------
    InputError
        No such file or column, another number of rows or classes, cells that are no numbers, rows that are no probabilities,
        columns that seem to belong to other classes than they are taken for.
    """
    numbers_of = class_numbers(table, groups)
    if Path(asked).suffix.lower() in ARRAYS:
        names, found = None, fitting(_array(Path(asked)), Path(asked).name, table, groups)
    else:
        names = columns(table.columns, asked, groups.column)
        if not names:
            raise InputError(f"--probs: no column is named as {asked!r} says; the table has {listed(table.columns)}.")
        for name in names:
            if name not in table.columns and Path(name).is_file():
                raise InputError(
                    f"--probs: {name} is a file, and no array ({', '.join(ARRAYS)}): put its columns into the table."
                )
            table.require("--probs", name, "probability ")
        lists = in_lists(table, names[0]) if len(names) == 1 else None
        if lists is not None:
            names, found = None, fitting(lists, repr(names[0]), table, groups)
        elif len(names) == 1 and any(isinstance(cell, dict) for cell in table.cells(names[0])):
            raise InputError(f"--probs: {names[0]!r} holds objects; give a column for each class, or one of lists.")
        elif len(names) != len(groups.names):
            raise InputError(
                f"--probs: {some(len(names), 'column')} ({listed(names, 10) or asked}) for {len(groups.names)} classes "
                f"({listed(groups.names, 10)}); give a column for each class{other_way(names, groups)}."
            )
        else:
            matched = by_name(names, groups.names) or by_name(names, numbers_of)
            if not matched:
                half_named(names, groups.names)
            names = matched or names
            found = np.stack([numbers(table, name) for name in names], 1)
    _whole(table, groups, found, names)
    if names is not None and matched is not None:
        return found, "Columns of probabilities were matched with classes by their names."
    return in_order(found, names, Path(asked).name, groups, numbers_of)


def columns(there, asked: str, label: str | None = None) -> list[str]:
    """Names, among those `there`, of the columns that `asked` means, but for the label; none where it names an array file.

    >>> columns(["id", "p_a", "p_b"], "p_*"), columns(["a_p", "b_p", "p"], "*_p"), columns(["a", "b"], "b, a")
    (['p_a', 'p_b'], ['a_p', 'b_p'], ['b', 'a'])
    """
    if Path(asked).suffix.lower() in ARRAYS:
        return []
    if asked.count("*") == 1 and "," not in asked and asked not in there:
        first, last = asked.split("*")
        found = [name for name in there if name.startswith(first) and name.removeprefix(first).endswith(last)]
        return [name for name in found if name != label]
    names = asked.split(",")
    return [name if name in there else name.strip() for name in names]


def other_way(names, groups: Classes) -> str:
    """Advice where there are fewer or more columns than classes."""
    if len(names) == 1 and len(groups.names) == 2:
        return ", the second one minus the first"
    few = groups.counts.min()
    if len(names) < len(groups.names):
        if 20 * few > groups.counts.sum():
            return ""
        return f", or empty the labels that the model does not know (of {shown_name(groups.names[groups.counts.argmin()])} {few})"
    return ", and leave away those of classes that no row has, the others summing to 1"


def fitting(found: np.ndarray, name: str, table: Table, groups: Classes) -> np.ndarray:
    """The array, if it has a row for each row of the table and a column for each class."""
    if found.shape != (len(table), len(groups.names)):
        raise InputError(
            f"--probs: {name} has shape {found.shape}; the table has {len(table)} rows and {len(groups.names)} classes "
            f"({listed(groups.names, 10)}): give [{len(table)}, {len(groups.names)}]."
        )
    return found


def in_lists(table: Table, name: str) -> np.ndarray | None:
    """A column of lists of numbers, in a text file as JSON has them, as an array [rows, K]; NaN where a cell is empty.

    None where its cells are no lists.
    """
    cells = [None if blank(cell) else as_list(cell, name) for cell in table.cells(name)]
    there = [cell for cell in cells if cell is not None]
    if not there or not all(isinstance(cell, list) for cell in there):
        return None
    lengths = sorted({len(cell) for cell in there})
    if len(lengths) > 1:
        raise InputError(
            f"--probs: lists of {lengths[0]} and of {lengths[-1]} numbers in {name!r}; give a number for each class."
        )
    try:
        return np.array([[np.nan] * lengths[0] if cell is None else cell for cell in cells], np.float64)
    except (TypeError, ValueError) as problem:
        raise InputError(f"--probs: the lists in {name!r} hold more than numbers ({problem}); give numbers.") from None


def as_list(cell, name: str):
    """A cell; a text in square brackets as the list that it is, as pandas writes lists to a text file."""
    if not isinstance(cell, str) or cell.strip()[:1] != "[":
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        raise InputError(
            f"--probs: {name!r} holds {cell[:40]!r}, which is no list as JSON has it; write [0.25, 0.75], or a column for each "
            "class."
        ) from None


def numbers(table: Table, name: str) -> np.ndarray:
    """A column as float64 [rows], NaN where a cell is empty."""
    cells = table.cells(name)
    try:
        return np.array(["nan" if cell in ("", None) else cell for cell in cells], dtype=np.float64)
    except (TypeError, ValueError):
        bad = next(row for row, cell in enumerate(cells) if not _number(cell))
        raise InputError(
            f"--probs: the column {name!r} holds {str(cells[bad])[:40]!r} in {table.where(bad)}; give numbers"
            f"{way_to_a_number(cells[bad])}."
        ) from None


def _whole(table: Table, groups: Classes, found: np.ndarray, names) -> None:
    """Refuse a row with a label whose numbers are no probabilities, by its place in the file."""
    labelled = np.flatnonzero(groups.of >= 0)
    for place in range(found.shape[1]):
        holes = labelled[~np.isfinite(found[labelled, place])]
        if len(holes):
            column = f"column {place + 1}" if names is None else repr(names[place])
            raise InputError(
                f"--probs: {many(len(holes))} a label but no probability in {column} (the first is "
                f"{table.where(int(holes[0]))}); fill the cell, or empty the label, and the row stays without a score."
            )
    sums, least = found[labelled].sum(1), found[labelled].min(1, initial=0)
    if len(sums) and (least >= 0).all() and np.allclose(sums, 100, atol=1.5):
        raise InputError("--probs: the numbers of a row sum to 100, so they are per cent; divide them by 100.")
    bad = np.flatnonzero((least < 0) | (np.abs(sums - 1) > ROW_SUM_TOLERANCE))
    if len(bad):
        seen = f"the sum {sums[bad[0]]:.4g}" + (f" and the least entry {least[bad[0]]:.4g}" if least[bad[0]] < 0 else "")
        raise InputError(
            f"--probs: {many(len(bad))} numbers that are no probabilities (the first is {table.where(int(labelled[bad[0]]))}, "
            f"with {seen}); they have to sum to 1. Take the softmax of logits first, divide rows that were rounded by their "
            "sum, and mend single rows or empty their labels."
        )


def class_numbers(table: Table, groups: Classes) -> list[str]:
    """Numbers of the classes, by the description of ClassLabel, or because their names are whole numbers; else none."""
    described = class_names(table.arrow.schema, groups.column) if isinstance(table, Columns) else None
    if described is not None:
        return [str(described.index(name)) for name in groups.names]
    return list(groups.names) if all(re.fullmatch(r"0|-?[1-9]\d*", name) for name in groups.names) else []


def by_name(names, classes) -> list[str] | None:
    """Columns in the order of the classes, where names, less what they begin or end with alike, are the classes; case may differ.

    >>> by_name(["dog_prob", "cat_prob"], ["cat", "dog"])
    ['cat_prob', 'dog_prob']
    """
    first, last = (len(os.path.commonprefix(each)) for each in (names, [name[::-1] for name in names]))
    for change in (str, folded):
        wanted = [change(each) for each in classes]
        for cut, end in itertools.product(range(first, -1, -1), range(last, -1, -1)):
            middles = [change(name[cut : len(name) - end]) for name in names]
            if len(set(middles)) == len(middles) and set(middles) == set(wanted):
                return [names[middles.index(each)] for each in wanted]
    return None


def half_named(names, classes) -> None:
    """Refuse columns of which some are named as classes and others are not; numbers may be shifted."""
    if all(re.fullmatch(r"[-+]?[\d.]+", each) for each in classes):
        return
    wanted = {folded(each) for each in classes}
    first, last = (len(os.path.commonprefix(each)) for each in (names, [name[::-1] for name in names]))
    for cut, end in itertools.product(range(first + 1), range(last + 1)):
        named = [folded(name[cut : len(name) - end]) in wanted for name in names]
        if any(named) and not all(named):
            bare = [name for name, good in zip(names, named, strict=True) if not good]
            raise InputError(
                f"--probs: some of the columns are named as classes are, but not {listed(bare, 10)}; the classes are "
                f"{listed(classes, 10)}. Give each column the name of its class behind a common beginning such as p_."
            )


def in_order(found: np.ndarray, names, source: str, groups: Classes, numbers_of) -> tuple[np.ndarray, str]:
    """Probabilities whose columns no name matches with classes, and the order that they are taken in, in words."""
    labelled = groups.of >= 0
    given, best = groups.of[labelled], found[labelled].argmax(1)
    order, said = np.arange(len(groups.names)), "in alphabetical order"  # the place among the columns of each class
    if numbers_of:
        by_number = np.argsort(np.argsort([int(number) for number in numbers_of]))
        if (by_number != order).any():
            letters, digits = ((best == places[given]).mean() for places in (order, by_number))
            order = by_number if digits > letters else order
            ways = ("numbers", "letters") if digits > letters else ("letters", "numbers")
            said = (
                f"in the order of their {ways[0]} (so {max(digits, letters):.0%} of the labels are the class of highest "
                f"probability, in that of their {ways[1]} {min(digits, letters):.0%})"
            )
    misplaced(order, given, best, groups.names)
    at = np.argsort(order)
    if names is None:
        return found[:, order], f"Columns of {source} are the classes {said}: {listed([groups.names[c] for c in at], 10)}."
    pairs = [f"{name} is {groups.names[c]}" for name, c in zip(names, at, strict=True)]
    return found[:, order], f"Columns of probabilities were taken as the classes {said}: {listed(pairs, 10)}."


def misplaced(order: np.ndarray, given: np.ndarray, best: np.ndarray, names) -> None:
    """Refuse an order of the columns if the predictions agree with far more labels in another one."""
    from scipy.optimize import linear_sum_assignment

    k, n = len(order), len(given)
    if k > MOST or n < max(30, 5 * k):
        return
    counts = np.zeros((k, k), np.int64)  # of each class, how often each column is the highest
    np.add.at(counts, (given, best), 1)
    places = linear_sum_assignment(-counts)[1]
    as_taken, otherwise = counts[np.arange(k), order].sum() / n, counts[np.arange(k), places].sum() / n
    if otherwise > as_taken + FAR:
        at = np.argsort(places)
        raise InputError(
            f"--probs: taken in this order, the predictions agree with {as_taken:.0%} of the labels; with columns in the order "
            f"{listed([names[c] for c in at], 10)} it would be {otherwise:.0%}. Put the columns into the alphabetical "
            "order of the classes, or give each the name of its class behind a common beginning, such as p_."
        )


def _array(file: Path) -> np.ndarray:
    if not file.is_file():
        raise InputError(f"--probs: there is no file {file}.")
    try:
        with file.open("rb") as stream:
            found, names = np.load(stream, allow_pickle=False), None  # an array of objects could run code
            if isinstance(found, np.lib.npyio.NpzFile):
                names = found.files
                found = found[names[0]] if len(names) == 1 else None
    except (ValueError, OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, MemoryError) as problem:
        raise InputError(f"--probs: {file.name} could not be read as an array of numbers ({one_line(problem)}); "
                         "save it with numpy.save, as numbers [rows, classes].") from None  # fmt: skip
    if found is None:
        raise InputError(f"--probs: {file.name} holds {len(names)} arrays ({', '.join(map(repr, names[:10]))}); give one.")
    if found.dtype.kind not in "fiu":
        raise InputError(f"--probs: {file.name} holds {found.dtype}; give numbers.")
    return found.astype(np.float64)


def one_line(problem: Exception) -> str:
    """What an error of another package says, on one line; its name where it says nothing."""
    return " ".join(str(problem).split()) or type(problem).__name__


def _number(cell) -> bool:
    try:
        return cell in ("", None) or float(cell) is not None
    except (TypeError, ValueError):
        return False
