"""The commands that keep stores of runs: merge, export, check."""

from pathlib import Path

import click

from datadiet.cli import Commands
from datadiet.cli.book import asked


@click.group(cls=Commands)
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


@store.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--profile", help="Only runs that this profile asks for; else all of the live store.")
def export(folder, profile):
    """Copy runs of the live store into a new store at FOLDER, to be sent and merged elsewhere.

    \b
    Example: datadiet store export for-the-others --profile paper
    """
    from datadiet import runs
    from datadiet.runs.merge import export

    keys = None if profile is None else [runs.key(run) for run in asked((), profile, {})[1]]
    click.echo(f"{export(folder, keys)} runs in {folder}. There: datadiet store merge {folder.name}")


@store.command()
@click.option(
    "--of", "folder", type=click.Path(path_type=Path), help="A store that was sent; else the live one."
)
def check(folder):
    """Look at every run, live and published: keys, checksums, torn or missing files. Exit code 1 where a fault is found.

    \b
    Example: datadiet store check
    """
    from datadiet.runs import checked

    looked = [("live", *checked.live(folder))] + ([] if folder else [("published", *checked.published())])
    faults = [fault for *_, found in looked for fault in found]
    click.echo("\n".join([*map(str, faults), *(f"{number} {name} runs were looked at." for name, number, _ in looked)]))
    if faults:
        click.echo(f"{len(faults)} fault(s).")
        raise click.exceptions.Exit(1)
    click.echo("Every run is as it was written.")
