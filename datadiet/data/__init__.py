"""Named tasks: real sets with stable example ids, label noise whose truth is kept, class-stratified subsets.

    task = load("trec6")                       # from the folder that DATADIET_DATA names
    task = flip_labels(task, 0.1, seed=0)      # 10 % of the training labels are now wrong; task.truth knows which
    task = shrink(task, 2000)                  # 2,000 training examples, every class in proportion
    task.train.labels, task.train.inputs["text"], task.train.ids

Sets are embedded, read from a folder, or fetched from the Hugging Face hub: see :func:`load`.
"""

import difflib
import hashlib
import json
from dataclasses import dataclass, replace
from numbers import Integral, Real
from os import PathLike
from pathlib import Path

import numpy as np

from datadiet import paths
from datadiet.data import embedded, feedback, sources
from datadiet.data.sources import Images, Raw, Split, stratified, wrong_labels
from datadiet.errors import InputError

EMBEDDED = embedded.SETS | feedback.SETS
HOLDOUT_SEED = 20_210_715  # fixes which training rows become validation, for every set and every user


@dataclass(frozen=True)
class Task:
    """A set ready to train on: its splits, names, and where it came from."""

    name: str
    kind: str  # "text", "pair", "image", "joint" or "swap"
    label_names: tuple[str, ...]
    train: Split
    validation: Split | None
    test: Split
    checksum: str  # SHA-256 of the ids, labels and inputs in use
    source: str
    notes: tuple[str, ...] = ()
    truth: np.ndarray | None = None  # int64[N], training labels before flipping; None where none were flipped
    slot_names: tuple[str, ...] | None = None

    @property
    def n_classes(self) -> int:
        return len(self.label_names)


def checksum(splits: dict) -> str:
    """SHA-256 over names, ids, labels and inputs of `splits` (name -> Split or None), in that order."""
    digest = hashlib.sha256()

    def add(part: bytes):  # lengths first, so that no two contents run together to the same bytes
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)

    for name, split in splits.items():
        if split is None:
            continue
        add(name.encode())
        add(split.ids.astype("<i8").tobytes())
        add(split.labels.astype("<i8").tobytes())
        for column, rows in sorted(split.inputs.items()):
            add(column.encode())
            if isinstance(rows, np.ndarray):
                add(str(rows.shape).encode() + rows.astype(rows.dtype.newbyteorder("<")).tobytes())
            elif isinstance(rows, Images):
                for row in rows.encoded:
                    add(row)
            else:
                add(json.dumps(rows, ensure_ascii=True).encode())
    return digest.hexdigest()


def _with_checksum(task: Task) -> Task:
    return replace(task, checksum=checksum({"train": task.train, "validation": task.validation, "test": task.test}))


def load(name: str, root: str | Path | None = None, *, validation: float = 0.1) -> Task:
    """Load a task by name.

    Parameters
    ----------
    name : str
        An embedded set (a key of :data:`EMBEDDED`: "docstrings", "digits", ...), a sub-folder of the data folder ("trec6",
        "atis", ...), that with the training labels that people gave ("cifar10n:worst_label", ...: the right ones are in
        ``truth``), or a set of the Hugging Face hub at its pinned revision ("hub:ag_news", ...; see
        :data:`datadiet.data.sources.HUB`).
    root : path, optional
        The data folder; ``$DATADIET_DATA`` where not given.
    validation : float
        Share of the training split held out as validation, stratified by class, the same rows every time; in [0, 0.5].
        Only for sets that publish no validation split, and for those that publish no labelled test split: there the
        official validation split is the test split. 0 holds nothing out. The embedded sets come with all three splits.

    Returns
    -------
    Task
        Ids are row numbers in the public order of each official split.

    Raises
    ------
    InputError
        Unknown name, missing folder or file, null inputs, labels out of range, an empty split, a single class, a hub out
        of reach.

    Examples
    --------
    >>> task = load("digits")
    >>> task.kind, task.n_classes, len(task.train), len(task.validation), len(task.test)
    ('image', 10, 1197, 200, 400)
    >>> task.train.inputs["image"].shape
    (1197, 1, 8, 8)
    """
    _checked("load", name, root)
    if isinstance(validation, bool) or not isinstance(validation, Real) or not 0 <= validation <= 0.5:
        raise InputError(f"data.load: validation={validation!r:.60}; it is the share of the training split held out, "
                         "from 0 to 0.5.")
    return _assemble(name, _raw(name, Path(root) if root is not None else paths.data()), validation)


