"""The captured update: a GPU is told once what an update of a shape consists of, and then repeats it at a word.

    captured = Captured("cuda")
    losses = captured(loop.on_device, positions, weights, longest)      # as loop.on_device(positions, weights, longest)

An update of a small model is many short pieces of work, and a GPU has done each before the processor has asked for the next. A
CUDA graph holds them all. The first update of a shape is made as usual, and is the one that libraries prepare themselves in: so
there is no warm-up to undo. The second is captured, which does nothing yet, and then done by replaying it, like all that follow.

Not measured: this code has not met a GPU yet. Its control flow is tested with a stand-in for the graph.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch

from datadiet.nets import device


@dataclass
class Held:
    """A graph, and the tensors that it reads and writes: they keep their place in memory."""

    graph: object
    positions: torch.Tensor
    weights: torch.Tensor
    losses: torch.Tensor


class Captured:
    """An ``update(positions [B], weights [B], longest) -> losses [B]``, the same at every call, captured once a shape.

    It reads no number back and allocates nothing that outlives it but gradients. Dropout draws from torch's current generator of
    the device, whose place a graph is told anew at each replay. Where a shape cannot be captured, every update from then on is
    made as usual, with a warning; ``why`` is the reason.
    """

    def __init__(self, where: str):
        self.where, self.why = where, None
        self.forget()

    def forget(self) -> None:
        """Drop all graphs: the tensors that they work on were replaced. Each shape begins anew with an update as usual."""
        self.seen: set[tuple] = set()
        self.held: dict[tuple, Held] = {}

    def __call__(self, update: Callable, positions: torch.Tensor, weights: torch.Tensor, longest: int | None) -> torch.Tensor:
        shape = (len(positions), longest)
        if shape in self.seen and shape not in self.held and self.why is None:
            self._capture(update, shape, positions, weights)
        if shape not in self.held:
            self.seen.add(shape)
            with device.aside(self.where):
                return update(positions, weights, longest)
        held = self.held[shape]
        held.positions.copy_(positions)
        held.weights.copy_(weights)
        held.graph.replay()
        return held.losses.clone()  # the next replay writes over them

    def _capture(self, update: Callable, shape: tuple, positions: torch.Tensor, weights: torch.Tensor) -> None:
        own = positions.clone(), weights.clone(), torch.empty_like(weights)

        def run():
            own[2].copy_(update(own[0], own[1], shape[1]))

        try:
            # Graphs share their memory: none needs anything of another's, as gradients are dropped before they are computed.
            pool = next((held.graph.pool() for held in self.held.values()), None)
            self.held[shape] = Held(device.recorded(run, pool), *own)
        except Exception as problem:  # of whatever kind: a run is not lost because it cannot be made faster
            first = problem.__context__ or problem  # the end of a capture that failed fails too, and says less
            lines = str(first).strip().splitlines()
            self.why = f"{type(first).__name__}: {lines[0] if lines else 'no message'}"
            self.forget()  # graphs captured before draw from a generator that the failure may have replaced
            warnings.warn(f"loop: the update of shape {shape} could not be captured ({self.why}); the run goes on without.",
                          RuntimeWarning, stacklevel=3)
