"""A table in partitions, and a Dask cluster of separate processes, one of which is killed."""

import decimal
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from small import config, words  # noqa: F401
from test_runs import comparable

from benchmarks import __main__ as command
from datadiet import prune, runs, scores, tables
from datadiet.audit import partitions, sampled, simulated
from datadiet.errors import InputError
from datadiet.tables.columns import plain_column

SEED = np.random.SeedSequence().entropy % 2**32
NAMES = ["p_a", "p_b", "p_c"]


@pytest.fixture
def rng():
    print("seed", SEED)
    return np.random.default_rng(SEED)


def table_of(rng, n: int) -> pd.DataFrame:
    probs = rng.dirichlet(np.ones(3), n)
    return pd.DataFrame(
        {"id": [f"{i:05d}" for i in range(n)], "y": rng.choice(["a", "b", "c"], n), **dict(zip(NAMES, probs.T, strict=True))}
    )


def split(folder: Path, table: pd.DataFrame, cuts: list[int]) -> Path:
    """Partitions in folders, as Spark and Dask write them."""
    for number, some in enumerate(np.split(np.arange(len(table)), cuts)):
        file = folder / f"day={number // 2}" / f"part-{number}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pandas(table.iloc[some], preserve_index=False), file, row_group_size=37)
    return folder


def whole(folder: Path) -> pd.DataFrame:
    files = sorted(file for file in folder.rglob("*.parquet"))
    return pa.concat_tables(pq.ParquetFile(file).read() for file in files).to_pandas()


@pytest.mark.parametrize("engine", ["here", "processes"])
def test_scores_of_partitions_are_those_of_the_whole_table(tmp_path, rng, engine):
    table = table_of(rng, 400)
    table.loc[[3, 390], "y"], table.loc[7, "p_b"] = None, np.nan
    split(tmp_path / "in", table, [100, 100, 333])  # one partition is empty
    said = partitions.score(
        tmp_path / "in", tmp_path / "out", label="y", probs=NAMES, names=["a", "b", "c"], engine=engine, batch=64
    )
    assert (said["rows"], said["kept"], said["unscored"], said["computed"]) == (400, 400, 3, 4)
    names = [str(file.relative_to(tmp_path / "in")) for file in sorted((tmp_path / "in").rglob("*.parquet"))]
    assert (
        names
        == sorted(said["partitions"])
        == [str(f.relative_to(tmp_path / "out")) for f in sorted((tmp_path / "out").rglob("*.parquet"))]
    )
    out, there = whole(tmp_path / "out"), table.notna().all(axis=1).to_numpy()
    pd.testing.assert_frame_equal(out[table.columns], table)
    for name in ("el2n", "margin", "cross_entropy", "entropy"):
        want = partitions.SCORES[name](
            table.loc[there, NAMES].to_numpy(), table.loc[there, "y"].map({"a": 0, "b": 1, "c": 2}).to_numpy(int)
        )
        np.testing.assert_array_equal(out.loc[there, f"datadiet_{name}"], want)
        assert out.loc[~there, f"datadiet_{name}"].isna().all()
    assert json.loads((tmp_path / "out" / "_manifest.json").read_text())["rows"] == 400


def test_row_groups_of_one_file_are_partitions_and_lists_are_probabilities(tmp_path, rng):
    probs, labels = rng.dirichlet(np.ones(4), 90), rng.integers(0, 4, 90)
    pq.write_table(pa.table({"id": np.arange(90), "y": labels, "p": list(probs)}), tmp_path / "one.parquet", row_group_size=40)
    said = partitions.score(tmp_path / "one.parquet", tmp_path / "out", label="y", probs="p", use=["el2n"])
    assert list(said["partitions"]) == [f"one-0000{i}.parquet" for i in range(3)]
    out = whole(tmp_path / "out")
    assert out["id"].tolist() == list(range(90))
    np.testing.assert_array_equal(out["datadiet_el2n"], scores.el2n(probs, labels))


