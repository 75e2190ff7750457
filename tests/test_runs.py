"""Load, else compute: keys, the two stores, engines, kills, failures, and what a sweep will cost."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from small import config, settings, words  # noqa: F401

from datadiet import paths, prune, runs
from datadiet.chapters.score_timing.runs import score_timing
from datadiet.errors import InputError
from datadiet.runs import audit, configs, store

CLOCKS = ["seconds", "train_seconds", "scoring_seconds", "started"]


def comparable(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=[*CLOCKS, "origin"], errors="ignore")


def forbid_training(monkeypatch):
    def trained(*args, **kwargs):
        raise AssertionError("a stored run was trained again")

    monkeypatch.setattr(runs, "compute", trained)


def pruned(seed=0, **keep):
    source = {k: v for k, v in config().items() if k != "seed"}
    return config(
        seed=seed, score_at=[], keep={"rule": "hardest", "score": "el2n", "at": "1ep", "seeds": [1, 2], "source": source} | keep
    )


def test_a_key_is_that_of_the_meaning_not_of_the_order():
    one, other = config(seed=3), dict(reversed(list(config(seed=3).items())))
    assert runs.key(one) == runs.key(other) and len(runs.key(one)) == 64
    assert runs.key(one) != runs.key(config(seed=4))


def test_a_key_changes_with_the_protocol(monkeypatch):
    before = runs.key(config())
    monkeypatch.setattr(configs, "PROTOCOL", configs.PROTOCOL + 1)
    assert runs.key(config()) != before


def test_unknown_keys_are_refused():
    with pytest.raises(InputError, match="unknown config key.*epoch.*known.*epochs"):
        runs.config(epoch=3)
    with pytest.raises(InputError, match="unknown keep key"):
        runs.config(keep={"share": 0.5})


def test_load_else_compute(words, monkeypatch):  # noqa: F811
    first = runs.sweep([config(), config(seed=1)])
    assert list(first["seed"]) == [0, 1] and (first["origin"] == "here").all() and first.attrs["missing"] == 0
    forbid_training(monkeypatch)
    pd.testing.assert_frame_equal(runs.sweep([config(), config(seed=1)]), first)


def test_stored_computes_nothing_and_counts_what_is_missing(words, monkeypatch):  # noqa: F811
    runs.sweep([config()])
    forbid_training(monkeypatch)
    table = runs.sweep([config(), config(seed=1)], engine="stored")
    assert len(table) == 1 and table.attrs["missing"] == 1


def test_a_pruned_run_brings_its_scoring_runs_and_keeps_what_they_say(words):  # noqa: F811
    table = runs.sweep([pruned(fraction=0.4)])
    assert len(table) == 1 and table.loc[0, "n_kept"] == round(0.4 * 49) and table.loc[0, "score_seeds"] == 2
    scoring = [config(seed=s) for s in (1, 2)]
    assert runs.sweep(scoring, engine="stored").attrs["missing"] == 0
    values = np.mean([runs.score_values(run, "el2n", "1ep") for run in scoring], axis=0)
    by_hand = runs.compute(pruned(fraction=0.4), values)[0]
    assert by_hand["test_accuracy"] == table.loc[0, "test_accuracy"]
    assert len(prune.keep(values, 0.4)) == 20


def test_noise_and_balance_reach_the_run(words):  # noqa: F811
    run = config(noise=0.2)
    runs.sweep([run])
    held = store.arrays(runs.key(run))
    assert (held["truth"] != held["labels"]).sum() == round(0.2 * len(held["labels"]))
    balanced = runs.sweep([pruned(fraction=0.5, balanced=True)])
    assert balanced.loc[0, "balanced"] and balanced.loc[0, "n_kept"] == round(0.5 * 49)


def test_processes_give_the_table_of_one_process(words, monkeypatch):  # noqa: F811
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers: another number of threads may round differently
    try:
        configs = [config(), pruned(fraction=0.5), config(seed=7, score_at=[], keep={"rule": "random", "fraction": 0.5})]
        here = runs.sweep(configs)
        monkeypatch.setenv("DATADIET_STORE", str(words / "other"))
        pd.testing.assert_frame_equal(comparable(runs.sweep(configs, engine="processes")), comparable(here))
    finally:
        torch.set_num_threads(threads)


def test_dask_gives_the_table_of_one_process(words, monkeypatch):  # noqa: F811
    distributed = pytest.importorskip("distributed", reason="the dask extra is not installed")
    configs = [config(), pruned(fraction=0.5)]
    here = runs.sweep(configs)
    monkeypatch.setenv("DATADIET_STORE", str(words / "other"))
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0") as cluster:
        there = runs.sweep(configs, engine=cluster.scheduler_address.replace("tcp", "dask"))
    pd.testing.assert_frame_equal(comparable(there).drop(columns="threads"), comparable(here).drop(columns="threads"))


def test_unknown_engines_are_refused():
    with pytest.raises(InputError, match="unknown engine 'gpu'"):
        runs.sweep([], engine="gpu")
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        runs._pool("dask://127.0.0.1:9")


def test_an_unreachable_set_stops_a_sweep_before_anything_is_trained(words, monkeypatch):  # noqa: F811
    forbid_training(monkeypatch)
    with pytest.raises(InputError, match="wordz"):
        runs.sweep([config(), config(task="wordz")])
    assert not (words / "store").exists()


def test_a_failing_run_leaves_the_store_as_it_was_and_the_sweep_goes_on(words):  # noqa: F811
    bad = config(seed=1, score_at=[10_000])
    leaning = pruned(source={k: v for k, v in bad.items() if k != "seed"}, seeds=[1])
    with pytest.raises(runs.SweepFailed, match="2 of 4 runs failed") as caught:
        runs.sweep([config(), bad, leaning, config(seed=2)])
    assert set(caught.value.failures) == {runs.key(bad), runs.key(leaning)}
    assert "beyond the last" in str(caught.value)
    table = runs.sweep([config(), bad, leaning, config(seed=2)], engine="stored")
    assert list(table["seed"]) == [0, 2]
    assert len(list((words / "store" / "arrays").iterdir())) == 2


def test_a_crash_while_storing_leaves_nothing_visible(words, monkeypatch):  # noqa: F811
    def full(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(runs.SweepFailed, match="disk full"):
        runs.sweep([config()])
    assert store.find([runs.key(config())]) == {} and not list((words / "store" / "arrays").iterdir())


def test_a_killed_sweep_resumes_to_the_table_of_one_never_killed(words, monkeypatch):  # noqa: F811
    """Kill a sweep in another process as soon as something is stored, resume it here, and compare."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import torch; torch.set_num_threads(1)\n"
        "from small import config\nfrom datadiet import runs\n"
        "runs.sweep([config(seed=s, epochs=3) for s in range(40)])"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, os.path.dirname(__file__)],
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=paths.root(),
    )
    database, stored, deadline = words / "store" / "runs.sqlite", 0, time.monotonic() + 120
    while not stored and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.05)
        if database.is_file():
            try:
                with sqlite3.connect(database) as db:
                    stored = db.execute("SELECT count(*) FROM runs").fetchone()[0]
            except sqlite3.OperationalError:
                pass  # the table is being made
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert 0 < stored < 40, "the sweep was to be killed half-way"
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        few = [config(seed=s, epochs=3) for s in range(4)]
        resumed = runs.sweep(few)
        monkeypatch.setenv("DATADIET_STORE", str(words / "fresh"))
        pd.testing.assert_frame_equal(comparable(resumed), comparable(runs.sweep(few)))
    finally:
        torch.set_num_threads(threads)


