"""Arms: the runs that experiments are made of, a seed each, and their results read by key and seed.

    arm = pruned(settings, "trec6", "hardest", 0.1)     # the configs of one arm
    by_seed(table, arm)                                 # their test accuracies, seed -> value

Nothing is paired by position: an arm is read by the keys of its configs, and two arms meet on the seeds that both have.
"""

import numpy as np
import pandas as pd

from datadiet import runs
from datadiet.chapters.settings import RETRAIN_AT, measure
from datadiet.nets.device import resolved
from datadiet.prune import keep
from datadiet.runs import facts

RUN_KEYS = (
    "quick", "noise", "validation", "test_only", "size", "encoder", "layers", "max_length", "epochs", "batch_size",
    "learning_rate",
)  # fmt: skip


def base(settings: dict, task: str) -> dict:
    """Settings of a chapter that are part of its runs' configs."""
    return {"task": task, "device": resolved(settings["device"])} | {name: settings[name] for name in RUN_KEYS}


def scoring(settings: dict, task: str) -> list[dict]:
    """The scoring runs of a task: full data, a seed each, recorded at every scoring point. Also the full-data baseline."""
    return [
        runs.config(**base(settings, task), seed=seed, score_at=settings["score_at"], grand_size=settings["grand_size"])
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
    by: list[dict] | None = None,
) -> list[dict]:
    """Retraining runs, a seed each, on the examples that `rule` keeps.

    Seed s prunes with scores averaged over the *other* scoring seeds, so that no run is chosen by its own initialisation;
    ``single`` uses one of the others alone. `by`: the scoring runs; None: those of the task.
    """
    seeds, out = range(settings["seeds"]), []
    by = scoring(settings, task) if by is None else by
    for seed in seeds:
        chosen = {"rule": rule, "fraction": fraction, "offset": offset, "balanced": balanced}
        if rule != "random":
            others = [(seed + 1) % len(seeds)] if single else [run["seed"] for run in by if run["seed"] != seed]
            chosen |= {"score": score, "at": at, "seeds": others, "source": without_seed(by[0])}
        out.append(runs.config(**base(settings, task), budget=budget, seed=seed, keep=chosen))
    return out


def without_seed(run: dict) -> dict:
    """The config of a scoring run as a pruned run names it."""
    return {name: value for name, value in run.items() if name != "seed"}


def stored(table: pd.DataFrame, arm: list[dict]) -> dict[int, dict]:
    """Seed -> config of those runs of an arm that are in the table."""
    found = set(table["key"]) if len(table) else set()
    return {run["seed"]: run for run in arm if runs.key(run) in found}


def by_seed(table: pd.DataFrame, arm: list[dict], column: str | None = None) -> pd.Series:
    """One column of the table for the runs of an arm, by seed; empty where none of them is stored.

    `column` None: test accuracy, or whatever else the arm's task is judged by. ``attrs["constant"]`` is the share of the
    arm's runs that give every test example the same answer.
    """
    found = stored(table, arm)
    if not found:
        return pd.Series(dtype=float)
    wanted = column or f"test_{measure(arm[0]['task'])}"
    keys = [runs.key(run) for run in found.values()]
    some = table[table["key"].isin(keys)].drop_duplicates("key").set_index("key").loc[keys]  # a page asks for hundreds of arms
    values = pd.Series(some[wanted].to_numpy(), list(found)).sort_index()
    judged = some.reindex(columns=["test_accuracy", "test_matthews"])
    values.attrs["constant"] = float(np.mean([_constant(arm[0]["task"], row) for row in judged.to_dict("records")]))
    return values


def _constant(task: str, row: dict) -> bool:
    """Whether a run's model gives every test example the same answer: Matthews' correlation is then zero, and nothing else is."""
    matthews = row.get("test_matthews", np.nan)
    return facts.constant(row.get("test_accuracy", np.nan), task) if np.isnan(matthews) else matthews == 0


def scores_by_seed(table: pd.DataFrame, arm: list[dict], name: str, at) -> dict[int, np.ndarray]:
    """Seed -> score `name` [N] at the scoring point `at`, as each stored run of an arm has it."""
    return {seed: runs.score_values(run, name, at) for seed, run in stored(table, arm).items()}


def arrays_by_seed(table: pd.DataFrame, arm: list[dict]) -> dict[int, dict]:
    """Seed -> what each stored run of an arm recorded."""
    return {seed: runs.store.arrays(runs.key(run)) for seed, run in stored(table, arm).items()}


def kept_positions(run: dict) -> np.ndarray:
    """Positions of the training examples that a pruned run trained on, from the stored scoring runs that chose them."""
    chosen, sources = run["keep"], runs.scoring_runs(run)
    values = np.mean([runs.score_values(source, chosen["score"], chosen["at"]) for source in sources], axis=0)
    labels = runs.store.arrays(runs.key(sources[0]))["labels"] if chosen["balanced"] else None
    return keep(values, chosen["fraction"], chosen["rule"], offset=chosen["offset"], labels=labels, seed=run["seed"])


def class_skew(labels: np.ndarray, kept: np.ndarray) -> float:
    """Total variation distance between the class shares of the examples at `kept` and those of all: 0 = the same, below 1."""
    shares = [np.bincount(some, minlength=labels.max() + 1) / len(some) for some in (labels, labels[kept])]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def mean_of_others(values: dict, seed: int):
    """Mean over all seeds but one, of a dict by seed; None where there is no other."""
    others = [value for other, value in values.items() if other != seed]
    return np.mean(others, axis=0) if others else None
