"""Prune: which examples to keep, given their scores. Exact sizes, one ranking for every rule, no global randomness.

    kept = keep(scores, 0.5)                                 # the hardest half
    kept = keep(scores, 0.5, "hardest", offset=0.05)         # the hardest half below the very hardest 5 %
    kept = keep(scores, 0.5, "easiest", labels=labels)       # the easiest half of every class
"""

from numbers import Integral, Real

import numpy as np

from datadiet.errors import InputError
from datadiet.scores._checks import as_array, in_order

RULES = ("hardest", "easiest", "middle", "random", "stratified")
BINS = 50  # of "stratified": as in the released code of Zheng et al. (2023)


def keep(scores, fraction: float, rule: str = "hardest", offset: float = 0.0, labels=None, seed: int = 0) -> np.ndarray:
    """Positions of the examples to keep: sorted int64, exactly ``round(fraction * N)`` of them.

    There is one ranking: hardest (highest score) first, equals by position. So "hardest" with fraction f and "easiest"
    with 1 - f split the set in two, however many scores are equal (as long as the two sizes add up to N).

    Parameters
    ----------
    scores : array [N]
        Higher = harder. ``inf`` is allowed (forgetting gives it to examples never learned), NaN is not.
    fraction : float
        Share to keep, in (0, 1]. Sizes are rounded as Python's ``round`` does: a half goes to the even number.
    rule : str
        "hardest": the head of the ranking. "easiest": its tail. "middle": its centre. "random": without replacement,
        whatever the scores; without labels, a smaller set lies within a larger one of the same seed. "stratified":
        coverage-centric, see the notes.
    offset : float
        Share that is skipped first: the very hardest for "hardest" and "stratified", the very easiest for "easiest";
        ``offset + fraction <= 1``. Where rounding both would leave too few, less is skipped.
    labels : integer or string array [N], optional
        Class-balanced: every class keeps the same fraction of its own, rule and offset applied within the class. Sizes
        are settled by largest remainder, so that the total is exact; a class of which less than one example would stay
        may lose all.
    seed : int
        For "random" and "stratified".

    Returns
    -------
    int64 array

    Raises
    ------
    InputError
        Scores that are not one row of numbers above -inf, or none; a fraction outside (0, 1] or that rounds to no
        example; an offset outside [0, 1), too large, or with "middle" or "random"; labels of another length or of
        another type, or a Series with the index of the scores in another order; an unknown rule.

    Notes
    -----
    "stratified" is coverage-centric selection, Zheng et al. (2023): the range of the scores left after the offset is
    cut into 50 bins of equal width, the budget is spread evenly over the bins that are not empty, the share that small
    bins cannot use goes to the larger ones, and examples are drawn at random within a bin. Infinite scores fall into the
    hardest bin.

    Examples
    --------
    >>> keep([0.1, 0.9, 0.5, 0.7], 0.5)
    array([1, 3])
    >>> keep([0.1, 0.9, 0.5, 0.7], 0.5, offset=0.25)
    array([2, 3])
    >>> keep([0.1, 0.9, 0.5, 0.7], 0.5, labels=["a", "b", "a", "b"])
    array([1, 2])
    """
    scores, labels = _checked(scores, fraction, rule, offset, labels, seed)
    n = len(scores)
    groups = [np.arange(n)] if labels is None else [np.flatnonzero(labels == c) for c in np.unique(labels)]
    sizes = largest_remainders([fraction * len(group) for group in groups], round(fraction * n))
    rng = np.random.default_rng(seed)
    chosen = [group[_choose(scores[group], size, rule, min(round(offset * len(group)), len(group) - size), rng)]
              for group, size in zip(groups, sizes, strict=True) if size]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _choose(scores: np.ndarray, size: int, rule: str, skip: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of `size` examples by one rule, `skip` of them left out at the rule's own end."""
    n = len(scores)
    if rule == "random":
        return rng.permutation(n)[:size]
    ranking = np.argsort(-scores, kind="stable")  # hardest first, equals by position
    if rule == "stratified":
        left = ranking[skip:]
        return left[_stratified(scores[left], size, rng)]
    start = begin(rule, n, size, skip)
    return ranking[start:start + size]


def begin(rule: str, n: int, size: int, skip: int) -> int:
    """Rank, 0 for the hardest of `n`, at which the `size` examples begin that "hardest", "easiest" or "middle" keeps."""
    return {"hardest": skip, "easiest": n - skip - size, "middle": (n - size) // 2}[rule]


def _stratified(scores: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of `size` examples, as evenly as may be from score bins of equal width."""
    finite = scores[np.isfinite(scores)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    width = (high - low) / BINS or 1.0  # equal scores: one bin
    bins = np.minimum((scores - low) / width, BINS - 1).astype(np.int64)  # infinity, too, is in the last
    members = sorted((np.flatnonzero(bins == b) for b in np.unique(bins)), key=len)  # the smallest bin is served first
    chosen = []
    for done, bin_members in enumerate(members):
        share = min(len(bin_members), size // (len(members) - done))
        chosen.append(rng.permutation(bin_members)[:share])
        size -= share
    return np.concatenate(chosen)


def largest_remainders(quotas, total: int, least: int = 0) -> np.ndarray:
    """Whole numbers that add up to `total`, each a quota rounded down or up; those cut the most are rounded up.

    None is below `least`: where that makes too many, those furthest above their quota give way.

    >>> largest_remainders([2.6, 1.5, 0.9], 5), largest_remainders([4.8, 0.1, 0.1], 5, least=1)
    (array([3, 1, 1]), array([3, 1, 1]))
    """
    quotas = np.asarray(quotas)
    sizes = np.maximum(np.floor(quotas).astype(np.int64), least)
    while sizes.sum() < total:
        sizes[np.argmax(quotas - sizes)] += 1
    while sizes.sum() > total:
        sizes[np.argmax(np.where(sizes > least, sizes - quotas, -np.inf))] -= 1
    return sizes


def check(fraction, rule, offset=0.0, seed=0) -> None:
    """Refuse what :func:`keep` cannot do, whatever the scores."""
    if not isinstance(rule, str) or rule not in RULES:
        raise InputError(f"prune.keep: rule={rule!r}; choose one of {', '.join(RULES)}.")
    if isinstance(fraction, bool) or not isinstance(fraction, Real) or not 0 < fraction <= 1:
        raise InputError(f"prune.keep: fraction={fraction!r}; it is the share to keep, above 0 and at most 1.")
    if not isinstance(offset, Real) or not 0 <= offset < 1:
        raise InputError(f"prune.keep: offset={offset!r}; it is the share to skip, from 0 to below 1.")
    if offset and rule in ("middle", "random"):
        raise InputError(f"prune.keep: offset={offset} means nothing to rule={rule!r}; leave it at 0, or choose "
                         "'hardest', 'easiest' or 'stratified'.")
    if offset + fraction > 1 + 1e-9:
        raise InputError(f"prune.keep: offset={offset} and fraction={fraction} add up to more than 1; lower one.")
    if not isinstance(seed, Integral) or seed < 0:
        raise InputError(f"prune.keep: seed={seed!r}; it is a whole number, 0 or more.")


def _checked(scores, fraction, rule, offset, labels, seed):
    """Scores as float64 [N] and labels as an array [N] or None."""
    check(fraction, rule, offset, seed)
    seen = as_array("prune.keep", "scores", scores)
    if none := [place for place, score in enumerate(seen.ravel()) if score is None] if seen.dtype.kind == "O" else []:
        raise InputError(f"prune.keep: the score at position {none[0]} is None, as {len(none)} of {seen.size} are; score these "
                         "examples again, or drop them first.")
    if seen.ndim != 1 or seen.dtype.kind not in "fiu" or not len(seen):
        raise InputError(f"prune.keep: scores have shape {seen.shape} and type {seen.dtype}; give one "
                         "number for each of at least one example, [N].")
    seen = seen.astype(np.float64)
    bad = np.flatnonzero(np.isnan(seen) | (seen == -np.inf))
    if len(bad):
        raise InputError(f"prune.keep: the score at position {bad[0]} is {seen[bad[0]]}, as {len(bad)} of {len(seen)} "
                         "are NaN or -inf; score these examples again, or drop them first.")
    if not round(fraction * len(seen)):
        raise InputError(f"prune.keep: fraction={fraction} of {len(seen)} examples rounds to none; raise it.")
    if labels is None:
        return seen, None
    labels = as_array("prune.keep", "labels", in_order("prune.keep", "labels", labels, scores, "scores"))
    if labels.shape != seen.shape:
        raise InputError(f"prune.keep: labels have shape {labels.shape}, scores {seen.shape}; give one label a score.")
    if labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels):
        labels = labels.astype(str)
    if labels.dtype.kind not in "iubU":
        raise InputError(f"prune.keep: labels have type {labels.dtype}; give integers or strings, none missing.")
    return seen, labels
