"""Named tasks: real sets with stable example ids, label noise whose truth is kept, class-stratified subsets.

    task = load("trec6")                       # from the folder that DATADIET_DATA names
    task = flip_labels(task, 0.1, seed=0)      # 10 % of the training labels are now wrong; task.truth knows which
    task = shrink(task, 2000)                  # 2,000 training examples, every class in proportion
    task.train.labels, task.train.inputs["text"], task.train.ids
"""

import difflib
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from datadiet import paths, sources
from datadiet.errors import InputError
from datadiet.sources import Images, Raw

HOLDOUT_SEED = 20_210_715  # fixes which training rows become validation, for every set and every user


@dataclass(frozen=True)
class Split:
    """Examples in the public order of their set."""

    ids: np.ndarray  # int64[N], row number in the public order of the official split
    labels: np.ndarray  # int64[N], the intent where the kind is "joint"
    inputs: dict  # column name -> N rows

    def __len__(self):
        return len(self.labels)

    def take(self, positions) -> "Split":
        """The examples at `positions` (0 .. N-1, in the order given), with their ids."""
        positions = np.asarray(positions, dtype=np.int64)
        return Split(self.ids[positions], self.labels[positions],
                     {name: _take(rows, positions) for name, rows in self.inputs.items()})


@dataclass(frozen=True)
class Task:
    """A set ready to train on: its splits, names, and where it came from."""

    name: str
    kind: str  # "text", "pair", "image" or "joint"
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


def _take(rows, positions):
    if isinstance(rows, Images):
        return rows.take(positions)
    return rows[positions] if isinstance(rows, np.ndarray) else [rows[int(p)] for p in positions]


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
        A sub-folder of the data folder ("trec6", "sst2_sentences", "atis", ...).
    root : path, optional
        The data folder; ``$DATADIET_DATA`` where not given.
    validation : float
        Share of the training split held out as validation, stratified by class, the same rows every time; in [0, 0.5].
        Only for sets that publish no validation split, and for those that publish no test split: there the official
        validation split is the test split. 0 holds nothing out.

    Raises
    ------
    InputError
        Unknown name, missing folder or file, null inputs, labels out of range, an empty split, a single class.
    """
    if not 0 <= validation <= 0.5:
        raise InputError(f"data.load: validation={validation}; it is the share of the training split held out, from 0 to 0.5.")
    return _assemble(name, _raw(name, Path(root) if root is not None else paths.data()), validation)


def _raw(name: str, root: Path | None) -> Raw:
    if name in sources.SIDE_TABLES:
        raise InputError(f"data.load: {name!r} is a side table of {sources.SIDE_TABLES[name]!r}, not a task; read it with "
                         f"load_side_table({name!r}) and load({sources.SIDE_TABLES[name]!r}).")
    if root is not None and not root.is_dir():
        raise InputError(f"data.load: the data folder {root} does not exist; correct DATADIET_DATA or `root`.")
    found = sources.names_in(root)
    if name in found:
        return sources.read_folder(name, root)
    near = difflib.get_close_matches(name, found, n=1)
    where = "no data folder is set: name one with DATADIET_DATA" if root is None else f"the folder {root} was searched"
    raise InputError(f"data.load: unknown set {name!r}; {where}. {f'Did you mean {near[0]!r}? ' if near else ''}"
                     f"Known: {', '.join(found)}.")


def _assemble(name: str, raw: Raw, validation: float) -> Task:
    """Check what was read, settle the three splits, and sum it up."""
    splits = {}
    for split, (inputs, labels) in raw.splits.items():
        if not len(labels):
            raise InputError(f"data.load: the {split} split of {name!r} is empty; every split needs examples.")
        outside = np.flatnonzero((labels < 0) | (labels >= len(raw.label_names)))
        if len(outside):
            raise InputError(f"data.load: row {outside[0]} of the {split} split of {name!r} has the label {labels[outside[0]]}, "
                             f"but label_names has {len(raw.label_names)} classes; correct one of the two.")
        splits[split] = Split(np.arange(len(labels)), labels, inputs)
    if len(np.unique(splits["train"].labels)) < 2:
        raise InputError(f"data.load: the training split of {name!r} has a single class; a task needs at least two.")
    train, held, test, truth = splits["train"], splits.get("validation"), splits.get("test"), raw.truth
    if test is None:
        test, held = held, None  # the official validation split is all that can be tested on
    if test is None:
        raise InputError(f"data.load: {name!r} has neither a test nor a validation split; add one of them.")
    if held is None and validation:
        size = len(train) - round(validation * len(train))
        kept = _stratified(train.labels, size, HOLDOUT_SEED, f"data.load: holding {validation} of {name!r} out for validation")
        held = train.take(np.setdiff1d(np.arange(len(train)), kept))
        train, truth = train.take(kept), None if truth is None else truth[kept]
        if not len(held):
            raise InputError(f"data.load: {validation} of the {len(train)} training examples of {name!r} is none; "
                             "raise `validation`, or set it to 0.")
    return _with_checksum(Task(name, raw.kind, raw.label_names, train, held, test, "", raw.source, raw.notes, truth,
                               raw.slot_names))


def _stratified(labels: np.ndarray, size: int, seed: int, what: str) -> np.ndarray:
    """`size` sorted positions, each class in proportion (largest remainders) and no class lost."""
    classes, counts = np.unique(labels, return_counts=True)
    if not len(classes) <= size <= len(labels):
        raise InputError(f"{what} leaves {size} of {len(labels)} training examples; with {len(classes)} classes present, "
                         f"choose a size from {len(classes)} to {len(labels)}.")
    quota = counts * size / len(labels)
    take = np.maximum(np.floor(quota).astype(np.int64), 1)
    while take.sum() < size:  # to the class furthest below its share
        take[np.argmax(np.where(take < counts, quota - take, -np.inf))] += 1
    while take.sum() > size:  # many rare classes were rounded up to one: from the class furthest above its share
        take[np.argmin(np.where(take > 1, quota - take, np.inf))] -= 1
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(labels == c))[:n] for c, n in zip(classes, take, strict=True)]
    return np.sort(np.concatenate(chosen))


def shrink(task: Task, size: int, seed: int = 0) -> Task:
    """A subset of the training split: exactly `size` examples, every class in proportion, ids kept.

    Every class that is present stays present. Validation and test are untouched.

    Raises
    ------
    InputError
        `size` above the number of training examples, or below the number of classes present.
    """
    kept = _stratified(task.train.labels, size, seed, f"data.shrink: size={size} of {task.name!r}")
    return _with_checksum(replace(task, train=task.train.take(kept), truth=None if task.truth is None else task.truth[kept]))


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
    """
    if task.truth is not None:
        raise InputError(f"data.flip_labels: the labels of {task.name!r} are flipped already; start from a task as loaded.")
    if not 0 <= rate < 1:
        raise InputError(f"data.flip_labels: rate={rate}; it is the share of labels to change, from 0 to below 1.")
    if kind not in ("symmetric", "pairwise"):
        raise InputError(f"data.flip_labels: kind={kind!r}; choose 'symmetric' or 'pairwise'.")
    n, k = len(task.train), task.n_classes
    rng = np.random.default_rng(seed)
    chosen = rng.choice(n, round(rate * n), replace=False)
    shift = rng.integers(1, k, len(chosen)) if kind == "symmetric" else 1
    labels = task.train.labels.copy()
    labels[chosen] = (labels[chosen] + shift) % k
    return _with_checksum(replace(task, train=replace(task.train, labels=labels), truth=task.train.labels))
