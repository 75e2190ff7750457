"""GraNd of modules without a rule: exact whatever a module is given and gives, and however it is used."""

import warnings
from collections import namedtuple

import pytest
import torch
from test_gradnorm import Net, check, draw, randomise, refuse, rows, squared  # noqa: F401
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from datadiet.gradnorm import grad_norms, reference_grad_norms


def taught(model, draw, batch, **more):  # noqa: F811
    return check(randomise(model, draw), batch, squared, **more)


# Recurrent layers ------------------------------------------------------------------------------------------------------

LSTMS = [{}, {"num_layers": 3}, {"bidirectional": True}, {"num_layers": 2, "bidirectional": True}, {"bias": False},
         {"num_layers": 2, "dropout": 0.5}]


@pytest.mark.parametrize("options", LSTMS, ids=str)
@pytest.mark.parametrize("batch_first", [True, False])
def test_lstm(options, batch_first, draw):  # noqa: F811
    """Below and above other layers, whatever its options."""
    lstm = nn.LSTM(5, 4, batch_first=batch_first, **options)
    wide = 4 * (1 + lstm.bidirectional)

    def forward(self, x):
        x = torch.tanh(self.first(x))
        y = self.lstm(x)[0] if batch_first else self.lstm(x.transpose(0, 1))[0].transpose(0, 1)
        return self.last(y)

    model = Net(forward, first=nn.Linear(3, 5), lstm=lstm, last=nn.Linear(wide, 2))
    taught(model, draw, rows(draw, 5, 6, 3))


USES = ["last states alone", "all of them", "first layer of the net", "given states", "frozen in part"]


@pytest.mark.parametrize("which", USES)
def test_lstm_however_it_is_used(which, draw):  # noqa: F811
    lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)

    def forward(self, x):
        start = (self.start.expand(4, len(x), 4).contiguous(),) * 2 if which == "given states" else None
        y, (h, c) = self.lstm(x if which == "first layer of the net" else torch.tanh(self.first(x)), start)
        y, ends = y.flatten(1), torch.cat([h, 2 * c]).transpose(0, 1).flatten(1)
        return {"last states alone": ends, "all of them": torch.cat([y, ends], 1)}.get(which, y)

    model = Net(forward, first=nn.Linear(3, 3), lstm=lstm)
    model.register_buffer("start", torch.ones(1, 1, 1))
    if which == "first layer of the net":
        model.first.requires_grad_(False)
    if which == "frozen in part":
        lstm.weight_hh_l1.requires_grad_(False)
        lstm.bias_ih_l0_reverse.requires_grad_(False)
    taught(model, draw, rows(draw, 4, 5, 3))


def test_an_lstm_called_twice_adds_its_gradients(draw):  # noqa: F811
    model = Net(lambda self, x: self.lstm(self.lstm(x)[0])[0], lstm=nn.LSTM(3, 3, batch_first=True))
    taught(model, draw, rows(draw, 4, 5, 3))


def test_an_output_of_an_lstm_that_is_changed_in_place(draw):  # noqa: F811
    model = Net(lambda self, x: self.last(self.lstm(x)[0].mul_(2)), lstm=nn.LSTM(3, 4, batch_first=True), last=nn.Linear(4, 2))
    taught(model, draw, rows(draw, 4, 5, 3))


@pytest.mark.parametrize("kind", ["GRU", "RNN", "LSTM with projection", "packed"])
def test_other_recurrent_layers(kind, draw):  # noqa: F811
    """Exact in any case, also where they take the slow way."""
    layer = {"GRU": nn.GRU, "RNN": nn.RNN}.get(kind, nn.LSTM)(3, 4, batch_first=True,
                                                             **({"proj_size": 2} if "projection" in kind else {}))

    def forward(self, x):
        if kind != "packed":
            return self.layer(x)[0]
        lengths = torch.full((len(x),), x.shape[1])
        return pad_packed_sequence(self.layer(pack_padded_sequence(x, lengths, batch_first=True))[0], batch_first=True)[0]

    model = randomise(Net(forward, layer=layer), draw)
    batch = rows(draw, 4, 5, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.testing.assert_close(grad_norms(model, batch, squared), reference_grad_norms(model, batch, squared), rtol=1e-9,
                                   atol=0)


# Whatever a module takes and gives -------------------------------------------------------------------------------------

Pair = namedtuple("Pair", "left right")


class Odd(nn.Module):
    """Own parameters, a child that it scales, words, numbers, tensors of all and of each example in; nested outputs."""

    def __init__(self):
        super().__init__()
        self.gain, self.table, self.child = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(3, 4)), nn.Linear(4, 4)

    def forward(self, x, /, table, *, mode, power, more=None):
        assert mode == "scaled" and power == 2
        y = self.child(x) * self.gain + self.table + table
        return {"first": [y, Pair(torch.tanh(y) * more["each"], 3)], "unused": y.exp(), "counted": torch.arange(3)}


