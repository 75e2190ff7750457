"""Figures of the chapter "Pruning fractions"."""

import matplotlib.pyplot as plt

from datadiet import studies
from datadiet.figures.core import View, legend, level, line, panels


def accuracy_by_fraction(sides: list[View]):
    """Test accuracy against the kept fraction: hardest, hardest of each class, easiest and random; the full data as a level."""
    for ax, view, task in panels(sides):
        fractions = sorted(view.settings["tasks"][task])
        for rule, balanced, name in (
            ("random", False, "random"),
            ("hardest", False, "hardest"),
            ("hardest", True, "hardest of each class"),
            ("easiest", False, "easiest"),
        ):
            at = {} if rule == "random" else {"at": studies.RETRAIN_AT}
            line(
                ax,
                fractions,
                [studies.arm(view.table, task, rule, fraction=f, balanced=balanced, **at) for f in fractions],
                name,
            )
        level(ax, studies.arm(view.table, task, "full"), "full data")
        ax.set_xscale("log")
        ax.set_xticks(fractions, [f"{f:.0%}" for f in fractions])
        ax.minorticks_off()
        ax.set(xlabel="kept fraction (log scale)", ylabel="test accuracy")
        legend(ax)
    return plt.gcf()


def windows(sides: list[View]):
    """Test accuracy when the very hardest are skipped first, at one size: the window slides down the ranking."""
    for ax, view, task in panels(sides):
        settings = studies.of_task(view.settings, task)
        fraction, offsets = settings["timing_fraction"], [0.0, *settings["offsets"]]
        at = {"fraction": fraction, "at": studies.RETRAIN_AT}
        line(
            ax,
            range(len(offsets)),
            [studies.arm(view.table, task, "hardest", offset=o, **at) for o in offsets],
            "hardest",
        )
        for place, rule in enumerate(("middle", "stratified", "easiest"), start=len(offsets)):
            line(ax, [place], [studies.arm(view.table, task, rule, **at)], rule)
        level(ax, studies.arm(view.table, task, "random", fraction=fraction), "random")
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
    for ax, view, task in panels(sides):
        fraction = studies.of_task(view.settings, task)["timing_fraction"]
        for rule in ("random", "hardest", "easiest"):
            at = {} if rule == "random" else {"at": studies.RETRAIN_AT}
            arms = [
                studies.arm(view.table, task, rule, fraction=fraction, budget=budget, **at)
                for budget in ("epochs", "steps")
            ]
            line(ax, range(2), arms, rule)
        level(ax, studies.arm(view.table, task, "full"), "full data")
        ax.set_xticks(range(2), ["equal epochs", "equal steps"])
        ax.set(
            xlim=(-0.4, 1.4),
            xlabel="training budget",
            ylabel=f"test accuracy, {fraction:.0%} kept",
        )
        legend(ax)
    return plt.gcf()
