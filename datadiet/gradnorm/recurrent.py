"""LSTM: the gradient at the gates of every step, after which its weights are linear layers over the steps.

    a_t = W_ih x_t + b_ih + W_hh h_(t-1) + b_hh          dL/dW_ih = sum_t da_t x_t'      dL/dW_hh = sum_t da_t h_(t-1)'
    i, f, o = sigmoid(a), g = tanh(a)                     c_t = f c_(t-1) + i g,  h_t = o tanh(c_t)

The library computes all steps in one piece, which keeps no gates for us and cannot be run under ``torch.func.vmap``. The states h
are had from it, layer by layer, so that all gates are two products; c and the way back go step by step.
"""

from dataclasses import dataclass

import torch
from torch import nn

from datadiet.gradnorm import layers
from datadiet.gradnorm.again import Call


def known(module: nn.Module, inputs: list[torch.Tensor]) -> bool:
    """Whether a call is of an LSTM as it is treated here: padded batches, no projection, no dropout between its layers."""
    return type(module) is nn.LSTM and not module.proj_size and not (module.training and module.dropout) and (
        len(inputs) in (1, 3) and all(each.dim() == 3 for each in inputs))


@dataclass
class Way:
    """One layer in one direction, in the order of its own steps: what it read, what it kept, and how its gates answer."""

    end: str  # of the names of its parameters
    weights: dict[str, torch.Tensor]
    x: torch.Tensor  # [B, T, d_in]
    before: torch.Tensor  # [B, T, d], h of the step before
    inner: torch.Tensor  # [B, T, 3, d], da of i, f and g for each unit of dc
    outer: torch.Tensor  # [B, T, d], da of o for each unit of dh
    through: torch.Tensor  # [B, T, d], dc for each unit of dh
    kept: torch.Tensor  # [B, T, d], f: dc of the step before for each unit of dc


class Steps(Call):
    """A call of an LSTM; ``given``: its output, where that is known, and is as it was at ``version``."""

    given, version = None, 0

    def _layers(self) -> tuple[list[list[Way]], torch.Tensor]:
        """The ways of each layer, first to last, and the output of the last, [B, T, ways * d]."""
        module, x = self.module, layers.wide(self.inputs[0])
        x, ways, found = x if module.batch_first else x.transpose(0, 1), 1 + module.bidirectional, []
        for layer in range(module.num_layers):
            ends = [f"_l{layer}{'_reverse' * way}" for way in range(ways)]
            start = [layers.wide(t[layer * ways:][:ways]) for t in self.inputs[1:]] or [
                x.new_zeros(ways, len(x), module.hidden_size)] * 2
            weights = [{name: layers.wide(getattr(module, name + end).detach()) for name in _names(module)} for end in ends]
            if layer == module.num_layers - 1 and self.given is not None and self.given._version == self.version:
                output = layers.wide(self.given if module.batch_first else self.given.transpose(0, 1))
            else:
                flat = [weight for each in weights for weight in each.values()]
                output, _, _ = torch.lstm(x, start, flat, module.bias, 1, 0.0, False, module.bidirectional, True)
            parts = output.chunk(ways, 2)
            found.append([_way(ends[way], weights[way], _turned(x, way), _turned(parts[way], way), *(t[way] for t in start))
                          for way in range(ways)])
            x = output
        return found, x

    def outputs(self) -> list[torch.Tensor]:
        """The first output of the module run again; its last states are among it."""
        _, x = self._layers()
        return [x if self.module.batch_first else x.transpose(0, 1)]

    def backward(self, gs) -> tuple[list[tuple[Way, torch.Tensor]], torch.Tensor]:
        """(Each way of each layer with the gradient at its gates, [B, T, 4 d]; the gradient at the input, as it came in)."""
        module, (found, output), ways = self.module, self._layers(), 1 + self.module.bidirectional
        g, ends = torch.zeros_like(output), [torch.zeros_like(output[:, 0, : module.hidden_size])] * len(found) * ways
        ends = [ends, ends]
        if gs[0] is not None:
            g = layers.wide(gs[0]) if module.batch_first else layers.wide(gs[0]).transpose(0, 1)
        for i, last in enumerate(gs[1:]):
            if last is not None:
                ends[i] = list(layers.wide(last))
        out = []
        for layer, some in reversed(list(enumerate(found))):
            below = 0
            for way, (one, part) in enumerate(zip(some, g.chunk(ways, 2), strict=True)):
                da = _back(one, _turned(part, way), *(each[layer * ways + way] for each in ends))
                out.append((one, da))
                below = below + _turned(da @ one.weights["weight_ih"], way)
            g = below
        return out, g if module.batch_first else g.transpose(0, 1)

    def of_each(self, ways) -> dict[str, torch.Tensor]:
        """Gradients of each example by name, [n, *shape]."""
        out = {}
        for one, da in ways:
            out |= {f"weight_ih{one.end}": da.mT @ one.x, f"weight_hh{one.end}": da.mT @ one.before}
            out |= {f"bias_{name}{one.end}": da.sum(1) for name in ("ih", "hh")}
        return {name: out[name] for name in self.names}

    def squares(self, ways) -> torch.Tensor:
        """Squared norms over all parameters of the module, [n], by tables over the steps: both biases are inputs of 1."""
        total = 0
        for one, da in ways:
            inputs = one.x @ one.x.mT + one.before @ one.before.mT + 2 * self.module.bias
            total = total + (inputs * (da @ da.mT)).sum((1, 2))
        return total

    def gradients(self, gs):
        """Gradients of each example by name, [n, *shape]; none of shared inputs."""
        return self.of_each(self.backward(gs)[0]), {}


