"""The benchmark of finding flipped labels: draws are what they say, rows survive a kill, and differences are paired by draw."""

import importlib.util

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import flips
from datadiet.chapters.parts import interval
from datadiet.chapters.what_all_runs_say import flips as found
from datadiet.errors import InputError


class Inline:
    """Stands where a process would: work is done at once, here."""

    def __init__(self, *args, **kwargs): ...
    def __enter__(self):
        return self

    def __exit__(self, *args): ...

    def submit(self, function, *args):
        class Done:
            def result(self):
                return function(*args)

        return Done()  # fmt: skip


def test_a_draw_has_its_rows_and_its_flips():
    task = flips.drawn("docstrings", 3, rows=200)
    assert len(task.train) == 200 and (task.train.labels != task.truth).sum() == 20
    other = flips.drawn("docstrings", 4, rows=200)
    assert task.train.inputs["text"] != other.train.inputs["text"]


def test_peers_rank_the_same_rows():
    """A ranking that puts all flips first has area and precision one; one that knows nothing about half."""
    task = flips.drawn("docstrings", 0, rows=100)
    wrong = (task.train.labels != task.truth).astype(float)
    perfect, blind = (flips.judged(task, {"scores": {"x": values}, "seconds": 1.0})[0] for values in (wrong, np.zeros(100)))
    assert perfect["auc"] == perfect["precision"] == 1 and blind["auc"] == 0.5
    assert flips.judged(task, {"scores": {"x": wrong}, "wrong": wrong / 2, "seconds": 1.0})[0]["brier"] == pytest.approx(0.025)


@pytest.mark.skipif(importlib.util.find_spec("cleanlab") is None, reason="cleanlab is in the extra `book`")
def test_frozen_features_find_flips():
    rows = flips.judged(task := flips.drawn("docstrings", 0, rows=160), flips.frozen(task, 0))
    assert [row["score"] for row in rows] == list(flips.CLEANLAB) and max(row["auc"] for row in rows) > 0.6


def test_a_killed_run_goes_on(monkeypatch, tmp_path):
    asked, file = [], tmp_path / "flips.parquet"

    def measured(name, seed, peer, rows):
        asked.append((name, seed, peer))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return [{"score": "s", "auc": 0.5, "precision": 0.5, "seconds": 1.0}]

    monkeypatch.setattr(flips, "measured", measured)
    monkeypatch.setattr(flips, "ProcessPoolExecutor", Inline)
    with pytest.raises(KeyboardInterrupt):
        flips.run(file, ["rte", "trec6"], 2, [flips.FROZEN], 10)
    assert len(pd.read_parquet(file)) == 2
    table = flips.run(file, ["rte", "trec6"], 2, [flips.FROZEN], 10)
    assert len(table) == 4 and asked[2:] == [("rte", 1, flips.FROZEN), ("rte", 1, flips.FROZEN), ("trec6", 1, flips.FROZEN)]
    with pytest.raises(InputError, match="unknown sets"):
        flips.run(None, ["nowhere"], 1, [flips.FROZEN])
    with pytest.raises(InputError, match="unknown peers"):
        flips.run(None, ["rte"], 1, ["nobody"])


def test_a_peer_that_is_not_there_is_a_row_and_tried_again(monkeypatch, tmp_path):
    file, say = tmp_path / "flips.parquet", [[{"failed": "ModuleNotFoundError: cleanlab"}], [{"score": "s", "auc": 1.0}]]
    monkeypatch.setattr(flips, "measured", lambda *unit: say.pop(0))
    monkeypatch.setattr(flips, "ProcessPoolExecutor", Inline)
    assert flips.run(file, ["rte"], 1, [flips.FROZEN], 10)["failed"][0].startswith("ModuleNotFoundError")
    again = flips.run(file, ["rte"], 1, [flips.FROZEN], 10)
    assert len(again) == 1 and again["auc"][0] == 1


