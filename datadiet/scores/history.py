"""Scores that look at a whole training run: time is the first axis. Public by the names of ``datadiet.scores``.

    aum(logits, labels)            # logits [T, N, K]: T recordings in order of time; one score over all of them
    vog(gradients)                 # gradients [T, N, ...], all at once
    running = RunningVog(); running.add(gradients_now); running.values()     # the same, a checkpoint at a time

Letters and conventions are those of ``datadiet.scores``.
"""

from typing import NamedTuple

import numpy as np

from datadiet.errors import InputError
from datadiet.scores import _checks, _rows


def aum(logits, labels) -> np.ndarray:
    """Minus the area under the margin: ``-(1/T) sum_t (z_y - max_{k != y} z_k)``, in units of logits. Higher = harder.

    The area itself is large for easy examples; its sign is turned here so that it points where the other scores point.

    Parameters
    ----------
    logits : array [T, N, K]
        Logits z (not probabilities) at T recordings.
    labels : integer array [N]
        Class numbers, 0 .. K - 1.

    Notes
    -----
    Source: Pleiss et al. (2020), Identifying Mislabeled Data using the Area Under the Margin Ranking.

    Examples
    --------
    >>> aum([[[2.0, 0.0], [2.0, 0.0]], [[4.0, 0.0], [4.0, 0.0]]], [0, 1])
    array([-3.,  3.])
    """
    axes = {3: "[T, N, K], time first (a single recording as logits[None])"}
    times, labels = _checks.labelled("aum", "logits", logits, axes, labels, entries="finite")
    return _checks.finite("aum", "logits", lambda: _rows.mean(_rows.lead, times, labels=labels))


def tracin(grad_norms, rates=None) -> np.ndarray:
    """Self-influence by TracIn: ``sum_t eta_t |g_t|^2``, g_t the example's own gradient at checkpoint t. Higher = harder.

    By how much the loss of an example falls, to first order, by the steps taken on itself. In squared units of the gradient norm,
    times those of the learning rate.

    Parameters
    ----------
    grad_norms : array [T, N]
        Norms of each example's gradient at T checkpoints: over all parameters, or over the last layer alone
        (:func:`datadiet.scores.grand_head`).
    rates : array [T], optional
        Learning rates eta_t at the checkpoints, above 0; None: all 1, as where the rate is constant only the scale is lost.

    Raises
    ------
    InputError
        Norms that are negative, not finite or of another shape; not one positive rate for each checkpoint.

    Notes
    -----
    Source: Pruthi et al. (2020), Estimating Training Data Influence by Tracing Gradient Descent.

    Examples
    --------
    >>> tracin([[1.0, 2.0], [0.5, 1.0]])
    array([1.25, 5.  ])
    """
    norms = _checks.array("tracin", "grad_norms", grad_norms, {2: "[T, N], time first"}).astype(np.float64)
    weights = np.ones(len(norms)) if rates is None else _checks.as_array("scores.tracin", "rates", rates)
    if (norms < 0).any():
        raise InputError(f"scores.tracin: the smallest of the norms is {norms.min():.3g}; a norm is not negative.")
    right = weights.shape == (len(norms),) and weights.dtype.kind in "fiu"
    if not right or not (np.isfinite(weights) & (weights > 0)).all():
        raise InputError(f"scores.tracin: rates of shape {weights.shape} for {len(norms)} checkpoints; give one learning rate "
                         "above 0 for each.")
    return _checks.finite("tracin", "grad_norms", lambda: weights.astype(np.float64) @ norms**2)


def forgetting(correct) -> np.ndarray:
    """How often an example was forgotten: the number of steps from right to wrong; 0 is easiest, never right ``inf``.

    Parameters
    ----------
    correct : bool array [T, N]
        Whether the prediction was right, at T recordings.

    Notes
    -----
    Source: Toneva et al. (2019). They look at an example when it is in the batch just trained on; recordings at fixed
    times miss events, so counts for different T do not compare. Infinity for examples never learned is in the released
    code of Paul, Ganguli and Dziugaite (2021).

    Examples
    --------
    >>> forgetting([[True, True, False], [True, False, False], [True, True, False], [True, False, False]])
    array([ 0.,  2., inf])
    """
    seen = _checks.array("forgetting", "correct", correct, {2: "[T, N], time first"}, "b")
    return np.where(seen.any(0), (seen[:-1] & ~seen[1:]).sum(0, dtype=np.float64), np.inf)


