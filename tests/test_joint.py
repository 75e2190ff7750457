"""Intent and slots at once: what is recorded is what slow scores say, the loss is the stated one, spans count as in seqeval."""

import json

import matplotlib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from small import around, outcome_of

from datadiet import gradnorm, runs, scores
from datadiet.chapters import joint as chapter
from datadiet.chapters import ledger, pages
from datadiet.chapters.settings import settings_of
from datadiet.chapters.views import View
from datadiet.data import load, spans
from datadiet.errors import InputError
from datadiet.runs import recorded
from datadiet.training import joint, kinds, loop

matplotlib.use("Agg")
TINY = {"task": "assistant", "encoder": "tiny", "max_length": 32, "learning_rate": 1e-3, "batch_size": 8, "size": 45, "epochs": 1}


@pytest.fixture
def task():
    return runs.task_of(runs.config(**TINY))


def problem(task, **changes):
    return kinds.prepare(runs.config(**TINY | changes), task, "cpu")


def plain_pass(model, encoded):
    """Probabilities of every utterance alone: intents [N, K], and slots of its words as a list of [n, S]."""
    intents, slots = [], []
    with torch.inference_mode():
        for i in range(len(encoded.labels)):
            batch = encoded.batch([i])
            a, b = model(**joint._inputs(batch))
            intents.append(a[0].numpy())
            slots.append(runs.probabilities(b[0][batch["word"][0] > 0].numpy()))
    return np.stack(intents), slots


def test_recorded_arrays_give_the_scores_of_the_slow_truth(task):
    """Fast: sums of word errors from padded batches. Slow: joint_el2n on a pass of one utterance after the other."""
    ready = problem(task, seed=3)
    seen = ready.record(ready.model, ready.splits["train"])
    logits, slots = plain_pass(ready.model, ready.splits["train"])
    true = task.train.inputs["slots"]
    assert (seen["words"] == [len(row) for row in true]).all() and len(set(seen["words"])) > 3
    n, longest = len(true), max(map(len, true))
    probs, labels, mask = np.zeros((n, longest, len(task.slot_names))), np.zeros((n, longest), int), np.zeros((n, longest), bool)
    for i, row in enumerate(true):
        probs[i, : len(row)], labels[i, : len(row)], mask[i, : len(row)] = slots[i], row, True
    found = {name: values[None] for name, values in seen.items()} | {"labels": task.train.labels}
    for combine in ("norm", "sum", "mean", "rms"):
        slow = scores.joint_el2n(runs.probabilities(logits), task.train.labels, probs, labels, mask, combine)
        np.testing.assert_allclose(recorded.values_from(found, f"joint_{combine}", 0), slow, rtol=1e-5)
    np.testing.assert_allclose(joint.el2n(seen, task.train.labels), recorded.values_from(found, "joint_norm", 0), rtol=1e-6)
    assert (seen["slot_predictions"] == np.where(mask, probs.argmax(-1), -1)).all()
    confidence = [np.log(row.max(-1)).mean() for row in slots]
    np.testing.assert_allclose(seen["slot_confidence"], confidence, rtol=1e-5)


@pytest.mark.parametrize("combine", ["norm", "sum", "mean", "rms"])
def test_sums_are_enough_for_every_form(combine):
    """Random input, masks with holes."""
    rng = np.random.default_rng(0)
    n, t, k, s = 40, 9, 5, 7
    intents, slots, mask = rng.integers(0, k, n), rng.integers(0, s, (n, t)), rng.random((n, t)) < 0.6
    mask[:, 2] = True
    p, q = rng.dirichlet(np.ones(k), n), rng.dirichlet(np.ones(s), (n, t))
    error = np.linalg.norm(q - np.eye(s)[slots], axis=-1) * mask
    fast = scores.combined(scores.el2n(p, intents), error.sum(1), (error**2).sum(1), mask.sum(1), combine)
    np.testing.assert_allclose(fast, scores.joint_el2n(p, intents, q, slots, mask, combine), rtol=1e-12)


