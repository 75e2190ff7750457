"""Scores by name, from what a run recorded of its training examples.

    values_from(fitted.arrays, "el2n", 0)       # [N], at the first scoring point
"""

import numpy as np

from datadiet import scores
from datadiet.errors import InputError


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis, in float64."""
    logits = logits.astype(np.float64)
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def values_from(held: dict, name: str, t: int) -> np.ndarray:
    """Score `name` of every training example [N] from a run's arrays, at the t-th of its scoring points."""
    known = [*scores.SCORES, "grand_head", "ge"]
    if name not in known:
        raise InputError(f"recorded.values_from: unknown score {name!r}; known: {', '.join(known)}.")
    if name == "ge":
        if "swapped_logits" not in held:
            raise InputError("recorded.values_from: the run recorded no swapped logits; 'ge' needs a task of kind 'swap'.")
        return scores.ge(held["logits"][t], held["swapped_logits"][t])
    probs = softmax(held["logits"][t])
    if name == "grand_head":  # the norm of the features stands for the features: GraNd needs nothing else of them
        return scores.grand_head(probs, held["labels"], held["feature_norms"][t][:, None])
    return scores.SCORES[name](probs, held["labels"])
