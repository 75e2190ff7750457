"""Samplers, tables, scikit-learn and formats of others; the callbacks are in test_hooks_trainer.py."""

import json
import os
import subprocess
import sys
import warnings

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
import torch
from cleanlab import Datalab
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from torch.utils.data import DataLoader, DistributedSampler

from datadiet import dynamic, prune, runs, scores, tables
from datadiet.audit.folds import deal, out_of_fold
from datadiet.dynamic import Dynamic, Soft
from datadiet.errors import InputError
from datadiet.hooks import PruningSampler, formats, pruned, recorded, scores_of, with_scores
from datadiet.hooks.recorded import scores_over_time


def fresh() -> np.random.Generator:
    """New random input in every run; the seed is printed where a test fails."""
    seed = int.from_bytes(os.urandom(4))
    print("seed", seed)
    return np.random.default_rng(seed)


def test_the_names_are_there_and_importing_them_loads_nothing_heavy():
    script = (
        "import sys, datadiet.hooks as hooks\nassert not {'torch', 'pandas', 'sklearn'} & set(sys.modules)\n"
        "assert all(getattr(hooks, name) for name in hooks.__all__) and set(hooks.__all__) <= set(dir(hooks))\n"
        "try: hooks.nothing\nexcept AttributeError as fault: print(fault)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "no attribute 'nothing'" in ran.stdout


# --- A sampler


def test_a_plain_loop_trains_on_what_the_schedule_keeps_each_epoch_in_a_new_order():
    n = 23
    schedule = Dynamic(n, fraction=0.5, warmup=1, every=2)
    sampler = PruningSampler(schedule, seed=3)
    loader, orders = DataLoader(torch.arange(n), batch_size=4, sampler=sampler), []
    for epoch in range(5):
        if schedule.due(epoch):
            schedule.update(fresh().random(n))
        sampler.set_epoch(epoch)
        assert len(loader) == -(-len(schedule.positions(epoch)) // 4)
        orders.append(torch.cat(list(loader)).tolist())
        assert sorted(orders[-1]) == schedule.positions(epoch).tolist()
    assert orders[1] != orders[2] and sorted(orders[1]) == sorted(orders[2])
    schedule_again = Dynamic(n, fraction=0.5, rule="random")
    twin = [PruningSampler(schedule_again, seed=3) for _ in range(2)]
    for each in twin:
        each.set_epoch(2)
    assert list(twin[0]) == list(twin[1])


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n, world", [(10, 2), (11, 2), (11, 4), (3, 4), (7, 1)])
def test_shares_are_those_of_torchs_distributed_sampler(n, world, drop_last):
    schedule = Dynamic(n, fraction=1.0)
    for rank in range(world):
        ours = PruningSampler(schedule, shuffle=False, num_replicas=world, rank=rank, drop_last=drop_last)
        ours.set_epoch(0)
        theirs = DistributedSampler(range(n), world, rank, shuffle=False, drop_last=drop_last)
        if (
            drop_last and n % world
        ):  # torch cuts the order to its own length, ours to whole rounds: the same where it is more than none
            assert list(ours) == list(range(n // world * world))[rank::world]
        else:
            assert list(ours) == list(theirs) and len(ours) == len(theirs)


def test_a_shuffled_order_is_shared_out_whole():
    schedule = Soft(31, epochs=4)
    schedule.observe(range(31), fresh().random(31))
    shares = [PruningSampler(schedule, num_replicas=3, rank=rank) for rank in range(3)]
    for each in shares:
        each.set_epoch(1)
    assert set().union(*shares) == set(schedule.positions(1).tolist()) and len({len(each) for each in shares}) == 1


@pytest.mark.parametrize(
    "given, said",
    [({"rank": 2, "num_replicas": 2}, "rank=2 of num_replicas=2"), ({"seed": -1}, "seed=-1"), ({"shuffle": []}, r"shuffle=\[\]"),
     ({"drop_last": "no"}, "drop_last='no'")],
)  # fmt: skip
def test_samplers_that_cannot_be(given, said):
    with pytest.raises(InputError, match=said):
        PruningSampler(Dynamic(4), **given)
    with pytest.raises(InputError, match="no epoch yet"):
        len(PruningSampler(Dynamic(4)))
    with pytest.raises(InputError, match="schedule=4; give a Dynamic"):
        PruningSampler(4)
    for epoch in (-1, 0.5, None, "1"):
        with pytest.raises(InputError, match="epoch=.*a whole number"):
            PruningSampler(Dynamic(4)).set_epoch(epoch)


@pytest.mark.parametrize("make", [lambda: Dynamic(9, alpha=0.5, spread=1.0, every=1), lambda: Soft(9, epochs=6)])
def test_a_schedule_goes_on_from_its_state(make):
    rng = fresh()
    values, whole, first, second = rng.random((6, 9)), make(), make(), make()
    for epoch in range(6):
        for each in (whole, first if epoch < 3 else second):
            if epoch == 3 and each is second:
                state = {name: np.asarray(value) for name, value in first.state_dict().items()}
                second.load_state_dict(state)
            if each.due(epoch):
                each.update(values[epoch])
            kept = each.positions(epoch)
            if isinstance(each, Soft):
                each.observe(kept, values[epoch][kept])
        assert (whole.positions(epoch) == (first if epoch < 3 else second).positions(epoch)).all()
    with pytest.raises(InputError, match="same rule and number"):
        Dynamic(8).load_state_dict(Dynamic(9).state_dict())
    with pytest.raises(InputError, match="same rule and number"):
        Soft(9, epochs=2).load_state_dict(Dynamic(9).state_dict())


# --- Tensors that numpy cannot read: everywhere an InputError that says what to do

BAD = {
    "bfloat16": lambda *shape: torch.ones(shape).bfloat16(),
    "a gradient": lambda *shape: torch.rand(shape, requires_grad=True),
}
TAKERS = {
    "Soft.observe": lambda bad: Soft(6, epochs=4).observe(range(6), bad(6)),
    "Soft.observe positions": lambda bad: Soft(6, epochs=4).observe(bad(6), np.ones(6)),
    "Dynamic.update": lambda bad: Dynamic(6).update(bad(6)),
    "prune.keep": lambda bad: prune.keep(bad(6), 0.5),
    "prune.keep labels": lambda bad: prune.keep(np.ones(6), 0.5, labels=bad(6)),
    "el2n": lambda bad: scores.el2n(bad(6, 2), [0] * 6),
    "el2n labels": lambda bad: scores.el2n(np.full((6, 2), 0.5), bad(6)),
    "entropy": lambda bad: scores.entropy(bad(6, 2)),
    "grand_head": lambda bad: scores.grand_head(np.full((6, 2), 0.5), [0] * 6, bad(6, 3)),
    "aum": lambda bad: scores.aum(bad(2, 6, 2), [0] * 6),
    "datamap": lambda bad: scores.datamap(bad(2, 6, 2), [0] * 6),
    "forgetting": lambda bad: scores.forgetting(bad(2, 6)),
    "tracin": lambda bad: scores.tracin(bad(2, 6)),
    "tracin rates": lambda bad: scores.tracin(np.ones((2, 6)), bad(2)),
    "vog": lambda bad: scores.vog(bad(2, 6)),
    "of_class": lambda bad: scores.of_class(bad(6), [0] * 6),
    "input_norm": lambda bad: scores.input_norm(bad(6, 2)),
    "ge": lambda bad: scores.ge(bad(6, 2), bad(6, 2)),
    "combined": lambda bad: scores.combined(bad(6), bad(6), bad(6), bad(6), "norm"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("taker", TAKERS)
def test_tensors_that_numpy_cannot_read_are_said(taker, kind):
    with pytest.raises(InputError, match=r"\.detach\(\)\.float\(\)\.cpu\(\)"):
        TAKERS[taker](BAD[kind])


def test_what_stands_among_strings_is_no_class():
    """numpy writes a list with a gap as strings, and 'nan' would be a class of its own."""
    mixed = ["a", float("nan"), "b", "a"]
    for call in (
        lambda: out_of_fold(LogisticRegression(), [[0.0]] * 4, mixed),
        lambda: prune.keep([0.1, 0.2, 0.3, 0.4], 0.5, labels=mixed),
        lambda: scores_of([[0.2, 0.3, 0.5]] * 4, mixed),
        lambda: with_scores(pd.DataFrame({"t": range(4)}), {"s": mixed}),
    ):
        with pytest.raises(InputError, match="nan among strings, 1 of 4 are none"):
            call()


# --- Tables


def test_pandas_in_and_out_keeps_index_and_columns():
    frame = pd.DataFrame(
        {"text": list("abcd"), "code": ["007", "1.10", "NA", ""], "y": [0, 1, 0, 1]},
        index=pd.Index(["r", "q", "q", "z"], name="key"),
    )
    before, values = frame.copy(), np.array([0.4, 0.1, 0.3, 0.2])
    scored = with_scores(frame, {"el2n": values})
    assert (
        type(scored) is pd.DataFrame
        and scored.index.equals(frame.index)
        and scored.columns.tolist() == ["text", "code", "y", "el2n"]
    )
    assert (scored["el2n"].to_numpy() == values).all() and frame.equals(before) and scored[["text", "code", "y"]].equals(before)
    kept = pruned(scored, "el2n", 0.5, "hardest", labels="y")
    assert kept.equals(scored.iloc[prune.keep(values, 0.5, labels=frame["y"].to_numpy())])


def test_datasets_in_and_out_keeps_features():
    given = datasets.Dataset.from_dict({"text": list("abcd"), "label": [0, 1, 0, 1]}).cast_column(
        "label", datasets.ClassLabel(names=["no", "yes"])
    )
    scored = with_scores(given, {"el2n": np.array([0.4, 0.1, 0.3, 0.2]), "aum": np.arange(4.0)})
    assert (
        type(scored) is datasets.Dataset
        and scored.column_names == ["text", "label", "el2n", "aum"]
        and scored["el2n"][:] == [0.4, 0.1, 0.3, 0.2]
    )
    assert scored.features["label"] == given.features["label"] and given.column_names == ["text", "label"]
    kept = pruned(scored, "el2n", 0.5, "easiest")
    assert type(kept) is datasets.Dataset and kept["text"][:] == ["b", "d"]


def test_columns_that_a_format_hides_are_found():
    given = datasets.Dataset.from_dict({"s": [0.4, 0.1, 0.3, 0.2], "y": [0, 1, 0, 1]}).with_format("torch", columns=["y"])
    kept = pruned(given, "s", 0.5, "easiest", labels="y")
    assert kept.format == given.format and kept.with_format(None)["s"][:] == [0.1, 0.3]


def test_a_score_is_found_among_columns_of_two_levels():
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")]))
    assert pruned(with_scores(frame, {"s": [0.1, 0.2]}), "s", 0.5)["a"].values.tolist() == [[3, 4]]


def test_names_that_are_numbers_stay_as_they_are():
    names = [2**60 + 1, 0.5, "el2n"]
    assert list(with_scores(pd.DataFrame({"a": [1]}), {name: [1.0] for name in names}).columns) == ["a", *names]
    assert with_scores(pd.DataFrame({"a": [1]}), {2**60 + 1: [1.0], 0.5: [1.0]}).columns[1] == 2**60 + 1


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: with_scores([1], {"a": [1]}), "of type list"),
        (lambda: with_scores(pd.DataFrame({"a": [1]}), [0.5]), "scores are of type list; give a dictionary"),
        (lambda: with_scores(pd.DataFrame({"a": [1]}), {"a": [1]}), "already"),
        (lambda: with_scores(pd.DataFrame({"a": [1]}), {"b": [1, 2]}), "1 rows"),
        (lambda: with_scores(pd.DataFrame({"a": [1, 2]}), {"b": [[1], [1, 2]]}), "cannot be read as an array"),
        (lambda: with_scores(datasets.Dataset.from_dict({"a": [1]}), {3: [1]}), "named by strings; 3 is none"),
        (lambda: with_scores(datasets.Dataset.from_dict({"a": [1]}), {"b": [1j]}), "cannot be a column of a Dataset"),
        (lambda: pruned(pd.DataFrame({"a": [1]}), "b", 1.0), "no column 'b'"),
        (lambda: pruned(pd.DataFrame({"a": [1, 2]}), [1.0], 1.0), "1 scores for a table of 2"),
        (lambda: pruned(pa.table({"a": [1, 2], "b": [1, 2]}), "a", 0.5), "of type Table"),
        (lambda: pruned(datasets.Dataset.from_dict({"a": [1]}).to_iterable_dataset(), [1.0], 1.0), "of type IterableDataset"),
        (lambda: with_scores(pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])), {"a": [1]}), "'a' already"),
    ],
)
def test_tables_that_cannot_be(call, said):
    with pytest.raises(InputError, match=said):
        call()


