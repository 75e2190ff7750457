"""Figures of the chapter "The loss landscape"."""

import matplotlib.pyplot as plt

from datadiet.chapters.drawing import legend, line, panels
from datadiet.chapters.loss_landscape import runs
from datadiet.chapters.views import View
from datadiet.training.landscape import GROUPS, STABLE

ALL = "full data"  # the group "all", in the words and the colour of the other chapters


def _panels(views, tidy):
    """Axes, settings, and a task's rows of a tidy table."""
    for ax, settings, table, task in panels(views):
        rows = tidy(settings, table)
        yield ax, settings, rows[rows["task"] == task]


def _by(ax, rows, column, x, group):
    """Means over seeds of one group's column against another."""
    one = rows[rows["group"] == group]
    values = {place: some[column].to_numpy() for place, some in one.groupby(x, sort=True)}
    name = ALL if group == "all" else group
    line(ax, list(values), list(values.values()), name, ls="--" if group in ("all", "random") else "-")


def kernel_velocity(views: list[View]):
    """How far the kernel of each block turned in each epoch; the scoring point by which the blocks were chosen is marked."""
    for ax, _, rows in _panels(views, runs.velocities):
        for group in GROUPS:
            _by(ax, rows, "velocity", "epoch", group)
        if rows["after"].any():
            ax.axvline(rows.loc[rows["after"], "epoch"].min() - 0.5, color="0.6", lw=0.8, ls=":")
        ax.set(xlabel="epoch (dotted: ranked here)", ylabel="kernel velocity (per epoch)", yscale="log")
        ax.set_xticks(sorted(rows["epoch"].unique()))
        ax.minorticks_off()
        legend(ax)
    return plt.gcf()


def error_on_the_line(views: list[View], spawn: str = "1ep"):
    """Training error on the straight line between the two futures that part at `spawn`, by group."""
    for ax, _, rows in _panels(views, runs.lines):
        rows = rows[rows["spawn"] == spawn]
        for group in ("hardest", "middle", "easiest", "all"):
            _by(ax, rows, "error", "alpha", group)
        ax.set(xlabel=f"place on the line between futures that part at {spawn}", ylabel="training error", ylim=(-0.03, 1.03))
        legend(ax)
    return plt.gcf()


def barriers(views: list[View]):
    """Barrier between two futures against the moment at which they part, by group; what lies below the dotted line is none."""
    for ax, settings, rows in _panels(views, runs.barriers):
        for group in (*GROUPS, "all"):
            _by(ax, rows, "barrier", "epoch", group)
        ax.axhline(STABLE, color="0.6", lw=0.8, ls=":")
        ax.set(xlabel="epoch at which the futures part", ylabel="barrier (share of training examples)")
        ax.set_xlim(-0.3, settings["epochs"] + 0.3)
        legend(ax)
    return plt.gcf()
