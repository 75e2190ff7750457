"""The whole book as one page, before it is printed, and the outline of the PDF."""

import re
import shutil

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT

from datadiet.book import pdf
from datadiet.errors import InputError

PAGE = """<html data-theme="dark"><head>{head}</head><body><nav>menu</nav><main><article class="bd-article">
<h1 id="top">{title}</h1><script>run()</script><details><summary>More</summary><p id="more">hidden</p></details>
<a href="#more">here</a> <a href="{other}.html#more">there</a> <a href="https://example.org">away</a>
<label for="more" aria-labelledby="top more">x</label></article></main></body></html>"""


def whole(folder, heads):
    names = [f"chapters/page{number}" for number in range(len(heads))]
    (folder / "chapters").mkdir()
    for number, head in enumerate(heads):
        other = f"page{(number + 1) % len(heads)}"
        (folder / f"{names[number]}.html").write_text(PAGE.format(head=head, title=f"Page {number}", other=other))
    return BeautifulSoup(pdf.one_page(folder, names), "html.parser")


def test_pages_follow_each_other_and_links_stay_within(tmp_path):
    book = whole(tmp_path, ["", ""])
    assert [each.get_text() for each in book.select("h1")] == ["Page 0", "Page 1"]
    assert book.html["data-theme"] == "light" and not book.select("nav, script")
    assert all(each.has_attr("open") for each in book.select("details"))
    ids = [each["id"] for each in book.select("[id]")]
    assert len(ids) == len(set(ids)) and "page1--more" in ids
    links = [each["href"] for each in book.select("article")[0].select("a")]
    assert links == ["#page0--more", "#page1--more", "https://example.org"]
    assert book.label["for"] == "page0--more" and book.label["aria-labelledby"] == "page0--top page0--more"


@pytest.mark.parametrize("first", [0, 1, 2])
def test_formulas_are_set_whichever_page_has_the_first(tmp_path, first):
    """Sphinx loads MathJax only on pages with a formula, and the first page of the book has none."""
    heads = ['<script src="../_static/mathjax/startup.js"></script>' if number >= first else "" for number in range(3)]
    assert len(whole(tmp_path, heads).head.select(pdf.MATHS)) == 1


def test_a_book_that_is_not_rendered_is_not_printed(tmp_path):
    with pytest.raises(InputError, match="Run make book first"):
        pdf.write(tmp_path)


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium: apt-get install chromium")
def test_the_outline_has_every_title_once_and_whole(tmp_path, monkeypatch):
    """Titles at all heights of a page, at its edges too, and titles of two lines."""
    html = tmp_path / "_build" / "html"
    html.mkdir(parents=True)
    theme = "h1, h2 { line-height: 1.15; } p { line-height: 1.65; margin: 0 0 1.15rem; }"
    style = (ROOT / "_static" / "datadiet.css").read_text() + theme
    wanted, parts = [], []
    for part in range(40):
        wanted += [f"Part {part}, of a title so long that it does not fit into one line of the page at the size that a title has",
                   *(f"Section {part} {place}" for place in range(6))]
        sections = (f"<section><h2>{title}</h2>" + f"<p>{'words of a text ' * (7 + 37 * (part + 3 * place) % 260)}</p></section>"
                    for place, title in enumerate(wanted[-6:]))
        parts.append(f"<h1>{wanted[-7]}</h1>" + "".join(sections))
    for number, part in enumerate(parts):
        body = f'<article class="bd-article"><main>{part}</main></article>'
        (html / f"part{number}.html").write_text(f"<html><head><style>{style}</style></head><body>{body}</body></html>")
    (html / "index.html").touch()
    monkeypatch.setattr(pdf, "pages", lambda root: [f"part{number}" for number in range(len(parts))])
    found = [title.decode() for title in re.findall(rb"/Title \(([^)]*)\)", pdf.write(tmp_path).read_bytes())]
    assert sorted(each for each in found if each.startswith(("Part", "Section"))) == sorted(wanted)


@pytest.mark.parametrize("page", sorted((ROOT / "chapters").glob("*.md")), ids=lambda page: page.stem)
def test_a_title_has_no_formula(page):
    """The outline of the PDF, the tab of a browser and results of a search show a title's words alone."""
    code, titles = False, []
    for line in page.read_text().splitlines():
        code ^= line.startswith("```")
        titles += [line] if line.startswith("#") and not code else []
    assert titles and not [title for title in titles if "$" in title]
