"""A matplotlib figure as an SVG for a page: small, with its text as text, in colours that follow the page's mode.

A colour stands in the style sheet of the book (``--dd-blue`` and so on, light and dark) with its light value as the fallback, so
that a notebook outside the book shows the figure as well.
"""

import hashlib
import io
import re
from html import escape

from matplotlib import rc_context
from matplotlib.colors import to_hex
from matplotlib.markers import MarkerStyle

INK, FAINT = "#010203", "#040506"  # stand for the colour of the page's text, and for lines that only guide the eye
NAMES = {
    "#0173b2": "blue",
    "#de8f05": "orange",
    "#029e73": "green",
    "#d55e00": "red",
    "#cc78bc": "pink",
    "#ca9161": "brown",
    "#fbafe4": "rose",
    "#949494": "grey",
    "#ece133": "yellow",
    "#56b4e9": "sky",
    "#595959": "dark",
}  # the colour-blind palette, and the grey of the full data
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "datadiet",
    "font.size": 11.5,
    "axes.labelsize": 11.5,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.7,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
}
DASHES = {"--": "5 3", ":": "1.5 2.5", "-.": "5 2 1.5 2"}


def themed(colour: str) -> str:
    """A colour of a drawing as CSS: the page's own where it has a name there, and as it is where it has none."""
    bare = colour.lower()
    if bare in (INK, "#000000"):
        return "currentColor"
    if bare == FAINT:
        return "var(--dd-faint, #ddd)"
    if bare in ("#999999", "#4d4d4d", "#333333", "#666666"):  # lines of reference
        return "var(--dd-guide, #888)"
    return f"var(--dd-{NAMES[bare]}, {bare})" if bare in NAMES else bare


def markup(figure, label: str) -> str:
    """The figure as an ``svg`` element with a text alternative, one unit a pixel of the smallest screen.

    Groups have no names, and the names of markers and clips are told from those of every other figure of a page.
    """
    with rc_context(STYLE), io.StringIO() as out:
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        text = out.getvalue()
    text = re.sub(r"^.*?<svg.*?>|<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[\w.]+_\d+">', "<g>", text)
    tag = hashlib.sha256((label + text).encode()).hexdigest()[:6]
    text = re.sub(r'( id="|xlink:href="#|url\(#)(\w+)', lambda found: f"{found[1].replace('xlink:', '')}{tag}{found[2]}", text)
    text = re.sub(r"(?<=[\s\"(,-])(\d+\.\d{2})\d+|(?<=[MLCQmlcq])(\d+\.\d{2})\d+", lambda found: found[1] or found[2], text)
    text = re.sub(r"; font-family: [^;\"]*", "", text)  # the page's own, which is narrower than the one it was measured with
    text = re.sub(r"<text.*?>|(#[0-9a-f]{6})", _coloured, text)
    text = re.sub(r"\s*\n\s*", "\n", text).replace("\n", " ")
    width, height = (72 * side for side in figure.get_size_inches())
    return (
        f'<svg class="dd-drawing" role="img" aria-label="{escape(label, quote=True)}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">{text.strip()}'
    )


def _coloured(found) -> str:
    """White text stays white, on the dark cell that it stands on; a white surface is the page's ground."""
    if found[1] is None:
        return re.sub(r"#[0-9a-f]{6}", lambda one: themed(one[0]), found[0])
    return "var(--dd-ground, #fff)" if found[1] == "#ffffff" else themed(found[1])


def swatch(handle) -> str:
    """The sign of a series in a legend: its line and its marker, or the marker of a cloud of points."""
    line = handle.lines[0] if hasattr(handle, "lines") else handle
    if hasattr(line, "get_paths"):
        colour = themed(to_hex(line.get_facecolor()[0]))
        return _sign("", _outline(line.get_paths()[0], 8), f"fill: {colour}")
    colour = themed(to_hex(line.get_color()))
    style = line.get_linestyle()
    stroke = "" if style in ("None", "none", "") else f'<path d="M0 7H26" style="{_stroke(colour, style)}"/>'
    marker = line.get_marker()
    if marker in ("None", "none", "", None):
        return _sign(stroke, "", "")
    shape = MarkerStyle(marker)
    path = shape.get_path().transformed(shape.get_transform())
    fill = to_hex(line.get_markerfacecolor())
    fill = "var(--dd-ground, #fff)" if fill == "#ffffff" else themed(fill)
    return _sign(stroke, _outline(path, 8 if shape.is_filled() else 7), f"fill: {fill}; stroke: {colour}; stroke-width: 1.3")


def _stroke(colour: str, style: str) -> str:
    return f"stroke: {colour}; stroke-width: 1.8; fill: none; stroke-dasharray: {DASHES.get(style, 'none')}"


def _outline(path, size: float) -> str:
    """The straight-edged outline of a marker in the middle of its sign."""
    return "".join(
        f"M{' L'.join(f'{13 + size * x:.1f} {7 - size * y:.1f}' for x, y in polygon)}" + ("Z" if len(polygon) > 2 else "")
        for polygon in path.to_polygons(closed_only=False)
    )


def _sign(stroke: str, outline: str, style: str) -> str:
    marker = f'<path d="{outline}" style="{style}"/>' if outline else ""
    return f'<svg class="dd-sign" aria-hidden="true" viewBox="0 0 26 14" width="26" height="14">{stroke}{marker}</svg>'
