"""Ways into ``datadiet score``: which audit the table and the options ask for, and what is said of it."""

import dataclasses
from pathlib import Path

import click
import numpy as np

from datadiet import scores, tables
from datadiet.audit import clock
from datadiet.audit.found import Audit
from datadiet.audit.kept import Kept
from datadiet.errors import InputError
from datadiet.tables import folders, guess, predicted, tagged


@dataclasses.dataclass(frozen=True)
class Asked:
    """Options of ``datadiet score`` that its ways share."""

    score: str | None
    seconds: float
    start: float
    encoder: str | None
    max_length: int
    precision: str
    steps: Kept


@dataclasses.dataclass(frozen=True)
class Way:
    """How the rows of a table are scored.

    Attributes
    ----------
    kind : str
        "probs", "pictures", "tags", "trained" or "texts".
    found : Guess
        Columns that are read; of tokens and tags ``text`` and ``text_pair``.
    groups : Classes or None
        Classes of the rows; None where they have tags alone.
    scores : tuple of str
        Scores among which one is chosen.
    shown : list of str
        Columns to show beside a suspicious row and its label.
    lacks : str
        Lack of a row without a score, in words.
    """

    kind: str
    found: guess.Guess
    groups: tables.Classes | None
    scores: tuple
    shown: list
    lacks: str
    probs: str | None = None


def way(table, options: dict, trained: bool) -> Way:
    """The way that the table and the options ask for; says which columns were found, and the classes."""
    text, label, probs = options["text"], options["label"], options["probs"]
    pair = (options["tokens"], options["tags"]) if options["tokens"] else None
    if pair is None and text is None and probs is None:
        pair = tagged.found(table)
        if pair:
            click.echo(f"Columns found: the tokens {pair[0]!r} and their tags {pair[1]!r}. Name others with --tokens and --tags.")
    if pair:
        refuse("tokens with tags", trained=trained, probs=probs, text=text, text_pair=options["text_pair"])
        groups = tables.classes(table, label) if label else None
        if groups is not None:
            click.echo("\n".join([str(groups), *groups.warnings]))
        from datadiet.audit import tagged as audits

        shown = [*reversed(pair)]
        found = guess.Guess(pair[0], label, pair[1], "")
        return Way("tags", found, groups, audits.NAMES, shown, f"no tokens, no tags{' or no label' if label else ''}")
    if probs and text is None:
        if probs == "*" and label is None:
            raise InputError("datadiet score: --probs '*' means every column but the label; name that with --label.")
        refuse("--probs without --text", text_pair=options["text_pair"])
        known = label or guess.label(table, predicted.columns(table.columns, probs))
        found = guess.Guess(None, known, None, "" if label else f"Column found: the label {known!r}. Name another with --label.")
    elif isinstance(table, folders.Pictures):
        refuse("a folder of images", trained=trained, text=text, text_pair=options["text_pair"], label=label)
        found = guess.Guess(None, "label", None, "")
    else:
        beside = predicted.columns(table.columns, probs) if probs and probs != "*" else []
        found = guess.columns(table, text, label, options["text_pair"], beside)
    if found.said:
        click.echo(found.said)
    groups = tables.classes(table, found.label)
    click.echo("\n".join([str(groups), *groups.warnings]))
    shown = [name for name in (found.text, found.text_pair) if name]
    if probs:
        for name in shown:  # they stand beside rows in the end, and a column that holds no text is refused now
            tables.texts(table, name)
        return Way("probs", found, groups, tuple(scores.SCORES), shown, "no label", probs)
    if isinstance(table, folders.Pictures):
        return Way("pictures", found, groups, tuple(scores.SCORES), ["path"], "no image that can be read")
    if trained:
        from datadiet.audit import trained as training

        return Way("trained", found, groups, training.NAMES, shown, "no text or no label")
    return Way("texts", found, groups, tuple(scores.SCORES), shown, "no text or no label")


def refuse(what: str, **options) -> None:
    """Refuse options that do not go with a kind of table."""
    if given := [name for name, value in options.items() if value]:
        raise InputError(f"datadiet score: --{given[0].replace('_', '-')} does not go with {what}; leave it away.")


