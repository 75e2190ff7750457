"""Intent and slots at once: what is recorded is what slow scores say, the loss is the stated one, spans count as in seqeval."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from datadiet import gradnorm, runs, scores
from datadiet.chapters import ledger
from datadiet.chapters.arms import settings_of
from datadiet.chapters.joint.runs import FORMS as JOINT_FORMS
from datadiet.chapters.joint.runs import joint_lengths, joint_pruning, joint_results
from datadiet.data import load, spans
from datadiet.errors import InputError
from datadiet.runs import recorded
from datadiet.training import joint, kinds, loop

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
    held = {name: values[None] for name, values in seen.items()} | {"labels": task.train.labels}
    for combine in ("norm", "sum", "mean", "rms"):
        slow = scores.joint_el2n(runs.probabilities(logits), task.train.labels, probs, labels, mask, combine)
        np.testing.assert_allclose(recorded.values_from(held, f"joint_{combine}", 0), slow, rtol=1e-5)
    np.testing.assert_allclose(joint.el2n(seen, task.train.labels), recorded.values_from(held, "joint_norm", 0), rtol=1e-6)
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
    held = {"logits": np.zeros((1, 3, 2)), "labels": np.zeros(3, int)}
    with pytest.raises(InputError, match="needs slots"):
        recorded.values_from(held, "joint_norm", 0)
    with pytest.raises(InputError, match="unknown score 'joint'"):
        recorded.values_from(held, "joint", 0)


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


# The study and its rule ------------------------------------------------------------------------------------------------
SETTINGS = {"profile": "made up", "tasks": {"t": [0.2, 0.5]}, "scores": ["joint_norm"], "seeds": 5, "warmup": 1, "every": 1}


def made(monkeypatch, **arms):
    """A table of results by hand: (intent, span F1, frame) of each arm, wobbling from seed to seed."""
    rows = [
        {"task": "t", "arm": arm.replace("_", " ") if "random_d" in arm else arm, "fraction": 1.0 if arm == "full" else 0.5,
         "seed": seed, "intent": values[0] + w, "span_f1": values[1] + w, "frame": values[2] + w}
        for i, (arm, values) in enumerate(arms.items()) for seed, w in enumerate(0.0002 * np.arange(5) * (-1) ** i)
    ]
    monkeypatch.setattr(studies, "joint_results", lambda settings, table: pd.DataFrame(rows))
    return ledger.decide("NDD-6", SETTINGS, pd.DataFrame())


@pytest.mark.parametrize("norm, dynamic, verdict", [
    (0.70, (0.9, 0.9), "reproduced"),
    (0.60, (0.8, 0.8), "not reproduced"),
    (0.70, (0.9, 0.8), "partly reproduced"),
])
def test_rule(monkeypatch, norm, dynamic, verdict):
    arms = {"full": (0.9, 0.9, 0.75), "random": (0.8, 0.8, 0.7), "joint_norm": (0.8, 0.8, norm), "dynamic": (*dynamic, 0.7)}
    found = made(monkeypatch, **arms)
    assert found.verdict == verdict and len(found.parts) == 3


def test_rule_without_runs():
    settings = settings_of("smoke", "joint")
    assert ledger.decide("NDD-6", settings, pd.DataFrame()).verdict == "no runs yet"
    assert len(joint_lengths(settings, pd.DataFrame())) == 0


def test_study_at_tiny_size(tmp_path, monkeypatch):
    monkeypatch.setenv("DATADIET_STORE", str(tmp_path))
    settings = settings_of("smoke", "joint") | {"size": 40, "epochs": 2, "tasks": {"assistant": [0.25, 0.5]}}
    table = runs.sweep(joint_pruning(settings))
    results = joint_results(settings, table)
    assert results.groupby(["arm", "fraction"]).size().eq(2).all()
    assert set(results["arm"]) >= {"full", "random dynamic", "easiest"}
    assert results[["intent", "span_f1", "tags", "frame"]].stack().between(0, 1).all() and (results["unseen"] == 0).all()
    lengths = joint_lengths(settings, table)
    assert lengths[["kept_common", "all_common"]].stack().between(0, 1).all()
    assert set(lengths["form"]) == set(JOINT_FORMS) and lengths["rho"].between(-1, 1).all()
    rho = lengths.groupby("form")["rho"].mean()
    assert rho["joint_sum"] > 0.9 > rho["el2n"]  # an untrained model errs alike on every word: the sum counts words
    assert [part.n for part in rules.RULES["NDD-6"](settings, table)] == [2, 2, 2]
