"""Scores: how hard is each training example for a model? Arrays in, float64 [N] out. HIGHER = HARDER, always.

    el2n(probs, labels)            # probs [N, K], labels [N]
    el2n(probs, labels)            # probs [R, N, K]: R runs; the mean over the runs of their scores
    aum(logits, labels)            # logits [T, N, K]: T recordings in order of time; one score over all of them
    vog(gradients)                 # gradients [T, N, ...] of the label's logit in the input; see `history`

Letters: N examples, K classes, R runs (or times), T recordings, d features; h [d] is the activation at the input of the
classifier's last linear layer, p [K] the predicted probabilities, y [K] the label as a one-hot vector, p_y the probability
of the label.

Inputs of any real type (float16 too) are raised to float64 before anything is computed, and none is changed.
Probabilities are used as given: a row may miss the sum 1 by 0.004, as bfloat16 does, and is not rescaled.
Shapes that disagree, entries that are not finite, rows that are no probabilities, K < 2, N < 1, labels that are not
integers in 0 .. K - 1, a Series of labels with the index of a DataFrame of predictions in another order: ``InputError``,
everywhere.

With K = 2 classes `el2n`, `cross_entropy` and `margin` rank examples identically: compare them where K >= 3.
"""

import numpy as np

from datadiet.errors import InputError
from datadiet.scores import _checks, _rows
from datadiet.scores.history import DataMap, RunningVog, aum, datamap, forgetting, of_class, tracin, vog  # noqa: F401 - public here

_AXES = {2: "[N, K]", 3: "[R, N, K]"}


def _mean(name: str, score, probs, labels=None, *, beside=None):
    """Mean over runs of ``score(p [K, N], labels [N])``, which gets `beside` [R, N, ...] between the two where it is given."""
    rows, labels = _checks.labelled(name, "probs", probs, _AXES, labels, entries="unseen")
    runs = rows if rows.ndim == 3 else rows[None]
    arrays = (runs,) if beside is None else (runs, beside(runs))
    out = _rows.mean(score, *arrays, labels=labels, fine=_checks.clearly_probabilities)
    if out is None:  # in doubt: refused, or within the tolerance after all
        _checks.probabilities(name, "probs", rows, _AXES)
        out = _rows.mean(score, *arrays, labels=labels)
    return out


# --- One prediction an example

def el2n(probs, labels) -> np.ndarray:
    """EL2N, the length of the error vector: ``||p - y||_2``, in [0, sqrt(2)]; 0 is easiest.

    Parameters
    ----------
    probs : array [N, K] or [R, N, K]
        Predicted probabilities. With a leading axis of runs: the mean of the R norms, not the norm of the mean.
    labels : integer array [N]
        Class numbers, 0 .. K - 1.

    Notes
    -----
    Source: Paul, Ganguli and Dziugaite (2021), Deep Learning on a Data Diet. For K = 2 it is ``sqrt(2) (1 - p_y)``.

    Examples
    --------
    >>> el2n([[1.0, 0.0, 0.0], [0.0, 0.6, 0.4]], [0, 2]).round(4)
    array([0.    , 0.8485])
    """
    return _mean("el2n", _rows.errors, probs, labels)


def cross_entropy(probs, labels) -> np.ndarray:
    """The loss of each example: ``-ln p_y``, in nats, from 0 (easiest) up.

    A p_y below the smallest normal float64, 2.2e-308, is raised to it (softmax in half precision gives exact zeros), so
    the score is at most 708.4. Parameters as for :func:`el2n`; with runs, the mean of the R losses.

    Examples
    --------
    >>> cross_entropy([[1.0, 0.0], [0.5, 0.5]], [0, 0]).round(4)
    array([0.    , 0.6931])
    """
    return _mean("cross_entropy", lambda p, y: 0.0 - _rows.logs(_rows.of_label(p, y)), probs, labels)


def margin(probs, labels) -> np.ndarray:
    """How far the best other class is ahead of the label: ``max_{k != y} p_k - p_y``, in [-1, 1]; -1 is easiest.

    Above 0 the model is wrong. Parameters as for :func:`el2n`; with runs, the mean of the R margins. It is the "max
    margin" in the released code of Paul, Ganguli and Dziugaite (2021).

    Examples
    --------
    >>> margin([[0.75, 0.25, 0.0], [0.25, 0.5, 0.25]], [0, 0])
    array([-0.5 ,  0.25])
    """
    return _mean("margin", _rows.lead, probs, labels)


