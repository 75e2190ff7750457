"""Tables in partitions from the command line: ``--engine`` of ``datadiet score`` and ``datadiet prune``."""

import itertools
import os
from pathlib import Path

import click

from datadiet.errors import InputError

FIRST = 65_536  # rows whose predictions are held against the labels


def refused(command: str, options: dict) -> None:
    """Refuse options that a table in partitions does not have."""
    if given := [name for name, value in options.items() if value]:
        raise InputError(f"datadiet {command}: {given[0]} does not go with --engine; leave one of the two away.")


def placed(file, out, word: str) -> Path:
    """The folder of the result: the one asked for, or one beside the table."""
    source = Path(file)
    return Path(out) if out else source.with_name(f"{source.stem if source.suffix == '.parquet' else source.name}.{word}")


def score(file, out, engine: str, *, text, label, probs, score, encoder, max_length) -> None:
    """Score partition by partition, and say what was done."""
    from datadiet.audit import partitions
    from datadiet.audit import parts as pieces

    if label is None or (text is None) == (probs is None):
        raise InputError(
            "datadiet score: a table in partitions is not looked through for its columns; name them with --label and either "
            "--text or --probs."
        )
    place = placed(file, out, "scored")
    options = {"use": (score,)} if score else {}
    if probs is None:
        options |= {"text": text, "encoder": encoder or "minilm-mean", "max_length": max_length}
    else:
        parts = pieces.parts(file, "datadiet score")
        columns = named(parts, probs, label)
        pieces.check_output(file, place, "datadiet score")
        partitions.require(parts, [label, *columns], [], "datadiet score")
        given = columns[0] if len(columns) == 1 else columns
        names, said = (in_lists if len(columns) == 1 else in_columns)(parts, given, label, engine)
        options |= {"probs": given, "names": names}
        click.echo(said)
    done = partitions.score(file, place, label=label, engine=engine, **options)
    click.echo(
        f"{done['rows']} rows in {len(done['partitions'])} partitions, {done['unscored']} of them without a score; "
        f"{done['computed']} partitions scored now, higher = harder -> {place}"
    )


def named(parts, probs: str, label: str) -> list[str]:
    """Columns of probabilities: as :func:`datadiet.tables.predicted.columns` reads their names."""
    import pyarrow.parquet as pq

    from datadiet.tables.predicted import ARRAYS, columns

    if Path(probs).suffix.lower() in ARRAYS:
        raise InputError("--probs: an array file does not go with --engine; write its columns into the table.")
    there = pq.read_schema(parts[0].file).names
    found = columns(there, probs, label)
    if len(found) < 2 and "*" in probs:
        raise InputError(f"--probs: {probs!r} names {len(found)} columns; the table has {', '.join(there[:20])}.")
    return found


def in_columns(parts, columns: list[str], label: str, engine: str) -> tuple[list[str], str]:
    """Classes in the order of columns of probabilities, and that order in words."""
    from datadiet.audit import parts as pieces

    names = classes_of(columns, set(pieces.distinct(parts, label, engine, "datadiet score")))
    return names, "; ".join(f"{column} is {name}" for column, name in zip(columns, names, strict=True)) + "."


def in_lists(parts, column: str, label: str, engine: str) -> tuple[list[str] | None, str]:
    """Classes in the order of the numbers in a column of lists, none where labels are their numbers; and that order in words.

    Refused where the predictions of the first rows agree with far more labels in another order.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from datadiet.audit import given
    from datadiet.audit import parts as pieces
    from datadiet.tables.columns import class_names
    from datadiet.tables.predicted import misplaced
    from datadiet.tables.table import listed

    schema = pq.read_schema(parts[0].file)
    described, names = class_names(schema, label), None
    if described is None and not pa.types.is_integer(schema.field(label).type):
        names = pieces.distinct(parts, label, engine, "datadiet score")
    shown = names or described
    part = next((each for each in parts if each.rows), None)
    for _, batch in itertools.islice(pieces.batches(part, [column, label], FIRST), 1) if part else ():
        _, probs, codes, _ = given.of_columns({"label": label, "probs": column, "names": shown}, 0, batch)
        order = np.arange(probs.shape[1])
        if len(codes) and 0 <= codes.min() and codes.max() < len(order):
            misplaced(order, codes, probs.argmax(1), shown or order.astype(str))
    order = "alphabetical order" if names else "the order of the class numbers"
    return names, f"The numbers in {column!r} are the classes in {order}{f': {listed(shown, 10)}' if shown else ''}."


def classes_of(columns: list[str], labels=frozenset()) -> list[str]:
    """Classes by the names of their columns: the labels, where these match all columns as in a table that is read whole; else the
    names less what they begin with alike up to a mark, the one after which most are labels, among equals the last.

    >>> classes_of(["p_cat", "p_cow"]), classes_of(["cat", "dog"]), classes_of(["p_new-york", "p_new-delhi"], {"new-delhi"})
    (['cat', 'cow'], ['cat', 'dog'], ['new-york', 'new-delhi'])
    >>> classes_of(["CAT_prob", "DOG_prob"], {"cat", "dog"})
    ['cat', 'dog']
    """
    from datadiet.tables.predicted import by_name

    order = sorted(labels - {None})
    if matched := by_name(columns, order):
        return [order[matched.index(name)] for name in columns]
    alike = os.path.commonprefix(columns)
    cuts = [0, *(at + 1 for at, letter in enumerate(alike) if letter in "_-. /:")]
    return max(([name[cut:] for name in columns] for cut in reversed(cuts)), key=lambda names: len(labels & set(names)))


def prune(file, out, engine: str, *, column, fraction, rule, offset, unscored) -> None:
    """Keep a share of the rows of all partitions, and say what was done."""
    from datadiet.audit import partitions

    if column is None or fraction is None:
        raise InputError("datadiet prune: of a table in partitions name the column with --score and the share with --keep.")
    place = placed(file, out, "kept")
    done = partitions.keep(file, place, column, fraction, rule, offset, unscored=unscored, engine=engine)
    click.echo(f"{done['kept']} of {done['rows']} rows kept, in {len(done['partitions'])} partitions -> {place}")
