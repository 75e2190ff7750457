"""Logistic regressions on frozen features, each row predicted by one that was not fitted on it."""

import warnings

import numpy as np

from datadiet.audit.folds import deal

GRID = (0.3, 3.0, 30.0)  # inverse strengths of the penalty, of features whose mean length is one
TRIAL = 3000  # rows on which the strength is chosen
FOLDS = 5


def held_out(matrix, codes, classes: int, strength: float, fold, most: int | None = None, seed: int = 0) -> np.ndarray:
    """Probabilities float64 [n, K] of each row by a regression fitted on the other folds, on `most` of their rows at most.

    A class that the fitted rows lack gets probability 0. Equal to :func:`datadiet.audit.folds.out_of_fold` where `most` is None
    and the folds are the same.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    out = np.zeros((len(codes), classes))
    rng = np.random.default_rng(seed)
    for held in np.unique(fold):
        rows = np.flatnonzero(fold != held)
        if most is not None and len(rows) > most:
            rows = np.sort(rng.permutation(rows)[:most])
        known = np.unique(codes[rows])
        at = np.ix_(np.flatnonzero(fold == held), known)
        if len(known) == 1:
            out[at] = 1
            continue
        with threadpool_limits(1), warnings.catch_warnings():  # on matrices this small threads wait for each other
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of steps bounds the time
            fitted = LogisticRegression(C=strength, max_iter=60, tol=1e-3).fit(matrix[rows], codes[rows])
        out[at] = fitted.predict_proba(matrix[fold == held])
    return out


def chosen(matrix, codes, classes: int, seed: int) -> float:
    """The strength of :data:`GRID` whose held-out probabilities give the labels the highest likelihood, on a sample of rows."""
    from datadiet.audit.pool import softened

    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(codes))[:TRIAL])
    some, fold = codes[rows], deal(codes[rows], min(FOLDS, len(rows)), rng)
    losses = []
    for strength in GRID:
        logs = softened(held_out(matrix[rows], some, classes, strength, fold))
        losses.append(-logs[np.arange(len(rows)), some].mean())
    return GRID[int(np.argmin(losses))]
