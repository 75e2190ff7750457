"""Who is right, when: one factorial experiment over the things in which the papers differ.

Difficulty (the tasks) x label noise (``rates``) x kept fraction (of each task) x budget, and in each cell four ways to keep.
"""

import pandas as pd

from datadiet.chapters.arms import RETRAIN_AT, arm, pruned, scoring
from datadiet.chapters.label_noise.runs import at_rate

BUDGETS = ("epochs", "steps")
KEPT_BY = ("hardest", "middle", "easiest", "random")


def who_is_right(settings: dict) -> list[dict]:
    """Runs of the chapter "Who is right, when": every rule in every cell, and the scoring runs, which are the full data."""
    out = []
    for task, fractions in settings["tasks"].items():
        for rate in settings["rates"]:
            noisy = at_rate(settings, rate)
            out += scoring(noisy, task)
            for budget in BUDGETS:
                for rule in KEPT_BY:
                    for fraction in fractions:
                        out += pruned(noisy, task, rule, fraction, budget=budget)
    return out


def in_cell(table: pd.DataFrame, task: str, rate: float, fraction: float, budget: str, rule: str) -> pd.Series:
    """Test accuracy by seed of one rule in one cell."""
    at = {} if rule == "random" else {"at": RETRAIN_AT}
    return arm(table, task, rule, noise=rate, fraction=fraction, budget=budget, **at)
