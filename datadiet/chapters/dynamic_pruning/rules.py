"""Rules of the chapter "Dynamic pruning"."""

from datadiet.chapters.arms import by_seed
from datadiet.chapters.dynamic_pruning.runs import FULL, account, arms, static_at_cost_of_dynamic
from datadiet.chapters.parts import difference, part, per_task


def full(settings: dict, task: str) -> list[dict]:
    """Runs on the full data."""
    return arms(settings, task)[FULL]


def _gain(settings, table, task, one, other):
    """One arm minus another, by seed."""
    every = arms(settings, task)
    return difference(by_seed(table, every[one]), by_seed(table, every[other]))


def _against_full(settings, table, task, fraction, margins):
    gain = _gain(settings, table, task, ("dynamic", fraction), FULL)
    return [part(f"{task}: dynamic EL2N, {fraction:.0%} kept - full data", gain, above=margins["gain"])]


@per_task
def ndd_1(settings, table, task, margins):
    """The larger fraction keeps full accuracy."""
    return _against_full(settings, table, task, max(settings["fractions"]), margins)


@per_task
def ndd_2(settings, table, task, margins):
    """The smaller fraction costs about a point of accuracy."""
    return _against_full(settings, table, task, min(settings["fractions"]), margins)


@per_task
def ndd_3(settings, table, task, margins):
    """At equal total cost dynamic beats static."""
    found, parts = account(settings, table, task), []
    for f in sorted(settings["fractions"], reverse=True):
        gain = difference(found["dynamic", f]["accuracy"], static_at_cost_of_dynamic(settings, found, f))
        parts.append(part(f"{task}: dynamic EL2N, {f:.0%} kept - static at the same cost", gain, above=margins["gain"]))
    return parts


@per_task
def ndd_4(settings, table, task, margins):
    """A first phase on everything helps."""
    if 0 not in settings["warmups"]:  # a task may be without the arms that change one thing
        return []
    f, name = settings["ablation"], f"{task}: dynamic EL2N, {settings['ablation']:.0%} kept"
    epochs, updates = (_gain(settings, table, task, ("dynamic", f), (without, f))
                       for without in ("first phase of 0", "first phase of 0, equal updates"))
    full = f"{settings['warmup']} full epoch(s) first - none"
    return [
        part(f"{name}: {full}, same epochs", epochs, above=margins["same_epochs"]),
        part(f"{name}: {full}, same updates", updates, above=margins["same_updates"]),
    ]


@per_task
def ndd_5(settings, table, task, margins):
    """Smoothing helps."""
    if "smoothing" not in settings["ablations"]:
        return []
    f = settings["ablation"]
    gain = _gain(settings, table, task, ("cycles of 1, smoothed", f), ("cycles of 1", f))
    return [part(f"{task}: dynamic EL2N, {f:.0%} kept: smoothed - newest score", gain, above=margins["gain"])]


RULES = {"NDD-1": ndd_1, "NDD-2": ndd_2, "NDD-3": ndd_3, "NDD-4": ndd_4, "NDD-5": ndd_5}
