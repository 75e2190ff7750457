"""Whatever model, loop, set or command is given: an answer that is right, or InputError before anything is trained.

Gradient norms of models put together at random, callbacks and samplers, tables of others, estimators, names of sets, sweeps, and
the commands that train. DATADIET_INPUTS is the number of inputs a property, as in test_inputs.py.
"""

import os
import tempfile
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_gradnorm import same_state, state
from test_inputs import ANYTHING, MANY, PLAIN, SHARES, THINGS, WORDS, answer, asked, commanded, ranked
from torch import nn
from torch.nn import functional as F

from datadiet import data, dynamic, hooks, prune, runs
from datadiet.errors import InputError
from datadiet.gradnorm import grad_norms, reference_grad_norms
from datadiet.runs import verify

# --- Gradient norms of models put together at random

FEW = settings(MANY, max_examples=int(os.environ.get("DATADIET_INPUTS", 15)))  # of what takes a tenth of a second each
WIDE = 3  # of every activation


class Scaled(nn.Module):
    """Parameters of its own, which enter operations as they are and after steps that no example takes part in."""

    def __init__(self):
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.ones(WIDE)), nn.Parameter(torch.zeros(WIDE))

    def forward(self, h):
        return h * (1 + self.gain) + self.shift.exp()


class Steps(nn.Module):
    """Layers by name, and a list of steps that use them: each a word and the number of a layer."""

    def __init__(self, kind, steps, shared):
        super().__init__()
        self.kind, self.steps = kind, steps
        self.table = nn.Embedding(5, WIDE, padding_idx=0 if "padding" in kind else None) if "tokens" in kind else None
        self.first = nn.Conv2d(2, WIDE, 2, padding=1) if kind == "image" else nn.Linear(WIDE, WIDE)
        self.maps = nn.ModuleList(nn.Linear(WIDE, WIDE, bias=k != 1) for k in range(3))
        self.norms = nn.ModuleList([nn.LayerNorm(WIDE), nn.LayerNorm(WIDE, elementwise_affine=False), nn.LayerNorm(WIDE)])
        self.scales = nn.ModuleList(Scaled() for _ in range(3))
        self.drop, self.along = nn.Dropout(0.5), nn.Conv1d(WIDE, WIDE, 3, padding=1, groups=1)
        self.turn, self.batch = nn.GRU(WIDE, WIDE, batch_first=True), nn.BatchNorm1d(WIDE)
        self.look = nn.MultiheadAttention(WIDE, 1, batch_first=True)
        self.head = nn.Linear(WIDE, WIDE)
        if shared:  # one weight in two layers
            self.maps[2].weight = self.maps[0].weight

    def __repr__(self):
        frozen = [name for name, p in self.named_parameters() if not p.requires_grad]
        return f"Steps({self.kind!r}, {self.steps}, shared={self.maps[0].weight is self.maps[2].weight}, frozen={frozen})"

    def forward(self, x):
        h = x if self.table is None else self.table(x)
        h = self.first(h)
        h = h.flatten(2).mT if self.kind == "image" else h[:, None] if h.dim() == 2 else h
        for word, number in self.steps:  # h: [B, T, WIDE]
            h = STEPS[word](self, h, number)
        return self.head(h.mean(1))


def recurrent(self, h, k):
    return self.turn(h)[0]


