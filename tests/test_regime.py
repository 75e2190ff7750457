"""Regimes: each criterion on both sides of its bound, verdicts from experiments, and what the published ledger must not say."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import ROOT
from small import around, rows, settings

from datadiet import chapters, cli, data, paths, runs
from datadiet.chapters import grand_at_init, influence_scores, ledger, pages, parts, regime, score_timing
from datadiet.chapters.arms import by_seed, pruned, scoring
from datadiet.chapters.influence_scores.runs import FULL, RANDOM
from datadiet.chapters.regime import Criterion, Experiment, experiments, verdict_of
from datadiet.chapters.settings import alone, settings_of
from datadiet.chapters.views import HERE, View, Views
from datadiet.errors import InputError
from datadiet.runs import facts

NAMES = ("learned", "no floor", "control", "setting")
HOLDS, FAILS, UNDECIDED = (parts.Part("p", mean, mean - 0.01, mean + 0.01, 5, 1, 0.0, task="t") for mean in (0.1, -0.1, 0.0))
NONE = parts.Part("p", np.nan, np.nan, np.nan, 0, 1, 0.0, task="t")
FLOOR = parts.Part("p", 0.1, 0.09, 0.11, 5, 1, 0.0, constant=0.4, task="t")


def judged(reg=None, full=None, some=(HOLDS,), control=None, task="t", column="test_accuracy", table=None, n_kept=100, **changes):
    """The one experiment of a claim made up: its regime, the values of its full data by seed, its parts and its control's."""
    own = settings("pruning-fractions", seeds=5, tasks=[task], **changes)
    full = around(0.9) if full is None else full
    table = pd.DataFrame(rows(scoring(own, task), full, column, n_kept=n_kept)) if table is None else table
    claim = {"id": "X-1", "margins": {}, "regime": {"setting": {}} | (reg or {})}
    room = SimpleNamespace(full=scoring, CONTROLS={} if control is None else {"X-1": lambda *given: list(control)})
    some = [parts.replace(each, task=task) for each in some]
    (found,) = experiments(claim, lambda *given: some, room, own, table)
    return found


@pytest.fixture
def unknown(monkeypatch):
    """No task has a published run on full data."""
    monkeypatch.setattr(regime, "best", lambda task, by: -np.inf)


# Learned


def on_the_bound(low, by=1e-6):
    """Values by seed whose interval begins `by` above a tenth over `low`."""
    values = np.array(around(0.0))
    return list(low + regime.CLEAR + by + values - parts.interval(values)[1])


@pytest.mark.parametrize("by, met", [(1e-6, True), (-1e-6, False)])
@pytest.mark.parametrize("task, low", [("t", 1 / 3), ("trec6", 138 / 500), ("rte", 146 / 277)])
def test_learned_is_an_interval_a_tenth_above_the_most_frequent_class(unknown, task, low, by, met):
    """Of a published set the share of its largest class on test, of another one of its classes: three, as its runs say."""
    assert judged(task=task, full=on_the_bound(low, by)).met("learned") == met


@pytest.mark.parametrize("task, by, low", [("cola", "matthews", 0.0), ("t", "auc", 0.5)])
def test_other_measures_have_a_floor_of_their_own(unknown, task, by, low):
    reg = {"measure": "auc"} if by == "auc" else {}  # CoLA is judged by Matthews' correlation of itself
    for off, met in ((1e-6, True), (-1e-6, False)):
        found = judged(reg, task=task, column=f"test_{by}", full=on_the_bound(low, off))
        assert found.met("learned") == met and f"test {by}" in found.criteria[0].words


@pytest.mark.parametrize("off, met", [(1e-6, True), (-1e-6, False)])
@pytest.mark.parametrize("reach, known", [
    ({"t": 0.95}, -np.inf), ({}, 0.95), ({"t": 0.5}, 0.95), ({"t": 0.95}, 0.5), ({"u": 1.0}, 0.95),
])
def test_learned_is_halfway_to_the_best_that_is_known(monkeypatch, reach, known, off, met):
    monkeypatch.setattr(regime, "best", lambda task, by: known)
    halfway = 1 / 3 + (0.95 - 1 / 3) / 2
    above = halfway - parts.interval(around(0.0))[1]  # the mean of an interval that begins there
    assert judged({"reach": reach}, around(above + off)).met("learned") == met
    assert judged({}, around(halfway - 0.1)).met("learned") == (known < 0.9)  # only where better is known


