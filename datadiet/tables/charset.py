"""Bytes of a text file as bytes in which separators, quotes and line ends are single ASCII bytes, and the way back.

UTF-8, Windows-1252 and Latin-1 are such already and are kept. Any other encoding is turned into UTF-8 inside and back on writing,
and only where that gives the same bytes again.
"""

import codecs
from dataclasses import dataclass

from datadiet.errors import InputError

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
KEPT = ("utf-8", "cp1252", "iso8859-1", "ascii")
BLOCK = 2**20


@dataclass(frozen=True)
class Charset:
    """How bytes inside are read as text, and how they go out.

    Attributes
    ----------
    inner : str
        Encoding of the bytes inside; "mixed" where a cell that is not UTF-8 is Windows-1252.
    outer : str or None
        Encoding of the file, where it is another one.
    mark : bytes
        The mark at the start of the file.
    """

    inner: str = "utf-8"
    outer: str | None = None
    mark: bytes = b""

    def text(self, raw: bytes) -> str:
        """Text of the bytes of a cell."""
        if self.inner != "mixed":
            return str(raw, self.inner)
        try:
            return str(raw, "utf-8")
        except UnicodeDecodeError:
            return western(raw)

    def bytes(self, text: str) -> bytes:
        """Bytes of a new cell, inside."""
        try:
            raw = text.encode("utf-8" if self.inner == "mixed" else self.inner)
            if self.outer:
                text.encode(self.outer)
            return raw
        except UnicodeEncodeError as problem:
            raise InputError(
                f"tables.write: {text[:40]!r} cannot be written as {self.outer or self.inner}, the encoding of the "
                f"table ({problem.reason}); save the table as UTF-8 first."
            ) from None

    def out(self, raw: bytes) -> bytes:
        """Bytes inside as bytes of the file."""
        return raw if self.outer is None else raw.decode("utf-8").encode(self.outer)


def western(raw: bytes) -> str:
    """Text in Windows-1252, or in Latin-1 where a byte has no meaning in the former."""
    try:
        return str(raw, "cp1252")
    except UnicodeDecodeError:
        return str(raw, "latin-1")


def opened(name: str, data: bytes, encoding: str | None = None) -> tuple[bytes, Charset, list[str]]:
    """Bytes inside, without the mark; how to read and write them; and sentences on what was seen.

    Raises
    ------
    InputError
        An encoding that does not exist, that the bytes are not in, or that does not give the same bytes back.
    """
    mark, found = next(((mark, found) for mark, found in MARKS if data.startswith(mark)), (b"", None))
    asked = None if encoding is None else looked_up(encoding)
    if found and (asked is None or asked in (found, "utf-16", "utf-32", "utf-8-sig", "utf-8")):
        notes = [] if found == "utf-8" else [f"{name} is in {found.upper()}; the result is too."]
        return turned(name, data[len(mark) :], found, mark, notes)
    if asked:
        if asked in ("utf-16", "utf-32"):  # without a mark: little-endian, as most are
            asked += "-le"
        return turned(name, data, asked, b"", [])
    sample = data[:4096]
    zeros = sample[::2].count(0), sample[1::2].count(0)
    if max(zeros) > 0.3 * len(sample) / 2 and min(zeros) < 0.1 * max(zeros):
        wide = "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
        if is_valid(data, wide):
            said = (
                f"{name} looks like {wide.upper()} without a mark at its start; it is read and written so. Where that is wrong, "
            )
            return turned(name, data, wide, b"", [said + "name the encoding with --encoding."])
    if is_valid(data, "utf-8"):
        return data, Charset(), []
    if sum(zeros) > len(sample) // 4:
        raise InputError(
            f"tables.read: {name} holds many zero bytes and no mark at its start; if it is UTF-16, say so with "
            "--encoding utf-16-le or utf-16-be, or save it as UTF-8."
        )
    return guessed(name, data)


def guessed(name: str, data: bytes):
    """A file that is not UTF-8: Windows-1252, Latin-1, or lines of both."""
    good, bad, first, where = 0, 0, None, ""
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.isascii():
            continue
        try:
            line.decode("utf-8")
            good += 1
        except UnicodeDecodeError as problem:
            bad += 1
            if first is None:
                first, where = number, f"byte 0x{line[problem.start]:02x} in line {number}"
    if good:
        return (
            data,
            Charset("mixed"),
            [
                f"{name} mixes encodings: {good} lines are UTF-8 beyond ASCII, {bad} are not (first: {where}); cells that "
                "are not UTF-8 are read as Windows-1252, and all are written as they came. Where that is wrong, name one with "
                "--encoding."
            ],
        )
    inner = "cp1252" if is_valid(data, "cp1252") else "iso8859-1"
    said = "Windows-1252" if inner == "cp1252" else "Latin-1"
    return (
        data,
        Charset(inner),
        [
            f"{name} is not UTF-8 ({where}); it is read as {said} and written as it came. Where that is "
            f"wrong, name the encoding with --encoding."
        ],
    )


def looked_up(encoding: str) -> str:
    """Python's own name of an encoding of text."""
    try:
        found = codecs.lookup(encoding)
        "".encode(found.name)
        return "utf-8" if found.name == "utf-8-sig" else found.name
    except (LookupError, ValueError):  # a zero byte in the name; an encoding that encodes nothing
        raise InputError(
            f"--encoding: {encoding!r} is not known; examples: utf-8, cp1252, latin-1, utf-16, shift_jis, gb18030."
        ) from None


def turned(name: str, data: bytes, encoding: str, mark: bytes, notes: list):
    """Bytes in a named encoding."""
    if not is_valid(data, encoding):
        raise InputError(
            f"tables.read: {name} is not {encoding} throughout; name another encoding with --encoding, or leave the "
            "option away to have it found."
        )
    if encoding in KEPT:
        return data, Charset(encoding, None, mark), notes
    text = data.decode(encoding)
    try:
        same = text.encode(encoding) == data
    except UnicodeEncodeError:
        same = False
    if not same:
        raise InputError(
            f"tables.read: {name}, read as {encoding} and written again, would not be the same bytes; save it as UTF-8 first."
        )
    return text.encode("utf-8"), Charset("utf-8", encoding, mark), notes


def is_valid(data: bytes, encoding: str) -> bool:
    """Whether bytes are in an encoding; block by block, so that no second copy of a large file is held."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for start in range(0, len(data), BLOCK):
            decoder.decode(data[start : start + BLOCK])
        decoder.decode(b"", final=True)
        return True
    except UnicodeError:
        return False
