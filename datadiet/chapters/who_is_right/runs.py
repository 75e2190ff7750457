"""Who is right, when: one factorial experiment over the settings in which the papers differ.

Difficulty (the tasks) x label noise (``rates``) x kept fraction x budget, and in each cell four ways to keep.
"""

from datadiet import runs
from datadiet.chapters.arms import pruned, scoring
from datadiet.chapters.settings import of_task

BUDGETS = ("epochs", "steps")
KEPT_BY = ("hardest", "middle", "easiest", "random")


def _drawn(settings: dict, run: dict, seed: int) -> dict:
    """The run on the draw of the training set that belongs to `seed`, where each seed has its own (``fresh``)."""
    if not settings["fresh"]:
        return run
    keep, source = run["keep"], (run["keep"] or {}).get("source")
    return runs.config(**run | {"draw": seed, "keep": keep | {"source": source | {"draw": seed}} if source else keep})


def full(settings: dict, task: str, rate: float) -> list[dict]:
    """The full data with `rate` of its labels flipped."""
    return [_drawn(settings, run, run["seed"]) for run in scoring(settings | {"noise": rate}, task)]


def scorers(settings: dict, task: str, rate: float) -> list[dict]:
    """The scoring runs: those on the full data, and where draws are fresh, the other seeds' on each draw."""
    seeds = range(settings["seeds"] if settings["fresh"] else 1)
    return [_drawn(settings, run, seed) for seed in seeds for run in scoring(settings | {"noise": rate}, task)]


def arm(settings: dict, task: str, rate: float, fraction: float, budget: str, rule: str) -> list[dict]:
    """One rule in one cell."""
    return [_drawn(settings, run, run["seed"]) for run in pruned(settings | {"noise": rate}, task, rule, fraction, budget=budget)]


def wanted(settings: dict) -> list[dict]:
    """Runs of the chapter "Who is right, when": every rule in every cell, and the full data."""
    out = []
    for task in settings["tasks"]:
        own = of_task(settings, task)
        for rate in own["rates"]:
            out += scorers(own, task, rate)
            for budget in BUDGETS:
                for rule in KEPT_BY:
                    for fraction in own["fractions"]:
                        out += arm(own, task, rate, fraction, budget, rule)
    return out