@pytest.mark.parametrize("full", [[None] * 5, [0.9, None, None, None, None]])
def test_without_two_runs_on_the_full_data_nothing_is_known_to_be_learned(full):
    table = pd.DataFrame() if full[0] is None else None
    found = judged(full=full, table=table)
    assert not found.met("learned") and "no runs on the full data" in found.criteria[0].words
    assert verdict_of((found,)) == "could not have shown it"


def test_a_rule_that_trains_on_no_labels_asks_for_no_learning():
    found = judged({"learned": False}, full=around(0.1))
    assert [each.name for each in found.criteria] == ["no floor", "setting"] and found.counts


def test_the_best_that_is_known_is_a_mean_of_published_full_data(monkeypatch):
    def row(seed, accuracy, **changes):
        return {"config": {"task": "t", "epochs": 3, "keep": None, "noise": 0.0, "seed": seed} | changes,
                "metrics": {} if accuracy is None else {"test_accuracy": accuracy}}

    rows = [row(0, 0.6), row(1, 0.8), row(0, 0.75, epochs=5), row(0, None, epochs=9), row(0, 0.99, task="u")]
    rows += [row(0, 0.99, **{name: 0.5}) for name in regime.LESS]
    monkeypatch.setattr(runs.store, "published", lambda: dict(enumerate(rows)))
    assert regime.best.__wrapped__("t", "accuracy") == pytest.approx(0.75)  # of five epochs; 0.7 of three
    assert regime.best.__wrapped__("t", "auc") == regime.best.__wrapped__("v", "accuracy") == -np.inf


# No floor

FRACTIONS = settings("pruning-fractions", seeds=5, tasks=["t"], score_at=["1ep"], fractions=[0.1, 0.5], fraction=0.1)


def kept(rule, share, task="t", **changes):
    return pruned(alone(FRACTIONS, task), task, rule, share, **changes)


@pytest.mark.parametrize("count, share", [(0, 0.0), (1, 0.2), (2, 0.4), (5, 1.0)])
def test_constant_classifiers_are_counted_by_a_correlation_of_exactly_zero(count, share):
    arm = kept("hardest", 0.1)
    made = [row | {"test_matthews": 0.0 if row["seed"] < count else 1e-9} for row in rows(arm, around(0.5))]
    assert by_seed(pd.DataFrame(made), arm).attrs["constant"] == share


@pytest.mark.parametrize("hits, constant", [(138, True), (9, True), (137, False), (0, False)])
def test_where_no_correlation_was_recorded_an_accuracy_that_is_a_class_share_is_a_constant_classifier(hits, constant):
    arm = kept("hardest", 0.1, "trec6")
    made = pd.DataFrame(rows(arm, [hits / 500] * 5))
    assert by_seed(made, arm).attrs["constant"] == float(constant)
    recorded = made.assign(test_matthews=[0.3, 0.3, 0.3, np.nan, np.nan])  # what is recorded is believed
    assert by_seed(recorded, arm).attrs["constant"] == 0.4 * constant


def test_an_unpublished_set_has_no_known_shares():
    arm = kept("hardest", 0.1)
    assert by_seed(pd.DataFrame(rows(arm, [1 / 3] * 5)), arm).attrs["constant"] == 0.0


@pytest.mark.parametrize("share, outcome", [(0.2, "holds"), (0.21, "on the floor"), (1.0, "on the floor")])
def test_a_part_on_the_floor_never_holds_however_large_its_effect(share, outcome):
    made = pd.Series(around(0.5))
    made.attrs["constant"] = share
    for margin in ({"above": 0.0}, {"below": 1.0}):
        assert parts.part("p", made, **margin).outcome == outcome
    other = pd.Series(around(0.1, wobble=0.002))
    assert parts.difference(other, made).attrs["constant"] == parts.difference(made, other).attrs["constant"] == share


def test_an_experiment_with_a_part_on_the_floor_does_not_count():
    found = judged(some=(HOLDS, FLOOR))
    assert found.outcome == "agrees" and not found.met("no floor") and not found.counts
    assert found.words == "could not have shown it: on the floor"


def extreme(constant):
    """A table for P21-4: the hardest lose where little is kept; the arm named `constant` is one of constant classifiers."""
    arms = {"full": scoring(FRACTIONS, "t")} | {f"{rule} {share}": kept(rule, share) for rule in ("hardest", "random")
                                                for share in (0.1, 0.5)}
    means = {"full": 0.9, "hardest 0.1": 0.4, "hardest 0.5": 0.8, "random 0.1": 0.7, "random 0.5": 0.75}
    return pd.DataFrame([row | {"test_matthews": 0.0 if name == constant else 0.5}
                         for place, (name, arm) in enumerate(arms.items())
                         for row in rows(arm, around(means[name], wobble=0.0005 * place**2))])


