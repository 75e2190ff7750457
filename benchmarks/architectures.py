"""Exact gradient norms of networks that nobody here wrote, over one plain forward and backward of the same network.

All are random, 4 layers, 256 wide, 16 texts of 64 tokens, in eval mode. The truth is the batch of one; the other peer is
``torch.func``'s gradient of one example, mapped over the batch.
"""

from functools import partial

import numpy as np
import torch
import transformers
from torch import nn

from benchmarks.gradients import CALLS, batch_of_one, ours, plain, torch_func
from benchmarks.harness import Contestant
from datadiet.chapters.what_it_costs.runs import ONE, OURS, PLAIN
from datadiet.training import kinds

REFERENCE, TRUTH = PLAIN, ONE
K, VOCABULARY, WIDTH, LAYERS = 4, 4_000, 256, 4
SENTENCES = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
             "intermediate_size": 4 * WIDTH, "max_position_embeddings": 128, "num_labels": K, "pad_token_id": 0,
             "bos_token_id": 1, "eos_token_id": 2}
HEADS = {"num_key_value_heads": 4, "head_dim": 64}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 32, "share_att_key": True,
            "norm_rel_ebd": "layer_norm", "position_biased_input": False}
ENCODERS = {"Bert": SENTENCES, "Llama": SENTENCES | HEADS, "Qwen3": SENTENCES | HEADS, "Gemma2": SENTENCES | HEADS,
            "GPT2": SENTENCES, "DebertaV2": SENTENCES | RELATIVE}
DECODERS = ("Llama", "Qwen3", "Gemma2", "GPT2")


class Classifier(nn.Module):
    """An embedding, a body of torch's own layers, and a head on the mean over tokens."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.embedding, self.body, self.classifier = nn.Embedding(VOCABULARY, WIDTH), body, nn.Linear(WIDTH, K)

    def forward(self, input_ids):  # [B, T] -> [B, K]
        seen = self.body(self.embedding(input_ids))
        return self.classifier((seen[0] if isinstance(seen, tuple) else seen).mean(1))


def network(name: str, n: int, length: int, padded: bool):
    """A network in eval mode, a batch of random tokens for it, and the loss of each example.

    `padded`: lengths from a quarter of the longest up, as a batch of texts has them, in the same shape.
    """
    draw = torch.Generator().manual_seed(0)
    batch = {"input_ids": torch.randint(3, VOCABULARY, (n, length), generator=draw),
             "labels": torch.randint(0, K, (n,), generator=draw)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if name == "LSTM":
            return Classifier(nn.LSTM(WIDTH, WIDTH, 2, batch_first=True)).eval(), batch, kinds.example_loss
        if name == "TransformerEncoder":
            layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, batch_first=True)
            return Classifier(nn.TransformerEncoder(layer, LAYERS)).eval(), batch, kinds.example_loss
        config = getattr(transformers, f"{name}Config")(**ENCODERS[name])
        model = getattr(transformers, f"{name}ForSequenceClassification")(config).eval()
    lengths = np.linspace(max(1, length // 4) if padded else length, length, n).astype(int)
    mask = torch.arange(length) < torch.from_numpy(lengths)[:, None]
    return model, batch | {"input_ids": batch["input_ids"] * mask, "attention_mask": mask.long()}, kinds.example_loss


def contestants(quick: bool) -> list[Contestant]:
    n, length = (4, 8) if quick else (16, 64)
    names = [(name, False) for name in (*ENCODERS, "LSTM", "TransformerEncoder")]
    out = []
    for name, padded in [("Bert", True), *names]:
        case = {"name": name, "n": n, "length": length, "make": network, "padded": padded}
        shown = f"{name}{', padded' * padded}, {n} x {length} tokens"
        peers = {PLAIN: plain, OURS: ours, ONE: batch_of_one, "torch.func": partial(torch_func, causal=name in DECODERS)}
        out += [Contestant(shown, peer, make, case, calls=1 if peer in (ONE, "torch.func") else CALLS)
                for peer, make in peers.items()]
    return out
