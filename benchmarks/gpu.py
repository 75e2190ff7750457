"""One GPU against the goals of :mod:`datadiet.chapters.what_it_costs.goals`, beside named peers, in three minutes at most.

    python -m benchmarks gpu               # on a machine with a CUDA GPU: writes results/benchmarks/gpu.parquet
    python -m benchmarks gpu --quick       # every line once at a tiny size on a CPU: says nothing about a GPU, writes nothing

Rates are compared, and a slow contestant makes fewer updates, for the minutes are few. Ours and the Trainer train on the same
sentences with the same settings; the bare loops repeat one batch of random tokens of the full length, and load no data at all.

Not measured: this suite has not met a GPU yet.
"""

import datetime
import threading
import time
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from benchmarks import training
from benchmarks.bounded import Bounded
from datadiet import data, gradnorm, runs
from datadiet.chapters.what_it_costs.goals import EL2N, FIRST, IMAGES, LOW, NORMS, SWEEP, TRAINER, TRAINING
from datadiet.chapters.what_it_costs.runs import ONE, OURS, PLAIN
from datadiet.data import sources
from datadiet.errors import InputError
from datadiet.nets import device, encoders
from datadiet.nets.first_token import first_token
from datadiet.nets.images import picture_classifier
from datadiet.runs import store
from datadiet.training import kinds, loop, pruning

SECONDS = 170  # of the whole suite
ROUNDS, TRUTH = 3, ONE
K = 6


def check() -> None:
    """Refuse a machine without a CUDA GPU."""
    if device.gpu() is None:
        raise InputError("benchmarks gpu: this machine has no CUDA GPU, and the goals are those of one; "
                         "run it where there is one, or with --quick to see whether every line runs.")


def _said(metrics: dict) -> dict:
    why = {name: metrics[name] for name in ("not_captured",) if name in metrics}
    return {"seconds": metrics["train_seconds"], "updates": metrics["updates"], "examples": metrics["examples"]} | why


def _config(encoder: str, number: int, **changes) -> dict:
    return runs.config(**training.SETTINGS | {"encoder": encoder}, device=device.best(), seed=max(0, number), **changes)


def ours(encoder: str, size: int, epochs: int, quick: bool):
    """Our loop: seconds of the training alone, as the loop says them; ``whole`` are those with the model made and judged."""

    def once(number):
        start, config = time.perf_counter(), _config(encoder, number, size=size, epochs=epochs, quick=quick)
        metrics = loop.fit(config, runs.task_of(config)).metrics
        return _said(metrics) | {"whole": time.perf_counter() - start}

    return once


def trainer(encoder: str, size: int, epochs: int):
    """Hugging Face's Trainer, in bfloat16 on a GPU."""
    once = training.trainer(size, epochs, by_length=False, encoder=encoder)
    updates = epochs * loop.updates_per_epoch(size, training.SETTINGS["batch_size"])
    return lambda number: once(max(0, number)) | {"updates": updates}


def el2n(encoder: str, size: int | None, precision: str):
    """EL2N of every training example in one pass."""
    config = _config(encoder, 0, size=size, precision=precision)
    problem = kinds.prepare(config, runs.task_of(config), config["device"])

    def once(number):
        pruning.el2n(problem, dropout=False)
        return {"examples": len(problem.splits["train"].labels)}

    return once


def _images(n: int) -> data.Task:
    """Random images of 32 x 32 pixels with random labels."""
    draw = np.random.default_rng(0)

    def split(size):
        pixels = draw.random((size, 3, 32, 32), dtype=np.float32)
        return sources.Split(np.arange(size), draw.integers(0, 10, size), {"image": pixels})

    names = tuple(map(str, range(10)))
    return data.Task("random images", "image", names, split(n), None, split(128), checksum="", source="random")


def our_images(encoder: str, size: int, epochs: int, quick: bool):
    """Our loop on random images, not shifted or mirrored."""
    task = _images(size)

    def once(number):
        config = runs.config(task=task.name, encoder=encoder, batch_size=128, optimizer="sgd", learning_rate=0.01, epochs=epochs,
                             quick=quick, device=device.best(), seed=max(0, number))
        return _said(loop.fit(config, task).metrics)

    return once


