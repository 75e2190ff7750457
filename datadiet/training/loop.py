"""One training loop. It fine-tunes a classifier on the kept examples of a task and records, at named steps, what scores need.

    fitted = fit(config, load("docstrings"))
    fitted.metrics["test_accuracy"]     # how good the model became
    fitted.arrays["logits"]             # [T, N, K]: every training example at every scoring point, in eval mode

The loop is accelerate's: bf16 on a GPU, float32 on a CPU. Batches are cut from sequences of similar length. All randomness
comes from the run's own seed: the same config gives the same run, to the bit on a CPU with the same number of threads.
"""

import contextlib
import copy
import math
import time
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import torch
from accelerate import Accelerator
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from datadiet import dynamic, gradnorm
from datadiet.data import Task
from datadiet.errors import InputError
from datadiet.nets import encoders
from datadiet.nets.dropout import quick_dropout
from datadiet.training import inputgrad, kinds

WARMUP = 0.1  # share of the updates over which the learning rate rises; it then falls to zero, whatever the budget
CLIP = 1.0  # largest norm of a batch's gradient
GRAND_BATCH = 64
DROPOUT_STREAM = 1_000_003  # keeps the dropout of seed s apart from the head of seed s


@dataclass(frozen=True)
class Fit:
    """What a run leaves behind: numbers, and arrays whose last-but-one axis is the training set in its public order."""

    metrics: dict
    arrays: dict = field(default_factory=dict)


def updates_per_epoch(n: int, batch_size: int) -> int:
    """Optimiser steps in one pass over `n` examples; the last, smaller batch counts."""
    return math.ceil(n / batch_size)


def step_of(at: int | str, n: int, batch_size: int) -> int:
    """Optimiser step of a scoring point: an int is a step, "2ep" is the end of the second epoch over `n` examples."""
    if isinstance(at, str) and at.endswith("ep") and at[:-2].isdigit():
        return int(at[:-2]) * updates_per_epoch(n, batch_size)
    if isinstance(at, int) and not isinstance(at, bool) and at >= 0:
        return at
    raise InputError(f"loop.step_of: the scoring point {at!r} is neither a step (0, 10, ...) nor epochs ('1ep', '2ep', ...).")


def budget(config: dict, n_kept: int, n_all: int) -> int:
    """Updates of a run: `epochs` passes over the kept examples ("epochs"), or as many as the full set would take ("steps")."""
    if config["budget"] not in ("epochs", "steps"):
        raise InputError(f"loop.budget: budget {config['budget']!r}; choose 'epochs' or 'steps'.")
    n = n_kept if config["budget"] == "epochs" else n_all
    return config["epochs"] * updates_per_epoch(n, config["batch_size"])


def rate(step: int, total: int) -> float:
    """What the learning rate is multiplied by: it rises over the first updates, and falls to zero at the last of `total`."""
    rising = math.ceil(WARMUP * total)
    return step / max(1, rising) if step < rising else max(0.0, (total - step) / max(1, total - rising))


def el2n(problem: kinds.Problem, dropout: bool) -> np.ndarray:
    """EL2N of every training example by the model as it is now, [N]; in eval mode, unless `dropout` stays on.

    Where there is an intent and slots, the norm of their stacked errors.
    """
    train = problem.splits["train"]
    with kinds.dropout_on(problem.model) if dropout else contextlib.nullcontext():
        recorded = problem.record(problem.model, train)
    return problem.score(recorded, train.labels.cpu().numpy())


