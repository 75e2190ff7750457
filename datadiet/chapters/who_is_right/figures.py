"""The figure and the table of the chapter "Who is right, when"."""

import numpy as np
import pandas as pd

from datadiet.chapters import pages
from datadiet.chapters.arms import by_seed
from datadiet.chapters.drawing import heat, panels
from datadiet.chapters.views import View
from datadiet.chapters.who_is_right import rules, runs

SIGNS = {"better": "\N{BLACK UP-POINTING TRIANGLE}", "worse": "\N{BLACK DOWN-POINTING TRIANGLE}"}
CLIP = 0.2  # difference in accuracy at which the colours end


def who_wins(views: list[View]):
    """Each way to keep against random, in every cell: points of accuracy, with a sign where the interval leaves out 0."""
    chart = panels(views)
    for ax, settings, table, task in chart:
        found = rules.cells(settings | {"tasks": [task]}, table).set_index(["noise", "budget", "fraction", "rule"])
        columns = [rule for rule in runs.KEPT_BY if rule != "random"]
        effect, outcome = (found[name].unstack("rule", sort=False)[columns] for name in ("effect", "outcome"))
        words = [[_words(*pair) for pair in zip(*row, strict=True)]
                 for row in zip(effect.to_numpy(), outcome.to_numpy(), strict=True)]
        names = [f"{rate:.0%} flipped, {budget}, {kept:.0%} kept" for rate, budget, kept in effect.index]
        # A cell without runs has no colour of its own, and says so: of NaN the heat map would not even draw the words.
        heat(ax, effect.fillna(0.0), np.array(words), (-CLIP, CLIP), cmap="vlag_r", yticklabels=names)
        per_rate = len(runs.BUDGETS) * len(settings["fractions"])
        for place in range(per_rate, len(effect), per_rate):
            ax.axhline(place, color="0.2", lw=1.5)
        full = {rate: by_seed(table, runs.full(settings, task, rate)).mean() for rate in settings["rates"]}
        said = [f"{'no runs' if pd.isna(mean) else f'{mean:.2f}'} ({rate:.0%})" for rate, mean in full.items()]
        ax.set(xlabel="minus random, points\nfull data: " + ", ".join(said), ylabel="")
        ax.tick_params(axis="y", labelsize=10)
    return chart


def _words(effect: float, outcome: str) -> str:
    return "no runs" if np.isnan(effect) else f"{100 * effect:+.1f} {SIGNS.get(outcome, '')}".strip()


def _counts(row: dict) -> str:
    """The counts of an advice that are not 0, in words."""
    return ", ".join(f"{name}: {row[name]}" for name in rules.COUNTED if row[name]) or pages.DASH


def advice(views: list[View]) -> pages.Page:
    """In how many cells of the experiment each paper's advice holds: a row an advice, a column a share of wrong labels."""
    return pages.of_views(_advice, views)


def _advice(views: list[View]) -> pages.Page:
    html, text = [], []
    for view in views:
        found = rules.advice(view.settings, view.table)
        counts = [_counts(row) for row in found.to_dict("records")]
        said = found.assign(said=counts, noise=[f"{rate:.0%}" for rate in found["noise"]])
        wide = said.pivot_table(index=["paper", "says"], columns="noise", values="said", aggfunc="first", sort=False)
        rows = [[*advised, *row] for advised, row in zip(wide.index, wide.to_numpy(), strict=True)]
        caption = f"{view.name}: number of cells in which the advice holds, fails, or is undecided by a 95 % interval"
        html.append(pages.table(rows, ["paper", "advice", *(f"{rate} flipped" for rate in wide.columns)], caption))
        text += [caption, *(" | ".join(row) for row in rows)]
    return pages.Page("".join(html), "\n".join(text))