def test_a_collapse_is_a_finding_where_the_hardest_collapse_and_a_floor_where_random_examples_do():
    assert ledger.decide("P21-4", FRACTIONS, extreme("hardest 0.1")).verdict == "reduced setting: agrees"
    found = ledger.decide("P21-4", FRACTIONS, extreme("random 0.1"))
    assert {part.outcome for part in found.parts} == {"on the floor"} and found.verdict == "could not have shown it"
    assert ledger.decide("BDD-5", FRACTIONS, extreme("hardest 0.1")).verdict == "could not have shown it"  # not its finding


@pytest.mark.parametrize("random, met", [(1 / 3 + 0.103, True), (1 / 3 + 0.099, False), (0.34, False)])
def test_the_control_of_a_collapse_is_that_random_examples_still_train(random, met):
    made = extreme(None)
    moved = dict(zip(map(runs.key, kept("random", 0.1)), around(random), strict=True))
    made["test_accuracy"] = made["key"].map(moved).fillna(made["test_accuracy"])
    (found,) = ledger.decide("P21-4", FRACTIONS, made).experiments
    assert found.met("control") == met
    without = made[~made["key"].isin([runs.key(run) for run in scoring(FRACTIONS, "t")])]
    assert not ledger.decide("P21-4", FRACTIONS, without).experiments[0].met("control")


def test_a_mean_over_fractions_knows_the_floor_of_its_arms():
    own = settings("influence-scores", seeds=5, tasks=["t"], fractions=[0.55, 0.75, 0.9], fraction=0.55, epochs=5,
                   score_at=["1ep", "2ep", "5ep"])
    made, arms = [], [(FULL, None), *((name, fraction) for name in (RANDOM, "forgetting") for fraction in (0.75, 0.9))]
    for place, (name, fraction) in enumerate(arms):
        low = (name, fraction) == ("forgetting", 0.9)
        made += rows(influence_scores.runs.arm(own, "t", name, fraction), around(0.5, wobble=0.001 * (place + 1)),
                     test_matthews=0.0 if low else 0.5)
    first = ledger.decide("INF-1", own, pd.DataFrame(made)).parts[0]
    assert "forgetting" in first.name and first.constant == 1.0 and first.outcome == "on the floor"


# Control

CONTROLS = {"holds": (HOLDS,), "fails": (FAILS,), "undecided": (UNDECIDED,), "no runs": (NONE,), "on the floor": (FLOOR,),
            "one of two": (HOLDS, UNDECIDED), "nothing": ()}


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_is_met_where_all_its_parts_hold(name):
    found = judged(control=CONTROLS[name])
    assert found.met("control") == found.counts == (name == "holds")
    assert "nan" not in " ".join(each.words for each in found.criteria)
    wanted = "reproduced" if name == "holds" else "could not have shown it"
    assert verdict_of((found,)) == wanted and (found.words == "agrees") == (name == "holds")


def test_a_claim_without_a_control_asks_for_none():
    assert [each.name for each in judged().criteria] == ["learned", "no floor", "setting"]


@pytest.mark.parametrize("el2n, verdict", [(0.03, "reduced setting: agrees"), (-0.03, "could not have shown it"),
                                           (None, "could not have shown it")])
def test_no_score_is_shown_to_be_useless_where_el2n_does_not_beat_random(el2n, verdict):
    own = settings_of("standard", "grand-at-init", tasks=["digits"], fractions=[0.2, 0.5])
    arm = grand_at_init.runs.arm
    made = rows(arm(own, "digits", grand_at_init.runs.FULL), around(0.99))
    made += rows(arm(own, "digits", "random", 0.2, "steps"), around(0.9))
    made += rows(arm(own, "digits", grand_at_init.runs.INIT, 0.2, "steps"), around(0.85, wobble=0.002))
    if el2n is not None:
        made += rows(arm(own, "digits", "EL2N", 0.2, "steps"), around(0.9 + el2n, wobble=0.002))
    assert ledger.decide("K23-2", own, pd.DataFrame(made)).verdict == verdict


# Setting

