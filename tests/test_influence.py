"""Variance of gradients: by hand, against slow truths, as a run records it; and the chapter that compares scores."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from small import config, settings, words  # noqa: F401
from test_rules import around, rows, table

from datadiet import runs, scores
from datadiet.chapters import ledger, pages
from datadiet.chapters.drawing import View
from datadiet.chapters.influence_scores import rules as influence
from datadiet.chapters.influence_scores import runs as influence
from datadiet.chapters.influence_scores.figures import influence_agreement, influence_arms, influence_gains
from datadiet.chapters.influence_scores.runs import influence_agreement, influence_arm, influence_scores, influence_sources
from datadiet.errors import InputError
from datadiet.nets.images import picture_classifier
from datadiet.runs import audit, recorded, store
from datadiet.training import inputgrad, kinds, loop

CLOCKS = ("train_seconds", "scoring_seconds")


def slow_vog(gradients, mask=None):
    """The definition, an element at a time."""
    out = []
    for n in range(len(gradients[0])):
        spreads = []
        for place in np.ndindex(gradients[0][n].shape):
            if mask is None or mask[n][place[0]]:
                over_time = [float(now[n][place]) for now in gradients]
                mean = sum(over_time) / len(over_time)
                spreads.append((sum((each - mean) ** 2 for each in over_time) / len(over_time)) ** 0.5)
        out.append(sum(spreads) / len(spreads))
    return np.array(out)


# --- The score

def test_vog_by_hand():
    now, later = [[[1.0, 0.0], [9.0, 9.0]], [[2.0, 2.0], [0.0, 0.0]]], [[[3.0, 0.0], [0.0, 9.0]], [[2.0, 2.0], [4.0, 0.0]]]
    np.testing.assert_allclose(scores.vog([now, later]), [(1 + 0 + 4.5 + 0) / 4, (0 + 0 + 2 + 0) / 4])
    np.testing.assert_allclose(scores.vog([now, later], [[True, False], [True, True]]), [0.5, 0.5])
    np.testing.assert_array_equal(scores.vog([now, now, now]), [0, 0])


@given(st.integers(2, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.booleans(), st.integers(0, 2**32 - 1))
@examples(max_examples=40, deadline=None)
def test_running_vog_is_vog_is_the_definition(times, n, tokens, width, padded, seed):
    rng = np.random.default_rng(seed)
    gradients = (rng.normal(size=(times, n, tokens, width)) * rng.choice([1e-6, 1, 1e4])).astype(np.float32)
    mask = rng.random((n, tokens)) < 0.6 if padded else None
    if padded:
        mask[:, 0] = True
    before, running = gradients.copy(), scores.RunningVog(mask)
    for now in gradients:
        running.add(now)
    whole = scores.vog(gradients, mask)
    assert (gradients == before).all() and whole.dtype == running.values().dtype == np.float64 and whole.shape == (n,)
    np.testing.assert_allclose(whole, slow_vog(gradients, mask), rtol=1e-9)
    np.testing.assert_allclose(running.values(), whole, rtol=1e-9)
    np.testing.assert_allclose(scores.vog(gradients[::-1], mask), whole, rtol=1e-9)  # order in time does not matter
    part = slice(0, max(1, n // 2))
    np.testing.assert_allclose(scores.vog(gradients[:, part], None if mask is None else mask[part]), whole[part], rtol=1e-9)


def test_of_class_by_hand():
    np.testing.assert_allclose(scores.of_class([1, 3, 10, 30, 5], [0, 0, 2, 2, 1]), [-1, 1, -1, 1, 0])
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=50), rng.integers(0, 3, 50)
    seen = scores.of_class(values, labels)
    for label in range(3):
        own = labels == label
        assert np.argsort(seen[own]).tolist() == np.argsort(values[own]).tolist()  # the order within a class stays
        assert seen[own].mean() == pytest.approx(0, abs=1e-12) and seen[own].std() == pytest.approx(1)
    np.testing.assert_allclose(scores.of_class(values * 100 + labels * 1e3, labels), seen)  # what sets classes apart goes


@pytest.mark.parametrize("call, said", [
    (lambda: scores.vog(np.zeros((1, 3, 2))), "one checkpoint"),
    (lambda: scores.vog(np.zeros((3, 2))), r"\[T, N, ...\], time first"),
    (lambda: scores.vog(np.full((2, 3, 2), np.nan)), "diverged"),
    (lambda: scores.vog(np.zeros((2, 3, 2)), np.ones((3, 4), bool)), r"mask has shape \(3, 4\)"),
    (lambda: scores.vog(np.zeros((2, 3, 2)), np.ones((3, 2))), "give booleans"),
    (lambda: scores.vog(np.zeros((2, 3, 2)), [[True, True], [False, False], [True, True]]), "example 1 without a token"),
    (lambda: scores.RunningVog().values(), "no gradients were added"),
    (lambda: [r.add(np.zeros(shape)) for r in [scores.RunningVog()] for shape in ((3, 2), (4, 2))], "at checkpoint 1"),
    (lambda: scores.of_class([1.0, 2.0], [0]), "one label for each"),
    (lambda: scores.of_class([1.0, np.inf], [0, 1]), "finite"),
    (lambda: scores.of_class([1.0, 2.0], [0.0, 1.0]), "give integers"),
])
def test_bad_input(call, said):
    with pytest.raises(InputError, match=said):
        call()


# --- As a run records it

@pytest.fixture
def problem(words):  # noqa: F811
    return kinds.prepare(config(seed=3), runs.task_of(config()), "cpu")


def alone(model, batch):
    """The gradient of one example's label logit in its embedded tokens, by autograd on the embeddings as an input."""
    fed = model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_()
    out = model(inputs_embeds=fed, attention_mask=batch["attention_mask"], token_type_ids=batch["token_type_ids"])
    return torch.autograd.grad(out.logits[0, batch["labels"][0]], fed)[0]


