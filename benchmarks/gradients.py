"""Norms of every example's gradient: ours, and every other way to get them, over one plain forward and backward.

All compute in eval mode, except Opacus, which only watches in train mode: it gets the same network without dropout.
The truth is the batch of one: one forward and one backward an example.
"""

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from transformers import RobertaConfig, RobertaForSequenceClassification

from benchmarks.harness import Contestant
from datadiet import gradnorm
from datadiet.chapters.what_it_costs.runs import ALIKE, LIMIT, ONE, OURS, PLAIN, STEP
from datadiet.nets import device as devices
from datadiet.nets import encoders
from datadiet.nets.dropout import quick_dropout
from datadiet.nets.first_token import first_token
from datadiet.nets.images import picture_classifier
from datadiet.runs import process
from datadiet.training import joint, kinds, loop

REFERENCE, TRUTH = PLAIN, ONE
B, T, K = 32, 48, 6
CALLS = 5  # in a turn, of all but those that take several times as long


def _network(name: str, n: int, length: int, every_token: bool):
    """A network in eval mode, a batch of random input for it, and the loss of each example.

    `every_token`: as transformers makes it; else the last layer computes the first token only, where no other is read.
    """
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, K, (n,), generator=draw)
    if name == "ResNet-18":
        batch = {"image": torch.randn(n, 3, 32, 32, generator=draw), "labels": labels}
        return picture_classifier("resnet18", K), batch, kinds.example_loss
    batch = {"input_ids": torch.randint(5, 30_000, (n, length), generator=draw),
             "attention_mask": torch.ones(n, length, dtype=torch.int64), "labels": labels}
    if name == "joint MiniLM":
        batch |= {"word": torch.arange(1, length + 1).expand(n, length).contiguous(),
                  "slots": torch.randint(0, 20, (n, length), generator=draw)}
        return joint.classifier("minilm", K, 20), batch, joint.example_loss
    if name == "RoBERTa":  # its architecture at the size of MiniLM, random: no weights of it are on the disk
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            config = RobertaConfig(vocab_size=30_522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
                                   intermediate_size=1536, max_position_embeddings=514, num_labels=K)
            model = RobertaForSequenceClassification(config).eval()
            return model if every_token else first_token(model), batch, kinds.example_loss
    return encoders.classifier("minilm", K, every_token=every_token), batch, kinds.example_loss


def _placed(name: str, n: int, length: int, every_token: bool = True, make=None, padded: bool = False):
    """A network and its batch on the device; `make`: who makes it, where it is none of those above."""
    device = devices.best()
    model, batch, loss = _network(name, n, length, every_token) if make is None else make(name, n, length, padded)
    return model.to(device), {key: value.to(device) for key, value in batch.items()}, loss


def _norms(model) -> np.ndarray:
    """[B], from the gradients of each example that Opacus left at the parameters."""
    squares = [p.grad_sample.flatten(1).square().sum(1) for p in model.parameters()]
    return torch.stack(squares).sum(0).sqrt().cpu().numpy()


def plain(every_token: bool = True, **case):
    """A training step without dropout and update, of the network as transformers makes it: what GraNd is compared with."""
    model, batch, loss = _placed(every_token=every_token, **case)

    def once(number):
        model.zero_grad(set_to_none=True)
        loss(model, batch).sum().backward()

    return once


def alike(**case):
    """The same with all that ours has but the norms: freed memory stays, the last layer computes what is read."""
    process.keep_freed()
    return plain(every_token=False, **case)


def step(**case):
    """A step of quick training: dropout, the gradients of the weights, clipped, and an update."""
    process.keep_freed()
    model, batch, loss = _placed(every_token=False, **case)
    quick_dropout(model).train()
    own = {"optimizer": "sgd" if "image" in batch else "adamw", "learning_rate": 1e-5}
    optimizer = loop._optimizer(own, model, captured=False)

    def once(number):
        optimizer.zero_grad()
        loss(model, batch).mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), loop.CLIP)
        optimizer.step()

    return once


def forward_only(**case):
    model, batch, loss = _placed(**case)

    def once(number):
        with torch.inference_mode():
            loss(model, batch)

    return once


def limit(**case):
    """Forward, and a backward through the activations to the input: no method that looks at every layer does with less."""
    process.keep_freed()
    model, batch, loss = _placed(every_token=False, **case)
    model.requires_grad_(False)
    if "image" in batch:
        batch["image"].requires_grad_(True)
        start = [batch["image"]]
    else:
        start = []  # what the embedding gives is where the backward ends
        model.get_input_embeddings().register_forward_hook(lambda module, args, y: start.append(y.requires_grad_(True)))

    def once(number):
        start.clear() if "image" not in batch else None
        torch.autograd.grad(loss(model, batch).sum(), start)

    return once


