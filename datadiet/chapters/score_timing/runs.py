"""Score timing: when do scores start to mean something? Its runs, and how well scores agree."""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from datadiet.chapters.arms import arrays_by_seed, class_skew, mean_of_others, pruned, scores_by_seed, scoring, stored
from datadiet.chapters.settings import RETRAIN_AT, of_task
from datadiet.prune import keep


def hardest(settings: dict, task: str, at=RETRAIN_AT, **changes) -> list[dict]:
    """The arm that keeps the hardest by EL2N at the scoring point `at`."""
    return pruned(settings, task, "hardest", settings["fraction"], at=at, **changes)


def random(settings: dict, task: str, **changes) -> list[dict]:
    """Random subsets of the same size."""
    return pruned(settings, task, "random", settings["fraction"], **changes)


USABLE, FIRST_STEPS = 0.7, 30  # share kept at which the paper has the hardest win, and the last early step: those of BDD-2


def early(settings: dict, steps: int = FIRST_STEPS) -> list[int]:
    """Scoring points among the first `steps` steps."""
    return [at for at in settings["score_at"] if isinstance(at, int) and at <= steps]


def wanted(settings: dict) -> list[dict]:
    """Runs of the chapter "Score timing"."""
    out = []
    for task in settings["tasks"]:
        own = of_task(settings, task)
        out += scoring(own, task)
        for balanced in (False, True):
            out += random(own, task, balanced=balanced)
            for at in own["score_at"]:
                out += hardest(own, task, at, balanced=balanced)
        out += hardest(own, task, single=True)
        much = own | {"fraction": USABLE}
        out += random(much, task) + [run for at in (*early(own), RETRAIN_AT) for run in hardest(much, task, at)]
    return out


def _points(settings: dict, table: pd.DataFrame):
    """(settings, task, scoring point) for every task of which at least two scoring runs are in the table."""
    for task in settings["tasks"]:
        own = of_task(settings, task)
        if len(stored(table, scoring(own, task))) >= 2:
            yield from ((own, task, at) for at in own["score_at"])


def agreement(settings: dict, table: pd.DataFrame, name: str = "el2n") -> pd.DataFrame:
    """Rank agreement of one run's scores with the other runs', per seed and scoring point.

    ``reliability``: Spearman's rho with the mean of the other runs at the same point. ``validity``: with the mean of the other
    runs at the last point. A stable but useless ranking has the first without the second.
    """
    rows = []
    for own, task, at in _points(settings, table):
        now, late = (scores_by_seed(table, scoring(own, task), name, point) for point in (at, own["score_at"][-1]))
        for seed, values in now.items():
            rho = {"reliability": spearmanr(values, mean_of_others(now, seed))[0],
                   "validity": spearmanr(values, mean_of_others(late, seed))[0]}
            rows.append({"task": task, "at": str(at), "seed": seed} | rho)
    return pd.DataFrame(rows, columns=["task", "at", "seed", "reliability", "validity"])


def averaging(settings: dict, table: pd.DataFrame, at=RETRAIN_AT) -> pd.DataFrame:
    """Rank agreement between two disjoint averages of k runs, for every k and every way to draw them, EL2N at `at`."""
    rows = []
    for task in settings["tasks"]:
        values = scores_by_seed(table, scoring(of_task(settings, task), task), "el2n", at)
        for k in range(1, len(values) // 2 + 1):
            for left in combinations(values, k):
                for right in combinations([seed for seed in values if seed not in left], k):
                    if left < right:
                        means = [np.mean([values[seed] for seed in half], axis=0) for half in (left, right)]
                        rows.append({"task": task, "k": k, "seeds": left + right, "rho": spearmanr(*means)[0]})
    return pd.DataFrame(rows, columns=["task", "k", "seeds", "rho"])


def skew(settings: dict, table: pd.DataFrame, fraction: float = 0.5) -> pd.DataFrame:
    """Class shares of the hardest `fraction` by each run's EL2N, and their total variation distance from the whole set's."""
    rows = []
    for own, task, at in _points(settings, table):
        arm = scoring(own, task)
        labels = next(iter(arrays_by_seed(table, arm).values()))["labels"]
        names = table.loc[table["task"] == task, "label_names"].iloc[0]
        whole = np.bincount(labels, minlength=len(names))
        for seed, values in scores_by_seed(table, arm, "el2n", at).items():
            kept = keep(values, fraction)
            row = {"task": task, "at": str(at), "seed": seed, "skew": class_skew(labels, kept)}
            shares = np.bincount(labels[kept], minlength=len(names)) / whole
            rows += [row | {"label": name, "kept_share": share} for name, share in zip(names, shares, strict=True)]
    return pd.DataFrame(rows, columns=["task", "at", "seed", "skew", "label", "kept_share"])


def approximation(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """How close EL2N comes to GraNd, per seed and scoring point.

    ``head_rho``: Spearman's rho with GraNd of the head; ``head_overlap``: what their hardest halves share; ``full_rho``: rho with
    GraNd over all parameters, on the recorded sample, NaN where there is none.
    """
    rows = []
    for own, task, at in _points(settings, table):
        arm, t = scoring(own, task), own["score_at"].index(at)
        el2n, head = (scores_by_seed(table, arm, name, at) for name in ("el2n", "grand_head"))
        for seed, recorded in arrays_by_seed(table, arm).items():
            row = {"task": task, "at": str(at), "seed": seed, "head_rho": spearmanr(el2n[seed], head[seed])[0],
                   "head_overlap": np.isin(keep(el2n[seed], 0.5), keep(head[seed], 0.5)).mean()}
            if "grand" in recorded:
                row["full_rho"] = spearmanr(el2n[seed][recorded["grand_positions"]], recorded["grand"][t])[0]
            rows.append(row)
    return pd.DataFrame(rows, columns=["task", "at", "seed", "head_rho", "head_overlap", "full_rho"])
