"""Formats of others, read and written: training dynamics as dataset-cartography keeps them, issues as cleanlab has them.

    ids, logits, labels = read_dynamics("output")              # logits [T, n, K] of
    output/training_dynamics/dynamics_epoch_*.jsonl by_name = scores_over_time(logits, labels)                 #
    datadiet.hooks.recorded write_metrics("output", ids, logits, labels)               # output/td_metrics.jsonl, which its
    filters read issues = to_issues(scores.cross_entropy(probs, labels), wrong, labels, probs)
"""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from datadiet import runs, scores
from datadiet.errors import InputError
from datadiet.hooks import recorded
from datadiet.scores import _checks

NEVER = 1000  # forgetfulness, in cartography, of an example that was never right
METRICS = ("guid", "index", "threshold_closeness", "confidence", "variability", "correctness", "forgetfulness")
QUALITY = ("label_score", "label_quality")  # of Datalab, of CleanLearning


def read_dynamics(folder) -> tuple[list, np.ndarray, np.ndarray]:
    """(ids, logits float64 [T, n, K], labels int64 [n]) of a dump of logits: one JSON object an example and epoch.

    Files are ``training_dynamics/dynamics_epoch_T.jsonl`` below `folder` (or in it), T from 0; a line is ``{"guid": id,
    "logits_epoch_T": [...], "gold": label}``. Lines of an epoch may be in any order; the order of the ids is that of epoch 0.
    More keys are allowed, and old files end in ``.json``.

    Raises
    ------
    InputError
        No such files, an epoch missing between others, a line that is none, an id twice in an epoch or not in every epoch, labels
        that change, logits of different length.

    Notes
    -----
    Format: the code released with Swayamdipta et al. (2020), Dataset Cartography.
    """
    where, folder = "hooks.read_dynamics", Path(folder)
    inside = folder / "training_dynamics" if (folder / "training_dynamics").is_dir() else folder
    name = re.compile(r"dynamics_epoch_(\d+)\.jsonl?")
    found = {int(m[1]): path for path in sorted(inside.glob("*.json*")) if (m := name.fullmatch(path.name))}
    if not found or sorted(found) != list(range(len(found))):
        raise InputError(f"{where}: {inside} has the epochs {sorted(found)}; give a folder with "
                         "dynamics_epoch_0.jsonl and all that follow.")
    ids, gold, of_epochs = None, {}, []
    for epoch, path in sorted(found.items()):
        now = {}
        for number, line in enumerate(_lines(where, path), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                guid, label, logits = row["guid"], row["gold"], row[f"logits_epoch_{epoch}"]
                hash(guid)
            except (ValueError, KeyError, TypeError) as problem:
                raise InputError(f"{where}: line {number} of {path} is no record of epoch {epoch} ({problem!r}); each is an "
                                 f"object with guid, logits_epoch_{epoch} and gold.") from None
            if guid in now or gold.setdefault(guid, label) != label:
                raise InputError(f"{where}: line {number} of {path}: guid {guid!r} is there twice, or with the label {label!r} "
                                 f"after {gold[guid]!r}; give each example one guid and one label.")
            now[guid] = logits
        ids = ids if ids is not None else list(now)
        if set(ids) != set(now):
            raise InputError(f"{where}: {path} has {len(now)} examples, of which {len(set(now) - set(ids))} are not among the "
                             f"{len(ids)} of epoch 0; give every example in every epoch.")
        of_epochs.append([now[guid] for guid in ids])
    logits = _checks.array("read_dynamics", "logits", of_epochs, {3: "[T, N, K], of one length K"})
    labels = _checks.array("read_dynamics", "gold", [gold[guid] for guid in ids], {1: "[N]"}, "iu")
    return ids, logits.astype(np.float64), labels.astype(np.int64)


def write_dynamics(folder, ids, logits, labels) -> list[Path]:
    """Write logits [T, n, K] as :func:`read_dynamics` reads them; the files. None of them may exist."""
    logits, labels = _over_time("write_dynamics", logits, labels)
    ids = _plain("hooks.write_dynamics", ids, len(labels))
    inside = Path(folder) / "training_dynamics"
    files = [inside / f"dynamics_epoch_{epoch}.jsonl" for epoch in range(len(logits))]
    _refuse_existing("hooks.write_dynamics", files)
    _make("hooks.write_dynamics", inside)
    for epoch, file in enumerate(files):
        rows = zip(ids, logits[epoch].astype(np.float64).tolist(), labels.tolist(), strict=True)
        lines = [json.dumps({"guid": i, f"logits_epoch_{epoch}": z, "gold": y}) + "\n" for i, z, y in rows]
        file.write_text("".join(lines), encoding="utf-8")
    return files


def metrics(ids, logits, labels) -> pd.DataFrame:
    """The metrics that cartography computes of logits [T, n, K], under its names: a row an example.

    ``confidence`` and ``variability`` as :func:`datadiet.scores.datamap`; ``correctness``, how OFTEN it was right (a number of
    epochs, there a share); ``forgetfulness`` as :func:`datadiet.scores.forgetting`, 1000 where that is infinite;
    ``threshold_closeness``, ``confidence * (1 - confidence)``. ``index`` is the number of the row.

    Examples
    --------
    >>> metrics(["a"], [[[2.0, 0.0]], [[0.0, 2.0]]], [0]).round(3).to_dict("records")
    [{'guid': 'a', 'index': 0, 'threshold_closeness': 0.25, 'confidence': 0.5, 'variability': 0.381, 'correctness': 1,
    'forgetfulness': 1}]
    """
    logits, labels = _over_time("metrics", logits, labels)
    where, right = scores.datamap(runs.probabilities(logits), labels), logits.argmax(-1) == labels
    forgotten = scores.forgetting(right)
    closeness = where.confidence * (1 - where.confidence)
    columns = (_plain("hooks.metrics", ids, len(labels)), np.arange(len(labels)), closeness, where.confidence,
               where.variability, right.sum(0), np.where(np.isinf(forgotten), NEVER, forgotten).astype(np.int64))
    return pd.DataFrame(dict(zip(METRICS, columns, strict=True)))


def write_metrics(folder, ids, logits, labels) -> Path:
    """Write :func:`metrics` as ``td_metrics.jsonl`` into `folder`; the file, which may not exist."""
    table, file = metrics(ids, logits, labels), Path(folder) / "td_metrics.jsonl"
    _refuse_existing("hooks.write_metrics", [file])
    _make("hooks.write_metrics", file.parent)
    file.write_text("".join(json.dumps(row) + "\n" for row in table.to_dict("records")), encoding="utf-8")
    return file


def read_metrics(file) -> pd.DataFrame:
    """A ``td_metrics.jsonl``, ids as they stand there; minus confidence, forgetfulness and variability are scores.

    Raises
    ------
    InputError
        A line that is no object, or one of the metrics missing.
    """
    rows = []
    for number, line in enumerate(_lines("hooks.read_metrics", Path(file)), 1):
        if not line.strip():
            continue
        try:
            rows.append({name: json.loads(line)[name] for name in METRICS})
        except (ValueError, KeyError, TypeError) as problem:
            raise InputError(f"hooks.read_metrics: line {number} of {file} is no row of metrics ({problem!r}); each is an "
                             f"object with {', '.join(METRICS)}.") from None
    return pd.DataFrame(rows, columns=METRICS)


def from_issues(issues) -> np.ndarray:
    """The score of each row of cleanlab's label issues, float64 [n]: 1 minus its quality, so that higher = harder.

    Parameters
    ----------
    issues : pandas.DataFrame
        Of ``Datalab.get_issues("label")`` (``label_score``) or ``CleanLearning.find_label_issues`` (``label_quality``); all rows,
        in the order of the data.

    Examples
    --------
    >>> from_issues(pd.DataFrame({"is_label_issue": [True, False], "label_score": [0.25, 1.0]}))
    array([0.75, 0.  ])
    """
    columns = [name for name in QUALITY if name in getattr(issues, "columns", ())]
    if len(columns) != 1:
        raise InputError(f"hooks.from_issues: columns {list(getattr(issues, 'columns', []))}; give cleanlab's frame of label "
                         f"issues, with {' or '.join(QUALITY)}.")
    if not np.array_equal(np.asarray(issues.index), np.arange(len(issues))):
        raise InputError("hooks.from_issues: the rows are not in the order of the data (or some are left out); give the frame "
                         "as cleanlab returns it, and sort later.")
    return 1 - _checks.array("from_issues", columns[0], issues[columns[0]].to_numpy(), {1: "[N]"}).astype(np.float64)


def to_issues(values, is_issue, labels, probs) -> pd.DataFrame:
    """Scores and verdicts as cleanlab's frame of label issues, columns as ``Datalab.get_issues("label")`` has them.

    Parameters
    ----------
    values : array [n]
        A score in [0, 1], higher = harder, such as ``1 - p_y``, or the probability that the label is wrong; ``label_score`` is 1
        minus it.
    is_issue : bool array [n]
    labels : integer array [n];  probs : array [n, K]
        The given labels, and the probabilities whose largest is ``predicted_label``.

    Examples
    --------
    >>> to_issues([0.75, 0.0], [True, False], [0, 1], [[0.25, 0.75], [0.0, 1.0]])
       is_label_issue  label_score  given_label  predicted_label
    0            True         0.25            0                1
    1           False         1.00            1                1
    """
    probs, labels = _checks.labelled("to_issues", "probs", probs, {2: "[N, K]"}, labels)
    values = _checks.array("to_issues", "values", values, {1: "[N]"}).astype(np.float64)
    is_issue = _checks.array("to_issues", "is_issue", is_issue, {1: "[N]"}, "b")
    if not len(values) == len(is_issue) == len(labels) or values.min() < 0 or values.max() > 1:
        raise InputError(f"hooks.to_issues: {len(values)} values from {values.min():.3g} to {values.max():.3g} and "
                         f"{len(is_issue)} verdicts for {len(labels)} labels; give one of each, values from 0 to 1.")
    return pd.DataFrame({"is_label_issue": is_issue, "label_score": 1 - values, "given_label": labels,
                         "predicted_label": probs.argmax(1).astype(np.int64)})


def _lines(where: str, file: Path) -> list[str]:
    """Lines of a text file, as newlines end them: other ends of lines may stand within a line of JSON."""
    try:
        return file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"{where}: {file} could not be read ({problem}); give a file of JSON lines in UTF-8.") from None