def test_a_second_call_goes_on_and_refuses_what_was_made_otherwise(tmp_path, rng):
    table = table_of(rng, 60)
    split(tmp_path / "in", table, [20, 40])
    asked = {"label": "y", "probs": NAMES, "names": ["a", "b", "c"], "use": ["el2n"]}
    bad = tmp_path / "in" / "day=1" / "part-2.parquet"
    good = bad.read_bytes()
    pq.write_table(pa.Table.from_pandas(table.iloc[40:].assign(p_a=7.0), preserve_index=False), bad)
    with pytest.raises(InputError, match="1 of 3 partitions failed.*part-2.parquet, rows 0 to 19"):
        partitions.score(tmp_path / "in", tmp_path / "out", **asked)
    first = tmp_path / "out" / "day=0" / "part-0.parquet"
    before = first.stat().st_mtime_ns
    assert not (tmp_path / "out" / "_manifest.json").exists() and not list((tmp_path / "out").rglob(".*.part"))
    bad.write_bytes(good)
    assert partitions.score(tmp_path / "in", tmp_path / "out", **asked)["computed"] == 1
    assert first.stat().st_mtime_ns == before and whole(tmp_path / "out")["id"].tolist() == table["id"].tolist()
    with pytest.raises(InputError, match="not made from this partition with these settings"):
        partitions.score(tmp_path / "in", tmp_path / "out", **asked | {"use": ["margin"]})


@pytest.mark.parametrize("rule", ["hardest", "easiest", "middle"])
def test_pruned_partitions_are_what_keep_keeps_of_the_whole(tmp_path, rng, rule):
    n = 300
    values = np.round(rng.normal(size=n), 1) * rng.choice([1, 1e-300, 1e300], n)  # many equals, -0.0 and 0.0, all magnitudes
    values[rng.choice(n, 9)] = np.inf
    split(tmp_path / "in", pd.DataFrame({"id": np.arange(n), "score": values}), sorted(rng.choice(n, 4)))
    for number, (fraction, offset) in enumerate([(0.5, 0.0), (0.37, 0.13), (1.0, 0.0), (0.01, 0.0)]):
        offset = 0.0 if rule == "middle" else offset
        out = tmp_path / f"out{number}"
        said = partitions.keep(tmp_path / "in", out, "score", fraction, rule, offset, batch=50)
        want = prune.keep(values, fraction, rule, offset)
        assert said["kept"] == len(want) and whole(out)["id"].tolist() == want.tolist()


def test_rows_without_a_score_are_refused_kept_or_dropped_as_asked(tmp_path):
    split(tmp_path / "in", pd.DataFrame({"id": np.arange(6), "score": [3.0, None, 1.0, 2.0, None, 4.0]}), [2])
    with pytest.raises(InputError, match="2 of 6 rows have no score"):
        partitions.keep(tmp_path / "in", tmp_path / "out", "score", 0.5)
    for unscored, ids in (("keep", [0, 1, 4, 5]), ("drop", [0, 5])):
        partitions.keep(tmp_path / "in", tmp_path / unscored, "score", 0.5, unscored=unscored)
        assert whole(tmp_path / unscored)["id"].tolist() == ids


def test_the_index_of_pandas_is_that_of_the_row(tmp_path, rng):
    """A range is kept as metadata alone, which says nothing any more of a part of its rows."""
    table = table_of(rng, 60).set_index(pd.RangeIndex(1000, 1120, 2))
    (tmp_path / "table").mkdir()
    for number, some in enumerate((table[:25], table[25:])):
        some.to_parquet(tmp_path / "table" / f"{number}.parquet")
    table.to_parquet(tmp_path / "one.parquet", row_group_size=20)
    kept = prune.keep(table["p_a"], 0.5)
    for source in ("table", "one.parquet"):
        partitions.score(tmp_path / source, tmp_path / f"{source} scored", label="y", probs=NAMES, names=["a", "b", "c"], batch=7)
        for place, rows in ((f"{source} scored", slice(None)), (f"{source} kept", kept)):
            if rows is kept:
                partitions.keep(tmp_path / source, tmp_path / place, "p_a", 0.5, batch=7)
            found = pd.concat(pd.read_parquet(file) for file in sorted((tmp_path / place).glob("*.parquet")))
            assert found.index.tolist() == table.index[rows].tolist() and found["id"].tolist() == table["id"].iloc[rows].tolist()