STEPS = {
    "map": lambda self, h, k: self.maps[k](h),
    "tanh": lambda self, h, k: torch.tanh(h),
    "norm": lambda self, h, k: self.norms[k](h),
    "scale": lambda self, h, k: self.scales[k](h),
    "dropout": lambda self, h, k: self.drop(h),
    "along": lambda self, h, k: self.along(h.mT).mT,
    "recurrent": recurrent,
    "attention": lambda self, h, k: self.look(h, h, h, need_weights=False)[0],
    "own attention": lambda self, h, k: torch.softmax(h @ h.mT, -1) @ self.maps[k](h),
    "batch norm": lambda self, h, k: self.batch(h.mT).mT,
    "residual": lambda self, h, k: h + torch.relu(self.maps[k](h)),
    "in place": lambda self, h, k: self.maps[k](h).relu_(),
    "in place, doubled": lambda self, h, k: self.maps[k](h).mul_(2).add_(1),
    "in place, added": lambda self, h, k: self.maps[k](h).add_(h),
    "weight elsewhere": lambda self, h, k: h @ self.maps[k].weight.T.tanh(),
    "weight as a map": lambda self, h, k: F.linear(h, self.maps[k].weight),
    "twice": lambda self, h, k: self.maps[k](torch.tanh(self.maps[k](h))),
    "turned in time": lambda self, h, k: h.flip(1).cumsum(1),
    "flattened": lambda self, h, k: self.maps[k](h.reshape(-1, h.shape[-1])).view(h.shape),
    "one by one": lambda self, h, k: torch.stack([self.maps[k](row) for row in h]),
    "positions": lambda self, h, k: h + self.maps[k](torch.ones(h.shape[1], WIDE, dtype=h.dtype)),
    "detached": lambda self, h, k: h + self.maps[k](h.detach()).detach(),
    "not trained": lambda self, h, k: h + torch.no_grad()(self.maps[k])(h),
    "turned and back": lambda self, h, k: self.maps[k](h.transpose(0, 1)).transpose(0, 1),
}
WRONG = {  # of one example alone each is a step like others: the truth has no other examples to mix
    "centred": lambda self, h, k: h - h.mean(0) + h[:1] * 0 if len(h) > 1 else h,
    "summed": lambda self, h, k: h * h.square().sum(0),
    "running": lambda self, h, k: h.cumsum(0),
    "neighbours": lambda self, h, k: h + h.roll(1, 0),
    "reversed": lambda self, h, k: self.maps[k](h.flip(0)).flip(0),
    "reversed for good": lambda self, h, k: self.maps[k](h).flip(0),
    "sorted": lambda self, h, k: self.maps[k](h[h.sum((1, 2)).argsort()]),
    "picked": lambda self, h, k: self.maps[k](h[torch.arange(len(h)).roll(1)]),
    "divided": lambda self, h, k: h / len(h),
}
MOVES = ("reversed", "reversed for good", "sorted", "picked")
STEPS |= WRONG


LOSSES = {
    "cross-entropy": lambda out, y: F.cross_entropy(out, y, reduction="none"),
    "squares": lambda out, y: (out - y[:, None]).square().sum(1) + 1,
}
WRONG_LOSSES = {
    "mean": lambda losses, y: losses.mean(),
    "mean of all": lambda losses, y: losses.mean().expand(len(losses)),
    "divided": lambda losses, y: losses / len(losses),
    "a column": lambda losses, y: losses[:, None],
    "one too few": lambda losses, y: losses[1:],
    "not a number": lambda losses, y: losses * torch.where(y == 1, torch.nan, 1.0),
    "detached": lambda losses, y: losses.detach(),
    "a list": lambda losses, y: list(losses),
    "a number": lambda losses, y: 1.0,
    "nothing": lambda losses, y: None,
    "whole": lambda losses, y: losses.long(),
    "complex": lambda losses, y: losses + 0j,
    "turned": lambda losses, y: losses.flip(0),
}


@dataclass(frozen=True)
class Loss:
    name: str
    wrong: str | None = None

    def __call__(self, model, batch):
        losses = LOSSES[self.name](model(batch["x"]), batch["y"])
        return WRONG_LOSSES[self.wrong](losses, batch["y"]) if self.wrong else losses


KINDS = st.sampled_from(["vector", "sequence", "tokens", "tokens with padding", "image"])


