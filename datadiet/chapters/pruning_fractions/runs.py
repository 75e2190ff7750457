"""Pruning fractions: which end to keep, how much, and at what budget?"""

import pandas as pd

from datadiet.chapters.arms import by_seed, pruned, scoring
from datadiet.chapters.settings import of_task


def wanted(settings: dict) -> list[dict]:
    """Runs of the chapter "Pruning fractions"."""
    out = []
    for task in settings["tasks"]:
        own = of_task(settings, task)
        out += scoring(own, task)
        for fraction in own["fractions"]:
            for rule in ("random", "hardest", "easiest"):
                out += pruned(own, task, rule, fraction)
            out += pruned(own, task, "hardest", fraction, balanced=True)
        for offset in own["offsets"]:
            out += pruned(own, task, "hardest", own["fraction"], offset=offset)
        for rule in ("middle", "stratified"):
            out += pruned(own, task, rule, own["fraction"])
        for rule in ("random", "hardest", "easiest"):
            out += pruned(own, task, rule, own["fraction"], budget="steps")
    return out


def accuracy(view, task: str, rule: str, fraction: float | None = None, **changes) -> pd.Series:
    """Test accuracy by seed of one arm of a view; `fraction` None: the share kept where another thing is varied."""
    own = of_task(view.settings, task)
    return by_seed(view.table, pruned(own, task, rule, fraction or own["fraction"], **changes))
