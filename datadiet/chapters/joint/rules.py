"""Rules of the chapter "Joint tasks"."""

from datadiet.chapters.joint.runs import arm, result
from datadiet.chapters.parts import difference, part, per_task


def full(settings: dict, task: str) -> list[dict]:
    """Runs on the full data."""
    return arm(settings, task, "full")


@per_task
def ndd_6(settings, table, task, margins):
    """The stacked norm prunes a joint task as well as EL2N prunes classification."""
    largest = max(settings["fractions"])
    hardest, random = (result(settings, table, task, name, largest) for name in ("joint_norm", "random"))
    parts = [part(f"{task}: hardest by the stacked norm - random, {largest:.0%} kept: exact frames", difference(hardest, random),
                  above=margins["static"])]
    for measure, words in (("intent", "intent accuracy"), ("span_f1", "span F1")):
        dynamic = result(settings, table, task, "dynamic", largest, measure)
        full = result(settings, table, task, "full", measure=measure)
        parts.append(part(f"{task}: dynamic, {largest:.0%} kept - full data: {words}", difference(dynamic, full),
                          above=margins["dynamic"]))
    return parts


RULES = {"NDD-6": ndd_6}
