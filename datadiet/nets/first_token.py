"""The last layer of an encoder whose classifier reads the first token alone: it computes no other.

    model = first_token(model)      # in place; the same logits and gradients, the same names of the parameters

BERT's pooler and RoBERTa's head read one vector of the last layer. Attention still looks at the keys and values of all tokens
there, but queries, the attention's output and the feed-forward part, ten twelfths of a layer's multiplications, are needed for
one token. Nothing is approximated: the values left out have no influence on the logits, and their gradient is zero.
"""

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import BertForSequenceClassification, RobertaForSequenceClassification

from datadiet.nets.dropout import ATTENTION

READ_FIRST = (BertForSequenceClassification, RobertaForSequenceClassification)


class FirstToken(nn.Module):
    """A BERT or RoBERTa layer that returns the first token only: [B, T, d] -> [B, 1, d].

    Dropout draws masks for all tokens and uses those of the first, so that a run with this layer is the run without it, up to
    rounding.
    """

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.attention, self.intermediate, self.output = layer.attention, layer.intermediate, layer.output

    def forward(self, hidden, attention_mask=None, *args, **kwargs):
        own, tokens = self.attention.self, hidden.shape[1]
        first = hidden[:, :1]  # [B, 1, d]

        def heads(values):  # [B, t, d] -> [B, H, t, d / H]
            return values.unflatten(-1, (own.num_attention_heads, -1)).transpose(1, 2)

        query, key, value = heads(own.query(first)), heads(own.key(hidden)), heads(own.value(hidden))
        mask = None if attention_mask is None else attention_mask[..., :1, :]
        if self.training:
            logits = query @ key.mT * own.scaling  # [B, H, 1, T]
            if mask is not None:
                logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask
            seen = self._dropped(logits.softmax(-1), own.dropout, tokens) @ value
        else:
            seen = scaled_dot_product_attention(query, key, value, mask, scale=own.scaling)
        mixed = self._after(self.attention.output, seen.transpose(1, 2).flatten(2), first, tokens)
        return self._after(self.output, self.intermediate(mixed), mixed, tokens)

    def _after(self, block: nn.Module, values, skipped, tokens: int):
        """Dense, dropout, skip connection and norm of an output block, for the first of `tokens` tokens."""
        return block.LayerNorm(self._dropped(block.dense(values), block.dropout, tokens) + skipped)

    def _dropped(self, values, dropout: nn.Dropout, tokens: int):
        """Dropout of [..., 1, n] by the first row of a mask that is drawn for all `tokens` rows."""
        if not self.training or not dropout.p:
            return values
        return values * dropout(values.new_ones(*values.shape[:-2], tokens, values.shape[-1]))[..., :1, :]


def first_token(model: nn.Module) -> nn.Module:
    """Replace the last layer of a BERT or RoBERTa classifier by one that computes the first token only, in place.

    Other models are returned as they are: only of these it is known that nothing reads the other tokens.
    """
    if isinstance(model, READ_FIRST) and model.config._attn_implementation in ("sdpa", "eager", ATTENTION):
        layers = model.base_model.encoder.layer
        layers[-1] = FirstToken(layers[-1]).train(layers[-1].training)
    return model
