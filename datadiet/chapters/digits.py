"""Predictions that the pages on scores look at: small networks on handwritten digits, a tenth of the labels replaced."""

from dataclasses import dataclass

import numpy as np

RUNS, PASSES, CLASSES, WIDTH = 5, 12, 10, 32


@dataclass(frozen=True)
class Predictions:
    """What five networks say of every digit after each pass.

    ``images`` [N, 64], ``truth`` [N] and ``labels`` [N] are the set, ``wrong`` [N] marks the replaced labels. ``features``
    [T, R, N, width], ``logits`` and ``probs`` [T, R, N, K] hold a pass and a run each; ``heads[t, r]`` is the last layer,
    a weight [width, K] and a bias [K].
    """

    images: np.ndarray
    truth: np.ndarray
    labels: np.ndarray
    wrong: np.ndarray
    features: np.ndarray
    logits: np.ndarray
    probs: np.ndarray
    heads: dict


def predictions(share: float = 0.1) -> Predictions:
    """Train the networks, which takes about a second, and return their predictions.

    Parameters
    ----------
    share : float
        Share of the labels that are replaced by another class, drawn evenly from the nine others.

    Returns
    -------
    Predictions
        The same at every call: the labels are drawn with seed 0, and network r has the seed r.

    Examples
    --------
    >>> seen = predictions()
    >>> seen.probs.shape, int(seen.wrong.sum())
    ((12, 5, 1797, 10), 180)
    """
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    images, truth = load_digits(return_X_y=True)
    images, n = images / 16, len(images)
    rng, wrong = np.random.default_rng(0), np.zeros(len(images), dtype=bool)
    wrong[rng.permutation(n)[: round(share * n)]] = True
    shift = rng.integers(1, CLASSES, n)  # 1 to 9: never back to the true class
    labels = np.where(wrong, (truth + shift) % CLASSES, truth)
    features, logits, heads = np.empty((PASSES, RUNS, n, WIDTH)), np.empty((PASSES, RUNS, n, CLASSES)), {}
    for r in range(RUNS):
        network = MLPClassifier((WIDTH,), learning_rate_init=3e-3, batch_size=32, random_state=r)
        for t in range(PASSES):
            network.partial_fit(images, labels, classes=np.arange(CLASSES))
            (first, last), (a, b) = network.coefs_, network.intercepts_
            features[t, r] = np.maximum(images @ first + a, 0)
            logits[t, r] = features[t, r] @ last + b
            heads[t, r] = last.copy(), b.copy()
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return Predictions(images, truth, labels, wrong, features, logits, powers / powers.sum(-1, keepdims=True), heads)
