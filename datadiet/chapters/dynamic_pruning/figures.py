"""Figures of the chapter "Dynamic pruning"."""

import seaborn as sns

from datadiet.chapters.arms import by_seed
from datadiet.chapters.drawing import Chart, judged_by, line, panels, t95
from datadiet.chapters.dynamic_pruning import runs
from datadiet.chapters.parts import difference
from datadiet.chapters.settings import of_task
from datadiet.chapters.views import View, rebuilt

ARMS = {  # arm -> its name in a legend
    "dynamic": "dynamic EL2N",
    "random dynamic": "random, anew each cycle",
    "static, one run": "static EL2N, one run",
    "static": "static EL2N, averaged",
    "random static": "random, fixed",
    "soft": "soft pruning",
    "full": "full data",
}
STYLE = {
    name: {"color": colour, "marker": marker}
    for name, colour, marker in zip(ARMS, [*sns.color_palette("colorblind", 6), (0.35, 0.35, 0.35)], "oPsDX^*", strict=True)
}
CHANGES = {  # arms whose place on the axis of changes is called otherwise
    "dynamic": "as it is",
    "random dynamic": "random",
    "full": "full data",
    "first phase of 0": "no first phase",
    "first phase of 0, equal updates": "equal updates",
    "cycles of 1, smoothed": "smoothed too",
}


def _frontier(views, cost, xlabel, aside):
    chart = panels(views, aside=aside)
    for ax, settings, table, task in chart:
        found = runs.account(settings, table, task)
        for name in ARMS:
            fractions = [1.0] if name in ("full", "soft") else settings["fractions"]
            paid = [found[name, f].dropna(subset=[cost]) for f in fractions]
            line(ax, [each[cost].mean() for each in paid], [each["accuracy"] for each in paid], ARMS[name], **STYLE[name])
        ax.set(xlabel=xlabel, ylabel=judged_by(task), xlim=(0, None))
    return chart


def frontier(views: list[View], aside=()):
    """Test accuracy against the whole cost, scoring included, in forward units, as a share of training on everything."""
    return _frontier(views, "cost", "forward units, scoring included (full data: 1)", aside)


def frontier_in_seconds(views: list[View], aside=()):
    """Test accuracy against the seconds of training and scoring."""
    return _frontier(views, "seconds", "seconds of training and scoring", aside)


def against_random(views: list[View]):
    """Gain of choosing by EL2N over random examples with the same sizes, updates and schedule; a panel for each kept fraction."""
    pairs = {"dynamic": "random dynamic", "static": "random static", "static, one run": "random static"}
    chart = Chart()
    for folded, some in ((False, views), (True, rebuilt(views))):
        for view in some:
            for fraction in sorted(view.settings["fractions"]):
                ax = chart.panel(f"{view.name}: {fraction:.0%} kept, {view.settings['profile']}", 320, folded)
                _gains(ax, view, fraction, pairs)
    return chart


def _gains(ax, view: View, fraction: float, pairs: dict[str, str]):
    """One panel: the sets along the axis, the gain of each arm over its random one upwards."""
    tasks = [task for task in view.settings["tasks"] if fraction in of_task(view.settings, task)["fractions"]]
    for place, (name, random) in enumerate(pairs.items()):
        gains = [difference(*(runs.accuracy(view, task, arm, fraction) for arm in (name, random))) for task in tasks]
        line(ax, [at + 0.15 * (place - 1) for at in range(len(tasks))], gains, ARMS[name], **STYLE[name], ls="none")
    if not ax.containers:
        ax.set_axis_off()
        ax.text(0.5, 0.5, "no runs stored yet", ha="center", va="center", transform=ax.transAxes)
        return
    ax.axhline(0, color="0.6", lw=0.8)
    ax.set_xticks(range(len(tasks)), tasks, rotation=30, ha="right")
    ax.set(xlim=(-0.5, len(tasks) - 0.5), ylabel="test accuracy (cola: Matthews'),\nminus random" if "cola" in tasks
           else "test accuracy, minus random")


def _changed(settings: dict, task: str) -> bool:
    """Whether the task has arms that change one thing."""
    own = of_task(settings, task)
    return bool(own["warmups"] or own["ablations"])


def one_change(views: list[View]):
    """Dynamic EL2N with one thing changed at a time, at one kept fraction; the band is the method as it is."""
    chart = panels(views, _changed, height=320)
    for ax, settings, table, task in chart:
        arms, fraction = runs.arms(settings, task), settings["ablation"]
        as_it_is = by_seed(table, arms["dynamic", fraction])
        if len(as_it_is):
            ax.axhspan(*t95(as_it_is), color=STYLE["dynamic"]["color"], alpha=0.12, lw=0)
        shown = [("dynamic", fraction), ("random dynamic", fraction), runs.FULL, *(arm for arm in arms if arm[0] not in ARMS)]
        names = []
        for place, arm in enumerate(shown):
            bare = arm[0].removeprefix("other rate, ")
            style = STYLE.get(bare, STYLE["dynamic"])
            line(ax, [place], [by_seed(table, arms[arm])], None, **style)
            names.append(CHANGES.get(bare, bare))
            if bare != arm[0]:
                rate = "constant rate" if settings["decay"] else "decaying rate"
                names[-1] = rate if bare == "dynamic" else f"{rate}, {names[-1]}"
        ax.set_xticks(range(len(names)), names, rotation=90, fontsize=10.5)
        ax.set(ylabel=f"{judged_by(task)}, {fraction:.0%} kept", xlim=(-0.6, len(names) - 0.4))
    return chart
