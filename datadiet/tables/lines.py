"""Tables of JSON objects, one a line (.jsonl, .ndjson) or in one array (.json): the text of each object stays as it was typed.

New keys are put before the last bracket of an object, so that numbers keep their digits and values their types.
"""

import copy
import json

from datadiet.errors import InputError
from datadiet.tables import charset, files
from datadiet.tables.table import Table, simple_values

LINE = b"\n"


class Lines(Table):
    """A table of a file of JSON objects.

    Attributes
    ----------
    rows : list of bytes
        Text of each object.
    gaps : list of bytes
        Bytes above each object: line ends and blank lines, or the comma of an array.
    head, tail : bytes
        Bytes above the first object and below the last.
    new : dict
        Name -> values of the columns that were added.
    """

    def __len__(self):
        return len(self.rows)

    def cells(self, name):
        self.require("tables.cells", name)
        if name in self.new:
            return list(self.new[name])
        return [json.loads(row).get(name) for row in self.rows]

    def take(self, positions):
        positions = self.at(positions).tolist()
        out = copy.copy(self)
        out.rows, out.gaps, out.lines = ([each[i] for i in positions] for each in (self.rows, self.gaps, self.lines))
        out.new = {name: [values[i] for i in positions] for name, values in self.new.items()}
        return out

    def added(self, new):
        simple_values(new)
        out = copy.copy(self)
        out.new = self.new | {name: list(values) for name, values in new.items()}
        out.columns = (*self.columns, *new)
        return out

    def fits(self, ending):
        return ending in (".json", self.kind) or ending in files.LINES and not self.in_array

    def where(self, row):
        return f"line {self.lines[row]}"

    def save(self, stream):
        out = self.charset.out
        stream.write(self.charset.mark + out(self.head))
        keys = [json.dumps(name) for name in self.new]
        columns = list(self.new.values())
        block = []
        for n, row in enumerate(self.rows):
            if n:
                block.append(self.gaps[n] or self.usual_gap)
            # An infinity is "Infinity": pyarrow, and so datasets, reads that, and refuses 1e999, which would be JSON proper.
            block.append(extended(row, keys, [json.dumps(values[n]) for values in columns]))
            if len(block) > 10_000:
                stream.write(out(b"".join(block)))
                block = []
        stream.write(out(b"".join(block) + self.tail))


def extended(row: bytes, keys: list[str], values: list[str]) -> bytes:
    r"""An object with keys put before its last bracket, spaced as it is.

    >>> extended(b'{"a": 1}', ['"b"'], ["2"]), extended(b'{"a":1}', ['"b"'], ["2"]), extended(b"{}", ['"b"'], ["2"])
    (b'{"a": 1, "b": 2}', b'{"a":1,"b":2}', b'{"b": 2}')
    """
    if not keys:
        return row
    end = row.rindex(b"}")
    body = row[:end].rstrip()
    empty = body == b"{"
    colon, comma = (":", ",") if not empty and b'": ' not in row else (": ", ", ")
    pairs = comma.join(f"{key}{colon}{value}" for key, value in zip(keys, values, strict=True))
    return body + ("" if empty else comma).encode() + pairs.encode() + row[len(body) :]


def read(file, encoding: str | None = None) -> Lines:
    """A table from a .jsonl, .ndjson or .json file.

    Raises
    ------
    InputError
        A line that is no JSON object, named by its number; no object at all.
    """
    name = file.name
    data, how, notes = charset.opened(name, files.content(file), encoding)
    if how.inner in ("cp1252", "iso8859-1"):
        data, how = data.decode(how.inner).encode("utf-8"), charset.Charset("utf-8", how.inner, how.mark)
    if how.inner == "mixed":
        raise InputError(f"tables.read: {name} could not be read: JSON is UTF-8 throughout, and this is not. {notes[0]}")
    out = Lines()
    out.kind, out.charset, out.new = files.ending(file)[0], how, {}
    out.in_array = data.lstrip()[:1] == b"["
    if out.in_array:
        array(out, name, data)
    else:
        by_line(out, name, data)
    if not out.rows:
        raise InputError(f"tables.read: {name} holds no rows; give a file with a JSON object an example.")
    out.notes = tuple(notes)
    return out


