"""A training set that grows from a pool: who is chosen, with which labels, and that nobody looks at the truth."""

from itertools import combinations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from small import around, rows

from datadiet import runs, scores
from datadiet.chapters import ledger, pages
from datadiet.chapters import weak_pool as chapter
from datadiet.chapters.settings import settings_of
from datadiet.chapters.views import View
from datadiet.data import load, shrink
from datadiet.errors import InputError
from datadiet.training import growth

matplotlib.use("Agg")
SIZE, START, ADD = 120, 30, 20


@pytest.fixture(scope="module")
def task():
    return shrink(load("assistant"), SIZE)


@pytest.fixture(scope="module")
def recorded(task):
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
def test_what_is_added_is_confident_and_outside_the_seed_set(recorded, by):
    start = growth.seed_set(recorded["labels"], START, 4)
    added = growth.chosen(recorded, described(by), 4)
    assert len(start) == START and len(added) == ADD and (np.diff(added) > 0).all() and not set(start) & set(added)
    rest = np.setdiff1d(np.arange(SIZE), start)
    confidence = np.log(runs.probabilities(recorded["logits"][0]).max(1)) + recorded["slot_confidence"][0]
    assert confidence[added].min() >= np.sort(confidence[rest])[::-1][round(0.5 * len(rest)) - 1]


@pytest.mark.parametrize("by, score", [
    ("entropy", lambda p: scores.entropy(p)),
    ("margin", lambda p: scores.margin(p, p.argmax(1))),
    ("el2n", lambda p: scores.el2n(p, p.argmax(1))),
])
def test_the_chosen_are_the_hardest_of_the_confident_by_the_hypothesis(recorded, by, score):
    """Slow truth: sort everything in plain Python."""
    start = set(growth.seed_set(recorded["labels"], START, 1).tolist())
    probs = runs.probabilities(recorded["logits"][0])
    sure = {i: np.log(probs[i].max()) + recorded["slot_confidence"][0, i] for i in range(SIZE) if i not in start}
    confident = sorted(sure, key=sure.get, reverse=True)[: round(0.5 * len(sure))]
    hard = score(probs)
    assert growth.chosen(recorded, described(by), 1).tolist() == sorted(sorted(confident, key=lambda i: -hard[i])[:ADD])


@pytest.mark.parametrize("by", growth.BY)
def test_no_rule_looks_at_the_labels_of_the_pool(recorded, by, monkeypatch):
    """Other labels, the same seed set: the same choice."""
    start, before = growth.seed_set(recorded["labels"], START, 2), growth.chosen(recorded, described(by), 2)
    monkeypatch.setattr(growth, "seed_set", lambda labels, size, seed: start)
    other = np.roll(recorded["labels"], 1)
    assert (other != recorded["labels"]).mean() > 0.5
    assert (growth.chosen(recorded | {"labels": other}, described(by), 2) == before).all()


def test_stratified_additions_keep_the_hypothesised_shares(recorded):
    start = growth.seed_set(recorded["labels"], START, 0)
    rest = np.setdiff1d(np.arange(SIZE), start)
    added = growth.chosen(recorded, described("stratified", confident=1.0, add=45), 0)
    guess = recorded["logits"][0].argmax(1)
    whole, drawn = (np.bincount(guess[some], minlength=14) for some in (rest, added))
    assert np.abs(drawn - whole * 45 / len(rest)).max() <= 1


def test_added_examples_carry_hypotheses_and_the_oracle_the_truth(task, recorded):
    grown, kept, facts = growth.grow(task, described("entropy"), 3, recorded)
    added = growth.chosen(recorded, described("entropy"), 3)
    start = growth.seed_set(task.train.labels, START, 3)
    assert (kept == np.sort(np.concatenate([start, added]))).all() and len(kept) == growth.size(described("entropy"))
    assert (grown.train.labels[added] == recorded["logits"][0][added].argmax(1)).all()
    for i in added:
        assert grown.train.inputs["slots"][i] == recorded["slot_predictions"][0, i, : len(task.train.inputs["slots"][i])].tolist()
    for i in start:
        assert grown.train.labels[i] == task.train.labels[i]
        assert grown.train.inputs["slots"][i] == task.train.inputs["slots"][i]
    wrong = grown.train.labels[added] != task.train.labels[added]
    assert facts["added"] == ADD and facts["added_label_error"] == wrong.mean() > 0
    assert facts["added_frame_error"] >= facts["added_label_error"]
    oracle, same, told = growth.grow(task, described("entropy", labels="truth"), 3, recorded)
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


