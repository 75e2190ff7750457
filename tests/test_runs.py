"""Load, else compute: keys, the two stores, engines, kills, failures, and what a sweep will cost."""

import json
import os
import platform
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small import config, settings, words, write_words  # noqa: F401

from datadiet import paths, prune, runs
from datadiet.chapters.score_timing.runs import wanted as score_timing
from datadiet.errors import InputError
from datadiet.runs import bill, engines, process, provenance, sealed, store, verify

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
    recorded = store.arrays(runs.key(run))
    assert (recorded["truth"] != recorded["labels"]).sum() == round(0.2 * len(recorded["labels"]))
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


def test_unknown_engines_are_refused(words):  # noqa: F811
    with pytest.raises(InputError, match="unknown engine 'gpu'"):
        runs.sweep([], engine="gpu")
    with pytest.raises(InputError, match="unknown engine 5; choose 'here'"):
        runs.sweep([], engine=5)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        runs.sweep([config()], engine="dask://127.0.0.1:9")


@pytest.mark.parametrize("engine", ["dask://", "dask://scheduler", "dask://:8786", "dask://host:port", "dask://host:99999"])
def test_a_dask_address_without_host_or_port_is_refused(engine):
    with pytest.raises(InputError, match=f"the engine '{engine}' names no Dask scheduler; give its host and port"):
        runs.sweep([], engine)


@pytest.mark.parametrize(
    "configs, said",
    [({"task": "words"}, "give a list"), (5, "configs=5"), ([5], "5 among the configs"), ([{"task": "words"}], "complete as")],
)
def test_configs_that_are_none_are_refused(configs, said):
    for asked in (runs.sweep, runs.published, runs.missing, verify.published_again):
        with pytest.raises(InputError, match=said):
            asked(configs)


@pytest.mark.parametrize("how, said", [({"sample": "x"}, "sample='x'"), ({"sample": 0}, "sample=0"), ({"seed": -1}, "seed=-1")])
def test_samples_that_are_none_are_refused(how, said):
    with pytest.raises(InputError, match=said):
        verify.published_again([runs.config()], **how)


def test_an_unreachable_set_stops_a_sweep_before_anything_is_trained(words, monkeypatch):  # noqa: F811
    forbid_training(monkeypatch)
    with pytest.raises(InputError, match="wordz"):
        runs.sweep([config(), config(task="wordz")])
    assert not (words / "store").exists()


def test_a_failing_run_leaves_the_store_as_it_was_and_the_sweep_goes_on(words):  # noqa: F811
    bad = config(seed=1, score_at=[10_000])
    leaning = pruned(source={k: v for k, v in bad.items() if k != "seed"}, seeds=[1], at=10_000)
    with pytest.raises(runs.SweepFailed, match="2 of 4 runs failed") as caught:
        runs.sweep([config(), bad, leaning, config(seed=2)])
    assert set(caught.value.failures) == {runs.key(bad), runs.key(leaning)}
    assert "beyond the last" in str(caught.value)
    table = runs.sweep([config(), bad, leaning, config(seed=2)], engine="stored")
    assert list(table["seed"]) == [0, 2]
    assert len(list((words / "store" / "arrays").iterdir())) == 2


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


def test_the_commit_is_that_of_the_book_at_hand(words, monkeypatch):  # noqa: F811
    """In one process, a book without a repository and one with it are asked one after the other."""
    here = provenance.commit()
    monkeypatch.setattr(paths, "root", lambda: words)
    assert provenance.commit() == "unknown"
    monkeypatch.undo()
    assert provenance.commit() == here


def test_published_runs_are_the_live_ones(book, monkeypatch):
    run, full = config(grand_size=10, noise=0.1), pruned()
    live = runs.sweep([run, full])
    recorded = store.arrays(runs.key(run))
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
        np.testing.assert_array_equal(again[name], recorded[name])


