"""Scores of models that train on the rows they score: an area under the margin, forgetting, and means over the epochs.

    audit = score(read("mine.csv"), text="question", label="topic", seconds=300)
    audit.check          # AUM, forgetting, EL2N and the others: how many planted flips each finds

A model is also trained on a copy of the labels with planted flips: which score finds most of them is measured, not supposed.
"""

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd

from datadiet import __version__, runs, scores
from datadiet.audit import kept as keeping
from datadiet.audit import pace, planted
from datadiet.audit.clock import Clock, rounded
from datadiet.audit.found import Audit, learned
from datadiet.data import Split, Task
from datadiet.errors import InputError
from datadiet.tables import Classes, Table, classes, texts

EPOCHS = 5  # at most; each end is a recording
MOST_RUNS = 10  # Paul et al. (2021) average ten; more change little
SHARE = 0.7  # of the budget that the first two runs, one of them on the copy, may be planned to take
SCORING = 1 / 3  # of an epoch's training, that recording all rows after it costs
LEAST = 10  # seconds of one epoch up to which it is made whatever the budget
RATE, BATCH = 1e-4, 16  # as fine-tuned members of the pool are trained: a few hundred rows are learned in an epoch or two
APART = 30  # seconds, at least, between two times that the state of a training is kept: it is three times the encoder
OVER_TIME = ("aum", "forgetting")
NAMES = (*scores.SCORES, "grand_head", *OVER_TIME)


