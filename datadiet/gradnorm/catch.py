"""How x and g are caught: hooks around the layers with a rule, a watch over the operations of all other parameters.

A :class:`Catch` sees the pass of one example alone, then that of the batch, and turns x and g into squared norms as g comes.
"""

import warnings
from collections import Counter, defaultdict
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from datadiet.errors import InputError
from datadiet.gradnorm import layers
from datadiet.gradnorm.operations import Watch, backward
from datadiet.gradnorm.order import Order, moved, reordered
from datadiet.gradnorm.recurrent import unrolled
from datadiet.gradnorm.steps import AT_ONCE
from datadiet.gradnorm.use import Again

WAITING = 2**28  # bytes of x and g that may wait for others of their shapes


def stacks(device) -> bool:
    """Whether layers of one shape are computed together."""
    return device.type != "cpu"


unwatched = torch._C.DisableTorchFunction  # for a time, what is computed is no part of the model


def checked_losses(loss, model: nn.Module, batch: dict, n: int, first: int | None = 0) -> torch.Tensor:
    losses = loss(model, batch)
    seen = tuple(losses.shape) if isinstance(losses, torch.Tensor) else type(losses).__name__
    if seen != (n,) or losses.is_complex():
        raise InputError(f"gradnorm: the loss returned {seen or 'a scalar'} for {n} example(s); return one real loss an "
                         f'example, shape ({n},): no mean over the batch (reduction="none").')
    if first is not None and not losses.isfinite().all():
        where = [first + b for b in (~losses.isfinite()).nonzero()[:, 0].tolist()]
        raise InputError(f"gradnorm: the loss is not finite at batch position(s) {where}; look at these examples, or "
                         "at the learning rate the model was trained with.")
    if not losses.requires_grad:
        raise InputError("gradnorm: the loss depends on no trainable parameter; leave out detach() and no_grad().")
    return losses