# --- scikit-learn


def test_out_of_fold_is_cross_val_predict():
    rng = fresh()
    y = rng.permutation(np.repeat(["ant", "bee", "cat"], [30, 25, 20]))
    X = rng.normal(size=(75, 4)) + np.searchsorted(["ant", "bee", "cat"], y)[:, None]
    model = LogisticRegression()
    folds = [deal(np.unique(y, return_inverse=True)[1], 5, np.random.default_rng([7, draw])) for draw in range(2)]
    slow = np.mean([cross_val_predict(model, X, y, cv=PredefinedSplit(fold), method="predict_proba") for fold in folds], axis=0)
    assert np.allclose(out_of_fold(model, X, y, folds=5, repeats=2, seed=7), slow) and not hasattr(model, "coef_")
    assert np.allclose(
        out_of_fold(model, pd.DataFrame(X, index=rng.permutation(75)), list(y), seed=7),
        cross_val_predict(model, X, y, cv=PredefinedSplit(folds[0]), method="predict_proba"),
    )
    for fold in folds:
        assert np.bincount(fold).tolist() == [15] * 5
        for name in "ant", "bee", "cat":
            assert np.ptp(np.bincount(fold[y == name], minlength=5)) <= 1


def test_texts_go_through_a_pipeline():
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.pipeline import make_pipeline

    texts = ["apple pear", "saw axe", "pear plum", "axe drill", "plum apple", "drill saw"] * 4
    probs = out_of_fold(make_pipeline(CountVectorizer(), LogisticRegression()), texts, ["fruit", "tool"] * 12)
    assert (probs.argmax(1) == [0, 1] * 12).all()


