"""The folder of a course: notebooks, slides and tables, written from the chapters and the published runs.

Chapters are executed as they stand, which shows published runs; what is unchanged since the last time is not executed again.
"""

import time
from pathlib import Path

import jupytext
import nbformat

from datadiet import paths
from datadiet.book import build, launch
from datadiet.book.render import is_notebook, pages
from datadiet.course.blocks import has_exercises
from datadiet.course.notebooks import written
from datadiet.course.plain import Plain
from datadiet.course.slides import slides
from datadiet.errors import InputError
from datadiet.runs import provenance, released

GUIDE = "chapters/teach"
README = """\
# A course on data diets

| folder | holds |
| --- | --- |
| `student/` | notebooks with blanks; `check(...)` says in a sentence what is wrong with an answer. No solutions |
| `instructor/` | the same with solutions, quiz answers and outputs of the published runs |
| `slides/` | a file a chapter, for any browser, without a network: arrows or space; `s` for the speaker, `f` for full screen |
| `data/` | the published runs as tables; `dictionary.csv` explains every column, `index.csv` lists the files |

`instructor/teach.ipynb` is the guide: four sessions, what to run live, what to expect, an assessment.

{setup}

Written by `datadiet course` from the commit {commit}. Chapters: {chapters}.
"""
IN_A_CLONE = "The notebooks run in a clone of the book after `make test` (or `make book`), with the Python of its `.venv`."
ANYWHERE = "The first cell of a notebook fetches and installs the book where it is missing, from {address}."


def chapters_of(root: Path) -> list[str]:
    """Pages of the book that a course is made of: those with code and exercises, in the order of the book."""
    texts = {page: (root / f"{page}.md").read_text() for page in pages(root)}
    return [page for page, text in texts.items() if is_notebook(text) and has_exercises(text)]


def write(out: Path, force: bool = False) -> dict[str, int]:
    """Write the course to the folder `out`; returns what was written, folder -> number of files.

    Parameters
    ----------
    out : Path
        A folder that does not exist yet. Nothing is written before every chapter has been executed.
    force : bool
        Write into a folder that exists: files of the same names are replaced, others are left.

    Raises
    ------
    InputError
        No clone of the book; a folder that exists; a chapter that raised or wrote warnings.
    """
    root = paths.root()
    if not (root / "chapters").is_dir():
        raise InputError(f"course: {root} has no chapters/; run the command in a clone of the book.")
    if out.exists() and not (force and out.is_dir()):
        raise InputError(f"course: {out} exists; name another folder" + (", since it is a file." if out.is_file() else
                         ", or replace the course in it with --force."))
    start, todo, url = time.perf_counter(), chapters_of(root), launch.address(root)
    guide = [page for page in pages(root) if page == GUIDE]
    executed = _executed(root, todo + guide)
    known, files = {Path(page).name for page in todo}, {}
    for page in todo + guide:
        source, name = root / f"{page}.md", Path(page).name
        plain = Plain(root, known, source.read_text())
        if page != GUIDE:
            files[f"student/{name}.ipynb"] = nbformat.writes(written(jupytext.read(source), plain, False, url)).encode()
            files[f"slides/{name}.html"] = slides(executed[page], plain).encode()
        files[f"instructor/{name}.ipynb"] = nbformat.writes(written(executed[page], plain, True, url)).encode()
    files |= {f"data/{name}": content for name, content in released.files().items()}
    setup = ANYWHERE.format(address=url) if url else IN_A_CLONE
    names = ", ".join(Path(page).name for page in todo)
    files["README.md"] = README.format(setup=setup, commit=provenance.commit(), chapters=names).encode()
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
    print(f"{out} ({time.perf_counter() - start:.0f} s)", flush=True)
    folders = [name.split("/")[0] for name in files if "/" in name]
    return {folder: folders.count(folder) for folder in dict.fromkeys(folders)}


def _executed(root: Path, todo: list[str]) -> dict[str, nbformat.NotebookNode]:
    """Every page of the course with its outputs."""
    place = root / "_build" / "course"
    failed = build.execute_all(root, place, None, only=todo)
    if failed:
        said = "; ".join(f"{page}: {why}" for page, why in failed.items())
        raise InputError(f"course: {said}. Nothing was written; mend the chapter, or what it runs.")
    return {page: nbformat.read(place / "executed" / f"{page}.ipynb", as_version=4) for page in todo}
