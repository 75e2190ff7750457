"""Pruning while training: the schedules by themselves, in the training loop, and their account and rules."""

import numpy as np
import pandas as pd
import pytest
import torch
from small import around, config, outcome_of, rows, settings, words  # noqa: F401

from datadiet import dynamic, runs, scores
from datadiet.chapters import dynamic_pruning as chapter
from datadiet.chapters import ledger, pages
from datadiet.chapters.arms import scoring
from datadiet.chapters.dynamic_pruning import figures
from datadiet.chapters.views import View
from datadiet.data import Split
from datadiet.errors import InputError
from datadiet.nets import encoders
from datadiet.runs.bill import _cost
from datadiet.training import kinds, loop, pruning


@pytest.fixture
def task(words):  # noqa: F811
    return runs.task_of(config())


# --- cycles


def test_cycles_keep_the_hardest_as_last_scored():
    schedule, rng = dynamic.Dynamic(101, fraction=0.3, warmup=2, every=3, offset=0.1), np.random.default_rng(0)
    for epoch in range(9):
        assert schedule.due(epoch) == (epoch in (2, 5, 8))
        if schedule.due(epoch):
            now = rng.normal(size=101)
            schedule.update(now)
        kept = schedule.positions(epoch)
        if epoch < 2:
            assert len(kept) == 101
        else:  # by hand: the ranking below its first round(10.1)
            np.testing.assert_array_equal(kept, np.sort(np.argsort(-now, kind="stable")[10:40]))
        assert len(kept) == schedule.size(epoch) and (schedule.weights(epoch) == 1).all()
    assert schedule.planned(1, 9) == [101] + [30] * 7


def test_without_a_first_phase_the_first_cycle_is_a_random_subset():
    schedule = dynamic.Dynamic(40, fraction=0.5, warmup=0, every=2, seed=3)
    first = schedule.positions(0)
    assert len(first) == 20 and not schedule.due(0) and schedule.due(2)
    np.testing.assert_array_equal(first, schedule.positions(1))
    assert not np.array_equal(first, dynamic.Dynamic(40, warmup=0, seed=4).positions(0))
    schedule.update(np.arange(40))
    np.testing.assert_array_equal(schedule.positions(2), np.arange(20, 40))


def test_the_coin_draws_anew_in_each_cycle_and_never_asks_for_scores():
    schedule = dynamic.Dynamic(40, fraction=0.5, rule="random", warmup=1, every=2, seed=1)
    assert not any(schedule.due(epoch) for epoch in range(9))
    np.testing.assert_array_equal(schedule.positions(1), schedule.positions(2))
    assert not np.array_equal(schedule.positions(1), schedule.positions(3)) and len(schedule.positions(3)) == 20


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_smoothing_is_that_of_pandas(spread):
    """Fast path: three running numbers an example. Slow truth: pandas over the whole history."""
    history = np.random.default_rng(1).uniform(0, 1.4, (5, 30))
    schedule = dynamic.Dynamic(30, alpha=0.8, spread=spread, every=1)
    for t, now in enumerate(history):
        schedule.update(now)
        window = pd.DataFrame(history[: t + 1]).ewm(alpha=0.8, adjust=False)
        truth = window.mean().iloc[-1] + (spread * window.std().iloc[-1] if t else 0.0)
        np.testing.assert_allclose(schedule.ranked_by(), truth, rtol=1e-10)


def test_positions_want_exactly_the_updates_they_build_on():
    schedule = dynamic.Dynamic(10, every=1)
    with pytest.raises(InputError, match="builds on 1 update.*0 were made"):
        schedule.positions(1)
    schedule.update(np.arange(10))
    schedule.positions(1)
    with pytest.raises(InputError, match="builds on 2 update.*1 were made"):
        schedule.positions(2)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"rule": np.arange(2)}, r"rule=array\(\[0, 1\]\); choose"),
        ({"n": 0}, "n=0"), ({"n": 9.5}, "n=9.5"), ({"fraction": 0}, "fraction=0"), ({"fraction": "half"}, "fraction='half'"),
        ({"fraction": 0.01}, "rounds to none"), ({"rule": "easiest"}, "rule='easiest'"), ({"warmup": -1}, "warmup=-1"),
        ({"warmup": True}, "warmup=True"), ({"every": 0}, "every=0"), ({"every": 1.5}, "every=1.5"), ({"offset": 0.7}, "add up"),
        ({"alpha": 0}, "alpha=0"), ({"alpha": 1.2}, "alpha=1.2"), ({"spread": -1, "alpha": 0.5}, "spread=-1"),
        ({"spread": 1.0}, "no spread"), ({"rule": "random", "alpha": 0.5}, "mean nothing"),
        ({"rule": "random", "offset": 0.1}, "means nothing"),
    ],
)
def test_cycles_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        dynamic.Dynamic(**({"n": 10} | changes))


