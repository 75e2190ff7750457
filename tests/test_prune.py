"""Exact sizes, one ranking, no global randomness."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datadiet.errors import InputError
from datadiet.prune import RULES, keep

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
    (dict(fraction=1.5), "fraction=1.5"),
    (dict(fraction=-0.1), "fraction=-0.1"),
    (dict(fraction=np.nan), "fraction=nan"),
    (dict(fraction=0.1), "of 4 examples rounds to none"),
    (dict(rule="best"), "rule='best'; choose one of hardest, easiest"),
    (dict(offset=-0.1), "offset=-0.1; it is the share to skip"),
    (dict(offset=1), "offset=1;"),
    (dict(offset=0.6), "add up to more than 1"),
    (dict(offset=0.1, rule="middle"), "means nothing to rule='middle'"),
    (dict(offset=0.1, rule="random"), "means nothing to rule='random'"),
    (dict(scores=[]), r"shape \(0,\)"),
    (dict(scores=[[1, 2]]), r"shape \(1, 2\)"),
    (dict(scores=3), r"shape \(\)"),
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
