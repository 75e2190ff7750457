"""GraNd of models that move the rows of their batch, in many ways: refused, or exact; of all others, no false alarm."""

import warnings

import pytest
import torch
from test_gradnorm import Net, draw, randomise, refuse, rows, squared  # noqa: F401
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from datadiet import gradnorm
from datadiet.errors import InputError


def spread(index, x):
    """An index of rows as `gather` and `scatter` take it."""
    return index.view(-1, *[1] * (x.dim() - 1)).expand_as(x)


def matrix(order, x):
    return torch.eye(len(x), dtype=x.dtype)[order]


def by_product(order, x):
    return (matrix(order, x) @ x.flatten(1)).view_as(x)


def set_rows(order, x):
    out = torch.zeros_like(x)
    out[order.argsort()] = x
    return out


WAYS = {  # rows of x in an order
    "index": lambda order, x: x[order],
    "a list": lambda order, x: x[order.tolist()],
    "index_select": lambda order, x: x.index_select(0, order),
    "gather": lambda order, x: x.gather(0, spread(order, x)),
    "take_along_dim": lambda order, x: torch.take_along_dim(x, spread(order, x), 0),
    "stack": lambda order, x: torch.stack([x[i] for i in order.tolist()]),
    "cat of slices": lambda order, x: torch.cat([x[i:i + 1] for i in order.tolist()]),
    "cat of split": lambda order, x: torch.cat([x.split(1)[i] for i in order.tolist()]),
    "product": by_product,
    "einsum": lambda order, x: torch.einsum("ab,b...->a...", matrix(order, x), x),
    "index_copy": lambda order, x: torch.zeros_like(x).index_copy(0, order.argsort(), x),
    "index_add": lambda order, x: torch.zeros_like(x).index_add(0, order.argsort(), x),
    "scatter": lambda order, x: torch.zeros_like(x).scatter(0, spread(order.argsort(), x), x),
    "set rows": set_rows,
}
ORDERS = {  # of n examples; some by what they hold
    "sorted": lambda x: x.flatten(1).sum(1).argsort(),
    "flip": lambda x: torch.arange(len(x)).flip(0),
    "roll": lambda x: torch.arange(len(x)).roll(1),
    "even, odd": lambda x: torch.cat([torch.arange(len(x))[::2], torch.arange(len(x))[1::2]]),
    "ends stay": lambda x: torch.tensor([0, *range(len(x) - 2, 0, -1), len(x) - 1][:len(x)]),
}


class Scale(nn.Module):
    """Parameters without a rule of their own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(5))

    def forward(self, x):
        return torch.tanh(x * self.scale)


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(5, 5, batch_first=True)

    def forward(self, x):
        lengths = (x[:, :, 0] > 0).sum(1).clamp_min(1)
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]


class Last(nn.LSTM):
    def forward(self, x):
        return super().forward(x)[0]


LAYERS = {"linear": lambda: nn.Linear(5, 5), "norm": lambda: nn.LayerNorm(5), "scale": Scale, "packed": Packed,
          "lstm": lambda: Last(5, 5, batch_first=True)}


def moving(order, way, layer, inside: bool):
    """A net that puts its rows in an order before all layers, or between two of them, and back for the logits."""
    def forward(self, x):
        new = order(x)
        x = torch.tanh(self.first(x if inside else way(new, x)))
        y = self.last(self.layer(way(new, x) if inside else x).flatten(1))
        return way(new.argsort(), y)

    return Net(forward, first=nn.Linear(4, 5), layer=layer, last=nn.Linear(15, 3))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layer", LAYERS)
def test_a_batch_in_another_order_is_refused_or_exact(order, way, layer, draw):  # noqa: F811
    for inside in (False, True):
        model, batch = randomise(moving(ORDERS[order], WAYS[way], LAYERS[layer](), inside), draw), rows(draw, 6, 3, 4)
        truth = gradnorm.reference_grad_norms(model, batch, squared)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                norms = gradnorm.grad_norms(model, batch, squared)
            except InputError as problem:
                assert "reorders its batch" in str(problem)
            else:
                torch.testing.assert_close(norms, truth, rtol=1e-9, atol=0)


@pytest.mark.parametrize("way", ["product", "cat of slices", "set rows"])
def test_a_batch_that_happens_to_be_sorted_shows_the_sort(way, draw):  # noqa: F811
    batch = rows(draw, 6, 4)
    batch["x"] = batch["x"][batch["x"].sum(1).argsort()]
    model = Net(lambda self, x: WAYS[way](ORDERS["sorted"](x).argsort(), self.last(WAYS[way](ORDERS["sorted"](x), x))),
                last=nn.Linear(4, 3))
    refuse("reorders its batch", randomise(model, draw), batch)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n", [2, 3, 7])
def test_a_batch_in_its_order_is_never_refused(dtype, n, draw):  # noqa: F811
    """Examples that are equal or nearly so, of all sizes; tokens; deep nets in half precision."""
    for scale in (1e-6, 1.0, 1e6):
        batch = {name: (scale * t).to(dtype) for name, t in rows(draw, n, 3, 4).items()}
        batch["x"][1:] = batch["x"][:1] * (1 + torch.tensor([0.0, 1e-3, 1e-2])[torch.arange(n - 1) % 3])[:, None, None].to(dtype)
        model = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Tanh()) for _ in range(8)])
        gradnorm.grad_norms(randomise(model, draw, dtype=dtype), batch, squared)


@pytest.mark.parametrize("mix", ["mean", "normed as BatchNorm does", "attention among examples", "weights that sum to one"])
def test_examples_that_depend_on_each_other_are_refused(mix, draw):  # noqa: F811
    mixes = {"mean": lambda h: h + h.mean(0),
             "normed as BatchNorm does": lambda h: (h - h.mean(0)) / (h.var(0, correction=0) + 1e-3).sqrt(),
             "attention among examples": lambda h: (h @ h.T).softmax(1) @ h.flip(0) + h,
             "weights that sum to one": lambda h: h * h.norm(dim=1).softmax(0)[:, None]}
    model = Net(lambda self, x: self.last(mixes[mix](torch.tanh(self.first(x)))), first=nn.Linear(4, 5), last=nn.Linear(5, 3))
    refuse("mixes examples", randomise(model, draw), rows(draw, 6, 4))
