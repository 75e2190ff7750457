"""Every score on rows small enough to check by hand, then what all scores must share."""

import math
import multiprocessing
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from datadiet import scores
from datadiet.errors import InputError
from datadiet.scores import _rows

SQRT2 = np.sqrt(2)
LABELS_USED = ("el2n", "cross_entropy", "margin")
TOP = {"el2n": lambda k: SQRT2, "cross_entropy": lambda k: 708.4, "margin": lambda k: 1, "entropy": np.log,
       "least_confidence": lambda k: 1 - 1 / k}  # largest value for K classes; the least is 0, of the margin -1


@st.composite
def predictions(draw):
    """(probs [N, K] or [R, N, K], labels [N]), from undecided to nearly certain."""
    k, n, r = draw(st.integers(2, 6)), draw(st.integers(1, 12)), draw(st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = rng.normal(size=((r, n, k) if r else (n, k))) * draw(st.sampled_from([0.1, 1, 10]))
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True), rng.integers(0, k, n)


def features_for(probs):
    return np.random.default_rng(0).normal(size=(*probs.shape[:-1], 4))


def all_scores(probs, labels):
    """Every function of the module that takes predictions of this shape, by name; data map coordinates too."""
    out = {name: score(probs, labels) for name, score in scores.SCORES.items()}
    out["grand_head"] = scores.grand_head(probs, labels, features_for(probs))
    if probs.ndim == 3:
        out["aum"] = scores.aum(np.log(probs + 1e-9), labels)
        out["forgetting"] = scores.forgetting(probs.argmax(-1) == labels)
        out |= scores.datamap(probs, labels)._asdict()
    else:
        one_word = np.ones((len(labels), 1), bool)
        out["joint_el2n"] = scores.joint_el2n(probs, labels, probs[:, None], labels[:, None], one_word)
        out["input_norm"] = scores.input_norm(probs)
    return out


# --- By hand

THREE = [[1.0, 0.0, 0.0], [0.25, 0.5, 0.25], [0.0, 0.0, 1.0]]  # certain and right, doubtful, certain and wrong
OF_THREE = [0, 0, 1]


@pytest.mark.parametrize("name, expected", [
    ("el2n", [0, np.sqrt(0.75**2 + 0.5**2 + 0.25**2), SQRT2]),
    ("cross_entropy", [0, np.log(4), -np.log(np.finfo(float).tiny)]),
    ("margin", [-1, 0.25, 1]),
    ("entropy", [0, 1.5 * np.log(2), 0]),
    ("least_confidence", [0, 0.5, 0]),
])
def test_by_hand(name, expected):
    np.testing.assert_allclose(scores.SCORES[name](THREE, OF_THREE), expected, atol=1e-12)


def test_grand_head_by_hand():
    probs, labels, h = [[0.5, 0.5], [1.0, 0.0]], [0, 0], [[3.0, 4.0], [9.0, 9.0]]
    np.testing.assert_allclose(scores.grand_head(probs, labels, h), [np.sqrt(0.5 * 26), 0])
    np.testing.assert_allclose(scores.grand_head(probs, labels, h, bias=False), [np.sqrt(0.5) * 5, 0])


def test_tracin_sums_squared_norms_over_checkpoints_by_their_rates():
    rng = np.random.default_rng()
    norms, rates = rng.random((4, 50)), rng.random(4) + 0.01
    slow = [sum(rate * norm**2 for rate, norm in zip(rates, column, strict=True)) for column in norms.T]
    np.testing.assert_allclose(scores.tracin(norms, rates), slow, rtol=1e-12)
    np.testing.assert_allclose(scores.tracin(norms), scores.tracin(norms, np.ones(4)), rtol=1e-12)
    assert (np.argsort(scores.tracin(norms[:1])) == np.argsort(norms[0])).all()  # of one checkpoint it ranks as the norm does
    assert scores.tracin(norms.astype(np.float16)).dtype == np.float64


def test_aum_by_hand():
    logits = [[[3.0, 1.0, 0.0], [0.0, 2.0, 1.0]], [[1.0, 2.0, 0.0], [0.0, 4.0, 1.0]]]
    np.testing.assert_allclose(scores.aum(logits, [0, 2]), [-(2 - 1) / 2, -(-1 - 3) / 2])


