"""Pruning fractions: which end to keep, how much, and at what budget?"""

from datadiet.studies.core import of_task, pruned, scoring


def pruning_fractions(settings: dict) -> list[dict]:
    """Runs of the chapter "Pruning fractions": which end to keep, how much, and at what budget?"""
    out, of_all = [], settings
    for task, fractions in of_all["tasks"].items():
        settings = of_task(of_all, task)
        middle = settings["timing_fraction"]
        out += scoring(settings, task)
        for rule in ("random", "hardest", "easiest"):
            for fraction in fractions:
                out += pruned(settings, task, rule, fraction)
        for fraction in fractions:
            out += pruned(settings, task, "hardest", fraction, balanced=True)
        for offset in settings["offsets"]:
            out += pruned(settings, task, "hardest", middle, offset=offset)
        for rule in ("middle", "stratified"):
            out += pruned(settings, task, rule, middle)
        for rule in ("random", "hardest", "easiest"):
            out += pruned(settings, task, rule, middle, budget="steps")
    return out
