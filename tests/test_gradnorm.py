"""Every case against the batch-of-one reference, on fresh random input."""

import doctest
import os
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig, BertForSequenceClassification, DistilBertConfig, DistilBertForSequenceClassification
from transformers import RobertaConfig, RobertaForSequenceClassification

from datadiet import gradnorm
from datadiet.errors import InputError
from datadiet.gradnorm import grad_norms, reference_grad_norms
from datadiet.models import ResNet


@pytest.fixture
def draw(request):
    """A generator of its own for each test, fresh in every session; the seed is printed when a test fails."""
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"draw: seed {seed}")
    return torch.Generator().manual_seed(seed)


def randomise(model, draw, scale=0.3, dtype=torch.float64):
    """Random values for all parameters and buffers, so that nothing is right only because it is zero or one."""
    model = model.to(dtype)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=draw, dtype=dtype) * scale)
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=draw))
                module.running_var.copy_(torch.rand(module.running_var.shape, generator=draw) + 0.5)
    return model.eval()


def state(model):
    """All that grad_norms promises to leave alone."""
    return ([(name, p.requires_grad, p.grad, p.detach().clone()) for name, p in model.named_parameters()],
            [(name, b.clone()) for name, b in model.named_buffers()],
            [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()])


def same_state(before, after):
    for old, new in zip(before[0], after[0], strict=True):
        assert old[:2] == new[:2] and old[2] is new[2] and torch.equal(old[3], new[3])
    assert all(torch.equal(old[1], new[1]) for old, new in zip(before[1], after[1], strict=True))
    assert before[2] == after[2]


def check(model, batch, loss, slow=(), rtol=None):
    """grad_norms = reference, also when the batch is cut in two; state kept; warnings exactly for the types in `slow`."""
    before, seed = state(model), torch.get_rng_state()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        norms = grad_norms(model, batch, loss)
    same_state(before, state(model))
    assert torch.equal(seed, torch.get_rng_state())
    kinds = sorted(str(w.message).split(" of ")[-1].split(";")[0] for w in seen)
    assert kinds == sorted(slow), [str(w.message) for w in seen]
    truth = reference_grad_norms(model, batch, loss)
    rtol = rtol or (1e-9 if truth.dtype == torch.float64 else 1e-5)
    assert norms.shape == truth.shape and norms.dtype == truth.dtype and not norms.requires_grad
    torch.testing.assert_close(norms, truth, rtol=rtol, atol=0)
    assert len(norms.unique()) > 1 or len(norms) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = [grad_norms(model, {k: v[s] for k, v in batch.items()}, loss) for s in (slice(0, len(norms) // 2), slice(len(norms) // 2, None))]
    torch.testing.assert_close(torch.cat(parts), norms, rtol=rtol, atol=0)
    return norms


# Transformers ---------------------------------------------------------------------------------------------------------

SMALL = dict(vocab_size=50, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
             max_position_embeddings=20, num_labels=3)


def cross_entropy(model, batch):
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    return F.cross_entropy(model(**inputs).logits, batch["labels"], reduction="none")


def sentences(draw, n, length, vocabulary=50, pad=0):
    lengths = torch.randint(1, length + 1, (n,), generator=draw)
    lengths[0] = length
    mask = (torch.arange(length) < lengths[:, None]).long()
    ids = torch.randint(2, vocabulary, (n, length), generator=draw) * mask + pad * (1 - mask)
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.randint(0, 3, (n,), generator=draw)}


def encoder(kind, attention="sdpa"):
    if kind == "bert":
        return BertForSequenceClassification(BertConfig(**SMALL, attn_implementation=attention))
    if kind == "roberta":
        return RobertaForSequenceClassification(RobertaConfig(**SMALL, pad_token_id=1, attn_implementation=attention))
    small = dict(vocab_size=50, dim=24, n_layers=2, n_heads=3, hidden_dim=40, max_position_embeddings=20, num_labels=3)
    return DistilBertForSequenceClassification(DistilBertConfig(**small, attn_implementation=attention))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("n, length", [(5, 9), (7, 7), (2, 17), (6, 1)])
def test_padded_sentences(kind, attention, n, length, draw):
    model = randomise(encoder(kind, attention), draw)
    check(model, sentences(draw, n, length, pad=int(kind == "roberta")), cross_entropy)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_single_precision(kind, draw):
    model = encoder(kind).eval()
    check(model, sentences(draw, 6, 12, pad=int(kind == "roberta")), cross_entropy)
