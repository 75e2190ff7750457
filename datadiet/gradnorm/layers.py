"""The rule of each layer: squared gradient norms, from the activation x at the input and the gradient g at the output.

For a linear layer over T tokens, dL/dW = sum_t g_t x_t', so |dL/dW|^2 = sum_{s,t} (g_s . g_t) (x_s . x_t): two T x T tables give
the norm. A rule takes the tables or forms the gradient, whichever is less work.
"""

import math
from functools import partial
from itertools import product

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight
from torch.nn.modules.batchnorm import _BatchNorm

CACHED = 2**20  # numbers that fit into a processor's caches; a GPU wants more at once


def wide(t: torch.Tensor) -> torch.Tensor:
    return t.to(torch.promote_types(t.dtype, torch.float32)) if t.is_floating_point() else t


def trained(module: nn.Module) -> dict[str, nn.Parameter]:
    """Trainable parameters of a layer with a rule. Subclasses may compute something else, so they have none."""
    if type(module) not in (nn.Linear, nn.Embedding, nn.LayerNorm, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d):
        return {}
    own = dict(module.named_parameters(recurse=False))
    return {name: p for name, p in own.items() if p.requires_grad} if set(own) <= {"weight", "bias"} else {}


def _pairs(module, x, g):
    """The call as matrices with dL/dW = sum_t g_t x_t': x [B, G, T, d_in] and g [B, G, T, d_out] for G groups.

    For an Embedding, x are the tokens [B, T], in place of their one-hot rows, and g is [B, T, d].
    """
    if isinstance(module, nn.Embedding):
        x, g = x.reshape(len(x), -1), g.reshape(len(g), -1, g.shape[-1])
        return x, g if module.padding_idx is None else g * (x != module.padding_idx)[..., None]
    if isinstance(module, nn.Linear):
        return x.reshape(len(x), 1, -1, x.shape[-1]), g.reshape(len(g), 1, -1, g.shape[-1])
    x, (down, right) = _padded(module, x), module.stride
    if module.kernel_size == (1, 1):
        x = x[:, :, ::down, ::right].flatten(2)
    else:
        x = F.unfold(x, module.kernel_size, module.dilation, stride=module.stride)  # [B, G * d_in, T]
    return tuple(t.unflatten(1, (module.groups, -1)).mT for t in (x, g.flatten(2)))


def _padded(module, x):
    """The padded input that a convolution moves over."""
    pads = module._reversed_padding_repeated_twice
    return F.pad(x, pads, module.padding_mode.replace("zeros", "constant")) if any(pads) else x


def gradient(module, name, x, g):
    """Gradient of each example for one parameter, [B, *shape]."""
    if isinstance(module, nn.LayerNorm):
        whole = g if name == "bias" else g * F.layer_norm(x, module.normalized_shape, eps=module.eps)
        return whole.reshape(len(g), -1, *module.normalized_shape).sum(1)
    if isinstance(module, _BatchNorm):
        mean, var = wide(module.running_mean), wide(module.running_var)
        x, g = (t.reshape(len(t), len(mean), -1) for t in (F.batch_norm(x, mean, var, eps=module.eps), g))
        return g.sum(2) if name == "bias" else (g * x).sum(2)
    x, g = _pairs(module, x, g)
    if isinstance(module, nn.Embedding):
        return g.new_zeros(len(g), *module.weight.shape).scatter_add_(1, x[..., None].expand_as(g), g)
    whole = g.sum(2) if name == "bias" else g.mT @ x
    return whole.reshape(len(g), *getattr(module, name).shape)


def squares(module, names, x, g, last: dict):
    """Squared norm of each example's gradient for the parameters `names` together, [B].

    The gradient itself is formed only where that is cheap. `last` keeps the table of the last x: query, key and value share one.
    """
    if isinstance(module, _BatchNorm):
        return _of_batch_norm(module, names, x, g)
    if isinstance(module, nn.Linear) and "weight" in names:
        if g.dim() == 3 and g.device.type == "cpu" and (at := reached(g)) is not None:
            x, g = x[:, at], g[:, at]
        if g.dim() == 3 and _tables(module, g.shape[1]):  # a bias is one more input, which is always 1
            return _dot(_table(x, last) + ("bias" in names), g @ g.mT)
    found = []
    if "weight" in names and isinstance(module, (nn.Linear, nn.Conv2d, nn.Embedding)):
        found.append(_of_weight(module, x, g))
        names = names - {"weight"}
    return sum(found + [gradient(module, name, x, g).flatten(1).square().sum(1) for name in sorted(names)])


def _dot(a, b):
    """Inner product of the two tensors of each example, [B]."""
    return torch.linalg.vecdot(a.flatten(1), b.flatten(1))