def audited(table, way: Way, asked: Asked) -> tuple:
    """The audit, the new columns, and the name of the one that ranks."""
    from datadiet.audit import engine

    found = way.found
    if way.kind == "tags":
        from datadiet.audit import tagged as audits

        how = {"budget": asked.seconds, "start": asked.start, "max_length": asked.max_length}
        how |= {"encoder": asked.encoder or "minilm", "score": asked.score}
        how |= {"tokens": found.text, "tags": found.text_pair, "label": found.label, "keep": asked.steps}
        audit = audits.of_table(table, **how, progress=True)
        return audit, audits.columns(audit, len(table)), f"datadiet_{audit.used}"
    if way.kind == "probs":
        audit = by_predictions(table, way, asked)
    elif way.kind == "pictures":
        from datadiet.audit import pictures

        how = {"budget": asked.seconds, "start": asked.start, "encoder": asked.encoder, "keep": asked.steps}
        audit = pictures.of_folder(table, score=asked.score, **how, progress=True)
    else:
        columns = {"text": found.text, "label": found.label, "text_pair": found.text_pair}
        how = {"score": asked.score, "encoder": asked.encoder or "minilm", "max_length": asked.max_length, "progress": True,
               "start": asked.start, "keep": asked.steps}  # fmt: skip
        if way.kind == "trained":
            from datadiet.audit import trained

            audit = trained.score(table, **columns, **how, seconds=asked.seconds, precision=asked.precision)
        else:
            audit = engine.of_table(table, **columns, **how, budget=asked.seconds)
    return audit, engine.columns(audit, len(table)), f"datadiet_{audit.used}"


def by_predictions(table, way: Way, asked: Asked) -> Audit:
    """The audit by probabilities in columns of the table, or in an array file."""
    from datadiet.audit import engine

    groups = way.groups
    if len(groups.names) < 2:
        raise InputError(f"datadiet score: the label column {way.found.label!r} holds one class only; scores need two or more.")
    values, told = predicted.probabilities(table, way.probs, groups)
    click.echo(told)
    rows = np.flatnonzero(groups.of >= 0)
    how = {"label": way.found.label, "probs": str(way.probs)}
    return engine.of_probs(values[rows], groups.of[rows], groups.names, rows, score=asked.score, how=how)


def said(audit) -> list[str]:
    """What was found, in sentences."""
    out = list(audit.warnings)
    if audit.how.get("seconds", 0) > (1 + clock.OVER) * audit.how.get("budget", float("inf")):
        out.append(
            f"It took {audit.how['seconds']:.0f} s, and --budget was {audit.how['budget']:g} s: on this machine the least that "
            "there is to do was not done sooner."
        )
    row = audit.check[audit.check["score"] == audit.used]
    if len(row):
        row = row.iloc[0]
        out.append(
            f"Of {audit.planted} flips planted in a copy of the labels, {audit.used} has {row['found']:.0%} among its "
            f"{audit.planted} hardest rows, where they compete with rows that were wrong before; area under the curve "
            f"{row['auc']:.2f} [{row['low']:.2f}, {row['high']:.2f}]."
        )
        others = [f"{each.score} {each.auc:.2f}" for each in audit.check.itertuples() if each.score != audit.used]
        out.append(f"Area under the curve of the other scores: {', '.join(others)}.")
        estimate, low, high = audit.count
    if len(row) and estimate == estimate:  # where a number could be given
        out.append(
            f"Wrong labels: about {estimate:.0f} of {len(audit.rows)} rows, between {low:.0f} and {high:.0f}. Rows whose "
            "class is in doubt count as wrong where they look like planted flips; errors made the same way throughout "
            "cannot be seen."
        )
    return out


def typed(file) -> list[str]:
    """Words of the command that is running: the file, and the options that were given."""
    context, words = click.get_current_context(), ["datadiet", "score", str(file)]
    for name, value in context.params.items():
        if name != "file" and context.get_parameter_source(name).name == "COMMANDLINE":
            words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    return words


def send(audit, table, way, report, file, force) -> None:
    """Write the report."""
    from datadiet.audit.report import report as written

    texts, found = [""] * len(audit.rows), way.found
    if found.text:
        first = tables.texts(table, found.text)
        second = tables.texts(table, found.text_pair, "second text ") if found.text_pair else None
        texts = [first[row] or "" if second is None else (first[row] or "", second[row] or "") for row in audit.rows]
    elif isinstance(table, folders.Pictures):
        paths = table.cells("path")
        texts = [table.folder / paths[row] for row in audit.rows]
    told = dataclasses.replace(
        audit,
        names=tuple(name if name.isprintable() and name == " ".join(name.split()) else repr(name) for name in audit.names),
        warnings=(*way.groups.warnings, *audit.warnings),
        how={"command": typed(file)} | audit.how | {"lacks": way.lacks},
    )
    page = written(told, texts, title=f"Labels of {Path(str(file)).name}", table_name=Path(str(file)).name, total=len(table))
    with tables.files.whole(report, force) as stream:
        stream.write(page.encode("utf-8", "replace"))
    click.echo(f"Report -> {report}")
