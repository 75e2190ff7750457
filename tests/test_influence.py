"""Variance of gradients: by hand, against slow truths, as a run records it; and the chapter that compares scores."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from scipy.stats import spearmanr
from small import around, config, outcome_of, rows, settings, words  # noqa: F401

from datadiet import runs, scores
from datadiet.chapters import influence_scores, ledger, pages
from datadiet.chapters.influence_scores.runs import FULL, RANDOM, RETRAINED, SCORES
from datadiet.chapters.views import View
from datadiet.errors import InputError
from datadiet.nets.images import picture_classifier
from datadiet.runs import bill, recorded, store
from datadiet.training import inputgrad, kinds, loop

matplotlib.use("Agg")
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
        kept.add()
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

MOST, LESS = (0.75, 0.9), (0.55, 0.74)
SETTINGS = settings("influence-scores", seeds=5, tasks=["t"], fractions=[*LESS, *MOST], fraction=0.55,
                    epochs=5, score_at=["1ep", "2ep", "5ep"])
LEADS = {"forgetting": -0.05, "area under the margin": -0.03, "VoG within the class": -0.02, "EL2N, early": 0.03,
         "EL2N, late": -0.01}


def arm(name, fraction=None):
    return influence_scores.runs.arm(SETTINGS, "t", name, fraction)


def made(full=0.7, vog_cost=-0.005, more=-0.1, classes="abc", **leads):
    """Every arm at every fraction: so far ahead of random where little is pruned, and `more` beyond."""
    out = rows(arm(FULL), around(full, wobble=0.0005), label_names=list(classes))
    for fraction in SETTINGS["fractions"]:
        out += rows(arm(RANDOM, fraction), around(0.6, wobble=-0.001))
        for i, (name, lead) in enumerate((LEADS | leads).items()):
            mean = 0.6 + (lead if fraction in MOST else more)
            if (name, fraction) == ("VoG within the class", 0.55):
                mean = full + vog_cost
            out += rows(arm(name, fraction), around(mean, wobble=0.0002 * (i + 2)))
    return pd.DataFrame(out)


@pytest.mark.parametrize("changes, said", [
    ({}, "agrees"),
    ({"area under the margin": 0.05}, "partly"),  # one of the others beats random
    ({"VoG within the class": 0.05}, "agrees"),  # the score that INF-3 is about speaks neither for nor against
    ({"EL2N, early": -0.03, "more": 0.05} | dict.fromkeys(["EL2N, late", *list(LEADS)[:2]], 0.05), "disagrees"),
    ({"EL2N, late": 0.03}, "partly"),  # when it is taken does not matter
    ({"more": 0.05}, "partly"),  # EL2N is ahead throughout
])
def test_inf_1(changes, said):
    found = ledger.decide("INF-1", SETTINGS, made(**changes))
    assert outcome_of("INF-1", SETTINGS, made(**changes)) == said
    assert len(found.parts) == 6 and {each.n for each in found.parts} == {5} and "VoG" not in str(found.parts)


@pytest.mark.parametrize("changes, said", [({}, "agrees"), ({"vog_cost": -0.04}, "disagrees")])
def test_inf_3(changes, said):
    assert outcome_of("INF-3", SETTINGS, made(**changes)) == said


@pytest.mark.parametrize("claim, changes, unmet", [
    ("INF-1", {"full": 0.4, "classes": "ab"}, ["learned"]),  # no better than a guess between two classes
    ("INF-3", {"full": 0.35}, ["learned", "control"]),
    ("INF-1", {"EL2N, early": -0.03}, ["control"]),  # not even the score that is known to work beats random
    ("INF-3", {"full": 0.6}, ["control"]),  # random examples cost nothing either
])
def test_what_could_not_have_shown_a_claim_of_this_paper(claim, changes, unmet):
    assert ledger.decide(claim, SETTINGS, made()).verdict.startswith("reduced setting: agrees")
    found = ledger.decide(claim, SETTINGS, made(**changes))
    assert found.verdict == "could not have shown it"
    assert [each.name for each in found.experiments[0].criteria if not each.met] == [*unmet, "setting"]


# Each part of INF-1: which arm it is about and at which fractions, its margin, and +1 where it is claimed to lie above.
PARTS = [("forgetting", MOST, 0.01, -1), ("area under the margin", MOST, 0.01, -1), ("EL2N, early", MOST, 0.0, 1),
         ("EL2N, early", LESS, 0.01, -1), ("EL2N, late", MOST, 0.01, -1),
         ("EL2N, early", MOST, 0.0, 1)]


@pytest.mark.parametrize("place", range(len(PARTS)))
@pytest.mark.parametrize("gain, side", [(0.001, 1), (-0.001, -1), (0.0, 0)])
def test_each_part_of_inf_1_is_a_mean_over_its_fractions_and_knows_both_sides_of_its_margin(place, gain, side):
    about, fractions, margin, sign = PARTS[place]
    out = rows(arm(FULL), around(0.7), label_names=list("abc"))
    for fraction in SETTINGS["fractions"]:
        for name in (RANDOM, *LEADS):
            values = [0.5] * 5
            if name == about and fraction in fractions:  # far off the margin at each of the two, near it in the mean
                values = around(0.5 + margin + gain + (0.05 if fraction == fractions[0] else -0.05), wobble=1e-4)
            out += rows(arm(name, fraction), values)
    found = ledger.decide("INF-1", SETTINGS, pd.DataFrame(out)).parts[place]
    assert found.effect == pytest.approx(margin + gain)
    assert found.name.startswith(f"t: {about}") and ("at least 75% kept" in found.name) == (fractions == MOST)
    assert found.outcome == {sign: "holds", -sign: "fails", 0: "undecided"}[side]


@pytest.mark.parametrize("gain, outcome", [(0.001, "holds"), (-0.001, "fails"), (0.0, "undecided")])
def test_inf_3_knows_both_sides_of_its_margin(gain, outcome):
    table = rows(arm(FULL), [0.7] * 5, label_names=list("abc"))
    table += rows(arm("VoG within the class"), around(0.7 - 0.01 + gain, wobble=1e-4))
    assert ledger.decide("INF-3", SETTINGS, pd.DataFrame(table)).parts[0].outcome == outcome


@pytest.mark.parametrize("claim", ["INF-1", "INF-3"])
@pytest.mark.parametrize("classes", ["ab", "abc"])
@pytest.mark.parametrize("above, learned", [(0.0021, True), (0.0018, False)])  # half the interval is 0.00196
def test_a_task_is_learned_where_the_interval_of_its_full_data_lies_a_tenth_above_one_of_k(claim, classes, above, learned):
    table = made(classes=classes)
    accuracy = dict(zip(map(runs.key, arm(FULL)), around(1 / len(classes) + 0.1 + above), strict=True))
    table["test_accuracy"] = table["key"].map(accuracy).fillna(table["test_accuracy"])
    (found,) = ledger.decide(claim, SETTINGS, table).experiments
    assert found.met("learned") == learned


def test_missing_arms_are_no_verdict():
    whole = made()
    without = {name: whole[~whole["key"].isin([runs.key(run) for f in fractions for run in arm(name, f)])]
               for name, fractions in (("area under the margin", SETTINGS["fractions"]), (FULL, [None]), (RANDOM, [0.9]))}
    assert ledger.decide("INF-1", SETTINGS, without["area under the margin"]).verdict == "no runs yet"
    assert ledger.decide("INF-1", SETTINGS, without[RANDOM]).verdict == "no runs yet"  # a mean over fewer fractions is another
    assert ledger.decide("INF-3", SETTINGS, pd.DataFrame()).verdict == "no runs yet"
    assert ledger.decide("INF-3", SETTINGS, without[FULL]).verdict == "no runs yet"
    few = [without[FULL], whole[~whole["key"].isin([runs.key(run) for run in arm(FULL)[1:]])]]
    for table in few:  # whether the task is learned is not known
        assert ledger.decide("INF-1", SETTINGS, table).verdict == "could not have shown it"
    two = whole[~whole["key"].isin([runs.key(run) for run in arm(FULL)[2:]])]
    assert ledger.decide("INF-1", SETTINGS, two).verdict == "reduced setting: agrees"


def test_a_kind_of_fraction_that_the_profile_lacks_has_no_runs():
    little = SETTINGS | {"fractions": list(MOST)}
    outcomes = [each.outcome for each in ledger.decide("INF-1", little, made()).parts]
    assert outcomes == ["holds"] * 3 + ["no runs"] + ["holds"] * 2


SPREAD = [0.5, 0.6, 0.7, 0.8, 0.9]  # seeds differ by far more than arms do


def _missing(values, *seeds):
    return [None if seed in seeds else value for seed, value in enumerate(values)]


def test_runs_missing_from_either_arm_leave_inf_3_the_seeds_that_both_have():
    lower = [value - 0.02 - 0.001 * seed for seed, value in enumerate(SPREAD)]
    table = rows(arm(FULL), _missing(SPREAD, 0), label_names=list("abc")) + rows(arm("VoG within the class"), _missing(lower, 3))
    found = ledger.decide("INF-3", SETTINGS, pd.DataFrame(table).sample(frac=1, random_state=0)).parts[0]
    assert found.n == 3 and found.effect == pytest.approx(-0.02 - 0.001 * (1 + 2 + 4) / 3)


def test_runs_missing_from_any_arm_leave_inf_1_the_seeds_that_all_have():
    gaps = {(RANDOM, 0.75): 0, ("EL2N, early", 0.9): 4, ("EL2N, late", 0.75): 1, (RANDOM, 0.55): 2, ("EL2N, early", 0.74): 3}
    table = rows(arm(FULL), around(0.95), label_names=list("abc"))
    for fraction in SETTINGS["fractions"]:
        for name in (RANDOM, *LEADS):
            lead = {"EL2N, early": 0.02, "EL2N, late": 0.01}.get(name, 0.0) * (fraction + 0.1)
            values = [value + lead * (1 + seed) for seed, value in enumerate(SPREAD)]
            table += rows(arm(name, fraction), _missing(values, gaps.get((name, fraction))))
    found = ledger.decide("INF-1", SETTINGS, pd.DataFrame(table).sample(frac=1, random_state=0)).parts
    mean = np.array([1, 2, 3, 4, 5])
    for place, lead, seeds in ((2, 0.02 * 0.925, [1, 2, 3]), (3, 0.02 * 0.745, [0, 1, 4]), (4, 0.01 * 0.925, [2, 3, 4]),
                               (5, 0.01 * 0.925, [0, 2, 3])):
        assert found[place].n == 3 and found[place].effect == pytest.approx(lead * mean[seeds].mean()), place


# --- The chapter's runs

def chosen(seeds):
    return settings("influence-scores", seeds=seeds, fractions=[0.5, 0.8], fraction=0.5, score_at=["1ep", "2ep"], epochs=2)


def test_what_the_chapter_asks_for():
    asked = influence_scores.runs.wanted(chosen(3))
    assert len({runs.key(run) for run in asked}) == len(asked) == 3 * (1 + 2 * 7 + 2) and all(run["test_only"] for run in asked)
    assert [run["vog"] for run in asked] == [True] * 3 + [False] * 48
    for run in asked:
        if run["keep"] and run["keep"]["source"]:
            source = run["keep"]["source"]
            assert source["vog"] and source["watch"] and source["test_only"] and run["seed"] not in run["keep"]["seeds"]
            assert runs.scoring_runs(run)[0] in asked
    taken = {(run["keep"]["score"], run["keep"]["at"]) for run in asked if run["keep"] and run["keep"]["score"]}
    assert taken == {("el2n", "1ep"), *((name, "2ep") for name in ("el2n", "forgetting", "aum", "tracin", "vog_class", "vog"))}


def test_a_task_may_differ_and_an_arm_is_known_by_its_name():
    own = chosen(2) | {"per_task": {"words": {"fraction": 0.8, "fractions": [0.3], "size": 20}}}
    asked = influence_scores.runs.wanted(own)
    assert {run["keep"]["fraction"] for run in asked if run["keep"]} == {0.3, 0.8} and {run["size"] for run in asked} == {20}
    with pytest.raises(InputError, match="unknown arm 'EL2N'; choose one of full data, random, EL2N, early"):
        influence_scores.runs.arm(own, "words", "EL2N")


def test_tables_cards_and_figures_on_real_runs(words, monkeypatch):  # noqa: F811
    own, tables = chosen(3), influence_scores.runs
    asked = tables.wanted(own)
    due = bill.of(asked)
    found = runs.sweep(asked)
    assert len(found) == due["runs"].sum() == 51
    assert due["scored"].sum() == found["scored"].sum() and due["updates"].sum() == found["updates"].sum()
    agree = tables.agreement(own, found)
    assert len(agree) == 49 and agree["rho"].between(-1, 1).all() and agree["shared"].between(0, 1).all()
    assert agree["easy"].notna().sum() == 7 and agree["skew"].between(0, 1).all()
    assert (agree.loc[agree["score"] == agree["other"], "shared"] == 1).all()
    views = [View("This machine", own, found), View("Published", own, pd.DataFrame())]
    for name in RETRAINED:
        assert tables.accuracy(views[0], "words", name).index.tolist() == [0, 1, 2]
        assert not len(tables.accuracy(views[1], "words", name))
    for claim in ("INF-1", "INF-3"):
        assert claim in pages.verdict(claim, views).text
    for draw in (influence_scores.figures.gains, influence_scores.figures.arms, influence_scores.figures.agreement):
        figure = draw(views)
        assert any("no runs" in text.get_text() for ax in figure.axes for text in ax.texts)
    full = tables.arm(own, "words", FULL)
    before = store.arrays(runs.key(full[0]))["vog"]
    monkeypatch.setattr(store.paths, "root", lambda: words)  # publishing writes elsewhere, and VoG comes back
    store.publish([runs.key(full[0])])
    monkeypatch.setenv("DATADIET_STORE", str(words / "empty"))
    np.testing.assert_array_equal(store.arrays(runs.key(full[0]))["vog"], before)


def test_agreement_does_without_the_first_seed(words):  # noqa: F811
    """Of three scoring runs two are left: each is then compared with the other."""
    own, tables = chosen(3), influence_scores.runs
    full = tables.arm(own, "words", FULL)
    found = runs.sweep(full)
    part = found[found["key"] != runs.key(full[0])].iloc[::-1]
    agree = tables.agreement(own, part).set_index(["score", "other"])
    for name, (score, place) in SCORES.items():
        one, other = (runs.score_values(run, score, own["score_at"][place]) for run in full[1:])
        rho = spearmanr(one, other)[0] if np.ptp(one) and np.ptp(other) else 0.0
        assert agree.loc[(name, name), "rho"] == pytest.approx(rho)
    whole = tables.agreement(own, found).set_index(["score", "other"])
    assert not np.allclose(whole["rho"], agree["rho"])
    for table in (pd.DataFrame(), found[found["key"] == runs.key(full[0])]):  # one run agrees with no other
        empty = tables.agreement(own, table)
        assert not len(empty) and set(empty) == set(whole.reset_index())
