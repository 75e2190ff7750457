"""Figures of the chapter "The loss landscape"."""

from datadiet.chapters.drawing import line, panels
from datadiet.chapters.loss_landscape import runs
from datadiet.chapters.views import View
from datadiet.training.landscape import GROUPS, STABLE

ALL = "full data"  # the group "all", in the words and the colour of the other chapters


def _rows(tidy, settings, table, task):
    """A task's rows of a tidy table."""
    rows = tidy(settings, table)
    return rows[rows["task"] == task]


def _by(ax, rows, column, x, group):
    """Means over seeds of one group's column against another."""
    one = rows[rows["group"] == group]
    values = {place: some[column].to_numpy() for place, some in one.groupby(x, sort=True)}
    name = ALL if group == "all" else group
    line(ax, list(values), list(values.values()), name, ls="--" if group in ("all", "random") else "-")


def kernel_velocity(views: list[View]):
    """How far the kernel of each block turned in each epoch; the scoring point by which the blocks were chosen is marked."""
    chart = panels(views)
    for ax, settings, table, task in chart:
        rows = _rows(runs.velocities, settings, table, task)
        for group in GROUPS:
            _by(ax, rows, "velocity", "epoch", group)
        if rows["after"].any():
            ax.axvline(rows.loc[rows["after"], "epoch"].min() - 0.5, color="0.6", lw=0.8, ls=":")
        ax.set(xlabel="epoch (dotted: ranked here)", ylabel="kernel velocity (per epoch)", yscale="log")
        ax.set_xticks(sorted(rows["epoch"].unique()))
        ax.minorticks_off()
    return chart


def error_on_the_line(views: list[View], spawn: str = "1ep"):
    """Training error on the straight line between the two futures that part at `spawn`, by group."""
    chart = panels(views)
    for ax, settings, table, task in chart:
        rows = _rows(runs.lines, settings, table, task)
        rows = rows[rows["spawn"] == spawn]
        for group in ("hardest", "middle", "easiest", "all"):
            _by(ax, rows, "error", "alpha", group)
        ax.set(xlabel=f"place on the line between futures that part at {spawn}", ylabel="training error", ylim=(-0.03, 1.03))
    return chart


def barriers(views: list[View]):
    """Barrier between two futures against the moment at which they part, by group; what lies below the dotted line is none."""
    chart = panels(views)
    for ax, settings, table, task in chart:
        rows = _rows(runs.barriers, settings, table, task)
        for group in (*GROUPS, "all"):
            _by(ax, rows, "barrier", "epoch", group)
        ax.axhline(STABLE, color="0.6", lw=0.8, ls=":")
        ax.set(xlabel="epoch at which the futures part", ylabel="barrier (share of training examples)")
        ax.set_xlim(-0.3, settings["epochs"] + 0.3)
    return chart
