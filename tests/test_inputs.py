"""Whatever is given: an answer that is right, or InputError in one paragraph; never another error, never a changed input.

DATADIET_INPUTS is the number of generated inputs a property; the weekly job gives 10,000. A failure is printed
with the way to repeat it.
"""

import os
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from datadiet import data, dynamic, hooks, prune, scores
from datadiet.errors import InputError

MANY = settings(max_examples=int(os.environ.get("DATADIET_INPUTS", 60)), deadline=None, derandomize=False, print_blob=True,
                suppress_health_check=list(HealthCheck))  # fmt: skip


def refusal(problem: InputError) -> str:
    """The message of a refusal, which is one paragraph that begins with the operation."""
    said = str(problem)
    assert re.match(r"[A-Za-z_][\w. -]*: \S|--[\w-]+: \S", said), said
    assert "\n" not in said and "\r" not in said and len(said) < 3000, said
    return said


def asked(call):
    """(answer, None), or (None, message of the refusal)."""
    try:
        return call(), None
    except InputError as problem:
        return None, refusal(problem)


# --- Arrays of any kind

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
DTYPES = st.one_of(hnp.scalar_dtypes(), hnp.byte_string_dtypes(), hnp.unicode_string_dtypes(), st.just(np.dtype(object)))
NUMBERS = st.floats() | st.integers(-(2**70), 2**70) | st.booleans()
THINGS = st.none() | NUMBERS | st.text(max_size=3) | st.binary(max_size=3) | st.complex_numbers()


def _array(dtype, shape):
    return hnp.arrays(dtype, shape, elements=THINGS if dtype == np.dtype(object) else None)


ARRAYS = st.builds(lambda dtype, shape: (dtype, shape), DTYPES, SHAPES).flatmap(lambda both: _array(*both))
ANYTHING = st.one_of(ARRAYS, THINGS, st.recursive(THINGS, lambda inner: st.lists(inner, max_size=3), max_leaves=6),
                     st.dictionaries(st.text(max_size=2), NUMBERS, max_size=2))  # fmt: skip
REALS = st.sampled_from([np.float16, np.float32, np.float64, np.longdouble, ">f8"])
WHOLE = st.sampled_from([np.int8, np.uint8, np.int32, np.int64, np.uint64, ">i4"])
POISON = st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 1e308, -1e308, 5e-324, 2.0])


@st.composite
def predictions(draw, axes=(2, 3), probabilities=True):
    """(probabilities or logits, labels), nearly always right; now and then one entry or one label that is not."""
    shape = draw(hnp.array_shapes(min_dims=max(axes), max_dims=max(axes), max_side=4))[-draw(st.sampled_from(axes)):]
    shape = (*shape[:-1], max(shape[-1], 2))
    raw = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 9))) + np.eye(shape[-1], dtype=int)[0]
    rows = (raw / raw.sum(-1, keepdims=True) if probabilities else raw - 4.5).astype(draw(REALS))
    labels = draw(hnp.arrays(draw(WHOLE), shape[-2], elements=st.integers(0, shape[-1] - 1)))
    if draw(st.integers(0, 3)) == 0:
        with np.errstate(over="ignore"):
            rows[tuple(draw(st.integers(0, side - 1)) for side in shape)] = draw(POISON)
    if draw(st.integers(0, 7)) == 0:
        labels[0] = draw(st.integers(0, 100))
    return rows, labels


def same_bytes(value):
    """What shows whether an input was changed."""
    return value.tobytes() if isinstance(value, np.ndarray) and value.dtype != object else repr(value)


def answer(call, *given_):
    """The answer or None, the inputs unchanged."""
    before = [same_bytes(each) for each in given_]
    found, _ = asked(lambda: call(*given_))
    assert [same_bytes(each) for each in given_] == before
    return found


def column(found, n: int) -> bool:
    """Whether an answer is what each score promises: float64, one an example, none missing."""
    return isinstance(found, np.ndarray) and found.dtype == np.float64 and found.shape == (n,) and not np.isnan(found).any()


# --- Scores

