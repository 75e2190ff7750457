"""Growing a training set from a pool that a weak model has labelled: the seed set, the confident examples, the added ones.

    grown, kept, facts = grow(task, settings({"start": 100, "by": "entropy", "add": 200, "source": weak}), 0, arrays_of_weak)

An analogue, on public data, of the augmentation study of Sabbineni, Anand and Minakova (2023), whose data and system are
proprietary. Scores here look at the weak model's own hypotheses, never at the truth: a pool without labels has no other.
"""

from dataclasses import replace

import numpy as np
from scipy.special import softmax

from datadiet import prune, scores
from datadiet.data import Task, spans
from datadiet.data.sources import stratified
from datadiet.errors import InputError

START = {"start": 100, "by": None}  # the weak run itself: a seed set, and nothing added
ADD = {
    "start": 100,  # examples of the seed set, a stratified draw by the run's seed
    "by": "random",  # which of the confident ones are added: BY
    "confident": 0.5,  # share of the pool to choose from, the highest confidence of the weak model first
    "add": 200,  # examples added
    "labels": "hypotheses",  # labels of the added ones; "truth": an oracle, to tell selection from wrong labels
    "source": None,  # config of the weak run, without its seed: run s grows from the weak run of its own seed
}
BY = ("random", "stratified", "entropy", "margin", "el2n")


def settings(given: dict) -> dict:
    """A complete description for a run's config: the defaults, changed by `given`. Without ``by`` it is the weak run's.

    Raises
    ------
    InputError
        An unknown key or choice; no weak run to grow from; sizes that are none.
    """
    known = START if given.get("by") is None else ADD
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InputError(f"growth.settings: by={given.get('by')!r} knows no {', '.join(unknown)}; it knows {', '.join(known)}.")
    out = known | given
    if out["by"] not in (None, *BY) or out.get("labels", "truth") not in ("hypotheses", "truth"):
        raise InputError(f"growth.settings: by={out['by']!r}, labels={out.get('labels')!r}; choose by from {', '.join(BY)} (None "
                         "adds nothing) and labels from hypotheses, truth.")
    if out["by"] is not None and out["source"] is None:
        raise InputError(f"growth.settings: by={out['by']!r} chooses among hypotheses; give source, the config of the weak run.")
    if min(out["start"], out.get("add", 1)) < 1 or not 0 < out.get("confident", 1) <= 1:
        raise InputError(f"growth.settings: start={out['start']}, add={out.get('add')}, confident={out.get('confident')}; sizes "
                         "are at least 1, and confident is a share above 0 and at most 1.")
    return out


def seed_set(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Positions of the seed set, sorted; every class in proportion, none lost."""
    return stratified(labels, size, seed, f"growth.seed_set: start={size}")


def chosen(weak: dict, pool: dict, seed: int) -> np.ndarray:
    """Positions that are added, sorted: chosen by ``pool["by"]`` among the confident, from the arrays `weak` of the weak run.

    Confidence is the log probability of the likeliest intent plus the mean of those of the likeliest slots. Entropy, margin and
    EL2N are those of the intent, the last two against the hypothesis: with no truth to look at, all three say how unsure the
    model is, and the highest are added. "stratified" draws at random in proportion to the hypothesised intents.

    Raises
    ------
    InputError
        Fewer confident examples than are to be added.
    """
    rest = np.setdiff1d(np.arange(len(weak["labels"])), seed_set(weak["labels"], pool["start"], seed))
    probs = softmax(weak["logits"][-1][rest].astype(np.float64), axis=-1)
    confidence = np.log(probs.max(1)) + weak["slot_confidence"][-1][rest]
    confident = np.sort(np.argsort(-confidence, kind="stable")[: round(pool["confident"] * len(rest))])
    if len(confident) < pool["add"]:
        raise InputError(f"growth.chosen: {len(confident)} of the {len(rest)} examples of the pool are confident, {pool['add']} "
                         "are to be added; raise confident, or lower add.")
    probs, by = probs[confident], pool["by"]
    hypothesis = probs.argmax(1)
    values = np.zeros(len(confident)) if by in ("random", "stratified") else scores.SCORES[by](probs, hypothesis)
    drawn = prune.keep(
        values,
        pool["add"] / len(confident),
        "random" if by in ("random", "stratified") else "hardest",
        labels=hypothesis if by == "stratified" else None,
        seed=seed,
    )
    return rest[confident[drawn]]


def grow(task: Task, pool: dict, seed: int, weak: dict | None = None) -> tuple[Task, np.ndarray, dict]:
    """The task with the labels to train on, the positions to train on, and facts of the added ones.

    Parameters
    ----------
    task : Task
        Of kind "joint"; its own labels are the truth.
    pool : dict
        Of :func:`settings`.
    seed : int
        Draws the seed set, and random additions.
    weak : dict, optional
        Arrays of the weak run; none where nothing is added.

    Returns
    -------
    Task, int64 array, dict
        Facts: ``added``; ``added_label_error`` and ``added_frame_error``, shares of the added whose hypothesis has a wrong
        intent, and anything wrong; ``added_words``, their mean length.

    Raises
    ------
    InputError
        A task without slots; a seed set smaller than the number of intents; too few confident examples.
    """
    if task.kind != "joint":
        raise InputError(f"growth.grow: {task.name!r} is of kind {task.kind!r}; only utterances with intent and slots are grown.")
    start = seed_set(task.train.labels, pool["start"], seed)
    if pool["by"] is None:
        return task, start, {}
    added, train = chosen(weak, pool, seed), task.train
    intents, slots = train.labels.copy(), list(train.inputs["slots"])
    intents[added] = weak["logits"][-1][added].argmax(1)
    true = [slots[i] for i in added]
    seen = spans.filled(weak["slot_predictions"][-1][added], true, task.slot_names.index(spans.OUTSIDE))
    for i, row in zip(added, seen, strict=True):
        slots[i] = row
    wrong = intents[added] != train.labels[added]
    facts = {
        "added": len(added),
        "added_label_error": float(wrong.mean()),
        "added_frame_error": float(np.mean([w or a != b for w, a, b in zip(wrong, seen, true, strict=True)])),
        "added_words": float(np.mean([len(row) for row in true])),
    }
    if pool["labels"] == "hypotheses":
        task = replace(task, train=replace(train, labels=intents, inputs=train.inputs | {"slots": slots}))
    return task, np.sort(np.concatenate([start, added])), facts


def size(pool: dict) -> int:
    """Number of examples that a run trains on."""
    return pool["start"] + pool.get("add", 0)
