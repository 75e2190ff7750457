"""Panels, lines and levels: what the figures of all chapters are drawn with."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from datadiet.chapters.parts import interval
from datadiet.chapters.settings import alone, measure
from datadiet.chapters.views import View, rebuilt
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
ABREAST = 3  # panels in a row


def t95(values) -> tuple[float, float]:
    """Ends of the 95 % t-interval of the mean; both the mean where there is a single value."""
    values = np.asarray(values, float)
    return interval(values)[1:] if len(values) > 1 else (float(values.mean()),) * 2


def panels(views: list[View], wanted=lambda settings, task: True):
    """One axes for each view and task that is `wanted`, rebuilt views last; a view without runs says so in its panel.

    Yields (axes, settings as the task has them, table of runs, task).
    """
    if not views:
        raise InputError("drawing.panels: no view to draw; give at least one View.")
    every = [*views, *rebuilt(views)]
    places = [(view, task) for view in every for task in (view.settings["tasks"] if len(view.table) else [None])]
    places = [(view, task) for view, task in places if task is None or wanted(view.settings, task)] or [(views[0], None)]
    columns = 2 if len(places) == 4 else min(len(places), ABREAST)
    rows = -(-len(places) // columns)
    size = (WIDTH * columns, HEIGHT * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for ax in axes.flat[len(places) :]:
        ax.set_axis_off()
    for ax, (view, task) in zip(axes.flat, places, strict=False):
        if task is None:
            ax.text(0.5, 0.5, f"{view.name}: no runs\nstored yet", ha="center", va="center", transform=ax.transAxes)
            ax.set_axis_off()
            continue
        ax.set_title(f"{view.name}: {task}, {view.settings['profile']}", fontsize="medium")
        sns.despine(ax=ax)
        yield ax, alone(view.settings, task), view.table, task


def judged_by(task: str) -> str:
    """Label of an axis for the number that a task is judged by."""
    return {"accuracy": "test accuracy", "matthews": "Matthews' correlation, test"}[measure(task)]


def line(ax, x, groups, name, **style):
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


def level(ax, values, name):
    """A horizontal line with its interval, for an arm that does not vary along x."""
    if len(values):
        low, high = t95(values)
        ax.axhline(np.mean(values), color=COLOURS[name], ls="--", lw=1.4, label=name)
        ax.axhspan(low, high, color=COLOURS[name], alpha=0.12, lw=0)


def scoring_points(ax, settings):
    """Label the x axis with the scoring points."""
    points = [str(at) for at in settings["score_at"]]
    ax.set_xticks(range(len(points)), points)
    ax.set_xlabel("scoring point (update step; ep = end of epoch)")
    return points


def legend(ax, at: float = -0.18):
    """A legend below the axes, where no line can run through it; axes of a task without runs say so."""
    if not ax.get_legend_handles_labels()[0]:
        ax.text(0.5, 0.5, "no runs\nstored yet", ha="center", va="center", transform=ax.transAxes)
        return
    ax.legend(frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, at), ncols=2)
