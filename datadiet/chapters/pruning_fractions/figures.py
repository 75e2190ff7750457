"""Figures of the chapter "Pruning fractions"."""


from datadiet.chapters.arms import by_seed, pruned, scoring
from datadiet.chapters.drawing import level, line, panels
from datadiet.chapters.pruning_fractions import runs
from datadiet.chapters.views import View


def accuracy_by_fraction(views: list[View], aside=()):
    """Test accuracy against the kept fraction: hardest, hardest of each class, easiest and random; the full data as a level."""
    chart = panels(views, aside=aside)
    for ax, settings, table, task in chart:
        fractions = sorted(settings["fractions"])
        for rule, balanced, name in (
            ("random", False, "random"),
            ("hardest", False, "hardest"),
            ("hardest", True, "hardest of each class"),
            ("easiest", False, "easiest"),
        ):
            line(ax, fractions, [by_seed(table, pruned(settings, task, rule, f, balanced=balanced)) for f in fractions], name)
        level(ax, by_seed(table, scoring(settings, task)), "full data")
        ax.set_xscale("log")
        ax.set_xticks(fractions, [f"{f:.0%}" for f in fractions])
        ax.minorticks_off()
        ax.set(xlabel="kept share (log scale)", ylabel="test accuracy")
    return chart


def windows(views: list[View], aside=()):
    """Test accuracy when the very hardest are skipped first, at one size: the window slides down the ranking."""
    chart = panels(views, aside=aside)
    for ax, settings, table, task in chart:
        fraction, offsets = settings["fraction"], [0.0, *settings["offsets"]]
        arms = [pruned(settings, task, "hardest", fraction, offset=offset) for offset in offsets]
        line(ax, range(len(offsets)), [by_seed(table, arm) for arm in arms], "hardest")
        smaller = [runs.shrunk(settings, task, offset) for offset in runs.unfilled(settings)]
        places = [offsets.index(offset) + 0.15 for offset in runs.unfilled(settings)]
        line(ax, places, [by_seed(table, arm) for arm in smaller], "hardest, not refilled", color="0.35", marker="x", ls=":")
        others = ("middle", "stratified", "easiest")
        for place, rule in enumerate(others, start=len(offsets)):
            line(ax, [place], [by_seed(table, pruned(settings, task, rule, fraction))], rule)
        level(ax, by_seed(table, pruned(settings, task, "random", fraction)), "random")
        names = [*(f"skip {offset:.0%}" for offset in offsets), *others]
        ax.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
        ax.set(xlabel="examples kept", ylabel=f"test accuracy, {fraction:.0%} kept")
    return chart


def budgets(views: list[View], aside=()):
    """The same subsets at equal epochs (fewer updates) and at equal steps (as many updates as the full data)."""
    chart = panels(views, aside=aside)
    for ax, settings, table, task in chart:
        fraction, budgets = settings["fraction"], ("epochs", "steps")
        for rule in ("random", "hardest", "easiest"):
            line(ax, range(2), [by_seed(table, pruned(settings, task, rule, fraction, budget=each)) for each in budgets], rule)
        level(ax, by_seed(table, scoring(settings, task)), "full data")
        ax.set_xticks(range(2), [f"equal {each}" for each in budgets])
        ax.set(xlim=(-0.4, 1.4), xlabel="training budget", ylabel=f"test accuracy, {fraction:.0%} kept")
    return chart
