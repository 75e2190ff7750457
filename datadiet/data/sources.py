"""Where examples come from: a folder of Parquet files, or the Hugging Face hub. Both are read into one plain form, `Raw`.

A folder holds one sub-folder a set, with ``train.parquet`` and, where they exist, ``validation.parquet`` and
``test.parquet``. The columns tell the kind: ``text`` (and ``text_pair``) or ``image`` (JPEG or PNG bytes), each with
an integer ``label``; or ``tokens``, ``slots`` and ``intent``. Names of the classes, in label order, are in the schema
metadata of the file (``label_names``, and ``slot_labels`` for joint sets).
"""

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from datadiet.errors import InputError
from datadiet.prune import largest_remainders

SPLITS = ("train", "validation", "test")
SIDE_TABLES = {"cifar10n": "cifar10", "imdb_label_errors": "imdb"}  # row i belongs to row i of the set named
HUMAN = {"cifar10n": "clean_label"}  # side tables of labels that people gave to training rows -> the column of the right ones
COLUMNS = {"joint": ("tokens", "slots", "intent"), "image": ("image", "label"),
           "pair": ("text", "text_pair", "label"), "text": ("text", "label")}


class Images:
    """Encoded images, decoded when asked for: ``images[positions]`` is float32 [M, C, H, W] in [0, 1].

    CIFAR-10's training images are 15 MB encoded and 614 MB as floats. ``numpy.asarray(images)`` decodes them all.
    """

    def __init__(self, encoded: list[bytes]):
        self.encoded = encoded

    def __len__(self):
        return len(self.encoded)

    def __array__(self, dtype=None, copy=None):
        return self[np.arange(len(self))].astype(dtype or np.float32, copy=False)

    def __getitem__(self, positions):
        from PIL import Image

        def pixels(row):  # [C, H, W] uint8
            try:
                with Image.open(io.BytesIO(self.encoded[row])) as picture:
                    return np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
            except OSError:
                raise InputError(f"data.Images: image {row} is no picture that Pillow can read; fetch it again.") from None

        chosen = np.arange(len(self))[positions]
        decoded = [pixels(int(row)) for row in np.atleast_1d(chosen)]
        if len(sizes := {each.shape for each in decoded}) > 1:
            raise InputError(f"data.Images: images of {len(sizes)} sizes, such as {sorted(sizes)[:2]}; make them one size.")
        return np.stack(decoded if chosen.ndim else decoded[0]).astype(np.float32) / 255

    def take(self, positions) -> "Images":
        """The images at `positions`, still encoded."""
        return Images([self.encoded[int(row)] for row in positions])


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


def _take(rows, positions):
    if isinstance(rows, Images):
        return rows.take(positions)
    return rows[positions] if isinstance(rows, np.ndarray) else [rows[int(p)] for p in positions]


@dataclass(frozen=True)
class Raw:
    """A set as it was found: official splits only, nothing held out."""

    kind: str  # "text", "pair", "image", "joint" or "swap"
    label_names: tuple[str, ...]
    splits: dict[str, Split]
    source: str
    notes: tuple[str, ...] = ()
    slot_names: tuple[str, ...] | None = None
    truth: np.ndarray | None = None  # training labels before any planted flips


def stratified(labels: np.ndarray, size: int, seed: int, what: str) -> np.ndarray:
    """`size` sorted positions, each class in proportion (largest remainders) and no class lost."""
    classes, counts = np.unique(labels, return_counts=True)
    if not len(classes) <= size <= len(labels):
        raise InputError(f"{what} leaves {size} of {len(labels)} training examples; with {len(classes)} classes present, "
                         f"choose a size from {len(classes)} to {len(labels)}.")
    take = largest_remainders(counts * size / len(labels), size, least=1)
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(labels == c))[:n] for c, n in zip(classes, take, strict=True)]
    return np.sort(np.concatenate(chosen))


