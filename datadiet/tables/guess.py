"""Which columns are the text, the second text of a pair, and the label: by their names and by their cells."""

import re
from dataclasses import dataclass

import numpy as np

from datadiet.errors import InputError
from datadiet.tables.table import Table, blank, listed, some, wrapped

TEXTS = (
    "text",
    "sentence",
    "question",
    "content",
    "review",
    "body",
    "message",
    "utterance",
    "tweet",
    "comment",
    "query",
    "prompt",
    "document",
    "abstract",
    "description",
    "input",
    "article",
    "post",
)
LABELS = (
    "label",
    "labels",
    "class",
    "category",
    "topic",
    "target",
    "y",
    "intent",
    "sentiment",
    "gold",
    "tag",
    "annotation",
    "gold_label",
    "label_text",
    "coarse_label",
    "stars",
    "rating",
)
PAIRS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("sentence_a", "sentence_b"),
    ("text", "text_pair"),
    ("question", "passage"),
    ("question", "sentence"),
    ("query", "document"),
)
SAMPLE = 2000  # rows looked at
WORDS = 2.5  # a text has that many words on average


@dataclass(frozen=True)
class Guess:
    """Columns to read, and a sentence on those that were found.

    Attributes
    ----------
    text, label : str
    text_pair : str or None
    said : str
        Empty where all were named.
    """

    text: str
    label: str
    text_pair: str | None
    said: str