@pytest.mark.parametrize("seen", [np.zeros(9), np.zeros((10, 1)), [np.nan] * 10, ["a"] * 10])
def test_scores_that_cannot_be(seen):
    with pytest.raises(InputError, match=r"Dynamic.update: scores have shape .* each of 10 examples"):
        dynamic.Dynamic(10).update(seen)
    with pytest.raises(InputError, match="scores nothing"):
        dynamic.Dynamic(10, rule="random").update(np.zeros(10))


# --- soft pruning


def test_soft_pruning_drops_a_share_of_what_lies_below_the_mean_and_rescales_the_rest():
    schedule, losses = dynamic.Soft(11, epochs=8, drop=0.4, seed=0), np.array([0.1] * 7 + [1.0] * 4)
    assert len(schedule.positions(0)) == 11  # no losses yet
    schedule.observe(np.arange(11), losses)
    drawn = set()
    for epoch in range(1, 7):
        kept, weights = schedule.positions(epoch), schedule.weights(epoch)
        assert len(kept) == 11 - round(0.4 * 7) and {7, 8, 9, 10} <= set(kept)
        np.testing.assert_allclose(weights[kept], np.where(kept < 7, 1 / 0.6, 1.0))
        np.testing.assert_array_equal(np.flatnonzero(weights), kept)
        drawn.add(tuple(kept))
    assert len(drawn) > 1 and len(schedule.positions(7)) == 11  # the last eighth of the epochs
    assert (schedule.weights(7) == 1).all()


def test_soft_pruning_keeps_the_expected_sum_of_losses():
    losses = np.random.default_rng(0).exponential(size=60)
    learned = (losses < losses.mean()).sum()
    sums = []
    for seed in range(400):
        schedule = dynamic.Soft(60, epochs=4, drop=0.5, seed=seed)
        schedule.observe(np.arange(60), losses)
        sums.append((schedule.weights(1) * losses).sum())
    exact = round(0.5 * learned) / learned  # an odd group cannot be halved
    expected = losses[losses >= losses.mean()].sum() + 2 * (1 - exact) * losses[losses < losses.mean()].sum()
    assert np.mean(sums) == pytest.approx(expected, abs=4 * np.std(sums) / 20)


def test_an_epoch_is_drawn_once_whatever_is_observed_meanwhile():
    schedule = dynamic.Soft(20, epochs=5)
    schedule.observe(np.arange(20), np.arange(20.0))
    kept = schedule.positions(1)
    schedule.observe(kept, np.zeros(len(kept)))
    np.testing.assert_array_equal(kept, schedule.positions(1))
    assert schedule.planned(1, 5) == [len(kept)] * 3 + [20]


@pytest.mark.parametrize(
    "changes, message",
    [({"n": 0}, "n=0"), ({"epochs": 0}, "epochs=0"), ({"drop": 1.0}, "drop=1.0"), ({"drop": None}, "drop=None"),
     ({"full_last": 2}, "full_last=2")],
)
def test_soft_pruning_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        dynamic.Soft(**({"n": 10, "epochs": 3} | changes))


@pytest.mark.parametrize("positions, losses", [([10], [1.0]), ([-1], [1.0]), ([0.5], [1.0]), ([0, 1], [1.0]), ([0], [np.inf])])
def test_losses_that_cannot_be(positions, losses):
    with pytest.raises(InputError, match=r"Soft\.observe"):
        dynamic.Soft(10, 3).observe(positions, losses)


def test_settings_of_a_schedule():
    assert dynamic.settings({})["rule"] == "hardest" and dynamic.settings({"rule": "soft"})["drop"] == 0.5
    with pytest.raises(InputError, match="unknown rule 'easy'"):
        dynamic.settings({"rule": "easy"})
    with pytest.raises(InputError, match=r"unknown rule \['hardest'\]"):
        dynamic.settings({"rule": ["hardest"]})
    with pytest.raises(InputError, match="reuse='yes'; say True or False"):
        dynamic.settings({"reuse": "yes"})


@pytest.mark.parametrize("change", [{"_mean": ["a"] * 3}, {"_mean": [0, np.nan, 1]}, {"_mean": [1, [2], 3]}, {"updates": None}])
def test_a_state_with_other_values_is_refused(change):
    schedule = dynamic.Dynamic(3)
    for state in (schedule.state_dict() | change, None, 3, [1]):
        with pytest.raises(InputError, match="Dynamic.load_state_dict"):
            schedule.load_state_dict(state)
    assert schedule.positions(0).tolist() == [0, 1, 2] and schedule.ranked_by().tolist() == [0, 0, 0]
    with pytest.raises(InputError, match="rule='soft' knows no fraction"):
        runs.config(schedule={"rule": "soft", "fraction": 0.5})


