"""The whole book as one file: its pages in their order as one page, printed by chromium. ``make pdf``."""

import re
import shutil
import subprocess
from pathlib import Path

from bs4 import BeautifulSoup

from datadiet import paths
from datadiet.book.render import pages
from datadiet.errors import InputError

SECONDS = 600  # to print
MATHS = "script[src*=mathjax]"


def one_page(html: Path, names: list[str]) -> str:
    """Rendered pages as one: their articles one after another, links between them kept within, folds open.

    Parameters
    ----------
    html : Path
        The folder of the rendered book.
    names : list of str
        Pages without a suffix, in their order; all in one folder.

    Returns
    -------
    str
        HTML to be written into the folder of the pages.
    """
    whole, articles = None, []
    for name in names:
        soup = BeautifulSoup((html / f"{name}.html").read_text(), "html.parser")
        if whole is None or not whole.select_one(MATHS) and soup.select_one(MATHS):  # a page without formulas does not load them
            whole = soup
        article, page = soup.select_one("article"), Path(name).name
        for each in article.select("[id]"):
            each["id"] = f"{page}--{each['id']}"
        for each in article.select("[href], [clip-path], [aria-labelledby], [aria-describedby], [for]"):
            for attribute in ("href", "clip-path", "aria-labelledby", "aria-describedby", "for"):
                if attribute in each.attrs:
                    each[attribute] = _within(each[attribute], attribute, page, names)
        for fold in article.select("details"):
            fold["open"] = ""
        for script in article.select("script"):
            script.decompose()
        article["id"] = f"{page}--"
        article["class"] = ["bd-article", "dd-printed"]
        articles.append(article)
    place = whole.select_one("article")
    place.replace_with(*articles) if place is not None else None
    body = whole.new_tag("body")
    content = whole.new_tag("main", attrs={"class": "bd-content"})
    content.extend(articles)
    body.append(content)
    whole.body.replace_with(body)
    whole.html["data-theme"] = "light"
    return str(whole)


def _within(value: str, attribute: str, page: str, names: list[str]) -> str:
    """A reference as it reads in the one page: ``#place`` and ``other.html#place`` become ``#page--place``."""
    if attribute in ("aria-labelledby", "aria-describedby", "for"):
        return " ".join(f"{page}--{each}" for each in value.split())
    if attribute == "clip-path":
        return value.replace("#", f"#{page}--")
    if value.startswith("#"):
        return f"#{page}--{value[1:]}"
    found = re.fullmatch(r"(?:\./)?([\w-]+)\.html(?:#(.*))?", value)
    return f"#{found[1]}--{found[2] or ''}" if found and found[1] in {Path(name).name for name in names} else value


def write(root: Path | None = None) -> Path:
    """Print the rendered book; returns ``_build/datadiet.pdf``.

    Raises
    ------
    InputError
        The book is not rendered, there is no chromium, or it printed nothing.
    """
    root = root or paths.root()
    html, out, chromium = root / "_build" / "html", root / "_build" / "datadiet.pdf", shutil.which("chromium")
    if not (html / "index.html").is_file():
        raise InputError(f"pdf.write: the book is not rendered: there is no {html / 'index.html'}. Run make book first.")
    if not chromium:
        raise InputError("pdf.write: a PDF is printed by chromium, and there is none on this machine: apt-get install chromium.")
    names = pages(root)
    whole = html / Path(names[0]).parent / "whole-book.html"
    whole.write_text(one_page(html, names))
    out.unlink(missing_ok=True)
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--no-pdf-header-footer",
             "--generate-pdf-document-outline", "--virtual-time-budget=120000", f"--print-to-pdf={out}"]  # fmt: skip
    try:
        done = subprocess.run([chromium, *flags, whole.as_uri()], capture_output=True, text=True, timeout=SECONDS)
    finally:
        whole.unlink()
    if not out.is_file():
        raise InputError(f"pdf.write: chromium printed nothing: {done.stderr.strip()[-1000:]}")
    return out


if __name__ == "__main__":
    print(write())