def test_gradients_of_a_batch_are_those_of_each_example_alone(problem):
    positions = np.array([0, 7, 12, 30])
    batch = problem.splits["train"].batch(positions)
    grown, mask = inputgrad.label_gradients(problem.model, batch)
    for i, position in enumerate(positions):
        one = problem.splits["train"].batch([position])
        slow = alone(problem.model, one)[0]
        np.testing.assert_allclose(grown[i, : len(slow)].numpy(), slow.numpy(), rtol=1e-4, atol=1e-7)
        assert mask[i].sum() == len(slow)
    assert all(p.grad is None and p.requires_grad for p in problem.model.parameters())  # left as they were
    assert not problem.model.get_input_embeddings()._forward_hooks


def test_gradients_of_images():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = picture_classifier("resnet-small", 3, channels=1)
        batch = {"image": torch.randn(4, 1, 8, 8), "labels": torch.tensor([0, 2, 1, 1])}
    fast, mask = inputgrad.label_gradients(net, batch)
    for i in range(4):
        one = batch["image"][i : i + 1].clone().requires_grad_()
        slow = torch.autograd.grad(net(one)[0, batch["labels"][i]], one)[0]
        np.testing.assert_allclose(fast[i].numpy(), slow[0].numpy(), rtol=1e-4, atol=1e-7)
    assert mask is None and not batch["image"].requires_grad


def test_vog_over_checkpoints_is_that_of_all_gradients_held_at_once(problem):
    """Fast: batches, running. Slow: the weights loaded one checkpoint after the other, an example at a time."""
    model, train_split, kept = problem.model, problem.splits["train"], inputgrad.Checkpoints(problem)
    draw = torch.Generator().manual_seed(0)
    for _ in range(3):
        kept.keep()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.05 * torch.randn(parameter.shape, generator=draw)
    now = {name: held.clone() for name, held in model.state_dict().items()}
    seen = kept.vog()
    assert all(torch.equal(held, now[name]) for name, held in model.state_dict().items())
    slow = np.empty_like(seen[1:])
    for n in range(seen.shape[1]):
        over_time = []
        for weights in kept.weights:
            model.load_state_dict(weights)
            over_time.append(alone(model, train_split.batch([n])).numpy())
        slow[:, n] = [scores.vog(over_time[:t])[0] for t in (2, 3)]
    assert (seen[0] == 0).all()
    np.testing.assert_allclose(seen[1:], slow, rtol=1e-4)


