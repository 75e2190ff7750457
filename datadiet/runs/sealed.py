"""Checksums of published files: ``SHA256SUMS`` in their folder, as ``sha256sum`` writes it and checks it.

seal(folder, ["runs.parquet"])       # after writing: its line in SHA256SUMS
data = opened(folder, "runs.parquet")   # the bytes of the file, or InputError where they are not those that were sealed
"""

import hashlib
import os
from pathlib import Path

from datadiet.errors import InputError

NAME = "SHA256SUMS"


def sums(folder: Path) -> dict[str, str]:
    """File name, relative to `folder` -> its SHA-256 in hex; empty where nothing was sealed."""
    place = folder / NAME
    if not place.is_file():
        return {}
    return {name: digest for digest, name in (line.split("  ", 1) for line in place.read_text().splitlines())}


def seal(folder: Path, names) -> None:
    """Write the checksums of the files `names` within `folder` beside those that are there."""
    found = sums(folder) | {name: digest((folder / name).read_bytes()) for name in names}
    temporary = folder / f"{NAME}.part"
    temporary.write_text("".join(f"{found[name]}  {name}\n" for name in sorted(found)))
    os.replace(temporary, folder / NAME)


def opened(folder: Path, name: str) -> bytes:
    """The bytes of a sealed file.

    Raises
    ------
    InputError
        The file has no line in ``SHA256SUMS``, or another checksum than its line says.
    """
    found, expected = (folder / name).read_bytes(), sums(folder).get(name)
    if expected is None:
        raise InputError(
            f"results: {folder / name} has no line in {NAME}: it was not written by a command of this package. "
            "Publish the runs again with `datadiet sweep ... --publish`, or take the file away."
        )
    if digest(found) != expected:
        raise InputError(
            f"results: {folder / name} is not the file that was published: its checksum is {digest(found)[:12]}, "
            f"in {NAME} it is {expected[:12]}. Restore it with `git checkout -- results`, or publish the runs again."
        )
    return found


def digest(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()
