"""Scores of a table too large for one machine, partition by partition: ids, order and the other columns stay as they are.

    score("table/", "scored/", label="topic", probs=["p_cat", "p_dog"], names=["cat", "dog"], engine="dask://host:8786")
    score("table/", "scored/", label="topic", text="question")     # a model is fitted on a sample first; see `sampled`
    keep("scored/", "kept/", "datadiet_el2n", 0.7, "easiest")      # one threshold for the whole table, exact

`table/` is a folder of Parquet files, or one Parquet file (its row groups are the partitions). Every worker must reach the table
and the output under the same paths. No worker reads more than `batch` rows at a time, and nobody the table.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from datadiet import prune, scores
from datadiet.audit import given
from datadiet.audit import parts as pieces
from datadiet.errors import InputError
from datadiet.tables.columns import class_names, selected, with_range

SCORES = scores.SCORES
BITS = 16  # of a score that one pass of `keep` settles; four passes settle all 64


def score(
    source,
    out,
    *,
    label: str,
    probs=None,
    text: str | None = None,
    names=None,
    use=("el2n", "margin", "cross_entropy", "entropy"),
    engine: str = "here",
    batch: int = 65_536,
    sample: int = 10_000,
    seed: int = 0,
    encoder: str = "minilm-mean",
    max_length: int = 128,
) -> dict:
    """Add columns ``datadiet_SCORE`` to every partition of `source`, in the folder `out`; the manifest comes back.

    Parameters
    ----------
    source, out : path
        A folder of Parquet files, or one file; and the folder of the partitions with their new columns, of the same names.
    label : str
        Column of labels: class numbers, or with `names` the names of classes. One of ClassLabel, of ``datasets``, has the names
        that the file describes, and these are `names` where it is not given.
    probs : list of K column names, or the name of one column of lists of K numbers
        Probabilities made elsewhere. Either these or `text`.
    text : str, optional
        Column of texts: the model of :func:`datadiet.audit.sampled.fit` scores them, and the class that it would give is written
        to ``datadiet_class``. Rows of the sample get the probabilities of models that were not fitted on them.
    names : list of K str, optional
        Classes in the order of `probs`. Needed where labels are words and `probs` is given.
    use : names of scores
        Of ``datadiet.scores.SCORES``; all are higher for harder rows.
    engine : str
        "here", "processes" (one a core), or "dask://host:port".
    batch : int
        Rows read, scored and written at a time, at most.
    sample, seed, encoder, max_length
        Of the model of texts: rows that it is fitted on, the draw of them, the frozen encoder, tokens a text is cut at.

    Returns
    -------
    dict
        Rows read, written and unscored, of all and of each partition, and the settings; also in ``out/_manifest.json``, which is
        written last, after the rows of every partition were counted again. ``computed``: partitions that this call wrote.

    Raises
    ------
    InputError
        Neither or both of `probs` and `text`; a column that is not there, or a new one that is; probabilities that are none;
        labels that are no classes; a partition in `out` that other settings made.

    Notes
    -----
    A row without a label, a text or one of its probabilities, or of a class that the sample of texts has not, stays; its new
    cells are null, and it is counted. A partition is written whole or not at all; interrupted, a second call goes on.
    """
    name = "partitions.score"
    if (probs is None) == (text is None):
        raise InputError(f"{name}: probs={probs!r}, text={text!r}; give one of the two.")
    unknown = [each for each in use if each not in SCORES]
    if unknown or not use:
        raise InputError(f"{name}: scores {list(use)}; choose from {', '.join(SCORES)}.")
    if batch < 1:
        raise InputError(f"{name}: batch={batch}; give a number of rows, 1 or more.")
    pieces.check_output(source, out, name)
    todo = pieces.parts(source, name)
    columns = [label] + ([text] if text else [probs] if isinstance(probs, str) else list(probs))
    require(todo, columns, [f"datadiet_{each}" for each in use] + ["datadiet_class"] * bool(text), name)
    names = names if text else _described(todo, label, names)
    settings = {"label": label, "probs": probs if text or isinstance(probs, str) else list(probs), "text": text, "use": list(use),
                "names": None if names is None else list(map(str, names))}  # fmt: skip

    def job(part):  # but for its last argument, which says how rows get probabilities
        return _score, part, str(Path(out).absolute() / part.name), settings, batch

    if text is None:
        make = partial(given.of_columns, settings)
        return pieces.carry_out(todo, out, settings, lambda part: (*job(part), make), engine, name)
    from datadiet.audit import sampled

    if names is not None:
        raise InputError(f"{name}: names={names!r}; the classes of a model of texts are those that its sample has. Leave it out.")
    settings |= {"sample": sample, "seed": seed, "encoder": encoder, "max_length": max_length}
    pieces.there(todo, out, settings, name)  # refused before the wait
    model = sampled.stored(todo, out, settings, engine, name)

    def with_model(part):
        return *job(part), partial(sampled.predict, model.of(part), settings)

    return pieces.carry_out(todo, out, settings, with_model, engine, name)


def require(todo, columns, new, name: str) -> None:
    """Refuse a table that lacks one of `columns`, or has one of the `new` ones."""
    import pyarrow.parquet as pq

    has = pq.read_schema(todo[0].file).names if todo else columns
    if missing := [each for each in columns if each not in has]:
        spread = f"{missing[0]}=" in todo[0].name  # as Spark partitions by a column
        way = " Only the names of its folders have it: write it into the files." if spread else ""
        raise InputError(f"{name}: there is no column {missing[0]!r}; the table has {', '.join(has[:20])}.{way}")
    if twice := [each for each in new if each in has]:
        raise InputError(f"{name}: the table has a column {twice[0]!r} already; rename it, or give the table without it.")


def _described(todo, label: str, names) -> list[str] | None:
    """`names`, or those of the classes of a column of ClassLabel where it is not given, or has their numbers."""
    import pyarrow.parquet as pq

    described = class_names(pq.read_schema(todo[0].file), label) if todo else None
    if described is None or names is None:
        return described if names is None else names
    numbers = {str(number): each for number, each in enumerate(described)}
    asked = list(map(str, names))
    return [numbers[each] for each in asked] if set(asked) == set(numbers) != set(described) else asked


def _score(part, target: str, settings: dict, rows: int, make) -> dict:
    """Write a partition with its new columns. ``make(first row, batch)``: which rows are complete, their probabilities, class
    numbers, and further columns."""

    def change(at, batch):
        complete, probs, codes, more = make(at, batch)
        if part.group is not None:  # one of several parts of a file
            batch = with_range(batch, part.start + at)
        for each in settings["use"]:
            values = np.full(len(batch), np.nan)
            if complete.any():
                values[complete] = SCORES[each](probs, codes)
            batch = batch.append_column(f"datadiet_{each}", pa.array(values, mask=~complete))
        for each, column in more.items():
            batch = batch.append_column(each, column)
        return batch, int((~complete).sum())

    return pieces.write(part, target, pieces.recipe(settings, part), rows, change)


# --- Pruning


def keep(source, out, column: str, fraction: float, rule: str = "hardest", offset: float = 0.0, *, unscored: str = "refuse",
         engine: str = "here", batch: int = 65_536) -> dict:  # fmt: skip
    """Write the rows that :func:`datadiet.prune.keep` keeps of the whole table, in partitions of the same names; the manifest.

    Parameters
    ----------
    source, out, engine, batch
        As for :func:`score`.
    column : str
        Scores, higher = harder.
    fraction, rule, offset
        As for :func:`datadiet.prune.keep`: exactly ``round(fraction * N)`` of the N rows with a score, equals by position. Of its
        rules those that keep a range of the ranking: "hardest", "easiest", "middle".
    unscored : str
        Rows whose score is null or NaN: "refuse" them, "keep" them all beside the others, or "drop" them.

    Notes
    -----
    Nothing is sorted and no scores are collected. Float64 numbers, their bits put in order, are ranked like 64-bit integers; each
    of four passes over the one column counts the next 16 bits, so that the score at which the range ends is known exactly. One
    pass before counts the rows with a score, one after the equals of that score in each partition, and the last writes. A range
    with two ends takes five more. Memory here: 65,536 counts, and a number a partition.
    """
    name = "partitions.keep"
    prune.check(fraction, rule, offset)
    if rule not in ("hardest", "easiest", "middle"):
        raise InputError(f"{name}: rule={rule!r}; over partitions 'hardest', 'easiest' and 'middle' are there.")
    if unscored not in ("refuse", "keep", "drop"):
        raise InputError(f"{name}: unscored={unscored!r}; choose 'refuse', 'keep' or 'drop'.")
    pieces.check_output(source, out, name)
    todo = pieces.parts(source, name)
    require(todo, [column], [], name)
    counts = pieces.each([(_known, part, column, batch) for part in todo], engine, name, "counting scores")
    n = sum(counts)
    empty = sum(part.rows for part in todo) - n
    if empty and unscored == "refuse":
        raise InputError(
            f"{name}: {empty} of {n + empty} rows have no score in {column!r}; say unscored='keep' or unscored='drop'."
        )
    size = round(fraction * n)
    if not size:
        raise InputError(f"{name}: fraction={fraction} of {n} rows with a score rounds to none; raise it.")
    first = prune.begin(rule, n, size, min(round(offset * n), n - size))
    ends = [_end(todo, column, rank, n, engine, batch, name) for rank in (first, first + size)]
    place = {part.name: number for number, part in enumerate(todo)}
    settings = {"column": column, "fraction": fraction, "rule": rule, "offset": offset, "unscored": unscored,
                "ends": [[str(key), sum(ties)] for key, ties in ends]}  # fmt: skip
    manifest = pieces.carry_out(
        todo, out, settings,
        lambda part: (_filter, part, str(Path(out).absolute() / part.name), settings,
                      [(key, ties[place[part.name]]) for key, ties in ends], batch),
        engine, name, filters=True,
    )  # fmt: skip
    if manifest["kept"] != size + empty * (unscored == "keep"):
        raise RuntimeError(f"{name}: {manifest['kept']} rows were written of {size} to keep; the scores changed meanwhile.")
    return manifest


def _keys(batch: pa.RecordBatch, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows with a score [n], bool, and the scores of these as uint64 in the order of the ranking: the hardest is the smallest."""
    values = given.numbers(batch[column], column, "partitions.keep")
    there = pieces.valid(values)
    numbers = values.filter(pa.array(there)).to_numpy(zero_copy_only=False).astype(np.float64)
    if (numbers == -np.inf).any():
        raise InputError(f"partitions.keep: a score in {column!r} is -inf; score this row again, or empty its cell.")
    bits = (numbers + 0.0).view(np.int64)  # + 0.0 makes -0.0 its equal
    return there, ~np.where(bits < 0, ~bits, bits ^ np.int64(-(2**63))).view(np.uint64)


