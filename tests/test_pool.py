"""A training set that grows from a pool: who is chosen, with which labels, and that nobody looks at the truth."""

import numpy as np
import pandas as pd
import pytest

from datadiet import runs, scores
from datadiet.chapters import ledger
from datadiet.chapters.arms import settings_of
from datadiet.chapters.weak_pool.runs import pool_overlap, pool_result, pool_results, weak_pool, weak_runs
from datadiet.data import load, shrink
from datadiet.errors import InputError
from datadiet.training import growth

SIZE, START, ADD = 120, 30, 20


@pytest.fixture(scope="module")
def task():
    return shrink(load("assistant"), SIZE)


@pytest.fixture(scope="module")
def held(task):
    """What a weak model might have recorded at the end of training."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1, SIZE, task.n_classes)) + 2 * np.eye(task.n_classes)[task.train.labels]
    longest = max(map(len, task.train.inputs["slots"]))
    predictions = np.full((1, SIZE, longest), -1, np.int16)
    for i, row in enumerate(task.train.inputs["slots"]):
        predictions[0, i, : len(row)] = np.where(rng.random(len(row)) < 0.3, 0, row)
    return {"labels": task.train.labels, "logits": logits, "slot_confidence": -rng.random((1, SIZE)),
            "slot_predictions": predictions}


def described(by, **changes):
    return growth.settings({"start": START, "by": by, "add": ADD, "confident": 0.5, "source": {"any": "run"}} | changes)


@pytest.mark.parametrize("by", growth.BY)
def test_what_is_added_is_confident_and_outside_the_seed_set(held, by):
    start = growth.seed_set(held["labels"], START, 4)
    added = growth.chosen(held, described(by), 4)
    assert len(start) == START and len(added) == ADD and (np.diff(added) > 0).all() and not set(start) & set(added)
    rest = np.setdiff1d(np.arange(SIZE), start)
    confidence = np.log(runs.probabilities(held["logits"][0]).max(1)) + held["slot_confidence"][0]
    assert confidence[added].min() >= np.sort(confidence[rest])[::-1][round(0.5 * len(rest)) - 1]


@pytest.mark.parametrize("by, score", [
    ("entropy", lambda p: scores.entropy(p)),
    ("margin", lambda p: scores.margin(p, p.argmax(1))),
    ("el2n", lambda p: scores.el2n(p, p.argmax(1))),
])
def test_the_chosen_are_the_hardest_of_the_confident_by_the_hypothesis(held, by, score):
    """Slow truth: sort everything in plain Python."""
    start = set(growth.seed_set(held["labels"], START, 1).tolist())
    probs = runs.probabilities(held["logits"][0])
    sure = {i: np.log(probs[i].max()) + held["slot_confidence"][0, i] for i in range(SIZE) if i not in start}
    confident = sorted(sure, key=sure.get, reverse=True)[: round(0.5 * len(sure))]
    hard = score(probs)
    assert growth.chosen(held, described(by), 1).tolist() == sorted(sorted(confident, key=lambda i: -hard[i])[:ADD])


def test_no_rule_looks_at_the_labels_of_the_pool(held):
    """Other labels, the same seed set: the same choice."""
    for by in growth.BY:
        before = growth.chosen(held, described(by), 2)
        start = growth.seed_set(held["labels"], START, 2)
        other = held["labels"].copy()
        rest = np.setdiff1d(np.arange(SIZE), start)
        other[rest] = np.random.default_rng(1).permutation(other[rest])  # class sizes, and so the seed set's shares, stay
        changed = held | {"labels": other}
        if (growth.seed_set(other, START, 2) == start).all():
            assert (growth.chosen(changed, described(by), 2) == before).all()
        probs = runs.probabilities(held["logits"][0][before])
        assert probs.shape[0] == ADD


def test_stratified_additions_keep_the_hypothesised_shares(held):
    start = growth.seed_set(held["labels"], START, 0)
    rest = np.setdiff1d(np.arange(SIZE), start)
    added = growth.chosen(held, described("stratified", confident=1.0, add=45), 0)
    guess = held["logits"][0].argmax(1)
    whole, drawn = (np.bincount(guess[some], minlength=14) for some in (rest, added))
    assert np.abs(drawn - whole * 45 / len(rest)).max() <= 1


def test_added_examples_carry_hypotheses_and_the_oracle_the_truth(task, held):
    grown, kept, facts = growth.grow(task, described("entropy"), 3, held)
    added = growth.chosen(held, described("entropy"), 3)
    start = growth.seed_set(task.train.labels, START, 3)
    assert (kept == np.sort(np.concatenate([start, added]))).all() and len(kept) == growth.size(described("entropy"))
    assert (grown.train.labels[added] == held["logits"][0][added].argmax(1)).all()
    for i in added:
        assert grown.train.inputs["slots"][i] == held["slot_predictions"][0, i, : len(task.train.inputs["slots"][i])].tolist()
    for i in start:
        assert grown.train.labels[i] == task.train.labels[i]
        assert grown.train.inputs["slots"][i] == task.train.inputs["slots"][i]
    wrong = grown.train.labels[added] != task.train.labels[added]
    assert facts["added"] == ADD and facts["added_label_error"] == wrong.mean() > 0
    assert facts["added_frame_error"] >= facts["added_label_error"]
    oracle, same, told = growth.grow(task, described("entropy", labels="truth"), 3, held)
    assert oracle is task and (same == kept).all() and told == facts
    weak, alone, nothing = growth.grow(task, growth.settings({"start": START}), 3)
    assert weak is task and (alone == start).all() and nothing == {}


@pytest.mark.parametrize("given, said", [
    ({"by": "loudest", "source": {}}, "by='loudest'"),
    ({"by": "random"}, "config of the weak run"),
    ({"add": 3}, "knows no add"),
    ({"start": 0}, "at least 1"),
    ({"by": "random", "source": {"a": 1}, "confident": 1.2}, "a share above 0"),
    ({"by": "random", "source": {"a": 1}, "labels": "guesses"}, "labels='guesses'"),
])
def test_bad_settings(given, said):
    with pytest.raises(InputError, match=said):
        growth.settings(given)


def test_bad_requests(task, held):
    with pytest.raises(InputError, match="raise confident, or lower add"):
        growth.chosen(held, described("random", add=60), 0)
    with pytest.raises(InputError, match="only utterances with intent and slots"):
        growth.grow(load("digits"), growth.settings({"start": 20}), 0)
    with pytest.raises(InputError, match="growth.seed_set: start=3"):
        growth.grow(task, growth.settings({"start": 3}), 0)
    with pytest.raises(InputError, match="goes with no keep"):
        runs.config(pool={"start": 20}, keep={"rule": "random"})


def test_keys():
    """At its default the setting leaves no trace in a key; a run's key holds the weak run it grows from."""
    weak = runs.config(task="assistant", pool={"start": 20})
    source = {name: value for name, value in weak.items() if name != "seed"}
    assert runs.key(runs.config()) == runs.key({name: value for name, value in runs.config().items() if name != "pool"})
    grown = runs.config(task="assistant", seed=3, pool={"by": "random", "source": source})
    assert runs.scoring_runs(grown) == [weak | {"seed": 3}] and runs.scoring_runs(weak) == []
    other = runs.config(task="assistant", seed=3, pool={"by": "random", "source": source | {"epochs": 9}})
    assert runs.key(grown) != runs.key(other)
    bare = {name: value for name, value in source.items() if name not in runs.LATER or name == "pool"}
    assert runs.key(runs.config(task="assistant", seed=3, pool={"by": "random", "source": bare})) == runs.key(grown)


