"""Figures of the chapter "Dynamic pruning"."""

import matplotlib.pyplot as plt
import seaborn as sns

from datadiet.chapters.arms import of_task
from datadiet.chapters.drawing import View, judged_by, legend, line, panels, t95
from datadiet.chapters.dynamic_pruning.runs import dynamic_arm, dynamic_arms, dynamic_costs
from datadiet.chapters.parts import difference

ARMS = {  # arm -> what a reader sees
    "dynamic": "dynamic EL2N",
    "random dynamic": "random, anew each cycle",
    "static, one run": "static EL2N, one run",
    "static": "static EL2N, averaged",
    "random static": "random, fixed",
    "soft": "soft pruning",
    "full": "full data",
}
COLOURS = dict(zip(ARMS, [*sns.color_palette("colorblind", 6), (0.35, 0.35, 0.35)], strict=True))
MARKERS = dict(zip(ARMS, "oPsDX^*", strict=True))


def _points(ax, costs, task, name, fractions, what):
    """An arm's accuracy at its mean cost, one point a kept fraction."""
    line(
        ax,
        [dynamic_arm(costs, task, name, f, what).mean() for f in fractions],
        [dynamic_arm(costs, task, name, f) for f in fractions],
        ARMS[name],
        color=COLOURS[name],
        marker=MARKERS[name],
    )


def _frontier(sides, what, xlabel):
    for ax, view, task in panels(sides):
        costs = dynamic_costs(view.settings, view.table)
        for name in ARMS:
            fractions = of_task(view.settings, task)["fractions"]
            _points(ax, costs, task, name, [1.0] if name in ("full", "soft") else fractions, what)
        ax.set(xlabel=xlabel, ylabel=judged_by(task), xlim=(0, None))
        legend(ax, -0.24)  # many arms make the axes low, the label reaches further
    return plt.gcf()


def frontier(sides: list[View]):
    """Test accuracy against all that was computed for it, in forward units, as a share of training on everything."""
    return _frontier(sides, "cost", "forward units, scoring included (full data: 1)")


def frontier_in_seconds(sides: list[View]):
    """Test accuracy against the time it took, training and scoring."""
    return _frontier(sides, "seconds", "seconds of training and scoring")


def against_random(sides: list[View]):
    """What choosing by EL2N adds to a random subset with the same sizes, updates and schedule, seed by seed."""
    pairs = {"dynamic": "random dynamic", "static": "random static", "static, one run": "random static"}
    for ax, view, task in panels(sides):
        fractions = sorted(of_task(view.settings, task)["fractions"])
        costs = dynamic_costs(view.settings, view.table)
        for place, (name, twin) in enumerate(pairs.items()):
            gains = [
                difference(dynamic_arm(costs, task, name, f), dynamic_arm(costs, task, twin, f))
                for f in fractions
            ]
            shifted = [at + 0.1 * (place - 1) for at in range(len(fractions))]
            line(ax, shifted, gains, ARMS[name], color=COLOURS[name], marker=MARKERS[name], ls="none")
        ax.axhline(0, color="0.6", lw=0.8)
        ax.set_xticks(range(len(fractions)), [f"{f:.0%}" for f in fractions])
        ax.set(xlim=(-0.5, len(fractions) - 0.5), xlabel="kept fraction", ylabel=f"{judged_by(task)} over its random twin")
        legend(ax)
    return plt.gcf()


def _names(settings, task) -> dict[str, str]:
    """Arms of a task that change one thing of dynamic EL2N -> what the axis says; those the settings leave out are not there."""
    settings = of_task(settings, task)
    rate = "constant rate" if settings["decay"] else "decaying rate"
    said = {"tau 0": "no first phase", "tau 0, equal updates": "equal updates"}
    said |= {f"tau {tau}": f"first phase of {tau}" for tau in settings["warmups"] if tau}
    said |= {"every epoch": "cycles of 1", "every epoch, smoothed": "smoothed too", "dropout on": "dropout in scoring"}
    said |= {"scored in training": "scored in training"}
    said |= {"other rate, dynamic": rate, "other rate, random dynamic": "random", "other rate, full": "full data"}
    there = {name for name, _ in dynamic_arms(settings, task)}
    first = {"dynamic": "as it is", "random dynamic": "random", "full": "full data"}
    return first | {name: text for name, text in said.items() if name in there}


def _changed(view: View, task: str) -> bool:
    """Whether the task has arms that change one thing."""
    own = of_task(view.settings, task)
    return bool(own["warmups"] or own["ablations"])


def one_change(sides: list[View]):
    """Dynamic EL2N with one thing changed at a time, at one kept fraction; the band is the method as it is."""
    for ax, view, task in panels(sides, _changed):
        costs, names = dynamic_costs(view.settings, view.table), _names(view.settings, task)
        fraction = of_task(view.settings, task)["ablation"]
        for place, name in enumerate(names):
            shown = "random dynamic" if "random" in name else "full" if "full" in name else "dynamic"
            line(
                ax,
                [place],
                [dynamic_arm(costs, task, name, 1.0 if shown == "full" else fraction)],
                None,
                color=COLOURS[shown],
                marker=MARKERS[shown],
            )
        as_it_is = dynamic_arm(costs, task, "dynamic", fraction)
        if len(as_it_is):
            ax.axhspan(*t95(as_it_is), color=COLOURS["dynamic"], alpha=0.12, lw=0)
        ax.set_xticks(range(len(names)), names.values(), rotation=90, fontsize="small")
        ax.set(ylabel=f"{judged_by(task)}, {fraction:.0%} kept", xlim=(-0.6, len(names) - 0.4))
    return plt.gcf()
