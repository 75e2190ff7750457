"""Charts, panels, lines and levels: what the figures of all chapters are drawn with.

A chart is a row of panels, each an SVG of its own: abreast on a wide screen, under one another on a phone, where a panel is shown
at its own size. Its legend is drawn once. Panels of runs rebuilt here are folded away below the published ones.
"""

from html import escape

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from datadiet.chapters import svg
from datadiet.chapters.pages import HINT
from datadiet.chapters.parts import interval
from datadiet.chapters.saying import said_of
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
WIDTH, HEIGHT = 340, 240  # pixels of one panel as a phone shows it


class Chart:
    """Panels that are drawn one by one, and what a page shows of them.

        chart = panels(views)
        for ax, settings, table, task in chart:
            line(ax, ...)
        return chart

    Attributes
    ----------
    axes : list of Axes
        One a panel, in order.
    """

    def __init__(self):
        self.axes = []
        self.folded = set()  # places of panels of rebuilt runs, which a page folds away
        self.aside = {}  # place of a panel of a set that is folded away as well -> the set
        self.places = []

    def panel(self, title: str = "", height: float = HEIGHT, folded: bool = False):
        """Axes of a further panel, `height` pixels high at the width of a phone."""
        with mpl.rc_context(svg.STYLE):
            figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
            ax = figure.add_subplot()
            ax.set_title(title)
            ax.tick_params(labelsize=svg.STYLE["xtick.labelsize"], color=svg.INK, labelcolor=svg.INK)
            sns.despine(ax=ax)
        if folded:
            self.folded.add(len(self.axes))
        self.axes.append(ax)
        return ax

    def __iter__(self):
        """Axes, settings as the task has them, table of runs and task, of each place that the chart was made for."""
        with mpl.rc_context(svg.STYLE):
            for view, task, height, folded, aside in self.places:
                if aside:
                    self.aside[len(self.axes)] = task
                ax = self.panel(f"{view.name}: {task}, {view.settings['profile']}" if task else view.name, height, folded)
                if task is not None:
                    yield ax, alone(view.settings, task), view.table, task
                if not (ax.containers or ax.collections or ax.texts or ax.get_legend_handles_labels()[0]):
                    ax.set_axis_off()
                    ax.text(0.5, 0.5, "no runs stored yet", ha="center", va="center", transform=ax.transAxes)

    def legend(self) -> dict:
        """Series -> the artist that shows how it is drawn, each once, in the order of the panels."""
        found = {}
        for ax in [each for panel in self.axes for each in panel.figure.axes]:
            for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
                found.setdefault(name.replace("\n", " "), handle)
        return found

    def _panel(self, ax) -> str:
        title, text = ax.get_title(), said_of(ax)
        ax.title.set_visible(False)  # the page writes it, and wraps it
        drawing = svg.markup(ax.figure, f"{title}. {text}" if title else text)
        ax.title.set_visible(True)
        head = f'<p class="dd-panel-title">{escape(title)}</p>' if title else ""
        return f'<div class="dd-panel">{head}{drawing}</div>'

    def _repr_html_(self) -> str:
        drawn = [self._panel(ax) for ax in self.axes]
        names = "".join(f"<li>{svg.swatch(handle)} {escape(name)}</li>" for name, handle in self.legend().items())
        legend = f'<ul class="dd-legend">{names}</ul>' if names else ""
        aside = {place: task for place, task in self.aside.items() if place not in self.folded}
        shown = [panel for place, panel in enumerate(drawn) if place not in self.folded and place not in aside]
        more = _folded(f"More sets: {', '.join(dict.fromkeys(aside.values()))}", [drawn[place] for place in aside])
        hint = _folded(HINT, [drawn[place] for place in sorted(self.folded)])
        return f'<div class="dd-figure">{legend}<div class="dd-panels">{"".join(shown)}</div>{more}{hint}</div>'

    def __repr__(self) -> str:
        return "\n".join(f"{ax.get_title()}. {said_of(ax)}" for ax in self.axes)


def _folded(summary: str, drawn: list[str]) -> str:
    """Panels behind a line that opens them; nothing where there are none."""
    if not drawn:
        return ""
    inside = f'<div class="dd-panels">{"".join(drawn)}</div>'
    return f'<details class="dd-rebuilt"><summary>{escape(summary)}</summary>{inside}</details>'


def _is_among(aside, view: View, task: str) -> bool:
    return task in aside or f"{task}, {view.settings['profile']}" in aside


def panels(views: list[View], wanted=lambda settings, task: True, height=HEIGHT, aside=()) -> Chart:
    """A chart with a panel for each view and task that is `wanted`, rebuilt views last; a view without runs says so in its panel.

    Parameters
    ----------
    views : list of View
        In the order of the panels; what was rebuilt here is folded away.
    wanted : function
        Of settings and a task: whether there is something to draw of it.
    height : float
        Pixels of a panel on a phone.
    aside : sequence of str
        Sets whose panels fold away below the others, such as those that are not learned: "SET", or "SET, PROFILE" for the runs of
        one profile. Where there would be nothing else to see, they are shown.
    """
    if not views:
        raise InputError("drawing.panels: no view to draw; give at least one View.")
    chart = Chart()
    for folded, some in ((False, views), (True, rebuilt(views))):
        for view in some:
            tasks = view.settings["tasks"] if len(view.table) else [None]
            tasks = [task for task in tasks if task is None or wanted(view.settings, task)]
            chart.places += [(view, task, height, folded, _is_among(aside, view, task)) for task in tasks]
    chart.places = chart.places or [(views[0], None, height, False, False)]
    if all(apart for *_, folded, apart in chart.places if not folded):
        chart.places = [(*place, False) for *place, _ in chart.places]
    return chart


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


def t95(values) -> tuple[float, float]:
    """Ends of the 95 % t-interval of the mean; both the mean where there is a single value."""
    values = np.asarray(values, float)
    return interval(values)[1:] if len(values) > 1 else (float(values.mean()),) * 2


def heat(ax, grid, words, ends: tuple[float, float], **style):
    """Cells coloured from one end to the other, each with its word, letters of 10 pixels at least."""
    look = {"cmap": "vlag", "annot_kws": {"size": 10}, "cbar": False} | style
    sns.heatmap(grid, ax=ax, vmin=ends[0], vmax=ends[1], annot=words, fmt="", **look)
    ax.figure.set_figheight((90 + 22 * len(grid)) / 72)
    ax.grid(False)
    ax.tick_params(axis="both", length=0)
    ax.tick_params(axis="y", rotation=0)
    ax.set(xlabel="", ylabel="")


def scoring_points(ax, settings):
    """Label the x axis with the scoring points."""
    points = [str(at) for at in settings["score_at"]]
    ax.set_xticks(range(len(points)), points)
    ax.set_xlabel("scoring point (update step; ep = end of epoch)")
    return points
