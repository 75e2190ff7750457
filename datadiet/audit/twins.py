"""Twins: rows that say the same, or nearly so, and have different labels: one of the labels is wrong, or the task unclear."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from datadiet.errors import InputError

PIECE = 4  # letters of a piece: pieces of three are so common that too many pairs share the rarest of them
NEAR = 0.85  # cosine from which two texts are near
REST = 0.7  # length of the common pieces of a text that the search sets aside
NEAR_FEATURES = 0.98  # the same for features of an encoder, which find much alike
LETTERS = 20_000_000  # compared in all: more rows are compared by shorter beginnings, so that memory stays bounded
BEGINNING = 2_000  # letters of one text compared at most
WORK = 1_500_000_000  # multiplications that the search may cost; texts that all share a template can pass it
AT_ONCE = 4_000_000  # of these, held in memory at a time
DENSE = 30_000  # rows compared by features: each with each
CHUNK = 2_000  # rows compared with all others at once


@dataclass(frozen=True)
class Twins:
    """Rows alike with different labels; positions count the texts given.

    Attributes
    ----------
    exact : tuple of tuples of int
        Groups of rows that are the same after normalisation and have more than one label among them.
    near : tuple of (int, int, float)
        Pairs, and their cosine: different labels, not the same, the most alike first. Of rows that are the same and have the
        same label, only the first is paired.
    copies : int
        Rows that have an exact copy with the same label. A copy in another fold makes a model surer of the row than it should be.
    notes : tuple of str
        The meaning of "near", and pairs that were left out.
    """

    exact: tuple[tuple[int, ...], ...]
    near: tuple[tuple[int, int, float], ...]
    copies: int
    notes: tuple[str, ...]


def twins(texts, given, features=None) -> Twins:
    """Rows that say the same, or nearly the same, with different labels.

    The same: equal once case, blanks, punctuation and accents' spelling (Unicode NFKC) are set aside; for pictures, equal
    bytes. Nearly the same: cosine of the TF-IDF weights of four-letter pieces of 0.85 or more; with `features`, cosine of
    these of 0.98 or more. The search misses no pair: pieces are looked up from the rarest on, and a pair whose rare ones have
    little in common cannot reach the threshold (the prefix filter of Bayardo, Ma and Srikant, 2007; second-hand).

    Parameters
    ----------
    texts : list of str, of pairs of str, or of pathlib.Path
        One a row. Paths are pictures.
    given : int array [n]
        Class of each row.
    features : float array [n, d], optional
        Of any encoder, to compare rows by instead of pieces; needed for pictures that are alike without being equal.

    Returns
    -------
    Twins

    Raises
    ------
    InputError
        Lengths that differ.

    Examples
    --------
    >>> twins(["Where is Rome?", "where is  rome", "Who was Cato?"], [0, 1, 0]).exact
    ((0, 1),)
    """
    given = np.asarray(given)
    if len(texts) != len(given) or (features is not None and len(features) != len(texts)):
        raise InputError(f"audit.twins: {len(texts)} texts, {len(given)} labels"
                         + ("" if features is None else f", {len(features)} rows of features") + "; give one of each a row.")
    pictures = bool(len(texts)) and isinstance(texts[0], Path)
    plain = [] if pictures else [normal(each) for each in texts]
    groups: dict[str, list[int]] = {}
    for place, key in enumerate(map(_digest, texts) if pictures else plain):
        if key:  # nothing but punctuation: not the same as anything
            groups.setdefault(key, []).append(place)
    exact = tuple(tuple(group) for group in groups.values() if len(set(given[group].tolist())) > 1)
    copies = sum(int((given[group] == given[place]).sum() > 1) for group in groups.values() if len(group) > 1 for place in group)
    if features is not None:
        near, notes = _near_features(np.asarray(features, np.float32), given)
    elif pictures:
        near, notes = [], ("Pictures are compared by their bytes only: the same picture in another size is not found.",)
    else:
        near, notes = _near_texts(plain, given)
    same = {place: number for number, group in enumerate(groups.values()) for place in group}
    near = [(a, b, value) for a, b, value in near if a not in same or same[a] != same.get(b)]
    return Twins(exact, tuple(sorted(near, key=lambda each: (-each[2], each[:2]))), copies, notes)


def normal(text) -> str:
    """A text without case, punctuation and doubled blanks; a pair is one text.

    >>> normal("  Where IS\\tRome?!"), normal(("Yes.", "No"))
    ('where is rome', 'yes | no')
    """
    if isinstance(text, tuple):
        return " | ".join(normal(part) for part in text)
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[^\w\s]|_", " ", folded).split()) or " ".join(folded.split())


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""  # the report shows the row as one that could not be opened


def pieces(texts: list[str], size: int) -> sparse.csr_array:
    """TF-IDF weights of the four-letter pieces of the first `size` letters, rows of length 1; columns from the rarest piece on.

    Weight of a piece: 1 + ln(times in the text), times 1 + ln((1 + n) / (1 + texts that have it)), as scikit-learn has them
    with ``sublinear_tf``. A text has a blank at both ends.
    """
    cut = [f" {text[:size]} " if text else "" for text in texts]
    letters = np.frombuffer("".join(cut).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)
    owner = np.repeat(np.arange(len(cut), dtype=np.int32), [len(text) for text in cut])
    whole = owner[:1 - PIECE] == owner[PIECE - 1:]  # a piece lies within one text
    # A code point has 21 bits. Two halves, each counted through, fit into one number: no two pieces share a code.
    halves = np.unique((letters[:-1] << 21) | letters[1:], return_inverse=True)[1]
    known, column = np.unique((halves[:-2] << 32 | halves[2:])[whole], return_inverse=True)
    owner = owner[:1 - PIECE][whole]
    ones = np.ones(len(owner), np.float32)
    seen = sparse.coo_array((ones, (owner, column.astype(np.int32))), (len(cut), len(known))).tocsr()  # adds up what is double
    having = np.bincount(seen.indices, minlength=len(known))
    place = np.empty(len(known), np.int32)
    place[np.argsort(having, kind="stable")] = np.arange(len(known), dtype=np.int32)
    rarity = (1 + np.log((1 + len(cut)) / (1 + having))).astype(np.float32)
    seen.data = (1 + np.log(seen.data)) * rarity[seen.indices]
    seen.indices = place[seen.indices]
    seen.has_sorted_indices = False
    seen.sort_indices()
    rows = np.repeat(np.arange(len(cut)), np.diff(seen.indptr))
    length = np.sqrt(np.bincount(rows, weights=seen.data.astype(np.float64) ** 2, minlength=len(cut)))
    seen.data = (seen.data / length[rows]).astype(np.float32)
    return seen


def rarest(weights: sparse.csr_array, rest: float) -> sparse.csr_array:
    """The rarest pieces of each row, just so many that those left out have a length below `rest`; rows have length 1.

    Of two rows, take the one whose kept pieces end first. Beyond that end it has a length below `rest`, and the other one at most
    1, so that the product of two rows is less than the product of their kept pieces plus `rest`.
    """
    squares = np.concatenate([[0.0], np.cumsum(weights.data.astype(np.float64) ** 2)])
    starts = np.repeat(weights.indptr[:-1], np.diff(weights.indptr))
    kept = 1 - (squares[:-1] - squares[starts]) >= rest**2 - 1e-6  # squared length of the row from this piece on
    rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))[kept]
    return sparse.csr_array((weights.data[kept], (rows, weights.indices[kept])), weights.shape)


def _near_texts(texts: list[str], given: np.ndarray) -> tuple[list[tuple[int, int, float]], tuple[str, ...]]:
    size = min(BEGINNING, max(1, LETTERS // max(len(texts), 1)))
    longer = sum(len(text) > size for text in texts)
    note = f"Near means: nearly all four-letter pieces are shared, rare ones counting more (cosine of {NEAR} or more)."
    if longer:
        note += (f" {longer:,} of {len(texts):,} texts are longer than {size:,} letters and were compared by their beginning, to "
                 "keep time and memory small.")
    if sum(map(len, texts)) < PIECE:
        return [], (note,)
    # A thousand copies of one row would make a million pairs: a text and a label are looked up once.
    codes = np.unique(np.array(texts, dtype=object), return_inverse=True)[1]
    alone = np.sort(np.unique(np.stack([codes, given]), axis=1, return_index=True)[1])
    codes, given, weights = codes[alone], given[alone], pieces(texts, size)[alone]
    rare = rarest(weights, REST)
    having = np.bincount(rare.indices, minlength=rare.shape[1])
    work = np.concatenate([[0], np.cumsum(having[rare.indices])])[rare.indptr[1:]]  # of all rows up to each
    if work[-1] > WORK:
        return [], ("Near-duplicates were not looked for: so many texts share the same pieces that it would take too long. "
                    "Exact ones were.",)
    found, other = [], rare.T.tocsr()
    starts = np.unique(np.searchsorted(work, np.arange(0, work[-1] + 1, AT_ONCE)))
    for start, end in zip(starts, [*starts[1:], len(alone)], strict=True):
        shared = (rare[start:end] @ other).tocoo()
        first = shared.row + start
        pick = (shared.data >= NEAR - REST - 1e-5) & (first < shared.col) & (given[first] != given[shared.col])
        pick &= codes[first] != codes[shared.col]
        first, second = first[pick], shared.col[pick]
        for at in range(0, len(first), AT_ONCE // 200):
            one, two = first[at:at + AT_ONCE // 200], second[at:at + AT_ONCE // 200]
            cosine = np.asarray(weights[one].multiply(weights[two]).sum(axis=1)).ravel()
            close = cosine >= NEAR
            one, two, cosine = alone[one[close]], alone[two[close]], np.minimum(cosine[close], 1)
            found += zip(one.tolist(), two.tolist(), cosine.tolist(), strict=True)
    return found, (note,)


def _near_features(features: np.ndarray, given: np.ndarray) -> tuple[list[tuple[int, int, float]], tuple[str, ...]]:
    if len(features) > DENSE:
        return [], (f"Near-duplicates were not looked for: {len(features):,} rows compared each with each would take too long "
                    f"(the limit is {DENSE:,}). Exact ones were.",)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(length > 0, length, 1)
    found = []
    for start in range(0, len(unit), CHUNK):
        cosine = unit[start:start + CHUNK] @ unit.T
        first, second = np.nonzero(cosine >= NEAR_FEATURES)
        values, first = cosine[first, second], first + start
        pick = (first < second) & (given[first] != given[second])
        found += zip(first[pick].tolist(), second[pick].tolist(), np.minimum(values[pick], 1).tolist(), strict=True)
    return found, (f"Near means: features of the encoder with a cosine of {NEAR_FEATURES} or more.",)