def test_a_class_of_one_row_gets_probability_0_and_a_note():
    rng = fresh()
    X, y = rng.normal(size=(21, 2)), np.array([0] * 10 + [1] * 10 + [2])
    with pytest.warns(UserWarning, match=r"Class '2' has 1 row\(s\): 1 of 5 models"):
        probs = out_of_fold(LogisticRegression(), X, y)
    assert probs[20, 2] == 0 and np.allclose(probs.sum(1), 1)
    notes = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = out_of_fold(LogisticRegression(), X[:11], [0] * 10 + [1], notes=notes)  # without its fold a single class is left
    assert len(notes) == 1 and alone[10].tolist() == [1, 0]


@pytest.mark.parametrize("form", ["coo", "bsr", "dia", "csc", "lil"])
def test_sparse_rows_of_any_form(form):
    X, y = fresh().normal(size=(12, 3)), [0, 1] * 6
    sparse = scipy.sparse.csr_array(X).asformat(form)
    np.testing.assert_allclose(out_of_fold(LogisticRegression(), sparse, y), out_of_fold(LogisticRegression(), X, y), atol=1e-3)
    assert sparse.format == form


class Tired(LogisticRegression):
    def predict_proba(self, X):
        return super().predict_proba(X) * np.nan


class Doubled(LogisticRegression):
    def predict_proba(self, X):
        return super().predict_proba(X) * 2


