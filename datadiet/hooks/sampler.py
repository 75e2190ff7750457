"""A torch sampler that leaves out the examples a schedule of :mod:`datadiet.dynamic` prunes, for a plain loop over a DataLoader.

    schedule = Dynamic(len(data), fraction=0.5)
    sampler = PruningSampler(schedule, seed=0)
    loader = DataLoader(data, batch_size=32, sampler=sampler)
    for epoch in range(epochs):
        if schedule.due(epoch):
            schedule.update(el2n(probabilities_of_all_examples, labels))
        sampler.set_epoch(epoch)
        for batch in loader: ...
"""

import math
from numbers import Integral

import numpy as np
import torch

from datadiet.errors import InputError


class PruningSampler(torch.utils.data.Sampler):
    """The positions that `schedule` keeps in the epoch of :meth:`set_epoch`, shuffled; on several processes, this one's share.

    Shares are those of ``torch.utils.data.DistributedSampler``: process r of W takes the entries r, r + W, ... of an order that
    is the same everywhere. The last entries are repeated from the start until all shares are equal, or cut with
    ``drop_last``. Every process needs the same scores or losses in its schedule: gather them first
    (:func:`datadiet.hooks.positions.gathered`).

    Parameters
    ----------
    schedule : Dynamic or Soft
        Anything with ``n`` and ``positions(epoch)``.
    shuffle : bool
        A new order in every epoch, drawn from `seed` and the epoch; else in order of position.
    seed : int
    num_replicas, rank : int, optional
        Number of processes and the number of this one; those of ``torch.distributed`` where it is running, else 1 and 0.
    drop_last : bool

    Raises
    ------
    InputError
        A rank outside the replicas; iterating before ``set_epoch``, which would train on the wrong epoch's examples.

    Examples
    --------
    >>> from datadiet.dynamic import Dynamic
    >>> schedule = Dynamic(6, fraction=0.5, warmup=1)
    >>> schedule.update([0.1, 0.9, 0.2, 0.8, 0.3, 0.7])
    >>> sampler = PruningSampler(schedule, shuffle=False)
    >>> sampler.set_epoch(0); list(sampler)
    [0, 1, 2, 3, 4, 5]
    >>> sampler.set_epoch(1); list(sampler), len(sampler)
    ([1, 3, 5], 3)
    """

    def __init__(self, schedule, *, shuffle=True, seed=0, num_replicas=None, rank=None, drop_last=False):
        running = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.replicas = num_replicas if num_replicas is not None else torch.distributed.get_world_size() if running else 1
        self.rank = rank if rank is not None else torch.distributed.get_rank() if running else 0
        if not callable(getattr(schedule, "positions", None)):
            raise InputError(f"hooks.PruningSampler: schedule={schedule!r:.60}; give a Dynamic, a Soft, or anything with "
                             "positions(epoch).")
        if not (isinstance(self.replicas, Integral) and isinstance(self.rank, Integral) and 0 <= self.rank < self.replicas):
            raise InputError(f"hooks.PruningSampler: rank={self.rank!r} of num_replicas={self.replicas!r}; give whole numbers, "
                             "0 <= rank < num_replicas.")
        for name, value in (("shuffle", shuffle), ("drop_last", drop_last)):
            if not isinstance(value, bool | int | np.bool_):
                raise InputError(f"hooks.PruningSampler: {name}={value!r:.60}; say True or False.")
        if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
            raise InputError(f"hooks.PruningSampler: seed={seed!r}; it is a whole number, 0 or more.")
        self.schedule, self.shuffle, self.seed, self.drop_last = schedule, shuffle, seed, drop_last
        self.epoch = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the examples and the order of `epoch`, counted from 0; after the schedule's update, where one is due."""
        if isinstance(epoch, bool) or not isinstance(epoch, Integral) or epoch < 0:
            raise InputError(f"hooks.PruningSampler.set_epoch: epoch={epoch!r:.60}; it is a whole number, 0 or more.")
        self._order, self.epoch = self._of(epoch), epoch

    def _of(self, epoch: int) -> list[int]:
        kept = self.schedule.positions(epoch)
        if self.shuffle:
            kept = np.random.default_rng([self.seed, epoch]).permutation(kept)
        each = len(kept) // self.replicas if self.drop_last else math.ceil(len(kept) / self.replicas)
        return np.resize(kept, each * self.replicas)[self.rank :: self.replicas].tolist()

    def __iter__(self):
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> list[int]:
        if self.epoch is None:
            raise InputError("hooks.PruningSampler: no epoch yet; call set_epoch(epoch) before each epoch, from 0.")
        return self._order


class Kept(torch.utils.data.Sampler):
    """Another sampler's order without the positions that are left out: its shuffling and its seed stay as they are."""

    def __init__(self, inner, kept: np.ndarray):
        self.inner, self.kept = inner, kept  # bool [n]; changed between epochs

    def set_epoch(self, epoch: int) -> None:
        if hasattr(self.inner, "set_epoch"):
            self.inner.set_epoch(epoch)

    def __iter__(self):
        return (position for position in self.inner if self.kept[position])

    def __len__(self) -> int:
        return int(self.kept.sum())