def odd(self, x):
    shared = torch.tanh(self.source.weight)  # [3, 4], of parameters and for all examples
    found = self.odd(x, shared, mode="scaled", power=2, more={"each": x[:, :, :1]})
    return found["first"][0] + found["first"][1].left ** found["first"][1].right


def test_nested_arguments_and_outputs(draw):  # noqa: F811
    taught(Net(odd, odd=Odd(), source=nn.Linear(4, 3)), draw, rows(draw, 5, 3, 4))


def test_a_module_called_several_times_with_other_shapes(draw):  # noqa: F811
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return x * self.gate.sigmoid()

    model = Net(lambda self, x: self.gate(self.last(self.gate(x).flatten(1))), gate=Gate(), last=nn.Linear(12, 2))
    taught(model, draw, rows(draw, 5, 3, 4))


def test_a_parameter_shared_by_a_layer_with_a_rule_and_a_module_without(draw):  # noqa: F811
    class Product(nn.Module):
        def __init__(self, weight):
            super().__init__()
            self.weight = weight

        def forward(self, x):
            return torch.tanh(x @ self.weight)

    linear = nn.Linear(4, 4)
    taught(Net(lambda self, x: self.product(self.linear(x)), linear=linear, product=Product(linear.weight)), draw,
           rows(draw, 5, 3, 4))


def test_parameters_of_the_model_itself(draw):  # noqa: F811
    model = Net(lambda self, x: torch.cat([self.token.expand(len(x), 1, 4), self.linear(x)], 1).cumsum(1), linear=nn.Linear(4, 4))
    model.token = nn.Parameter(torch.ones(1, 1, 4))
    taught(model, draw, rows(draw, 5, 3, 4))


class Counting(nn.Module):
    """It keeps a count, so that it is never the same when it is run again; its gradients do not depend on it."""

    def __init__(self):
        super().__init__()
        self.scale, self.count = nn.Parameter(torch.ones(4)), 0

    def forward(self, x):
        self.count += 1
        return x * self.scale.exp() + self.count


def test_a_module_that_mixes_examples_is_refused(draw):  # noqa: F811
    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4))

        def forward(self, x):
            return x * x.square().sum(0) * self.scale.exp()

    refuse("something mixes examples", randomise(nn.Sequential(nn.Linear(4, 4), Mixing()), draw), rows(draw, 25, 4))


# Around the call ------------------------------------------------------------------------------------------------------


def test_a_causal_language_model_with_a_key_value_cache(draw):  # noqa: F811
    """transformers hands a cache from layer to layer, which a pass of its own must not fill twice."""
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(vocab_size=30, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
                                      num_attention_heads=2, num_key_value_heads=1, use_cache=True)
    model = randomise(transformers.LlamaForCausalLM(config), draw)
    batch = {"ids": torch.randint(0, 30, (5, 6), generator=draw)}

    def loss(model, batch):
        logits = model(input_ids=batch["ids"], use_cache=True).logits[:, :-1]
        return cross_entropy(logits.transpose(1, 2), batch["ids"][:, 1:], reduction="none").sum(1)

    check(model, batch, loss)


@pytest.mark.parametrize("kind", ["one output", "several", "LSTM", "source"])
def test_nothing_of_a_batch_is_kept(kind, draw):  # noqa: F811
    """A graph that holds its own hooks would stay in memory: every call would cost a batch of it."""
    import gc
    import weakref

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4))

        def forward(self, x):
            y = x * self.scale
            return y, y.tanh()

    models = {"one output": nn.Sequential(nn.Linear(4, 4), nn.RMSNorm(4)),
              "several": Net(lambda self, x: sum(self.two(self.first(x))), first=nn.Linear(4, 4), two=Two()),
              "LSTM": Net(lambda self, x: self.lstm(self.first(x))[0], first=nn.Linear(4, 4),
                          lstm=nn.LSTM(4, 4, batch_first=True)),
              "source": Net(odd, odd=Odd(), source=nn.Linear(4, 3))}
    model, seen = randomise(models[kind], draw), []

    class Mark:
        """It lives as long as the graph that it is part of."""

    class Marked(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark = Mark()
            seen.append(weakref.ref(ctx.mark))
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g

    first = next(module for module in model.modules() if isinstance(module, nn.Linear))
    first.register_forward_hook(lambda module, args, y: Marked.apply(y))

    batch, alone = rows(draw, 5, 3, 4), {}
    gc.disable()
    try:
        for _ in range(3):
            grad_norms(model, batch, squared, alone=alone)
        assert seen and [each() for each in seen] == [None] * len(seen)  # not even until Python looks for circles
    finally:
        gc.enable()
