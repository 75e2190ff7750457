"""Commands for anybody's table: score its rows, and keep those worth keeping."""

import time
from pathlib import Path

import click

STOPPED = 130  # exit code of a command that Ctrl-C ended, as shells have it

file_argument = click.argument("file")
out_option = click.option(
    "--out", type=click.Path(path_type=Path), help="Where to write; FILE.scored or FILE.kept beside it else."
)
force_option = click.option("--force", is_flag=True, help="Replace the file that --out names where it is there already.")

engine_option = click.option(
    "--engine", help="For a folder of Parquet files, or one file, in partitions: here, processes or dask://host:port."
)


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


def not_empty(context, parameter, value):
    """Refuse an option, or a file, that was given without a value, as by a variable of the shell that is not set."""
    from datadiet.errors import InputError

    if value is not None and (value == "" or value == Path("")):
        raise InputError(f"datadiet {context.command.name}: {parameter.opts[0]} names nothing; give a value, or leave it away.")
    return value


def typed(option: str) -> bool:
    """Whether an option of the command that is running was given, and has not its default."""
    return click.get_current_context().get_parameter_source(option).name == "COMMANDLINE"


def share(value) -> float:
    """A share of 1, as an option has it."""
    from datadiet.errors import InputError

    try:
        return float(value)
    except ValueError:
        raise InputError(f"datadiet prune: {value!r} is no share; write a number from 0 to 1, such as 0.7 for 70 %.") from None


def opened(file, sep, encoding, quotes):
    """The table in a file."""
    from datadiet import tables

    return tables.read(file, sep=sep, encoding=encoding, quotes=None if quotes is None else quotes == "enclose")


@click.command()
@file_argument
@click.option("--text", help="Column of the text; found where not given.")
@click.option("--text-pair", help="Column of the second text of a pair.")
@click.option("--tokens", help="Column of tokens, with --tags: lists, or a text with blanks between.")
@click.option("--tags", help="Column of tags, one for each token; --label then names the class of the row, if it has one.")
@click.option("--label", help="Column of the class; found where not given.")
@click.option("--score", help="Which score ranks, higher = harder; the one that finds most planted flips where not given.")
@click.option("--budget", default="5min", show_default=True, help="Time to spend: 30s, 5min, 1h; a bare number is minutes.")
@click.option("--probs", metavar="COLUMNS|FILE", help="Predictions made elsewhere, out of fold: 'p_*', '*_p', a,b,c or an .npy.")
@click.option("--trained", is_flag=True, help="Read scores off models that train on the rows: AUM, forgetting, EL2N, ...")
@click.option("--encoder", help="Of texts: minilm (the usual one), minilm-mean; a folder or an id of the hub, of images too.")
@click.option("--max-length", default=128, show_default=True, help="Tokens that are read of a text.")
@click.option("--precision", default="float32", show_default=True, help="With --trained, of the scoring passes: or bfloat16.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write a report to send, one HTML file.")
@engine_option
@reading
@out_option
@force_option
def score(file, sep, encoding, quotes, out, force, **options):
    """Say of every row of FILE (.csv, .tsv, .jsonl, .parquet) how hard it is, and how likely its label is wrong.

    FILE may also be a folder that datasets saved, a set of the hub (hf://OWNER/NAME), a folder of images with a folder for each
    class, and with --engine a folder of Parquet files. No row is scored by a model that saw it. Flips planted in a copy of the
    labels say how far to trust the ranking. Writes the rows as they were typed, with new columns datadiet_SCORE, datadiet_wrong,
    datadiet_class and datadiet_runs, to --out, or to FILE.scored.SUFFIX. Stopped by Ctrl-C or killed, the same call goes on from
    the steps that were finished.

    \b
    Example: datadiet score questions.csv --text question --label topic --budget 2min --report questions.html
    """
    from datadiet.audit import clock
    from datadiet.errors import InputError

    start, seconds = time.monotonic(), clock.seconds(options["budget"])
    if options["probs"]:
        for name in filter(typed, ("encoder", "max_length", "budget")):
            option = name.replace("_", "-")
            raise InputError(f"datadiet score: --{option} does not go with --probs, where no text is encoded and nothing "
                             "is trained; leave it away.")
    if options["engine"]:
        from datadiet.cli import parted

        unwanted = {"--text-pair": options["text_pair"], "--tokens": options["tokens"], "--tags": options["tags"],
                    "--trained": options["trained"], "--report": options["report"], "--sep": sep, "--encoding": encoding,
                    "--quotes": quotes, "--force": force, "--budget": typed("budget"),
                    "--precision": typed("precision")}  # fmt: skip
        parted.refused("score", unwanted)
        names = ("text", "label", "probs", "score", "encoder", "max_length")
        parted.score(file, out, options["engine"], **{name: options[name] for name in names})
        return
    if bool(options["tokens"]) != bool(options["tags"]):
        raise InputError("datadiet score: --tokens and --tags go together; name the column of the tokens and that of their tags.")
    _score(file, opened(file, sep, encoding, quotes), out, force, seconds, start, options)


