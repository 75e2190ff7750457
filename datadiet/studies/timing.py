"""Score timing: when do scores start to mean something? Its runs, and how well scores agree."""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from datadiet import runs
from datadiet.prune import keep
from datadiet.studies.core import RETRAIN_AT, pruned, scoring


def score_timing(settings: dict) -> list[dict]:
    """Runs of the chapter "Score timing": when do scores start to mean something?"""
    out, fraction = [], settings["timing_fraction"]
    for task in settings["tasks"]:
        out += scoring(settings, task)
        out += pruned(settings, task, "random", fraction)
        for at in settings["score_at"]:
            out += pruned(settings, task, "hardest", fraction, at=at)
        out += pruned(settings, task, "random", fraction, balanced=True)
        for at in settings["score_at"]:
            out += pruned(settings, task, "hardest", fraction, at=at, balanced=True)
        out += pruned(settings, task, "hardest", fraction, single=True)
    return out


def scores_of(settings: dict, table: pd.DataFrame, task: str, name: str, at) -> np.ndarray:
    """Score `name` at `at` of the stored scoring runs, [S, N]."""
    found = set(table["key"]) if len(table) else set()
    return np.array([runs.score_values(run, name, at) for run in scoring(settings, task) if runs.key(run) in found])


def stored(settings: dict, table: pd.DataFrame):
    """(task, scoring point) pairs for which at least two scoring runs are in the table."""
    if not len(table):
        return
    for task in settings["tasks"]:
        if ((table["task"] == task) & (table["rule"] == "full")).sum() >= 2:
            yield from ((task, at) for at in settings["score_at"])


def agreement(settings: dict, table: pd.DataFrame, name: str = "el2n") -> pd.DataFrame:
    """Rank agreement of one run's scores with the other runs', per seed and scoring point.

    ``reliability``: Spearman's rho with the mean of the other runs at the same point. ``validity``: with the mean of the other
    runs at the last point. A stable but useless ranking has the first without the second.
    """
    rows = []
    for task, at in stored(settings, table):
        now, late = (
            scores_of(settings, table, task, name, at),
            scores_of(settings, table, task, name, settings["score_at"][-1]),
        )
        for seed in range(len(now)):
            others = np.arange(len(now)) != seed
            rows.append(
                {
                    "task": task,
                    "at": str(at),
                    "seed": seed,
                    "reliability": spearmanr(now[seed], now[others].mean(0))[0],
                    "validity": spearmanr(now[seed], late[others].mean(0))[0],
                }
            )
    return pd.DataFrame(rows)


def averaging(settings: dict, table: pd.DataFrame, at=RETRAIN_AT) -> pd.DataFrame:
    """Rank agreement between two disjoint averages of k runs, for every k and every way to draw them, EL2N at `at`."""
    rows = []
    for task in {task: None for task, _ in stored(settings, table)}:
        values = scores_of(settings, table, task, "el2n", at)
        for k in range(1, len(values) // 2 + 1):
            for left in combinations(range(len(values)), k):
                for right in combinations(sorted(set(range(len(values))) - set(left)), k):
                    if left < right:
                        rho = spearmanr(values[list(left)].mean(0), values[list(right)].mean(0))[0]
                        rows.append({"task": task, "k": k, "runs": left + right, "rho": rho})
    return pd.DataFrame(rows)


def skew(settings: dict, table: pd.DataFrame, fraction: float = 0.5) -> pd.DataFrame:
    """Class shares of the hardest `fraction` by each run's EL2N, and their total variation distance from the whole set's."""
    rows = []
    for task, at in stored(settings, table):
        full = table[(table["task"] == task) & (table["rule"] == "full")].iloc[0]
        labels, names = runs.store.arrays(full["key"])["labels"], full["label_names"]
        whole = np.bincount(labels, minlength=len(names))
        for seed, values in enumerate(scores_of(settings, table, task, "el2n", at)):
            chosen = np.bincount(labels[keep(values, fraction)], minlength=len(names))
            distance = np.abs(chosen / chosen.sum() - whole / whole.sum()).sum() / 2
            rows += [
                {"task": task, "at": str(at), "seed": seed, "skew": distance, "label": names[k], "kept_share": share}
                for k, share in enumerate(chosen / whole)
            ]
    return pd.DataFrame(rows)


def approximation(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """How close EL2N comes to GraNd, per seed and scoring point: head-only over the whole set, full over the recorded sample."""
    rows = []
    for task, at in stored(settings, table):
        el2n, head = (scores_of(settings, table, task, name, at) for name in ("el2n", "grand_head"))
        for seed in range(len(el2n)):
            held = runs.store.arrays(runs.key(scoring(settings, task)[seed]))
            row = {
                "task": task,
                "at": str(at),
                "seed": seed,
                "head_rho": spearmanr(el2n[seed], head[seed])[0],
                "head_overlap": np.isin(keep(el2n[seed], 0.5), keep(head[seed], 0.5)).mean(),
            }
            if "grand" in held:
                sample = held["grand_positions"]
                row["full_rho"] = spearmanr(el2n[seed][sample], held["grand"][settings["score_at"].index(at)])[0]
            rows.append(row)
    return pd.DataFrame(rows)