@st.composite
def scored(draw, wrong=False):
    """(model, batch, another batch of its shape, loss), all plain; with `wrong` one step or the loss is not."""
    draw_from = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    kind, dtype = draw(KINDS), draw(st.sampled_from([torch.float64, torch.float64, torch.float32]))
    plain = st.sampled_from([word for word in STEPS if word not in WRONG])
    steps = draw(st.lists(st.tuples(plain, st.integers(0, 2)), max_size=5))
    loss = Loss(draw(st.sampled_from(sorted(LOSSES))))
    n, length = draw(st.integers(2 if wrong else 1, 5)), draw(st.integers(1, 4))
    if wrong and draw(st.booleans()):
        steps.insert(draw(st.integers(0, len(steps))), (draw(st.sampled_from(sorted(WRONG))), draw(st.integers(0, 2))))
    elif wrong:
        loss = Loss(loss.name, draw(st.sampled_from(sorted(WRONG_LOSSES))))
    model = Steps(kind, steps, draw(st.booleans())).to(dtype).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=draw_from, dtype=torch.float64) * 0.6)
    for p in model.parameters():
        p.requires_grad_(not draw(st.booleans()) if draw(st.integers(0, 3)) == 0 else True)

    def batch():
        if "tokens" in kind:
            x = torch.randint(0, 5, (n, length), generator=draw_from)
        else:
            shape = {"vector": (n, WIDE), "sequence": (n, length, WIDE), "image": (n, 2, length, length)}[kind]
            x = torch.randn(shape, generator=draw_from, dtype=torch.float64).to(dtype)
        return {"x": x, "y": torch.randint(0, WIDE, (n,), generator=draw_from)}

    return model, batch(), batch(), loss


def quietly(call):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "gradnorm: the parameters of")
        return asked(call)


def agree(found, truth):
    """Whether norms are those of the slow truth, to 1e-4 of each and, in single precision, of the largest of the batch."""
    rough = 1e-5 if truth.dtype == torch.float32 else 1e-10
    torch.testing.assert_close(found, truth, rtol=1e-4, atol=rough * float(truth.max()) + rough / 10)


@given(scored(), st.booleans())
@FEW
def test_norms_of_any_plain_model_are_those_of_the_slow_truth(given_, trained):
    model, *batches, loss = given_
    if not any(p.requires_grad for p in model.parameters()):
        return
    if trained and not any(word in ("dropout", "batch norm") for word, _ in model.steps):
        model.train()
        model.batch.eval()
    before, drawn, alone = state(model), torch.get_rng_state(), {}
    for batch in batches:
        copies = {name: t.clone() for name, t in batch.items()}
        truth, refused = quietly(lambda batch=batch: reference_grad_norms(model, batch, loss))
        found, again = quietly(lambda batch=batch: grad_norms(model, batch, loss, alone=alone))
        assert (refused is None) == (again is None), (refused, again)
        if refused is None:
            agree(found, truth)
            assert found.dtype == truth.dtype and not found.requires_grad
        assert all(torch.equal(batch[name], t) for name, t in copies.items())
    same_state(before, state(model))
    assert torch.equal(drawn, torch.get_rng_state()) and torch.is_grad_enabled()


@given(scored(wrong=True))
@FEW
def test_a_model_or_loss_that_mixes_or_moves_its_examples_is_refused_or_right(given_):
    model, batch, _, loss = given_
    truth, refused = quietly(lambda: reference_grad_norms(model, batch, loss))
    found, _ = quietly(lambda: grad_norms(model, batch, loss))
    if found is not None:
        assert refused is None, refused
        moves = loss.wrong == "turned" or any(word in MOVES for word, _ in model.steps)
        with torch.no_grad():
            ones = torch.cat([loss(model, {name: t[b:b + 1] for name, t in batch.items()}) for b in range(len(batch["y"]))])
            mixed = not torch.allclose(loss(model, batch), ones, rtol=1e-4, atol=1e-6)
        if moves or not mixed:  # what changes a loss by less than 1 % is taken for rounding
            agree(found, truth)
        else:
            torch.testing.assert_close(loss(model, batch).detach()[[0, -1]], ones[[0, -1]], rtol=0.0101, atol=2e-5)


@given(scored())
@FEW
def test_dropout_in_train_mode_gives_norms_of_the_masks_drawn(given_):
    model, batch, _, loss = given_
    model.train()
    found, said = quietly(lambda: grad_norms(model, batch, loss))
    if found is None:
        assert not any(p.requires_grad for p in model.parameters()) or "BatchNorm" in said or "depends on no" in said, said
    else:
        assert found.shape == (len(batch["y"]),) and found.isfinite().all()