@pytest.mark.parametrize("bounds, changes, met", [
    ({}, {}, True),
    (None, {}, False),
    ({"tasks": ["t", "u"]}, {}, True), ({"tasks": ["u"]}, {}, False),
    ({"encoders": ["tiny"]}, {}, True), ({"encoders": ["bert-base-cased"]}, {}, False),
    ({"examples": 100}, {"n_kept": 100}, True), ({"examples": 100}, {"n_kept": 99}, False),
    ({"epochs": 3}, {"epochs": 3}, True), ({"epochs": 3}, {"epochs": 2}, False), ({"epochs": 3}, {"epochs": 9}, True),
    ({"fraction": [0.5, 0.7]}, {"fraction": 0.5}, True), ({"fraction": [0.5, 0.7]}, {"fraction": 0.7}, True),
    ({"fraction": [0.5, 0.7]}, {"fraction": 0.49}, False), ({"fraction": [0.5, 0.7]}, {"fraction": 0.71}, False),
    ({"least": [0.0, 0.3]}, {"fractions": [0.9, 0.3]}, True), ({"least": [0.0, 0.3]}, {"fractions": [0.31, 0.9]}, False),
    ({"most": [0.7, 1.0]}, {"fractions": [0.7, 0.3]}, True), ({"most": [0.7, 1.0]}, {"fractions": [0.3, 0.69]}, False),
    ({"tasks": ["t"], "epochs": 3}, {"epochs": 2}, False),  # one is enough
])  # fmt: skip
@pytest.mark.parametrize("some, inside, outside", [((HOLDS,), "reproduced", "reduced setting: agrees"),
                                                   ((FAILS,), "not reproduced", "reduced setting: disagrees"),
                                                   ((HOLDS, FAILS), "partly reproduced", "reduced setting: partly"),
                                                   ((UNDECIDED,), "undecided", "reduced setting: undecided")])
def test_reproduced_or_not_is_said_within_the_bounds_of_the_papers_setting_alone(bounds, changes, met, some, inside, outside):
    found = judged({"setting": bounds}, some=some, **changes)
    assert found.met("setting") == met and found.counts
    assert verdict_of((found,)) == (inside if met else outside)


@pytest.mark.parametrize("claim", ["P21-1", "P21-2"])
@pytest.mark.parametrize("profile, task", [("standard", "digits"), ("paper", "hub:cifar10")])
def test_a_claim_about_a_half_is_judged_at_a_half_and_so_is_its_setting(claim, profile, task):
    """Of the shares of the profile paper the largest is nine tenths; at standard another share is the profile's fraction."""
    own, room = alone(settings_of(profile, "grand-at-init"), task), grand_at_init
    assert ledger.claims()[claim]["margins"]["kept"] == room.runs.HALF
    wanted = {runs.key(run) for run in room.runs.wanted(own)}
    arms = [room.runs.arm(own, task, name, 0.5, "steps") for name in ("random", "EL2N", room.runs.INIT)]
    assert all(runs.key(run) in wanted for arm in arms for run in arm)
    table = [row for place, arm in enumerate([room.runs.arm(own, task, room.runs.FULL), *arms])
             for row in rows(arm, around(0.9, wobble=0.001 * (place + 1)), n_kept=50_000)]
    (found,) = ledger.decide(claim, own, pd.DataFrame(table)).experiments
    assert all("50% kept" in part.name and part.n == 5 for part in found.parts)
    assert "kept" not in found.criteria[-1].words and found.met("setting") == (profile == "paper")


def test_a_bound_that_the_code_does_not_know_is_an_error():
    with pytest.raises(KeyError, match="the bound 'colour' of a setting is not known"):
        judged({"setting": {"colour": 3}})


PAPER = settings("pruning-fractions", seeds=5, tasks=["ag_news_subset"], encoder="bert-base-uncased", score_at=["1ep"],
                 fractions=[0.3, 0.9], fraction=0.5, epochs=3)


def synthetic(little, much, n=5, n_kept=40_000):
    """Runs on AG News in the setting of BERT on a Data Diet: the hardest ahead of random by so much at either share."""
    task = "ag_news_subset"
    made = rows(scoring(PAPER, task), around(0.93), n_kept=n_kept)
    for share, gain in ((0.3, little), (0.9, much)):
        for rule, mean, wobble in (("random", 0.8, 0.001), ("hardest", 0.8 + gain, -0.001)):
            made += rows(pruned(PAPER, task, rule, share)[:n], around(mean, n, wobble), n_kept=round(share * n_kept))
    return pd.DataFrame(made)