def _table(x, last):
    """Inner products of the positions of each example, [B, T, T]."""
    key = (x.data_ptr(), x._version, x.shape)
    if last.get("key") != key:
        last.update(key=key, x=x, table=x @ x.mT)  # x stays alive, so that its memory cannot become another's
    return last["table"]


def way_back(module, x, y):
    """A function from g to the gradient at x that does less than the library's; None where there is none."""
    if isinstance(module, _BatchNorm):  # in eval mode, a factor for each channel
        scale = wide(module.weight).detach() / (wide(module.running_var) + module.eps).sqrt()
        return partial(torch.mul, scale.view(-1, *[1] * (y.dim() - 2)))
    if isinstance(module, nn.Linear) and y.dim() == 3 and y.device.type == "cpu":  # a GPU would have to wait
        return partial(_back_from_reached, module.weight.detach())
    if isinstance(module, nn.Conv2d) and y.device.type == "cpu" and module.kernel_size == (1, 1) != module.stride and (
            module.groups == 1 and not any(module._reversed_padding_repeated_twice)):
        return partial(_back_to_some_pixels, module.weight.detach().flatten(1), module.stride, x.shape)
    return None


def _back_to_some_pixels(weight, stride, shape, g):
    """``weight' g``, [B, d_in, H, W], at the pixels that a 1 x 1 kernel looks at: the others stay zero."""
    out = g.new_zeros(shape)
    seen = out[:, :, ::stride[0], ::stride[1]]
    seen.copy_((weight.to(g.dtype).T @ g.flatten(2)).view(seen.shape))
    return out


def _back_from_reached(weight, g):
    """``g @ weight``, [B, T, d_in], for the positions at which some example has a gradient: the others stay zero.

    A classifier that reads its first token leaves all others of its last layer without one.
    """
    at, weight = reached(g), weight.to(g.dtype)  # under autocast the layer computed with such a copy
    if at is None:
        return g @ weight
    out = g.new_zeros(*g.shape[:2], weight.shape[1])
    out[:, at] = g[:, at] @ weight
    return out


def reached(g):
    """Positions [T'] at which any example of g [B, T, d] has a gradient; None where that is all, to a first look."""
    if g[0, -1].any():
        return None
    return g.flatten(0, 1).any(1).view(g.shape[:2]).any(0).nonzero()[:, 0]


def _of_weight(module, x, g):
    """Squared norms for the weight of a Linear, Conv2d or Embedding, by whatever is least work."""
    if isinstance(module, nn.Conv2d) and _by_pixels(module, x, g):
        return _pixel_tables(module, x, g)
    if isinstance(module, nn.Conv2d) and _by_library(module, g):
        return _whole_gradients(module, x, g)
    x, g = _pairs(module, x, g)
    if isinstance(module, nn.Embedding):
        return of_embedding(x, g)
    tables = _tables(module, x.shape[2])
    return ((x @ x.mT) * (g @ g.mT) if tables else (g.mT @ x).square()).sum((1, 2, 3))


def of_embedding(ids, g, padding=None):
    """Squared norms for the weight of a table, from ids [B, T] and g [B, T, d]."""
    if padding is not None:
        g = g * (ids != padding)[..., None]
    return ((ids[:, :, None] == ids[:, None]) * (g @ g.mT)).sum((1, 2))


def of_linear(x, g, bias: bool):
    """Squared norms for the weight of a linear map, and for its bias, from x [B, T, d_in] and g [B, T, d_out]."""
    if x.shape[1] * (x.shape[2] + g.shape[2]) < x.shape[2] * g.shape[2]:
        return _dot(x @ x.mT + bias, g @ g.mT)  # a bias is one more input, which is always 1
    whole = g.mT @ x
    return _dot(whole, whole) + (g.sum(1).square().sum(1) if bias else 0)


def _tables(module, length: int) -> bool:
    """Whether two tables over `length` positions cost less than one gradient of the weights."""
    high = module.weight.shape[0] // getattr(module, "groups", 1)
    wide = module.weight[0].numel()
    return length * (wide + high) < wide * high


def _of_batch_norm(module, names, x, g):
    """Squared norms for the weight, sum_t g (x - mean) / std, and the bias, sum_t g."""
    mean, std = wide(module.running_mean), (wide(module.running_var) + module.eps).sqrt()
    x, g = (t.reshape(len(t), len(mean), -1) for t in (x, g))
    bias = g.sum(2)
    if g.device.type == "cpu" and bool((mean.abs() < 16 * std).all()):  # then the difference of two sums loses no digits
        weight = (torch.linalg.vecdot(g, x) - mean * bias) / std
    else:
        weight = (g * ((x - mean[:, None]) / std[:, None])).sum(2)
    return sum(t.square().sum(1) for name, t in (("weight", weight), ("bias", bias)) if name in names)