def by_rows(formula):
    """A score as its formula says, a row at a time, the mean over runs."""
    def slow(rows, labels):
        runs = rows if rows.ndim == 3 else rows[None]
        of_each = [[formula(np.float64(row), int(label)) for row, label in zip(run, labels, strict=True)] for run in runs]
        return np.mean(of_each, axis=0)
    return slow


TINY = np.finfo(np.float64).tiny
TRUTHS = {
    "el2n": lambda p, y: np.linalg.norm(p - np.eye(len(p))[y]),
    "cross_entropy": lambda p, y: -np.log(np.clip(p[y], TINY, 1)),
    "margin": lambda p, y: max(np.delete(p, y)) - p[y],
    "entropy": lambda p, y: -sum(q * np.log(min(q, 1)) for q in p if q > TINY),
    "least_confidence": lambda p, y: 1 - p.max(),
}


@pytest.mark.parametrize("name", TRUTHS)
@given(both=predictions())
@MANY
def test_a_score_is_its_formula_or_a_refusal(name, both):
    rows, labels = both
    given_ = (rows,) if name in ("entropy", "least_confidence") else both
    found = answer(getattr(scores, name), *given_)
    if found is not None:
        assert column(found, len(labels))
        np.testing.assert_allclose(found, by_rows(TRUTHS[name])(rows, labels), rtol=1e-9, atol=1e-9)
    else:
        p = rows.astype(np.float64)
        wrong = labels.max() >= rows.shape[-1] and len(given_) == 2
        with np.errstate(all="ignore"):
            assert wrong or not np.isfinite(p).all() or (p < 0).any() or (abs(p.sum(-1) - 1) > 0.0039).any()


SCORES = ["el2n", "cross_entropy", "margin", "entropy", "least_confidence", "grand_head", "aum", "tracin", "forgetting",
          "datamap", "vog", "of_class", "input_norm", "joint_el2n"]  # fmt: skip


@pytest.mark.parametrize("name", SCORES)
@given(given_=st.lists(ANYTHING, min_size=6, max_size=6))
@MANY
def test_a_score_of_anything_at_all(name, given_):
    import inspect

    score = getattr(scores, name)
    needed = [each for each in inspect.signature(score).parameters.values() if each.kind != each.KEYWORD_ONLY]
    found = answer(score, *given_[: len(needed)])
    for each in () if found is None else found if isinstance(found, tuple) else (found,):
        assert column(each, each.size) and each.size


@given(predictions((2,)), st.data())
@MANY
def test_grand_head_of_any_features(both, more):
    rows, labels = both
    features = more.draw(hnp.arrays(np.float64, (len(labels), 2), elements=st.floats(-9, 9) | POISON))
    bias = more.draw(st.booleans() | ANYTHING)
    found = answer(lambda *arrays: scores.grand_head(*arrays, bias=bias), rows, labels, features)
    if found is not None:
        lengths = np.array([np.hypot(*row) if not bias else np.hypot(np.hypot(*row), 1) for row in features])
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(found, by_rows(TRUTHS["el2n"])(rows, labels) * lengths, rtol=1e-7, atol=1e-9)


@given(predictions((3,), probabilities=False))
@MANY
def test_aum_of_any_logits(both):
    rows, labels = both
    found = answer(scores.aum, rows, labels)
    if found is not None:
        assert column(found, len(labels)) and np.isfinite(found).all()
        np.testing.assert_allclose(found, by_rows(TRUTHS["margin"])(rows, labels), rtol=1e-9, atol=1e-9)


@given(predictions((3,)))
@MANY
def test_a_data_map_of_any_probabilities(both):
    rows, labels = both
    found = answer(scores.datamap, rows, labels)
    if found is not None:
        own = np.array([[run[i, y] for i, y in enumerate(labels)] for run in rows], np.float64)
        np.testing.assert_allclose(found.confidence, own.mean(0), atol=1e-12)
        np.testing.assert_allclose(found.variability, own.std(0), atol=1e-12)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6)))
@MANY
def test_forgetting_counted_step_by_step(correct):
    found = answer(scores.forgetting, correct)
    for example, history in zip(found, correct.T, strict=True):
        falls = sum(a and not b for a, b in zip(history, history[1:], strict=False))
        assert example == (falls if history.any() else np.inf)


