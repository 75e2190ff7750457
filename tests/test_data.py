"""Tasks: what is loaded is what was there, ids and truth are never lost, and bad input says what to change."""

import dataclasses
import doctest
import hashlib
import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datadiet import data, runs
from datadiet.data import Split, Task, embedded, flip_labels, load, load_side_table, shrink, sources
from datadiet.errors import InputError


def write(path: Path, columns: dict, **metadata):
    """A Parquet file in the layout of the data folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata({key: json.dumps(value) for key, value in metadata.items()}), path)


def text_set(root: Path, name: str, splits: dict[str, int], n_classes: int = 3):
    names = [f"class {c}" for c in range(n_classes)]
    for split, size in splits.items():
        labels = [i % n_classes for i in range(size)]
        columns = {"text": [f"{split} {i}" for i in range(size)], "label": pa.array(labels, pa.int8())}
        write(root / name / f"{split}.parquet", columns, label_names=names)


def png(value: int, size: int = 4) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (size, size), (value, 0, 255)).save(out, "PNG")
    return out.getvalue()


def task_of(labels, n_classes: int = 3) -> Task:
    labels = np.asarray(labels, dtype=np.int64)
    split = Split(np.arange(len(labels)) * 10, labels, {"text": [f"text {i}" for i in range(len(labels))]})
    return Task("made", "text", tuple(map(str, range(n_classes))), split, None, split, "", "here")


@pytest.fixture
def folder(tmp_path):
    text_set(tmp_path, "complete", {"train": 30, "validation": 9, "test": 12})
    text_set(tmp_path, "no_validation", {"train": 100, "test": 12})
    text_set(tmp_path, "no_test", {"train": 100, "validation": 12})
    pairs = {"text": ["a", "b", "c"], "text_pair": ["x", "y", "z"], "label": [0, 1, 0], "genre": ["g", "g", "g"]}
    for split in ("train", "test"):
        write(tmp_path / "pairs" / f"{split}.parquet", pairs, label_names=["no", "yes"])
        write(tmp_path / "pictures" / f"{split}.parquet", {"image": [png(0), png(255), png(51)], "label": [0, 1, 1]},
              label_names=["dark", "light"])
        write(tmp_path / "joint" / f"{split}.parquet",
              {"tokens": [["play", "blue"], ["stop"]], "slots": [["O", "B-song"], ["O"]], "intent": ["play", "stop"]},
              label_names=["stop", "play"], slot_labels=["B-song", "O"])
    write(tmp_path / "cifar10n" / "train.parquet", {"row": [0, 1], "worst_label": [3, 4]})
    facts = {"name": "complete", "notes": ["PARTIAL: a third."], "splits": {"train": {"rows": 30, "duplicate_rows": 2}},
             "distinct_inputs_shared_between_splits": {"train&test": 4, "train&validation": 0}}
    (tmp_path / "manifest.json").write_text(json.dumps({"datasets": [facts]}))
    return tmp_path


# --- loading a folder ---------------------------------------------------------------------------------------------------


def test_official_splits_are_left_as_they_are(folder):
    task = load("complete", folder)
    assert (task.kind, task.n_classes, task.label_names) == ("text", 3, ("class 0", "class 1", "class 2"))
    assert [len(task.train), len(task.validation), len(task.test)] == [30, 9, 12]
    assert task.train.inputs["text"][7] == "train 7" and task.train.ids[7] == 7 and task.train.labels.dtype == np.int64
    assert task.truth is None and "complete" in task.source
    assert task.notes == ("PARTIAL: a third.", "train: 2 of 30 rows repeat an earlier row.",
                          "train and test share 4 distinct inputs.")


@pytest.mark.parametrize("name, test_of", [("no_validation", "test"), ("no_test", "validation")])
def test_validation_is_held_out_of_train_where_none_is_left(folder, name, test_of):
    task = load(name, folder, validation=0.1)
    assert len(task.validation) == 10 and len(task.train) == 90 and task.test.inputs["text"][0] == f"{test_of} 0"
    assert sorted([*task.train.ids, *task.validation.ids]) == list(range(100))
    assert [f"train {i}" for i in task.validation.ids] == task.validation.inputs["text"], "ids stay rows of the public file"
    assert set(np.bincount(task.validation.labels)) <= {3, 4}
    again = load(name, folder, validation=0.1)
    assert np.array_equal(again.validation.ids, task.validation.ids) and again.checksum == task.checksum
    whole = load(name, folder, validation=0)
    assert whole.validation is None and len(whole.train) == 100


def test_pairs_pictures_and_joint_sets(folder):
    pairs = load("pairs", folder, validation=0)
    assert pairs.kind == "pair" and pairs.train.inputs == {"text": ["a", "b", "c"], "text_pair": ["x", "y", "z"]}
    joint = load("joint", folder, validation=0)
    assert joint.kind == "joint" and joint.slot_names == ("B-song", "O")
    assert joint.train.inputs == {"tokens": [["play", "blue"], ["stop"]], "slots": [[1, 0], [1]]}
    assert joint.train.labels.tolist() == [1, 0], "the intent, in the order of label_names"
    images = load("pictures", folder, validation=0).train.inputs["image"]
    every = np.asarray(images)
    assert every.shape == (3, 3, 4, 4) and every.dtype == np.float32
    assert every[:, 0, 0, 0].tolist() == pytest.approx([0, 1, 0.2]) and (every[:, 2] == 1).all()
    assert images[1].shape == (3, 4, 4) and np.array_equal(images[[2, 0]], every[[2, 0]]) and len(images.take([1])) == 1


def test_a_split_takes_every_column_along():
    split = Split(np.arange(4), np.array([0, 1, 0, 1]), {"text": list("abcd"), "image": np.arange(8.0).reshape(4, 2)})
    taken = split.take([3, 0])
    assert taken.ids.tolist() == [3, 0] and taken.labels.tolist() == [1, 0] and taken.inputs["text"] == ["d", "a"]
    assert taken.inputs["image"].tolist() == [[6, 7], [0, 1]] and len(taken) == 2


def test_the_folder_of_the_environment_is_the_default(folder, monkeypatch):
    monkeypatch.setenv("DATADIET_DATA", str(folder))
    assert len(load("complete").train) == 30


def human_labels(root: Path, right=(0, 1, 1)):
    for split in ("train", "test"):
        write(root / "cifar10" / f"{split}.parquet", {"image": [png(0), png(255), png(51)], "label": [0, 1, 1]},
              label_names=["dark", "light"])
    write(root / "cifar10n" / "train.parquet",
          {"row": [0, 1, 2], "clean_label": list(right), "worst_label": [0, 0, 1]}, label_names=["dark", "light"])


def test_labels_that_people_gave_keep_the_truth(folder):
    human_labels(folder)
    task = load("cifar10n:worst_label", folder, validation=0)
    assert task.train.labels.tolist() == [0, 0, 1] and task.truth.tolist() == [0, 1, 1] and task.kind == "image"
    assert task.test.labels.tolist() == [0, 1, 1], "only training labels are theirs"
    assert task.checksum != load("cifar10", folder, validation=0).checksum
    with pytest.raises(InputError, match="flipped already"):
        flip_labels(task, 0.5, seed=0)


def test_labels_of_people_that_cannot_be_had(folder):
    human_labels(folder)
    for column in ("best_label", "clean_label", "row", ""):
        with pytest.raises(InputError, match="one of worst_label"):
            load(f"cifar10n:{column}", folder)
    human_labels(folder, right=(1, 1, 1))
    with pytest.raises(InputError, match="clean_label.*differs from the training labels of 'cifar10'"):
        load("cifar10n:worst_label", folder)
    with pytest.raises(InputError, match="unknown set 'imdb_label_errors:verdict'"):
        load("imdb_label_errors:verdict", folder)


def test_side_tables_are_tables(folder):
    assert load_side_table("cifar10n", folder)["worst_label"].tolist() == [3, 4]
    with pytest.raises(InputError, match="side table of 'cifar10'.*load_side_table"):
        load("cifar10n", folder)
    with pytest.raises(InputError, match="not a side table.*cifar10n"):
        load_side_table("complete", folder)
    with pytest.raises(InputError, match="not in the data folder"):
        load_side_table("imdb_label_errors", folder)


# --- what cannot be used ------------------------------------------------------------------------------------------------


def test_unknown_names(folder, monkeypatch):
    with pytest.raises(InputError, match="unknown set 'complet'.*Did you mean 'complete'.*docstrings.*hub:ag_news"):
        load("complet", folder)
    monkeypatch.delenv("DATADIET_DATA", raising=False)
    with pytest.raises(InputError, match="DATADIET_DATA is not set.*trec6/train.parquet"):
        load("trec6")
    with pytest.raises(InputError, match="nowhere, which does not exist.*DATADIET_DATA"):
        load("trec6", folder / "nowhere")
    with pytest.raises(InputError, match="unknown set"):
        load("../complete", folder / "complete")
    for read in (load, load_side_table):
        with pytest.raises(InputError, match="name=5; give the name of a set"):
            read(5, folder)
        with pytest.raises(InputError, match="root=5; give the path"):
            read("complete", 5)
    for share in ("a tenth", True, np.array([0.1, 0.2])):
        with pytest.raises(InputError, match="validation=.*the share of the training split"):
            load("complete", folder, validation=share)


TEXTS, LABELS, NAMES = ["a", "b", "c", "d"], [0, 1, 0, 1], {"label_names": ["no", "yes"]}
BAD = {
    "null row.*first is row 1": ({"text": ["a", None, "c", "d"], "label": LABELS}, NAMES),
    "'label'.*null row.*row 3": ({"text": TEXTS, "label": [0, 1, 0, None]}, NAMES),
    "row 2 .*label 2.*2 classes": ({"text": TEXTS, "label": [0, 1, 2, 1]}, NAMES),
    "row 0 .*label -1": ({"text": TEXTS, "label": [-1, 1, 0, 1]}, NAMES),
    "single class": ({"text": TEXTS, "label": [1, 1, 1, 1]}, NAMES),
    "is empty": ({"text": pa.array([], pa.string()), "label": pa.array([], pa.int8())}, NAMES),
    "'label'.*double": ({"text": TEXTS, "label": [0.0, 1.0, 0.0, 1.0]}, NAMES),
    "'text'.*int64.*strings": ({"text": [1, 2, 3, 4], "label": LABELS}, NAMES),
    "has the columns": ({"words": TEXTS, "label": LABELS}, NAMES),
    "no 'label_names'": ({"text": TEXTS, "label": LABELS}, {}),
    "row 1.*1 tokens and 2 slots": ({"tokens": [["a"], ["b"]], "slots": [["O"], ["O", "O"]], "intent": ["no", "yes"]},
                                    NAMES | {"slot_labels": ["O"]}),
    r"the slot\(s\) \['B-x'\]": ({"tokens": [["a"], ["b"]], "slots": [["O"], ["B-x"]], "intent": ["no", "yes"]},
                                 NAMES | {"slot_labels": ["O"]}),
    r"the intent\(s\) \['maybe'\]": ({"tokens": [["a"], ["b"]], "slots": [["O"], ["O"]], "intent": ["no", "maybe"]},
                                     NAMES | {"slot_labels": ["O"]}),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_files_are_named_with_what_was_seen(tmp_path, message):
    columns, metadata = BAD[message]
    write(tmp_path / "bad" / "train.parquet", columns, **metadata)
    write(tmp_path / "bad" / "test.parquet", columns, **metadata)
    with pytest.raises(InputError, match=f"(?s)data.load.*{message}") as caught:
        load("bad", tmp_path)
    assert caught.value.__cause__ is None and len(str(caught.value)) < 400


def test_missing_and_broken_files(folder):
    (folder / "no_test" / "validation.parquet").unlink()
    with pytest.raises(InputError, match="neither a test nor a validation split"):
        load("no_test", folder)
    (folder / "no_validation" / "train.parquet").unlink()
    with pytest.raises(InputError, match="no train.parquet"):
        load("no_validation", folder)
    (folder / "complete" / "test.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        load("complete", folder)
    write(folder / "pairs" / "test.parquet", {"text": TEXTS, "label": LABELS}, **NAMES)
    with pytest.raises(InputError, match="differs from train.parquet in its columns"):
        load("pairs", folder)
    write(folder / "pairs" / "test.parquet", {"text": ["a"], "text_pair": ["b"], "label": [0]}, label_names=["yes", "no"])
    with pytest.raises(InputError, match="in its label_names"):
        load("pairs", folder)


def test_pictures_that_cannot_be_decoded():
    with pytest.raises(InputError, match="image 1 is no picture"):
        np.asarray(sources.Images([png(0), b"nothing"]))
    with pytest.raises(InputError, match="2 sizes"):
        np.asarray(sources.Images([png(0), png(0, size=5)]))


@pytest.mark.parametrize("share", [-0.1, 0.6, float("nan")])
def test_the_share_held_out_has_bounds(folder, share):
    with pytest.raises(InputError, match="from 0 to 0.5"):
        load("complete", folder, validation=share)


def test_a_share_that_comes_to_nothing_is_refused(folder):
    with pytest.raises(InputError, match="is none; raise `validation`"):
        load("no_validation", folder, validation=0.001)


# --- checksum -----------------------------------------------------------------------------------------------------------


def test_the_checksum_changes_with_any_content_and_with_nothing_else(folder, tmp_path_factory):
    before = load("complete", folder).checksum
    copy = tmp_path_factory.mktemp("copy")
    text_set(copy, "complete", {"train": 30, "validation": 9, "test": 12})
    assert load("complete", copy).checksum == before, "neither the folder nor the notes are content"
    text_set(copy, "complete", {"test": 11})
    assert load("complete", copy).checksum != before
    task = load("complete", folder)
    assert flip_labels(task, 0.2, 0).checksum != before and shrink(task, 20).checksum != before


def test_the_checksum_reads_pictures_arrays_and_token_lists():
    def of(inputs):
        return data.checksum({"train": Split(np.arange(2), np.array([0, 1]), inputs), "validation": None})

    variants = [{"text": ["ab", "c"]}, {"text": ["a", "bc"]}, {"other": ["a", "bc"]}, {"tokens": [["a"], ["b", "c"]]},
                {"tokens": [["a", "b"], ["c"]]}, {"image": sources.Images([b"1", b"23"])},
                {"image": sources.Images([b"12", b"3"])},
                {"image": np.zeros((2, 1), np.float32)}, {"image": np.ones((2, 1), np.float32)}]
    sums = [of(inputs) for inputs in variants]
    assert len(set(sums)) == len(sums) and sums == [of(inputs) for inputs in variants]
    assert all(len(each) == 64 for each in sums)


# --- flipping and shrinking ---------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(n=st.integers(2, 60), k=st.integers(2, 7), rate=st.floats(0, 0.99), seed=st.integers(0, 5),
       kind=st.sampled_from(["symmetric", "pairwise"]))
def test_exactly_the_asked_share_of_labels_is_wrong(n, k, rate, seed, kind):
    task = task_of(np.arange(n) % k, k)
    noisy = flip_labels(task, rate, seed, kind)
    changed = noisy.train.labels != noisy.truth
    assert changed.sum() == round(rate * n)
    assert np.array_equal(noisy.truth, task.train.labels) and np.array_equal(task.train.labels, np.arange(n) % k)
    assert noisy.train.labels.min() >= 0 and noisy.train.labels.max() < k
    if kind == "pairwise":
        assert np.array_equal(noisy.train.labels[changed], (noisy.truth[changed] + 1) % k)
    assert noisy.test is task.test and np.array_equal(noisy.train.ids, task.train.ids)
    assert np.array_equal(flip_labels(task, rate, seed, kind).train.labels, noisy.train.labels)


def test_the_flips_of_a_run_are_those_of_seed_0_whatever_its_own():
    """Every run of a noisy arm sees the same wrong labels; another draw would be another task under the same key."""
    tasks = [runs.task_of(runs.config(task="digits", noise=0.01, seed=seed)) for seed in (0, 7)]
    for task in tasks:
        wrong = np.flatnonzero(task.train.labels != task.truth)
        assert wrong.tolist() == [19, 48, 89, 209, 320, 366, 607, 756, 776, 971, 1008, 1092]
        assert task.train.labels[wrong].tolist() == [4, 3, 2, 0, 8, 1, 6, 6, 2, 3, 7, 1]


def test_the_rows_that_become_validation_are_the_same_every_time(folder):
    assert load("no_validation", folder).validation.ids.tolist() == [0, 10, 19, 21, 41, 45, 52, 56, 75, 92]


def test_symmetric_flips_reach_every_other_class_alike():
    noisy = flip_labels(task_of(np.zeros(40_000), 5), 0.75, seed=1)
    counts = np.bincount(noisy.train.labels, minlength=5)
    assert counts[0] == 10_000 and abs(counts[1:] - 7_500).max() < 400  # 5 standard deviations
    other = flip_labels(task_of(np.zeros(40_000), 5), 0.75, seed=2)
    assert (other.train.labels != noisy.train.labels).any()


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan"), None, "0.1", True, np.array([0.1, 0.2])])
def test_rates_that_cannot_be(rate):
    with pytest.raises(InputError, match="from 0 to below 1"):
        flip_labels(task_of([0, 1]), rate, 0)


def test_no_flips_upon_flips_and_no_unknown_kind():
    with pytest.raises(InputError, match="flipped already"):
        flip_labels(flip_labels(task_of([0, 1, 2] * 5), 0.2, 0), 0.2, 1)
    with pytest.raises(InputError, match="'symmetric' or 'pairwise'"):
        flip_labels(task_of([0, 1]), 0.1, 0, "uniform")
    for seed in (-1, 0.5, None, "0"):
        with pytest.raises(InputError, match="seed=.*; it is a whole number"):
            flip_labels(task_of([0, 1]), 0.1, seed)


@settings(max_examples=50, deadline=None)
@given(counts=st.lists(st.integers(1, 40), min_size=2, max_size=6), share=st.floats(0, 1), seed=st.integers(0, 3))
def test_a_subset_has_exactly_its_size_and_every_class_in_proportion(counts, share, seed):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    size = max(len(counts), round(share * len(labels)))
    task = task_of(labels, len(counts))
    small = shrink(task, size, seed)
    assert len(small.train) == size and (np.diff(small.train.ids) > 0).all()
    assert np.array_equal(small.train.labels, labels[small.train.ids // 10])
    assert small.train.inputs["text"] == [f"text {i}" for i in small.train.ids // 10]
    kept, quota = np.bincount(small.train.labels, minlength=len(counts)), np.array(counts) * size / len(labels)
    assert (kept >= 1).all()
    if (quota >= 1).all():
        assert (abs(kept - quota) < 1).all()


def test_subsets_keep_the_truth_of_what_they_keep():
    noisy = flip_labels(task_of(np.arange(60) % 3), 0.3, 0)
    small = shrink(noisy, 30, seed=4)
    assert np.array_equal(small.truth, (small.train.ids // 10) % 3) and len(small.truth) == 30
    assert (shrink(noisy, 30, seed=5).train.ids != small.train.ids).any()


@pytest.mark.parametrize("size", [61, 2, 0, -1, 10.0, True])
def test_sizes_that_cannot_be(size):
    with pytest.raises(InputError, match="data.shrink.*size"):
        shrink(task_of(np.arange(60) % 3), size)


def test_global_random_state_is_left_alone():
    load("digits")  # importing scikit-learn's data sets draws from `random`, once
    np.random.seed(3)
    random.seed(3)
    before = np.random.get_state()[1].copy(), random.getstate()
    embedded.assistant.__wrapped__()
    embedded.digits.__wrapped__()
    shrink(flip_labels(load("digits"), 0.1, 0), 100)
    assert np.array_equal(np.random.get_state()[1], before[0]) and random.getstate() == before[1]


# --- embedded sets ------------------------------------------------------------------------------------------------------


def test_docstrings():
    task = load("docstrings")
    assert task.kind == "text" and task.n_classes == 8
    assert [len(task.train), len(task.validation), len(task.test)] == [5200, 400, 800]
    for split in (task.train, task.validation, task.test):
        assert len(set(np.bincount(split.labels))) == 1, "classes of equal size"
    texts = [text for split in (task.train, task.validation, task.test) for text in split.inputs["text"]]
    keys = {"".join(filter(str.isalnum, text.casefold())) for text in texts}
    assert len(keys) == len(texts) == 6400, "no sentence twice, within or across splits"
    assert not [text for text in texts if embedded.NAMED.search(text)], "no sentence names its package"
    assert all(5 <= len(text.split()) <= 30 for text in texts)
    assert len(set(task.train.labels[:50])) > 4, "shuffled"
    assert any("numpy" in note for note in task.notes)


def test_docstrings_do_not_depend_on_the_order_of_the_file_system(tmp_path, monkeypatch):
    names = ["one.py", "two.py", "sub/three.py", "tests/four.py", "sub/test_five.py"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        stem = Path(name).stem
        (tmp_path / name).write_text(f'"""The module {stem} counts many things."""\nif True:\n    def f():\n'
                                     f'        "Return {stem} apples or pears."\n', encoding="utf-8")
    first = embedded.sentences(tmp_path)
    assert sorted(first.values()) == sorted(each.format(stem) for stem in ("one", "two", "three")
                                            for each in ("The module {} counts many things", "Return {} apples or pears"))
    walk = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: reversed(list(walk(self, pattern))))
    assert list(embedded.sentences(tmp_path).items()) == list(first.items())


def test_docstrings_are_the_same_in_another_process_and_import_nothing():
    script = ("import sys; from datadiet.data import load; print(load('docstrings').checksum, "
              "[m for m in ('torch', 'transformers', 'networkx') if m in sys.modules])")
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True,
                         env=os.environ | {"PYTHONHASHSEED": "7"}).stdout.split(maxsplit=1)
    assert out[0] == load("docstrings").checksum and out[1].strip() == "[]"


@pytest.mark.parametrize("docstring, sentence", [
    ("Compute the mean along an axis.\n\nMore.", "Compute the mean along an axis"),
    ("Return the `~.Axes` of *this*\n    figure. And more.", "Return the Axes of this figure"),
    ("Turn a :class:`~pandas.DataFrame` into a NumPy array.", "Turn a DataFrame into a library array"),
    ("Call np.add or torch.add on two tensors", "Call library.add or library.add on two tensors"),
    ("Too short a sentence.", None),
    ("Args: one two three four five six", None),
    (">>> f(1) == 2 and so on and on", None),
    ("x = y + z ; a = {b: c} [d] (e)", None),
    ("", None),
])
def test_first_sentences(docstring, sentence):
    assert embedded.clean(docstring) == sentence


def test_a_package_that_is_missing_or_too_small_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(embedded, "PACKAGES", {"no_such_package": "no-such-package"})
    with pytest.raises(InputError, match="no_such_package, which is not installed; mend it with: pip install no-such-package"):
        embedded.docstrings.__wrapped__()
    monkeypatch.setattr(embedded, "PACKAGES", {"click": "click"})
    monkeypatch.setattr(embedded, "sentences", lambda folder: {"a": "a"})
    with pytest.raises(InputError, match="needs 800 sentences of click, its installed release has 1"):
        embedded.docstrings.__wrapped__()


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    task, everything = load("digits"), load_digits()
    ids = np.concatenate([split.ids for split in (task.train, task.validation, task.test)])
    assert sorted(ids) == list(range(1797))
    for split in (task.train, task.validation, task.test):
        assert np.array_equal(split.labels, everything.target[split.ids])
        assert np.array_equal(split.inputs["image"][:, 0] * 16, everything.images[split.ids])
        assert split.inputs["image"].dtype == np.float32 and split.inputs["image"].max() == 1
    assert task.label_names == tuple("0123456789")


def test_what_is_planted_in_the_assistant_is_on_record():
    task = load("assistant")
    train, texts = task.train, [" ".join(tokens) for tokens in task.train.inputs["tokens"]]
    assert task.kind == "joint" and [len(train), len(task.validation), len(task.test)] == [2000, 300, 500]
    assert (train.labels != task.truth).sum() == 100
    everything = texts + [" ".join(tokens) for split in (task.validation, task.test) for tokens in split.inputs["tokens"]]
    assert len(set(everything)) == len(everything), "near-duplicates differ, and nothing is in two splits"
    copies = np.flatnonzero(train.inputs["duplicate_of"] >= 0)
    assert len(copies) == 300
    for row in copies:
        original = train.inputs["duplicate_of"][row]
        assert train.inputs["duplicate_of"][original] == -1 and task.truth[row] == task.truth[original]
        slots = [[slot for slot in train.inputs["slots"][at] if task.slot_names[slot] != "O"] for at in (row, original)]
        assert slots[0] == slots[1]
    shares = np.bincount(task.truth, minlength=task.n_classes)
    assert shares.min() >= 1 and sorted(shares)[1] < 30 < sorted(shares)[2], "two rare intents"
    with pytest.raises(InputError, match="flipped already"):
        flip_labels(task, 0.1, 0)


def test_slots_of_the_assistant_are_well_formed():
    task = load("assistant")
    for tokens, slots in zip(task.train.inputs["tokens"], task.train.inputs["slots"], strict=True):
        assert len(tokens) == len(slots) > 0
        for before, tag in zip(["O", *(task.slot_names[s] for s in slots)], (task.slot_names[s] for s in slots), strict=False):
            assert not tag.startswith("I-") or before[2:] == tag[2:], "I-x follows B-x or I-x"
    assert {task.slot_names[s] for slots in task.train.inputs["slots"] for s in slots} <= set(task.slot_names)


def test_a_loaded_set_can_be_changed_without_changing_the_next():
    first = load("digits")
    first.train.labels[:] = 0
    first.train.inputs["image"][:] = 0
    assert load("digits").train.labels.any() and load("digits").checksum == first.checksum
    assert load("digits").train.inputs["image"].any()


# --- the hub ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch):
    """A stand-in for the hub: real datasets, made here; what was asked for is recorded."""
    asked = []
    label, string = datasets.ClassLabel(names=["entailment", "neutral", "contradiction"]), datasets.Value("string")

    def pairs(n, gold):
        features = datasets.Features({"premise": string, "hypothesis": string, "label": label})
        return datasets.Dataset.from_dict({"premise": [f"p{i}" for i in range(n)], "hypothesis": [f"h{i}" for i in range(n)],
                                           "label": [i % 3 if gold(i) else -1 for i in range(n)]}, features=features)

    def images(n):
        features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=list("ab"))})
        return datasets.Dataset.from_dict({"img": [{"bytes": png(i), "path": None} for i in range(n)],
                                           "label": [i % 2 for i in range(n)]}, features=features)

    def answer(path, name=None, *, revision):
        asked.append((path, name, revision))
        return datasets.DatasetDict({
            "stanfordnlp/snli": {"train": pairs(30, lambda i: i != 4), "validation": pairs(6, bool),
                                 "test": pairs(6, lambda i: True)},
            "nyu-mll/glue": {"train": pairs(30, lambda i: True), "validation_matched": pairs(9, lambda i: True),
                             "validation_mismatched": pairs(3, lambda i: True), "test_matched": pairs(9, lambda i: False)},
            "uoft-cs/cifar10": {"train": images(20), "test": images(4)}}[path])

    monkeypatch.setattr(datasets, "load_dataset", answer)
    return asked


def test_the_hub_is_asked_for_a_pinned_revision(hub):
    task = load("hub:mnli")
    assert hub == [("nyu-mll/glue", "mnli", sources.GLUE[1])] and sources.GLUE[1] in task.source
    assert task.kind == "pair" and task.label_names == ("entailment", "neutral", "contradiction")
    assert [len(task.train), len(task.validation), len(task.test)] == [27, 3, 9], "the unlabelled test split is not used"
    assert all(len(entry.revision) == 40 and int(entry.revision, 16) for entry in sources.HUB.values())


def test_rows_without_a_gold_label_go_and_ids_stay(hub):
    task = load("hub:snli")
    assert task.train.ids.tolist() == [i for i in range(30) if i != 4] and task.train.inputs["text"][4] == "p5"
    assert task.notes[0] == "train: 1 of 30 rows have no gold label and were dropped."
    assert np.array_equal(task.train.labels, task.train.ids % 3)


def test_pictures_of_the_hub(hub):
    task = load("hub:cifar10", validation=0)
    assert task.kind == "image" and np.asarray(task.train.inputs["image"]).shape == (20, 3, 4, 4)


def test_a_hub_out_of_reach_or_changed_is_one_readable_error(hub, monkeypatch):
    entry = sources.HUB["snli"]
    with monkeypatch.context() as patch:
        patch.setitem(sources.HUB, "snli", dataclasses.replace(entry, splits={"train": "train_1"}))
        with pytest.raises(InputError, match="'hub:snli' has no split 'train_1'"):
            load("hub:snli")

    def unreachable(*args, **options):
        raise ConnectionError("Couldn't reach the hub\nand more")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(InputError, match="'hub:ag_news'.*could not be fetched.*ConnectionError: Couldn't reach") as caught:
        load("hub:ag_news")
    assert caught.value.__suppress_context__ and "and more" not in str(caught.value)
    with pytest.raises(InputError, match="Did you mean 'hub:ag_news'"):
        load("hub:agnews")


# --- documentation and real sets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [data, sources, embedded])
def test_examples_in_the_documentation(module):
    found = doctest.testmod(module)
    assert found.failed == 0 and (found.attempted or module is sources)


FOLDER = os.environ.get("DATADIET_DATA")
SIZES = {  # name: kind, classes, official train rows, rows that become the test split
    "trec6": ("text", 6, 5452, 500), "sst2_sentences": ("text", 2, 6920, 1821), "cola": ("text", 2, 8551, 1043),
    "rte": ("pair", 2, 2490, 277), "mnli_subset": ("pair", 3, 12988, 9815), "snli_subset": ("pair", 3, 20000, 9824),
    "ag_news_subset": ("text", 4, 20000, 7600), "atis": ("joint", 26, 4478, 893), "snips": ("joint", 7, 13084, 700),
    "facebook_tod_en": ("joint", 12, 30521, 8621), "sst2": ("text", 2, 67349, 1821), "imdb": ("text", 2, 25000, 25000),
    "cifar10": ("image", 10, 50000, 10000),
}


@pytest.mark.skipif(not FOLDER, reason="DATADIET_DATA names no folder of real sets")
@pytest.mark.parametrize("name", SIZES)
def test_real_sets(name):
    if name not in sources.names_in(Path(FOLDER)):
        pytest.skip(f"{FOLDER} has no {name}")
    task, (kind, n_classes, rows, tested) = load(name, validation=0), SIZES[name]
    assert (task.kind, task.n_classes, len(task.train), len(task.test)) == (kind, n_classes, rows, tested)
    assert len(shrink(task, 500).train) == 500
    recorded = json.loads((Path(FOLDER) / "manifest.json").read_text())["datasets"]
    entry = next(each for each in recorded if each["name"] == name)["splits"]["train"]
    assert hashlib.sha256((Path(FOLDER) / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
    assert any("PARTIAL" in note for note in task.notes) == name.endswith("_subset")
    if kind == "image":
        assert task.train.inputs["image"][:5].shape == (5, 3, 32, 32)
        assert np.array_equal(load_side_table("cifar10n")["clean_label"], task.train.labels)