def test_a_state_of_another_rule_and_an_epoch_that_is_none_are_refused():
    scored, drawn = dynamic.Dynamic(6), dynamic.Dynamic(6, rule="random")
    scored.update(range(6))
    with pytest.raises(InputError, match="the same rule"):
        drawn.load_state_dict(scored.state_dict())
    drawn.load_state_dict(dynamic.Dynamic(6, rule="random", seed=1).state_dict())
    for schedule in (scored, drawn, dynamic.Soft(6, epochs=4)):
        for epoch in (-1, 1.0, True, None):
            with pytest.raises(InputError, match=f"positions: epoch={epoch}; it is the number of an epoch, 0 or more"):
                schedule.positions(epoch)
        assert schedule.positions(np.int64(0)).tolist() == list(range(6))


# --- in the training loop


def test_a_schedule_that_keeps_everything_changes_no_bit(task):
    plain = loop.fit(config(epochs=3, score_at=[]), task)
    for schedule in ({"rule": "random", "fraction": 1.0}, {"fraction": 1.0}, {"rule": "soft", "drop": 0.0}):
        scheduled = loop.fit(config(epochs=3, score_at=[], schedule=schedule), task)
        np.testing.assert_array_equal(plain.arrays["test_predictions"], scheduled.arrays["test_predictions"])
        assert plain.metrics["test_accuracy"] == scheduled.metrics["test_accuracy"]


def test_the_account_of_a_dynamic_run(task):
    """49 examples in batches of 8: an epoch on everything is 7 updates, one on 10 kept is 2."""
    made = config(epochs=5, score_at=[], schedule={"fraction": 0.2})
    metrics = loop.fit(made, task).metrics
    assert metrics["updates"] == 7 + 4 * 2 and metrics["examples"] == 49 + 4 * 10 and metrics["scored"] == 2 * 49
    assert metrics["n_kept"] == round((49 + 40) / 5) and metrics["scoring_seconds"] > 0
    cost = _cost(made, range(49))
    assert (cost["updates"], cost["trained"], cost["scored"]) == (15, 89, 98)
    random = loop.fit(config(epochs=5, score_at=[], schedule={"fraction": 0.2, "rule": "random"}), task).metrics
    assert {k: random[k] for k in ("updates", "examples", "n_kept")} == {k: metrics[k] for k in ("updates", "examples", "n_kept")}
    assert random["scored"] == 0


@pytest.mark.parametrize("schedule", [{"fraction": 0.3}, {"rule": "soft"}, None])
def test_the_learning_rate_ends_at_the_last_update(task, schedule, monkeypatch):
    seen, rate = [], loop.rate
    monkeypatch.setattr(loop, "rate", lambda step, total: seen.append((step, total)) or rate(step, total))
    metrics = loop.fit(config(epochs=6, score_at=[], schedule=schedule), task).metrics
    assert seen[-1] == (metrics["updates"], metrics["updates"]) and rate(*seen[-1]) == 0
    if schedule == {"rule": "soft"}:
        assert len({total for _, total in seen}) > 1 and metrics["examples"] < 6 * 49


def test_the_rate_is_that_of_transformers():
    from transformers import get_linear_schedule_with_warmup

    for total in (1, 7, 100):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        theirs = get_linear_schedule_with_warmup(optimizer, int(np.ceil(0.1 * total)), total)
        for step in range(total + 1):
            assert theirs.get_last_lr()[0] == loop.rate(step, total)
            optimizer.step()
            theirs.step()


def test_a_constant_rate_is_another_run_and_the_default_is_the_old_one(task):
    assert runs.key(config(decay=True)) == runs.key(config()) != runs.key(config(decay=False))
    falling, constant = (loop.fit(config(epochs=2, decay=decay), task).arrays["logits"][1] for decay in (True, False))
    assert not np.array_equal(falling, constant)


def test_scores_of_a_schedule_are_el2n_in_eval_mode(task):
    problem = kinds.prepare(config(), task, "cpu")
    slow = scores.el2n(runs.probabilities(kinds.predict(problem.model, problem.splits["train"])["logits"]), task.train.labels)
    problem.model.train()
    np.testing.assert_allclose(pruning.el2n(problem, dropout=False), slow, rtol=1e-12)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        one, other = pruning.el2n(problem, dropout=True), pruning.el2n(problem, dropout=True)
    assert not np.array_equal(one, other)
    assert problem.model.training and not any(module._forward_pre_hooks for module in problem.model.modules())


