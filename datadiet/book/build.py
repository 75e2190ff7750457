"""The book: text notebooks -> papermill -> jupyter-book, and a check of what came out.

    build("lab")                                    # what `make book` does: _build/html/index.html
    run("score-timing", {"seeds": 2}, "lab")        # one chapter, elsewhere: what `datadiet run` does

Execution and rendering are two steps. A chapter whose text, parameters, code and published results are those of its last
success is not executed again; a book whose pages are unchanged is not rendered again.
"""

import ast
import contextlib
import difflib
import json
import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distributions
from pathlib import Path

import jupytext
import nbformat
import papermill
from jupyter_core.utils import ensure_event_loop
from papermill.exceptions import PapermillExecutionError

from datadiet import chapters, paths, runs
from datadiet.book import status
from datadiet.book.gate import is_progress, problems
from datadiet.book.render import check, is_notebook, pages, render, sha, tree
from datadiet.chapters.settings import has, settings_of
from datadiet.errors import InputError

OWN = ("book", "cli")  # of the package, what no chapter imports: a change of these executes nothing again
ALONE = ("what-it-costs",)  # chapters that time something: nothing else runs beside them


def chapter(name: str, root: Path | None = None) -> Path:
    """The file of a chapter, by the name it has in ``chapters/``.

    Raises
    ------
    InputError
        No such chapter.
    """
    root = root or paths.root()
    known = [Path(page).name for page in pages(root) if is_notebook((root / f"{page}.md").read_text())]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        raise InputError(f"build.chapter: there is no chapter {name!r}. {f'Did you mean {near[0]!r}? ' if near else ''}"
                         f"Chapters: {', '.join(known)}.")
    return next(root / f"{page}.md" for page in pages(root) if Path(page).name == name)


def declared_parameters(notebook) -> list[str]:
    """Names that the parameters cell of a notebook sets."""
    cells = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    return [target.id for node in ast.parse("\n".join(cells)).body if isinstance(node, ast.Assign) for target in node.targets]


def parameters_of(profile: str, name: str) -> dict:
    """Parameters that a profile sets in a chapter; none where it has no file for it and the chapter's defaults stand."""
    return settings_of(profile, name) if name in chapters.NAMES or has(profile, name) else {}


