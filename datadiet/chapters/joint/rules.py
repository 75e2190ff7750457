"""Rules of the chapter "Joint tasks"."""


from datadiet.chapters.joint.runs import joint_result, joint_results
from datadiet.chapters.parts import difference, part


def ndd_6(settings, table):
    """The stacked norm prunes a joint task as well as EL2N prunes classification."""
    results, parts = joint_results(settings, table), []
    for task, fractions in settings["tasks"].items():
        f = max(fractions)
        hardest, random = (joint_result(results, task, arm, f) for arm in ("joint_norm", "random"))
        name = f"{task}: hardest by the stacked norm - random, {f:.0%} kept: exact frames"
        parts.append(part(name, difference(hardest, random), above=-0.01))
        for what, name in (("intent", "intent accuracy"), ("span_f1", "span F1")):
            dynamic = joint_result(results, task, "dynamic", f, what)
            full = joint_result(results, task, "full", what=what)
            parts.append(part(f"{task}: dynamic, {f:.0%} kept - full data: {name}", difference(dynamic, full), above=-0.005))
    return parts


RULES = {"NDD-6": ndd_6}
