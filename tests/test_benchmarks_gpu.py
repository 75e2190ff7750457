"""The goals for one GPU: read off rounds, judged on both sides, shown with and without them; the suite runs under its time limit.

That it runs on a GPU, and what it finds there, no test here can show.
"""

import os
import time

import jupytext
import matplotlib
import numpy as np
import pandas as pd
import pytest
import racers
import torch
from click.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import bounded, gpu
from benchmarks.bounded import Bounded
from datadiet import paths, runs
from datadiet.chapters import pages
from datadiet.chapters import what_it_costs as chapter
from datadiet.chapters.what_it_costs import goals
from datadiet.chapters.what_it_costs.goals import EL2N, FIRST, GOALS, IMAGES, LOW, NORMS, SWEEP, TRAINER, TRAINING, Goal
from datadiet.chapters.what_it_costs.runs import ONE, OURS, PLAIN
from datadiet.errors import InputError
from datadiet.nets import device
from datadiet.runs import sealed

matplotlib.use("Agg")
CARD = "a card that does not exist"


def synthetic(better: float) -> pd.DataFrame:
    """Rounds of a made-up card that keeps every goal `better` times over (below 1: misses it), on equal seconds a round."""
    def row(case, peer, number=0, **said):
        return {"case": case, "peer": peer, "round": number, "card": CARD, "failed": None, **said}

    ours = 240 * better  # updates a second; the examples of one round are 32 an update
    out = [row(TRAINING, OURS, n, seconds=2.0 * s, updates=2 * ours * s, examples=64 * ours * s) for n, s in enumerate((1, 3, 2))]
    out += [row(TRAINING, TRAINER, n, seconds=1.0, updates=240 / 5) for n in range(3)]
    out += [row(TRAINING, EL2N, n, seconds=1.0, examples=10 * 32 * ours * better) for n in range(3)]
    out += [row(FIRST, OURS, seconds=3 / better), row(SWEEP, OURS, seconds=2.0, updates=3000 * better)]
    out += [row(IMAGES, OURS, seconds=0.5, updates=1, examples=30_000 * better)]
    for case in NORMS:
        out += [row(case, OURS + low, seconds=0.02 / better, error=error / better) for low, error in (("", 1e-5), (LOW, 1e-3))]
        out += [row(case, PLAIN + low, seconds=0.02) for low in ("", LOW)]
    first = {"hardware": "a processor", "threads": 2, "versions": '{"torch": "0"}', "commit": "abc"}
    first |= {"load": 1.0, "started": "today"}
    return pd.DataFrame([first | each for each in out])


def test_every_goal_names_what_the_suite_enters():
    """And each is asked once; --quick enters the same cases and peers."""
    for quick in (False, True):
        entered = {(each.case, each.peer) for each in gpu.contestants(quick)}
        assert {(goal.case, peer) for goal in GOALS for peer in (goal.peer, goal.over) if peer} <= entered
        assert {(case, ONE) for case in NORMS} <= entered
    assert len(GOALS) == len(set(GOALS))


@pytest.mark.parametrize(("better", "expected"), [(1.5, "met"), (0.75, "missed")])
def test_goals_are_judged_on_both_sides(better, expected):
    found = goals.verdicts(synthetic(better))
    assert len(found) == len(GOALS) and set(found["card"]) == {CARD}
    free = found["goal"] == "no goal"
    assert free.sum() == len(NORMS) and set(found["verdict"][free]) == {"no goal"}
    assert set(found["verdict"][~free]) == {expected}
    by = found.set_index(["case", "reading"])["measured"]
    assert by[TRAINING, "updates a second"] == pytest.approx(240 * better)
    assert by[TRAINING, "updates a second, over HF Trainer"] == pytest.approx(5 * better)
    assert by[TRAINING, f"examples a second of {EL2N}, over training"] == pytest.approx(10 * better)
    assert by[SWEEP, "updates a second"] == pytest.approx(1500 * better)
    assert by[NORMS[0], "seconds in bfloat16, over forward and backward"] == pytest.approx(1 / better)


@pytest.mark.parametrize("at_least", [True, False])
def test_a_bound_itself_is_kept(at_least):
    goal = Goal("c", "seconds", 3, at_least)
    assert goal.met(3) and goal.met(3.1) == at_least and goal.met(2.9) != at_least


def test_the_median_of_the_rounds_decides_and_of_errors_the_largest():
    case = NORMS[0]
    rows = [{"case": case, "peer": peer, "round": n, "seconds": s, "error": e, "card": CARD, "failed": None}
            for peer, values in ((OURS, ((0.5, 1e-6), (0.9, 2e-5), (8.0, 1e-6))), (PLAIN, ((1.0, None),) * 3))
            for n, (s, e) in enumerate(values)]
    found = goals.verdicts(pd.DataFrame(rows)).set_index(["case", "reading"]).loc[case]
    assert found.loc["seconds, over forward and backward", ["measured", "least", "greatest"]].tolist() == [0.9, 0.5, 8]
    assert found.loc["seconds, over forward and backward", "verdict"] == "met"
    assert found.loc["largest relative error", ["measured", "verdict"]].tolist() == [2e-5, "missed"]


