"""Tables in text files: records as they were typed, and cells by position in them.

The bytes of the file stay. A row is a stretch of them, and a new column is a separator and a cell put before the line end of each
row; so quotes, blanks, line ends, the mark at the start and the encoding come back as they were.
"""

import copy
import re

import numpy as np

from datadiet.errors import InputError
from datadiet.tables import charset, files, joined, scan
from datadiet.tables.found import SEPARATORS, declared, headless, line_end, repeated, separator
from datadiet.tables.table import Table, listed, simple_values, some

BLANK = b" \t\r\n"


class Text(Table):
    """A table of a .csv, .tsv or .txt file.

    Attributes
    ----------
    data : bytes
        The file, with separators and line ends as single bytes.
    head : bytes
        Lines above the first row: the names, and blank lines.
    starts, stops, ends : int64 arrays [rows]
        Of each row: its first byte, the end of its last cell, and the end of its line end and of blank lines below it.
    bounds : uint array [rows, columns - 1]
        Positions of the separators in each row.
    width : int
        Letters of a separator: 2 where it stands twice between cells, as in a||b.
    new : dict
        Name -> cells of the columns that were added, as bytes.
    """

    def __len__(self):
        return len(self.starts)

    def cells(self, name):
        self.require("tables.cells", name)
        k = self.columns.index(name)
        if k >= self.own:
            return [unquoted(self.charset.text(cell), self.quotes) for cell in self.new[name]]
        first = self.starts if k == 0 else self.bounds[:, k - 1].astype(np.int64) + self.width
        last = self.stops if k == self.own - 1 else self.bounds[:, k]
        data, text = self.data, self.charset.text
        raw = [data[i:j] for i, j in zip(first.tolist(), last.tolist(), strict=True)]
        if self.quoted:
            return [unquoted(text(cell), True) if b'"' in cell else text(cell) for cell in raw]
        return [text(cell) for cell in raw]

    def take(self, positions):
        positions = self.at(positions)
        out = copy.copy(self)
        for each in ("starts", "stops", "bodies", "ends", "bounds", "lines"):
            setattr(out, each, getattr(self, each)[positions])
        out.new = {name: [cells[i] for i in positions.tolist()] for name, cells in self.new.items()}
        return out

    def added(self, new):
        simple_values(new)
        out = copy.copy(self)
        out.new = self.new | {name: [self.cell(value) for value in values] for name, values in new.items()}
        out.columns = (*self.columns, *new)
        return out

    def cell(self, value) -> bytes:
        """A new cell as it is written: quoted where it must be."""
        text = "" if value is None else value if isinstance(value, str) else repr(value)
        special = any(letter in text for letter in ('"', self.sep.decode(), "\r", "\n")) or text != text.strip()
        if special and self.quotes:
            text = '"' + text.replace('"', '""') + '"'
        elif any(letter in text for letter in (self.sep.decode(), "\r", "\n")):
            raise InputError(
                f"tables.write: {text[:40]!r} holds a separator or a line end, and this table has no quotes to put "
                "around it; write to a .csv, .jsonl or .parquet file."
            )
        return self.charset.bytes(text)

    def fits(self, ending):
        tabs = self.sep == b"\t"
        return ending == ".txt" or ending == ".tsv" and tabs or ending == ".csv" and (not tabs or self.kind == ".csv")

    def where(self, row):
        return f"line {self.lines[row]}"

    def save(self, stream):
        out, sep = self.charset.out, self.sep * self.width
        stream.write(self.charset.mark)
        names = [self.cell(name) for name in self.columns[self.own :]]
        stream.write(
            out(
                self.head[0]
                + b"".join(cell if not k and self.bare_head else sep + cell for k, cell in enumerate(names))
                + self.head[1]
            )
        )
        if not len(self):
            return
        line_end = self.head[1][:2] if self.head[1].startswith(b"\r\n") else self.head[1][:1]
        added = zip(*self.new.values(), strict=True) if self.new else iter(lambda: (), None)
        data, total = self.data, len(self)
        block = []
        rows = zip(self.starts.tolist(), self.bodies.tolist(), self.ends.tolist(), strict=True)
        for n, (start, body, end) in enumerate(rows, 1):
            cells = next(added)
            tail = data[body:end] or (line_end if n < total else b"")  # the last line of a file may have no end
            glue = b"" if not cells else sep.join(cells) if self.bare_rows else sep + sep.join(cells)
            block.append(data[start:body] + glue + tail)
            if len(block) == 10_000:
                stream.write(out(b"".join(block)))
                block = []
        stream.write(out(b"".join(block)))


def unquoted(text: str, quotes: bool) -> str:
    """The cell that was typed with quotes around it.

    >>> unquoted('"a, ""b"" c"', True), unquoted('5" disk', True)
    ('a, "b" c', '5" disk')
    """
    if not quotes:
        return text
    inner = text.strip(" ")
    if len(inner) > 1 and inner[0] == inner[-1] == '"':
        body = inner[1:-1]
        if '"' not in body.replace('""', ""):
            return body.replace('""', '"')
        if re.fullmatch(r'[^"\\]*(?:\\.[^"\\]*)*', body, re.DOTALL):
            return body.replace('\\"', '"')
    return text