class Short(LogisticRegression):
    def predict_proba(self, X):
        return super().predict_proba(X)[1:]


class Others(LogisticRegression):
    def fit(self, X, y):
        super().fit(X, y)
        self.classes_ = self.classes_ + 7  # none of the labels
        return self


class Bare:
    """No estimator of scikit-learn's."""

    def predict_proba(self, X):
        return X


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: out_of_fold(LogisticRegression(), [[0.0]] * 4, [0, 1, 0]), "4 rows and y shape"),
        (lambda: out_of_fold(LogisticRegression(), [[0.0]] * 4, [0, 1, None, 1]), "none missing"),
        (lambda: out_of_fold(LogisticRegression(), [[0.0]] * 4, [0.5, 1, 0, 1]), "type float64"),
        (lambda: out_of_fold(LogisticRegression(), [[0.0]] * 4, ["a"] * 4), "two classes"),
        (lambda: out_of_fold(LogisticRegression(), None, [0, 1]), "X is of type NoneType, with no rows"),
        (lambda: out_of_fold(LogisticRegression(), np.float64(1), [0, 1]), "X is of type float64, with no rows"),
        (lambda: out_of_fold(LogisticRegression(), datasets.Dataset.from_dict({"x": [1, 2]}), [0, 1]), "with no rows to pick"),
        (lambda: out_of_fold(LogisticRegression(), pa.table({"x": [1, 2]}), [0, 1]), "Table, with no rows to pick"),
        (lambda: out_of_fold(LogisticRegression(), [[0.0]] * 2, [[0], [1, 2]]), "y cannot be read as an array"),
        (lambda: out_of_fold(LogisticRegression(), [[0.0]] * 4, [0, 1, 0, 1], folds=5), "folds=5"),
        (lambda: out_of_fold(LogisticRegression(), [[0.0]] * 4, [0, 1, 0, 1], folds=2, repeats=0), "repeats=0"),
        (lambda: out_of_fold(Dynamic(3), [[0.0]] * 4, [0, 1, 0, 1]), "no predict_proba"),
        (lambda: out_of_fold(Tired(), [[0.0], [1.0]] * 4, [0, 1] * 4, folds=2), "not finite, to 8 of 8"),
        (lambda: out_of_fold(Doubled(), [[0.0], [1.0]] * 4, [0, 1] * 4, folds=2), "no probabilities, with sums from 2 to 2"),
        (lambda: out_of_fold(Short(), [[0.0], [1.0]] * 4, [0, 1] * 4, folds=2), r"shape \(3, 2\) for 4 rows"),
        (lambda: out_of_fold(Others(), [[0.0], [1.0]] * 4, [0, 1] * 4, folds=2), r"classes_ \[7, 8\]"),
        (lambda: out_of_fold(Bare(), [[0.0], [1.0]] * 4, [0, 1] * 4, folds=2), "Bare cannot be cloned"),
        (lambda: scores_of([[0.5, 0.5]], ["c"], names=["a", "b"]), "not among the names"),
        (lambda: scores_of([[0.5, 0.5]], True), r"labels of shape \(\)"),
        (lambda: scores_of([[0.5, 0.5]], ["a"], names=5), r"names of shape \(\)"),
        (lambda: scores_of([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]], [0, 2]), r"shape \(2, 3\) for the 2 classes \[0, 2\]; give na"),
        (lambda: scores_of([[0.5, 0.5]], ["a"], names=["a", "b", "c"]), r"shape \(1, 2\) for the 3 classes"),
    ],
)
def test_folds_that_cannot_be(call, said):
    with pytest.raises(InputError, match=said):
        call()


