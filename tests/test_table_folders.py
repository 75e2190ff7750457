"""Tables that are no file: folders of ``datasets``, sets of the hub (a stand-in on this disk), images by class."""

import json
import os
import shutil
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datadiet import tables
from datadiet.errors import InputError
from datadiet.tables import tagged

FEATURES = {
    "id": datasets.Value("large_string"),
    "text": datasets.Value("string"),
    "label": datasets.ClassLabel(names=["neg", "pos"]),
}
ROWS = {"id": ["01", "1", "2", "3"], "text": ["a b c", "d e f", "g h i", "j k"], "label": [0, 1, -1, 1]}


@pytest.fixture
def dataset():
    return datasets.Dataset.from_dict(ROWS, features=datasets.Features(FEATURES))


def test_a_saved_folder_comes_back_with_new_columns(dataset, tmp_path):
    dataset.select([3, 1, 0, 2]).save_to_disk(tmp_path / "mine")  # with a table of positions beside the rows
    table = tables.read(tmp_path / "mine")
    assert table.columns == ("id", "text", "label") and table.cells("label") == ["pos", "pos", "neg", None]
    assert tables.classes(table, "label").counts.tolist() == [1, 2]
    out = tables.placed(None, tmp_path / "mine", "scored")
    assert out == tmp_path / "mine.scored"
    table.with_columns({"datadiet_el2n": [0.5, None, 0.25, 1.0], "datadiet_class": ["neg"] * 4}).write(out)
    back = datasets.load_from_disk(out)
    assert {name: back.features[name] for name in FEATURES} == FEATURES
    assert back["id"][:] == ["3", "1", "01", "2"] and back["datadiet_el2n"][:] == [0.5, None, 0.25, 1.0]
    assert back["label"][:] == [1, 1, 0, -1]
    kept = tables.read(out).take([0, 3])
    kept.write(tmp_path / "kept.parquet")
    again = tables.read(tmp_path / "kept.parquet")
    assert (
        again.cells("label") == ["pos", None]
        and datasets.Dataset.from_parquet(str(tmp_path / "kept.parquet"), cache_dir=str(tmp_path / "cache")).features["label"]
        == FEATURES["label"]
    )


def test_lists_of_class_labels_are_lists_of_names(tmp_path):
    words, tags = (datasets.Sequence(each) for each in (datasets.Value("string"), datasets.ClassLabel(names=["O", "B-city"])))
    rows = {"tokens": [["to", "Rome"], ["now"], ["Oslo", "?"]], "tags": [[0, 1], [0], [1, -1]], "more": [[[1]], None, [[0], []]]}
    features = datasets.Features({"tokens": words, "tags": tags, "more": datasets.Sequence(tags)})
    dataset = datasets.Dataset.from_dict(rows, features=features)
    dataset.save_to_disk(tmp_path / "mine")
    dataset.to_parquet(tmp_path / "mine.parquet")
    for name in ("mine", "mine.parquet"):
        table = tables.read(tmp_path / name)
        assert table.cells("tags") == [["O", "B-city"], ["O"], ["B-city", None]]
        assert table.cells("more") == [[["B-city"]], None, [["O"], []]]
        found = tagged.read(table, "tokens", "tags")
        assert found.names == ("B-city", "O") and found.rows.tolist() == [0, 1]  # a row without one of its tags is left out
        table.write(tmp_path / "again.parquet", force=True)
        assert pq.read_table(tmp_path / "again.parquet").column("tags").to_pylist() == rows["tags"]


@pytest.mark.parametrize("number", [2, 2**40])
def test_a_class_that_the_file_has_no_name_for_is_refused(tmp_path, number):
    about = {"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}
    table = pa.table({"text": ["a", "b"], "label": [0, number]}).replace_schema_metadata({"huggingface": json.dumps(about)})
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InputError, match=f"the column 'label' holds {number}, and its 2 classes have the numbers 0 to 1"):
        tables.read(tmp_path / "t.parquet").cells("label")


