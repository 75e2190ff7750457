"""Text of other people made into HTML that is safe, visible and short; tables and folds around it."""

import base64
import html
import io
import math
import re
from pathlib import Path

SHORT = 280  # characters of a cell that stand in the open
LONG = 20_000  # characters of a cell that the report holds at all: one cell of 5 MB must not make a file that opens nowhere
EDGE = 112  # pixels of a picture's longer side
FORMULA = tuple("=+-@\t\r＝＋－＠")  # a spreadsheet runs a cell that begins so
NUMBER = re.compile(r"[+-]?\.?\d[\d.,]*(e[+-]?\d+)?\s?%?", re.IGNORECASE)
# Characters that a page would swallow or obey: controls, marks that turn the direction of writing, blanks of no width,
# halves of a surrogate pair, code points that are no character. Joiners stay: scripts and emoji are spelled with them.
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)


def _named(found: re.Match) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else f"⟨U+{code:04X}⟩"


def named(text: str) -> str:
    """A text whose control characters, and those that no page can hold, are named.

    >>> named("a\\0b"), named("half \\ud83d")
    ('a␀b', 'half ⟨U+D83D⟩')
    """
    return HIDDEN.sub(_named, text.replace("\r\n", "\n"))


def visible(text: str) -> str:
    """A text in which nothing hides: control characters are named, and a formula has an apostrophe in front.

    A number keeps its sign: ``-1`` is a class of many tables, and no formula.

    >>> visible("=1+1"), visible("-1"), visible("a\\0b"), visible("x\\u202ey")
    ("'=1+1", '-1', 'a␀b', 'x⟨U+202E⟩y')
    """
    formula = text.startswith(FORMULA) or text.lstrip().startswith(FORMULA)
    return ("'" if formula and not NUMBER.fullmatch(text.strip(" ")) else "") + named(text)


def safe(text: str, most: int | None = None) -> str:
    """A text for any place in the page: an element, a quoted attribute, a drawing; longer than `most` is cut.

    >>> safe('<b title="x">'), safe("a long name", most=7)
    ('&lt;b title=&quot;x&quot;&gt;', 'a long…')
    """
    if most is not None and len(text) > most:
        text = text[: most - 1].rstrip() + "…"
    return html.escape(visible(text))


def name(text: str) -> str:
    """A class or a file by its name; an empty one and one of blanks can be seen, too."""
    return f'<bdi class="name">{safe(text, 200)}</bdi>' if text.strip() else f'<bdi class="name">“{safe(text, 200)}”</bdi>'


def number(value: float, digits: int = 0) -> str:
    """A number with commas between thousands."""
    return f"{value:,.{digits}f}"


def percent(share: float, digits: int = 1) -> str:
    """A share in percent; not a number where there is none."""
    return "none" if math.isnan(share) else f"{100 * share:.{digits}f}\u00a0%"


def chance(probability: float) -> str:
    """A probability in whole percent, which is as sure as it is; the ends are never 0 or 100. NaN is unknown.

    >>> chance(.999), chance(.004), chance(.5), chance(float("nan"))
    ('over 99\\xa0%', 'under 1\\xa0%', '50\\xa0%', 'unknown')
    """
    if math.isnan(probability):
        return "unknown"
    if probability > 0.995:
        return "over 99\u00a0%"
    return "under 1\u00a0%" if probability < 0.005 else percent(probability, 0)


def plural(count: int, one: str, more: str | None = None) -> str:
    """A number with its noun.

    >>> plural(1, "row"), plural(1200, "row"), plural(2, "class", "classes")
    ('1 row', '1,200 rows', '2 classes')
    """
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def text(words: str) -> str:
    """A cell's text: its beginning in the open, the rest in a fold, and a word about anything beyond that."""
    if not words.strip():
        return f'<span class="none">{"empty" if not words else "blanks only"}</span>'
    if len(words) <= SHORT + 40:  # a fold for one more word would be longer than the word
        return f'<div class="text" dir="auto">{safe(words)}</div>'
    cut = words.rfind(" ", SHORT - 60, SHORT)
    cut = SHORT if cut < 0 else cut
    rest, beyond = words[cut:LONG].lstrip(" "), len(words) - LONG
    end = "" if beyond <= 0 else f'<p class="small">{number(beyond)} more characters are only in the table.</p>'
    # A rest that begins with "=" is no cell of its own: it has no mark.
    inside = html.escape(named(rest))
    return (
        f'<div class="text" dir="auto">{safe(words[:cut])} …</div>'
        + fold(f"the other {number(len(words) - cut)} characters", f'<div class="text" dir="auto">{inside}</div>{end}', "more")
    )


def item(each, label: str) -> str:
    """A text, a pair of texts or a picture, as it stands in a row of the report."""
    if isinstance(each, Path):
        return picture(each, label)
    if isinstance(each, tuple):
        return "".join(f'<div class="pair"><span class="tag">{tag}</span>{text(words)}</div>'
                       for tag, words in zip(("first", "second"), each, strict=True))
    return text(each)


def picture(file: Path, label: str) -> str:
    """A picture made small and put into the page itself, without its metadata (a photograph says where it was taken)."""
    from PIL import Image, ImageOps

    caption = f'<span class="small">{name(file.name)}</span>'
    try:
        with Image.open(file) as opened:
            small = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return f'{caption} <span class="none">could not be opened as a picture</span>'
    small.thumbnail((2 * EDGE, 2 * EDGE))  # twice the pixels, for fine screens
    data = io.BytesIO()
    small.save(data, "PNG" if max(small.size) <= 64 else "JPEG", quality=82)
    kind, longer = ("png" if max(small.size) <= 64 else "jpeg"), max(small.size)
    width, height = (max(1, round(EDGE * side / longer)) for side in small.size)
    alt = f"Picture {safe(file.name, 80)}, in class {safe(label, 80)}"
    source = base64.b64encode(data.getvalue()).decode()
    return f'<img src="data:image/{kind};base64,{source}" width="{width}" height="{height}" alt="{alt}">{caption}'


def fold(summary: str, inside: str, kind: str = "fold") -> str:
    """A part that is closed at first and opens by click or key; both arguments are HTML."""
    return f'<details class="{kind}"><summary>{summary}</summary>{inside}</details>'


def table(columns, rows, caption: str, kind: str = "") -> str:
    """A table of ready HTML; on a phone each row becomes a card, in which every cell is named.

    Parameters
    ----------
    columns : list of (str, str)
        Heading and kind of a column: "", "n" for numbers, "wide" for texts and drawings.
    rows : list of lists of str
        HTML; the first cell names its row.
    caption : str
        For those who cannot see the table; HTML.
    """
    # A table whose display changes loses its meaning for a screen reader unless the roles are spelled out.
    head = "".join(f'<th role="columnheader" scope="col" class="{kind}">{title}</th>' for title, kind in columns)
    body = []
    for row in rows:
        cells = []
        for place, (cell, (title, style)) in enumerate(zip(row, columns, strict=True)):
            tag, more = ("th", ' role="rowheader" scope="row"') if not place else ("td", ' role="cell"')
            cells.append(f'<{tag}{more} class="{style}" data-label="{title}">{cell}</{tag}>')
        body.append(f'<tr role="row">{"".join(cells)}</tr>')
    return (
        f'<table role="table" class="{kind}"><caption>{caption}</caption>'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{"".join(body)}</tbody></table>'
    )
