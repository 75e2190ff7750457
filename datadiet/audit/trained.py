"""Scores of a model that trains on the rows it scores: fine-tune for one epoch, read the score, average over runs."""

import hashlib
import time

import numpy as np

from datadiet import runs, scores
from datadiet.data import Split, Task
from datadiet.errors import InputError
from datadiet.tables import Classes, Table, classes, texts

AT = "1ep"  # the scoring point: after one epoch, which is when a score starts to mean something
MOST_RUNS = 10  # Paul et al. (2021) average ten; more change little


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
    score: str = "el2n",
    budget: float = 5.0,
    encoder: str = "minilm",
    precision: str = "float32",
    progress: bool = False,
) -> dict[str, list]:
    """New columns with a score for every row that has a text and a label.

    Training is ``quick`` (:mod:`datadiet.runs.configs`).

    Parameters
    ----------
    table : Table
        One example a row.
    text, text_pair, label : str
        Columns of the text, of the second text of a pair, and of the class.
    score : str
        A name of ``scores.SCORES``, or "grand_head".
    budget : float
        Minutes to spend. At least one run is made; another starts while the time of the last one still fits, up to ten.
    encoder : str
        See :func:`datadiet.nets.encoders.classifier`.
    precision : str
        Of the scoring passes: "float32" or "bfloat16".

    Returns
    -------
    dict
        ``datadiet_SCORE`` (higher = harder) and ``datadiet_runs`` (how many were averaged), a value a row of the table; None
        where the row has no text or no label.

    Raises
    ------
    InputError
        A missing column, one class, an unknown score, precision or encoder, a budget that is not positive.
    """
    known = [*scores.SCORES, "grand_head"]
    if score not in known:
        raise InputError(f"datadiet score: unknown score {score!r}; choose one of {', '.join(known)}.")
    if not budget > 0:
        raise InputError(f"datadiet score: a budget of {budget} minutes; give a positive number.")
    task, _, rows = as_task(table, text, label, text_pair)
    from datadiet.training import loop

    asked = {"task": task.name, "encoder": encoder, "epochs": 1, "score_at": [AT], "precision": precision, "quick": True}
    config, values = runs.config(**asked), []
    start = last = time.monotonic()
    while len(values) < MOST_RUNS:
        fitted = loop.fit(config | {"seed": len(values)}, task, progress=progress)
        values.append(runs.values_from(fitted.arrays, score, 0))
        now = time.monotonic()
        if now - start + (now - last) > 60 * budget:
            break
        last = now
    out = {f"datadiet_{score}": [None] * len(table), "datadiet_runs": [None] * len(table)}
    for row, value in zip(rows.tolist(), np.mean(values, axis=0).tolist(), strict=True):
        out[f"datadiet_{score}"][row], out["datadiet_runs"][row] = value, len(values)
    return out
