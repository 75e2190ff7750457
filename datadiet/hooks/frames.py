"""pandas and datasets: a table in, a table of the same kind out, rows in their order, ids and index as they were.

    frame = with_scores(frame, {"el2n": values})
    frame = pruned(frame, "el2n", 0.9, "easiest")
"""

from collections.abc import Mapping

import numpy as np

from datadiet import prune
from datadiet.errors import InputError
from datadiet.scores._checks import as_array, in_order


def _columns(table, where: str):
    """Names of the columns of a DataFrame, or of a Dataset of the library datasets."""
    if hasattr(table, "add_column") and hasattr(table, "with_format") and hasattr(table, "__len__"):
        return table.column_names
    if hasattr(table, "iloc") and hasattr(table, "columns"):
        return table.columns  # of two levels and more: a name of the first is among them, too
    raise InputError(f"{where}: a table of type {type(table).__name__}; give a pandas.DataFrame or a datasets.Dataset (one split "
                     "of a DatasetDict; an iterable one read into memory first).")


def with_scores(table, scores: dict):
    """The table with a column more for each of `scores` (name -> values [n], in the order of the rows); the given table stays.

    Raises
    ------
    InputError
        Another kind of table, a column that is there already, values of another number, a Series whose index has rows of the
        table, but others too or in another order.

    Examples
    --------
    >>> import pandas as pd
    >>> with_scores(pd.DataFrame({"text": ["one", "two"]}, index=[7, 3]), {"el2n": [0.5, 0.25]})
      text  el2n
    7  one  0.50
    3  two  0.25
    """
    there = _columns(table, "hooks.with_scores")
    if not isinstance(scores, Mapping):
        raise InputError(f"hooks.with_scores: scores are of type {type(scores).__name__}; give a dictionary, name -> values [n].")
    for name, values in scores.items():
        if name in there:
            raise InputError(f"hooks.with_scores: the table has a column {name!r} already; rename the score, or drop the column.")
        values = in_order("hooks.with_scores", repr(name), values, table, "the table", part=True)
        seen = as_array("hooks.with_scores", repr(name), values)
        if seen.shape != (len(table),):
            raise InputError(f"hooks.with_scores: {name!r} has shape {seen.shape} and the table {len(table)} rows; give "
                             "one value for each row.")
    if hasattr(table, "iloc"):
        out = table.copy()
        for name, values in scores.items():  # one by one: among names of two kinds of numbers pandas makes one kind of both
            column = type(table)({0: np.asarray(values)}, index=table.index)[0].array
            below = [""] * (table.columns.nlevels - 1)  # of columns of several levels, `name` is that of the first
            out[(name, *below) if below and not isinstance(name, tuple) else name] = column
        return out
    for name, values in scores.items():
        if not isinstance(name, str):
            raise InputError(f"hooks.with_scores: columns of a Dataset are named by strings; {name!r:.60} is none.")
        try:
            table = table.add_column(name, np.asarray(values))
        except (TypeError, ValueError, OverflowError, NotImplementedError, RuntimeError) as problem:  # Arrow has several of these
            raise InputError(f"hooks.with_scores: {name!r:.60} cannot be a column of a Dataset ({problem}); give a number "
                             "for each row.") from None
    return table


def pruned(table, scores, fraction: float, rule: str = "hardest", offset: float = 0.0, labels=None, seed: int = 0):
    """The rows that :func:`datadiet.prune.keep` keeps, in their order, as a table of the same kind.

    Parameters
    ----------
    scores, labels : str or array [n]
        A column of the table by its name, or values; with `labels` every class keeps the same fraction.
    fraction, rule, offset, seed
        As in :func:`datadiet.prune.keep`.

    Examples
    --------
    >>> import pandas as pd
    >>> pruned(pd.DataFrame({"text": ["one", "two", "six"], "el2n": [0.5, 0.25, 1.0]}), "el2n", 2 / 3, "easiest")
      text  el2n
    0  one  0.50
    1  two  0.25
    """
    there = _columns(table, "hooks.pruned")

    def values(given):
        if isinstance(given, str) and given not in there:
            raise InputError(f"hooks.pruned: the table has no column {given!r}; it has {', '.join(map(str, there))}.")
        raw = table.with_format(None) if hasattr(table, "with_format") else table  # a format may hide columns
        if isinstance(given, str):
            return np.asarray(raw[given][:])
        return in_order("hooks.pruned", "a given value", given, table, "the table", part=True)

    kept = prune.keep(values(scores), fraction, rule, offset, None if labels is None else values(labels), seed)
    if kept[-1] >= len(table) or len(values(scores)) != len(table):
        raise InputError(f"hooks.pruned: {len(values(scores))} scores for a table of {len(table)} rows; give one for each row.")
    return table.iloc[kept] if hasattr(table, "iloc") else table.select(kept)
