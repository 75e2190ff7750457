"""Dropout by quick masks: the distribution is torch's, and where nothing is dropped, so is every number."""

import copy

import pytest
import torch
from test_first_token import batch, pair
from torch import nn
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertSelfAttention

from datadiet.nets import dropout
from datadiet.nets.dropout import ATTENTION, Dropout, attention, mask_like, quick_dropout
from datadiet.training import kinds


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_a_mask_drops_its_share_and_keeps_the_mean(p):
    torch.manual_seed(1)
    mask = mask_like(torch.empty(1001, 999), p)
    dropped = mask == 0
    assert abs(float(dropped.float().mean()) - p) < 4 * (p * (1 - p) / mask.numel()) ** 0.5 + 2**-16
    assert mask[~dropped].unique().tolist() == pytest.approx([1 / (1 - p)], rel=1e-3)
    assert float(mask.mean()) == pytest.approx(1, abs=0.02)


def test_the_four_entries_of_an_integer_are_independent():
    torch.manual_seed(2)
    entries = (mask_like(torch.empty(100_000, 4), 0.1) == 0).float()
    assert entries.mean(0).tolist() == pytest.approx([0.1] * 4, abs=0.005)
    between = torch.corrcoef(entries.T) - torch.eye(4)
    assert between.abs().max() < 0.02
    assert torch.corrcoef(torch.stack([entries[:-1, 3], entries[1:, 0]]))[0, 1].abs() < 0.02


def test_a_mask_comes_from_the_seed_and_from_no_other_state():
    torch.manual_seed(3)
    one, other = mask_like(torch.empty(5, 7), 0.5), mask_like(torch.empty(5, 7), 0.5)
    torch.manual_seed(3)
    assert torch.equal(mask_like(torch.rand(5, 7), 0.5), other) is False  # rand drew first
    torch.manual_seed(3)
    assert torch.equal(mask_like(torch.empty(5, 7), 0.5), one) and not torch.equal(one, other)


def test_dropout_multiplies_by_the_mask_forwards_and_backwards():
    values = torch.randn(6, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    torch.manual_seed(4)
    out = Dropout(0.3).train()(values)
    torch.manual_seed(4)
    mask = mask_like(values, 0.3)
    torch.testing.assert_close(out, values * mask)
    out.sum().backward()
    torch.testing.assert_close(values.grad, mask)
    assert Dropout(0.3).eval()(values) is values and torch.equal(Dropout(1.0).train()(values), torch.zeros(6, 8))


@pytest.mark.parametrize("padded", [False, True])
def test_attention_is_softmax_attention_with_dropped_weights(padded):
    draw = torch.Generator().manual_seed(5)
    query, key, value = (torch.randn(3, 2, 5, 4, generator=draw) for _ in range(3))
    seen = (torch.arange(5) < torch.tensor([5, 2, 3])[:, None])[:, None, None].expand(3, 1, 5, 5) if padded else None
    module = BertSelfAttention(BertConfig(hidden_size=8, num_attention_heads=2))
    plain = nn.functional.scaled_dot_product_attention(query, key, value, seen, scale=0.5).transpose(1, 2)
    torch.testing.assert_close(attention(module, query, key, value, seen, dropout=0.0, scaling=0.5)[0], plain)
    torch.manual_seed(6)
    dropped, _ = attention(module, query, key, value, seen, dropout=0.4, scaling=0.5)
    torch.manual_seed(6)
    logits = torch.einsum("bhqd,bhkd->bhqk", query, key) * 0.5
    weights = torch.softmax(logits if seen is None else logits - 1e9 * (~seen).float(), -1)
    weights = weights * mask_like(weights, 0.4)
    torch.testing.assert_close(dropped, torch.einsum("bhqk,bhkd->bqhd", weights, value), rtol=1e-4, atol=1e-5)
    module.is_causal = True  # a decoder's: left to torch
    torch.manual_seed(6)
    assert not torch.equal(attention(module, query, key, value, seen, dropout=0.4, scaling=0.5)[0], dropped)
    module.is_causal = False
    if padded:
        value[1, :, 2:] = 1e4  # what is not a token is not read
        torch.manual_seed(6)
        again, _ = attention(module, query, key, value, seen, dropout=0.4, scaling=0.5)
        torch.testing.assert_close(again[1], dropped[1])


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_only_dropout_is_replaced(kind):
    whole, _ = pair(kind)
    quick, some = quick_dropout(copy.deepcopy(whole)), batch(padded=True)
    assert {type(module) for module in quick.modules() if isinstance(module, nn.Dropout)} == {Dropout}
    assert quick.config._attn_implementation == ATTENTION and whole.config._attn_implementation == "sdpa"
    assert list(quick.state_dict()) == list(whole.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(kinds.logits_of(quick.eval(), some), kinds.logits_of(whole.eval(), some))
    eager, _ = pair(kind, "eager")
    assert quick_dropout(eager).config._attn_implementation == "eager"


def test_on_the_average_it_is_torchs_dropout():
    """Mean loss in train mode over many draws, ours and torch's: within what so few draws can tell."""
    whole, _ = pair("bert")
    quick, some, means = quick_dropout(copy.deepcopy(whole)), batch(padded=True, n=4), []
    torch.manual_seed(7)
    for model in (whole.train(), quick.train()):
        with torch.no_grad():
            drawn = torch.stack([kinds.logits_of(model, some) for _ in range(400)]).double()
        means.append((drawn.mean(0), drawn.std(0)))
    (slow, spread), (fast, _) = means
    assert ((fast - slow).abs() < 5 * spread * (2 / 400) ** 0.5).all()
    torch.testing.assert_close(means[1][1], spread, rtol=0.25, atol=0.01)


def test_a_gpu_is_not_asked_whether_a_mask_hides_anything(monkeypatch):
    asked = []
    monkeypatch.setattr(dropout, "sdpa_mask", lambda *args, **rest: asked.append((rest["allow_is_bidirectional_skip"], args)))
    for where in ("cpu", torch.device("cpu"), "cuda", torch.device("cuda:0"), "mps"):
        dropout.mask(3, allow_is_bidirectional_skip=True, device=where)
    dropout.mask(3, device="cpu")
    assert asked == [(skip, (3,)) for skip in (True, True, False, False, False, False)]
