"""Logits recorded over time: kept, put into a checkpoint, scored and written."""

import io
import json
from collections.abc import Mapping, Set
from numbers import Integral
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from datadiet import runs, scores
from datadiet.errors import InputError
from datadiet.scores import _checks

WRITERS = {
    ".csv": lambda frame, file: frame.to_csv(file, index=False),
    ".jsonl": lambda frame, file: file.write_text("".join(_lines(frame)), encoding="utf-8", newline="\n"),
    ".parquet": lambda frame, file: frame.to_parquet(file, index=False),
}
OVER_TIME = ("aum", "forgetting", "confidence", "variability")


def as_list(given) -> list | None:
    """The entries of a list, an array or a range; None of anything else."""
    return list(given) if isinstance(given, list | tuple | range | np.ndarray) and getattr(given, "ndim", 1) == 1 else None


def plain(ids) -> list | None:
    """Ids as Python's own objects: of an array, a tensor, a Series, a column of Arrow; None of what has no order or no length.

    >>> plain(np.array([7, 3])), plain({7, 3})
    ([7, 3], None)
    """
    if not hasattr(ids, "__len__") or isinstance(ids, str | bytes | Mapping | Set) or getattr(ids, "ndim", 1) != 1:
        return None
    ids = ids.to_pylist() if hasattr(ids, "to_pylist") else ids
    return [each.item() if hasattr(each, "detach") or isinstance(each, np.number | np.bool_ | np.str_) else each for each in ids]


def checked_ids(ids, out: Path | None) -> list | None:
    """Ids of a table, refused before the work is done where they are none or the file at `out` cannot hold them."""
    listed = None if ids is None else plain(ids)
    if listed is None and ids is not None:
        raise InputError(f"hooks.ScoreCallback: ids are of type {type(ids).__name__}; give a sequence of names, one for each "
                         "example, in their order.")
    if listed and out is not None and out.suffix == ".parquet":
        try:
            pd.DataFrame({"id": listed}).to_parquet(io.BytesIO())
        except (TypeError, ValueError, OverflowError, NotImplementedError) as problem:  # Arrow has several of these
            raise InputError(f"hooks.ScoreCallback: {out.name} cannot hold the ids ({problem}); give them as strings, or all as "
                             "whole numbers.") from None
    return listed


def whole(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool | np.bool_)


def scores_over_time(logits, labels, names=None, at=None) -> dict[str, np.ndarray]:
    """Scores by name of recorded logits, float64 [n] each, higher = harder.

    Parameters
    ----------
    logits : array [T, n, K];  labels : integer array [n]
    names : sequence of str, optional
        Those of ``datadiet.scores.SCORES``, each the mean over the recordings `at`; and over all recordings "aum", "forgetting",
        "confidence" (minus that of the data map) and "variability". All of them where left out.
    at : sequence of int, optional
        Recordings that the first kind is averaged over; all of them where left out.

    Examples
    --------
    >>> over = scores_over_time([[[2.0, 0.0], [2.0, 0.0]], [[4.0, 0.0], [0.0, 1.0]]], [0, 1])
    >>> over["aum"], over["forgetting"]
    (array([-3. ,  0.5]), array([0., 0.]))
    """
    logits = _checks.array("scores_over_time", "logits", logits, {3: "[T, n, K]"})
    known = (*scores.SCORES, *OVER_TIME)
    asked = list(known) if names is None else as_list(names)
    if not asked or not all(isinstance(name, str) and name in known for name in asked):
        raise InputError(f"hooks.scores: names={names!r}; give a list out of {', '.join(known)}.")
    names, times = asked, list(range(len(logits))) if at is None else as_list(at)
    if not times or not all(whole(time) and -len(logits) <= time < len(logits) for time in times):
        raise InputError(f"hooks.scores: at={at!r} of {len(logits)} recordings; give the numbers of some, from 0.")
    probs = runs.probabilities(logits)
    out = {name: scores.SCORES[name](probs[times], labels) for name in names if name in scores.SCORES}
    if "aum" in names:
        out["aum"] = scores.aum(logits, labels)
    if "forgetting" in names:
        out["forgetting"] = scores.forgetting(logits.argmax(-1) == labels)
    where = scores.datamap(probs, labels)
    return out | {name: (-1 if name == "confidence" else 1) * getattr(where, name) for name in ("confidence", "variability")
                  if name in names}


def frame(ids, labels, by_name: dict) -> pd.DataFrame:
    """id, label, and a column a score."""
    return pd.DataFrame({"id": np.arange(len(labels)) if ids is None else ids, "label": labels} | by_name)


