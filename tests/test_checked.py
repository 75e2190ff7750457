"""Faults of stores: each kind is planted, found, said in a paragraph, and never used in silence."""

import errno
import os
import shutil
import sqlite3

import numpy as np
import pytest
from click.testing import CliRunner
from small import config, words  # noqa: F401
from test_store import ARRAYS, book, save  # noqa: F401

from datadiet import paths, runs
from datadiet.cli import main
from datadiet.errors import InputError
from datadiet.runs import checked, database, sealed, store


def check(*arguments):
    return CliRunner().invoke(main, ["store", "check", *arguments])


@pytest.fixture
def kept(book):  # noqa: F811
    """The keys of two runs, stored here and published."""
    keys = [save(config(seed=seed, score_at=[0])) for seed in (0, 1)]
    store.publish(keys)
    return keys


def test_a_whole_store_has_no_faults(kept):
    result = check()
    assert result.exit_code == 0, result.output
    assert "2 live runs were looked at" in result.output and "2 published runs were looked at" in result.output


def test_an_empty_place_has_no_faults(book):  # noqa: F811
    assert check().exit_code == 0 and not (book / "store").exists()


def change(statement, *values):
    with sqlite3.connect(paths.store() / "runs.sqlite") as db:
        db.execute(statement, values)
    db.close()


def cut(place, to=-40):
    place.write_bytes(place.read_bytes()[:to])


def flip(place, at):
    data = bytearray(place.read_bytes())
    data[at] ^= 1
    place.write_bytes(data)


def array_of(key):
    return paths.store() / "arrays" / f"{key}.npz"


def scores_of(key):
    return paths.results() / "scores" / f"{key}.parquet"


FAULTS = {
    "a torn array file": (lambda key: cut(array_of(key)), "not as it was written"),
    "a torn array file of an old store": (
        lambda key: (change("UPDATE runs SET arrays_sha256 = NULL"), cut(array_of(key))), "is torn"),
    "an array file that is gone": (lambda key: array_of(key).unlink(), "the file is gone"),
    "arrays of another run": (lambda key: np.savez(array_of(key), **ARRAYS, more=np.zeros(3)), "not as it was written"),
    "a changed metric": (lambda key: change("UPDATE runs SET metrics = '{\"updates\": 7}' WHERE key = ?", key), "not as it was"),
    "a changed config": (lambda key: change(
        "UPDATE runs SET config = replace(config, '\"epochs\": 1', '\"epochs\": 2') WHERE key = ?", key), "has the key"),
    "a row that is no JSON": (lambda key: change("UPDATE runs SET metrics = '{' WHERE key = ?", key), "cannot be read"),
    "a file left by a kill": (lambda key: array_of(key).with_suffix(".abc.part").touch(), "no run has this file"),
    "a changed byte in published scores": (lambda key: flip(scores_of(key), 100), "not the file that was published"),
    "a changed byte in the published runs": (lambda key: flip(paths.results() / "runs.parquet", 300), "not the file that was"),
    "a published file that is gone": (lambda key: scores_of(key).unlink(), "the file is gone"),
    "a file that was never published": (lambda key: (paths.results() / "more.csv").touch(), "has no line"),
    "scores of no run": (lambda key: (shutil.copy(scores_of(key), scores_of("0" * 64)),
                                      sealed.seal(paths.results(), [f"scores/{'0' * 64}.parquet"])), "no published run"),
    "a store of a newer release": (lambda key: change("PRAGMA user_version = 9"), "newer release"),
    "a file that is no database": (lambda key: (paths.store() / "runs.sqlite").write_bytes(b"x" * 9000), "no store of runs"),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTS)
def test_a_planted_fault_is_found(kept, what):
    plant, said = FAULTS[what]
    plant(kept[0])
    result = check()
    assert result.exit_code == 1 and said in result.output, result.output
    assert "1 fault(s)" in result.output


HARMLESS = ("a file left by a kill", "an array file that is gone", "a published file that is gone",
            "a file that was never published", "scores of no run")  # fmt: skip


@pytest.mark.parametrize("what", sorted(FAULTS.keys() - set(HARMLESS)))
def test_a_planted_fault_is_never_used(kept, what):
    """Whoever reads the run or its arrays is told; nothing changed is handed out."""
    FAULTS[what][0](kept[0])
    with pytest.raises(InputError, match=r"\. |: "):
        store.live(kept), store.published(kept)
        for origin in ("here", "published"):
            store.arrays(kept[0], origin)
        if what == "a changed config":  # found by those that look at all
            raise InputError("; ".join(map(str, checked.live()[1])) + ". ")