def test_dropout_while_scoring_is_the_dropout_of_training(task):
    model = encoders.classifier("tiny", 3, seed=0)
    encoded = kinds.encode(config(), task, model, "cpu")["train"]
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(5)
        model.train()
        truth = model(**kinds._inputs(encoded.batch(np.arange(8)))).logits
        model.eval()
        torch.manual_seed(5)
        with kinds.dropout_on(model):
            model.eval()
            hooked = model(**kinds._inputs(encoded.batch(np.arange(8)))).logits
    assert torch.equal(truth, hooked) and not any(module.training for module in model.modules())


def test_scores_from_the_training_pass_are_those_of_a_pass_where_nothing_moves(task):
    """Without dropout and without updates both ways see the same model; only what was left out takes a pass."""
    problem = kinds.prepare(config(), task, "cpu")
    free, examples = pruning.FromTraining(problem), problem.splits["train"]
    problem.model.eval()
    kept = np.arange(0, len(task.train), 2)
    for positions in examples.in_order_of_length(kept, 8):
        free.loss(problem.model, examples.batch(positions), positions)
    values, passed = free.complete(kept)
    np.testing.assert_allclose(values, pruning.el2n(problem, dropout=False), rtol=1e-4, atol=1e-6)
    assert passed == len(task.train) - len(kept) and not problem.model.classifier._forward_hooks


def test_a_cycle_pays_only_for_what_it_dropped(task):
    n, schedule = len(task.train), {"fraction": 0.4, "warmup": 1, "every": 1}
    run = loop.fit(config(score_at=[], epochs=4, schedule=schedule | {"reuse": True}), task)
    assert run.metrics["scored"] == 0 + 2 * (n - round(0.4 * n)) == dynamic.bill(schedule | {"reuse": True}, n, 4)[1]
    plain = loop.fit(config(score_at=[], epochs=4, schedule=schedule), task)
    assert plain.metrics["scored"] == 3 * n == dynamic.bill(schedule, n, 4)[1]
    assert plain.metrics["examples"] == run.metrics["examples"]


def test_the_default_of_a_later_setting_is_not_in_the_config():
    assert dynamic.settings({"reuse": False}) == dynamic.settings({}) and "reuse" not in dynamic.settings({})
    assert dynamic.settings({"reuse": True})["reuse"] is True
    with pytest.raises(InputError, match="leave out dropout"):
        dynamic.settings({"reuse": True, "dropout": True})
    with pytest.raises(InputError, match="knows no reuse"):
        dynamic.settings({"rule": "random", "reuse": True})


@pytest.mark.parametrize("changes", [{"score_at": [0]}, {"budget": "steps"}, {}])
def test_a_schedule_stands_alone(task, changes):
    made = config(**({"score_at": [], "schedule": {"fraction": 0.5}} | changes))
    with pytest.raises(InputError, match="goes with neither"):
        loop.fit(made, task, None if changes else np.arange(5))


# --- the chapter

FULL = ("full", 1.0)


def of_words(**changes):
    own = {"score_at": ["1ep"], "epochs": 5, "every": 2, "warmups": [0, 2], "fractions": [0.3, 0.6], "ablation": 0.3,
           "ablations": ["smoothing", "dropout", "reuse", "rate"]}
    return settings("dynamic-pruning", **(own | changes))


FIVE = of_words(seeds=5)
EVERY = chapter.runs.arms(FIVE, "words")


def made_up(chosen, accuracy, task="words", column="test_accuracy", without=()):
    """Rows of every arm with the account of its config; `accuracy`: (arm, fraction) or arm -> its level, or a value a seed.

    Levels wobble by seed; `without` lists ((arm, fraction), seed) that are not stored.
    """
    out, n = [], 1000
    for place, (arm, configs) in enumerate(chapter.runs.arms(chosen, task).items()):
        level = accuracy.get(arm, accuracy.get(arm[0], 0.8))
        for run in configs:
            cost, seed = _cost(run, range(n)), run["seed"]
            value = level[seed] if isinstance(level, list) else level + 0.0001 * (place + 1) * (seed - 2)
            if (arm, seed) not in without:
                out += rows([run], [value], column, updates=cost["updates"], examples=cost["trained"], scored=cost["scored"],
                            n_kept=n if run["keep"] is None else round(run["keep"]["fraction"] * n),
                            train_seconds=cost["trained"] / 100, scoring_seconds=cost["scored"] / 300)
    return pd.DataFrame(out)


