"""Rows that a quote would swallow: cells over several lines whose lines look like rows.

A quote that was opened by mistake closes at the next quote that happens to stand at the end of a cell, and all rows between
become one cell. Such a cell is told from a long text by its lines: each has as many cells as there are names, and in some
column most of them hold words that other rows hold there too, as classes do. In a small table its own lines count as rows.
"""

from collections import Counter

import numpy as np

from datadiet.tables.scan import places

LONG = 3  # lines of three cells or more: enough, where no column holds classes and cells of several lines are rare
RARE = 0.2  # share of the records
ALIKE = 0.7  # share of the lines that hold words of classes: of two or three lines all
FEW = 50  # records of one line: fewer may not show every class
CLASSES = 0.5  # share of the records whose word in a column others have as well, from which it is one of classes


def rows_in_cells(data: bytes, sep: bytes, end: bytes, start: int, ends: np.ndarray, seps: np.ndarray) -> tuple[int, int] | None:
    """First and last line of the first record that seems to hold rows in a cell, from 1; None where there is none.

    Parameters
    ----------
    data, sep, end, start
        As for :func:`datadiet.tables.scan.slow`.
    ends, seps : int64 arrays
        Its answer.
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
    single = [data[starts[i] : ends[i]].rstrip(b"\r\n").split(sep) for i in np.flatnonzero(inside == 0)[1:].tolist()]
    words = known(single, width + 1)
    for i, parts in suspects:
        columns = list(zip(*parts, strict=True))
        if len(single) < FEW:
            words = known(single + parts, width + 1)
        alike = any(np.mean([bare(cell) in words[k] for cell in columns[k]]) >= ALIKE for k in words)
        if alike or not words and width > 1 and len(parts) >= LONG and len(long) <= RARE * len(ends):
            first = int(np.searchsorted(lines, starts[i])) + data.count(end, 0, start) + 1
            return first, first + int(inside[i])
    return None


def bare(cell: bytes) -> bytes:
    """A cell without quotes and blanks around it."""
    return cell.strip(b' "')


def known(records: list[list[bytes]], width: int) -> dict[int, set]:
    """For each column of classes, words that at least two records of `width` cells hold there."""
    records = [cells for cells in records if len(cells) == width]
    out = {}
    for k in range(width):
        often = {word: times for word, times in Counter(bare(cells[k]) for cells in records).items() if times > 1 and word}
        if sum(often.values()) > CLASSES * len(records):
            out[k] = set(often)
    return out
