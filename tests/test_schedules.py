"""Schedules by themselves, against slow truths on fresh random input; which draws they make is fixed to the position."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from datadiet import dynamic
from datadiet.errors import InputError

CYCLES = st.fixed_dictionaries({
    "n": st.integers(1, 40), "fraction": st.sampled_from([0.1, 0.3, 0.5, 0.75, 1.0]), "warmup": st.integers(0, 3),
    "every": st.integers(1, 4), "offset": st.sampled_from([0.0, 0.1, 0.25]), "alpha": st.sampled_from([0.3, 0.8, 1.0]),
    "spread": st.sampled_from([0.0, 1.5]), "seed": st.integers(0, 5)})


def smoothed(history, alpha, spread):
    """Weighted mean of each example's scores, and spread times their unbiased weighted standard deviation, by definition."""
    weights = [(1 - alpha) ** age * (1 if age == len(history) - 1 else alpha) for age in reversed(range(len(history)))]
    out = []
    for each in np.transpose(history):
        mean = sum(w * v for w, v in zip(weights, each, strict=True))
        variance = sum(w * (v - mean) ** 2 for w, v in zip(weights, each, strict=True))
        unbiased = variance / (1 - sum(w * w for w in weights)) if len(history) > 1 and alpha < 1 else 0.0
        out.append(mean + spread * math.sqrt(unbiased))
    return out


@given(CYCLES, st.integers(0, 2**32 - 1))
@examples(max_examples=150, deadline=None)
def test_cycles_are_those_of_the_slow_truth(chosen, drawn_from):
    """Epoch by epoch: when scores are due, how many examples, which ones. The truth looks at the whole history each time."""
    n, size = chosen["n"], round(chosen["fraction"] * chosen["n"])
    if not size or chosen["offset"] + chosen["fraction"] > 1 or (chosen["spread"] and chosen["alpha"] == 1):
        return
    schedule, rng, history, sizes = dynamic.Dynamic(**chosen), np.random.default_rng(drawn_from), [], []
    for epoch in range(12):
        opens = epoch >= chosen["warmup"] and (epoch - chosen["warmup"]) % chosen["every"] == 0
        assert schedule.due(epoch) is (opens and epoch > 0)
        if schedule.due(epoch):
            history.append(rng.permutation(n).astype(float))  # no two equal
            given_scores = history[-1].copy()
            schedule.update(given_scores)
            np.testing.assert_array_equal(given_scores, history[-1])
        kept = schedule.positions(epoch)
        if epoch < chosen["warmup"]:
            expected = list(range(n))
        elif not history:
            draw = np.random.default_rng([7_210_001, chosen["seed"], 0])
            expected = sorted(draw.permutation(n)[:size])
        else:
            truth = smoothed(history, chosen["alpha"], chosen["spread"])
            np.testing.assert_allclose(schedule.ranked_by(), truth, rtol=1e-9, atol=1e-9)
            skip = min(round(chosen["offset"] * n), n - size)
            ranking = sorted(range(n), key=lambda i: (-schedule.ranked_by()[i], i))
            expected = sorted(ranking[skip:skip + size])
        assert kept.tolist() == expected and len(kept) == schedule.size(epoch) and kept.dtype == np.int64
        assert schedule.weights(epoch).tolist() == [1.0] * n
        sizes.append(len(kept))
    assert schedule.planned(0, 12) == sizes and schedule.planned(5, 12) == sizes[5:] and schedule.updates == len(history)


@pytest.mark.parametrize("seed, epoch, expected", [
    (0, 1, [0, 2, 9]), (0, 2, [0, 2, 9]), (0, 3, [5, 8, 9]), (4, 1, [3, 5, 9]),
])
def test_random_cycles_draw_what_they_always_drew(seed, epoch, expected):
    schedule = dynamic.Dynamic(12, fraction=0.25, rule="random", seed=seed)
    assert schedule.positions(epoch).tolist() == expected
    assert schedule.positions(0).tolist() == list(range(12)) and not any(map(schedule.due, range(9)))
    assert schedule.planned(0, 4) == [12, 3, 3, 3]