def test_forgetting_by_hand():
    history = np.array([[1, 1, 0, 0], [1, 0, 0, 1], [1, 1, 0, 1], [1, 0, 0, 0]], dtype=bool)
    assert scores.forgetting(history).tolist() == [0, 2, np.inf, 1]
    assert scores.forgetting(history[:1]).tolist() == [0, 0, np.inf, np.inf]  # one recording: nothing to forget yet


def test_datamap_by_hand():
    of_label = np.array([[0.2, 0.9], [0.6, 0.9]])  # [T, N]
    probs = np.stack([of_label, 1 - of_label], -1)
    seen = scores.datamap(probs, [0, 0])
    np.testing.assert_allclose(seen.confidence, [0.4, 0.9])
    np.testing.assert_allclose(seen.variability, [0.2, 0], atol=1e-12)
    np.testing.assert_allclose(seen.correctness, [0.5, 1])


def test_input_norm_by_hand():
    np.testing.assert_allclose(scores.input_norm(np.array([[[3, 4]], [[0, 0]]])), [5, 0])


@pytest.mark.parametrize("combine, expected", [
    ("norm", [np.sqrt(0.5 + 0.5 + 2), np.sqrt(2)]),
    ("sum", [np.sqrt(0.5) * 2 + SQRT2, SQRT2]),
    ("mean", [(np.sqrt(0.5) + (np.sqrt(0.5) + SQRT2) / 2) / 2, SQRT2 / 2]),
    ("rms", [1, 1]),
])
def test_joint_el2n_by_hand(combine, expected):
    intent = [[0.5, 0.5], [1, 0]]
    slot = np.array([[[0.5, 0.5, 0], [1, 0, 0]], [[0, 0, 1.0], [np.nan, 7, 7]]])
    slots, mask = np.array([[0, 1], [2, -100]]), np.array([[True, True], [True, False]])
    np.testing.assert_allclose(scores.joint_el2n(intent, [0, 1], slot, slots, mask, combine), expected)


def test_joint_el2n_norm_is_the_norm_of_the_stacked_error():
    rng = np.random.default_rng(0)
    intent, slot = rng.dirichlet(np.ones(4), 5), rng.dirichlet(np.ones(3), (5, 6))
    intents, slots, mask = rng.integers(0, 4, 5), rng.integers(0, 3, (5, 6)), rng.random((5, 6)) < 0.6
    mask[:, 0] = True
    off_intent, off_slot = intent - np.eye(4)[intents], slot - np.eye(3)[slots]
    stacked = [np.concatenate([off_intent[i], *off_slot[i, mask[i]]]) for i in range(5)]
    expected = [np.linalg.norm(error) for error in stacked]
    np.testing.assert_allclose(scores.joint_el2n(intent, intents, slot, slots, mask), expected)


@pytest.mark.parametrize("n, length", [(4, 2), (2, 5)])
def test_joint_el2n_counts_words_along_the_utterance(n, length):
    """More utterances than words, and more words than utterances; utterance i has up to i + 1 words of error sqrt(1/2) each."""
    words = np.minimum(np.arange(n) + 1, length)
    mask, error = np.arange(length) < words[:, None], np.sqrt(0.5)
    given = np.full((n, 2), 0.5), [0] * n, np.full((n, length, 2), 0.5), np.zeros((n, length), int)
    whole = {"norm": error * np.sqrt(1 + words), "sum": error * (1 + words), "mean": error, "rms": error}
    for combine, expected in whole.items():
        np.testing.assert_allclose(scores.joint_el2n(*given, mask, combine), np.broadcast_to(expected, n))
    mask[1] = False
    with pytest.raises(InputError, match=rf"mask \({n}, {length}\) leaves utterance 1 without a word"):
        scores.joint_el2n(*given, mask)


# --- All scores at once

