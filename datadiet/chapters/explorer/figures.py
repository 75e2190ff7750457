"""The explorer as one piece of HTML: its style, its controls, its sets and its script, with nothing to fetch."""

import json
from html import escape
from pathlib import Path

import numpy as np

from datadiet.chapters.explorer.runs import every, packed
from datadiet.chapters.pages import Page

FOLDER = Path(__file__).parent
SCRIPTS = ("kept.js", "explorer.js")


def in_script(value) -> str:
    """JSON that may stand inside a script tag: no text in it can close the tag, open a comment or end a line of script.

    >>> in_script({"text": "</script><b>&"})
    '{"text": "\\\\u003c/script\\\\u003e\\\\u003cb\\\\u003e\\\\u0026"}'
    """
    text = json.dumps(value)  # ASCII alone: U+2028 and U+2029 are escaped too
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def draw_of(seed: int) -> list[str]:
    """State and increment of the generator that :func:`datadiet.prune.keep` draws with, as digits."""
    state = np.random.default_rng(seed).bit_generator.state["state"]
    return [str(state["state"]), str(state["inc"])]


def page(sets: dict[str, dict]) -> str:
    """HTML of the explorer for sets by name, each as :func:`datadiet.chapters.explorer.runs.one` gives it."""
    held = {"sets": [{"name": name, "packed": packed(one)} for name, one in sets.items()], "pcg": draw_of(0)}
    read = {name: (FOLDER / name).read_text(encoding="utf-8") for name in ("explorer.css", "explorer.html", *SCRIPTS)}
    return (
        f"<style>{read['explorer.css']}</style>{read['explorer.html']}"
        f'<script type="application/json" id="ddx-held">{in_script(held)}</script>'
        + "".join(f"<script>{read[name]}</script>" for name in SCRIPTS)
    )


def explorer() -> Page:
    """The explorer with the published sets; in a terminal, the names of the sets."""
    sets = every()
    if not sets:
        said = "No runs are published: there is nothing to explore."
        return Page(f"<p>{escape(said)}</p>", said)
    return Page(page(sets), "\n".join(f"{name}: {one['net']}, {one['seeds']} seeds" for name, one in sets.items()))
