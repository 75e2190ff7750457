"""The decision rules: on tables made by hand, where the right verdict is known; and on real small runs, that they run at all."""

import numpy as np
import pandas as pd
import pytest
from small import settings, words  # noqa: F401

from datadiet import runs
from datadiet.chapters import ledger, pages
from datadiet.chapters.arms import arm, of_task, parameters, profiles, scoring, settings_of
from datadiet.chapters.drawing import View
from datadiet.chapters.parts import interval
from datadiet.chapters.pruning_fractions.figures import accuracy_by_fraction, budgets, windows
from datadiet.chapters.pruning_fractions.runs import pruning_fractions
from datadiet.chapters.score_timing.figures import accuracy_by_point, agreement, approximation, averaging, class_shares
from datadiet.chapters.score_timing.runs import agreement, approximation, averaging, score_timing, skew
from datadiet.errors import InputError

SETTINGS = {
    "profile": "made up",
    "tasks": {"t": [0.1, 0.5]},
    "timing_fraction": 0.1,
    "seeds": 5,
    "score_at": [0, 10, 100, "1ep"],
    "offsets": [0.05],
}


def rows(rule, accuracies, fraction=0.1, **changes):
    """Rows of one arm, a seed for each accuracy."""
    fixed = {
        "task": "t",
        "rule": rule,
        "fraction": fraction,
        "offset": 0.0,
        "balanced": False,
        "budget": "epochs",
        "at": None,
        "score_seeds": 0 if rule in ("full", "random") else 4,
    } | changes
    return [
        {"key": f"{sorted(fixed.items(), key=str)}{seed}", "seed": seed, "test_accuracy": value} | fixed
        for seed, value in enumerate(accuracies)
    ]


def around(mean, n=5, wobble=0.001):
    return [mean + wobble * (seed - (n - 1) / 2) for seed in range(n)]


def table(*arms):
    return pd.DataFrame([row for arm in arms for row in arm])


def timing(early, late, random, n=5):
    """Hardest at each scoring point beside random; the random arm wobbles the other way, so that differences do too."""
    arms = [rows("hardest", around(early, n), at=at) for at in (0, 10)] + [rows("hardest", around(late, n), at="1ep")]
    return table(rows("random", around(random, n, -0.001)), *arms)


@pytest.mark.parametrize(
    "early, late, verdict_1, verdict_2",
    [
        (0.5, 0.9, "reproduced", "reproduced"),  # bad early, good late
        (0.9, 0.9, "not reproduced", "partly reproduced"),  # good throughout: usable late, but also before
        (0.5, 0.5, "reproduced", "partly reproduced"),  # bad throughout
        (0.8, 0.8, "undecided", "partly reproduced"),  # the same as random: not worse, and usable within the margin
    ],
)
def test_timing_rules(early, late, verdict_1, verdict_2):
    made = timing(early, late, random=0.8)
    assert ledger.decide("BDD-1", SETTINGS, made).verdict == verdict_1
    assert ledger.decide("BDD-2", SETTINGS, made).verdict == verdict_2


def test_few_seeds_only_hint():
    found = ledger.decide("BDD-1", SETTINGS, timing(0.5, 0.9, 0.8, n=3))
    assert found.verdict == "made up: reproduced" and found.seeds == 3


def test_missing_runs_are_never_a_verdict():
    assert ledger.decide("BDD-1", SETTINGS, pd.DataFrame()).verdict == "no runs yet"
    partial = timing(0.5, 0.9, 0.8)
    partial = partial[partial["at"] != 10]
    assert ledger.decide("BDD-1", SETTINGS, partial).verdict == "no runs yet"


def test_differences_are_paired_by_seed_not_by_row():
    """Seeds differ by far more than the arms do; pairing sees the difference, and shuffled rows do not matter."""
    base = [0.2, 0.4, 0.6, 0.8, 0.9]
    made = timing(0.5, 0.5, 0.5)[:0]
    made = table(
        rows("random", base),
        *(rows("hardest", [b - 0.01 - 0.0001 * s for s, b in enumerate(base)], at=at) for at in (0, 10, "1ep")),
    )
    found = ledger.decide("BDD-1", SETTINGS, made.sample(frac=1, random_state=0))
    assert found.verdict == "reproduced" and found.headline.effect == pytest.approx(-0.0102)


