"""The rule of each layer: squared norms of every example's gradient, from x, what went in, and g, the gradient at what came out.

For a linear layer over T tokens, dL/dW = sum_t g_t x_t', so |dL/dW|^2 = sum_{s,t} (g_s . g_t) (x_s . x_t): two T x T tables give
the norm. A rule takes the tables or forms the gradient, whichever is less work.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight
from torch.nn.modules.batchnorm import _BatchNorm


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
    x = F.pad(x, module._reversed_padding_repeated_twice, module.padding_mode.replace("zeros", "constant"))
    x = F.unfold(x, module.kernel_size, module.dilation, stride=module.stride)  # [B, G * d_in, T]
    return tuple(t.unflatten(1, (module.groups, -1)).mT for t in (x, g.flatten(2)))


def gradient(module, name, x, g):
    """Gradient of each example for one parameter, [B, *shape]."""
    if isinstance(module, nn.LayerNorm):
        whole = g if name == "bias" else g * F.layer_norm(x, module.normalized_shape, eps=module.eps)
        return whole.reshape(len(g), -1, *module.normalized_shape).sum(1)
    if isinstance(module, _BatchNorm):
        mean, var = wide(module.running_mean), wide(module.running_var)
        x, g = (t.reshape(len(t), len(mean), -1) for t in (F.batch_norm(x, mean, var, eps=module.eps), g))
        return g.sum(2) if name == "bias" else torch.einsum("bct,bct->bc", g, x)
    x, g = _pairs(module, x, g)
    if isinstance(module, nn.Embedding):
        return g.new_zeros(len(g), *module.weight.shape).scatter_add_(1, x[..., None].expand_as(g), g)
    whole = g.sum(2) if name == "bias" else g.mT @ x
    return whole.reshape(len(g), *getattr(module, name).shape)


def squares(module, name, x, g):
    """Squared norm of each example's gradient for one parameter, [B]; forms the gradient only where that is cheap."""
    if isinstance(module, (nn.Linear, nn.Conv2d, nn.Embedding)) and name == "weight":
        if isinstance(module, nn.Conv2d) and _by_pixels(module, g[0, 0].numel()):
            return _pixel_tables(module, x, g)
        if isinstance(module, nn.Conv2d) and not _tables(module, g[0, 0].numel()) and g.device.type == "cpu":
            return _each_convolution(module, x, g)
        x, g = _pairs(module, x, g)
        if isinstance(module, nn.Embedding):
            return ((x[:, :, None] == x[:, None]) * (g @ g.mT)).sum((1, 2))
        tables = _tables(module, x.shape[2])
        return ((x @ x.mT) * (g @ g.mT) if tables else (g.mT @ x).square()).sum((1, 2, 3))
    return gradient(module, name, x, g).flatten(1).square().sum(1)


def _tables(module, length: int) -> bool:
    """Whether two tables over `length` positions cost less than one gradient of the weights."""
    high = module.weight.shape[0] // getattr(module, "groups", 1)
    wide = module.weight[0].numel()
    return length * (wide + high) < wide * high


def _by_pixels(module, length: int) -> bool:
    """Whether a convolution moves pixel by pixel over zeros, and two tables of pixels cost less than one gradient."""
    high, channels = module.weight.shape[0] // module.groups, module.weight.shape[1]
    plain = module.stride == (1, 1) and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return plain and length * (channels + high) < module.weight[0].numel() * high


def _pixel_tables(module, x, g):
    """Squared norms of a convolution by tables of inner products of pixels, not of patches.

    The inner product of two patches is the sum over the kernel of those of their pixels, so one small table of pixels,
    shifted along the kernel's two axes and added up, is the table of patches at a ninth of the products (3 x 3).
    """
    out, groups = [], module.groups
    for one, its in zip(x, g, strict=True):  # one image at a time: its tables stay in the cache
        (_, high, wide), (_, rows, columns) = one.shape, its.shape
        table = one.reshape(groups, -1, high * wide)
        table = (table.mT @ table).view(groups, high, wide, high, wide)
        for axis, size in ((1, rows), (2, columns)):
            table = _shifted(table, axis, size, module.kernel_size[axis - 1], module.dilation[axis - 1], module.padding[axis - 1])
        its = its.reshape(groups, -1, rows * columns)
        out.append((table.reshape(groups, rows * columns, -1) * (its.mT @ its)).sum())
    return torch.stack(out)


def _shifted(table, axis, size, kernel, step, padding):
    """Sum over the offsets of a kernel along one axis of positions: ``sum_a table[i + a, j + a]``, zero beyond the image."""
    if kernel == 1 and not padding:
        return table
    shape = list(table.shape)
    shape[axis] = shape[axis + 2] = size
    out = table.new_zeros(shape)
    for a in range(kernel):
        offset = a * step - padding
        first, last = max(0, -offset), min(size, table.shape[axis] - offset)
        if first < last:
            to, start = (t.narrow(axis, f, last - first).narrow(axis + 2, f, last - first)
                         for t, f in ((out, first), (table, first + offset)))
            to += start
    return out


def _each_convolution(module, x, g):
    """Squared norm of each example's gradient of a convolution, one example after the other.

    On a CPU the library's own weight gradient of one image is several times faster than unfolding the image into its patches.
    """
    x = F.pad(x, module._reversed_padding_repeated_twice, module.padding_mode.replace("zeros", "constant"))
    shape, rest = module.weight.shape, (module.stride, 0, module.dilation, module.groups)
    return torch.stack([conv2d_weight(x[b:b + 1], shape, g[b:b + 1], *rest).square().sum() for b in range(len(g))])
