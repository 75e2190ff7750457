"""Static shapes: an epoch of batches as tensors on the device, of few sizes, uploaded at once.

    for positions, weights, longest in laid_out(train, batches, rows=32):
        losses = problem.loss(model, train.batch(positions, longest))
        (weights * losses).sum().backward()             # the mean over the examples of the batch

A GPU spends time on every shape that it has not seen, and waits for every number that the processor sends or reads. So lengths
are rounded up to a few, a smaller batch is filled up with examples of weight zero, and nothing travels between two updates.
"""

import math
from bisect import bisect_left

import numpy as np
import torch
from torch import nn

STEP = 16  # tokens; matrix products of such sizes fill the units of a GPU
MOST = 8  # lengths of a run, each of which costs a GPU its first update


def buckets(longest: int) -> list[int]:
    """Lengths that batches are padded to: multiples of 16, or of the next multiple that makes no more than 8, and the longest.

    >>> buckets(64), buckets(50), buckets(12), buckets(200)
    ([16, 32, 48, 64], [16, 32, 48, 50], [12], [32, 64, 96, 128, 160, 192, 200])
    """
    step = STEP * math.ceil(longest / (STEP * MOST))
    return [*range(step, longest, step), longest]


def rounded_up(length: int, lengths: list[int]) -> int:
    """The first of the rising `lengths` that is not below `length`."""
    return lengths[bisect_left(lengths, length)]


def mixes(model: nn.Module) -> bool:
    """Whether an example's loss depends on the others of its batch: BatchNorm takes the mean over all, whatever their weights."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())


def laid_out(train, batches: list, rows: int | None, weights: torch.Tensor | None = None) -> list[tuple]:
    """Batches on the device, as (positions [B], weights [B], longest) each; the weighted sum of losses is the batch's mean.

    Parameters
    ----------
    train : Encoded or Pictures
        The training split, on its device.
    batches : list of int64 arrays
        Positions in the split; none of them empty.
    rows : int, optional
        B of every batch, its largest size: smaller ones repeat an example with weight zero. None leaves each batch its own
        size, for a model that mixes examples.
    weights : Tensor[N], optional
        On the device: they multiply the losses before the mean is taken.

    Returns
    -------
    list
        ``longest`` is the length in tokens that the batch is padded to, a whole number on the processor; None for images.
    """
    if not batches:
        return []
    wide = max(map(len, batches)) if rows is None else rows
    positions, shares = np.zeros((len(batches), wide), np.int64), np.zeros((len(batches), wide), np.float32)
    for number, batch in enumerate(batches):
        positions[number] = batch[0]
        positions[number, : len(batch)] = batch
        shares[number, : len(batch)] = 1 / len(batch)
    positions, shares = (torch.from_numpy(values).to(train.device) for values in (positions, shares))
    if weights is not None:
        shares = shares * weights[positions]
    sizes = [len(batch) if rows is None else rows for batch in batches]
    longest = [train.longest(batch) for batch in batches]
    return [(positions[i, :size], shares[i, :size], longest[i]) for i, size in enumerate(sizes)]
