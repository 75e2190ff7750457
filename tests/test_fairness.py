"""Counterfactuals: the authored set, mixes of factual and swapped sentences, the measures of fairness, and runs on a mix."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from small import words  # noqa: F401

from datadiet import runs, scores
from datadiet.chapters import healthy_diet as chapter
from datadiet.chapters import ledger
from datadiet.chapters.arms import scoring
from datadiet.chapters.healthy_diet import figures
from datadiet.chapters.settings import settings_of
from datadiet.chapters.views import View
from datadiet.data import feedback, load
from datadiet.errors import InputError
from datadiet.nets import encoders
from datadiet.runs import bill, recorded, store
from datadiet.training import fairness, kinds, loop

MALE = {"he", "him", "his", "mr", "james", "peter", "david", "mark", "waiter", "man", "son", "father", "brother", "husband",
        "thomas", "robert", "john", "paul", "salesman", "gentleman", "boy", "uncle", "grandfather", "nephew"}
FEMALE = {"she", "her", "ms", "mary", "anna", "laura", "susan", "waitress", "woman", "daughter", "mother", "sister", "wife",
          "emma", "julia", "linda", "karen", "saleswoman", "lady", "girl", "aunt", "grandmother", "niece"}
NAMES = {name for pair in feedback.NAMES for name in pair}


@pytest.fixture(scope="module")
def task():
    return load("feedback")


# --- the set

def rows(split):
    return zip(split.inputs["text"], split.inputs["swapped"], split.inputs["gender"], strict=True)


def test_every_gendered_word_of_a_sentence_has_its_gender_and_the_swap_turns_it(task):
    for name, split in (("train", task.train), ("validation", task.validation), ("test", task.test)):
        for text, swapped, gender in rows(split):
            one, other = set(text.split()), set(swapped.split())
            if gender < 0:
                assert text == swapped and not one & (MALE | FEMALE)
                continue
            own, opposite = (MALE, FEMALE) if gender == 0 else (FEMALE, MALE)
            assert one & own and not one & opposite
            assert other & own <= (NAMES if name == "train" else set())  # word lists know no first names


def test_her_becomes_his_or_him_as_the_sentence_has_it(task):
    turned = {pair for text, swapped, gender in rows(task.train) if gender == 1
              for pair in zip(text.split(), swapped.split(), strict=True) if pair[0] == "her"}
    assert turned == {("her", "his"), ("her", "him")}
    for text, swapped, gender in rows(task.train):
        female = text if gender == 1 else swapped
        for after in re.findall(r"\bher (\w+)", female):
            male = swapped if gender == 1 else text
            assert (f"his {after}" in male) == (after in ("team", "colleague", "own")) or after in ("the", "and")
            assert (f"him {after}" in male) == (after in ("the", "and"))


def test_what_is_planted_is_there_and_test_is_balanced(task):
    for split, planted in ((task.train, feedback.STEREOTYPE), (task.validation, 0.5), (task.test, 0.5)):
        assert (split.labels == 1).mean() == feedback.COMPLAINTS
        gender = split.inputs["gender"]
        assert (gender < 0).mean() == pytest.approx(feedback.NEUTRAL, abs=0.06)
        as_planted = (gender == split.labels)[gender >= 0].mean()
        assert as_planted == pytest.approx(planted, abs=0.09)
    verbs = [set(text.split()) & set(feedback.WORDS["either"]) for text in task.train.inputs["text"]]
    assert task.train.labels[np.array([bool(found) for found in verbs])].mean() == pytest.approx(0.5, abs=0.05)


def test_no_sentence_occurs_twice_not_even_swapped(task):
    texts = [text for split in (task.train, task.validation, task.test) for text in split.inputs["text"]]
    assert len(texts) == len(set(texts))
    ours = {swapped for text, swapped, _ in rows(task.train) if text != swapped}
    assert not ours & set(task.test.inputs["text"]) and not ours & set(task.validation.inputs["text"])


def test_the_set_says_that_it_is_authored(task):
    assert task.kind == "swap" and "AUTHORED" in task.notes[0] and "own grammar" in task.source


# --- GE

def test_ge_by_hand():
    np.testing.assert_allclose(scores.ge([[3.0, 0.0], [1.0, 1.0]], [[0.0, 4.0], [1.0, 1.0]]), [5, 0])


@examples(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(2, 5), st.integers(1, 4))
def test_ge_is_a_distance_and_runs_are_averaged(seed, n, k, r):
    rng = np.random.default_rng(seed)
    z, swap = rng.normal(size=(2, r, n, k))
    found = scores.ge(z, swap)
    assert found.shape == (n,) and found.dtype == np.float64 and (found >= 0).all()
    np.testing.assert_allclose(found, scores.ge(swap, z))
    np.testing.assert_allclose(found, np.mean([scores.ge(*each) for each in zip(z, swap, strict=True)], axis=0))
    np.testing.assert_array_equal(scores.ge(z, z), np.zeros(n))
    slow = [[np.sqrt(sum((z[i, j, c] - swap[i, j, c]) ** 2 for c in range(k))) for j in range(n)] for i in range(r)]
    np.testing.assert_allclose(found, np.mean(slow, axis=0))


@pytest.mark.parametrize("swapped", [np.zeros((3, 2)), np.zeros((2, 3)), np.zeros((1, 2, 2)), np.full((2, 2), np.nan)])
def test_ge_refuses(swapped):
    with pytest.raises(InputError, match="scores.ge"):
        scores.ge(np.zeros((2, 2)), swapped)
    with pytest.raises(InputError, match="scores.ge.*two classes"):
        scores.ge(np.zeros((2, 1)), np.zeros((2, 1)))


# --- mixes

def test_a_mix_takes_what_its_rules_say(task):
    values = np.random.default_rng(0).normal(size=len(task.train))
    n, swaps = len(task.train), fairness.changed(task.train)
    chosen = fairness.settings(factuals=0.3, counterfactuals=0.2, factual_rule="easiest", counterfactual_rule="hardest")
    mix = fairness.mix(chosen, task.train, values)
    facts, counter = mix[mix < n], mix[mix >= n] - n
    assert len(mix) == fairness.size(chosen, task.train) == len(set(mix.tolist()))
    assert set(facts) == set(np.argsort(values)[: round(0.3 * n)])
    assert set(counter) == set(swaps[np.argsort(-values[swaps])][: round(0.2 * len(swaps))])


def test_full_and_empty_sides(task):
    n, swaps = len(task.train), fairness.changed(task.train)
    full = fairness.mix(fairness.settings(factuals=1.0, counterfactuals=1.0), task.train)
    np.testing.assert_array_equal(full, np.concatenate([np.arange(n), n + swaps]))
    np.testing.assert_array_equal(fairness.mix(fairness.settings(), task.train), np.arange(n))
    np.testing.assert_array_equal(fairness.mix(fairness.settings(factuals=0, counterfactuals=1), task.train), n + swaps)


def test_random_mixes_are_seeded_and_without_replacement(task):
    half = fairness.settings(factuals=0.5, counterfactuals=0.5)
    one, again, other = (fairness.mix(half, task.train, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert len(set(one.tolist())) == len(one) and not np.array_equal(one, other)
    n, swaps = len(task.train), fairness.changed(task.train)
    both = np.isin(one[one >= n] - n, one[one < n]).mean()  # drawn apart: half of the swapped have their original beside them
    assert both == pytest.approx(0.5, abs=0.1) and len(swaps) > 500


@pytest.mark.parametrize("changes, message", [({"factuals": 1.2}, "shares from 0 to 1"), ({"factuals": 0.0}, "not both 0"),
                                              ({"share": 1}, "unknown key.*factuals")])
def test_mixes_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        runs.config(augment=changes)


def test_a_mix_needs_swaps_and_scores_for_all(task):
    with pytest.raises(InputError, match="'swapped'"):
        fairness.changed(load("digits").train)
    with pytest.raises(InputError, match="3 scores for 2000"):
        fairness.mix(fairness.settings(), task.train, np.zeros(3))
    with pytest.raises(InputError, match="not both"):
        runs.config(augment={}, keep={})


# --- measures

def test_measures_against_a_count_by_hand():
    rng = np.random.default_rng(3)
    predictions, labels, groups = rng.integers(0, 2, (3, 60))

    def rate(*where):
        rows = np.logical_and.reduce(where)
        return sum(predictions[rows]) / sum(rows)

    parity = 1 - abs(rate(groups == 0) - rate(groups == 1))
    odds = np.mean([1 - abs(rate(groups == 0, labels == y) - rate(groups == 1, labels == y)) for y in (0, 1)])
    assert fairness.demographic_parity(predictions, groups) == pytest.approx(parity)
    assert fairness.equality_of_odds(predictions, labels, groups) == pytest.approx(odds)


def test_auc_counts_pairs():
    rng = np.random.default_rng(4)
    values, labels = rng.integers(0, 5, 40), rng.integers(0, 2, 40)
    pairs = [(p > q) + (p == q) / 2 for p, q in itertools.product(values[labels == 1], values[labels == 0])]
    assert fairness.auc(values, labels) == pytest.approx(np.mean(pairs))


def test_a_constant_is_perfectly_fair_and_of_no_use(task):
    found = chapter.runs.constant(SETTINGS, "feedback")
    assert found == {"accuracy": 0.8, "auc": 0.5, "parity": 1.0, "odds": 1.0, "gap": 0.0, "flips": 0.0}


def test_whoever_reads_only_the_gender_is_perfectly_unfair():
    gender, labels = np.array([0, 1, 0, 1, -1]), np.array([0, 0, 1, 1, 0])
    said, turned = (np.stack([gender != female, gender == female], 1).astype(float) for female in (1, 0))
    found = fairness.judge(said, turned, labels, gender)
    assert found["parity"] == found["odds"] == 0 and found["flips"] == 1 and found["gap"] == 1
    assert fairness.judge(turned, said, labels, gender)["gap"] == -1  # parity is the same: it cannot tell which way
    neutral = fairness.judge(said, said, labels, np.full(5, -1))
    assert np.isnan([neutral[name] for name in ("parity", "odds", "gap", "flips")]).all()


@pytest.mark.parametrize("call, message", [
    (lambda: fairness.demographic_parity([1, 0], [0, 0]), "both groups"),
    (lambda: fairness.demographic_parity([1, 0], [0, 1, 1]), "one group a prediction"),
    (lambda: fairness.equality_of_odds([1, 0, 1], [0, 0, 1], [0, 1, 1]), "both groups under every label"),
    (lambda: fairness.auc([0.1, 0.2], [1, 1]), "both labels"),
])
def test_measures_refuse(call, message):
    with pytest.raises(InputError, match=message):
        call()


# --- runs

TINY = {"task": "feedback", "encoder": "tiny", "max_length": 16, "epochs": 1, "batch_size": 32, "learning_rate": 1e-3, "size": 64}


def test_the_swap_is_recorded_as_a_pass_over_the_swapped_text_would_see_it():
    """Fast: copies are not predicted twice. Slow: every swapped sentence on its own. A copy scores exactly 0."""
    config = runs.config(**TINY)
    task = runs.task_of(config)
    problem = kinds.prepare(config, task, "cpu")
    found = problem.record(problem.model, problem.splits["train"])
    slow = kinds.predict(problem.model, problem.splits["train"])["logits"]
    np.testing.assert_allclose(found["logits"], slow[:64], atol=1e-6)
    np.testing.assert_allclose(found["swapped_logits"], slow[64:], atol=1e-6)
    moved = scores.ge(found["logits"], found["swapped_logits"]) > 0
    np.testing.assert_array_equal(np.flatnonzero(moved), fairness.changed(task.train))
    tokens = encoders.tokenizer("tiny")
    texts = problem.splits["train"].lengths
    assert texts[64] == len(tokens(task.train.inputs["swapped"][0])["input_ids"])


def test_without_a_mix_a_swap_task_trains_as_its_text_alone(words):  # noqa: F811
    """The factual arm never sees a swapped sentence: the same batches, so the same predictions, but for the vocabulary."""
    fitted = loop.fit(runs.config(**TINY), runs.task_of(runs.config(**TINY)))
    assert fitted.metrics["n_kept"] == 64 and fitted.metrics["examples"] == 64
    assert set(fitted.metrics) >= {f"{split}_{what}" for split in ("test", "validation") for what in ("parity", "auc", "flips")}


def test_a_run_on_a_mix_leans_on_its_scoring_runs_and_is_published_with_them(words, monkeypatch):  # noqa: F811
    source = {k: v for k, v in runs.config(**TINY, score_at=["1ep"]).items() if k != "seed"}
    run = runs.config(**TINY, seed=0, budget="steps", augment={
        "factuals": 0.5, "counterfactuals": 0.5, "factual_rule": "easiest", "counterfactual_rule": "hardest", "score": "ge",
        "at": "1ep", "seeds": [1, 2], "source": source})
    assert bill.of([run])["kind"].tolist() == ["scoring", "mix"]
    table = runs.sweep([run])
    split = runs.task_of(run).train
    assert table.loc[0, "n_kept"] == fairness.size(run["augment"], split) and table.loc[0, "updates"] == 2
    assert table.loc[0, "rule"] == "mix" and table.loc[0, "score_seeds"] == 2
    held = [store.arrays(runs.key(each)) for each in runs.scoring_runs(run)]
    values = np.mean([scores.ge(each["logits"][0], each["swapped_logits"][0]) for each in held], axis=0)
    assert runs.compute(run, values)[0]["test_auc"] == table.loc[0, "test_auc"]
    assert runs.key(run) != runs.key(run | {"augment": run["augment"] | {"factual_rule": "hardest"}})
    monkeypatch.setattr(store.paths, "root", lambda: words)
    assert store.publish([runs.key(each) for each in runs.scoring_runs(run)]) == 2
    place = words / "results" / "scores" / f"{runs.key(runs.scoring_runs(run)[0])}.parquet"
    back = store._read(place, 0)
    np.testing.assert_array_equal(recorded.values_from(back, "ge", 0), recorded.values_from(held[0], "ge", 0))


def test_ge_needs_swapped_logits():
    with pytest.raises(InputError, match="kind 'swap'"):
        recorded.values_from({"logits": np.zeros((1, 2, 2)), "labels": np.array([0, 1])}, "ge", 0)


# --- the chapter: its rules on tables made by hand

SETTINGS = settings_of("standard", "healthy-diet")
ARMS = chapter.runs.arms(SETTINGS, "feedback")
HEALTHY = [arm for arm in ARMS if arm[0] == "healthy GE"]
FULL, FACTUAL = ("full augmentation", 1.0, 1.0), ("factual only", 1.0, 0.0)
LOW, HIGH = ("factual + lowest GE", 1.0, 0.5), ("factual + highest GE", 1.0, 0.5)
SPLITS = ("validation", "test")


def made(values, without=()):
    """A table of all runs of the chapter; `values`: (arm, column) -> a value a seed, or arm -> parity and odds on both splits.

    Elsewhere accuracy is 0.85 and the rest 0.9, the same for every seed; `without` lists (arm, seed) that are not stored.
    """
    found = []
    for arm, configs in ARMS.items():
        for run in configs:
            level, seed = values.get(arm, [0.9] * 5)[run["seed"]], run["seed"]
            metrics = {"accuracy": 0.85, "auc": 0.9, "parity": level, "odds": level, "gap": 1 - level, "flips": 1 - level}
            row = {f"{split}_{metric}": value for split in SPLITS for metric, value in metrics.items()}
            row |= {column: values[arm, column][seed] for column in row if (arm, column) in values}
            if (arm, seed) not in without:
                found.append({"key": runs.key(run), "label_names": ("other", "complaint"), "n_kept": 1, "seed": seed} | row)
    return pd.DataFrame(found)


def level(mean, wobble=1e-4):
    return [mean + wobble * (seed - 2) for seed in range(5)]


@pytest.mark.parametrize("place, metric", [(0, "parity"), (1, "odds")])
@pytest.mark.parametrize("gain, outcome", [(0.001, "holds"), (-0.001, "fails"), (0.0, "undecided")])
def test_a_healthy_mix_is_fairer_above_zero(place, metric, gain, outcome):
    chosen = {(HEALTHY[0], "validation_parity"): [0.99] * 5, (HEALTHY[0], f"test_{metric}"): level(0.9 + gain)}
    found = ledger.decide("HDD-1", SETTINGS, made(chosen)).parts
    assert found[place].outcome == outcome and found[1 - place].outcome == "undecided"  # equal for every seed


@pytest.mark.parametrize("healthy, verdict", [(0.98, "agrees"), (0.8, "disagrees")])
def test_hdd_1(healthy, verdict):
    table = made(dict.fromkeys(HEALTHY, level(healthy)))
    assert ledger.decide("HDD-1", SETTINGS, table).verdict == f"analogue: {verdict}"


@pytest.mark.parametrize("lost, counted", [(0.019, 0.05), (0.021, 0.0)])
def test_fairness_that_is_bought_does_not_count(lost, counted):
    """Seed 3 is as much fairer as the others; what it counts depends on the accuracy that it lost."""
    accuracy = [0.85, 0.85, 0.85, 0.85 - lost, 0.85]
    values = {HEALTHY[0]: [0.95] * 5, (HEALTHY[0], "test_accuracy"): accuracy}
    for part in ledger.decide("HDD-1", SETTINGS, made(values)).parts:
        assert part.effect == pytest.approx((4 * 0.05 + counted) / 5)


def test_a_mix_may_lose_as_much_accuracy_as_the_margin_says_and_no_more():
    for accuracy, counted in ((0.0, 0.05), (-1e-9, 0.0)):  # of which 0.02 away is a number exactly
        values = {HEALTHY[0]: [0.95] * 5, (HEALTHY[0], "test_accuracy"): [accuracy] * 5, (FULL, "test_accuracy"): [0.02] * 5}
        assert ledger.decide("HDD-1", SETTINGS, made(values)).parts[0].effect == pytest.approx(counted)


def test_a_loss_of_fairness_counts_however_useful_the_mix_is():
    worse = [0.95, 0.95, 0.95, 0.7, 0.95]
    values = {HEALTHY[0]: worse, (HEALTHY[0], "validation_parity"): [0.99] * 5}
    useless = values | {(HEALTHY[0], "test_accuracy"): [0.85, 0.85, 0.85, 0.5, 0.85]}
    for each in (values, useless):
        assert ledger.decide("HDD-1", SETTINGS, made(each)).parts[0].effect == pytest.approx((4 * 0.05 - 0.2) / 5)


def test_the_shares_are_chosen_on_validation():
    second = HEALTHY[1]
    table = made({(second, "validation_parity"): level(0.95), (HEALTHY[0], "test_parity"): level(1.0)})  # test is not asked
    found = chapter.runs.measured(SETTINGS, table, "feedback")
    assert chapter.runs.chosen_shares(SETTINGS, found) == second[1:] == (0.3, 0.2)
    fewer = made({}, without=[(HEALTHY[2], seed) for seed in range(5)])
    assert ledger.decide("HDD-1", SETTINGS, fewer).verdict == "analogue: no runs yet"


def test_the_shares_are_chosen_over_the_seeds_that_all_pairs_have():
    """Seed 0 is fair in every mix. Where one pair lacks it, that pair does not lose by it, nor do the others gain."""
    values = {arm: [1.0] + [0.8 + 0.01 * place] * 4 for place, arm in enumerate(HEALTHY)}
    found = chapter.runs.measured(SETTINGS, made(values, without=[(HEALTHY[2], 0)]), "feedback")
    assert chapter.runs.chosen_shares(SETTINGS, found) == HEALTHY[2][1:]
    apart = [(HEALTHY[0], 0), (HEALTHY[0], 1), (HEALTHY[1], 2), (HEALTHY[1], 3), (HEALTHY[2], 4)]
    assert chapter.runs.chosen_shares(SETTINGS, chapter.runs.measured(SETTINGS, made(values, without=apart), "feedback")) is None


@pytest.mark.parametrize("low, high, outcomes", [
    (0.0, 0.95, ["holds", "holds"]), (0.021, 0.95, ["fails", "holds"]), (0.019, 0.95, ["holds", "holds"]),
    (0.02, 0.95, ["undecided", "holds"]), (0.0, 0.801, ["holds", "holds"]), (0.0, 0.799, ["holds", "fails"]),
])
def test_hdd_2(low, high, outcomes):
    values = {FACTUAL: [0.8] * 5, LOW: level(0.8 + low), HIGH: level(high, -1e-4)}
    assert [part.outcome for part in ledger.decide("HDD-2", SETTINGS, made(values)).parts] == outcomes


RULED = {  # what a part is about -> claim, place, the arm, the other arm
    "parity of the mix": ("HDD-1", 0, HEALTHY[1], FULL), "odds of the mix": ("HDD-1", 1, HEALTHY[1], FULL),
    "the lowest": ("HDD-2", 0, LOW, FACTUAL), "the highest": ("HDD-2", 1, HIGH, LOW),
}


@pytest.mark.parametrize("name", RULED)
def test_runs_missing_from_either_arm_leave_the_seeds_that_both_have(name):
    """Seeds differ by far more than the arms do: paired by position the effect would be another."""
    claim, place, arm, other = RULED[name]
    base = [0.1, 0.3, 0.5, 0.7, 0.9]
    better = [value + gain for value, gain in zip(base, (0.01, 5.0, 0.02, 5.0, 0.06), strict=True)]
    values = {other: base, arm: better, (arm, "validation_parity"): [0.99] * 5}
    found = ledger.decide(claim, SETTINGS, made(values, without=[(arm, 1), (other, 3)])).parts[place]
    assert (found.n, found.effect) == (3, pytest.approx(0.03))
    found = ledger.decide(claim, SETTINGS, made(values, without=[(arm, seed) for seed in range(4)])).parts[place]
    assert found.outcome == "no runs"


def test_parts_are_called_by_what_they_compare():
    names = [part.name for claim in ("HDD-1", "HDD-2") for part in ledger.decide(claim, SETTINGS, pd.DataFrame()).parts]
    assert names == [
        "feedback: healthy GE mix - full augmentation, demographic parity",
        "feedback: healthy GE mix - full augmentation, equality of odds",
        "feedback: adding the counterfactuals of lowest GE - none, demographic parity",
        "feedback: adding those of highest GE - of lowest GE, demographic parity",
    ]


def test_no_runs_no_verdict():
    assert {ledger.decide(name, SETTINGS, pd.DataFrame()).verdict for name in ("HDD-1", "HDD-2")} == {"analogue: no runs yet"}


def test_every_arm_takes_the_same_number_of_updates_and_healthy_mixes_at_most_half_of_the_augmented_set():
    configs = [run for configs in ARMS.values() for run in configs]
    split = runs.task_of(configs[0]).train
    updates = {bill._cost(run, split)["updates"] for run in configs}
    augmented = fairness.size(fairness.settings(factuals=1.0, counterfactuals=1.0), split)
    assert len(updates) == 1
    for a, b in SETTINGS["mixes"]:
        assert fairness.size(fairness.settings(factuals=a, counterfactuals=b), split) <= 0.5 * augmented + 1
    for run in configs:
        if run["augment"] and run["augment"]["source"]:
            assert run["seed"] not in run["augment"]["seeds"] and len(run["augment"]["seeds"]) == 4


def test_each_arm_trains_on_what_its_name_says():
    def rules(arm):
        mix = ARMS[arm][2]["augment"]
        return mix["factual_rule"], mix["counterfactual_rule"], mix["score"]

    assert [arm[0] for arm in ARMS if arm[1:] == (0.3, 0.2)] == ["healthy GE", "random"]
    assert ARMS[FACTUAL] == scoring(SETTINGS, "feedback")
    assert rules(("healthy GE", 0.5, 0.5)) == ("easiest", "hardest", "ge") and rules(("random", 0.5, 0.5))[2] is None
    assert rules(("vanilla GE", 0.5, 0.5)) == ("hardest", "hardest", "ge")
    assert rules(("unhealthy GE", 0.5, 0.5)) == ("hardest", "easiest", "ge")
    assert rules(("hardest by EL2N + random", 0.5, 0.5)) == ("hardest", "random", "el2n")
    assert rules(LOW)[1:] == ("easiest", "ge") and rules(HIGH)[1:] == ("hardest", "ge")
    for arm, configs in ARMS.items():
        if arm != FACTUAL:
            assert {(run["augment"]["factuals"], run["augment"]["counterfactuals"]) for run in configs} == {arm[1:]}


# --- the chapter: its tables and figures

@pytest.fixture(scope="module")
def views(tmp_path_factory):
    """All runs of a small chapter, the same without the first scoring run, and none; each is computed once."""
    import matplotlib

    matplotlib.use("Agg")
    chosen = settings_of("smoke", "healthy-diet", seeds=3, score_at=[0, "1ep"], mixes=[[0.5, 0.5], [0.3, 0.2]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATADIET_STORE", str(tmp_path_factory.mktemp("store")))
        table = runs.sweep(chapter.runs.wanted(chosen))
        first = runs.key(scoring(chosen, "feedback")[0])
        yield [View("This machine", chosen, table), View("In part", chosen, table[table["key"] != first]),
               View("Published", chosen, pd.DataFrame())]


def test_tables_and_figures_on_real_runs(views):
    whole, part, none = views
    for view, seeds in ((whole, {0, 1, 2}), (part, {1, 2}), (none, set())):
        found = chapter.runs.minority(view.settings, view.table)
        assert set(found["seed"]) == seeds and list(found) == ["task", "at", "seed", "share", "whole"]
        assert (found["whole"] <= 0.5).all() and found["share"].between(0, 1).all()
    both = chapter.runs.minority(whole.settings, whole.table).query("seed > 0").reset_index(drop=True)
    pd.testing.assert_frame_equal(both, chapter.runs.minority(part.settings, part.table))
    text = figures.fairness(views).text
    assert text.count("always the majority class") == 2 and "Published (smoke): no runs are stored yet." in text
    ours, in_part = text.split("In part, feedback")
    assert [line.rsplit(" | ", 1)[1] for line in ours.splitlines() if line.startswith("factual only")] == ["3"]
    assert [line.rsplit(" | ", 1)[1] for line in in_part.splitlines() if line.startswith("factual only")] == ["2"]
    assert "The healthy mix judged below: shares 0." in ours
    for draw in (figures.utility_and_fairness, figures.counterfactuals, figures.minority):
        assert len(draw(views).axes) == 3


def test_an_arm_without_runs_has_a_row_that_says_so(views):
    whole = views[0]
    factual = View("Bare", whole.settings, whole.table[whole.table["rule"] != "mix"])
    lines = figures.fairness([factual]).text.splitlines()
    assert sum(line.endswith("| 0") for line in lines) == len(chapter.runs.arms(whole.settings, "feedback")) - 1
    assert not any("judged below" in line or "nan" in line for line in lines)


def test_mentions_are_those_of_the_mix_that_was_trained_on(views):
    """By hand: every sentence of the mix, as it is or swapped, and whom it speaks of."""
    whole, part, none = views
    found = chapter.runs.mentions(whole.settings, whole.table, "feedback")
    configs = chapter.runs.arms(whole.settings, "feedback")["healthy GE", 0.5, 0.5]
    counts = dict.fromkeys(itertools.product(("nobody", "a man", "a woman"), ("praise", "complaint")), 0)
    for run in configs:
        train, mix = runs.task_of(run).train, fairness.mix(run["augment"], runs.task_of(run).train, runs._taken(run), run["seed"])
        assert len(mix) == whole.table.set_index("key").at[runs.key(run), "n_kept"]
        for position in mix:
            place = position % len(train)
            text = train.inputs["text" if position < len(train) else "swapped"][place]
            gender = train.inputs["gender"][place] if position < len(train) else 1 - train.inputs["gender"][place]
            name = "nobody" if train.inputs["gender"][place] < 0 else ("a man", "a woman")[gender]
            assert name == "nobody" or set(text.split()) & (MALE if name == "a man" else FEMALE)
            counts[name, ("praise", "complaint")[train.labels[place]]] += 1 / 3
    assert {(name, label): found.at[name, label] for name, label in counts} == pytest.approx(counts)
    assert len(chapter.runs.mentions(part.settings, part.table, "feedback")) == 3  # seed 0 is chosen by seeds 1 and 2
    assert not len(chapter.runs.mentions(none.settings, none.table, "feedback"))
