"""Anybody's table: a file in, the same bytes out with new columns, or with fewer rows.

table = read("mine.csv")
table.with_columns({"datadiet_el2n": scores}).write("mine.scored.csv")
table.take([0, 2, 5]).write("mine.kept.csv")
"""

from pathlib import Path

from datadiet.errors import InputError
from datadiet.tables import files
from datadiet.tables.labels import Classes, classes
from datadiet.tables.table import Table, blank, listed, many, texts

__all__ = ["Classes", "Table", "blank", "classes", "like", "listed", "many", "placed", "read", "texts"]


def placed(out, source, word: str, force: bool = False) -> Path:
    """Where a result goes, all that can forbid to write there found before any work: see :func:`datadiet.tables.files.placed`.

    Beside a folder of images lies a .csv file, beside a folder of ``datasets`` a folder; a set of the hub goes to a .parquet file
    in the working directory.
    """
    if str(source).startswith(files.HUB):
        name = str(source).removeprefix(files.HUB).strip("/").replace("/", "-").replace(":", "-").partition("@")[0]
        return files.placed(out, Path(name), word, force, suffix=".parquet", folder=True)
    if not Path(source).is_dir():
        return files.placed(out, source, word, force)
    saved = (Path(source) / "state.json").is_file()
    return files.placed(out, source, word, force, suffix="" if saved else ".csv", folder=saved)


def like(table: Table, file) -> Table:
    """`table` itself where `file` ends as files of its kind do, else a new one with its cells: see "
    ":mod:`datadiet.tables.convert`."""
    from datadiet.tables import convert

    return convert.like(table, file)


def read(file, *, sep: str | None = None, encoding: str | None = None, quotes: bool | None = None) -> Table:
    """A table from a .csv, .tsv, .txt, .jsonl, .ndjson, .json or .parquet file (each also .gz); from a folder that
    ``datasets`` saved, a set of the hub (``hf://OWNER/NAME``), or a folder of images with a folder for each class.

    Nothing is turned into another type: cells of a text file are text.

    Parameters
    ----------
    file : path
    sep : str, optional
        Separator of a text file: one letter, the same letter twice, or "tab". Found where it is not given.
    encoding : str, optional
        Of a text file. Found where it is not given.
    quotes : bool, optional
        Whether quotes in a text file enclose cells (True) or are letters (False). Found where it is not given.

    Raises
    ------
    InputError
        No such file, an unknown ending, a file that cannot be read without losing something, no row; an option that means nothing
        to that kind of file.
    """
    if quotes not in (None, True, False):
        raise InputError(f"tables.read: quotes={quotes!r}; give True where quotes enclose cells, False where they are letters.")
    hub = str(file).startswith(files.HUB)
    if not hub:
        files.reachable("tables.read", Path(file))
    if hub or Path(file).is_dir():
        from datadiet.tables import folders

        if sep or encoding or quotes is not None:
            raise InputError(f"tables.read: --sep, --encoding and --quotes mean nothing to {file}; leave them away.")
        return folders.hub(str(file)) if hub else folders.read(Path(file))
    file = Path(file)
    ending = files.known("tables.read", file)
    if ending not in files.TEXT:
        for name, value in (("--sep", sep), ("--quotes", quotes)):
            if value is not None:
                raise InputError(f"{name}: {file.name} is no text file with separators; leave the option away.")
        if encoding is not None and ending == ".parquet":
            raise InputError(f"--encoding: {file.name} is no text file; leave the option away.")
    if ending in files.TEXT:
        from datadiet.tables import text

        return text.read(file, sep, encoding, quotes)
    if ending in files.LINES:
        from datadiet.tables import lines

        return lines.read(file, encoding)
    from datadiet.tables import columns

    return columns.read(file)
