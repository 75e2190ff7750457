"""What several scores compute of rows of predictions: errors, leads, the label's entry, and means over runs.

A table is read a block of rows at a time: a block and all that is made of it stay in the processor's cache. Blocks of a large
table are shared out among the cores; no row knows of another, so the result does not depend on how many there are.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

BLOCK = 2**17  # numbers in a block: 1 MiB of float64, what a core's cache holds
LARGE = 2**20  # numbers in a table that is worth a second thread


def each_block(work, rows: np.ndarray) -> list:
    """``work(part)`` for slices that cut the last axis but one of `rows`, [..., N, K], into blocks; the results in order."""
    n, size = rows.shape[-2], max(1, BLOCK // rows.shape[-1])
    parts = [slice(start, start + size) for start in range(0, n, size)]
    threads = min(len(parts), os.cpu_count() or 1) if n * rows.shape[-1] >= LARGE else 1
    if threads == 1:
        return [work(part) for part in parts]
    shares = [parts[i * len(parts) // threads : (i + 1) * len(parts) // threads] for i in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        return [result for of_share in pool.map(lambda share: [work(part) for part in share], shares) for result in of_share]


def mean(score, *runs, labels=None) -> np.ndarray:
    """Mean over runs of the score of each, [N].

    `runs` are arrays [R, N, ...]; `score` gets a float64 copy of a block of each, which it may overwrite, and the labels of the
    block where there are any.
    """
    out = np.empty(runs[0].shape[1])

    def work(part):
        own = () if labels is None else (labels[part],)
        of_each = (score(*(np.array(x[part], np.float64, order="C") for x in run), *own) for run in zip(*runs, strict=True))
        out[part] = sum(of_each) / len(runs[0])

    each_block(work, max(runs, key=lambda run: run.shape[-1]))
    return out


def _at(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Where the label's entry of each row is in the rows laid end to end, [N]."""
    return np.arange(0, rows.size, rows.shape[-1]) + labels


def errors(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """||p - y||_2, [N]; may overwrite p."""
    p = np.ascontiguousarray(p)  # else what is laid end to end below is a copy
    p.reshape(-1)[_at(p, labels)] -= 1
    return np.sqrt(np.einsum("nk,nk->n", p, p))


def of_label(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The label's entry of each row, [N]."""
    return rows.reshape(-1).take(_at(rows, labels))


def greatest(rows: np.ndarray) -> np.ndarray:
    """The greatest entry of each row, [N]. Column by column where there are few: numpy is slow on short rows."""
    if rows.shape[-1] > 64:
        return rows.max(-1)
    out = rows[:, 0].copy()
    for column in rows.T[1:]:
        np.maximum(out, column, out=out)
    return out


def lead(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How far the best of the other classes is ahead of the label, [N]; may overwrite the rows."""
    rows = np.ascontiguousarray(rows)
    own = of_label(rows, labels)
    rows.reshape(-1)[_at(rows, labels)] = -np.inf
    return greatest(rows) - own
