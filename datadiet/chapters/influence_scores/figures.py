"""Figures of the chapter "Do other scores do better?"."""

import matplotlib.pyplot as plt
import seaborn as sns

from datadiet.chapters.arms import of_task
from datadiet.chapters.drawing import View, legend, level, line, panels
from datadiet.chapters.influence_scores.runs import (
    ARMS,
    ONCE,
    RANDOM,
    SCORES,
    influence_agreement,
    influence_arm,
    influence_gains,
)

COLOURS = [sns.color_palette("colorblind")[i] for i in (0, 1, 2, 3, 4, 9)]  # the sixth is that of random
STYLES = {name: {"color": colour, "marker": marker} for name, colour, marker in zip(SCORES, COLOURS, "osvDP^", strict=True)}
STYLES["EL2N, late"] |= {"ls": ":"}


def influence_gains(sides: list[View]):
    """Test accuracy minus that of random examples of the same number, paired by seed, against the kept fraction."""
    for ax, view, task in panels(sides):
        fractions = sorted(view.settings["tasks"][task])
        for i, (name, style) in enumerate(STYLES.items()):
            if name in ONCE:
                continue
            gains = [influence_gains(view.settings, view.table, task, name, f) for f in fractions]
            line(ax, [x + 0.05 * i for x in range(len(fractions))], gains, name, **style)
        ax.axhline(0, color="0.35", lw=1, label="random")
        ax.set_xticks(range(len(fractions)), [f"{f:.0%}" for f in fractions])
        ax.set(xlabel="kept", ylabel="test accuracy - random")
        legend(ax)
    return plt.gcf()


def influence_arms(sides: list[View]):
    """Test accuracy of every arm at one size; random examples and the full data as levels."""
    for ax, view, task in panels(sides):
        kept = of_task(view.settings, task)["timing_fraction"]
        names = [name for name in ARMS if name != RANDOM]
        for place, name in enumerate(names):
            style = STYLES.get(name, {"color": "0.35", "marker": "*"})
            line(ax, [place], [influence_arm(view.settings, view.table, task, name, kept)], name, **style)
        level(ax, influence_arm(view.settings, view.table, task, RANDOM, kept), "random")
        level(ax, influence_arm(view.settings, view.table, task, "full data"), "full data")
        ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
        ax.set(ylabel=f"test accuracy, {kept:.0%} kept")
    return plt.gcf()


def influence_agreement(sides: list[View]):
    """Rank correlation of the scores with each other; on the diagonal, of one run's score with the other runs'."""
    for ax, view, task in panels(sides):
        found = influence_agreement(view.settings, view.table)
        if len(found):
            one = found[found["task"] == task]
            grid = one.pivot_table(index="score", columns="other", values="rho", aggfunc="first", sort=False)
            sns.heatmap(grid.loc[list(SCORES), list(SCORES)], ax=ax, vmin=-1, vmax=1, cmap="vlag", annot=True, fmt=".2f",
                        annot_kws={"size": 7}, cbar=False)
        ax.set(xlabel="", ylabel="")
        ax.tick_params(axis="x", rotation=40)
        plt.setp(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
    return plt.gcf()