def test_recording_vog_changes_nothing_else_and_comes_out_the_same_again(words):  # noqa: F811
    run = config(epochs=3, score_at=["1ep", "2ep", "3ep"])
    task = runs.task_of(run)
    plain, one, again = (loop.fit(run | {"vog": on}, task) for on in (False, True, True))
    for name in plain.arrays:
        np.testing.assert_array_equal(plain.arrays[name], one.arrays[name])
    assert {k: v for k, v in one.metrics.items() if k not in CLOCKS} == {
        k: v for k, v in plain.metrics.items() if k not in CLOCKS} | {"vog_scored": 3 * 49}
    np.testing.assert_array_equal(one.arrays["vog"], again.arrays["vog"])
    held = one.arrays
    assert set(held) - set(plain.arrays) == {"vog"} and held["vog"].shape == (3, 49)
    assert (held["vog"][0] == 0).all() and (held["vog"][1:] > 0).all()
    np.testing.assert_array_equal(recorded.values_from(held, "vog", 2), held["vog"][2])
    np.testing.assert_array_equal(recorded.values_from(held, "vog_class", 2), scores.of_class(held["vog"][2], held["labels"]))
    np.testing.assert_array_equal(recorded.values_from(held, "aum", 1), scores.aum(held["logits"][:2], held["labels"]))
    for name, t, arrays, said in (("vog", 0, held, "only one gradient"), ("vog_class", 2, plain.arrays, "vog=True")):
        with pytest.raises(InputError, match=said):
            recorded.values_from(arrays, name, t)


@pytest.mark.parametrize("task, change, said", [
    ("words", {"score_at": ["1ep"]}, "two or more"),
    ("words", {"score_at": [7, "1ep"]}, "two or more"),  # the same moment twice
    ("feedback", {"size": 20, "encoder": "tiny"}, "one label an example"),
    ("assistant", {"size": 40, "encoder": "tiny"}, "one label an example"),
])
def test_where_there_is_no_vog(words, task, change, said):  # noqa: F811
    run = config(**({"task": task, "vog": True, "score_at": [0, 1]} | change))
    with pytest.raises(InputError, match=said):
        loop.fit(run, runs.task_of(run))


def test_a_run_may_be_judged_on_the_test_split_alone(words):  # noqa: F811
    run = config(test_only=True, validation=0.2)
    both = loop.fit(config(), runs.task_of(config())).metrics
    one = loop.fit(run, runs.task_of(run)).metrics
    assert set(both) - set(one) == {"validation_accuracy", "validation_matthews"}
    assert one["test_accuracy"] == both["test_accuracy"]
    assert runs.task_of(run).checksum != runs.task_of(config()).checksum
    old = {name: value for name, value in config().items() if name not in ("vog", "test_only")}
    assert runs.key(old) == runs.key(config()) != runs.key(run) and runs.key(config(vog=True)) != runs.key(config())


# --- The rules, on tables made by hand

SETTINGS = {"profile": "made up", "tasks": {"t": [0.3, 0.55, 0.75, 0.9]}, "timing_fraction": 0.55, "seeds": 5,
            "score_at": ["1ep", "2ep", "5ep"]}
LEADS = {"forgetting": -0.05, "aum": -0.03, "vog_class": -0.02, "el2n 1ep": 0.03, "el2n 5ep": -0.01}


def arms(full=0.7, vog_cost=-0.005, more=-0.1, names=("a", "b", "c"), **leads):
    """Every arm at every fraction: so far ahead of random where little is pruned, and `more` beyond."""
    made = [rows("full", around(full, wobble=0.0005), 1.0)]
    for fraction in SETTINGS["tasks"]["t"]:
        made.append(rows("random", around(0.6, wobble=-0.001), fraction))
        for i, (name, lead) in enumerate((LEADS | leads).items()):
            score, at = (name.split() + ["5ep"])[:2]
            mean = 0.6 + lead if fraction >= 0.75 else full + vog_cost if name == "vog_class" and fraction == 0.55 else 0.6 + more
            made.append(rows("hardest", around(mean, wobble=0.0002 * (i + 2)), fraction, score=score, at=at))
    out = table(*made)
    out["label_names"] = [list(names)] * len(out)
    return out


