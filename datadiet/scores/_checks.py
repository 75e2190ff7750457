"""Checks that every score makes of its arrays; each raises InputError: "scores.NAME: the fault; the remedy"."""

import numpy as np

from datadiet.errors import InputError

# bfloat16 rounds a probability by up to 2**-8 of itself, so a row may miss 1 by 0.0039; float32 rows miss it by 1e-6.
ROW_SUM_TOLERANCE = 4e-3
KINDS = {"fiu": "real numbers", "iu": "integers", "b": "booleans"}  # numpy's dtype.kind -> how to say it


def as_array(where: str, what: str, values) -> np.ndarray:
    """`values` as numpy has them; `where` is "room.function"."""
    try:
        seen = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as problem:  # ragged; a tensor in bfloat16, on a GPU, with a grad
        raise InputError(f"{where}: {what} cannot be read as an array ({problem}); give a rectangular array of "
                         "numbers (a torch tensor as .detach().float().cpu()).") from None
    if seen.dtype.kind == "U" and isinstance(values, list | tuple):  # of a list, numpy writes out whatever stands beside strings
        odd = [each for each in np.asarray(values, object).ravel().tolist() if not isinstance(each, str)]
        if odd:
            raise InputError(f"{where}: {what} of shape {seen.shape} has {odd[0]!r:.60} among strings, {len(odd)} of {seen.size} "
                             "are none; give all as strings or all as numbers, and leave out rows where one is missing.")
    return seen


def in_order(where: str, what: str, values, rows, of: str, part: bool = False):
    """`values`, refused where its index (of pandas) has the rows of `rows` in another order; with `part`, also some of them."""
    index, there = getattr(values, "index", None), getattr(rows, "index", None)
    if not hasattr(index, "equals") or not hasattr(there, "equals") or len(index) != len(there) or index.equals(there):
        return values
    found = index.isin(there)
    if found.all() or (part and found.any()):
        seen = f"the rows of {of} in another order" if found.all() else f"{found.sum()} of the {len(there)} rows of {of}"
        raise InputError(f"{where}: {what} is a {type(values).__name__} whose index has {seen}; give it in their order, with "
                         ".loc, or by position, .to_numpy().")
    return values


def array(name: str, what: str, values, axes: dict[int, str], kinds: str = "fiu", finite: bool = True) -> np.ndarray:
    """`values` as an array, finite and not empty, of a rank named in `axes` (rank -> how its shape is written).

    `finite` False leaves it to the caller to look for NaN.
    """
    seen = as_array(f"scores.{name}", what, values)
    expected = " or ".join(axes.values())
    if seen.ndim not in axes:
        raise InputError(f"scores.{name}: {what} has shape {seen.shape}; it must be {expected}.")
    if 0 in seen.shape:
        raise InputError(f"scores.{name}: {what} of shape {seen.shape} is empty; it must be {expected}, with at "
                         "least one of each.")
    if seen.dtype.kind not in kinds:
        raise InputError(f"scores.{name}: {what} of shape {seen.shape} has type {seen.dtype}; give {KINDS[kinds]}.")
    if finite and seen.dtype.kind == "f" and not np.isfinite(seen).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(seen))[0])
        raise InputError(f"scores.{name}: {what} of shape {seen.shape} is {seen[where]} at {where}; every entry must "
                         "be finite: look for a model that diverged, or drop the example.")
    return seen


def labelled(name: str, what: str, values, axes: dict[int, str], labels=None, *, entries: str = "probabilities",
             labels_are: str = "labels"):
    """Predictions whose last two axes are [N, K], and their labels as int64 [N] (None where none are given).

    `entries`: "probabilities", "finite", or "unseen" where the caller looks at them.
    """
    in_order(f"scores.{name}", labels_are, labels, values, what)
    rows = array(name, what, values, axes, finite=entries == "finite")
    n, k = rows.shape[-2:]
    if k < 2:
        raise InputError(f"scores.{name}: {what} has shape {rows.shape}, a single class; scores need K >= 2: give a "
                         "binary task both columns, [1 - p, p].")
    if entries == "probabilities":
        probabilities(name, what, rows, axes)
    if labels is None:
        return rows, None
    labels = array(name, labels_are, labels, {1: "[N]"}, "iu")
    if len(labels) != n:
        raise InputError(f"scores.{name}: {labels_are} has shape {labels.shape} but {what} {rows.shape}, which is {n} "
                         "examples; give one label for each.")
    if labels.min() < 0 or labels.max() >= k:
        outside = np.flatnonzero((labels < 0) | (labels >= k))
        raise InputError(f"scores.{name}: {labels_are} of shape {labels.shape} is {labels[outside[0]]} at {outside[0]} "
                         f"but {what} {rows.shape} has {k} classes; number them from 0 to {k - 1}.")
    return rows, labels.astype(np.int64, copy=False)


def probabilities(name: str, what: str, rows: np.ndarray, axes: dict[int, str]) -> None:
    """Refuse rows that are none: the first of them, its sum and its least entry."""
    array(name, what, rows, axes)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = rows.sum(-1, dtype=np.float64)
    off = np.argwhere((abs(sums - 1) > ROW_SUM_TOLERANCE) | (rows < 0).any(-1))
    if len(off):
        where = tuple(int(i) for i in off[0])
        raise InputError(f"scores.{name}: {what} of shape {rows.shape} holds no probabilities: row {where} has sum "
                         f"{sums[where]:.6g} and least entry {rows[where].min():.6g}; rows must be >= 0 and sum to "
                         f"1 within {ROW_SUM_TOLERANCE:g}: apply softmax to logits first.")


def choice(name: str, what: str, value, words: tuple) -> None:
    """Refuse a word that is not one of `words`."""
    if not isinstance(value, str) or value not in words:
        raise InputError(f"scores.{name}: {what}={value!r:.60}; choose {', '.join(map(repr, words[:-1]))} or {words[-1]!r}.")


def finite(name: str, what: str, score) -> np.ndarray:
    """``score()``, [N], refused where numbers that were finite went beyond float64 on the way."""
    with np.errstate(over="ignore", invalid="ignore"):
        out = score()
    if not np.isfinite(out).all():
        raise InputError(f"scores.{name}: {what} are so large that the score of example {np.argmin(np.isfinite(out))} is beyond "
                         "float64; divide them by a constant, or look for a model that diverged.")
    return out


def clearly_probabilities(c: np.ndarray) -> bool:
    """Whether columns [K, N] are probabilities beyond doubt: none negative or NaN, sums well within the tolerance."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(c.min() >= 0 and np.abs(np.ones(len(c)) @ c - 1).max() <= ROW_SUM_TOLERANCE / 2)