def wrong_labels(labels: np.ndarray, n_classes: int, rate: float, seed: int, kind: str = "symmetric") -> np.ndarray:
    """A copy of `labels` of which exactly ``round(rate * N)`` are wrong (see :func:`datadiet.data.flip_labels`)."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(labels), round(rate * len(labels)), replace=False)
    # Adding 1 .. K-1 mod K always leaves the true class; a draw from all K classes would leave 1/K of the labels right.
    shift = rng.integers(1, n_classes, len(chosen)) if kind == "symmetric" else 1
    flipped = labels.copy()
    flipped[chosen] = (flipped[chosen] + shift) % n_classes
    return flipped


def names_in(root: Path | None) -> list[str]:
    """Sets and side tables that the folder `root` holds."""
    if root is None or not root.is_dir():
        return []
    return sorted(folder.name for folder in root.iterdir() if any(folder.glob("*.parquet")))


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
        return table.select(table.column_names)  # names that were damaged are not UTF-8
    except (pa.ArrowException, OSError, ValueError, KeyError) as problem:
        raise InputError(f"data.load: {path} cannot be read as Parquet ({str(problem).splitlines()[0]}); "
                         "fetch or write the file again.") from None


def _names(table: pa.Table, key: str, path: Path) -> tuple[str, ...]:
    found = (table.schema.metadata or {}).get(key.encode())
    if found is None:
        raise InputError(f"data.load: {path} has no {key!r} in its schema metadata; write it there as a JSON list, in label "
                         "order, with table.replace_schema_metadata.")
    try:
        names = json.loads(found)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise InputError(f"data.load: {path} has {key!r} {found.decode(errors='replace')[:60]!r} in its schema metadata; write a "
                         "JSON list of strings there, each once.")
    return tuple(names)


def _column(table: pa.Table, name: str, path: Path) -> list:
    return _whole(table.column(name).to_pylist(), name, str(path))


def _words(table: pa.Table, name: str, path: Path) -> list:
    rows = _column(table, name, path)
    if not all(isinstance(row, list) and all(isinstance(word, str) for word in row) for row in rows):
        kind = table.schema.field(name).type
        raise InputError(f"data.load: column {name!r} of {path} is {kind}; write a list of strings a row.")
    return rows


def _whole(rows: list, name: str, where: str) -> list:
    """The rows as they are; a null, at the top or inside a list, is an error and not a guess."""
    empty = [i for i, row in enumerate(rows) if row is None or (isinstance(row, list) and (not row or None in row))]
    if empty:
        raise InputError(f"data.load: column {name!r} of {where} has {len(empty)} null row(s), the first is row {empty[0]}; "
                         "fill or drop them first.")
    return rows


def _coded(values: list[str], names: tuple[str, ...], what: str, path: Path) -> list[int]:
    code = {name: i for i, name in enumerate(names)}
    unknown = sorted({repr(value) for value in values if not isinstance(value, str) or value not in code})
    if unknown:
        raise InputError(f"data.load: {path} has the {what}(s) [{', '.join(unknown[:3])}], which its schema metadata does not "
                         "name; add them there.")
    return [code[value] for value in values]


def read_folder(name: str, root: Path) -> Raw:
    """Read the set `name` from the folder `root`."""
    folder, splits, kinds, names, slot_names = root / name, {}, {}, {}, None
    if not (folder / "train.parquet").is_file():
        raise InputError(f"data.load: {folder} holds no train.parquet; every set needs one.")
    for split in SPLITS:
        path = folder / f"{split}.parquet"
        if not path.is_file():
            continue
        table = _read(path)
        kind = next((kind for kind, columns in COLUMNS.items() if set(columns) <= set(table.column_names)), None)
        if kind is None:
            raise InputError(f"data.load: {path} has the columns {table.column_names}; "
                             f"expected one of {[list(columns) for columns in COLUMNS.values()]}.")
        kinds[kind], names[label_names := _names(table, "label_names", path)] = path, path
        if len(kinds) > 1 or len(names) > 1:
            what = "columns" if len(kinds) > 1 else "label_names"
            raise InputError(f"data.load: {path} differs from train.parquet in its {what}; the splits of a set agree on both.")
        inputs = {}
        if kind == "joint":
            slot_names = _names(table, "slot_labels", path)
            tokens, slots = _words(table, "tokens", path), _words(table, "slots", path)
            wrong = [i for i, (words, tags) in enumerate(zip(tokens, slots, strict=True)) if len(words) != len(tags)]
            if wrong:
                raise InputError(f"data.load: row {wrong[0]} of {path} has {len(tokens[wrong[0]])} tokens and "
                                 f"{len(slots[wrong[0]])} slots; give one slot a token.")
            inputs = {"tokens": tokens, "slots": [_coded(tags, slot_names, "slot", path) for tags in slots]}
            labels = _coded(_column(table, "intent", path), label_names, "intent", path)
        else:
            inputs = {column: _column(table, column, path) for column in COLUMNS[kind][:-1]}
            wanted = bytes if kind == "image" else str
            wrong = [column for column, rows in inputs.items() if rows and not isinstance(rows[0], wanted)]
            if wrong:
                raise InputError(f"data.load: column {wrong[0]!r} of {path} is {table.schema.field(wrong[0]).type}; "
                                 f"write {'the bytes of JPEG or PNG files' if kind == 'image' else 'strings'}.")
            if kind == "image":
                inputs = {"image": Images(inputs["image"])}
            labels = _column(table, "label", path)
            if not pa.types.is_integer(table.schema.field("label").type):
                raise InputError(f"data.load: column 'label' of {path} is {table.schema.field('label').type}; "
                                 "write integers that index label_names.")
        splits[split] = Split(np.arange(len(labels)), np.asarray(labels, dtype=np.int64), inputs)
    return Raw(kind, label_names, splits, f"Parquet folder {name}", _notes(name, root), slot_names)


def _notes(name: str, root: Path) -> tuple[str, ...]:
    """Notes of the folder's ``manifest.json`` about the set: its notes, repeated rows, rows shared between splits."""
    path = root / "manifest.json"
    if not path.is_file():
        return ()
    try:
        entry = next((each for each in json.loads(path.read_text(encoding="utf-8"))["datasets"] if each["name"] == name), {})
        facts = list(map(str, entry.get("notes", ())))
        for split, about in entry.get("splits", {}).items():
            if about.get("duplicate_rows"):
                facts.append(f"{split}: {about['duplicate_rows']} of {about['rows']} rows repeat an earlier row.")
        for pair, count in entry.get("distinct_inputs_shared_between_splits", {}).items():
            if count:
                facts.append(f"{' and '.join(pair.split('&'))} share {count} distinct inputs.")
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise InputError(f"data.load: {path} cannot be read ({type(problem).__name__}: {problem}); mend it, or move it away: a "
                         "set needs none.") from None
    return tuple(facts)


