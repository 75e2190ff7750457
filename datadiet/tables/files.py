"""Files of tables: their endings, where a result may lie, and a file that is either written whole or not at all.

A file may be compressed (``mine.csv.gz``), and its ending may be written in capitals (``MINE.CSV``).
"""

import contextlib
import errno
import glob
import gzip
import os
import shutil
import uuid
import zlib
from pathlib import Path

from datadiet.errors import InputError

try:
    import fcntl
except ModuleNotFoundError:  # Windows: what a killed call leaves stays there
    fcntl = None

TEXT = {".csv": b",", ".tsv": b"\t", ".txt": b"\t"}  # ending -> the separator that is tried first
LINES = (".jsonl", ".ndjson", ".json")
ENDINGS = (*TEXT, *LINES, ".parquet")
SAID = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, each also with .gz"
HUB = "hf://"
PACKED = (".zip", ".bz2", ".xz", ".zst", ".7z", ".tar", ".tgz", ".rar")  # and not read; .gz is
ARROW = (".feather", ".arrow", ".ipc", ".orc")  # of pandas and Arrow, and not read; Parquet is
EXCEL = (".xlsx", ".xls", ".xlsm", ".ods")


def ending(file) -> tuple[str, bool]:
    """Ending of a table's file in small letters, and whether it is compressed.

    >>> ending("Mine.CSV.gz"), ending("mine.tsv")
    (('.csv', True), ('.tsv', False))
    """
    file = Path(file)
    packed = file.suffix.lower() == ".gz"
    return Path(file.stem if packed else file.name).suffix.lower(), packed


def beside(source: Path, word: str, suffix: str | None = None) -> Path:
    """Name of a result beside its source.

    >>> beside(Path("data/Mine.CSV.gz"), "scored").name, beside(Path("photos"), "scored", ".csv").name
    ('Mine.scored.CSV.gz', 'photos.scored.csv')
    """
    if suffix is not None:
        return source.with_name(f"{source.name}.{word}{suffix}")
    stem, packed = (source.stem, source.suffix) if ending(source)[1] else (source.name, "")
    return source.with_name(f"{Path(stem).stem}.{word}{Path(stem).suffix}{packed}")


def reachable(operation: str, file: Path) -> None:
    """Refuse a name that the system cannot look up: too long, a zero byte in it, in a folder that may not be read."""
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or str(problem)
        raise InputError(f"{operation}: {str(file)[:200]!r} cannot be looked up: {why}; name another file.") from None


def known(operation: str, file: Path) -> str:
    """The ending of a table's file, refused where no table has it."""
    found = ending(file)[0]
    if found in EXCEL and operation != "tables.read":
        raise InputError(f"{operation}: {file.name} ends in {found!r}, and no workbook is written; name a .csv file.")
    if found in EXCEL:
        raise InputError(
            f"{operation}: {file.name} ends in {found!r}, a workbook; save its sheet as CSV UTF-8 (in Excel: File, "
            "Save As) and give that."
        )
    if not found and operation == "tables.read" and not file.exists() and len(file.parts) == 2:
        raise InputError(f"{operation}: there is no file {file}; a set of the hub is named hf://{file.as_posix()}.")
    if operation == "tables.read" and not file.exists():
        way = " Standard input is not read: save it as a file, and name that." if file.name == "-" else ""
        raise InputError(f"{operation}: there is no file {file}.{way}")
    if found not in ENDINGS:
        way = "unpack it, and " if found in PACKED else "write it as Parquet, and " if found in ARROW else ""
        way = way if operation == "tables.read" else ""
        raise InputError(f"{operation}: {file.name} ends in {found!r}; {way}give a file that ends in {SAID}.")
    return found