def test_the_stacked_norm_is_twice_the_gradient_of_the_loss_in_the_logits(task):
    ready = problem(task)
    batch = ready.splits["train"].batch([4])
    intents, slots = (out.detach().requires_grad_() for out in ready.model(**joint._inputs(batch)))
    loss = joint.example_loss(lambda **inputs: (intents, slots), batch)
    a, b = torch.autograd.grad(loss.sum(), (intents, slots))
    score = joint.el2n(ready.record(ready.model, ready.splits["train"]), task.train.labels)[4]
    assert 2 * float((a.square().sum() + b.square().sum()).sqrt()) == pytest.approx(score, rel=1e-5)


def test_the_loss_of_an_utterance_does_not_depend_on_its_batch(task):
    ready = problem(task)
    together = joint.example_loss(ready.model, ready.splits["train"].batch(np.arange(20)))
    alone = [joint.example_loss(ready.model, ready.splits["train"].batch([i])).item() for i in range(20)]
    np.testing.assert_allclose(together.detach().numpy(), alone, rtol=1e-5)


@pytest.mark.parametrize("encoder, layers", [("tiny", None), ("minilm-mean", 1)])
def test_gradient_norms_of_a_joint_model_are_those_of_the_reference(task, encoder, layers):
    ready = problem(task, encoder=encoder, layers=layers, seed=1)
    batch = ready.splits["train"].batch(np.arange(6))
    fast = gradnorm.grad_norms(ready.model, batch, ready.loss)
    np.testing.assert_allclose(fast.numpy(), gradnorm.reference_grad_norms(ready.model, batch, ready.loss).numpy(), rtol=1e-4)
    joint.example_loss(ready.model, batch).sum().backward()
    assert all(p.grad is not None for p in ready.model.parameters())  # no idle parameters


def test_the_first_piece_of_a_word_carries_its_label(task):
    ready = problem(task)
    encoded = ready.splits["train"]
    for i in (0, 7, 11):
        one = encoded.batch([i])
        words = one["word"][0][one["word"][0] > 0]
        assert words.tolist() == list(range(1, len(task.train.inputs["tokens"][i]) + 1))
        assert one["slots"][0][one["word"][0] > 0].tolist() == task.train.inputs["slots"][i]
        assert one["input_ids"].shape[1] >= len(words) + 2


def test_words_that_are_cut_off_count_as_outside(task):
    ready = problem(task, max_length=5)
    seen = ready.record(ready.model, ready.splits["test"])
    assert seen["words"].max() <= 3 and (seen["words"] >= 1).all()
    full = spans.filled(seen["slot_predictions"], task.test.inputs["slots"], 0)
    assert [len(row) for row in full] == [len(row) for row in task.test.inputs["slots"]]
    assert all(label == 0 for row in full for label in row[3:])


def test_bad_input_says_what_to_change(task):
    from dataclasses import replace

    with pytest.raises(InputError, match="is seen; raise max_length"):
        problem(task, max_length=2)
    with pytest.raises(InputError, match="have no 'O'"):
        problem(replace(task, slot_names=("X", *task.slot_names[1:])))
    with pytest.raises(InputError, match="neither 'O' nor 'B-TYPE'"):
        problem(replace(task, slot_names=(*task.slot_names[:-1], "S-room")))
    found = {"logits": np.zeros((1, 3, 2)), "labels": np.zeros(3, int)}
    with pytest.raises(InputError, match="needs slots"):
        recorded.values_from(found, "joint_norm", 0)
    with pytest.raises(InputError, match="unknown score 'joint'"):
        recorded.values_from(found, "joint", 0)


