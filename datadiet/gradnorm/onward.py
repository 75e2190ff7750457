"""Outputs to go on with in place of those that a module gave, and the autograd graph under a tensor."""

from collections import defaultdict

import torch

from datadiet.errors import InputError


class Instead(torch.autograd.Function):
    """The outputs of a module, to go on with; `back` turns the gradients at them into that at its first input."""

    @staticmethod
    def forward(ctx, x, back, *ys):
        ctx.back, ctx.type = back, x.dtype
        ctx.mark_dirty(*ys)
        ctx.set_materialize_grads(False)
        return ys

    @staticmethod
    def backward(ctx, *gs):
        return ctx.back(gs).to(ctx.type), None, *(None for _ in gs)


class Apart(torch.autograd.Function):
    """Copies of several outputs of a module, to go on with: the gradient at each is that of its uses outside the module."""

    @staticmethod
    def forward(ctx, *ys):
        ctx.set_materialize_grads(False)
        return tuple(y.clone() for y in ys)

    @staticmethod
    def backward(ctx, *gs):
        return gs


class Onward(torch.autograd.Function):
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


def graph(losses: torch.Tensor) -> dict:
    """The autograd graph under a tensor: node -> (name, number of axes of the result) of those its output goes to."""
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
