"""MyST Markdown as the Markdown of any notebook: directives become quotes and tables, references become words.

Jupyter and Colab show a directive as a grey box of its source; a student should see a page.
"""

import re
from functools import cache
from pathlib import Path

import yaml

from datadiet.course.blocks import Block, parsed

# What a text may hold, from left to right: code, which stays as it is, a role, a link to another page.
INLINE = re.compile(r"(?P<fence>```.*?```|``.+?``)|\{(?P<role>[\w:-]+)\}`(?P<text>[^`]+)`|(?P<code>`[^`]+`)"
                    r"|\[(?P<words>[^\]]+)\]\((?![a-z]+://)(?P<page>[^)\s#]*)(?:#[^)\s]*)?\)", re.DOTALL)  # fmt: skip
TITLED = re.compile(r"(.*?)\s*<(.+)>$", re.DOTALL)
LABELLED = re.compile(r"^\$\$ *\(([\w-]+)\) *$", re.M)
QUOTED = {"admonition": "", "dropdown": "", "note": "Note", "tip": "Tip", "important": "Important", "seealso": "See also",
          "warning": "Warning", "hint": "Hint"}  # fmt: skip


@cache
def _names(bibliography: Path) -> dict[str, tuple[str, str]]:
    """Key of an entry -> its authors in short, and the year."""
    from pybtex.database import parse_file

    def short(entry) -> str:
        who = [" ".join(person.prelast_names + person.last_names) for person in entry.persons["author"]]
        who = [name.replace("{", "").replace("}", "") for name in who]
        return who[0] + ("" if len(who) == 1 else f" and {who[1]}" if len(who) == 2 else " et al.")

    return {key: (short(entry), entry.fields["year"]) for key, entry in parse_file(str(bibliography)).entries.items()}


def _one_line(cell: str) -> str:
    """A cell of a table of bars, which has one line."""
    return "<br>".join(" ".join(part.split()) for part in cell.strip().split("\n\n")).replace("|", r"\|")


class Plain:
    """Turns blocks of one chapter into plain Markdown; formulas are numbered within it.

    Parameters
    ----------
    root : Path
        Folder with ``references.bib``.
    known : set of str
        Chapters that a link may lead to, as notebooks beside this one; other links become their words.
    source : str
        Text of the chapter, in which its formulas stand.
    """

    def __init__(self, root: Path, known: set[str], source: str):
        self.root, self.known = root, known
        self.formulas = {label: place for place, label in enumerate(LABELLED.findall(source), start=1)}

    def _role(self, role: str, text: str) -> str:
        if role.startswith("cite"):
            names = [_names(self.root / "references.bib").get(key.strip(), (key.strip(), "")) for key in text.split(",")]
            if role == "cite:t":
                return ", ".join(f"{who} ({year})" for who, year in names)
            return "(" + "; ".join(f"{who}, {year}" for who, year in names) + ")"
        if role == "eq":
            return f"({self.formulas.get(text, text)})"
        titled = TITLED.match(text)
        return titled[1] if titled else f"`{text}`" if role in ("func", "class", "mod", "meth", "code") else text

    def _inline(self, found: re.Match) -> str:
        if found["role"]:
            return self._role(found["role"], found["text"])
        if not found["words"]:
            return found[0]
        words, name = INLINE.sub(self._inline, found["words"]), Path(found["page"]).stem
        return f"[{words}]({name}.ipynb)" if name in self.known else words

    def text(self, source: str) -> str:
        """Markdown without roles, labels of formulas, and links that lead nowhere."""
        source = LABELLED.sub(lambda found: f"\\tag{{{self.formulas.get(found[1], found[1])}}}\n$$", source)
        source = re.sub(r"^\([\w-]+\)=$\n?", "", source, flags=re.M)  # anchors
        return INLINE.sub(self._inline, source)

    def block(self, block: Block) -> str:
        """A heading, a text or a directive as plain Markdown."""
        if block.kind != "directive":
            return self.text(block.text)
        if block.name == "quiz":
            return self.quiz(block, solved=True)
        if block.name == "list-table":
            return self.table(block)
        if block.name == "math":
            return f"$$\n{block.text}\n$$"
        if block.name.startswith("code"):
            return f"```{block.title}\n{block.text}\n```"
        inner = "\n\n".join(self.block(each) for each in parsed(block.text))
        title = self.text(block.title) if block.name in ("admonition", "dropdown") else QUOTED.get(block.name, block.title)
        lines = ([f"**{title}**", ""] if title else []) + inner.split("\n")
        return "\n".join(f"> {line}".rstrip() for line in lines)

    def table(self, block: Block) -> str:
        """A list-table as a table of bars."""
        rows = [re.split(r"^ {2}- ?", row, flags=re.M) for row in re.split(r"^\* - ?", block.text, flags=re.M)[1:]]
        cells = [[_one_line(self.text(cell)) for cell in row] for row in rows]
        if not block.options.get("header-rows"):
            cells.insert(0, [""] * len(cells[0]))
        title = [f"**{self.text(block.title)}**", ""] if block.title else []
        first, *others = ["| " + " | ".join(row) + " |" for row in cells]
        return "\n".join([*title, first, "|" + " --- |" * len(cells[0]), *others])

    def quiz(self, block: Block, solved: bool) -> str:
        """Questions with their answers in a list; where it is `solved`, with the right one and the reasons."""
        out = []
        for place, each in enumerate(yaml.safe_load(block.text), start=1):
            out += [f"**Question {place}.** {self.text(each['question'])}", ""]
            for letter, answer in zip("abcdefgh", each["answers"], strict=False):
                right = " **Right.**" if answer.get("right") and solved else ""
                because = f" *{self.text(answer['because'])}*" if answer.get("because") and solved else ""
                out.append(f"- ({letter}) {self.text(answer['text'])}{right}{because}")
            out.append("")
        return "\n".join(out).rstrip()
