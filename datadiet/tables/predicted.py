"""Predictions made elsewhere: probabilities in columns of a table, or in an array file beside it."""

from pathlib import Path

import numpy as np

from datadiet.errors import InputError
from datadiet.tables.labels import Classes
from datadiet.tables.table import Table, listed, many, way_to_a_number

ARRAYS = (".npy", ".npz")


def probabilities(table: Table, asked: str, groups: Classes) -> tuple[np.ndarray, str]:
    """Probabilities float64 [rows, K], columns in the order of ``groups.names``, and a sentence on which column is which class.

    Parameters
    ----------
    asked : str
        An array file (.npy, or .npz with one array) whose columns are the classes in alphabetical order; or names of columns with
        commas between them; or a beginning of names and a star, "p_*". Where names, less what they begin with alike, are those of
        the classes, they say which is which; else their order is that of the classes in alphabetical order.

    Raises
    ------
    InputError
        No such file or column, another number of rows or classes, cells that are no numbers.
    """
    classes = len(groups.names)
    if Path(asked).suffix.lower() in ARRAYS:
        found = _array(Path(asked))
        if found.shape != (len(table), classes):
            raise InputError(
                f"--probs: {asked} has shape {found.shape}; the table has {len(table)} rows and {classes} classes "
                f"({listed(groups.names, 10)}): give [{len(table)}, {classes}]."
            )
        return found, f"Columns of {Path(asked).name} are the classes in this order: {listed(groups.names, 10)}."
    names = columns(table, asked)
    if not names:
        raise InputError(f"--probs: no column begins with {asked[:-1]!r}; the table has {listed(table.columns)}.")
    for name in names:
        table.require("--probs", name, "probability ")
    if len(names) != classes:
        raise InputError(
            f"--probs: {len(names)} column{'s' * (len(names) > 1)} ({listed(names, 10) or asked}) for {classes} classes "
            f"({listed(groups.names, 10)}); give a column for each class."
        )
    order, said = _matched(names, groups)
    out = np.empty((len(table), classes))
    for place, name in enumerate(order):
        cells = table.cells(name)
        try:
            out[:, place] = np.array(["nan" if cell in ("", None) else cell for cell in cells], dtype=np.float64)
        except (TypeError, ValueError):
            bad = next(row for row, cell in enumerate(cells) if not _number(cell))
            raise InputError(
                f"--probs: the column {name!r} holds {str(cells[bad])[:40]!r} in {table.where(bad)}; give numbers"
                f"{way_to_a_number(cells[bad])}."
            ) from None
    labelled = groups.of >= 0
    for place, name in enumerate(order):
        holes = np.flatnonzero(labelled & ~np.isfinite(out[:, place]))
        if len(holes):
            first = table.where(int(holes[0]))
            raise InputError(
                f"--probs: {many(len(holes))} a label but no probability in {name!r} (the first is {first}); "
                "fill the cell, or empty the label, and the row stays without a score."
            )
    sums = out[labelled].sum(1)
    if len(sums) and (out[labelled] >= 0).all() and np.allclose(sums, 100, atol=1.5):
        raise InputError("--probs: the numbers of a row sum to 100, so they are per cent; divide them by 100.")
    return out, said


def columns(table: Table, asked: str) -> list[str]:
    """Names of the columns that `asked` means; none where it names an array file."""
    if Path(asked).suffix.lower() in ARRAYS:
        return []
    return [name for name in table.columns if name.startswith(asked[:-1])] if asked.endswith("*") else asked.split(",")


def _matched(names, groups: Classes) -> tuple[list, str]:
    """Columns in the order of the classes, and a sentence."""
    for cut in range(min(map(len, names)), -1, -1):
        if len({name[:cut] for name in names}) == 1 and {name[cut:] for name in names} == set(groups.names):
            by = {name[cut:]: name for name in names}
            return [by[each] for each in groups.names], "Columns of probabilities were matched with classes by their names."
    pairs = [f"{name} is {each}" for name, each in zip(names, groups.names, strict=True)]
    return list(names), f"Columns of probabilities were taken in the order of the classes: {listed(pairs, 10)}."


def _array(file: Path) -> np.ndarray:
    if not file.is_file():
        raise InputError(f"--probs: there is no file {file}.")
    try:
        found = np.load(file, allow_pickle=False)  # an array of objects could run code
    except (ValueError, OSError, EOFError) as problem:
        raise InputError(f"--probs: {file.name} could not be read as an array of numbers: {problem}") from None
    if isinstance(found, np.lib.npyio.NpzFile):
        if len(found.files) != 1:
            raise InputError(f"--probs: {file.name} holds {len(found.files)} arrays ({', '.join(found.files)}); give one.")
        found = found[found.files[0]]
    if found.dtype.kind not in "fiu":
        raise InputError(f"--probs: {file.name} holds {found.dtype}; give numbers.")
    return found.astype(np.float64)


def _number(cell) -> bool:
    try:
        return cell in ("", None) or float(cell) is not None
    except (TypeError, ValueError):
        return False