@given(predictions())
@settings(max_examples=60, deadline=None)
def test_shared_properties(drawn):
    probs, labels = drawn
    before = probs.copy(), labels.copy()
    seen = all_scores(probs, labels)
    assert (probs == before[0]).all() and (labels == before[1]).all()
    order = np.random.default_rng(1).permutation(len(labels))
    features, cut = features_for(probs), len(labels) // 2
    for name, values in seen.items():
        assert values.dtype == np.float64 and values.shape == labels.shape, name
        if name in TOP:
            low, high = (-1 if name == "margin" else 0), TOP[name](probs.shape[-1])
            assert (values >= low - 1e-12).all() and (values <= high + 1e-12).all(), name
    for parts in ([order], [slice(0, cut), slice(cut, None)] if cut else [slice(None)]):  # another order; two batches
        pieces = [all_scores(probs[..., part, :], labels[part]) for part in parts]
        for name in set(seen) - {"grand_head"}:
            np.testing.assert_allclose(np.concatenate([piece[name] for piece in pieces]),
                                       np.concatenate([seen[name][part] for part in parts]), atol=1e-12, err_msg=name)
        heads = [scores.grand_head(probs[..., part, :], labels[part], features[..., part, :]) for part in parts]
        expected = np.concatenate([seen["grand_head"][part] for part in parts])
        np.testing.assert_allclose(np.concatenate(heads), expected)


@given(predictions())
@settings(max_examples=60, deadline=None)
def test_mean_over_runs_is_the_mean_of_scores(drawn):
    probs, labels = drawn
    if probs.ndim == 3:
        for name, score in scores.SCORES.items():
            each = [score(p, labels) for p in probs]
            np.testing.assert_allclose(score(probs, labels), np.mean(each, 0), err_msg=name)
        h = features_for(probs)
        each = [scores.grand_head(p, labels, v) for p, v in zip(probs, h, strict=True)]
        np.testing.assert_allclose(scores.grand_head(probs, labels, h), np.mean(each, 0))


@given(predictions())
@settings(max_examples=60, deadline=None)
def test_aum_takes_steps_in_any_order_and_is_the_mean_margin(drawn):
    probs, labels = drawn
    if probs.ndim == 3:  # on probabilities in the place of logits, minus the area under the margin is the mean margin
        np.testing.assert_allclose(scores.aum(probs, labels), scores.margin(probs, labels), atol=1e-12)
        np.testing.assert_allclose(scores.aum(probs[::-1], labels), scores.aum(probs, labels), atol=1e-12)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30), st.integers(0, 2**30))
@settings(max_examples=60, deadline=None)
def test_two_classes_one_ranking(thousandths, bits):
    of_label = np.array(thousandths) / 1000
    labels = (bits >> np.arange(len(of_label))) & 1
    probs = np.where(np.arange(2) == labels[:, None], of_label[:, None], 1 - of_label[:, None])
    ranks = [rankdata(np.round(scores.SCORES[name](probs, labels), 9)) for name in LABELS_USED]
    for other in ranks[1:]:
        np.testing.assert_array_equal(ranks[0], other)
    np.testing.assert_allclose(scores.el2n(probs, labels), SQRT2 * (1 - of_label), atol=1e-12)


def test_three_classes_three_rankings():
    probs, labels = [[0.4, 0.6, 0.0], [0.38, 0.31, 0.31]], [0, 0]
    assert np.diff(scores.cross_entropy(probs, labels)) > 0 > np.diff(scores.el2n(probs, labels))
    assert np.diff(scores.margin(probs, labels)) < 0


def test_class_priors_for_predictions_score_the_label_alone():
    labels = np.array([0, 1, 1, 0, 0])
    seen = scores.el2n(np.tile([0.8, 0.2], (5, 1)), labels)
    np.testing.assert_allclose(seen, SQRT2 * (1 - np.array([0.8, 0.2])[labels]))


@pytest.mark.parametrize("bias", [True, False])
def test_grand_head_is_the_gradient_norm_of_a_linear_head(bias):
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (7,), generator=generator)
    with torch.random.fork_rng():
        head = torch.nn.Linear(5, 4, bias=bias).double()
    losses = torch.nn.functional.cross_entropy(head(h), labels, reduction="none")
    grads = [torch.autograd.grad(loss, list(head.parameters()), retain_graph=True) for loss in losses]
    slow = [torch.cat([part.flatten() for part in grad]).norm().item() for grad in grads]
    probs = head(h).softmax(-1).detach().numpy()
    np.testing.assert_allclose(scores.grand_head(probs, labels.numpy(), h.numpy(), bias), slow, rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.longdouble])
