"""Slides of a chapter: one HTML file that a browser shows without a network, by keyboard, with the prose as speaker's notes.

A slide is a question, a figure, a verdict, what may be concluded, an exercise, or a question of the quiz. The text of the chapter
stands in the notes (key n, or s for a window of the speaker's own); an answer is shown by the next key.
"""

import base64
import re
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path

import yaml
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from datadiet.course.blocks import Block, blocks
from datadiet.course.notebooks import ANSWER
from datadiet.course.plain import Plain

HERE = Path(__file__).parent
FORMULA = re.compile(r"\\[(\[]")
VERDICT = re.compile(r'<div class="dd-claim"')
# MathJax looks for nothing outside of the page: no menu, no speech, no fonts but the paths that are in its file.
MATHJAX = """window.MathJax = {svg: {fontCache: "global"}, options: {enableMenu: false, enableEnrichment: false,
enableExplorer: false, enableAssistiveMml: false},
tex: {inlineMath: [["\\\\(", "\\\\)"]], displayMath: [["\\\\[", "\\\\]"]]}};"""


@cache
def _markdown(raw: bool) -> MarkdownIt:
    found = MarkdownIt("commonmark", {"html": raw}).enable("table")
    dollarmath_plugin(found, double_inline=True, renderer=lambda text, options: (
        rf"\[{escape(text)}\]" if options["display_mode"] else rf"\({escape(text)}\)"))  # fmt: skip
    return found


def html(markdown: str, raw: bool = True) -> str:
    """Markdown with formulas as HTML; HTML within it stays HTML, or is text where `raw` is False.

    >>> html("of $N$")
    '<p>of <span class="math inline">\\\\(N\\\\)</span></p>\\n'
    """
    return _markdown(raw).render(markdown)


class Deck:
    """Slides with their notes, in the order in which they are added."""

    def __init__(self, title: str):
        self.title, self.slides, self.waiting, self.head, self.fresh = title, [], [], "", True

    def add(self, head: str, body: str, kind: str = "") -> None:
        level = 1 if kind == "title" else 2
        self.slides.append([kind, f"<h{level}>{head}</h{level}>\n{body}", self.waiting])
        self.waiting, self.fresh = [], False

    def note(self, markdown: str) -> None:
        """Prose goes to the slide before it in its section; what comes before the first, to the first."""
        (self.slides[-1][2] if self.slides and not self.fresh else self.waiting).append(markdown)

    def section(self, head: str) -> None:
        """A new section begins; one that had no slide gets one with its first paragraph, and the others as notes."""
        if self.fresh and self.waiting:
            first, self.waiting = self.waiting[0], self.waiting[1:]
            self.add(self.head, html(first))
        self.head, self.fresh = head, True

    def page(self) -> str:
        """The whole file."""
        self.section("")
        parts = []
        for kind, body, notes in self.slides:
            said = f'<aside class="notes">{html(chr(10).join(f"{each}{chr(10)}" for each in notes))}</aside>' if notes else ""
            parts.append(f'<section class="{kind}" tabindex="-1">\n{body}{said}</section>')
        slides = "\n".join(parts)
        formulas = f"<script>{MATHJAX}</script>\n<script>{_mathjax()}</script>\n" if FORMULA.search(slides) else ""
        return (
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(self.title)}</title>\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<style>{(HERE / 'slides.css').read_text()}</style>\n{formulas}</head>\n<body>\n<main>\n{slides}\n</main>\n"
            '<div id="said" aria-live="polite" style="position:absolute;left:-9999px"></div>\n'
            '<footer><button id="back">Back</button><button id="on">On</button><button id="speak">Speaker (s)</button>'
            "Arrows or space; n: notes; f: full screen<span></span></footer>\n"
            f"<script>{(HERE / 'slides.js').read_text()}</script>\n</body>\n</html>\n"
        )


@cache
def _mathjax() -> str:
    """MathJax in one file, of the package that renders the formulas of the book; a closing tag within it would end the page."""
    found = find_spec("sphinx-mathjax-offline")
    return (Path(found.origin).parent / "static" / "mathjax" / "tex-svg.js").read_text().replace("</script", r"<\/script")