def test_the_bill_counts_every_pass():
    found = chapter.runs.account(FIVE, made_up(FIVE, {}), "words")
    units = {arm: rows["units"].iloc[0] / 1000 for arm, rows in found.items()}
    assert units["full", 1.0] == 15  # its scoring pass is static pruning's business
    assert units["random static", 0.3] == pytest.approx(4.5) and units["random dynamic", 0.3] == pytest.approx(3 * (1 + 4 * 0.3))
    assert units["static, one run", 0.3] == pytest.approx(4.5 + 3 + 1)  # one run, one epoch, one pass
    assert units["static", 0.3] == pytest.approx(4.5 + 4 * (3 + 1))
    assert units["dynamic", 0.3] == pytest.approx(3 * (1 + 4 * 0.3) + 2)
    assert units["cycles of 1", 0.3] == units["cycles of 1, smoothed", 0.3] == pytest.approx(3 * (1 + 4 * 0.3) + 4)
    assert found["static, one run", 0.3]["seconds"].iloc[0] == pytest.approx(15 + 10 + 10 / 3)
    assert found["dynamic", 0.3]["seconds"].iloc[0] == pytest.approx(10 * (1 + 4 * 0.3) + 2 * 10 / 3)
    assert found["full", 1.0]["seconds"].iloc[0] == pytest.approx(50)
    assert found["dynamic", 0.3]["cost"].iloc[0] == pytest.approx(8.6 / 15) and found["full", 1.0]["cost"].iloc[0] == 1
    assert found["static", 0.3]["scoring_bill"].iloc[0] == 16000 and found["dynamic", 0.3]["scoring_bill"].iloc[0] == 0
    same = found["first phase of 0, equal updates", 0.3]["updates"].iloc[0], found["dynamic", 0.3]["updates"].iloc[0]
    assert abs(same[0] - same[1]) <= 0.1 * same[1]
    bill = chapter.runs.bill(FIVE, made_up(FIVE, {})).set_index(["arm", "fraction"])
    assert list(bill.index) == list(EVERY) and set(bill["seeds"]) == {5}
    assert bill.at[("dynamic", 0.3), "units"] == pytest.approx(8600)


def test_scoring_points_that_choose_nothing_are_not_billed():
    more = of_words(seeds=5, score_at=[0, "1ep", "2ep"])
    found = chapter.runs.account(more, made_up(more, {}), "words")
    assert found["static, one run", 0.3]["units"].iloc[0] == pytest.approx(8500)
    assert found["static, one run", 0.3]["seconds"].iloc[0] == pytest.approx(15 + 10 + 10 / 3)


def test_a_run_whose_scoring_run_is_not_stored_has_an_accuracy_and_no_cost():
    """One run missing: of the full data, seed 3. It scored for seed 2 alone, and for every average but its own."""
    made = made_up(FIVE, {}, without=[(FULL, 3)])
    found, whole = chapter.runs.account(FIVE, made, "words"), chapter.runs.account(FIVE, made_up(FIVE, {}), "words")
    assert list(found[FULL].index) == [0, 1, 2, 4]
    one, average = found["static, one run", 0.3], found["static", 0.3]
    assert list(one.index[one["units"].isna()]) == [2] and list(average.index[average["units"].isna()]) == [0, 1, 2, 4]
    assert one["accuracy"].equals(whole["static, one run", 0.3]["accuracy"])
    pd.testing.assert_frame_equal(found["dynamic", 0.6], whole["dynamic", 0.6])  # n is known from the other seeds
    without = made_up(FIVE, {}, without=[(FULL, seed) for seed in range(5)])
    assert chapter.runs.account(FIVE, without, "words")["dynamic", 0.3]["cost"].isna().all()  # n is not known at all
    assert chapter.runs.account(FIVE, without, "words")["dynamic", 0.3]["units"].notna().all()
    bill = chapter.runs.bill(FIVE, made).set_index(["arm", "fraction"])
    assert bill.at[FULL, "seeds"] == 4 and bill.at[("static, one run", 0.3), "seeds"] == 5


def test_static_is_read_at_the_cost_of_dynamic():
    made = made_up(FIVE, {("static, one run", 0.3): [0.6] * 5, ("static, one run", 0.6): [0.7] * 5, FULL: [0.8] * 5})
    found = chapter.runs.account(FIVE, made, "words")
    # static costs 8.5, 13 and 15 thousand units at 0.3, 0.6 and all; dynamic costs 8.6 at 0.3 and 12.2 at 0.6
    for fraction, truth in ((0.3, 0.6 + 0.1 * 0.1 / 4.5), (0.6, 0.6 + 0.1 * 3.7 / 4.5)):
        at_cost = chapter.runs.static_at_cost_of_dynamic(FIVE, found, fraction)
        assert len(at_cost) == 5 and at_cost[2] == pytest.approx(truth)
    cheap = {arm: rows.assign(units=1.0) if arm == ("dynamic", 0.3) else rows for arm, rows in found.items()}
    assert chapter.runs.static_at_cost_of_dynamic(FIVE, cheap, 0.3)[2] == pytest.approx(0.6)


