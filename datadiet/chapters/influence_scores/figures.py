"""Figures of the chapter "Do other scores do better?"."""

import matplotlib.pyplot as plt
import seaborn as sns

from datadiet.chapters.arms import by_seed
from datadiet.chapters.drawing import legend, level, line, panels
from datadiet.chapters.influence_scores import runs
from datadiet.chapters.influence_scores.runs import FULL, ONCE, RANDOM, RETRAINED, SCORES
from datadiet.chapters.views import View

COLOURS = [sns.color_palette("colorblind")[i] for i in (0, 1, 2, 3, 8, 4, 9)]  # the one between, 5, is that of random
STYLES = {name: {"color": colour, "marker": marker} for name, colour, marker in zip(SCORES, COLOURS, "osvDXP^", strict=True)}
STYLES["EL2N, late"] |= {"ls": ":"}


def gains(views: list[View]):
    """Test accuracy minus that of random examples of the same number, paired by seed, against the kept fraction."""
    for ax, settings, table, task in panels(views):
        fractions = sorted(settings["fractions"])
        for i, name in enumerate(name for name in STYLES if name not in ONCE):
            ahead = [runs.ahead(settings, table, task, name, RANDOM, fraction) for fraction in fractions]
            line(ax, [x + 0.05 * i for x in range(len(fractions))], ahead, name, **STYLES[name])
        ax.axhline(0, color="0.35", lw=1, label="random")
        ax.set_xticks(range(len(fractions)), [f"{f:.0%}" for f in fractions])
        ax.set(xlabel="kept", ylabel="test accuracy - random")
        legend(ax)
    return plt.gcf()


def arms(views: list[View]):
    """Test accuracy of every arm at one size; random examples and the full data as levels."""
    for ax, settings, table, task in panels(views):
        names = [name for name in RETRAINED if name != RANDOM]
        for place, name in enumerate(names):
            style = STYLES.get(name, {"color": "0.35", "marker": "*"})
            line(ax, [place], [by_seed(table, runs.arm(settings, task, name))], name, **style)
        for name in (RANDOM, FULL):
            level(ax, by_seed(table, runs.arm(settings, task, name)), name)
        ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
        ax.set(ylabel=f"test accuracy, {settings['fraction']:.0%} kept")
    return plt.gcf()


def agreement(views: list[View]):
    """Rank correlation of the scores with each other; on the diagonal, of one run's score with the other runs'."""
    for ax, settings, table, task in panels(views):
        rows = runs.agreement(settings, table)
        rows = rows[rows["task"] == task]
        if len(rows):
            grid = rows.pivot_table(index="score", columns="other", values="rho", aggfunc="first", sort=False)
            sns.heatmap(grid.loc[list(SCORES), list(SCORES)], ax=ax, vmin=-1, vmax=1, cmap="vlag", annot=True, fmt=".2f",
                        annot_kws={"size": 7}, cbar=False)
        ax.set(xlabel="", ylabel="")
        ax.tick_params(axis="x", rotation=40)
        plt.setp(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
    return plt.gcf()