@given(*[st.sampled_from(["right"] * 3 + ["wrong"])] * 4, ANYTHING)
@MANY
def test_norms_of_anything_at_all(model, batch, loss, alone, thing):
    right = {"model": nn.Linear(2, 2), "batch": {"x": torch.ones(2, 2), "y": torch.tensor([0, 1])}, "loss": Loss("cross-entropy")}
    asked_for = {name: right[name] if how == "right" else thing for name, how in zip(right, (model, batch, loss), strict=True)}
    found = answer(lambda: grad_norms(**asked_for, alone={} if alone == "right" else thing))
    answer(lambda: reference_grad_norms(**asked_for))
    assert found is None or found.shape == (2,)


# --- Callbacks and samplers

AT = st.just("epoch") | st.lists(st.integers(-1, 9) | PLAIN, max_size=3) | ANYTHING
OUT = st.none() | st.sampled_from(["scores.csv", "scores.jsonl", "s.xlsx", "no/s.csv", "", ".", "there.csv", Path("s.csv")])


@given(OUT | ANYTHING, AT, st.sampled_from(["pass", "training"]) | ANYTHING, st.none() | st.lists(st.text(max_size=2)) | ANYTHING,
       st.booleans(), st.lists(st.sampled_from(["el2n", "aum", "forgetting", "variability"])) | ANYTHING | st.none(),
       st.none() | st.lists(st.integers(-3, 3)) | ANYTHING)  # fmt: skip
@MANY
def test_a_callback_that_scores(out, at, source, ids, force, names, when):
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / out) if isinstance(out, str) and out and out.isprintable() and len(out) < 99 else out
        (Path(folder) / "there.csv").write_text("mine")
        made = answer(lambda: hooks.ScoreCallback(out, at, source, ids, force))
        assert (Path(folder) / "there.csv").read_text() == "mine"
    if made is None:
        return
    assert made.at == "epoch" or all(int(point) >= 0 for point in made.at)
    assert answer(made.scores) is None  # nothing was recorded
    logits = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    made._kept = hooks.trainer.recorded.Recordings(4)
    for time in range(2):
        made._kept.add(mock.Mock(global_step=time, epoch=time), np.arange(4), logits[time], np.array([0, 1, 2, 0]))
    found = answer(lambda: made.scores(names, when))
    for values in (found or {}).values():
        assert values.shape == (4,) and values.dtype == np.float64
    assert found is None or names is None or set(found) == set(names)


SETTINGS = st.dictionaries(st.sampled_from(["rule", "fraction", "warmup", "every", "drop", "dropout", "reuse", "x"]), PLAIN
                           | st.sampled_from(["hardest", "random", "soft"]), max_size=3)  # fmt: skip


@given(SETTINGS | ANYTHING | st.sampled_from([dynamic.Dynamic(4), dynamic.Soft(4, 2)]),
       st.sampled_from(["adapt", "keep"]) | ANYTHING)  # fmt: skip
@MANY
def test_a_callback_that_prunes(schedule, lr):
    made = answer(lambda: hooks.DynamicPruningCallback(schedule, lr))
    if made is not None and isinstance(schedule, dict):  # what the start of a training makes of it
        answer(lambda: dynamic.of(made.given, 4, 2, 0))


@given(st.integers(1, 9), st.floats(0.1, 1), st.booleans(), st.booleans() | PLAIN, st.just(0) | PLAIN,
       st.integers(1, 4) | st.none() | PLAIN, st.booleans(), st.lists(st.integers(0, 5) | PLAIN, max_size=4),
       ANYTHING)  # fmt: skip
@MANY
def test_a_sampler_gives_what_the_schedule_keeps_once(n, fraction, soft, shuffle, seed, replicas, drop_last, epochs, thing):
    answer(lambda: hooks.PruningSampler(thing))
    schedule = answer(lambda: dynamic.Soft(n, 6, fraction / 2) if soft else dynamic.Dynamic(n, fraction, "random"))
    if schedule is None:  # so little of so few keeps nobody
        return
    if soft:
        schedule.observe(np.arange(n), np.arange(n) / n)
    world = replicas if isinstance(replicas, int) else 1
    how = {"shuffle": shuffle, "seed": seed, "num_replicas": replicas, "drop_last": drop_last}
    made = [answer(lambda r=r: hooks.PruningSampler(schedule, rank=r, **how)) for r in range(min(world, 9))]
    if not made or None in made or world != len(made):
        return
    for epoch in epochs:
        if asked(lambda: [each.set_epoch(epoch) for each in made])[0] is None:  # noqa: B023 - called at once
            continue
        kept, shares = schedule.positions(epoch).tolist(), [list(each) for each in made]
        assert all(len(share) == len(each) == len(shares[0]) for share, each in zip(shares, made, strict=True))
        seen = [position for share in shares for position in share]
        assert set(seen) <= set(kept) and (drop_last or set(seen) == set(kept))
        assert len(seen) == len(kept) // world * world if drop_last else len(kept) <= len(seen) < len(kept) + world
        if not drop_last and world == 1:
            assert sorted(seen) == kept and (shuffle or seen == kept)