def test_scores_of_names_every_score():
    rng = fresh()
    probs, y = rng.dirichlet(np.ones(3), 9), np.array(["a", "b", "c"] * 3)
    by_name = scores_of(probs, y)
    assert set(by_name) == set(scores.SCORES) and np.array_equal(by_name["el2n"], scores.el2n(probs, [0, 1, 2] * 3))


# --- Formats of others


def dynamics(rng, times=4, n=12, k=3):
    return [f"q-{i}" for i in rng.permutation(n)], rng.normal(size=(times, n, k)), rng.integers(0, k, n)


def test_a_dump_of_logits_ids_and_labels_gives_scores(tmp_path):
    """Peers' question: plain data of my own; a line an example and epoch, in any order, as any trainer may write them."""
    rng = fresh()
    ids, logits, labels = dynamics(rng)
    (tmp_path / "training_dynamics").mkdir()
    for epoch in range(4):
        rows = [
            {"guid": ids[i], f"logits_epoch_{epoch}": logits[epoch, i].tolist(), "gold": int(labels[i]), "device": "cuda:0"}
            for i in (range(12) if epoch == 0 else rng.permutation(12))
        ]
        pd.DataFrame(rows).to_json(
            tmp_path / "training_dynamics" / f"dynamics_epoch_{epoch}.jsonl", lines=True, orient="records", double_precision=15
        )
    read_ids, read, gold = formats.read_dynamics(tmp_path)
    assert read_ids == ids and np.allclose(read, logits) and (gold == labels).all()
    by_name = scores_over_time(read, gold)
    assert np.allclose(by_name["aum"], scores.aum(logits, labels)) and np.allclose(
        by_name["confidence"], -scores.datamap(runs.probabilities(logits), labels).confidence
    )


