"""Pruning fractions: which end to keep, how much, and at what budget?"""

import numpy as np
import pandas as pd

from datadiet import runs
from datadiet.chapters.arms import by_seed, kept_positions, pruned, scoring, stored
from datadiet.chapters.settings import of_task


def unfilled(settings: dict) -> list[float]:
    """Offsets at which some of the hardest are left where the very hardest go and nothing takes their place."""
    return [offset for offset in settings["offsets"] if offset < settings["fraction"]]


def shrunk(settings: dict, task: str, offset: float) -> list[dict]:
    """The arm that keeps the hardest without the very hardest `offset`, and is smaller by so much."""
    return pruned(settings, task, "hardest", round(settings["fraction"] - offset, 10), offset=offset)


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
        for offset in unfilled(own):
            out += shrunk(own, task, offset)
        for rule in ("middle", "stratified"):
            out += pruned(own, task, rule, own["fraction"])
        for rule in ("random", "hardest", "easiest"):
            out += pruned(own, task, rule, own["fraction"], budget="steps")
    return out


def accuracy(view, task: str, rule: str, fraction: float | None = None, **changes) -> pd.Series:
    """Test accuracy by seed of one arm of a view; `fraction` None: the share kept where another thing is varied."""
    own = of_task(view.settings, task)
    return by_seed(view.table, pruned(own, task, rule, fraction or own["fraction"], **changes))


def misclassified(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Share of the kept examples that the scoring runs get wrong, a row a task, rule, kept fraction and seed.

    ``wrong``: mean over the scoring runs that chose them, at the scoring point. ``all_wrong``: the same of all training examples.
    ``accuracy``: on the test split, after training on the kept examples; ``random``: on as many random ones.
    """
    rows = []
    for task in settings["tasks"]:
        own = of_task(settings, task)
        for rule in ("hardest", "easiest"):
            for fraction in sorted(own["fractions"]):
                arm = pruned(own, task, rule, fraction)
                reached, random = (by_seed(table, each) for each in (arm, pruned(own, task, "random", fraction)))
                for seed, run in stored(table, arm).items():
                    t = run["keep"]["source"]["score_at"].index(run["keep"]["at"])
                    recorded = [runs.store.arrays(runs.key(source)) for source in runs.scoring_runs(run)]
                    wrong = np.mean([each["logits"][t].argmax(1) != each["labels"] for each in recorded], axis=0)
                    rows.append({"task": task, "rule": rule, "fraction": fraction, "seed": seed, "all_wrong": wrong.mean(),
                                 "wrong": wrong[kept_positions(run)].mean(), "accuracy": reached[seed],
                                 "random": random.get(seed, np.nan)})
    return pd.DataFrame(rows, columns=["task", "rule", "fraction", "seed", "all_wrong", "wrong", "accuracy", "random"])
