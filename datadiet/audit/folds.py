"""Out-of-fold probabilities of a scikit-learn estimator: no row is predicted by a model that was fitted on it."""

import warnings
from collections.abc import Sequence

import numpy as np

from datadiet.errors import InputError
from datadiet.scores._checks import ROW_SUM_TOLERANCE, as_array, in_order


def deal(codes, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Fold of each row, [n]: every class is dealt out in turn, so that folds, and a class within them, differ by a row at most.

    >>> deal(np.array([0, 0, 0, 0, 1, 1]), 2, np.random.default_rng(0)).tolist()
    [0, 1, 1, 0, 1, 0]
    """
    shuffled = rng.permutation(len(codes))
    fold = np.empty(len(codes), np.int64)
    fold[shuffled[np.argsort(codes[shuffled], kind="stable")]] = np.arange(len(codes)) % folds
    return fold


def out_of_fold(estimator, X, y, folds: int = 5, repeats: int = 1, seed: int = 0, *, notes: list | None = None) -> np.ndarray:
    """Probabilities of each row's classes by models fitted on the other folds: float64 [n, K], columns as ``np.unique(y)``.

    As ``sklearn.model_selection.cross_val_predict(method="predict_proba")`` over stratified, shuffled folds, and averaged over
    `repeats` draws of them. Unlike there, a class that is missing from the fitted folds (a class of one row always is) gets
    probability 0 and a note, and where a single class is left nothing is fitted: it gets probability 1.

    Parameters
    ----------
    estimator : scikit-learn classifier with ``predict_proba``
        Cloned for each fit, and left unfitted.
    X : array, sparse matrix, DataFrame [n, ...], or a list of n texts
    y : array [n]
        Labels, integers or strings; two classes or more.
    folds, repeats : int
        At least 2 folds, no more than rows; at least 1 repeat. ``folds * repeats`` models are fitted.
    seed : int
        Draws the folds. An estimator's own randomness is its ``random_state``.
    notes : list, optional
        Takes the notes, a sentence each; without it they are warnings (``UserWarning``).

    Raises
    ------
    InputError
        Rows and labels of different number, labels with the index of `X` in another order, a label missing, one class, numbers
        out of range, no ``predict_proba``, and probabilities that are not finite.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> probs = out_of_fold(LogisticRegression(), [[0.0], [0.1], [0.2], [3.0], [3.1], [3.2]], list("aaabbb"), folds=3)
    >>> probs.shape, probs.argmax(1)
    ((6, 2), array([0, 0, 0, 1, 1, 1]))
    """
    X = X.tocsr() if hasattr(X, "tocsr") else X  # not every sparse form gives rows
    labels, n = _checked(estimator, X, y, folds, repeats, seed)
    names, codes = np.unique(labels, return_inverse=True)
    out, missing = np.zeros((n, len(names))), np.zeros(len(names), np.int64)
    for draw in range(repeats):
        fold = deal(codes, folds, np.random.default_rng([seed, draw]))
        for held in range(folds):
            out_rows, fit_rows = np.flatnonzero(fold == held), np.flatnonzero(fold != held)
            known = np.unique(codes[fit_rows])
            missing += ~np.isin(np.arange(len(names)), known)
            if len(known) == 1:
                out[out_rows, known[0]] += 1
                continue
            columns, probs = _predicted(estimator, _take(X, fit_rows), labels[fit_rows], _take(X, out_rows), len(out_rows), names)
            out[np.ix_(out_rows, columns)] += probs
    if not np.isfinite(out).all():
        raise InputError(f"audit.out_of_fold: {type(estimator).__name__} gave probabilities that are not finite, to "
                         f"{(~np.isfinite(out)).any(1).sum()} of {n} rows; look for features that are not finite, or scale them.")
    if (out < 0).any() or (abs(out.sum(1) / repeats - 1) > ROW_SUM_TOLERANCE).any():
        raise InputError(f"audit.out_of_fold: {type(estimator).__name__} gave rows that are no probabilities, with sums from "
                         f"{out.sum(1).min() / repeats:.4g} to {out.sum(1).max() / repeats:.4g}; they are >= 0 and sum to 1.")
    for name, times in zip(names, missing, strict=True):
        if times:
            note = (f"Class {str(name)!r} has {(labels == name).sum()} row(s): {times} of {folds * repeats} models were fitted "
                    "without it and gave it probability 0.")
            warnings.warn(note, stacklevel=2) if notes is None else notes.append(note)
    return out / repeats


def _predicted(estimator, X, labels, held, n: int, names: np.ndarray):
    """Columns of the classes, and the probabilities of the `n` rows `held`, by a clone fitted on the others."""
    from sklearn.base import clone

    try:
        model = clone(estimator)
    except (TypeError, RuntimeError, ValueError, AttributeError) as problem:
        raise InputError(f"audit.out_of_fold: {type(estimator).__name__} cannot be cloned ({problem}); give an estimator with "
                         "get_params and set_params, such as a subclass of sklearn.base.BaseEstimator.") from None
    model.fit(X, labels)
    classes, probs = np.asarray(getattr(model, "classes_", ())), as_array("audit.out_of_fold", "probs", model.predict_proba(held))
    if classes.ndim != 1 or not np.array_equal(np.unique(classes), np.sort(classes)) or not np.isin(classes, names).all() or (
            probs.shape != (n, len(classes)) or probs.dtype.kind not in "fiu"):
        raise InputError(f"audit.out_of_fold: {type(estimator).__name__} has classes_ {classes.tolist()!r:.60} and gave "
                         f"predict_proba of shape {probs.shape} for {n} rows; it needs classes_, the labels it was fitted on, "
                         "each once, and a column of numbers for each.")
    return np.searchsorted(names, classes), probs


def _take(X, rows: np.ndarray):
    """Some rows of anything that a scikit-learn estimator takes."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    return X[rows] if hasattr(X, "shape") else [X[row] for row in rows]


def _checked(estimator, X, y, folds, repeats, seed) -> tuple[np.ndarray, int]:
    """Labels as an array [n], and n."""
    where = "audit.out_of_fold"
    if not hasattr(estimator, "predict_proba"):
        raise InputError(f"{where}: {type(estimator).__name__} has no predict_proba; choose a classifier that has (an SVC with "
                         "probability=True, a CalibratedClassifierCV around it).")
    labels = as_array(where, "y", in_order(where, "y", y, X, "X"))
    rows = np.ndim(X) > 0 if isinstance(X, np.ndarray | np.generic) else isinstance(X, Sequence) or hasattr(X, "shape")
    if not rows or hasattr(X, "column_names"):  # a Dataset or a table of Arrow gives columns
        raise InputError(f"{where}: X is of type {type(X).__name__}, with no rows to pick; give an array [n, ...], a DataFrame "
                         "(of another table its .to_pandas()) or a list of n texts.")
    n = X.shape[0] if hasattr(X, "shape") else len(X)
    if labels.ndim != 1 or len(labels) != n or not n:
        raise InputError(f"{where}: X has {n} rows and y shape {labels.shape}; give one label for each row.")
    if labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels):
        labels = labels.astype(str)
    if labels.dtype.kind not in "iubU":
        raise InputError(f"{where}: labels have type {labels.dtype}; give integers or strings, none missing (rows without a "
                         "label are left out first).")
    if len(np.unique(labels)) < 2:
        raise InputError(f"{where}: all {n} labels are {labels[0]!r}; there must be two classes or more.")
    for name, value, least, most in (("folds", folds, 2, n), ("repeats", repeats, 1, None), ("seed", seed, 0, None)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least or (most and value > most):
            raise InputError(f"{where}: {name}={value!r}; it is a whole number, at least {least}"
                             + (f" and at most the {most} rows." if most else "."))
    return labels, n