def test_provenance_is_complete(words):  # noqa: F811
    row = runs.sweep([config()]).iloc[0]
    assert row["hardware"].endswith("cores") or "," in row["hardware"]
    assert row["versions"].keys() == {"python", "datadiet", "torch", "transformers", "numpy"}
    assert len(row["data_checksum"]) == 64 and row["commit"] and row["seconds"] > 0 and row["examples"] == 49


def test_a_plan_counts_what_a_sweep_then_does(words):  # noqa: F811
    chosen = settings()
    configs = score_timing(chosen)
    due = bill.of(configs)
    assert (due["minutes"] > 0).all() and not (words / "store").exists()  # planning stores nothing
    distinct = {runs.key(run) for run in configs}
    assert due["runs"].sum() == len(distinct)
    table = runs.sweep(configs).drop_duplicates("key")
    assert due["updates"].sum() == table["updates"].sum()
    assert abs(due["trained"].sum() - table["examples"].sum()) <= len(table)
    assert due["scored"].sum() == table["scored"].sum()
    assert not len(bill.of(configs))


def altered(book, name, change):
    """Change one column of every published run."""
    file = book / "results" / "runs.parquet"
    rows = [row | {name: json.dumps(json.loads(row[name]) | change)} for row in pq.read_table(file).to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows), file)
    sealed.seal(book / "results", [file.name])


def test_verify_tells_a_faithful_result_from_a_changed_one(book):
    configs = [config(seed=s) for s in range(3)]
    with pytest.raises(InputError, match="none of these runs is published"):
        verify.published_again(configs)
    runs.sweep(configs)
    store.publish(map(runs.key, configs))
    again = verify.published_again(configs, sample=2)
    assert set(again["outcome"]) == {"equal"} and set(again["arrays"]) == {"equal"} and again["same_machine"].all()
    altered(book, "metrics", {"train_seconds": 1e9})
    assert set(verify.published_again(configs, sample=2)["outcome"]) == {"equal"}  # times are not compared
    accuracy = store.published([runs.key(configs[0])])[runs.key(configs[0])]["metrics"]["test_accuracy"]
    altered(book, "metrics", {"test_accuracy": accuracy + 0.01})
    found = verify.published_again(configs[:1]).iloc[0]
    assert (found["compared"], found["tolerance"], found["outcome"]) == ("same processor", 0.0, "differs")
    altered(book, "provenance", {"hardware": "another"})
    for away, outcome in ((0.01, "close"), (0.03, "differs")):
        altered(book, "metrics", {"test_accuracy": accuracy + away})
        found = verify.published_again(configs[:1]).iloc[0]
        assert (found["compared"], found["tolerance"], found["outcome"]) == ("another processor", 0.02, outcome)
    altered(book, "metrics", {"test_accuracy": accuracy, "updates": 8})
    found = verify.published_again(configs[:1]).iloc[0]
    assert (found["outcome"], found["metric"], found["published"], found["here"]) == ("differs", "updates", 8, 7)
    altered(book, "metrics", {"test_accuracy": 0.123, "updates": 7})
    assert set(verify.published_again(configs, sample=2)["outcome"]) == {"differs"}
    with pytest.raises(InputError, match="at least 1"):
        verify.published_again(configs, sample=0)


def test_verify_compares_arrays_and_runs_without_an_accuracy(book):
    """Out-of-fold and untrained runs have no test accuracy; their arrays are compared all the same."""
    configs = [config(folds=2, score_at=[0]), config(epochs=0, score_at=[0], grand_size=None)]
    runs.sweep(configs)
    store.publish(map(runs.key, configs))
    assert verify.published_again(configs)["outcome"].tolist() == ["equal", "equal"]
    for run, name, width in zip(configs, ("logits@0", "grand@0"), (3, None), strict=True):
        file = book / "results" / "scores" / f"{runs.key(run)}.parquet"
        table = pq.read_table(file)
        zeros = pa.array(np.zeros((width or 1) * len(table), np.float32))
        zeros = zeros if width is None else pa.FixedSizeListArray.from_arrays(zeros, width)
        pq.write_table(table.set_column(table.column_names.index(name), name, zeros), file)
        sealed.seal(book / "results", [f"scores/{file.name}"])
    found = verify.published_again(configs)
    assert found["outcome"].tolist() == ["differs"] * 2 and found["arrays"].tolist() == ["differ"] * 2


