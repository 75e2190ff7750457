"""How time and memory grow with the number of examples, their length, the layers and the classes: c * size^exponent.

One contestant a size; the exponent is the slope of log seconds (or log memory) over log size, by least squares.
"""

import numpy as np
import torch

from benchmarks import gradients, tables
from benchmarks.harness import Contestant
from datadiet import gradnorm, scores
from datadiet.nets import device, encoders
from datadiet.training import kinds, pruning

GROWS = {  # what grows -> its sizes
    "GraNd: examples in a batch": [8, 16, 32, 64],
    "GraNd: tokens": [16, 32, 64, 128, 256],
    "GraNd: layers": [1, 2, 3, 6],
    "EL2N of a table: examples": [10_000, 100_000, 1_000_000],
    "EL2N of a table: classes": [2, 10, 100, 1000],
    "EL2N by a model, streamed: examples": [10_000, 100_000, 1_000_000],
}


def norms(n: int, length: int, layers: int):
    model, batch, loss = gradients._placed("MiniLM", n, length)
    model.bert.encoder.layer = model.bert.encoder.layer[:layers]

    def once(number):
        gradnorm.grad_norms(model, batch, loss)

    return once


def table(n: int, k: int):
    probs, labels = tables._table(n, k, "float32")

    def once(number):
        scores.el2n(probs, labels)

    return once


def streamed(n: int):
    """A small random encoder reads `n` sentences of eight tokens; of each are kept its logits and the norm of its features."""
    where = device.best()
    model, draw, lengths = encoders.classifier("tiny", 6).to(where), np.random.default_rng(0), np.full(n, 8)
    columns = {"input_ids": torch.from_numpy(draw.integers(5, 1000, 8 * n)), "attention_mask": torch.ones(8 * n)}
    examples = kinds.Encoded(draw.integers(0, 6, n), lengths, columns, 0, where)
    problem = kinds.Problem(model, {"train": examples}, kinds.example_loss, kinds.predict, kinds.accuracy)

    def once(number):
        pruning.el2n(problem, dropout=False)

    return once


def contestants(quick: bool) -> list[Contestant]:
    small = {"n": 8, "length": 48, "layers": 6}
    make = {
        "GraNd: examples in a batch": lambda size: (norms, small | {"n": size}),
        "GraNd: tokens": lambda size: (norms, small | {"length": size}),
        "GraNd: layers": lambda size: (norms, small | {"layers": size}),
        "EL2N of a table: examples": lambda size: (table, {"n": size, "k": 10}),
        "EL2N of a table: classes": lambda size: (table, {"n": 20_000, "k": size}),
        "EL2N by a model, streamed: examples": lambda size: (streamed, {"n": size}),
    }
    out = []
    for what, sizes in GROWS.items():
        for size in [min(size, most) for size, most in zip(sizes, (64, 128), strict=False)] if quick else sizes:
            function, settings = make[what](size)
            out.append(Contestant(what, f"{size:,}", function, settings, sizes={"size": size}))
    return out