def test_every_byte_of_an_array_file_counts(kept):
    """A byte is changed at random places: the arrays are equal (a byte that nobody reads) or are refused, never others."""
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    place, whole = array_of(kept[0]), array_of(kept[0]).read_bytes()
    for at in np.random.default_rng(seed).choice(len(whole), min(300, len(whole)), replace=False):
        place.write_bytes(whole)
        flip(place, at)
        store._read.cache_clear()
        try:
            again = store.arrays(kept[0], "here")
        except InputError:
            continue
        assert set(again) == set(ARRAYS) and all(np.array_equal(again[name], ARRAYS[name]) for name in ARRAYS), at


def test_a_file_replaced_with_the_clock_set_back_is_read_again(kept):
    place = array_of(kept[0])
    before, stat = store.arrays(kept[0], "here")["logits"], place.stat()
    other = place.with_suffix(".new.npz")
    np.savez_compressed(other, **ARRAYS | {"logits": ARRAYS["logits"] + 1})
    change("UPDATE runs SET arrays_sha256 = NULL")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(other, place)
    assert not np.array_equal(store.arrays(kept[0], "here")["logits"], before)


def test_a_clock_that_goes_back_changes_no_run(words, monkeypatch):  # noqa: F811
    import datetime

    class Back(datetime.datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime.datetime(1999, 1, 1, tzinfo=zone)

    monkeypatch.setattr(runs.datetime, "datetime", Back)
    table = runs.sweep([config()])
    assert table["started"][0].startswith("1999") and table["seconds"][0] > 0
    assert runs.sweep([config()], engine="stored").attrs["missing"] == 0


def test_a_disk_that_fills_ends_the_sweep_and_loses_no_stored_run(words, monkeypatch):  # noqa: F811
    """The sweep does not go on computing runs that cannot be kept."""
    configs, calls, write = [config(seed=seed) for seed in range(3)], [], np.savez_compressed

    def full(file, **arrays):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, **arrays)

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(InputError, match="No space left on device.*Make room"):
        runs.sweep(configs)
    assert len(calls) == 2 and len(store.live(map(runs.key, configs))) == 1 and not checked.live()[1]
    assert runs.sweep(configs).attrs["missing"] == 0 and len(calls) == 4


def test_a_store_that_is_only_read_is_read_and_says_so_when_written(kept, monkeypatch):
    """As root, whom no rights stop, the refusal is made."""
    folder = paths.store()
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        if os.geteuid() == 0:
            def refused(*args, **options):
                raise PermissionError(errno.EROFS, "Read-only file system")
            monkeypatch.setattr(database, "_connect", refused)
        assert len(store.live(kept)) == 2
        with pytest.raises(InputError, match="cannot be written|nothing can be written"):
            save(config(seed=9, score_at=[0]))
    finally:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)


def test_a_newer_store_is_not_changed(kept):
    change("PRAGMA user_version = 9")
    before = (paths.store() / "runs.sqlite").read_bytes()
    with pytest.raises(InputError, match="newer release"):
        save(config(seed=9, score_at=[0]))
    assert (paths.store() / "runs.sqlite").read_bytes() == before


def test_a_store_from_before_checksums_is_read_and_goes_on(book):  # noqa: F811
    run = config(score_at=[0])
    folder = paths.store()
    (folder / "arrays").mkdir(parents=True)
    np.savez_compressed(array_of(runs.key(run)), **ARRAYS)
    with sqlite3.connect(folder / "runs.sqlite") as db:
        db.execute("CREATE TABLE runs (key TEXT PRIMARY KEY, config TEXT, metrics TEXT, provenance TEXT)")
        db.execute("INSERT INTO runs VALUES (?, ?, ?, ?)", (runs.key(run), __import__("json").dumps(run), "{}", "{}"))
    db.close()
    assert len(store.live([runs.key(run)])) == 1 and checked.live() == (1, [])
    save(config(seed=1, score_at=[0]))
    assert checked.live() == (2, [])


def test_a_folder_that_holds_no_store_is_no_whole_store(book, tmp_path):  # noqa: F811
    """The name of a folder that was sent may be mistyped; the live store may not be there yet."""
    assert checked.live() == (0, [])
    result = CliRunner().invoke(main, ["store", "check", "--of", str(tmp_path / "sent")])
    assert result.exit_code == 1 and "sent: it holds no store" in result.stdout and "as it was written" not in result.stdout


def test_the_results_of_the_book_are_sealed_and_whole():
    number, faults = checked.published()
    assert number > 2000 and not faults, "\n".join(map(str, faults))
