"""Tokens with tags: two columns of a table whose cells hold as many tags as tokens, as lists or with blanks between."""

import ast
from dataclasses import dataclass

import numpy as np

from datadiet.errors import InputError
from datadiet.tables.labels import named
from datadiet.tables.table import Table, blank, whole

TOKENS = ("tokens", "words", "token", "word")
TAGS = ("tags", "ner_tags", "slots", "pos_tags", "slot_labels", "token_labels", "labels", "tag")
SAMPLE = 50  # rows that are looked at to find the columns


@dataclass(frozen=True)
class Tagged:
    """Rows of a table that have tokens and tags.

    Attributes
    ----------
    names : tuple of str
        Tags, in alphabetical order.
    rows : int64 array [n]
        Positions in the table.
    tokens : list of n lists of str
    tags : list of n int64 arrays
        Tag of each token, an index into `names`.
    """

    names: tuple[str, ...]
    rows: np.ndarray
    tokens: list
    tags: list


def found(table: Table) -> tuple[str, str] | None:
    """The columns of tokens and of tags, where two columns of lists have the names that such columns have; else None."""
    part = table.take(np.arange(min(SAMPLE, len(table))))
    lists = {
        name.lower(): name
        for name in table.columns
        if table.columns.count(name) == 1
        and (cells := [cell for cell in part.cells(name) if cell is not None])
        and all(isinstance(cell, list) for cell in cells)
    }
    pair = [next((lists[name] for name in names if name in lists), None) for names in (TOKENS, TAGS)]
    return tuple(pair) if all(pair) else None


def read(table: Table, tokens: str, tags: str) -> Tagged:
    """Tokens and tags of the rows that have both.

    A cell is a list (of JSON, Parquet, or as Python writes one), or a text whose tokens have blanks between. A row without tags,
    or with a tag that is missing (null, -1 of ClassLabel), is left out.

    Raises
    ------
    InputError
        A missing column; a row with another number of tags than of tokens; one tag in all; no row.
    """
    table.require("tables.tagged", tokens, "token ")
    table.require("tables.tagged", tags, "tag ")
    rows, words, marks = [], [], []
    for row, cells in enumerate(zip(table.cells(tokens), table.cells(tags), strict=True)):
        first, second = (parts(cell) for cell in cells)
        if not second:
            continue
        if len(first) != len(second):
            raise InputError(
                f"tables.tagged: {table.where(row)} has {len(first)} tokens in {tokens!r} and {len(second)} tags in {tags!r}; "
                "write one tag for each token, both as lists or with blanks between."
            )
        if None in second:
            continue
        rows.append(row)
        words.append([whole(each if isinstance(each, str) else named(each)) for each in first])
        marks.append([each if isinstance(each, str) else named(each) for each in second])
    if not rows:
        raise InputError(f"tables.tagged: no row has tokens in {tokens!r} and tags in {tags!r}; name the right columns.")
    names = tuple(sorted({mark for each in marks for mark in each}))
    if len(names) < 2:
        raise InputError(f"tables.tagged: the tag column {tags!r} holds one tag only ({names[0]!r}); scores need two or more.")
    if len(names) > max(2, sum(map(len, marks)) // 4):
        raise InputError(
            f"tables.tagged: the tag column {tags!r} holds {len(names)} different tags for {sum(map(len, marks))} tokens; it "
            "does not look like tags. Name the right column with --tags."
        )
    place = {name: k for k, name in enumerate(names)}
    codes = [np.array([place[mark] for mark in each], np.int64) for each in marks]
    return Tagged(names, np.array(rows, np.int64), words, codes)


def parts(cell) -> list:
    """Tokens or tags of a cell.

    >>> parts(["a", "b c"]), parts("B-city  O"), parts("['O', 'O']"), parts(None), parts(" ")
    (['a', 'b c'], ['B-city', 'O'], ['O', 'O'], [], [])
    """
    if isinstance(cell, list | tuple):
        return list(cell)
    if blank(cell):
        return []
    text = str(cell).strip()
    if text.startswith("[") and text.endswith("]"):
        try:
            read = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            read = None
        if isinstance(read, list):
            return read
    return text.split()
