"""Rules of the chapter "Dynamic pruning"."""


from datadiet.chapters.arms import of_task
from datadiet.chapters.dynamic_pruning.runs import dynamic_arm, dynamic_costs, static_at_cost_of
from datadiet.chapters.parts import difference, part


def _on_costs(rule):
    """A rule written for one task and the account of all arms, applied to every task of the settings."""

    def on_all(settings, table):
        costs = dynamic_costs(settings, table)
        return [p for task in settings["tasks"] for p in rule(of_task(settings, task), costs, task)]

    return on_all


def _against_full(costs, task, fraction, margin):
    dynamic, full = dynamic_arm(costs, task, "dynamic", fraction), dynamic_arm(costs, task, "full")
    return [part(f"{task}: dynamic EL2N, {fraction:.0%} kept - full data", difference(dynamic, full), above=margin)]


@_on_costs
def ndd_1(settings, costs, task):
    """The larger fraction keeps full accuracy."""
    return _against_full(costs, task, max(settings["fractions"]), -0.005)


@_on_costs
def ndd_2(settings, costs, task):
    """The smaller fraction gives up about a point."""
    return _against_full(costs, task, min(settings["fractions"]), -0.015)


@_on_costs
def ndd_3(settings, costs, task):
    """At equal total cost dynamic beats static."""
    return [
        part(
            f"{task}: dynamic EL2N, {f:.0%} kept - static at the same cost",
            difference(
                dynamic_arm(costs, task, "dynamic", f), static_at_cost_of(settings, costs, task, f)
            ),
            above=0.0,
        )
        for f in sorted(settings["fractions"], reverse=True)
    ]


@_on_costs
def ndd_4(settings, costs, task):
    """A first phase on everything helps."""
    f = settings["ablation"]
    if 0 not in settings["warmups"]:  # a task may be without the arms that change one thing
        return []
    with_phase = dynamic_arm(costs, task, "dynamic", f)
    return [
        part(
            f"{task}: dynamic EL2N, {f:.0%} kept: {settings['warmup']} full epoch(s) first - none, {same}",
            difference(with_phase, dynamic_arm(costs, task, arm, f)),
            above=0.0,
        )
        for same, arm in (("same epochs", "tau 0"), ("same updates", "tau 0, equal updates"))
    ]


@_on_costs
def ndd_5(settings, costs, task):
    """Smoothing helps."""
    f = settings["ablation"]
    if "smoothing" not in settings["ablations"]:
        return []
    smoothed, plain = (dynamic_arm(costs, task, arm, f) for arm in ("every epoch, smoothed", "every epoch"))
    return [part(f"{task}: dynamic EL2N, {f:.0%} kept: smoothed - newest score", difference(smoothed, plain), above=0.0)]


RULES = {"NDD-1": ndd_1, "NDD-2": ndd_2, "NDD-3": ndd_3, "NDD-4": ndd_4, "NDD-5": ndd_5}