# --- Which to keep

PLAIN = ARRAYS | st.floats() | st.integers(-3, 10) | st.booleans() | st.text(max_size=2) | st.none() | st.just(np.float32(0.5))
SHARES = st.floats(0, 1) | st.just(0.5) | PLAIN | ANYTHING


@st.composite
def ranked(draw):
    n = draw(st.integers(1, 12))
    some = st.integers(-3, 3).map(float) | st.floats(allow_nan=False) | st.just(np.inf)
    return np.array(draw(st.lists(some, min_size=n, max_size=n)))


@given(ranked() | ANYTHING, SHARES, st.sampled_from(prune.RULES) | ANYTHING, st.just(0.0) | SHARES,
       st.none() | st.just("own") | ANYTHING, st.integers(0, 2**70) | PLAIN, st.data())  # fmt: skip
@MANY
def test_what_is_kept(values, fraction, rule, offset, labels, seed, more):
    if isinstance(labels, str) and labels == "own":
        labels = more.draw(hnp.arrays(np.int8, np.shape(values)[:1] if np.ndim(values) else 1, elements=st.integers(0, 2)))
    found = answer(lambda one, two: prune.keep(one, fraction, rule, offset, two, seed), values, labels)
    if found is None:
        return
    n = len(values)
    assert found.dtype == np.int64 and found.shape == (round(fraction * n),) and len(set(found.tolist())) == len(found)
    assert (np.diff(found) > 0).all() and 0 <= found[0] and found[-1] < n
    if labels is None and rule in ("hardest", "easiest"):
        order = sorted(range(n), key=lambda i: (-float(values[i]), i))
        skip = min(round(offset * n), n - len(found))
        head = order[skip : skip + len(found)] if rule == "hardest" else order[n - skip - len(found) : n - skip]
        assert found.tolist() == sorted(head)


# --- Schedules

@given(st.integers(1, 6) | PLAIN, st.just(0.5) | SHARES, st.sampled_from(["hardest", "random"]) | ANYTHING,
       st.integers(0, 2) | PLAIN, st.integers(1, 3) | PLAIN, st.just(0.0) | SHARES,
       st.just(1.0) | SHARES, st.just(0.0) | PLAIN, st.just(0) | PLAIN,
       st.lists(ranked() | ANYTHING | st.none(), max_size=5))  # fmt: skip
@MANY
def test_a_schedule_that_prunes_while_training(n, fraction, rule, warmup, every, offset, alpha, spread, seed, updates):
    made = answer(lambda: dynamic.Dynamic(n, fraction, rule, warmup, every, offset, alpha, spread, seed))
    if made is None:
        return
    for epoch, given_ in enumerate(updates):
        if made.due(epoch):
            answer(made.update, np.linspace(0, 1, n) if given_ is None else given_)
        found = answer(made.positions, epoch)
        if found is not None:
            assert found.dtype == np.int64 and len(found) == made.size(epoch) and (np.diff(found) > 0).all()
    state = made.state_dict()
    again = dynamic.Dynamic(n, fraction, rule, warmup, every, offset, alpha, spread, seed)
    again.load_state_dict(state)
    np.testing.assert_array_equal(again.ranked_by(), made.ranked_by())


@given(st.integers(1, 6) | PLAIN, st.integers(1, 5) | PLAIN, SHARES, SHARES, st.just(0) | PLAIN,
       st.lists(st.tuples(ANYTHING | st.just([0]), ANYTHING | st.just([1.5])), max_size=4))  # fmt: skip
@MANY
def test_a_soft_schedule(n, epochs, drop, full_last, seed, batches):
    made = answer(lambda: dynamic.Soft(n, epochs, drop, full_last, seed))
    if made is None:
        return
    made.observe(np.arange(n), np.linspace(0, 1, n))
    for epoch, (positions, losses) in enumerate(batches):
        answer(made.observe, positions, losses)
        found, weights = made.positions(epoch), made.weights(epoch)
        assert (weights[found] > 0).all() and weights.shape == (n,) and np.count_nonzero(weights) == len(found)


