"""The pages of the book: its table of contents, rendering them with jupyter-book, and a check of the HTML that came out."""

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tokenize
from importlib.metadata import distributions
from pathlib import Path

import nbformat
import yaml

from datadiet.book import card, status
from datadiet.book.gate import promised_figures
from datadiet.book.slim import slim
from datadiet.errors import InputError
from datadiet.runs import released

STATIC = ("_config.yml", "_toc.yml", "references.bib", "CITATION.cff", "_static", "_ext")


def pages(root: Path) -> list[str]:
    """Every page of ``_toc.yml``, in its order, as a path without a suffix; each must exist.

    Raises
    ------
    InputError
        A page of the table of contents has no file.
    """
    found = []

    def collect(entry):
        for key, value in entry.items():
            if key in ("root", "file"):
                found.append(str(value).removesuffix(".md"))
            elif isinstance(value, list):
                for each in value:
                    collect(each)

    collect(yaml.safe_load((root / "_toc.yml").read_text()))
    absent = [page for page in found if not (root / f"{page}.md").is_file()]
    if absent:
        raise InputError(f"render.pages: _toc.yml names {', '.join(absent)}, but there is no such file with the suffix .md in "
                         f"{root}; write it, or take the line out of _toc.yml.")
    return found


def is_notebook(text: str) -> bool:
    """Whether a page has code to execute."""
    return "{code-cell}" in text


