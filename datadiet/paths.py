"""Where things are: the repository, the live store, the published results, the data folder."""

import os
from pathlib import Path

from datadiet.errors import InputError


def root() -> Path:
    """The book's folder: the nearest one, from here upwards, that holds ``claims.yml`` and ``profiles/``; else the checkout
    this package was installed from."""
    here = Path.cwd().resolve()
    for folder in (here, *here.parents, Path(__file__).resolve().parent.parent):
        if (folder / "claims.yml").is_file() and (folder / "profiles").is_dir():
            return folder
    raise InputError(
        f"paths.root: neither {here} nor a folder above it holds claims.yml and profiles/. "
        "Run the command inside a clone of the book."
    )


def store() -> Path:
    """Folder of the live store: ``$DATADIET_STORE``, else ``.datadiet/`` in the book's folder."""
    return Path(os.environ.get("DATADIET_STORE") or root() / ".datadiet")


def data() -> Path | None:
    """Folder of real data sets, ``$DATADIET_DATA``; None where it is not set."""
    folder = os.environ.get("DATADIET_DATA")
    return Path(folder) if folder else None
