"""Modules without a rule: the gradient of each example, from running the module alone once more.

The gradient of an example in a module's own parameters is fixed by its inputs and by the gradient at its outputs. So the backward
of the network runs once for all examples, and the module alone is run again under ``torch.func.vmap(vjp)``: exact for whatever
does not mix examples, and cheap where the module is small. A module that vmap cannot run goes example by example, still alone.
"""

import warnings
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.func import functional_call, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten, tree_unflatten

from datadiet.gradnorm import layers

AT_ONCE = 2**24  # numbers in the gradients of one chunk of examples


class Refused(Exception):
    """A module cannot be run again: ``module``, and why."""

    def __init__(self, module: nn.Module, why: str):
        super().__init__(why)
        self.module = module


def axis_of(lone: torch.Size, shape: torch.Size, n: int) -> int | None:
    """The axis of a tensor along which examples lie, from its shape for one example alone and in a batch of `n`; None: shared.

    Raises
    ------
    ValueError
        The shapes tell no such axis.
    """
    if lone == shape:
        return None
    differ = [i for i, (one, many) in enumerate(zip(lone, shape, strict=False)) if one != many]
    if len(lone) != len(shape) or len(differ) != 1 or (lone[differ[0]], shape[differ[0]]) != (1, n):
        raise ValueError(f"a tensor of shape {tuple(lone)} for one example and {tuple(shape)} for {n}")
    return differ[0]


def tensors_of(values) -> tuple[list[torch.Tensor], list, object]:
    """The tensors in nested arguments or outputs, all leaves with None in place of tensors, and the structure."""
    flat, spec = tree_flatten(values)
    return [each for each in flat if isinstance(each, torch.Tensor)], [
        None if isinstance(each, torch.Tensor) else (each,) for each in flat
    ], spec


def put_back(tensors, rest: list, spec):
    """The nested values with these tensors in their places."""
    tensors = iter(tensors)
    return tree_unflatten([next(tensors) if each is None else each[0] for each in rest], spec)


