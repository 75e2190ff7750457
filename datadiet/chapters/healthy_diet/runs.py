"""A healthy data diet: which mix of sentences and their gender-swapped versions makes a classifier fair, and still useful?"""

import numpy as np
import pandas as pd

from datadiet import prune, runs
from datadiet.chapters.arms import arrays_by_seed, base, by_seed, scores_by_seed, scoring, without_seed
from datadiet.chapters.settings import RETRAIN_AT, of_task
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
METRICS = [f"{split}_{name}" for split in ("validation", "test")
           for name in ("accuracy", "auc", "parity", "odds", "gap", "flips")]
TOP = 0.1  # share of the ranking in which the minority class is counted
GENDERS = {-1: "nobody", 0: "a man", 1: "a woman"}


def mixed(settings: dict, task: str, factuals: float, counterfactuals: float, rules: tuple) -> list[dict]:
    """Runs on a mix, a seed each, ranked by the other seeds' scoring runs. All take as many updates as the factual set alone.

    Equal steps, because at equal epochs a small mix trains less, and a model that has learned little is fair for nothing.
    """
    facts, swaps, score = rules
    chosen = {"factuals": factuals, "counterfactuals": counterfactuals, "factual_rule": facts, "counterfactual_rule": swaps}
    if score:
        chosen |= {"score": score, "at": RETRAIN_AT, "source": without_seed(scoring(settings, task)[0])}
    seeds = range(settings["seeds"])
    return [
        runs.config(
            **base(settings, task), budget="steps", seed=seed,
            augment=chosen | {"seeds": [s for s in seeds if s != seed] if score else []},
        )
        for seed in seeds
    ]


def shares_of(settings: dict, name: str) -> list[tuple[float, float]]:
    """Pairs of shares, of factual and of swapped sentences, at which an arm is trained."""
    fixed = {FACTUAL: (1.0, 0.0), FULL: (1.0, 1.0), LOW: (1.0, settings["share"]), HIGH: (1.0, settings["share"])}
    if name in fixed:
        return [fixed[name]]
    pairs = settings["mixes"] if name in CHOSEN_AMONG else settings["mixes"][:1]
    return [tuple(pair) for pair in pairs]


def arms(settings: dict, task: str) -> dict[tuple, list[dict]]:
    """Every arm of the chapter: (name, share of factuals, share of counterfactuals) -> its runs, a seed each."""
    settings = of_task(settings, task)
    rules = {FULL: MIXES["random"]} | MIXES | {LOW: ("random", "easiest", "ge"), HIGH: ("random", "hardest", "ge")}
    out = {(FACTUAL, *shares_of(settings, FACTUAL)[0]): scoring(settings, task)}
    for name, own in rules.items():
        out |= {(name, *pair): mixed(settings, task, *pair, own) for pair in shares_of(settings, name)}
    return out


def wanted(settings: dict) -> list[dict]:
    """Runs of the chapter "A healthy data diet"."""
    return [run for task in settings["tasks"] for configs in arms(settings, task).values() for run in configs]


def measured(settings: dict, table: pd.DataFrame, task: str) -> dict[tuple, pd.DataFrame]:
    """Utility and fairness of every stored run of a task: an arm of :func:`arms` -> a frame by seed.

    Its columns are the number of sentences trained on, ``n``, and the metrics on validation and on test.
    """
    rows, out = {row["key"]: row for row in table.to_dict("records")}, {}
    for arm, configs in arms(settings, task).items():
        found = {run["seed"]: rows[runs.key(run)] for run in configs if runs.key(run) in rows}
        values = [[row["n_kept"], *(row[name] for name in METRICS)] for row in found.values()]
        out[arm] = pd.DataFrame(values, index=pd.Index(found, name="seed", dtype=int), columns=["n", *METRICS], dtype=float)
        out[arm].attrs |= by_seed(table, configs).attrs
    return out


def chosen_shares(settings: dict, found: dict[tuple, pd.DataFrame]) -> tuple[float, float] | None:
    """The pair of shares whose healthy mix has the best demographic parity on validation, mean over seeds that all pairs have.

    None where there is no such seed. `found` is :func:`measured`'s. The papers' code tunes its shares by the same quantity; test
    is not looked at.
    """
    pairs = shares_of(settings, "healthy GE")
    parity = pd.concat([found["healthy GE", *pair]["validation_parity"] for pair in pairs], axis=1, join="inner").dropna()
    return pairs[int(parity.mean().to_numpy().argmax())] if len(parity) else None


def constant(settings: dict, task: str) -> dict[str, float]:
    """The metrics of a model that never predicts class 1, on the test split: fair, and of no use."""
    test = runs.task_of(scoring(of_task(settings, task), task)[0]).test
    logits = np.tile([1.0, 0.0], (len(test), 1))
    return fairness.judge(logits, logits, test.labels, test.inputs["gender"])


def minority(settings: dict, table: pd.DataFrame, share: float = TOP) -> pd.DataFrame:
    """How much of the hardest `share` by EL2N is the rarer class, per scoring run and point, and how much of the whole set."""
    rows = []
    for task in settings["tasks"]:
        own = of_task(settings, task)
        arm = scoring(own, task)
        labels = {seed: arrays["labels"] for seed, arrays in arrays_by_seed(table, arm).items()}
        for at in own["score_at"]:
            for seed, values in scores_by_seed(table, arm, "el2n", at).items():
                rare = labels[seed] == np.bincount(labels[seed]).argmin()
                rows.append({"task": task, "at": str(at), "seed": seed, "share": rare[prune.keep(values, share)].mean(),
                             "whole": rare.mean()})
    return pd.DataFrame(rows, columns=["task", "at", "seed", "share", "whole"])


def mentions(settings: dict, table: pd.DataFrame, task: str) -> pd.DataFrame:
    """Sentences of the healthy mix at the first pair of shares, mean over seeds: whom they mention, by label.

    Seeds whose scoring runs are not all in the table are left out; without any, the frame is empty.
    """
    own, counts = of_task(settings, task), []
    ge = scores_by_seed(table, scoring(own, task), "ge", RETRAIN_AT)
    for run in arms(own, task)["healthy GE", *own["mixes"][0]]:
        others, split = run["augment"]["seeds"], runs.task_of(run)
        if not set(others) <= set(ge):
            continue
        train, n = split.train, len(split.train)
        positions = fairness.mix(run["augment"], train, np.mean([ge[seed] for seed in others], axis=0), run["seed"])
        gender = train.inputs["gender"][positions % n]
        spoken = np.where((positions >= n) & (gender >= 0), 1 - gender, gender)
        labels = train.labels[positions % n]
        counts.append([[((spoken == whom) & (labels == k)).sum() for k in range(len(split.label_names))] for whom in GENDERS])
    if not counts:
        return pd.DataFrame()
    index = pd.Index(GENDERS.values(), name="mentions")
    return pd.DataFrame(np.mean(counts, axis=0), index=index, columns=pd.Index(split.label_names, name="label"))
