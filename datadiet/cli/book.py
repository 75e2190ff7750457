"""Commands of the book: its pages, its runs, what they say, and what this machine has."""

import os

import click
import yaml

from datadiet.chapters import settings
from datadiet.chapters.asked import alone, asked
from datadiet.cli import out_option
from datadiet.errors import InputError

chapters_argument = click.argument("names", nargs=-1, metavar="[CHAPTERS]...")
change_option = click.option("-p", "changes", nargs=2, multiple=True, metavar="NAME VALUE", help="Set a parameter (YAML).")


def profile_option(default):
    return click.option("--profile", default=default, show_default=default is not None, help="Name of a folder in profiles/.")


def parsed(pairs) -> dict:
    """``-p name value`` pairs, values read as YAML; 1e-4 is a number here, as everywhere but in YAML 1.1."""
    out = {}
    for name, text in pairs:
        try:
            out[name] = settings.parsed(text)
        except yaml.YAMLError:
            raise InputError(f"-p {name}: {text!r} is not a YAML value; quote it, or mend the brackets.") from None
    return out


def kernels_are_ours() -> None:
    """Notebooks run in processes of their own, which inherit the environment of this one."""
    from datadiet.runs import process

    os.environ.update(process.environment())


@click.command()
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


@click.command()
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


@click.command()
@chapters_argument
@profile_option("standard")
@change_option
@click.option("--queue", "queued", is_flag=True, help="Instead, the bill of the runs that wait for a GPU (profiles/queue.yml).")
@click.option("--publish", is_flag=True, help="With --queue: write the bill into results/.")
@click.option("--rehearse", is_flag=True, help="Instead, carry out a small run of each kind, with made rows and random weights.")
def plan(names, profile, changes, queued, publish, rehearse):
    """Say what the runs of CHAPTERS (default: all) would cost here: runs, updates, and minutes from a timed sample.

    Encoders that the hub gives as they are on the day, without a pinned commit, are named first.
    The sample is timed on the device that the runs ask for. Where that is not here, the runs are counted and not timed.

    \b
    Example: datadiet plan pruning-fractions --profile standard -p seeds 10
    """
    from datadiet import runs
    from datadiet.nets import encoders, images
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
    used = {run["encoder"] for each in wanted for run in (each, *runs.scoring_runs(each))}
    for name in encoders.unpinned(used.difference(images.PICTURE_NETS)):
        click.echo(f"The encoder {name} has no pinned commit: the hub gives it as it is on the day, and each run says which.")
    if rehearse:
        from datadiet.runs import rehearsal

        found = rehearsal.rehearse(wanted)
        click.echo(found.round({"seconds": 1}).to_string(index=False))
        passed = (found["outcome"] == "passed").sum()
        click.echo(f"{passed} of {len(found)} kinds of run passed; they stand for {found['runs'].sum()} runs.")
        if passed < len(found):
            raise click.exceptions.Exit(1)
        return
    due = bill.of(wanted)
    if not len(due):
        click.echo(f"All runs of profile {profile} are stored: nothing to compute.")
        return
    click.echo(due.round({"minutes": 1}).to_string(index=False, na_rep="not timed here"))
    click.echo(bill.in_all(due))


@click.command()
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


@click.command()
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


@click.command()
@click.option("--profile", help="Judge by the published runs of this profile alone; else by those of all that decide claims.")
def claims(profile):
    """Print the ledger from the published runs, one line a claim: id, verdict, effect, interval, and the task and part it is of;
    then which experiments agree in which parts, or why none could have shown the claim.

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
            more = row["which"] or (row["regime"] if row["setting"] == "outside its regime" else "")
            click.echo(f"{row['id']:<8}{row['verdict']:<28}{effect:<30}{' | '.join(filter(None, (row['part'], more)))}".rstrip())


@click.command()
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
