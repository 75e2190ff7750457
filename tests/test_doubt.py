"""How many labels are wrong, and how likely each is: likelihood by hand, slopes, calibration and intervals on fresh draws."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from datadiet.audit import doubt, engine
from datadiet.audit.pool import softened


def drawn(seed, n=1500, k=4, rate=0.1, apart=2.5):
    """Probabilities of the true class that are right, labels drawn from them and then flipped at `rate`, and where."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, apart, (n, k))
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (probs.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=k - 1)
    where = np.zeros(n, bool)
    where[rng.permutation(n)[: round(rate * n)]] = True
    labels = np.where(where, (truth + rng.integers(1, k, n)) % k, truth)
    return probs, labels, where


def test_slopes_of_the_likelihood_are_right():
    seed = np.random.default_rng().integers(1_000_000)
    probs, labels, _ = drawn(seed, n=40, k=3)
    logs, at = softened(probs), np.random.default_rng(seed).normal(0, 0.5, 4)
    error = check_grad(lambda x: doubt._unlikely(x, 0.1, logs, labels)[0], lambda x: doubt._unlikely(x, 0.1, logs, labels)[1], at)
    assert error < 1e-3, f"seed {seed}"


def test_the_likelihood_row_by_row():
    probs, labels, _ = drawn(0, n=12, k=3)
    logs = softened(probs)
    slow = 0.0
    for row, label in zip(logs, labels, strict=True):
        q = np.exp(row) / np.exp(row).sum()
        slow -= np.log(0.9 * q[label] + 0.1 * (1 - q[label]) / 2)
    assert doubt._unlikely(np.zeros(4), 0.1, logs, labels)[0] == pytest.approx(slow)


@pytest.mark.parametrize("rate", [0.0, 0.03, 0.1, 0.2])
def test_intervals_hold_the_share(rate):
    held = []
    for seed in np.random.default_rng().integers(1_000_000, size=6):
        probs, labels, where = drawn(seed, rate=rate)
        share, low, high = doubt.of_labels(probs, labels).share
        held.append(low <= where.mean() <= high)
        assert low <= share <= high and high - low < 0.2, f"seed {seed}"
    assert sum(held) >= 5


def test_of_rows_said_to_be_wrong_with_some_probability_that_share_is():
    seeds = np.random.default_rng().integers(1_000_000, size=6)
    said, flips = [], []
    for seed in seeds:
        probs, labels, where = drawn(seed)
        said.append(doubt.of_labels(probs, labels).wrong)
        flips.append(where)
    said, flips = np.concatenate(said), np.concatenate(flips)
    for low, high in ((0, 0.02), (0.02, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 0.9), (0.9, 1.01)):
        some = (said >= low) & (said < high)
        assert some.sum() > 20
        error = 4 * np.sqrt(max(said[some].mean() * (1 - said[some].mean()), 0.005) / some.sum()) + 0.08
        assert abs(said[some].mean() - flips[some].mean()) < error, f"{(low, high)}, seeds {seeds}"


def test_modest_probabilities_are_sharpened():
    """Models that were fitted on wrong labels are too modest: their square root finds nearly the same."""
    probs, labels, _ = drawn(1)
    modest = np.sqrt(probs) / np.sqrt(probs).sum(1, keepdims=True)
    one, other = (doubt.of_labels(each, labels) for each in (probs, modest))
    assert abs(one.share[0] - other.share[0]) < 0.02 and np.abs(one.wrong - other.wrong).mean() < 0.02


@pytest.mark.parametrize("k", [2, 20])
def test_many_rows_are_judged_by_what_fits_a_sample_of_them(monkeypatch, k):
    seed = np.random.default_rng().integers(1_000_000)
    probs, labels, _ = drawn(seed, n=3000, k=k)
    whole, sizes, fit = doubt.of_labels(probs, labels), [], doubt._unlikely
    monkeypatch.setattr(doubt, "CELLS", 800 * k + 1)
    monkeypatch.setattr(doubt, "_unlikely", lambda at, share, logs, given: sizes.append(len(logs)) or fit(at, share, logs, given))
    some = doubt.of_labels(probs, labels)
    assert set(sizes) == {800, 3000} and sizes.count(3000) == (doubt.GRID < (k - 1) / k).sum()
    assert abs(whole.share[0] - some.share[0]) < 0.03 and np.abs(whole.wrong - some.wrong).mean() < 0.04, f"seed {seed}"


def test_models_that_know_nothing_leave_the_share_open():
    rng = np.random.default_rng(0)
    share, low, high = doubt.of_labels(np.full((600, 3), 1 / 3), rng.integers(0, 3, 600)).share
    assert low == 0 and high > 0.3 and low <= share <= high


def test_the_number_of_wrong_labels_is_of_the_labels_as_they_are():
    """Planted flips say which score is best; other flips give the same number and the same probabilities."""
    probs, labels, _ = drawn(3, n=200)
    one, other = (engine.of_probs(probs, labels, tuple("abcd"), np.arange(200), seed=seed) for seed in (0, 1))
    assert one.count == other.count and np.array_equal(one.wrong, other.wrong) and not one.check.equals(other.check)