# --- Tables of others, and estimators

SETS = st.integers(0, 4).map(lambda n: datasets.Dataset.from_dict(
    {"text": ["a"] * n, "own": [i / 7 for i in range(n)], "tags": [["x"] * i for i in range(n)]}))  # fmt: skip
FRAMES = st.integers(0, 4).map(lambda n: pd.DataFrame(
    {"text": pd.array(["a"] * n, "string"), "own": np.arange(n) / 7, 3: pd.Categorical(["x"] * n)}, index=[7] * n))  # fmt: skip
NAMED = st.sampled_from(["el2n", "text", 3, ""]) | THINGS.filter(lambda name: name == name)
NEW = st.dictionaries(NAMED, ranked() | ANYTHING | st.just("own"), max_size=2)


def content(table):
    """Columns of a table with their cells and their types, and its index."""
    if isinstance(table, datasets.Dataset):
        return {name: (table[name][:], table.features[name]) for name in table.column_names}, None
    return {name: (table[name].tolist(), table[name].dtype) for name in table.columns}, table.index.tolist()


@given(SETS | FRAMES, NEW)
@MANY
def test_scores_change_no_other_column(table, new):
    (before, index), n = content(table), len(table)
    new = {name: np.arange(n) / 3 if isinstance(values, str) and values == "own" else values for name, values in new.items()}
    found = answer(lambda: hooks.with_scores(table, new))
    assert content(table) == (before, index)
    if found is not None:
        after, same = content(found)
        assert type(found) is type(table) and same == index and list(after) == [*before, *new]
        assert {name: after[name] for name in before} == before
        for name, values in new.items():
            if isinstance(values, np.ndarray) and values.dtype.kind == "f":
                np.testing.assert_array_equal(np.array(after[name][0], float), values)


@given(SETS | FRAMES, st.just("own") | ranked() | ANYTHING, SHARES, st.sampled_from(prune.RULES) | ANYTHING,
       st.none() | st.just("text") | ANYTHING)  # fmt: skip
@MANY
def test_rows_that_stay_are_as_they_were(table, values, fraction, rule, labels):
    (before, _), n = content(table), len(table)
    found = answer(lambda: hooks.pruned(table, values, fraction, rule, labels=labels))
    if found is not None:
        ranks = table[values][:] if isinstance(values, str) else values
        groups = table[labels][:] if isinstance(labels, str) else labels
        kept = prune.keep(np.asarray(ranks), fraction, rule, labels=None if groups is None else np.asarray(groups))
        after, _ = content(found)
        assert list(after) == list(before) and len(found) == round(fraction * n)
        assert all(after[name] == ([before[name][0][i] for i in kept], before[name][1]) for name in before)


class Odd:
    """A classifier that does one thing of the protocol otherwise."""

    def __init__(self, how="right"):
        self.how = how

    def get_params(self, deep=True):
        if self.how == "no parameters":
            raise TypeError("none")
        return {"how": self.how}

    def set_params(self, **given):
        return self

    def fit(self, X, y):
        names = np.unique(y)
        self.rows = len(X)
        if self.how != "no classes":
            self.classes_ = {"other classes": np.array(["q", "r"]), "backwards": names[::-1], "twice": np.array([names[0]] * 2),
                             "a list": names.tolist()}.get(self.how, names)  # fmt: skip
        return None if self.how == "returns nothing" else self

    def predict_proba(self, X):
        k = len(getattr(self, "classes_", "ab"))
        right = np.tile(np.arange(1.0, k + 1) / (k * (k + 1) / 2), (len(X), 1))
        return {"a row too few": right[1:], "a column": right[:, :1], "flat": right.ravel(), "not finite": right * np.nan,
                "doubled": right * 2, "below zero": right - [[2.0] + [0.0] * (k - 2) + [-2.0]], "words": right.astype(str),
                "a list": right.tolist(), "ragged": [[0.5], [0.5, 0.5]], "nothing": None}.get(self.how, right)  # fmt: skip


