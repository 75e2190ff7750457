"""Dropout on a CPU with masks drawn sixteen bits a number, in place of torch's one number at a time.

    model = quick_dropout(model)    # in place; the same parameters, other draws

The masks come from torch's current generator, by whole integers: one seed gives one mask on every processor. On a GPU, and in
eval mode, everything is torch's own.
"""

import torch
from torch import nn
from torch.nn.functional import dropout as torch_dropout
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.models.bert.modeling_bert import BertSelfAttention
from transformers.models.roberta.modeling_roberta import RobertaSelfAttention

BITS = 16
ATTENTION = "datadiet"  # name of `attention` in the registers of transformers
ENCODERS = (BertSelfAttention, RobertaSelfAttention)  # of these it is known that attention is all they ask for


def mask_like(values: torch.Tensor, p: float) -> torch.Tensor:
    """Independent entries, 0 with probability `p` and 1 / (1 - p) otherwise: their mean is 1. For 0 <= p < 1.

    `p` is rounded to a multiple of 2^-16, and so is the divisor of the others.

    >>> _ = torch.manual_seed(3)
    >>> mask_like(torch.empty(2, 4), 0.5)
    tensor([[2., 2., 2., 0.],
            [0., 0., 2., 0.]])
    """
    n, least = values.numel(), -(2 ** (BITS - 1))
    drawn = torch.empty(-(-n * BITS // 64), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:n]
    dropped = min(round(p * 2**BITS), 2**BITS - 1)
    return drawn.view(values.shape).to(values.dtype).ge_(least + dropped).mul_(2**BITS / (2**BITS - dropped))


class Dropout(nn.Dropout):
    """Dropout by :func:`mask_like`."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if not self.training or not 0 < self.p < 1 or values.dtype != torch.float32 or values.device.type != "cpu":
            return torch_dropout(values, self.p, self.training)
        return values * mask_like(values, self.p)


def attention(module, query, key, value, attention_mask, dropout=0.0, scaling=None, **rest):
    """The attention that transformers calls "sdpa", [B, H, T, d] each; quick masks in encoders of BERT's and RoBERTa's make."""
    encodes = isinstance(module, ENCODERS) and not module.is_causal
    if not dropout or not encodes or query.dtype != torch.float32 or query.device.type != "cpu":
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **rest)
    logits = query @ key.mT * scaling
    if attention_mask is not None:  # of `sdpa_mask`: true where a token is seen
        logits = logits.masked_fill(~attention_mask, -torch.inf)
    weights = logits.softmax(-1)
    return (weights * mask_like(weights, dropout) @ value).transpose(1, 2), None


def mask(*args, allow_is_bidirectional_skip=False, device="cpu", **rest):
    """The mask that transformers makes for "sdpa". It is left out where it hides nothing on a CPU only: a GPU had to be asked."""
    skip = allow_is_bidirectional_skip and torch.device(device).type == "cpu"
    return sdpa_mask(*args, allow_is_bidirectional_skip=skip, device=device, **rest)


AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, mask)


def quick_dropout(model: nn.Module) -> nn.Module:
    """Every ``nn.Dropout`` of `model`, and the dropout inside transformers' "sdpa" attention, by quick masks, in place."""
    for module in model.modules():
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p).train(child.training))
        config = getattr(module, "config", None)
        if getattr(config, "_attn_implementation", None) == "sdpa" and hasattr(module, "set_attn_implementation"):
            module.set_attn_implementation(ATTENTION)
    return model