def read(file, sep: str | None = None, encoding: str | None = None, quotes: bool | None = None) -> Text:
    """A table from a .csv, .tsv or .txt file.

    Parameters
    ----------
    file : path
    sep : str, optional
        The separator, one letter, or the same letter twice; found among comma, semicolon, tab, bar and two bars where it is not
        given.
    encoding : str, optional
        Found where it is not given: by the mark at the start, else UTF-8, else Windows-1252 or Latin-1.
    quotes : bool, optional
        Whether quotes enclose cells. Where not given they do, but not in a file of tabs in which they would join rows.

    Raises
    ------
    InputError
        No names or no rows; a row that has another number of cells than there are names; quotes that seem to join rows.
    """
    name = file.name
    raw = files.content(file)
    files.refuse_other(name, raw)
    data, how, notes = charset.opened(name, raw, encoding)
    out = Text()
    out.kind, out.data, out.charset, out.new = files.ending(file)[0], data, how, {}
    start = len(data) - len(data.lstrip(b"\r\n"))
    if start == len(data):
        raise InputError(nothing_in(name))
    end = line_end(data, start)
    said, start = declared(data, start, end)
    twice = sep is not None and len(sep) == 2 and sep[0] == sep[1]
    out.sep = separator(data, start, end, files.TEXT[out.kind], sep[0] if twice else sep, said, quotes is not False)
    parse(out, name, start, end, quotes, notes, twice or sep is None and said is None and out.sep == b"|")
    if twice and out.width == 1:
        raise InputError(
            f"--sep: {sep!r} does not stand between all cells of {name}, or a cell is missing somewhere; name another separator, "
            "or leave the option away to have it found."
        )
    if sep is None and out.sep != files.TEXT[out.kind] and out.own > 1 and said is None:
        word = "two bars" if out.width == 2 else SEPARATORS.get(out.sep, repr(out.sep.decode()))
        notes.append(f"{name} is separated by {word}; the result is too.")
    out.notes = tuple(notes)
    return out


def nothing_in(name: str) -> str:
    """Why a file without a line of names is refused."""
    return f"tables.read: {name} could not be read: it is empty. Give a file with names in its first line."


def parse(out: Text, name: str, start: int, end: bytes, quotes, notes, twice: bool = False) -> None:
    """Fill in names and positions; refuse a row with another number of cells than there are names. With `twice`, a separator that
    stands twice between all cells is one."""
    data = out.data
    out.quotes = quotes is not False
    ends, seps, regular = scan.scan(data, out.sep, end, out.quotes, start)
    if out.quotes and quotes is None:
        lines = joined.rows_in_cells(data, out.sep, end, start, ends, seps)
        if lines and out.sep == b"\t":
            out.quotes = False
            ends, seps, regular = scan.scan(data, out.sep, end, False, start)
            notes.append(
                f"{name}: a quote in line {lines[0]} would join the rows down to line {lines[1]}; quotes are read as "
                f"letters. Where they enclose cells, give --quotes enclose."
            )
        elif lines:
            raise InputError(
                f"tables.read: {name}: the quote that opens in line {lines[0]} closes in line {lines[1]}, and the "
                f"lines between look like rows of their own, which would be lost in one cell. Close or double the "
                f"quote; or say --quotes letters where quotes are letters, --quotes enclose where the cell is "
                f"meant to be so long."
            )
    out.quoted = out.quotes and b'"' in data
    if out.quoted and not regular:
        odd = scan.literal_quotes(data, out.sep, end, start)
        if odd:
            notes.append(
                f"{name}: {some(len(odd), 'cell')} with a quote at the beginning that does not close at the end of a cell "
                f"(first: line {line_of(data, odd[0], end)}); there it is read as a letter."
            )
    starts = np.concatenate([[start], ends[:-1]])
    stops = content_ends(data, starts, ends, end)
    counts = np.diff(np.searchsorted(seps, ends), prepend=0)
    spaces = blanks(data, starts, stops, counts)
    rows = np.flatnonzero(~spaces)
    if not len(rows):
        raise InputError(nothing_in(name))
    first, rows = rows[0], rows[1:]
    if not len(rows):
        raise InputError(f"tables.read: {name} holds no rows below its names; give a file with a row an example.")
    if spaces[first:].any() and spaces[rows[-1] :].sum() < spaces[first:].sum():
        empty = some(spaces[first : rows[-1]].sum(), "blank line")
        notes.append(f"{name}: {empty}, read as no row; each stays with the row above it.")
    cuts = np.concatenate([[0], np.searchsorted(seps, ends)])
    header = slices(data, starts[first], stops[first], seps[cuts[first] : cuts[first + 1]])
    names = [unquoted(how_named(out, name, cell), out.quotes) for cell in header]
    out.bare_rows = out.bare_head = False
    extra = counts[rows] + 1 - len(names)
    out.bodies = stops[rows]
    out.stops = stops[rows]
    last = np.maximum(cuts[rows + 1] - 1, 0)
    if len(seps) and (extra == 1).all() and (seps[last] == out.stops - 1).all():
        out.bare_rows, out.stops = True, out.stops - 1
        notes.append(
            f"{name}: every row ends in a separator that the names do not have; it is read as no cell"
            " (a new column begins behind it)."
        )
    elif (extra == -1).all() and len(names) > 1 and not names[-1]:
        out.bare_head, names = True, names[:-1]
        notes.append(f"{name}: the line of names ends in a separator that the rows do not have; it is read as no name.")
    elif (extra != 0).any():
        refuse_row(out, name, names, rows, counts, starts, extra, end, first)
    out.own, out.columns = len(names), tuple(names)
    keep = out.own - 1
    out.bounds = seps[cuts[rows][:, None] + np.arange(keep)] if keep else np.empty((len(rows), 0), np.int64)
    out.width = 1
    if twice and keep and keep % 2 == 0 and not any(names[1::2]) and (out.bounds[:, 1::2] == out.bounds[:, ::2] + 1).all():
        out.width, out.own, out.columns, out.bounds = 2, keep // 2 + 1, tuple(names[::2]), out.bounds[:, ::2]
    if len(data) < 2**32:
        out.bounds = out.bounds.astype(np.uint32)
    out.starts = starts[rows]
    out.ends = np.append(starts[rows[1:]], len(data))
    out.named = int(starts[first])
    out.head = data[: stops[first]], data[stops[first] : starts[rows[0]]]
    out.lines = lines_of(data, out.starts, end)
    headless(name, out)
    again = repeated(out)
    if again:
        notes.append(
            f"{name}: line {out.lines[again[0]]} repeats the names ({len(again)} such lines in all); it is read as a row."
        )


