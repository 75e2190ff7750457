"""One training loop. It fine-tunes a classifier on the kept examples of a task and records, at named steps, what scores need.

    fitted = fit(config, load("docstrings"))
    fitted.metrics["test_accuracy"]     # how good the model became
    fitted.arrays["logits"]             # [T, N, K]: every training example at every scoring point, in eval mode

One process trains on one device, both it and the precision as the config says. Batches are cut from sequences of similar length.
All randomness comes from the run's own seed: the same config gives the same run, to the bit on a CPU with the same number of
threads.
"""

import copy
import math
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from tqdm import tqdm

from datadiet.data import Task
from datadiet.errors import InputError
from datadiet.nets import device
from datadiet.nets.dropout import quick_dropout
from datadiet.training import halfway, kinds, static
from datadiet.training.captured import Captured
from datadiet.training.pruning import Pruning
from datadiet.training.recording import Recording

WARMUP = 0.1  # share of the updates over which the learning rate rises; it then falls to zero, whatever the budget
CLIP = 1.0  # largest norm of a batch's gradient
DROPOUT_STREAM = 1_000_003  # keeps the dropout of seed s apart from the head of seed s


@dataclass(frozen=True)
class Fit:
    """Metrics of a run, and its arrays.

    The training set, in its public order, is the first axis of arrays like ids [N] and correct [N, epochs], and the second of
    those recorded at scoring points, like logits [T, N, K] and feature_norms [T, N]. Exceptions: grand [T, M] is of the sample at
    grand_positions [M], test_predictions of the test split.
    """

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
    """Factor of the learning rate, from 0 to 1: it rises over the first updates, and falls to zero at the last of `total`."""
    rising = math.ceil(WARMUP * total)
    return step / max(1, rising) if step < rising else max(0.0, (total - step) / max(1, total - rising))


def _optimizer(config: dict, model: torch.nn.Module, captured: bool) -> torch.optim.Optimizer:
    """The optimiser of a run. One that is to be `captured` reads its learning rate and its count of steps on the device."""
    start = config["learning_rate"]
    if captured:
        start = torch.tensor(start, device=next(model.parameters()).device)
    if config["optimizer"] == "adamw":
        # No weight decay: the papers' settings are unknown or zero, and it keeps the trimmed vocabulary exact.
        return torch.optim.AdamW(model.parameters(), lr=start, weight_decay=0.0, fused=True, capturable=captured)
    if config["optimizer"] == "sgd":  # Paul et al. (2021); the learning rate falls in a line here and not in their steps
        fused = True if captured else None  # torch's other ways to take the step read a tensor's learning rate back
        return torch.optim.SGD(model.parameters(), lr=start, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=fused)
    raise InputError(f"loop.fit: optimizer {config['optimizer']!r}; choose 'adamw' or 'sgd'.")


