"""The ``datadiet`` command. What it does stands in the modules; here are the options, and the errors a user reads.

datadiet run score-timing --profile smoke
datadiet score mine.csv --text question --label topic && datadiet prune mine.scored.csv --keep 0.7
"""

import difflib
import os
from pathlib import Path

import click
import yaml

from datadiet import __version__
from datadiet.chapters import settings
from datadiet.chapters.asked import alone, asked
from datadiet.errors import InputError


class Bad(click.ClickException):
    """Bad input: one paragraph on stderr, exit code 2."""

    exit_code = 2


class Commands(click.Group):
    """A group that turns InputError into a message, and a misspelt command into the nearest one."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except InputError as problem:
            raise Bad(str(problem)) from None

    def resolve_command(self, ctx, args):
        if args and args[0] not in self.commands:
            near = difflib.get_close_matches(args[0], self.commands, n=3)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise Bad(f"datadiet: there is no command {args[0]!r}.{hint} Commands: {', '.join(self.commands)}.")
        return super().resolve_command(ctx, args)


def parsed(pairs) -> dict:
    """``-p name value`` pairs, values read as YAML; 1e-4 is a number here, as everywhere but in YAML 1.1."""
    out = {}
    for name, text in pairs:
        try:
            out[name] = settings.parsed(text)
        except yaml.YAMLError:
            raise InputError(f"-p {name}: {text!r} is not a YAML value; quote it, or mend the brackets.") from None
    return out


def placed(out: Path | None, file: Path, ending: str) -> Path:
    """Where a table goes, checked before anything is computed: beside its source unless said otherwise, never over it."""
    from datadiet.tables import READERS

    out = out or file.with_name(f"{file.stem}.{ending}{file.suffix}")
    if out.suffix not in READERS:
        raise InputError(f"--out: {out.name} ends in {out.suffix!r}; give a {', '.join(READERS)} file.")
    if not out.parent.is_dir():
        raise InputError(f"--out: there is no folder {out.parent}; make it first.")
    if out.resolve() == file.resolve():
        raise InputError(f"--out: {out} is the table that is read; name another file.")
    return out


file_argument = click.argument("file", type=click.Path(path_type=Path))
out_option = click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write.")
chapters_argument = click.argument("names", nargs=-1, metavar="[CHAPTERS]...")
change_option = click.option("-p", "changes", nargs=2, multiple=True, metavar="NAME VALUE", help="Set a parameter (YAML).")


def profile_option(default):
    return click.option("--profile", default=default, show_default=default is not None, help="Name of a folder in profiles/.")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def main():
    """Which training examples matter, and how much data can go: the book, its runs, and your own tables."""
    from datadiet.runs import process

    process.ours()


def kernels_are_ours() -> None:
    """Notebooks run in processes of their own, which inherit the environment of this one."""
    from datadiet.runs import process

    os.environ.update(process.environment())


@main.command()
@profile_option("lab")
@click.option("--force", is_flag=True, help="Execute and render even what is unchanged.")
def book(profile, force):
    """Execute every chapter, render _build/html and check it.

    \b
    Example: datadiet book --profile smoke
    """
    from datadiet.book import build

    kernels_are_ours()
    build.build(profile, force)


@main.command()
@click.argument("chapter")
@profile_option(None)
@change_option
@out_option
def run(chapter, profile, changes, out):
    """Execute one CHAPTER to a notebook with outputs, CHAPTER.ipynb unless --out says otherwise.

    Without --profile the chapter's own defaults stand: it shows published runs and trains nothing.

    \b
    Example: datadiet run score-timing --profile lab -p seeds 5 -p score_at "[0, 10, 1ep]"
    """
    from datadiet.book import build

    if out and (out.suffix != ".ipynb" or not out.parent.is_dir()):
        raise InputError(f"--out: {out} must end in .ipynb and lie in a folder that exists.")
    kernels_are_ours()
    click.echo(build.run(chapter, parsed(changes), profile, out))


@main.command()
@chapters_argument
@profile_option("standard")
@change_option
@click.option("--queue", "queued", is_flag=True, help="Instead, the bill of the runs that wait for a GPU (profiles/queue.yml).")
@click.option("--publish", is_flag=True, help="With --queue: write the bill into results/.")
def plan(names, profile, changes, queued, publish):
    """Say what the runs of CHAPTERS (default: all) would cost here: runs, updates, and minutes from a timed sample.

    The sample is timed on the device that the runs ask for. Where that is not here, the runs are counted and not timed.

    \b
    Example: datadiet plan pruning-fractions --profile standard -p seeds 10
    """
    from datadiet.runs import bill

    if publish and not queued:
        raise InputError("plan: --publish goes with --queue; the bill of a profile is not stored.")
    if queued:
        from datadiet.chapters import queue

        alone(names, changes)
        found = queue.bill()
        click.echo(found.round({"minutes": 1}).to_string(index=False))
        if publish:
            queue.publish(found)
        return
    _, wanted = asked(names, profile, parsed(changes))
    due = bill.of(wanted)
    if not len(due):
        click.echo(f"All runs of profile {profile} are stored: nothing to compute.")
        return
    click.echo(due.round({"minutes": 1}).to_string(index=False, na_rep="not timed here"))
    click.echo(bill.in_all(due))


@main.command()
@chapters_argument
@profile_option("standard")
@change_option
@click.option("--engine", help="here, processes, dask://host:port, or stored; the profile's where not given.")
@click.option("--publish", is_flag=True, help="Then write what this machine computed of them into results/.")
@click.option("--queue", "queued", is_flag=True, help="Instead, the runs that wait for a GPU, in order (profiles/queue.yml).")
def sweep(names, profile, changes, engine, publish, queued):
    """Compute the runs of CHAPTERS (default: all) that are not stored yet. Stopped at any moment, it resumes.

    \b
    Example: datadiet sweep score-timing --profile lab --engine processes
    """
    from datadiet import runs
    from datadiet.runs import facts, store

    if queued:
        from datadiet.chapters import queue

        alone(names, changes)
        usual, wanted = "processes", [run for entry in queue.entries() for run in entry.wanted()]
    else:
        usual, wanted = asked(names, profile, parsed(changes))
    try:
        table = runs.sweep(wanted, engine or usual)
    except runs.SweepFailed as problem:
        raise click.ClickException(str(problem)) from None
    origins = table.drop_duplicates("key")["origin"].value_counts().to_dict() if len(table) else {}
    counts = ", ".join(f"{count} {name}" for name, count in origins.items()) or "none"
    click.echo(f"Runs stored: {counts}; missing: {table.attrs['missing']}.")
    if publish:
        found = store.live(table["key"] if len(table) else [])
        click.echo(f"Published: {store.publish(found)} runs of this machine, in results/.")
        for name, why in facts.publish_sets(run["config"]["task"] for run in found.values()).items():
            click.echo(f"The classes of {name} are not in the results, where a constant classifier is known by them: {why}")


@main.command()
@chapters_argument
@profile_option("standard")
@change_option
@click.option("--sample", default=3, show_default=True, help="How many runs to compute anew.")
@click.option("--on", "where", help="cpu, cuda, mps or auto: a device to compute them on, where it is not their own.")
def verify(names, profile, changes, sample, where):
    """Compute a sample of the published runs anew and compare. Exit code 1 if one differs, or none could be compared.

    A metric may differ by the tolerance that is printed, which goes by the device and the precision.

    \b
    Example: datadiet verify --sample 2
    """
    from datadiet.runs.verify import published_again

    _, wanted = asked(names, profile, parsed(changes))
    compared = published_again(wanted, sample, where=where)
    click.echo(compared.to_string(index=False))
    if (compared["outcome"] == "differs").any() or (compared["outcome"] == "data differs").all():
        raise click.exceptions.Exit(1)


@main.command()
@click.option("--profile", help="Judge by the published runs of this profile alone; else by those of all that decide claims.")
def claims(profile):
    """Print the ledger from the published runs, one line a claim: id, verdict, effect, interval, and the task and part it is of.

    \b
    Example: datadiet claims
    """
    from datadiet.chapters import ledger

    found = ledger.ledger(ledger.EVIDENCE if profile is None else (profile,))
    for ours, said in ((False, None), (True, "Inferences of our own, no sentence of a paper:")):
        if said:
            click.echo(said)
        for row in found[found["ours"] == ours].to_dict("records"):
            effect = "-" if row["effect"] != row["effect"] else f"{row['effect']:+.4f}  [{row['low']:+.4f}, {row['high']:+.4f}]"
            click.echo(f"{row['id']:<8}{row['verdict']:<28}{effect:<30}{row['which'] or row['part']}".rstrip())


@main.command()
@file_argument
@click.option("--text", required=True, help="Column of the text.")
@click.option("--text-pair", help="Column of the second text of a pair.")
@click.option("--label", required=True, help="Column of the class.")
@click.option("--score", default="el2n", show_default=True, help="Which score; higher = harder.")
@click.option("--budget", default=5.0, show_default=True, help="Minutes to spend; more runs are averaged while they last.")
@click.option("--encoder", default="minilm", show_default=True, help="minilm, minilm-mean, a folder, or an id of the hub.")
@click.option("--precision", default="float32", show_default=True, help="Of the scoring passes: float32 or bfloat16.")
@out_option
def score(file, text, text_pair, label, score, budget, encoder, precision, out):
    """Score every row of FILE (.csv, .tsv, .jsonl, .parquet): fine-tune for one epoch, and read how hard each row was.

    Writes the rows with datadiet_SCORE and datadiet_runs to --out, or to FILE.scored.SUFFIX.

    \b
    Example: datadiet score questions.csv --text question --label topic --budget 2
    """
    from datadiet import tables

    frame, out = tables.read(file), placed(out, file, "scored")
    how = {"score": score, "budget": budget, "encoder": encoder, "precision": precision}
    scored = tables.score(frame, text=text, label=label, text_pair=text_pair, progress=True, **how)
    tables.write(scored, out)
    click.echo(f"{len(scored)} rows scored, mean of {scored['datadiet_runs'].iloc[0]} runs -> {out}")


@main.command()
@file_argument
@click.option("--keep", "fraction", type=float, required=True, help="Share of the rows to keep, in (0, 1].")
@click.option("--score", "column", help="Column of the scores; found by itself where `datadiet score` wrote it.")
@click.option("--rule", default="hardest", show_default=True, help="hardest, easiest, middle, random or stratified.")
@click.option("--offset", default=0.0, show_default=True, help="Share of the rows to skip at the end that is kept.")
@click.option("--balanced", metavar="COLUMN", help="Keep the shares of the classes in this column.")
@click.option("--seed", default=0, show_default=True, help="For rule random, and for what stratified draws.")
@out_option
def prune(file, fraction, column, rule, offset, balanced, seed, out):
    """Keep a share of the rows of a scored FILE, in their order; higher scores are harder.

    Writes them to --out, or to FILE.kept.SUFFIX.

    \b
    Example: datadiet prune questions.scored.csv --keep 0.7 --offset 0.05 --balanced topic
    """
    from datadiet import tables

    frame, out = tables.read(file), placed(out, file, "kept")
    column = column or score_column(frame)
    kept = tables.prune_rows(frame, column, keep=fraction, rule=rule, offset=offset, balanced=balanced, seed=seed)
    tables.write(kept, out)
    click.echo(f"{len(kept)} of {len(frame)} rows kept ({rule} by {column}) -> {out}")


def score_column(frame) -> str:
    """The one score column that ``datadiet score`` wrote."""
    found = [name for name in frame.columns if str(name).startswith("datadiet_") and name != "datadiet_runs"]
    if len(found) != 1:
        raise InputError(
            f"datadiet prune: {len(found) or 'no'} columns start with datadiet_; name the score column with --score. "
            f"The table has {', '.join(map(str, frame.columns))}."
        )
    return found[0]


@main.command()
def doctor():
    """Say what this machine has of what the book needs, and the command that mends what is missing.

    \b
    Example: datadiet doctor
    """
    from datadiet.book import doctor

    found = doctor.examine()
    click.echo("\n".join(map(str, found)))
    bad = sum(each.good is False for each in found)
    click.echo(f"{bad} to mend." if bad else "Nothing to mend. -- marks what the book can do without.")
    if bad:
        raise click.exceptions.Exit(1)


@main.group(cls=Commands)
def store():
    """The live store: where runs of this machine are kept.

    \b
    Example: datadiet store merge FOLDER
    """


@store.command()
@click.argument("folder", type=click.Path(path_type=Path))
def merge(folder):
    """Take the runs of the store in FOLDER into the live one; keys and arrays of all are checked before the first is copied.

    \b
    Example: datadiet store merge ../from-the-gpu/store
    """
    from datadiet.runs.merge import merge

    counts = merge(folder)
    click.echo(", ".join(f"{count} {name}" for name, count in counts.items()))
