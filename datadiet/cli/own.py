"""Commands for anybody's table: score its rows, and keep those worth keeping."""

from pathlib import Path

import click

file_argument = click.argument("file")
out_option = click.option(
    "--out", type=click.Path(path_type=Path), help="Where to write; FILE.scored or FILE.kept beside it else."
)
force_option = click.option("--force", is_flag=True, help="Replace the file that --out names where it is there already.")


def reading(command):
    """Options that say how a file is to be read."""
    for option in (
        click.option("--sep", metavar="LETTER", help="Separator of a text file (or the word tab); found where not given."),
        click.option("--encoding", help="Of a text file: utf-8, cp1252, utf-16, shift_jis, ...; found where not given."),
        click.option(
            "--quotes", type=click.Choice(["enclose", "letters"]), help="What quotes in a text file do; found where not given."
        ),
    ):
        command = option(command)
    return command


def opened(file, sep, encoding, quotes):
    """The table in a file."""
    from datadiet import tables

    return tables.read(file, sep=sep, encoding=encoding, quotes=None if quotes is None else quotes == "enclose")


@click.command()
@file_argument
@click.option("--text", help="Column of the text; found where not given.")
@click.option("--text-pair", help="Column of the second text of a pair.")
@click.option("--label", help="Column of the class; found where not given.")
@click.option("--score", help="Which score ranks, higher = harder; the one that finds most planted flips where not given.")
@click.option("--budget", default="5min", show_default=True, help="Time to spend: 30s, 5min, 1h; a bare number is minutes.")
@click.option("--probs", metavar="COLUMNS|FILE", help="Predictions made elsewhere, out of fold: 'p_*', a,b,c or an .npy file.")
@click.option("--trained", is_flag=True, help="Read the score off models that train on the rows, as the papers do.")
@click.option("--encoder", default="minilm", show_default=True, help="minilm, minilm-mean, a folder, or an id of the hub.")
@click.option("--max-length", default=128, show_default=True, help="Tokens that are read of a text.")
@click.option("--precision", default="float32", show_default=True, help="With --trained, of the scoring passes: or bfloat16.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write a report to send, one HTML file.")
@reading
@out_option
@force_option
def score(
    file,
    text,
    text_pair,
    label,
    score,
    budget,
    probs,
    trained,
    encoder,
    max_length,
    precision,
    report,
    sep,
    encoding,
    quotes,
    out,
    force,
):
    """Say of every row of FILE (.csv, .tsv, .jsonl, .parquet) how hard it is, and how likely its label is wrong.

    No row is scored by a model that saw it. Flips planted in a copy of the labels say how far to trust the ranking. Writes the
    rows as they were typed, with new columns datadiet_SCORE, datadiet_wrong, datadiet_class and datadiet_runs, to --out, or to
    FILE.scored.SUFFIX.

    \b
    Example: datadiet score questions.csv --text question --label topic --budget 2min --report questions.html
    """
    from datadiet import tables
    from datadiet.audit import clock, engine
    from datadiet.audit import trained as training
    from datadiet.errors import InputError
    from datadiet.scores import SCORES
    from datadiet.tables import guess, pruned

    seconds = clock.seconds(budget)
    table = opened(file, sep, encoding, quotes)
    out = tables.placed(out, file, "scored", force)
    if report:
        report = tables.files.placed(report, Path(str(file)), "report", force, suffix=".html", folder=True)
    trained = trained or score == "grand_head"
    if trained and (probs or report):
        raise InputError(
            "datadiet score: --trained and the score grand_head read models that train on the rows; they go with "
            "neither --probs nor --report."
        )
    table.refuse_taken([f"datadiet_{name}" for name in ("wrong", "class", "runs", *([score] if score else SCORES))])
    click.echo("".join(note + "\n" for note in table.notes), nl=False)
    target = tables.like(table, out)
    if probs and text is None:
        known = label or guess.label(table)
        found = guess.Guess(None, known, None, "" if label else f"Column found: the label {known!r}. Name another with --label.")
    else:
        found = guess.columns(table, text, label, text_pair)
    if found.said:
        click.echo(found.said)
    groups = tables.classes(table, found.label)
    click.echo("\n".join([str(groups), *groups.warnings]))
    if trained:
        score = score or "el2n"
        how = {"score": score, "budget": seconds / 60, "encoder": encoder, "precision": precision}
        new = training.score(table, text=found.text, label=found.label, text_pair=found.text_pair, progress=True, **how)
        name = f"datadiet_{score}"
    else:
        audit = audited(table, found, groups, probs, score, seconds, encoder, max_length)
        new, name = engine.columns(audit, len(table)), f"datadiet_{audit.used}"
    target.with_columns(new).write(out, force)
    values = [float("nan") if value is None else value for value in new[name]]
    shown = [found.label] + ([found.text] if found.text else [])
    click.echo(pruned.suspicious(table, name, values, shown))
    if not trained:
        click.echo("\n".join(said(audit)))
        if report:
            send(audit, table, found, report, file, force)
    count = len(table) - new[name].count(None)
    without = f"; {tables.many(len(table) - count)} no text or no label, and so no score" if count < len(table) else ""
    click.echo(f"{count} rows scored, {name[9:]}, higher = harder{without} -> {out}")