def by_line(out: Lines, name: str, data: bytes) -> None:
    """One object a line; blank lines are no rows."""
    columns, out.rows, out.gaps, out.lines = {}, [], [], []
    gap, before = b"", b""
    for number, line in enumerate(data.split(LINE), 1):
        text = line.strip(b" \t\r")
        if not text:
            gap += line + LINE
            continue
        lead = line[: len(line) - len(line.lstrip(b" \t\r"))]
        gap += lead
        keys = parsed(name, number, text).keys()
        if not keys <= columns.keys():
            columns |= dict.fromkeys(keys)
        out.gaps.append(before + gap if out.rows else gap)
        if not out.rows:
            out.head = gap
        out.rows.append(text)
        out.lines.append(number)
        before, gap = line[len(lead) + len(text) :] + LINE, b""
    out.columns = tuple(columns)
    out.tail = (before + gap)[:-1]  # split gives one line more than there are line ends
    out.usual_gap = b"\r\n" if b"\r\n" in data[:100_000] else LINE
    out.gaps[:1] = [b""]


class Twice(dict):
    """An object that names a key twice, of which only the last value would be read."""


def once(pairs: list) -> dict:
    """An object of its pairs."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else Twice(pairs)


DECODER = json.JSONDecoder(object_pairs_hook=once)  # json.loads with a hook makes one a call, which takes as long as to read


def refuse_twice(name: str, number: int, text, value: dict) -> None:
    """Refuse an object that names a key twice; one within it is a value, which is not looked into."""
    if isinstance(value, Twice):
        keys = [key for key, _ in json.JSONDecoder(object_pairs_hook=list).decode(str(text, "utf-8"))]
        raise InputError(
            f"tables.read: line {number} of {name} names {max(keys, key=keys.count)!r} twice in one object, so one of its values "
            "would not be read; rename one, or take it out."
        )


def parsed(name: str, number: int, text: bytes) -> dict:
    """The object of a line."""
    try:
        value = DECODER.decode(text.decode(json.detect_encoding(text), "surrogatepass"))
    except (ValueError, RecursionError) as problem:
        hint = " The file seems to hold one object over several lines; give one object a line." if text in (b"{", b"[") else ""
        raise InputError(
            f"tables.read: {name} could not be read: line {number} is no JSON ({problem}).{hint} Mend the line, or take it out."
        ) from None
    if not isinstance(value, dict):
        raise InputError(
            f"tables.read: line {number} of {name} is a JSON {type(value).__name__}, not an object; give "
            '{"name": value, ...} in each line.'
        )
    refuse_twice(name, number, text, value)
    return value


def array(out: Lines, name: str, data: bytes) -> None:
    """Objects in one array."""
    text = data.decode("utf-8")
    columns = {}
    out.rows, out.gaps, out.lines = [], [], []
    at = before = counted = text.index("[") + 1
    line = text.count("\n", 0, at) + 1
    while True:
        blank = len(text[at : at + 10_000]) - len(text[at : at + 10_000].lstrip())
        at += blank
        if text[at : at + 1] == "]":
            break
        try:
            if out.rows:
                if text[at : at + 1] != ",":
                    raise ValueError("a comma or ] is missing")
                at += 1
                at += len(text[at : at + 10_000]) - len(text[at : at + 10_000].lstrip())
            value, stop = DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as problem:
            raise InputError(
                f"tables.read: {name} could not be read: element {len(out.rows)} of the array is no JSON ({problem})."
            ) from None
        line, counted = line + text.count("\n", counted, at), at
        if not isinstance(value, dict):
            raise InputError(
                f"tables.read: element {len(out.rows)} of the array in {name} (line {line}) is a JSON "
                f"{type(value).__name__}, not an object; give an array of objects."
            )
        refuse_twice(name, line, text[at:stop].encode(), value)
        if not out.rows:
            out.head = text[:at].encode()
        out.gaps.append(text[before:at].encode() if out.rows else b"")
        out.rows.append(text[at:stop].encode())
        out.lines.append(line)
        columns |= dict.fromkeys(value)
        at = before = stop
    if text[at + 1 :].strip():
        raise InputError(
            f"tables.read: {name} goes on behind the array that ends in line {text.count(chr(10), 0, at) + 1}, with "
            f"{text[at + 1 :].strip()[:20]!r}, which would not be read; give one array of objects, or an object a line."
        )
    out.columns, out.tail = tuple(columns), text[before:].encode()
    out.usual_gap = out.gaps[1] if len(out.gaps) > 1 else b",\n"