class Catch:
    """Catches x and g at each call of a layer with a rule, and turns them into squared norms.

    While such a layer computes, its parameters are switched off, so that the backward skips their gradients. Wherever
    else a parameter is used autograd still sees it, so nothing goes missing.
    """

    def __init__(self, model: nn.Module, n: int, names: dict):
        self.model, self.n = model, n
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.training = any(module.training for module in model.modules())
        self.layers = {module: trained for module in model.modules() if (trained := layers.trained(module))}
        self.nodes = defaultdict(list)  # layer -> for each call with one example: (shape of y, graph node of y)
        self.shown = {}  # layer -> for each call with one example: (shape of y, whether y is only added to something)
        self.own = defaultdict(list)  # (layer, call) -> (batch position, x) of the examples alone
        self.within = None  # (layer with a rule, call of it) that computes with its parameters on
        self.calls, self.uses = Counter(), Counter()  # layer -> calls so far; parameter -> uses
        self.parts = []  # squared norms, each [B]
        self.last = {}  # see layers.squares
        self.waiting, self.bytes = defaultdict(list), 0  # shapes and names -> (layer, x, g) of each call; their size
        self.kept = defaultdict(list)  # parameter with several uses -> (layer, name, x, g) of each
        self.known = None  # operations that parameters without a rule enter, as one example shows them; None: there are none
        self.names = names  # (operation with what enters it, how often it came) -> its name
        self.all_seen = False  # whether all examples were looked at alone, or need not be
        self.left = set()  # names of those that are left to autograd, and layers whose one output is
        self.watch = None  # while the batch is computed, if there are any
        self.going_back = False
        self.coarse = False  # whether something was computed in half precision
        self.order = None  # order.Order, while the batch is looked at for one of its own

    unrolled = staticmethod(unrolled)

    @contextmanager
    def hooked(self, after, before=None):
        hooks = [module.register_forward_hook(after, with_kwargs=True, prepend=True) for module in self.layers]
        hooks += [module.register_forward_pre_hook(before) for module in self.layers if before]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for module in self.layers:
                self.switch(module, on=True)

    def switch(self, module, _=None, on=False):
        for p in self.layers[module].values():
            p.requires_grad_(on)

    def alone(self, loss, batch, b):
        """Loss of one example by itself; its pass fills `shown`, `known` and, for models without dropout, `own`."""
        self.nodes.clear()
        one = {name: t[b:b + 1] for name, t in batch.items()}
        watch, entered = Watch(self, one, 1), []

        def before(module, args):
            entered.append(len(watch.found))
            self.within = module, len(self.nodes[module])

        with self.hooked(partial(self.note, b, watch, entered), before=before), watch:
            one = checked_losses(loss, self.model, one, 1, first=None)
        signs = {name: sign for (sign, _), name in self.names.items()}
        for name, seen in watch.found.items():
            seen.times = watch.calls[signs[name]]
        if watch.outside or watch.may_move:  # else the layers with a rule have all parameters
            before = watch.found if self.known is None else self.known
            self.known = {name: seen for name, seen in watch.found.items() if name in before and seen.like(before[name])}
        goes_to = users(one)
        self.shown = {module: [(shape, goes_to.get(node) == {("AddBackward0", len(shape))}) for shape, node in calls]
                      for module, calls in self.nodes.items()}
        self.nodes.clear()  # and the graph of one example with them
        return one[0].detach()

    def note(self, b, watch, entered, module, args, kwargs, y):
        """Forward hook of an example alone."""
        first, self.within = entered.pop(), None
        if y.shape[:1] == (1,):
            watch.inside += len(watch.found) - first
        call = len(self.nodes[module])
        self.nodes[module].append((y.shape, y.grad_fn))
        if self.n > 1 and not self.training:
            self.own[module, call].append((b, (*args, *kwargs.values())[0].detach().clone()))

    def catch(self, module, args, kwargs, y):
        """Forward hook: keeps x, asks for g, and returns the output to go on with.

        The shape of the same output for one example tells whether it has an example axis: position embeddings may come
        as [1, T, d] or [T, d] for all examples, and T may happen to equal B.
        """
        with unwatched():
            self.switch(module, on=True)
            out = self.caught(module, args, kwargs, y)
        if out is None:  # again, parameters on
            self.within = module, self.calls[module] - 1
            out, self.within = module.forward(*args, **kwargs), None
        return out

    def caught(self, module, args, kwargs, y):
        """The output to go on with; None where it does not show which row is whose."""
        call = self.calls[module]
        shape, added = (self.shown.get(module, [])[call:] or [((), False)])[0]
        self.calls[module] += 1
        if not torch.is_grad_enabled():
            return y
        self.coarse |= y.dtype.itemsize < 4
        x = (*args, *kwargs.values())[0]
        own = shape[:1] == (1,) and y.shape == (self.n, *shape[1:])
        shared = added and not own and shape[:1] == (1,) and y.shape == shape and module not in self.left
        shared = shared and not (self.watch is not None and self.watch.key(x))
        if not own and not shared:
            return None
        alone = self.own.get((module, call), ())
        if self.watch is not None and self.watch.may_move and not self.training and not (
                len(alone) == self.n and all(len(lone) == 1 for _, lone in alone)):
            return None  # it takes all examples to tell
        for b, lone in alone if own else ():
            if moved(x.detach(), b, lone[0]):
                raise reordered(b, f"a layer ({type(module).__name__})")
        if own and self.order is not None and not self.going_back:
            self.order.look((module, call), x, f"a layer ({type(module).__name__})")
        if not y.requires_grad:
            y = layers.Onward.apply(torch.zeros((), requires_grad=True), y.detach(), None)
        elif (back := layers.way_back(module, x, y)) is not None:
            y = layers.Onward.apply(x, y.detach(), back)
        elif y._is_view():
            y = layers.Onward.apply(y, y.detach(), layers.as_it_is)
        if shared:  # one output, only added to something: a copy for each example, so that g keeps them apart
            x, y = x.expand(self.n, *x.shape[1:]), y.repeat(self.n, *[1] * (y.dim() - 1))  # no view, for a step in place
        if not self.going_back:
            self.uses.update(self.layers[module].values())
        y.register_hook(partial(self.collect, module, x.detach(), x._version, shared))
        return y

    def collect(self, module, x, version, shared, g):
        """Tensor hook: the backward has reached the output of `module`."""
        if self.parts is None:
            return
        if shared and g.flatten(1).any(1).sum() == 1:  # it was added to something for all, and one copy picked out of it
            raise Again(module)
        if x._version != version:  # torch, too, refuses to go back through such a layer
            raise InputError(f"gradnorm: the input of a layer ({type(module).__name__}) was changed in place after it; work on a "
                             "copy.")
        with unwatched(), torch.no_grad(), torch.autocast(g.device.type, enabled=False):
            x, g = layers.wide(x), layers.wide(g)
            once = {name for name, p in self.layers[module].items() if self.uses[p] == 1}
            if once and isinstance(module, nn.Linear) and stacks(g.device):
                self.wait(module, once, x, g)
            elif once:
                self.parts.append(layers.squares(module, once, x, g, self.last))
            for name in self.layers[module].keys() - once:  # its gradients add up before the norm is taken
                self.kept[self.layers[module][name]].append((module, name, x, g))

    def wait(self, module, names, x, g):
        """Keeps x and g until others of their shapes have come: on a GPU a few large products are sooner done than many small."""
        self.waiting[x.shape, g.shape, x.dtype, tuple(sorted(names))].append((module, x, g))
        self.bytes += x.nbytes + g.nbytes
        if self.bytes > WAITING:
            self.flush()

    def flush(self):
        for (*_, names), calls in self.waiting.items():
            x, g = (torch.cat([call[k] for call in calls]) for k in (1, 2))
            each = layers.squares(calls[0][0], set(names), x, g, {})
            self.parts.append(each.view(len(calls), self.n).sum(0))
        self.waiting.clear()
        self.bytes = 0

    def catch_use(self, use, out):
        """The output of an operation to go on with; its gradient is asked for."""
        self.look(use, use.func)
        leaves, spec = tree_flatten(out)
        places = [k for k, t in enumerate(leaves) if isinstance(t, torch.Tensor)]
        for k in places:
            self.coarse |= leaves[k].dtype.itemsize < 4
            if not leaves[k].requires_grad:
                y = leaves[k].clone() if leaves[k]._is_view() else leaves[k].detach()  # a parameter is no place to work in
                leaves[k] = layers.Onward.apply(torch.zeros((), requires_grad=True), y, None)
            elif leaves[k]._is_view():
                leaves[k] = layers.Onward.apply(leaves[k], leaves[k].detach(), layers.as_it_is)
        versions = [t._version if isinstance(t, torch.Tensor) else 0 for t in use.leaves]
        for j, k in enumerate(places):
            leaves[k].register_hook(partial(self.collect_use, use, j, versions))
        if not self.going_back:
            self.watch.tape.append(use)
        return tree_unflatten(leaves, spec)

    def catch_steps(self, use, y, gate):
        """Asks for the gradient of a recurrent layer's steps: that at y, the last third of it gated where there is a gate."""
        self.look(use, torch.nn.RNNBase)

        def hook(g):
            if gate is not None:
                g = torch.cat([g[..., :-gate.shape[2]], gate * g[..., -gate.shape[2]:]], 2)
            self.collect_use(use, 0, [t._version for t in use.leaves], g)

        y.register_hook(hook)
        if not self.going_back:
            self.uses.update(self.parameters[number] for _, number in use.keyed.values())
            self.watch.tape.append(use)

    def look(self, use, what):
        """Looks whether the examples stand in their order where an operation takes them in."""
        for i, place in enumerate(use.places):
            if place and self.order is not None and not self.going_back:
                self.order.look((use.name, len(self.watch.tape), i), place.split(use.leaves[i].detach(), self.n),
                                f"an operation ({getattr(what, '__name__', what)})")

    def collect_use(self, use, j, versions, g):
        """Tensor hook: the backward has reached output j of an operation that a parameter enters."""
        if self.parts is None:
            return
        if not use.adds() and any(isinstance(t, torch.Tensor) and t._version != version
                                  for t, version in zip(use.leaves, versions, strict=True)):
            raise Again(use.name)
        with unwatched(), torch.autocast(g.device.type, enabled=False):
            use.gs[j] = g
            entering = [key[1] for key in use.keyed.values()]
            if len(use.outs) == 1 and all(key[0] == "parameter" for key in use.keyed.values()) and (
                    all(self.uses[self.parameters[number]] == 1 for number in entering)):
                self.parts.append(use.squares())
                use.forget()
            elif len(use.outs) == 1:
                use.reduce()

    def losses(self, loss, batch, first=0):
        """Losses of the batch, and all that the backward has to bring caught on the way."""
        self.watch = None if self.known is None else Watch(self, batch, self.n, self.known)
        with self.watch or nullcontext():
            return checked_losses(loss, self.model, batch, self.n, first)

    def in_order(self, loss, batch):
        """A pass of the examples in another order; the pass of the batch is then held against it."""
        other = Catch(self.model, self.n, self.names)
        other.shown, other.known, other.left, other.all_seen, other.order = self.shown, self.known, self.left, True, Order(self.n)
        try:
            with other.hooked(other.catch, before=other.switch):
                other.order.losses = other.losses(loss, other.order.turned(batch), first=None).detach()
        finally:
            other.watch = None
        self.order, other.order.shifted = other.order, False

    def squares(self, losses: torch.Tensor) -> torch.Tensor:
        """Squared norms, [B]: one backward for all, then one an example for the parameters that could not be caught."""
        for module, calls in self.calls.items():  # which of its calls is which would be a guess
            if module not in self.left and calls != len(self.shown.get(module, ())):
                raise Again(module)
        if self.watch is not None and (name := self.watch.otherwise()) is not None:
            raise Again(name)
        self.going_back = True
        leaves = {node.variable for node in users(losses) if hasattr(node, "variable")}
        free = [p for p in self.parameters if p in leaves]
        for kind in sorted({type(m).__name__ for m in self.model.modules() if {*m._parameters.values()} & {*free}}):
            warnings.warn(f"gradnorm: the parameters of {kind} take one backward an example: slow.", stacklevel=3)
        self.uses.update(free)
        self.back(losses.sum(), list(leaves), bool(free))
        with torch.no_grad(), torch.autocast(losses.device.type, enabled=False):
            self.flush()
        total = sum(self.parts, layers.wide(torch.zeros_like(losses)).detach())
        self.parts = None  # the hooks rest from here on
        late = {*free, *self.kept}
        if self.watch is not None:
            late |= {self.parameters[number] for number in self.watch.on_tape()}
        if late:
            at_once = 1 if free else max(1, AT_ONCE // sum(p.numel() for p in late))
            for start in range(0, self.n, at_once):
                rows = slice(start, min(self.n, start + at_once))
                total[rows] += sum(g.flatten(1).square().sum(1) for g in self.sums(losses, free, rows).values())
        return total

    def back(self, loss, leaves, again: bool):
        """One backward. A checkpoint computes its layers again in it, and has to find the same hooks and the same watch."""
        self.calls.clear()
        if self.watch is not None:
            self.watch.calls.clear()
        with self.watch or nullcontext(), torch.autograd.set_multithreading_enabled(self.watch is None):
            return backward(loss, leaves, retain_graph=again, allow_unused=True)

    def sums(self, losses, free, rows: slice) -> dict:
        """Parameter -> gradients [len, *shape] of some examples, of those parameters that were not squared on the way back."""
        own = self.back(losses[rows].sum(), free, True) if free else ()  # one example
        found = {p: layers.wide(g.to_dense())[None] for p, g in zip(free, own, strict=True) if g is not None}
        with torch.no_grad(), torch.autocast(losses.device.type, enabled=False):
            for p, uses in self.kept.items():
                for module, name, x, g in uses:
                    found[p] = found.get(p, 0) + layers.gradient(module, name, x[rows], g[rows])
            for number, g in (self.watch.sums(rows) if self.watch is not None else {}).items():
                found[self.parameters[number]] = found.get(self.parameters[number], 0) + g
        return found


def users(losses: torch.Tensor) -> dict:
    """The autograd graph under `losses`: node -> (name, number of axes of the result) of those its output goes to."""
    found, todo = defaultdict(set), [losses.grad_fn]
    while todo:
        node = todo.pop()
        if node.name() == "CheckpointFunctionBackward":
            raise InputError("gradnorm: the model checkpoints with use_reentrant=True, where torch gives no gradients of chosen "
                             "tensors; checkpoint with use_reentrant=False.")
        for below, _ in node.next_functions:
            if below is not None:
                todo += [] if below in found else [below]
                found[below].add((node.name(), len(node._input_metadata[0].shape)))
    return found