RIGHT = ("right", "returns nothing", "backwards", "a list")
ODD = st.sampled_from([*RIGHT, "no parameters", "no classes", "other classes", "twice", "a row too few", "a column",
                       "flat", "not finite", "doubled", "below zero", "words", "ragged", "nothing"])  # fmt: skip


@given(ODD, st.integers(2, 3), st.integers(1, 2), st.integers(0, 9), st.integers(2, 3), st.booleans())
@MANY
def test_an_estimator_that_does_one_thing_otherwise(how, folds, repeats, seed, k, frame):
    y = np.array(list("abc")[:k] * 4)
    X = np.zeros((len(y), 2))
    found = answer(lambda: hooks.out_of_fold(Odd(how), pd.DataFrame(X) if frame else X, y, folds, repeats, seed))
    assert (found is None) == (how not in RIGHT), how
    if found is not None:
        weights = np.arange(1.0, k + 1)
        row = (weights[::-1] if how == "backwards" else weights) / weights.sum()
        np.testing.assert_allclose(found, np.tile(row, (len(y), 1)))


@given(ANYTHING, ANYTHING, st.none() | ANYTHING)
@MANY
def test_scores_of_anything(probs, labels, names):
    found = answer(lambda: hooks.scores_of(probs, labels, names))
    for values in (found or {}).values():
        assert values.shape == (len(labels),)


# --- Sets by name, and sweeps

SET = st.sampled_from(["digits", "trec6", "hub:", "hub:nothing", "cifar10n", "cifar10n:", "cifar10n:x", "imdb_label_errors", "..",
                       "../x", "", "a/b", "here"]) | st.text(max_size=4) | ANYTHING  # fmt: skip


@given(SET, st.sampled_from(["here", "here/mine", "here/mine/train.parquet", "nowhere", ""]) | ANYTHING,
       st.just(0.1) | st.floats(-0.1, 0.6) | ANYTHING)  # fmt: skip
@MANY
def test_a_set_of_any_name(name, root, validation):
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "here" / "mine").mkdir(parents=True)
        (Path(place) / "here" / "mine" / "train.parquet").write_bytes(b"x")
        root = Path(place) / root if isinstance(root, str) and root.startswith(("here", "nowhere")) else root
        found = answer(lambda: data.load(name, root, validation=validation))
        assert found is None or found.name == name == "digits" and len(found.train) == 1197
        answer(lambda: data.load_side_table(name, root))


ENGINES = st.sampled_from(["here", "processes", "stored", "dask://", "dask://x", "dask://x:y", "dask://[::1", "dask://:1", "tcp://x:1"])
CONFIGS = st.lists(st.sampled_from([{"task": "nothing"}, {"task": "digits"}, {"seed": 1}]).map(lambda given: runs.config(**given))
                   | st.dictionaries(st.text(max_size=5) | st.just("task"), PLAIN, max_size=2) | ANYTHING,
                   max_size=3)  # fmt: skip


@given(CONFIGS | ANYTHING, ENGINES | ANYTHING)
@MANY
def test_a_sweep_of_anything_is_refused_before_anything_runs(configs, engine):
    with mock.patch.object(runs, "_carry_out", side_effect=InputError("runs.sweep: it would run")), \
            mock.patch.object(runs.engines, "started", side_effect=InputError("runs.sweep: it would start")), \
            tempfile.TemporaryDirectory() as place, mock.patch.dict("os.environ", {"DATADIET_STORE": place}):  # fmt: skip
        found = answer(lambda: runs.sweep(configs, engine))
        if found is not None:
            assert not len(found) and found.attrs["missing"] == len(configs) and (engine == "stored" or not configs)
        answer(lambda: runs.published(configs))


