"""Who is right, when: one factorial experiment over the things in which the papers differ.

Difficulty (the tasks) x label noise (``rates``) x kept fraction x budget, and in each cell four ways to keep.
"""

from datadiet.chapters.arms import pruned, scoring
from datadiet.chapters.settings import of_task

BUDGETS = ("epochs", "steps")
KEPT_BY = ("hardest", "middle", "easiest", "random")


def full(settings: dict, task: str, rate: float) -> list[dict]:
    """The full data with `rate` of its labels flipped; also the scoring runs."""
    return scoring(settings | {"noise": rate}, task)


def arm(settings: dict, task: str, rate: float, fraction: float, budget: str, rule: str) -> list[dict]:
    """One rule in one cell."""
    return pruned(settings | {"noise": rate}, task, rule, fraction, budget=budget)


def wanted(settings: dict) -> list[dict]:
    """Runs of the chapter "Who is right, when": every rule in every cell, and the full data."""
    out = []
    for task in settings["tasks"]:
        own = of_task(settings, task)
        for rate in own["rates"]:
            out += full(own, task, rate)
            for budget in BUDGETS:
                for rule in KEPT_BY:
                    for fraction in own["fractions"]:
                        out += arm(own, task, rate, fraction, budget, rule)
    return out
