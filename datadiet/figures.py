"""The figures of the chapters. One function a figure, drawn alike from live and from published runs.

    here = View("This machine", settings, table)
    agreement([here, published])            # a panel for each view and task

Lines are means over seeds, bars are 95 % t-intervals. Colours are the colour-blind set of seaborn, doubled by markers.
"""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from datadiet import rules, studies
from datadiet.errors import InputError

RULE_NAMES = {
    "hardest": "hardest",
    "balanced": "hardest of each class",
    "easiest": "easiest",
    "middle": "middle",
    "stratified": "stratified",
    "random": "random",
}
COLOURS = dict(zip([*RULE_NAMES.values(), "full data"], [*sns.color_palette("colorblind", 6), (0.35, 0.35, 0.35)], strict=True))
MARKERS = dict(zip(COLOURS, "osvDP^X", strict=True))
WIDTH, HEIGHT = 4.6, 3.4  # inches of one panel


@dataclass(frozen=True)
class View:
    """A table of runs, the settings it was asked for with, and what to call it."""

    name: str
    settings: dict
    table: pd.DataFrame


def views(settings: dict, here: pd.DataFrame, published_settings: dict, published: pd.DataFrame) -> list[View]:
    """The two sides of every figure: this machine, now, and the published runs; one side where both are the same runs."""
    public = View("Published", published_settings, published)
    if len(here) and (here["origin"] == "published").all():
        return [public]
    return [View("This machine", settings, here), public]


def t95(values) -> tuple[float, float]:
    """Ends of the 95 % t-interval of the mean; both the mean where there is a single value."""
    values = np.asarray(values, float)
    return rules.interval(values)[1:] if len(values) > 1 else (float(values.mean()),) * 2


def _panels(sides: list[View], wanted=lambda view, task: True):
    """One axes for each view and task; a view without runs says so in its panel. Yields (axes, view, task)."""
    if not sides:
        raise InputError("figures: no view to draw; give at least one View.")
    places = [(view, task) for view in sides for task in (view.settings["tasks"] if len(view.table) else [None])]
    figure, axes = plt.subplots(1, len(places), figsize=(WIDTH * len(places), HEIGHT), layout="constrained", squeeze=False)
    for ax, (view, task) in zip(axes[0], places, strict=True):
        if task is None:
            ax.text(0.5, 0.5, f"{view.name}: no runs\nstored yet", ha="center", va="center", transform=ax.transAxes)
            ax.set_axis_off()
            continue
        ax.set_title(f"{view.name}: {task}, {view.settings['profile']}", fontsize="medium")
        sns.despine(ax=ax)
        if wanted(view, task):
            yield ax, view, task


def _line(ax, x, groups, name, **style):
    """Means with their intervals at x; `groups` holds the values at each x, and an empty group is left out."""
    filled = [(place, np.asarray(values, float)) for place, values in zip(x, groups, strict=True) if len(values)]
    if not filled:
        return
    means = np.array([values.mean() for _, values in filled])
    ends = np.array([t95(values) for _, values in filled])
    style = {"color": COLOURS.get(name), "marker": MARKERS.get(name, "o")} | style
    ax.errorbar(
        [place for place, _ in filled],
        means,
        yerr=[means - ends[:, 0], ends[:, 1] - means],
        label=name,
        capsize=3,
        lw=1.6,
        ms=5,
        **style,
    )


def _level(ax, values, name):
    """A horizontal line with its interval, for an arm that does not vary along x."""
    if len(values):
        low, high = t95(values)
        ax.axhline(np.mean(values), color=COLOURS[name], ls="--", lw=1.4, label=name)
        ax.axhspan(low, high, color=COLOURS[name], alpha=0.12, lw=0)


def _points(ax, settings):
    """Label the x axis with the scoring points."""
    points = [str(at) for at in settings["score_at"]]
    ax.set_xticks(range(len(points)), points)
    ax.set_xlabel("scoring point (update step; ep = end of epoch)")
    return points


def _by_point(sides, tidy, columns: dict, ylabel):
    """Lines over the scoring points, one a column of a tidy table with a row a seed."""
    for ax, view, task in _panels(sides):
        points, rows = _points(ax, view.settings), tidy(view.settings, view.table)
        for (column, name), colour, marker in zip(columns.items(), sns.color_palette("colorblind"), "os^D", strict=False):
            if len(rows) and column in rows:
                one = rows[rows["task"] == task]
                _line(
                    ax,
                    range(len(points)),
                    [one.loc[one["at"] == at, column].dropna() for at in points],
                    name,
                    color=colour,
                    marker=marker,
                )
        ax.set(ylabel=ylabel, ylim=(-0.25, 1.03))
        ax.axhline(0, color="0.6", lw=0.8)
        ax.legend(frameon=False, fontsize="small", loc="lower right")
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
    for ax, view, task in _panels(sides):
        pairs = studies.averaging(view.settings, view.table)
        if len(pairs):
            one = pairs[pairs["task"] == task]
            sns.stripplot(one, x="k", y="rho", ax=ax, color=sns.color_palette("colorblind")[0], alpha=0.5, size=4)
            sns.pointplot(one, x="k", y="rho", ax=ax, errorbar=None, color="0.3", markers="_", linestyles="--")
        ax.set(xlabel="runs in each average", ylabel="Spearman's rho")
    return plt.gcf()


