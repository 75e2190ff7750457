"""Image splits on the device: pixels made ready as the network is to see them, cut into batches, shifted and mirrored if asked.

    seen = ready(task, "standardised", "cpu")      # name -> Pictures
    seen["train"].batch([0, 1, 2])["image"]        # [3, C, H, W]
    seen["train"].norms                            # [N], the norm of each image as the network sees it

How pixels are normalised is a setting of a run, because a score that reads the norm of its input reads another norm with each.
"""

from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F

from datadiet import scores
from datadiet.data import Task
from datadiet.data.sources import Images
from datadiet.errors import InputError

PATCH = 2  # side of the patches that "whitened" decorrelates
FLOOR = 1e-2  # added to the variances of patches before their root is divided by; standardised pixels have variance 1
BORDER = 4  # pixels by which a training image may be shifted (Paul et al. 2021)


class Pictures:
    """A split as one tensor on the device."""

    def __init__(self, images: torch.Tensor, labels: np.ndarray, device):
        self.images, self.device = images.to(device), device
        self.labels = torch.as_tensor(labels, device=device)

    @property
    def norms(self) -> np.ndarray:
        """L2 norm of each image as the network sees it, float32 [N]."""
        return scores.input_norm(self.images.cpu().numpy()).astype(np.float32)

    def longest(self, positions) -> None:
        """None: nothing is padded."""

    def batch(self, positions, longest: None = None) -> dict:
        """Images [B, C, H, W] and labels [B] at `positions`, which may be a tensor on the device."""
        positions = torch.as_tensor(positions, device=self.device)
        return {"image": self.images[positions], "labels": self.labels[positions]}

    def parts(self, positions) -> list:
        """One part: there is nothing to pad."""
        return [positions]

    def in_order_of_length(self, positions, size):
        """Batches in the order given: all images are of one size."""
        return [positions[i : i + size] for i in range(0, len(positions), size)]

    def shuffled(self, positions, size, rng):
        """One epoch: every position once, in random batches."""
        return self.in_order_of_length(rng.permutation(positions), size)


@lru_cache(maxsize=4)  # a sweep asks for the same few sets hundreds of times; decoding 15,000 images takes seconds
def _decoded(images: Images) -> torch.Tensor:
    return torch.from_numpy(np.asarray(images))


def pixels(images) -> torch.Tensor:
    """Images of a split as float32 [N, C, H, W] in [0, 1]."""
    return _decoded(images) if isinstance(images, Images) else torch.from_numpy(images)


def unit_range(train: torch.Tensor):
    """Pixels as they come, in [0, 1]."""
    return lambda x: x


def standardised(train: torch.Tensor):
    """Every channel with mean 0 and variance 1 over the training set (Paul et al. 2021)."""
    mean, std = train.mean((0, 2, 3), keepdim=True), train.std((0, 2, 3), keepdim=True)
    return lambda x: (x - mean) / std


def per_image(train: torch.Tensor):
    """Every image with mean 0 and variance 1 over its own values: all have the same norm, so it can rank nothing."""
    return lambda x: (x - x.mean((1, 2, 3), keepdim=True)) / (x.std((1, 2, 3), keepdim=True) + 1e-6)


def whitened(train: torch.Tensor):
    """Standardised, then every 2 x 2 patch rotated to principal components of variance 1: [N, 4 C, H - 1, W - 1].

    The activations of a fixed first layer of whitening filters, as in the fast residual net of Kirsch's second rerun. Smooth
    areas, which carry most of a photograph's norm, count for little afterwards; edges and noise count for much.
    """
    first = standardised(train)
    x = first(train)
    n = x.shape[1] * PATCH * PATCH
    total, square, count = torch.zeros(n, dtype=torch.float64), torch.zeros(n, n, dtype=torch.float64), 0
    for some in x.split(512):  # all patches of the set at once would take gigabytes
        patches = F.unfold(some, PATCH).transpose(1, 2).reshape(-1, n).double()
        total, square, count = total + patches.sum(0), square + patches.T @ patches, count + len(patches)
    mean = total / count
    variances, directions = torch.linalg.eigh(square / count - mean[:, None] * mean)
    # The sign of an eigenvector is arbitrary and differs between libraries; fix it, so that a run is the same everywhere.
    directions = directions * torch.sign(directions.gather(0, directions.abs().argmax(0, keepdim=True)))
    filters = (directions / (variances.clamp(min=0) + FLOOR).sqrt()).T  # [n, n], a filter a row
    weight, bias = filters.float().reshape(n, -1, PATCH, PATCH), -(filters @ mean).float()
    return lambda x: F.conv2d(first(x), weight, bias)


INPUTS = {"unit range": unit_range, "standardised": standardised, "per image": per_image, "whitened": whitened}


def ready(task: Task, inputs: str, device) -> dict[str, Pictures]:
    """Every split of an image task as the network sees it; the statistics of a normalisation are those of the training split.

    Raises
    ------
    InputError
        An unknown way to normalise.
    """
    if inputs not in INPUTS:
        raise InputError(f"pictures.ready: inputs {inputs!r}; choose one of {', '.join(map(repr, INPUTS))}.")
    view = INPUTS[inputs](pixels(task.train.inputs["image"]))
    splits = {name: split for name in ("train", "validation", "test") if (split := getattr(task, name)) is not None}
    with torch.no_grad():
        return {name: Pictures(view(pixels(split.inputs["image"])), split.labels, device) for name, split in splits.items()}


def shifted(batch: dict) -> dict:
    """A training batch with each image shifted by up to 4 pixels and, half the time, flipped left to right.

    Pixels that a shift uncovers are mirrored from inside. Draws from torch's current generator, which the loop has seeded.
    """
    x = batch["image"]
    n, _, height, width = x.shape
    border = min(BORDER, height - 1, width - 1)
    padded = F.pad(x, (border,) * 4, mode="reflect")
    down, right = (torch.randint(0, 2 * border + 1, (n, 1), device=x.device) for _ in range(2))
    rows = down + torch.arange(height, device=x.device)  # [B, H]
    columns = right + torch.arange(width, device=x.device)  # [B, W]
    columns = torch.where(torch.rand(n, 1, device=x.device) < 0.5, columns.flip(1), columns)
    each = torch.arange(n, device=x.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None]]  # [B, H, W, C]
    return batch | {"image": moved.permute(0, 3, 1, 2)}
