"""python -m benchmarks [SUITE ...] [--rounds N] [--quick], python -m benchmarks gpu, and python -m benchmarks flips"""

import os
import sys
import tempfile

import click
import pandas as pd

from benchmarks import (
    architectures,
    bounded,
    cluster,
    flips,
    gpu,
    gradients,
    growth,
    harness,
    labs,
    longuse,
    million,
    tables,
    training,
)
from datadiet import paths
from datadiet.audit import clock, simulated
from datadiet.chapters.what_all_runs_say import flips as found
from datadiet.chapters.what_it_costs import goals
from datadiet.chapters.what_it_costs.runs import exponents, ratios
from datadiet.errors import InputError
from datadiet.runs import process, sealed

SUITES = {  # name -> (suite, rounds)
    "tables": (tables, 15), "gradients": (gradients, 9), "architectures": (architectures, 9), "growth": (growth, 2),
    "training": (training, 5), "cluster": (cluster, 5), "labs": (labs, 1), "million": (million, 3), "longuse": (longuse, 3),
}  # fmt: skip


@click.command()
@click.argument("suites", nargs=-1, type=click.Choice([*SUITES, "gpu", "flips"]))
@click.option("--rounds", type=click.IntRange(1), help="How often each contestant runs; a number a suite where not given.")
@click.option("--quick", is_flag=True, help="Small sizes, one round, nothing written: does every line run?")
@click.option("--seconds", type=click.IntRange(1), default=gpu.SECONDS, show_default=True, help="Of the suite gpu, at most.")
@click.option("--price", type=click.FloatRange(0), help="Of the suite cluster: of a core hour; prints what a billion rows cost.")
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True, help="Of the suite flips: draws of a set.")
@click.option("--sets", default=",".join(flips.SETS), show_default=True, help="Of the suite flips.")
@click.option("--budget", default="30s,5min", show_default=True, help="Of the suite flips: time that ours may take.")
@click.option("--at-once", type=click.IntRange(1), default=1, show_default=True, help="Of flips: peers without a budget.")
@click.option("--peers", default=f"{flips.FROZEN},{flips.TUNED}", show_default=True, help="Of the suite flips, beside ours.")
def main(suites, rounds, quick, seconds, price, seeds, sets, budget, at_once, peers):
    """Measure, print the ratios, and write every round to results/benchmarks/SUITE.parquet.

    The suites "gpu" and "flips" are run where they are named: the one on a machine with a CUDA GPU, the other for hours. A killed
    run of flips goes on where it stopped: rows that are there are kept, so take the file away where the code has changed.
    """
    process.ours()  # and of the processes that contestants run in, by their environment
    pd.set_option("display.width", 200, "display.max_columns", 20, "display.max_colwidth", 60)
    for name in suites or SUITES:
        if name == "gpu":
            _gpu(rounds, quick, seconds)
            continue
        if name == "flips":
            _flips(quick, seeds, sets, budget, peers, at_once)
            continue
        suite, usual = SUITES[name]
        table = harness.race(name, suite.contestants(quick), 1 if quick else rounds or usual, getattr(suite, "TRUTH", None))
        printed = exponents(table) if suite is growth else summary(table, suite)
        print(f"\n{name}, on {table['hardware'][0]}, {table['threads'][0]} threads\n{printed.round(4).to_string(index=False)}\n")
        if not quick:
            _write(table, name)
            if suite is cluster:  # partitions of the quick one are too small for a rate
                for words, said in (("one worker", simulated.rates(table)), ("foreseen", simulated.foreseen(table)),
                                    ("a billion rows, simulated", simulated.billion(table, price=price))):  # fmt: skip
                    print(f"{words}\n{said.round(3).to_string(index=False)}\n")


def _gpu(rounds: int | None, quick: bool, seconds: int) -> None:
    """The goals for one GPU. Nothing is written without one."""
    if not quick:
        try:
            gpu.check()
        except InputError as problem:
            print(f"Error: {problem}", file=sys.stderr)
            sys.exit(2)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # the runs of the sweep are nobody's evidence
        before, os.environ["DATADIET_STORE"] = os.environ.get("DATADIET_STORE"), folder
        try:
            table = bounded.race("gpu", gpu.contestants(quick), 1 if quick else rounds or gpu.ROUNDS, gpu.TRUTH, seconds)
        finally:
            os.environ.pop("DATADIET_STORE")
            os.environ |= {} if before is None else {"DATADIET_STORE": before}
    print(f"\ngpu, on {table['hardware'][0]}: {'tiny sizes, not a measurement' if quick else table['card'][0]}\n")
    print(f"{goals.page(table)}\n\n{goals.peers(table).round(4).to_string(index=False)}\n")
    if not quick:
        _write(table, "gpu")


def _flips(quick: bool, seeds: int, sets: str, budget: str, peers: str, at_once: int) -> None:
    """Who finds flipped labels, and how long it takes."""
    named = [each.strip() for each in sets.split(",") if each.strip()]
    try:
        budgets = [each.strip() for each in budget.split(",") if each.strip() and clock.seconds(each)]
        asked = [f"datadiet {each}" for each in budgets] + [each.strip() for each in peers.split(",") if each.strip()]
        file, rows = paths.root() / "results" / "benchmarks" / "flips.parquet", flips.ROWS
        if quick:
            file, rows, seeds = None, 60, 1
        table = flips.run(file, named, seeds, asked, rows, at_once)
    except InputError as problem:
        print(f"Error: {problem}", file=sys.stderr)
        sys.exit(2)
    said = found.compared(table, asked[0])
    where = f"flips, on {table['hardware'].iloc[-1]}, {table['threads'].iloc[-1]} threads"
    print(f"\n{where}\n{said.round(4).to_string(index=False)}\n")
    print(f"{found.counts(table).round(3).to_string(index=False)}\n")
    if table["commit"].nunique() > 1:
        print(f"Rows of several commits: {', '.join(sorted(table['commit'].unique()))}.")


def _write(table: pd.DataFrame, name: str) -> None:
    folder = paths.root() / "results" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(folder / f"{name}.parquet", compression="zstd", index=False)
    sealed.seal(folder.parent, [f"{folder.name}/{name}.parquet"])


def summary(table, suite):
    """Ratios of each case to the suite's reference, or to the first contestant of a case that has it not."""
    parts = []
    for _, rows in table.groupby("case", sort=False):
        peers = rows["peer"].unique()
        parts.append(ratios(rows, suite.REFERENCE if getattr(suite, "REFERENCE", None) in peers else peers[0]))
    return pd.concat(parts)


if __name__ == "__main__":
    main()
