"""Flips planted in a copy of the labels: which score finds them, how many rows are wrong, and how likely each is.

A planted flip is a row whose label was changed at random to another class. The models are fitted again on the copy, and a score
is judged by where it ranks the planted rows among all others.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from datadiet import scores

SHARE = 0.05  # of the rows whose labels are changed in the copy
FEWEST = 20  # and at least so many, up to a fifth of the rows
LEAST = 0.1  # share of the planted rows that the number of wrong labels is read off, at least


def plant(given: np.ndarray, classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A copy of the labels with planted flips, and where they are, bool [n].

    Each planted row gets one of the other classes, all alike. The last row of a class is never taken.
    """
    n = len(given)
    wanted = min(max(round(SHARE * n), FEWEST), n // 5)
    order, left, taken = rng.permutation(n), np.bincount(given, minlength=classes), []
    for row in order:
        if len(taken) == wanted:
            break
        if left[given[row]] > 1:
            left[given[row]] -= 1
            taken.append(row)
    taken, copy = np.array(taken, np.int64), given.copy()
    copy[taken] = (given[taken] + rng.integers(1, classes, len(taken))) % classes
    where = np.zeros(n, bool)
    where[taken] = True
    return copy, where


@dataclass(frozen=True)
class Trial:
    """One copy: its labels, where flips were planted, and the probabilities out of fold of models fitted on it."""

    labels: np.ndarray
    planted: np.ndarray
    probs: np.ndarray


def compared(trials: list[Trial]) -> pd.DataFrame:
    """:func:`rated` of every score of ``scores.SCORES``, read off the probabilities of `trials`."""
    ranked = {name: [score(trial.probs, trial.labels) for trial in trials] for name, score in scores.SCORES.items()}
    return rated(ranked, [trial.planted for trial in trials])


def rated(ranked: dict, planted: list) -> pd.DataFrame:
    """A row a score, best first: ``score``, ``auc`` with ``low`` and ``high`` (95 %), ``found``; none where nothing was planted.

    ``auc`` is the chance that a planted flip ranks above a row that was not touched, ties half; its interval is over the planted
    flips. ``found`` is their share among as many rows of highest score as there are flips.

    Parameters
    ----------
    ranked : dict of str to list of float arrays [n]
        Scores by name, higher = harder, a copy of the labels each.
    planted : list of bool arrays [n]
        Where flips were planted, a copy each.

    Examples
    --------
    >>> rated({"good": [np.array([0.9, 0.1, 0.2])], "bad": [np.array([0.0, 0.1, 0.2])]}, [np.array([True, False, False])])[
    ...     ["score", "auc", "found"]].values.tolist()
    [['good', 1.0, 1.0], ['bad', 0.0, 0.0]]
    """
    if not any(where.any() for where in planted):  # too few rows
        return pd.DataFrame(columns=["score", "auc", "low", "high", "found"])
    rows = []
    for name, copies in ranked.items():
        wins, found = [], []
        for values, where in zip(copies, planted, strict=True):
            others = np.sort(values[~where])
            own = values[where]
            below, upto = (np.searchsorted(others, own, side) for side in ("left", "right"))
            wins.append((below + upto) / 2 / len(others))
            found.append(where[np.argsort(-values, kind="stable")[: where.sum()]].mean())
        wins = np.concatenate(wins)
        half = 1.96 * wins.std(ddof=1) / np.sqrt(len(wins)) if len(wins) > 1 else np.nan
        rows.append(
            {
                "score": name,
                "auc": wins.mean(),
                "low": max(0.0, wins.mean() - half),
                "high": min(1.0, wins.mean() + half),
                "found": float(np.mean(found)),
            }
        )
    return pd.DataFrame(rows).sort_values("auc", ascending=False, kind="stable", ignore_index=True)


def judged(values: np.ndarray, copies: list, planted: list) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Probability that each label is wrong [n], and the number of wrong labels with the ends of its interval.

    Parameters
    ----------
    values : float array [n]
        Score of each row by its own label, of any scale: only its order is read, so that a mean over several runs can stand
        beside copies that a single run has scored.
    copies : list of float arrays [n];  planted : list of bool arrays [n]
        The same score on copies of the labels with planted flips, and where these are.
    """
    others = np.concatenate([each[~where] for each, where in zip(copies, planted, strict=True)])
    flips = np.concatenate([each[where] for each, where in zip(copies, planted, strict=True)])
    order = np.argsort(values, kind="stable")
    first = np.searchsorted(values[order], values, "left") + np.searchsorted(values[order], values, "right")
    placed = np.quantile(others, first / 2 / len(values))  # equal rows stay equal
    share = share_wrong(others, flips, len(copies))
    n = len(values)
    return chances(placed, others, flips, share[0]), (share[0] * n, share[1] * n, share[2] * n)


def share_wrong(others: np.ndarray, planted: np.ndarray, copies: int) -> tuple[float, float, float]:
    """Share of wrong labels among rows that were not touched: estimate, low and high end.

    Of the rows above a threshold, wrong labels can be no more than all: their share is at most ``P(other > t) / P(planted > t)``.
    The estimate is the smallest such ratio, taken where its own upper end is smallest, over thresholds above which at least a
    tenth of the planted flips lie. The high end adds 1.96 standard errors; the low end takes them away, and the chance that a
    row with a right label is harder than a planted flip, as such rows look like wrong ones and nothing can tell them apart.

    Parameters
    ----------
    others, planted : float arrays
        Scores of the rows that were not touched and of planted flips, over all copies.
    copies : int
        How often each untouched row occurs in `others`.

    Notes
    -----
    The estimate is the best bin of Garg et al. (2021), Mixture Proportion Estimation and PU Learning (second-hand); the ends
    are ours.
    """
    rows, flips = len(others) / copies, len(planted)
    at = np.sort(planted)[::-1]
    caught = np.arange(1, flips + 1) / flips
    above = 1 - np.searchsorted(np.sort(others), at, side="left") / len(others)
    # One more of either kind in each count, so that none above a threshold is not taken for certainty.
    noise = (above * rows + 1) / (rows + 2)
    seen = (caught * flips + 1) / (flips + 2)
    ratio = above / caught
    of_rows, of_flips = noise * (1 - noise) / rows / caught**2, (1 - seen) / (caught * flips)
    error = np.sqrt(of_rows + (ratio**2 + 1 / (rows * caught) ** 2) * of_flips)
    best = np.argmin(np.where(caught >= min(LEAST, caught[-1]), ratio + 1.64 * error, np.inf))
    estimate, half = min(1.0, ratio[best]), 1.96 * error[best]
    ranks = np.searchsorted(np.sort(others), planted, "left") + np.searchsorted(np.sort(others), planted, "right")
    auc, part = ranks.mean() / 2 / len(others), min(estimate, 0.9)
    overlap = max(0.0, 1 - (auc - part / 2) / (1 - part))
    return float(estimate), float(max(0.0, estimate - half - overlap)), float(min(1.0, ratio[best] + half))


def chances(values: np.ndarray, others: np.ndarray, planted: np.ndarray, share: float) -> np.ndarray:
    """Probability that the label is wrong, by score: ``share f_planted / f_other`` at each of `values`, rising with the score.

    The ratio of the two densities is an isotonic regression on the scores of the copies.
    """
    from sklearn.isotonic import IsotonicRegression

    if share <= 0:
        return np.zeros(len(values))
    x = np.concatenate([others, planted])
    y = np.r_[np.zeros(len(others)), np.ones(len(planted))]
    weight = np.r_[np.full(len(others), 1 / len(others)), np.full(len(planted), share / len(planted))]
    part = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(x, y, sample_weight=weight).predict(values)
    return np.clip(part / np.maximum(1 - part, 1e-12), 0, 1)