@pytest.fixture
def book(words, monkeypatch):  # noqa: F811
    """A folder that looks like the book's, so that publishing does not write into the real one."""
    (words / "profiles").mkdir()
    (words / "claims.yml").write_text("[]")
    monkeypatch.setattr(paths, "root", lambda: words)
    return words


def test_published_runs_are_the_live_ones(book, monkeypatch):
    run, full = config(grand_size=10, noise=0.1), pruned()
    live = runs.sweep([run, full])
    held = store.arrays(runs.key(run))
    assert store.publish([runs.key(run), runs.key(full), "no such run"]) == 2
    assert store.publish([runs.key(run)]) == 1  # again: nothing is doubled
    monkeypatch.setenv("DATADIET_STORE", str(book / "empty"))
    forbid_training(monkeypatch)
    public = runs.sweep([run, full])  # comes back from results/, with its origin
    assert (public["origin"] == "published").all()
    pd.testing.assert_frame_equal(public.drop(columns="origin"), live.drop(columns="origin"))
    pd.testing.assert_frame_equal(runs.published([run, full]), public)
    again = store.arrays(runs.key(run))
    for name in ("ids", "labels", "truth", "logits", "feature_norms", "grand", "grand_positions"):
        np.testing.assert_array_equal(again[name], held[name])


