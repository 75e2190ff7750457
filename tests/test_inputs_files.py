"""Whatever lies in a file that somebody gives: what is read is what was written, or it is refused in one paragraph.

Parquet files of any types, tables turned into other kinds, predictions, scores to prune by, tokens with tags, sets in a folder,
formats of others, configs, and stores to be merged. DATADIET_INPUTS is the number of inputs a property, as in test_inputs.py.
"""

import contextlib
import csv
import datetime
import io
import json
import os
import shutil
import sqlite3
import tempfile
from decimal import Decimal
from pathlib import Path
from unittest import mock

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from small import config, write_words
from test_inputs import ANYTHING, ARRAYS, CELL, MANY, THINGS, answer, asked, predictions, same_bytes, stored

from datadiet import data, prune, runs, tables
from datadiet.hooks import formats
from datadiet.runs import checked, store
from datadiet.runs.merge import export, merge
from datadiet.tables import predicted, pruned, tagged
from datadiet.tables.columns import Columns

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)


# --- Parquet files, and tables turned into other kinds

TYPES = st.sampled_from([
    (pa.int8(), st.integers(-128, 127)), (pa.uint64(), st.integers(0, 2**64 - 1)), (pa.float32(), st.floats(width=32)),
    (pa.float64(), st.floats()), (pa.bool_(), st.booleans()), (pa.string(), CELL), (pa.large_string(), TEXT),
    (pa.binary(), st.binary(max_size=4)), (pa.date32(), st.dates()), (pa.timestamp("us"), st.datetimes()),
    (pa.timestamp("s", "UTC"), st.datetimes(datetime.datetime(1, 1, 3), datetime.datetime(2100, 1, 1))),
    (pa.timestamp("ns"), st.integers(-(2**62), 2**62)),
    (pa.decimal128(12, 2), st.integers(-99, 99).map(lambda n: Decimal(n) / 100)),
    (pa.list_(pa.string()), st.lists(TEXT, max_size=3)), (pa.list_(pa.int64()), st.lists(st.integers(-9, 9), max_size=3)),
    (pa.struct([("a", pa.int64()), ("b", pa.string())]), st.fixed_dictionaries({"a": st.integers(0, 9), "b": TEXT})),
    (pa.null(), st.none()), (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["a", "b", "\n"])),
    (pa.duration("ms"), st.integers(0, 10**6)), (pa.time64("us"), st.times()),
    (pa.map_(pa.string(), pa.int64()), st.just([("a", 1)])),
])  # fmt: skip


TITLES = st.lists(TEXT | st.sampled_from(["text", "label"]), min_size=1, max_size=4)


@st.composite
def arrow(draw, names=TITLES):
    """A table of any types."""
    n, columns = draw(st.integers(0, 4)), []
    titles = draw(names)
    for _ in titles:
        kind, value = draw(TYPES)
        columns.append(pa.array([draw(st.none() | value) for _ in range(n)], kind))
    about = draw(st.none() | st.dictionaries(TEXT.filter(bool), TEXT, max_size=2))
    return pa.Table.from_arrays(columns, titles).replace_schema_metadata(about)


@given(arrow())
@MANY
def test_a_parquet_file_of_any_types_keeps_them(given_):
    with folder() as place:
        pq.write_table(given_, place / "t.parquet")
        there = pq.ParquetFile(place / "t.parquet").read()
        table = answer(lambda: tables.read(place / "t.parquet"))
        if table is None:
            return
        assert len(table) == given_.num_rows > 0 and list(table.columns) == given_.column_names
        for name in set(given_.column_names):
            cells = answer(lambda name=name: table.cells(name))
            if cells is not None:
                assert same_bytes(cells) == same_bytes(there.column(name).to_pylist())
        wider = answer(lambda: table.with_columns({"datadiet_new": [0.5, None, 1.0, 2.0][: len(table)]}))
        if wider is not None:
            again = pq.ParquetFile(io.BytesIO(stored(wider))).read()
            assert again.select(range(len(table.columns))).equals(there, check_metadata=True) or "nan" in str(there).lower()