def read_side_table(name: str, root: Path):  # -> pandas.DataFrame
    return _read(next((root / name).glob("*.parquet"))).to_pandas()


def read_human(name: str, root: Path) -> Raw:
    """The set "TABLE:COLUMN": its training labels are that column of a side table in :data:`HUMAN`, the right ones its truth."""
    table, _, column = name.partition(":")
    frame, right = read_side_table(table, root), HUMAN[table]
    columns = [each for each in frame.columns if "label" in each and each != right]
    if column not in columns:
        raise InputError(f"data.load: {name!r} asks for the column {column!r} of the side table {table!r}; "
                         f"choose {table}: and one of {', '.join(columns)}.")
    raw = read_folder(SIDE_TABLES[table], root)
    train = raw.splits["train"]
    if not np.array_equal(frame[right], train.labels):
        raise InputError(f"data.load: {right!r} of the side table {table!r} differs from the training labels of "
                         f"{SIDE_TABLES[table]!r}; its rows must be in the order of that set. Fetch both again.")
    splits = raw.splits | {"train": replace(train, labels=np.array(frame[column], np.int64))}
    return replace(raw, splits=splits, source=f"Parquet folder {SIDE_TABLES[table]}, labels of {name}", truth=train.labels)


@dataclass(frozen=True)
class HubSet:
    """Where a set lies on the Hugging Face hub, and the names of its columns there."""

    repository: str
    config: str | None
    revision: str
    splits: dict[str, str]  # our name -> theirs
    columns: dict[str, str]  # our name -> theirs