@given(CONFIGS | ANYTHING, st.integers(-1, 3) | ANYTHING, st.just(0) | ANYTHING,
       st.none() | st.sampled_from(["cpu", "cuda", "x"]) | ANYTHING)  # fmt: skip
@MANY
def test_a_check_of_anything_published(configs, sample, seed, where):
    with mock.patch.object(verify, "_compared", lambda run, old, where: {"outcome": "equal"}):
        found = answer(lambda: verify.published_again(configs, sample, seed, where))
        assert found is None or len(found)


# --- Commands that train

TRAINING = {
    "sweep": ["--profile", "-p", "--engine", "--publish", "--queue"],
    "plan": ["--profile", "-p", "--publish", "--queue", "--rehearse"],
    "verify": ["--profile", "-p", "--sample", "--on"],
    "run": ["--profile", "-p", "--out"],
    "book": ["--profile", "--force"],
    "course": ["--force"],
    "doctor": ["--profile", "--force"],
}
TEXTS = "text,label\n" + "".join(f"word {'cat' if i % 2 else 'dog'} {i},{'ab'[i % 2]}\n" for i in range(24))
OF_TEXTS = ["--text", "--text-pair", "--label", "--score", "--budget", "--max-length", "--precision", "--trained", "--encoder",
            "--report", "--engine", "--tokens", "--tags", "--quotes", "--out", "--force"]  # fmt: skip
PARAMETERS = st.sampled_from(["seeds", "engine", "fractions", "tasks", "epochs", "score_at", "size"]) | WORDS
VALUES = WORDS | st.sampled_from(["1", "0", "-1", "[]", "[0.5]", "{a: 1}", "here", "1e-3", "null", "[", "true", ".inf", "[x]"])
OPTION = WORDS | st.sampled_from(["text", "label", "8", "-1", "0", "1e9", "9" * 21, "30s", "el2n", "aum", "bfloat16", "minilm",
                                  "/no", "here", "processes", "o.csv", "r.html"])  # fmt: skip


def refuses(*given, **more):
    raise InputError("runs: it would begin.")


BEGINS = dict.fromkeys(["datadiet.runs.missing", "datadiet.runs.bill.of", "datadiet.chapters.queue.bill",
                        "datadiet.course.write.write", "datadiet.runs.rehearsal.rehearse", "datadiet.book.build.execute",
                        "datadiet.book.build.execute_all"], refuses)
BEGINS |= {"datadiet.runs.store.find": lambda keys: {}, "datadiet.runs.store.published": lambda keys: {},
           "datadiet.book.doctor.examine": list}  # fmt: skip


@pytest.mark.parametrize("command", TRAINING)
@given(more=st.data())
@FEW
def test_commands_that_train_are_refused_before_they_do(command, more):
    """Where nothing is wrong with what was asked for, it is the first step of the work that refuses."""
    words = more.draw(st.lists(st.sampled_from(["score-timing", "joint", "nothing"]) | WORDS, max_size=2))
    for option in more.draw(st.lists(st.sampled_from(TRAINING[command]), max_size=3)):
        words.append(option)
        if option == "-p":
            words += [more.draw(PARAMETERS), more.draw(VALUES)]
        elif option not in ("--publish", "--queue", "--rehearse", "--force"):
            words.append(more.draw(st.sampled_from(["smoke", "lab", "2", "cpu", "stored", "x.ipynb"]) | WORDS))
    with ExitStack() as stack:
        for place, stand_in in BEGINS.items():
            stack.enter_context(mock.patch(place, stand_in))
        commanded(command, words)


@given(more=st.data())
@FEW
def test_scoring_texts_with_odd_options_is_refused_before_it_begins(more):
    words = ["texts.csv"]
    for option in more.draw(st.lists(st.sampled_from(OF_TEXTS), max_size=4)):
        words.append(option)
        if option not in ("--trained", "--force"):
            words.append(more.draw(OPTION))
    with ExitStack() as stack:
        for place in ("frozen.of_texts", "trained.planned", "tagged.features", "partitions.score"):
            stack.enter_context(mock.patch(f"datadiet.audit.{place}", refuses))
        commanded("score", words, {"texts.csv": TEXTS})
