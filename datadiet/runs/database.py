"""The file of a live store: how it is opened, what its rows are, and the paragraph where it cannot be read or written.

with opened() as db:
    rows = stored(db)          # (key, config, metrics, provenance, checksum of the row, checksum of its arrays), as text
"""

import json
import os
import sqlite3
import time
from contextlib import closing, contextmanager
from pathlib import Path

from datadiet import paths
from datadiet.errors import InputError
from datadiet.runs import sealed

ROW = ("key", "config", "metrics", "provenance")
VERSION = 1  # of the live store's layout, kept in the file's user_version
PATIENCE = 60  # seconds that a connection waits for others
TABLE = "CREATE TABLE IF NOT EXISTS runs (key TEXT PRIMARY KEY, config TEXT, metrics TEXT, provenance TEXT)"
SUMS = ("row_sha256", "arrays_sha256")  # of the row's three parts and of its array file; NULL in rows of stores before version 1


@contextmanager
def opened(folder: Path | None = None, write: bool = False):
    """A connection to the store in `folder`, the live one where none is given; made first, where it is to be written to.

    Raises
    ------
    InputError
        The file is no store or is damaged, is of a newer release, is locked for a minute, or cannot be written to.
    """
    folder = folder or paths.store()
    try:
        with closing(_connect(folder) if write else _reader(folder)) as db:
            _check_version(db, folder)
            yield db
    except sqlite3.DatabaseError as problem:
        raise InputError(f"store: {folder / 'runs.sqlite'} {_why(problem)} ({problem}).") from None
    except PermissionError as problem:
        raise InputError(
            f"store: nothing can be written to {folder} ({problem.strerror}); name a folder of your own in "
            "$DATADIET_STORE, or change the rights of this one."
        ) from None
    except OSError as problem:
        raise InputError(
            f"store: {folder} could not be written to ({problem.strerror or problem}); the runs that were stored before are "
            "whole. Make room there, or name another folder in $DATADIET_STORE, and give the command again."
        ) from None


def _why(problem: sqlite3.DatabaseError) -> str:
    code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"was held by another process for {PATIENCE} s; wait for it to end, and give the command again"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return "cannot be written to; name a folder of your own in $DATADIET_STORE, or change its rights"
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return "could not be written to; make room on its disk, and give the command again: the runs stored before are whole"
    return "is no store of runs, or is damaged; move the folder away, and its runs are computed again when they are asked for"


def _connect(folder: Path) -> sqlite3.Connection:
    (folder / "arrays").mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + PATIENCE
    while True:
        db = sqlite3.connect(folder / "runs.sqlite", timeout=PATIENCE)
        try:
            _check_version(db, folder)  # before anything is changed
            db.execute("PRAGMA journal_mode=WAL")
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.execute(TABLE)
                there = {column[1] for column in db.execute("PRAGMA table_info(runs)")}
                for name in SUMS:
                    if name not in there:
                        db.execute(f"ALTER TABLE runs ADD COLUMN {name} TEXT")
                db.execute(f"PRAGMA user_version = {VERSION}")
            return db
        except sqlite3.OperationalError as problem:
            db.close()
            # Of two that turn a new file to WAL at once, one is told that it is locked and is not made to wait.
            if problem.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        except BaseException:
            db.close()
            raise


def _reader(folder: Path) -> sqlite3.Connection:
    """A connection that writes nothing. Without a file of pending changes it needs no locks, for which there may be no rights."""
    place = folder / "runs.sqlite"
    quiet = "" if place.with_name("runs.sqlite-wal").exists() or os.access(folder, os.W_OK) else "&immutable=1"
    return sqlite3.connect(f"{place.resolve().as_uri()}?mode=ro{quiet}", uri=True, timeout=PATIENCE)


def _check_version(db: sqlite3.Connection, folder: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise InputError(
            f"store: {folder} was written by a newer release of datadiet (layout {version}; this one knows {VERSION}). "
            "Install that release, or name another folder in $DATADIET_STORE; nothing was read or changed."
        )


def row_sum(*parts: str) -> str:
    """Checksum of the config, metrics and provenance of a run as they lie in the store."""
    return sealed.digest("\n".join(parts).encode())


def objects(parts) -> list[dict] | None:
    """Config, metrics and provenance of a row that lies in a store as text; None where one of them is no object of JSON."""
    try:
        found = [json.loads(part) if isinstance(part, str) else None for part in parts]
    except ValueError:
        return None
    return found if all(isinstance(each, dict) for each in found) else None


def stored(db: sqlite3.Connection, which: str = "", *values) -> list[tuple]:
    """Rows of a store, (key, config, metrics, provenance, checksum of the row, checksum of its arrays), as text."""
    there = {column[1] for column in db.execute("PRAGMA table_info(runs)")}
    sums = (name if name in there else f"NULL AS {name}" for name in SUMS)
    return db.execute(f"SELECT {', '.join((*ROW, *sums))} FROM runs {which}", values).fetchall()


def settled(folder: Path) -> None:
    """Fold the pending changes of a store into its one file, so that it can be copied."""
    with opened(folder, write=True) as db:
        db.execute("PRAGMA journal_mode=DELETE")