def as_task(table: Table, text: str, label: str, text_pair: str | None = None) -> tuple[Task, Classes, np.ndarray]:
    """The rows with text and label as a task: each is a training example, its position is its id; nothing is held out.

    Returns
    -------
    task : Task
    found : Classes
    rows : int64 array
        Positions in the table of the rows of the task.
    """
    inputs = {"text": texts(table, text)}
    if text_pair is not None:
        inputs["text_pair"] = texts(table, text_pair, "second text ")
    found = classes(table, label)
    labelled = np.flatnonzero(found.of >= 0)
    rows = np.array([row for row in labelled if not any(cells[row] is None for cells in inputs.values())], np.int64)
    if not len(rows):
        raise InputError(f"datadiet score: no row has both a text in {text!r} and a label in {label!r}; name the right columns.")
    present, labels = np.unique(found.of[rows], return_inverse=True)
    names = tuple(found.names[c] for c in present)
    if len(names) < 2:
        raise InputError(
            f"datadiet score: the label column {label!r} holds one class only ({names[0]!r}); scores need two or more."
        )
    if len(names) > max(2, len(rows) // 2):
        raise InputError(
            f"datadiet score: the label column {label!r} holds {len(names)} different values in {len(rows)} rows; "
            "it does not look like a class. Name the right column with --label."
        )
    inputs = {name: [cells[row] for row in rows] for name, cells in inputs.items()}
    digest = hashlib.sha256(repr((inputs, labels.tolist())).encode("utf-8", "surrogatepass")).hexdigest()
    task = Task(
        name="table",
        kind="pair" if text_pair else "text",
        label_names=names,
        train=Split(np.arange(len(rows)), labels.astype(np.int64), inputs),
        validation=None,
        test=None,
        checksum=digest,
        source="a table of the user's",
        notes=(),
        truth=None,
        slot_names=None,
    )
    return task, found, rows


def score(
    table: Table,
    *,
    text: str,
    label: str,
    text_pair: str | None = None,
    score: str | None = None,
    seconds: float = 300.0,
    encoder: str = "minilm",
    max_length: int = 128,
    precision: str = "float32",
    keep=False,
    progress: bool = False,
    start: float | None = None,
) -> Audit:
    """Audit by models that train on the rows they score.

    Training is ``quick`` (:mod:`datadiet.runs.configs`), for as many epochs, up to five, as let two runs fit into the budget:
    one on the labels as they are and one on a copy with planted flips. Further runs on the labels as they are follow while the
    time of one is left, up to ten, and are averaged. Where training turns out slower, the first run ends after fewer epochs, and
    the copy is trained for fewer or left out: the budget is kept within a fifth.

    Parameters
    ----------
    table : Table
        One example a row.
    text, text_pair, label : str
        Columns of the text, of the second text of a pair, and of the class.
    score : str, optional
        A name of :data:`NAMES`; the one that finds most planted flips where not given. Those of ``scores.SCORES`` and
        "grand_head" are means over the ends of the epochs; "aum" and "forgetting" look at all of them, and need two.
    seconds : float
        Time to spend.
    start : float, optional
        Reading of ``time.monotonic()`` from which the budget runs; that of this call where not given.
    encoder, max_length
        See :func:`datadiet.nets.encoders.classifier`; tokens that are read of a text.
    precision : str
        Of the scoring passes: "float32" or "bfloat16".
    keep : bool or Kept
        As for texts out of fold: finished runs, and the state of one that is not finished at the end of an epoch.

    Returns
    -------
    Audit
        ``probs`` are means over epochs and runs of models that did see the row: `accuracy` is no test of the model. In
        "forgetting" a row that was never right counts as wrong at every recording.

    Raises
    ------
    InputError
        A missing column, one class, an unknown score, precision or encoder, a budget that is not positive, or in which one epoch
        does not fit.
    """
    if score is not None and score not in NAMES:
        raise InputError(f"datadiet score: unknown score {score!r}; choose one of {', '.join(NAMES)}.")
    if not seconds > 0:
        raise InputError(f"datadiet score: a budget of {seconds} seconds; give a positive number.")
    clock = Clock(seconds, start)
    task, _, rows = as_task(table, text, label, text_pair)
    asked = {
        "task": task.name, "encoder": "minilm-mean" if encoder == "minilm" else encoder, "precision": precision, "quick": True,
        "max_length": max_length, "learning_rate": RATE, "batch_size": BATCH,
    }  # fmt: skip
    steps = keeping.steps(keep, ["trained", task.checksum], encoder=encoder, max_length=max_length, precision=precision)
    least = 1 + (score in OVER_TIME)
    within = f"in {seconds} s, {least} epochs or more"  # what time leaves out is decided once

    def plan() -> dict:
        epochs = planned(runs.config(**asked, epochs=EPOCHS), task, clock)
        if epochs < least:
            raise InputError(
                f"datadiet score: {score} compares epochs, and two epochs of two runs on {len(rows)} rows do not fit into "
                f"{seconds:.0f} seconds; give more with --budget."
            )
        return {"epochs": np.array(epochs)}

    epochs = int(steps.step(within, plan)["epochs"])
    said = ["Models that train on the rows read these scores: out of fold, as without --trained, flips are often found better."]
    copy, where = planted.plant(task.train.labels, len(task.label_names), np.random.default_rng([0, 1]))
    flipped = replace(task, train=replace(task.train, labels=copy))
    found, probs, again = [], [], None

    def run(seed: int, epochs: int, of: Task, fits) -> tuple[dict, np.ndarray, int, float]:
        """Scores, probabilities, epochs and seconds of a run, or of the one that an earlier call has kept.

        ``fits(done, each)``: whether there is time for another epoch after `done` of `each` seconds.
        """
        name = f"{within}: run {seed} of {epochs}{' on the copy' if of is flipped else ''}"
        config = runs.config(**asked, epochs=epochs, score_at=[f"{k}ep" for k in range(1, epochs + 1)]) | {"seed": seed}

        def made() -> dict:
            begun = steps.found(f"{name}, begun")
            before = clock.spent - (float(begun["seconds"]) if begun else 0)
            last = clock.spent

            def going_on(done: int, state) -> bool:
                nonlocal last
                fitting = fits(done, (clock.spent - before) / done)
                if fitting and done < epochs and clock.spent - last >= APART:
                    steps.put(f"{name}, begun", state() | {"seconds": np.array(clock.spent - before)})
                    last = clock.spent
                return fitting

            values, probs, done = _run(config, of, progress, going_on, begun)
            return {f"score {key}": each for key, each in values.items()} | {
                "probs": probs, "done": np.array(done), "seconds": np.array(clock.spent - before)}  # fmt: skip

        whole = steps.step(name, made)
        steps.drop(f"{name}, begun")
        values = {key[6:]: each for key, each in whole.items() if key.startswith("score ")}
        return values, whole["probs"], int(whole["done"]), float(whole["seconds"])

    def first(done: int, each: float) -> bool:
        """Whether another epoch fits, and then as many on the copy."""
        return done < least or clock.left > (done + 2) * each

    def later(done: int, each: float) -> bool:
        """Whether another epoch fits before the budget is passed by a fifth."""
        return clock.bound > each

    try:
        made, seen, done, took = run(0, epochs, task, first)
        found, probs = [made], [seen]
        if done < epochs:
            said.append(f"Training was slower than its first updates: {done} of {epochs} epochs were made.")
        fitting = done if took < LEAST else min(done, int(clock.bound / (took / done)))
        if where.any() and fitting >= least:
            again, _, whole, _ = run(0, fitting, flipped, later)
            if whole < done:
                said.append(f"For want of time the copy with planted flips was trained for {whole} of {done} epochs.")
        elif where.any():
            said.append("For want of time no copy with planted flips was trained: which score finds most was not measured.")
        while len(found) < MOST_RUNS and clock.left > took:
            made, seen, whole, _ = run(len(found), done, task, later)
            if whole < done:
                break
            found.append(made)
            probs.append(seen)
    except KeyboardInterrupt:
        if not found:
            raise
        steps.stopped = True
        said.append(f"Stopped by hand: the scores are of {len(found)} finished run(s). The same call goes on from there.")
    said += steps.said()
    if not steps.until_written:
        steps.forget()
    if done < 2:
        said.append("For want of time one epoch was trained: AUM and forgetting compare epochs and are not there.")
    return concluded(task, rows, found, probs, again, where, score=score, said=said, how={
        "text": text, "label": label, **({"text_pair": text_pair} if text_pair else {}), "encoder": encoder,
        "max_length": max_length, "precision": precision, "digest": task.checksum, "epochs": done, "models": len(found),
        "copies": int(again is not None), "budget": seconds, "seconds": round(clock.spent, 1), "version": __version__,
        "saw the rows": True,
    })  # fmt: skip


def planned(config: dict, task: Task, clock: Clock) -> int:
    """Epochs, from one to :data:`EPOCHS`, of which two runs fit into :data:`SHARE` of the time that is left.

    Raises
    ------
    InputError
        One epoch of one run would pass the budget by more than a fifth.
    """
    from datadiet.training import loop

    n, size = len(task.train), config["batch_size"]
    epoch = pace.of_updates(config, task) * loop.updates_per_epoch(n, size) * (1 + SCORING)
    if epoch > max(LEAST, clock.bound):
        raise InputError(
            f"datadiet score: a model that trains on {n} rows takes about {epoch:.0f} s for one epoch here, and --budget leaves "
            f"{max(0, clock.left):.0f} s; give --budget {rounded(clock.spent + 2 * epoch / SHARE)}, or leave --trained away."
        )
    return int(min(EPOCHS, max(1, SHARE * clock.left / (2 * max(epoch, 1e-9)))))


def _run(config: dict, task: Task, progress: bool, going_on, begun: dict | None) -> tuple[dict, np.ndarray, int]:
    """Scores by name [n], and probabilities [n, K] as means over the epochs, of one training run; the epochs that it made."""
    from datadiet.training import loop

    arrays = loop.fit(config, task, progress=progress, going_on=going_on, begun=begun).arrays
    arrays["correct"] = (arrays["logits"].argmax(2) == task.train.labels).T  # every epoch's end is a scoring point
    done = len(arrays["logits"])
    made = {
        name: runs.values_from(arrays, name, done - 1)
        if name in OVER_TIME
        else np.mean([runs.values_from(arrays, name, t) for t in range(done)], axis=0)
        for name in NAMES
        if done > 1 or name not in OVER_TIME
    }
    return made, runs.probabilities(arrays["logits"]).mean(0), done


def concluded(task: Task, rows, found: list, probs: list, again: dict | None, where, *, score, said, how) -> Audit:
    """The audit of finished runs: means of their scores, and what the copy with planted flips says of each."""
    given, n, counts = task.train.labels, len(rows), np.bincount(task.train.labels, minlength=len(task.label_names))
    means = {name: np.mean([made[name] for made in found], axis=0) for name in found[0]}
    check = pd.DataFrame(columns=["score", "auc", "low", "high", "found"])
    wrong, count = np.full(n, np.nan), (np.nan,) * 3
    if again is not None:
        check = planted.rated({name: [values] for name, values in again.items()}, [where])
    used = score or (check["score"][0] if len(check) else "el2n")
    row = check[check["score"] == used]
    if len(row) and row["low"].iloc[0] <= 0.5:
        said = [*said, f"Planted flips were not found better than at random (area under the curve {row['auc'].iloc[0]:.2f}): the "
                       "ranking is no guide to wrong labels here, and says neither how many nor which are wrong."]  # fmt: skip
    elif len(row):
        wrong, count = planted.judged(means[used], [again[used]], [where])
    mean = np.mean(probs, axis=0)
    accuracy, majority = float((mean.argmax(1) == given).mean()), float(counts.max() / n)
    if not learned(accuracy, majority):
        said = [*said, f"The models have not learned: they are right in {accuracy:.0%} of the rows that they trained on, and "
                       f"always saying the largest class would be in {majority:.0%}. Give more time with --budget."]  # fmt: skip
    return Audit(
        names=task.label_names, rows=rows, given=given, probs=mean, scores=means, used=used, wrong=wrong, count=count,
        check=check, planted=int(where.sum()) if again is not None else 0, accuracy=accuracy,
        majority=majority, warnings=tuple(said), how=how,
    )  # fmt: skip