def test_a_blank_label_is_no_label(tmp_path, monkeypatch):
    labels = {"y": ["a", "", "b", "  ", None, "a", "b"], "n": [0.0, np.nan, 1, np.nan, None, 0, 1]}
    pq.write_table(pa.table(labels | {"text": ["x"] * 7, "p_a": [0.5] * 7, "p_b": [0.5] * 7}), tmp_path / "t.parquet")
    for label, names in (("y", ["a", "b"]), ("n", ["0", "1"])):
        done = partitions.score(tmp_path / "t.parquet", tmp_path / label, label=label, probs=["p_a", "p_b"], names=names)
        assert done["unscored"] == 3
    monkeypatch.setattr(sampled, "features", lambda texts, *_: np.zeros((len(texts), 2)))
    monkeypatch.setattr(sampled, "FOLDS", 2)
    for label in ("y", "n"):
        done = partitions.score(tmp_path / "t.parquet", tmp_path / f"{label} text", label=label, text="text")
        found = whole(tmp_path / f"{label} text")
        assert done["unscored"] == 3 and set(found["datadiet_class"].dropna()) <= {"a", "b", "0", "1"}


def test_class_labels_have_the_names_that_the_file_describes(tmp_path, rng, monkeypatch):
    """Numbers in the file and names in its description, not in alphabetical order; -1 is no label."""
    probs, codes = rng.dirichlet(np.ones(3), 60), rng.integers(-1, 3, 60)
    features = {"label": datasets.ClassLabel(names=["world", "sports", "arts"])}
    data = datasets.Dataset.from_dict({"label": codes.tolist(), "text": ["x"] * 60}).cast_column("label", features["label"])
    for k, name in enumerate(("p_world", "p_sports", "p_arts")):
        data = data.add_column(name, probs[:, k])
    data.add_column("all", probs.tolist()).to_parquet(tmp_path / "t.parquet")
    right = np.where(codes < 0, np.nan, scores.el2n(probs, np.maximum(codes, 0)))
    names = ["p_world", "p_sports", "p_arts"]
    for number, asked in enumerate((
        {"probs": names}, {"probs": "all"}, {"probs": names, "names": ["0", "1", "2"]},
        {"probs": names[::-1], "names": ["2", "1", "0"]}, {"probs": names[::-1], "names": ["arts", "sports", "world"]},
    )):  # fmt: skip
        partitions.score(tmp_path / "t.parquet", tmp_path / f"out{number}", label="label", **asked)
        np.testing.assert_allclose(whole(tmp_path / f"out{number}")["datadiet_el2n"], right)
    monkeypatch.setattr(sampled, "features", lambda texts, *_: np.zeros((len(texts), 2)))
    done = partitions.score(tmp_path / "t.parquet", tmp_path / "text", label="label", text="text")
    assert done["unscored"] == (codes < 0).sum()
    assert set(whole(tmp_path / "text")["datadiet_class"].dropna()) <= {"world", "sports", "arts"}
    schema = pa.schema([("label", pa.int64())], pq.read_schema(tmp_path / "t.parquet").metadata)
    batch = pa.RecordBatch.from_pydict({"label": [0, 3]}, schema)
    with pytest.raises(InputError, match="holds 3, and its 3 classes"):
        plain_column(batch, "label")


