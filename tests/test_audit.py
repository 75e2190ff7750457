"""An audit scores rows by models that did not see them, says how sure it is, and says when it is worth nothing."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from datadiet import scores, tables
from datadiet.audit import clock, engine, frozen, members, planted, pool
from datadiet.audit.folds import deal, out_of_fold
from datadiet.audit.kept import Kept
from datadiet.errors import InputError
from datadiet.nets import encoders


def blobs(seed, n=400, classes=3, apart=3.0, rate=0.1):
    """Features [n, 8] of well separated classes, labels of which a share is wrong, and where."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, n)
    matrix = rng.normal(size=(n, 8)) + apart * np.eye(classes, 8)[truth]
    where = np.zeros(n, bool)
    where[rng.permutation(n)[: round(rate * n)]] = True
    labels = np.where(where, (truth + rng.integers(1, classes, n)) % classes, truth)
    return matrix, labels, where


@pytest.mark.parametrize(
    "spelt, seconds",
    [
        ("30s", 30),
        ("5min", 300),
        ("5 min", 300),
        ("1h", 3600),
        ("1h30min", 5400),
        (2, 120),
        ("0.5", 30),
        ("1e-6", 6e-5),
        (".5h", 1800),
    ],
)
def test_a_budget_as_people_write_it(spelt, seconds):
    assert clock.seconds(spelt) == pytest.approx(seconds)


@pytest.mark.parametrize("spelt", ["", "soon", "5 fortnights", "0s", "-3min", "nan", "inf", "1h 30", "5min!"])
def test_other_spellings_are_refused(spelt):
    with pytest.raises(InputError, match="--budget"):
        clock.seconds(spelt)


def test_regressions_equal_the_slow_way_out_of_fold():
    """The same folds, the same regression, by scikit-learn's own clone and fit."""
    from sklearn.linear_model import LogisticRegression

    seed = np.random.default_rng().integers(1_000_000)
    matrix, labels, _ = blobs(seed, n=120)
    fold = deal(labels, 5, np.random.default_rng([0, 0]))
    ours = members.held_out(matrix, labels, 3, 1.0, fold)
    slow = out_of_fold(LogisticRegression(C=1.0, max_iter=60, tol=1e-3), matrix, labels, folds=5, seed=0, notes=[])
    np.testing.assert_allclose(ours, slow, atol=1e-9, err_msg=f"seed {seed}")


def test_no_row_is_scored_by_a_model_that_saw_its_label():
    """Another label of a row leaves its own probabilities as they are, where folds do not depend on labels."""
    matrix, labels, _ = blobs(1, n=60)
    fold = np.arange(60) % 5
    before = members.held_out(matrix, labels, 3, 1.0, fold)
    changed = labels.copy()
    changed[7] = (labels[7] + 1) % 3
    after = members.held_out(matrix, changed, 3, 1.0, fold)
    assert (before[fold == 7 % 5] == after[fold == 7 % 5]).all() and not np.allclose(before, after)


def test_weights_of_a_pool_are_the_most_likely_ones():
    """Against a grid of weights, one by one."""
    seed = np.random.default_rng().integers(1_000_000)
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 80)
    logs = np.stack([pool.softened(rng.dirichlet(np.ones(3) + 2 * k * np.eye(3)[0], 80)) for k in range(2)])
    logs[0][np.arange(80), labels] += 1

    def loss(weights):
        probs = pool.product(logs, weights)
        return -np.log(probs[np.arange(80), labels]).mean() + pool.PULL * ((np.array(weights) - 0.5) ** 2).sum()

    best = pool.fitted(logs, labels)
    assert loss(best) <= min(loss(w) for w in itertools.product(np.linspace(0, 3, 31), repeat=2)) + 1e-6, f"seed {seed}"


