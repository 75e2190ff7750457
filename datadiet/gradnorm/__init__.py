"""Exact norms of every example's gradient, over all trainable parameters, for a whole batch at once.

GraNd needs the length of each example's own gradient, and ``backward`` only gives their sum. Yet the gradient of one
example in a layer's weights is fixed by two tensors that a batch keeps apart: its activation x at the input of the layer,
and its gradient g of the loss at the output. For a linear layer over T tokens with weights W, for one example,

    dL/dW = sum_t g_t x_t'        |dL/dW|^2 = sum_{s,t} (g_s . g_t) (x_s . x_t)

so two T x T tables of inner products give the norm, and the gradient itself is never formed ("ghost norm").
Top to bottom: the two public functions, the checks, how x and g are caught. The rule of each layer is in `layers`.
"""

import warnings
from collections import Counter, defaultdict
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from datadiet.errors import InputError
from datadiet.gradnorm import layers


def grad_norms(model: nn.Module, batch: dict, loss, *, alone: dict | None = None) -> torch.Tensor:
    """L2 norm of each example's gradient over all trainable parameters: GraNd, of which this is one draw.

    GraNd_b = |grad_w loss_b(w)|_2. Large = hard. Unit: that of the loss (nats for cross-entropy) per unit of parameter.
    The norm of an example does not depend on the batch it came in, and is not scaled by 1/B. Source: Paul, Ganguli,
    Dziugaite 2021, who average it over about ten initialisations. Norms from x and g: Goodfellow 2015; over sequences,
    by tables or by the gradient as is cheaper: Li, Tramer, Liang, Hashimoto 2022. The cost is one forward, one backward
    without gradients of weights, the norms, and a forward of the first and of the last example by itself: a loop over
    batches that hands in the same `alone` pays for those two once a shape.

    Parameters
    ----------
    model : torch.nn.Module
        Examples keep their order along the first axis inside it. Only parameters with ``requires_grad`` count. Its mode
        is kept; scores are meant for eval mode. With dropout active, the norms belong to the masks that were drawn.
    batch : dict of Tensor[B, ...]
        First axis = example.
    loss : callable
        ``loss(model, batch) -> Tensor[B]``: one loss an example (``reduction="none"``), over its tokens a sum or mean.
    alone : dict, optional
        Empty at first, and the same for all batches of one model and loss: it keeps the shapes that the layers give for
        one example, and batches of a shape seen before go without the two passes. Only the first batch of a shape is
        checked for losses and activations that are others alone.

    Returns
    -------
    Tensor[B]
        float64 for a float64 model, else float32. Parameters, their ``.grad``, flags and hooks are left as they were.

    Raises
    ------
    InputError
        Empty batch, unequal first axes, a loss that is not one finite number an example, nothing trainable, BatchNorm
        in train mode, checkpointing with ``use_reentrant=True``; and, with all modules in eval mode, a loss of the first
        or last example that is not the same alone and in the batch, or an activation of theirs that lies in another row.

    Warns
    -----
    UserWarning
        Once per module type with parameters outside the rules for Linear, Embedding, LayerNorm, Conv2d and BatchNorm:
        these take one backward an example, exact but slow. A parameter used several times (tied) is exact but slower.

    Examples
    --------
    An untrained linear head has p = (1/2, 1/2), so GraNd = |p - y| sqrt(1 + |h|^2) = sqrt(1/2) sqrt(1 + 9):

    >>> head = nn.Linear(3, 2)
    >>> for p in head.parameters(): _ = nn.init.zeros_(p)
    >>> batch = {"h": torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]]), "y": torch.tensor([0, 1])}
    >>> grad_norms(head, batch, lambda m, b: nn.functional.cross_entropy(m(b["h"]), b["y"], reduction="none"))
    tensor([2.2361, 0.7071])
    """
    n, parameters = _checked(model, batch)
    catch, alone = _Catch(model, n), {} if alone is None else alone
    case = (model, model.training, *catch.layers, *((name, t.shape[1:], t.dtype) for name, t in batch.items()))
    with torch.enable_grad():
        if case not in alone:
            with torch.random.fork_rng({p.device.index for p in parameters if p.is_cuda}):
                ones = {b: catch.alone(loss, batch, b) for b in sorted({0, n - 1})}
        else:
            catch.shown, ones = alone[case], {}
        with catch.hooked(catch.catch, before=catch.switch):
            losses = _losses(loss, model, batch, n)
            for b, one in ones.items():
                same = torch.isclose(one, losses[b], rtol=0.2, atol=1e-6)  # room for bfloat16
                if not same and not catch.training:  # dropout may differ
                    raise InputError(f"gradnorm: the example at batch position {b} has loss {one:.4g} alone but "
                                     f"{losses[b]:.4g} in a batch of {n}: something mixes examples or divides by B; return "
                                     "each one's own loss.")
            alone[case] = catch.shown
            return catch.squares(losses).sqrt()