@dataclass
class Call:
    """One call of a module in a batch, as much of it as its gradients need.

    ``names``: dotted name -> parameter. ``sources``: place of an input -> the tensor that all examples share and that depends on
    parameters: the gradient of each example there is taken too, and goes on from there.
    """

    module: nn.Module
    names: dict[str, nn.Parameter]
    inputs: list[torch.Tensor]
    rest: list
    spec: object
    axes: list[int | None]
    out_axes: list[int | None]
    n: int
    sources: dict[int, torch.Tensor] = field(default_factory=dict)
    looped: bool = False

    def _outputs(self, parameters: dict, shared: dict, inputs: list) -> list[torch.Tensor]:
        inputs = [shared.get(i, each) for i, each in enumerate(inputs)]
        args, kwargs = put_back(inputs, self.rest, self.spec)
        with sdpa_kernel(SDPBackend.MATH):  # the one of which vmap knows every step
            found = tensors_of(functional_call(self.module, parameters, args, kwargs))[0]
        return [each for each in found if each.is_floating_point()]

    def _each(self, one, tensors: list, axes: list, chunk: int):
        """``one`` of every example, stacked: `tensors` come to it with an axis of one example where they have one of all."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of vmap, where it knows no faster way than a loop of its own
            return self._run_each(one, tensors, axes, chunk)

    def _run_each(self, one, tensors: list, axes: list, chunk: int):
        if self.n == 1:
            return _stacked([one(tensors)])
        if self.looped:
            pick = ([t if a is None else t.narrow(a, b, 1) for t, a in zip(tensors, axes, strict=True)] for b in range(self.n))
            return _stacked([one(some) for some in pick])
        apart = [t for t, a in zip(tensors, axes, strict=True) if a is not None]
        dims = [a for a in axes if a is not None]

        def of_one(*mine):
            mine = iter(mine)
            return one([t if a is None else next(mine).unsqueeze(a) for t, a in zip(tensors, axes, strict=True)])

        return vmap(of_one, in_dims=tuple(dims), chunk_size=max(1, chunk))(*apart)

    def outputs(self) -> list[torch.Tensor]:
        """The outputs of the module run again, floating ones, in the order in which it gives them, as in the batch."""
        plain = {name: p.detach() for name, p in self.names.items()}
        found = self._each(lambda inputs: tuple(self._outputs(plain, {}, inputs)), self.inputs, self.axes, self.n)
        return [each.squeeze(1 + axis).movedim(0, axis) for each, axis in zip(found, self.out_axes, strict=True)]

    def gradients(self, gs: list[torch.Tensor | None]) -> tuple[dict[str, torch.Tensor], dict[int, torch.Tensor]]:
        """Gradients of each example, [n, *shape]: by name those of parameters, by place those of shared inputs.

        `gs`: gradients at the floating outputs; None where there is none.
        """
        used = [i for i, g in enumerate(gs) if g is not None]
        parameters = {name: layers.wide(p.detach()) for name, p in self.names.items()}
        inputs = [layers.wide(each) for each in self.inputs]
        shared = {i: inputs[i] for i in self.sources}
        own, count = [layers.wide(gs[i]) for i in used], len(inputs)

        def one(tensors):
            mine, its = tensors[:count], tensors[count:]

            def outputs(parameters, shared):
                found = self._outputs(parameters, shared, mine)
                return tuple(found[i] for i in used)

            return self._backward(outputs, parameters, shared, tuple(its))

        size = sum(t.numel() for t in (*parameters.values(), *shared.values()))
        axes = self.axes + [self.out_axes[i] for i in used]
        return self._each(one, inputs + own, axes, AT_ONCE // max(1, size))


    def _backward(self, outputs, parameters: dict, shared: dict, gs: tuple):
        """Gradients of ``sum(outputs * gs)`` in parameters and shared inputs; a looped module may be one that vjp cannot run."""
        if not self.looped:
            return vjp(outputs, parameters, shared)[1](gs)
        parameters, shared = ({name: t.detach().requires_grad_() for name, t in some.items()} for some in (parameters, shared))
        with torch.enable_grad():
            found = torch.autograd.grad(outputs(parameters, shared), [*parameters.values(), *shared.values()], gs,
                                        allow_unused=True, materialize_grads=True)
        return dict(zip(parameters, found, strict=False)), dict(zip(shared, found[len(parameters):], strict=True))


def _stacked(found: list):
    """Nested tensors of several examples, stacked along a new first axis."""
    flat = [tree_flatten(each) for each in found]
    return tree_unflatten([torch.stack(same) for same in zip(*(each for each, _ in flat), strict=True)], flat[0][1])


def made(module, names, args, kwargs, y, shapes, n) -> Call:
    """The call of a module in a batch of `n`, from `shapes`: those of its inputs and floating outputs for one example alone.

    Raises
    ------
    Refused
        The shapes do not tell where examples lie.
    """
    inputs, rest, spec = tensors_of((args, kwargs))
    outputs = [each for each in tensors_of(y)[0] if each.is_floating_point()]
    if shapes is None or [len(each) for each in shapes] != [len(inputs), len(outputs)]:
        raise Refused(module, "it is called otherwise for one example than for several")
    try:
        axes, out_axes = ([axis_of(lone, each.shape, n) for lone, each in zip(some, found, strict=True)]
                          for some, found in zip(shapes, (inputs, outputs), strict=True))
    except ValueError as problem:
        raise Refused(module, str(problem)) from None
    if n > 1 and None in out_axes:
        raise Refused(module, "its output is one for all examples")
    return Call(module, names, [each.detach() for each in inputs], rest, spec, axes, [axis or 0 for axis in out_axes], n)


def checked(call: Call, y) -> Call:
    """The call, if the module run again gives the outputs that it gave; by vmap, or else example by example.

    Raises
    ------
    Refused
        It gives others: it draws at random, keeps a state, or mixes examples.
    """
    seen = [each.detach() for each in tensors_of(y)[0] if each.is_floating_point()]
    why = ""
    for call.looped in (False, True):
        try:
            found = call.outputs()
            call.gradients([torch.zeros_like(each) for each in seen])
        except Exception as problem:  # of whatever kind: vmap knows many that a module may raise
            why = f"{type(problem).__name__}: {problem}"
            continue
        same = len(found) <= len(seen) and all(
            one.shape == other.shape
            and torch.allclose(layers.wide(one), layers.wide(other), 1e-2, 1e-3 * float(other.abs().max()))
            for one, other in zip(found, seen, strict=False))
        if same:
            return call
        why = "its outputs are others when it is run again"
    raise Refused(call.module, why)