def test_decimals_and_views_are_numbers_and_texts(tmp_path):
    """As they are in a table that is read whole; the types stay."""
    share = [decimal.Decimal("0.25"), None, decimal.Decimal("0.75"), decimal.Decimal("0.50")]
    views = {"y": ["a", "b", " ", "b"], "more": [b"m", None, b"n", b"o"], "deep": [["d"], [], None, ["e"]]}
    types = [pa.string_view(), pa.binary_view(), pa.list_(pa.string())]
    columns = [pa.array(cells, kind) for cells, kind in zip(views.values(), types, strict=True)]
    made = pa.table([*columns, pa.array(share), pa.array(share)], [*views, "p_a", "p_b"])
    made = made.set_column(4, "p_b", pa.array([None if each is None else 1 - each for each in share]))
    pq.write_table(made, tmp_path / "t.parquet")
    partitions.score(tmp_path / "t.parquet", tmp_path / "scored", label="y", probs=["p_a", "p_b"], names=["a", "b"])
    found = pq.read_table(tmp_path / "scored" / "t-00000.parquet")
    right = scores.el2n([[0.25, 0.75], [0.5, 0.5]], [0, 1]).tolist()
    assert found["datadiet_el2n"].to_pylist() == [right[0], None, None, right[1]]
    partitions.keep(tmp_path / "t.parquet", tmp_path / "kept", "p_a", 0.7, unscored="drop")
    kept = pq.read_table(tmp_path / "kept" / "t-00000.parquet")
    assert kept.equals(made.slice(2)) and kept.schema.types == made.schema.types
    table = tables.read(tmp_path / "t.parquet").take([2, 3])
    assert table.arrow.equals(made.slice(2))
    pq.write_table(made.append_column("s", pa.array(list("wxyz"))), tmp_path / "s.parquet")
    with pytest.raises(InputError, match="'s' has type string; give a column of numbers"):
        partitions.score(tmp_path / "s.parquet", tmp_path / "no", label="y", probs=["p_a", "s"], names=["a", "b"])


@pytest.mark.parametrize("change, said", [
    ({"probs": None}, "give one of the two"), ({"probs": ["p_a", "p_z"]}, "no column 'p_z'"),
    ({"use": ["aum"]}, "choose from el2n"),
    ({"names": ["a", "b", "x"]}, "label 'c' is none of the 3 classes"), ({"names": None}, "give class numbers, or `names`"),
    ({"engine": "gpu"}, "unknown engine 'gpu'; choose 'here', 'processes', 'dask://host:port'"),
    ({"engine": "stored"}, "unknown engine 'stored'"), ({"out": "in/out"}, "lies in the table"),
    ({"source": "nowhere"}, "is not there"), ({"batch": 0}, "batch=0"),
])  # fmt: skip
def test_bad_requests_are_said_in_one_paragraph(tmp_path, rng, change, said):
    split(tmp_path / "in", table_of(rng, 30), [15])
    asked = {"source": "in", "out": "out", "label": "y", "probs": NAMES, "names": ["a", "b", "c"]} | change
    with pytest.raises(InputError, match=said) as problem:
        partitions.score(**asked | {"source": tmp_path / asked["source"], "out": tmp_path / asked["out"]})
    assert "\n" not in str(problem.value) and not (tmp_path / "out").exists(), "a folder without a partition is none"


# --- On paper


def test_the_simulation_is_the_sum_where_it_can_be_done_by_hand():
    """Partitions that no worker dies of come in waves; with deaths every partition is still written, later."""
    said = simulated.simulate(rows=1050, partition=100, workers=4, rate=50, overhead=3)
    assert said == {"seconds": 3 * 5.0, "core_seconds": 60.0, "lost": 0.0, "deaths": 0}  # 10 whole ones and a half: 3 waves
    more = simulated.simulate(rows=100_000, partition=100, workers=4, rate=50, overhead=3, dies=60, restart=10)
    assert more["deaths"] > 10 and 0 < more["lost"] < 1 and more["seconds"] > 250 * 5
    assert more == simulated.simulate(rows=100_000, partition=100, workers=4, rate=50, overhead=3, dies=60, restart=10)
    with pytest.raises(InputError, match="Make partitions smaller"):
        simulated.simulate(rows=1, partition=10**6, workers=1, rate=1, overhead=0, dies=1)