def reference_grad_norms(model: nn.Module, batch: dict, loss) -> torch.Tensor:
    """The norms of :func:`grad_norms` (large = hard) by one forward and one backward an example: the slow truth.

    >>> head = nn.Linear(1, 1, bias=False)
    >>> reference_grad_norms(head, {"x": torch.tensor([[3.0], [-4.0]])}, lambda model, b: model(b["x"])[:, 0])
    tensor([3., 4.])
    """
    n, parameters = _checked(model, batch)
    norms = []
    for b in range(n):
        with torch.enable_grad():
            one = _losses(loss, model, {name: t[b:b + 1] for name, t in batch.items()}, 1, first=b)
            if not b:
                _users(one)  # refuses a checkpoint that torch could not go back through
            gradients = torch.autograd.grad(one.sum(), parameters, allow_unused=True)
        squares = [layers.wide(g.to_dense()).square().sum() for g in gradients if g is not None]
        norms.append(sum(squares, layers.wide(torch.zeros_like(one[0]))).sqrt().detach())
    return torch.stack(norms)


# Checks --------------------------------------------------------------------------------------------------------------
def _checked(model: nn.Module, batch: dict) -> tuple[int, list[nn.Parameter]]:
    """Number of examples and trainable parameters."""
    sizes = {name: len(t) if isinstance(t, torch.Tensor) and t.dim() else None for name, t in batch.items()}
    if len(set(sizes.values())) != 1 or None in sizes.values() or 0 in sizes.values():
        raise InputError(f"gradnorm: first axes of the batch are {sizes}; give tensors with the same, non-zero number "
                         "of examples along the first axis.")
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise InputError("gradnorm: the model has no trainable parameter; set requires_grad on those to score.")
    mixing = [name for name, module in model.named_modules()
              if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)
              or getattr(module, "scale_grad_by_freq", False) or getattr(module, "max_norm", None) is not None]
    if mixing:
        raise InputError(f"gradnorm: layer(s) {mixing} mix the examples of a batch. BatchNorm: call model.eval() first "
                         "(it needs running statistics). Embedding: leave out max_norm and scale_grad_by_freq.")
    return next(iter(sizes.values())), parameters


def _losses(loss, model: nn.Module, batch: dict, n: int, first: int | None = 0) -> torch.Tensor:
    losses = loss(model, batch)
    seen = tuple(losses.shape) if isinstance(losses, torch.Tensor) else type(losses).__name__
    if seen != (n,):
        raise InputError(f"gradnorm: the loss returned {seen or 'a scalar'} for {n} example(s); return one loss an "
                         f'example, shape ({n},): no mean over the batch (reduction="none").')
    if first is not None and not losses.isfinite().all():
        where = [first + b for b in (~losses.isfinite()).nonzero()[:, 0].tolist()]
        raise InputError(f"gradnorm: the loss is not finite at batch position(s) {where}; look at these examples, or "
                         "at the learning rate the model was trained with.")
    if not losses.requires_grad:
        raise InputError("gradnorm: the loss depends on no trainable parameter; leave out detach() and no_grad().")
    return losses


