"""Figures and tables of the chapter "What it costs"."""

import json
from html import escape
from itertools import cycle

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import NullFormatter, ScalarFormatter

from datadiet.chapters import pages
from datadiet.chapters.drawing import Chart
from datadiet.chapters.views import HERE
from datadiet.chapters.what_it_costs.runs import ALIKE, LIMIT, ONE, OURS, PLAIN, STEP, exponents, ratios

NAMES = {  # peer -> what a reader sees, cheapest first
    "forward only": "forward only",
    LIMIT: "limit: no gradients\nof weights",
    OURS: "grad_norms",
    ALIKE: "forward and backward,\nas ours",
    PLAIN: "forward and backward",
    STEP: "training step",
    "Opacus, ghost": "Opacus, ghost",
    "torch.func": "torch.func",
    ONE: "batch of one",
    "Opacus, per sample": "Opacus, per sample",
}


def gradient_costs(rounds: dict):
    """Time of each way to the gradient norms over one forward and backward, a panel a table, a marker a case.

    Parameters
    ----------
    rounds : dict
        Where they were timed -> rounds of the benchmark; a table without rounds has no panel.
    """
    tables = {where: table for where, table in rounds.items() if len(table)}
    chart = Chart()
    cases = dict.fromkeys(case for table in tables.values() for case in table["case"])  # a look each: all panels have one legend
    looks = dict(zip(cases, zip(cycle(sns.color_palette("colorblind")), cycle("osD^v"), strict=False), strict=False))
    for where, table in tables.items():
        ax = chart.panel(where, 400, folded=where == HERE and len(tables) > 1)
        found = ratios(table, PLAIN).dropna(subset="ratio")
        peers = [peer for peer in NAMES if peer in set(found["peer"])]
        for place, case in enumerate(shown := found["case"].unique()):
            colour, marker = looks[case]
            mine = found[found["case"] == case].set_index("peer").reindex(peers)
            at = np.arange(len(peers)) + 0.14 * (place - (len(shown) - 1) / 2)
            ends = [mine["ratio"] - mine["least"], mine["greatest"] - mine["ratio"]]
            ax.errorbar(mine["ratio"], at, xerr=ends, ls="none", marker=marker, color=colour, ms=5, capsize=2, label=case)
        ax.axvline(1, color="0.6", lw=0.8)
        ax.set_xscale("log")
        ax.set_xticks([0.25, 0.5, 1, 2, 4, 8])
        ax.xaxis.set_major_formatter(ScalarFormatter())
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_yticks(range(len(peers)), [NAMES[peer] for peer in peers])
        ax.invert_yaxis()
        ax.set(xlabel="time over one forward and backward")
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
    return chart


def growth(table: pd.DataFrame):
    """Seconds and peak memory against the size that grows, both axes logarithmic; the slope is the exponent."""
    slopes = exponents(table).set_index("case")
    chart = Chart()
    for case, rows in table.groupby("case", sort=False):
        ax = chart.panel(case)
        middle = rows.groupby("size")[["seconds", "peak_mib"]].median()
        ax.loglog(middle.index, middle["seconds"], "o-", color=sns.color_palette("colorblind")[0], label="seconds")
        ax.set(xlabel=case.split(": ")[1], ylabel="seconds")
        ax.set_xticks(middle.index, [f"{size:,}" for size in middle.index])
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.text(0.05, 0.88, f"exponent {slopes.loc[case, 'seconds']:.2f}", transform=ax.transAxes)
        memory = ax.twinx()
        memory.plot(middle.index, middle["peak_mib"], "s--", color=sns.color_palette("colorblind")[1], label="memory")
        memory.set_ylabel("MiB above the start")
        memory.set_ylim(0, None)
        memory.grid(visible=False)
        memory.spines["top"].set_visible(False)
    return chart


def measured(table: pd.DataFrame, name: str) -> pages.Page:
    """Where the rounds of a benchmark were measured: hardware, threads, releases, commit, time, how busy the machine was.

    Without rounds it says that there are none.
    """
    if not len(table):
        text = f"{name}: not measured yet."
        return pages.Page(f'<p class="dd-rerun">{escape(text)}</p>', text)
    first, load = table.iloc[0], table["load"].dropna()
    releases = ", ".join(f"{package} {release}" for package, release in json.loads(first["versions"]).items())
    started = sorted(table["started"].dropna())
    text = (
        f"{name}: {first['hardware']}, {first['threads']} threads; {releases}; commit {first['commit']}; "
        f"{started[0]} to {started[-1]}; load average {load.median():.1f}, at most {load.max():.1f}."
    )
    return pages.Page(f'<p class="dd-rerun">{escape(text)}</p>', text)


def compared(rounds: pd.DataFrame, reference: str, caption: str) -> pages.Page:
    """Peers of a benchmark beside `reference`: median ratio with the least and greatest round, seconds, memory, error.

    Where all rows are about one thing, the caption names it.
    """
    rows = []
    for row in ratios(rounds, reference).sort_values(["case", "ratio"], kind="stable").to_dict("records"):
        if pd.notna(row["failed"]):
            rows.append([row["case"], row["peer"], f"cannot: {row['failed']}", *[pages.DASH] * 3])
            continue
        error = row.get("error")
        rows.append(
            [row["case"], row["peer"], f"{row['ratio']:.2f} [{row['least']:.2f}, {row['greatest']:.2f}]", f"{row['seconds']:.3g}"]
            + [f"{row['peak_mib']:,.0f}" if "peak_mib" in row else pages.DASH, pages.DASH if pd.isna(error) else f"{error:.0e}"]
        )
    head = ["what", "by", f"time over {reference} [least, greatest]", "seconds", "MiB more", "largest error"]
    table = pd.DataFrame(rows, columns=head)
    same = ["what"] if table["what"].nunique() == 1 else []
    return pages.frame(table.drop(columns=same), f"{caption}: {table['what'].iloc[0]}" if same else caption)