def test_what_is_written_is_read_back_and_in_the_shape_of_the_released_reader(tmp_path):
    ids, logits, labels = dynamics(fresh())
    files = formats.write_dynamics(tmp_path, ids, logits, labels)
    assert [file.relative_to(tmp_path).as_posix() for file in files] == [
        f"training_dynamics/dynamics_epoch_{e}.jsonl" for e in range(4)
    ]
    back = formats.read_dynamics(tmp_path)
    assert back[0] == ids and (back[1] == logits).all() and (back[2] == labels).all()
    frame = pd.read_json(files[2], lines=True)
    assert frame.columns.tolist() == ["guid", "logits_epoch_2", "gold"] and len(frame) == 12
    with pytest.raises(InputError, match="exist"):
        formats.write_dynamics(tmp_path, ids, logits, labels)


def by_their_rules(logits, label) -> dict:
    """Metrics of one example by the words of the paper and the released code: a loop over the epochs."""
    true, right = [], []
    for z in logits:
        p = np.exp(z - z.max())
        true.append(p[label] / p.sum())
        right.append(int(np.argmax(z) == label))
    forgotten = sum(1 for a, b in zip(right, right[1:], strict=False) if a and not b)
    confidence = float(np.mean(true))
    return {
        "threshold_closeness": confidence * (1 - confidence),
        "confidence": confidence,
        "variability": float(np.std(true)),
        "correctness": sum(right),
        "forgetfulness": forgotten if any(right) else 1000,
    }


@pytest.mark.parametrize("given, said", [(None, "NoneType"), ({"a", "b"}, "set"), ("ab", "str"), ([[1], [2]], "list")])
def test_ids_that_are_none(given, said):
    with pytest.raises(InputError, match=f"ids of type {said}; give a sequence of strings"):
        formats.metrics(given, np.zeros((1, 2, 2)), [0, 1])


@pytest.mark.parametrize("given", [torch.tensor([7, 3]), pa.array([7, 3]), pd.Series([7, 3], index=[1, 0]), np.array([7, 3])])
def test_ids_of_other_kinds_are_numbers(given):
    assert formats.metrics(given, np.zeros((1, 2, 2)), [0, 1])["guid"].tolist() == [7, 3]


def test_metrics_are_those_of_cartography(tmp_path):
    ids, logits, labels = dynamics(fresh(), times=6, n=40)
    logits[:, 0, labels[0]] = -9.0  # never right
    file = formats.write_metrics(tmp_path, ids, logits, labels)
    assert file.name == "td_metrics.jsonl" and list(json.loads(file.read_text().splitlines()[0])) == list(formats.METRICS)
    table = formats.read_metrics(file)
    assert table["guid"].tolist() == ids and table["index"].tolist() == list(range(40)) and table["forgetfulness"][0] == 1000
    slow = pd.DataFrame([by_their_rules(logits[:, i], labels[i]) for i in range(40)])
    pd.testing.assert_frame_equal(table[slow.columns.tolist()], slow, check_dtype=False)


