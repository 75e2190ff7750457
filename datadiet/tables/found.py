"""Properties of a text file that its first lines show: line ends, the separator, and whether it has names at all."""

import re

import numpy as np

from datadiet.errors import InputError
from datadiet.tables import scan

SEPARATORS = {b",": "a comma", b";": "a semicolon", b"\t": "a tab", b"|": "a bar"}
SAMPLE = 2**20  # bytes that the separator is looked for in
FIRST_LINE = re.compile(rb'(?>"[^"]*"|[^"\r\n])*+')
ROWS = 2000  # rows that the names are compared with


def line_end(data: bytes, start: int) -> bytes:
    """Last byte of the line ends: a carriage return where the first line ends in one alone, as on an old Mac, else a line "
    "feed."""
    at = FIRST_LINE.match(data, start).end()
    return b"\r" if data[at : at + 1] == b"\r" and data[at + 1 : at + 2] != b"\n" else b"\n"


def declared(data: bytes, start: int, end: bytes):
    """Separator that a first line ``sep=;`` names (Excel reads it), and where the names begin."""
    stop = data.find(end, start)
    line = data[start:stop].strip()
    if stop > 0 and len(line) == 5 and line[:4].lower() == b"sep=":
        return line[4:], stop + 1
    if stop > 0 and line.lower() == b"sep=" and data[start:stop].rstrip(b"\r\n")[-1:] == b"\t":
        return b"\t", stop + 1
    return None, start


def separator(data, start, end, usual, asked, said, quotes: bool) -> bytes:
    """The separator: asked for, declared, or the one that gives the rows of a sample as many cells as there are names."""
    if asked is not None:
        found = {"tab": b"\t", "\\t": b"\t"}.get(asked, asked.encode())
        if len(found) != 1 or found in (b'"', b"\n", b"\r"):
            raise InputError(
                f"--sep: {asked!r} is not a separator; give one letter such as ';' or '|', the same one twice, or the word tab."
            )
        return found
    if said is not None:
        return said
    sample = data[start : start + SAMPLE]
    cut = sample.rfind(end) if len(data) > start + SAMPLE else -1
    sample = sample[: cut + 1] if cut > 0 else sample
    found = {}
    for sep in sorted(SEPARATORS, key=lambda sep: sep != usual):
        ends, seps, _ = scan.scan(sample, sep, end, quotes)
        counts = np.diff(np.searchsorted(seps, ends), prepend=0)
        if len(counts) and counts[0]:
            same = np.mean((counts == counts[0]) | (np.diff(ends, prepend=0) <= 2))
            found[sep] = (same == 1, same > 0.5, sep == usual, counts[0])
    return max(found, key=found.get) if found else usual


def repeated(table) -> list[int]:
    """Rows that say the names again, as where files were put one behind the other."""
    names = table.head[0][table.named :]
    same_length = np.flatnonzero(table.bodies - table.starts == len(names)).tolist()
    return [row for row in same_length if table.data[table.starts[row] : table.bodies[row]] == names]


def headless(name: str, table) -> None:
    """Refuse a file whose first line is a row: it holds a number or a text, and a word that is a cell of its own column again."""
    names = table.columns
    like_a_row = [word for word in names if re.fullmatch(r"[-+]?\d+([.,]\d+)?", word.strip()) or len(word.split()) > 4]
    if not like_a_row or list(names) == [str(k) for k in range(len(names))]:
        return
    part = table.take(np.arange(min(ROWS, len(table))))
    for word in names:
        if word.strip() and names.count(word) == 1:
            times = part.cells(word).count(word)
            if times > 1 and 100 * times > len(part):
                raise InputError(
                    f"tables.read: the first line of {name} looks like a row, not like names: {like_a_row[0][:40]!r} is in "
                    f"it, and {word!r} is a cell of {times} rows below. Put a line of names above it."
                )
