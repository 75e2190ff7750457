"""Spans of slot tags: the slots that a tagger has found, counted in whole phrases. Plain Python, names in, numbers out.

    spans(["O", "B-city", "I-city", "O"])       # {("city", 1, 2)}
    f1([["B-city", "O"]], [["B-city", "O"]])    # 1.0

A span is right when its type, its first and its last word are. Tags follow BIO; an I- that continues nothing of its type opens
a span, as conlleval and the default mode of seqeval (Nakayama 2018) have it.
"""

from datadiet.errors import InputError

OUTSIDE = "O"  # tag of a word outside all slots


def _parts(tag: str) -> tuple[str, str]:
    """Mark and type of a tag: ("B", "city"); ("O", "") outside."""
    mark, _, kind = tag.partition("-")
    if tag != OUTSIDE and (mark not in ("B", "I") or not kind):
        raise InputError(f"spans: the tag {tag!r} is neither 'O' nor 'B-TYPE' nor 'I-TYPE'; write the slots in BIO.")
    return mark, kind


def spans(tags) -> set[tuple[str, int, int]]:
    """Spans of one utterance: {(type, first word, last word)}.

    >>> sorted(spans(["I-to", "I-to", "B-to", "I-from"]))
    [('from', 3, 3), ('to', 0, 1), ('to', 2, 2)]

    Raises
    ------
    InputError
        A tag that is not BIO.
    """
    found, start, open_kind = set(), 0, ""
    for place, (mark, kind) in enumerate([*map(_parts, tags), ("O", "")]):
        if open_kind and (mark != "I" or kind != open_kind):
            found.add((open_kind, start, place - 1))
            open_kind = ""
        if mark != "O" and not open_kind:
            start, open_kind = place, kind
    return found


def f1(true, predicted) -> float:
    """Micro-averaged F1 over the spans of all utterances, in [0, 1]: ``2 right / (true + predicted)``.

    This is what papers on slot filling report. The share of right tags is another number, and a larger one: most words lie
    outside all slots. Where neither has a span, 0, as seqeval has it.

    >>> true = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    >>> f1(true, [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]])
    0.5

    Raises
    ------
    InputError
        Numbers of utterances, or of words in one, that differ.
    """
    if [len(row) for row in true] != [len(row) for row in predicted]:
        raise InputError(f"spans.f1: {len(true)} utterances beside {len(predicted)} predicted ones, or other lengths; "
                         "give one predicted tag a word.")
    right = total = 0
    for a, b in zip(map(spans, true), map(spans, predicted), strict=True):
        right, total = right + len(a & b), total + len(a) + len(b)
    return 2 * right / total if total else 0.0


def filled(predictions, true, outside: int) -> list[list[int]]:
    """One predicted label for each word of `true`; `outside` where a model saw no word (-1, or past the end of the row).

    >>> filled([[3, -1], [4, 4]], [[3, 3, 3], [4]], outside=0)
    [[3, 0, 0], [4]]
    """
    out = []
    for row, words in zip(predictions, true, strict=True):
        seen = [int(label) for label in row[: len(words)]] + [-1] * (len(words) - len(row))
        out.append([label if label >= 0 else outside for label in seen])
    return out