def how_named(out: Text, name: str, cell: bytes) -> str:
    """A name in the first line."""
    if b"\0" in cell:
        raise InputError(
            f"tables.read: the names of {name} hold zero bytes; it does not look like text. Say which encoding it "
            f"is in with --encoding (utf-16-le, for instance), or export it anew."
        )
    return out.charset.text(cell)


def refuse_row(out, name, names, rows, counts, starts, extra, end, first):
    """The error for the first row that has too many or too few cells."""
    bad = np.flatnonzero(extra)
    at, found = line_of(out.data, starts[rows[bad[0]]], end), counts[rows[bad[0]]] + 1
    sep = SEPARATORS.get(out.sep, repr(out.sep.decode()))
    others = "alone" if len(bad) == 1 else f"as {len(bad)} of {len(rows)} rows differ"
    others = "as every row has" if len(bad) == len(rows) else others
    where = rows[bad[0]]
    if found == len(names) + 1 and out.data[starts[where] : out.bodies[bad[0]]].endswith(out.sep):
        what = (
            f"its last cell is empty: take the last separator away, or put one behind every row (here {len(bad)} of {len(rows)})"
        )
    elif found > len(names):
        what = f"put the cell that holds {sep} into quotes, or name another separator with --sep"
    else:
        what = "add the cells that are missing, and look for a line end within a cell, or a quote that is not closed"
    if 2 * len(bad) > len(rows):
        what += "; or see whether the first line holds the names, one for each column, and take away what stands above them"
    raise InputError(
        f"tables.read: line {at} of {name} has {some(found, 'cell')} under {some(len(names), 'name')} ({others}; the names are "
        f"{listed(names)}, the separator is {sep}). Nothing was read, so that no cell moves under another name: "
        f"{what}."
    )


def content_ends(data, starts, ends, end) -> np.ndarray:
    """Where the content of each record ends and its line end begins."""
    whole = np.frombuffer(data, np.uint8)
    stops = ends - (whole[ends - 1] == end[0])
    if end == b"\n":
        stops = stops - ((stops > starts) & (stops < ends) & (whole[np.maximum(stops - 1, 0)] == scan.CR))
    return stops


def blanks(data, starts, stops, counts) -> np.ndarray:
    """Whether a record is a blank line: no separator, and nothing but white space."""
    found = stops == starts
    for i in np.flatnonzero((counts == 0) & ~found).tolist():
        found[i] = not data[starts[i] : stops[i]].strip(BLANK)
    return found


def slices(data, start, stop, seps) -> list[bytes]:
    """Cells of one record."""
    edges = [start - 1, *seps.tolist(), stop]
    return [data[a + 1 : b] for a, b in zip(edges, edges[1:], strict=False)]


def line_of(data: bytes, at: int, end: bytes) -> int:
    """Number of the line that a position is in, from 1."""
    return data.count(end, 0, int(at)) + 1


def lines_of(data: bytes, starts: np.ndarray, end: bytes) -> np.ndarray:
    """Number of the line each row begins in."""
    return np.searchsorted(scan.places(data, end[0]), starts) + 1
