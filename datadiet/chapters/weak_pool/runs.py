"""Weak pool: which of many examples that a weak model labelled should be added to a small training set?"""

import math
from itertools import combinations

import numpy as np
import pandas as pd

from datadiet import runs
from datadiet.chapters.arms import base
from datadiet.training import growth


def weak_runs(settings: dict, task: str) -> list[dict]:
    """The weak models of a task, a seed each: trained on the seed set alone, recorded on everything at the end."""
    end = settings["epochs"] * math.ceil(settings["start"] / settings["batch_size"])
    own = base(settings, task) | {"score_at": [end], "pool": {"start": settings["start"]}}
    return [runs.config(**own, seed=seed) for seed in range(settings["seeds"])]


def pool_arms(settings: dict, task: str) -> dict[tuple, list[dict]]:
    """The arms of a task: (chosen by, labels) -> its runs, a seed each.

    ("nothing", "truth") is the weak model itself. Each way of ``settings["choices"]`` is trained with "hypotheses" as labels, and
    again with the "truth" of the same examples.
    """
    weak = weak_runs(settings, task)
    source = {name: value for name, value in weak[0].items() if name != "seed"}
    arms = {("nothing", "truth"): weak}
    for by in settings["choices"]:
        for labels in ("hypotheses", "truth"):
            grown = {"start": settings["start"], "by": by, "confident": settings["confident"], "add": settings["add"]}
            grown |= {"labels": labels, "source": source}
            arms[(by, labels)] = [runs.config(**base(settings, task), seed=run["seed"], pool=grown) for run in weak]
    return arms


def weak_pool(settings: dict) -> list[dict]:
    """Runs of the chapter "Weak pool"."""
    return [run for task in settings["tasks"] for arm in pool_arms(settings, task).values() for run in arm]


def pool_results(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Errors of each stored run on the test set and facts of what it added, a row for each task, arm and seed.

    ``intent_error``: share of wrong intents. ``frame_error``: share of utterances with a wrong intent or slot.
    ``added_label_error`` and ``added_frame_error``: the same of the hypotheses that were chosen; ``added_words``: their length.
    """
    held, rows = {row["key"]: row for row in table.to_dict("records")}, []
    facts = ["added_label_error", "added_frame_error", "added_words"]
    for task in settings["tasks"]:
        for (by, labels), configs in pool_arms(settings, task).items():
            for run in configs:
                if (seen := held.get(runs.key(run))) is not None:
                    errors = {"intent_error": 1 - seen["test_accuracy"], "frame_error": 1 - seen["test_frame_accuracy"]}
                    row = {"task": task, "by": by, "labels": labels, "seed": run["seed"]} | errors
                    rows.append(row | {name: seen.get(name, np.nan) for name in facts})
    return pd.DataFrame(rows, columns=["task", "by", "labels", "seed", "intent_error", "frame_error", *facts])


def pool_result(results: pd.DataFrame, task: str, by: str, labels: str = "hypotheses", what: str = "intent_error") -> pd.Series:
    """One column of :func:`pool_results` by seed; empty where none of the arm's runs is stored."""
    rows = results[(results["task"] == task) & (results["by"] == by) & (results["labels"] == labels)]
    return rows.set_index("seed")[what].sort_index()


def pool_overlap(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Share of the added examples that two ways of choosing have in common, a row for each task, pair and seed."""
    found, rows = set(table["key"]) if len(table) else set(), []
    for task in settings["tasks"]:
        arms = pool_arms(settings, task)
        for weak in arms[("nothing", "truth")]:
            if runs.key(weak) not in found:
                continue
            held, seed = runs.store.arrays(runs.key(weak)), weak["seed"]
            sets = {by: growth.chosen(held, arms[(by, "truth")][0]["pool"], seed) for by in settings["choices"]}
            rows += [
                {"task": task, "seed": seed, "one": a, "other": b, "overlap": np.isin(sets[a], sets[b]).mean()}
                for a, b in combinations(settings["choices"], 2)
            ]
    return pd.DataFrame(rows, columns=["task", "seed", "one", "other", "overlap"])
