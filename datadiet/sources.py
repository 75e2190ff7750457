"""Where examples come from: a folder of Parquet files, or the Hugging Face hub. Both are read into one plain form, `Raw`.

A folder holds one sub-folder a set, with ``train.parquet`` and, where they exist, ``validation.parquet`` and
``test.parquet``. The columns tell the kind of the set: ``text`` (and ``text_pair``), ``image`` (JPEG or PNG bytes), each
with an integer ``label``; or ``tokens``, ``slots`` and ``intent``. Names of the classes, in label order, are in the schema
metadata of the file (``label_names``, and ``slot_labels`` for joint sets).
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from datadiet.errors import InputError

SPLITS = ("train", "validation", "test")
SIDE_TABLES = {"cifar10n": "cifar10", "imdb_label_errors": "imdb"}  # row i belongs to row i of the set named
COLUMNS = {"joint": ("tokens", "slots", "intent"), "image": ("image", "label"),
           "pair": ("text", "text_pair", "label"), "text": ("text", "label")}


@dataclass(frozen=True)
class Raw:
    """A set as it was found: official splits only, nothing held out."""

    kind: str  # "text", "pair", "image" or "joint"
    label_names: tuple[str, ...]
    splits: dict  # split name -> (inputs, labels), rows in the public order
    source: str
    notes: tuple[str, ...] = ()
    slot_names: tuple[str, ...] | None = None
    truth: np.ndarray | None = None  # training labels before any planted flips


class Images:
    """Encoded images that are decoded when they are asked for: ``images[positions]`` is float32 [M, C, H, W] in [0, 1].

    50,000 CIFAR images are 15 MB encoded and 614 MB as floats, and a task is often shrunk before it is used.
    ``numpy.asarray(images)`` decodes them all.
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
            with Image.open(io.BytesIO(self.encoded[row])) as picture:
                return np.asarray(picture.convert("RGB")).transpose(2, 0, 1)

        chosen = np.arange(len(self))[positions]
        if chosen.ndim == 0:
            return pixels(int(chosen)).astype(np.float32) / 255
        return np.stack([pixels(int(row)) for row in chosen]).astype(np.float32) / 255

    def take(self, positions) -> "Images":
        """The images at `positions`, still encoded."""
        return Images([self.encoded[int(row)] for row in positions])


def names_in(root: Path | None) -> list[str]:
    """Sets and side tables that the folder `root` holds."""
    if root is None or not root.is_dir():
        return []
    return sorted(folder.name for folder in root.iterdir() if any(folder.glob("*.parquet")))


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as problem:
        raise InputError(f"data.load: {path} cannot be read as Parquet ({str(problem).splitlines()[0]}); "
                         "fetch or write the file again.") from None


def _names(table: pa.Table, key: str, path: Path) -> tuple[str, ...]:
    found = (table.schema.metadata or {}).get(key.encode())
    if found is None:
        raise InputError(f"data.load: {path} has no {key!r} in its schema metadata; write it there as a JSON list, in label "
                         "order, with table.replace_schema_metadata.")
    return tuple(json.loads(found))


def _column(table: pa.Table, name: str, path: Path) -> list:
    """A column as a list; a null, at the top or inside a list, is an error and not a guess."""
    rows = table.column(name).to_pylist()
    empty = [i for i, row in enumerate(rows) if row is None or (isinstance(row, list) and (not row or None in row))]
    if empty:
        raise InputError(f"data.load: column {name!r} of {path} has {len(empty)} null row(s), the first is row {empty[0]}; "
                         "fill or drop them before writing the file.")
    return rows


def _coded(values: list[str], names: tuple[str, ...], what: str, path: Path) -> list[int]:
    code = {name: i for i, name in enumerate(names)}
    unknown = sorted(set(values) - set(code))
    if unknown:
        raise InputError(f"data.load: {path} has the {what}(s) {unknown[:3]}, which its schema metadata does not name; "
                         "add them there.")
    return [code[value] for value in values]


def read_folder(name: str, root: Path) -> Raw:
    """Read the set `name` from the folder `root`."""
    folder, splits, slot_names = root / name, {}, None
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
        if splits and kind != first:
            raise InputError(f"data.load: {path} is of kind {kind!r}, train.parquet of kind {first!r}; "
                             "the splits of a set have the same columns.")
        first, names = kind, _names(table, "label_names", path)
        if splits and names != label_names:
            raise InputError(f"data.load: label_names of {path} differ from those of train.parquet; write the same list to both.")
        label_names, inputs = names, {}
        if kind == "joint":
            slot_names = _names(table, "slot_labels", path)
            tokens, slots = _column(table, "tokens", path), _column(table, "slots", path)
            wrong = [i for i, (words, tags) in enumerate(zip(tokens, slots, strict=True)) if len(words) != len(tags)]
            if wrong:
                raise InputError(f"data.load: row {wrong[0]} of {path} has {len(tokens[wrong[0]])} tokens and "
                                 f"{len(slots[wrong[0]])} slots; give one slot a token.")
            inputs = {"tokens": tokens, "slots": [_coded(tags, slot_names, "slot", path) for tags in slots]}
            labels = _coded(_column(table, "intent", path), label_names, "intent", path)
        else:
            inputs = {column: _column(table, column, path) for column in COLUMNS[kind][:-1]}
            if kind == "image":
                inputs = {"image": Images(inputs["image"])}
            labels = _column(table, "label", path)
            if not pa.types.is_integer(table.schema.field("label").type):
                raise InputError(f"data.load: column 'label' of {path} is {table.schema.field('label').type}; "
                                 "write integers that index label_names.")
        splits[split] = (inputs, np.asarray(labels, dtype=np.int64))
    return Raw(first, label_names, splits, f"Parquet folder {name}", _notes(name, root), slot_names)


def _notes(name: str, root: Path) -> tuple[str, ...]:
    """What the folder's ``manifest.json`` knows about the set: its notes, repeated rows, rows shared between splits."""
    path = root / "manifest.json"
    if not path.is_file():
        return ()
    entry = next((each for each in json.loads(path.read_text())["datasets"] if each["name"] == name), {})
    facts = list(entry.get("notes", ()))
    for split, about in entry.get("splits", {}).items():
        if about.get("duplicate_rows"):
            facts.append(f"{split}: {about['duplicate_rows']} of {about['rows']} rows repeat an earlier row.")
    for pair, count in entry.get("distinct_inputs_shared_between_splits", {}).items():
        if count:
            facts.append(f"{' and '.join(pair.split('&'))} share {count} distinct inputs.")
    return tuple(facts)