def _checked(where: str, name, root) -> None:
    """Refuse what is no name of a set, or no path of a folder."""
    if not isinstance(name, str):
        raise InputError(f"data.{where}: name={name!r:.60}; give the name of a set, a string.")
    if not isinstance(root, str | PathLike | None) or "\0" in str(root):
        raise InputError(f"data.{where}: root={root!r:.60}; give the path of the data folder.")


def _raw(name: str, root: Path | None) -> Raw:
    if name in EMBEDDED:
        raw = EMBEDDED[name]()  # read once a process: hand out copies, so that nobody changes it for the next
        return replace(raw, splits={split: rows.take(np.arange(len(rows))) for split, rows in raw.splits.items()})
    if name.removeprefix("hub:") in sources.HUB and name.startswith("hub:"):
        return sources.read_hub(name.removeprefix("hub:"))
    if name in sources.SIDE_TABLES:
        raise InputError(f"data.load: {name!r} is a side table of {sources.SIDE_TABLES[name]!r}, not a task; read it with "
                         f"load_side_table({name!r}) and load({sources.SIDE_TABLES[name]!r}).")
    found = _folder(name, root)
    if name.split(":")[0] in set(sources.HUMAN) & set(found):
        return sources.read_human(name, root)
    if name in found:
        return sources.read_folder(name, root)
    found = [each for each in found if each not in sources.SIDE_TABLES]
    known = [*EMBEDDED, *found, *(f"hub:{each}" for each in sources.HUB)]
    near = difflib.get_close_matches(name, known, n=1)
    where = (f"DATADIET_DATA is not set; set it to a folder that holds {name}/train.parquet" if root is None
             else f"the data folder {root} was searched")
    raise InputError(f"data.load: unknown set {name!r}; {where}. {f'Did you mean {near[0]!r}? ' if near else ''}"
                     f"Known: {', '.join(known)}.")


def _folder(name: str, root: Path | None) -> list[str]:
    """Names in the data folder, which has to exist if it is named."""
    if root is not None and not root.is_dir():
        raise InputError(f"data.load: {name!r} is looked for in the data folder {root}, which does not exist; "
                         "correct DATADIET_DATA or `root`.")
    return sources.names_in(root)


def load_side_table(name: str, root: str | Path | None = None):
    """A table that belongs, row by row, to a split of another set: "cifar10n" or "imdb_label_errors".

    Row i of ``load_side_table("cifar10n")`` is about training image i of ``load("cifar10")`` (five human labels), and row i
    of "imdb_label_errors" about test review i of ``load("imdb")``: join on the ids of the split.

    Parameters
    ----------
    name : str
        Name of the table.
    root : path, optional
        The data folder; ``$DATADIET_DATA`` where not given.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    InputError
        Not a side table; no data folder; a folder without it.
    """
    _checked("load_side_table", name, root)
    root = Path(root) if root is not None else paths.data()
    if name not in sources.SIDE_TABLES:
        raise InputError(f"data.load_side_table: {name!r} is not a side table; known: {', '.join(sources.SIDE_TABLES)}. "
                         f"Tasks are read with load({name!r}).")
    if name not in _folder(name, root):
        raise InputError(f"data.load_side_table: {name!r} is not in the data folder ({root}); name one that has it with "
                         "DATADIET_DATA or `root`.")
    return sources.read_side_table(name, root)


