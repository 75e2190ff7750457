"""The empirical tangent kernel of a block of images, and weights on the line between two networks.

    kernel = tangent_kernel(model, images)       # [n K, n K]: inner products of the gradients of every logit of every image
    model.load_state_dict(between(one, other, 0.5))

The kernel says how a small step on one logit of one image moves every other, for a network that stays linear in
its weights. The kernel's turning is measured by `datadiet.training.landscape.velocity`.
"""

import contextlib

import torch
from torch import nn
from torch.func import functional_call, jacrev, vmap
from torch.nn.modules.batchnorm import _BatchNorm

from datadiet.errors import InputError

CHUNK = 16  # images whose gradients are formed at once


def tangent_kernel(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Exact Gram matrix of the gradients of every image's every logit over all trainable parameters.

    ``K[(i, k), (j, l)] = sum_w dz_k(x_i)/dw dz_l(x_j)/dw``, image by image and within an image logit by logit: symmetric, no
    eigenvalue below 0. Unit: squared logits per squared unit of parameter. Source: Jacot, Gabriel, Hongler 2018; at finite width
    and after some training, Fort et al. 2020. The gradients are formed: n K floats a parameter, for 50 images, 10 logits and
    30,000 parameters 60 MB.

    Parameters
    ----------
    model : torch.nn.Module
        In eval mode: images must not mix in a batch, and dropout must be off. Left as it was.
    images : Tensor[n, ...]
        The input of the model, first axis = image. It returns logits [n, K].

    Returns
    -------
    Tensor[n K, n K]
        In the model's floating-point type.

    Raises
    ------
    InputError
        No image, a model in train mode, or nothing trainable.

    Examples
    --------
    A linear model has z = w x, so its kernel is that of the inputs, whatever the weights:

    >>> tangent_kernel(nn.Linear(2, 1, bias=False).eval(), torch.tensor([[1.0, 0.0], [1.0, 2.0]]))
    tensor([[1., 1.],
            [1., 5.]])
    """
    trained = _checked(model, images)
    fixed = {name: p.detach() for name, p in model.named_parameters() if name not in trained} | dict(model.named_buffers())

    def logits(parameters, image):
        return functional_call(model, (parameters, fixed), (image[None],))[0]

    slopes = vmap(jacrev(logits), (None, 0), chunk_size=CHUNK)({name: p.detach() for name, p in trained.items()}, images)
    rows = [slope.reshape(slope.shape[0] * slope.shape[1], -1) for slope in slopes.values()]  # [n K, size] each
    return sum((row @ row.T for row in rows[1:]), rows[0] @ rows[0].T)


def reference_tangent_kernel(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The kernel of :func:`tangent_kernel` by one backward a logit of an image: the slow truth.

    >>> reference_tangent_kernel(nn.Linear(2, 1, bias=False).eval(), torch.tensor([[1.0, 0.0], [1.0, 2.0]]))
    tensor([[1., 1.],
            [1., 5.]])
    """
    trained, rows = list(_checked(model, images).values()), []
    for image in images:
        with torch.enable_grad():
            for logit in model(image[None])[0]:
                slopes = torch.autograd.grad(logit, trained, retain_graph=True)
                rows.append(torch.cat([slope.flatten() for slope in slopes]))
    return torch.stack(rows) @ torch.stack(rows).T


def _checked(model: nn.Module, images: torch.Tensor) -> dict[str, nn.Parameter]:
    """Trainable parameters by name."""
    if not len(images):
        raise InputError("tangent.tangent_kernel: there is no image; give at least one along the first axis.")
    if any(module.training for module in model.modules()):
        raise InputError("tangent.tangent_kernel: the model is in train mode, in which images mix; call model.eval() first.")
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise InputError("tangent.tangent_kernel: the model has no trainable parameter; set requires_grad on those that count.")
    return trained


def between(one: dict, other: dict, alpha: float) -> dict:
    """State ``(1 - alpha) one + alpha other`` of two models, to be loaded into a third; counters are taken from `one`.

    Running statistics of BatchNorm are mixed as the weights are; the mixed network would measure others: follow with
    :func:`measure_statistics`.

    >>> between({"w": torch.tensor([0.0])}, {"w": torch.tensor([2.0])}, 0.25)
    {'w': tensor([0.5000])}

    Raises
    ------
    InputError
        States of different models.
    """
    if {name: t.shape for name, t in one.items()} != {name: t.shape for name, t in other.items()}:
        raise InputError("tangent.between: the two states have other names or shapes; give two states of one architecture.")
    return {name: torch.lerp(t, other[name], alpha) if t.is_floating_point() else t for name, t in one.items()}


def measure_statistics(model: nn.Module, batches) -> None:
    """Measure the running statistics of every BatchNorm anew, in place: means over `batches`, each an input of the model.

    Between two networks activations have another spread than at either, so statistics mixed from theirs would raise a barrier
    that the weights do not. A model without BatchNorm is left alone.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.running_mean is not None]
    if not norms:
        return
    momenta = [module.momentum for module in norms]
    with contextlib.ExitStack() as stack, torch.no_grad():
        for module, momentum in zip(norms, momenta, strict=True):
            module.reset_running_stats()
            module.momentum = None  # the plain mean over batches
            stack.callback(setattr, module, "momentum", momentum)
            stack.callback(module.train, module.training)
            module.train()
        for batch in batches:
            model(batch)