def test_what_was_not_measured_and_what_failed_is_said():
    table = synthetic(2.0)
    broken = {"case": TRAINING, "peer": TRAINER, "round": -1, "failed": "ImportError: accelerate", "card": CARD}
    table = pd.concat([table[(table["peer"] != TRAINER) & (table["case"] != SWEEP)], pd.DataFrame([broken])])
    found = goals.verdicts(table).set_index(["case", "reading"])["verdict"]
    assert found[TRAINING, "updates a second, over HF Trainer"] == "cannot: ImportError: accelerate"
    assert found[TRAINING, "updates a second"] == "met" and found[SWEEP, "updates a second"] == "not measured"
    remarks = goals.peers(table.assign(not_captured=[None] * (len(table) - 1) + ["why"])).set_index("by")["remark"]
    assert remarks[TRAINER] == "cannot: ImportError: accelerate; not captured: why"
    assert set(goals.verdicts(synthetic(2.0).assign(card=goals.NOT_A_GPU))["verdict"]) == {goals.NOT_A_GPU}


def sections() -> list[str]:
    """Code cells of the page's section on a GPU."""
    cells = jupytext.read(paths.root() / "chapters" / "what-it-costs.md").cells
    start = next(place for place, cell in enumerate(cells) if "## On a GPU" in cell.source)
    out = []
    for cell in cells[start + 1 :]:
        if cell.cell_type == "markdown" and "\n## " in f"\n{cell.source}":
            return out
        out += [cell.source] if cell.cell_type == "code" else []
    return out


def shown() -> str:
    """Text of what these cells show, one after the other."""
    import ast

    names, out = {"chapter": chapter, "pages": pages}, []
    for cell in sections():
        *before, last = ast.parse(cell).body
        exec(compile(ast.Module(before, []), "cell", "exec"), names)
        out.append(repr(eval(compile(ast.Expression(last.value), "cell", "eval"), names)))
    return "\n".join(out)


def test_the_page_without_rounds_says_that_nothing_was_measured(monkeypatch, tmp_path):
    cells = sections()
    monkeypatch.setattr(goals.paths, "root", lambda: tmp_path)
    monkeypatch.setattr(f"{__name__}.sections", lambda: cells)
    page = shown()
    assert "On a GPU: not measured yet." in page and page.count("| not measured | not measured |") == len(GOALS)
    assert "met" not in page.replace("not measured", "").split() and "at least 1,500" in page


def test_a_published_table_fills_the_page(monkeypatch, tmp_path):
    cells, folder = sections(), tmp_path / "results" / "benchmarks"
    folder.mkdir(parents=True)
    synthetic(2.0).to_parquet(folder / "gpu.parquet")
    sealed.seal(folder.parent, ["benchmarks/gpu.parquet"])
    monkeypatch.setattr(goals.paths, "root", lambda: tmp_path)
    monkeypatch.setattr(f"{__name__}.sections", lambda: cells)
    page = shown()
    assert "not measured" not in page and "On a GPU: a processor, 2 threads" in page
    assert f"{TRAINING} | updates a second | at least 240 | 480 [480, 480] | met | {CARD}" in page
    assert f"{TRAINER} | 1.000 | 48.000" in page  # of the table of all contestants
    assert "<caption>Goals for one GPU</caption>" in goals.page(goals.rounds()).html


def lines():
    """Every contestant of --quick but the Trainer, which needs a package outside the lock."""
    return [pytest.param(each, id=f"{each.case[:25]}, {each.peer}") for each in gpu.contestants(quick=True)
            if each.make is not gpu.trainer]  # fmt: skip


@pytest.mark.parametrize("entered", lines())
def test_every_line_runs_at_a_tiny_size(entered, monkeypatch, tmp_path):
    """Here in this process, with a stand-in for the graph, and the sweep's runs one after the other."""
    sweep = runs.sweep
    monkeypatch.setenv("DATADIET_STORE", str(tmp_path))
    monkeypatch.setattr(runs, "sweep", lambda wanted, engine: sweep(wanted, "here"))
    if device.gpu() is None:
        monkeypatch.setattr(device, "recorded", lambda run, pool=None: type("Graph", (), {"replay": staticmethod(run)}))
    said = entered.make(**entered.settings)(0)
    seconds = said.get("seconds", 1.0)
    assert seconds > 0
    for goal in GOALS:
        if (goal.case, goal.peer) == (entered.case, entered.peer) and goal.quantity in ("updates", "examples"):
            assert said[goal.quantity] > 0
    if entered.case in NORMS and not entered.peer.startswith(PLAIN):
        assert said["answer"].shape == (4,) and np.isfinite(said["answer"]).all()