def test_a_model_that_knows_nothing_harms_nobody():
    matrix, labels, where = blobs(3)
    fold = deal(labels, 5, np.random.default_rng(0))
    good = members.held_out(matrix, labels, 3, 3.0, fold)
    noise = np.random.default_rng(4).dirichlet(np.ones(3), len(labels))
    probs, weights = pool.pooled([good, noise], labels, fold)
    assert weights[1] < 0.1 * weights[0]
    alone = roc_auc_score(where, scores.el2n(good, labels))
    assert roc_auc_score(where, scores.el2n(probs, labels)) > alone - 0.005


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=5, max_size=200), st.integers(0, 1000))
def test_planted_flips_are_flips_and_leave_every_class_a_row(labels, seed):
    labels = np.array(labels)
    copy, where = planted.plant(labels, 4, np.random.default_rng(seed))
    assert (copy[where] != labels[where]).all() and (copy[~where] == labels[~where]).all()
    assert set(labels[~where]) == set(labels) and where.sum() <= max(20, round(0.05 * len(labels)))


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2])
def test_the_number_of_wrong_labels_lies_in_its_interval(rate):
    held = []
    for seed in range(8):
        matrix, labels, where = blobs(seed, n=600, apart=4.0, rate=rate)
        audit = engine.examine({"blobs": matrix}, labels, ("a", "b", "c"), np.arange(600))
        estimate, low, high = audit.count
        held.append(low <= where.sum() <= high)
        assert abs(estimate - where.sum()) < 60 and audit.wrong.min() >= 0 and audit.wrong.max() <= 1
    assert sum(held) >= 7


def test_an_audit_finds_flips_and_says_so():
    matrix, labels, where = blobs(0)
    audit = engine.examine({"blobs": matrix}, labels, ("a", "b", "c"), np.arange(400))
    assert roc_auc_score(where, audit.wrong) > 0.95 and roc_auc_score(where, audit.scores[audit.used]) > 0.97
    assert audit.check["score"][0] == audit.used and audit.check["auc"][0] > 0.9
    assert audit.warnings == () and audit.planted == 20
    again = engine.examine({"blobs": matrix}, labels, ("a", "b", "c"), np.arange(400))
    assert (again.probs == audit.probs).all() and (again.wrong == audit.wrong).all()


def test_features_that_know_nothing_are_called_so():
    rng = np.random.default_rng(0)
    labels = (rng.random(300) < 0.3).astype(int)
    audit = engine.examine({"noise": rng.normal(size=(300, 4))}, labels, ("a", "b"), np.arange(300))
    assert any("have not learned" in said for said in audit.warnings)
    assert any("little more than the class" in said for said in audit.warnings)


def test_predictions_made_elsewhere():
    matrix, labels, where = blobs(2)
    probs = members.held_out(matrix, labels, 3, 3.0, np.arange(400) % 5)
    audit = engine.of_probs(probs, labels, ("a", "b", "c"), np.arange(400))
    assert roc_auc_score(where, audit.wrong) > 0.95 and audit.how["models"] == 0
    for bad in (probs[:, :2], probs * 2, np.where(np.arange(400)[:, None] == 5, np.nan, probs)):
        with pytest.raises(InputError):
            engine.of_probs(bad, labels, ("a", "b", "c"), np.arange(400))


def table(folder, n=60, pair=False):
    rng = np.random.default_rng(0)
    words = {"weather": "rain sun cloud wind storm".split(), "music": "song band tune drum choir".split()}
    kinds = rng.choice(list(words), n)
    lines = ["id,text,other,kind"] + [
        f"{row:04d},{' '.join(rng.choice(words[kind], 3))},{' '.join(rng.choice(words[kind], 2))},{kind}"
        for row, kind in enumerate(kinds)
    ]
    lines[5] = "0004,,nothing,music"
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return tables.read(folder / "t.csv")


@pytest.mark.parametrize("pair", [None, "other"])
def test_texts_of_a_table(tmp_path, pair):
    mine = table(tmp_path)
    audit = engine.of_table(mine, text="text", label="kind", text_pair=pair, encoder="tiny", budget=60)
    assert len(audit.rows) == 59 and 4 not in audit.rows and audit.names == ("music", "weather")
    assert audit.accuracy > 0.9 and {"layer 2", "words"} <= set(audit.how["members"]) or pair and "match" in audit.how["members"]
    new = engine.columns(audit, len(mine))
    assert [values[4] for values in new.values()] == [None] * 4
    assert set(new) == {f"datadiet_{audit.used}", "datadiet_wrong", "datadiet_class", "datadiet_runs"}


def test_texts_that_were_cut_are_counted(tmp_path):
    long = tables.read(_written(tmp_path, [("word " * 40 + str(row % 2), "ab"[row % 2]) for row in range(20)]))
    audit = engine.of_table(long, text="text", label="kind", encoder="tiny", budget=60, max_length=16)
    assert any("20 texts are longer than 16 tokens" in said for said in audit.warnings)