def audited(table, found, groups, probs, score, seconds, encoder, max_length):
    """The audit that the options ask for."""
    import numpy as np

    from datadiet.audit import engine
    from datadiet.errors import InputError

    if probs is None:
        return engine.of_table(
            table,
            text=found.text,
            label=found.label,
            text_pair=found.text_pair,
            score=score,
            budget=seconds,
            encoder=encoder,
            max_length=max_length,
            progress=True,
        )
    from datadiet.tables import predicted

    values, told = predicted.probabilities(table, probs, groups)
    click.echo(told)
    rows = np.flatnonzero(groups.of >= 0)
    if len(groups.names) < 2:
        raise InputError(f"datadiet score: the label column {found.label!r} holds one class only; scores need two or more.")
    return engine.of_probs(
        values[rows], groups.of[rows], groups.names, rows, score=score, how={"label": found.label, "probs": str(probs)}
    )


def said(audit) -> list[str]:
    """What was found, in sentences."""
    out = list(audit.warnings)
    row = audit.check[audit.check["score"] == audit.used]
    if len(row):
        row = row.iloc[0]
        out.append(
            f"Of {audit.planted} flips planted in a copy of the labels, {audit.used} has {row['found']:.0%} among its "
            f"{audit.planted} hardest rows, where they compete with rows that were wrong before; area under the curve "
            f"{row['auc']:.2f} [{row['low']:.2f}, {row['high']:.2f}]."
        )
        estimate, low, high = audit.count
        out.append(
            f"Wrong labels: about {estimate:.0f} of {len(audit.given)} rows, between {low:.0f} and {high:.0f}. Rows whose "
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


def send(audit, table, found, report, file, force) -> None:
    """Write the report."""
    import dataclasses

    from datadiet import tables
    from datadiet.audit.report import report as written

    texts = [""] * len(audit.rows)
    if found.text:
        first = tables.texts(table, found.text)
        second = tables.texts(table, found.text_pair, "second text ") if found.text_pair else None
        texts = [first[row] or "" if second is None else (first[row] or "", second[row] or "") for row in audit.rows]
    told = dataclasses.replace(audit, how={"command": typed(file)} | audit.how)
    page = written(told, texts, title=f"Labels of {Path(str(file)).name}", table_name=Path(str(file)).name, total=len(table))
    with tables.files.whole(report, force) as stream:
        stream.write(page.encode("utf-8", "replace"))
    click.echo(f"Report -> {report}")


@click.command()
@file_argument
@click.option("--keep", "fraction", type=float, help="Share of the rows to keep, in (0, 1].")
@click.option("--score", "column", help="Column of the scores; found by itself where `datadiet score` wrote it.")
@click.option("--rule", default="hardest", show_default=True, help="hardest, easiest, middle, random or stratified.")
@click.option("--offset", default=0.0, show_default=True, help="Share of the rows to skip at the end that is kept.")
@click.option("--balanced", metavar="COLUMN", help="Keep the shares of the classes in this column.")
@click.option("--drop-wrong", type=float, metavar="P", help="First drop rows whose datadiet_wrong is above P.")
@click.option("--unscored", default="keep", show_default=True, help="keep or drop: rows without a score.")
@click.option("--label", metavar="COLUMN", help="Column of classes to count before and after; found where not given.")
@click.option("--seed", default=0, show_default=True, help="For rule random, and for what stratified draws.")
@reading
@out_option
@force_option
def prune(file, fraction, column, rule, offset, balanced, drop_wrong, unscored, label, seed, sep, encoding, quotes, out, force):
    """Keep a share of the rows of a scored FILE, in their order and as they were typed; higher scores are harder.

    Writes them to --out, or to FILE.kept.SUFFIX.

    \b
    Example: datadiet prune questions.scored.csv --keep 0.7 --offset 0.05 --balanced topic
    """
    from datadiet import tables
    from datadiet.tables import pruned

    table = opened(file, sep, encoding, quotes)
    out = tables.placed(out, file, "kept", force)
    done = pruned.rows(
        table,
        column,
        keep=fraction,
        rule=rule,
        offset=offset,
        balanced=balanced,
        seed=seed,
        unscored=unscored,
        drop_wrong=drop_wrong,
        label=label,
    )
    tables.like(done.table, out).write(out, force)
    click.echo("\n".join([*table.notes, *done.said]))
    click.echo(f"{len(done.table)} of {len(table)} rows kept -> {out}")