def simple(name: str) -> str:
    """A name as it is compared: small letters, no blanks or marks.

    >>> simple("Text-A "), simple("sentence 1")
    ('texta', 'sentence1')
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


def looks(table: Table, name: str) -> tuple[bool, bool]:
    """Whether a column looks like texts, and whether it looks like labels."""
    rows = np.unique(np.linspace(0, len(table) - 1, SAMPLE).astype(int))
    part = table.take(rows)
    cells = [cell for cell in part.cells(name) if not blank(cell)]
    if not cells or any(isinstance(cell, list | dict | bytes) for cell in cells):
        return False, False
    different = len(set(map(str, cells)))
    texts = [cell for cell in cells if isinstance(cell, str)]
    words = np.mean([len(cell.split()) for cell in texts]) if texts else 0
    written = sum(any(letter.isalpha() for letter in cell) for cell in texts) > 0.5 * len(cells)
    long = words >= WORDS or bool(texts) and max(map(len, texts)) > 60 and np.mean([len(cell) for cell in texts]) > 15
    text = bool(written and long and different > 0.2 * len(cells))
    label = 2 <= different <= max(2, len(cells) // 3) and words < 6
    return text, bool(label)


def named(table: Table) -> list[str]:
    """Columns that could be meant: those with a name of their own, but for what ``datadiet score`` wrote."""
    return [
        name for name in table.columns if name.strip() and table.columns.count(name) == 1 and not name.startswith("datadiet_")
    ]


def shown(table: Table) -> tuple[str | None, str | None]:
    """Columns of the label and of the text as far as they are found, to be shown beside a row; None for what is not."""
    seen = {name: looks(table, name) for name in named(table)}
    found = []
    for kind, names, k in (("label", LABELS, 1), ("text", TEXTS, 0)):
        try:
            found.append(chosen(table, kind, [name for name in seen if seen[name][k]], names, ""))
        except InputError:
            found.append(None)
    return tuple(found)


def columns(
    table: Table, text: str | None = None, label: str | None = None, text_pair: str | None = None, beside=()
) -> Guess:
    """Columns of the text and of the label, those that are named as they are, the others found; not those `beside`, which are
    read as something else.

    Raises
    ------
    InputError
        A named column is missing; more than one column could be the one, or none. The message has the candidates.
    """
    for name, kind in ((text, "text "), (label, "label "), (text_pair, "second text ")):
        if name is not None:
            table.require("datadiet score", name, kind)
    named_twice = [name for name in (text, label) if name is not None and (text, text_pair, label).count(name) > 1]
    if named_twice:
        raise InputError(
            f"datadiet score: the column {named_twice[0]!r} is named twice among --text, --text-pair and --label; a text that is "
            "the label, or its own pair, would make every score meaningless. Name a column of its own for each."
        )
    if text is not None and label is not None:
        return Guess(text, label, text_pair, "")
    free = [name for name in named(table) if name not in (text, label, text_pair, *beside)]
    seen = {name: looks(table, name) for name in free}
    said = []
    if text is None:
        found = [name for name in free if seen[name][0]]
        pair = pair_of(found) if text_pair is None else None
        if pair is not None:
            text, text_pair = pair
            said.append(f"the texts {text!r} and {text_pair!r}")
        else:
            text = chosen(table, "text", found, TEXTS, "--text")
            said.append(f"the text {text!r}")
    if label is None:
        found = [name for name in free if seen[name][1] and name not in (text, text_pair)]
        label = chosen(table, "label", found, LABELS, "--label")
        said.append(f"the label {label!r}")
    return Guess(text, label, text_pair, f"Columns found: {', '.join(said)}. Name others with --text, --text-pair and --label.")


def label(table: Table, beside: list[str]) -> str:
    """Column of the label alone, where no text is read; `beside` are columns that are read as something else."""
    free = [name for name in named(table) if name not in beside]
    return chosen(table, "label", [name for name in free if looks(table, name)[1]], LABELS, "--label")


def pair_of(found: list[str]) -> tuple[str, str] | None:
    """Two columns of texts whose names belong together, if there is just one such pair."""
    by_name = {simple(name): name for name in found}
    pairs = [(by_name[simple(a)], by_name[simple(b)]) for a, b in PAIRS if simple(a) in by_name and simple(b) in by_name]
    return pairs[0] if len(pairs) == 1 else None


def chosen(table: Table, kind: str, found: list[str], names: tuple[str, ...], option: str) -> str:
    """The one candidate, or the one that is named as such columns are; else an error that has the candidates."""
    if len(found) == 1:
        return found[0]
    ranked = [name for known in names for name in found if simple(name) == simple(known)]
    if ranked:
        others = [name for name in found if simple(name) in map(simple, names) and name != ranked[0]]
        if not others or simple(ranked[0]) == simple(names[0]):
            return ranked[0]
    twice = sorted({name for name in table.columns if table.columns.count(name) > 1})
    if not found and twice:
        raise InputError(
            f"datadiet score: no column with a name of its own looks like the {kind}: {listed(twice)} stands over several "
            "columns. "
            f"Rename them in the first line, or name another with {option}. The table has "
            f"{listed(table.columns)}."
        )
    if not found:
        why = doubted(table, kind, names)
        raise InputError(
            f"datadiet score: no column looks like the {kind}; name it with {option}.{why} The table has {listed(table.columns)}."
        )
    spread = one_a_row(table, found) if kind == "label" else ""
    raise InputError(f"datadiet score: the {kind} could be {listed(found)}; name one with {option}.{spread}")


def doubted(table: Table, kind: str, names: tuple[str, ...]) -> str:
    """Why no column was taken: a sentence for the column that has the name of such columns, or for all; empty without one."""
    if len(table.columns) == 1:
        return " There is one column only: where the cells of a row stand behind each other, name their separator with --sep."
    if whole := wrapped(table):
        return whole
    if len(table.columns) < 5 and table.kind == ".txt" and any("blank line" in note for note in table.notes):
        return (
            " Where each line is a token with its tag and blank lines end the sentences (CoNLL), write a row for each sentence, "
            "its tokens and its tags with blanks between, and name them with --tokens and --tags."
        )
    known = [simple(name) for name in names]
    by_name = sorted((name for name in named(table) if simple(name) in known), key=lambda name: known.index(simple(name)))
    if by_name:
        cells = [cell for cell in table.cells(by_name[0]) if not blank(cell)]
        odd = next((cell for cell in cells if isinstance(cell, list | dict | bytes)), None)
        different = len(set(map(str, cells)))
        if odd is not None:
            return (
                f" {by_name[0]!r} holds a {type(odd).__name__} ({str(odd)[:40]}), where a {kind} is one word or number or text."
            )
        return (
            f" {by_name[0]!r} is named like one, but has {different} different values in {some(len(cells), 'row')} that have any."
        )
    part = table.take(np.arange(min(SAMPLE, len(table))))
    deep = [name for name in named(table) if any(isinstance(cell, dict) for cell in part.cells(name))]
    if deep:
        return f" {listed(deep)} holds objects, whose values are not looked at: put the {kind} into a column of its own."
    return ""


def one_a_row(table: Table, found: list[str]) -> str:
    """A sentence where the candidates are classes themselves, with a 1 or true in the cell of the class of a row."""
    cells = [[str(cell).strip().lower() for cell in table.cells(name)] for name in found]
    if not all(set(column) <= {"0", "1", "0.0", "1.0", "true", "false", ""} for column in cells):
        return ""
    counts = np.sum([[cell in ("1", "1.0", "true") for cell in column] for column in cells], axis=0)
    if (counts == 1).all():
        return " Each row has a 1 in just one of them: they are the classes. Put the name of that one into a column of its own."
    return " They hold a 1 where a label applies, several in a row: a row has one class here, so take one of them at a time."