def _assemble(name: str, raw: Raw, validation: float) -> Task:
    """A task from the raw set: checked, with its three splits settled and its checksum."""
    for split, found in raw.splits.items():
        labels = found.labels
        if not len(labels):
            raise InputError(f"data.load: the {split} split of {name!r} is empty; every split needs examples.")
        outside = np.flatnonzero((labels < 0) | (labels >= len(raw.label_names)))
        if len(outside):
            raise InputError(f"data.load: row {outside[0]} of the {split} split of {name!r} has the label {labels[outside[0]]}, "
                             f"but label_names has {len(raw.label_names)} classes; correct one of the two.")
    splits = raw.splits
    if len(np.unique(splits["train"].labels)) < 2:
        raise InputError(f"data.load: the training split of {name!r} has a single class; a task needs at least two.")
    train, validated, test, truth = splits["train"], splits.get("validation"), splits.get("test"), raw.truth
    if test is None:
        test, validated = validated, None  # the official validation split is all that can be tested on
    if test is None:
        raise InputError(f"data.load: {name!r} has neither a test nor a validation split; add one of them.")
    if validated is None and validation:
        size = len(train) - round(validation * len(train))
        kept = stratified(train.labels, size, HOLDOUT_SEED, f"data.load: holding {validation} of {name!r} out for validation")
        validated = train.take(np.setdiff1d(np.arange(len(train)), kept))
        train, truth = train.take(kept), None if truth is None else truth[kept]
        if not len(validated):
            raise InputError(f"data.load: {validation} of the {len(train)} training examples of {name!r} is none; "
                             "raise `validation`, or set it to 0.")
    return _with_checksum(Task(name, raw.kind, raw.label_names, train, validated, test, "", raw.source, raw.notes, truth,
                               raw.slot_names))


def shrink(task: Task, size: int, seed: int = 0) -> Task:
    """A subset of the training split: exactly `size` examples, every class in proportion, ids and order kept.

    Every class that is present stays present. Validation and test are untouched.

    Raises
    ------
    InputError
        `size` above the number of training examples, or below the number of classes present.

    Examples
    --------
    >>> len(shrink(load("digits"), 100).train)
    100
    """
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
        raise InputError(f"data.shrink: size={size!r}; give a whole number of training examples.")
    kept = stratified(task.train.labels, size, seed, f"data.shrink: size={size} of {task.name!r}")
    return _with_checksum(replace(task, train=task.train.take(kept), truth=None if task.truth is None else task.truth[kept]))


def without_validation(task: Task) -> Task:
    """The task without its validation split, which is neither read nor judged.

    Examples
    --------
    >>> without_validation(load("digits")).validation is None
    True
    """
    return _with_checksum(replace(task, validation=None))


def flip_labels(task: Task, rate: float, seed: int, kind: str = "symmetric") -> Task:
    """Give exactly ``round(rate * N)`` training examples a wrong label, and keep the truth in ``task.truth``.

    Parameters
    ----------
    task : Task
        A task whose labels have not been flipped.
    rate : float
        Share of the N training labels that changes, in [0, 1). Every chosen label truly changes: drawing the new label
        from all K classes would leave 1/K of them as they were.
    seed : int
        Chooses the examples and their new labels; the global generator is not touched.
    kind : str
        "symmetric": uniformly one of the other K - 1 classes. "pairwise": class c becomes (c + 1) mod K, noise that
        depends on the class, as between look-alikes.

    Returns
    -------
    Task
        Validation and test are untouched.

    Raises
    ------
    InputError
        A rate outside [0, 1), an unknown kind, a task that was flipped already.

    Examples
    --------
    >>> noisy = flip_labels(load("digits"), 0.1, seed=0)
    >>> int((noisy.train.labels != noisy.truth).sum())
    120
    """
    if task.truth is not None:
        raise InputError(f"data.flip_labels: the training labels of {task.name!r} are flipped already (task.truth holds "
                         "the right ones); start from a task without flips.")
    if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 <= rate < 1:
        raise InputError(f"data.flip_labels: rate={rate!r}; it is the share of labels to change, from 0 to below 1.")
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise InputError(f"data.flip_labels: seed={seed!r}; it is a whole number, 0 or more.")
    if not isinstance(kind, str) or kind not in ("symmetric", "pairwise"):
        raise InputError(f"data.flip_labels: kind={kind!r}; choose 'symmetric' or 'pairwise'.")
    labels = wrong_labels(task.train.labels, task.n_classes, rate, seed, kind)
    return _with_checksum(replace(task, train=replace(task.train, labels=labels), truth=task.train.labels))