def test_study_at_tiny_size(tmp_path, monkeypatch):
    from datadiet.runs import audit

    monkeypatch.setenv("DATADIET_STORE", str(tmp_path))
    settings = settings_of("smoke", "weak-pool") | {"choices": ["random", "stratified", "entropy"]}
    configs = weak_pool(settings)
    bill = audit.plan(configs)
    assert bill.set_index("kind").loc["pool", "trained"] == 2 * 2 * len(settings["choices"]) * 48 + 2 * 32
    table = runs.sweep(configs)
    results = pool_results(settings, table)
    assert len(results) == 2 * (1 + 2 * len(settings["choices"])) and set(table["rule"]) == {"pool"}
    assert results[["intent_error", "frame_error"]].stack().between(0, 1).all()
    chosen = results[results["by"] == "entropy"].pivot(index="seed", columns="labels", values="added_label_error")
    assert (chosen["hypotheses"] == chosen["truth"]).all()  # the oracle trains on the same utterances
    alone = pool_result(results, "assistant", "nothing", "truth")
    weak = [runs.key(run) for run in weak_runs(settings, "assistant")]
    assert alone.tolist() == (1 - table.drop_duplicates("key").set_index("key").loc[weak, "test_accuracy"]).tolist()
    assert pool_overlap(settings, table)["overlap"].between(0, 1).all()
    again = runs.again(configs[-1])[0]
    assert again["test_accuracy"] == table.iloc[-1]["test_accuracy"]


def test_rule(monkeypatch):
    settings = {"profile": "made up", "tasks": ["t"]}

    def decided(entropy, el2n, n=5):
        rows = [
            {"task": "t", "by": by, "labels": "hypotheses", "seed": seed, "intent_error": mean + w, "frame_error": 2 * mean + w}
            for i, (by, mean) in enumerate({"random": 0.3, "entropy": entropy, "el2n": el2n}.items())
            for seed, w in enumerate(0.001 * np.arange(n) * (i + 1))
        ]
        monkeypatch.setattr(studies, "pool_results", lambda settings, table: pd.DataFrame(rows))
        return ledger.decide("BEM-1", settings, pd.DataFrame()).verdict

    assert decided(0.2, 0.2) == "analogue: reproduced"
    assert decided(0.4, 0.4) == "analogue: not reproduced"
    assert decided(0.2, 0.4) == "analogue: partly reproduced"
    assert decided(0.2, 0.2, n=3) == "analogue: made up: reproduced"


def test_rule_without_runs():
    assert ledger.decide("BEM-1", settings_of("smoke", "weak-pool"), pd.DataFrame()).verdict == "analogue: no runs yet"
