"""Arrays of the training examples that a run records while it trains: logits and norms, exact GraNd, VoG, who is right."""

import numpy as np
import torch

from datadiet import gradnorm
from datadiet.data import Task
from datadiet.nets import device
from datadiet.training import inputgrad, kinds


def grand(problem: kinds.Problem, positions: np.ndarray) -> np.ndarray:
    """Exact GraNd over all parameters of the training examples at `positions`, [M], in eval mode."""
    place = {int(p): i for i, p in enumerate(positions)}
    model, train, alone = problem.model, problem.splits["train"], {}
    batches = train.in_order_of_length(positions, device.NORM_BATCH[device.name_of(train.device)])
    with kinds.scoring(model):
        norms = [gradnorm.grad_norms(model, batch, problem.loss, alone=alone).float() for batch in kinds.batched(train, batches)]
    out = np.empty(len(positions), np.float32)
    out[[place[int(p)] for p in np.concatenate(batches)]] = torch.cat(norms).cpu().numpy()
    return out


class Recording:
    """Records the training examples at the scoring points `points` (steps; one may be named twice) and at the ends of epochs."""

    def __init__(self, config: dict, task: Task, problem: kinds.Problem, points: list[int]):
        self.problem, self.points, self.task, self.watch = problem, points, task, config["watch"]
        # The same sample in every run: GraNd of one example is compared between runs.
        self.sample = np.sort(np.random.default_rng(0).permutation(len(task.train))[: config["grand_size"]])
        self.checkpoints = inputgrad.Checkpoints(problem) if config["vog"] else None
        self.at: dict[int, dict] = {}
        self.right: list[np.ndarray] = []
        self.stopwatch = device.Stopwatch(problem.splits["train"].device)

    def due(self, step: int) -> bool:
        """Whether `step` is a scoring point."""
        return step in self.points

    def after_update(self, step: int) -> None:
        """Record, where `step` is a scoring point."""
        if not self.due(step):
            return
        with self.stopwatch.running():
            self.at[step] = self.problem.record(self.problem.model, self.problem.splits["train"])
            if len(self.sample):
                self.at[step]["grand"] = grand(self.problem, self.sample)
            if self.checkpoints:
                self.checkpoints.add()

    def after_epoch(self) -> None:
        """Record which examples are right, where the run watches them."""
        if not self.watch:
            return
        with self.stopwatch.running():
            logits = self.problem.record(self.problem.model, self.problem.splits["train"])["logits"]
            self.right.append(logits.argmax(1) == self.task.train.labels)

    def arrays(self) -> dict[str, np.ndarray]:
        """Recorded arrays, those of scoring points stacked along a first axis of time; VoG is computed here."""
        if self.checkpoints:
            with self.stopwatch.running():
                for recorded, values in zip(self.at.values(), self.checkpoints.vog(), strict=True):  # both in order of time
                    recorded["vog"] = values
        out = {"ids": self.task.train.ids, "labels": self.task.train.labels} | self.problem.fixed
        if self.right:
            out["correct"] = np.stack(self.right, axis=1).astype(np.uint8)
        if self.at:
            last = max(self.at)  # training may have ended before the last point
            reached = [self.at[step] for step in self.points if step <= last]
            out |= {name: np.stack([each[name] for each in reached]) for name in reached[0]}
            if len(self.sample):
                out["grand_positions"] = self.sample
        if self.task.truth is not None:
            out["truth"] = self.task.truth
        return out

    def passes(self) -> dict[str, int]:
        """How many examples were scored, by each kind of pass."""
        n = len(self.problem.splits["train"].labels)
        out = {"scored": n * (len(self.at) + len(self.right)), "grand_scored": len(self.sample) * len(self.at)}
        return out | ({"vog_scored": len(self.task.train) * len(self.at)} if self.checkpoints else {})
