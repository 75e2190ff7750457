"""Weak pool: which examples that a weak model labelled should be added to a small training set? The runs, and the additions."""

import math
from itertools import combinations

import numpy as np
import pandas as pd

from datadiet import runs
from datadiet.chapters.arms import arrays_by_seed, base, by_seed, without_seed
from datadiet.chapters.settings import of_task
from datadiet.training import growth

LABELS = ("hypotheses", "truth")  # of the added examples: the weak model's, or, for an oracle, the true ones
ERRORS = {"intent": "test_accuracy", "frame": "test_frame_accuracy"}  # a frame is wrong when its intent or any slot is
FACTS = {"added_label_error": "wrong intent", "added_frame_error": "anything wrong", "added_words": "words"}


def weak(settings: dict, task: str) -> list[dict]:
    """The weak models: trained on the seed set alone, recorded on everything at the end."""
    settings = of_task(settings, task)
    end = settings["epochs"] * math.ceil(settings["start"] / settings["batch_size"])
    own = base(settings, task) | {"score_at": [end], "pool": {"start": settings["start"]}}
    return [runs.config(**own, seed=seed) for seed in range(settings["seeds"])]


def grown(settings: dict, task: str, by: str, labels: str = "hypotheses") -> list[dict]:
    """The arm that adds the examples chosen by `by`, with these `labels`; each seed has its own weak model."""
    settings = of_task(settings, task)
    pool = {"start": settings["start"], "by": by, "confident": settings["confident"], "add": settings["add"], "labels": labels,
            "source": without_seed(weak(settings, task)[0])}
    return [runs.config(**base(settings, task), seed=seed, pool=pool) for seed in range(settings["seeds"])]


def wanted(settings: dict) -> list[dict]:
    """Runs of the chapter "Weak pool"."""
    out = []
    for task in settings["tasks"]:
        out += weak(settings, task)
        for by in of_task(settings, task)["choices"]:
            for labels in LABELS:
                out += grown(settings, task, by, labels)
    return out


def error(table: pd.DataFrame, arm: list[dict], kind: str = "intent") -> pd.Series:
    """Share of wrong intents, or of wrong frames, on the test set by seed, for the stored runs of an arm."""
    return 1 - by_seed(table, arm, ERRORS[kind])


def added(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Wrong hypotheses and mean length of the examples that each way of choosing adds, a row for each task, way and seed."""
    rows = []
    for task in settings["tasks"]:
        for by in of_task(settings, task)["choices"]:
            arm = grown(settings, task, by)
            facts = pd.DataFrame({words: by_seed(table, arm, name) for name, words in FACTS.items()})
            rows += [{"task": task, "by": by, "seed": seed} | row for seed, row in facts.to_dict("index").items()]
    return pd.DataFrame(rows, columns=["task", "by", "seed", *FACTS.values()])


def overlap(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Share of the added examples that two ways of choosing have in common, a row for each task, pair and seed."""
    rows = []
    for task in settings["tasks"]:
        choices = of_task(settings, task)["choices"]
        pools = {by: grown(settings, task, by)[0]["pool"] for by in choices}
        for seed, recorded in arrays_by_seed(table, weak(settings, task)).items():
            chosen = {by: growth.chosen(recorded, pools[by], seed) for by in choices}
            rows += [{"task": task, "seed": seed, "one": one, "other": other,
                      "overlap": np.isin(chosen[one], chosen[other]).mean()} for one, other in combinations(choices, 2)]
    return pd.DataFrame(rows, columns=["task", "seed", "one", "other", "overlap"])
