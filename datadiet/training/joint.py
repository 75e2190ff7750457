"""Two predictions an utterance: its intent, and a slot label for each of its words, by one encoder with two heads.

    model = classifier("minilm-mean", n_intents=7, n_slots=72, layers=1, seed=0)
    intents, slots = model(input_ids=ids, attention_mask=mask)      # [B, K], [B, T, S]

A word is labelled at its first sub-token; the others are masked. In a batch, ``word`` [B, T] holds 1 + the number of the word
that begins at a token, and 0 where none begins; ``slots`` [B, T] the label there, and 0 elsewhere.
"""

import numpy as np
import torch
from scipy.special import softmax
from torch import nn
from torch.nn.functional import cross_entropy

from datadiet import scores
from datadiet.data import Split, Task, spans
from datadiet.errors import InputError
from datadiet.nets import device, encoders
from datadiet.training.tokens import Tokens

ASIDE = ("labels", "slots", "word")  # entries of a batch that the encoder is not given


class Joint(nn.Module):
    """An encoder with an intent head, which reads one vector an utterance, and a slot head, which reads every token."""

    def __init__(self, encoder: nn.Module, mean: bool, n_intents: int, n_slots: int, dropout: float):
        super().__init__()
        width = encoder.config.hidden_size
        self.encoder, self.mean, self.dropout = encoder, mean, nn.Dropout(dropout)
        self.classifier, self.slot_classifier = nn.Linear(width, n_intents), nn.Linear(width, n_slots)

    def get_input_embeddings(self) -> nn.Module:
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, embedding: nn.Module) -> None:
        self.encoder.set_input_embeddings(embedding)

    def features(self, attention_mask, **inputs):  # [B, T] each -> [B, d], [B, T, d]
        """The inputs of the two heads: a vector an utterance, and one a token."""
        tokens = self.encoder(attention_mask=attention_mask, **inputs).last_hidden_state
        mask = attention_mask[..., None].to(tokens.dtype)  # [B, T, 1]
        whole = (tokens * mask).sum(1) / mask.sum(1) if self.mean else tokens[:, 0]
        return self.dropout(whole), self.dropout(tokens)

    def forward(self, **inputs):  # -> [B, K], [B, T, S]
        whole, tokens = self.features(**inputs)
        return self.classifier(whole), self.slot_classifier(tokens)


def classifier(encoder: str, n_intents: int, n_slots: int, layers: int | None = None, seed: int = 0) -> Joint:
    """A joint model: the encoder of :func:`datadiet.nets.encoders.classifier` with two freshly drawn linear heads.

    The intent is read off the mean of the token vectors where `encoder` is "minilm-mean", else off the first token, as in the
    released code of Attendu and Corbeil (2023). `seed` draws both heads.
    """
    whole = encoders.classifier(encoder, n_intents, layers, seed, every_token=True)
    inner = whole.bert if encoder == "minilm-mean" else whole.base_model
    if getattr(inner, "pooler", None) is not None:
        inner.pooler = None  # not read, so it must not count as a parameter
    config = inner.config
    with device.seeded("cpu", seed):  # the plain draws of the layers are replaced below
        model = Joint(inner, encoder == "minilm-mean", n_intents, n_slots, getattr(config, "hidden_dropout_prob", 0.1))
    draw = torch.Generator().manual_seed(seed)
    for head in (model.classifier, model.slot_classifier):
        nn.init.normal_(head.weight, std=config.initializer_range, generator=draw)
        nn.init.zeros_(head.bias)
    return model.eval()


def columns(task: Task, split: Split, found: Tokens) -> dict[str, list[int]]:
    """Slot labels and word numbers at the first sub-token of each word of a tokenised split, all utterances end to end.

    Words cut off by the largest length are left out; so is a word that the tokenizer makes nothing of.

    Raises
    ------
    InputError
        Slot names without "O", or not in BIO; an utterance of which no word is left.
    """
    if spans.OUTSIDE not in (task.slot_names or ()):
        raise InputError(f"joint: the slot labels of {task.name!r} have no {spans.OUTSIDE!r} for words outside them; add it.")
    spans.spans(task.slot_names)  # refuses tags that are not BIO
    out, ends = {"slots": [], "word": []}, np.cumsum(found.lengths)
    for row, (places, labels) in enumerate(zip(np.split(found.words, ends[:-1]), split.inputs["slots"], strict=True)):
        word, last = [], -1
        for place in places.tolist():  # -1 at tokens outside all words
            word.append(place + 1 if place not in (-1, last) else 0)
            last = last if place == -1 else place
        if not any(word):
            raise InputError(f"joint: no word of utterance {split.ids[row]} of {task.name!r} is seen; raise max_length.")
        out["word"] += word
        out["slots"] += [labels[place - 1] if place else 0 for place in word]
    return out


def _inputs(batch: dict) -> dict:
    return {name: value for name, value in batch.items() if name not in ASIDE}