@pytest.mark.parametrize("given, verdict", [
    ((-0.1, 0.1), "reproduced"), ((0.1, -0.1), "not reproduced"), ((-0.1, -0.1), "partly reproduced"), ((0.0, 0.0), "undecided"),
    ((-0.1, 0.1, 4), "hint: reproduced"), ((-0.1, 0.1, 5, 38_999), "reduced setting: agrees"),
])
def test_a_claim_can_reach_every_verdict(given, verdict):
    assert ledger.decide("BDD-5", PAPER, synthetic(*given)).verdict == verdict


def test_an_experiment_in_the_papers_setting_decides_over_reduced_ones():
    small = PAPER | {"tasks": ["t"], "profile": "other"}
    reduced = rows(scoring(small, "t"), around(0.93))
    for share, gain in ((0.3, 0.1), (0.9, -0.1)):  # a smaller set that says the opposite
        for rule, mean, wobble in (("random", 0.8, 0.001), ("hardest", 0.8 + gain, -0.001)):
            reduced += rows(pruned(small, "t", rule, share), around(mean, 5, wobble))
    views = [(small, pd.DataFrame(reduced)), (PAPER, synthetic(-0.1, 0.1))]
    assert ledger.decide_over("BDD-5", views[:1]).verdict == "reduced setting: disagrees"
    found = ledger.decide_over("BDD-5", views)
    assert found.verdict == "reproduced" and [each.profile for each in found.experiments] == ["other", "smoke"]
    assert found.headline.task == "ag_news_subset"


# Verdicts from experiments

PARTS_OF = {"agrees": (HOLDS,), "disagrees": (FAILS,), "partly": (HOLDS, UNDECIDED), "undecided": (UNDECIDED,),
            "no runs": (NONE,)}


def made_up(outcome, inside=True, counts=True, n=5):
    some = tuple(parts.replace(part, n=part.n and n) for part in PARTS_OF[outcome])
    return Experiment("t", "x", some, tuple(Criterion(name, met, "why") for name, met in
                                            (("learned", counts), ("no floor", True), ("setting", inside))))


IN, OUT, NOT = {"inside": True}, {"inside": False}, {"counts": False}


@pytest.mark.parametrize("given, verdict", [
    ([], "no runs yet"),
    ([("no runs", IN), ("no runs", OUT)], "no runs yet"),
    ([("agrees", IN)], "reproduced"), ([("disagrees", IN)], "not reproduced"), ([("partly", IN)], "partly reproduced"),
    ([("undecided", IN)], "undecided"),
    ([("agrees", OUT)], "reduced setting: agrees"), ([("partly", OUT)], "reduced setting: partly"),
    ([("agrees", NOT)], "could not have shown it"), ([("disagrees", NOT), ("no runs", IN)], "could not have shown it"),
    ([("agrees", IN), ("disagrees", OUT)], "reproduced"),
    ([("disagrees", NOT), ("agrees", OUT)], "reduced setting: agrees"),  # it is not counted, though it is the paper's own
    ([("no runs", IN), ("agrees", OUT)], "reduced setting: agrees"),
    ([("agrees", IN), ("disagrees", IN)], "partly reproduced"), ([("agrees", IN), ("undecided", IN)], "partly reproduced"),
    ([("undecided", IN), ("disagrees", IN)], "not reproduced"),  # one fails and none holds, as among the parts of one
    ([("undecided", OUT), ("partly", OUT), ("disagrees", OUT)], "reduced setting: partly"),
    ([("agrees", IN | {"n": 4})], "hint: reproduced"), ([("agrees", OUT | {"n": 2})], "hint: reduced setting: agrees"),
    ([("agrees", IN), ("agrees", IN | {"n": 4})], "hint: reproduced"),
    ([("agrees", IN), ("agrees", OUT | {"n": 2})], "reproduced"),  # few seeds where it does not decide
])
def test_verdicts(given, verdict):
    assert verdict_of(tuple(made_up(outcome, **kind) for outcome, kind in given)) == verdict


@pytest.mark.parametrize("some, outcome", [
    ([], "no runs"), ([NONE], "no runs"), ([HOLDS, NONE], "no runs"), ([FAILS, NONE], "no runs"),
    ([HOLDS, FAILS, NONE], "no runs"), ([HOLDS], "agrees"), ([FAILS, FAILS], "disagrees"),
    ([FAILS, UNDECIDED], "disagrees"), ([HOLDS, FAILS], "partly"), ([HOLDS, UNDECIDED], "partly"), ([UNDECIDED], "undecided"),
    ([FLOOR], "undecided"), ([FLOOR, HOLDS], "agrees"), ([FLOOR, FAILS], "disagrees"),
])
def test_outcomes_of_an_experiment(some, outcome):
    assert Experiment("t", "x", tuple(some), ()).outcome == outcome


