"""Tables in partitions from the command line: ``--engine`` of ``datadiet score`` and ``datadiet prune``."""

import os
from pathlib import Path

import click

from datadiet.errors import InputError


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
        columns = named(pieces.parts(file, "datadiet score"), probs)
        options |= {"probs": columns, "names": classes_of(columns)}
        click.echo("; ".join(f"{column} is {name}" for column, name in zip(columns, options["names"], strict=True)) + ".")
    done = partitions.score(file, place, label=label, engine=engine, **options)
    click.echo(
        f"{done['rows']} rows in {len(done['partitions'])} partitions, {done['unscored']} of them without a score; "
        f"{done['computed']} partitions scored now, higher = harder -> {place}"
    )


def named(parts, probs: str) -> list[str]:
    """Columns of probabilities: names with commas between them, or a beginning of names and a star."""
    import pyarrow.parquet as pq

    if not probs.endswith("*"):
        return [name.strip() for name in probs.split(",")]
    there = pq.read_schema(parts[0].file).names
    found = [name for name in there if name.startswith(probs[:-1])]
    if len(found) < 2:
        raise InputError(f"--probs: {len(found)} columns begin with {probs[:-1]!r}; the table has {', '.join(there[:20])}.")
    return found


def classes_of(columns: list[str]) -> list[str]:
    """Classes by the names of their columns, less what these begin with alike up to the last mark.

    >>> classes_of(["p_cat", "p_cow"]), classes_of(["cat", "dog"])
    (['cat', 'cow'], ['cat', 'dog'])
    """
    alike = os.path.commonprefix(columns)
    cut = max((alike.rfind(mark) for mark in "_-. /:"), default=-1) + 1
    return [name[cut:] for name in columns]


def prune(file, out, engine: str, *, column, fraction, rule, offset, unscored) -> None:
    """Keep a share of the rows of all partitions, and say what was done."""
    from datadiet.audit import partitions

    if column is None or fraction is None:
        raise InputError("datadiet prune: of a table in partitions name the column with --score and the share with --keep.")
    place = placed(file, out, "kept")
    done = partitions.keep(file, place, column, fraction, rule, offset, unscored=unscored, engine=engine)
    click.echo(f"{done['kept']} of {done['rows']} rows kept, in {len(done['partitions'])} partitions -> {place}")
