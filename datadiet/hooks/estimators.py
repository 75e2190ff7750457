"""scikit-learn estimators as the model: out-of-fold probabilities, and the scores that they give.

    probs = out_of_fold(LogisticRegression(max_iter=1000), X, y)
    scores_of(probs, y)["el2n"]
"""

import numpy as np

from datadiet import scores
from datadiet.audit.folds import out_of_fold  # noqa: F401 - public here
from datadiet.errors import InputError
from datadiet.scores._checks import as_array, in_order


def codes_of(labels, names=None, *, where: str = "hooks.codes_of") -> tuple[np.ndarray, tuple]:
    """(class numbers int64 [n], names): the place of each label among `names`, which are ``np.unique(labels)`` where not given.

    >>> codes_of(["tool", "fruit", "tool"])
    (array([1, 0, 1]), ('fruit', 'tool'))
    """
    seen, known = as_array(where, "labels", labels), None if names is None else as_array(where, "names", names)
    for what, given in (("labels", seen), ("names", known)):
        if given is not None and (given.ndim != 1 or given.dtype.kind not in "iubUO" or (
                given.dtype.kind == "O" and not all(isinstance(each, str) for each in given))):
            raise InputError(f"{where}: {what} of shape {given.shape} and type {given.dtype}; give integers or strings, "
                             "in a row.")
    known = np.unique(seen) if known is None else known
    place = {name: number for number, name in enumerate(known.tolist())}
    unknown = [label for label in dict.fromkeys(seen.tolist()) if label not in place]
    if unknown or len(place) != len(known):
        raise InputError(f"{where}: labels of shape {seen.shape}, {len(unknown)} of them not among the names "
                         f"{known.tolist()[:20]} ({unknown[:5]}); give one label for each row, and the name of every class once.")
    return np.array([place[label] for label in seen.tolist()], np.int64), tuple(known.tolist())


def scores_of(probs, labels, names=None) -> dict[str, np.ndarray]:
    """Every score of ``datadiet.scores.SCORES`` by name, float64 [n] each, higher = harder.

    Parameters
    ----------
    probs : array [n, K], or [R, n, K] for R models
    labels : array [n]
        Labels as they were fitted, integers or strings.
    names : sequence [K], optional
        Classes in the order of the columns. Where left out, the names of the columns of a DataFrame that are those of the labels;
        else as :func:`out_of_fold` has them, and every class needs a row.

    Raises
    ------
    InputError
        Labels of another number or that are not among the names, another number of classes than of columns, or a Series of
        labels that has the index of a DataFrame of probabilities in another order.

    Examples
    --------
    >>> scores_of([[0.75, 0.25], [0.75, 0.25]], ["a", "b"])["margin"]
    array([-0.5,  0.5])
    """
    in_order("hooks.scores_of", "labels", labels, probs, "probs")
    own = list(getattr(probs, "columns", ()))
    if names is None and own and set(own) == set(as_array("hooks.scores_of", "labels", labels).ravel().tolist()):
        names = own
    codes, known = codes_of(labels, names, where="hooks.scores_of")
    shape = as_array("hooks.scores_of", "probs", probs).shape
    if len(shape) > 1 and shape[-1] != len(known):  # a class without a row, and labels would go to the columns of others
        raise InputError(f"hooks.scores_of: probs of shape {shape} for the {len(known)} classes {list(known)[:20]!r:.200}; give "
                         "names=, the classes in the order of the columns.")
    return {name: score(probs, codes) for name, score in scores.SCORES.items()}
