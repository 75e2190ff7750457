"""The rule of an operation: gradients of each example from what went in and the gradient at what came out, in closed form.

A use (`operations.Use`) holds the arguments; a rule returns a dict from the position of an argument to its gradients
[len, *shape], or None where the operation has to be computed.
"""

import torch
from torch.nn import functional as F

from datadiet.gradnorm import layers
from datadiet.gradnorm.layers import wide

AT_ONCE = 2**23  # numbers of gradients formed at a time


# Linear maps: y = x w' + b --------------------------------------------------------------------------------------------
def _linear(use):
    """Positions of x, w, b, and whether w stands as [d_in, d_out]; None for another form of the operation."""
    if use.func is F.linear:
        places = (0, 1, 2 if len(use.leaves) > 2 and isinstance(use.leaves[2], torch.Tensor) else None, False)
        plain = len(use.leaves) <= 3
    else:  # addmm(b, x, w)
        places, plain = (1, 2, 0, True), len(use.leaves) == 3
    x, w, b, _ = places
    return places if plain and not use.places[w] and (b is None or not use.places[b] and use.leaves[b].dim() == 1) else None


def _linear_gradients(use, rows, gs):
    if (form := _linear(use)) is None:
        return None
    (i, j, k, turned), (g,), found = form, gs.values(), {}
    x, w = use.of(i, rows), wide(use.leaves[j])
    g = g.reshape(len(g), -1, g.shape[-1])
    if i in use.keyed:  # a table for all examples, of which each has a gradient at some rows
        some = g.flatten(0, 1).any(1).view(g.shape[:2]).any(0).nonzero()[:, 0]
        part = g[:, some]
        whole = g.new_zeros(len(g), g.shape[1], x.shape[-1])
        whole[:, some] = part @ (w.mT if turned else w)
        found[i] = whole.view(len(g), *x.shape)
        x, of_w = x.reshape(-1, x.shape[-1])[some], part
    else:
        x, of_w = x.reshape(len(g) if use.places[i] else 1, -1, x.shape[-1]), g
    if j in use.keyed:
        found[j] = x.mT @ of_w if turned else of_w.mT @ x
    if k in use.keyed:
        found[k] = g.sum(1)
    return found


def _linear_squares(use, gs):
    form = _linear(use)
    if form is None or form[0] in use.keyed or not use.places[form[0]] or form[1] not in use.keyed:
        return None
    (g,), x = gs.values(), use.of(form[0], slice(None))
    return layers.of_linear(x.reshape(len(x), -1, x.shape[-1]), g.reshape(len(g), -1, g.shape[-1]), form[2] in use.keyed)


# Elementwise: y = w x, y = w + x --------------------------------------------------------------------------------------
def _summed(use, i, g):
    """g [len, *shape], summed over the axes along which leaf i was repeated."""
    shape = use.leaves[i].shape
    g = g.sum(tuple(range(1, g.dim() - len(shape)))) if g.dim() - 1 > len(shape) else g
    again = tuple(k + 1 for k, size in enumerate(shape) if size == 1 and g.shape[k + 1] != 1)
    return g.sum(again, keepdim=True) if again else g


def _mul(use, rows, gs):
    (g,) = gs.values()
    if len(use.leaves) != 2:
        return None
    found = {}
    for i in use.keyed:
        other = use.of(1 - i, rows)
        if isinstance(other, torch.Tensor) and use.places[1 - i]:
            other = other.reshape(len(g), *[1] * (g.dim() - other.dim()), *other.shape[1:])
        found[i] = _summed(use, i, g * other)
    return found


def _add(use, rows, gs):
    (g,) = gs.values()
    return {i: _summed(use, i, g) for i in use.keyed} if len(use.leaves) == 2 else None


# Tables ---------------------------------------------------------------------------------------------------------------
def _embedding(use, rows, gs):
    (g,), padding = gs.values(), use.leaves[2] if len(use.leaves) > 2 else None
    if list(use.keyed) != [1] or any(use.leaves[3:4]):
        return None
    ids, w = use.of(0, rows), use.leaves[1]
    ids = ids.reshape(len(g), -1) if use.places[0] else ids.reshape(1, -1).expand(len(g), -1)
    g = g.reshape(len(g), -1, w.shape[1])
    if padding is not None:
        g = g * (ids != padding % len(w))[..., None]
    return {1: g.new_zeros(len(g), *w.shape).scatter_add_(1, ids[..., None].expand_as(g), g)}


def _embedding_squares(use, gs):
    (g,), padding = gs.values(), use.leaves[2] if len(use.leaves) > 2 else None
    if list(use.keyed) != [1] or any(use.leaves[3:4]) or not use.places[0]:
        return None
    ids, padding = use.of(0, slice(None)).reshape(len(g), -1), None if padding is None else padding % len(use.leaves[1])
    return layers.of_embedding(ids, g.reshape(len(g), -1, g.shape[-1]), padding)


RULES = {F.linear: _linear_gradients, torch.addmm: _linear_gradients, F.embedding: _embedding}
RULES |= dict.fromkeys((torch.mul, torch.Tensor.mul, torch.Tensor.__mul__, torch.Tensor.__rmul__), _mul)
RULES |= dict.fromkeys((torch.add, torch.Tensor.add, torch.Tensor.__add__, torch.Tensor.__radd__, torch.Tensor.add_,
                        torch.Tensor.__iadd__), _add)
SQUARES = {F.linear: _linear_squares, torch.addmm: _linear_squares, F.embedding: _embedding_squares}

