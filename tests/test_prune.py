"""Exact sizes, one ranking, no global randomness."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datadiet.errors import InputError
from datadiet.prune import RULES, keep, largest_remainders

tied = st.lists(st.integers(0, 4).map(float) | st.just(np.inf), min_size=1, max_size=40).map(np.array)
distinct = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40, unique=True).map(np.array)
fractions = st.integers(1, 100).map(lambda hundredths: hundredths / 100)
rules = st.sampled_from(RULES)


@pytest.mark.parametrize("rule, offset, expected", [
    ("hardest", 0, [1, 2]), ("hardest", 0.2, [2, 3]), ("easiest", 0, [0, 4]), ("easiest", 0.2, [3, 4]),
    ("middle", 0, [2, 3]),
])
def test_by_hand(rule, offset, expected):
    seen = keep([0.1, 0.9, 0.8, 0.4, 0.3], 0.4, rule, offset)
    assert seen.tolist() == expected and seen.dtype == np.int64


def test_equal_scores_rank_by_position():
    assert keep(np.zeros(4), 0.5).tolist() == [0, 1]
    assert keep(np.zeros(4), 0.5, "easiest").tolist() == [2, 3]


@pytest.mark.parametrize("rule", ["hardest", "easiest", "middle"])
@pytest.mark.parametrize("classes", [1, 20])
def test_the_ranking_is_that_of_a_slow_sort(rule, classes):
    """Many equal scores, more than a short sort would leave in their order; by hand, class by class."""
    rng = np.random.default_rng()
    scores, labels = rng.integers(0, 4, 600).astype(float), rng.permutation(np.arange(600) % classes)
    for fraction in (0.1, 0.3, 0.5, 0.9):
        expected = []
        for c in range(classes):
            ranking = sorted(np.flatnonzero(labels == c), key=lambda i: (-scores[i], i))
            n, size = len(ranking), round(fraction * len(ranking))
            start = {"hardest": 0, "easiest": n - size, "middle": (n - size) // 2}[rule]
            expected += ranking[start:start + size]
        assert keep(scores, fraction, rule, labels=labels).tolist() == sorted(expected)


def test_classes_that_lose_most_are_served_first_and_equals_in_their_order():
    """Slow truth of largest remainder: quotas 0.3, 0.5, 1.1 ... cut to whole numbers, the rest to those cut the most."""
    rng = np.random.default_rng()
    for _ in range(20):
        counts = rng.choice([3, 5, 11, 18, 24], 60)
        quotas = [count / 10 for count in counts]
        expected = [int(quota) for quota in quotas]
        most = sorted(range(60), key=lambda c: (round(expected[c] - quotas[c], 6), c))
        for c in most[: round(counts.sum() / 10) - sum(expected)]:
            expected[c] += 1
        labels = np.repeat(np.arange(60), counts)
        kept = keep(np.zeros(len(labels)), 0.1, labels=labels)
        assert np.bincount(labels[kept], minlength=60).tolist() == expected


def test_a_class_that_keeps_nothing_spends_no_draw():
    """The draws of the other classes are those they would have had alone."""
    draw = np.random.default_rng(3).permutation(16)[:2] + 4
    assert keep(np.zeros(20), 0.1, "random", labels=np.repeat([0, 1], [4, 16]), seed=3).tolist() == sorted(draw)


def test_where_a_least_makes_too_many_those_furthest_above_their_quota_give_way():
    assert largest_remainders([3.9, 2.1, 0.0, 0.0], 6, least=1).tolist() == [3, 1, 1, 1]
    assert largest_remainders([2.1, 3.9, 0.0, 0.0], 6, least=1).tolist() == [1, 3, 1, 1]


def test_the_slack_for_rounded_offsets():
    """Shares that add up to 1 but for rounding are taken, others not."""
    assert len(keep(np.arange(10.0), 0.7, offset=1 - 0.7)) == 7
    assert len(keep(np.arange(10.0), 1.0, offset=1e-9)) == 10
    with pytest.raises(InputError, match="add up to more than 1"):
        keep(np.arange(10.0), 1.0, offset=1.5e-9)
    for rule, kept in (("hardest", [3, 4]), ("easiest", [0, 1])):  # 1.5 and 3.5 of 5 are rounded to 2 and 4: only 3 are skipped
        assert keep([5.0, 4.0, 3.0, 2.0, 1.0], 0.3, rule, offset=0.7).tolist() == kept


@given(tied, fractions, rules, st.integers(0, 99), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_exact_size_sorted_and_without_repeats(scores, fraction, rule, offset, seed):
    size = round(fraction * len(scores))
    offset = 0 if rule in ("middle", "random") else min(offset / 100, 1 - fraction)
    if not size:
        return
    before = scores.copy()
    for labels in (None, np.arange(len(scores)) % 3):
        seen = keep(scores, fraction, rule, offset, labels, seed)
        assert len(seen) == size and (np.diff(seen) > 0).all() and 0 <= seen[0] and seen[-1] < len(scores)
        np.testing.assert_array_equal(seen, keep(scores, fraction, rule, offset, labels, seed))
    np.testing.assert_array_equal(scores, before)


@given(tied, fractions)
@settings(max_examples=200, deadline=None)
def test_hardest_and_easiest_split_the_set(scores, fraction):
    n = len(scores)
    sizes = round(fraction * n), round((1 - fraction) * n)
    if min(sizes) and sum(sizes) == n:
        both = np.concatenate([keep(scores, fraction, "hardest"), keep(scores, 1 - fraction, "easiest")])
        assert sorted(both) == list(range(n))


@given(distinct, fractions, st.sampled_from(["hardest", "easiest", "middle", "stratified"]), st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_another_order_of_the_examples_keeps_the_same_ones(scores, fraction, rule, seed):
    order = np.random.default_rng(seed).permutation(len(scores))
    if round(fraction * len(scores)):
        there = set(order[keep(scores[order], fraction, rule)])
        assert there == set(keep(scores, fraction, rule))


@given(distinct, fractions, st.integers(0, 50))
@settings(max_examples=100, deadline=None)
def test_what_is_skipped_and_kept_is_where_the_rule_says(scores, fraction, percent):
    n, offset = len(scores), min(percent / 100, 1 - fraction)
    size = round(fraction * n)
    if not size:
        return
    down = np.sort(scores)[::-1]
    skip = min(round(offset * n), n - size)
    hardest, easiest = (np.sort(scores[keep(scores, fraction, rule, offset)])[::-1] for rule in ("hardest", "easiest"))
    np.testing.assert_array_equal(hardest, down[skip:skip + size])
    np.testing.assert_array_equal(easiest, down[n - skip - size:n - skip])
    assert not set(scores[keep(scores, fraction, "stratified", offset)]) & set(down[:skip])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), fractions, rules)
@settings(max_examples=200, deadline=None)
def test_balanced_sizes(labels, fraction, rule):
    labels = np.array(labels)
    if not round(fraction * len(labels)):
        return
    seen = keep(np.random.default_rng(0).random(len(labels)), fraction, rule, labels=labels)
    assert len(seen) == round(fraction * len(labels))
    for c, n in zip(*np.unique(labels, return_counts=True), strict=True):
        assert abs((labels[seen] == c).sum() - fraction * n) <= 1


def test_balanced_is_the_rule_within_each_class():
    rng = np.random.default_rng(0)
    scores, labels = rng.random(60), np.repeat([0, 1, 2], 20)
    for rule, offset in (("hardest", 0.1), ("easiest", 0.1), ("middle", 0)):
        parts = [20 * c + keep(scores[labels == c], 0.5, rule, offset) for c in range(3)]
        np.testing.assert_array_equal(keep(scores, 0.5, rule, offset, labels), np.concatenate(parts))
        names = np.array(["a", "b", "c"])[labels]
        np.testing.assert_array_equal(keep(scores, 0.5, rule, offset, list(names)), np.concatenate(parts))
        np.testing.assert_array_equal(keep(scores, 0.5, rule, offset, names.astype(object)), np.concatenate(parts))


def test_whole_quotas_are_met_in_spite_of_floating_point():
    labels = np.repeat([0, 1], [100, 100])
    for hundredths in range(1, 101):  # 0.29 * 100 is 28.999999999999996
        seen = labels[keep(np.zeros(200), hundredths / 100, labels=labels)]
        assert np.bincount(seen).tolist() == [hundredths, hundredths]


def test_stratified_spreads_the_budget_over_the_range():
    scores = np.concatenate([np.linspace(0, 0.019, 900), np.linspace(0.03, 1, 100)])  # most in one bin
    seen = keep(scores, 0.1, "stratified")
    counts = np.bincount(np.minimum(scores[seen] * 50, 49).astype(int), minlength=50)
    assert counts.min() >= 1 and counts.max() - counts[1:].max() <= 6 and len(seen) == 100
    assert keep(scores, 0.5, "stratified").size == 500  # what small bins cannot use goes to the large one
    everything_else = set(range(900, 1000))
    assert everything_else <= set(keep(scores, 0.5, "stratified"))


def test_stratified_has_fifty_bins_of_equal_width():
    """Two examples at the ends of each fiftieth of the range: one of each is kept, wherever the range lies."""
    edges = np.arange(50) / 50
    scores = np.concatenate([edges + 1e-6, edges + 0.02 - 1e-6, [0.0, 1.0]])  # 0 and 1 set the range
    for shift in (0, 5, -7):
        for seed in range(5):
            kept = keep(scores + shift, 50 / 102, "stratified", seed=seed)
            found = np.minimum(scores[kept] * 50, 49).astype(int)
            assert np.bincount(found, minlength=50).tolist() == [1] * 50


@given(st.lists(st.floats(0, 1) | st.just(np.inf), min_size=1, max_size=300), fractions, st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_stratified_is_as_even_as_the_bins_allow(values, fraction, seed):
    """By the definition: a bin that has examples left was given as many as any other, but for one."""
    scores = np.array(values)
    size, finite = round(fraction * len(scores)), scores[np.isfinite(scores)]
    if not size:
        return
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    width = (high - low) / 50
    if not width:  # equal scores: one bin
        assert len(keep(scores, fraction, "stratified", seed=seed)) == size
        return
    bins = np.array([49 if score >= high else min(49, int((score - low) / width)) for score in scores])
    there, kept = (np.bincount(bins[part], minlength=50) for part in (..., keep(scores, fraction, "stratified", seed=seed)))
    assert kept.sum() == size and (kept[kept < there] >= kept.max() - 1).all()


def test_infinite_scores_share_the_hardest_bin():
    """With the highest finite ones, whichever they are: half of the budget goes to each of two bins."""
    scores = np.repeat([2.0, 2.99, 3.0, np.inf], [40, 3, 3, 34])
    seen = np.array([scores[keep(scores, 0.25, "stratified", seed=seed)] for seed in range(40)])
    assert ((seen == 2).sum(1) == 10).all()
    assert set(seen.flat) == {2.0, 2.99, 3.0, np.inf}


def test_infinite_scores_are_hardest():
    scores = np.array([0, np.inf, 1, np.inf, 2])
    assert keep(scores, 0.4).tolist() == [1, 3]
    assert keep(scores, 0.4, "hardest", 0.4).tolist() == [2, 4]
    assert set(keep(scores, 0.4, "stratified")) & {1, 3, 4}
    assert len(keep(np.full(4, np.inf), 0.5, "stratified")) == 2


def test_random_is_seeded_local_nested_and_blind_to_scores():
    np.random.seed(7)
    state = np.random.get_state()[1].copy()
    one = keep(np.zeros(1000), 0.3, "random", seed=1)
    np.testing.assert_array_equal(keep(np.zeros(1000), 0.3, "random"), keep(np.zeros(1000), 0.3, "random", seed=0))
    assert (np.random.get_state()[1] == state).all()
    np.testing.assert_array_equal(one, keep(np.arange(1000), 0.3, "random", seed=1))
    assert set(one) <= set(keep(np.zeros(1000), 0.5, "random", seed=1))
    assert not np.array_equal(one, keep(np.zeros(1000), 0.3, "random", seed=2))
    drawn = [keep(np.zeros(50), 0.3, "stratified", seed=s) for s in (1, 2)]
    assert not np.array_equal(*drawn)
    assert (np.random.get_state()[1] == state).all()


def test_seeds_draw_every_example_equally_often():
    counts = sum(np.bincount(keep(np.zeros(20), 0.25, "random", seed=s), minlength=20) for s in range(800))
    assert abs(counts - 200).max() < 6 * np.sqrt(800 * 0.25 * 0.75)


@pytest.mark.parametrize("arguments, message", [
    (dict(fraction=0), "fraction=0; it is the share to keep"),
    (dict(fraction=1.5), "fraction=1.5; it is the share to keep"),
    (dict(fraction=1.0001), "fraction=1.0001; it is the share to keep"),
    (dict(fraction="0.5"), "fraction='0.5'; it is the share to keep"),
    (dict(fraction=None), "fraction=None; it is the share to keep"),
    (dict(fraction=True), "fraction=True; it is the share to keep"),
    (dict(fraction=-0.1), "fraction=-0.1"),
    (dict(fraction=np.nan), "fraction=nan"),
    (dict(fraction=0.1), "of 4 examples rounds to none"),
    (dict(rule="best"), "rule='best'; choose one of hardest, easiest"),
    (dict(offset=-0.1), "offset=-0.1; it is the share to skip"),
    (dict(offset=1), "offset=1;"),
    (dict(offset="0.1"), "offset='0.1'; it is the share to skip"),
    (dict(offset=np.nan), "offset=nan; it is the share to skip"),
    (dict(rule="random", seed=-1), "seed=-1; it is a whole number, 0 or more"),
    (dict(rule="random", seed=0.5), "seed=0.5"),
    (dict(rule="random", seed=None), "seed=None"),
    (dict(scores=[[1], [2, 3]]), "^prune.keep: scores cannot be read as an array"),
    (dict(labels=[[1], [2, 3], [4], [5]]), "^prune.keep: labels cannot be read as an array"),
    (dict(offset=0.6), "add up to more than 1"),
    (dict(offset=0.1, rule="middle"), "means nothing to rule='middle'"),
    (dict(offset=0.1, rule="random"), "means nothing to rule='random'"),
    (dict(scores=[]), r"shape \(0,\)"),
    (dict(scores=[[1, 2]]), r"shape \(1, 2\)"),
    (dict(scores=3), r"shape \(\)"),
    (dict(rule=np.array([["hardest"], ["x"]])), r"rule=array\(\[\['hardest'\], \['x'\]\], dtype='<U7'\); choose one"),
    (dict(scores=["a", "b"]), "type <U1"),
    (dict(scores=[1, np.nan, 2, np.nan]), "at position 1 is nan, as 2 of 4"),
    (dict(scores=[1, -np.inf, 2, 3]), "at position 1 is -inf"),
    (dict(labels=[0, 1]), r"shape \(2,\), scores \(4,\)"),
    (dict(labels=[0, 1, np.nan, 1]), "type float64; give integers or strings"),
    (dict(labels=["a", None, "b", "a"]), "type object"),
])
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        keep(**{"scores": [1, 2, 3, 4], "fraction": 0.5} | arguments)


def test_tensors_that_numpy_cannot_take_are_refused():
    torch = pytest.importorskip("torch")
    for tensor in (torch.rand(4).bfloat16(), torch.rand(4, requires_grad=True)):
        with pytest.raises(InputError, match=r"scores cannot be read as an array .*; give .*\.detach\(\)\.float\(\)\.cpu\(\)"):
            keep(tensor, 0.5)
    assert keep(torch.tensor([0.0, 2.0, 1.0, 3.0]), 0.5).tolist() == [1, 3]
