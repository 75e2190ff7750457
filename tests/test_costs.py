"""What is said about speed: contestants take turns, ratios are taken within a round, and what fails says so."""

import base64
import os
import platform
import re
import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
import racers
from click.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import gradients, harness
from benchmarks.harness import Contestant
from datadiet.chapters import pages
from datadiet.chapters import what_it_costs as chapter
from datadiet.chapters.settings import has, profiles, settings_of
from datadiet.chapters.what_it_costs.runs import (
    ALIKE,
    LIMIT,
    ONE,
    OURS,
    PLAIN,
    STEP,
    benchmark,
    bills,
    exponents,
    multiplications,
    norms_over,
    ratios,
    shares_of_training,
    time_here,
)
from datadiet.errors import InputError

matplotlib.use("Agg")
TINY = {"engine": "here", "encoder": "tiny", "layers": None, "examples": 3, "tokens": 5, "rounds": 2}


def rounds(**seconds):
    return pd.DataFrame([{"case": "a case", "peer": peer, "round": number, "seconds": value}
                         for peer, values in seconds.items() for number, value in enumerate(values)])


def test_ratios_are_taken_within_a_round():
    """A machine that is slow for a while is slow for both."""
    found = ratios(rounds(ours=[1.0, 10.0, 1.5], theirs=[2.0, 20.0, 6.0]), "ours").set_index("peer")
    assert found.loc["theirs", ["ratio", "least", "greatest"]].tolist() == [2, 2, 4]
    assert found.loc["ours", "ratio"] == 1 and found.loc["theirs", "seconds"] == 6


def test_norms_over_each_rival():
    ours = {OURS: [2.0], PLAIN: [4.0], ALIKE: [2.0], STEP: [8.0], LIMIT: [1.0]}
    found = norms_over(rounds(**ours)).iloc[0]
    assert found["case"] == "a case"
    assert found[[PLAIN, ALIKE, STEP, LIMIT]].tolist() == [0.5, 1, 0.25, 2]


def test_exponents_of_exact_powers():
    grown = [{"case": "it grows", "size": n, "seconds": 3e-4 * n**1.5, "peak_mib": 2.0 * n} for n in (10, 100, 1000)]
    table = pd.DataFrame(grown)
    found = exponents(table).iloc[0]
    assert found["seconds"] == pytest.approx(1.5) and found["seconds_last"] == pytest.approx(1.5)
    assert found["peak_mib"] == pytest.approx(1) and found["sizes"] == "10, 100, 1,000"
    assert np.isnan(exponents(table.assign(peak_mib=0.0)).iloc[0]["peak_mib"])


def test_a_benchmark_that_is_not_there():
    with pytest.raises(InputError, match="python -m benchmarks nothing"):
        benchmark("nothing")


def test_bills_in_epochs_of_training():
    """GraNd as dear as a forward and backward is an epoch a pass; EL2N a third of one."""
    table = rounds(**{PLAIN: [1.0], OURS: [1.0], ONE: [4.0]})
    found = bills(table, "a case").set_index(["paper", "pass"])
    assert found.loc[("Paul et al. 2021", "GraNd"), ["with our norms", "one at a time"]].tolist() == [210, 240]
    assert found.loc[("Paul et al. 2021", "EL2N"), "of full"] == pytest.approx((200 + 10 / 3) / 200)


def test_shares_of_training_by_hand():
    """Ten epochs of 3 units an example: dynamic trains 1 + 9 / 2 of them and scores 9 times; a scoring run takes 3 + 1 units."""
    found = shares_of_training(10, 0.5)
    assert found.to_dict() == pytest.approx({"dynamic": (3 * 5.5 + 9) / 30, "static by one run": 0.5 + 4 / 30,
                                             "static by five": 0.5 + 20 / 30, "random": 0.5})


def test_a_batch_timed_here():
    table = time_here(TINY)
    assert sorted(table["peer"].unique()) == sorted([PLAIN, OURS, ONE])
    assert (table["seconds"] > 0).all() and table.groupby("peer").size().tolist() == [2, 2, 2]
    assert table.loc[table["peer"] == OURS, "error"].max() < 1e-5
    assert chapter.figures.gradient_costs({"This machine": table}).axes[0].get_title() == "This machine"