def table(seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    rows = [
        {"set": name, "seed": s, "rows": 1500, "peer": peer, "score": score, "auc": draw.random(), "precision": draw.random(),
         "seconds": 1.0, "failed": None, "flips": 150, "low": high - 40, "high": high + 20 * s}
        for name in ("a", "b") for s in range(3)
        for peer, score, high in (("datadiet 30s", "el2n", 140.0), (flips.FROZEN, "x", np.nan), (flips.FROZEN, "y", np.nan))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_differences_are_paired_by_draw():
    seed = np.random.default_rng().integers(1_000_000)
    rows = table(seed)
    every = found.compared(rows.sample(frac=1, random_state=1)).set_index(["set", "peer", "score"])
    shown = every.loc[("a", flips.FROZEN, "x")]
    own, theirs = (rows[(rows["set"] == "a") & (rows["score"] == score)].set_index("seed")["auc"] for score in ("el2n", "x"))
    assert shown[["ahead", "low", "high"]].tolist() == pytest.approx(interval((own - theirs).to_numpy())), f"seed {seed}"
    assert found.counts(rows)[["draws", "held"]].iloc[0].tolist() == [6, 4]  # the intervals end at 140, 160 and 180
    top = found.best(found.compared(rows))
    assert len(top) == 4 and (top.groupby("set").size() == 2).all()


def test_a_reference_of_several_scores_stands_at_the_best():
    """Each draw is compared with the same draw alone, not with those of every score."""
    seed = np.random.default_rng().integers(1_000_000)
    rows = table(seed)
    top = rows[(rows["set"] == "a") & (rows["peer"] == flips.FROZEN)].groupby("score")["auc"].mean().idxmax()
    every = found.compared(rows, flips.FROZEN).set_index(["set", "peer", "score"])
    base, own = (rows[(rows["set"] == "a") & (rows["score"] == score)].set_index("seed")["auc"] for score in (top, "el2n"))
    shown = every.loc[("a", "datadiet 30s", ""), ["ahead", "low", "high"]].tolist()
    assert shown == pytest.approx(interval((base - own).to_numpy())), f"seed {seed}"
    assert every.loc[("a", flips.FROZEN, top), ["ahead", "low", "high"]].tolist() == [0, 0, 0]


def test_part_of_the_rows_is_enough():
    rows = table(0)
    one = found.compared(rows[(rows["seed"] == 0) & (rows["set"] == "a")])
    assert len(one) == 3 and one["low"].isna().all() and one["ahead"].notna().all()
    without = found.compared(rows[rows["peer"] != "datadiet 30s"])
    assert without["ahead"].isna().all() and len(found.best(without)) == 2
    assert not found.shown(rows[rows["seed"] == 0])[f"ahead of {flips.FROZEN}"].str.contains("[", regex=False).any()


def test_where_all_failed_the_table_says_why():
    rows = pd.DataFrame([{"set": "a", "seed": 0, "rows": 10, "peer": flips.TUNED, "failed": "ModuleNotFoundError: cleanlab"}])
    every = found.compared(rows, flips.TUNED)
    assert every["failed"].tolist() == ["ModuleNotFoundError: cleanlab"] and every["auc"].isna().all()


def test_several_at_once_share_the_cores_and_a_budget_is_measured_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(flips, "measured", lambda *unit: [{"score": "s", "auc": 0.5, "precision": 0.5, "seconds": 1.0}])
    monkeypatch.setattr(flips, "ProcessPoolExecutor", Inline)
    monkeypatch.setattr(flips.os, "cpu_count", lambda: 4)
    both = flips.run(tmp_path / "both.parquet", ["rte"], 5, [flips.TUNED], 10, at_once=2)
    assert both["seed"].tolist() == [0, 1, 2, 3, 4] and (both["threads"] == 2).all()
    with pytest.raises(InputError, match="datadiet 30s beside others; a budget of time is measured alone"):
        flips.run(None, ["rte"], 1, ["datadiet 30s", flips.TUNED], 10, at_once=2)


def test_the_page_has_a_row_a_set_and_budget_against_the_best_score_of_each_peer():
    seed = np.random.default_rng().integers(1_000_000)
    rows = table(seed)
    longer = rows[(rows["set"] == "b") & (rows["score"] != "y")].assign(auc=lambda own: own["auc"] / 2)
    longer["peer"] = longer["peer"].map({"datadiet 30s": "datadiet 5min", flips.FROZEN: flips.TUNED})
    page = found.shown(pd.concat([rows, longer])).set_index(["set", "budget"])
    assert page.index.tolist() == [("a", "30s"), ("b", "30s"), ("b", "5min")]
    assert list(page) == ["datadiet score", flips.FROZEN, f"ahead of {flips.FROZEN}", flips.TUNED, f"ahead of {flips.TUNED}"]
    means = rows.groupby(["set", "score"])["auc"].mean().unstack()
    strongest = means[["x", "y"]].max(axis=1)
    ours, said = np.array([*means["el2n"], means["el2n"]["b"] / 2]), f"seed {seed}"
    np.testing.assert_allclose(page["datadiet score"], ours, err_msg=said)
    np.testing.assert_allclose(page[flips.FROZEN], strongest[["a", "b", "b"]], err_msg=said)
    ahead = page[f"ahead of {flips.FROZEN}"].str.split().str[0].astype(float)
    np.testing.assert_allclose(ahead, ours - strongest[["a", "b", "b"]], atol=6e-4, err_msg=said)
    assert page[f"ahead of {flips.TUNED}"]["a", "30s"] == found.DASH and np.isnan(page[flips.TUNED]["a", "30s"])
    ahead = float(page[f"ahead of {flips.TUNED}"]["b", "5min"].split()[0])
    assert ahead == pytest.approx((means["el2n"] - means["x"])["b"] / 2, abs=6e-4), said
    assert len(found.shown(rows[rows["peer"] != "datadiet 30s"])) == 0
    assert list(found.shown(rows[rows["peer"] == "datadiet 30s"])) == ["set", "budget", "datadiet score"]
    assert "not measured yet" in found.shown(rows[:0]).columns


def test_the_command_prints_what_it_found(monkeypatch, tmp_path):
    monkeypatch.setattr(flips, "measured", lambda *unit: [{"score": "s", "auc": 0.75, "precision": 0.5, "seconds": 1.0}])
    monkeypatch.setattr(flips, "ProcessPoolExecutor", Inline)
    monkeypatch.setattr(command.paths, "root", lambda: tmp_path)
    options = ["flips", "--sets", "rte,trec6", "--seeds", "2", "--budget", "30s", "--peers", flips.FROZEN]
    done = CliRunner().invoke(command.main, options, catch_exceptions=False)
    assert done.exit_code == 0 and "0.75" in done.output
    assert len(pd.read_parquet(tmp_path / "results" / "benchmarks" / "flips.parquet")) == 8
    assert CliRunner().invoke(command.main, ["flips", "--sets", "nowhere"]).exit_code == 2
    assert CliRunner().invoke(command.main, ["flips", "--budget", "soon"]).exit_code == 2
