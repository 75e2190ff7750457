"""Checks of exercises: right answers, common mistakes with the sentence that names them, and answers that are tricky."""

import numpy as np
import pandas as pd
import pytest
import torch

from datadiet import prune, scores
from datadiet.chapters import checks
from datadiet.errors import InputError

SEED = int(np.random.default_rng().integers(2**31))
HARD = np.random.default_rng(3).random(41)  # no two are equal
LABELS = np.arange(41) % 3
KEPT = prune.keep(HARD, 0.3)  # 12 of 41, where 12.3 are three tenths


def said(found, right, *parts):
    assert bool(found) == found.right == right, found
    assert repr(found).startswith("Right: " if right else "Not yet: ") and "\n" not in repr(found)
    for part in parts:
        assert part in found.sentence, found


# --- answers that are none, whatever the check

CALLS = [
    lambda a: checks.number(a, 0.5),
    lambda a: checks.values(a, HARD),
    lambda a: checks.kept(a, HARD, 0.3),
    lambda a: checks.score(a, scores.el2n),
    checks.probabilities,
    lambda a: checks.gain(a, pd.Series([0.5, 0.7]), pd.Series([0.4, 0.5])),
    lambda a: checks.chosen(a, {"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}),
    lambda a: checks.choice(a, "random"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", [..., None])
def test_a_stub_runs_and_is_told_that_nothing_is_filled_in(call, answer):
    said(call(answer), False, "nothing is filled in")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "answer",
    [
        "",
        "0.5",
        [],
        [[1], [1, 2]],
        {},
        object(),
        np.array([]),
        np.array(["a"]),
        float("nan"),
        1 + 2j,
        np.full(41, np.nan),
        [None] * 3,
        torch.ones(2, 3),
        True,
        pd.Series(["x"]),
        len,
        print,
    ],
)
def test_no_answer_makes_a_check_raise_or_pass(call, answer):
    said(call(answer), False)


# --- one number


@pytest.mark.parametrize("answer", [0.31, np.float32(0.31), 0.313, np.array(0.31), torch.tensor(0.31)])
def test_a_right_number(answer):
    said(checks.number(answer, 0.31), True, "0.31")


@pytest.mark.parametrize(
    "answer, truth, part",
    [
        (31, 0.31, "percentage"),
        (0.31, 31, "share"),
        (-0.31, 0.31, "sign is turned"),
        (0.69, 0.31, "share left over"),
        (0.4, 0.31, "too large"),
        (0.1, 0.31, "too small"),
        (13, 12, "off by one"),
        (11, 12, "off by one"),
        ([0.31], 0.31, "answer[0]"),
        ("0.31", 0.31, "text"),
        (True, 1, "True or False"),
        (np.nan, 0.31, "NaN"),
        (np.inf, 0.31, "infinite"),
        (np.zeros((2, 2)), 0.31, "shape (2, 2)"),
    ],
)
def test_a_wrong_number_is_told_why(answer, truth, part):
    said(checks.number(answer, truth), False, part)


def test_a_mistake_of_the_exercise_is_named_but_never_where_it_is_the_truth():
    said(checks.number(0.5, 0.3, wrong={"that is the share of the random half.": 0.5}), False, "random half")
    said(checks.number(0.3, 0.3, wrong={"that is the share of the random half.": 0.3}), True)
    said(checks.number(0.5, 0.5), True)  # the share left over is the truth here
    said(checks.number(0, 0), True)


# --- positions kept


@pytest.mark.parametrize(
    "answer", [KEPT, KEPT[::-1], KEPT.astype(np.int32), KEPT.astype(np.uint8), torch.tensor(KEPT), pd.Series(KEPT)]
)
def test_the_right_positions_in_any_order_and_type(answer):
    said(checks.kept(answer, HARD, 0.3), True, "12 examples of 41")


def test_a_list_is_right_and_told_what_an_array_is_for():
    said(checks.kept(list(KEPT), HARD, 0.3), True, "np.asarray")
    said(checks.kept(tuple(KEPT[1:]), HARD, 0.3), False, "one too few")


@pytest.mark.parametrize(
    "answer, part",
    [
        (prune.keep(HARD, 0.3, "easiest"), "other end"),
        (np.argsort(HARD)[:12], "other end"),
        (np.argsort(-HARD)[:13], "one too many"),
        (np.argsort(-HARD)[:11], "one too few"),
        (np.setdiff1d(np.arange(41), KEPT), "examples to drop"),
        (np.arange(12), "first or last"),
        (np.argsort(-HARD), "41 examples are kept"),
        (KEPT.astype(float), "astype(int)"),
        (HARD[KEPT], "look like scores"),
        (np.isin(np.arange(41), KEPT), "a mask"),
        (np.append(KEPT[1:], KEPT[1]), "more than once"),
        (KEPT + 41, "go from"),
        (KEPT - 41, "go from"),
        (prune.keep(HARD, 0.3, "random", seed=4), "size is right"),
        (KEPT[None], "one row"),
        (np.where(KEPT > 3, np.nan, 1.0), "NaN"),
    ],
)
def test_wrong_positions_are_told_why(answer, part):
    said(checks.kept(answer, HARD, 0.3), False, part)


def test_a_mask_of_other_examples_is_not_called_right():
    said(checks.kept(np.isin(np.arange(41), KEPT[1:]), HARD, 0.3), False, "other examples")


def test_offset_and_classes_forgotten():
    said(checks.kept(KEPT, HARD, 0.3, offset=0.1), False, "leave out the 4 at the hardest end")
    said(checks.kept(KEPT, HARD, 0.3, labels=LABELS), False, "of each class")
    said(checks.kept(prune.keep(HARD, 0.3, "easiest", 0.1), HARD, 0.3, offset=0.1), False, "other end")
    said(checks.kept(prune.keep(HARD, 0.3, labels=LABELS), HARD, 0.3, labels=LABELS), True)
    said(checks.kept(KEPT, HARD, 0.3, "middle"), False, "the middle")


def test_equal_scores_are_told_apart_from_wrong_ones():
    tied = np.array([0.5, 0.5, 0.5, 0.9])
    said(checks.kept(np.array([0, 3]), tied, 0.5), True)
    said(checks.kept(np.array([2, 3]), tied, 0.5), False, "equal scores", "stable")
    said(checks.kept(np.array([0, 1]), tied, 0.5), False)  # the hardest of all is left out


def test_a_rule_that_draws_has_no_right_answer():
    with pytest.raises(InputError, match="draws at random"):
        checks.kept(KEPT, HARD, 0.3, "random")


# --- functions


def one_hot(probs, labels):
    return np.eye(probs.shape[-1])[labels]


def first_of_a_page(probs, labels):
    """Right for four classes only: by luck on the predictions of a page."""
    return (
        np.linalg.norm(probs - np.eye(4)[labels], axis=-1) if probs.shape[-1] == 4 else 1 - probs[np.arange(len(labels)), labels]
    )


def spoils(probs, labels):
    probs[np.arange(len(labels)), labels] -= 1
    return np.linalg.norm(probs, axis=-1)


@pytest.mark.parametrize(
    "answer",
    [
        lambda p, y: np.linalg.norm(p - one_hot(p, y), axis=-1),
        lambda p, y: np.sqrt(((p - one_hot(p, y)) ** 2).sum(1)),
        lambda p, y: np.linalg.norm(p - one_hot(p, y), axis=1).astype(np.float32),
        scores.el2n,
    ],
)
def test_a_right_function(answer):
    print("seed", SEED)
    said(checks.score(answer, scores.el2n, seed=SEED), True)


@pytest.mark.parametrize(
    "answer, part",
    [
        (lambda p, y: ((p - one_hot(p, y)) ** 2).sum(1), "squared"),
        (lambda p, y: np.abs((p - one_hot(p, y)).sum(1)), "averaged before"),
        (lambda p, y: np.abs(p - one_hot(p, y)).sum(1), "absolute"),
        (lambda p, y: -scores.el2n(p, y), "sign is turned"),
        (lambda p, y: np.linalg.norm(p, axis=1), "label is not used"),
        (lambda p, y: p[np.arange(len(y)), y], "probability of the label"),
        (lambda p, y: np.sqrt(((p - one_hot(p, y)) ** 2).mean(1)), "root of the mean"),
        (lambda p, y: scores.el2n(p, y).mean(), "shape ()"),
        (lambda p, y: scores.el2n(p, y)[:-1], "shape (39,)"),
        (lambda p, y: scores.el2n(p, y).astype(int), "decimals are cut off"),
        (lambda p, y: scores.el2n(p, y)[::-1], "another order"),
        (lambda p, y: scores.el2n(p, y) * np.nan, "NaN"),
        (lambda p, y: p[7], "shape"),
        (lambda p, y: None, "returns nothing"),
        (lambda p, y: 1 / 0, "ZeroDivisionError"),
        (lambda p: p, "TypeError"),
        (spoils, "changes the arrays"),
        (first_of_a_page, "wrong on the others"),
        (np.arange(3), "the function itself"),
        (lambda p, y: [str(x) for x in p], "no numbers"),
    ],
)
def test_a_wrong_function_is_told_why(answer, part):
    print("seed", SEED)
    said(checks.score(answer, scores.el2n, seed=SEED), False, part)


@pytest.mark.parametrize(
    "answer, part",
    [
        (lambda p, y: np.linalg.norm(p.mean(0) - one_hot(p, y), axis=-1), "before the length"),
        (lambda p, y: np.linalg.norm(p[0] - one_hot(p, y), axis=-1), "first run alone"),
        (lambda p, y: np.linalg.norm(p - one_hot(p, y), axis=-1).sum(0), "added up"),
        (lambda p, y: np.linalg.norm(p - one_hot(p, y), axis=-1), "a number for each run"),
    ],
)
def test_runs_are_averaged_after_the_length(answer, part):
    print("seed", SEED)
    said(checks.score(answer, scores.el2n, runs=True, seed=SEED), False, part)
    said(checks.score(lambda p, y: np.linalg.norm(p - one_hot(p, y), axis=-1).mean(0), scores.el2n, runs=True, seed=SEED), True)


def test_a_function_that_takes_logits_for_probabilities():
    print("seed", SEED)
    said(checks.score(lambda p, y: -np.log(p[np.arange(len(y)), y]) / np.log(2), scores.cross_entropy, seed=SEED), False)
    said(checks.score(scores.margin, scores.margin, seed=SEED), True)
    said(checks.score(scores.entropy, scores.el2n, seed=SEED), False, "TypeError")


# --- arrays, probabilities, differences, choices


def test_arrays():
    said(checks.values(HARD, HARD), True, "41")
    said(checks.values(list(HARD), HARD), True, "np.asarray")
    said(checks.values(HARD.astype(np.float32), HARD), True)
    said(checks.values(HARD + 1e-3, HARD), False, "41 of 41 entries differ")
    said(checks.values(HARD[::-1], HARD), False, "another order")
    said(checks.values(HARD[:, None] * [1, 2], HARD), False, "shape (41, 2)")
    said(checks.values(np.ones((3, 2)), np.ones((2, 3))), False, "axes are turned")
    said(checks.values(np.abs(HARD - 0.5), HARD, {"this is |h - 0.5|.": np.abs(HARD - 0.5)}), False, "|h - 0.5|")
    said(checks.values(HARD > 0.5, HARD > 0.5), True)


def test_probabilities():
    rng = np.random.default_rng(SEED)
    print("seed", SEED)
    logits = rng.normal(0, 2, (7, 4)) + 1e-3
    right = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    said(checks.probabilities(right, (7, 4)), True)
    said(checks.probabilities(right.astype(np.float16)), True)
    said(checks.probabilities(right.tolist()), True, "np.asarray")
    said(checks.probabilities(np.exp(logits)), False, "adds up to")
    said(checks.probabilities(np.log(right)), False, "np.exp")
    said(checks.probabilities(np.exp(logits) / np.exp(logits).sum(0)), False, "columns")
    said(checks.probabilities(np.exp(logits) / np.exp(logits).sum()), False, "all entries together")
    said(checks.probabilities(np.array([[1.0, -2.0]])), False, "logits")
    said(checks.probabilities(right[0]), False, "shape (4,)")
    said(checks.probabilities(right.T, (7, 4)), False, "(4, 7)")
    said(checks.probabilities(np.array([[np.inf, 1.0]])), False, "infinite")


def test_a_paired_difference():
    one, other = pd.Series([0.80, 0.82, 0.70], [0, 1, 2]), pd.Series([0.79, 0.70, 0.90], [1, 0, 7])
    right = ((0.80 - 0.70) + (0.82 - 0.79)) / 2
    said(checks.gain(right, one, other), True)
    said(checks.gain(-right, one, other), False, "sign")
    said(checks.gain(2 * right, one, other), False, "sum over seeds")
    said(checks.gain(one.mean() - other.mean(), one, other), False, "without a partner")
    said(checks.gain(100 * right, one, other), False, "percentage")
    mixed = pd.Series([0.5, 0.6, 0.9])
    said(checks.gain(0.2 / 3 + 0.3 / 3 + 0.1 / 3, mixed, mixed + [0.2, -0.3, 0.1]), False, "keep their signs")
    with pytest.raises(InputError, match="no seed"):
        checks.gain(0.0, one, pd.Series([1.0], [9]))


def test_what_is_chosen_on_the_test_set_is_refused():
    validation, test = {"hardest": 0.80, "random": 0.82, "middle": 0.79}, {"hardest": 0.84, "random": 0.82, "middle": 0.83}
    said(checks.chosen("random", validation, test), True)
    said(checks.chosen("hardest", validation, test), False, "no longer tested")
    said(checks.chosen("middle", validation, test), False, "worst")
    said(checks.chosen(0.84, validation, test), False, "an accuracy")
    said(checks.chosen("randon", validation, test), False, "none of the candidates")
    said(checks.chosen("random", validation, validation), True, "cannot see where you looked")
    said(checks.chosen(0.5, pd.Series({0.3: 0.1, 0.5: 0.2}), pd.Series({0.3: 0.1, 0.5: 0.0})), True)


def test_a_word():
    said(checks.choice(" Random", "random"), True)
    said(checks.choice("hardest", "random", {"hardest": "they are the claim itself."}), False, "they are the claim itself.")
    said(checks.choice("coin", "random", {"hardest": "no"}), False, "hardest, random")
    said(checks.choice(1, "random"), False, "in quotes")