@given(st.dictionaries(st.sampled_from(["rule", "fraction", "warmup", "every", "drop", "reuse", "x"]), PLAIN
                       | st.sampled_from(["hardest", "soft"]), max_size=4), st.integers(1, 5), st.integers(1, 5))  # fmt: skip
@MANY
def test_a_schedule_described_in_a_config(schedule, n, epochs):
    answer(lambda: dynamic.bill(schedule, n, epochs))


@given(st.dictionaries(st.sampled_from(["updates", "_mean", "_variance", "_squares", "x"]), ANYTHING) | ANYTHING)
@MANY
def test_a_state_of_something_else_is_refused(state):
    made = dynamic.Dynamic(3)
    if answer(made.load_state_dict, state) is None and asked(lambda: made.load_state_dict(state))[1]:
        np.testing.assert_array_equal(made.positions(0), [0, 1, 2])


# --- Labels, and other people's tables and loops

DIGITS = data.load("digits")


@given(st.floats(0, 1, exclude_max=True) | PLAIN, st.integers(0, 2**40) | PLAIN,
       st.sampled_from(["symmetric", "pairwise"]) | ANYTHING)  # fmt: skip
@MANY
def test_flips_of_any_rate(rate, seed, kind):
    noisy = answer(lambda: data.flip_labels(DIGITS, rate, seed, kind))
    if noisy is not None:
        assert (noisy.train.labels != noisy.truth).sum() == round(rate * len(noisy.truth))
        np.testing.assert_array_equal(noisy.truth, DIGITS.train.labels)
        assert noisy.train.labels.dtype == DIGITS.train.labels.dtype and noisy.train.labels.max() < DIGITS.n_classes


FRAMES = st.integers(0, 4).map(lambda n: pd.DataFrame({"text": ["a"] * n, "own": np.arange(n) / 7}, index=range(9, 9 + n)))


@given(FRAMES | ANYTHING, st.dictionaries(st.text(max_size=2) | st.just("text"), ANYTHING, max_size=2) | ANYTHING)
@MANY
def test_a_table_with_scores(table, new):
    before = table.copy() if isinstance(table, pd.DataFrame) else None
    found = answer(lambda: hooks.with_scores(table, new))
    if before is not None:
        pd.testing.assert_frame_equal(table, before)
    if found is not None:
        pd.testing.assert_frame_equal(found[before.columns], before)
        assert list(found.columns) == [*before.columns, *new] and all(len(found[name]) == len(before) for name in new)


@given(FRAMES | ANYTHING, st.just("own") | st.text(max_size=3) | ranked() | ANYTHING, SHARES,
       st.none() | st.just("text") | ANYTHING)  # fmt: skip
@MANY
def test_a_table_pruned(table, values, fraction, labels):
    found = answer(lambda: hooks.pruned(table, values, fraction, labels=labels))
    if found is not None:
        assert len(found) == round(fraction * len(table)) and set(found.index) <= set(table.index)


class Counting:
    """A classifier of the shares of the classes, which looks at no feature."""

    def get_params(self, deep=True):
        return {}

    def fit(self, X, y):
        self.classes_, counts = np.unique(y, return_counts=True)
        self.shares = counts / counts.sum()
        return self

    def predict_proba(self, X):
        return np.tile(self.shares, (len(X), 1))


@given(st.lists(st.text(max_size=2), max_size=6) | ANYTHING, st.lists(st.integers(0, 2), max_size=6) | ANYTHING,
       st.integers(2, 3) | PLAIN, st.just(1) | PLAIN, st.just(0) | PLAIN, st.just(Counting()) | ANYTHING)  # fmt: skip
@MANY
def test_out_of_fold_of_anything(X, y, folds, repeats, seed, estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class of one row has its note
        found = answer(lambda: hooks.out_of_fold(estimator, X, y, folds, repeats, seed))
    if found is not None:
        assert found.shape == (len(y), len(np.unique(y))) and found.dtype == np.float64
        np.testing.assert_allclose(found.sum(1), 1)