def test_a_hint_of_an_analogue_is_not_called_a_reduced_setting(monkeypatch):
    monkeypatch.setattr(ledger, "experiments", lambda *given: (made_up("agrees", inside=False, n=3),))
    assert ledger.decide("BEM-1", {}, pd.DataFrame()).verdict == "analogue: hint: agrees"


def test_only_what_counts_stands_for_a_claim_in_one_line():
    criteria = tuple(Criterion(name, name != "no floor", "why") for name in ("learned", "no floor", "setting"))
    floor = Experiment("t", "x", (FLOOR,), criteria)
    counts = made_up("agrees", inside=False)
    assert ledger.Verdict("X", "", (floor, counts)).headline is counts.parts[0]
    assert ledger.Verdict("X", "", (made_up("disagrees", counts=False),)).headline == FAILS  # for want of a better one
    assert ledger.Verdict("X", "", (made_up("no runs"),)).headline is None
    held = Experiment("t", "x", (UNDECIDED, HOLDS), counts.criteria)  # it agrees in part, and nothing fails
    assert ledger.Verdict("X", "", (held,)).headline is HOLDS
    assert ledger.Verdict("X", "", (replace(held, parts=(HOLDS, UNDECIDED, FAILS)),)).headline is FAILS


# The published ledger

@pytest.fixture(scope="module")
def published():
    """Claim -> its verdict from the published runs of all profiles that decide."""
    return {claim: ledger.decide_over(claim, ledger.evidence(ledger.chapter_of(claim))) for claim in ledger.rules()}


def of_task(verdict, task):
    (found,) = [each for each in verdict.experiments if each.task == task and each.outcome != "no runs"]
    return found


@pytest.mark.parametrize("claim, task, criterion", [
    ("BDD-1", "trec6", "no floor"), ("BDD-4", "trec6", "no floor"), ("P21-3", "trec6", "control"), ("P21-4", "trec6", "control"),
    ("K23-2", "cifar10", "control"), ("K23-4", "cifar10", "control"), ("K23-6", "cifar10", "control"),
    ("BDD-5", "trec6", "control"), ("BDD-6", "trec6", "control"), ("P21-10", "cifar10", "learned"),
    ("K23-1", "cifar10", "learned"), ("P21-8", "digits", "control"), ("INF-1", "snli_subset", "control"),
    *((f"NDD-{i}", task, "learned") for i in (1, 2, 3) for task in ("cola", "rte")),
])
def test_what_could_not_have_shown_a_claim_does_not_count(published, claim, task, criterion):
    standard = [each for each in published[claim].experiments if (each.profile, each.task) == ("standard", task)]
    (found,) = standard
    assert not found.met(criterion) and not found.counts and "could not have shown it" in found.words
    assert found not in regime.deciding(published[claim].experiments)


def test_nothing_is_called_reproduced_or_not_outside_the_papers_setting(published):
    for claim, found in published.items():
        deciding, bare = regime.deciding(found.experiments), found.verdict.removeprefix("hint: ")
        if bare in ("reproduced", "not reproduced", "partly reproduced", "undecided"):
            assert deciding and all(each.met("setting") for each in deciding), claim
        elif deciding and not bare.startswith("analogue"):
            assert bare.startswith("reduced setting: ") and not any(each.met("setting") for each in deciding), claim
        assert all(part.outcome != "on the floor" for each in deciding for part in each.parts), claim


def test_parts_of_early_scores_ask_for_the_step_as_well_as_for_random(published):
    for each in published["BDD-1"].experiments:
        step, random = ([part.short for part in each.parts if part.short.endswith(end)] for end in ("at one epoch", "random"))
        assert len(step) == len(random) > 0 and len(each.parts) == 2 * len(step)
    (standard,) = [each for each in published["BDD-2"].experiments if each.profile == "standard"]
    asked = {run["keep"]["fraction"] for run in grid("standard") if run["keep"] and run["keep"]["rule"] == "hardest"}
    assert 0.7 in asked and standard.outcome == "disagrees"  # by 70 % of TREC-6, where a tenth once decided


def grid(profile):
    return chapters.wanted("score-timing", settings_of(profile, "score-timing"))


