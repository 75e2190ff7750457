"""Rows that a quote would swallow: cells over several lines whose lines look like rows.

A quote that was opened by mistake closes at the next quote that happens to stand at the end of a cell, and all rows between
become one cell. Such a cell is told from a long text by its lines: each has as many cells as there are names, and in some
column all of them hold words that single rows hold there too, again and again, as classes do.
"""

from collections import Counter

import numpy as np

from datadiet.tables.scan import places

LONG = 3  # lines of three cells or more: enough, where no column holds classes and cells of several lines are rare
RARE = 0.2  # share of the records
CLASSES = 0.5  # share of the records whose word in a column others have as well, from which it is one of classes


def rows_in_cells(data: bytes, sep: bytes, end: bytes, start: int, ends: np.ndarray, seps: np.ndarray) -> tuple[int, int] | None:
    """First and last line of the first record that seems to hold rows in a cell, from 1; None where there is none.

    Parameters
    ----------
    data, sep, end, start
        As for :func:`datadiet.tables.scan.slow`.
    ends, seps : int64 arrays
        What it returns.
    """
    starts = np.concatenate([[start], ends[:-1]])
    lines = places(data, end[0], start)
    inside = np.searchsorted(lines, ends - 1) - np.searchsorted(lines, starts)
    long = np.flatnonzero(inside > 0)
    if not len(long):
        return None
    width = int(np.searchsorted(seps, ends[0]))
    suspects = []
    for i in long.tolist():
        parts = data[starts[i] : ends[i]].rstrip(b"\r\n").split(end)
        parts = [part for part in parts if part.strip()]
        if width and len(parts) > 1 and all(part.count(sep) == width for part in parts):
            suspects.append((i, [part.rstrip(b"\r").split(sep) for part in parts]))
    if not suspects:
        return None
    words = known(data, sep, starts, ends, inside)
    for i, parts in suspects:
        columns = list(zip(*parts, strict=True))
        alike = any(all(bare(cell) in words[k] for cell in columns[k]) for k in words)
        if alike or not words and width > 1 and len(parts) >= LONG and len(long) <= RARE * len(ends):
            first = int(np.searchsorted(lines, starts[i])) + data.count(end, 0, start) + 1
            return first, first + int(inside[i])
    return None


def bare(cell: bytes) -> bytes:
    """A cell without quotes and blanks around it."""
    return cell.strip(b' "')


def known(data, sep, starts, ends, inside) -> dict[int, set]:
    """For each column of classes, words that at least two records of one line hold there."""
    counts, records = [], 0
    for i in np.flatnonzero(inside == 0)[1:].tolist():
        cells = data[starts[i] : ends[i]].rstrip(b"\r\n").split(sep)
        counts = counts or [Counter() for _ in cells]
        if len(cells) == len(counts):
            records += 1
            for count, cell in zip(counts, cells, strict=True):
                count[bare(cell)] += 1
    often = [{word: times for word, times in count.items() if times > 1 and word} for count in counts]
    return {k: set(count) for k, count in enumerate(often) if sum(count.values()) > CLASSES * records}