def test_bad_requests(task, recorded):
    with pytest.raises(InputError, match="raise confident, or lower add"):
        growth.chosen(recorded, described("random", add=60), 0)
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


# The chapter ------------------------------------------------------------------------------------------------------------
MADE = settings_of("smoke", "weak-pool", tasks=["t"], seeds=5)
LEVEL = {"random": 0.3, "entropy": 0.3, "el2n": 0.3}


def made(gaps=None, intent=None, frame=None, n=5):
    """Runs of the three arms of the rule, as if intent and frame errors had come out at one level an arm, all at the margin.

    `intent` and `frame`: arm -> its error; `gaps`: arm -> seeds whose runs are missing.
    """
    out = []
    for i, by in enumerate(LEVEL):
        intents, frames = (around((errors or {}).get(by, LEVEL[by]), wobble=1e-4 * (i + 1)) for errors in (intent, frame))
        out += [{"key": runs.key(run), "test_accuracy": 1 - intents[seed], "test_frame_accuracy": 1 - frames[seed]}
                for seed, run in enumerate(chapter.runs.grown(MADE, "t", by)[:n]) if seed not in (gaps or {}).get(by, ())]
    return pd.DataFrame(out)


@pytest.mark.parametrize("place, kind, by", [(0, "intent", "entropy"), (1, "intent", "el2n"), (2, "frame", "entropy"),
                                             (3, "frame", "el2n")])
def test_a_part_holds_below_zero_and_fails_above(place, kind, by):
    for gain, outcome in ((-0.001, "holds"), (0.001, "fails"), (0.0, "undecided")):
        found = ledger.decide("BEM-1", MADE, made(**{kind: {by: 0.3 + gain}})).parts
        assert [part.outcome for part in found] == [outcome if i == place else "undecided" for i in range(4)]


def test_rule():
    def decided(entropy, el2n, n=5, seed_set=0.8):
        errors = {"entropy": entropy, "el2n": el2n}
        learned = pd.DataFrame(rows(chapter.runs.weak(MADE, "t"), around(seed_set)))
        return ledger.decide("BEM-1", MADE, pd.concat([made(intent=errors, frame=errors, n=n), learned])).verdict

    assert decided(0.2, 0.2) == "analogue: agrees"
    assert decided(0.4, 0.4) == "analogue: disagrees"
    assert decided(0.2, 0.4) == "analogue: partly"
    assert decided(0.2, 0.2, n=4) == "analogue: hint: agrees"
    assert decided(0.2, 0.2, seed_set=0.4) == "analogue: could not have shown it"  # of three classes


def test_a_run_missing_from_each_arm_leaves_the_seeds_that_both_have():
    """Seeds differ by far more than arms do: a run paired with another seed's would show."""
    table = made({"random": [0], "entropy": [4], "el2n": [1, 2]}, {"entropy": 0.25, "el2n": 0.35})
    seeds = {runs.key(run): run["seed"] for by in LEVEL for run in chapter.runs.grown(MADE, "t", by)}
    table["test_accuracy"] -= 0.1 * table["key"].map(seeds)
    entropy, el2n, *_ = ledger.decide("BEM-1", MADE, table.sample(frac=1, random_state=0)).parts
    wobbles = np.array(around(0, wobble=1e-4))
    assert (entropy.n, entropy.effect) == (3, pytest.approx(-0.05 + wobbles[[1, 2, 3]].mean()))
    assert (el2n.n, el2n.effect) == (2, pytest.approx(0.05 + 2 * wobbles[[3, 4]].mean()))


