"""A drawing of a chapter's experiment: boxes in a row with arrows between them, which wrap on a narrow page.

    ```{pipeline}
    data | six classes of questions
    train | a run a seed
    score | EL2N after one epoch | here

    One sentence that says the whole, as the caption.
    ```

A line is a box: its name, a note below it, and `here` where the chapter's question lies. The names are text and not a picture,
so that they follow the theme, can be searched and are read aloud in their order.
"""

from html import escape

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective


class Pipeline(SphinxDirective):
    has_content = True

    def run(self):
        drawing, _, sentence = "\n".join(self.content).strip().partition("\n\n")
        boxes = [[part.strip() for part in line.split("|")] for line in drawing.splitlines()]
        where = f"pipeline: in {self.env.docname}, line {self.lineno},"
        if len(boxes) < 2:
            raise ExtensionError(f"{where} there are {len(boxes)} boxes. Write two lines or more, a box each.")
        for box in boxes:
            if not box[0] or len(box) > 3 or box[2:] not in ([], ["here"]):
                raise ExtensionError(f"{where} the box {' | '.join(box)!r} cannot be read. Write 'name', 'name | note' or "
                                     "'name | note | here'.")
        said = " ".join(sentence.split())
        if not said:
            raise ExtensionError(f"{where} no sentence follows the boxes. Write one after an empty line.")
        return [nodes.raw("", drawn(boxes, said), format="html")]


def drawn(boxes: list[list[str]], said: str) -> str:
    """An ordered list with a caption; the arrows are drawn by CSS and hidden from those who listen."""
    items = []
    for name, *rest in boxes:
        note = f"<span>{escape(rest[0])}</span>" if rest and rest[0] else ""
        mark = ' class="dd-here"' if rest[1:] else ""
        items.append(f"<li{mark}><div><strong>{escape(name)}</strong>{note}</div></li>")
    return f'<figure class="dd-pipeline"><ol>{"".join(items)}</ol><figcaption>{escape(said)}</figcaption></figure>'


def setup(app):
    app.add_directive("pipeline", Pipeline)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