class DataMap(NamedTuple):
    """Where each example lies on a data map, float64 [N] each: coordinates, not scores."""

    confidence: np.ndarray  # mean over time of p_y, in [0, 1]; hard is LOW
    variability: np.ndarray  # standard deviation over time of p_y (divisor T), in [0, 0.5]; ambiguous is HIGH
    correctness: np.ndarray  # share of times at which the largest p_k (the first of equals) is the label's; hard is LOW


def datamap(probs, labels) -> DataMap:
    """Coordinates on a data map: mean and spread over time of p_y, and how often the prediction was right.

    Hard-to-learn examples have low confidence and low variability; ``-datamap(probs, labels).confidence`` is a score.

    Parameters
    ----------
    probs : array [T, N, K]
        Probabilities at T recordings.
    labels : integer array [N]
        Class numbers, 0 .. K - 1.

    Notes
    -----
    Source: Swayamdipta et al. (2020), Dataset Cartography.

    Examples
    --------
    >>> datamap([[[1.0, 0.0], [0.25, 0.75]], [[1.0, 0.0], [0.75, 0.25]]], [0, 0])
    DataMap(confidence=array([1. , 0.5]), variability=array([0.  , 0.25]), correctness=array([1. , 0.5]))
    """
    times, labels = _checks.labelled("datamap", "probs", probs, {3: "[T, N, K], time first"}, labels)
    of_label = times[:, np.arange(len(labels)), labels].astype(np.float64)
    return DataMap(of_label.mean(0), of_label.std(0), (times.argmax(-1) == labels).mean(0))


# --- How the gradient in the input moves

_GRADIENTS = dict.fromkeys(range(3, 10), "[T, N, ...], time first")


