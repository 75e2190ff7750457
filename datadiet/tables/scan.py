r"""Where the records and cells of a text file begin and end, by position in its bytes.

A quoted cell begins with a quote and ends at the first quote that is not doubled, which a separator, a line end or the end of
the file must follow; blanks may stand around it. Where that is not so, quotes within may have a backslash before them.
Separators and line ends within are letters. Any other quote is a letter, one that is never closed included. :func:`slow` reads
cell by cell as this says; :func:`fast` finds the same by counting quotes, where every quote of the file is one of a quoted cell
or of a doubled pair within.

>>> ends, seps = slow(b'a,"b,\nc"\nd,e', b",", b"\n")
>>> ends.tolist(), seps.tolist()
([9, 12], [1, 10])
"""

import re

import numpy as np

QUOTE, CR, LF = 0x22, 0x0D, 0x0A
BLOCK = 2**24


def places(data: bytes, byte: int, start: int = 0) -> np.ndarray:
    """Positions of a byte in `data` from `start` on, int64."""
    whole = np.frombuffer(data, np.uint8)
    found = [np.flatnonzero(whole[at : at + BLOCK] == byte) + at for at in range(start, len(data), BLOCK)]
    return np.concatenate(found) if found else np.empty(0, np.int64)


def fast(data: bytes, sep: bytes, end: bytes, quotes: bool = True, start: int = 0):
    """As :func:`slow`, or None where a quote is neither at the border of a cell nor doubled within one."""
    ends, seps = places(data, end[0], start), places(data, sep[0], start)
    marks = places(data, QUOTE, start) if quotes else np.empty(0, np.int64)
    if len(marks):
        if len(marks) % 2:
            return None
        whole = np.frombuffer(data, np.uint8)
        opens, closes = marks[::2], marks[1::2]
        before = whole[np.maximum(opens - 1, 0)]
        after = whole[np.minimum(closes + 1, len(data) - 1)]
        beyond = whole[np.minimum(closes + 2, len(data) - 1)]
        last = closes == len(data) - 1
        if not np.all((opens == start) | (before == sep[0]) | (before == end[0]) | (before == QUOTE)):
            return None
        if not np.all(
            last
            | (after == sep[0])
            | (after == end[0])
            | (after == QUOTE)
            | (after == CR) & (end[0] == LF) & (beyond == LF) & (closes < len(data) - 2)
        ):
            return None
        ends = ends[np.searchsorted(marks, ends) % 2 == 0]
        seps = seps[np.searchsorted(marks, seps) % 2 == 0]
    ends = ends + 1
    if len(data) > (ends[-1] if len(ends) else start):
        ends = np.append(ends, len(data))
    return ends, seps


def cell_pattern(sep: bytes, end: bytes) -> re.Pattern:
    """One cell and the byte that ends it, if any; group 1 is a quoted cell."""
    stop = re.escape(sep) + re.escape(end)
    line = rb"\r?\n" if end == b"\n" else re.escape(end)
    carriage = rb"\r?" if end == b"\n" else b""
    after = rb"(?=" + re.escape(sep) + rb"|" + line + rb"|\Z)"
    doubled, escaped = rb'(?>[^"]*(?:""[^"]*)*)', rb'(?>[^"\\]*(?:\\.[^"\\]*)*)'
    quoted = rb'( *"(?:' + doubled + rb'" *' + after + rb"|" + escaped + rb'" *' + after + rb"))" + carriage
    return re.compile(rb"(?:" + quoted + rb"|[^" + stop + rb"]*)([" + stop + rb"]|\Z)", re.DOTALL)


def slow(data: bytes, sep: bytes, end: bytes, quotes: bool = True, start: int = 0):
    r"""Positions behind each record (its line end included) and of the separators between cells.

    Parameters
    ----------
    data : bytes
        The file.
    sep, end : bytes
        One byte each: the separator, and the last byte of a line end ("\n", or "\r" where a file has no other).
    quotes : bool
        Whether quotes enclose cells; else they are letters.
    start : int
        Position of the first record.

    Returns
    -------
    ends, seps : int64 arrays
    """
    stop = re.escape(sep) + re.escape(end)
    pattern = cell_pattern(sep, end) if quotes else re.compile(rb"()[^" + stop + rb"]*([" + stop + rb"]|\Z)")
    ends, seps, at = [], [], start
    begun = False  # whether a record is under way
    for match in pattern.finditer(data, start):
        if match.start() != at:
            break
        at = match.end()
        if match[2] == sep:
            seps.append(at - 1)
            begun = True
        elif match[2] == end:
            ends.append(at)
            begun = False
        else:  # the end of the file
            if begun or match.end() > match.start():
                ends.append(at)
            break
    return np.array(ends, np.int64), np.array(seps, np.int64)


def literal_quotes(data: bytes, sep: bytes, end: bytes, start: int = 0) -> list[int]:
    """Positions of cells that begin with a quote and are no quoted cells, so that the quote is a letter."""
    return [
        match.start()
        for match in cell_pattern(sep, end).finditer(data, start)
        if match[1] is None and data[match.start() : match.start() + 1] == b'"'
    ]


def scan(data: bytes, sep: bytes, end: bytes, quotes: bool = True, start: int = 0):
    """Positions of ends and separators, the fast way where it is one, and whether it was."""
    found = fast(data, sep, end, quotes, start)
    return (*found, True) if found is not None else (*slow(data, sep, end, quotes, start), False)