def test_no_interval_of_a_share_or_a_correlation_leaves_its_range(published):
    named = [part for found in published.values() for part in found.parts if part.n]
    shares = [part for part in named if part.short.startswith(("rho", "overlap", "share", "AUROC", "class skew at one epoch"))
              and "one epoch - step" not in part.name]
    assert len(shares) > 10
    assert [part.name for part in shares if part.high > 1 or part.low < (-1 if "rho" in part.name else 0)] == []
    both = [part for part in named if part.short.startswith(("rho", "agreement", "class skew", "the same, minus"))]
    assert [part.name for part in both if part.high > 2 or part.low < -2] == []


def test_the_score_of_inf_3_does_not_speak_for_inf_1(published):
    names = [part.name for part in published["INF-1"].parts]
    assert names and not any("VoG" in name for name in names) and any("VoG" in part.name for part in published["INF-3"].parts)


def test_a_model_that_is_worse_than_chance_is_no_constant_classifier():
    """The hardest half of MNLI by scores of untrained heads: below a third, with three answers."""
    own = settings_of("gpu", "score-timing")
    table = runs.published(grid("gpu"))
    reached = by_seed(table, score_timing.runs.hardest(alone(own, "mnli_subset"), "mnli_subset", "1ep"))
    assert len(reached) == 5 and reached.mean() < facts.test_shares("mnli_subset").max() and reached.attrs["constant"] == 0.0


def test_the_line_of_bdd_4_is_of_a_task_that_counts(published):
    found = published["BDD-4"]
    assert found.headline.task == "sst2_sentences" and found.headline.effect == pytest.approx(0.169, abs=5e-4)
    assert of_task(found, "trec6").parts[0].effect == 0.0


def test_the_published_ledger_is_the_same_in_every_view_of_it(published):
    table = ledger.ledger().set_index("id")
    for claim, found in published.items():
        assert (table.loc[claim, "verdict"], table.loc[claim, "which"]) == (found.verdict, found.which)
        assert ("partly" in found.verdict) == bool(found.which)
    assert set(table.index[table["verdict"] == "not testable here"]) == set(table.index) - set(ledger.rules())


# Pages

def test_a_card_says_its_verdict_first_and_escapes_what_it_is_given(monkeypatch):
    words = {"claim": "a < b", "published": "<i>x</i>", "rule": "<script>", "notes": {"2026-11-28": "<u>"}}
    entry = ledger.claims()["BDD-5"] | words
    monkeypatch.setattr(pages, "claims", lambda: {"BDD-5": entry})
    view = View("<Published>", PAPER, synthetic(-0.1, -0.1))
    card = pages.verdict("BDD-5", [view])
    assert card.html.startswith('<div class="dd-claim dd-partly" id="bdd-5"><p class="dd-verdict"><strong class="dd-badge')
    order = ["partly reproduced", "the paper&#x27;s setting", "a &lt; b", "dd-regime", "dd-which", "dd-experiment", "Paper, rule"]
    places = [card.html.index(each) for each in order]
    assert places == sorted(places)
    for name in ("<i>x", "<script>", "<u>", "<Published>"):
        assert name not in card.html
    for name in ("&lt;i&gt;x", "&lt;script&gt;", "2026-11-28: &lt;u&gt;", "&lt;Published&gt;"):
        assert name in card.html
    lines = card.text.splitlines()
    assert lines[0] == "BDD-5: partly reproduced" and lines[2:4] == ["a < b", "published: <i>x</i>"]
    assert lines[1] == "ag_news_subset agrees in: hardest - random, 30% kept; not in: hardest - random, 90% kept"
    assert lines[4].startswith("<Published>, ag_news_subset: agrees in")
    assert [line.split(" | ")[:2] for line in lines[-3:]] == [["  met", name] for name in ("no floor", "control", "setting")]


def test_a_card_is_decided_by_published_runs_and_folds_away_those_rebuilt_here():
    ours, theirs = View(HERE, PAPER, synthetic(0.1, -0.1)), View("Published", PAPER, synthetic(-0.1, 0.1))
    card = pages.verdict("BDD-5", Views([theirs], [ours]))
    assert card.text.startswith("BDD-5: reproduced\n")
    assert f"{HERE}, ag_news_subset: disagrees" in card.text and "Published, ag_news_subset: agrees" in card.text
    assert pages.verdict("BDD-5", [ours]).text.startswith("BDD-5: not reproduced\n")  # there are no others


@pytest.mark.parametrize("verdict, sign", [("reproduced", "\N{CHECK MARK}"), ("hint: reduced setting: disagrees", "\N{BALLOT X}"),
                                           ("could not have shown it", pages.DOT), ("analogue: partly", "\N{ALMOST EQUAL TO}")])
