"""Who is right, when: the runs asked for, the decision of a cell and of an advice on tables made by hand, the page's pieces."""

import pandas as pd
import pytest
from small import settings, words  # noqa: F401
from test_rules import around, rows, table

from datadiet import runs
from datadiet.chapters import ledger, pages
from datadiet.chapters.arms import settings_of
from datadiet.chapters.drawing import View
from datadiet.chapters.who_is_right import rules as conflict
from datadiet.chapters.who_is_right import runs as conflict
from datadiet.chapters.who_is_right.figures import who_wins
from datadiet.chapters.who_is_right.rules import ADVICE, advice, cells
from datadiet.chapters.who_is_right.runs import who_is_right

SETTINGS = {"tasks": {"t": [0.1, 0.7]}, "rates": [0.0], "seeds": 5}


def factorial(effects, rates=(0.0,)):
    """Rows of every cell; `effects`: (rule, fraction) -> difference from random."""
    out = []
    for rate in rates:
        for budget in conflict.BUDGETS:
            for fraction in (0.1, 0.7):
                out.append(rows("random", around(0.6, wobble=0.002), fraction, noise=rate, budget=budget))
                for i, rule in enumerate(("hardest", "middle", "easiest")):
                    mean = 0.6 + effects.get((rule, fraction), 0.0)
                    out.append(rows(rule, around(mean, wobble=0.0005 * i), fraction, noise=rate, budget=budget, at="1ep"))
    return table(*out)


def test_every_cell_has_every_rule_and_its_own_random_subset():
    chosen = settings_of("standard", "who-is-right")
    asked = who_is_right(chosen)
    pruned = [run for run in asked if run["keep"]]
    cell = [(run["task"], run["noise"], run["keep"]["fraction"], run["budget"]) for run in pruned]
    kept_by = {(one, run["keep"]["rule"]) for one, run in zip(cell, pruned, strict=True)}
    assert len(set(cell)) == 2 * 2 * 3 * 2 and kept_by == {(one, rule) for one in cell for rule in conflict.KEPT_BY}
    assert len(asked) == len({runs.key(run) for run in asked}) == 2 * 2 * (1 + 2 * 4 * 3) * chosen["seeds"]
    assert all(run["seed"] not in run["keep"]["seeds"] for run in pruned)


def test_a_cell_is_better_worse_or_undecided():
    made = factorial({("hardest", 0.1): -0.1, ("easiest", 0.1): 0.05, ("hardest", 0.7): 0.1})
    found = cells(SETTINGS, made).set_index(["budget", "fraction", "rule"])["outcome"]
    for budget in conflict.BUDGETS:
        assert found[budget].to_dict() == {
            (0.1, "hardest"): "worse", (0.1, "middle"): "undecided", (0.1, "easiest"): "better",
            (0.7, "hardest"): "better", (0.7, "middle"): "undecided", (0.7, "easiest"): "undecided"}


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


def test_a_cell_without_runs_says_so():
    assert set(cells(SETTINGS, pd.DataFrame())["outcome"]) == {"no runs"}
    found = advice(SETTINGS, pd.DataFrame())
    assert (found["no runs"] == found["cells"]).all()


def test_every_advice_names_a_paper_of_the_bibliography():
    from pybtex.database import parse_file

    from datadiet import paths

    assert {each.paper for each in ADVICE} <= set(parse_file(str(paths.root() / "references.bib")).entries)
    assert not any(entry["chapter"] == "who-is-right.md" for entry in ledger.claims().values())  # it decides no claim


@pytest.mark.parametrize("where, fractions", [("least", [0.1]), ("most", [0.7]), ("more than least", [0.3, 0.7]),
                                              ("any", [0.1, 0.3, 0.7])])
def test_where_an_advice_applies(where, fractions):
    assert conflict.Advice("p", "s", "hardest", "random", where).fractions([0.7, 0.1, 0.3]) == fractions


def test_a_single_share_is_neither_little_nor_much():
    found = advice(SETTINGS | {"tasks": {"t": [0.3]}}, pd.DataFrame())
    assert set(found["paper"]) == {"When Less is More"}


def test_the_map_and_the_table_on_real_runs(words):  # noqa: F811
    import matplotlib

    matplotlib.use("Agg")
    chosen = settings(seeds=2) | {"rates": [0.0, 0.2], "tasks": {"words": [0.5]}, "score_at": ["1ep"], "epochs": 1}
    found = runs.sweep(who_is_right(chosen))
    assert len(found) == 2 * (2 + 2 * 4 * 2)
    sides = [View("This machine", chosen, found), View("Published", chosen, pd.DataFrame())]
    figure = who_wins(sides)
    written = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert len(written) == 2 * 2 * 3 + 1 and any("no runs" in text for text in written)
    figure.clear()
    shown = pages.advice(sides)
    assert "When Less is More" in shown.html and shown.text.count("it beats the hardest") == 4
