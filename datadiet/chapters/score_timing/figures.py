"""Figures of the chapter "Score timing"."""

import seaborn as sns

from datadiet.chapters.arms import by_seed, scoring
from datadiet.chapters.drawing import heat, level, line, panels, scoring_points
from datadiet.chapters.score_timing import runs
from datadiet.chapters.views import View


def _by_point(views, tidy, columns: dict, ylabel, aside=()):
    """Lines over the scoring points, one a column of a tidy table with a row a seed."""
    chart = panels(views, aside=aside)
    for ax, settings, table, task in chart:
        points, rows = scoring_points(ax, settings), tidy(settings, table)
        rows = rows[rows["task"] == task]
        for (column, name), colour, marker in zip(columns.items(), sns.color_palette("colorblind"), "os^D", strict=False):
            values = [rows.loc[rows["at"] == at, column].dropna() for at in points]
            line(ax, range(len(points)), values, name, color=colour, marker=marker)
        ax.set(ylabel=ylabel, ylim=(-0.25, 1.03))
        ax.axhline(0, color="0.6", lw=0.8)
    return chart


def agreement(views: list[View], aside=()):
    """Do two runs rank alike, and do early scores rank as late ones do? EL2N, Spearman's rho, by scoring point."""
    names = {"reliability": "with other runs, same point", "validity": "with other runs, last point"}
    return _by_point(views, runs.agreement, names, "Spearman's rho", aside)


def approximation(views: list[View], aside=()):
    """How close EL2N comes to GraNd, by scoring point."""
    names = {"head_rho": "GraNd of the head", "full_rho": "GraNd of all parameters"}
    return _by_point(views, runs.approximation, names, "rho with EL2N", aside)


def averaging(views: list[View], aside=()):
    """What averaging over runs buys: agreement of two disjoint averages of k runs, at one epoch. Dots are ways to draw them."""
    chart = panels(views, aside=aside)
    for ax, settings, table, task in chart:
        pairs = runs.averaging(settings, table)
        pairs = pairs[pairs["task"] == task]
        if len(pairs):
            sns.stripplot(pairs, x="k", y="rho", ax=ax, color=sns.color_palette("colorblind")[0], alpha=0.5, size=4, jitter=False)
            sns.pointplot(pairs, x="k", y="rho", ax=ax, errorbar=None, color="0.3", markers="_", linestyles="--")
        ax.set(xlabel="runs in each average", ylabel="Spearman's rho")
    return chart


def class_shares(views: list[View], aside=()):
    """Share of each class that the hardest half holds, by scoring point, mean over runs. Even selection: 0.5 everywhere."""
    chart = panels(views, aside=aside)
    for ax, settings, table, task in chart:
        rows = runs.skew(settings, table)
        rows = rows[rows["task"] == task]
        if len(rows):
            grid = rows.pivot_table(index="label", columns="at", values="kept_share", aggfunc="mean", sort=False)
            heat(ax, grid, grid.map(lambda share: f"{share:.2f}".replace("0.", ".")), (0, 1))
        ax.set_xlabel("scoring point")
    return chart


def accuracy_by_point(views: list[View], aside=()):
    """Test accuracy after keeping the hardest, by scoring point, beside random subsets of the same size and the full data."""
    chart = panels(views, aside=aside)
    for ax, settings, table, task in chart:
        points = scoring_points(ax, settings)
        for balanced, name in ((False, "hardest"), (True, "hardest of each class")):
            arms = [runs.hardest(settings, task, at, balanced=balanced) for at in settings["score_at"]]
            line(ax, range(len(points)), [by_seed(table, arm) for arm in arms], name)
        level(ax, by_seed(table, runs.random(settings, task)), "random")
        level(ax, by_seed(table, scoring(settings, task)), "full data")
        ax.set_ylabel(f"test accuracy, {settings['fraction']:.0%} kept")
    return chart