def test_verify_on_another_device_says_so_and_never_equal(book, monkeypatch):
    """No GPU is needed: a run is stored under the key of one that asks for cuda, and is computed on the processor."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    asked = config(device="cuda")
    metrics, provenance, arrays = runs.again(verify.placed(asked))
    assert (provenance["device"], provenance["training_precision"]) == ("cpu", "float32")
    store.save(runs.key(asked), asked, metrics, provenance, arrays)
    store.publish([runs.key(asked)])
    for where in (None, "cpu"):
        found = verify.published_again([asked], where=where).iloc[0]
        assert (found["compared"], found["tolerance"]) == ("another device: cpu for cuda", 0.05)
        assert (found["arrays"], found["outcome"]) == ("equal", "another device")
    for away, outcome in ((0.045, "another device"), (0.055, "differs")):
        altered(book, "metrics", {"test_accuracy": metrics["test_accuracy"] + away})
        assert verify.published_again([asked])["outcome"].tolist() == [outcome]
    for where in ("mps", "tpu"):
        with pytest.raises(InputError, match=f"'{where}'"):
            verify.published_again([asked], where=where)


def test_a_pruned_run_is_verified_elsewhere_with_the_published_scores(book, monkeypatch):
    """It leans on runs under their own keys, of their own device; only it is computed on another."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    source = {name: value for name, value in config(device="cuda").items() if name != "seed"}
    run, kept = pruned(fraction=0.5, source=source) | {"device": "cuda", "training_precision": "bfloat16"}, []
    for scoring in runs.scoring_runs(run):
        store.save(runs.key(scoring), scoring, *runs.again(verify.placed(scoring)))
    metrics, provenance, arrays = runs.again(verify.placed(run))
    store.save(runs.key(run), run, metrics, provenance, arrays)
    store.publish([runs.key(run), *map(runs.key, runs.scoring_runs(run))])
    keep = prune.keep
    monkeypatch.setattr(prune, "keep", lambda *args, **how: kept.append(keep(*args, **how)) or kept[-1])
    assert verify.published_again([run])["outcome"].tolist() == ["another device"]
    values = np.mean([runs.score_values(each, "el2n", "1ep") for each in runs.scoring_runs(run)], axis=0)
    np.testing.assert_array_equal(kept[0], keep(values, 0.5))


@pytest.mark.parametrize("made, again, same_machine, row, tolerance", [
    ({}, {}, True, "same processor", 0.0),
    ({}, {}, False, "another processor", 0.02),
    ({"precision": "bfloat16"}, {}, False, "another processor", 0.03),
    ({"device": "cuda", "training_precision": "float32"}, {}, True, "a GPU, as before", 0.02),
    ({"device": "cuda"}, {}, False, "a GPU, as before", 0.03),
    ({"device": "cuda"}, {"device": "cpu", "training_precision": "float32"}, False, "another device", 0.05),
    ({}, {"device": "cuda"}, False, "another device", 0.05),
])
def test_the_tolerance_goes_by_device_and_precision(made, again, same_machine, row, tolerance):
    run = config(**made)
    assert verify.limits(run, run | again, same_machine) == (row, tolerance)


def test_words_among_metrics_are_not_compared():
    assert verify.numbers({"updates": 3, "not_captured": "RuntimeError: no"}) == {"updates": 3}