# A rule's part -> its place, the arm that is claimed to be better, the other arm, the margin.
PARTS = {
    "NDD-1": (0, ("dynamic", 0.6), FULL, -0.005),
    "NDD-2": (0, ("dynamic", 0.3), FULL, -0.015),
    "NDD-3, the larger": (0, ("dynamic", 0.6), "static", 0.0),
    "NDD-3, the smaller": (1, ("dynamic", 0.3), "static", 0.0),
    "NDD-4, same epochs": (0, ("dynamic", 0.3), ("first phase of 0", 0.3), 0.0),
    "NDD-4, same updates": (1, ("dynamic", 0.3), ("first phase of 0, equal updates", 0.3), 0.0),
    "NDD-5": (0, ("cycles of 1, smoothed", 0.3), ("cycles of 1", 0.3), 0.0),
}
LINE = (("static, one run", 0.3), ("static, one run", 0.6), FULL)  # where static reaches the same, the line through it is level


def decided(name, gains, without=(), base=(0.1, 0.3, 0.5, 0.7, 0.9)):
    """The part of a rule for an arm that is better by the margin and `gains`, by seed; seeds differ by far more."""
    place, arm, other, margin = PARTS[name]
    values = {each: list(base) for each in (LINE if other == "static" else [other])}
    values[arm] = [value + margin + gain for value, gain in zip(base, gains, strict=True)]
    made = made_up(FIVE, values, without=without)
    return ledger.decide(name.split(",")[0], FIVE, made).parts[place]


@pytest.mark.parametrize("name", PARTS)
def test_a_part_holds_on_its_side_of_the_margin_and_fails_on_the_other(name):
    for gain, outcome in ((0.001, "holds"), (-0.001, "fails"), (0.0, "undecided")):
        assert decided(name, around(gain, wobble=1e-4)).outcome == outcome


@pytest.mark.parametrize("name", PARTS)
def test_runs_missing_from_either_arm_leave_the_seeds_that_both_have(name):
    _, arm, other, margin = PARTS[name]
    gains, without = [0.01, 5.0, 0.02, 5.0, 0.06], [(arm, 1), (("static, one run", 0.3) if other == "static" else other, 3)]
    found = decided(name, gains, without)
    assert (found.n, found.effect) == (3, pytest.approx(margin + 0.03))
    assert decided(name, gains, [(arm, seed) for seed in range(4)]).outcome == "no runs"


def test_static_at_equal_cost_leaves_out_the_seeds_whose_bill_is_not_known():
    found = decided("NDD-3, the smaller", [0.01, 5.0, 5.0, 5.0, 0.03], [(("dynamic", 0.3), 1), (FULL, 3)])
    assert (found.n, found.effect) == (2, pytest.approx(0.02))  # seed 3 is not stored, and it scored for seed 2


@pytest.mark.parametrize(
    "accuracy, outcomes",
    [
        ({"dynamic": 0.8, "full": 0.8, "static, one run": 0.7, "first phase of 0": 0.7, "first phase of 0, equal updates": 0.9,
          "cycles of 1, smoothed": 0.82}, "agrees agrees agrees partly agrees"),
        ({"dynamic": 0.79, "full": 0.8, "static, one run": 0.85, "first phase of 0": 0.85,
          "first phase of 0, equal updates": 0.85, "cycles of 1, smoothed": 0.7},
         "disagrees agrees disagrees disagrees disagrees"),
    ],
)
def test_dynamic_rules(accuracy, outcomes):
    table = made_up(FIVE, accuracy)
    assert [outcome_of(f"NDD-{i}", FIVE, table) for i in range(1, 6)] == outcomes.split()
    for i in range(1, 6):
        assert ledger.decide(f"NDD-{i}", FIVE, pd.DataFrame()).verdict == "no runs yet"


@pytest.mark.parametrize("low, on_the_floor", [
    (("dynamic", 0.3), [False, True]),
    (("static, one run", 0.3), [True, True]),  # the line to 60 % starts at it, and both costs lie on that
    (("static, one run", 0.6), [True, True]),
    (("static", 0.3), [False, False]),  # is on no line
])
def test_a_cost_read_off_a_line_knows_the_floor_of_the_arms_it_is_read_between(low, on_the_floor):
    keys = {runs.key(run) for run in chapter.runs.arms(FIVE, "words")[low]}
    made = made_up(FIVE, {"static, one run": 0.7})
    made = made.assign(test_matthews=np.where(made["key"].isin(keys), 0.0, 0.5))
    units = {name: rows["units"].mean() for name, rows in chapter.runs.account(FIVE, made, "words").items()}
    cheap, costly = units["static, one run", 0.3], units["static, one run", 0.6]
    assert cheap < units["dynamic", 0.3] < units["dynamic", 0.6] < costly < units[FULL]
    assert [part.constant == 1.0 for part in ledger.decide("NDD-3", FIVE, made).parts] == on_the_floor