def _written(folder, rows):
    (folder / "l.csv").write_text("text,kind\n" + "".join(f"{text},{kind}\n" for text, kind in rows))
    return folder / "l.csv"


@pytest.mark.parametrize("encoder", ["tiny", "minilm"])
def test_the_first_word_is_that_of_the_text_alone_in_its_context(encoder):
    """Token 0 marks the beginning, so the first word begins at token 1; of an empty text that is the mark of its end."""
    seed = int(np.random.default_rng().integers(1_000_000))
    draw, known = np.random.default_rng(seed), "who what is it of a unbelievable".split()
    texts = ["", "who", *(" ".join(draw.choice(known, draw.integers(1, 9))) for _ in range(40))]
    found = frozen.of_texts(texts, encoder=encoder, max_length=8).matrices["first word"]
    tokenizer, model = encoders.tokenizer(encoder), encoders.classifier(encoder, 2, every_token=True).base_model
    for text, row in zip(texts, found, strict=True):
        with torch.inference_mode():
            state = model(**tokenizer([text], truncation=True, max_length=8, return_tensors="pt")).last_hidden_state[0, 1]
        np.testing.assert_allclose(row, state / state.norm(), atol=1e-5, err_msg=f"seed {seed}")


def test_what_a_first_word_says_is_found():
    """The same words in every text: the one that stands first tells the classes apart."""
    draw, asked = np.random.default_rng(0), ("who", "what", "where")
    first = draw.integers(0, 3, 150)
    words = "who what where is the of a in and it".split()
    texts = [" ".join([asked[word], *draw.permutation([each for each in words if each != asked[word]])]) for word in first]
    matrices, fold = frozen.of_texts(texts, encoder="minilm").matrices, np.arange(150) % 5

    def right(name: str) -> float:
        return (members.held_out(frozen.components(matrices[name]), first, 3, 3.0, fold).argmax(1) == first).mean()

    assert right("first word") > 0.97 and right("layer 6") < 0.92


def test_without_time_the_words_alone_are_read(monkeypatch):
    monkeypatch.setattr(frozen, "PATIENCE", 0.0)
    texts = [f"{word} thing {number % 7} here" for number in range(200) for word in ("good", "bad")]
    found = frozen.of_texts(texts, encoder="tiny", clock=_Late(0.0))
    assert list(found.matrices) == ["words"] and "alone were read" in found.notes[0] and "Give --budget" in found.notes[0]


def test_in_little_time_fewer_tokens_are_read(monkeypatch):
    """Whole texts take 128 s: as much of each is read as there is time for, and the note says how much."""
    texts = [" ".join([f"{word} thing {number % 7} here"] * 32) for number in range(200) for word in ("good", "bad")]
    whole = frozen.of_texts(texts, encoder="tiny", max_length=128).matrices
    for budget, most in ((1000.0, 128), (100.0, 64), (60.0, 32), (40.0, 16), (25.0, None)):
        tokens = _Tokens(budget)
        monkeypatch.setattr(frozen.time, "monotonic", tokens)
        monkeypatch.setattr(frozen, "_single", tokens.counted(frozen._single))
        found = frozen.of_texts(texts, encoder="tiny", max_length=128, clock=tokens.clock())
        monkeypatch.undo()
        assert ("layer 2" in found.matrices) == (most is not None), budget
        assert bool(found.notes) == (most != 128)
        if most is None:
            assert "words alone were read" in found.notes[0]
        elif most == 128:
            np.testing.assert_array_equal(found.matrices["layer 2"], whole["layer 2"])
        else:
            assert f"at most {most} tokens of a text were read" in found.notes[0] and "Give --budget" in found.notes[0]
            short = frozen.of_texts(texts, encoder="tiny", max_length=most).matrices["layer 2"]
            np.testing.assert_array_equal(found.matrices["layer 2"], short)