def test_an_out_of_fold_run_is_billed_as_such(words):  # noqa: F811
    due = bill.of([config(folds=2, score_at=[0]), config(seed=1)]).set_index("kind")
    assert due.loc["out-of-fold", ["updates", "trained", "scored"]].tolist() == [0, 0, 49]
    assert due.loc["scoring", "updates"] == 7 and (due["minutes"] > 0).all()


def test_a_plan_of_runs_for_a_device_that_is_not_here_counts_and_times_nothing(words, monkeypatch):  # noqa: F811
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    absent = bill.of([config(device="cuda"), config(device="cuda", seed=1)])
    assert absent[["runs", "updates", "device"]].values.tolist() == [[2, 14, "cuda"]] and absent["minutes"].isna().all()
    assert bill.in_all(absent) == ("In all 2 runs, 14 updates. 2 runs ask for cuda, which this machine has not, and are not "
                                   "timed here. Plan on a machine that has it.")
    both = bill.of([config(device="cuda"), config()])
    assert both.set_index("device")["minutes"].notna().to_dict() == {"cuda": False, "cpu": True}
    assert "1 runs ask for cuda" in bill.in_all(both) and "; the other 1: 0." in bill.in_all(both)


def test_a_plan_on_a_gpu_does_not_take_what_it_costs_to_begin_for_the_rate(words, monkeypatch):  # noqa: F811
    """A stand-in for the clock and for training: kernels cost 100 s once, each run 10 s, an example 2 s, a scored one 0.5 s."""
    from types import SimpleNamespace

    from datadiet.training import loop

    now, epochs = [0.0], []

    def fit(run, task):
        examples = run["epochs"] * len(task.train)
        scored, begun = len(task.train), 10 if epochs else 110
        train, scoring = begun * bool(examples) + 2 * examples, 0.5 * (scored + 4 * run["grand_size"])
        epochs.append(run["epochs"])
        now[0] += 3 + train + scoring
        return SimpleNamespace(metrics={"train_seconds": train, "scoring_seconds": scoring, "examples": examples,
                                        "scored": scored, "grand_scored": run["grand_size"]})

    monkeypatch.setattr(loop, "fit", fit)
    monkeypatch.setattr(bill.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(bill, "SAMPLE_ON_A_GPU", 3)
    expected = {"trained": 2, "scored": 0.5, "grand": 2, "run": 13}
    assert bill.rates(config(device="cuda")) == pytest.approx(expected) and epochs == [1, 2, 4]
    assert bill.rates(config(device="cuda", epochs=0, score_at=[0])) == pytest.approx(expected | {"trained": 0, "run": 3})
    epochs[3:] = []
    assert bill.rates(config())["run"] == pytest.approx(3) and epochs == [1, 2, 4, 1], "a processor is timed once, as before"


# --- data that change under a key


def change_data(words, seed=1):  # noqa: F811
    write_words(words / "data", seed=seed)
    runs._task.cache_clear()


def test_runs_of_this_machine_whose_data_changed_are_computed_again(words):  # noqa: F811
    old = runs.sweep([config(), pruned(fraction=0.5)])
    change_data(words)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is to be computed: no set is loaded, nothing is compared
        assert list(runs.sweep([config()])["data_checksum"]) == list(old["data_checksum"][:1])
        assert list(runs.sweep([config()], "stored")["data_checksum"]) == list(old["data_checksum"][:1])
    with pytest.warns(UserWarning, match="4 run.s. of this machine were computed with other data .* computed again .words."):
        new = runs.sweep([config(), pruned(fraction=0.5), config(seed=5)])  # and what it leans on
    assert new["data_checksum"].nunique() == 1 and new["data_checksum"][0] != old["data_checksum"][0]
    assert runs.sweep([config(seed=1)], "stored")["data_checksum"][0] == new["data_checksum"][0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pd.testing.assert_frame_equal(runs.sweep([config(), pruned(fraction=0.5), config(seed=5)]), new)


def test_published_runs_of_other_data_are_shown_and_never_leaned_on(book, monkeypatch):
    scoring = [config(seed=s) for s in range(3)]
    old = runs.sweep([*scoring, pruned(fraction=0.5)])
    store.publish(old["key"])
    monkeypatch.setenv("DATADIET_STORE", str(book / "empty"))
    change_data(book)
    with pytest.warns(UserWarning, match="4 published run.s. were computed with other data .* shown as published"):
        table = runs.sweep([*scoring, pruned(fraction=0.5), config(seed=7)])
    assert list(table["origin"]) == ["published"] * 4 + ["here"] and table["data_checksum"].nunique() == 2
    with pytest.raises(InputError, match="published scoring run .* on 'words' was computed with other data"):
        runs.sweep([pruned(fraction=0.4)])
    assert runs.sweep([pruned(fraction=0.4)], "stored").attrs["missing"] == 1
    assert set(verify.published_again(scoring)["outcome"]) == {"data differs"}


# --- devices, workers, threads


def test_a_device_that_is_not_here_is_an_error_before_anything_is_trained(words, monkeypatch):  # noqa: F811
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    forbid_training(monkeypatch)
    for engine in ("here", "processes"):
        with pytest.raises(InputError, match="asks for 'cuda'"):
            runs.sweep([config(), config(device="cuda")], engine)
    assert not (words / "store").exists()
    monkeypatch.undo()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="asks for 'cuda'"):  # nor does a worker train it elsewhere
        runs.compute(config(device="cuda"))


def test_device_and_precisions_are_columns(words):  # noqa: F811
    table = runs.sweep([config()])
    stored = store.find([runs.key(config())])[runs.key(config())]["provenance"]
    for name, value in {"device": "cpu", "training_precision": "float32", "precision": "float32"}.items():
        assert table.loc[0, name] == value == stored[name]


def test_as_many_workers_as_cores_that_are_ours_and_never_more_than_runs():
    script = "from datadiet.runs import process as p; w = p.workers({'cpu'}, 9); print(w.count, w.gpus, w.words, sep=';')"
    one = sorted(os.sched_getaffinity(0))[0]
    ran = subprocess.run([sys.executable, "-c", f"import os; os.sched_setaffinity(0, [{one}]); {script}"],
                         capture_output=True, text=True, check=True)  # fmt: skip
    assert ran.stdout.strip() == "1;[];1 workers, one a core"
    assert process.workers({"cpu"}, 1).count == 1 and process.workers({"mps"}, 3).count == 1


@pytest.fixture
def gpu_machine(monkeypatch, tmp_path):
    """A function that makes this look like a machine with GPUs: GiB that are free on each, cores."""
    import joblib
    import torch

    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path / "mps"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def make(*free, cores=16):
        monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "Stand-in")
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (free[number] * 2**30, 80 * 2**30))

    return make


