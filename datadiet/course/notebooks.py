"""Notebooks of the course: a student's, with blanks and checks, and an instructor's, with solutions and outputs.

Both are written from one chapter. In the student's copy everything within a solution is left out, quizzes have no answers, and
the paragraph that answers the question before a figure gives way to a prompt: the student runs the cell and writes the answer.
"""

import nbformat

from datadiet.book.launch import setup_cell
from datadiet.course.blocks import GATES, Block, blocks
from datadiet.course.keys import KEYS
from datadiet.course.plain import Plain

ANSWER = "**Answer.**"
PROMPT = "*Run the cells above, then write your answer here:* ..."
BLANK = "# Your answer\nanswer = ...\n"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
KEPT_TAGS = ("parameters", "exercise", "solution")


class Writer:
    """Gathers cells; text that follows text goes into the cell before it, up to the next heading."""

    def __init__(self):
        self.cells, self.held = [], []

    def text(self, source: str) -> None:
        if source.strip():
            self.held.append(source.strip("\n"))

    def close(self) -> None:
        if self.held:
            self.cells.append(nbformat.v4.new_markdown_cell("\n\n".join(self.held)))
        self.held = []

    def code(self, source: str, tags=(), outputs=(), count=None) -> None:
        self.close()
        cell = nbformat.v4.new_code_cell(source, outputs=list(outputs), execution_count=count)
        if tags:
            cell.metadata["tags"] = list(tags)
        self.cells.append(cell)


def _caption(block: Block) -> str:
    figure = (block.cell.metadata.get("mystnb") or {}).get("figure") or {}
    return f"*{figure['caption']}*" if figure.get("caption") else ""


def _exercise(block: Block) -> str:
    kind = block.options.get("class", "")
    return f"### Exercise: {block.title}" + (f" ({kind})" if kind else "")


def written(notebook, plain: Plain, solved: bool, address: str = ""):
    """A chapter as a notebook of the course.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        The chapter, executed for the instructor.
    plain : Plain
        Turns its directives and references into Markdown.
    solved : bool
        With the solutions, for the instructor.
    address : str
        Of the repository, for the first cell; without one there is no such cell.
    """
    out, stub, at = Writer(), False, 0
    if address:
        out.cells.append(setup_cell(address))
    found = blocks(notebook)
    for at, block in enumerate(found):
        following = found[at + 1] if at + 1 < len(found) else None
        if block.name == "exercise-end":
            _close_exercise(out, block.label, stub)
        if block.within == "solution" and not solved:
            continue
        if block.kind == "code":
            tags = [tag for tag in block.tags if tag in KEPT_TAGS]
            stub |= "exercise" in tags
            out.code(block.text, tags, block.cell.outputs if solved else (), block.cell.execution_count if solved else None)
            out.text(plain.text(_caption(block)))
            continue
        if block.kind == "heading":
            out.close()
        if block.name in GATES or block.name in ("exercise", "solution"):
            if block.name.startswith("exercise") and block.name != "exercise-end":
                out.close()
                out.text(plain.text(_exercise(block)))
                stub = False
            elif block.name.startswith("solution") and block.name != "solution-end":
                out.close()
                out.text("**Solution.**")
            out.text(plain.text(block.text))
            if block.name == "exercise":
                _close_exercise(out, block.label, False)
        elif block.name == "quiz":
            out.text(plain.quiz(block, solved))
        elif block.kind == "text" and block.text.startswith(ANSWER) and not block.within and not solved:
            out.text(PROMPT)
        else:
            out.text(plain.block(block))
            if block.within == "exercise" and block.name == "admonition" and not (following and "exercise" in following.tags):
                _close_exercise(out, block.label, False)
    out.close()
    new = nbformat.v4.new_notebook(cells=out.cells, metadata={"kernelspec": KERNEL})
    for place, cell in enumerate(new.cells):  # the same chapter gives the same file
        cell["id"] = f"cell-{place}"
    return new


def _close_exercise(out: Writer, label: str, stub: bool) -> None:
    """A blank where the exercise has no stub, and its check where there is one."""
    if not stub:
        out.code(BLANK, ["exercise"])
    if label in KEYS:
        names = ", ".join(KEYS[label].names)
        out.code(f'from datadiet.course import check\n\ncheck("{label}", {names})', ["check"])