def test_other_float_types_are_raised_to_float64_first(dtype):
    probs = np.random.default_rng(0).dirichlet(np.ones(3), (2, 20)).astype(dtype)
    labels = np.arange(20, dtype=np.int8) % 3
    low, high = all_scores(probs, labels), all_scores(probs.astype(np.float64), labels)
    for name in set(low) - {"aum"}:  # the helper takes logarithms in the type given
        assert low[name].dtype == np.float64
        np.testing.assert_allclose(low[name], high[name], rtol=1e-12, err_msg=name)
    far_apart = np.array([[[60000, -60000]]], np.float16)
    assert scores.aum(far_apart, [1]) == 120000  # more than float16 can hold


def test_rows_rounded_to_bfloat16_are_accepted():
    torch = pytest.importorskip("torch")
    logits = torch.randn(5000, 10, generator=torch.Generator().manual_seed(0)) * 3
    scores.el2n(logits.softmax(-1).bfloat16().float().numpy(), np.zeros(5000, int))


def test_the_scores_need_neither_torch_nor_transformers():
    code = "import sys, datadiet.scores, datadiet.prune; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- Bad input

GOOD = np.array([[0.5, 0.5], [0.25, 0.75]])
BAD = {
    "a rank too few": (GOOD[0], [0, 1], r"has shape \(2,\); it must be \[N, K\] or \[R, N, K\]"),
    "no example": (np.zeros((0, 2)), [], r"shape \(0, 2\) is empty"),
    "one class": (np.ones((2, 1)), [0, 0], r"\(2, 1\), a single class"),
    "NaN": (np.array([[0.5, 0.5], [np.nan, 1]]), [0, 1], r"is nan at \(1, 0\)"),
    "infinite": (np.array([[np.inf, 0.5], [0, 1]]), [0, 1], r"is inf at \(0, 0\)"),
    "logits": (np.array([[0.5, 0.5], [3.0, -1.0]]), [0, 1], r"row \(1,\) has sum 2 and least entry -1.*softmax"),
    "negative, but the sum is 1": (np.array([[1.5, -0.5], [0, 1]]), [0, 1], r"least entry -0.5"),
    "ragged": ([[0.5, 0.5], [1.0]], [0, 1], "cannot be read as an array"),
    "text": (np.array([["a", "b"], ["c", "d"]]), [0, 1], "has type <U1; give real numbers"),
    "label out of range": (GOOD, [0, 2], "is 2 at 1 .* has 2 classes"),
    "label below 0": (GOOD, [0, -1], "is -1 at 1"),
    "labels as floats": (GOOD, [0.0, 1.0], "has type float64; give integers"),
    "labels as one-hot rows": (GOOD, [[1, 0], [0, 1]], r"has shape \(2, 2\); it must be \[N\]"),
    "a label too few": (GOOD, [0], r"\(1,\) but probs \(2, 2\)"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("name", [*scores.SCORES, "grand_head", "datamap", "aum"])
def test_bad_predictions(name, case):
    probs, labels, message = BAD[case]
    if "label" in case and name in ("entropy", "least_confidence"):
        return
    if name == "aum" and case in ("logits", "negative, but the sum is 1"):
        return
    if name in ("datamap", "aum"):
        probs = [probs] if case == "ragged" else probs[None]
        message = message if case in ("ragged", "text") or "label as" in case else rf"scores\.{name}"
    with pytest.raises(InputError, match=message) as raised:
        if name == "grand_head":
            scores.grand_head(probs, labels, np.ones((2, 3)))
        else:
            {**scores.SCORES, "datamap": scores.datamap, "aum": scores.aum}[name](probs, labels)
    assert str(raised.value).startswith(f"scores.{name}: ") and "\n" not in str(raised.value)


@pytest.mark.parametrize("features, message", [
    (np.ones((3, 4)), r"\(3, 4\) but there are 1 run\(s\) of 2"),
    (np.ones((2, 2, 4)), r"\(2, 2, 4\) but there are 1 run"),
    (np.ones(2), r"has shape \(2,\)"),
    (np.full((2, 4), np.nan), "is nan at"),
])
def test_bad_features(features, message):
    with pytest.raises(InputError, match=message):
        scores.grand_head(GOOD, [0, 1], features)


@pytest.mark.parametrize("call, message", [
    (lambda: scores.aum(GOOD, [0, 1]), "time first"),
    (lambda: scores.datamap(GOOD, [0, 1]), "time first"),
    (lambda: scores.forgetting(np.ones((2, 3))), "float64; give booleans"),
    (lambda: scores.forgetting(np.ones(3, bool)), "time first"),
    (lambda: scores.forgetting(np.ones((0, 3), bool)), "is empty"),
    (lambda: scores.tracin(np.ones(3)), "time first"),
    (lambda: scores.tracin([[1.0, -2.0]]), "smallest of the norms is -2"),
    (lambda: scores.tracin([[1.0], [2.0]], [0.1]), r"shape \(1,\) for 2 checkpoints"),
    (lambda: scores.tracin([[1.0], [2.0]], [0.1, 0.0]), "learning rate above 0"),
    (lambda: scores.tracin([[1.0], [2.0]], [0.1, np.nan]), "learning rate above 0"),
    (lambda: scores.input_norm(np.ones(3)), r"has shape \(3,\)"),
    (lambda: scores.input_norm([[np.inf]]), "is inf at"),
    (lambda: scores.tracin([[1.0], [2.0]], ["0.1", "0.2"]), "learning rate above 0"),
    (lambda: scores.tracin([[1e200]]), "tracin: grad_norms are so large that the score of example 0 is beyond float64"),
    (lambda: scores.aum([[[1e308, -1e308]]], [0]), "aum: logits are so large"),
    (lambda: scores.vog([[[1e308]], [[-1e308]]]), "vog: gradients are so large"),
    (lambda: scores.input_norm([[1.0], [1e200]]), "input_norm: x are so large that the score of example 1"),
    (lambda: scores.ge([[1e308, 0.0]], [[-1e308, 0.0]]), "ge: logits are so large"),
    (lambda: scores.grand_head(GOOD, [0, 1], [[1.0], [1e308]]), "grand_head: features are so large that the score of example 1"),
    (lambda: scores.grand_head(GOOD, [0, 1], [[1.0], [2.0]], bias="no"), "bias='no'.*True or False"),
    (lambda: scores.el2n([[1e308, 1e308]], [0]), "holds no probabilities"),
    (lambda: scores.combined([1.0], [1.0], [1.0], [1], "rsm"), "combine='rsm'; choose 'norm', 'sum', 'mean' or 'rms'"),
])
def test_bad_histories_and_inputs(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("size", [1e308, 1.0, 1e-300, 5e-324])
def test_a_score_stands_in_its_class_whatever_its_size(size):
    np.testing.assert_array_equal(scores.of_class([size, -size, 0.5], [0, 0, 1]), [1, -1, 0])


@pytest.mark.parametrize("call, said", [
    (lambda one: scores.el2n(one, [0]), "probs has shape .* [N, K] or [R, N, K]."),
    (lambda one: scores.aum(one, [0]), "logits has shape .* [T, N, K], time first (a single recording as logits[None])."),
    (lambda one: scores.datamap(one, [0]), "probs has shape .* [T, N, K], time first."),
    (lambda one: scores.grand_head(GOOD, [0, 1], one), "features has shape .* [N, d] or [R, N, d]."),
    (lambda one: scores.ge(GOOD, one), "swapped_logits has shape .* [N, K] or [R, N, K]."),
    (lambda one: scores.forgetting(one), "correct has shape .* [T, N], time first."),
    (lambda one: scores.vog(np.zeros((2, 3, 2)), one), "mask has shape .* [N, L]."),
    (lambda one: scores.tracin(one[0]), "grad_norms has shape .* [T, N], time first."),
    (lambda one: scores.vog(one), "gradients has shape .* [T, N, ...], time first"),
    (lambda one: scores.RunningVog().add(one), "gradients has shape .* [N, ...]"),
    (lambda one: scores.of_class(GOOD, one), "values has shape .* [N]."),
    (lambda one: scores.of_class([1.0], GOOD.astype(int)), "labels has shape .* [N]."),
    (lambda one: scores.input_norm(one), "x has shape .* [N, ...]"),
])
def test_a_wrong_rank_is_told_with_the_name_and_the_right_one(call, said):
    name, axes = said.split(" has shape .* ")
    with pytest.raises(InputError, match=rf"^scores\.\w+: {name} has shape \(.*\); it must be {re.escape(axes)}"):
        call(np.ones(1))


def test_inputs_of_many_axes():
    assert scores.input_norm(np.ones((2, *[1] * 7))).tolist() == [1, 1]
    assert scores.vog(np.ones((2, 3, *[1] * 7))).tolist() == [0, 0, 0]
    for call in (scores.input_norm, lambda x: scores.vog(x[None]), scores.RunningVog().add):  # one more
        with pytest.raises(InputError, match="it must be"):
            call(np.ones((2, *[1] * 8)))


@pytest.mark.parametrize("change, message", [
    ({"combine": "max"}, "combine='max'"),
    ({"intents": [0, 2]}, "intents of shape"),
    ({"slots": [[0, 3], [0, 0]]}, "slots .words under the mask. of shape .* is 3"),
    ({"slots": [[0, 1, 1], [0, 0, 0]]}, r"slots \(2, 3\)"),
    ({"mask": [[True, True], [False, False]]}, "utterance 1 without a word"),
    ({"mask": [[1, 1], [1, 0]]}, "give booleans"),
    ({"slot_probs": np.ones((2, 2, 2))}, "has sum 2"),
    ({"slot_probs": np.ones((2, 2))}, r"slot_probs \(2, 2\)"),
    ({"slot_probs": [[[0.5, 0.5]], [[0.5]]]}, "scores.joint_el2n: slot_probs cannot be read as an array"),
    ({"slots": [[0, 1], [1]]}, "scores.joint_el2n: slots cannot be read as an array"),
    ({"intents": [0]}, r"^scores.joint_el2n: intents has shape \(1,\) but intent_probs \(2, 2\)"),
    ({"slot_probs": np.ones((2, 2, 1))}, r"^scores.joint_el2n: slot_probs \(words under the mask\) has shape \(3, 1\), a single"),
])
def test_bad_joint_input(change, message):
    good = {"intent_probs": GOOD, "intents": [0, 1], "slot_probs": np.full((2, 2, 2), 0.5), "slots": [[0, 1], [1, 0]],
            "mask": [[True, True], [True, False]]}
    with pytest.raises(InputError, match=message):
        scores.joint_el2n(**good | change)


@pytest.mark.parametrize("name", [*scores.SCORES, "datamap"])
def test_the_tolerance_for_row_sums_is_where_it_is_said_to_be(name):
    score = {**scores.SCORES, "datamap": lambda probs, labels: scores.datamap(probs[None], labels)}[name]
    for off in (0.00399, -0.00399, 0.0021, -0.0021):
        score(np.array([[0.5, 0.5], [0.5, 0.5 + off]]), [0, 0])
    for off in (0.00401, -0.00401, 0.0079, -0.0079):
        with pytest.raises(InputError, match=r"row \((0, 1|1,)\) .*sum to 1 within 0.004"):
            score(np.array([[0.5, 0.5], [0.5, 0.5 + off]]), [0, 0])


@pytest.mark.parametrize("name", [*scores.SCORES, "datamap"])
@pytest.mark.parametrize("below", [-1e-3, -1e-9])
def test_an_entry_below_0_is_refused_however_little(name, below):
    """Though the sum of its row is 1, or within the tolerance."""
    score = {**scores.SCORES, "datamap": lambda probs, labels: scores.datamap(probs[None], labels)}[name]
    for row in ([1 - below, below, 0.0], [0.5, 0.5, below], [below, 0.0, 1.0]):
        with pytest.raises(InputError, match=rf"^scores\.{name}: probs of shape .* least entry {below:.6g}"):
            score(np.array([[0.25, 0.25, 0.5], row]), [0, 1])


def test_a_probability_that_rounding_made_larger_than_1_is_certain():
    """Its logarithm is 0: a loss is never below 0, nor an entropy."""
    probs = np.array([[1.003, 0.0], [1.0, 0.0], [0.0, 1.002]])
    for name, expected in (("cross_entropy", [0, 0, 0]), ("entropy", [0, 0, 0])):
        seen = scores.SCORES[name](probs, [0, 0, 1])
        np.testing.assert_array_equal(seen, expected)
        assert not np.signbit(seen).any(), "not even a minus at the zero"


@given(predictions())
@settings(max_examples=60, deadline=None)
def test_every_score_is_its_formula(drawn):
    """Slow truth: the formulas of the docstrings, an example at a time, in plain Python."""
    probs, labels = drawn
    for n, y in enumerate(labels):
        each = []
        for p in (probs if probs.ndim == 3 else probs[None])[:, n].tolist():
            others = [q for k, q in enumerate(p) if k != y]
            each.append({
                "el2n": math.sqrt(sum((q - (k == y)) ** 2 for k, q in enumerate(p))),
                "cross_entropy": -math.log(max(p[y], sys.float_info.min)),
                "margin": max(others) - p[y],
                "entropy": -sum(q * math.log(q) for q in p if q > 0),
                "least_confidence": 1 - max(p),
            })
        for name, score in scores.SCORES.items():
            truth = sum(one[name] for one in each) / len(each)
            assert score(probs, labels)[n] == pytest.approx(truth, rel=1e-9, abs=1e-9), name


BY_NAME = {
    "aum": lambda bad: scores.aum(bad, [0]),
    "datamap": lambda bad: scores.datamap(bad, [0]),
    "forgetting": scores.forgetting,
    "tracin": scores.tracin,
    "input_norm": scores.input_norm,
    "ge": lambda bad: scores.ge(bad, GOOD),
    "joint_el2n": lambda bad: scores.joint_el2n(bad, [0], GOOD[None], [[0, 1]], [[True, True]]),
    "vog": scores.vog,
    "of_class": lambda bad: scores.of_class(bad, [0]),
}


@pytest.mark.parametrize("name", BY_NAME)
def test_what_is_refused_is_refused_by_name(name):
    torch = pytest.importorskip("torch")
    for bad, said in ((np.float64(1), r"has shape \(\); it must be \["), (np.ones((1,) * 10), "it must be"),
                      ([[1.0], [2.0, 3.0]], "cannot be read as an array"),
                      (torch.ones(1, 1, 1).bfloat16(), r"cannot be read as an array .*\.float\(\)")):
        with pytest.raises(InputError, match=rf"^scores\.{name}: .*{said}"):
            BY_NAME[name](bad)


@pytest.mark.parametrize("name", scores.SCORES)
@pytest.mark.parametrize("k, dtype", [(3, "float64"), (10, "float32"), (70, "float64")])
def test_large_tables_are_scored_in_blocks_as_in_one(name, k, dtype, monkeypatch):
    """On all cores and by blocks, one thread and one block: the same to the bit."""
    draw = np.random.default_rng()
    logits = draw.normal(size=(2, 2_000, k))
    probs = (np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)).astype(dtype)
    labels = draw.integers(0, k, 2_000)
    whole = scores.SCORES[name](probs, labels)
    monkeypatch.setattr(_rows, "BLOCK", 1_001)
    monkeypatch.setattr(_rows, "LARGE", 0)
    np.testing.assert_array_equal(scores.SCORES[name](probs, labels), whole)


def _score_large(probs):
    return scores.el2n(probs, np.zeros(len(probs), int)).sum()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_scores_large_tables_too(monkeypatch):
    """It inherits the pool of threads, but none of the threads."""
    monkeypatch.setattr(_rows, "BLOCK", 1_001)
    monkeypatch.setattr(_rows, "LARGE", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    probs = np.full((2_000, 2), 0.5)
    here = _score_large(probs)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(_score_large, (probs,)).get(timeout=30) == here


@pytest.mark.parametrize("wrong, message", [(np.nan, "is nan at (1234, 1)"), (-0.1, "row (1234,)"), (np.inf, "is inf at")])
def test_one_bad_entry_of_a_large_table_is_found(wrong, message, monkeypatch):
    monkeypatch.setattr(_rows, "BLOCK", 1_001)
    monkeypatch.setattr(_rows, "LARGE", 0)
    probs = np.full((2_000, 2), 0.5)
    probs[1234, 1] = wrong
    with pytest.raises(InputError, match=re.escape(message)):
        scores.el2n(probs, np.zeros(2_000, int))


@given(predictions())
def test_the_layout_in_memory_does_not_matter(made):
    """Transposed tables, as columns of a data frame are: the same scores, and nothing is written into them."""
    probs, labels = made
    turned = np.asfortranarray(probs)
    before = turned.copy()
    for name, found in all_scores(turned, labels).items():
        np.testing.assert_array_equal(found, all_scores(probs, labels)[name], err_msg=name)
    np.testing.assert_array_equal(turned, before)