def test_the_runs_the_account_and_the_figures_on_real_runs(words):  # noqa: F811
    import matplotlib

    matplotlib.use("Agg")
    chosen = of_words(seeds=2, epochs=3, every=1)
    configs = chapter.runs.wanted(chosen)
    table = runs.sweep(configs)
    assert len(table) == len(configs) and set(table["rule"]) >= {"full", "dynamic hardest", "dynamic random", "dynamic soft"}
    bill, none = chapter.runs.bill(chosen, table), pd.DataFrame()
    assert len(bill) == len(EVERY) and (bill["cost"] > 0).all() and set(bill["seeds"]) == {2}
    empty = chapter.runs.bill(chosen, none)
    assert list(empty) == list(bill) and set(empty["seeds"]) == {0} and empty["cost"].isna().all()
    first = runs.key(scoring(chosen, "words")[0])
    views = [View("This machine", chosen, table), View("In part", chosen, table[table["key"] != first]),
             View("Published", chosen, none)]
    for draw in (figures.frontier, figures.frontier_in_seconds, figures.one_change):
        assert len(draw(views).axes) == 3
    gains = figures.against_random(views).axes
    assert len(gains) == 3 * len(chosen["fractions"])
    assert [len(ax.texts) for ax in gains] == [0, 0, 0, 0, 1, 1]  # the last view has no runs, and says so
    assert all("no runs yet" in pages.verdict(f"NDD-{i}", views).text for i in range(1, 6))
    reached = chapter.runs.accuracy(views[1], "words", "full", 1.0)
    assert list(reached.index) == [1] and reached[1] == chapter.runs.accuracy(views[0], "words", "full", 1.0)[1]
    again = runs.again(configs[-1])[0]
    assert again["test_accuracy"] == table.iloc[-1]["test_accuracy"]


def test_a_frontier_is_drawn_at_the_mean_cost_of_its_arm():
    view = View("Made", FIVE, made_up(FIVE, {"dynamic": 0.7}))
    axes = figures.frontier([view]).axes[0]
    (drawn,) = [each for each in axes.containers if each.get_label() == "dynamic EL2N"]
    assert drawn.lines[0].get_xdata() == pytest.approx([8.6 / 15, 12.2 / 15])
    assert drawn.lines[0].get_ydata() == pytest.approx([0.7, 0.7])


def test_one_change_names_every_arm_that_changes_something():
    axes = figures.one_change([View("Made", FIVE, made_up(FIVE, {}))]).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        "as it is", "random", "full data", "no first phase", "equal updates", "first phase of 2", "cycles of 1", "smoothed too",
        "dropout in scoring", "scored in training", "constant rate", "constant rate, random", "constant rate, full data"]
    bare = of_words(warmups=[], ablations=[])
    assert len(figures.one_change([View("Made", bare, made_up(bare, {}))]).axes[0].texts) == 1  # nothing to draw, said in words


def test_a_task_of_its_own_settings_is_without_the_arms_it_leaves_out():
    own = {"warmups": [], "ablations": [], "fractions": [0.5], "epochs": 7}
    chosen = of_words(seeds=5, tasks=["words", "cola"], per_task={"cola": own})
    assert {name for name, _ in chapter.runs.arms(chosen, "cola")} == {
        "full", "soft", "random static", "static", "static, one run", "random dynamic", "dynamic"}
    assert {run["epochs"] for run in chapter.runs.arms(chosen, "cola")["dynamic", 0.5]} == {7}
    table = pd.concat([made_up(chosen, {}), made_up(chosen, {}, "cola", "test_matthews")])
    judged = chapter.runs.account(chosen, table.assign(test_accuracy=0.5), "cola")["dynamic", 0.5]["accuracy"]
    assert judged[2] == pytest.approx(0.8), "CoLA is judged by Matthews' correlation"
    for claim, count in (("NDD-1", 2), ("NDD-3", 3), ("NDD-4", 2), ("NDD-5", 1)):
        parts = ledger.decide(claim, chosen, table).parts
        assert len(parts) == count and all(part.n == 5 for part in parts)
        assert claim not in ("NDD-4", "NDD-5") or all(part.name.startswith("words") for part in parts)
    assert ledger.decide("NDD-1", chosen, table).parts[1].name == "cola: dynamic EL2N, 50% kept - full data"


