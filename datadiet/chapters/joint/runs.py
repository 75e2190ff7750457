"""Joint pruning: does EL2N carry over to an intent and slots at once, and in which form?"""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from datadiet import runs
from datadiet.chapters.arms import RETRAIN_AT, base, pruned, scoring
from datadiet.prune import keep

FORMS = ("joint_norm", "joint_sum", "joint_mean", "joint_rms", "el2n")  # the last looks at the intent alone
MEASURES = {"intent": "accuracy", "span_f1": "span_f1", "tags": "tag_accuracy", "frame": "frame_accuracy", "unseen": "unseen"}


def joint_arms(settings: dict, task: str) -> dict[tuple, list[dict]]:
    """The arms of a task: (name, kept fraction) -> its runs, a seed each.

    "full"; at each fraction "random", the hardest by each form of ``settings["scores"]``, "dynamic" (hardest by the stacked norm,
    chosen anew in each cycle) and "random dynamic"; at the largest fraction "easiest", by the stacked norm.
    """
    fractions = settings["tasks"][task]
    arms = {("full", 1.0): scoring(settings, task)}
    for f in fractions:
        arms[("random", f)] = pruned(settings, task, "random", f)
        for form in settings["scores"]:
            arms[(form, f)] = pruned(settings, task, "hardest", f, score=form)
        for name, rule in (("dynamic", "hardest"), ("random dynamic", "random")):
            cycles = {"rule": rule, "fraction": f, "warmup": settings["warmup"], "every": settings["every"]}
            arms[(name, f)] = [
                runs.config(**base(settings, task), seed=seed, schedule=cycles) for seed in range(settings["seeds"])
            ]
    arms[("easiest", max(fractions))] = pruned(settings, task, "easiest", max(fractions), score="joint_norm")
    return arms


def joint_pruning(settings: dict) -> list[dict]:
    """Runs of the chapter "Joint tasks"."""
    return [run for task in settings["tasks"] for arm in joint_arms(settings, task).values() for run in arm]


def joint_results(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """What each stored run reached on the test set, a row for each task, arm and seed.

    ``intent``: accuracy. ``span_f1``: of the slots. ``tags``: share of right tags, "O" included. ``frame``: share of utterances
    whose intent and slots are all right. ``unseen``: share with a label that is nowhere in training.
    """
    held, rows = {row["key"]: row for row in table.to_dict("records")}, []
    for task in settings["tasks"]:
        for (name, fraction), configs in joint_arms(settings, task).items():
            for run in configs:
                if (seen := held.get(runs.key(run))) is not None:
                    found = {ours: seen[f"test_{theirs}"] for ours, theirs in MEASURES.items()}
                    rows.append({"task": task, "arm": name, "fraction": fraction, "seed": run["seed"]} | found)
    return pd.DataFrame(rows, columns=["task", "arm", "fraction", "seed", *MEASURES])


def joint_result(results: pd.DataFrame, task: str, name: str, fraction: float = 1.0, what: str = "frame") -> pd.Series:
    """One column of :func:`joint_results` by seed; empty where none of the arm's runs is stored."""
    rows = results[(results["task"] == task) & (results["arm"] == name) & (results["fraction"] == fraction)]
    return rows.set_index("seed")[what].sort_index()


def joint_lengths(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """What each form of the score has to do with length and class, a row for each task, seed, form and fraction.

    ``rho``: Spearman's, of one run's scores and the lengths. ``kept_words``: mean length of the hardest share by them.
    ``all_words``: of the whole training set. ``kept_common`` and ``all_common``: shares of the commonest intent in the two.
    """
    found, rows = set(table["key"]) if len(table) else set(), []
    for task, fractions in settings["tasks"].items():
        for run in scoring(settings, task):
            if runs.key(run) not in found:
                continue
            held = runs.store.arrays(runs.key(run))
            words, common = held["words"][0], held["labels"] == np.bincount(held["labels"]).argmax()
            for form in FORMS:
                values = runs.score_values(run, form, RETRAIN_AT)
                row = {"task": task, "seed": run["seed"], "form": form, "rho": spearmanr(values, words)[0]}
                for f in fractions:
                    kept = keep(values, f)
                    lengths = {"kept_words": words[kept].mean(), "all_words": words.mean()}
                    shares = {"kept_common": common[kept].mean(), "all_common": common.mean()}
                    rows.append(row | {"fraction": f} | lengths | shares)
    columns = ["task", "seed", "form", "rho", "fraction", "kept_words", "all_words", "kept_common", "all_common"]
    return pd.DataFrame(rows, columns=columns)
