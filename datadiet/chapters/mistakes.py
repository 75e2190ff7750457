"""Mistakes that are made often: the answers they lead to, so that a check can say which one it was."""

import numpy as np

from datadiet import prune


def of_score(logits, probs, labels) -> dict[str, np.ndarray]:
    """Sentence -> the scores that a common mistake gives, for a score of probabilities [N, K] or [R, N, K] and labels [N].

    They are compared with an answer only where they differ from the truth, so the list serves every score.
    """
    y = np.eye(probs.shape[-1])[labels]
    single = probs if probs.ndim == 2 else probs.mean(0)
    wrong, p_y = single - y, np.take_along_axis(single, labels[:, None], 1)[:, 0]
    with np.errstate(divide="ignore"):
        logs = np.log(single)
    found = {
        "the length is squared; take the root of the sum of squares.": (wrong**2).sum(-1),
        "this is the mean of the squared error; EL2N is the root of their sum.": (wrong**2).mean(-1),
        "this is the root of the mean; EL2N takes the root of the sum.": np.sqrt((wrong**2).mean(-1)),
        "this is the sum of absolute errors; EL2N is the root of the sum of squares.": np.abs(wrong).sum(-1),
        "the errors are averaged before their size is taken; the entries of p - y add up to zero, so square them first.": np.abs(
            wrong.sum(-1)),
        "this is the probability of the label, which is high for easy examples; higher means harder here.": p_y,
        "this is the length of p alone; the label is not used.": np.linalg.norm(single, axis=-1),
        "this is the loss with its sign turned; it must be at least 0.": np.take_along_axis(logs, labels[:, None], 1)[:, 0],
        "this is the loss in bits; take the natural logarithm.": -np.take_along_axis(logs, labels[:, None], 1)[:, 0] / np.log(2),
        "this is the mean over all examples, repeated; a score has a number for each.": np.full(
            len(labels), np.linalg.norm(wrong, axis=-1).mean()),
        "the loss is averaged over the classes; only the label's counts.": -(y * np.where(y > 0, logs, 0)).mean(-1),
    }
    if logits.ndim == 2:
        raw = logits - y
        found["the logits were used as if they were probabilities; apply the softmax first."] = np.linalg.norm(raw, axis=-1)
    else:
        found["the runs were averaged before the length was taken; take the length in each run, then the mean."] = (
            np.linalg.norm(wrong, axis=-1))
        found["this is the first run alone; average over the runs."] = np.linalg.norm(probs[0] - y, axis=-1)
        found["the runs were added up; divide by their number."] = np.linalg.norm(probs - y, axis=-1).sum(0)
        found["there is a number for each run; average over the first axis."] = np.linalg.norm(probs - y, axis=-1)
    return found


def of_kept(given: np.ndarray, truth: np.ndarray, scores, fraction: float, rule: str, offset: float, labels) -> str:
    """The sentence about sorted positions that are not those to keep."""
    scores, n, other = np.asarray(scores), len(scores), {"hardest": "easiest", "easiest": "hardest", "middle": "hardest"}[rule]

    def same(*asked) -> bool:
        return np.array_equal(given, prune.keep(scores, *asked))

    if same(fraction, other, 0.0 if rule == "middle" else offset, labels):
        return (f"these are the {other}; the middle of the ranking was asked for." if rule == "middle" else
                f"this is the other end: these are the {other}. Higher means harder, so the hardest have the highest scores.")
    if labels is not None and same(fraction, rule, offset):
        return "these are of the whole set; the same share of each class was asked for."
    if offset and same(fraction, rule, 0.0, labels):
        return f"nothing is skipped; leave out the {round(offset * n)} at the {rule} end first."
    if rule in ("hardest", "easiest") and offset and same(fraction, other, offset, labels):
        return "the share is skipped at the wrong end."
    if len(given) == n - len(truth) and not np.intersect1d(given, truth).size:
        return "these are the examples to drop; the others are kept."
    if abs(len(given) - len(truth)) == 1:
        many = "one too many" if len(given) > len(truth) else "one too few"
        exact = fraction * n
        why = f" round({fraction:g} * {n}) is {len(truth)}" if exact != round(exact) else f" {fraction:g} * {n} is {len(truth)}"
        return f"{len(given)} examples are {many}:{why}."
    if len(given) != len(truth):
        return f"{len(given)} examples are kept, where {fraction:g} of {n} is {len(truth)}."
    shared = len(np.intersect1d(given, truth))
    if len(truth) > 1 and shared >= len(truth) - ties_at_the_edge(scores, truth):
        return (f"{len(truth) - shared} of {len(truth)} differ, all with equal scores; of equals those with the smaller position "
                "count as harder: np.argsort(-scores, kind='stable').")
    if np.array_equal(given, np.arange(len(given))) or np.array_equal(given, np.arange(n - len(given), n)):
        return "these are the first or last examples of the set; put them in order of their scores first."
    return f"the size is right, and {shared} of {len(truth)} examples are those asked for."


def ties_at_the_edge(scores: np.ndarray, truth: np.ndarray) -> int:
    """Examples to keep whose score an example that is left out has too."""
    left = np.setdiff1d(np.arange(len(scores)), truth)
    return int(np.isin(scores[truth], scores[left]).sum())