def test_oracles_stand_in_for_no_hypotheses():
    oracles = [run for by in LEVEL for run in chapter.runs.grown(MADE, "t", by, "truth")]
    table = pd.DataFrame([{"key": runs.key(run), "test_accuracy": 0.5, "test_frame_accuracy": 0.5} for run in oracles])
    assert ledger.decide("BEM-1", MADE, table).verdict == "analogue: no runs yet"
    assert len(chapter.runs.error(table, chapter.runs.grown(MADE, "t", "el2n", "truth"))) == 5


def test_nothing_stored():
    settings, nothing = settings_of("smoke", "weak-pool"), pd.DataFrame()
    assert ledger.decide("BEM-1", settings, nothing).verdict == "analogue: no runs yet"
    assert {"by", "wrong intent", "words"} <= set(chapter.runs.added(settings, nothing))
    assert {"one", "other", "overlap"} <= set(chapter.runs.overlap(settings, nothing))
    for figure in (chapter.figures.errors, chapter.figures.gains):
        assert figure([View("Nothing", settings, nothing)])


def test_a_task_may_have_settings_of_its_own():
    settings = MADE | {"tasks": ["t", "u"], "per_task": {"u": {"choices": ["margin"], "add": 7, "epochs": 3}}}
    asked = [run for run in chapter.runs.wanted(settings) if run["task"] == "u"]
    assert {(run["pool"]["by"], run["pool"].get("add")) for run in asked} == {(None, None), ("margin", 7)}
    assert {run["epochs"] for run in asked} == {run["pool"]["source"]["epochs"] for run in asked if run["pool"]["by"]} == {3}


def test_the_chapter_at_tiny_size(tmp_path, monkeypatch):
    from datadiet.runs import bill

    monkeypatch.setenv("DATADIET_STORE", str(tmp_path))
    choices = ["random", "stratified", "entropy", "el2n"]
    settings = settings_of("smoke", "weak-pool", choices=choices)
    configs = chapter.runs.wanted(settings)
    due = bill.of(configs)
    assert due.set_index("kind").loc["pool", "trained"] == 2 * 2 * len(choices) * 48 + 2 * 32
    table = runs.sweep(configs)
    assert len(table) == 2 * (1 + 2 * len(choices)) and set(table["rule"]) == {"pool"}
    rows = table.set_index("key")
    weak = chapter.runs.weak(settings, "assistant")
    for kind, column in (("intent", "test_accuracy"), ("frame", "test_frame_accuracy")):
        assert chapter.runs.error(table, weak, kind).tolist() == [1 - rows.loc[runs.key(run), column] for run in weak]
    oracle = [rows.loc[runs.key(run)] for run in chapter.runs.grown(settings, "assistant", "entropy", "truth")]
    added = chapter.runs.added(settings, table)
    assert added.groupby("by", sort=False).size().to_dict() == dict.fromkeys(choices, 2)
    mine = added[added["by"] == "entropy"].set_index("seed")  # the oracle trains on the same utterances
    assert mine["wrong intent"].tolist() == [row["added_label_error"] for row in oracle]
    overlap = chapter.runs.overlap(settings, table)
    slow = {}
    for seed, run in enumerate(weak):
        arrays = runs.store.arrays(runs.key(run))
        pools = {by: chapter.runs.grown(settings, "assistant", by)[seed]["pool"] for by in choices}
        sets = {by: set(growth.chosen(arrays, pools[by], seed)) for by in choices}
        slow |= {(seed, one, other): len(sets[one] & sets[other]) / 16 for one, other in combinations(choices, 2)}
    assert overlap.set_index(["seed", "one", "other"])["overlap"].to_dict() == slow
    alone = chapter.runs.overlap(settings, table[table["key"] != runs.key(weak[0])])  # seed 1 keeps its name and values
    pd.testing.assert_frame_equal(alone, overlap[overlap["seed"] == 1].reset_index(drop=True))
    views = [View("This machine", settings, table)]
    assert "BEM-1" in pages.verdict("BEM-1", views).text
    for drawn in (chapter.figures.errors(views), chapter.figures.errors(views, "frame"), chapter.figures.gains(views)):
        assert drawn.legend()
    again = runs.again(configs[-1])[0]
    assert again["test_accuracy"] == table.iloc[-1]["test_accuracy"]