def entropy(probs) -> np.ndarray:
    """How undecided the prediction is: ``-sum_k p_k ln p_k``, in nats, in [0, ln K]; 0 is easiest. Needs no labels.

    ``0 ln 0`` is 0. A confident mistake has entropy 0: this finds doubtful examples, not mislabelled ones. `probs` as
    for :func:`el2n`; with runs, the mean of the R entropies, not the entropy of the mean.

    Examples
    --------
    >>> entropy([[1.0, 0.0], [0.5, 0.5]]).round(4)
    array([0.    , 0.6931])
    """
    return _mean("entropy", lambda p: 0.0 - np.einsum("kn,kn->n", p, _rows.logs(p)), probs)


def least_confidence(probs) -> np.ndarray:
    """The distance of the favourite class from certainty: ``1 - max_k p_k``, in [0, 1 - 1/K]; 0 is easiest. Needs no labels.

    `probs` as for :func:`el2n`; with runs, the mean of the R scores.

    Examples
    --------
    >>> least_confidence([[1.0, 0.0], [0.25, 0.75]])
    array([0.  , 0.25])
    """
    return _mean("least_confidence", lambda p: 1 - p.max(0), probs)


def grand_head(probs, labels, features, bias: bool = True) -> np.ndarray:
    """Head-only GraNd: the norm of the gradient of the loss in the last linear layer; 0 is easiest.

    For ``z = W h + b`` under cross-entropy ``||grad_{W,b} loss||_2 = ||p - y||_2 sqrt(1 + ||h||_2^2)``, and without a
    bias ``||p - y||_2 ||h||_2``: exact for one linear layer, with no gradient to compute. GraNd over all parameters is
    another score, and needs ``datadiet.gradnorm``.

    Parameters
    ----------
    probs, labels
        As for :func:`el2n`; with runs, the mean of the R norms.
    features : array [N, d], or [R, N, d] where `probs` has runs
        h, the activation at the input of the layer.
    bias : bool
        Whether the layer has a bias.

    Notes
    -----
    GraNd: Paul, Ganguli and Dziugaite (2021). Over the head only: Fayyaz et al. (2022), BERT on a Data Diet.

    Examples
    --------
    >>> grand_head([[0.5, 0.5]], [0], [[3.0, 4.0]], bias=False).round(4)  # 5 / sqrt(2)
    array([3.5355])
    """
    if not isinstance(bias, bool | np.bool_):
        raise InputError(f"scores.grand_head: bias={bias!r}; it says whether the layer has one, True or False.")

    def vectors(runs):
        seen = _checks.array("grand_head", "features", features, {2: "[N, d]", 3: "[R, N, d]"})
        own = seen if seen.ndim == 3 else seen[None]
        if own.shape[:2] != runs.shape[:2]:
            raise InputError(f"scores.grand_head: features have shape {seen.shape} but there are {runs.shape[0]} run(s) of "
                             f"{runs.shape[1]} predictions; give one feature vector for each prediction.")
        return own

    return _checks.finite("grand_head", "features", lambda: _mean(
        "grand_head", lambda p, h, y: _rows.errors(p, y) * np.sqrt(float(bias) + (h**2).sum(0)), probs, labels, beside=vectors))


def input_norm(x) -> np.ndarray:
    """The L2 norm of each input, x [N, ...]. It knows no model and no label: a baseline, in the units of the input.

    Kirsch (2023) found that GraNd at initialisation ranks CIFAR-10 almost as this does.

    Examples
    --------
    >>> input_norm([[[3.0, 0.0], [0.0, 4.0]]])
    array([5.])
    """
    seen = _checks.array("input_norm", "x", x, dict.fromkeys(range(2, 9), "[N, ...]"))
    return _checks.finite("input_norm", "x", lambda: np.linalg.norm(seen.astype(np.float64).reshape(len(seen), -1), axis=-1))


def ge(logits, swapped_logits) -> np.ndarray:
    """How far the gender swap moves the logits: ``||z(x) - z(x')||_2``, x' the swapped x; 0 where the model does not care.

    High is not hard to classify but hard on the reader: the prediction hangs on a gendered word. Needs no labels, and two
    forward passes. A sentence without a gendered word is its own swap and scores exactly 0.

    Parameters
    ----------
    logits : array [N, K] or [R, N, K]
        Logits z (not probabilities) of the sentences as they are.
    swapped_logits : array of the same shape
        Those of the same sentences, in the same order, with every gendered word swapped. With runs, the mean of the R norms.

    Notes
    -----
    Source: Zayed et al. (2022), Deep Learning on a Healthy Data Diet, who take it after one epoch.

    Examples
    --------
    >>> ge([[2.0, 0.0], [1.0, 1.0]], [[-1.0, 4.0], [1.0, 1.0]])
    array([5., 0.])
    """
    axes = {2: "[N, K]", 3: "[R, N, K]"}
    plain, swapped = (_checks.array("ge", *given, axes) for given in (("logits", logits), ("swapped_logits", swapped_logits)))
    if plain.shape != swapped.shape or plain.shape[-1] < 2:
        raise InputError(f"scores.ge: logits have shape {plain.shape} and swapped_logits {swapped.shape}; give the same "
                         "sentences twice, with at least two classes.")
    runs = [x if x.ndim == 3 else x[None] for x in (plain, swapped)]
    return _checks.finite("ge", "logits", lambda: _rows.mean(lambda z, swap: np.linalg.norm(z - swap, axis=0), *runs))


