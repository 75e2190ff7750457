"""The middle layers of an encoder, trained on the output of the lower ones, which is computed once; those above are cut off.

    examples = fill(problem, blank(problem))    # each token as the second layer of six leaves it
    problem = of(problem, examples)             # layers three and four, and the head: all that is trained

An update takes about a third of the time of one of the whole encoder, as no gradient goes below, and nothing is computed above.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from datadiet.nets.encoders import MeanPooled
from datadiet.nets.first_token import READ_FIRST, first_token
from datadiet.training import kinds

MOST = 2**31  # bytes of stored activations


class Given(nn.Module):
    """In place of the embeddings and the lower layers: their output, which is given."""

    def forward(self, inputs_embeds: torch.Tensor, **others) -> torch.Tensor:
        return inputs_embeds


def _body(model: nn.Module) -> nn.Module | None:
    """The encoder of a classifier of BERT's or RoBERTa's make; of others it is not known what stands between their layers."""
    return model.bert if isinstance(model, MeanPooled) else model.base_model if isinstance(model, READ_FIRST) else None


def third(depth: int) -> tuple[int, int]:
    """The layers that are trained of `depth`, as a range: the second third.

    >>> third(6), third(12), third(2), third(1)
    ((2, 4), (4, 8), (1, 2), (1, 1))
    """
    return (depth + 2) // 3, (2 * depth + 2) // 3


def blank(problem: kinds.Problem, most: int = MOST) -> kinds.Encoded | None:
    """The training examples of a task of texts, with room for the output of the lower layers, ``inputs_embeds`` [tokens, d].

    None where there is no second third of the layers, where the encoder is of another make than BERT's or RoBERTa's, and where
    more than `most` bytes would be stored.
    """
    train, body = problem.splits["train"], _body(problem.model)
    if body is None or np.equal(*third(len(body.encoder.layer))):
        return None
    tokens, width = int(train.lengths.sum()), body.config.hidden_size
    if 4 * width * tokens > most:
        return None
    # Zeros take no memory before they are written.
    columns = {"attention_mask": train.columns["attention_mask"], "inputs_embeds": torch.zeros(tokens, width)}
    return kinds.Encoded(train.labels, train.lengths, columns, train.padding, train.device, train.cut, train.buckets)


@torch.no_grad()
def fill(problem: kinds.Problem, examples: kinds.Encoded) -> kinds.Encoded:
    """`examples` of :func:`blank`, in place, with the output of the lower layers, in eval mode."""
    train, body = problem.splits["train"], _body(problem.model)
    layers, starts, flat = body.encoder.layer, np.cumsum(train.lengths) - train.lengths, examples.columns["inputs_embeds"]
    batches = train.in_order_of_length(np.arange(len(starts)), kinds.eval_batch(problem.model))
    body.encoder.layer = layers[: third(len(layers))[0]]
    try:
        with kinds.scoring(problem.model):
            for rows, batch in zip(batches, kinds.batched(train, batches), strict=True):
                hidden = body(**{name: values for name, values in batch.items() if name != "labels"}).last_hidden_state
                at = np.concatenate([starts[row] + np.arange(train.lengths[row]) for row in rows])
                flat[torch.as_tensor(at, device=train.device)] = hidden[batch["attention_mask"].bool()]
    finally:
        body.encoder.layer = layers
    return examples


def of(problem: kinds.Problem, examples: kinds.Encoded) -> kinds.Problem:
    """The problem of training the second third of the layers, and the head, on `examples` of :func:`fill`; in place."""
    body = _body(problem.model)
    below, above = third(len(body.encoder.layer))
    body.embeddings, body.encoder.layer = Given(), body.encoder.layer[below:above]
    return replace(problem, model=first_token(problem.model), splits={"train": examples})