def example_loss(model: Joint, batch: dict) -> torch.Tensor:
    """``(CE of the intent + sum over words of CE of the slot) / 2``, one an utterance, [B].

    The sum over words, not their mean, and the halves are those of the code released with Attendu and Corbeil (2023). Of this
    loss the stacked error vector of ``scores.joint_el2n(..., combine="norm")`` is twice the gradient in the logits.
    """
    intents, slots = model(**_inputs(batch))
    words = cross_entropy(slots.float().flatten(0, 1), batch["slots"].flatten(), reduction="none")  # [B * T]
    words = (words.view_as(batch["slots"]) * (batch["word"] > 0)).sum(1)
    return (cross_entropy(intents.float(), batch["labels"], reduction="none") + words) / 2


def record(model: Joint, batches, n: int) -> dict[str, np.ndarray]:
    """Arrays of `n` utterances that scores and measures are computed from, given (positions, batch), in the mode of the model.

    ``logits`` [N, K] of the intent and ``feature_norms`` [N] of its head's input; ``words`` [N], how many words were seen;
    ``slot_sums`` and ``slot_squares`` [N], of the lengths of their error vectors; ``slot_confidence`` [N], the mean log
    probability of their likeliest slots; ``slot_predictions`` [N, W], these slots, -1 for a word not seen.
    """
    out = {name: np.zeros(n, np.float32) for name in ("feature_norms", "slot_sums", "slot_squares", "slot_confidence")}
    out["words"], logits, found, longest = np.zeros(n, np.int16), np.empty((n, model.classifier.out_features), np.float32), [], 0
    for positions, batch in batches:
        whole, tokens = model.features(**_inputs(batch))
        logits[positions] = model.classifier(whole).float().cpu().numpy()
        out["feature_norms"][positions] = whole.float().norm(dim=-1).cpu().numpy()
        rows, places = (batch["word"] > 0).nonzero(as_tuple=True)
        slots = model.slot_classifier(tokens)[rows, places].cpu()
        word, labels, rows, places = (values.cpu() for values in (batch["word"], batch["slots"], rows, places))
        probs = torch.softmax(slots.double(), -1)  # [words, S], on the processor: Apple's GPUs have no float64
        best, slot = probs.max(-1)
        probs[torch.arange(len(rows)), labels[rows, places]] -= 1
        error = probs.norm(dim=-1)
        counts = (word > 0).sum(1)
        for name, values in (("slot_sums", error), ("slot_squares", error**2), ("slot_confidence", best.log() / counts[rows])):
            sums = torch.zeros(len(counts), dtype=torch.float64).index_add_(0, rows, values)
            out[name][positions] = sums.float().numpy()
        out["words"][positions] = counts.numpy()
        number = word[rows, places] - 1
        found.append((positions[rows.numpy()], number.numpy(), slot.numpy()))
        longest = max(longest, int(number.max()) + 1)
    predictions = np.full((n, longest), -1, np.int16)
    for rows, numbers, slots in found:
        predictions[rows, numbers] = slots
    return {"logits": logits} | out | {"slot_predictions": predictions}


def el2n(recorded: dict, labels: np.ndarray) -> np.ndarray:
    """Joint EL2N from recorded arrays, the L2 norm of the stacked errors, [N]."""
    probs = softmax(recorded["logits"].astype(np.float64), axis=-1)
    parts = (recorded[name] for name in ("slot_sums", "slot_squares", "words"))
    return scores.combined(scores.el2n(probs, labels), *parts, "norm")


def measure(task: Task, split: Split, recorded: dict) -> dict[str, float]:
    """How good the predictions of a split are; labels that never occur in training are wrong like any other.

    ``accuracy`` of the intent; ``span_f1`` of the slots; ``tag_accuracy``, the share of words whose tag is right, "O" included
    (the "slot F1" of the code released with NLU on Data Diets); ``frame_accuracy``, the share of utterances whose intent and
    slots are all right; ``unseen``, the share of utterances with a label that no training example of the run's task has.
    """
    names, train = task.slot_names, task.train
    true = split.inputs["slots"]
    predicted = spans.filled(recorded["slot_predictions"], true, names.index(spans.OUTSIDE))
    intent = recorded["logits"].argmax(1) == split.labels
    tags = [[a == b for a, b in zip(*rows, strict=True)] for rows in zip(true, predicted, strict=True)]
    intents, slots = set(train.labels.tolist()), {slot for row in train.inputs["slots"] for slot in row}
    new = [label not in intents or not slots.issuperset(row) for label, row in zip(split.labels.tolist(), true, strict=True)]
    in_words = ([[names[slot] for slot in row] for row in rows] for rows in (true, predicted))
    return {
        "accuracy": float(intent.mean()),
        "span_f1": spans.f1(*in_words),
        "tag_accuracy": float(np.concatenate(tags).mean()),
        "frame_accuracy": float(np.mean([right and all(row) for right, row in zip(intent, tags, strict=True)])),
        "unseen": float(np.mean(new)),
    }
