"""Decision rules: parts and verdicts; the rules of score timing and pruning fractions on tables made by hand; and, on real small
runs, that every tidy table, rule, card and figure of these two chapters works."""

import re

import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp
from small import around, outcome_of, rows, settings, words  # noqa: F401

from datadiet import chapters, runs
from datadiet.chapters import ledger, listing, pages, parts, pruning_fractions, score_timing
from datadiet.chapters import settings as chapter_settings
from datadiet.chapters.arms import by_seed, kept_positions, pruned, scoring
from datadiet.chapters.settings import of_notebook, of_task, settings_of
from datadiet.chapters.views import HERE, View, Views, compare
from datadiet.errors import InputError

matplotlib.use("Agg")
TIMING = settings(seeds=5, tasks=["t"], score_at=[0, 10, 100, "1ep"], fraction=0.1)
FRACTIONS = settings("pruning-fractions", seeds=5, tasks=["t"], score_at=["1ep"], fractions=[0.1, 0.5], fraction=0.1)
MARGINS = {claim: entry.get("margins", {}) for claim, entry in ledger.claims().items()}


def table(*arms):
    return pd.DataFrame([row for arm in arms for row in arm])


def hardest(at, **changes):
    return score_timing.runs.hardest(TIMING, "t", at, **changes)


MUCH = TIMING | {"fraction": 0.7}


def much(at):
    return score_timing.runs.hardest(MUCH, "t", at)


def fraction(rule, share, **changes):
    return pruned(FRACTIONS, "t", rule, share, **changes)


def timing(early, late, random, n=5, share=0.1):
    """Hardest at each scoring point beside random; the arms wobble apart, so that differences do too."""
    own = TIMING | {"fraction": share}
    arms = [rows(score_timing.runs.hardest(own, "t", at)[:n], around(early, n)) for at in (0, 10)]
    arms.append(rows(score_timing.runs.hardest(own, "t", "1ep")[:n], around(late, n, 0.002)))
    return table(rows(score_timing.runs.random(own, "t")[:n], around(random, n, -0.001)), *arms)


@pytest.mark.parametrize(
    "early, late, said_1, said_2",
    [
        (0.5, 0.9, "agrees", "agrees"),  # bad early, good late
        (0.9, 0.9, "disagrees", "partly"),  # good throughout: usable late, but also before
        (0.5, 0.5, "partly", "disagrees"),  # bad throughout: no worse early than late
        (0.8, 0.8, "undecided", "partly"),  # the same as random: not worse, and usable within the margin
        (0.85, 0.9, "partly", "agrees"),  # better than random, and better still at one epoch
        (0.5, 0.7, "agrees", "partly"),  # worse early than late, and late not usable
    ],
)
def test_timing_rules(early, late, said_1, said_2):
    assert outcome_of("BDD-1", TIMING, timing(early, late, random=0.8)) == said_1
    assert outcome_of("BDD-2", TIMING, timing(early, late, random=0.8, share=0.7)) == said_2


def test_usable_at_one_epoch_is_judged_at_the_share_that_the_paper_shows():
    """Whatever the profile keeps where it varies another thing: 70 %, at which the paper's hardest still win."""
    assert ledger.decide("BDD-2", TIMING, timing(0.5, 0.9, random=0.8, share=0.1)).verdict == "no runs yet"


# What each part of a rule is about, and how far its mean lies from the margin of the ledger: outcomes on both sides of it.
def _gain(arm, other, margin):
    return lambda gain: table(rows(other, [0.5] * 5), rows(arm, around(0.5 + margin + gain, wobble=1e-4)))