@pytest.mark.parametrize("free, cores, runs_, shares, said", [
    ([140], 16, 99, [16], "16 workers: 1 GPU, all share it, as 16 cores allow; MPS is not running: they take turns"),
    ([78, 78], 16, 99, [8, 8], "16 workers: 2 GPUs, 8 share each, as 16 cores allow; MPS is not running: they take turns"),
    ([22], 16, 99, [5], "5 workers: 1 GPU, all share it, as free memory allows; MPS is not running: they take turns"),
    ([78, 9], 16, 99, [8, 2],
     "10 workers: 2 GPUs, up to 8 share each, as free memory allows; MPS is not running: they take turns"),
    ([78, 78], 16, 3, [2, 1], "3 workers: 2 GPUs, up to 2 share each, one a run; MPS is not running: they take turns"),
    ([78] * 4, 2, 99, [1] * 4, "4 workers: 4 GPUs, one each, as 2 cores allow"),
    ([1], 16, 99, [1], "1 workers: 1 GPU, one each, as free memory allows"),
    ([78] * 4, 16, 2, [1, 1, 0, 0], "2 workers: 4 GPUs, one each, one a run"),
])
def test_workers_share_the_gpus_as_cores_and_memory_allow(gpu_machine, free, cores, runs_, shares, said):
    gpu_machine(*free, cores=cores)
    found = process.workers({"cuda", "cpu"}, runs_)
    assert found.count == sum(shares) == len(found.gpus) and found.words == said
    assert [found.gpus.count(str(number)) for number in range(len(free))] == shares
    assert found.gpus[: len(free)] == [str(number) for number in range(len(free))][:runs_]  # dealt out in turn


