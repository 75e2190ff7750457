"""Notebooks that run where nothing is installed yet: Colab, Binder, a student's laptop. All follow from one address.

``repository_url`` in ``_config.yml`` is the address of the book's repository. Where it is set, the pages have launch buttons,
and ``write`` makes the notebooks that the buttons open, for the branch that ``repository_branch`` names. Where it is empty,
there is no button and nothing to open.
"""

import re
import sys
from pathlib import Path

import jupytext
import nbformat
import yaml

from datadiet import paths
from datadiet.book.render import is_notebook, pages
from datadiet.errors import InputError

FOLDER = "datadiet-book"  # of the clone that a notebook makes for itself
ADDRESS = re.compile(r"(https://|file:///)[\w.~%:/@+-]+")
SETUP = """\
# Fetches and installs the book and its published runs where they are not here yet (Colab, an empty folder): a minute or two.
import os
import subprocess
import sys
from importlib import invalidate_caches
from pathlib import Path

ADDRESS, FOLDER = {address!r}, {folder!r}
try:
    from datadiet import paths
    paths.root()
except (ImportError, ValueError):  # the package is missing, or the published runs are
    if not Path(FOLDER).is_dir():
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", ADDRESS, FOLDER], check=True)
    if "paths" not in globals():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"./{{FOLDER}}[notebooks]"], check=True)
        invalidate_caches()
    os.chdir(FOLDER)
"""


def address(root: Path) -> str:
    """Address of the repository as ``_config.yml`` says it; empty where none is set.

    Raises
    ------
    InputError
        Something else than an address.
    """
    config = yaml.safe_load((root / "_config.yml").read_text())
    options = ((config.get("sphinx") or {}).get("config") or {}).get("html_theme_options") or {}
    url = str(options.get("repository_url") or "").strip().rstrip("/")
    if url and not ADDRESS.fullmatch(url):
        raise InputError(f"launch.address: repository_url in _config.yml is {url!r}; give an address that begins with https://, "
                         "or leave it empty for a book without launch buttons.")
    return url


def setup_cell(url: str):
    """First cell of a notebook: fetches and installs the book where it is not installed."""
    cell = nbformat.v4.new_code_cell(SETUP.format(address=url, folder=FOLDER))
    cell.metadata["tags"] = ["setup"]
    return cell


def write(root: Path, out: Path) -> list[Path]:
    """Write every chapter as a notebook without outputs, ready to launch: the files of the branch that the buttons open.

    They show published runs and train nothing until a reader changes the parameters. Nothing is written where no address is set.
    """
    url, found = address(root), []
    if not url:
        return found
    for page in pages(root):
        source = root / f"{page}.md"
        if not is_notebook(source.read_text()):
            continue
        notebook = jupytext.read(source)
        notebook.cells.insert(0, setup_cell(url))
        notebook.metadata.pop("jupytext", None)
        found.append(out / f"{page}.ipynb")
        found[-1].parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, found[-1])
    return found


if __name__ == "__main__":  # python -m datadiet.book.launch OUT, in a clone: what the workflow of the branch runs
    written = write(paths.root(), Path(sys.argv[1]))
    print(f"{len(written)} notebooks." if written else "No repository_url in _config.yml: nothing to launch.")
