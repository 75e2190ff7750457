"""Errors, leads, the label's entry and means over runs: the parts of scores of rows of predictions.

A table is scored a block of rows at a time, so that all arrays made of a block stay in the processor's cache. A block is turned
so that each class is one long row: numpy is slow on many short ones. The blocks of a large table are shared out among the cores;
no row depends on another, so the result does not depend on the number of cores.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

BLOCK = 2**17  # numbers in a block: 1 MiB of float64, the size of a core's cache
LARGE = 2**20  # numbers in a table that is worth a second thread


def columns(rows: np.ndarray) -> np.ndarray:
    """A float64 copy of [N, K] as [K, N]."""
    return np.array(rows.T, np.float64, order="C")


def mean(score, *runs, labels=None, fine=None) -> np.ndarray | None:
    """Mean over runs of the score of each, [N].

    `runs` are arrays [R, N, ...]; `score` gets the :func:`columns` of a block of each, which it may overwrite, and the labels of
    the block where there are any. ``fine(columns)`` is asked of each block of the first array; where it says no, None comes back.
    """
    n, widest = runs[0].shape[1], max(run.shape[-1] for run in runs)
    size, out = max(1, BLOCK // widest), np.empty(n)

    def work(parts) -> bool:
        for part in parts:
            own, of_each = () if labels is None else (labels[part],), []
            with np.errstate(over="ignore", invalid="ignore"):  # what comes out is looked at by the caller
                for run in zip(*runs, strict=True):
                    turned = [columns(x[part]) for x in run]
                    if fine is not None and not fine(turned[0]):
                        return False
                    of_each.append(score(*turned, *own))
                out[part] = sum(of_each) / len(of_each)
        return True

    parts = [slice(start, start + size) for start in range(0, n, size)]
    threads = min(len(parts), os.cpu_count() or 1) if n * widest >= LARGE else 1
    first, *others = (parts[i * len(parts) // threads : (i + 1) * len(parts) // threads] for i in range(threads))
    elsewhere = [_helpers().submit(work, share) for share in others]
    return out if all([work(first), *(each.result() for each in elsewhere)]) else None


@cache
def _helpers() -> ThreadPoolExecutor:
    """Threads that stay, for every large table of a process."""
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1))


if hasattr(os, "register_at_fork"):  # a child has the executor but not its threads
    os.register_at_fork(after_in_child=_helpers.cache_clear)


def _at(c: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Where the label's entry of each example is in the columns laid end to end, [N]."""
    return labels * c.shape[1] + np.arange(c.shape[1])


def errors(c: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """||p - y||_2, [N], from columns, which are overwritten."""
    flat, at = c.reshape(-1), _at(c, labels)
    flat.put(at, flat.take(at) - 1)
    return np.sqrt(np.einsum("kn,kn->n", c, c))


def of_label(c: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The label's entry of each example, [N], from columns."""
    return c.reshape(-1).take(_at(c, labels))


def lead(c: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How far the best of the other classes is ahead of the label, [N], from columns, which are overwritten."""
    flat, at = c.reshape(-1), _at(c, labels)
    own = flat.take(at)
    flat.put(at, -np.inf)
    return c.max(0) - own


def logs(c: np.ndarray) -> np.ndarray:
    """ln p; a p below the smallest normal number counts as that, one that rounding made larger than 1 as 1."""
    out = np.clip(c, np.finfo(np.float64).tiny, 1)
    return np.log(out, out=out)