def sha(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def tree(*places: Path) -> str:
    """Digest of the names and contents of files and folders, but for what Python compiled."""
    files = sorted(file for place in places for file in ([place] if place.is_file() else place.rglob("*"))
                   if file.is_file() and file.suffix != ".pyc")
    return sha(*(part for file in files for part in (str(file).encode(), file.read_bytes())))


def assemble(root: Path, build: Path) -> Path:
    """Gather what jupyter-book reads: configuration with execution off, plain pages, executed chapters, the data to download."""
    source = build / "book_source"
    rendered = source / "_build"
    if source.is_dir():  # what sphinx remembers is kept: it renders only the pages that changed
        for each in source.iterdir():
            if each != rendered:
                shutil.rmtree(each) if each.is_dir() else each.unlink()
    source.mkdir(parents=True, exist_ok=True)
    for name in STATIC:
        place = root / name
        if place.is_dir():
            shutil.copytree(place, source / name)
        elif place.is_file():
            shutil.copy2(place, source / name)
    config = yaml.safe_load((root / "_config.yml").read_text())
    config["execute"] = config.get("execute", {}) | {"execute_notebooks": "off"}
    _release(root, source, config)
    _card(root, build, source)
    (source / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False))
    texts = {page: (root / f"{page}.md").read_text() for page in pages(root)}
    notebooks = "|".join(re.escape(Path(page).name) for page, text in texts.items() if is_notebook(text))
    link = re.compile(rf"(\]\((?:\.?[\w./-]*/)?(?:{notebooks}))\.md(?=[#)])")  # chapters link to each other's text
    for page, text in texts.items():
        (source / page).parent.mkdir(parents=True, exist_ok=True)
        if not is_notebook(text):
            if status.MARK in text:
                own = [each for each, words in texts.items() if is_notebook(words)]
                text = text.replace(status.MARK, status.table(build / "executed", own))
            (source / f"{page}.md").write_text(link.sub(r"\1.ipynb", text))
            continue
        notebook = nbformat.read(build / "executed" / f"{page}.ipynb", as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = link.sub(r"\1.ipynb", cell.source)
        notebook.cells = parameters_once(notebook.cells)
        nbformat.write(notebook, source / f"{page}.ipynb")
    return source


def parameters_once(cells) -> list:
    """Cells without the parameters that were set otherwise: those injected stand for them, each with its comment."""
    comments, kept = {}, []
    injected = any("injected-parameters" in cell.metadata.get("tags", []) for cell in cells)
    for cell in cells:
        tags = cell.metadata.get("tags", [])
        if injected and "parameters" in tags:
            tokens = tokenize.generate_tokens(io.StringIO(cell.source).readline)
            comments = {each.line.split(" = ")[0]: each.string for each in tokens if each.type == tokenize.COMMENT}
            continue
        if "injected-parameters" in tags:
            lines = [line for line in cell.source.splitlines() if line != "# Parameters"]
            cell.source = "\n".join(f"{line}  {comments.get(line.split(' = ')[0], '')}".rstrip() for line in lines)
        kept.append(cell)
    return kept


def _card(root: Path, build: Path, source: Path) -> None:
    """Put the picture of the published runs where the pages name it; it is drawn again when the runs are others."""
    runs = root / "results" / "runs.parquet"
    if runs.is_file():
        made = build / "cards" / f"{sha(runs.read_bytes(), Path(card.__file__).read_bytes())[:16]}.png"
        if not made.is_file():
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_bytes(card.drawn())
        shutil.copy2(made, source / "_static" / "card.png")


def _release(root: Path, source: Path, config: dict) -> None:
    """Put the published data and the ledger where sphinx copies them as they are: they become ``html/data``."""
    found = released.files() | {"claims.yml": (root / "claims.yml").read_bytes()}
    (source / "released" / "data").mkdir(parents=True)
    for name, content in found.items():
        (source / "released" / "data" / name).write_bytes(content)
    sphinx = config.setdefault("sphinx", {})
    sphinx["config"] = (sphinx.get("config") or {}) | {"html_extra_path": ["released"]}


def render(root: Path, build: Path, force: bool = False) -> bool:
    """Render ``html/`` in the build folder with every warning an error; False where it is rendered already."""
    source, html, stamp = assemble(root, build), build / "html", build / "html.sha256"
    versions = json.dumps(sorted(f"{each.name} {each.version}" for each in distributions()))
    wanted = sha(tree(*(file for file in source.iterdir() if file.name != "_build")).encode(), versions.encode())
    if not force and stamp.is_file() and stamp.read_text() == wanted + tree(*html.rglob("*.html")):
        return False
    stamp.unlink(missing_ok=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(source), "-n", "-W",
               "--keep-going", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    out = source / "_build" / "html"
    if done.returncode or not (out / "index.html").is_file():
        raise InputError("render.render: jupyter-book found something wrong:", log=(done.stdout + done.stderr).strip()[-4000:])
    shutil.rmtree(html, ignore_errors=True)
    shutil.copytree(out, html)
    slim(html)
    stamp.write_text(wanted + tree(*html.rglob("*.html")))
    return True


def check(root: Path, build: Path) -> list[str]:
    """Faults of the rendered book: missing pages of the table of contents, figures, text alternatives of figures."""
    found = [] if (build / "html" / "index.html").is_file() else ["index.html is missing"]
    for page in pages(root):
        html = build / "html" / f"{page}.html"
        if not html.is_file():
            found.append(f"{page}.html is missing")
            continue
        text = html.read_text()
        source = build / "book_source" / page
        source = next(source.with_name(source.name + suffix) for suffix in (".ipynb", ".md")
                      if source.with_name(source.name + suffix).is_file())
        for name in promised_figures(source):
            figure = re.search(rf'<figure[^>]*id="{re.escape(name)}".*?</figure>', text, re.DOTALL)
            drawings = re.findall(r"<svg class=\"dd-drawing\"[^>]*>", figure[0]) if figure else []
            image = figure and re.search(r"<img[^>]*>", figure[0])
            if not drawings and not image:
                found.append(f"{page}.html has no figure {name}")
            elif drawings:
                if not all(re.search(r'aria-label="[^"]{10,}"', drawing) for drawing in drawings):
                    found.append(f"{page}.html: figure {name} has no text alternative")
            else:
                if not re.search(r'alt="(?!\S*_images/)[^"]{10,}"', image[0]):
                    found.append(f"{page}.html: figure {name} has no text alternative")
                where = re.search(r'src="([^"]+)"', image[0])
                if not (html.parent / where[1]).is_file():
                    found.append(f"{page}.html: the file of figure {name} is missing")
    return found