def test_what_an_earlier_call_has_kept_is_not_ahead(monkeypatch, tmp_path):
    """Ten of 13 batches are there, and the others fit: nothing is left out for want of the time that all 13 would take."""
    monkeypatch.setenv("DATADIET_STORE", str(tmp_path))
    monkeypatch.setattr(frozen, "BLOCK", 2)
    texts = [" ".join([f"{word} thing {number % 7} here"] * 32) for number in range(200) for word in ("good", "bad")]
    whole = frozen.of_texts(texts, encoder="tiny", max_length=128).matrices
    calls, single = [], frozen._single

    def stopped(layers, states, mask):
        calls.append(1)
        if len(calls) > 10:
            raise KeyboardInterrupt
        return single(layers, states, mask)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(frozen, "_single", stopped)
        frozen.of_texts(texts, encoder="tiny", max_length=128, kept=Kept(["rows"]))
    tokens = _Tokens(60.0)
    monkeypatch.setattr(frozen.time, "monotonic", tokens)
    monkeypatch.setattr(frozen, "_single", tokens.counted(single))
    found = frozen.of_texts(texts, encoder="tiny", max_length=128, clock=tokens.clock(), kept=Kept(["rows"]))
    np.testing.assert_array_equal(found.matrices["layer 2"], whole["layer 2"])
    assert not found.notes


def test_in_little_time_pairs_are_matched_by_fewer_layers(monkeypatch):
    """Whole pairs take 144 s; half of the two layers take half of it, and come before short beginnings of the texts."""
    texts = [" ".join([f"{word} thing {number % 7} here"] * 32) for number in range(200) for word in ("good", "bad")]
    others = [" ".join(text.split()[:14]) for text in texts[::-1]]
    ways = {500.0: (128, 2), 130.0: (64, 2), 80.0: (64, 1), 50.0: (16, 1)}
    for budget, (most, deep) in ways.items():
        tokens = _Tokens(budget)
        monkeypatch.setattr(frozen.time, "monotonic", tokens)
        monkeypatch.setattr(frozen, "_matched", tokens.matched(frozen._matched))
        found = frozen.of_texts(texts, others, encoder="tiny", max_length=128, clock=tokens.clock())
        monkeypatch.undo()
        assert [name for name in found.matrices if name.startswith("rest")] == ["rest 2", "rest 1"][2 - deep :], budget
        assert ["1 of the encoder's 2 layers were computed" in note for note in found.notes] == [deep == 1] * (budget < 500)
        assert [f"at most {most} tokens of a text were read" in note for note in found.notes] == [most < 128] * (budget < 500)
        monkeypatch.setattr(encoders, "classifier", partial(of_layers, encoders.classifier, deep))
        short = frozen.of_texts(texts, others, encoder="tiny", max_length=most).matrices
        monkeypatch.undo()
        np.testing.assert_array_equal(found.matrices["match"], short["match"])


def of_layers(classifier, deep, encoder, classes, layers=None, **more):
    return classifier(encoder, classes, deep, **more)


class _Tokens:
    """A time in which a token takes 2.5 ms to encode, and nothing else takes any."""

    def __init__(self, budget: float):
        self.now, self.budget = 100.0, budget

    def __call__(self) -> float:
        return self.now

    def counted(self, single):
        def single_and_time(layers, states, mask):
            self.now += 0.0025 * mask.numel()
            return single(layers, states, mask)

        return single_and_time

    def matched(self, matched):
        def matched_and_time(layers, first, second):
            self.now += 0.00125 * layers[-1] * (first[1].numel() + second[1].numel())
            return matched(layers, first, second)

        return matched_and_time

    def clock(self) -> clock.Clock:
        return clock.Clock(self.budget, self.now)


def test_encoding_may_pass_the_budget_by_a_fifth(monkeypatch):
    """A cold start has used up the budget of 30 s but for one; what takes a few of the 6 s beyond it is read all the same."""
    monkeypatch.setattr(frozen, "PATIENCE", 0.0)
    texts = [f"{word} thing {number % 7} here" for number in range(100) for word in ("good", "bad")]
    found = frozen.of_texts(texts, encoder="tiny", clock=_Cold(30.0))
    assert "layer 2" in found.matrices and not found.notes


class _Cold(clock.Clock):
    """A clock of which a cold start has taken nearly all, and that stands still."""

    spent = 29.0


class _Late(clock.Clock):
    """A clock on which no time is left."""

    left = -1e9


@pytest.mark.parametrize(
    "options, message",
    [({"score": "el3n"}, "unknown score 'el3n'"), ({"max_length": 3}, "max length"),
     ({"label": "id"}, "does not look like a class"),
     ({"text": "txt"}, "no text column 'txt'"), ({"encoder": "no/such"}, "could not be loaded")],
)  # fmt: skip
def test_bad_requests(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        engine.of_table(table(tmp_path), **{"text": "text", "label": "kind", "encoder": "tiny"} | options)