# Behaviour of seqeval 1.2.2, default mode: the examples of its README and of its docstrings.
@pytest.mark.parametrize("true, predicted, f1", [
    ([["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]],
     [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]], 0.5),
    ([["B-NP", "I-NP", "O"]], [["I-NP", "I-NP", "O"]], 1.0),  # default mode: an I- may open a span
    ([["B-NP", "I-NP", "O"]], [["B-NP", "B-NP", "O"]], 0.0),
    ([["B-A", "I-B"]], [["B-A", "O"]], 2 / 3),  # another type opens another span
    ([["O", "O"]], [["O", "O"]], 0.0),
    ([["B-a.b-c"]], [["B-a.b-c"]], 1.0),  # a dash in a type
])
def test_spans_count_as_in_seqeval(true, predicted, f1):
    assert spans.f1(true, predicted) == pytest.approx(f1)


def test_spans_refuse_what_is_no_tagging():
    with pytest.raises(InputError, match="'E-x' is neither"):
        spans.spans(["O", "E-x"])
    with pytest.raises(InputError, match="one predicted tag a word"):
        spans.f1([["O"]], [["O", "O"]])


def test_measures_of_a_perfect_and_of_a_spoiled_prediction(task):
    split = task.test
    longest = max(map(len, split.inputs["slots"]))
    right = np.array([row + [-1] * (longest - len(row)) for row in split.inputs["slots"]], np.int16)
    logits = np.eye(task.n_classes)[split.labels]
    perfect = joint.measure(task, split, {"logits": logits, "slot_predictions": right})
    assert perfect == {"accuracy": 1.0, "span_f1": 1.0, "tag_accuracy": 1.0, "frame_accuracy": 1.0, "unseen": perfect["unseen"]}
    outside = joint.measure(task, split, {"logits": logits, "slot_predictions": np.where(right >= 0, 0, -1)})
    assert outside["span_f1"] == 0 and 0.3 < outside["tag_accuracy"] < 0.8 and outside["accuracy"] == 1.0
    assert outside["frame_accuracy"] == np.mean([not any(row) for row in split.inputs["slots"]])


def write_joint(folder):
    """Six utterances, and a test set with an intent and a slot that training lacks."""
    rows = {"train": (["a b", "b a", "a", "b", "a b", "b b"], ["p", "q", "p", "q", "p", "q"], "O"),
            "test": (["a b", "b a", "a"], ["p", "rare", "q"], "B-new")}
    for split, (texts, intents, slot) in rows.items():
        tokens = [text.split() for text in texts]
        slots = [["B-x", slot][: len(words)] for words in tokens]
        table = pa.table({"tokens": tokens, "slots": slots, "intent": intents})
        table = table.replace_schema_metadata({"label_names": json.dumps(["p", "q", "rare"]),
                                               "slot_labels": json.dumps(["O", "B-x", "B-new"])})
        (folder / "few").mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / "few" / f"{split}.parquet")


def test_labels_that_training_lacks_are_wrong_and_are_counted(tmp_path):
    write_joint(tmp_path)
    few = load("few", tmp_path, validation=0)
    logits = np.eye(3)[[0, 0, 1]]  # the rare intent is never predicted
    found = joint.measure(few, few.test, {"logits": logits, "slot_predictions": np.array([[1, 0], [1, 0], [1, -1]])})
    assert found["unseen"] == pytest.approx(2 / 3) and found["accuracy"] == pytest.approx(2 / 3)
    assert found["frame_accuracy"] == pytest.approx(1 / 3) and found["span_f1"] == pytest.approx(2 * 3 / (5 + 3))


def test_training_learns_and_dynamic_pruning_ranks_by_the_stacked_norm(task, monkeypatch):
    fitted = loop.fit(runs.config(**TINY | {"epochs": 12, "learning_rate": 5e-3, "score_at": [0, "1ep"]}), task)
    untrained = loop.fit(runs.config(**TINY | {"epochs": 1, "learning_rate": 1e-6}), task)
    assert fitted.metrics["test_tag_accuracy"] > untrained.metrics["test_tag_accuracy"] + 0.1
    assert fitted.arrays["slot_predictions"].shape[:2] == (2, 45) and fitted.arrays["words"].shape == (2, 45)
    asked = []
    monkeypatch.setattr(joint, "el2n", lambda seen, labels: asked.append(len(labels)) or np.arange(len(labels), dtype=float))
    schedule = {"rule": "hardest", "fraction": 0.4, "warmup": 1, "every": 1}
    loop.fit(runs.config(**TINY | {"epochs": 3, "schedule": schedule}), task)
    assert asked == [45, 45]