def test_nothing_is_timed_where_runs_are_only_looked_up():
    nothing = time_here(TINY | {"engine": "stored"})
    assert not len(nothing) and {"case", "peer", "seconds"} <= set(nothing)
    both = {"This machine": nothing, "Published": benchmark("gradients")}
    assert [ax.get_title() for ax in chapter.figures.gradient_costs(both).axes] == ["Published"]


def test_cases_of_two_panels_look_different_in_their_one_legend():
    both = {"Published": benchmark("gradients"), "Rebuilt here": time_here(TINY)}
    signs = [each.lines[0] for each in chapter.figures.gradient_costs(both).legend().values()]
    looks = [(sign.get_color(), sign.get_marker()) for sign in signs]
    assert len(looks) == len(set(looks)) > 4


@pytest.mark.parametrize("name", ["examples", "tokens", "rounds"])
def test_a_batch_of_nothing_is_refused(name):
    with pytest.raises(InputError, match=f"{name}=0.*at least 1"):
        time_here(TINY | {name: 0})


def test_every_profile_has_the_settings_of_the_chapter():
    keys = [list(settings_of(profile, "what-it-costs")) for profile in profiles() if has(profile, "what-it-costs")]
    assert all(each == keys[0] for each in keys) and set(TINY) < set(keys[0])


def test_multiplications_are_counted():
    """Of linear layers and convolutions a forward is a third of forward and backward; norms lie between two thirds and one."""
    found = multiplications({"encoder": "tiny", "layers": None, "examples": 16, "tokens": 48})
    assert found.index.tolist() == ["tiny", "resnet18"]
    assert found["forward"].tolist() == pytest.approx([1 / 3, 1 / 3], abs=0.02)
    assert 2 / 3 < found.loc["resnet18", "grad_norms"] < 0.9


