"""Who is right, when: the runs asked for, the decision of a cell and of an advice on tables made by hand, the page's pieces."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from small import around, rows, settings, words  # noqa: F401

from datadiet import runs
from datadiet.chapters import ledger
from datadiet.chapters import who_is_right as chapter
from datadiet.chapters.arms import scoring
from datadiet.chapters.settings import settings_of
from datadiet.chapters.views import View
from datadiet.chapters.who_is_right import figures
from datadiet.chapters.who_is_right.rules import ADVICE, advice, cells, contrast
from datadiet.chapters.who_is_right.runs import BUDGETS, KEPT_BY

matplotlib.use("Agg")
SETTINGS = settings("who-is-right", seeds=5, tasks=["t"], fractions=[0.7, 0.1], rates=[0.0], score_at=["1ep"])
ONES = around(0.6, wobble=0.002)


def arm(rule, fraction, budget="epochs", rate=0.0, task="t"):
    return chapter.runs.arm(SETTINGS, task, rate, fraction, budget, rule)


def factorial(effects, rates=(0.0,), task="t"):
    """Rows of every cell; `effects`: (rule, fraction) -> difference from random."""
    out = []
    for rate in rates:
        for budget in BUDGETS:
            for fraction in (0.1, 0.7):
                out += rows(arm("random", fraction, budget, rate, task), ONES)
                for i, rule in enumerate(("hardest", "middle", "easiest")):
                    mean = 0.6 + effects.get((rule, fraction), 0.0)
                    out += rows(arm(rule, fraction, budget, rate, task), around(mean, wobble=0.0005 * i))
    return pd.DataFrame(out)


def test_every_cell_has_every_rule_and_its_own_random_subset():
    chosen = settings_of("standard", "who-is-right")
    asked = chapter.runs.wanted(chosen)
    pruned = [run for run in asked if run["keep"]]
    cell = [(run["task"], run["noise"], run["keep"]["fraction"], run["budget"]) for run in pruned]
    kept_by = {(one, run["keep"]["rule"]) for one, run in zip(cell, pruned, strict=True)}
    assert len(set(cell)) == 2 * 2 * 3 * 2 and kept_by == {(one, rule) for one in cell for rule in KEPT_BY}
    assert len(asked) == len({runs.key(run) for run in asked}) == 2 * 2 * (chosen["seeds"] + 2 * 4 * 3) * chosen["seeds"]
    assert all(run["seed"] not in run["keep"]["seeds"] for run in pruned)
    for run in pruned:  # a subset of noisy labels is chosen by scores under the same noise
        assert all(source["noise"] == run["noise"] for source in runs.scoring_runs(run))


def test_a_cell_is_better_worse_or_undecided():
    made = factorial({("hardest", 0.1): -0.1, ("easiest", 0.1): 0.05, ("hardest", 0.7): 0.1})
    found = cells(SETTINGS, made)
    assert (found["noise"] == 0).all() and (found["against"] == "random").all() and (found["n"] == 5).all()
    found = found.set_index(["budget", "fraction", "rule"])["outcome"]
    for budget in BUDGETS:
        assert found[budget].to_dict() == {
            (0.1, "hardest"): "worse", (0.1, "middle"): "undecided", (0.1, "easiest"): "better",
            (0.7, "hardest"): "better", (0.7, "middle"): "undecided", (0.7, "easiest"): "undecided"}


@pytest.mark.parametrize("gain, outcome", [(0.001, "better"), (-0.001, "worse"), (0.0, "undecided")])
def test_a_cell_is_decided_at_zero(gain, outcome):
    made = pd.DataFrame(rows(arm("random", 0.1), [0.5] * 5) + rows(arm("hardest", 0.1), around(0.5 + gain, wobble=1e-4)))
    assert contrast(SETTINGS, made, "t", (0.0, "epochs", 0.1), "hardest", "random")["outcome"] == outcome


def test_runs_missing_from_either_arm_leave_the_seeds_that_both_have():
    """Seeds differ by far more than the rules do: paired by position the effect would be another."""
    base = [0.1, 0.3, 0.5, 0.7, 0.9]
    hardest = [None if seed == 1 else value + 0.01 * seed for seed, value in enumerate(base)]
    random = [None if seed == 3 else value for seed, value in enumerate(base)]
    made = pd.DataFrame(rows(arm("random", 0.1), random) + rows(arm("hardest", 0.1), hardest)).sample(frac=1, random_state=0)
    found = contrast(SETTINGS, made, "t", (0.0, "epochs", 0.1), "hardest", "random")
    assert found["n"] == 3 and found["effect"] == pytest.approx((0 + 0.02 + 0.04) / 3)
    assert contrast(SETTINGS, made, "t", (0.0, "steps", 0.1), "hardest", "random")["outcome"] == "no runs"
    assert contrast(SETTINGS, made, "t", (0.0, "epochs", 0.7), "hardest", "random")["outcome"] == "no runs"
    assert contrast(SETTINGS, made, "t", (0.2, "epochs", 0.1), "hardest", "random")["outcome"] == "no runs"


def test_an_advice_is_counted_in_the_cells_it_speaks_of():
    made = factorial({("hardest", 0.1): -0.1, ("easiest", 0.1): 0.05, ("hardest", 0.7): 0.1})
    found = advice(SETTINGS, made)
    assert list(found["says"]) == [each.says for each in ADVICE]
    assert (found[["holds", "fails", "undecided", "no runs"]].sum(axis=1) == found["cells"]).all()
    by = found.set_index(["paper", "says"])["holds"]
    for paper in ("Deep Learning on a Data Diet", "BERT on a Data Diet", "Beyond neural scaling laws"):
        assert by[paper].tolist() == [2, 2]
    assert by["Influence Scores at Scale"].tolist() == [2]
    middle = found[found["paper"] == "When Less is More"]
    assert middle["holds"].tolist() == [2, 0] and middle["fails"].tolist() == [2, 2]  # beats the hardest at 10 %, loses at 70 %


def test_a_cell_on_the_floor_is_counted_as_one():
    """Without a count of its own it would be in none, and the counts would not add up to the cells."""
    made = factorial({("hardest", 0.1): -0.1})
    low = {runs.key(run) for run in arm("hardest", 0.1)}
    found = advice(SETTINGS, made.assign(test_matthews=np.where(made["key"].isin(low), 0.0, 0.5)))
    assert (found[list(chapter.rules.COUNTED)].sum(axis=1) == found["cells"]).all()
    little = found[found["says"] == "keeping little, the hardest lose to random"].iloc[0]
    assert (little["holds"], little["on the floor"]) == (1, 1)  # at equal steps, and at equal epochs


def test_an_advice_that_is_turned_round_fails():
    found = advice(SETTINGS, factorial({("hardest", 0.1): 0.1, ("easiest", 0.1): -0.1, ("hardest", 0.7): -0.1}))
    one_share = found[~(found["paper"] == "When Less is More")]
    assert (one_share["fails"] == 2).all() and (one_share["holds"] == 0).all()


def test_an_advice_is_counted_once_for_each_rate_and_task_that_has_it():
    two = SETTINGS | {"tasks": ["t", "u"], "per_task": {"u": {"rates": [0.2], "fractions": [0.1, 0.7]}}}
    made = pd.concat([factorial({("hardest", 0.1): -0.1}), factorial({("hardest", 0.1): 0.1}, (0.2,), "u")])
    found = advice(two, made)
    little = found[found["says"] == "keeping little, the hardest lose to random"].set_index("noise")
    assert little["cells"].to_dict() == {0.0: 2, 0.2: 2}
    assert little["holds"].to_dict() == {0.0: 2, 0.2: 0} and little["fails"].to_dict() == {0.0: 0, 0.2: 2}
    assert set(zip(cells(two, made)["task"], cells(two, made)["noise"], strict=True)) == {("t", 0.0), ("u", 0.2)}


def test_a_cell_without_runs_says_so():
    assert set(cells(SETTINGS, pd.DataFrame())["outcome"]) == {"no runs"}
    found = advice(SETTINGS, pd.DataFrame())
    assert (found["no runs"] == found["cells"]).all()


def test_every_advice_names_a_paper_of_the_bibliography():
    from pybtex.database import parse_file

    from datadiet import paths

    assert {each.paper for each in ADVICE} <= set(parse_file(str(paths.root() / "references.bib")).entries)
    assert chapter.rules.RULES == {}
    assert not any(entry["chapter"] == "who-is-right.md" for entry in ledger.claims().values())  # it decides no claim


@pytest.mark.parametrize("where, fractions", [("least", [0.1]), ("most", [0.7]), ("more than least", [0.3, 0.7]),
                                              ("any", [0.1, 0.3, 0.7])])
def test_where_an_advice_applies(where, fractions):
    assert chapter.rules.Advice("p", "s", "hardest", "random", where).fractions([0.7, 0.1, 0.3]) == fractions


def test_a_single_share_is_neither_little_nor_much():
    found = advice(SETTINGS | {"fractions": [0.3]}, pd.DataFrame())
    assert set(found["paper"]) == {"When Less is More"}


def test_settings_that_no_advice_speaks_of_give_an_empty_table_with_its_columns():
    found = advice(SETTINGS | {"fractions": []}, pd.DataFrame())
    assert not len(found) and list(found) == list(advice(SETTINGS, pd.DataFrame()))
    none = cells(SETTINGS | {"fractions": []}, pd.DataFrame())
    assert not len(none) and list(none) == list(cells(SETTINGS, pd.DataFrame()))


def written(ax):
    return [text.get_text() for text in ax.texts]


def test_the_map_writes_points_signs_and_where_there_are_no_runs():
    made = factorial({("hardest", 0.1): -0.1, ("easiest", 0.1): 0.05})
    gone = {runs.key(run) for run in arm("middle", 0.7, "steps")}
    full = pd.DataFrame(rows(scoring(SETTINGS | {"noise": 0.0}, "t"), [0.75] * 5))
    both = View("Made", SETTINGS | {"rates": [0.0, 0.2]}, pd.concat([made[~made["key"].isin(gone)], full]))
    ax = figures.who_wins([both]).axes[0]
    assert written(ax)[:3] == ["-10.0 \N{BLACK DOWN-POINTING TRIANGLE}", "+0.0", "+5.0 \N{BLACK UP-POINTING TRIANGLE}"]
    assert written(ax)[3 * 3 : 4 * 3] == ["+0.0", "no runs", "+0.0"] and written(ax)[4 * 3 :] == ["no runs"] * 4 * 3
    names = [f"{rate} flipped, {budget}, {kept} kept" for rate in ("0%", "20%") for budget in BUDGETS for kept in ("10%", "70%")]
    assert [text.get_text() for text in ax.get_yticklabels()] == names
    assert "full data: 0.75 (0%), no runs (20%)" in ax.get_xlabel()
    assert [line.get_ydata()[0] for line in ax.lines] == [4]  # between clean and noisy labels


def test_the_map_and_the_table_on_real_runs(words):  # noqa: F811
    chosen = settings("who-is-right", seeds=2, rates=[0.0, 0.2], fractions=[0.5], score_at=["1ep"], epochs=1)
    found = runs.sweep(chapter.runs.wanted(chosen))
    assert len(found) == 2 * (2 + 2 * 4 * 2)
    views = [View("This machine", chosen, found), View("Published", chosen, pd.DataFrame())]
    figure = figures.who_wins(views)
    assert [len(written(ax)) for ax in figure.axes] == [2 * 2 * 3, 1] and "no runs" not in written(figure.axes[0])
    shown = figures.advice(views)
    assert "When Less is More" in shown.html and shown.text.count("it beats the hardest") == 2
    ours, published = shown.text.split("Published:")
    assert "it beats the hardest | no runs: 2 | no runs: 2" in published and "no runs" not in ours