def test_the_method_is_asked_for_at_the_fraction_where_it_is_changed():
    arms = chapter.runs.arms(of_words(fractions=[0.6]), "words")
    assert {f for name, f in arms if name == "dynamic"} == {0.3, 0.6} == {f for name, f in arms if name == "random dynamic"}
    assert {f for name, f in arms if name == "static"} == {0.6}


def test_what_one_change_changes():
    """Each arm differs from the method as it is in one thing of its schedule, or in its learning rate."""
    def of(name, fraction=0.3):
        return EVERY[name, fraction][3]

    plain = of("dynamic")
    assert plain["schedule"] == dynamic.settings({"fraction": 0.3, "warmup": 1, "every": 2}) and plain["decay"] is True
    for name, change in (("first phase of 0", {"warmup": 0}), ("first phase of 2", {"warmup": 2}), ("cycles of 1", {"every": 1}),
                         ("cycles of 1, smoothed", {"every": 1, "alpha": 0.8, "spread": 1.0}),
                         ("dropout in scoring", {"dropout": True}), ("scored in training", {"reuse": True})):
        assert of(name) == plain | {"schedule": plain["schedule"] | change}
    longer = of("first phase of 0, equal updates")
    assert longer == of("first phase of 0") | {"epochs": 7}  # 1 + 4 * 0.3 = 2.2 of the full set, in epochs of 0.3
    assert of("other rate, dynamic") == plain | {"decay": False}
    assert of("other rate, random dynamic") == of("random dynamic") | {"decay": False}
    assert of("other rate, full", 1.0) == of("full", 1.0) | {"decay": False, "score_at": []}
    constant = chapter.runs.arms(of_words(seeds=5, decay=False), "words")
    for arm in ("full", 1.0), ("static", 0.3), ("random static", 0.3), ("dynamic", 0.3):
        run = constant[arm][3]
        assert run["decay"] is False and all(source["decay"] is False for source in runs.scoring_runs(run))
    assert constant["other rate, dynamic", 0.3][3]["decay"] is True


def test_static_arms_are_chosen_once_by_other_seeds():
    kept = {name: EVERY[name, 0.3][3]["keep"] for name in ("static", "static, one run", "random static")}
    assert [keep["rule"] for keep in kept.values()] == ["hardest", "hardest", "random"]
    assert (kept["static"]["seeds"], kept["static, one run"]["seeds"], kept["random static"]["seeds"]) == ([0, 1, 2, 4], [4], [])
    assert kept["static"]["score"] == "el2n" and kept["static"]["at"] == "1ep"


def test_an_ablation_that_is_none():
    with pytest.raises(InputError, match="ablations of 'words' name 'smothing'; choose among smoothing, dropout, reuse, rate"):
        chapter.runs.wanted(of_words(ablations=["smothing", "rate"]))


def judged(predicted, labels):
    split = Split(np.arange(len(labels)), np.asarray(labels), {})
    return kinds.accuracy(split, {"logits": np.eye(4)[predicted]})


@pytest.mark.parametrize("seed", range(5))
def test_accuracy_and_matthews_are_their_formulas(seed):
    """Gorodkin (2004): ``(c s - p t) / sqrt((s^2 - p p) (s^2 - t t))``, with counts p of predictions and t of labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, 50)
    predicted = np.where(rng.random(50) < 0.2 * seed, labels, rng.integers(0, 4, 50))
    p, t = (np.bincount(values, minlength=4).astype(float) for values in (predicted, labels))
    truth = (50 * (predicted == labels).sum() - p @ t) / np.sqrt((2500 - p @ p) * (2500 - t @ t))
    assert judged(predicted, labels) == {"accuracy": np.mean(predicted == labels), "matthews": pytest.approx(truth)}


def test_matthews_of_one_class_is_0():
    for predicted, labels in (([1, 1, 1], [0, 1, 2]), ([0, 1, 2], [1, 1, 1]), ([1, 1], [1, 1])):
        assert judged(predicted, labels)["matthews"] == 0


def test_planned_cost():
    assert chapter.runs.planned_cost(10, fraction=1.0, rule="random") == 1
    assert chapter.runs.planned_cost(10, fraction=0.5, rule="random") == pytest.approx(0.55)
    assert chapter.runs.planned_cost(10, fraction=0.2, every=4) == pytest.approx((1 + 9 * 0.2 + 3 / 3) / 10)
    assert 0.7 < chapter.runs.planned_cost(10, rule="soft") < 0.9