def _over_time(name: str, logits, labels) -> tuple[np.ndarray, np.ndarray]:
    """Checked logits [T, n, K] and labels [n]."""
    return _checks.labelled(name, "logits", logits, {3: "[T, N, K], time first"}, labels, entries="finite")


def _plain(where: str, ids, n: int) -> list:
    """Ids as JSON has them, each once."""
    given, ids = ids, recorded.plain(ids)
    if ids is None or not all(isinstance(each, int | str) for each in ids):
        kinds = sorted({type(each).__name__ for each in ids or [given]})
        raise InputError(f"{where}: ids of type {', '.join(kinds)}; give a sequence of strings or whole numbers, one for each "
                         "example, in their order.")
    if len(ids) != n or len(set(ids)) != n:
        raise InputError(f"{where}: {len(ids)} ids, {len(set(ids))} of them different, for {n} examples; give each a string or "
                         "a whole number of its own.")
    return ids


def _refuse_existing(where: str, files) -> None:
    there = [str(file) for file in files if file.exists()]
    if there:
        raise InputError(f"{where}: {', '.join(there[:3])} exist(s); choose another folder.")


def _make(where: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:  # a file is in its place, or nothing may be written there
        raise InputError(f"{where}: the folder {folder} cannot be made ({problem.strerror}); choose another.") from None