def test_the_defaults_are_those_of_the_paper():
    """Written out beside the short form: the same epochs, the same draws."""
    pairs = [(dynamic.Dynamic(20), dynamic.Dynamic(20, 0.5, "hardest", 1, 2, 0.0, 1.0, 0.0, 0))]
    pairs += [(dynamic.Dynamic(20, rule="random"), dynamic.Dynamic(20, 0.5, "random", 1, 2, 0.0, 1.0, 0.0, 0))]
    rng = np.random.default_rng()
    for short, whole in pairs:
        for epoch in range(7):
            assert short.due(epoch) == whole.due(epoch)
            if short.due(epoch):
                now = rng.random(20)
                short.update(now), whole.update(now)
            assert short.positions(epoch).tolist() == whole.positions(epoch).tolist()
    short, whole = dynamic.Soft(20, 9), dynamic.Soft(20, 9, 0.5, 0.125, 0)
    for schedule in (short, whole):
        schedule.observe(np.arange(20), np.arange(20.0))
    assert [short.positions(e).tolist() for e in range(9)] == [whole.positions(e).tolist() for e in range(9)]
    assert short.pruned_until == 7  # an eighth of 9 epochs, rounded up, sees everything


def test_spread_needs_two_scores_and_a_memory():
    schedule = dynamic.Dynamic(3, alpha=0.5, spread=2.0)
    schedule.update([1.0, 2.0, 3.0])
    assert schedule.ranked_by().tolist() == [1, 2, 3]
    schedule.update([3.0, 2.0, 1.0])  # means 2, 2, 2; unbiased standard deviations sqrt(2), 0, sqrt(2)
    np.testing.assert_allclose(schedule.ranked_by(), [2 + 2 * 2**0.5, 2, 2 + 2 * 2**0.5])


@given(st.integers(1, 40), st.integers(1, 9), st.sampled_from([0.0, 0.3, 0.5, 0.9]), st.sampled_from([0.0, 0.125, 0.5, 1.0]),
       st.integers(0, 5), st.integers(0, 2**32 - 1))
@examples(max_examples=150, deadline=None)
def test_soft_pruning_is_that_of_the_slow_truth(n, epochs, drop, full_last, seed, drawn_from):
    """Losses come in batches; which examples are left out is drawn from the losses known when the epoch begins."""
    schedule, rng, known = dynamic.Soft(n, epochs, drop, full_last, seed), np.random.default_rng(drawn_from), {}
    full_from = epochs - math.ceil(full_last * epochs)
    for epoch in range(epochs):
        weights = [1.0] * n
        if len(known) == n and epoch < full_from:
            mean = np.mean([known[i] for i in range(n)])
            learned = [i for i in range(n) if known[i] < mean]
            left_out = np.random.default_rng([7_210_001, seed, epoch]).permutation(learned)[: round(drop * len(learned))]
            weights = [1 / (1 - drop) if i in learned else 1.0 for i in range(n)]
            for i in left_out:
                weights[int(i)] = 0.0
        kept = schedule.positions(epoch)
        assert schedule.weights(epoch).tolist() == weights and kept.tolist() == [i for i in range(n) if weights[i]]
        assert kept.dtype == np.int64 and not schedule.due(epoch)
        later = [len(kept) if e < full_from else n for e in range(epoch + 1, epochs)]
        assert schedule.planned(epoch, epochs) == [len(kept), *later]
        for batch in np.array_split(rng.permutation(kept), 3):
            losses = rng.exponential(size=len(batch))
            schedule.observe(batch, losses)
            known |= dict(zip(batch.tolist(), losses, strict=True))
        again = schedule.weights(epoch)
        again[:] = 7  # a copy: the caller's own
        assert schedule.weights(epoch).tolist() == weights


def test_nothing_is_dropped_before_every_loss_is_known():
    schedule = dynamic.Soft(4, epochs=5, drop=0.9)
    schedule.observe([0, 1, 2], [0.1, 0.2, 5.0])
    assert schedule.positions(1).tolist() == [0, 1, 2, 3]
    schedule.observe([3], [0.3])
    assert len(schedule.positions(2)) == 1 and schedule.positions(2).tolist() == [2]


def test_losses_at_the_mean_are_not_below_it():
    schedule = dynamic.Soft(5, epochs=4)
    schedule.observe(range(5), [1.0] * 5)
    assert schedule.positions(1).tolist() == [0, 1, 2, 3, 4] and schedule.weights(1).tolist() == [1.0] * 5


