"""Recurrent layers written out over time, where torch has one operation for all of it and hides the gates.

Each step adds what comes from the input, W x_t, to what comes from the step before, U h_{t-1}; so the gradient g_t at that sum is
the gradient of both, and those of W and U for one example are sum_t g_t x_t' and sum_t g_t h_{t-1}'. In a GRU the part of
U h_{t-1} that is gated by r has r g_t.
"""

import torch
from torch.nn import functional as F

from datadiet.gradnorm.use import Seen, Use, Where


def _lstm(inner, h, c, u):
    """One step: sums of the gates from the input, state before, weights -> state after and the gate on U h."""
    gates = torch.addmm(inner, h, u)
    i, f, _, o = gates.sigmoid().chunk(4, 1)
    c = f * c + i * gates.chunk(4, 1)[2].tanh()
    return o * c.tanh(), c, None


def _gru(inner, h, c, u, bias):
    past = h @ u if bias is None else torch.addmm(bias, h, u)
    size = h.shape[1]
    r, z = (inner[:, :2 * size] + past[:, :2 * size]).sigmoid().chunk(2, 1)
    n = torch.tanh(inner[:, 2 * size:] + r * past[:, 2 * size:])
    return n + z * (h - n), None, r


def _plain(curve, inner, h, c, u):
    return curve(torch.addmm(inner, h, u)), None, None


STEPS = {torch.lstm: _lstm, torch.gru: _gru, torch.rnn_tanh: lambda *a: _plain(torch.tanh, *a),
         torch.rnn_relu: lambda *a: _plain(torch.relu, *a)}


def unrolled(watch, func, args):
    """What the operation gives, step by step; None where it has to stay whole: packed sequences, projections, dropout."""
    if watch.known is not None and watch.may_move:  # whose the rows are shows no longer
        return None
    if len(args) != 9 or not isinstance(args[2], (list, tuple)) or isinstance(args[3], (list, tuple)):
        return None
    x, state, weights, biased, depth, dropout, training, both, first = args
    h, c = state if func is torch.lstm else (state, None)
    per, ways = 4 if biased else 2, 2 if both else 1
    if x.dim() != 3 or x.shape[0 if first else 1] != watch.n or len(weights) != per * ways * depth or dropout and training:
        return None
    if not any(watch.key(t) for t in weights) or not torch.is_grad_enabled() or h.shape[2] != weights[1].shape[1]:
        return None
    x, hs, cs = x.transpose(0, 1) if first else x, [], []
    for layer in range(depth):
        outs = []
        for k in range(layer * ways, (layer + 1) * ways):
            start = h[k], None if c is None else c[k]
            out, last, memory = _one_way(watch, func, x, *start, weights[per * k:per * (k + 1)], k % ways)
            outs.append(out)
            hs.append(last)
            cs.append(memory)
        x = torch.cat(outs, 2) if both else outs[0]
    return (x.transpose(0, 1) if first else x, torch.stack(hs), *([torch.stack(cs)] if c is not None else []))


def _one_way(watch, func, x, h, c, weights, backwards):
    """One layer in one direction: output [T, B, d], and the state at the end."""
    w, u, *bias = weights
    with watch:
        inner = F.linear(x, w, bias[0] if bias else None)
    if not inner.requires_grad:
        inner = inner.detach().requires_grad_()
    keyed = {i: key for i, t in enumerate((u, *bias[1:]), 1) if (key := watch.key(t)) is not None}
    fixed = [t.detach() if watch.key(t) is not None else t for t in (u, *bias[1:])]
    sums, more = inner, (None,) if func is torch.gru else ()
    if bias and func is torch.gru:
        more = (fixed[1],)
    elif bias:
        sums = inner + fixed[1]
    states, gates, step, turned = [h], [], STEPS[func], fixed[0].T
    for t in reversed(sums.unbind(0)) if backwards else sums.unbind(0):
        h, c, gate = step(t, h, c, turned, *more)
        states.append(h)
        gates.append(gate)
    order = slice(None, None, -1) if backwards else slice(None)
    if keyed and watch.known is not None:
        before = torch.stack([s.detach() for s in states[:-1][order]])
        gate = None if gates[0] is None else torch.stack([r.detach() for r in gates[order]])
        places = [Where(1)] + [None] * len(fixed)
        use = Use(-1, F.linear, Seen([], None, []), [before, *fixed], places, keyed, watch.n, [Where(1)])
        watch.catch.catch_steps(use, inner, gate)
    return torch.stack(states[1:][order]), h, c