class FromTraining:
    """EL2N of the examples that an epoch trains on, from the forward passes that train on them.

    Dropout is on there, and the weights move between batches: an estimate of :func:`el2n` that costs nothing.
    """

    def __init__(self, problem: kinds.Problem):
        if problem.record is not kinds.predict:
            raise InputError("loop.fit: reuse=True is for tasks with one label an example, scored in float32; leave it out.")
        self.problem, self.labels = problem, problem.splits["train"].labels.cpu().numpy()
        self.values = np.full(len(self.labels), np.nan)

    def loss(self, model, batch, positions: np.ndarray) -> torch.Tensor:
        """The training loss of the examples at `positions`, [B], whose scores are noted by the way."""
        seen = []
        hook = encoders.output_layer(model).register_forward_hook(lambda module, args, logits: seen.append(logits.detach()))
        try:
            losses = self.problem.loss(model, batch)
        finally:
            hook.remove()
        self.values[positions] = kinds.el2n({"logits": seen[0].float().cpu().numpy()}, self.labels[positions])
        return losses

    def complete(self, kept: np.ndarray) -> tuple[np.ndarray, int]:
        """(scores of all examples, how many took a pass of their own): those not in `kept`."""
        others = np.setdiff1d(np.arange(len(self.labels)), kept)
        if len(others):
            recorded = kinds.predict(self.problem.model, self.problem.splits["train"], others)
            self.values[others] = kinds.el2n({"logits": recorded["logits"][others]}, self.labels[others])
        return self.values, len(others)


def _optimizer(config: dict, model: torch.nn.Module) -> torch.optim.Optimizer:
    if config["optimizer"] == "adamw":
        # No weight decay: the papers' settings are unknown or zero, and it keeps the trimmed vocabulary exact.
        return torch.optim.AdamW(model.parameters(), lr=config["learning_rate"], weight_decay=0.0, fused=True)
    if config["optimizer"] == "sgd":  # Paul et al. (2021); the learning rate falls in a line here and not in their steps
        return torch.optim.SGD(model.parameters(), lr=config["learning_rate"], momentum=0.9, nesterov=True, weight_decay=5e-4)
    raise InputError(f"loop.fit: optimizer {config['optimizer']!r}; choose 'adamw' or 'sgd'.")