def test_a_sign_doubles_the_colour(verdict, sign):
    assert pages.mark(verdict) == f"{sign} {verdict}"


# Facts of the published sets

@pytest.fixture
def book(tmp_path, monkeypatch):
    """A folder that looks like the book's, with results of its own."""
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    facts._counts.cache_clear()
    yield tmp_path
    facts._counts.cache_clear()


def task(labels, n_classes):
    return SimpleNamespace(test=SimpleNamespace(labels=np.array(labels)), n_classes=n_classes)


def test_class_counts_that_are_published_are_read_again(book):
    assert facts.test_shares("a") is None and not facts.constant(0.5, "a")
    facts.publish({"a": task([0, 1, 1, 1], 3)})
    facts.publish({"b": task([0, 1], 2)})  # beside what is there
    assert json.loads((book / "results" / "tasks.json").read_text()) == {"a": [1, 3, 0], "b": [1, 1]}
    np.testing.assert_array_equal(facts.test_shares("a"), [0.25, 0.75, 0.0])
    assert [facts.constant(each, "a") for each in (0.25, 0.75, 0.0, 0.5, 0.7501)] == [True, True, True, False, False]
    facts.publish({"a": task([0, 0, 1, 2], 3)})  # in place of what was there
    assert facts.test_shares("a").tolist() == [0.5, 0.25, 0.25]


def test_a_set_that_cannot_be_read_is_named_and_keeps_its_counts(book, monkeypatch):
    def load(name):
        if name == "gone":
            raise InputError("no data folder")
        return task([0, 1], 2)

    monkeypatch.setattr(facts, "load", load)
    facts.publish({"gone": task([0, 0, 1], 2)})
    assert facts.publish_sets(["gone", "here", "gone"]) == {"gone": "no data folder"}
    assert json.loads((book / "results" / "tasks.json").read_text()) == {"gone": [2, 1], "here": [1, 1]}
    assert facts.publish_sets([]) == {}


@pytest.mark.parametrize("name", ["docstrings", "digits", "feedback"])
def test_the_published_counts_are_those_of_the_sets(name):
    test = data.load(name).test
    np.testing.assert_allclose(facts.test_shares(name), np.bincount(test.labels) / len(test), rtol=1e-12)


def test_every_published_run_is_of_a_set_with_published_counts():
    """Or of one that has no classes; a constant classifier would not be known for one."""
    absent = {row["config"]["task"] for row in runs.store.published().values()
              if facts.test_shares(row["config"]["task"]) is None and "test_accuracy" in row["metrics"]}
    assert absent == set()


@pytest.mark.parametrize("readable", [True, False])
def test_publishing_runs_publishes_the_classes_of_their_sets(tmp_path, monkeypatch, readable):
    """Where a set cannot be read any more, its runs are published all the same, and that is said."""
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    shutil.copy(ROOT / "claims.yml", tmp_path)
    (tmp_path / "results").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATADIET_STORE", str(tmp_path / "store"))
    facts._counts.cache_clear()
    command = ["sweep", "weak-pool", "--profile", "smoke", "--engine", "here", "-p", "choices", "[random]", "-p", "epochs", "1"]
    try:
        computed = CliRunner().invoke(cli.main, command)
        assert computed.exit_code == 0 and "Published" not in computed.stdout
        assert not (tmp_path / "results" / "tasks.json").exists()
        if not readable:
            monkeypatch.setattr(facts, "load", lambda name: (_ for _ in ()).throw(InputError(f"{name} is not there")))
        found = CliRunner().invoke(cli.main, [*command, "--publish"])
        assert found.exit_code == 0 and "runs of this machine, in results/" in found.stdout
        assert len(runs.store.published()) > 0
        if readable:
            assert facts.test_shares("assistant").sum() == pytest.approx(1) and "The classes of" not in found.stdout
        else:
            assert "The classes of assistant are not in the results" in found.stdout and "assistant is not there" in found.stdout
            assert facts.test_shares("assistant") is None
    finally:
        facts._counts.cache_clear()


def test_two_profiles_with_one_task_are_told_apart():
    one, other = made_up("partly", inside=False), made_up("agrees", inside=False)
    tasks = [replace(one, task="t", profile="gpu"), replace(other, task="t", profile="news"), replace(other, task="u")]
    said = ledger.Verdict("X", "reduced setting: partly", tuple(tasks)).which
    assert said.startswith("t (gpu) agrees in: ") and said.endswith("; t (news) agrees; u agrees")
    assert ledger.Verdict("X", "reduced setting: agrees", tuple(tasks)).which == ""