@given(arrow(), st.data())
@MANY
def test_a_damaged_parquet_file_is_refused_or_read(given_, more):
    stream = io.BytesIO()
    pq.write_table(given_, stream)
    whole = bytearray(stream.getvalue())
    if more.draw(st.booleans()):
        whole = whole[: more.draw(st.integers(0, len(whole)))]
    for _ in range(more.draw(st.integers(0, 3))):
        if whole:
            whole[more.draw(st.integers(0, len(whole) - 1))] ^= 1 << more.draw(st.integers(0, 7))
    with folder() as place:
        (place / "t.parquet").write_bytes(whole)
        table = answer(lambda: tables.read(place / "t.parquet"))
        for name in dict.fromkeys(() if table is None else table.columns):
            answer(lambda name=name: table.cells(name))


@given(arrow(), st.data())
@MANY
def test_descriptions_in_a_parquet_file_that_are_of_another_kind_change_nothing_or_are_refused(given_, more):
    numbers = st.integers(-3, 3) | JSON
    title = more.draw(st.sampled_from(given_.column_names))
    classes = st.fixed_dictionaries({"names": st.lists(TEXT, max_size=3) | JSON, "_type": st.just("ClassLabel")})
    feature = classes | st.fixed_dictionaries({"feature": classes | JSON, "_type": st.just("Sequence")}) | JSON
    index = st.fixed_dictionaries({"kind": st.just("range"), "start": numbers, "step": numbers, "name": st.none() | TEXT | JSON})
    about = {
        "huggingface": json.dumps(more.draw(JSON | feature.map(lambda one: {"info": {"features": {title: one}}}))),
        "pandas": json.dumps(more.draw(JSON | st.fixed_dictionaries({"index_columns": st.tuples(index), "columns": JSON}))),
    }
    table = Columns(given_.replace_schema_metadata(about))
    for name in dict.fromkeys(table.columns):
        answer(lambda name=name: table.cells(name))
    part = answer(lambda: table.take(np.arange(len(table))))
    assert part.arrow.select(range(len(table.columns))).cast(given_.schema).equals(given_) or "nan" in str(given_).lower()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder that datasets saved."""
    place = tmp_path_factory.mktemp("saved") / "rows"
    whole = {"text": ["aé", "bb", None], "label": [0, 1, 0], "more": [["a"], [], ["b", "c"]]}
    bars = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(whole).save_to_disk(place)
    if bars:
        datasets.enable_progress_bars()
    return place


@given(st.data())
@MANY
def test_a_damaged_folder_of_datasets_is_refused_or_read(saved, more):
    with folder() as place:
        shutil.copytree(saved, place / "rows")
        file = more.draw(st.sampled_from(sorted((place / "rows").iterdir())))
        whole, kind = bytearray(file.read_bytes()), more.draw(st.sampled_from(["flip", "cut", "json"]))
        if kind == "json" and file.suffix == ".json":
            described = json.loads(whole)
            name = more.draw(st.sampled_from(sorted(described)))
            described |= {name: more.draw(JSON | st.just([{"filename": "../x"}]))}
            if more.draw(st.booleans()):
                described.pop(name)
            whole = json.dumps(described).encode()
        elif kind == "cut":
            whole = whole[: more.draw(st.integers(0, len(whole)))]
        else:
            whole[more.draw(st.integers(0, len(whole) - 1))] ^= 1 << more.draw(st.integers(0, 7))
        file.write_bytes(whole)
        table = answer(lambda: tables.read(place / "rows"))
        for name in () if table is None else table.columns:
            answer(lambda name=name: table.cells(name))


def _equal(one, other) -> bool:
    """A cell and what came back of it: the same, or the same in the words of a file of text."""
    if one is None or isinstance(one, float) and one != one:
        return other in (None, "") or other != other
    if isinstance(one, float) and isinstance(other, str | int):
        return float(other) == one
    return one == other or isinstance(other, str) and (str(one) == other or json.dumps(one, ensure_ascii=False) == other)


@given(st.lists(st.tuples(CELL | st.none() | st.booleans() | st.integers(-9, 2**60) | st.floats(allow_infinity=False),
                          CELL, st.lists(TEXT, max_size=2) | st.none()), min_size=1, max_size=4),
       st.sampled_from(["csv", "tsv", "jsonl", "json", "parquet", "csv.gz"]),
       st.sampled_from(["csv", "tsv", "jsonl", "json", "parquet"]))  # fmt: skip
@MANY
def test_a_table_turned_into_another_kind_has_the_same_cells(rows, first, second):
    text = "\n".join(json.dumps({"a": a, "b": b, "c": c}) for a, b, c in rows)
    with folder() as place:
        (place / "t.jsonl").write_text(text, encoding="utf-8")
        table = answer(lambda: tables.read(place / "t.jsonl"))
        for step, kind in enumerate((first, second)):
            if table is None:
                return
            file = place / f"{step}.{kind}"
            other = answer(lambda table=table, file=file: tables.like(table, file))
            if other is None:
                return
            other.write(file)
            again = answer(lambda file=file: tables.read(file, **({"quotes": True} if "sv" in file.name else {})))
            if again is None or again.columns != table.columns:
                return
            for name in table.columns:
                cells = zip(table.cells(name), again.cells(name), strict=True)
                assert all(_equal(one, two) for one, two in cells), (name, table.cells(name), again.cells(name))
            table = again


@given(arrow(st.just(["one", "two"])), st.sampled_from(["one", "two", "three"]) | TEXT)
@MANY
def test_classes_of_any_column(given_, name):
    table = Columns(given_)
    found = answer(lambda: tables.classes(table, name))
    if found is not None:
        cells = table.cells(name)
        empty = [tables.blank(cell) for cell in cells]
        assert found.names == tuple(sorted(set(found.names))) and [of < 0 for of in found.of] == empty
        assert found.counts.tolist() == [int((found.of == c).sum()) for c in range(len(found.names))] and found.counts.all()
        for (i, a), (j, b) in ((one, two) for one in enumerate(cells) for two in enumerate(cells)):
            if not empty[i] and not empty[j]:
                assert (found.of[i] == found.of[j]) == (a == b and type(a) is type(b))


# --- Predictions

@given(predictions((2,)), st.sampled_from(["a", "b b", "é", "1", "", '"']).map(lambda start: start), st.booleans(), st.data())
@MANY
def test_probabilities_in_columns_are_matched_with_the_classes_of_their_names(both, start, shuffled, more):
    rows, labels = both
    rows, width = rows.astype(np.float64), rows.shape[1]
    names = [f"class {c}" for c in range(width)]
    order = more.draw(st.permutations(range(width))) if shuffled else list(range(width))
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["label", *(f"{start}p_{names[c]}" for c in order)])
    classes = [names[min(label, width - 1)] for label in labels.tolist()]
    given_ = [[name, *(repr(float(rows[i, c])) for c in order)] for i, name in enumerate(classes)]
    if more.draw(st.integers(0, 4)) == 0:
        given_[0][1] = more.draw(CELL)
    writer.writerows(given_)
    with folder() as place:
        (place / "t.csv").write_text(stream.getvalue(), encoding="utf-8")
        table = answer(lambda: tables.read(place / "t.csv", sep=",", quotes=True))
    if table is None:
        return
    groups = tables.classes(table, "label")
    found = answer(lambda: predicted.probabilities(table, f"{start}p_*", groups))
    if found is None:
        return
    assert len(groups.names) == width  # each class has a column, so none is guessed
    for place, name in enumerate(groups.names):
        column = [float(row[1 + order.index(names.index(name))] or "nan") for row in given_]
        np.testing.assert_array_equal(found[0][:, place], column)


@given(ARRAYS | predictions((2,)).map(lambda both: both[0]), st.sampled_from(["p.npy", "p.npz", "q.npz", "P.NPY"]), st.data())
@MANY
def test_an_array_of_predictions_is_taken_as_it_is_or_refused(values, name, more):
    table = Columns(pa.table({"label": ["a", "b", "c", "a"][: more.draw(st.integers(1, 4))]}))
    groups = tables.classes(table, "label")
    with folder() as place, contextlib.chdir(place):
        with open(name, "wb") as stream:
            if name.endswith("npz"):
                np.savez(stream, **({"one": values} if name == "p.npz" else {"one": values, "two": values}))
            else:
                np.save(stream, values, allow_pickle=True)
        if more.draw(st.integers(0, 4)) == 0:
            whole = Path(name).read_bytes()
            Path(name).write_bytes(whole[: more.draw(st.integers(0, len(whole)))])
        found = answer(lambda: predicted.probabilities(table, name, groups))
    if found is not None:
        np.testing.assert_array_equal(found[0], np.asarray(values).astype(np.float64))
        assert found[0].shape == (len(table), len(groups.names)) and name != "q.npz"


# --- Rows worth keeping

SCORE = st.sampled_from(["", " ", "0.5", "-1", "1e3", "inf", "nan", "NaN", "1_0", "0,5", "x", "1e999", "½"])


@given(st.lists(st.tuples(st.floats(-9, 9).map(repr) | SCORE, st.sampled_from(["a", "b", ""]), st.floats(0, 1).map(repr) | SCORE),
                min_size=1, max_size=8),
       st.none() | st.floats(0.1, 1), st.sampled_from(prune.RULES), st.just(0.0) | st.floats(0, 0.9), st.booleans(),
       st.none() | st.floats(0, 1) | st.floats(), st.sampled_from(["keep", "drop"]), st.integers(0, 99))  # fmt: skip
@MANY
def test_rows_kept_of_any_scored_table(rows, keep, rule, offset, balanced, drop_wrong, unscored, seed):
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows([["hard", "label", "datadiet_wrong"], *rows])
    with folder() as place:
        (place / "t.csv").write_text(stream.getvalue(), encoding="utf-8")
        table = answer(lambda: tables.read(place / "t.csv", sep=",", quotes=True))
    if table is None:
        return
    how = {"keep": keep, "rule": rule, "offset": offset, "balanced": "label" if balanced else None, "seed": seed}
    done = answer(lambda: pruned.rows(table, "hard", unscored=unscored, drop_wrong=drop_wrong, **how))
    if done is None:
        return

    def number(cell):
        return float("nan") if not cell.strip() else float(cell)

    typed = [list(row) for row in zip(*(table.cells(name) for name in table.columns), strict=True)]
    stays = [i for i, row in enumerate(typed) if drop_wrong is None or not number(row[2]) > drop_wrong]
    if keep is not None:
        scored = [i for i in stays if number(typed[i][0]) == number(typed[i][0])]
        without = [i for i in stays if i not in scored] if unscored == "keep" else []
        labels = np.array([typed[i][1] for i in scored]) if balanced else None
        codes = None if labels is None else np.unique(labels, return_inverse=True)[1]
        values = np.array([number(typed[i][0]) for i in scored])
        chosen = prune.keep(values, keep, rule, offset=offset, labels=codes, seed=seed)
        stays = sorted([scored[i] for i in chosen] + without)
    assert done.positions.tolist() == stays
    kept = [list(row) for row in zip(*(done.table.cells(name) for name in table.columns), strict=True)]
    assert kept == [typed[i] for i in stays]


# --- Tokens with tags

WORDS = ANYTHING | st.lists(TEXT, max_size=3) | st.just("['a', 'b']") | st.just("a b")
TAGS = ANYTHING | st.lists(st.sampled_from("xy"), max_size=3) | st.just("x y")


@given(st.lists(st.tuples(WORDS, TAGS), min_size=1, max_size=4))
@MANY
def test_tokens_with_tags_of_anything(rows):
    class Plain(Columns):
        """Columns of any Python values."""

        def __init__(self, rows):
            self.rows, self.columns, self.notes = rows, ("tokens", "tags"), ()

        def __len__(self):
            return len(self.rows)

        def cells(self, name):
            return [row[self.columns.index(name)] for row in self.rows]

        def take(self, positions):
            return Plain([self.rows[i] for i in positions])

    table = Plain(rows)
    answer(lambda: tagged.found(table))
    found = answer(lambda: tagged.read(table, "tokens", "tags"))
    if found is not None:
        assert len(found.names) > 1 and len(found.rows) == len(found.tokens) == len(found.tags) > 0
        for row, words, tags in zip(found.rows, found.tokens, found.tags, strict=True):
            assert len(words) == len(tags) and all(isinstance(word, str) for word in words)
            typed = tagged.parts(rows[row][1])  # a tag that is no text is named as JSON writes it
            written = [json.dumps(tag) if isinstance(tag, bool | int | float) else str(tag) for tag in typed]
            assert [found.names[tag] for tag in tags] == written


# --- Sets in a folder

NAMES = st.sampled_from(['["a", "b"]', '["a", "b", "c"]', "[]", "[1, 2]", "{}", "a", '["a", "a"]', "null", "", '["a"]'])


COLUMNS = st.sampled_from([["text", "label"], ["text", "text_pair", "label"], ["image", "label"], ["tokens", "slots", "intent"]])
MANIFESTS = st.none() | st.sampled_from(["{}", "[]", "x", '{"datasets": [{}]}']) | JSON.map(json.dumps)


@given(arrow(COLUMNS), st.none() | NAMES, st.none() | NAMES, MANIFESTS, st.booleans())
@MANY
def test_a_set_in_a_folder_of_anything(table, names, slots, manifest, usual):
    if usual and "label" in table.column_names:  # nearly right: whole numbers and texts
        n = table.num_rows
        kinds = {"label": [i % 2 for i in range(n)]} | {name: ["x"] * n for name in table.column_names if name != "label"}
        table = pa.table({name: kinds[name] for name in table.column_names})
    about = {key: value for key, value in (("label_names", names), ("slot_labels", slots)) if value is not None}
    with folder() as place:
        (place / "mine").mkdir()
        pq.write_table(table.replace_schema_metadata(about or None), place / "mine" / "train.parquet")
        pq.write_table(table.replace_schema_metadata(about or None), place / "mine" / "test.parquet")
        if manifest is not None:
            (place / "manifest.json").write_text(manifest, encoding="utf-8")
        found = answer(lambda: data.load("mine", place))
        if found is not None:
            assert len(found.train) == table.num_rows and found.train.labels.max() < found.n_classes
            assert list(found.label_names) == json.loads(names)


# --- Formats of others

RECORDS = st.fixed_dictionaries({"guid": JSON | st.integers(0, 2), "gold": JSON | st.integers(0, 1)}, optional={
    "logits_epoch_0": JSON | st.lists(st.floats(), max_size=3), "logits_epoch_1": st.just([0.5, 1.0]) | JSON})  # fmt: skip


@given(st.lists(st.lists(RECORDS | JSON, max_size=3), max_size=3), st.binary(max_size=3))
@MANY
def test_training_dynamics_of_anything(epochs, tail):
    with folder() as place:
        for epoch, rows in enumerate(epochs):
            file = place / f"dynamics_epoch_{epoch}.jsonl"
            file.write_bytes("\n".join(map(json.dumps, rows)).encode() + (tail if epoch else b""))
        found = answer(lambda: formats.read_dynamics(place))
        if found is not None:
            ids, logits, labels = found
            assert logits.shape[:2] == (len(epochs), len(ids)) and labels.shape == (len(ids),)
        for file in place.glob("*"):
            answer(lambda file=file: formats.read_metrics(file))


@given(st.lists(st.lists(st.floats(-9, 9), min_size=2, max_size=2), min_size=1, max_size=4), st.data())
@MANY
def test_training_dynamics_come_back(rows, more):
    logits = np.array([rows, rows[::-1]])
    labels = more.draw(hnp.arrays(np.int64, len(rows), elements=st.integers(0, 1)))
    ids = more.draw(st.lists(st.integers(-9, 9) | TEXT, min_size=len(rows), max_size=len(rows), unique=True))
    with folder() as place:
        files = answer(lambda: formats.write_dynamics(place, ids, logits, labels))
        if files is not None:
            back = formats.read_dynamics(place)
            assert back[0] == ids
            np.testing.assert_array_equal(back[1], logits)
            np.testing.assert_array_equal(back[2], labels)
            file = formats.write_metrics(place, ids, logits, labels)
            pd.testing.assert_frame_equal(formats.read_metrics(file), formats.metrics(ids, logits, labels), check_dtype=False)


@given(st.dictionaries(st.sampled_from(["label_score", "label_quality", "is_label_issue"]), ANYTHING, max_size=3) | ANYTHING,
       st.lists(ANYTHING, min_size=4, max_size=4))  # fmt: skip
@MANY
def test_issues_of_anything(frame, four):
    with contextlib.suppress(ValueError, TypeError, OverflowError):  # of pandas, where it is no frame
        frame = pd.DataFrame(frame) if isinstance(frame, dict) else frame
    found = answer(lambda: formats.from_issues(frame))
    assert found is None or found.dtype == np.float64 and found.shape == (len(frame),)
    answer(lambda: formats.to_issues(*four))


# --- Configs

SETTINGS = [*runs.configs.SETTINGS, "keep", *runs.configs.COMPLETE, "nothing"]
WITHIN = st.sampled_from(sorted({name for each in runs.configs.WITHIN.values() for name in each} | {"source", "nothing"}))
VALUES = (ANYTHING | st.sampled_from(["random", "hardest", "el2n", "1ep", "0ep", "xep", 0, 1, 2, -1, 0.5, True, "words", "cpu"])
          | st.lists(st.integers(0, 3) | st.just("1ep") | THINGS, max_size=3))  # fmt: skip


@given(st.dictionaries(st.sampled_from(SETTINGS), VALUES | st.dictionaries(WITHIN, VALUES, max_size=4), max_size=4))
@MANY
def test_a_config_of_anything_is_complete_and_keyed_once_or_refused(changes):
    found = answer(lambda: runs.config(**changes))
    if found is not None:
        assert runs.config(**found) == found and json.loads(json.dumps(found, allow_nan=False)) == found
        assert runs.key(found) == runs.key(json.loads(json.dumps(found))) == runs.key(dict(reversed(found.items())))


# --- Stores that somebody sends

@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """The folder of a store with two runs."""
    place = tmp_path_factory.mktemp("sent")
    write_words(place / "data")
    with mock.patch.dict(os.environ, {"DATADIET_DATA": str(place / "data"), "DATADIET_STORE": str(place / "store")}):
        runs._task.cache_clear()
        runs.sweep([config(seed=0), config(seed=1)])
        export(place / "sent")
        runs._task.cache_clear()
    return place / "sent"


def contents(place: Path) -> dict:
    """Key -> config, metrics and arrays of each run of a store."""
    with mock.patch.dict(os.environ, {"DATADIET_STORE": str(place)}):
        found = store.live(store.keys())
        arrays = {key: {name: values.tobytes() for name, values in store.arrays(key, "here").items()} for key in found}
        return {key: (run["config"], run["metrics"], arrays[key]) for key, run in found.items()}


def damaged(place: Path, draw) -> bool:
    """Damage a store somehow; whether its checksums still stand against it."""
    kind = draw(st.sampled_from(["bytes", "arrays", "row", "json", "table"]))
    if kind in ("bytes", "arrays"):
        files = [place / "runs.sqlite"] if kind == "bytes" else sorted((place / "arrays").iterdir())
        file = draw(st.sampled_from(files))
        whole = bytearray(file.read_bytes())
        how = draw(st.sampled_from(["flip", "cut", "gone", "other", "more"]))
        if how == "gone":
            file.unlink()
        elif how == "flip":
            whole[draw(st.integers(0, len(whole) - 1))] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            whole = whole[: draw(st.integers(0, len(whole)))]
        elif how == "other":
            whole = draw(st.sampled_from(files)).read_bytes()
        else:
            whole += draw(st.binary(min_size=1, max_size=4))
        if how != "gone":
            file.write_bytes(whole)
        return True
    with contextlib.closing(sqlite3.connect(place / "runs.sqlite")) as db, db:
        if kind == "table":
            db.execute(draw(st.sampled_from(["DROP TABLE runs", "DELETE FROM runs", "PRAGMA user_version = 9",
                                             "ALTER TABLE runs RENAME COLUMN metrics TO other", "PRAGMA user_version = -1",
                                             "ALTER TABLE runs ADD COLUMN more TEXT DEFAULT 'x'"])))  # fmt: skip
            return True
        part = draw(st.sampled_from(["config", "metrics", "provenance", "key", "row_sha256", "arrays_sha256"]))
        key, before = db.execute(f"SELECT key, {part} FROM runs ORDER BY key").fetchall()[draw(st.integers(0, 1))]
        if kind == "json" and part in ("config", "metrics", "provenance"):
            after = json.loads(before)
            name = draw(st.sampled_from(sorted(after)))
            after |= {name: draw(JSON)}
            if draw(st.booleans()):
                after.pop(name)
            after = json.dumps(after, sort_keys=True)
        else:
            after = draw(JSON.map(json.dumps) | TEXT | st.none() | st.binary(max_size=3) | st.integers(0, 9))
        db.execute(f"UPDATE runs SET {part} = ? WHERE key = ?", (after, key))
        sealed = draw(st.booleans()) and part not in ("row_sha256", "arrays_sha256", "key")
        if not sealed:  # as a store of before there were checksums
            db.execute("UPDATE runs SET row_sha256 = NULL, arrays_sha256 = NULL")
        return sealed


@given(more=st.data())
@MANY
def test_a_store_that_was_damaged_is_refused_whole_or_merged_as_it_was(sent, more):
    truth = contents(sent)
    with folder() as place:
        shutil.copytree(sent, place / "copy")
        sealed = damaged(place / "copy", more.draw)
        looked, _ = asked(lambda: checked.live(place / "copy"))
        with mock.patch.dict(os.environ, {"DATADIET_STORE": str(place / "here")}):
            merged, refused = asked(lambda: merge(place / "copy"))
        here = contents(place / "here")
        if merged is None:
            assert not here and refused
            assert not sealed or looked[1], "what merge refuses, store check finds"
        elif sealed:
            assert here.items() <= truth.items() and len(here) == merged["merged"]
        else:
            assert len(here) == merged["merged"] and all(runs.key(run[0]) == key for key, run in here.items())


@given(st.sets(st.sampled_from([0, 1]), min_size=1), st.booleans())
@MANY
def test_a_store_goes_out_and_comes_back(sent, chosen, twice):
    keys = [sorted(contents(sent))[place] for place in chosen]
    with folder() as place:
        with mock.patch.dict(os.environ, {"DATADIET_STORE": str(sent)}):
            assert export(place / "out", keys) == len(keys)
        with mock.patch.dict(os.environ, {"DATADIET_STORE": str(place / "here")}):
            assert merge(place / "out")["merged"] == len(keys)
            if twice:
                assert merge(place / "out") == {"merged": 0, "there already": len(keys)}
        assert contents(place / "here") == {key: run for key, run in contents(sent).items() if key in keys}