def _names(module: nn.LSTM) -> list[str]:
    return ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if module.bias else [])]


def _turned(x: torch.Tensor, way: int) -> torch.Tensor:
    """[B, T, ...] in the order in which a direction goes through it: the second one backwards."""
    return x.flip(1) if way else x


def _way(end: str, weights: dict, x, h, first_h, first_c) -> Way:
    before = torch.cat([first_h[:, None], h[:, :-1]], 1)
    gates = x @ weights["weight_ih"].T + before @ weights["weight_hh"].T
    if "bias_ih" in weights:
        gates = gates + weights["bias_ih"] + weights["bias_hh"]
    i, f, g, o = gates.chunk(4, 2)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    added, c, states = i * g, first_c, []
    for t in range(x.shape[1]):
        states.append(c)
        c = torch.addcmul(added[:, t], f[:, t], c)
    earlier = torch.stack(states, 1)
    squashed = torch.addcmul(added, f, earlier).tanh()
    inner = torch.stack([g * i * (1 - i), earlier * f * (1 - f), i * (1 - g * g)], 2)
    return Way(end, weights, x, before, inner, squashed * o * (1 - o), o * (1 - squashed * squashed), f)


def _back(way: Way, g: torch.Tensor, dh: torch.Tensor, dc: torch.Tensor) -> torch.Tensor:
    """Gradients at the gates [B, T, 4 d], from those at the states h [B, T, d] and at the last h and c, [B, d] each."""
    da = g.new_empty(*g.shape[:2], 4 * g.shape[2])
    d, weight = g.shape[2], way.weights["weight_hh"]
    for t in range(g.shape[1] - 1, -1, -1):
        dh = dh + g[:, t]
        dc = torch.addcmul(dc, dh, way.through[:, t])
        now = da[:, t]
        torch.mul(way.inner[:, t], dc[:, None], out=now[:, : 3 * d].view(len(g), 3, d))
        torch.mul(way.outer[:, t], dh, out=now[:, 3 * d:])
        dh, dc = now @ weight, dc * way.kept[:, t]
    return da