# Each revision is a commit that many public repositories pin for this set and whose files are Parquet: no code of the hub
# is run. GLUE publishes no labels for its test splits, so they are left out.
GLUE = ("nyu-mll/glue", "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c")
NO_TEST, TRAIN_TEST = {"train": "train", "validation": "validation"}, {"train": "train", "test": "test"}
SENTENCE, NLI = {"text": "sentence"}, {"text": "premise", "text_pair": "hypothesis"}
HUB = {
    "ag_news": HubSet("fancyzhx/ag_news", None, "eb185aade064a813bc0b7f42de02595523103ca4", TRAIN_TEST, {"text": "text"}),
    "mnli": HubSet(GLUE[0], "mnli", GLUE[1], {"train": "train", "validation": "validation_matched"}, NLI),
    "sst2": HubSet(GLUE[0], "sst2", GLUE[1], NO_TEST, SENTENCE),
    "cola": HubSet(GLUE[0], "cola", GLUE[1], NO_TEST, SENTENCE),
    "rte": HubSet(GLUE[0], "rte", GLUE[1], NO_TEST, {"text": "sentence1", "text_pair": "sentence2"}),
    "snli": HubSet("stanfordnlp/snli", None, "cdb5c3d5eed6ead6e5a341c8e56e669bb666725b", {each: each for each in SPLITS}, NLI),
    "imdb": HubSet("stanfordnlp/imdb", None, "e6281661ce1c48d982bc483cf8a173c1bbeb5d31", TRAIN_TEST, {"text": "text"}),
    "cifar10": HubSet("uoft-cs/cifar10", None, "0b2714987fa478483af9968de7c934580d0bb9a2", TRAIN_TEST, {"image": "img"}),
}


def load_hub(entry: HubSet):
    """The set `entry` by ``datasets.load_dataset``: a mapping of split name -> dataset. Tests put a stand-in here."""
    import datasets

    return datasets.load_dataset(entry.repository, entry.config, revision=entry.revision)


def read_hub(name: str) -> Raw:
    """Read the set `name` of :data:`HUB`; rows without a gold label (-1, in SNLI) are dropped, ids are the hub's rows."""
    entry, notes, splits = HUB[name], [], {}
    try:
        found = load_hub(entry)
    except Exception as problem:  # the hub client fails in many ways: no network, no such revision, no space, a proxy
        first = (str(problem).splitlines() or ["no message"])[0][:120]
        raise InputError(f"data.load: 'hub:{name}' ({entry.repository} at {entry.revision[:12]}) could not be fetched from the "
                         f"Hugging Face hub ({type(problem).__name__}: {first}). Fetch it once with a network (it stays in the "
                         "local cache), or use a set of the data folder or an embedded one.") from None
    for split, theirs in entry.splits.items():
        table = found.get(theirs)
        wanted = {*entry.columns.values(), "label"}
        if table is None or not wanted <= set(table.column_names):
            raise InputError(f"data.load: 'hub:{name}' has no split {theirs!r} with the columns {sorted(wanted)}, so it is not "
                             "the pinned one; empty the local cache of the hub and load again.")
        labels = np.asarray(table["label"], dtype=np.int64)
        gold = np.flatnonzero(labels >= 0)
        if len(gold) < len(labels):
            notes.append(f"{split}: {len(labels) - len(gold)} of {len(labels)} rows have no gold label and were dropped.")
        if "image" in entry.columns:
            inputs = {"image": Images(table.data.column(entry.columns["image"]).combine_chunks().field("bytes").to_pylist())}
        else:
            inputs = {ours: _whole(list(table[column]), column, f"the split {theirs!r} of 'hub:{name}'")
                      for ours, column in entry.columns.items()}
        splits[split] = Split(np.arange(len(labels)), labels, inputs).take(gold)
    kind = "image" if "image" in entry.columns else "pair" if "text_pair" in entry.columns else "text"
    names = tuple(found[entry.splits["train"]].features["label"].names)
    return Raw(kind, names, splits, f"Hugging Face hub {entry.repository}@{entry.revision}", tuple(notes))
