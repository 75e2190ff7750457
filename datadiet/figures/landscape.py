"""Figures of the chapter "The loss landscape"."""

import matplotlib.pyplot as plt

from datadiet import landscape, rules, studies
from datadiet.figures.core import View, legend, line, panels
from datadiet.studies import images

ALL = "full data"  # the group "all", in the words and the colour of the other chapters


def _by(ax, rows, task, column, x, group):
    """Means over seeds of one group's column against another."""
    one = rows[(rows["task"] == task) & (rows["group"] == group)]
    values = {place: some[column].to_numpy() for place, some in one.groupby(x, sort=True)}
    name = ALL if group == "all" else group
    line(ax, list(values), list(values.values()), name, ls="--" if group in ("all", "random") else "-")


def kernel_velocity(sides: list[View]):
    """How far the kernel of each block turned in each epoch; the scoring point by which the blocks were chosen is marked."""
    for ax, view, task in panels(sides):
        rows = studies.velocities(view.settings, view.table)
        for group in landscape.GROUPS:
            _by(ax, rows, task, "velocity", "epoch", group)
        one = rows[(rows["task"] == task) & rows["after"]]
        if len(one):
            ax.axvline(one["epoch"].min() - 0.5, color="0.6", lw=0.8, ls=":")
        ax.set(xlabel="epoch (dotted: ranked here)", ylabel="kernel velocity (per epoch)", yscale="log")
        ax.set_xticks(sorted(rows.loc[rows["task"] == task, "epoch"].unique()))
        ax.minorticks_off()
        legend(ax)
    return plt.gcf()


def error_on_the_line(sides: list[View], spawn: str = rules.landscape.SPAWN):
    """Training error on the straight line between the two futures that part at `spawn`, by group."""
    for ax, view, task in panels(sides):
        rows = studies.lines(view.settings, view.table)
        rows = rows[rows["spawn"] == spawn]
        for group in ("hardest", "middle", "easiest", "all"):
            _by(ax, rows, task, "error", "alpha", group)
        ax.set(xlabel=f"place on the line between futures that part at {spawn}", ylabel="training error", ylim=(-0.03, 1.03))
        legend(ax)
    return plt.gcf()


def barriers(sides: list[View]):
    """Barrier between two futures against the moment at which they part, by group; the dotted line is what counts as none."""
    for ax, view, task in panels(sides):
        rows = studies.barriers(view.settings, view.table)
        for group in (*landscape.GROUPS, "all"):
            _by(ax, rows, task, "barrier", "epoch", group)
        ax.axhline(landscape.STABLE, color="0.6", lw=0.8, ls=":")
        ax.set(xlabel="epoch at which the futures part", ylabel="barrier (share of training examples)")
        ax.set_xlim(-0.3, images.of_task(view.settings, task)["epochs"] + 0.3)
        legend(ax)
    return plt.gcf()