def test_the_truth_is_taken_without_rounding_and_the_setting_left_as_it_was():
    before = torch.backends.cudnn.allow_tf32
    with pytest.raises(KeyError), gpu.without_tf32():
        assert not torch.backends.cudnn.allow_tf32
        raise KeyError
    assert torch.backends.cudnn.allow_tf32 == before


def test_the_command_without_a_gpu(monkeypatch, tmp_path):
    """One sentence, exit code 2, nothing started."""
    monkeypatch.setattr(device, "gpu", lambda: None)
    monkeypatch.setattr(bounded, "race", lambda *args: pytest.fail("a contestant was started"))
    done = CliRunner().invoke(command.main, ["gpu"])
    assert done.exit_code == 2 and "no CUDA GPU" in done.output and "Traceback" not in done.output
    with pytest.raises(InputError, match="--quick"):
        gpu.check()


def test_the_command_writes_where_there_is_a_gpu_and_a_quick_one_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(command.paths, "root", lambda: tmp_path)
    monkeypatch.setattr(gpu, "check", lambda: None)
    stores = []

    def race(*args):
        stores.append(os.environ["DATADIET_STORE"])
        return synthetic(2.0)

    monkeypatch.setattr(bounded, "race", race)
    monkeypatch.setenv("DATADIET_STORE", "mine")
    for options in (["--quick"], []):
        done = CliRunner().invoke(command.main, ["gpu", *options], catch_exceptions=False)
        assert done.exit_code == 0 and "at least 240 | 480" in done.output
        assert (tmp_path / "results" / "benchmarks" / "gpu.parquet").is_file() != bool(options)
    assert "mine" not in stores and os.environ["DATADIET_STORE"] == "mine"
    assert len(goals.rounds()) == len(synthetic(2.0))


def test_a_quick_run_of_the_command(monkeypatch, tmp_path):
    """In processes of their own: ours, and the exact norms beside the batch of one, marked as not of a GPU."""
    monkeypatch.setattr(command.paths, "root", lambda: tmp_path)
    wanted = [each for each in gpu.contestants(quick=True) if each.case == NORMS[0] or (each.case, each.peer) == (TRAINING, OURS)]
    monkeypatch.setattr(gpu, "contestants", lambda quick: wanted)
    done = CliRunner().invoke(command.main, ["gpu", "--quick"], catch_exceptions=False)
    assert done.exit_code == 0 and "not a measurement" in done.output and not list(tmp_path.iterdir())
    rows = [line.split(" | ") for line in done.output.splitlines() if line.count(" | ") == 5]
    by = {(case, reading): (measured, verdict) for case, reading, _, measured, verdict, _ in rows}
    assert by[TRAINING, "updates a second"][1] == by[NORMS[0], "largest relative error"][1] == goals.NOT_A_GPU
    assert float(by[NORMS[0], "largest relative error"][0].split()[0]) < 1e-5
    assert by[SWEEP, "updates a second"] == ("not measured", "not measured")


def test_a_race_under_a_time_limit():
    """Failures, overlong calls and a killed process are rows with their reason, and cost nobody else a turn."""
    entered = [Bounded("c", "quick", racers.sleeper, {"seconds": 0.01, "answer": [1, 2]}, room="one"),
               Bounded("c", "off", racers.sleeper, {"seconds": 0.01, "answer": [1, 2.5]}, room="one"),
               Bounded("c", "once", racers.teller, {"seconds": 7.0}, room="one", only=(1,)),
               Bounded("c", "broken", racers.broken, room="one"),
               Bounded("c", "endless", racers.sleeper, {"seconds": 60, "answer": [0]}, room="one", limit=0.5),
               Bounded("c", "dies", racers.dies, room="two", warm=False),
               Bounded("c", "after it", racers.teller, {"seconds": 1.0}, room="two")]
    started = time.monotonic()
    table = bounded.race("s", entered, rounds=2, truth="quick", seconds=120)
    assert time.monotonic() - started < 100
    by = {peer: rows for peer, rows in table.groupby("peer")}
    assert by["quick"]["round"].tolist() == by["off"]["round"].tolist() == by["after it"]["round"].tolist() == [0, 1]
    assert by["once"]["round"].tolist() == [1] and by["once"]["seconds"].tolist() == [21]
    assert (by["quick"]["error"] == 0).all() and by["off"]["error"].iloc[0] == pytest.approx(0.25)
    assert by["broken"]["failed"].tolist() == ["ValueError: no such thing"]
    assert "longer than 0 s" in by["endless"]["failed"].iloc[0] or "longer than 1 s" in by["endless"]["failed"].iloc[0]
    assert by["dies"]["failed"].tolist() == ["the process ended with exit code 7"]
    assert {"suite", "hardware", "threads", "commit", "versions", "card", "started", "load"} <= set(table)


def test_no_time_is_left():
    table = bounded.race("s", [Bounded("c", "quick", racers.sleeper, {"seconds": 0, "answer": [1]})], 2, "quick", seconds=0)
    assert table["failed"].tolist() == ["no time was left"] and table["round"].tolist() == [-1]