def checked_out(out, force: bool) -> Path | None:
    """A place that can be written to, found out before the work is done."""
    if out is None:
        return None
    if not isinstance(out, str | PathLike):
        raise InputError(f"hooks.ScoreCallback: out={out!r:.60}; give the path of a file to write.")
    out = Path(out)
    if out.suffix not in WRITERS:
        raise InputError(f"hooks.ScoreCallback: out={str(out)!r}; its name must end in {', '.join(WRITERS)}.")
    if out.exists() and not force:
        raise InputError(f"hooks.ScoreCallback: {out} exists; choose another name, or force=True to write over it.")
    if not out.parent.is_dir():
        raise InputError(f"hooks.ScoreCallback: there is no folder {out.parent}; make it first.")
    return out


def write(table: pd.DataFrame, out: Path) -> None:
    """Write through a temporary file, so that a full disk leaves nothing half-written."""
    part = out.with_name(out.name + ".part")
    try:
        WRITERS[out.suffix](table, part)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _lines(table: pd.DataFrame):
    """A JSON object a row: numbers with all their digits, infinities among them; ids that are dates and the like as text."""
    def default(cell):
        return cell.item() if isinstance(cell, np.number | np.bool_) else str(cell)

    for row in zip(*(table[name].tolist() for name in table), strict=True):
        yield json.dumps(dict(zip(table, row, strict=True)), ensure_ascii=False, default=default) + "\n"


def beside(where: str, name: str, args, state) -> Path:
    """Place of a callback's own file in the checkpoint that is being written or resumed from."""
    folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
    if not folder.is_dir() and args.resume_from_checkpoint and Path(str(args.resume_from_checkpoint)).is_dir():
        folder = Path(args.resume_from_checkpoint)
    if not folder.is_dir():
        raise InputError(f"hooks.{where}: training goes on from step {state.global_step} but there is no {folder}; keep the "
                         "checkpoint there, or name it in TrainingArguments(resume_from_checkpoint=...) too.")
    return folder / name


def resumed(where: str, name: str, args, state) -> dict:
    """Arrays that the callback had written beside a checkpoint."""
    file = beside(where, name, args, state)
    if not file.is_file():
        raise InputError(f"hooks.{where}: {file.parent} has no {name}, as it was written without this callback; start from the "
                         "beginning, or leave the callback out.")
    with np.load(file, allow_pickle=False) as stored:
        return dict(stored)


class Recordings:
    """Logits [n, K] of one time after the other; rows that a recording lacks are NaN."""

    def __init__(self, n: int = 0):
        self.n, self.points, self.labels, self._logits = n, [], None, []

    def add(self, state, where, logits, labels) -> None:
        """Take in the logits of the examples at the positions `where`; of one that is there twice, the later."""
        if not len(where):
            return
        now, known = np.full((self.n, logits.shape[1]), np.nan, np.float32), np.full(self.n, -1, np.int64)
        now[where], known[where] = logits, labels
        self.labels = known if self.labels is None else np.where(known < 0, self.labels, known)
        self._logits.append(now)
        self.points.append((int(state.global_step), float(state.epoch or 0)))

    def logits(self, where: str) -> np.ndarray:
        """Logits [T, n, K] of all recordings, none missing."""
        if not self._logits:
            raise InputError(f"{where}: nothing was recorded yet; train first, past the first of the points asked for.")
        out = np.stack(self._logits)
        missing = np.isnan(out).any(-1)
        if missing.any():
            time = int(np.argmax(missing.any(1)))
            raise InputError(f"{where}: {missing[time].sum()} of {self.n} examples were not in a training batch in recording "
                             f"{time} (pruned, or in a last batch that was dropped); record with source='pass'.")
        return out

    def stored(self) -> dict[str, np.ndarray]:
        """Arrays of a checkpoint."""
        empty = np.empty((0, self.n, 0), np.float32)
        return {"logits": np.stack(self._logits) if self._logits else empty, "points": np.array(self.points).reshape(-1, 2),
                "labels": np.empty(0, np.int64) if self.labels is None else self.labels}

    def load(self, stored: dict) -> None:
        """Go on from the arrays of a checkpoint."""
        if stored["logits"].shape[1] != self.n:
            raise InputError(f"hooks.ScoreCallback: the checkpoint has recordings of {stored['logits'].shape[1]} examples, the "
                             f"data set {self.n}; resume with the data set that it was trained on.")
        self._logits, self.labels = list(stored["logits"]), stored["labels"] if len(stored["labels"]) else None
        self.points = [(int(step), float(epoch)) for step, epoch in stored["points"]]
