"""The rendered book without files that no page asks for: rules, icons and files that are used stay, all else goes."""

import json

from datadiet.book.slim import pruned, slim

SHEET = """/* a comment { */ @import "other.css"; .used, .unused { color: red; } .unused { top: 0 }
@media print { .unused { top: 0 } .used:not(.unused) { background: url("data:image/svg+xml;{rotate(45)}"); } }
.used[data-x="{"]::before { content: "}"; } @media screen { .unused { left: 0 } } :root { --a: 1; } .x\\:y { top: 1px }"""


def test_rules_that_can_match_stay_whole_and_others_go():
    css = pruned(SHEET, {"used"})
    assert ".unused {" not in css and ".unused{" not in css and "@media screen" not in css
    for kept in ('@import "other.css";', ".used{ color: red; }", 'url("data:image/svg+xml;{rotate(45)}")', 'content: "}"',
                 ".used:not(.unused){", "--a: 1", ".x\\:y"):  # fmt: skip
        assert kept in css, kept
    assert css.count("{") - css.count("}") == SHEET.split("*/")[1].count("{") - SHEET.split("*/")[1].count("}")
    assert pruned(SHEET, {"used", "unused"}).count("top: 0") == 2


def test_files_that_no_page_asks_for_go(tmp_path):
    static = tmp_path / "_static"
    static.mkdir()
    (tmp_path / "_sources").mkdir()
    (tmp_path / "index.html").write_text(
        '<link href="_static/a.css?v=1"><script src="_static/a.js"></script><img src="p.png"><i class="used fa-bars">'
    )
    for name in ("p.png", "q.png", "_static/a.js", "_static/a.js.map", "_static/b.js", "_static/bg.png"):
        (tmp_path / name).write_bytes(b"x")
    (static / "a.css").write_text('@import "b.css"; .used { top: 0 }')
    (static / "b.css").write_text(".used { background: url(bg.png) }")
    (static / "c.css").write_text(".used { top: 0 }")
    cell = {"cell_type": "code", "source": "1", "outputs": [{"output_type": "stream"}], "execution_count": 3}
    (tmp_path / "_sources" / "x.ipynb").write_text(json.dumps({"cells": [cell]}))
    slim(tmp_path.resolve())
    left = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert left == {"index.html", "p.png", "_static/a.css", "_static/b.css", "_static/bg.png", "_static/a.js", "_sources/x.ipynb"}
    assert json.loads((tmp_path / "_sources" / "x.ipynb").read_text())["cells"][0]["outputs"] == []


def test_icons_that_a_sheet_names_stay_however_they_are_written(tmp_path):
    """As a code, and as the sign itself, which sheets that were made small have."""
    from fontTools.fontBuilder import FontBuilder

    from datadiet.book import slim

    glyphs = {0xF06A: "one", 0xF05A: "two", 0xF0EB: "three"}
    made = FontBuilder(1000)
    made.setupGlyphOrder([".notdef", *glyphs.values()])
    made.setupCharacterMap(glyphs)
    made.setupGlyf({name: _nothing() for name in (".notdef", *glyphs.values())})
    made.setupHorizontalMetrics({name: (500, 0) for name in (".notdef", *glyphs.values())})
    made.setupHorizontalHeader(ascent=800, descent=-200)
    made.setupNameTable({"familyName": "icons", "styleName": "solid"})
    made.setupOS2()
    made.setupPost()
    made.font.save(tmp_path / "icons.ttf")
    (tmp_path / "icons.woff2").write_bytes(b"x")
    sheet = tmp_path / "a.css"
    sheet.write_text("@font-face { src: url(icons.woff2) } .a::before { content: '\\f06a' } :root { --b: '\uf05a' }")
    assert "icons.woff)" in slim._fonts(sheet)
    kept = set(slim.TTFont(tmp_path / "icons.woff").getBestCmap())
    assert kept == {0xF06A, 0xF05A}


def _nothing():
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    return TTGlyphPen(None).glyph()