@pytest.mark.parametrize("changes, verdict", [
    ({}, "reproduced"),
    ({"aum": 0.05}, "partly reproduced"),  # one of the others beats random
    ({"el2n 1ep": -0.03, "el2n 5ep": 0.05, "forgetting": 0.05, "aum": 0.05, "vog_class": 0.05, "more": 0.05}, "not reproduced"),
    ({"el2n 5ep": 0.03}, "partly reproduced"),  # when it is read does not matter
    ({"more": 0.05}, "partly reproduced"),  # EL2N is ahead throughout
    ({"full": 0.4, "names": "ab"}, "undecided"),  # no better than a coin of two sides
])
def test_inf_1(changes, verdict):
    found = ledger.decide("INF-1", SETTINGS, arms(**changes))
    assert found.verdict == verdict and len(found.parts) == 7 and {each.n for each in found.parts} == {5}
    assert all(("not learned" in each.name) == (verdict == "undecided") for each in found.parts)


@pytest.mark.parametrize("changes, verdict", [
    ({}, "reproduced"), ({"vog_cost": -0.04}, "not reproduced"), ({"full": 0.35}, "undecided")])
def test_inf_3(changes, verdict):
    assert ledger.decide("INF-3", SETTINGS, arms(**changes)).verdict == verdict


def test_missing_arms_are_no_verdict():
    made = arms()
    assert ledger.decide("INF-1", SETTINGS, made[made["score"] != "aum"]).verdict == "no runs yet"
    assert ledger.decide("INF-3", SETTINGS, pd.DataFrame()).verdict == "no runs yet"
    assert ledger.decide("INF-3", SETTINGS, made[made["rule"] != "full"]).verdict == "no runs yet"


# --- The chapter's runs

CHOSEN = {"tasks": {"words": [0.5, 0.8]}, "timing_fraction": 0.5, "score_at": ["1ep", "2ep"], "epochs": 2, "test_only": True,
          "grand_size": 0}


def test_what_the_chapter_asks_for():
    chosen = settings(seeds=3) | CHOSEN
    asked = influence_scores(chosen)
    assert len(asked) == 3 * (1 + 2 * 6 + 2) and all(run["test_only"] for run in asked)
    assert [run["vog"] for run in asked] == [True] * 3 + [False] * 42
    for run in asked:
        if run["keep"] and run["keep"]["source"]:
            source = run["keep"]["source"]
            assert source["vog"] and source["watch"] and source["test_only"] and run["seed"] not in run["keep"]["seeds"]
            assert runs.scoring_runs(run)[0] in asked
    read = {(run["keep"]["score"], run["keep"]["at"]) for run in asked if run["keep"] and run["keep"]["score"]}
    assert read == {("el2n", "1ep"), *((name, "2ep") for name in ("el2n", "forgetting", "aum", "vog_class", "vog"))}


def test_tables_rules_and_figures_on_real_runs(words, monkeypatch):  # noqa: F811
    import matplotlib

    matplotlib.use("Agg")
    chosen = settings(seeds=2) | CHOSEN
    asked = influence_scores(chosen)
    bill = audit.plan(asked)
    found = runs.sweep(asked)
    assert len(found) == bill["runs"].sum() == 30
    assert bill["scored"].sum() == found["scored"].sum() and bill["updates"].sum() == found["updates"].sum()
    agree = influence_agreement(chosen, found)
    assert len(agree) == 36 and agree["rho"].between(-1, 1).all() and agree["shared"].between(0, 1).all()
    assert agree["easy"].notna().sum() == 6 and agree["skew"].between(0, 1).all()
    assert (agree.loc[agree["score"] == agree["other"], "shared"] == 1).all()
    assert not len(influence_agreement(chosen, pd.DataFrame()))
    for name in influence.ARMS:
        assert len(influence_arm(chosen, found, "words", name, 0.5)) == 2
    sides = [View("This machine", chosen, found), View("Published", chosen, pd.DataFrame())]
    for claim in ("INF-1", "INF-3"):
        assert claim in pages.verdict(claim, sides).text
    for draw in (influence_gains, influence_arms, influence_agreement):
        figure = draw(sides)
        assert any("no runs" in text.get_text() for ax in figure.axes for text in ax.texts)
        figure.clear()
    full = influence_sources(chosen, "words")[0]
    before = store.arrays(runs.key(full))["vog"]
    monkeypatch.setattr(store.paths, "root", lambda: words)  # publishing writes elsewhere, and VoG comes back
    store.publish([runs.key(full)])
    monkeypatch.setenv("DATADIET_STORE", str(words / "empty"))
    np.testing.assert_array_equal(store.arrays(runs.key(full))["vog"], before)
    assert influence.learned(chosen, found, "words") in (True, False)
