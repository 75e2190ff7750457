"""The two stores: what is written is read back, by many at once, and by nobody changed."""

import json
import os
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from small import config, words  # noqa: F401

from datadiet import paths, runs
from datadiet.errors import InputError
from datadiet.runs import database, store

ARRAYS = {"ids": np.arange(5), "labels": np.arange(5) % 3, "logits": np.zeros((1, 5, 3), np.float32)}


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A folder that looks like the book's, with stores of its own."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "claims.yml").write_text("[]")
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    monkeypatch.setenv("DATADIET_STORE", str(tmp_path / "store"))
    return tmp_path


def save(run, **arrays):
    store.save(runs.key(run), run, {"updates": 1}, {"data_checksum": "a"}, ARRAYS | arrays)
    return runs.key(run)


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_array_files_are_as_open_as_the_umask_lets_them_be(book, umask, mode):
    before = os.umask(umask)
    try:
        key = save(config(score_at=[0]))
    finally:
        os.umask(before)
    assert (book / "store" / "arrays" / f"{key}.npz").stat().st_mode & 0o777 == mode
    assert [file.suffix for file in (book / "store" / "arrays").iterdir()] == [".npz"]


@pytest.mark.parametrize("origin", ["here", "published"])
def test_nobody_changes_the_arrays_of_the_next(book, origin):
    key = save(config(score_at=[0]))
    store.publish([key])
    arrays = store.arrays(key, origin)
    for name in arrays:
        with pytest.raises(ValueError, match="read-only"):
            arrays[name][...] = 7
    arrays["logits"] = None
    np.testing.assert_array_equal(store.arrays(key, origin)["logits"], ARRAYS["logits"])


def test_arrays_of_one_origin(book):
    key = save(config(score_at=[0]))
    with pytest.raises(InputError, match="no arrays are published"):
        store.arrays(key, "published")
    store.publish([key])
    save(config(score_at=[0]), logits=ARRAYS["logits"] + 1)
    assert store.arrays(key)["logits"].max() == store.arrays(key, "here")["logits"].max() == 1  # live before published
    assert store.arrays(key, "published")["logits"].max() == 0
    with pytest.raises(InputError, match="no arrays are stored"):
        store.arrays("0" * 64)


def test_a_run_stored_again_is_replaced(book):
    run = config(score_at=[0])
    key = save(run)
    store.save(key, run, {"updates": 2}, {}, ARRAYS)
    assert store.live([key])[key]["metrics"] == {"updates": 2}


def test_published_results_written_again_are_read_again(book):
    keys = [save(config(seed=seed, score_at=[0])) for seed in range(3)]
    store.publish(keys[:1])
    assert set(store.published(keys)) == {keys[0]}
    store.publish(keys)
    assert set(store.published(keys)) == set(keys)
    store.published(keys)[keys[0]]["config"]["seed"] = 99  # a copy
    assert store.published(keys)[keys[0]]["config"]["seed"] == 0


def test_published_results_are_read_once(book, monkeypatch):
    keys = [save(config(seed=seed, score_at=[0])) for seed in range(2)]
    store.publish(keys)
    calls, read = [], pq.read_table
    monkeypatch.setattr(store.pq, "read_table", lambda *args, **options: calls.append(args) or read(*args, **options))
    for _ in range(11):
        assert len(store.published(keys)) == 2 and store.published(["no such run"]) == {}
    assert len(calls) == 1


def test_a_store_of_a_hundred_thousand_runs_answers_at_once(book):
    save(config())
    row = [json.dumps(part) for part in (config(), {"updates": 1}, {})]
    with sqlite3.connect(book / "store" / "runs.sqlite") as db:
        db.executemany("INSERT INTO runs (key, config, metrics, provenance) VALUES (?, ?, ?, ?)",
                       [(f"{number:064x}", *row) for number in range(100_000)])
    wanted = [f"{number:064x}" for number in range(0, 100_000, 50)] + ["no such run"]
    for name in wanted:
        (book / "store" / "arrays" / f"{name}.npz").touch()
    start = time.perf_counter()
    found = store.live(iter(wanted))
    assert time.perf_counter() - start < 1 and list(found) == wanted[:-1]


def test_many_open_a_new_store_at_once(book):
    """Each turns the file to WAL, waits for the others, and stores a run; none is told that the database is locked."""
    script = (
        "import sys, time\nfrom datadiet.runs import database, store\nimport numpy as np\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "store.save(sys.argv[1], {}, {}, {}, {'ids': np.arange(3)})"
    )
    for attempt in range(3):
        env = os.environ | {"DATADIET_STORE": str(book / f"new{attempt}"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", script]
        many = [subprocess.Popen([*command, f"{number:064x}"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True) for number in range(12)]  # fmt: skip
        for each in many:
            assert each.stdout.readline() == "ready\n"
        for each in many:
            each.stdin.write("\n")
            each.stdin.flush()
        said = [each.communicate(timeout=120)[1] for each in many]
        assert [each.returncode for each in many] == [0] * len(many), said
        with sqlite3.connect(book / f"new{attempt}" / "runs.sqlite") as db:
            assert db.execute("SELECT count(*) FROM runs").fetchone()[0] == len(many)


def test_a_locked_store_is_waited_for_and_another_error_is_raised(book, monkeypatch):
    seen, connect = [], sqlite3.connect

    class Locked(sqlite3.Connection):
        def execute(self, statement, *args):
            if "journal_mode" in statement:
                seen.append(statement)
                if len(seen) < 3:
                    problem = sqlite3.OperationalError("database is locked")
                    problem.sqlite_errorcode = sqlite3.SQLITE_BUSY
                    raise problem
            return super().execute(statement, *args)

    monkeypatch.setattr(database.sqlite3, "connect", lambda *args, **options: connect(*args, **options, factory=Locked))
    assert save(config(score_at=[0])) and len(seen) == 3
    monkeypatch.setattr(database, "PATIENCE", -1)
    seen.clear()
    with pytest.raises(InputError, match="held by another process"):
        save(config(score_at=[0]))
    assert len(seen) == 1


def test_whatever_has_a_row_an_example_is_published(book, monkeypatch):
    """All that a kind of task records beside the logits comes back under its name, with its shape."""
    rng, run = np.random.default_rng(0), config(score_at=[0, 1])
    recorded = {"ids": np.arange(5), "labels": np.arange(5) % 3, "logits": rng.normal(size=(2, 5, 3)).astype(np.float32),
                "feature_norms": rng.random((2, 5)), "slot_sums": rng.random((2, 5)), "words": np.arange(5),
                "tags": rng.integers(0, 9, (5, 4)), "test_predictions": np.arange(7)}
    store.save(runs.key(run), run, {}, {}, recorded)
    store.publish([runs.key(run)])
    monkeypatch.setenv("DATADIET_STORE", str(book / "empty"))
    again = store.arrays(runs.key(run))
    assert set(again) == set(recorded) - {"test_predictions"}  # there is one a test example, not one an example
    for name in again:
        np.testing.assert_array_equal(again[name], recorded[name])


def test_an_array_that_fits_nowhere_is_an_error_not_a_loss(book):
    key = save(config(score_at=[0]), odd=np.arange(4))
    with pytest.raises(InputError, match="'odd'.*no row for each of 5"):
        store.publish([key])


def test_a_crash_while_storing_leaves_nothing_visible(words, monkeypatch):  # noqa: F811
    def full(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(InputError, match="disk full.*Make room"):
        runs.sweep([config()])
    assert store.find([runs.key(config())]) == {} and not list((words / "store" / "arrays").iterdir())
