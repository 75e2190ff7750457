"""A chapter as a row of blocks: headings, paragraphs, directives and code, with what each belongs to.

    for block in blocks(jupytext.read("chapters/label-noise.md")):
        block.kind, block.name, block.text, block.within

A block is *within* an exercise or a solution from its gate to the end of it; in pages that have no gates yet, the code of the
section "Exercises" is the solution of the exercise before it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from datadiet.errors import InputError

OPENS = re.compile(r"^(?P<fence>`{3,}|:{3,}) *\{(?P<name>[\w:-]+)\} *(?P<title>.*)$")
OPTION = re.compile(r"^:(?P<name>[\w-]+):(?P<value>.*)$")
LEVEL = re.compile(r"^(#+) +(.*)$")
GATES = ("exercise-start", "exercise-end", "solution-start", "solution-end")
OLD_EXERCISE, OLD_SOLUTION = re.compile(r"Exercise \d+"), re.compile(r"Solution\b")


@dataclass
class Block:
    """Part of a chapter: ``kind`` is heading, text, directive or code."""

    kind: str
    text: str
    name: str = ""  # of a directive
    title: str = ""
    options: dict = field(default_factory=dict)
    cell: object = None  # of code
    within: str = ""  # exercise, solution, or nothing
    label: str = ""  # of that exercise

    @property
    def tags(self) -> list[str]:
        return self.cell.metadata.get("tags", []) if self.cell is not None else []

    @property
    def level(self) -> int:
        return len(LEVEL.match(self.text)[1]) if self.kind == "heading" else 0


def _directive(lines: list[str], start: int) -> tuple[Block, int]:
    """The directive that begins at a line, and the line after it."""
    opens = OPENS.match(lines[start])
    fence, end = opens["fence"], start + 1
    while end < len(lines) and not re.fullmatch(rf"{fence[0]}{{{len(fence)},}} *", lines[end]):
        end += 1
    if end == len(lines):
        raise InputError(f"course.blocks: the directive {lines[start]!r} is not closed by {fence}; close it.")
    body, options = lines[start + 1 : end], {}
    if body and body[0] == "---":
        close = body.index("---", 1)
        options, body = yaml.safe_load("\n".join(body[1:close])), body[close + 1 :]
    while body and (found := OPTION.match(body[0])):
        options[found["name"]] = found["value"].strip()
        body = body[1:]
    return Block("directive", "\n".join(body).strip("\n"), opens["name"], opens["title"].strip(), options), end + 1


def parsed(source: str) -> Iterator[Block]:
    """Blocks of a Markdown cell; a paragraph, a list or a table is one."""
    lines, at, held, plain = source.split("\n"), 0, [], ""
    while at < len(lines):
        line = lines[at]
        if plain:  # in a code fence, or in a formula, nothing begins
            held.append(line)
            plain = "" if line.strip().startswith(plain) else plain
            at += 1
        elif OPENS.match(line) or LEVEL.match(line):
            if held:
                yield Block("text", "\n".join(held))
            held = []
            if LEVEL.match(line):
                yield Block("heading", line)
                at += 1
            else:
                block, at = _directive(lines, at)
                yield block
        elif not line.strip():
            if held:
                yield Block("text", "\n".join(held))
            held, at = [], at + 1
        else:
            fence = re.match(r"`{3,}|\$\$", line)
            plain = fence[0] if fence and not re.match(r"\$\$.+\$\$", line) else ""
            held.append(line)
            at += 1
    if held:
        yield Block("text", "\n".join(held))


def blocks(notebook) -> list[Block]:
    """All blocks of a notebook in their order, each with the exercise or solution that it is within.

    Raises
    ------
    InputError
        A gate that is opened twice, or never closed; a directive that is not closed.
    """
    found, within, label, section, old = [], "", "", "", ""
    for cell in notebook.cells:
        several = [Block("code", cell.source, cell=cell)] if cell.cell_type == "code" else parsed(cell.source)
        for block in several:
            if block.kind == "heading" and block.level <= 2:
                section, old = LEVEL.match(block.text)[2], ""
            if block.kind == "directive" and block.name in GATES:
                what, _, end = block.name.partition("-")
                if (end == "start") == bool(within) or end == "end" and what != within:
                    raise InputError(f"course.blocks: {block.name} of {block.title or label!r} stands "
                                     f"{f'within a {within}' if within else 'without its start'}; close each exercise and each "
                                     "solution before the next begins.")
                if end == "start":
                    within, label = what, block.options.get("label", "") if what == "exercise" else block.title
                block.within, block.label = what, label
                within, label = (within, label) if end == "start" else ("", "")
            elif within:
                block.within, block.label = within, label
            elif block.name in ("exercise", "solution"):
                block.within = block.name
                block.label = block.options.get("label", "") if block.name == "exercise" else block.title
            elif "solution" in block.tags or "exercise" in block.tags:
                block.within = "solution" if "solution" in block.tags else "exercise"
            elif section == "Exercises":  # pages without gates
                if block.name == "admonition":
                    old = "exercise" if OLD_EXERCISE.match(block.title) else "solution" if OLD_SOLUTION.match(block.title) else ""
                    block.within = old
                elif block.kind == "code" and old:
                    block.within = "solution"
            found.append(block)
    if within:
        raise InputError(f"course.blocks: the {within} {label!r} is never closed; write {within}-end after it.")
    return found


def has_exercises(text: str) -> bool:
    """Whether a chapter sets exercises."""
    return "## Exercises" in text or "{exercise-start}" in text or "{exercise}" in text