@pytest.mark.parametrize(
    "lines, said",
    [
        ([], "has the epochs"),
        (["not json"], "line 1"),
        (['{"guid": 1, "gold": 0}'], "logits_epoch_0"),
        (['{"guid": 1, "gold": 0, "logits_epoch_0": [1, 2]}'] * 2, "there twice"),
        (['{"guid": 1, "gold": 0, "logits_epoch_0": [1, 2]}', '{"guid": 2, "gold": 0, "logits_epoch_0": [1]}'], "rectangular"),
        (['{"guid": 1, "gold": "x", "logits_epoch_0": [1, 2]}'], "integers"),
    ],
)
def test_dumps_that_cannot_be_read(tmp_path, lines, said):
    if lines:
        (tmp_path / "dynamics_epoch_0.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=said):
        formats.read_dynamics(tmp_path)


def test_epochs_and_examples_that_are_missing_are_said(tmp_path):
    formats.write_dynamics(tmp_path, ["a", "b"], np.ones((3, 2, 2)), [0, 1])
    inside = tmp_path / "training_dynamics"
    (inside / "dynamics_epoch_1.jsonl").write_text((inside / "dynamics_epoch_1.jsonl").read_text().splitlines()[0])
    with pytest.raises(InputError, match="every example in every epoch"):
        formats.read_dynamics(tmp_path)
    (inside / "dynamics_epoch_1.jsonl").unlink()
    with pytest.raises(InputError, match=r"epochs \[0, 2\]"):
        formats.read_dynamics(tmp_path)
    with pytest.raises(InputError, match="1 of them different"):
        formats.write_dynamics(tmp_path / "x", ["a", "a"], np.ones((3, 2, 2)), [0, 1])
    with pytest.raises(InputError, match="line 1 of"):
        (tmp_path / "td_metrics.jsonl").write_text("{}\n")
        formats.read_metrics(tmp_path / "td_metrics.jsonl")


def noisy(rng, n=60):
    """Labels and probabilities, a few of which disagree, as cleanlab takes them."""
    labels = np.arange(n) % 3
    probs = rng.dirichlet(np.ones(3), n)
    probs[np.arange(n), labels] += 2
    probs[:6] = np.roll(probs[:6], 1, axis=1)
    return labels, probs / probs.sum(1, keepdims=True)


@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.rename")  # within cleanlab
def test_cleanlabs_issues_are_read():
    labels, probs = noisy(fresh())
    lab = Datalab({"y": labels.tolist()}, label_name="y", verbosity=0)
    lab.find_issues(pred_probs=probs, issue_types={"label": {}})
    ours = formats.from_issues(lab.get_issues("label"))
    assert np.allclose(ours, 1 - get_label_quality_scores(labels, probs))
    p_y = probs[np.arange(len(labels)), labels]
    assert np.allclose(ours, 1 - p_y) and (np.argsort(ours) == np.argsort(scores.cross_entropy(probs, labels))).all()


@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.rename")  # within cleanlab
def test_issues_are_written_as_cleanlab_has_them():
    labels, probs = noisy(fresh())
    lab = Datalab({"y": labels.tolist()}, label_name="y", verbosity=0)
    lab.find_issues(pred_probs=probs, issue_types={"label": {}})
    theirs = lab.get_issues("label")
    ours = formats.to_issues(1 - probs[np.arange(len(labels)), labels], theirs["is_label_issue"].to_numpy(), labels, probs)
    pd.testing.assert_frame_equal(ours, theirs, check_exact=False)
    verdicts = find_label_issues(labels, probs)
    assert (formats.to_issues(np.zeros(60), verdicts, labels, probs)["is_label_issue"] == verdicts).all()


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: formats.from_issues(pd.DataFrame({"score": [1.0]})), "label_score or label_quality"),
        (lambda: formats.from_issues(pd.DataFrame({"label_score": [1.0, 0.5]}, index=[1, 0])), "order of the data"),
        (lambda: formats.to_issues([2.0], [True], [0], [[0.5, 0.5]]), "values from 0 to 1"),
        (lambda: formats.to_issues([0.5, 0.5], [True], [0], [[0.5, 0.5]]), "one of each"),
    ],
)
def test_issues_that_cannot_be(call, said):
    with pytest.raises(InputError, match=said):
        call()


