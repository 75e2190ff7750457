"""A store that came back from elsewhere: every run is checked, and then all are copied, or none."""

import json
import shutil
import sqlite3

import numpy as np
import pandas as pd
import pytest
from small import config, words  # noqa: F401

from datadiet import runs
from datadiet.errors import InputError
from datadiet.runs import store
from datadiet.runs.merge import export, merge

CONFIGS = [config(seed=seed) for seed in (0, 1)]
SOURCE = {name: value for name, value in CONFIGS[0].items() if name != "seed"}
PRUNED = config(score_at=[], keep={"rule": "hardest", "score": "el2n", "at": "1ep", "seeds": [1], "source": SOURCE})


@pytest.fixture
def elsewhere(words, monkeypatch):  # noqa: F811
    """The folder of a store with three runs; the live store is another, and empty."""
    folder = words / "elsewhere"
    monkeypatch.setenv("DATADIET_STORE", str(folder))
    runs.sweep([*CONFIGS, PRUNED])
    monkeypatch.setenv("DATADIET_STORE", str(words / "here"))
    return folder


def change(folder, statement, *values):
    with sqlite3.connect(folder / "runs.sqlite") as db:
        db.execute(statement, values)
    db.close()


def test_runs_come_over_whole_and_once(elsewhere):
    assert merge(elsewhere) == {"merged": 3, "there already": 0}
    assert merge(elsewhere) == {"merged": 0, "there already": 3}
    table = runs.sweep([*CONFIGS, PRUNED], engine="stored")
    assert table.attrs["missing"] == 0 and set(table["origin"]) == {"here"}
    key = runs.key(CONFIGS[0])
    with np.load(elsewhere / "arrays" / f"{key}.npz") as theirs:
        for name, values in store.arrays(key).items():
            np.testing.assert_array_equal(values, theirs[name])


def test_a_store_that_cannot_be_written_to_is_read(elsewhere):
    for path in [*elsewhere.rglob("*"), elsewhere]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert merge(elsewhere)["merged"] == 3
    finally:
        for path in [elsewhere, *elsewhere.rglob("*")]:
            path.chmod(0o755)


def test_a_run_of_a_gpu_from_before_configs_had_a_device_gets_the_key_that_says_so(elsewhere):
    """So does the run that its examples were chosen by."""
    with sqlite3.connect(elsewhere / "runs.sqlite") as db:
        for key, text in db.execute("SELECT key, provenance FROM runs").fetchall():
            made = {name: value for name, value in json.loads(text).items()
                    if name not in ("device", "training_precision", "precision")}
            db.execute("UPDATE runs SET provenance = ?, row_sha256 = NULL WHERE key = ?",  # that time had no checksums
                       (json.dumps(made | {"hardware": "A processor, 16 cores, NVIDIA H200"}), key))
    db.close()
    assert merge(elsewhere)["merged"] == 3
    there = {"device": "cuda", "training_precision": "bfloat16"}
    pruned = PRUNED | there | {"keep": PRUNED["keep"] | {"source": PRUNED["keep"]["source"] | there}}
    wanted = [*(run | there for run in CONFIGS), pruned]
    assert runs.sweep(wanted, engine="stored").attrs["missing"] == 0
    assert runs.sweep([*CONFIGS, PRUNED], engine="stored").attrs["missing"] == 3


def torn(folder, name):
    place = folder / "arrays" / f"{name}.npz"
    place.write_bytes(place.read_bytes()[:200])


def other_examples(folder, name):
    np.savez_compressed(folder / "arrays" / f"{name}.npz", ids=np.arange(3), labels=np.zeros(3, int))


BROKEN = {
    "a config changed by hand": (lambda folder, name: change(
        folder, "UPDATE runs SET config = replace(config, '\"epochs\": 1', '\"epochs\": 2') WHERE key = ?", name), "another key"),
    "an array file cut short": (torn, "cannot be read"),
    "an array file that is gone": (lambda folder, name: (folder / "arrays" / f"{name}.npz").unlink(), "cannot be read"),
    "arrays of another set": (lambda folder, name: (other_examples(folder, name), change(
        folder, "UPDATE runs SET arrays_sha256 = NULL WHERE key = ?", name)), "of 3 examples"),
    "arrays of another run": (other_examples, "cannot be read"),
    "a metric changed by hand": (lambda folder, name: change(
        folder, "UPDATE runs SET metrics = replace(metrics, '\"updates\": ', '\"updates\": 1') WHERE key = ?", name),
        "not as it was written"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_one_bad_run_leaves_the_live_store_as_it_was(elsewhere, what):
    breaks, said = BROKEN[what]
    breaks(elsewhere, runs.key(CONFIGS[1]))
    with pytest.raises(InputError, match=said):
        merge(elsewhere)
    assert runs.sweep([*CONFIGS, PRUNED], engine="stored").attrs["missing"] == 3


def test_another_result_under_the_same_key_is_refused(elsewhere, words):  # noqa: F811
    merge(elsewhere)
    change(elsewhere, "UPDATE runs SET row_sha256 = NULL, metrics = replace(metrics, '\"updates\"', '\"updated\"') WHERE key = ?",
           runs.key(PRUNED))
    with pytest.raises(InputError, match="other metrics"):
        merge(elsewhere)


def test_a_folder_without_a_store_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no store"):
        merge(tmp_path)
    shutil.rmtree(tmp_path)
    with pytest.raises(InputError, match="holds no store"):
        merge(tmp_path)


def test_a_store_goes_out_and_comes_back_the_same(elsewhere, words, monkeypatch):  # noqa: F811
    monkeypatch.setenv("DATADIET_STORE", str(elsewhere))
    first = runs.sweep([*CONFIGS, PRUNED], engine="stored")
    assert export(words / "sent") == 3
    assert {file.name for file in (words / "sent").iterdir()} == {"arrays", "runs.sqlite"}  # nothing pending: it can be copied
    with pytest.raises(InputError, match="exists already"):
        export(words / "sent")
    monkeypatch.setenv("DATADIET_STORE", str(words / "third"))
    assert merge(words / "sent") == {"merged": 3, "there already": 0}
    pd.testing.assert_frame_equal(runs.sweep([*CONFIGS, PRUNED], engine="stored"), first)
    with pytest.raises(InputError, match="holds none of these runs"):
        export(words / "none", ["0" * 64])
    assert not (words / "none").exists()