def fractions(small, large, random=(0.6, 0.8), full=0.9):
    return table(
        rows("full", around(full, wobble=0.0005), 1.0),
        rows("random", around(random[0], wobble=-0.001)),
        rows("random", around(random[1], wobble=-0.001), 0.5),
        rows("hardest", around(small), at="1ep"),
        rows("hardest", around(large, wobble=0.002), 0.5, at="1ep"),
    )


@pytest.mark.parametrize(
    "small, large, verdicts",
    [
        (0.4, 0.85, {"BDD-5": "reproduced", "BDD-6": "reproduced", "P21-4": "reproduced"}),
        (0.7, 0.70, {"BDD-5": "not reproduced", "BDD-6": "reproduced", "P21-4": "not reproduced"}),
        (0.4, 0.99, {"BDD-5": "reproduced", "BDD-6": "partly reproduced", "P21-4": "reproduced"}),
    ],
)
def test_fraction_rules(small, large, verdicts):
    made = fractions(small, large)
    assert {name: ledger.decide(name, SETTINGS, made).verdict for name in verdicts} == verdicts


@pytest.mark.parametrize(
    "gain, kept, raised",
    [(0.02, "reproduced", "reproduced"), (0.0, "reproduced", "undecided"), (-0.02, "not reproduced", "not reproduced")],
)
def test_window_rules(gain, kept, raised):
    made = table(
        rows("hardest", around(0.7), at="1ep"), rows("hardest", around(0.7 + gain, wobble=0.0005), at="1ep", offset=0.05)
    )
    assert ledger.decide("BDD-4", SETTINGS, made).verdict == kept
    assert ledger.decide("P21-5", SETTINGS, made).verdict == raised


def test_two_arms_on_the_floor_decide_nothing():
    """Both predict one class for every seed: a difference of exactly zero is not evidence that nothing was lost."""
    made = table(rows("hardest", [0.188] * 5, at="1ep"), rows("hardest", [0.188] * 5, at="1ep", offset=0.05))
    assert ledger.decide("BDD-4", SETTINGS, made).verdict == "undecided"


def test_easiest_against_hardest():
    made = table(rows("hardest", around(0.9), 0.5, at="1ep"), rows("easiest", around(0.8, wobble=-0.001), 0.5, at="1ep"))
    assert ledger.decide("INF-2", SETTINGS, made).verdict == "reproduced"


def test_the_single_run_arm_is_not_mistaken_for_the_average():
    made = table(rows("hardest", around(0.9), at="1ep"), rows("hardest", around(0.7), at="1ep", score_seeds=1))
    assert arm(made, "t", "hardest", fraction=0.1, at="1ep").mean() == pytest.approx(0.9)
    assert arm(made, "t", "hardest", fraction=0.1, at="1ep", score_seeds=1).mean() == pytest.approx(0.7)


@pytest.mark.parametrize(
    "outcomes, verdict",
    [
        ([], "no runs yet"),
        (["holds", "no runs"], "no runs yet"),
        (["holds"] * 3, "reproduced"),
        (["fails"] * 2, "not reproduced"),
        (["holds", "undecided"], "partly reproduced"),
        (["undecided"] * 2, "undecided"),
        (["undecided", "fails"], "not reproduced"),
    ],
)
def test_verdicts(outcomes, verdict):
    assert ledger.verdict_of(outcomes) == verdict


def test_the_interval_is_the_t_interval():
    from scipy.stats import ttest_1samp

    values = np.random.default_rng(0).normal(size=7)
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval(values) == pytest.approx((values.mean(), low, high))


@pytest.mark.parametrize("values", [[1.0], [], [1.0, np.nan], [1.0, np.inf]])
def test_no_interval_without_finite_values(values):
    with pytest.raises(InputError, match="rules.interval"):
        interval(values)


@pytest.mark.parametrize("claim, message", [("BDD-99", "not a claim"), ("WLM-1", "no rule yet")])
def test_claims_that_cannot_be_decided(claim, message):
    with pytest.raises(InputError, match=message):
        ledger.decide(claim, SETTINGS, pd.DataFrame())