def ours(**case):
    """As a loop over batches of one shape calls it: what an example alone shows is kept from the first, untimed call."""
    (model, batch, loss), alone = _placed(every_token=False, **case), {}
    return lambda number: {"answer": gradnorm.grad_norms(model, batch, loss, alone=alone).cpu().numpy()}


def batch_of_one(**case):
    model, batch, loss = _placed(**case)
    return lambda number: {"answer": gradnorm.reference_grad_norms(model, batch, loss).cpu().numpy()}


def torch_func(causal: bool = False, **case):
    """vmap over the gradient of one example. Attention must be written out: the fused one cannot be mapped."""
    model, batch, loss = _placed(**case)
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation("eager")
    elif hasattr(model, "encoder"):
        model.encoder.set_attn_implementation("eager")
    weights = {name: p.detach() for name, p in model.named_parameters()}
    buffers = dict(model.named_buffers())
    if "attention_mask" in batch:  # four axes, additive: transformers makes no other of it
        seen, length = batch["attention_mask"][:, None, None].bool(), batch["attention_mask"].shape[1]
        if causal:
            seen = seen & torch.ones(length, length, dtype=torch.bool, device=seen.device).tril()
        added = torch.zeros(len(seen), 1, length, length, device=seen.device).masked_fill(~seen, torch.finfo(torch.float32).min)

    def one(weights, *values):
        example = {name: value[None] for name, value in zip(batch, values, strict=True)}
        whole = _Called(model, weights, buffers)
        return loss(whole, example)[0]

    def once(number):
        values = [added if name == "attention_mask" else value for name, value in batch.items()]
        grads = vmap(grad(one), in_dims=(None, *[0] * len(values)), randomness="error")(weights, *values)
        squares = [g.flatten(1).square().sum(1) for g in grads.values()]
        return {"answer": torch.stack(squares).sum(0).sqrt().cpu().numpy()}

    return once


class _Called:
    """A model that computes with given weights."""

    def __init__(self, model, weights, buffers):
        self.model, self.state = model, weights | buffers

    def __call__(self, *args, **inputs):
        return functional_call(self.model, self.state, args, inputs)


def _for_opacus(**case):
    model, batch, loss = _placed(**case)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "config") and hasattr(module.config, "attention_probs_dropout_prob"):
            module.config.attention_probs_dropout_prob = 0.0
    for each in (model, getattr(model, "encoder", None)):
        if hasattr(each, "set_attn_implementation"):
            each.set_attn_implementation("eager")
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        raise TypeError("Opacus has no gradient of one example for BatchNorm")
    if case["name"] != "RoBERTa":  # positions of shape [1, T], as BERT makes them for all examples, it cannot tell apart
        n, length = batch["input_ids"].shape
        batch["position_ids"] = torch.arange(length, device=batch["input_ids"].device).repeat(n, 1)
        batch["token_type_ids"] = torch.zeros_like(batch["input_ids"])
    return model, batch, loss


def opacus_per_sample(**case):
    from opacus import GradSampleModule

    model, batch, loss = _for_opacus(**case)
    wrapped = GradSampleModule(model, batch_first=True, loss_reduction="sum", strict=False).train()

    def once(number):
        wrapped.zero_grad(set_to_none=True)
        loss(wrapped, batch).sum().backward()
        return {"answer": _norms(wrapped)}

    return once


def opacus_ghost(**case):
    from opacus.grad_sample.grad_sample_module_fast_gradient_clipping import GradSampleModuleFastGradientClipping

    model, batch, loss = _for_opacus(**case)
    wrapped = GradSampleModuleFastGradientClipping(model, batch_first=True, loss_reduction="sum", strict=False,
                                                   max_grad_norm=1.0, use_ghost_clipping=True).train()

    def once(number):
        wrapped.zero_grad(set_to_none=True)
        loss(wrapped, batch).sum().backward()
        return {"answer": wrapped.get_norm_sample().detach().cpu().numpy()}

    return once


PEERS = {REFERENCE: plain, ALIKE: alike, STEP: step, "forward only": forward_only, LIMIT: limit,
         OURS: ours, TRUTH: batch_of_one, "torch.func": torch_func, "Opacus, per sample": opacus_per_sample,
         "Opacus, ghost": opacus_ghost}
SLOW = batch_of_one, torch_func, opacus_per_sample


def contestants(quick: bool) -> list[Contestant]:
    n, length = (4, 8) if quick else (B, T)
    out = []
    for name in ("MiniLM", "RoBERTa", "joint MiniLM", "ResNet-18"):
        on = f"{n} images" if name == "ResNet-18" else f"{n} x {length} tokens"
        case = {"name": name, "n": n, "length": length}
        out += [Contestant(f"{name}, {on}", peer, make, case, calls=1 if make in SLOW else CALLS) for peer, make in PEERS.items()]
    return out