# How x and g are caught ---------------------------------------------------------------------------------------------
class _Catch:
    """Catches x and g at each call of a layer with a rule, and turns them into squared norms.

    While such a layer computes, its parameters are switched off, so that the backward skips their gradients. Wherever
    else a parameter is used autograd still sees it, so nothing goes missing.
    """

    def __init__(self, model: nn.Module, n: int):
        self.model, self.n = model, n
        self.training = any(module.training for module in model.modules())
        self.layers = {module: trained for module in model.modules() if (trained := layers.trained(module))}
        self.nodes = defaultdict(list)  # layer -> for each call with one example: (shape of y, graph node of y)
        self.shown = {}  # layer -> for each call with one example: (shape of y, whether y is only added to something)
        self.own = defaultdict(list)  # (layer, call) -> (batch position, x) of the examples alone
        self.calls, self.uses = Counter(), Counter()  # layer -> calls so far; parameter -> uses
        self.copied = set()  # layers with one output for all examples
        self.parts = []  # squared norms, each [B]
        self.last = {}  # see layers.squares
        self.kept = defaultdict(list)  # parameter with several uses -> (layer, name, x, g) of each

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
        """Loss of one example by itself; its pass fills `shown` and, for models without dropout, `own`."""
        self.nodes.clear()
        with self.hooked(partial(self.note, b)):
            one = _losses(loss, self.model, {name: t[b:b + 1] for name, t in batch.items()}, 1, first=None)
        users = _users(one)
        self.shown = {module: [(shape, users.get(node) == {("AddBackward0", len(shape))}) for shape, node in calls]
                      for module, calls in self.nodes.items()}
        self.nodes.clear()  # and the graph of one example with them
        return one[0].detach()

    def note(self, b, module, args, kwargs, y):
        """Forward hook of an example alone."""
        call = len(self.nodes[module])
        self.nodes[module].append((y.shape, y.grad_fn))
        if self.n > 1 and not self.training:
            self.own[module, call].append((b, (*args, *kwargs.values())[0].detach().clone()))

    def catch(self, module, args, kwargs, y):
        """Forward hook: keeps x, asks for g, and returns the output to go on with.

        The shape of the same output for one example tells whether it has an example axis: position embeddings may come
        as [1, T, d] or [T, d] for all examples, and T may happen to equal B.
        """
        self.switch(module, on=True)
        call = self.calls[module]
        shape, added = (self.shown.get(module, [])[call:] or [((), False)])[0]
        self.calls[module] += 1
        if not torch.is_grad_enabled():
            return y
        own = shape[:1] == (1,) and y.shape == (self.n, *shape[1:])
        shared = shape[:1] == (1,) and y.shape == shape and added
        if not own and not shared:
            return module.forward(*args, **kwargs)  # again, parameters on: left to autograd, example by example
        x = (*args, *kwargs.values())[0]
        for b, lone in self.own.pop((module, call), ()) if own else ():
            if _moved(x.detach(), b, lone[0]):
                raise InputError(f"gradnorm: the activation of the example at batch position {b} lies in another row at the "
                                 f"input of a layer ({type(module).__name__}): the model reorders its batch; keep examples in "
                                 "their order (a packed sequence: enforce_sorted=False), or use reference_grad_norms.")
        if not y.requires_grad:
            y = _Onward.apply(torch.zeros((), requires_grad=True), y.detach(), None)
        elif (back := layers.way_back(module, x, y)) is not None:
            y = _Onward.apply(x, y.detach(), back)
        if shared:  # one output, only added to something: a copy for each example, so that g keeps them apart
            x, y = (t.expand(self.n, *t.shape[1:]) for t in (x, y))
            self.copied.add(module)
        self.uses.update(self.layers[module].values())
        y.register_hook(partial(self.collect, module, x.detach(), x._version))
        return y

    def collect(self, module, x, version, g):
        """Tensor hook: the backward has reached the output of `module`."""
        if self.parts is None:
            return
        if x._version != version:  # torch, too, refuses to go back through such a layer
            raise InputError(f"gradnorm: the input of a layer ({type(module).__name__}) was changed in place after it; work on a "
                             "copy.")
        with torch.no_grad(), torch.autocast(g.device.type, enabled=False):
            x, g = layers.wide(x), layers.wide(g)
            once = {name for name, p in self.layers[module].items() if self.uses[p] == 1}
            if once:
                self.parts.append(layers.squares(module, once, x, g, self.last))
            for name in self.layers[module].keys() - once:  # its gradients add up before the norm is taken
                self.kept[self.layers[module][name]].append((module, name, x, g))

    def squares(self, losses: torch.Tensor) -> torch.Tensor:
        """Squared norms, [B]: one backward for all, then one an example for the parameters without a rule."""
        if any(self.calls[module] != len(self.shown[module]) for module in self.copied):
            raise InputError("gradnorm: the model calls layers more often for more examples; use reference_grad_norms.")
        self.calls.clear()  # checkpointing calls layers again
        leaves = {node.variable for node in _users(losses) if hasattr(node, "variable")}
        free = [p for p in self.model.parameters() if p in leaves]
        for kind in sorted({type(m).__name__ for m in self.model.modules() if {*m._parameters.values()} & {*free}}):
            warnings.warn(f"gradnorm: the parameters of {kind} take one backward an example: slow.", stacklevel=3)
        self.uses.update(free)
        torch.autograd.grad(losses.sum(), list(leaves), retain_graph=bool(free), allow_unused=True)
        total = sum(self.parts, layers.wide(torch.zeros_like(losses)).detach())
        self.parts = None  # the hooks rest from here on
        for b in range(self.n if free or self.kept else 0):
            own = torch.autograd.grad(losses[b], free, retain_graph=True, allow_unused=True) if free else ()
            sums = {p: layers.wide(g.to_dense()) for p, g in zip(free, own, strict=True) if g is not None}
            for p, uses in self.kept.items():
                for module, name, x, g in uses:
                    sums[p] = sums.get(p, 0) + layers.gradient(module, name, x[b:b + 1], g[b:b + 1])[0]
            total[b] += sum(g.square().sum() for g in sums.values())
        return total


