"""Exact norms of every example's gradient, over all trainable parameters, for a whole batch at once.

GraNd needs the length of each example's own gradient, and ``backward`` only gives their sum. Yet the gradient of one
example in a layer's weights is fixed by two tensors that a batch keeps apart: its activation x at the input of the layer,
and its gradient g of the loss at the output. For a linear layer over T tokens with weights W, for one example,

    dL/dW = sum_t g_t x_t'        |dL/dW|^2 = sum_{s,t} (g_s . g_t) (x_s . x_t)

so two T x T tables of inner products give the norm, and the gradient itself is never formed ("ghost norm").
Top to bottom: the two public functions, the checks, the caller's process. How x and g are caught is in `catch`, the rule of each
layer in `layers`; a parameter of any other module is caught at the operation that it enters (`operations`, `use`, `steps`).
"""

import sys
import warnings
from contextlib import ExitStack, contextmanager, nullcontext

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from datadiet.errors import InputError
from datadiet.gradnorm import layers
from datadiet.gradnorm.catch import Catch, checked_losses, users
from datadiet.gradnorm.use import Again


def grad_norms(model: nn.Module, batch: dict, loss, *, alone: dict | None = None) -> torch.Tensor:
    """L2 norm of each example's gradient over all trainable parameters: GraNd, of which this is one draw.

    GraNd_b = |grad_w loss_b(w)|_2. Large = hard. Unit: that of the loss (nats for cross-entropy) per unit of parameter.
    The norm of an example does not depend on the batch it came in, and is not scaled by 1/B. Source: Paul, Ganguli,
    Dziugaite 2021, who average it over about ten initialisations. Norms from x and g: Goodfellow 2015; over sequences,
    by tables or by the gradient as is cheaper: Li, Tramer, Liang, Hashimoto 2022. The cost is one forward, one backward
    without gradients of weights, the norms, and a forward of the batch in another order, of the first and of the last example by
    itself (of all, where the model picks rows by an index of its own making): a loop over batches that hands in the same `alone`
    pays for those once a shape. A compiled model computes as it is written, and TF32 is off for the time of the call.

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
        one example, and batches of a shape seen before go without these passes. Only the first batch of a shape is
        checked for losses and activations that are others alone.

    Returns
    -------
    Tensor[B]
        float64 for a float64 model, else float32. Parameters, their ``.grad``, flags and hooks are left as they were.

    Raises
    ------
    InputError
        Empty batch, unequal first axes, a loss that is not one finite number an example, nothing trainable, BatchNorm
        in train mode, checkpointing with ``use_reentrant=True``; and, with all modules in eval mode, a loss that is not the same
        (to 1 %) in another order, or, of the first and last example, alone; or an activation of any example that lies in another
        row.

    Warns
    -----
    UserWarning
        Once per module type with a parameter that could not be caught: it takes one backward an example, exact but slow. It
        enters a function of autograd written in Python, an operation that draws random numbers, packed sequences, or an
        operation that does not show which row is whose. A parameter used several times (tied) is exact but slower.

    Examples
    --------
    An untrained linear head has p = (1/2, 1/2), so GraNd = |p - y| sqrt(1 + |h|^2) = sqrt(1/2) sqrt(1 + 9):

    >>> head = nn.Linear(3, 2)
    >>> for p in head.parameters(): _ = nn.init.zeros_(p)
    >>> batch = {"h": torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]]), "y": torch.tensor([0, 1])}
    >>> grad_norms(head, batch, lambda m, b: nn.functional.cross_entropy(m(b["h"]), b["y"], reduction="none"))
    tensor([2.2361, 0.7071])
    """
    n, parameters = _checked(model, batch, loss)
    if not isinstance(alone, dict | None):
        raise InputError(f"gradnorm: alone is of type {type(alone).__name__}; give a dict, empty at first, or leave it out.")
    alone, devices = {} if alone is None else alone, {p.device.index for p in parameters if p.is_cuda}
    left, names, drawn = set(), {}, _drawn(devices)
    with torch.enable_grad(), _as_written(), _full_precision():
        while True:
            catch = Catch(model, n, names)
            case = (model, model.training, *catch.layers, *((name, t.shape[1:], t.dtype) for name, t in batch.items()))
            if case not in alone:
                with torch.random.fork_rng(devices):
                    ones = {b: catch.alone(loss, batch, b) for b in (range(n) if "order" in left else sorted({0, n - 1}))}
            else:
                (catch.shown, catch.known, catch.names, catch.left), ones = alone[case], {}
            catch.left, catch.all_seen = catch.left | left, catch.training or case in alone or "order" in left
            if n == 1 or None in left:
                catch.known = None
            try:
                if n > 1 and case not in alone and not catch.training:
                    with torch.random.fork_rng(devices):
                        catch.in_order(loss, batch)
                with catch.hooked(catch.catch, before=catch.switch):
                    losses = catch.losses(loss, batch)
                    for b, one in ones.items():
                        same = torch.isclose(one, losses[b], rtol=0.2 if catch.coarse else 0.01, atol=1e-5)  # room for rounding
                        if not same and not catch.training:  # dropout may differ
                            raise InputError(f"gradnorm: the example at batch position {b} has loss {one:.4g} alone but "
                                             f"{losses[b]:.4g} in a batch of {n}: something mixes examples or divides by B; "
                                             "return each one's own loss.")
                    if catch.order is not None:  # an example has its loss whoever stands beside it
                        rows = catch.order.rows.to(losses.device)
                        same = torch.isclose(catch.order.losses, losses[rows], rtol=0.2 if catch.coarse else 0.01, atol=1e-5)
                        if not same.all():
                            b = int(rows[~same][0])
                            raise InputError(f"gradnorm: the example at batch position {b} has loss {losses[b]:.4g}, but another "
                                             "with other examples beside it: something mixes examples; return each one's own "
                                             "loss.")
                    squares = catch.squares(losses)
                if n > 1:  # one example shows no order
                    alone[case] = catch.shown, catch.known, catch.names, catch.left
                return squares.sqrt()
            except Again as problem:
                if problem.name in left:
                    raise
                left.add(problem.name)
                _draw_again(drawn, devices)
            finally:
                catch.watch = None  # or the two would hold each other, and all that they caught