# --- bad input


def test_tensors_that_numpy_cannot_take_are_refused():
    torch = pytest.importorskip("torch")
    soft, cycles, ones = dynamic.Soft(6, epochs=4), dynamic.Dynamic(6), torch.ones(6)
    for bad in (ones.bfloat16(), ones.clone().requires_grad_()):
        for call, name in ((lambda bad=bad: soft.observe(torch.arange(6), bad), "Soft.observe: losses"),
                           (lambda bad=bad: soft.observe(bad, ones), "Soft.observe: positions"),
                           (lambda bad=bad: cycles.update(bad), "Dynamic.update: scores")):
            with pytest.raises(InputError, match=rf"^dynamic\.{name} cannot be read as an array .*\.float\(\)\.cpu\(\)"):
                call()
    soft.observe(torch.arange(6), ones.bfloat16().float())
    assert len(soft.positions(1)) == 6


@pytest.mark.parametrize("positions, losses, said", [
    ([0, 10], [1.0, 1.0], "from 0 to 9"), ([-1], [1.0], "from 0 to 9"), ([0.5], [1.0], "type float64"),
    ([[0]], [1.0], r"positions must be whole numbers .* shape \(1, 1\)"), ([True], [1.0], "type bool"),
    ([0, 1], [1.0], r"losses have shape \(1,\) .* each of 2 examples"), ([0], [np.nan], "losses"),
    ([0], ["a"], "losses"), ([0], [True], "losses"), ([[0], [1, 2]], [1.0], "positions cannot be read"),
])
def test_a_batch_that_is_refused_changes_nothing(positions, losses, said):
    schedule = dynamic.Soft(10, 5, drop=0.9)
    schedule.observe(range(10), [0.1] * 9 + [9.0])
    with pytest.raises(InputError, match=rf"dynamic\.Soft\.observe: .*{said}"):
        schedule.observe(positions, losses)
    assert len(schedule.positions(1)) == 2