# The chapter ------------------------------------------------------------------------------------------------------------
MADE = settings_of("smoke", "joint", tasks=["t"], fractions=[0.2, 0.5], seeds=5)
ARMS = ("full", "random", "joint_norm", "dynamic")
LEVEL = {"full": 0.9, "random": 0.7, "joint_norm": 0.69, "dynamic": 0.895}  # on the margins of the rule


def made(gaps=None, **changed):
    """Runs of the four arms of the rule at the larger fraction, as if all measures had come out at one level each.

    `changed`: measure -> arm -> its level; `gaps`: arm -> seeds whose runs are missing.
    """
    out = []
    for i, name in enumerate(ARMS):
        levels = {column: around(changed.get(measure, {}).get(name, LEVEL[name]), wobble=1e-4 * (-1) ** i)
                  for measure, column in chapter.runs.MEASURES.items()}
        out += [{"key": runs.key(run), "label_names": ("a", "b"), "n_kept": 100}
                | {column: values[run["seed"]] for column, values in levels.items()}
                for run in chapter.runs.arm(MADE, "t", name, 0.5) if run["seed"] not in (gaps or {}).get(name, ())]
    return pd.DataFrame(out)


@pytest.mark.parametrize("place, measure, arm", [(0, "frame", "joint_norm"), (1, "intent", "dynamic"), (2, "span_f1", "dynamic")])
def test_a_part_holds_above_its_margin_and_fails_below(place, measure, arm):
    for gain, outcome in ((0.001, "holds"), (-0.001, "fails"), (0.0, "undecided")):
        found = ledger.decide("NDD-6", MADE, made(**{measure: {arm: LEVEL[arm] + gain}})).parts
        assert [part.outcome for part in found] == [outcome if i == place else "undecided" for i in range(3)]


@pytest.mark.parametrize("gains, said", [
    ((0.001, 0.001, 0.001), "agrees"),
    ((-0.001, -0.001, -0.001), "disagrees"),
    ((-0.001, 0.001, -0.001), "partly"),
])
def test_rule(gains, said):
    places = (("frame", "joint_norm"), ("intent", "dynamic"), ("span_f1", "dynamic"))
    changed = {measure: {arm: LEVEL[arm] + gain} for (measure, arm), gain in zip(places, gains, strict=True)}
    assert outcome_of("NDD-6", MADE, made(**changed)) == said


def test_a_run_missing_from_each_arm_leaves_the_seeds_that_both_have():
    """Seeds differ by far more than arms do: a run paired with another seed's would show."""
    table = made(gaps={"joint_norm": [0], "random": [1], "dynamic": [4], "full": [3]})
    seeds = {runs.key(run): run["seed"] for name in ARMS for run in chapter.runs.arm(MADE, "t", name, 0.5)}
    for column in chapter.runs.MEASURES.values():
        table[column] -= 0.1 * table["key"].map(seeds)
    static, intent, span = ledger.decide("NDD-6", MADE, table.sample(frac=1, random_state=0)).parts
    wobbles = np.array(around(0, wobble=1e-4))
    assert (static.n, static.effect) == (3, pytest.approx(-0.01 + 2 * wobbles[[2, 3, 4]].mean()))
    for part in (intent, span):  # the two arms wobble in opposite directions
        assert (part.n, part.effect) == (3, pytest.approx(-0.005 - 2 * wobbles[[0, 1, 2]].mean()))


