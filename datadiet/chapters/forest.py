"""A forest plot of the whole ledger: an SVG whose rows are links, and whose colours and row heights a style sheet sets.

Places along the axis are percentages, so that the plot takes the width it is given and its letters keep their size.
"""

from html import escape

import numpy as np
import pandas as pd

from datadiet.chapters import ledger
from datadiet.chapters.listing import place_of
from datadiet.chapters.pages import DASH, Page, spread

ROW = 16  # pixels of a row where no style sheet says otherwise
LABELS = 19  # percent of the width for the ids
# kind of verdict -> outline of its marker around (0, 0)
MARKERS = {
    "agrees": "M4.5 0A4.5 4.5 0 1 1-4.5 0A4.5 4.5 0 1 1 4.5 0Z",
    "partly": "M0-5.5L5.5 0L0 5.5L-5.5 0Z",
    "disagrees": "M-4.2-4.2H4.2V4.2H-4.2Z",
    "undecided": "M4 0A4 4 0 1 1-4 0A4 4 0 1 1 4 0Z",
    "open": "M-3.5-3.5L3.5 3.5M3.5-3.5L-3.5 3.5",
}
LEGEND = {"agrees": "agree", "partly": "agree in part", "disagrees": "disagree", "undecided": "undecided", "open": "not decided"}


def forest(found: pd.DataFrame) -> Page:
    """Every claim of :func:`datadiet.chapters.ledger.ledger` by paper: the effect and interval of the
    part that stands for it, its regime, its verdict by colour and sign."""
    ends = found[["low", "high"]].dropna()
    low, high = (np.floor(4 * ends["low"].min()) / 4, np.ceil(4 * ends["high"].max()) / 4) if len(ends) else (-1.0, 1.0)
    lines, text, place = [], [], 0
    for paper, (_, name, authors) in ledger.PAPERS.items():
        rows = found[found["paper"] == paper].to_dict("records")
        if rows:
            lines.append(f'<text class="dd-paper" {_at(place)} dy=".35em">{escape(name)}'
                         f'<tspan class="dd-by"> {escape(authors)}</tspan></text>')
            place += 1
        for row in rows:
            lines.append(_row(row, place, low, high))
            place += 1
            text.append(f"{row['id']:7} {row['verdict']:26} {spread(row['effect'], row['low'], row['high'])}")
    places = {f"{tick:g}": _x(tick, low, high) for tick in np.arange(np.ceil(2 * low) / 2, high + 1e-9, 0.5)}
    grid = "".join(
        f'<line class="dd-grid{" dd-zero" * (tick == "0")}" x1="{x}" x2="{x}" y1="0" y2="100%"/>' for tick, x in places.items()
    )
    numbers = "".join(
        f'<text class="dd-tick" x="{x}" dy=".35em" text-anchor="middle">{tick}</text>' for tick, x in places.items()
    )
    plot = f'<svg x="{LABELS}%" width="{100 - LABELS}%"'
    head = (
        f'<svg role="group" aria-label="Effects of {len(found)} claims, each a link to its cell" width="100%" '
        f'height="{ROW * (place + 1)}" style="--rows:{place + 1}">'
    )
    html = (
        f'<figure class="dd-forest" id="forest">{_legend(found)}{head}{plot} height="100%">{grid}</svg>{"".join(lines)}'
        f'<g {_at(place)}>{plot} overflow="visible">{numbers}</svg></g></svg><div class="dd-told" role="status" hidden></div>'
        f"<figcaption>All {len(found)} claims, in italics those that we infer ourselves. A row is the effect "
        "that decides a claim, with its 95 % interval over seeds, "
        "in the claim's own unit: for most a difference in test accuracy (0.1 is ten points), for some a correlation. The "
        "tinted side of a row is the side that was claimed. A dotted line could not have shown the claim right or wrong. Hover, "
        "tap or tab to read a claim; a click leads to the cell that decides it.</figcaption></figure>"
    )
    return Page(html, "\n".join(text))


def _legend(found) -> str:
    """The marker of each verdict that a claim has."""
    items = []
    for kind, word in LEGEND.items():
        if kind in set(found["kind"]):
            path = f'<path class="dd-mark" transform="translate(7 7)" d="{MARKERS[kind]}"/>'
            marker = f'<svg width="14" height="14" aria-hidden="true">{path}</svg>'
            items.append(f'<li class="dd-{kind}">{marker} {escape(word)}</li>')
    return f'<ul class="dd-legend">{"".join(items)}</ul>'


def _at(place: int) -> str:
    """The attributes that put something on a row: by the style sheet's height of a row, or without one by ours."""
    return f'style="--i:{place}" transform="translate(0 {ROW * place + ROW // 2})"'


def _x(value: float, low: float, high: float) -> str:
    return f"{100 * (value - low) / (high - low):.2f}%"


def _row(row: dict, place: int, low: float, high: float) -> str:
    """A claim: a link with its id, the side it claims, its interval and its marker."""
    effect = spread(row["effect"], row["low"], row["high"])
    told = f"{row['id']}: {row['verdict']}. {row['claim']}" + (f" {row['part']}: {effect}." if row["part"] else f" {row['why']}")
    drawn = f'<text class="dd-none" x="0" dy=".35em">{DASH} {escape(row["verdict"])}</text>'
    if row["part"]:
        edges = sorted((row["margin"], high if row["sign"] > 0 else low))
        edges = [min(max(edge, low), high) for edge in edges]
        start, width = _x(edges[0], low, high), 100 * (edges[1] - edges[0]) / (high - low)
        drawn = (
            f'<rect class="dd-side" x="{start}" width="{width:.2f}%" y="-5" height="10"/>'
            f'<line class="dd-bar" x1="{_x(row["low"], low, high)}" x2="{_x(row["high"], low, high)}" y1="0" y2="0"/>'
            f'<svg x="{_x(row["effect"], low, high)}" overflow="visible"><path class="dd-mark" d="{MARKERS[row["kind"]]}"/></svg>'
        )
    setting = row["setting"].replace("'", "").replace(" ", "-")
    look = f"dd-row dd-{row['kind']} dd-{setting}" + " dd-own" * row["ours"]
    data = {"id": row["id"], "verdict": row["verdict"], "claim": row["claim"], "part": row["part"] or row["why"],
            "effect": effect if row["part"] else ""}
    said = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    return (
        f'<a class="{look}" href="{escape(place_of(row))}" {_at(place)}{said} '
        f'aria-label="{escape(told)}"><title>{escape(told)}</title>'
        f'<rect class="dd-hit" width="100%" y="-{ROW // 2}" height="{ROW}"/><text class="dd-id" dy=".35em">{row["id"]}</text>'
        f'<svg x="{LABELS}%" width="{100 - LABELS}%" overflow="visible">{drawn}</svg></a>'
    )
