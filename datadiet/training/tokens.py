"""Texts as token ids, tokenised once a process: the runs of a sweep ask for the same few sets hundreds of times.

    found = tokens("minilm", 64, ("a review", "another, longer review"))
    found.columns["input_ids"]      # int32 [T], the tokens of all texts end to end
    found.lengths, found.cut        # int64 [N]; how many texts were longer than 64 tokens
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np

from datadiet.nets import encoders

SPLITS = 9  # splits whose tokens are kept: those of three sets


@dataclass(frozen=True)
class Tokens:
    """Tokens of N texts end to end: `columns` are arrays [T] as the encoder takes them.

    ``words``: the number of the word that each token belongs to, -1 for none; only of texts that come cut into words. ``cut``:
    how many texts are longer than the largest length, and have lost their end.
    """

    lengths: np.ndarray
    columns: dict[str, np.ndarray]
    words: np.ndarray | None
    cut: int


@lru_cache(maxsize=SPLITS)
def tokens(encoder: str, max_length: int, *texts: tuple, in_words: bool = False) -> Tokens:
    """Tokens of a column of texts, or of two columns that are read as pairs.

    The key of the cache is the texts themselves, so that no change to a set is missed.
    """
    tokenizer = (encoders.word_tokenizer if in_words else encoders.tokenizer)(encoder)
    columns = [list(map(list, column)) if in_words else list(column) for column in texts]
    found = tokenizer(*columns, truncation=True, max_length=max_length, is_split_into_words=in_words)
    lengths, words = np.fromiter(map(len, found["input_ids"]), np.int64), None
    if in_words:
        words = _flat([[-1 if word is None else word for word in found.word_ids(row)] for row in range(len(lengths))])
    full = np.flatnonzero(lengths == max_length)  # only these can have lost their end
    if tokenizer.is_fast:
        cut = sum(bool(found[int(row)].overflowing) for row in full)
    elif len(full):  # a tokenizer in Python does not say whether it cut
        whole = tokenizer(*([column[row] for row in full] for column in columns), is_split_into_words=in_words)
        cut = sum(len(row) > max_length for row in whole["input_ids"])
    else:
        cut = 0
    return Tokens(lengths, {name: _flat(rows) for name, rows in found.items()}, words, cut)


def _flat(rows) -> np.ndarray:
    """Rows of whole numbers end to end, in the smallest type that holds them."""
    flat = np.fromiter(chain.from_iterable(rows), np.int32)
    return flat.astype(np.int8) if not len(flat) or -128 <= flat.min() and flat.max() < 128 else flat