def network(name: str, every_token: bool) -> nn.Module:
    """A network in eval mode; `every_token`: as transformers makes it, else the last layer computes the first token only."""
    if name in ("resnet18", "resnet-small"):
        return picture_classifier(name, K)
    if name != "bert-base":
        return encoders.classifier(name, K, every_token=every_token)
    with device.seeded("cpu", 0):
        model = BertForSequenceClassification(BertConfig(num_labels=K)).eval()
    return model if every_token else first_token(model)


def _batch(name: str, n: int, length: int) -> dict:
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, K, (n,), generator=draw)
    if name in ("resnet18", "resnet-small"):
        batch = {"image": torch.randn(n, 3, 32, 32, generator=draw), "labels": labels}
    else:
        batch = {"input_ids": torch.randint(5, 30_000, (n, length), generator=draw),
                 "attention_mask": torch.ones(n, length, dtype=torch.int64), "labels": labels}
    return {column: values.to(device.best()) for column, values in batch.items()}


def bare(name: str, n: int, length: int, updates: int, how: str):
    """A step that a reader would write, on one batch again and again: bfloat16, the gradient clipped, a fused optimiser.

    ``how``: "eager"; "captured", a CUDA graph that is replayed; or a backend of ``torch.compile``, "inductor" with the mode
    "reduce-overhead".
    """
    where = device.best()
    model, batch = network(name, every_token=True).to(where).train(), _batch(name, n, length)
    device.lay_out(model, where)
    captured = how == "captured"
    rate = torch.tensor(1e-5, device=where) if captured else 1e-5
    if "image" in batch:
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, nesterov=True, fused=True)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate, fused=True, capturable=captured)
    losses = kinds.example_loss
    if how not in ("eager", "captured"):
        losses = torch.compile(losses, backend=how, **({"mode": "reduce-overhead"} if how == "inductor" else {}))

    def step():
        if how == "inductor":
            torch.compiler.cudagraph_mark_step_begin()
        optimizer.zero_grad()
        with device.autocast(where, "bfloat16"):
            loss = losses(model, batch).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), loop.CLIP)
        optimizer.step()

    with device.aside(where):
        for _ in range(3):
            step()
    again = device.recorded(step).replay if captured else step

    def once(number):
        for _ in range(updates):
            again()
        return {"updates": updates, "examples": n * updates}

    return once


@contextmanager
def without_tf32():
    """A context in which convolutions keep the digits of float32, which torch lets a GPU round off: the truth is taken in it."""
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def norms(name: str, n: int, length: int, precision: str, way: str, calls: int):
    """Gradient norms of a batch, `calls` times in a turn: our way, by batches of one, or the plain forward and backward."""
    model, batch = network(name, every_token=way == PLAIN).to(device.best()), _batch(name, n, length)
    alone: dict = {}  # the shapes of an example alone, kept from the first call on, as a loop over batches keeps them

    def work():
        if way == OURS:
            return gradnorm.grad_norms(model, batch, kinds.example_loss, alone=alone)
        if way == ONE:
            return gradnorm.reference_grad_norms(model, batch, kinds.example_loss)
        model.zero_grad(set_to_none=True)
        return kinds.example_loss(model, batch).sum().backward()

    def once(number):
        device.wait(device.best())
        start = time.perf_counter()
        with device.autocast(device.best(), precision), without_tf32() if way == ONE else nullcontext():
            found = [work() for _ in range(calls)][-1]
        device.wait(device.best())
        seconds = (time.perf_counter() - start) / calls
        return {"seconds": seconds} | ({} if found is None else {"answer": found.float().cpu().numpy()})

    return once


def many(encoder: str, size: int, epochs: int, seeds: int, fractions: list, seconds: float):
    """A sweep of runs of many seeds, on random subsets; what has ended after `seconds` counts.

    The seconds are those from the start of the first run to the end of the last one that counts. ``whole``: also those that the
    workers took to start.
    """

    def once(number):
        wanted = [_config(encoder, seed, size=size, epochs=epochs, quick=True,
                          keep=None if fraction == 1 else {"rule": "random", "fraction": fraction})
                  for seed in range(seeds) for fraction in fractions]
        problems: list = []

        def work():
            try:
                runs.sweep(wanted, "processes")
            except Exception as problem:
                problems.append(problem)

        start, sweep = time.perf_counter(), threading.Thread(target=work, daemon=True)
        sweep.start()
        sweep.join(seconds)  # workers that go on after that are ended with this process
        whole, rows = time.perf_counter() - start, list(store.live(map(runs.key, wanted)).values())
        if problems or not rows:
            raise problems[0] if problems else TimeoutError(f"no run of the sweep had ended after {seconds:.0f} s")
        began = [datetime.datetime.fromisoformat(row["provenance"]["started"]).timestamp() for row in rows]
        ended = [first + row["provenance"]["seconds"] for first, row in zip(began, rows, strict=True)]
        return {"seconds": max(ended) - min(began), "whole": whole, "runs": len(rows), "asked": len(wanted),
                "updates": sum(row["metrics"]["updates"] for row in rows),
                "examples": sum(row["metrics"]["examples"] for row in rows)}

    return once