def test_rates_come_back_from_the_rounds_that_they_made(monkeypatch, tmp_path):
    """A worker of 20 rows a second that needs 2 s a partition, as the benchmark would write it, and as its command prints it."""
    seconds = {("one worker", 10): 2.5, ("one worker", 100): 7.0, ("one, 4 partitions", 200): 18.0,
               ("two of Dask, 4 partitions", 200): 10.8}  # fmt: skip
    rows = [{"case": f"texts: {'4 partitions' if size == 200 else f'{size} rows'}", "peer": peer, "size": size, "round": number,
             "seconds": took * odd, "worker_mib": 300.0, "hardware": "paper", "threads": 1}
            for (peer, size), took in seconds.items() for number, odd in enumerate([1.0, 0.5, 1.5])]  # fmt: skip
    table = pd.DataFrame(rows)
    [rate] = simulated.rates(table).to_dict("records")
    assert rate == pytest.approx(
        {"scored from": "texts", "rows/s a worker": 20, "s a partition": 2, "MiB a worker": 300}, nan_ok=True
    )
    said = simulated.foreseen(table)
    np.testing.assert_allclose(said["simulated s"], [18, 9])
    np.testing.assert_allclose(said["measured / simulated"], [1, 1.2])
    paper = simulated.billion(table, workers=(4,), partition=100, rows=1000, dies=0, price=2.0)
    np.testing.assert_allclose(
        paper[["hours", "core hours", "cost"]], [[21 / 3600, 84 / 3600, 168 / 3600]]
    )  # 10 partitions: 3 waves
    with pytest.raises(InputError, match="gives no rate"):
        simulated.rates(table.assign(seconds=1.0))

    monkeypatch.setattr(command.harness, "race", lambda *args: table)
    monkeypatch.setattr(command.paths, "root", lambda: tmp_path)
    done = CliRunner().invoke(command.main, ["cluster", "--price", "2"], catch_exceptions=False)
    assert "foreseen" in done.output and "cost" in done.output
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "results" / "benchmarks" / "cluster.parquet"), table)


# --- Texts


def texts_of(rng, n: int) -> pd.DataFrame:
    kinds = {"fruit": ["apple", "pear", "plum"], "tool": ["hammer", "saw", "drill"]}
    y = rng.choice(list(kinds), n)
    texts = [" ".join([*rng.choice(kinds[each], 3), str(i)]) for i, each in enumerate(y)]
    return pd.DataFrame({"id": np.arange(n), "text": texts, "y": y})


def test_texts_are_scored_by_a_model_that_never_saw_them(tmp_path, rng):
    table = texts_of(rng, 120)
    table.loc[5, "text"], table.loc[6, "y"], table.loc[7, "text"] = None, None, "  "
    split(tmp_path / "in", table, [50, 51])
    asked = {"label": "y", "text": "text", "sample": 60, "encoder": "tiny", "max_length": 16, "batch": 20}
    said = partitions.score(tmp_path / "in", tmp_path / "out", **asked)
    out = whole(tmp_path / "out")
    assert said["unscored"] == 3 and out["id"].tolist() == list(range(120)) and out.loc[[5, 6, 7], "datadiet_el2n"].isna().all()

    with np.load(tmp_path / "out" / "_model.npz") as stored:  # the slow truth: every row alone, through a hook at the head
        model = sampled.Model(*(stored[each] for each in sampled.Model.__dataclass_fields__))
    x = np.stack([_slowly(text) for text in table["text"].fillna("")])
    probs = sampled._softmax(x, model.weights, model.biases)
    probs[model.rows] = model.probs
    there = [i for i in range(120) if i not in (5, 6, 7)]
    codes = np.searchsorted(model.classes, table.loc[there, "y"].to_numpy(str))
    np.testing.assert_allclose(
        out.loc[there, "datadiet_el2n"], scores.el2n(probs[there], codes), atol=1e-4
    )  # other padding, other rounding in float32
    assert len(model.rows) > 50 and not set(model.rows) & {5, 6, 7}

    (tmp_path / "out" / "day=0" / "part-1.parquet").unlink()  # the model is found again, not fitted again
    age = (tmp_path / "out" / "_model.npz").stat().st_mtime_ns
    assert partitions.score(tmp_path / "in", tmp_path / "out", **asked)["computed"] == 1
    assert (tmp_path / "out" / "_model.npz").stat().st_mtime_ns == age
    pd.testing.assert_frame_equal(whole(tmp_path / "out"), out)


def _slowly(text: str) -> np.ndarray:
    import torch

    from datadiet.nets import encoders

    model, seen = encoders.classifier("tiny", 2), []
    encoders.output_layer(model).register_forward_pre_hook(lambda module, args: seen.append(args[0][0].detach().numpy()))
    with torch.inference_mode():
        model(**encoders.tokenizer("tiny")([text], truncation=True, max_length=16, return_tensors="pt"))
    return seen[0]


