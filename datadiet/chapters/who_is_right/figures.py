"""The figure of the chapter "Who is right, when"."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from datadiet.chapters.arms import arm
from datadiet.chapters.drawing import View, panels
from datadiet.chapters.who_is_right import rules as conflict

SIGNS = {"better": "\N{BLACK UP-POINTING TRIANGLE}", "worse": "\N{BLACK DOWN-POINTING TRIANGLE}"}
CLIP = 0.2  # difference in accuracy at which the colours end


def who_wins(sides: list[View]):
    """Each way to keep against random, in every cell: points of accuracy, with a sign where the interval leaves out 0."""
    for ax, view, task in panels(sides):
        found = conflict.cells(view.settings, view.table)
        found = found[found["task"] == task].copy()
        found["cell"] = [f"{row.noise:.0%} flipped, {row.budget}, {row.fraction:.0%} kept" for row in found.itertuples()]
        grids = {what: found.pivot_table(index="cell", columns="rule", values=what, aggfunc="first", sort=False, dropna=False)
                 for what in ("effect", "outcome")}
        effect = grids["effect"].astype(float)
        words = [[_words(value, outcome) for value, outcome in zip(*pair, strict=True)]
                 for pair in zip(effect.to_numpy(), grids["outcome"].to_numpy(), strict=True)]
        sns.heatmap(effect, ax=ax, vmin=-CLIP, vmax=CLIP, cmap="vlag_r", annot=np.array(words), fmt="", annot_kws={"size": 8},
                    cbar=False, yticklabels=True)
        per_rate = len(effect) // len(view.settings["rates"])
        for line in range(per_rate, len(effect), per_rate):
            ax.axhline(line, color="0.2", lw=1.5)
        full = [f"{arm(view.table, task, 'full', noise=rate).mean():.2f} ({rate:.0%})" for rate in view.settings["rates"]]
        ax.set(xlabel="minus random, points\nfull data: " + ", ".join(full), ylabel="")
        ax.tick_params(axis="y", rotation=0, labelsize="small")
        ax.figure.set_figheight(max(ax.figure.get_figheight(), 1.4 + 0.28 * len(effect)))
    return plt.gcf()


def _words(value: float, outcome: str) -> str:
    return "no runs" if np.isnan(value) else f"{100 * value:+.1f} {SIGNS.get(outcome, '')}".strip()


# moved from pages
def advice(sides: list[View]) -> Page:
    """In how many cells of the factorial experiment each paper's advice holds."""
    parts, text = [], []
    for side in sides:
        found = conflict.advice(side.settings, side.table)
        counts = ("holds", "fails", "undecided", "no runs")
        rows = [[row["paper"], row["says"], f"{row['noise']:.0%}", *(str(row[name]) for name in counts)]
                for row in found.to_dict("records")]
        caption = f"{side.name}: cells in which the advice holds, fails, or is undecided by a 95 % interval"
        parts.append(table(rows, ["paper", "advice", "flipped", *counts], caption))
        text += [caption, *(" | ".join(row) for row in rows)]
    return Page("".join(parts), "\n".join(text))
