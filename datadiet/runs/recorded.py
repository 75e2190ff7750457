"""Scores by name, from what a run recorded of its training examples.

    values_from(fitted.arrays, "el2n", 0)       # [N], at the first scoring point
"""

import numpy as np
from scipy.special import softmax

from datadiet import scores
from datadiet.errors import InputError

JOINT = ("joint_norm", "joint_sum", "joint_mean", "joint_rms")
NAMES = (*scores.SCORES, "grand_head", "grand", "input_norm", "forgetting", "aum", "tracin", "vog", "vog_class", "ge", *JOINT)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax along the last axis, in float64."""
    return softmax(logits.astype(np.float64), axis=-1)


def values_from(arrays: dict, name: str, t: int) -> np.ndarray:
    """Score `name` of every training example [N] from a run's arrays, at the t-th of its scoring points.

    Beside those of ``scores.SCORES``: "grand_head"; "grand", over all parameters; "input_norm" of images; "forgetting", counted
    over the ends of all epochs, where never right counts as wrong every time instead of infinity, so that runs can be averaged.
    "aum", over the scoring points up to the t-th; "tracin", of the head's gradient, and "vog" over the same, and "vog_class":
    "vog" as it stands within the class of each example (:func:`datadiet.scores.of_class`).
    "ge" of sentences that can be swapped; and of utterances with slots, for which the others look at the intent alone,
    "joint_norm", "joint_sum", "joint_mean" and "joint_rms" (forms of :func:`datadiet.scores.joint_el2n`).

    Raises
    ------
    InputError
        An unknown score, or one that the run did not record for every example.
    """
    if name not in NAMES:
        raise InputError(f"recorded.values_from: unknown score {name!r}; known: {', '.join(NAMES)}.")
    if name == "grand":
        seen, n = len(arrays.get("grand_positions", ())), len(arrays["labels"])
        if seen < n:
            raise InputError(f"recorded.values_from: GraNd was recorded for {seen} of {n} examples; score with grand_size=None.")
        return arrays["grand"][t].astype(np.float64)
    if name == "input_norm":
        if name not in arrays:
            raise InputError("recorded.values_from: this run recorded no norm of its inputs; only runs on images do.")
        return arrays[name].astype(np.float64)
    if name == "forgetting":
        if "correct" not in arrays:
            raise InputError("recorded.values_from: this run did not record who was right at each epoch; score with watch=True.")
        counts = scores.forgetting(arrays["correct"].T == 1)
        return np.where(np.isinf(counts), arrays["correct"].shape[1], counts)
    if name == "aum":
        return scores.aum(arrays["logits"][: t + 1], arrays["labels"])
    if name == "tracin":
        return scores.tracin(np.stack([values_from(arrays, "grand_head", at) for at in range(t + 1)]))
    if name in ("vog", "vog_class"):
        if "vog" not in arrays or t < 1:
            why = "only one gradient was seen by then" if "vog" in arrays else "the run kept no gradients: score with vog=True"
            raise InputError(f"recorded.values_from: {name!r} at scoring point {t}: {why}; VoG compares two points or more.")
        values = arrays["vog"][t].astype(np.float64)
        return values if name == "vog" else scores.of_class(values, arrays["labels"])
    if name == "ge":
        if "swapped_logits" not in arrays:
            raise InputError("recorded.values_from: the run recorded no swapped logits; 'ge' needs a task of kind 'swap'.")
        return scores.ge(arrays["logits"][t], arrays["swapped_logits"][t])
    probs = probabilities(arrays["logits"][t])
    if name in JOINT:
        if "slot_sums" not in arrays:
            raise InputError(f"recorded.values_from: {name!r} needs slots; only runs on utterances with slots record them.")
        parts = (arrays[part][t] for part in ("slot_sums", "slot_squares", "words"))
        return scores.combined(scores.el2n(probs, arrays["labels"]), *parts, name.removeprefix("joint_"))
    if name == "grand_head":  # the norm of the features stands for the features: GraNd needs nothing else of them
        return scores.grand_head(probs, arrays["labels"], arrays["feature_norms"][t][:, None])
    return scores.SCORES[name](probs, arrays["labels"])