def execute(source: Path, output: Path, parameters: dict, cwd: Path, progress: bool = False):
    """Execute one chapter from a fresh kernel, and write the notebook with its outputs.

    Parameters
    ----------
    source, output : Path
        The chapter's text, and the ``.ipynb`` to write.
    parameters : dict
        Those that the chapter's parameters cell is to set otherwise.
    cwd : Path
        Folder the kernel works in.
    progress : bool
        Show the progress bars of the chapter's runs while it executes.

    Returns
    -------
    notebook
        With progress bars taken out of its outputs.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    text = output.with_suffix(".text.ipynb")
    notebook = jupytext.read(source)
    jupytext.write(notebook, text)
    logging.getLogger("papermill").setLevel(logging.ERROR)  # it guesses at parameters by pattern, and complains of comments
    try:
        papermill.execute_notebook(str(text), str(output), parameters, cwd=str(cwd), kernel_name="python3", progress_bar=False,
                                   extra_arguments=["--log-level=50"], stderr_file=sys.stderr if progress else None)
    finally:
        text.unlink()
    notebook = nbformat.read(output, as_version=4)
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata.tags.append("hide-input")
        if cell.cell_type == "code":
            cell.outputs = joined(each for each in cell.outputs if not (each.get("name") == "stderr" and is_progress(each.text)))
    notebook.metadata["datadiet"] = status.about() | {"profile": parameters.get("profile")}
    nbformat.write(notebook, output)
    return notebook


def joined(outputs) -> list:
    """Outputs of a cell, prints that follow each other as one: into how many they were cut depends on the moment alone."""
    out = []
    for each in outputs:
        if out and each.output_type == out[-1].output_type == "stream" and each.name == out[-1].name:
            out[-1].text += each.text
        else:
            out.append(each)
    return out


def _surroundings(root: Path) -> str:
    """Digest of what every chapter depends on: package, published results, ledger, profiles, versions, data folder."""
    package = [place for place in sorted(Path(__file__).parent.parent.glob("*")) if place.name not in (*OWN, "__pycache__")]
    versions = sorted(f"{each.name} {each.version}" for each in distributions())
    return sha(tree(*package, root / "results", root / "claims.yml", root / "profiles").encode(),
                json.dumps([versions, sys.version, str(paths.data())]).encode())


def compute_ahead(names: list[str], profile: str) -> None:
    """Compute the runs of chapters in one sweep: workers start once and every core has work. A failure is left to its chapter."""
    own = {name: settings_of(profile, name) for name in names if name in chapters.NAMES and has(profile, name)}
    for engine in dict.fromkeys(each["engine"] for each in own.values()):
        wanted = [run for name, each in own.items() if each["engine"] == engine for run in chapters.wanted(name, each)]
        with contextlib.suppress(runs.SweepFailed, InputError):
            runs.sweep(wanted, engine)


def execute_all(
    root: Path, build: Path, profile: str | None, force: bool = False, only: list[str] | None = None
) -> dict[str, str]:
    """Execute every chapter that changed; returns what failed, chapter -> why. One that fails does not stop the others.

    Without a `profile` the chapters' own defaults stand, which show published runs; `only` names the pages to execute.
    """
    surroundings, stale, failed = _surroundings(root), {}, {}
    todo = [page for page in only or pages(root) if is_notebook((root / f"{page}.md").read_text())]
    for page in todo:
        source, stamp = root / f"{page}.md", build / "executed" / f"{page}.sha256"
        settings = parameters_of(profile, source.stem) if profile else {}
        digest = sha(source.read_bytes(), json.dumps(settings).encode(), surroundings.encode())
        output = stamp.with_suffix(".ipynb")
        if not force and output.is_file() and stamp.is_file() and stamp.read_text() == digest:
            print(f"{page}: unchanged", flush=True)
        else:
            stamp.unlink(missing_ok=True)
            stale[page] = settings, digest
    start = time.perf_counter()
    if profile:
        compute_ahead([Path(page).name for page in stale], profile)
    if stale and profile:
        print(f"runs of {len(stale)} chapters, profile {profile}: {time.perf_counter() - start:.1f} s", flush=True)

    def execute_one(page: str) -> None:
        settings, digest = stale[page]
        output, began = build / "executed" / f"{page}.ipynb", time.perf_counter()
        try:
            wrong = problems(execute(root / f"{page}.md", output, settings, root))
        except PapermillExecutionError as error:
            wrong = [f"code cell {error.exec_count} raised {error.ename}: {error.evalue}"]
        if wrong:
            failed[page] = "; ".join(wrong)
            print(f"{page}: FAILED, see {output}", flush=True)
        else:
            output.with_suffix(".sha256").write_text(digest)
            print(f"{page}: {time.perf_counter() - began:.1f} s", flush=True)

    def execute_in_thread(page: str) -> None:
        try:
            execute_one(page)
        finally:
            ensure_event_loop().close()  # papermill opens one a thread

    with ThreadPoolExecutor(os.cpu_count()) as executor:
        list(executor.map(execute_in_thread, [page for page in stale if Path(page).name not in ALONE]))
    for page in stale:
        if Path(page).name in ALONE:
            execute_one(page)
    return {page: failed[page] for page in todo if page in failed}


def build(profile: str = "lab", force: bool = False, root: Path | None = None) -> Path:
    """Execute, render and check the book; returns its first page.

    Raises
    ------
    InputError
        Unknown profile, a chapter that raised or wrote warnings, a page or figure that is missing.
    """
    root = root or paths.root()
    place, start = root / "_build", time.perf_counter()
    failed = execute_all(root, place, profile, force)
    if failed:
        raise InputError("build.build: the book was not rendered; mend the chapter, or what it runs, and build again:",
                         log="\n".join(f"{page}: {why}" for page, why in failed.items()))
    print("rendered" if render(root, place, force) else "pages: unchanged", flush=True)
    wrong = check(root, place)
    if wrong:
        raise InputError("render.check: " + "; ".join(wrong) + ". The pages are in _build/html.")
    first = place / "html" / "index.html"
    print(f"{first} ({time.perf_counter() - start:.0f} s)", flush=True)
    return first


def run(name: str, changes: dict, profile: str | None = None, output: Path | None = None) -> Path:
    """Execute one chapter with changed parameters; returns the notebook with its outputs.

    Parameters
    ----------
    name : str
        As in ``chapters/``, without a suffix.
    changes : dict
        Parameters to set, over those of the profile. The chapter must declare them.
    profile : str, optional
        Where not given, the chapter's own defaults stand: published runs, nothing is trained.
    output : Path, optional
        ``NAME.ipynb`` in the working directory where not given.

    Raises
    ------
    InputError
        Unknown chapter, profile or parameter.
    """
    source = chapter(name)
    declared = declared_parameters(jupytext.read(source))
    for each in changes:
        if each not in declared:
            near = difflib.get_close_matches(each, declared, n=3)
            raise InputError(f"build.run: the chapter {name!r} has no parameter {each!r}. "
                             f"{f'Did you mean {near[0]!r}? ' if near else ''}Parameters: {', '.join(declared) or 'none'}.")
    settings = (parameters_of(profile, name) if profile else {}) | changes
    output = output or Path(f"{name}.ipynb")
    try:
        wrong = problems(execute(source, output, settings, paths.root(), progress=True))
    except PapermillExecutionError as error:
        raise InputError(f"build.run: code cell {error.exec_count} of {name!r} raised {error.ename}: {error.evalue} "
                         f"The notebook up to there is in {output}.") from error
    if wrong:
        raise InputError(f"build.run: {name!r}: {'; '.join(wrong)}. The notebook is in {output}.")
    return output