def test_a_saved_folder_is_replaced_with_force_alone(dataset, tmp_path):
    dataset.save_to_disk(tmp_path / "mine")
    dataset.select([0]).save_to_disk(tmp_path / "out")
    table = tables.read(tmp_path / "mine")
    with pytest.raises(InputError, match="is a folder that is there already"):
        tables.placed(tmp_path / "out", tmp_path / "mine", "scored")
    table.write(tables.placed(tmp_path / "out", tmp_path / "mine", "scored", force=True), force=True)
    assert len(datasets.load_from_disk(tmp_path / "out")) == 4
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").touch()
    with pytest.raises(InputError, match="is a folder that is there already"):
        tables.placed(tmp_path / "other", tmp_path / "mine", "scored", force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "other", "out"]


def test_a_set_in_parts_asks_for_one(dataset, tmp_path):
    datasets.DatasetDict({"train": dataset, "test": dataset}).save_to_disk(tmp_path / "mine")
    with pytest.raises(InputError, match="a set in parts \\(test, train\\); name the folder of one"):
        tables.read(tmp_path / "mine")
    assert len(tables.read(tmp_path / "mine" / "train")) == 4


def test_a_set_of_the_hub(dataset, monkeypatch, tmp_path):
    asked = []

    def load(path, config, *, split, revision):
        asked.append((path, config, split, revision))
        if split == "dev":
            raise ValueError("Unknown split 'dev'")
        return dataset

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.chdir(tmp_path)
    table = tables.read("hf://owner/name")
    assert table.cells("label")[:2] == ["neg", "pos"] and "no revision named" in table.notes[0]
    assert tables.read("hf://owner/name/config@abc:test").notes == ("hf://owner/name/config@abc:test: test, revision abc",)
    with pytest.raises(InputError, match="could not be had: ValueError: Unknown split 'dev'"):
        tables.read("hf://owner/name:dev")
    assert asked == [
        ("owner/name", None, "train", None),
        ("owner/name", "config", "test", "abc"),
        ("owner/name", None, "dev", None),
    ]
    assert tables.placed(None, "hf://owner/name/config@abc:test", "scored").name == "owner-name-config.scored.parquet"
    with pytest.raises(InputError, match="mean nothing to"):
        tables.read("hf://owner/name", sep=";")


def test_images_by_class(tmp_path):
    for name in ("cat/2.png", "cat/1.JPG", "dog/1.jpeg", "dog/notes.txt"):
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / name).touch()
    table = tables.read(tmp_path / "pets")
    assert table.cells("path") == ["cat/1.JPG", "cat/2.png", "dog/1.jpeg"] and table.cells("label") == ["cat", "cat", "dog"]
    assert "1 file in the folders of classes, no image" in table.notes[0]
    out = tables.placed(None, tmp_path / "pets", "scored")
    tables.like(table, out).with_columns({"datadiet_el2n": [1, 2, 3]}).write(out)
    assert out.read_text() == "path,label,datadiet_el2n\ncat/1.JPG,cat,1\ncat/2.png,cat,2\ndog/1.jpeg,dog,3\n"


def test_folders_that_are_no_table(tmp_path):
    with pytest.raises(InputError, match="neither one that datasets saved nor one with images"):
        tables.read(tmp_path)
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(InputError, match="could not be read as a folder of datasets"):
        tables.read(tmp_path)


def test_names_of_folders_that_are_odd(tmp_path):
    """A class that is a link to another place is a class; a blank name and one that no table can hold are refused."""
    for name in ("pets/cat", "pets/dog", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.png").write_bytes(b"")
    (tmp_path / "pets" / "cow").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "ring").symlink_to(tmp_path / "pets")
    found = tables.read(tmp_path / "pets")
    assert found.cells("path") == ["cat/1.png", "cow/1.png", "dog/1.png"] and not found.notes
    for name, said in ((b" ", "has a blank name"), (b"caf\xe9", "is not UTF-8")):
        folder = os.path.join(os.fsencode(tmp_path), b"pets", name)
        try:
            os.mkdir(folder)
        except OSError:  # a file system that wants UTF-8
            continue
        (Path(os.fsdecode(folder)) / "1.png").write_bytes(b"")
        with pytest.raises(InputError, match=said):
            tables.read(tmp_path / "pets")
        shutil.rmtree(folder)