class Loop:
    """A task's model and its optimiser, one update at a time: the piece that every training run is made of.

    ``problem``: of :func:`datadiet.training.kinds.prepare`, unless one is given. ``total``: the updates that the learning rate is
    spread over; it may change while training. ``step``: updates so far. Randomness (dropout, shifts) comes from torch's current
    generators.

    A ``quick`` run may take shortcuts that leave the expected gradient as it is, with other random draws than a run without. On a
    processor: dropout masks of 16 bits a number, and batches computed in parts where that saves padding. On a CUDA GPU: batches
    padded to a few shapes (:mod:`datadiet.training.static`) and their updates captured (:mod:`datadiet.training.captured`).
    """

    def __init__(self, config: dict, task: Task, total: int, problem: kinds.Problem | None = None):
        self.config, self.device = config, device.check(config["device"])
        self.problem = problem or kinds.prepare(config, task, self.device)
        self.model, self.step, self.total = self.problem.model, 0, total
        if config["quick"]:
            quick_dropout(self.model)
            device.lay_out(self.model, self.device)
        self.examples = 0  # trained on, in all: restoring a state does not take them back
        self.static = device.static(self.device, config["quick"])
        self.captured = Captured(self.device) if self.static else None
        self.optimizer = _optimizer(config, self.model, self.static)
        self._set_rate()

    def updates(self, batches: list, weights: torch.Tensor | None = None, loss=None):
        """An update on each of `batches`, one after another, at most up to the last; yields its positions and losses after each.

        ``loss`` and `weights` as in :meth:`update`, which makes the updates, unless shapes are static: then it is
        :meth:`on_device`, and a GPU is not waited for between two of them.
        """
        batches = batches[: self.total - self.step]
        if not self.static or loss is not None:  # a loss of the caller's own may read numbers back
            for positions in batches:
                yield positions, self.update(positions, loss, weights)
            return
        self.model.train()
        rows = None if static.mixes(self.model) else self.config["batch_size"]
        laid = static.laid_out(self.problem.splits["train"], batches, rows, weights)
        for positions, on_device in zip(batches, laid, strict=True):
            losses = self.captured(self.on_device, *on_device)[: len(positions)]
            self._count(len(positions))
            yield positions, losses

    def update(self, positions: np.ndarray, loss=None, weights: torch.Tensor | None = None) -> torch.Tensor:
        """One update on the training examples at `positions`; their losses before it, [B].

        ``loss(model, batch, positions)`` stands in for the problem's own; `weights` [N] multiply the losses before their mean is
        taken. Where the config says "quick", the gradient is added up over parts of the batch if that saves padding.
        """
        train, seen = self.problem.splits["train"], []
        self.model.train()
        self.optimizer.zero_grad()
        for part in train.parts(positions) if self.config["quick"] else [positions]:
            # The weights stay float32: only the products of a training pass may be in bfloat16, so that scores keep their digits.
            with device.autocast(self.device, self.config["training_precision"]):
                batch = self.problem.vary(train.batch(part))
                losses = self.problem.loss(self.model, batch) if loss is None else loss(self.model, batch, part)
                share = losses if weights is None else weights[torch.as_tensor(part)] * losses
            (share.sum() / len(positions)).backward()
            seen.append(losses.detach())
        self._apply()
        self._count(len(positions))
        return torch.cat(seen)

    def on_device(self, positions: torch.Tensor, weights: torch.Tensor, longest: int | None) -> torch.Tensor:
        """The update as work on tensors of the device alone, to be captured: nothing is sent there or read back.

        The gradient is that of ``sum(weights * losses)`` [B]; see :func:`datadiet.training.static.laid_out`. Returns the losses.
        """
        self.optimizer.zero_grad()
        with device.autocast(self.device, self.config["training_precision"]):
            batch = self.problem.vary(self.problem.splits["train"].batch(positions, longest))
            losses = self.problem.loss(self.model, batch)
            whole = (weights * losses).sum()
        whole.backward()
        self._apply()
        return losses.detach()

    def _apply(self) -> None:
        """Clip the gradient, and take the optimiser's step."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()

    def _count(self, examples: int) -> None:
        """Count an update, and set the learning rate of the next, over ``total`` as it is now."""
        self.step, self.examples = self.step + 1, self.examples + examples
        self._set_rate()

    def _set_rate(self) -> None:
        value = self.config["learning_rate"] * (rate(self.step, self.total) if self.config["decay"] else 1.0)
        for group in self.optimizer.param_groups:
            if self.static:
                group["lr"].fill_(value)  # in place, where a captured update reads it; the number travels with the order
            else:
                group["lr"] = value

    def state(self) -> dict:
        """A copy of all that the next update depends on, but for random numbers: weights, optimiser, step."""
        return copy.deepcopy({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step})

    def restore(self, state: dict) -> None:
        """Back to where :meth:`state` was taken; `state` itself is not changed, so that one state can be gone on from twice."""
        state = copy.deepcopy(state)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self._set_rate()
        if self.static:
            self.captured.forget()  # it works on the tensors of the optimiser's state, which are others now

    @property
    def facts(self) -> dict:
        """Metrics of the way that the updates were made: ``not_captured``, why not, where they were to be and could not."""
        return {"not_captured": self.captured.why} if self.static and self.captured.why else {}


def judge(problem: kinds.Problem, task: Task) -> tuple[dict, dict]:
    """Metrics of every split but train by the model as it is now, and the recorded arrays of each of these splits."""
    metrics, seen = {}, {name: problem.record(problem.model, split) for name, split in problem.splits.items() if name != "train"}
    for name, recorded in seen.items():
        if not np.isfinite(recorded["logits"]).all():
            raise FloatingPointError(f"loop.fit: the model diverged (non-finite logits on {name}); lower the learning rate.")
        metrics |= {f"{name}_{metric}": value for metric, value in problem.measure(getattr(task, name), recorded).items()}
    return metrics, seen


def fit(config: dict, task: Task, kept: np.ndarray | None = None, progress: bool = False, *, going_on=None, begun=None) -> Fit:
    """Fine-tune on the kept training examples, record at the scoring points, evaluate at the end.

    Parameters
    ----------
    config : dict
        A run's config (see :func:`datadiet.runs.config`).
    task : Task
        The task, labels already flipped where the run asks for noise.
    kept : int64 array, optional
        Positions in ``task.train`` to train on; all when None. Scores are recorded for the whole training set either way.
        In a task of kind "swap" position N + i is the gender-swapped version of example i, and None is all as they are.
    progress : bool
        Show a bar over the updates.
    going_on : callable, optional
        Called after each epoch with the number of epochs so far, and a function that gives the state of the run as a dict of
        arrays; where it returns False, training ends there, and scoring points beyond are not recorded.
    begun : dict of arrays, optional
        The state of a run of the same config, task and examples: training goes on from there, to the same end. Without a schedule
        or VoG.

    Returns
    -------
    Fit
        ``metrics``: test_accuracy, test_matthews and those of validation, n_kept, updates, examples (forward and backward),
        scored (forward only), grand_scored, train_seconds, scoring_seconds. ``arrays``: ids, labels, logits [T, N, K],
        feature_norms [T, N], and where the config asks for it grand [T, M] with grand_positions [M], and correct [N, epochs],
        whether each was right at the end of each epoch, and vog [T, N], VoG over the scoring points up to each (the gradients it
        took are counted in vog_scored); images also have input_norm [N]. Of texts, ``cut`` is the share of training examples that
        are longer than max_length and have lost their end, and encoder_revision the commit of an encoder of the hub. With
        ``epochs`` 0 the untrained model is recorded and not judged: no accuracies. Where a schedule prunes while training, n_kept
        is the mean number of examples an epoch, and ``scored`` and scoring_seconds hold the passes that the schedule asked for.

    Raises
    ------
    InputError
        A task this loop cannot train on, a scoring point beyond the end of training, an unknown budget, nothing `kept`; a
        schedule beside `kept`, a budget of steps or scoring points; VoG over fewer than two scoring points;
        either in a run that has `begun`.
    """
    n, seed = len(task.train), config["seed"]
    if config["schedule"] is not None and (kept is not None or config["budget"] != "epochs" or config["score_at"]):
        raise InputError(
            f"loop.fit: a schedule ({config['schedule']['rule']!r}) prunes while training; it goes with neither a fixed subset, "
            f"budget 'steps' nor scoring points. Here: kept {'is None' if kept is None else 'is given'}, "
            f"budget {config['budget']!r}, score_at {config['score_at']}."
        )
    kept = np.arange(n) if kept is None else np.asarray(kept)
    if not len(kept):
        raise InputError("loop.fit: no training example is kept; raise the kept share.")
    total = budget(config, len(kept), n)
    points = [step_of(at, n, config["batch_size"]) for at in config["score_at"]]
    if points and max(points) > total:
        raise InputError(
            f"loop.fit: the scoring point {max(points)} lies beyond the last of {total} updates; "
            "train for more epochs or score earlier."
        )
    if config["vog"] and len(set(points)) < 2:
        raise InputError(
            f"loop.fit: vog=True compares gradients between scoring points; score_at is {config['score_at']}: give two or more."
        )
    if begun is not None and (config["schedule"] is not None or config["vog"]):
        raise InputError("loop.fit: a run with a schedule or VoG has more state than is kept; begin it anew.")
    loop = Loop(config, task, total)
    recording, training = Recording(config, task, loop.problem, points), device.Stopwatch(loop.device)
    pruning = None if config["schedule"] is None else Pruning(config, loop.problem, n)
    with (
        device.seeded(loop.device, DROPOUT_STREAM + seed),
        device.attention(loop.device, config["quick"]),
        tqdm(total=total, disable=not progress, desc=task.name, unit="step", leave=False) as bar,
    ):
        _train(loop, kept, recording, pruning, training, bar, going_on, begun)
        # An untrained network is not judged.
        judged, final = judge(loop.problem, task) if loop.step else ({}, {})
    arrays = recording.arrays()
    if "test" in final:
        arrays["test_predictions"] = final["test"]["logits"].argmax(1).astype(np.int16)
    metrics = recording.passes() | {
        "n_kept": len(kept) if pruning is None else round(loop.examples / config["epochs"]),
        "updates": loop.step,
        "examples": loop.examples,
        "train_seconds": training.seconds,
        "scoring_seconds": recording.stopwatch.seconds,
    }
    if pruning is not None:
        metrics["scored"] += pruning.scored
        metrics["scoring_seconds"] += pruning.stopwatch.seconds
    return Fit(metrics | loop.problem.facts | loop.facts | judged, arrays)


def _train(loop: Loop, kept: np.ndarray, recording: Recording, pruning: Pruning | None, training, bar, going_on, begun) -> None:
    """Train `loop`, from where it has `begun`, on the `kept` examples, or on those that `pruning` keeps in each epoch, as long as
    it is `going_on`."""
    size, train, weights, loss, epoch = loop.config["batch_size"], loop.problem.splits["train"], None, None, 0
    rng = np.random.default_rng(loop.config["seed"])
    if begun is None:
        recording.after_update(0)
    else:
        epoch = halfway.resumed(loop, recording, begun)
        for _ in range(epoch):
            train.shuffled(kept, size, rng)  # draws as it did
        bar.update(loop.step)
    while loop.step < loop.total:
        if pruning is not None:
            kept, weights = pruning.before_epoch(epoch)
            loss = pruning.loss(epoch)
            # The sizes of a soft schedule are known an epoch at a time; the learning rate still ends at the last update.
            loop.total = loop.step + sum(updates_per_epoch(n, size) for n in pruning.sizes(epoch))
        with training.running():  # from epoch to epoch, not from update to update, between which a GPU is not to be waited for
            for positions, losses in loop.updates(train.shuffled(kept, size, rng), weights, loss):
                if pruning is not None:
                    pruning.after_update(positions, losses)
                bar.update()
                if recording.due(loop.step):
                    with training.paused():
                        recording.after_update(loop.step)
        epoch += 1
        recording.after_epoch()
        if going_on is not None and not going_on(epoch, partial(halfway.taken, loop, recording, epoch)):
            break
