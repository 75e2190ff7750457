"""python -m benchmarks [gradients] [architectures] [training] [tables] [growth] [--rounds N] [--quick]"""

import click
import pandas as pd

from benchmarks import architectures, gradients, growth, harness, tables, training
from datadiet import paths
from datadiet.chapters.what_it_costs.runs import exponents, ratios
from datadiet.runs import process

SUITES = {  # name -> (suite, rounds)
    "tables": (tables, 15), "gradients": (gradients, 9), "architectures": (architectures, 9), "growth": (growth, 2),
    "training": (training, 5),
}  # fmt: skip


@click.command()
@click.argument("suites", nargs=-1, type=click.Choice(list(SUITES)))
@click.option("--rounds", type=click.IntRange(1), help="How often each contestant runs; a number a suite where not given.")
@click.option("--quick", is_flag=True, help="Small sizes, one round, nothing written: does every line run?")
def main(suites, rounds, quick):
    """Measure, print the ratios, and write every round to results/benchmarks/SUITE.parquet."""
    process.ours()  # and of the processes that contestants run in, by their environment
    pd.set_option("display.width", 200, "display.max_columns", 20, "display.max_colwidth", 60)
    for name in suites or SUITES:
        suite, usual = SUITES[name]
        table = harness.race(name, suite.contestants(quick), 1 if quick else rounds or usual, getattr(suite, "TRUTH", None))
        printed = exponents(table) if suite is growth else summary(table, suite)
        print(f"\n{name}, on {table['hardware'][0]}, {table['threads'][0]} threads\n{printed.round(4).to_string(index=False)}\n")
        if not quick:
            folder = paths.root() / "results" / "benchmarks"
            folder.mkdir(parents=True, exist_ok=True)
            table.to_parquet(folder / f"{name}.parquet", compression="zstd", index=False)


def summary(table, suite):
    """Ratios of each case to the suite's reference, or to the first contestant of a case that has it not."""
    parts = []
    for _, rows in table.groupby("case", sort=False):
        peers = rows["peer"].unique()
        parts.append(ratios(rows, suite.REFERENCE if suite.REFERENCE in peers else peers[0]))
    return pd.concat(parts)


if __name__ == "__main__":
    main()