def test_the_schedules_settings_know_no_more_than_before():
    assert dynamic.of({"rule": "soft"}, 5, 3, 0).state_dict().keys() == {"_losses", "_drawn_epoch", "_drawn_weights"}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_scores_written_keep_their_digits_and_what_was_never_learned(tmp_path, kind):
    ids = ["007", "café", "a\nb"] if kind != "jsonl" else [np.datetime64("2020-01-01"), "café", "007"]
    values = {"el2n": np.array([1.234567890123e-9, 0.1 + 0.2, 3e-17]), "forgetting": np.array([0, np.inf, 1])}
    file = tmp_path / f"scores.{kind}"
    recorded.write(recorded.frame(ids, np.array([0, 1, 0]), values), file)
    table = tables.read(file)
    for name, own in values.items():
        assert [float(cell) for cell in table.cells(name)] == own.tolist()
    assert table.cells("id") == (ids if kind != "jsonl" else ["2020-01-01", *ids[1:]])
    if kind == "jsonl":
        scored = table.with_columns({"datadiet_forgetting": values["forgetting"]})
        scored.write(tmp_path / "more.jsonl")
        found = datasets.Dataset.from_json(str(tmp_path / "more.jsonl"), cache_dir=str(tmp_path / "cache"))
        assert found["datadiet_forgetting"][:] == found["forgetting"][:] == values["forgetting"].tolist()


def test_a_series_in_another_order_is_not_taken_by_position():
    frame = pd.DataFrame({"text": list("abc")}, index=[7, 3, 9])
    values = pd.Series([0.1, 0.2, 0.3], index=[3, 7, 9])
    for call in (lambda: with_scores(frame, {"el2n": values}), lambda: pruned(frame, values, 0.5)):
        with pytest.raises(InputError, match="in another order; give it in their order"):
            call()
    for index, said in (([3, 7, 8], "2 of the 3 rows of the table"), ([7, 7, 3], "the rows of the table in another order")):
        with pytest.raises(InputError, match=said):
            with_scores(frame, {"el2n": values.set_axis(index)})
    assert with_scores(frame, {"el2n": values.loc[frame.index]})["el2n"].tolist() == [0.2, 0.1, 0.3]
    assert with_scores(frame, {"el2n": values.reset_index(drop=True)})["el2n"].tolist() == [0.1, 0.2, 0.3]


def test_labels_in_another_order_than_what_they_label_are_not_taken_by_position():
    seed = np.random.default_rng().integers(1_000_000)
    rng = np.random.default_rng(seed)
    labels = pd.Series(rng.permutation(np.repeat([0, 1], 10)), index=rng.permutation(100)[:20])
    probs = pd.DataFrame(rng.dirichlet([1, 1], 20), index=labels.index)
    calls = (lambda y: scores.el2n(probs, y), lambda y: scores_of(probs, y)["el2n"],
             lambda y: prune.keep(probs[0], 0.5, labels=y),
             lambda y: out_of_fold(LogisticRegression(), probs, y))  # fmt: skip
    refused = r"(labels|y) is a Series whose index has the rows of \w+ in another order"
    for call in calls:
        with pytest.raises(InputError, match=refused):
            call(labels[::-1])
        for same in (labels.to_numpy(), labels.reset_index(drop=True).set_axis(range(100, 120)), labels[::-1].loc[probs.index]):
            assert (call(same) == call(labels)).all(), f"seed {seed}"


def test_a_frame_of_probabilities_says_which_column_is_which_class():
    probs = pd.DataFrame({"b": [0.9, 0.3], "a": [0.1, 0.7]})
    np.testing.assert_allclose(scores_of(probs, ["b", "a"])["least_confidence"], [0.1, 0.3])
    np.testing.assert_allclose(scores_of(probs, ["b", "a"])["cross_entropy"], -np.log([0.9, 0.7]))
    np.testing.assert_allclose(scores_of(probs, ["b", "a"], names=["a", "b"])["cross_entropy"], -np.log([0.1, 0.3]))


def test_gaps_among_scores_of_a_dataset_are_named():
    data = datasets.Dataset.from_dict({"s": [0.5, None, 0.25]})
    with pytest.raises(InputError, match="position 1 is None, as 1 of 3 are"):
        pruned(data, "s", 0.5)


def test_a_file_in_place_of_a_folder_is_said(tmp_path):
    (tmp_path / "out").write_text("")
    for write in (formats.write_dynamics, formats.write_metrics):
        with pytest.raises(InputError, match="the folder .*out.* cannot be made"):
            write(tmp_path / "out", ["a", "b"], np.zeros((1, 2, 2)), [0, 1])