# --- Two predictions an example: the intent of an utterance, and a slot label for each of its words

def joint_el2n(intent_probs, intents, slot_probs, slots, mask, combine: str = "norm") -> np.ndarray:
    """EL2N of an utterance with an intent and slots; 0 is easiest.

    With ``e_I = ||p_intent - y_intent||`` and ``e_t = ||p_slot - y_slot||`` of word t, `combine` says, for n
    words under the mask,

    - "norm": ``sqrt(e_I^2 + sum_t e_t^2)``, up to sqrt(2 (1 + n)): long utterances score higher;
    - "sum": ``e_I + sum_t e_t``, up to sqrt(2) (1 + n): more so;
    - "mean": ``(e_I + (1/n) sum_t e_t) / 2``, up to sqrt(2): intent and slots weigh the same;
    - "rms": ``sqrt((e_I^2 + sum_t e_t^2) / (1 + n))``, up to sqrt(2): "norm" freed of the length.

    Parameters
    ----------
    intent_probs : array [N, K];  intents : integer array [N]
    slot_probs : array [N, T, S];  slots : integer array [N, T]
    mask : bool array [N, T]
        True where a word begins, at least once an utterance. Entries outside the mask are never looked at.

    Notes
    -----
    Source: Attendu and Corbeil (2023), NLU on Data Diets, whose choice is "norm"; their released code has "sum" and
    "mean" too. "rms" is ours.

    Examples
    --------
    >>> intent, words = [[0.5, 0.5]], [[[0.5, 0.5], [1.0, 0.0]]]
    >>> joint_el2n(intent, [0], words, [[1, 0]], [[True, True]]).round(4)
    array([1.])
    """
    name = "joint_el2n"
    _checks.choice(name, "combine", combine, ("norm", "sum", "mean", "rms"))
    rows, intents = _checks.labelled(name, "intent_probs", intent_probs, {2: "[N, K]"}, intents, labels_are="intents")
    mask = _checks.array(name, "mask", mask, {2: "[N, T]"}, "b")
    slots = _checks.as_array(f"scores.{name}", "slots", slots)
    slot_probs = _checks.as_array(f"scores.{name}", "slot_probs", slot_probs)
    if not (len(mask) == len(intents) and slots.shape == mask.shape == slot_probs.shape[:-1]):
        raise InputError(f"scores.{name}: for {len(intents)} intents, mask {mask.shape}, slots {slots.shape} and "
                         f"slot_probs {slot_probs.shape}; give [N, T], [N, T] and [N, T, S].")
    if not mask.any(1).all():
        raise InputError(f"scores.{name}: mask {mask.shape} leaves utterance {np.argmin(mask.any(1))} without a word; "
                         "mark its words, or drop it.")
    words, slots = _checks.labelled(name, "slot_probs (words under the mask)", slot_probs[mask], {2: "[words, S]"},
                                    slots[mask], labels_are="slots (words under the mask)")
    e_intent, e_word = _rows.mean(_rows.errors, rows[None], labels=intents), np.zeros(mask.shape)
    e_word[mask] = _rows.mean(_rows.errors, words[None], labels=slots)
    return combined(e_intent, e_word.sum(1), (e_word**2).sum(1), mask.sum(1), combine)


def combined(e_intent, word_sum, word_squares, n_words, combine: str) -> np.ndarray:
    """:func:`joint_el2n` from e_I, the sums of e_t and e_t^2, and n, as a run records them of each utterance; float64 [N]."""
    parts = {"e_intent": e_intent, "word_sum": word_sum, "word_squares": word_squares, "n_words": n_words}
    read = (_checks.as_array("scores.combined", name, part).astype(np.float64) for name, part in parts.items())
    e_intent, word_sum, word_squares, n_words = read
    _checks.choice("combined", "combine", combine, ("norm", "sum", "mean", "rms"))
    if combine == "sum":
        return e_intent + word_sum
    if combine == "mean":
        return (e_intent + word_sum / n_words) / 2
    squares = e_intent**2 + word_squares
    return np.sqrt(squares if combine == "norm" else squares / (1 + n_words))


# Every score that needs probabilities and at most labels, by name, called as score(probs, labels).
SCORES = {
    "el2n": el2n,
    "cross_entropy": cross_entropy,
    "margin": margin,
    "entropy": lambda probs, labels: entropy(probs),  # labels are not used
    "least_confidence": lambda probs, labels: least_confidence(probs),  # labels are not used
}
