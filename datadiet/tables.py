"""Score the rows of anybody's table, and keep the rows worth keeping: what ``datadiet score`` and ``datadiet prune`` do.

frame = read("mine.csv")
scored = score(frame, text="question", label="topic")          # adds columns datadiet_el2n and datadiet_runs
kept = prune_rows(scored, "datadiet_el2n", keep=0.7)
"""

import hashlib
import time
from pathlib import Path

import numpy as np
import pandas as pd

from datadiet import prune, runs, scores
from datadiet.data import Split, Task
from datadiet.errors import InputError

READERS = {
    ".csv": pd.read_csv,
    ".tsv": lambda file: pd.read_csv(file, sep="\t"),
    ".parquet": pd.read_parquet,
    ".jsonl": lambda file: pd.read_json(file, lines=True),
}
AT = "1ep"  # the scoring point: after one epoch, which is when a score starts to mean something
MOST_RUNS = 10  # Paul et al. (2021) average ten; more change little


def read(file) -> pd.DataFrame:
    """A table from a .csv, .tsv, .jsonl or .parquet file, row order kept.

    Raises
    ------
    InputError
        No such file, another ending, an unreadable file, no row.
    """
    file = Path(file)
    if file.suffix not in READERS:
        raise InputError(f"tables.read: {file.name} ends in {file.suffix!r}; give a {', '.join(READERS)} file.")
    if not file.is_file():
        raise InputError(f"tables.read: there is no file {file}.")
    try:
        frame = READERS[file.suffix](file)
    except (ValueError, OSError, UnicodeDecodeError) as problem:
        raise InputError(f"tables.read: {file.name} could not be read as {file.suffix[1:]}: {problem}") from None
    if not len(frame):
        raise InputError(f"tables.read: {file.name} holds no rows.")
    return frame


def write(frame: pd.DataFrame, file) -> None:
    """A table to a .csv, .tsv, .jsonl or .parquet file."""
    file = Path(file)
    if file.suffix == ".parquet":
        frame.to_parquet(file, index=False)
    elif file.suffix == ".jsonl":
        frame.to_json(file, orient="records", lines=True)
    elif file.suffix in READERS:
        frame.to_csv(file, index=False, sep="\t" if file.suffix == ".tsv" else ",")
    else:
        raise InputError(f"tables.write: {file.name} ends in {file.suffix!r}; give a {', '.join(READERS)} file.")


def _column(frame: pd.DataFrame, name: str, what: str) -> pd.Series:
    if name not in frame.columns:
        raise InputError(f"tables.score: there is no {what} column {name!r}; the table has {', '.join(map(str, frame.columns))}.")
    empty = np.flatnonzero(frame[name].isna())
    if len(empty):
        raise InputError(
            f"tables.score: the {what} column {name!r} is empty in {len(empty)} rows, the first is row {empty[0]}; "
            "fill or drop them first, so that every row has a score."
        )
    return frame[name]


def as_task(frame: pd.DataFrame, text: str, label: str, text_pair: str | None = None) -> Task:
    """A table as a task to score: every row is a training example, its position is its id; nothing is held out."""
    inputs = {"text": _column(frame, text, "text").astype(str).tolist()}
    if text_pair is not None:
        inputs["text_pair"] = _column(frame, text_pair, "second text").astype(str).tolist()
    names, labels = np.unique(_column(frame, label, "label").astype(str), return_inverse=True)
    if len(names) < 2:
        raise InputError(
            f"tables.score: the label column {label!r} holds one class only ({names[0]!r}); scores need two or more."
        )
    if len(names) > max(2, len(frame) // 2):
        raise InputError(
            f"tables.score: the label column {label!r} holds {len(names)} different values in {len(frame)} rows; "
            "it does not look like a class. Name the right column with --label."
        )
    train = Split(np.arange(len(frame)), labels.astype(np.int64), inputs)
    digest = hashlib.sha256(repr((inputs, labels.tolist())).encode()).hexdigest()
    return Task(
        name="table",
        kind="pair" if text_pair else "text",
        label_names=tuple(map(str, names)),
        train=train,
        validation=None,
        test=None,
        checksum=digest,
        source="a table of the user's",
        notes=(),
        truth=None,
        slot_names=None,
    )


def score(
    frame: pd.DataFrame,
    *,
    text: str,
    label: str,
    text_pair: str | None = None,
    score: str = "el2n",
    budget: float = 5.0,
    encoder: str = "minilm",
    precision: str = "float32",
    progress: bool = False,
) -> pd.DataFrame:
    """The table with a score for every row: fine-tune for one epoch, read the score, average over as many runs as time allows.

    Training is ``quick`` (:mod:`datadiet.runs.configs`).

    Parameters
    ----------
    frame : DataFrame
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
    DataFrame
        The table, rows in their order, with ``datadiet_SCORE`` (higher = harder) and ``datadiet_runs`` (how many were averaged).

    Raises
    ------
    InputError
        A missing column, an empty cell, one class, an unknown score, precision or encoder, a budget that is not positive.
    """
    known = [*scores.SCORES, "grand_head"]
    if score not in known:
        raise InputError(f"tables.score: unknown score {score!r}; choose one of {', '.join(known)}.")
    if not budget > 0:
        raise InputError(f"tables.score: a budget of {budget} minutes; give a positive number.")
    task = as_task(frame, text, label, text_pair)
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
    return frame.assign(**{f"datadiet_{score}": np.mean(values, axis=0), "datadiet_runs": len(values)})


def prune_rows(
    frame: pd.DataFrame,
    column: str,
    *,
    keep: float,
    rule: str = "hardest",
    offset: float = 0.0,
    balanced: str | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """The rows that `rule` keeps by the scores in `column`, in their order; `balanced` names a column whose shares stay.

    Raises
    ------
    InputError
        A missing column, scores that are not numbers, and whatever :func:`datadiet.prune.keep` refuses.
    """
    for name in (column, balanced):
        if name is not None and name not in frame.columns:
            raise InputError(
                f"tables.prune_rows: there is no column {name!r}; the table has {', '.join(map(str, frame.columns))}."
            )
    if not pd.api.types.is_numeric_dtype(frame[column]):
        raise InputError(
            f"tables.prune_rows: the column {column!r} holds {frame[column].dtype}, not numbers; name the score column."
        )
    labels = None if balanced is None else np.unique(frame[balanced].astype(str), return_inverse=True)[1]
    kept = prune.keep(frame[column].to_numpy(float), keep, rule, offset=offset, labels=labels, seed=seed)
    return frame.iloc[kept]
