"""Fairness with gender-swapped counterfactuals: which mix of factual and swapped sentences to train on, and measures of fairness.

    mix(settings(factuals=0.5, counterfactuals=0.5), train, seed=0)     # positions: 0 .. N-1 factual, N .. 2N-1 swapped
    demographic_parity(predictions, groups)                             # 1 = both groups are called positive equally often

Neither parity nor odds say how useful a model is: whoever always predicts the same is perfectly fair. Show accuracy beside them.
"""

import numpy as np

from datadiet import prune
from datadiet.data.sources import Split
from datadiet.errors import InputError

SETTINGS = {
    "factuals": 1.0,  # share of the sentences as they are
    "counterfactuals": 0.0,  # share of the swapped sentences that differ from the original: a copy is no counterfactual
    "factual_rule": "random",  # a rule of prune.keep
    "counterfactual_rule": "random",
    "score": None,  # of a factual sentence, and of its swap: "ge", "el2n", ...; None where both rules are random
    "at": None,  # the scoring point
    "seeds": [],  # scoring runs whose scores are averaged
    "source": None,  # config of the scoring runs, without its seed
}
SWAPPED_STREAM = 1_000_003  # keeps the draw of swapped sentences apart from that of factual ones


def settings(**changes) -> dict:
    """Complete settings of a mix.

    Raises
    ------
    InputError
        An unknown key, a share outside [0, 1], nothing to train on.
    """
    unknown = sorted(set(changes) - set(SETTINGS))
    if unknown:
        raise InputError(f"fairness.settings: unknown key(s) {', '.join(unknown)}; known: {', '.join(SETTINGS)}.")
    out = SETTINGS | changes
    a, b = out["factuals"], out["counterfactuals"]
    if not (0 <= a <= 1 and 0 <= b <= 1 and a + b):
        raise InputError(f"fairness.settings: factuals={a} and counterfactuals={b}; give shares from 0 to 1, not both 0.")
    return out


def changed(split: Split) -> np.ndarray:
    """Positions of the sentences that the swap changes, sorted.

    Raises
    ------
    InputError
        A split without swapped sentences.
    """
    if "swapped" not in split.inputs:
        raise InputError(f"fairness.changed: the split has the columns {', '.join(split.inputs)}; a mix needs 'text' and its "
                         "counterfactual 'swapped', as the embedded set 'feedback' has.")
    pairs = zip(split.inputs["text"], split.inputs["swapped"], strict=True)
    return np.flatnonzero([text != swapped for text, swapped in pairs])


def size(mixed: dict, split: Split) -> int:
    """How many sentences :func:`mix` picks from `split`."""
    return round(mixed["factuals"] * len(split)) + round(mixed["counterfactuals"] * len(changed(split)))


