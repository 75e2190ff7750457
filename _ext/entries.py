"""Entries of the reference as folds: the name and its first sentence in the line that is seen, the whole docstring within.

The address of an entry is within the fold, so a link to it opens the fold, as one to an exercise does (`_static/folds.js`).
"""

from html import escape

from docutils import nodes
from sphinx import addnodes


def fold(app, doctree, docname):
    """Put each described function or class into a fold; methods stay open within the fold of their class."""
    for entry in list(doctree.findall(addnodes.desc)):
        if any(isinstance(each, addnodes.desc) for each in _above(entry)):
            continue
        place = entry.parent.index(entry)
        opened = _html(f'<details class="dd-work"><summary>{_line(entry)}</summary>')
        entry.parent[place:place + 1] = [opened, entry, _html("</details>")]


def _above(node):
    while node.parent is not None:
        node = node.parent
        yield node


def _line(entry: addnodes.desc) -> str:
    """The name of an entry and the first paragraph of its docstring."""
    name = next(entry.findall(addnodes.desc_name)).astext()
    said = next(entry[-1].findall(nodes.paragraph), None)
    return f"<code>{escape(name)}</code> {escape(said.astext()) if said is not None else ''}".strip()


def _html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def setup(app):
    app.connect("doctree-resolved", fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