def _of_elements(spread: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Mean over the elements of each example, [N]; under a mask [N, L], over its tokens only."""
    each = spread.reshape(*spread.shape[: 1 if mask is None else 2], -1).mean(-1)
    return each if mask is None else np.where(mask, each, 0).sum(1) / mask.sum(1)


def _tokens(mask, shape: tuple) -> np.ndarray | None:
    """A checked mask [N, L] for gradients of one time, [N, L, ...]."""
    if mask is None:
        return None
    mask = _checks.array("vog", "mask", mask, {2: "[N, L]"}, "b")
    if mask.shape != shape[:2]:
        raise InputError(f"scores.vog: mask has shape {mask.shape} but the gradients of one time {shape}; give [N, L] for "
                         "gradients [N, L, ...].")
    if not mask.any(1).all():
        raise InputError(f"scores.vog: mask {mask.shape} leaves example {np.argmin(mask.any(1))} without a token; mark its "
                         "tokens, or drop it.")
    return mask


def vog(gradients, mask=None) -> np.ndarray:
    """VoG, how much the gradient in the input moves while the model trains; 0 (it never moves) is easiest.

    With ``S_t`` the gradient of the label's logit (before the softmax) with respect to the input, at checkpoint t of T, and
    ``S`` their mean, each element i of the input has ``v_i = sqrt((1/T) sum_t (S_t - S)_i^2)``; the score is the mean of the
    v_i. Unit: logits per unit of the input.

    Parameters
    ----------
    gradients : array [T, N, ...]
        S_t at T >= 2 checkpoints: pixels [T, N, C, H, W], embedded tokens [T, N, L, d], or anything else.
    mask : bool array [N, L], optional
        Of texts: True at the tokens, False at padding, which is left out of the mean. At least one token an example.

    Notes
    -----
    Source: Agarwal, D'souza and Hooker (2022), Estimating Example Difficulty using Variance of Gradients. Despite its name it
    is a mean of standard deviations (divisor T), not of variances. The paper then compares an example with its class:
    :func:`of_class`. For images its released ImageNet code averages the colours of S_t before anything else; here each colour
    is an element of its own. Text is not in that paper, and how Anand, Tan and Minakova (2023) take it was not seen by
    us: here the input is the embedding of each token at the entry of the encoder (training moves it a little too), and the mean
    is over the tokens of the example, so that length as such counts for nothing.

    Examples
    --------
    >>> vog([[[1.0, 0.0], [2.0, 2.0]], [[3.0, 0.0], [2.0, 2.0]]])
    array([0.5, 0. ])
    """
    seen = _checks.array("vog", "gradients", gradients, _GRADIENTS)
    if len(seen) < 2:
        raise InputError(f"scores.vog: gradients of shape {seen.shape} are those of one checkpoint, and one does not vary; give "
                         "two or more, time first.")
    mask = _tokens(mask, seen.shape[1:])
    return _checks.finite("vog", "gradients", lambda: _of_elements(np.std(seen, axis=0, dtype=np.float64), mask))


class RunningVog:
    """:func:`vog` of gradients that come a checkpoint at a time, [N, ...] each; they are never in memory together.

    Keeps the mean and the sum of squared deviations of each element in float64 (Welford's update).

    Examples
    --------
    >>> running = RunningVog()
    >>> for now in ([[1.0, 0.0], [2.0, 2.0]], [[3.0, 0.0], [2.0, 2.0]]): running.add(now)
    >>> running.values()
    array([0.5, 0. ])
    """

    def __init__(self, mask=None):
        self.count, self._given = 0, mask

    def add(self, gradients) -> None:
        """Take in the gradients of the next checkpoint."""
        seen = _checks.array("vog", "gradients", gradients, {rank - 1: "[N, ...]" for rank in _GRADIENTS})
        now = seen.astype(np.float64)
        if not self.count:
            self._mask, self._mean, self._squares = _tokens(self._given, now.shape), np.zeros(now.shape), np.zeros(now.shape)
        if now.shape != self._mean.shape:
            raise InputError(f"scores.vog: gradients have shape {now.shape} at checkpoint {self.count} but {self._mean.shape} "
                             "before; give the same examples, in the same order, at every checkpoint.")
        self.count += 1
        with np.errstate(over="ignore", invalid="ignore"):  # `values` refuses what went beyond float64
            away = now - self._mean
            self._mean += away / self.count
            self._squares += away * (now - self._mean)

    def values(self) -> np.ndarray:
        """VoG over the checkpoints so far, float64 [N]; after a single one 0 for all."""
        if not self.count:
            raise InputError("scores.vog: no gradients were added yet; add those of two checkpoints or more.")
        return _checks.finite("vog", "gradients", lambda: _of_elements(np.sqrt(self._squares / self.count), self._mask))


def of_class(values, labels) -> np.ndarray:
    """A score as it stands within its class: ``(v - mean_c) / std_c`` over the examples of the same label c.

    The order within a class stays; differences between whole classes go. Higher = harder, 0 is the mean of the class. This is the
    class-normalisation of VoG (Agarwal, D'souza and Hooker 2022). The standard deviation has the divisor N_c, as in their code.
    In a class whose values are all equal every example gets 0: our choice.

    Parameters
    ----------
    values : array [N];  labels : integer array [N]

    Examples
    --------
    >>> of_class([1.0, 3.0, 10.0, 30.0, 5.0], [0, 0, 1, 1, 2])
    array([-1.,  1., -1.,  1.,  0.])
    """
    seen = _checks.array("of_class", "values", values, {1: "[N]"}).astype(np.float64)
    labels = _checks.array("of_class", "labels", labels, {1: "[N]"}, "iu")
    if len(labels) != len(seen):
        raise InputError(f"scores.of_class: labels have shape {labels.shape} but values {seen.shape}; give one label for each.")
    out = np.zeros(len(seen))
    for label in np.unique(labels):
        own = seen[labels == label]
        if own.min() < own.max():
            own = np.ldexp(own, -np.frexp(np.abs(own).max())[1])  # exact, and no square beyond float64
            out[labels == label] = (own - own.mean()) / own.std()
    return out
