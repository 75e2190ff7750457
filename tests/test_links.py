"""The check of links, on a small book with each fault."""

import pytest

from datadiet.book import links

WHOLE = """<a href="b.html#there">b</a> <img src="p.png"> <a href="#here" id="here">h</a> <a href="https://example.org/x">out</a>
<a href="sub/">s</a>"""
FAULTS = {
    '<a href="c.html">': "c.html", '<a href="b.html#gone">': "no such anchor", '<img src="q.png">': "q.png",
    '<a href="#not">': "#not",
}  # fmt: skip


@pytest.fixture
def book(tmp_path):
    (tmp_path / "sub").mkdir()
    for name, text in {"a.html": WHOLE, "b.html": '<p id="there">', "sub/index.html": '<a href="../a.html">'}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "p.png").touch()
    return tmp_path


def test_whole_links_are_no_faults(book, capsys):
    assert links.broken(book) == [] and links.main([str(book)]) == 0
    assert links.outside(book) == {"https://example.org/x": ["a.html"]} and "3 pages" in capsys.readouterr().out


@pytest.mark.parametrize("text", FAULTS)
def test_a_link_that_leads_nowhere_is_found(book, text, capsys):
    (book / "b.html").write_text('<p id="there">' + text)
    assert links.main([str(book)]) == 1 and FAULTS[text] in capsys.readouterr().out


def test_an_address_that_cannot_be_reached_is_said(book, monkeypatch, capsys):
    def refused(asked, timeout):
        raise OSError("no route")

    monkeypatch.setattr(links.urllib.request, "urlopen", refused)
    assert links.main([str(book), "--outside"]) == 1 and "https://example.org/x (no route)" in capsys.readouterr().out