def test_the_ledger_lists_every_claim_once():
    found = ledger.ledger("standard")
    assert list(found["id"]) == list(ledger.claims()) and found["verdict"].notna().all()
    text = pages.ledger().text
    assert all(name in text for name in ledger.claims())


def test_settings():
    with pytest.raises(InputError, match="unknown profile 'labb'; choose one of lab"):
        settings_of("labb")
    with pytest.raises(InputError, match="unknown parameter.*seed;"):
        settings_of("lab", seed=3)
    with pytest.raises(InputError, match="sets no profile"):
        parameters({"seeds": 3})


def test_profiles_share_their_keys():
    keys = [list(settings_of(name)) for name in profiles()]
    assert profiles() == ["lab", "paper", "smoke", "standard"] and all(set(k) == set(keys[0]) for k in keys)


def test_a_task_may_have_settings_of_its_own():
    """SST-2 is smaller and has other fractions; the questions, and the runs shared with score timing, stay as they were."""
    own = settings_of("standard", "pruning-fractions")
    made = pruning_fractions(own)
    questions, sentences = ([run for run in made if run["task"] == task] for task in ("trec6", "sst2_sentences"))
    assert {run["size"] for run in questions} == {None} and {run["size"] for run in sentences} == {1500}
    assert {run["keep"]["source"]["size"] for run in sentences if run["keep"] and run["keep"]["source"]} == {1500}
    assert {runs.key(run) for run in scoring(settings_of("standard"), "trec6")} <= set(map(runs.key, questions))
    sizes = {run["keep"]["fraction"] for run in sentences if run["keep"] and run["budget"] == "steps"}
    assert sizes == {of_task(own, "sst2_sentences")["timing_fraction"]} == {0.5}


def test_a_seed_is_never_pruned_by_its_own_run():
    for run in score_timing(SETTINGS | settings_of("standard")) + pruning_fractions(
        settings_of("standard")
    ):
        if run["keep"] and run["keep"]["source"]:
            assert run["seed"] not in run["keep"]["seeds"] and len(run["keep"]["seeds"]) in (1, 4)


@pytest.fixture
def real(words):  # noqa: F811
    chosen = settings(seeds=5, score_at=[0, "1ep"], grand_size=12)
    configs = score_timing(chosen) + pruning_fractions(chosen)
    return chosen, runs.sweep(configs)


def test_tidy_tables_rules_cards_and_figures_on_real_runs(real, monkeypatch):
    import matplotlib

    matplotlib.use("Agg")


    chosen, found = real
    agreement = agreement(chosen, found)
    assert len(agreement) == 2 * 5 and agreement[["reliability", "validity"]].abs().max().max() <= 1
    last = agreement[agreement["at"] == "1ep"]
    np.testing.assert_allclose(last["reliability"], last["validity"])  # at the last point they are the same question
    assert set(averaging(chosen, found)["k"]) == {1, 2} and len(averaging(chosen, found)) == 10 + 15
    skew = skew(chosen, found)
    assert len(skew) == 2 * 5 * 3 and skew["skew"].between(0, 1).all()
    half = skew.groupby(["at", "seed"])["kept_share"].mean()
    assert half.between(0.3, 0.7).all()
    close = approximation(chosen, found)
    assert close["head_rho"].between(-1, 1).all() and close["full_rho"].notna().all()
    sides = [View("This machine", chosen, found), View("Published", settings_of("standard"), pd.DataFrame())]
    for name in rules.RULES:
        card = pages.verdict(name, sides)
        assert name in card.html and "no runs yet" in card.text and "<details>" in card.html
    for draw in (
        agreement,
        approximation,
        averaging,
        class_shares,
        accuracy_by_point,
        accuracy_by_fraction,
        windows,
        budgets,
    ):
        figure = draw(sides)
        assert len([ax for ax in figure.axes if ax.get_title() or ax.texts]) >= 2
        figure.clear()
    assert "5 of" in pages.provenance(sides).text or "of" in pages.provenance(sides).text
    assert "papermill" in pages.rerun("score-timing", sides).text


def test_cards_escape_what_they_are_given():
    assert "<b>" not in pages.table([["<b>x</b>"]], ["<i>"], "<u>") and "&lt;b&gt;" in pages.table([["<b>x</b>"]], ["a"], "c")
