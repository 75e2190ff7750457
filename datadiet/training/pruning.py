"""Pruning while a run trains: a schedule of :mod:`datadiet.dynamic`, and the passes that it asks for."""

import contextlib

import numpy as np
import torch

from datadiet import dynamic
from datadiet.errors import InputError
from datadiet.nets import device, encoders
from datadiet.training import kinds


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
        self.noted: list[tuple] = []  # (positions, logits) of the updates since the last scores, on the device

    def loss(self, model, batch, positions: np.ndarray) -> torch.Tensor:
        """The training loss of the examples at `positions`, [B], whose scores are noted by the way."""
        seen = []
        hook = encoders.output_layer(model).register_forward_hook(lambda module, args, logits: seen.append(logits.detach()))
        try:
            losses = self.problem.loss(model, batch)
        finally:
            hook.remove()
        self.noted.append((positions, seen[0].float()))
        return losses

    def complete(self, kept: np.ndarray) -> tuple[np.ndarray, int]:
        """(scores of all examples, how many took a pass of their own): those not in `kept`."""
        positions, logits = zip(*self.noted, strict=True)
        some, self.noted = np.concatenate(positions), []
        self.values[some] = kinds.el2n({"logits": torch.cat(logits).cpu().numpy()}, self.labels[some])
        others = np.setdiff1d(np.arange(len(self.labels)), kept)
        if len(others):
            recorded = kinds.predict(self.problem.model, self.problem.splits["train"], others)
            self.values[others] = kinds.el2n({"logits": recorded["logits"][others]}, self.labels[others])
        return self.values, len(others)


class Pruning:
    """The schedule of a run: the examples of each epoch, their weights, and the account of its scoring passes."""

    def __init__(self, config: dict, problem: kinds.Problem, n: int):
        self.problem, self.epochs, self.dropout = problem, config["epochs"], config["schedule"].get("dropout", False)
        self.schedule = dynamic.of(config["schedule"], n, config["epochs"], config["seed"])
        self.free = FromTraining(problem) if config["schedule"].get("reuse") else None
        self.kept, self.scored, self.stopwatch = np.arange(n), 0, device.Stopwatch(problem.splits["train"].device)
        self.observed: list[tuple] = []  # (positions, losses) of the updates of the epoch that is under way

    def before_epoch(self, epoch: int) -> tuple[np.ndarray, torch.Tensor]:
        """Positions that the epoch trains on, and the weights [N] of their losses."""
        labels = self.problem.splits["train"].labels
        if self.observed:  # shown at once: the schedule draws between epochs, and a GPU would be waited for at every update
            positions, losses = zip(*self.observed, strict=True)
            self.schedule.observe(np.concatenate(positions), torch.cat(losses).float().cpu().numpy())
            self.observed = []
        if self.schedule.due(epoch):
            with self.stopwatch.running():
                if self.free:
                    values, passed = self.free.complete(self.kept)
                else:
                    values, passed = el2n(self.problem, self.dropout), len(labels)
                self.schedule.update(values)
            self.scored += passed
        self.kept = self.schedule.positions(epoch)
        return self.kept, torch.as_tensor(self.schedule.weights(epoch), dtype=torch.float32, device=labels.device)

    def sizes(self, epoch: int) -> list[int]:
        """How many examples each epoch from this one to the last trains on, as far as is known."""
        return self.schedule.planned(epoch, self.epochs)

    def loss(self, epoch: int):
        """The loss to train with where the forward passes of the epoch are to give the next scores; else None."""
        return self.free.loss if self.free and self.schedule.due(epoch + 1) else None

    def after_update(self, positions: np.ndarray, losses: torch.Tensor) -> None:
        """Keep the losses of an update for a schedule that goes by them, on the device until the next epoch."""
        if isinstance(self.schedule, dynamic.Soft):
            self.observed.append((positions, losses))