def test_runs_of_another_fraction_or_form_stand_in_for_none():
    others = [chapter.runs.arm(MADE, "t", name, 0.2) for name in ("random", "joint_norm", "dynamic")]
    others.append(chapter.runs.arm(MADE, "t", "joint_sum", 0.5))
    table = pd.DataFrame([{"key": runs.key(run)} | dict.fromkeys(chapter.runs.MEASURES.values(), 0.5)
                          for arm in others for run in arm])
    assert ledger.decide("NDD-6", MADE, table).verdict == "no runs yet"
    assert len(chapter.runs.result(MADE, table, "t", "joint_norm", 0.2)) == 5


def test_nothing_stored():
    settings, nothing = settings_of("smoke", "joint"), pd.DataFrame()
    assert ledger.decide("NDD-6", settings, nothing).verdict == "no runs yet"
    lengths = chapter.runs.lengths(settings, nothing)
    assert len(lengths) == 0 and {"task", "form", "kept", "kept_words"} <= set(lengths)
    assert len(chapter.runs.full_data(settings, nothing)) == 0
    for figure in (chapter.figures.exact_frames, chapter.figures.lengths, chapter.figures.two_slot_measures):
        assert figure([View("Nothing", settings, nothing)])


def test_a_task_may_have_settings_of_its_own():
    settings = MADE | {"tasks": ["t", "u"], "per_task": {"u": {"fractions": [0.4], "scores": ["el2n"]}}}
    asked = {(run["task"], run["keep"]["rule"], run["keep"]["fraction"], run["keep"]["score"])
             for run in chapter.runs.wanted(settings) if run["keep"] and run["keep"]["rule"] != "random"}
    assert {each for each in asked if each[0] == "u"} == {("u", "hardest", 0.4, "el2n"), ("u", "easiest", 0.4, "joint_norm")}


def test_the_chapter_at_tiny_size(tmp_path, monkeypatch):
    monkeypatch.setenv("DATADIET_STORE", str(tmp_path))
    settings = settings_of("smoke", "joint", size=40, fractions=[0.25, 0.5])
    table = runs.sweep(chapter.runs.wanted(settings))
    assert len(table) == 2 * (1 + 2 * (1 + 2 + 2) + 1) and table["key"].is_unique
    for name, fraction in (("full", None), ("random dynamic", 0.25), ("easiest", 0.5), ("el2n", 0.25)):
        for measure in chapter.runs.MEASURES:
            found = chapter.runs.result(settings, table, "assistant", name, fraction, measure)
            assert found.index.tolist() == [0, 1] and found.between(0, 1).all()
    full = chapter.runs.full_data(settings, table)
    assert full.index.tolist() == ["assistant"] and full.loc["assistant", "unseen"] == 0
    lengths = chapter.runs.lengths(settings, table)
    assert lengths[["kept_common", "all_common"]].stack().between(0, 1).all()
    assert set(lengths["form"]) == set(chapter.runs.FORMS) and lengths["rho"].between(-1, 1).all()
    assert lengths.groupby(["form", "kept"]).size().eq(2).all() and set(lengths["kept"]) == {"0.25", "0.5"}
    rho = lengths.groupby("form")["rho"].mean()
    assert rho["joint_sum"] > 0.9 > rho["el2n"]  # an untrained model errs alike on every word: the sum counts words
    first = runs.key(chapter.runs.arm(settings, "assistant", "full")[0])
    alone = chapter.runs.lengths(settings, table[table["key"] != first])  # seed 0 is gone, seed 1 keeps its name and values
    pd.testing.assert_frame_equal(alone, lengths[lengths["seed"] == 1].reset_index(drop=True))
    assert [part.n for part in ledger.decide("NDD-6", settings, table).parts] == [2, 2, 2]
    views = [View("This machine", settings, table)]
    assert "NDD-6" in pages.verdict("NDD-6", views).text
    for figure in (chapter.figures.exact_frames, chapter.figures.lengths, chapter.figures.two_slot_measures):
        drawn = figure(views)
        assert drawn.legend()