def mix(mixed: dict, split: Split, values: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """Positions to train on: i is sentence i as it is, N + i its gender-swapped version.

    Parameters
    ----------
    mixed : dict
        Of :func:`settings`.
    split : Split
        N sentences with the columns "text" and "swapped".
    values : array [N], optional
        The score that the rules rank by, of a sentence and of its swap alike; not used by random rules.
    seed : int
        Of the random rules, which draw without replacement.

    Returns
    -------
    int64 array, sorted, without repeats
    """
    n, swaps = len(split), changed(split)
    values = np.zeros(n) if values is None else np.asarray(values)
    if len(values) != n:
        raise InputError(f"fairness.mix: {len(values)} scores for {n} sentences; give one score a sentence.")
    facts = _keep(values, mixed["factuals"], mixed["factual_rule"], seed)
    chosen = _keep(values[swaps], mixed["counterfactuals"], mixed["counterfactual_rule"], SWAPPED_STREAM + seed)
    return np.concatenate([facts, n + swaps[chosen]])


def _keep(values, fraction, rule, seed):
    return prune.keep(values, fraction, rule, seed=seed) if round(fraction * len(values)) else np.array([], np.int64)


def _two_groups(name: str, predictions, groups):
    predictions, groups = np.asarray(predictions), np.asarray(groups)
    if predictions.shape != groups.shape or predictions.ndim != 1 or set(np.unique(groups)) != {0, 1}:
        raise InputError(f"fairness.{name}: predictions {predictions.shape} and groups {groups.shape} with the values "
                         f"{np.unique(groups)[:4].tolist()}; give one group a prediction, and both groups 0 and 1.")
    return predictions == 1, groups == 1


def _gap(positive, group) -> float:
    return abs(float(positive[group].mean() - positive[~group].mean()))


def demographic_parity(predictions, groups) -> float:
    """``1 - |P(yhat = 1 | group 0) - P(yhat = 1 | group 1)|``, in [0, 1]; 1 is fair, and so is any constant.

    Parameters
    ----------
    predictions : array [N]
        Predicted classes; class 1 is the positive one.
    groups : array [N]
        0 or 1, both present.

    Examples
    --------
    >>> demographic_parity([1, 0, 0, 0], [0, 0, 1, 1])
    0.5
    """
    return 1 - _gap(*_two_groups("demographic_parity", predictions, groups))


def equality_of_odds(predictions, labels, groups) -> float:
    """Mean over the labels y of ``1 - |P(yhat = 1 | y, group 0) - P(yhat = 1 | y, group 1)|``, in [0, 1]; 1 is fair.

    Examples
    --------
    >>> equality_of_odds([1, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1])
    0.5
    """
    positive, group = _two_groups("equality_of_odds", predictions, groups)
    labels = np.asarray(labels)
    of_label = [labels == y for y in np.unique(labels)]
    if len(labels) != len(positive) or any(len(np.unique(group[rows])) < 2 for rows in of_label):
        raise InputError(f"fairness.equality_of_odds: {len(labels)} labels for {len(positive)} predictions; give one a "
                         "prediction, and examples of both groups under every label.")
    return float(np.mean([1 - _gap(positive[rows], group[rows]) for rows in of_label]))


def auc(scores, labels) -> float:
    """Area under the ROC curve: how often a positive example scores above a negative one, ties counting half.

    Examples
    --------
    >>> auc([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1])
    0.875
    """
    from sklearn.metrics import roc_auc_score

    scores, labels = np.asarray(scores, float), np.asarray(labels)
    if scores.shape != labels.shape or set(np.unique(labels)) != {0, 1}:
        raise InputError(f"fairness.auc: scores {scores.shape} and labels {labels.shape} with the values "
                         f"{np.unique(labels)[:4].tolist()}; give one label a score, and both labels 0 and 1.")
    return float(roc_auc_score(labels, scores))


def judge(logits, swapped_logits, labels, gender) -> dict[str, float]:
    """Utility and fairness of a classifier with two classes, from its logits for sentences and for their swaps, [N, 2] each.

    ``accuracy`` and ``auc`` are of the sentences as they are. The rest is of the gendered ones (`gender` 0 or 1; -1 where a
    sentence has no gendered word), each in both versions, so that the two groups hold the same sentences: demographic
    ``parity``, equality of ``odds``, ``flips``, the share whose prediction turns with the gender, and ``gap``, the positive
    rate of group 1 minus that of group 0, whose sign parity hides. NaN where none is gendered.
    """
    logits, swapped_logits, labels, gender = map(np.asarray, (logits, swapped_logits, labels, gender))
    said, turned, rows = logits.argmax(1), swapped_logits.argmax(1), gender >= 0
    out = {"accuracy": float((said == labels).mean()), "auc": auc(logits[:, 1] - logits[:, 0], labels)}
    if not rows.any():
        return out | dict.fromkeys(("parity", "odds", "gap", "flips"), float("nan"))
    both = np.concatenate([said[rows], turned[rows]])
    groups = np.concatenate([gender[rows], 1 - gender[rows]])
    return out | {
        "parity": demographic_parity(both, groups),
        "odds": equality_of_odds(both, np.tile(labels[rows], 2), groups),
        "gap": float(both[groups == 1].mean() - both[groups == 0].mean()),
        "flips": float((said[rows] != turned[rows]).mean()),
    }