WHOLE_NUMBERS = ("n", "epochs", "warmup", "every", "seed")
ENDS = {  # setting -> taken, refused
    "n": ([1, np.int64(3)], [0, -1]), "epochs": ([1], [0]), "warmup": ([0, 5], [-1]), "every": ([1, 7], [0]),
    "seed": ([0, 7], [-1]),
    "fraction": ([1, 1.0, 0.1], [0, 0.0, 1.0001, -0.5]), "alpha": ([1, 1.0, 0.01], [0, 0.0, 1.0001, -1]),
    "spread": ([0, 0.0], [-0.001, math.inf]), "drop": ([0, 0.99], [-0.001, 1, 1.0]), "full_last": ([0, 1, 1.0], [-0.001, 1.001]),
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("make, of_it", [
    (lambda **changes: dynamic.Dynamic(**{"n": 10, "fraction": 1.0} | changes),
     ("n", "fraction", "warmup", "every", "alpha", "spread", "seed")),
    (lambda **changes: dynamic.Soft(**{"n": 10, "epochs": 3} | changes), ("n", "epochs", "drop", "full_last", "seed")),
], ids=["Dynamic", "Soft"])
def test_both_ends_of_each_setting(make, of_it, name):
    """The ends are taken; one step beyond is refused by name, and so is what is no number."""
    if name not in of_it:
        return
    taken, refused = ENDS[name]
    for value in taken:
        make(**{name: value})
    for value in [*refused, "1", None, True, math.nan, *([1.0] if name in WHOLE_NUMBERS else [])]:
        with pytest.raises(InputError, match=rf"^dynamic\.(Dynamic|Soft): {name}=.*; it is (the|a|epochs) "):
            make(**{name: value})


def test_smoothing_goes_with_the_ranking_only():
    for changes in ({"alpha": 0.5}, {"spread": 1.0}, {"alpha": 0.5, "spread": 1.0}):
        with pytest.raises(InputError, match="mean nothing to rule='random'"):
            dynamic.Dynamic(10, rule="random", **changes)
    with pytest.raises(InputError, match="spread=0.5 with alpha=1"):
        dynamic.Dynamic(10, spread=0.5)
    dynamic.Dynamic(10, alpha=0.5), dynamic.Dynamic(10, alpha=0.99, spread=0.5)


# --- in a run's config

WHOLE = [
    ({}, {"rule": "hardest", "fraction": 0.5, "warmup": 1, "every": 2, "offset": 0.0, "alpha": 1.0, "spread": 0.0,
          "dropout": False}),
    ({"rule": "random", "every": 3}, {"rule": "random", "fraction": 0.5, "warmup": 1, "every": 3}),
    ({"rule": "soft", "drop": 0.25}, {"rule": "soft", "drop": 0.25, "full_last": 0.125}),
    ({"reuse": True, "fraction": 0.2}, {"rule": "hardest", "fraction": 0.2, "warmup": 1, "every": 2, "offset": 0.0, "alpha": 1.0,
                                        "spread": 0.0, "dropout": False, "reuse": True}),
    ({"reuse": False, "dropout": True}, {"rule": "hardest", "fraction": 0.5, "warmup": 1, "every": 2, "offset": 0.0, "alpha": 1.0,
                                         "spread": 0.0, "dropout": True}),
]


@pytest.mark.parametrize("given_settings, whole", WHOLE)
def test_settings_are_complete_and_in_one_order(given_settings, whole):
    """The keys of published runs are made of them."""
    before = dict(given_settings)
    assert list(dynamic.settings(given_settings).items()) == list(whole.items()) and given_settings == before
    assert dynamic.settings(dynamic.settings(given_settings)) == dynamic.settings(given_settings)


def test_settings_that_cannot_be():
    for bad, said in (({"rule": "random", "drop": 1, "alpha": 1}, "rule='random' knows no alpha, drop; it knows rule, fraction"),
                      ({"reuse": True, "dropout": True}, "leave out dropout"),
                      ({"rule": "easy"}, "choose one of hardest, random, soft")):
        with pytest.raises(InputError, match=f"^dynamic.settings: .*{said}"):
            dynamic.settings(bad)


def test_the_schedule_of_a_config_is_made_of_all_its_settings():
    chosen = {"fraction": 0.3, "warmup": 2, "every": 3, "offset": 0.1, "alpha": 0.7, "spread": 0.2, "dropout": True}
    made = dynamic.of(chosen, 50, 9, 4)
    assert isinstance(made, dynamic.Dynamic)
    names = ("n", "fraction", "warmup", "every", "offset", "alpha", "spread", "seed", "rule")
    assert [getattr(made, name) for name in names] == [50, 0.3, 2, 3, 0.1, 0.7, 0.2, 4, "hardest"]
    assert dynamic.of({"reuse": True}, 50, 9, 4).rule == "hardest" and dynamic.of({"rule": "random"}, 50, 9, 4).rule == "random"
    soft = dynamic.of({"rule": "soft", "drop": 0.25, "full_last": 0.5}, 50, 9, 4)
    assert isinstance(soft, dynamic.Soft)
    assert [getattr(soft, name) for name in ("n", "epochs", "drop", "seed", "pruned_until")] == [50, 9, 0.25, 4, 4]


@given(st.sampled_from(["hardest", "random"]), st.integers(2, 60), st.integers(1, 9), st.integers(0, 3), st.integers(1, 3),
       st.booleans())
@examples(max_examples=100, deadline=None)
def test_the_bill_is_what_a_run_takes(rule, n, epochs, warmup, every, reuse):
    """Slow truth: the schedule itself, run to its end on made-up scores."""
    chosen = {"rule": rule, "warmup": warmup, "every": every} | ({"reuse": True} if reuse and rule == "hardest" else {})
    schedule, rng, trained, scored = dynamic.of(chosen, n, epochs, 0), np.random.default_rng(), [], 0
    for epoch in range(epochs):
        if schedule.due(epoch):
            scored += n - (trained[-1] if "reuse" in chosen else 0)  # those trained on in the last epoch have scores
            schedule.update(rng.random(n))
        trained.append(len(schedule.positions(epoch)))
    assert dynamic.bill(chosen, n, epochs) == (trained, scored)


def test_the_bill_of_soft_pruning_takes_half_to_lie_below_the_mean():
    assert dynamic.bill({"rule": "soft", "drop": 0.4, "full_last": 0.3}, 100, 6) == ([100, 80, 80, 80, 100, 100], 0)
    assert dynamic.bill({"rule": "soft"}, 10, 1) == ([10], 0)