def _known(part, column: str, rows: int) -> int:
    return sum(int(_keys(batch, column)[0].sum()) for _, batch in pieces.batches(part, [column], rows))


def _counts(part, column: str, rows: int, head: int, settled: int) -> np.ndarray:
    """How many keys that begin with the `settled` bits of `head` have each of the next 16 bits, [65536]."""
    out = np.zeros(2**BITS, np.int64)
    for _, batch in pieces.batches(part, [column], rows):
        _, keys = _keys(batch, column)
        if settled:
            keys = keys[keys >> np.uint64(64 - settled) == np.uint64(head)]
        next_bits = (keys >> np.uint64(64 - settled - BITS)) & np.uint64(2**BITS - 1)
        out += np.bincount(next_bits.astype(np.int64), minlength=2**BITS)
    return out


def _equal(part, column: str, rows: int, key: int) -> int:
    return sum(int((_keys(batch, column)[1] == np.uint64(key)).sum()) for _, batch in pieces.batches(part, [column], rows))


def _end(todo, column: str, rank: int, n: int, engine: str, rows: int, name: str) -> tuple[int, list[int]]:
    """The key at `rank` and, for each partition, how many of its equals there come before that rank."""
    if rank in (0, n):  # before the first, or after the last: 2**64 - 1 is the key of a NaN
        return (2**64 - 1 if rank else 0), [0] * len(todo)
    head, before, words = 0, rank, "finding the threshold"
    for settled in range(0, 64, BITS):
        total = np.zeros(2**BITS, np.int64)
        pieces.each([(_counts, part, column, rows, head, settled) for part in todo], engine, name, words, total.__iadd__)
        total = np.cumsum(total)
        step = int(np.searchsorted(total, before, side="right"))
        before -= int(total[step - 1]) if step else 0
        head = head << BITS | step
    ties = []
    for equal in pieces.each([(_equal, part, column, rows, head) for part in todo], engine, name, "counting equals"):
        ties.append(min(before, equal))
        before -= ties[-1]
    return head, ties


def _filter(part, target: str, settings: dict, ends: list[tuple[int, int]], rows: int) -> dict:
    """Write the rows of a partition whose rank is from the first end to before the second."""
    seen = [0, 0]

    def change(at, batch):
        there, keys = _keys(batch, settings["column"])
        below = []
        for number, (key, ties) in enumerate(ends):
            equal = keys == np.uint64(key)
            below.append((keys < np.uint64(key)) | equal & (np.cumsum(equal) + seen[number] <= ties))
            seen[number] += int(equal.sum())
        chosen = np.full(len(batch), settings["unscored"] == "keep")
        chosen[there] = below[1] & ~below[0]
        batch = with_range(batch, at + (0 if part.group is None else part.start))
        return selected(batch, chosen), int((~there).sum())

    return pieces.write(part, target, pieces.recipe(settings, part), rows, change)
