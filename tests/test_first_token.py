"""The last layer that computes the first token only, against the layer that computes all."""

import copy

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, RobertaConfig, RobertaForSequenceClassification

from datadiet import gradnorm
from datadiet.nets import encoders
from datadiet.nets.dropout import quick_dropout
from datadiet.nets.first_token import FirstToken, first_token
from datadiet.training import kinds

SMALL = dict(vocab_size=50, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=36,
             max_position_embeddings=20, num_labels=3)


def pair(kind, attention="sdpa"):
    """A classifier as transformers makes it, and its copy with the shorter last layer."""
    torch.manual_seed(0)
    if kind == "bert":
        whole = BertForSequenceClassification(BertConfig(**SMALL, attn_implementation=attention))
    else:
        whole = RobertaForSequenceClassification(RobertaConfig(**SMALL, pad_token_id=1, attn_implementation=attention))
    return whole, first_token(copy.deepcopy(whole))


def batch(padded, seed=0, n=7, length=9):
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, 50, (n, length), generator=draw)
    mask = torch.ones_like(ids)
    if padded:
        mask = (torch.arange(length) < torch.randint(2, length + 1, (n, 1), generator=draw)).long()
        ids = torch.where(mask == 1, ids, 1)
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.randint(0, 3, (n,), generator=draw)}


def gradients(model, some, seed):
    torch.manual_seed(seed)  # the dropout of both is drawn from here
    kinds.example_loss(model, some).mean().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("mode, attention", [("eval", "sdpa"), ("eval", "eager"), ("train", "sdpa"), ("train", "eager"),
                                             ("train, quick dropout", "sdpa")])
def test_nothing_but_the_work_changes(kind, attention, padded, mode):
    (whole, short), some = pair(kind, attention), batch(padded, seed=3)
    if "quick" in mode:
        whole, short = quick_dropout(whole), quick_dropout(short)
    assert isinstance(short.base_model.encoder.layer[-1], FirstToken) and list(short.state_dict()) == list(whole.state_dict())
    for model in (whole, short):
        model.train("train" in mode)
    slow, fast = gradients(whole, some, 5), gradients(short, some, 5)
    after = torch.rand(3)
    assert set(slow) == set(fast)
    for name, gradient in slow.items():
        torch.testing.assert_close(fast[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")
    gradients(whole, some, 5)
    assert torch.equal(torch.rand(3), after), "as many random numbers are drawn as by the whole layer"


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_gradient_norms_are_those_of_the_whole_model(kind):
    (whole, short), some = pair(kind), batch(padded=True)
    truth = gradnorm.reference_grad_norms(whole.eval(), some, kinds.example_loss)
    torch.testing.assert_close(gradnorm.grad_norms(short.eval(), some, kinds.example_loss), truth, rtol=1e-5, atol=0)


def test_dropout_that_stays_on_stays_on_in_the_last_layer():
    _, short = pair("bert")
    some, last = batch(padded=False), short.eval().base_model.encoder.layer[-1]
    hidden, seen = torch.rand(7, 9, 24), []
    hook = last.register_forward_hook(lambda module, args, out: seen.append(module.training))
    with torch.inference_mode(), kinds.dropout_on(short):
        kinds.logits_of(short, some)
    hook.remove()
    assert seen == [True] and not last.training
    torch.testing.assert_close(last(hidden), last(hidden))


def test_models_that_read_other_tokens_are_left_alone():
    assert type(encoders.classifier("minilm", 3).bert.encoder.layer[-1]) is FirstToken
    assert type(encoders.classifier("minilm-mean", 3).bert.encoder.layer[-1]) is not FirstToken
    assert not encoders.classifier("minilm", 3).bert.encoder.layer[-1].training and not pair("bert")[0].eval().training
    whole = pair("bert")[0].eval()
    assert not first_token(whole).bert.encoder.layer[-1].training, "it is in the mode that the layer was in"
    other = torch.nn.Linear(2, 2)
    assert first_token(other) is other
