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
from datadiet.chapters import ledger
from datadiet.chapters.arms import settings_of
from datadiet.chapters.healthy_diet.runs import chosen_mix, constant, fair_arms, fair_table
from datadiet.data import feedback, load
from datadiet.errors import InputError
from datadiet.nets import encoders
from datadiet.runs import audit, recorded, store
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
    found = constant(settings_of("standard", "healthy-diet"), "feedback")
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
    assert audit.plan([run])["kind"].tolist() == ["scoring", "mix"]
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


# --- the rules, on tables made by hand

SETTINGS = settings_of("standard", "healthy-diet")


def made(**parities):
    """A table of all runs of the chapter: accuracy 0.85, and the parity of an arm (0.9 where not given), on both splits."""
    rows = []
    for (name, a, b), configs in fair_arms(SETTINGS, "feedback").items():
        for run in configs:
            value = parities.get(f"{name} {a:g} {b:g}", parities.get(name, 0.9))
            wobble = 0.001 * run["seed"] * (1 if "healthy" in name or "lowest" in name else -1)
            metrics = {"accuracy": 0.85, "auc": 0.9, "parity": value, "odds": value, "gap": 1 - value, "flips": 1 - value}
            rows.append({"key": runs.key(run), "n_kept": 1, "seed": run["seed"]} | {
                f"{split}_{what}": metric + wobble for split in ("validation", "test") for what, metric in metrics.items()})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("healthy, full, verdict", [(0.98, 0.9, "reproduced"), (0.8, 0.9, "not reproduced")])
def test_hdd_1(healthy, full, verdict):
    made_up = made(**{"healthy GE": healthy, "full augmentation": full})
    assert ledger.decide("HDD-1", SETTINGS, made_up).verdict == f"analogue: {verdict}"
    useless = made_up.assign(test_accuracy=made_up["test_accuracy"].where(made_up["test_parity"] < 0.95, 0.5))
    if verdict == "reproduced":
        assert ledger.decide("HDD-1", SETTINGS, useless).verdict == "analogue: undecided"  # fair, and of no use: no gain at all


def test_the_shares_are_chosen_on_validation():
    found = fair_table(SETTINGS, made(**{"healthy GE 0.3 0.2": 0.95}))
    assert chosen_mix(SETTINGS, found, "feedback") == (0.3, 0.2)
    found["test_parity"] = np.where(found["factuals"] == 0.5, 1.0, 0.0)  # test says otherwise, and is not asked
    assert chosen_mix(SETTINGS, found, "feedback") == (0.3, 0.2)
    fewer = made()
    last = [runs.key(run) for run in fair_arms(SETTINGS, "feedback")[("healthy GE", 0.7, 0.1)]]
    assert ledger.decide("HDD-1", SETTINGS, fewer[~fewer["key"].isin(last)]).verdict == "analogue: no runs yet"


@pytest.mark.parametrize("low, high, verdict", [(0.8, 0.95, "reproduced"), (0.95, 0.95, "not reproduced"),
                                                (0.8, 0.79, "partly reproduced")])
def test_hdd_2(low, high, verdict):
    found = ledger.decide("HDD-2", SETTINGS, made(**{
        "factual only": 0.8, "factual + lowest GE": low, "factual + highest GE": high}))
    assert found.verdict == f"analogue: {verdict}"


def test_no_runs_no_verdict():
    assert {ledger.decide(name, SETTINGS, pd.DataFrame()).verdict for name in ("HDD-1", "HDD-2")} == {"analogue: no runs yet"}


def test_every_arm_takes_the_same_number_of_updates_and_healthy_mixes_at_most_half_of_the_augmented_set():
    configs = [run for configs in fair_arms(SETTINGS, "feedback").values() for run in configs]
    split = runs.task_of(configs[0]).train
    bill = {audit._cost(run, split)["updates"] for run in configs}
    augmented = fairness.size(fairness.settings(factuals=1.0, counterfactuals=1.0), split)
    assert len(bill) == 1
    for a, b in SETTINGS["mixes"]:
        assert fairness.size(fairness.settings(factuals=a, counterfactuals=b), split) <= 0.5 * augmented + 1
    for run in configs:
        if run["augment"] and run["augment"]["source"]:
            assert run["seed"] not in run["augment"]["seeds"] and len(run["augment"]["seeds"]) == 4