def _by_pixels(module, x, g) -> bool:
    """Whether a convolution moves over zeros, and tables of pixels are less work than one gradient and than tables of patches."""
    high, channels, wide = module.weight.shape[0] // module.groups, module.weight.shape[1], module.weight[0].numel()
    length, tables = g[0, 0].numel(), math.prod(len(_phases(module, axis)) for axis in (0, 1))
    cost = tables * _in_a_class(module, x) ** 2 * channels + length**2 * high
    return module.padding_mode == "zeros" and cost < length * wide * high and cost <= length**2 * (wide + high)


def _in_a_class(module, x) -> int:
    """How many pixels of an image a kernel meets in steps of one; at most."""
    return math.prod(-(-size // stride) for size, stride in zip(x.shape[2:], module.stride, strict=True))


def _phases(module, axis: int) -> dict[int, list[int]]:
    """First pixel of every `stride`-th one -> how far into these the kernel's positions lie from where the output stands."""
    found, before = {}, module._reversed_padding_repeated_twice[2 - 2 * axis]
    for a in range(module.kernel_size[axis]):
        far, first = divmod(a * module.dilation[axis] - before, module.stride[axis])
        found.setdefault(first, []).append(far)
    return found


def _pixel_tables(module, x, g):
    """Squared norms of a convolution by tables of inner products of pixels, not of patches.

    The inner product of two patches is the sum over the kernel of those of their pixels, so one small table of pixels,
    shifted along the kernel's two axes and added up, is the table of patches at a ninth of the products (3 x 3).
    A kernel that skips pixels meets each class of them (odd or even, at stride 2) in steps of one: a table for each class.
    """
    out, groups, (rows, columns) = [], module.groups, g.shape[2:]
    numbers = groups * max(rows * columns, _in_a_class(module, x)) ** 2
    at_once = max(1, (CACHED if g.device.type == "cpu" else 32 * CACHED) // numbers)
    for some, its in zip(x.split(at_once), g.split(at_once), strict=True):
        its = its.reshape(len(some) * groups, -1, rows * columns)
        table, products = (its.mT @ its).view(len(some), -1), 0
        for (top, down), (left, right) in product(*(_phases(module, axis).items() for axis in (0, 1))):
            pixels = some[:, :, top::module.stride[0], left::module.stride[1]]
            (high, across), pixels = pixels.shape[2:], pixels.reshape(len(some) * groups, -1, pixels[0, 0].numel())
            inner = (pixels.mT @ pixels).view(-1, high, across, high, across)
            patches = _shifted(_shifted(inner, 1, rows, down), 2, columns, right)
            products = products + _dot(patches.reshape(len(some), -1), table)
        out.append(products)
    return torch.cat(out)


def _shifted(table, axis, size, offsets):
    """Sum over the offsets along one axis of positions: ``sum_o table[i + o, j + o]`` for i, j < size, zero beyond the image."""
    if offsets == [0] and table.shape[axis] == size:
        return table
    shape = list(table.shape)
    shape[axis] = shape[axis + 2] = size
    out = table.new_zeros(shape)
    for offset in offsets:
        first, last = max(0, -offset), min(size, table.shape[axis] - offset)
        if first < last:
            to, start = (t.narrow(axis, f, last - first).narrow(axis + 2, f, last - first)
                         for t, f in ((out, first), (table, first + offset)))
            to += start
    return out


def _by_library(module, g) -> bool:
    """Whether the library's own weight gradient serves best: on a CPU, where gradients cost less than tables of patches."""
    return g.device.type == "cpu" and module.kernel_size != (1, 1) and not _tables(module, g[0, 0].numel())


def _whole_gradients(module, x, g):
    """Squared norms of a convolution from whole gradients: the examples are the groups of one wide convolution."""
    shape, out, plain = module.weight.shape, [], module.padding_mode == "zeros" and not isinstance(module.padding, str)
    x, padding = (x, module.padding) if plain else (_padded(module, x), 0)  # the library pads with zeros as it goes
    for some, its in zip(*(t.split(max(1, 4 * CACHED // module.weight.numel())) for t in (x, g)), strict=True):
        wide, n = (t.reshape(1, -1, *t.shape[2:]) for t in (some, its)), len(some)
        whole = conv2d_weight(next(wide), (n * shape[0], *shape[1:]), next(wide), module.stride, padding, module.dilation,
                              n * module.groups)
        whole = whole.view(n, -1)
        out.append(_dot(whole, whole))
    return torch.cat(out)


def as_it_is(g):
    return g


class Onward(torch.autograd.Function):
    """The output y of a layer, to go on with: no view, for the next step may work in place, and views then lose their hooks.

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