def _score(file, table, out, force, seconds, start, options) -> None:
    """Score the rows of a table that fits into memory, write it, and say what was found."""
    from datadiet import tables
    from datadiet.audit import trained as training
    from datadiet.audit.kept import Kept
    from datadiet.cli import doors
    from datadiet.errors import InputError
    from datadiet.tables import pruned

    out, score, probs, report = tables.placed(out, file, "scored", force), options["score"], options["probs"], options["report"]
    if report:
        report = tables.files.placed(report, Path(str(file)), "report", force, suffix=".html", folder=True,
                                      option="--report")  # fmt: skip
        for other, what in ((out, "where the rows are written"), (Path(probs or ""), "where the predictions are read")):
            if report.resolve() == other.resolve():
                raise InputError(f"--report: {report} is {what}; name another file for one of the two.")
    trained = options["trained"] or score in ("grand_head", *training.OVER_TIME)
    if trained and probs:
        by = "--trained" if options["trained"] else f"the score {score}"
        raise InputError(f"datadiet score: {by} reads models that train on the rows; it does not go with --probs.")
    if options["precision"] != "float32" and not trained:
        raise InputError("datadiet score: --precision is that of the scoring passes of --trained; add that, or leave it away.")
    click.echo("".join(note + "\n" for note in table.notes), nl=False)  # first: they say why a column may not be found
    steps = Kept(until_written=True)
    way = doors.way(table, options, trained)
    if way.kind == "pictures":
        doors.refuse("a folder of images", max_length=typed("max_length"))
    asked = doors.Asked(score, seconds, start, options["encoder"], options["max_length"], options["precision"], steps)
    taken = ("wrong", "class", "runs", *([score] if score else way.scores))
    table.refuse_taken([f"datadiet_{name}" for name in (*taken, *(("tags", "word") if way.kind == "tags" else ()))])
    if report and way.kind == "tags":
        raise InputError("datadiet score: --report shows rows of one class each, not tokens with tags; leave one of them away.")
    target = tables.like(table, out)
    try:
        audit, new, name = doors.audited(table, way, asked)
    except KeyboardInterrupt:
        on = "what was finished is kept, and the same call goes on from there" if steps.there() else "no step was finished"
        click.echo(f"datadiet score: stopped by hand; nothing was written, and {on}.", err=True)
        raise click.exceptions.Exit(STOPPED) from None
    try:
        target.with_columns(new).write(out, force)
        values = [float("nan") if value is None else value for value in new[name]]
        click.echo(pruned.suspicious(table, name, values, way.found.label, way.shown))
        click.echo("\n".join(doors.said(audit)))
        if report:
            doors.send(audit, table, way, report, file, force)
    except InputError as problem:
        on = " What was computed is kept, and the same call goes on from there." if steps.there() else ""
        raise InputError(f"{problem}{on}") from None
    steps.forget()
    count = len(table) - new[name].count(None)
    without = f"; {tables.many(len(table) - count)} {way.lacks}, and so no score" if count < len(table) else ""
    click.echo(f"{count} rows scored, {name[9:]}, higher = harder{without} -> {out}")


@click.command()
@file_argument
@click.option("--keep", "fraction", type=share, help="Share of the rows to keep, in (0, 1].")
@click.option("--score", "column", help="Column of the scores; found by itself where `datadiet score` wrote it.")
@click.option("--rule", default="hardest", show_default=True, help="hardest, easiest, middle, random or stratified.")
@click.option("--offset", type=share, default=0.0, show_default=True, help="Share of the rows to skip at the end that is kept.")
@click.option("--balanced", metavar="COLUMN", help="Keep the shares of the classes in this column.")
@click.option("--drop-wrong", type=share, metavar="P", help="First drop rows whose datadiet_wrong is above P.")
@click.option("--unscored", default="keep", show_default=True, help="keep or drop: rows without a score.")
@click.option("--label", metavar="COLUMN", help="Column of classes to count before and after; found where not given.")
@click.option("--seed", default=0, show_default=True, help="For rule random, and for what stratified draws.")
@engine_option
@reading
@out_option
@force_option
def prune(file, fraction, column, rule, offset, balanced, drop_wrong, unscored, label, seed, engine, sep, encoding,
          quotes, out, force):  # fmt: skip
    """Keep a share of the rows of a scored FILE, in their order and as they were typed; higher scores are harder.

    Writes them to --out, or to FILE.kept.SUFFIX.

    \b
    Example: datadiet prune questions.scored.csv --keep 0.7 --offset 0.05 --balanced topic
    """
    from datadiet import tables
    from datadiet.tables import pruned

    if engine:
        from datadiet.cli import parted

        unwanted = {"--balanced": balanced, "--drop-wrong": drop_wrong, "--label": label, "--sep": sep, "--encoding": encoding,
                    "--quotes": quotes, "--force": force, "--seed": typed("seed")}  # fmt: skip
        parted.refused("prune", unwanted)
        how = {"column": column, "fraction": fraction, "rule": rule, "offset": offset, "unscored": unscored}
        parted.prune(file, out, engine, **how)
        return
    table = opened(file, sep, encoding, quotes)
    out = tables.placed(out, file, "kept", force)
    click.echo("".join(note + "\n" for note in table.notes), nl=False)
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
    click.echo("\n".join(done.said))
    click.echo(f"{len(done.table)} of {len(table)} rows kept -> {out}")


for command in (score, prune):
    for each in command.params:
        if not getattr(each, "is_flag", False):
            each.callback = not_empty
