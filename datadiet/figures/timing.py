"""Figures of the chapter "Score timing"."""

import matplotlib.pyplot as plt
import seaborn as sns

from datadiet import studies
from datadiet.figures.core import View, legend, level, line, panels, scoring_points


def _by_point(sides, tidy, columns: dict, ylabel):
    """Lines over the scoring points, one a column of a tidy table with a row a seed."""
    for ax, view, task in panels(sides):
        points, rows = scoring_points(ax, view.settings), tidy(view.settings, view.table)
        for (column, name), colour, marker in zip(columns.items(), sns.color_palette("colorblind"), "os^D", strict=False):
            if len(rows) and column in rows:
                one = rows[rows["task"] == task]
                line(
                    ax,
                    range(len(points)),
                    [one.loc[one["at"] == at, column].dropna() for at in points],
                    name,
                    color=colour,
                    marker=marker,
                )
        ax.set(ylabel=ylabel, ylim=(-0.25, 1.03))
        ax.axhline(0, color="0.6", lw=0.8)
        legend(ax)
    return plt.gcf()


def agreement(sides: list[View]):
    """Do two runs rank alike, and do early scores rank as late ones do? EL2N, Spearman's rho, by scoring point."""
    return _by_point(
        sides,
        studies.agreement,
        {"reliability": "with other runs, same point", "validity": "with other runs, last point"},
        "Spearman's rho",
    )


def approximation(sides: list[View]):
    """How close EL2N comes to GraNd, by scoring point."""
    return _by_point(
        sides,
        studies.approximation,
        {"head_rho": "GraNd of the head", "full_rho": "GraNd of all parameters"},
        "rho with EL2N",
    )


def averaging(sides: list[View]):
    """What averaging over runs buys: agreement of two disjoint averages of k runs, at one epoch. Dots are ways to draw them."""
    for ax, view, task in panels(sides):
        pairs = studies.averaging(view.settings, view.table)
        if len(pairs):
            one = pairs[pairs["task"] == task]
            sns.stripplot(one, x="k", y="rho", ax=ax, color=sns.color_palette("colorblind")[0], alpha=0.5, size=4)
            sns.pointplot(one, x="k", y="rho", ax=ax, errorbar=None, color="0.3", markers="_", linestyles="--")
        ax.set(xlabel="runs in each average", ylabel="Spearman's rho")
    return plt.gcf()


def class_shares(sides: list[View]):
    """Share of each class that the hardest half holds, by scoring point, mean over runs. Even selection: 0.5 everywhere."""
    for ax, view, task in panels(sides):
        rows = studies.skew(view.settings, view.table)
        if len(rows):
            one = rows[rows["task"] == task]
            grid = one.pivot_table(index="label", columns="at", values="kept_share", aggfunc="mean", sort=False)
            sns.heatmap(
                grid,
                ax=ax,
                vmin=0,
                vmax=1,
                cmap="vlag",
                annot=True,
                fmt=".2f",
                annot_kws={"size": 7},
                cbar_kws={"label": "share kept"},
            )
        ax.set(xlabel="scoring point", ylabel="")
        ax.tick_params(axis="y", rotation=0)
    return plt.gcf()


def accuracy_by_point(sides: list[View]):
    """Test accuracy after keeping the hardest, by scoring point, beside random subsets of the same size and the full data."""
    for ax, view, task in panels(sides):
        points, fraction = scoring_points(ax, view.settings), view.settings["timing_fraction"]
        for balanced, name in ((False, "hardest"), (True, "hardest of each class")):
            arms = [
                studies.arm(view.table, task, "hardest", fraction=fraction, at=at, balanced=balanced)
                for at in view.settings["score_at"]
            ]
            line(ax, range(len(points)), arms, name)
        level(ax, studies.arm(view.table, task, "random", fraction=fraction), "random")
        level(ax, studies.arm(view.table, task, "full"), "full data")
        ax.set_ylabel(f"test accuracy, {fraction:.0%} kept")
        legend(ax)
    return plt.gcf()
