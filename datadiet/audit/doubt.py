"""How many labels are wrong, and how likely each row's is: a model of labels that were changed at random, fitted to out-of-fold
probabilities.

A row's true class is ``q = softmax(a ln p + b)``, the probabilities ``p`` out of fold with a sharpness ``a`` and a bias ``b`` of
each class, as models that were fitted on wrong labels as well are too modest. Its label is the true class, or with probability
``r`` one of the others, all alike:

    P(label g) = (1 - r) q_g + r (1 - q_g) / (K - 1)
    P(wrong | label g) = r (1 - q_g) / (K - 1) / P(label g)

For each share ``r`` of a grid, ``a`` and ``b`` are the most likely ones, on a sample where there are many rows. Reports are
averages over the grid, by the likelihood of all rows: a row's probability therefore reaches 1 only where every share that can be
makes it so.
"""

from dataclasses import dataclass

import numpy as np

from datadiet.audit.pool import softened

GRID = np.r_[
    0, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, np.arange(0.06, 0.61, 0.02)
]  # shares of wrong labels that are tried
# The model is not the truth (labels are not changed at random, folds share rows), so its likelihood is taken to this power. The
# power and the two spreads were chosen on seven sets, four shares of flips and two draws.
TRUST = 0.35
USUAL = 0.2  # shares of wrong labels become rarer as exp(-r / USUAL)
SHARP = 0.4  # spread of ln a around 0
PULL = 1e-3  # how strongly biases are held to 0, a row
CELLS = 250_000  # probabilities that sharpness and biases are fitted to, at most: whole rows, drawn at random
FINE = 0.001  # step between the ends that an interval can have


@dataclass(frozen=True)
class Doubt:
    """Probability that each label is wrong, [n]; the share of wrong labels with the ends of its 95 % interval."""

    wrong: np.ndarray
    share: tuple[float, float, float]


def of_labels(probs, given) -> Doubt:
    """Doubt about the labels `given` [n], by out-of-fold probabilities [n, K].

    The interval is the narrowest that holds 95 %; the estimate is the mean of the share at which labels were changed. Where few
    are wrong it lies above the mean of the probabilities that a label is wrong, as the labels of few rows fit a small share, too.

    >>> probs = np.repeat([[0.95, 0.05], [0.05, 0.95]], 50, axis=0)  # a hundred rows of two classes, ten labels unlike the rest
    >>> given = np.r_[np.zeros(45), np.ones(10), np.zeros(5), np.ones(40)].astype(int)
    >>> found = of_labels(probs, given)
    >>> bool(found.wrong[0] < 0.05), bool(found.wrong[45] > 5 * found.wrong[0])
    (True, True)
    """
    from scipy.optimize import minimize

    given, logs = np.asarray(given), softened(probs)
    n, k = logs.shape
    grid = GRID[GRID < (k - 1) / k]
    at, fits, rows = np.zeros(1 + k), [], np.arange(n)
    some = np.sort(np.random.default_rng(0).permutation(n)[: max(1, CELLS // k)])
    seen = logs[some], given[some]
    for share in grid:
        at = minimize(_unlikely, at, args=(share, *seen), jac=True, method="L-BFGS-B", options={"maxiter": 30},
                      bounds=[(-1.5, 2)] + [(-2, 2)] * k).x  # fmt: skip
        fits.append((-_unlikely(at, share, logs, given)[0], at))
    likely = np.array([value for value, _ in fits])
    width = np.gradient(grid)
    width[0] /= 2
    density = np.exp(TRUST * (likely - likely.max()) - grid / USUAL)
    weights = density * width / (density * width).sum()
    wrong = np.zeros(n)
    for weight, share, (_, at) in zip(weights, grid, fits, strict=True):
        powers, sums = _powers(at, logs)
        own = powers[rows, given] / sums
        changed = share * (1 - own) / (k - 1)
        wrong += weight * changed / ((1 - share) * own + changed)
    return Doubt(wrong, (float(weights @ grid), *_narrowest(grid, density)))


def _powers(at, logs) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the true class, [n, K], times sums of theirs, and these sums, [n], of the parameters (ln a, b).

    The floor of `logs` and the bounds of the parameters keep them far from the ends of float64.
    """
    powers = logs * np.exp(at[0])
    powers += at[1:]
    np.exp(powers, out=powers)
    return powers, powers @ np.ones(len(at) - 1)


def _unlikely(at, share: float, logs, given) -> tuple[float, np.ndarray]:
    """Minus the log-likelihood of the labels, with the pulls, and its slope by (ln a, b)."""
    n, k = logs.shape
    rows, (powers, sums) = np.arange(n), _powers(at, logs)
    own = powers[rows, given] / sums
    seen = np.maximum((1 - share) * own + share * (1 - own) / (k - 1), 1e-300)
    by_own = -(1 - share - share / (k - 1)) * own / seen
    # The slope by the logits is by_own (1 at the label - probability): it is summed without being made, as there may be many.
    each = by_own / sums
    by_bias = np.bincount(given, by_own, k) - each @ powers
    value = -np.log(seen).sum() + PULL * n * (at[1:] ** 2).sum() + at[0] ** 2 / 2 / SHARP**2
    by_scale = by_own @ logs[rows, given] - each @ np.einsum("nk,nk->n", powers, logs)
    return value, np.r_[by_scale * np.exp(at[0]) + at[0] / SHARP**2, by_bias + 2 * PULL * n * at[1:]]


def _narrowest(grid, density, mass: float = 0.95) -> tuple[float, float]:
    """Ends of the narrowest interval that holds `mass` of a density with one peak."""
    fine = np.arange(0, grid[-1] + FINE / 2, FINE)
    between = np.interp(fine, grid, density)
    order = np.argsort(-between, kind="stable")
    held = order[: 1 + np.searchsorted(np.cumsum(between[order]), mass * between.sum())]
    return float(fine[held.min()]), float(fine[held.max()])
