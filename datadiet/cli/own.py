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
@click.option("--score", default="el2n", show_default=True, help="Which score; higher = harder.")
@click.option("--budget", default=5.0, show_default=True, help="Minutes to spend; more runs are averaged while they last.")
@click.option("--encoder", default="minilm", show_default=True, help="minilm, minilm-mean, a folder, or an id of the hub.")
@click.option("--precision", default="float32", show_default=True, help="Of the scoring passes: float32 or bfloat16.")
@reading
@out_option
@force_option
def score(file, text, text_pair, label, score, budget, encoder, precision, sep, encoding, quotes, out, force):
    """Score every row of FILE (.csv, .tsv, .jsonl, .parquet): fine-tune for one epoch, and read how hard each row was.

    Writes the rows as they were typed, with new columns datadiet_SCORE and datadiet_runs, to --out, or to FILE.scored.SUFFIX.

    \b
    Example: datadiet score questions.csv --text question --label topic --budget 2
    """
    from datadiet import tables
    from datadiet.audit import trained
    from datadiet.tables import guess, pruned

    table = opened(file, sep, encoding, quotes)
    out = tables.placed(out, file, "scored", force)
    name = f"datadiet_{score}"
    table.refuse_taken([name, "datadiet_runs"])
    click.echo("".join(note + "\n" for note in table.notes), nl=False)
    found = guess.columns(table, text, label, text_pair)
    if found.said:
        click.echo(found.said)
    groups = tables.classes(table, found.label)
    click.echo("\n".join([str(groups), *groups.warnings]))
    target = tables.like(table, out)
    how = {"score": score, "budget": budget, "encoder": encoder, "precision": precision}
    new = trained.score(table, text=found.text, label=found.label, text_pair=found.text_pair, progress=True, **how)
    target.with_columns(new).write(out, force)
    values = [float("nan") if value is None else value for value in new[name]]
    click.echo(pruned.suspicious(table, name, values, [found.label, found.text]))
    count = len(table) - new[name].count(None)
    runs = next(value for value in new["datadiet_runs"] if value is not None)
    without = f"; {tables.many(len(table) - count)} no text or no label, and so no score" if count < len(table) else ""
    click.echo(f"{count} rows scored, mean of {runs} runs, higher = harder{without} -> {out}")


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
