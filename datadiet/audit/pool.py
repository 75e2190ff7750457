"""Several models' out-of-fold probabilities as one: a weighted product, whose weights are fitted out of fold as well.

A model joins the pool at no risk: the weights say what it is worth, and one that knows nothing gets none.
"""

import numpy as np

FLOOR = 1e-3  # share of every prediction that is spread evenly over the classes, so that no single row decides the weights
PULL = 1e-3  # how strongly weights are held to 1 / M where the rows do not say otherwise
MOST = 3.0  # a weight of one model; above 1 sharpens it


def softened(probs) -> np.ndarray:
    """Logarithms of probabilities with a floor, float64 [n, K].

    >>> np.exp(softened([[1.0, 0.0]])).round(4).tolist()
    [[0.9995, 0.0005]]
    """
    probs = np.asarray(probs, np.float64)
    return np.log((1 - FLOOR) * probs + FLOOR / probs.shape[1])


def product(logs, weights) -> np.ndarray:
    """``softmax(sum_m w_m ln p_m)`` over the classes: logs [M, n, K], weights [M] -> [n, K].

    >>> product(np.log([[[0.5, 0.5]], [[0.8, 0.2]]]), [1.0, 1.0]).round(2).tolist()
    [[0.8, 0.2]]
    """
    from scipy.special import softmax

    return softmax(np.tensordot(weights, logs, 1), axis=1)


def fitted(logs: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Weights [M], none negative, that give the labels `given` [n] the highest likelihood."""
    from scipy.optimize import minimize

    models, rows = len(logs), np.arange(len(given))

    def loss(weights):
        probs = product(logs, weights)
        slope = probs.copy()
        slope[rows, given] -= 1
        pull = weights - 1 / models
        value = -np.log(np.maximum(probs[rows, given], 1e-300)).mean() + PULL * (pull**2).sum()
        return value, np.tensordot(logs, slope, 2) / len(rows) + 2 * PULL * pull

    return minimize(loss, np.full(models, 1 / models), jac=True, bounds=[(0, MOST)] * models).x


def pooled(members: list, given: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pool's probabilities [n, K], and the weights [M] fitted on all rows.

    Parameters
    ----------
    members : list of arrays [n, K]
        Out-of-fold probabilities, a model each.
    given : int array [n]
        Labels.
    fold : int array [n]
        Rows of a fold get the weights that the rows of the other folds asked for.
    """
    from threadpoolctl import threadpool_limits

    logs = np.stack([softened(probs) for probs in members])
    if len(logs) == 1:
        return np.exp(logs[0]), np.ones(1)
    out = np.empty(logs.shape[1:])
    with threadpool_limits(1):  # on a busy machine threads of products this small wait for each other, 20 times as long
        for held in np.unique(fold):
            rows = fold == held
            out[rows] = product(logs[:, rows], fitted(logs[:, ~rows], given[~rows]))
        return out, fitted(logs, given)