class Loop:
    """A task's model and what moves it, one update at a time: the piece that every training run is made of.

    ``problem``: of :func:`datadiet.training.kinds.prepare`. ``plan.total``: the updates that the learning rate is spread over, read as it
    is at each update. ``step``: updates so far. Randomness (dropout, shifts) comes from torch's current generator.
    """

    def __init__(self, config: dict, task: Task, total: int):
        self.accelerator = Accelerator(mixed_precision="bf16" if torch.cuda.is_available() else "no")
        self.problem = kinds.prepare(config, task, self.accelerator.device)
        # The model itself stays float32 and unwrapped: only the training pass runs in bf16, so that scores keep their digits.
        self.model, self.step, self.plan = self.problem.model.to(self.accelerator.device), 0, SimpleNamespace(total=total)
        self.quick = config["quick"]
        if self.quick:
            quick_dropout(self.model)
        self.examples = 0  # trained on, in all: restoring a state does not take them back
        self.optimizer, plan = self.accelerator.prepare(_optimizer(config, self.model)), self.plan
        self.schedule = LambdaLR(self.optimizer, lambda step: rate(step, plan.total) if config["decay"] else 1.0)

    def update(self, positions: np.ndarray, loss=None, weights: torch.Tensor | None = None) -> torch.Tensor:
        """One update on the training examples at `positions`; their losses before it, [B].

        ``loss(model, batch, positions)`` stands in for the problem's own; `weights` [N] multiply the losses before their mean is
        taken. Where the config says "quick", the gradient is added up over parts of the batch if that saves padding.
        """
        train, seen = self.problem.splits["train"], []
        self.model.train()
        self.optimizer.zero_grad()
        for part in train.parts(positions) if self.quick else [positions]:
            with self.accelerator.autocast():
                batch = self.problem.vary(train.batch(part))
                losses = self.problem.loss(self.model, batch) if loss is None else loss(self.model, batch, part)
                share = losses if weights is None else weights[torch.as_tensor(part)] * losses
            self.accelerator.backward(share.sum() / len(positions))
            seen.append(losses.detach())
        self.accelerator.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.schedule.step()
        self.step, self.examples = self.step + 1, self.examples + len(positions)
        return torch.cat(seen)

    def state(self) -> dict:
        """A copy of all that the next update depends on, but for random numbers: weights, optimiser, learning rate."""
        held = {name: getattr(self, name).state_dict() for name in ("model", "optimizer", "schedule")}
        return copy.deepcopy(held | {"step": self.step})

    def restore(self, state: dict) -> None:
        """Back to where :meth:`state` was taken; what is given stays as it is, so that one state can be gone on from twice."""
        state = copy.deepcopy(state)
        for name in ("model", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.step = state["step"]


def grand(problem: kinds.Problem, positions: np.ndarray) -> np.ndarray:
    """Exact GraNd over all parameters of the training examples at `positions`, [M], in eval mode."""
    out = np.empty(len(positions), np.float32)
    place = {int(p): i for i, p in enumerate(positions)}
    model, train, alone = problem.model, problem.splits["train"], {}
    with kinds.scoring(model):
        for some in train.in_order_of_length(positions, GRAND_BATCH):
            norms = gradnorm.grad_norms(model, train.batch(some), problem.loss, alone=alone)
            out[[place[int(p)] for p in some]] = norms.float().cpu().numpy()
    return out


def judge(problem: kinds.Problem, task: Task) -> tuple[dict, dict]:
    """Metrics of every split but train by the model as it is now, and what was recorded of each split."""
    metrics, seen = {}, {name: problem.record(problem.model, split) for name, split in problem.splits.items() if name != "train"}
    for name, recorded in seen.items():
        if not np.isfinite(recorded["logits"]).all():
            raise FloatingPointError(f"loop.fit: the model diverged (non-finite logits on {name}); lower the learning rate.")
        metrics |= {f"{name}_{what}": value for what, value in problem.measure(getattr(task, name), recorded).items()}
    return metrics, seen


def fit(config: dict, task: Task, keep: np.ndarray | None = None, progress: bool = False) -> Fit:
    """Fine-tune on the kept training examples, record at the scoring points, evaluate at the end.

    Parameters
    ----------
    config : dict
        A run's config (see :func:`datadiet.runs.config`).
    task : Task
        The task, labels already flipped where the run asks for noise.
    keep : int64 array, optional
        Positions in ``task.train`` to train on; all when None. Scores are recorded for the whole training set either way.
        In a task of kind "swap" position N + i is the gender-swapped version of example i, and None is all as they are.
    progress : bool
        Show a bar over the updates.

    Returns
    -------
    Fit
        ``metrics``: test_accuracy, validation_accuracy, class_accuracy, n_kept, updates, examples (forward and backward),
        scored (forward only), grand_scored, train_seconds, scoring_seconds. ``arrays``: ids, labels, logits [T, N, K],
        feature_norms [T, N], and where the config asks for it grand [T, M] with grand_positions [M], and correct [N, epochs],
        whether each was right at the end of each epoch, and vog [T, N], VoG over the scoring points up to each (the gradients it
        took are counted in vog_scored); images also have input_norm [N]. With ``epochs`` 0 the untrained model is recorded and
        not judged: no accuracies. Where a schedule prunes while training, n_kept is the mean number of examples an epoch, and
        ``scored`` and scoring_seconds hold the passes that the schedule asked for.

    Raises
    ------
    InputError
        A task this loop cannot train on, a scoring point beyond the end of training, an unknown budget, an empty `keep`; a
        schedule beside a `keep`, a budget of steps or scoring points; VoG over fewer than two scoring points.
    """
    n_all = len(task.train)
    plan = None if config["schedule"] is None else dynamic.of(config["schedule"], n_all, config["epochs"], config["seed"])
    if plan is not None and (keep is not None or config["budget"] != "epochs" or config["score_at"]):
        raise InputError(
            f"loop.fit: a schedule ({config['schedule']['rule']!r}) prunes while training; it goes with neither a fixed subset, "
            f"budget 'steps' nor scoring points. Here: keep {'is None' if keep is None else 'is given'}, "
            f"budget {config['budget']!r}, score_at {config['score_at']}."
        )
    keep = np.arange(n_all) if keep is None else np.asarray(keep)
    if not len(keep):
        raise InputError("loop.fit: no training example is kept; raise the kept fraction.")
    total = budget(config, len(keep), n_all)
    points = [step_of(at, n_all, config["batch_size"]) for at in config["score_at"]]
    if points and max(points) > total:
        raise InputError(
            f"loop.fit: the scoring point {max(points)} lies beyond the last of {total} updates; "
            "train for more epochs or score earlier."
        )
    if config["vog"] and len(set(points)) < 2:
        raise InputError(
            f"loop.fit: vog=True compares gradients between scoring points; score_at is {config['score_at']}: give two or more."
        )
    loop, rng = Loop(config, task, total), np.random.default_rng(config["seed"])
    problem, model, device = loop.problem, loop.model, loop.accelerator.device
    train = problem.splits["train"]
    sample = np.sort(np.random.default_rng(0).permutation(n_all)[: config["grand_size"]])
    recorded, watched, scored, epoch = {}, [], 0, 0
    free = FromTraining(problem) if plan is not None and config["schedule"].get("reuse") else None
    checkpoints = inputgrad.Checkpoints(problem) if config["vog"] else None
    clock = {"train": 0.0, "scoring": 0.0}

    def record(step):
        start = time.perf_counter()
        recorded[step] = problem.record(model, train)
        if len(sample):
            recorded[step]["grand"] = grand(problem, sample)
        if checkpoints:
            checkpoints.keep()
        clock["scoring"] += time.perf_counter() - start

    with (
        torch.random.fork_rng(),
        tqdm(total=total, disable=not progress, desc=task.name, unit="step", leave=False) as bar,
    ):
        torch.manual_seed(DROPOUT_STREAM + config["seed"])
        if 0 in points:
            record(0)
        while loop.step < loop.plan.total:
            weights = None
            if plan is not None:
                if plan.due(epoch):
                    start = time.perf_counter()
                    if free:
                        values, passed = free.complete(keep)
                    else:
                        values, passed = el2n(problem, config["schedule"]["dropout"]), len(train.labels)
                    plan.update(values)
                    clock["scoring"] += time.perf_counter() - start
                    scored += passed
                keep, weights = plan.positions(epoch), torch.as_tensor(plan.weights(epoch), dtype=torch.float32, device=device)
                # The sizes of a soft schedule are known an epoch at a time; the learning rate still ends at the last update.
                sizes = plan.planned(epoch, config["epochs"])
                loop.plan.total = loop.step + sum(updates_per_epoch(n, config["batch_size"]) for n in sizes)
            for positions in train.shuffled(keep, config["batch_size"], rng):
                start = time.perf_counter()
                noted = free and plan.due(epoch + 1)
                losses = loop.update(positions, free.loss if noted else None, weights)
                if isinstance(plan, dynamic.Soft):
                    plan.observe(positions, losses.float().cpu().numpy())
                clock["train"] += time.perf_counter() - start
                bar.update()
                if loop.step in points:
                    record(loop.step)
                if loop.step == loop.plan.total:
                    break
            epoch += 1
            if config["watch"]:
                start = time.perf_counter()
                watched.append(problem.record(model, train)["logits"].argmax(1) == task.train.labels)
                clock["scoring"] += time.perf_counter() - start
        if checkpoints:
            start = time.perf_counter()
            for seen, values in zip(recorded.values(), checkpoints.vog(), strict=True):  # both in order of time
                seen["vog"] = values
            clock["scoring"] += time.perf_counter() - start
        # An untrained network is not judged.
        judged, final = judge(problem, task) if loop.step else ({}, {})
    metrics = {
        "n_kept": len(keep) if plan is None else round(loop.examples / config["epochs"]),
        "updates": loop.step,
        "examples": loop.examples,
        "scored": len(train.labels) * (len(recorded) + len(watched)) + scored,
        "grand_scored": len(sample) * len(recorded),
        "train_seconds": clock["train"],
        "scoring_seconds": clock["scoring"],
    } | judged
    if checkpoints:
        metrics["vog_scored"] = n_all * len(recorded)
    arrays = {"ids": task.train.ids, "labels": task.train.labels} | problem.fixed
    if watched:
        arrays["correct"] = np.stack(watched, axis=1).astype(np.uint8)
    if "test" in final:
        arrays["test_predictions"] = final["test"]["logits"].argmax(1).astype(np.int16)
    if recorded:
        arrays |= {name: np.stack([recorded[p][name] for p in points]) for name in recorded[points[0]]}
        if len(sample):
            arrays["grand_positions"] = sample
    if task.truth is not None:
        arrays["truth"] = task.truth
    return Fit(metrics, arrays)