def class_shares(sides: list[View]):
    """Share of each class that the hardest half holds, by scoring point, mean over runs. Even selection: 0.5 everywhere."""
    for ax, view, task in _panels(sides):
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
    for ax, view, task in _panels(sides):
        points, fraction = _points(ax, view.settings), view.settings["timing_fraction"]
        for balanced, name in ((False, "hardest"), (True, "hardest of each class")):
            arms = [
                studies.arm(view.table, task, "hardest", fraction=fraction, at=at, balanced=balanced)
                for at in view.settings["score_at"]
            ]
            _line(ax, range(len(points)), arms, name)
        _level(ax, studies.arm(view.table, task, "random", fraction=fraction), "random")
        _level(ax, studies.arm(view.table, task, "full"), "full data")
        ax.set_ylabel(f"test accuracy, {fraction:.0%} kept")
        ax.legend(frameon=False, fontsize="small")
    return plt.gcf()


def accuracy_by_fraction(sides: list[View]):
    """Test accuracy against the kept fraction: hardest, hardest of each class, easiest and random; the full data as a level."""
    for ax, view, task in _panels(sides):
        fractions = sorted(view.settings["tasks"][task])
        for rule, balanced, name in (
            ("random", False, "random"),
            ("hardest", False, "hardest"),
            ("hardest", True, "hardest of each class"),
            ("easiest", False, "easiest"),
        ):
            at = {} if rule == "random" else {"at": studies.RETRAIN_AT}
            _line(
                ax,
                fractions,
                [studies.arm(view.table, task, rule, fraction=f, balanced=balanced, **at) for f in fractions],
                name,
            )
        _level(ax, studies.arm(view.table, task, "full"), "full data")
        ax.set_xscale("log")
        ax.set_xticks(fractions, [f"{f:.0%}" for f in fractions])
        ax.minorticks_off()
        ax.set(xlabel="kept fraction (log scale)", ylabel="test accuracy")
        ax.legend(frameon=False, fontsize="small")
    return plt.gcf()


def windows(sides: list[View]):
    """Test accuracy when the very hardest are skipped first, at one size: the window slides down the ranking."""
    for ax, view, task in _panels(sides):
        fraction, offsets = view.settings["timing_fraction"], [0.0, *view.settings["offsets"]]
        at = {"fraction": fraction, "at": studies.RETRAIN_AT}
        _line(
            ax,
            range(len(offsets)),
            [studies.arm(view.table, task, "hardest", offset=o, **at) for o in offsets],
            "hardest",
        )
        for place, rule in enumerate(("middle", "stratified", "easiest"), start=len(offsets)):
            _line(ax, [place], [studies.arm(view.table, task, rule, **at)], rule)
        _level(ax, studies.arm(view.table, task, "random", fraction=fraction), "random")
        ax.set_xticks(
            range(len(offsets) + 3),
            [f"skip {o:.0%}" for o in offsets] + ["middle", "stratified", "easiest"],
            rotation=30,
            ha="right",
        )
        ax.set(xlabel="what is kept", ylabel=f"test accuracy, {fraction:.0%} kept")
    return plt.gcf()


def budgets(sides: list[View]):
    """The same subsets at equal epochs (fewer updates) and at equal steps (as many updates as the full data)."""
    for ax, view, task in _panels(sides):
        for rule in ("random", "hardest", "easiest"):
            at = {} if rule == "random" else {"at": studies.RETRAIN_AT}
            arms = [
                studies.arm(view.table, task, rule, fraction=view.settings["timing_fraction"], budget=budget, **at)
                for budget in ("epochs", "steps")
            ]
            _line(ax, range(2), arms, rule)
        _level(ax, studies.arm(view.table, task, "full"), "full data")
        ax.set_xticks(range(2), ["equal epochs", "equal steps"])
        ax.set(
            xlim=(-0.4, 1.4),
            xlabel="training budget",
            ylabel=f"test accuracy, {view.settings['timing_fraction']:.0%} kept",
        )
        ax.legend(frameon=False, fontsize="small")
    return plt.gcf()
