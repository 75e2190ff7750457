"""The experiments of the chapters: which runs each one asks for, and the tidy tables it reads off them.

    settings = settings_of("lab")                       # or settings_of("lab", seeds=5)
    table = runs.sweep(score_timing(settings), settings["engine"])
    paired(table, "random")                             # accuracy minus random, seed by seed

A chapter, ``datadiet plan`` and ``datadiet sweep`` all ask these functions, so they mean the same runs.
"""

from itertools import combinations

import numpy as np
import pandas as pd
import yaml
from scipy.stats import spearmanr

from datadiet import paths, runs
from datadiet.errors import InputError
from datadiet.prune import keep

RETRAIN_AT = "1ep"  # scoring point of every experiment that is not about timing: BERT on a Data Diet's choice
RUN_KEYS = ("noise", "validation", "size", "encoder", "layers", "max_length", "epochs", "batch_size", "learning_rate")


def profiles() -> list[str]:
    """Names of the profiles there are."""
    return sorted(file.stem for file in (paths.root() / "profiles").glob("*.yml"))


def settings_of(profile: str, **changes) -> dict:
    """The settings of ``profiles/PROFILE.yml``, with `changes`.

    Raises
    ------
    InputError
        Unknown profile, or a changed key that no profile has.
    """
    if profile not in profiles():
        raise InputError(f"studies.settings_of: unknown profile {profile!r}; choose one of {', '.join(profiles())}.")
    settings = yaml.safe_load((paths.root() / "profiles" / f"{profile}.yml").read_text())
    unknown = sorted(set(changes) - set(settings))
    if unknown:
        raise InputError(f"studies.settings_of: unknown parameter(s) {', '.join(unknown)}; known: {', '.join(settings)}.")
    return settings | changes


def parameters(namespace: dict) -> dict:
    """The settings among a notebook's variables: ``parameters(globals())`` after its parameters cell."""
    known = settings_of("standard")
    absent = [name for name in known if name not in namespace]
    if absent:
        raise InputError(f"studies.parameters: the notebook sets no {', '.join(absent)}; its parameters cell must.")
    return {name: namespace[name] for name in known}


def _base(settings: dict, task: str) -> dict:
    return {"task": task} | {name: settings[name] for name in RUN_KEYS}


def scoring(settings: dict, task: str) -> list[dict]:
    """The scoring runs of a task: full data, a seed each, recorded at every scoring point. Also the full-data baseline."""
    return [
        runs.config(**_base(settings, task), seed=seed, score_at=settings["score_at"], grand_size=settings["grand_size"])
        for seed in range(settings["seeds"])
    ]


def pruned(
    settings: dict,
    task: str,
    rule: str,
    fraction: float,
    *,
    at=RETRAIN_AT,
    score: str = "el2n",
    offset: float = 0.0,
    balanced: bool = False,
    budget: str = "epochs",
    single: bool = False,
) -> list[dict]:
    """Retraining runs, a seed each, on the examples that `rule` keeps.

    Seed s prunes with scores averaged over the *other* scoring seeds, so that no run is chosen by its own initialisation;
    ``single`` uses one of the others alone.
    """
    seeds, out = range(settings["seeds"]), []
    source = {k: v for k, v in scoring(settings, task)[0].items() if k != "seed"}
    for seed in seeds:
        chosen = {"rule": rule, "fraction": fraction, "offset": offset, "balanced": balanced}
        if rule != "random":
            others = [(seed + 1) % len(seeds)] if single else [s for s in seeds if s != seed]
            chosen |= {"score": score, "at": at, "seeds": others, "source": source}
        out.append(runs.config(**_base(settings, task), budget=budget, seed=seed, keep=chosen))
    return out


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


def pruning_fractions(settings: dict) -> list[dict]:
    """Runs of the chapter "Pruning fractions": which end to keep, how much, and at what budget?"""
    out, middle = [], settings["timing_fraction"]
    for task, fractions in settings["tasks"].items():
        out += scoring(settings, task)
        for rule in ("random", "hardest", "easiest"):
            for fraction in fractions:
                out += pruned(settings, task, rule, fraction)
        for fraction in fractions:
            out += pruned(settings, task, "hardest", fraction, balanced=True)
        for offset in settings["offsets"]:
            out += pruned(settings, task, "hardest", middle, offset=offset)
        for rule in ("middle", "stratified"):
            out += pruned(settings, task, rule, middle)
        for rule in ("random", "hardest", "easiest"):
            out += pruned(settings, task, rule, middle, budget="steps")
    return out


STUDIES = {"score-timing": score_timing, "pruning-fractions": pruning_fractions}


def _scores(settings: dict, table: pd.DataFrame, task: str, name: str, at) -> np.ndarray:
    """Score `name` at `at` of the stored scoring runs, [S, N]."""
    found = set(table["key"]) if len(table) else set()
    return np.array([runs.score_values(run, name, at) for run in scoring(settings, task) if runs.key(run) in found])


def _stored(settings: dict, table: pd.DataFrame):
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
    for task, at in _stored(settings, table):
        now, late = (
            _scores(settings, table, task, name, at),
            _scores(settings, table, task, name, settings["score_at"][-1]),
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
    for task in {task: None for task, _ in _stored(settings, table)}:
        values = _scores(settings, table, task, "el2n", at)
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
    for task, at in _stored(settings, table):
        full = table[(table["task"] == task) & (table["rule"] == "full")].iloc[0]
        labels, names = runs.store.arrays(full["key"])["labels"], full["label_names"]
        whole = np.bincount(labels, minlength=len(names))
        for seed, values in enumerate(_scores(settings, table, task, "el2n", at)):
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
    for task, at in _stored(settings, table):
        el2n, head = (_scores(settings, table, task, name, at) for name in ("el2n", "grand_head"))
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


def arm(table: pd.DataFrame, task: str, rule: str, **chosen) -> pd.Series:
    """Test accuracy by seed of one arm of the table; empty where none of its runs is stored."""
    if not len(table):
        return pd.Series(dtype=float)
    wanted = {"task": task, "rule": rule, "offset": 0.0, "balanced": False, "budget": "epochs"} | chosen
    rows = np.logical_and.reduce([table[name] == value for name, value in wanted.items()])
    if "score_seeds" not in chosen and rule not in ("full", "random"):
        rows &= table["score_seeds"] == table.loc[rows, "score_seeds"].max()  # the average, not the single run
    return table[rows].drop_duplicates("key").set_index("seed")["test_accuracy"].sort_index()
