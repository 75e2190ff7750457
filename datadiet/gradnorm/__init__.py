"""Exact norms of every example's gradient, over all trainable parameters, for a whole batch at once.

GraNd needs the length of each example's own gradient, and ``backward`` only gives their sum. Yet the gradient of one
example in a layer's weights is fixed by two tensors that a batch keeps apart: its activation x at the input of the layer,
and its gradient g of the loss at the output. For a linear layer over T tokens with weights W, for one example,

    dL/dW = sum_t g_t x_t'        |dL/dW|^2 = sum_{s,t} (g_s . g_t) (x_s . x_t)

so two T x T tables of inner products give the norm, and the gradient itself is never formed ("ghost norm"). A module
without such a rule is run again, alone, with a gradient for each example. Here: the two public functions and the checks.
`layers` has the rules, `again` the modules without one, `recurrent` the LSTM; `plan` says what goes which way, `catch` catches.
"""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from datadiet.errors import InputError
from datadiet.gradnorm import again, layers
from datadiet.gradnorm.catch import Catch
from datadiet.gradnorm.onward import graph
from datadiet.gradnorm.plan import Enclose, Plan
from datadiet.nets.device import exactly


def grad_norms(model: nn.Module, batch: dict, loss, *, alone: dict | None = None) -> torch.Tensor:
    """L2 norm of each example's gradient over all trainable parameters: GraNd, of which this is one draw.

    GraNd_b = |grad_w loss_b(w)|_2. Large = hard. Unit: that of the loss (nats for cross-entropy) per unit of parameter.
    The norm of an example does not depend on the batch it came in, and is not scaled by 1/B. Source: Paul, Ganguli,
    Dziugaite 2021, who average it over about ten initialisations. Norms from x and g: Goodfellow 2015; over sequences,
    by tables or by the gradient as is cheaper: Li, Tramer, Liang, Hashimoto 2022. The cost is one forward, one backward
    without gradients of weights, the norms, and once a shape of batch a forward of the first and of the last example by
    itself and a look at every module without a rule: a loop over batches hands in the same `alone`. Rules: Linear,
    Embedding, LayerNorm, Conv2d, BatchNorm, LSTM, transformers' Conv1D. Other modules are run again under
    ``torch.func.vmap``, and where their parameters are used round them, the module around them is. TF32 is off inside, and
    of a compiled model the code that was compiled is not used.

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
        Once per module type with parameters that can be had neither by a rule nor by running a module again, as where a
        module draws masks or keeps a count: these take one backward of the network an example, exact but slow.

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
    alone = {} if alone is None else alone
    with torch.enable_grad(), exactly(), torch.compiler.set_stance("force_eager"):  # a compiled model would compile anew
        case = (model, model.training, *((name, t.shape[1:], t.dtype) for name, t in batch.items()),
                *parameters)
        known = alone.get(case)
        if known is not None and n > 1 and not known.several:
            known = None  # one example shows nothing of which tensors all share
        plan = known or Plan(model)
        while True:
            try:
                norms = _norms(model, batch, loss, n, parameters, plan, first=known is None)
                break
            except again.Refused as problem:
                plan.refuse(problem.module, str(problem))
            except Enclose as problem:
                plan.enclose(problem.owners)
        alone[case], plan.several = plan, plan.several or n > 1
        return norms


def _norms(model, batch, loss, n: int, parameters, plan: Plan, first: bool) -> torch.Tensor:
    """Norms by a plan; on its `first` batch the first and the last example go through the model alone as well."""
    catch, ones = Catch(model, n, plan, first), {}
    if first:
        with torch.random.fork_rng({p.device.index for p in parameters if p.is_cuda}):
            for b in sorted({0, n - 1}):
                with catch.noting(b):
                    one = _losses(loss, model, {name: t[b:b + 1] for name, t in batch.items()}, 1, first=None)
                catch.noted(one)
                ones[b] = one[0].detach()
    with catch.catching():
        losses = _losses(loss, model, batch, n)
        for b, one in ones.items():
            same = torch.isclose(one, losses[b], rtol=0.2, atol=1e-6)  # room for bfloat16
            if not same and not catch.training:  # dropout may differ
                raise InputError(f"gradnorm: the example at batch position {b} has loss {one:.4g} alone but "
                                 f"{losses[b]:.4g} in a batch of {n}: something mixes examples or divides by B; return "
                                 "each one's own loss.")
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
                graph(one)  # refuses a checkpoint that torch could not go back through
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