def test_the_names_of_gpus_are_those_that_the_environment_gives(gpu_machine, monkeypatch):
    gpu_machine(78, 78, cores=4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-5")
    assert process.gpus() == ["2", "GPU-5"] and process.workers({"cuda"}, 9).gpus == ["2", "GPU-5", "2", "GPU-5"]
    gpu_machine(78, cores=4)
    assert process.gpus() == ["2"]  # a name without a GPU is none


def test_mps_is_seen_by_the_pipe_of_its_daemon(gpu_machine, tmp_path):
    gpu_machine(78, cores=4)
    assert not process.mps()
    (tmp_path / "mps").mkdir()
    assert not process.mps()  # a folder that was left behind
    (tmp_path / "mps" / "control").touch()
    assert process.mps()
    assert process.workers({"cuda"}, 9).words == "4 workers: 1 GPU, all share it, as 4 cores allow; MPS is running"


def test_an_encoder_that_may_be_large_gets_more_room_on_a_gpu(gpu_machine):
    gpu_machine(78)
    small, large = config(device="cuda"), config(device="cuda", encoder="bert-base-uncased")
    assert process.need([small]) == process.need([small, config(encoder="bert-base-uncased")]) < process.need([small, large])
    assert process.workers({"cuda"}, 99, process.need([small, large])).count == 4


def test_each_worker_is_bound_to_one_gpu(gpu_machine, monkeypatch):
    """The queue that workers take their GPU from holds each name as often as that GPU is shared."""
    gpu_machine(78, 78, cores=4)
    seen = []

    class Started:
        def __init__(self, count, context, initializer, arguments):
            seen.extend([count, initializer, sorted(arguments[0].get() for _ in range(count)), arguments[0].empty()])

        def shutdown(self, cancel_futures):
            pass

    monkeypatch.setattr(engines, "ProcessPoolExecutor", Started)
    with engines.started("processes", [config(device="cuda", seed=seed) for seed in range(9)]) as (_, room, said):
        assert room() == 8 and said.startswith("4 workers: 2 GPUs, 2 share each")
    assert seen == [4, process.start_worker, ["0", "0", "1", "1"], True]


def test_a_worker_has_its_gpu_one_thread_and_its_imports_before_its_first_run():
    script = (
        "import os, sys; from multiprocessing import get_context; from datadiet.runs import process\n"
        "free = get_context('spawn').SimpleQueue(); free.put('5'); assert 'torch' not in sys.modules\n"
        "process.start_worker(free); import torch\n"
        "print(os.environ['CUDA_VISIBLE_DEVICES'], torch.get_num_threads(), 'transformers' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["5", "1", "True"]


def test_a_sweep_says_how_many_workers_it_starts_on_its_bar(words, capfd):  # noqa: F811
    from datadiet.book import gate

    runs.sweep([config()], engine="processes")
    said = capfd.readouterr().err
    assert "runs (1 workers, one a run)" in said and gate.is_progress(said)


def test_runs_in_threads_of_a_dask_worker_are_those_of_here(words, monkeypatch):  # noqa: F811
    distributed = pytest.importorskip("distributed", reason="the dask extra is not installed")
    six = [config(seed=seed, epochs=2) for seed in range(6)]
    here = runs.sweep(six)
    arrays = [store.arrays(runs.key(run)) for run in six]
    monkeypatch.setenv("DATADIET_STORE", str(words / "other"))
    with distributed.LocalCluster(n_workers=1, threads_per_worker=3, host="127.0.0.1", dashboard_address=":0") as cluster:
        there = runs.sweep(six, engine=cluster.scheduler_address.replace("tcp", "dask"))
    pd.testing.assert_frame_equal(comparable(there).drop(columns="threads"), comparable(here).drop(columns="threads"))
    for run, recorded in zip(six, arrays, strict=True):
        np.testing.assert_array_equal(store.arrays(runs.key(run))["logits"], recorded["logits"])


def running(group: int) -> list[str]:
    """Processes of a group that have not ended; those that nobody has waited for have."""
    stats = [file.read_text().rpartition(")")[2].split() for file in Path("/proc").glob("[0-9]*/stat") if file.is_file()]
    return [state for state, _, pgrp, *_ in stats if int(pgrp) == group and state not in "ZX"]


def test_an_interrupted_sweep_stops_at_once_and_keeps_what_had_ended(words):  # noqa: F811
    """Ctrl-C goes to the whole group of processes: what is stored stays, what is queued is dropped, no worker is left."""
    script = (
        "import signal, sys; sys.path.insert(0, sys.argv[1])\nfrom small import config\nfrom datadiet import runs\n"
        "if __name__ == '__main__':\n    signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's & ignores it
        "    runs.sweep([config(seed=s, epochs=3) for s in range(400)], engine='processes')"
    )
    (words / "sweeping.py").write_text(script)
    child = subprocess.Popen(
        [sys.executable, str(words / "sweeping.py"), os.path.dirname(__file__)],
        stderr=subprocess.PIPE, text=True, cwd=paths.root(), start_new_session=True,
    )  # fmt: skip
    deadline, stored = time.monotonic() + 200, 0
    while stored < 3 and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.1)
        stored = len(list((words / "store" / "arrays").glob("*.npz")))
    assert stored >= 3, "the sweep was to be interrupted half-way"
    start = time.monotonic()
    os.killpg(child.pid, signal.SIGINT)
    said = child.communicate(timeout=60)[1]
    assert time.monotonic() - start < 20 and child.returncode not in (0, None) and "KeyboardInterrupt" in said
    table = runs.sweep([config(seed=s, epochs=3) for s in range(400)], engine="stored")
    assert stored <= len(table) < 400
    while (left := running(child.pid)) and time.monotonic() - start < 40:
        time.sleep(0.1)
    assert not left


def half_sent(place: Path, killed: bool) -> bytes:
    """A result of which the worker sends half, says so, and is killed, or waits."""
    from multiprocessing import connection

    def half(self, message):
        os.write(self._handle, bytes(message[: len(message) // 2]))
        place.touch()
        if killed:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1000)

    connection.Connection._send = half
    return b"a result"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("killed", [False, True])
def test_a_pool_whose_worker_has_sent_half_a_result_ends(tmp_path, monkeypatch, killed):
    """It is interrupted while the worker sends, or the worker is killed: the other half never comes."""
    monkeypatch.setattr(engines, "WATCH", 1)
    with pytest.raises(KeyboardInterrupt), engines.pool(2) as executor:
        future = executor.submit(half_sent, tmp_path / "sending", killed)
        waiting, workers = executor.submit(time.sleep, 1000), list(executor._processes.values())
        while not (tmp_path / "sending").exists():
            time.sleep(0.05)
        start = time.monotonic()
        if killed:
            assert isinstance(future.exception(60), BrokenProcessPool) and isinstance(waiting.exception(60), BrokenProcessPool)
        raise KeyboardInterrupt
    assert time.monotonic() - start < 20 and future.done() and waiting.done() and not any(each.is_alive() for each in workers)


def test_a_pool_that_two_threads_end_closes_its_queue_once(monkeypatch):
    """The thread that watches the workers and the one that is interrupted come at the same time: no file is closed twice."""
    from multiprocessing import connection

    closed = []

    def slowly(self):
        closed.append(self._handle)
        time.sleep(0.5)
        os.close(self._handle)

    with engines.pool(1) as executor:
        executor.submit(time.sleep, 0).result()
        monkeypatch.setattr(connection.Connection, "_close", slowly)
        writer = executor._result_queue._writer.fileno()
        with ThreadPoolExecutor(2) as threads:
            for ended in [threads.submit(engines._ended, executor) for _ in range(2)]:
                ended.result(60)
        monkeypatch.undo()
    assert closed.count(writer) == 1


def test_results_that_are_there_when_a_sweep_is_interrupted_are_handed_over():
    """No more jobs wait than there is room for; those that have ended by then count, the others are cancelled."""
    from concurrent.futures import Executor, Future

    class Slow(Executor):
        submitted = []

        def submit(self, function, *args):
            future = Future()
            self.submitted.append(future)
            if len(self.submitted) == 3:
                for one in self.submitted[:2]:
                    one.set_result("done")
            return future

    seen = []

    def done(run, result):
        if not seen:
            seen.append("interrupted")
            raise KeyboardInterrupt
        seen.append((run, result()))

    with pytest.raises(KeyboardInterrupt):
        engines.carry_out(((number, print) for number in range(100)), Slow(), lambda: 3, done)
    assert sorted(seen[1:]) == [(0, "done"), (1, "done")]
    assert len(Slow.submitted) == 3 and Slow.submitted[2].cancelled()


# --- the caller's process


def test_no_import_changes_the_process():
    script = (
        "import os, sys, warnings\n"
        "import torch, transformers, accelerate, pandas, sklearn, sympy\n"  # theirs to answer for
        "before = dict(os.environ), list(warnings.filters)\n"
        "import datadiet, datadiet.training.loop, datadiet.gradnorm, datadiet.runs.process, datadiet.cli\n"
        "assert (dict(os.environ), list(warnings.filters)) == before, set(os.environ.items()) ^ set(before[0].items())\n"
        "datadiet.runs.process.ours(); assert os.environ['OMP_WAIT_POLICY'] == 'PASSIVE'"
    )
    env = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    ran = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_the_variables_that_set_up_a_kernel(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_TUNABLES", "OMP_WAIT_POLICY", "HF_HUB"))]:
        monkeypatch.delenv(name)
    malloc = {"MALLOC_TRIM_THRESHOLD_": "2147483647", "MALLOC_MMAP_THRESHOLD_": "33554432"}
    glibc = platform.libc_ver()[0] == "glibc"
    assert process.environment() == {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_DISABLE_TELEMETRY": "1"} | (malloc if glibc else {})
    assert "OMP_WAIT_POLICY" not in os.environ
    for name in ("OMP_WAIT_POLICY", "HF_HUB_DISABLE_TELEMETRY", "MALLOC_ARENA_MAX"):
        monkeypatch.setenv(name, "1")
    assert process.environment() == {}


def test_a_task_that_a_caller_changes_is_its_own(words):  # noqa: F811
    first = runs.task_of(config())
    first.train.labels[:] = 0
    first.train.inputs["text"][0] = "another"
    again = runs.task_of(config())
    assert len(set(again.train.labels)) > 1 and again.train.inputs["text"][0] != "another"


def test_a_run_whose_array_file_is_gone_is_computed_again_and_a_torn_one_is_named(words):  # noqa: F811
    key = runs.sweep([config()])["key"].iloc[0]
    place = paths.store() / "arrays" / f"{key}.npz"
    place.unlink()
    assert runs.sweep([config()], engine="stored").attrs["missing"] == 1
    runs.sweep([config()])
    assert store.arrays(key)["logits"].shape[0] == 2
    place.write_bytes(place.read_bytes()[:100])
    with pytest.raises(InputError, match="is torn"):
        store.arrays(key)