def _moved(x: torch.Tensor, b: int, lone: torch.Tensor) -> bool:
    """Whether the activation of an example alone lies in another row of x [B, ...] than its own, b.

    Batches of other sizes round otherwise, and half precision much so: another row has to be nearer by far.
    """
    if x.shape[1:] != lone.shape:
        return False
    x, lone = layers.wide(x).reshape(len(x), -1), layers.wide(lone).reshape(-1)
    if not x.is_floating_point():  # tokens
        return bool((x[b] != lone).any() and (x == lone).all(1).any())
    away = (x[b] - lone).norm()
    return bool(away > 0.01 * lone.norm()) and bool((x - lone).norm(dim=1).min() < away / 4)


class _Onward(torch.autograd.Function):
    """The output y of a layer, to go on with: not a view of it, for the next step may work in place.

    `back` turns the gradient at y into that at x; with None the backward ends here.
    """

    @staticmethod
    def forward(ctx, x, y, back):
        ctx.back, ctx.type = back, x.dtype
        ctx.mark_dirty(y)
        return y

    @staticmethod
    def backward(ctx, g):
        return None if ctx.back is None else ctx.back(g).to(ctx.type), None, None


def _users(losses: torch.Tensor) -> dict:
    """The autograd graph under `losses`: node -> (name, number of axes of the result) of those its output goes to."""
    users, todo = defaultdict(set), [losses.grad_fn]
    while todo:
        node = todo.pop()
        if node.name() == "CheckpointFunctionBackward":
            raise InputError("gradnorm: the model checkpoints with use_reentrant=True, where torch gives no gradients of chosen "
                             "tensors; checkpoint with use_reentrant=False.")
        for below, _ in node.next_functions:
            if below is not None:
                todo += [] if below in users else [below]
                users[below].add((node.name(), len(node._input_metadata[0].shape)))
    return users