def test_out_of_fold_rows_were_not_fitted(rng):
    """Labels without any pattern: a model that saw a row would be right about it more often than chance."""
    n = 300
    x, codes = rng.normal(size=(n, 200)).astype(np.float32), rng.integers(0, 2, n)
    found = [(np.arange(n), [str(code) for code in codes], x)]
    settings = {"sample": n, "seed": 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampled.pieces, "each", lambda *args: found)
        model = sampled.fit([sampled.pieces.Part("p", "p", None, 0, n, 0)], settings, "here", "test")
    fitted = sampled._softmax(x, model.weights, model.biases)
    assert (fitted.argmax(1) == codes).mean() > 0.8 and (model.probs.argmax(1) == codes).mean() < 0.65


# --- A cluster


class Cluster:
    """`dask scheduler` and `dask worker`s as anybody starts them, processes of their own."""

    def __init__(self, folder: Path):
        pytest.importorskip("distributed", reason="the dask extra is not installed")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.engine, self.folder, self.children = f"dask://127.0.0.1:{self.port}", folder, []
        self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")

    def _start(self, *command, env=None):
        dask = [sys.executable, "-m", "dask", *command]
        environment = os.environ | {"DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "False"} | (env or {})
        self.children.append(
            subprocess.Popen(dask, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        return self.children[-1]

    def worker(self, env=None):
        return self._start("worker", f"tcp://127.0.0.1:{self.port}", "--nthreads", "1", "--no-nanny", "--no-dashboard",
                           "--memory-limit", "0", env=env)  # fmt: skip

    def wait(self, workers: int):
        from distributed import Client

        with Client(f"tcp://127.0.0.1:{self.port}", timeout=60) as client:
            client.wait_for_workers(workers, timeout=60)

    def alive(self) -> list:
        return [child for child in self.children if child.poll() is None]

    def close(self):
        for child in reversed(self.children):
            child.kill()
            child.wait()


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    yield made
    made.close()


VICTIM = """
import os, time
from datadiet import runs

def stuck(*args):
    open({marker!r}, "w").close()
    time.sleep(600)

real = os.replace
runs.hardware = stuck
os.replace = lambda a, b: stuck() if str(b).endswith(".parquet") else real(a, b)
"""


def victim(cluster, folder: Path):
    """A worker that stops when its first run, or partition, is computed and not yet delivered, and is then killed (SIGKILL)."""
    import threading

    folder.mkdir()
    marker = folder / "stuck"
    (folder / "sitecustomize.py").write_text(VICTIM.format(marker=str(marker)))
    child = cluster.worker({"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])})
    cluster.wait(len(cluster.alive()) - 1)  # the scheduler is a child too

    def watch():
        while not marker.exists() and child.poll() is None:
            time.sleep(0.05)
        child.kill()

    threading.Thread(target=watch).start()
    return child, marker


def test_a_worker_killed_in_the_middle_loses_no_run_and_no_partition(cluster, words, tmp_path, rng, monkeypatch):  # noqa: F811
    cluster.worker()
    killed, stuck = victim(cluster, tmp_path / "first")
    configs = [config(seed=seed) for seed in range(4)]
    here = runs.sweep(configs)
    monkeypatch.setenv("DATADIET_STORE", str(tmp_path / "other"))
    there = runs.sweep(configs, engine=cluster.engine)
    assert killed.wait() == -signal.SIGKILL and stuck.exists() and len(cluster.alive()) == 2
    pd.testing.assert_frame_equal(comparable(there).drop(columns="threads"), comparable(here).drop(columns="threads"))

    table, out = texts_of(rng, 400), tmp_path / "out"
    split(tmp_path / "in", table, list(range(40, 400, 40)))
    asked = {"label": "y", "text": "text", "sample": 100, "encoder": "tiny", "max_length": 16}
    partitions.score(tmp_path / "in", tmp_path / "undisturbed", **asked)
    killed, stuck = victim(cluster, tmp_path / "second")
    said = partitions.score(tmp_path / "in", out, **asked, engine=cluster.engine)
    assert killed.wait() == -signal.SIGKILL and stuck.exists() and len(cluster.alive()) == 2
    assert (said["rows"], said["kept"], said["unscored"]) == (400, 400, 0)
    got, want = whole(out), whole(tmp_path / "undisturbed")
    assert got["id"].tolist() == want["id"].tolist() and not list(out.rglob(".*.part"))
    # Texts are padded among others, which rounds otherwise in float32.
    np.testing.assert_allclose(got["datadiet_el2n"], want["datadiet_el2n"], atol=1e-4)
    partitions.keep(out, tmp_path / "kept", "datadiet_el2n", 0.4, "easiest", engine=cluster.engine)
    assert whole(tmp_path / "kept")["id"].tolist() == prune.keep(got["datadiet_el2n"], 0.4, "easiest").tolist()


def test_workers_without_the_package_or_with_another_release_are_named(cluster, words, tmp_path, rng):  # noqa: F811
    """An interpreter's sitecustomize hides the package from one worker and changes its release for the other."""
    for name, code in (
        ("lacks", "import sys; sys.modules['datadiet'] = None"),
        ("other", "import datadiet; datadiet.__version__ = '0.0.7'"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sitecustomize.py").write_text(code)
        cluster.worker({"PYTHONPATH": os.pathsep.join([str(tmp_path / name), *sys.path])})
    cluster.wait(2)
    split(tmp_path / "in", table_of(rng, 30), [15])
    asked = {"label": "y", "probs": NAMES, "names": ["a", "b", "c"], "engine": cluster.engine}
    with pytest.raises(InputError, match="2 of 2 Dask workers cannot") as problem:
        partitions.score(tmp_path / "in", tmp_path / "out", **asked)
    said = str(problem.value)
    assert "has no datadiet" in said and "has datadiet 0.0.7" in said and "\n" not in said
    with pytest.raises(InputError, match="runs.sweep: 2 of 2 Dask workers cannot"):
        runs.sweep([config(seed=99)], engine=cluster.engine)


def test_work_waits_with_a_warning_until_a_worker_joins(cluster, tmp_path, rng):
    import threading

    from distributed import Client

    with Client(f"tcp://127.0.0.1:{cluster.port}", timeout=60):  # the scheduler is up, and has no worker
        pass
    split(tmp_path / "in", table_of(rng, 30), [15])
    late = threading.Timer(2, cluster.worker)
    late.start()
    with pytest.warns(UserWarning, match="no worker yet"):
        said = partitions.score(
            tmp_path / "in", tmp_path / "out", label="y", probs=NAMES, names=["a", "b", "c"], engine=cluster.engine
        )
    late.join()
    assert said["computed"] == 2 and said["kept"] == 30


def test_a_partition_written_twice_at_once_is_there_whole(tmp_path, rng):
    """A worker that was given up and still lives writes beside its successor."""
    from concurrent.futures import ThreadPoolExecutor

    split(tmp_path / "in", table_of(rng, 200), [])
    [part] = partitions.pieces.parts(tmp_path / "in", "test")
    target = tmp_path / "out" / part.name
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: partitions.pieces.write(part, target, "twice", 7, lambda at, batch: (batch, 0)), range(8)))
    assert said == [{"rows": 200, "kept": 200, "unscored": 0}] * 8
    assert (
        whole(tmp_path / "out")["id"].tolist() == whole(tmp_path / "in")["id"].tolist()
        and len(list(target.parent.iterdir())) == 1
    )


def test_an_address_that_never_answers_is_given_up_in_time(monkeypatch):
    """A port that takes connections and says nothing, and one that nobody listens at."""
    from datadiet.runs import engines

    pytest.importorskip("distributed", reason="the dask extra is not installed")
    monkeypatch.setattr(engines, "SECONDS", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for port in (silent.getsockname()[1], 9):
            start = time.monotonic()
            with pytest.raises(InputError, match="no Dask scheduler answers"), engines.dask(f"dask://127.0.0.1:{port}"):
                pass
            assert time.monotonic() - start < 30  # not a timing: without a limit it never ends
