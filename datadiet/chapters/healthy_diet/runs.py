"""A healthy data diet: which mix of sentences and their gender-swapped versions makes a classifier fair, and still useful?"""

import numpy as np
import pandas as pd

from datadiet import prune, runs
from datadiet.chapters.arms import RETRAIN_AT, base, scoring
from datadiet.training import fairness

# Name of a mix -> rule for the factual sentences, rule for the swapped ones, the score they rank by.
MIXES = {
    "healthy GE": ("easiest", "hardest", "ge"),
    "random": ("random", "random", None),
    "vanilla GE": ("hardest", "hardest", "ge"),
    "unhealthy GE": ("hardest", "easiest", "ge"),
    "hardest by EL2N + random": ("hardest", "random", "el2n"),
}
CHOSEN_AMONG = ("healthy GE", "random")  # trained at every pair of shares; the others at the first one
FACTUAL, FULL, LOW, HIGH = "factual only", "full augmentation", "factual + lowest GE", "factual + highest GE"
METRICS = [f"{split}_{what}" for split in ("validation", "test")
           for what in ("accuracy", "auc", "parity", "odds", "gap", "flips")]
TOP = 0.1  # share of the ranking in which the minority class is counted


def mixed(settings: dict, task: str, factuals: float, counterfactuals: float, rules: tuple) -> list[dict]:
    """Runs on a mix, a seed each, ranked by the other seeds' scoring runs. All take as many updates as the factual set alone.

    Equal steps, because at equal epochs a small mix trains less, and a model that has learned little is fair for nothing.
    """
    facts, swaps, score = rules
    chosen = {"factuals": factuals, "counterfactuals": counterfactuals, "factual_rule": facts, "counterfactual_rule": swaps}
    if score:
        source = {k: v for k, v in scoring(settings, task)[0].items() if k != "seed"}
        chosen |= {"score": score, "at": RETRAIN_AT, "source": source}
    seeds = range(settings["seeds"])
    return [
        runs.config(
            **base(settings, task), budget="steps", seed=seed,
            augment=chosen | {"seeds": [s for s in seeds if s != seed] if score else []},
        )
        for seed in seeds
    ]


def fair_arms(settings: dict, task: str) -> dict[tuple, list[dict]]:
    """Every arm of the chapter: (name, share of factuals, share of counterfactuals) -> its runs, a seed each."""
    out = {(FACTUAL, 1.0, 0.0): scoring(settings, task), (FULL, 1.0, 1.0): mixed(settings, task, 1.0, 1.0, MIXES["random"])}
    for place, (a, b) in enumerate(settings["mixes"]):
        out |= {(name, a, b): mixed(settings, task, a, b, rules)
                for name, rules in MIXES.items() if not place or name in CHOSEN_AMONG}
    share = settings["share"]
    for name, rule in ((LOW, "easiest"), (HIGH, "hardest")):
        out[name, 1.0, share] = mixed(settings, task, 1.0, share, ("random", rule, "ge"))
    return out


def healthy_diet(settings: dict) -> list[dict]:
    """Runs of the chapter "A healthy data diet"."""
    return [run for task in settings["tasks"] for configs in fair_arms(settings, task).values() for run in configs]


def fair_table(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Utility and fairness of every stored run: a row for each task, arm, pair of shares and seed, on validation and test."""
    held = table.drop_duplicates("key").set_index("key") if len(table) else table
    rows = []
    for task in settings["tasks"]:
        for (name, a, b), configs in fair_arms(settings, task).items():
            for run in configs:
                if (key := runs.key(run)) in held.index:
                    rows.append({"task": task, "arm": name, "factuals": a, "counterfactuals": b, "seed": run["seed"],
                                 "n": held.at[key, "n_kept"]} | {what: held.at[key, what] for what in METRICS})
    return pd.DataFrame(rows)


def chosen_mix(settings: dict, found: pd.DataFrame, task: str) -> tuple[float, float] | None:
    """The pair of shares whose healthy mix has the best demographic parity on validation; None while one of them has no runs.

    `found` is the table of :func:`fair_table`. The papers' code tunes its shares by the same quantity; test is not looked at.
    """
    means = {}
    for a, b in settings["mixes"]:
        one = of_arm(found, task, "healthy GE", (a, b))
        if not len(one):
            return None
        means[a, b] = one["validation_parity"].mean()
    return max(means, key=means.get)


def of_arm(found: pd.DataFrame, task: str, name: str, shares: tuple | None = None) -> pd.DataFrame:
    """Rows of one arm of the table of :func:`fair_table`, indexed by seed; of one pair of shares where given."""
    if not len(found):
        return pd.DataFrame(columns=METRICS)
    rows = (found["task"] == task) & (found["arm"] == name)
    if shares is not None:
        rows &= (found["factuals"] == shares[0]) & (found["counterfactuals"] == shares[1])
    return found[rows].set_index("seed").sort_index()


def constant(settings: dict, task: str) -> dict[str, float]:
    """What a model that never predicts class 1 scores on the test split: fair, and of no use."""
    test = runs.task_of(scoring(settings, task)[0]).test
    logits = np.tile([1.0, 0.0], (len(test), 1))
    return fairness.judge(logits, logits, test.labels, test.inputs["gender"])


def minority(settings: dict, table: pd.DataFrame, share: float = TOP) -> pd.DataFrame:
    """How much of the hardest `share` by EL2N is the rarer class, per scoring run and point, and how much of the whole set."""
    held = set(table["key"]) if len(table) else set()
    rows = []
    for task in settings["tasks"]:
        for run in scoring(settings, task):
            if runs.key(run) not in held:
                continue
            labels = runs.store.arrays(runs.key(run))["labels"]
            rare = np.bincount(labels).argmin()
            for at in settings["score_at"]:
                top = prune.keep(runs.score_values(run, "el2n", at), share)
                rows.append({"task": task, "at": str(at), "seed": run["seed"], "share": (labels[top] == rare).mean(),
                             "whole": (labels == rare).mean()})
    return pd.DataFrame(rows)