PARTS = {
    "BDD-1, random": (TIMING, 0, "below", _gain(hardest(0), score_timing.runs.random(TIMING, "t"), 0.0)),
    "BDD-1, late": (TIMING, 1, "below", _gain(hardest(0), hardest("1ep"), 0.0)),
    "BDD-1, random, the second point": (TIMING, 2, "below", _gain(hardest(10), score_timing.runs.random(TIMING, "t"), 0.0)),
    "BDD-2, late": (TIMING, 0, "above", _gain(much("1ep"), score_timing.runs.random(MUCH, "t"), -0.01)),
    "BDD-2, early": (TIMING, 1, "below", _gain(much(0), much("1ep"), -0.01)),
    "BDD-3, balanced": (TIMING, 2, "above", _gain(hardest(0, balanced=True), hardest(0), 0.0)),
    "P21-3, accuracy": (TIMING, 1, "above", _gain(hardest("1ep"), hardest("1ep", single=True), 0.0)),
    "BDD-4": (FRACTIONS, 0, "above", _gain(fraction("hardest", 0.1, offset=0.05), fraction("hardest", 0.1), -0.005)),
    "P21-5": (FRACTIONS, 0, "above", _gain(fraction("hardest", 0.1, offset=0.05), fraction("hardest", 0.1), 0.0)),
    "BDD-5, least": (FRACTIONS, 0, "below", _gain(fraction("hardest", 0.1), fraction("random", 0.1), 0.0)),
    "BDD-5, most": (FRACTIONS, 1, "above", _gain(fraction("hardest", 0.5), fraction("random", 0.5), 0.0)),
    "BDD-6, least": (FRACTIONS, 0, "below", _gain(fraction("hardest", 0.1), scoring(FRACTIONS, "t"), 0.01)),
    "BDD-6, most": (FRACTIONS, 1, "below", _gain(fraction("hardest", 0.5), scoring(FRACTIONS, "t"), 0.01)),
    "BDD-6, loss": (FRACTIONS, 2, "below", _gain(fraction("hardest", 0.1), scoring(FRACTIONS, "t"), 0.0)),
    "P21-4, least": (FRACTIONS, 0, "below", _gain(fraction("hardest", 0.1), fraction("random", 0.1), 0.0)),
    "INF-2": (FRACTIONS, 0, "below", _gain(fraction("easiest", 0.5), fraction("hardest", 0.5), 0.0)),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_holds_on_its_side_of_the_margin_and_fails_on_the_other(name):
    chosen, place, sign, made = PARTS[name]
    outcomes = {sign: "holds", ({"above", "below"} - {sign}).pop(): "fails", "at": "undecided"}
    for where, gain in (("above", 0.001), ("below", -0.001), ("at", 0.0)):
        assert ledger.decide(name.split(",")[0], chosen, made(gain)).parts[place].outcome == outcomes[where]


@pytest.mark.parametrize("fall, outcome", [(0.001, "fails"), (-0.001, "holds"), (0.0, "undecided")])
def test_a_collapse_is_worse_at_the_least_share_than_at_the_most(fall, outcome):
    base = [rows(fraction(rule, share), [0.5] * 5) for rule, share in (("random", 0.1), ("random", 0.5), ("hardest", 0.5))]
    made = table(*base, rows(fraction("hardest", 0.1), around(0.5 + fall, wobble=1e-4)))
    assert ledger.decide("P21-4", FRACTIONS, made).parts[1].outcome == outcome


@pytest.mark.parametrize("claim, column, part, margin, sign", [
    ("BDD-7", "head_rho", 0, 0.95, 1), ("BDD-7", "head_overlap", 1, 0.9, 1), ("P21-6", "full_rho", 1, 0.8, 1),
    ("BDD-3", "skew", 1, 0.1, -1),
])
def test_parts_about_scores_hold_on_their_side_of_the_margin(monkeypatch, claim, column, part, margin, sign):
    for gain, outcome in ((sign * 0.001, "holds"), (-sign * 0.001, "fails"), (0.0, "undecided")):
        rest = dict.fromkeys(("head_rho", "head_overlap", "full_rho", "skew"), 0.5)
        made = pd.DataFrame([{"task": "t", "at": at, "seed": seed} | rest | {column: value if at == "1ep" else 0.2}
                             for at in ("0", "1ep") for seed, value in enumerate(around(margin + gain, wobble=1e-4))])
        for name in ("approximation", "skew"):
            monkeypatch.setattr(score_timing.rules, name, lambda *given, made=made: made)
        assert score_timing.rules.RULES[claim](TIMING, pd.DataFrame(), MARGINS[claim])[part].outcome == outcome


@pytest.mark.parametrize("claim, column, part", [("P21-6", "full_rho", 0), ("BDD-3", "skew", 0)])
@pytest.mark.parametrize("change", [0.001, -0.001])
def test_parts_about_a_change_between_points_know_its_direction(monkeypatch, claim, column, part, change):
    rising = claim == "P21-6"  # the other claims a fall
    made = pd.DataFrame([{"task": "t", "at": at, "seed": seed, column: 0.5 + (change + 1e-5 * seed) * (at == "1ep")}
                         for at in ("0", "1ep") for seed in range(5)])
    for name in ("approximation", "skew"):
        monkeypatch.setattr(score_timing.rules, name, lambda *given: made)
    found = score_timing.rules.RULES[claim](TIMING, pd.DataFrame(), MARGINS[claim])[part]
    assert found.outcome == ("holds" if (change > 0) == rising else "fails")


def test_few_seeds_only_hint():
    learned = table(rows(scoring(TIMING, "t"), around(0.95)))
    found = ledger.decide("BDD-1", TIMING, pd.concat([timing(0.5, 0.9, 0.8, n=3), learned]))
    assert found.verdict == "hint: reduced setting: agrees" and found.seeds == 3
    assert ledger.decide("BDD-1", TIMING, pd.concat([timing(0.5, 0.9, 0.8), learned])).verdict == "reduced setting: agrees"


def test_missing_runs_are_never_a_verdict():
    assert ledger.decide("BDD-1", TIMING, pd.DataFrame()).verdict == "no runs yet"
    partial = timing(0.5, 0.9, 0.8)
    partial = partial[~partial["key"].isin([runs.key(run) for run in hardest(10)])]
    assert ledger.decide("BDD-1", TIMING, partial).verdict == "no runs yet"


def test_differences_are_paired_by_seed_not_by_row():
    """Seeds differ by far more than the arms do; pairing sees the difference, and shuffled rows do not matter."""
    base = [0.2, 0.4, 0.6, 0.8, 0.9]
    lower = [value - 0.01 - 0.0001 * seed for seed, value in enumerate(base)]
    made = table(rows(score_timing.runs.random(TIMING, "t"), base), *(rows(hardest(at), lower) for at in (0, 10)),
                 rows(hardest("1ep"), [value + 0.01 for value in base]))
    found = ledger.decide("BDD-1", TIMING, made.sample(frac=1, random_state=0))
    assert found.experiments[0].outcome == "agrees" and found.headline.effect == pytest.approx(-0.0102)


def test_a_run_missing_from_each_arm_leaves_the_seeds_that_both_have():
    """Paired by position, this table gave +0.154 where every seed has about -0.2."""
    seeds = [0.1, 0.3, 0.5, 0.7, 0.9]
    arms = {("random", 0.1): seeds, ("random", 0.5): seeds, ("hardest", 0.5): seeds,
            ("hardest", 0.1): [value - 0.2 - 0.001 * seed for seed, value in enumerate(seeds)]}
    gaps = {("random", 0.1): 0, ("hardest", 0.1): 1, ("random", 0.5): 4, ("hardest", 0.5): 3}
    made = table(*(rows(fraction(*arm), [None if seed == gaps[arm] else value for seed, value in enumerate(values)])
                   for arm, values in arms.items()))
    first, second = ledger.decide("P21-4", FRACTIONS, made).parts
    assert (first.n, first.outcome, first.effect) == (3, "holds", pytest.approx(-0.203))  # seeds 2, 3 and 4
    assert second.outcome == "no runs"  # seed 2 alone is in all four arms


def test_the_average_and_the_single_run_are_different_arms():
    single = rows(hardest("1ep", single=True), around(0.7))
    made = table(rows(hardest("1ep"), around(0.9)), single)
    assert by_seed(made, hardest("1ep")).mean() == pytest.approx(0.9)
    assert by_seed(made, hardest("1ep", single=True)).mean() == pytest.approx(0.7)
    assert not len(by_seed(table(single), hardest("1ep")))  # the average is not stored: nothing stands in for it


def test_two_arms_on_the_floor_decide_nothing():
    """Both predict one class for every seed: a difference of exactly zero is not evidence that nothing was lost."""
    made = table(rows(fraction("hardest", 0.1), [0.188] * 5), rows(fraction("hardest", 0.1, offset=0.05), [0.188] * 5))
    assert outcome_of("BDD-4", FRACTIONS, made) == "undecided"


@pytest.mark.parametrize("sign, low, high, outcome", [
    (1, 0.2, 0.3, "holds"), (1, 0.0, 0.05, "fails"), (1, 0.05, 0.2, "undecided"), (1, 0.1, 0.2, "undecided"),
    (1, 0.0, 0.1, "undecided"),
    (-1, 0.2, 0.3, "fails"), (-1, 0.0, 0.05, "holds"), (-1, 0.05, 0.2, "undecided"), (-1, 0.0, 0.1, "undecided"),
])
def test_an_interval_must_lie_wholly_on_one_side_of_the_margin(sign, low, high, outcome):
    assert parts.Part("p", (low + high) / 2, low, high, 5, sign, 0.1).outcome == outcome


def test_equal_differences_decide_nothing_however_they_are_rounded():
    a, b = (pd.Series([(hits + more) / 96 for hits in (50, 61, 72, 75, 80)]) for more in (2, 0))
    gain = parts.difference(a, b)
    assert gain.nunique() > 1 and parts.part("p", gain, above=0.0).outcome == "undecided"


@pytest.mark.parametrize("changes, said", [
    ({"seeds": "abc"}, "seeds='abc'"), ({"seeds": 1.5}, "seeds=1.5"), ({"seeds": 0}, "seeds=0"), ({"seeds": True}, "seeds=True"),
    ({"fractions": 0.5}, "fractions=0.5"), ({"fractions": ["a"]}, "fractions="), ({"tasks": "docstrings"}, "tasks='docstrings'"),
    ({"encoder": 3}, "encoder=3"), ({"learning_rate": "fast"}, "learning_rate='fast'"), ({"size": "all"}, "size='all'"),
    ({"per_task": []}, "per_task="), ({"test_only": 1}, "test_only=1"),
])
def test_a_setting_of_another_kind_is_refused_by_name(changes, said):
    with pytest.raises(InputError, match=said):
        settings_of("smoke", "pruning-fractions", **changes)
    settings_of("smoke", "pruning-fractions", size=None, layers=2, learning_rate=1, fractions=[1])


def test_a_parameter_file_that_lacks_a_parameter_is_refused(tmp_path, monkeypatch):
    (tmp_path / "claims.yml").write_text("")
    for profile in ("standard", "short"):
        (tmp_path / "profiles" / profile).mkdir(parents=True)
        text = "profile: x\nseeds: 3\n" if profile == "standard" else "profile: x\n"
        (tmp_path / "profiles" / profile / "joint.yml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="also needs the parameter.*seeds"):
        settings_of("short", "joint")


def test_changed_settings_are_folded_away_below_the_published_ones():
    """Runs that are all published, but fewer or others than those of the published settings, are a view of their own."""
    public = pd.DataFrame({"key": list("abcd"), "origin": "published"})
    published = [View("Published", {}, public), View("Published, on a GPU", {}, public)]
    same, fewer, none = (compare({}, table, published) for table in (public, public[:2], public[:0]))
    assert list(same) == list(fewer) == list(none) == published
    assert not same.rebuilt and [view.name for view in fewer.rebuilt + none.rebuilt] == [HERE] * 2
    alone = compare({}, public, [View("Published", {}, public[:0])])
    assert [view.name for view in alone] == [HERE] and not alone.rebuilt, "nothing is published: there is nothing to fold below"


def test_a_part_says_its_claim():
    margins = ({"above": 0.1}, {"below": -0.01}, {"above": 0.0}, {"below": 0.0})
    assert [parts.part("p", [0, 1], **each).claimed for each in margins] == ["above +0.1", "below -0.01", "above 0", "below 0"]


def test_the_interval_is_the_t_interval():
    values = np.random.default_rng(0).normal(size=7)
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert parts.interval(values) == pytest.approx((values.mean(), low, high))


def test_the_jackknife_of_a_mean_is_its_t_interval():
    """Known truth: of a mean, the jackknife's standard error is the usual one."""
    values = np.random.default_rng(1).normal(size=6)
    found = parts.jackknifed("p", values.mean(), [np.delete(values, i).mean() for i in range(6)], above=0.0)
    assert (found.effect, found.low, found.high) == pytest.approx(parts.interval(values)) and found.n == 6
    assert parts.jackknifed("p", 1.0, [1.0], above=0.0).outcome == "no runs"
    assert parts.jackknifed("p", 1.0, [1.0, 1.1], above=0.0).n == 2


@pytest.mark.parametrize("values", [[1.0], [], [1.0, np.nan], [1.0, np.inf]])
def test_no_interval_without_finite_values(values):
    with pytest.raises(InputError, match="parts.interval"):
        parts.interval(values)


@pytest.mark.parametrize("claim, message", [("BDD-99", "not a claim"), ("WLM-1", "no rule yet")])
def test_claims_that_cannot_be_decided(claim, message):
    with pytest.raises(InputError, match=message):
        ledger.decide(claim, TIMING, pd.DataFrame())


def test_the_ledger_lists_every_claim_once():
    found = ledger.ledger(("standard",))
    assert list(found["id"]) == list(ledger.claims()) and found["verdict"].notna().all()
    text = listing.whole().text
    assert all(name in text for name in ledger.claims())


def test_every_rule_is_a_claim_of_its_chapter_and_reads_all_its_margins():
    """A margin in the ledger that no rule reads would say something that is not so."""
    class Noted(dict):
        def __getitem__(self, name):
            read.add(name)
            return super().__getitem__(name)

    for name in chapters.NAMES:
        own = settings_of("standard", name)
        room = chapters.room(name, "rules")
        assert set(getattr(room, "CONTROLS", {})) <= set(room.RULES)
        for claim, rule in room.RULES.items():
            read = set()
            for each in (rule, getattr(room, "CONTROLS", {}).get(claim)):
                if each is not None:
                    each(own, pd.DataFrame(), Noted(MARGINS[claim]))
            assert ledger.chapter_of(claim) == name and read == set(MARGINS[claim]), claim


# Settings and notebooks

def test_settings():
    with pytest.raises(InputError, match="unknown profile 'labb'; choose one of"):
        settings_of("labb", "joint")
    with pytest.raises(InputError, match="no file for the chapter 'join'"):
        settings_of("lab", "join")
    with pytest.raises(InputError, match="'joint' has no parameter.*seed;"):
        settings_of("lab", "joint", seed=3)
    assert chapter_settings.parsed("[1e-3, 5.0e-4, 1ep, -2E5, 3]") == [1e-3, 5e-4, "1ep", -2e5, 3]


def test_a_notebook_gives_its_parameters_and_no_other_variable():
    cell = settings_of("smoke", "joint")
    assert of_notebook(cell | {"threshold": 3, "fraction": 0.1}, "joint") == cell
    with pytest.raises(InputError, match="seeds not set"):
        of_notebook({name: value for name, value in cell.items() if name != "seeds"}, "joint")
    with pytest.raises(InputError, match="noise set to something that is no plain value"):
        of_notebook(cell | {"noise": np}, "joint")


def test_a_task_may_have_settings_of_its_own():
    """SST-2 is smaller and has other fractions; the questions, and the runs shared with score timing, stay as they were."""
    own = settings_of("standard", "pruning-fractions")
    made = chapters.wanted("pruning-fractions", own)
    questions, sentences = ([run for run in made if run["task"] == task] for task in ("trec6", "sst2_sentences"))
    assert {run["size"] for run in questions} == {None} and {run["size"] for run in sentences} == {1500}
    assert {run["keep"]["source"]["size"] for run in sentences if run["keep"] and run["keep"]["source"]} == {1500}
    shared = {runs.key(run) for run in scoring(settings_of("standard", "score-timing"), "trec6")}
    assert shared <= set(map(runs.key, questions))
    sizes = {run["keep"]["fraction"] for run in sentences if run["keep"] and run["budget"] == "steps"}
    assert sizes == {of_task(own, "sst2_sentences")["fraction"]} == {0.5}


@pytest.mark.parametrize("name", chapters.NAMES)
def test_a_seed_is_never_pruned_by_its_own_run(name):
    for run in chapters.wanted(name, settings_of("standard", name)):
        if run["keep"] and run["keep"]["source"] and run["keep"]["score"] != "input_norm":
            assert run["seed"] not in run["keep"]["seeds"] and run["keep"]["seeds"]


def test_a_chapter_that_asks_for_no_runs_says_so():
    with pytest.raises(InputError, match="'glossary' asks for no runs"):
        chapters.wanted("glossary", {})


# Real runs

CHAPTERS = {"score-timing": score_timing, "pruning-fractions": pruning_fractions}


@pytest.fixture
def real(words):  # noqa: F811
    """Views of both chapters: runs made here, and an empty table."""
    out = {}
    for name in CHAPTERS:
        chosen = settings(name, seeds=5, score_at=[0, "1ep"], grand_size=12)
        table = runs.sweep(chapters.wanted(name, chosen))
        out[name] = [View("This machine", chosen, table), View("Published", settings_of("standard", name), pd.DataFrame())]
    return out


def test_what_was_rebuilt_is_drawn_after_what_is_published(real):
    made, empty = real["score-timing"]
    views = Views([View("Published", made.settings, made.table), empty], [View(HERE, made.settings, made.table)])
    titles = [ax.get_title() for ax in score_timing.figures.agreement(views).axes]
    assert list(dict.fromkeys(title.split(":")[0] for title in titles if title)) == ["Published", HERE]


def test_tidy_tables_rules_cards_and_figures_on_real_runs(real):
    chosen, found = real["score-timing"][0].settings, real["score-timing"][0].table
    tables = score_timing.runs
    agreement = tables.agreement(chosen, found)
    assert len(agreement) == 2 * 5 and agreement[["reliability", "validity"]].abs().max().max() <= 1
    last = agreement[agreement["at"] == "1ep"]
    np.testing.assert_allclose(last["reliability"], last["validity"])  # at the last point they are the same question
    assert set(tables.averaging(chosen, found)["k"]) == {1, 2} and len(tables.averaging(chosen, found)) == 10 + 15
    skew = tables.skew(chosen, found)
    assert len(skew) == 2 * 5 * 3 and skew["skew"].between(0, 1).all()
    half = skew.groupby(["at", "seed"])["kept_share"].mean()
    assert half.between(0.3, 0.7).all()
    close = tables.approximation(chosen, found)
    assert close["head_rho"].between(-1, 1).all() and close["full_rho"].notna().all()
    for name, views in real.items():
        for claim in chapters.room(name, "rules").RULES:
            card = pages.verdict(claim, views)
            assert claim in card.html and card.text.startswith(f"{claim}: ") and "<details" in card.html
        figures = chapters.room(name, "figures")
        drawn = {"score-timing": ("agreement", "approximation", "averaging", "class_shares", "accuracy_by_point"),
                 "pruning-fractions": ("accuracy_by_fraction", "windows", "budgets")}[name]
        for draw in drawn:
            figure = getattr(figures, draw)(views)
            assert len([ax for ax in figure.axes if ax.get_title() or ax.texts]) >= 2
        stored, published = (part.split(" | ") for part in pages.provenance(views).text.splitlines()[1:3])
        assert stored[1] == f"{len(views[0].table)} of {len(views[0].table)}" and published[0] == "hardware"
        assert f"papermill - {name}.ipynb -f profiles/lab/{name}.yml" in pages.rerun(name, views).text


def test_kept_positions_are_those_that_a_pruned_run_trained_on(real, monkeypatch):
    from datadiet.training import loop

    own, trained_on = real["pruning-fractions"][0].settings, []
    monkeypatch.setattr(loop, "fit", lambda run, task, kept, progress: trained_on.append(kept) or 1 / 0)
    for rule, changes in (("hardest", {}), ("hardest", {"balanced": True}), ("easiest", {}), ("hardest", {"offset": 0.05})):
        run = pruned(own, "words", rule, 0.3, **changes)[1]
        with pytest.raises(ZeroDivisionError):
            runs.again(run)
        np.testing.assert_array_equal(kept_positions(run), trained_on[-1])


def test_the_share_of_mistakes_among_the_kept_is_counted_by_hand(real):
    own, table = real["pruning-fractions"][0].settings, real["pruning-fractions"][0].table
    found = pruning_fractions.runs.misclassified(own, table).set_index(["rule", "fraction", "seed"])
    arrays = {run["seed"]: runs.store.arrays(runs.key(run)) for run in scoring(own, "words")}
    t = own["score_at"].index("1ep")
    run = pruned(own, "words", "hardest", 0.3)[2]
    kept = kept_positions(run)
    by_hand = np.mean([(arrays[s]["logits"][t][i].argmax() != arrays[s]["labels"][i]) for s in (0, 1, 3, 4) for i in kept])
    row = found.loc[("hardest", 0.3, 2)]
    assert row["wrong"] == pytest.approx(by_hand) and row["accuracy"] == by_seed(table, pruned(own, "words", "hardest", 0.3))[2]
    assert found.loc["easiest"]["wrong"].mean() < found.loc["hardest"]["wrong"].mean()
    empty = pruning_fractions.runs.misclassified(own, pd.DataFrame())
    assert not len(empty) and "wrong" in empty


def test_tables_of_scores_do_without_the_first_seed(real):
    """With seed 0 missing, rows keep the seeds that they are of, and the values of the other runs."""
    chosen, found = real["score-timing"][0].settings, real["score-timing"][0].table
    gone = runs.key(scoring(chosen, "words")[0])
    part = found[found["key"] != gone]
    for table in (score_timing.runs.agreement, score_timing.runs.approximation, score_timing.runs.skew):
        assert set(table(chosen, part)["seed"]) == {1, 2, 3, 4}
    whole, fewer = (score_timing.runs.approximation(chosen, each) for each in (found, part))
    pd.testing.assert_frame_equal(whole[whole["seed"] > 0].reset_index(drop=True), fewer)
    assert {seed for seeds in score_timing.runs.averaging(chosen, part)["seeds"] for seed in seeds} == {1, 2, 3, 4}
    for name in ("agreement", "approximation", "skew", "averaging"):
        empty = getattr(score_timing.runs, name)(chosen, pd.DataFrame())
        assert not len(empty) and len(empty.columns) >= 4


def test_cards_escape_what_they_are_given():
    assert "<a" not in pages.table([['<a href="javascript:x">']], ["a"], "c")
    kinds = pages.table([[pages.Link("<a>"), "-1.5", pages.Link(f'<a href="{"x" * 50}">b</a>'), "w" * 23]], list("abcd"), "c")
    assert re.findall(r'<td class="dd-(\w+)">', kinds) == ["word", "number", "word", "words"]
    assert '<td class="dd-word"><a></td>' in kinds
    cells = ["6f37da454e7d", "64 hex digits", "0.1 or less", "36 to 65 %", "1,250", "23 %", "4.9 MB", "-0.1 [-0.3, +0.1]", "1ep"]
    kinds = re.findall(r'<td class="dd-(\w+)">', pages.table([cells], cells, "checksums and ranges are words"))
    assert kinds == ["word"] * 4 + ["number"] * 5
    assert "<b>" not in pages.table([["<b>x</b>"]], ["<i>"], "<u>") and "&lt;b&gt;" in pages.table([["<b>x</b>"]], ["a"], "c")