def reference_grad_norms(model: nn.Module, batch: dict, loss) -> torch.Tensor:
    """The norms of :func:`grad_norms` (large = hard) by one forward and one backward an example: the slow truth.

    >>> head = nn.Linear(1, 1, bias=False)
    >>> reference_grad_norms(head, {"x": torch.tensor([[3.0], [-4.0]])}, lambda model, b: model(b["x"])[:, 0])
    tensor([3., 4.])
    """
    n, parameters = _checked(model, batch, loss)
    norms = []
    for b in range(n):
        with torch.enable_grad():
            one = checked_losses(loss, model, {name: t[b:b + 1] for name, t in batch.items()}, 1, first=b)
            if not b:
                users(one)  # refuses a checkpoint that torch could not go back through
            gradients = torch.autograd.grad(one.sum(), parameters, allow_unused=True)
        squares = [layers.wide(g.to_dense()).square().sum() for g in gradients if g is not None]
        norms.append(sum(squares, layers.wide(torch.zeros_like(one[0]))).sqrt().detach())
    return torch.stack(norms)


# Checks --------------------------------------------------------------------------------------------------------------
def _checked(model: nn.Module, batch: dict, loss) -> tuple[int, list[nn.Parameter]]:
    """Number of examples and trainable parameters."""
    if not (isinstance(model, nn.Module) and isinstance(batch, dict) and callable(loss)):
        kinds = [type(each).__name__ for each in (model, batch, loss)]
        raise InputError(f"gradnorm: model, batch and loss are of types {', '.join(kinds)}; give a torch.nn.Module, a dict of "
                         "tensors, and a function loss(model, batch).")
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


# The caller's process -----------------------------------------------------------------------------------------------
def _drawn(devices):
    """State of the random generators."""
    return torch.get_rng_state(), {device: torch.cuda.get_rng_state(device) for device in devices}


def _draw_again(drawn, devices):
    torch.set_rng_state(drawn[0])
    for device in devices:
        torch.cuda.set_rng_state(drawn[1][device], device)


def _as_written():
    """A compiled model computes as it is written: flags and hooks that come and go would have it compiled anew each time."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


@contextmanager
def _full_precision():
    """Products and convolutions of a GPU in single precision with all its digits, not in TF32; then as the caller has it.

    torch has an old set of flags and a new one, and refuses to read the old one where the caller has used the new.
    """
    matmul, cudnn, processor = torch.backends.cuda.matmul, torch.backends.cudnn, torch.backends.mkldnn.matmul
    with ExitStack() as stack:
        with _unwarned():
            try:
                before, old = torch.get_float32_matmul_precision(), matmul.allow_tf32
            except RuntimeError:
                _set(stack, matmul, "fp32_precision", "ieee")
            else:
                if old or before != "highest":
                    stack.callback(setattr, processor, "fp32_precision", processor.fp32_precision)  # the same call sets it, too
                    stack.callback(torch.set_float32_matmul_precision, before)
                    torch.set_float32_matmul_precision("highest")
            try:
                old = cudnn.allow_tf32
            except RuntimeError:
                for part in (cudnn.conv, cudnn.rnn):
                    _set(stack, part, "fp32_precision", "ieee")
            else:
                if old:
                    _set(stack, cudnn, "allow_tf32", False)
        try:
            yield
        finally:
            with _unwarned():
                stack.close()


def _set(stack, where, name, value):
    stack.callback(setattr, where, name, getattr(where, name))
    setattr(where, name, value)


@contextmanager
def _unwarned():
    """Without torch's advice to use its new flags."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Please use the new API")
        yield