def test_whatever_has_a_row_an_example_is_published(book, monkeypatch):
    """What a kind of task records beside the logits comes back under its name, with its shape."""
    rng, run = np.random.default_rng(0), config(score_at=[0, 1])
    held = {"ids": np.arange(5), "labels": np.arange(5) % 3, "logits": rng.normal(size=(2, 5, 3)).astype(np.float32),
            "feature_norms": rng.random((2, 5)), "slot_sums": rng.random((2, 5)), "words": np.arange(5),
            "tags": rng.integers(0, 9, (5, 4)), "test_predictions": np.arange(7)}
    store.save(runs.key(run), run, {}, {}, held)
    store.publish([runs.key(run)])
    monkeypatch.setenv("DATADIET_STORE", str(book / "empty"))
    again = store.arrays(runs.key(run))
    assert set(again) == set(held) - {"test_predictions"}  # there is one a test example, not one an example
    for name in again:
        np.testing.assert_array_equal(again[name], held[name])


def test_an_array_that_fits_nowhere_is_an_error_not_a_loss(book):
    run = config(score_at=[0])
    held = {"ids": np.arange(5), "labels": np.arange(5), "logits": np.zeros((1, 5, 3)), "odd": np.arange(4)}
    store.save(runs.key(run), run, {}, {}, held)
    with pytest.raises(InputError, match="'odd'.*no row for each of 5"):
        store.publish([runs.key(run)])


def test_a_later_setting_leaves_old_keys_alone(monkeypatch):
    """What was computed before a setting existed is the run with that setting at its default."""
    source = {"source": {name: value for name, value in config().items() if name != "seed"}, "seeds": [0], "score": "el2n"}
    old = [runs.key(config()), runs.key(config(keep=source))]
    monkeypatch.setattr(configs, "LATER", configs.LATER | {"colour": "red"})
    assert config()["colour"] == "red"
    later = {"source": source["source"] | {"colour": "red"}, "seeds": [0], "score": "el2n"}
    assert [runs.key(config()), runs.key(config(keep=later))] == old
    blue = {"source": source["source"] | {"colour": "blue"}, "seeds": [0], "score": "el2n"}
    assert len({*old, runs.key(config(colour="blue")), runs.key(config(keep=blue))}) == 4


def test_provenance_is_complete(words):  # noqa: F811
    row = runs.sweep([config()]).iloc[0]
    assert row["hardware"].endswith("cores") or "," in row["hardware"]
    assert row["versions"].keys() == {"python", "datadiet", "torch", "transformers", "accelerate", "numpy"}
    assert len(row["data_checksum"]) == 64 and row["commit"] and row["seconds"] > 0 and row["examples"] == 49


def test_arrays_of_a_run_that_is_not_stored(words):  # noqa: F811
    with pytest.raises(InputError, match="no arrays are stored"):
        store.arrays("0" * 64)


def test_a_plan_counts_what_a_sweep_then_does(words):  # noqa: F811
    chosen = settings()
    configs = score_timing(chosen)
    bill = audit.plan(configs)
    assert (bill["minutes"] > 0).all() and not (words / "store").exists()  # planning stores nothing
    distinct = {runs.key(run) for run in configs}
    assert bill["runs"].sum() == len(distinct)
    table = runs.sweep(configs).drop_duplicates("key")
    assert bill["updates"].sum() == table["updates"].sum()
    assert abs(bill["trained"].sum() - table["examples"].sum()) <= len(table)
    assert bill["scored"].sum() == table["scored"].sum()
    assert not len(audit.plan(configs))


def test_verify_tells_a_faithful_result_from_a_changed_one(book):
    configs = [config(seed=s) for s in range(3)]
    with pytest.raises(InputError, match="none of these runs is published"):
        audit.verify(configs)
    runs.sweep(configs)
    store.publish(map(runs.key, configs))
    assert set(audit.verify(configs, sample=2)["outcome"]) == {"equal"}
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = book / "results" / "runs.parquet"
    rows = pq.read_table(file).to_pylist()
    for row in rows:
        row["metrics"] = json.dumps(json.loads(row["metrics"]) | {"test_accuracy": 0.123})
    pq.write_table(pa.Table.from_pylist(rows), file)
    assert set(audit.verify(configs, sample=2)["outcome"]) == {"differs"}
    with pytest.raises(InputError, match="at least 1"):
        audit.verify(configs, sample=0)