def test_freed_memory_is_kept_once_and_not_against_the_environment():
    script = ("from datadiet.runs import process; import sys; print(process.keep_freed(), 'torch' in sys.modules)")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    for given, expected in ({}, str(platform.libc_ver()[0] == "glibc")), ({"MALLOC_TRIM_THRESHOLD_": "100000"}, "False"):
        done = subprocess.run([sys.executable, "-c", script], env=plain | given, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [expected, "False"]


def test_a_race():
    """Every contestant in every round, errors against the truth, failures named, and what a contestant says wins."""
    entered = [Contestant("c", "quick", racers.sleeper, {"seconds": 0.01, "answer": [1, 2]}),
               Contestant("c", "slow", racers.sleeper, {"seconds": 0.1, "answer": [1, 2.5]}),
               Contestant("c", "says", racers.teller, {"seconds": 7.0}, warm=False),
               Contestant("c", "broken", racers.broken), Contestant("c", "breaks", racers.breaks_later)]
    table = harness.race("s", entered, rounds=3, truth="quick")
    by = {peer: rows for peer, rows in table.groupby("peer")}
    assert by["quick"]["round"].tolist() == by["slow"]["round"].tolist() == [0, 1, 2]
    assert (by["quick"]["error"] == 0).all() and by["slow"]["error"].iloc[0] == pytest.approx(0.25)
    assert by["says"]["seconds"].tolist() == [14, 21, 28] and (by["says"]["test_accuracy"] == 0.5).all()
    assert by["broken"]["failed"].tolist() == ["ValueError: no such thing"]
    assert by["breaks"]["failed"].dropna().tolist() == ["RuntimeError: tired"] and by["breaks"]["round"].tolist() == [0, 1]
    assert ratios(table, "quick").set_index("peer")["failed"].dropna().to_dict() == {
        "broken": "ValueError: no such thing", "breaks": "RuntimeError: tired"}
    shown = chapter.figures.compared(table, "quick", "A race").text
    assert "breaks | cannot: RuntimeError: tired" in shown and "quick | 1.00 [1.00, 1.00]" in shown
    found = ratios(table[table["peer"].isin(["quick", "slow"])], "quick").set_index("peer")
    assert 2 < found.loc["slow", "ratio"] < 20
    assert {"hardware", "threads", "commit", "versions", "started", "load"} <= set(table)


def test_a_turn_of_several_calls():
    table = harness.race("s", [Contestant("c", "tiring", racers.tiring, calls=3)], rounds=2)
    assert table["seconds"].tolist() == [3, 3] and table["first_call"].tolist() == [9, 9]


def test_peers_compute_what_we_compute():
    """A comparison of speeds is one only between equal answers."""
    case = {"name": "RoBERTa", "n": 3, "length": 6}
    truth = gradients.batch_of_one(**case)(0)["answer"]
    for peer in (gradients.ours, gradients.torch_func):
        np.testing.assert_allclose(peer(**case)(0)["answer"], truth, rtol=1e-4)
    for work in (gradients.plain, gradients.forward_only, gradients.limit):
        assert work(**case)(0) is None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("peer", ["opacus_per_sample", "opacus_ghost"])
def test_opacus_computes_what_we_compute(peer):
    pytest.importorskip("opacus", reason="peers of the benchmarks are not in the lock: pip install --no-deps opacus opt_einsum")
    case = {"name": "RoBERTa", "n": 3, "length": 6}
    found = getattr(gradients, peer)(**case)(0)["answer"]
    np.testing.assert_allclose(found, gradients.batch_of_one(**case)(0)["answer"], rtol=1e-4)


def test_the_command_prints_ratios_and_a_quick_one_writes_nothing(monkeypatch, tmp_path):
    entered = [Contestant("c", "numpy, probs.sum(1)", racers.teller, {"seconds": 1.0}),
               Contestant("c", "other", racers.teller, {"seconds": 3.0})]
    monkeypatch.setattr(command.tables, "contestants", lambda quick: entered)
    monkeypatch.setattr(command.paths, "root", lambda: tmp_path)
    for options in ([], ["--quick"]):
        done = CliRunner().invoke(command.main, ["tables", *options], catch_exceptions=False)
        assert done.exit_code == 0 and "3.0" in done.output
        written = tmp_path / "results" / "benchmarks" / "tables.parquet"
        assert written.is_file() != bool(options)
        written.unlink(missing_ok=True)
    assert CliRunner().invoke(command.main, ["nonsense"]).exit_code == 2


def test_a_small_table_on_a_page():
    page = pages.frame(pd.DataFrame({"what": ["<a>", "b"], "seconds": [1234.5678, np.nan], "n": [3, 4]}), "A caption", digits=1)
    assert page.text.splitlines() == ["what | seconds | n", "<a> | 1,234.6 | 3", f"b | {pages.DASH} | 4"]
    assert "<caption>A caption</caption>" in page.html and "&lt;a&gt;" in page.html and 'scope="col">seconds' in page.html


def test_a_downloaded_table_runs_in_no_spreadsheet():
    """A text that a spreadsheet would run has an apostrophe in front, a number has none; half a letter is named."""
    texts = pd.Series(["=1+1", " @SUM(A1)", "-1", "half \ud83d"], dtype=object)
    page = pages.frame(pd.DataFrame({"=A": texts, "n": [-1.5, 2, 3, 4]}), "Rows", shown=1)
    held = base64.b64decode(re.search(r"base64,([^\"]+)", page.html)[1]).decode()
    assert held.splitlines() == ["'=A,n", "'=1+1,-1.5", "' @SUM(A1),2.0", "-1,3.0", "half ⟨U+D83D⟩,4.0"]


def test_published_rounds_are_whole():
    """Every suite is there, each peer has all its rounds, and every ratio that is shown has a spread."""
    for name, (suite, _) in command.SUITES.items():
        table = benchmark(name)
        entered = {(each.case, each.peer) for each in suite.contestants(quick=False)}
        assert entered == set(zip(table["case"], table["peer"], strict=True))
        good = table[table["round"] >= 0]
        assert good.groupby(["case", "peer"]).size().nunique() == 1
        assert table["commit"].nunique() == 1 and f"commit {table['commit'][0]};" in chapter.figures.measured(table, name).text


def test_figures_of_published_rounds_show_every_case_and_peer():
    published = benchmark("gradients")
    assert set(chapter.figures.NAMES) == set(gradients.PEERS) == set(published["peer"])
    assert list(chapter.figures.gradient_costs({"Published": published}).legend()) == published["case"].unique().tolist()
    grown = benchmark("growth")
    titles = [ax.get_title() for ax in chapter.figures.growth(grown).axes]
    assert [title for title in titles if title] == grown["case"].unique().tolist()
