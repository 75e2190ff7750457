"""The rendered book without what no page asks for: one visit stays small, and so does the folder.

Rendering leaves source maps, icon sets, builds of MathJax for other outputs and styles of parts that the book does not use. The
files that stay are found by reading the pages, the styles and the scripts themselves: only files that a script asks for at run
time are listed by hand.
"""

import json
import re
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urldefrag

from fontTools import subset
from fontTools.ttLib import TTFont

MATHJAX = ("startup.js", "core.js", "input/tex.js", "output/chtml.js", "output/chtml/fonts/tex.js", "a11y/assistive-mml.js")
# By those who show links, by scripts, by other books, by the host.
ASKED = ("_static/card.png", "searchindex.js", "objects.inv", ".nojekyll", "404.html")
FORMULAS = re.compile(r"<script>window\.MathJax = [^<]*</script>|<script[^>]*/mathjax/startup\.js[^>]*></script>")
WHOLE = ("data", "_sources", "_static/mathjax/output/chtml/fonts/woff-v2", "_static/mathjax/input/tex/extensions")
ICON = re.compile(r'(?:"([a-z0-9-]+)"|([a-z0-9]+)):\[\d+,\d+,(\[[^\]]*\]),"[0-9a-f]*",(?:"[^"]*"|\[[^\]]*\])\],?')
LINKED = re.compile(r"""(?:href|src|poster|data-src|content)=["']([^"'#][^"']*)["']""")
SIGNS = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|url\((?![\"'])[^)]*\)|\\.|[{};,()]", re.DOTALL)
AT_RULES = ("@media", "@supports", "@layer", "@container")


def slim(html: Path) -> None:
    """Take out of a folder of pages the files, icons, glyphs and style rules that nothing in it uses.

    Parameters
    ----------
    html : Path
        The folder with ``index.html``; it is changed in place.
    """
    for notebook in html.glob("_sources/**/*.ipynb"):
        notebook.write_text(_without_outputs(notebook.read_text()))
    texts = {page: page.read_text() for page in html.rglob("*.html") if "_static" not in page.relative_to(html).parts}
    for page, text in texts.items():
        if "math notranslate" not in text and "text_latex" not in text:  # and no formula: it need not load what draws them
            texts[page] = FORMULAS.sub("", text)
            page.write_text(texts[page])
    scripts = [file for file in _linked(html, texts) if file.suffix == ".js"]
    _icons(html / "_static" / "scripts" / "fontawesome.js", "\n".join([*texts.values(), *_read(scripts, "fontawesome")]))
    words = set(re.findall(r"[\w-]+", "\n".join([*texts.values(), *_read(scripts, "searchindex")])))
    sheets = _sheets(_linked(html, texts))
    for sheet in sheets:
        sheet.write_text(pruned(sheet.read_text(), words))
    kept = set(texts) | set(sheets) | _linked(html, texts) | {html / name for name in ASKED}
    kept |= {html / "_static" / "mathjax" / name for name in MATHJAX}
    kept |= {file for folder in WHOLE for file in (html / folder).rglob("*") if file.name != "all-packages.js"}
    for sheet in sheets:
        sheet.write_text(_fonts(sheet))
        kept |= _addresses(sheet, re.findall(r"url\([\"']?([^)\"']+)", sheet.read_text()))
    for file in sorted(html.rglob("*"), reverse=True):
        if file.is_file() and file not in kept:
            file.unlink()
        elif file.is_dir() and not any(file.iterdir()):
            file.rmdir()


def _sheets(found: set[Path]) -> list[Path]:
    """Style sheets among linked files, and those that they import."""
    sheets = [file for file in found if file.suffix == ".css"]
    for sheet in sheets:  # grows while it is read
        imported = _addresses(sheet, re.findall(r"@import\s+(?:url\()?[\"']?([^\"');]+)", sheet.read_text()))
        sheets += sorted(imported - set(sheets))
    return sheets


def _without_outputs(text: str) -> str:
    """A notebook to download: its cells, to be run; the outputs are in the page."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return json.dumps(notebook, indent=1, ensure_ascii=False)


def _read(files: list[Path], but: str) -> list[str]:
    return [file.read_text() for file in files if but not in file.name and "mathjax" not in file.parts]


def _addresses(of: Path, addresses: list[str]) -> set[Path]:
    """Files that addresses within a file lead to, as far as they lie in this folder."""
    found = set()
    for address in addresses:
        bare = unquote(urldefrag(address)[0].split("?")[0])
        if bare and not re.match(r"[a-z]+:|//", bare):
            file = Path(*(of.parent / bare).parts).resolve()
            found |= {file} if file.is_file() else set()
    return found


def _linked(html: Path, texts: dict[Path, str]) -> set[Path]:
    return {file for page, text in texts.items() for file in _addresses(page.resolve(), LINKED.findall(text))}


def _icons(bundle: Path, text: str) -> None:
    """Leave those icons in the bundle whose name some page or script has."""
    if bundle.is_file():
        used = set(re.findall(r"\bfa-([a-z0-9-]+)", text))

        def keep(found):
            names = {found[1] or found[2], *re.findall(r'"([a-z0-9-]+)"', found[3])}
            return found[0] if names & used else ""

        bundle.write_text(ICON.sub(keep, bundle.read_text()))


def pruned(css: str, words: set[str]) -> str:
    """A style sheet without the rules that can match nothing: every selector of theirs names a class that no page or script has.

    Parameters
    ----------
    css : str
        A style sheet; what stands in a rule that is kept is left as it is.
    words : set of str
        Every word of the pages and of their scripts.
    """
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    out, at = [], 0
    while (start := _next(css, at, "{;")) is not None:
        head = css[at:start].strip()
        if css[start] == ";":
            out.append(f"{head};")
            at = start + 1
            continue
        end = _closing(css, start)
        inside = css[start + 1 : end]
        if head.startswith(AT_RULES):
            inside = pruned(inside, words)
        elif not head.startswith("@"):
            head = ",".join(one.strip() for one in _parts(head) if _may_match(one, words))
        if head and inside.strip():
            out.append(f"{head}{{{inside}}}")
        at = end + 1
    return "\n".join(out) + css[at:]


def _tokens(css: str, at: int):
    """Signs of a style sheet from a place on, strings and addresses skipped."""
    for found in SIGNS.finditer(css, at):
        if len(found[0]) == 1:
            yield found.start(), found[0]


def _next(css: str, at: int, signs: str) -> int | None:
    return next((place for place, sign in _tokens(css, at) if sign in signs), None)


def _closing(css: str, start: int) -> int:
    depth = 0
    for place, sign in _tokens(css, start):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if depth == 0 and sign == "}":
            return place
    return len(css)


def _parts(head: str) -> list[str]:
    """Selectors of a rule, parted at the commas that stand in no brackets."""
    cuts, depth = [-1], 0
    for place, sign in _tokens(head, 0):
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == "," and not depth:
            cuts.append(place)
    return [head[one + 1 : other] for one, other in zip(cuts, [*cuts[1:], len(head)], strict=True)]


def _may_match(selector: str, words: set[str]) -> bool:
    # Within :not() and :is() a class need not be there.
    bare = re.sub(r":[\w-]+\((?:[^()]|\([^()]*\))*\)|\[[^\]]*\]", "", selector)
    return "\\" in bare or set(re.findall(r"\.([A-Za-z_][\w-]*)", bare)) <= words


def _fonts(sheet: Path) -> str:
    """The sheet with its icon fonts cut down to the glyphs that it names, and without those of which it names none."""
    text = sheet.read_text()
    glyphs = {int(code, 16) for code in re.findall(r"\\([ef][0-9a-f]{3})\b", text)}
    glyphs |= {ord(sign) for sign in text if "\ue000" <= sign <= "\uf8ff"}  # a sheet that was made small has them as they are

    def cut(found):
        source = next(iter(_addresses(sheet.resolve(), re.findall(r"url\([\"']?([^)\"']+\.woff2)", found[0]))), None)
        ttf = source.with_suffix(".ttf") if source else None
        if not ttf or not ttf.is_file():
            return found[0]
        made = source.with_suffix(".woff")
        if not _cut_down(ttf, made, glyphs):
            return ""
        address = re.search(r"url\([\"']?([^)\"']+)\.woff2", found[0])[1] + ".woff"
        return re.sub(r"src:[^;}]*", f'src:url({address}) format("woff")', found[0])

    return re.sub(r"@font-face\s*\{[^}]*\}", cut, text)


def _cut_down(source: Path, made: Path, glyphs: set[int]) -> bool:
    """Write those glyphs of a font that are asked for; False where it has none of them."""
    font = TTFont(BytesIO(source.read_bytes()))
    wanted = glyphs & set(font.getBestCmap())
    if wanted:
        cutter = subset.Subsetter(subset.Options(layout_features=[], notdef_outline=True))
        cutter.populate(unicodes=wanted)
        cutter.subset(font)
        font.flavor = "woff"
        font.save(made)
    return bool(wanted)