def contestants(quick: bool) -> list[Bounded]:
    """All of them; those that the time may not reach are last. `quick`: tiny ones, most of them in one process."""
    out = []

    def enter(case, peer, make, settings, room, **how):
        out.append(Bounded(case, peer, make, settings, room="sweep" if room == "sweep" else "quick" if quick else room, **how))

    minilm, bert, resnet = ("tiny", "tiny", "resnet-small") if quick else ("minilm", "bert-base", "resnet18")
    size, few = (64, 2) if quick else (1600, 100)
    texts, whole = {"encoder": minilm, "size": size}, {"encoder": minilm, "size": size if quick else None}
    enter(TRAINING, OURS, ours, texts | {"epochs": 1 if quick else 10, "quick": True}, "ours", limit=40)
    enter(TRAINING, EL2N, el2n, whole | {"precision": "float32"}, "ours")
    enter(TRAINING, EL2N + LOW, el2n, whole | {"precision": "bfloat16"}, "ours")
    enter(TRAINING, TRAINER, trainer, texts | {"epochs": 1 if quick else 2}, "Trainer", limit=25)
    bench = {"name": minilm, "n": 32, "length": 64, "updates": few}
    enter(TRAINING, "bare loop", bare, bench | {"how": "eager"}, "bare")
    enter(TRAINING, "bare captured graph", bare, bench | {"how": "captured"}, "graph")
    once = {"warm": False, "only": (0,)}
    enter(TRAINING, "datadiet, not quick", ours, texts | {"epochs": 1, "quick": False}, "not quick", **once)
    first = texts | {"epochs": 1 if quick else 2, "quick": True}
    for number in range(1 if quick else ROUNDS):
        enter(FIRST, OURS, ours, first, f"first {number}", warm=False, only=(number,))

    pictures = {"encoder": resnet, "size": 256 if quick else 12_800}
    enter(IMAGES, OURS, our_images, pictures | {"epochs": 1 if quick else 2, "quick": True}, "images")
    enter(IMAGES, "datadiet, not quick", our_images, pictures | {"epochs": 1, "quick": False}, "images", only=(0,))
    shape = {"name": resnet, "n": 8 if quick else 128, "length": 0, "updates": few}
    enter(IMAGES, "bare loop", bare, shape | {"how": "eager"}, "bare")
    enter(IMAGES, "bare captured graph", bare, shape | {"how": "captured"}, "graph")

    batches = (minilm, 32, 48), (bert, 32, 128), (resnet, 128, 0), (resnet, 256, 0)
    for case, (name, n, length) in zip(NORMS, batches, strict=True):
        shape = {"name": name, "n": 4 if quick else n, "length": min(length, 8) if quick else length}
        for low, precision in (("", "float32"), (LOW, "bfloat16")):
            for way in (OURS, PLAIN):
                settings = shape | {"precision": precision, "way": way, "calls": 1 if quick else 5}
                enter(case, way + low, norms, settings, "norms")
        enter(case, ONE, norms, shape | {"precision": "float32", "way": ONE, "calls": 1}, "norms", **once)

    many_runs = {"seeds": 2, "fractions": [0.5], "epochs": 1} if quick else {
        "seeds": 100, "fractions": [0.3, 0.5, 0.7, 1], "epochs": 6}  # fmt: skip
    enter(SWEEP, OURS, many, texts | many_runs | {"seconds": 50}, "sweep", limit=60, **once)
    case, settings = f"{TRAINING}, compiled", bench | {"how": "eager" if quick else "inductor"}
    enter(case, "torch.compile, reduce-overhead", bare, settings, "compiled", limit=45)
    return out
