"""An operation that a parameter enters, and the gradients of each example in the parameter through it.

Where the operation has no rule (`steps`), it is computed anew for each example from what this one brings: for all at once where
torch can map the operation, else one by one.
"""

import warnings
from dataclasses import dataclass, field

import torch
from torch.utils._pytree import tree_leaves, tree_unflatten

from datadiet.gradnorm import steps
from datadiet.gradnorm.layers import wide


class Again(Exception):
    """The operation turned out not to be computable example by example: begin anew, and leave it to autograd."""

    def __init__(self, name):
        self.name = name  # of the operation, or a layer; None: all operations; "order": look at all examples first


@dataclass
class Seen:
    """An operation as one example alone showed it."""

    leaves: list  # arguments in a row: (shape, shape before a reshape or None) of a tensor, else the argument
    spec: object  # how they are nested
    outs: list  # shapes of the tensors that came out
    times: int = 0  # how often it came
    checked: bool = False  # whether each example by itself gave the rows of the batch
    order: bool | None = None  # of an output without examples in its input: whether the examples vary fastest

    def like(self, other):
        """Whether another example shows the same."""
        same = (self.spec, self.outs, self.times) == (other.spec, other.outs, other.times)
        return same and [leaf for leaf in self.leaves if is_shape(leaf)] == [
            leaf for leaf in other.leaves if is_shape(leaf)]


@dataclass(frozen=True)
class Where:
    """Where a tensor has its examples: along `axis`, [B * a] or, where they vary fastest (`inner`), [a * B]."""

    axis: int
    inner: bool = False

    def split(self, t, n):
        """[B, *shape of one example alone]."""
        long = t.shape[self.axis] // n
        if self.inner:
            return t.unflatten(self.axis, (long, n)).movedim(self.axis + 1, 0)
        return t.unflatten(self.axis, (n, long)).movedim(self.axis, 0)