def refuse_other(name: str, data: bytes) -> None:
    """Refuse the bytes of a file that is of another kind than a text file."""
    for start, kind, way in (
        (b"PK\x03\x04", "a workbook or a zip archive", "save the sheet as CSV UTF-8, or unpack it"),
        (b"\xd0\xcf\x11\xe0", "a workbook", "save its sheet as CSV UTF-8"),
        (b"\x1f\x8b", "a gzip file", "give it a name that ends in .gz"),
        (b"BZh9", "a bzip2 file", "unpack it"),
        (b"\xfd7zXZ", "an xz file", "unpack it"),
        (b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it"),
        (b"ARROW1\0\0", "an Arrow (Feather) file", "write it as Parquet"),
        (b"PAR1\x15", "a Parquet file", "give it a name that ends in .parquet"),
        (b"<!doctype", "a web page", "download the file itself"),
        (b"<html", "a web page", "download the file itself"),
        (b'{"', "a file of JSON objects", "give it a name that ends in .jsonl"),
        (b"[{", "a JSON array", "give it a name that ends in .json"),
        (b"version https://git-lfs", "a pointer of Git LFS", "fetch the file itself with git lfs pull"),
    ):
        if (data[: len(start)].lower() if kind == "a web page" else data[: len(start)]) == start:  # par1 may be a name
            raise InputError(f"tables.read: {name} is {kind}, by its first bytes, and not a table in text; {way}.")


def content(file: Path) -> bytes:
    """All bytes of a file, unpacked where it ends in .gz."""
    if not file.exists():
        raise InputError(f"tables.read: there is no file {file}.")
    if not file.is_file():
        raise InputError(f"tables.read: {file} is not a file.")
    try:
        if not ending(file)[1]:
            return file.read_bytes()
        with gzip.open(file) as stream:
            return stream.read()
    except (OSError, EOFError, zlib.error) as problem:
        raise InputError(f"tables.read: {file.name} could not be read: {problem}.") from None


def placed(out, source, word: str, force: bool = False, *, suffix: str | None = None, folder: bool = False,
           option: str = "--out") -> Path:  # fmt: skip
    """Where a result goes; all that can forbid to write there is found now, before anything is computed.

    Parameters
    ----------
    out : path or None
        The file asked for; None for one beside the source, ``mine.WORD.csv``.
    source : path
        The table that is read. It is never written over.
    word : str
        Put into the name of a result beside its source: "scored", "kept".
    force : bool
        Whether a file that is there may be replaced.
    suffix : str, optional
        Ending of a result beside its source, where the source is no file with an ending.
    folder : bool
        Whether the result may be a folder (of ``datasets``), for which any name will do.
    option : str
        Option that names the file, for the messages.

    Raises
    ------
    InputError
        An unknown ending, no such folder, a folder that cannot be written to, the source itself, a file that is there already.
    """
    source = Path(source)
    out = beside(source, word, suffix) if out is None else Path(out)
    reachable("--out", out)
    if not folder or ending(out)[0] in (*ENDINGS, *EXCEL):
        known(option, out)
    if not out.parent.is_dir():
        raise InputError(f"{option}: there is no folder {out.parent}; make it first.")
    if out.resolve() == source.resolve():
        raise InputError(f"{option}: {out} is the table that is read; name another file.")
    refuse_existing(out, force, option)
    probe = hidden(out)
    try:
        probe.touch(exist_ok=False)
        probe.unlink(missing_ok=True)
    except OSError as problem:
        raise InputError(
            f"{option}: nothing can be written to the folder {out.parent} ({problem.strerror}); name a file elsewhere."
        ) from None
    return out


def refuse_existing(out: Path, force: bool, option: str = "--out") -> None:
    """Error for a file that is there already and may not be replaced."""
    if out.is_dir() and (not force or any(out.iterdir()) and not (out / "dataset_info.json").is_file()):
        raise InputError(f"{option}: {out} is a folder that is there already; name another place.")
    if out.exists() and not force:
        raise InputError(f"{option}: {out} is there already; name another file, or give --force to replace it.")


def hidden(out: Path) -> Path:
    """A name beside a result, under which it grows until it is whole."""
    return out.with_name(f".{out.name[:100]}.{uuid.uuid4().hex[:8]}.part")


@contextlib.contextmanager
def growing(out: Path, folder: bool = False):
    """Place of a result that grows, an empty file or folder beside `out`; gone in the end, unless it was given another name.

    Those that calls left which were killed are deleted first: a lock tells them from those of calls that are at work.
    """
    _sweep(out)
    part, lock = _begun(out, folder)
    try:
        yield part
    finally:
        if lock is not None:
            os.close(lock)
        _delete(part)


def _begun(out: Path, folder: bool) -> tuple[Path, int | None]:
    """A new part, and the number of the open file that holds its lock."""
    while True:
        part = hidden(out)
        part.mkdir() if folder else part.touch(exist_ok=False)
        if fcntl is None:
            return part, None
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(part, os.O_RDONLY)
            with contextlib.suppress(OSError):  # a file system without locks, on which nobody sweeps
                fcntl.flock(lock, fcntl.LOCK_EX)
            if part.exists():
                return part, lock
            os.close(lock)  # another call swept it before it was locked


def _sweep(out: Path) -> None:
    """Delete the parts of a result that nobody holds."""
    for left in out.parent.glob(f".{glob.escape(out.name[:100])}.{'[0-9a-f]' * 8}.part") if fcntl else ():
        with contextlib.suppress(OSError):
            lock = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _delete(left)
            finally:
                os.close(lock)


def _delete(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


@contextlib.contextmanager
def whole(out, force: bool = False):
    """Stream to a file that appears under its name only once it is complete; on any error nothing is left behind.

    Raises
    ------
    InputError
        The file is there already, or the disk is full or refuses.
    """
    out = Path(os.path.realpath(out))  # a link keeps pointing to the file
    refuse_existing(out, force)
    try:
        with growing(out) as part:
            with open(part, "wb") as raw:
                if ending(out)[1]:
                    with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as stream:
                        yield stream
                else:
                    yield raw
                raw.flush()
                os.fsync(raw.fileno())
            if out.exists():
                refuse_existing(out, force)
                shutil.copymode(out, part)
            os.replace(part, out)
    except OSError as problem:
        full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full; make room" if full else problem.strerror or str(problem)
        raise InputError(f"tables.write: {out} could not be written: {why}. Nothing was left behind.") from None