def shown(block: Block) -> str:
    """Figures that a code cell gave, as HTML: a drawing rather than a picture, a picture rather than nothing."""
    out = []
    meta = (block.cell.metadata.get("mystnb") or {})
    alt = escape((meta.get("image") or {}).get("alt", ""), quote=True)
    for output in block.cell.get("outputs", []):
        data = output.get("data", {})
        rich, kind = _text(data.get("text/html", "")), None
        if "<svg" in rich or "<img" in rich or "<figure" in rich:
            out.append(rich)
            continue
        kind = next((each for each in ("image/svg+xml", "image/png", "image/jpeg") if each in data), None)
        if kind:
            raw = _text(data[kind])
            coded = base64.b64encode(raw.encode()).decode() if kind == "image/svg+xml" else raw.replace("\n", "")
            out.append(f'<img src="data:{kind};base64,{coded}" alt="{alt}">')
    return "\n".join(out)


def verdicts(block: Block) -> list[str]:
    """Cards that a code cell gave."""
    found = [_text(output.get("data", {}).get("text/html", "")) for output in block.cell.get("outputs", [])]
    return [each for each in found if VERDICT.search(each)]


def _text(value) -> str:
    return "".join(value) if isinstance(value, list) else value


def _quiz(deck: Deck, block: Block, plain: Plain) -> None:
    for place, each in enumerate(yaml.safe_load(block.text), start=1):
        lines, notes = [], []
        for letter, answer in zip("abcdefgh", each["answers"], strict=False):
            words = html(plain.text(answer["text"]), raw=False).removeprefix("<p>").removesuffix("</p>\n")
            lines.append(f"<li>({letter}) {words}</li>")
            notes.append(f"({letter}) {'**right**' if answer.get('right') else 'wrong'}: {plain.text(answer.get('because', ''))}")
        right = [letter for letter, answer in zip("abcdefgh", each["answers"], strict=False) if answer.get("right")]
        deck.add(f"Quiz {place}", f'<div class="question">{html(plain.text(each["question"]), raw=False)}</div>'
                 f'<ul style="list-style:none">{"".join(lines)}</ul><p class="step right">({", ".join(right)})</p>')
        for each_note in notes:
            deck.note(html(each_note, raw=False))


def slides(notebook, plain: Plain) -> str:
    """The slides of an executed chapter, as the text of one HTML file."""
    found = blocks(notebook)
    title = next((block.text.lstrip("# ") for block in found if block.kind == "heading"), "")
    deck, section, asked = Deck(title), "", False
    for block in found:
        if block.kind == "heading":
            section = html(plain.text(block.text.lstrip("# "))).strip().removeprefix("<p>").removesuffix("</p>")
            if block.level == 1:
                deck.add(section, "", "title")
            elif block.level == 2:
                deck.section(section)
        elif block.within == "solution":
            if block.kind == "text":
                deck.note(f"Solution: {plain.text(block.text)}")
        elif block.kind == "code":
            _code(deck, block, plain, section)
        elif block.name == "quiz":
            _quiz(deck, block, plain)
        elif block.within == "exercise" and block.name in ("exercise-start", "exercise", "admonition"):
            kind = block.options.get("class", "").replace("note", "")
            deck.add(f"Exercise: {escape(block.title)}", f'<p class="small">{escape(kind)}</p>{html(plain.text(block.text))}')
        elif block.within == "exercise" and block.kind == "text":
            kind, body, notes = deck.slides[-1]
            deck.slides[-1] = [kind, body + html(plain.text(block.text)), notes]
        elif block.name == "admonition" and "Before you look" in block.title:
            deck.add(section, f'<blockquote class="question">{html(plain.text(block.text))}</blockquote>')
            asked = True
        elif block.name == "admonition":
            if not deck.slides or "After this chapter" in block.title:
                kind, body, notes = deck.slides[0]
                deck.slides[0] = [kind, body + html(f"**{block.title}**\n\n{plain.text(block.text)}"), notes]
            else:
                deck.add(html(plain.text(block.title)).removeprefix("<p>").removesuffix("</p>\n"), html(plain.text(block.text)))
        elif block.kind == "text" and block.text.startswith(ANSWER) and asked:
            deck.add(section, f'<div class="step">{html(plain.text(block.text))}</div>')
            asked = False
        elif block.kind == "text":
            deck.note(plain.text(block.text))
        elif block.name not in ("exercise-end", "solution-start", "solution-end"):
            deck.note(plain.block(block))
    return deck.page()


def _code(deck: Deck, block: Block, plain: Plain, section: str) -> None:
    figure = shown(block)
    caption = ((block.cell.metadata.get("mystnb") or {}).get("figure") or {}).get("caption", "")
    if figure:
        deck.add(section, f"<figure>{figure}<figcaption>{html(plain.text(caption))}</figcaption></figure>")
    for card in verdicts(block):
        deck.add(section, card)