@dataclass(eq=False)
class Use:
    """An operation that a parameter enters, in the pass with the batch."""

    name: int
    func: object
    seen: Seen
    leaves: list
    places: list  # of each leaf: Where, or None
    keyed: dict  # position of a leaf -> key of the parameter or step
    n: int
    outs: list = field(default_factory=list)  # Where of each output; None: no example took part
    made: list = field(default_factory=list)  # the outputs, where no example took part
    formed: dict | None = None  # position of a leaf -> gradients of all examples, where these are small
    gs: dict = field(default_factory=dict)  # output -> its gradient

    def adds(self) -> bool:
        """Whether the operation is a sum, whose gradients do not need what goes in."""
        return steps.RULES.get(self.func) is steps._add

    def forget(self):
        self.leaves, self.keyed, self.gs = [], {}, {}

    def reduce(self):
        """Forms the gradients at once and lets go of x and g, where they take less room than these."""
        carried = sum(t.numel() for t, place in zip(self.leaves, self.places, strict=True) if place)
        if self.n * sum(self.leaves[i].numel() for i in self.keyed) <= carried + sum(g.numel() for g in self.gs.values()):
            self.formed = self.gradients(slice(None), self.caught(slice(None)))
            self.leaves, self.gs = [], {}

    def of(self, i, rows):
        """Leaf i for some examples: [len, *shape of one alone], or as it is where it has no example axis."""
        t = self.leaves[i]
        if isinstance(t, torch.Tensor):
            t = wide(t)
            return self.places[i].split(t, self.n)[rows] if self.places[i] else t
        return t

    def gradients(self, rows, gs):
        """Position of a leaf -> gradients of some examples, [len, *shape], given those at the outputs."""
        with torch.no_grad():
            rule = steps.RULES.get(self.func)
            found = rule(self, rows, gs) if rule else None
            return found if found is not None else self._by_computing(rows, gs)

    def squares(self):
        """Squared norms of all that enters, [B]."""
        gs, rule = self.caught(slice(None)), steps.SQUARES.get(self.func)
        with torch.no_grad():
            found = rule(self, gs) if rule else None
        if found is not None:
            return found
        at_once = max(1, steps.AT_ONCE // sum(self.leaves[i].numel() for i in self.keyed))
        parts = []
        for start in range(0, self.n, at_once):
            rows = slice(start, min(self.n, start + at_once))
            each = self.gradients(rows, {j: g[rows] for j, g in gs.items()}).values()
            parts.append(sum(g.reshape(rows.stop - rows.start, -1).square().sum(1) for g in each))
        return torch.cat(parts)

    def caught(self, rows):
        return {j: self.outs[j].split(wide(g), self.n)[rows] for j, g in self.gs.items()}

    def alone(self, shared, carried):
        """The outputs of the operation for one example."""
        leaves = [leaf if not is_shape(leaf) else None for leaf in self.seen.leaves]
        for i, t in enumerate(self.leaves):
            if isinstance(t, torch.Tensor):
                leaves[i] = shared[i] if i in shared else carried[i] if i in carried else wide(t)
        args, kwargs = tree_unflatten(leaves, self.seen.spec)
        return [t for t in tree_leaves(self.func(*args, **kwargs)) if isinstance(t, torch.Tensor)]

    def _by_computing(self, rows, gs):
        """By the operation itself, one example at a time or all at once where torch can map it."""
        shared = {i: wide(self.leaves[i]).detach() for i in self.keyed}
        carried = {i: self.of(i, rows) for i, place in enumerate(self.places) if place}

        def one(carried, gs):
            def f(shared):
                ys = self.alone(shared, carried)
                return {j: wide(ys[j]) for j in gs}
            ys, back = torch.func.vjp(f, shared)
            return back(gs)[0], ys

        drawn = None if self.seen.checked else torch.get_rng_state()
        try:
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "There is a performance drop")
                    grads, ys = torch.func.vmap(one, randomness="error")(carried, gs)
            except (RuntimeError, ValueError, NotImplementedError, TypeError, AttributeError):
                grads, ys = self._one_by_one(shared, carried, gs)
        except (RuntimeError, ValueError, NotImplementedError, TypeError) as problem:
            raise Again(self.name) from problem
        if drawn is not None:
            self._check(ys, rows)
            if not torch.equal(drawn, torch.get_rng_state()):
                raise Again(self.name)
        return grads

    def _one_by_one(self, shared, carried, gs):
        found, out = [], []
        with torch.enable_grad():
            for b in range(len(next(iter(gs.values())))):
                leaves = {i: t.clone().requires_grad_() for i, t in shared.items()}
                ys = self.alone(leaves, {i: t[b] for i, t in carried.items()})
                ys = {j: wide(ys[j]) for j in gs}
                grads = torch.autograd.grad(list(ys.values()), list(leaves.values()), [gs[j][b] for j in ys], allow_unused=True)
                found.append([torch.zeros_like(t) if g is None else g for g, t in zip(grads, leaves.values(), strict=True)])
                out.append({j: y.detach() for j, y in ys.items()})
        return ({i: torch.stack([each[k] for each in found]) for k, i in enumerate(shared)},
                {j: torch.stack([each[j] for each in out]) for j in gs})

    def _check(self, ys, rows):
        """Each example by itself must give its rows of the batch: nothing mixes, nothing is drawn."""
        whole = self.made
        if any(self.outs):
            args, kwargs = tree_unflatten([wide(t) if isinstance(t, torch.Tensor) else t for t in self.leaves], self.seen.spec)
            whole = [t for t in tree_leaves(self.func(*args, **kwargs)) if isinstance(t, torch.Tensor)]
        for j, y in ys.items():
            there = self.outs[j].split(wide(whole[j]), self.n)[rows] if self.outs[j] else wide(whole[j]).expand_as(y)
            share = max(1e-3, 8 * torch.finfo(whole[j].dtype).eps)  # steps may have been rounded to half precision
            if there.shape != y.shape or not torch.allclose(y, there, rtol=share, atol=share / 10 * float(there.abs().max())):
                raise Again(self.name)
        if rows.indices(self.n)[1] == self.n:
            self.seen.checked = True


def is_shape(leaf) -> bool:
    return isinstance(leaf, Shape)


@dataclass(frozen=True)
class Shape:
    shape: torch.Size
    before: torch.Size | None  # shape of what it was reshaped from
