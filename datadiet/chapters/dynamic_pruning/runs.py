"""Dynamic pruning: choosing anew while training, against choosing once, with every pass paid for.

Cost is counted in forward units: 3 for an example trained on (a backward pass costs about two forward ones), 1 for an example
scored. Dynamic runs pay for their own passes; static ones for the scoring runs that chose their examples, up to the
scoring point.
"""

import numpy as np
import pandas as pd

from datadiet import dynamic, runs
from datadiet.chapters.arms import RETRAIN_AT, base, measure, of_task, pruned, scoring

TRAINED, SCORED = 3, 1  # forward units
SMOOTHED = {"alpha": 0.8, "spread": 1.0}  # of the released code's script for joint sets


def dynamic_arms(settings: dict, task: str) -> dict[tuple, list[dict]]:
    """The arms of a task: (name, kept fraction) -> its runs, a seed each. A name has one meaning in every profile.

    "full", "soft" (a fraction of 1: every example may come back); at each fraction "random static", "static" (EL2N of the other
    seeds' runs, averaged), "static, one run" (of one of them), "random dynamic", "dynamic" (EL2N); and at the ablation
    fraction what changes one thing of "dynamic": "tau N", "tau 0, equal updates", "every epoch", "every epoch, smoothed",
    "dropout on", "scored in training" (kept examples by their training pass), and the other learning-rate schedule,
    "other rate ...", beside its own full and random runs.
    """
    settings = of_task(settings, task)
    warm, every, decay = settings["warmup"], settings["every"], settings["decay"]

    def scheduled(fraction=1.0, decay=decay, epochs=settings["epochs"], **schedule):
        if schedule.get("rule") != "soft":
            schedule = {"fraction": fraction, "warmup": warm, "every": every} | schedule
        own = base(settings, task) | {"epochs": epochs}
        return [runs.config(**own, seed=seed, schedule=schedule, decay=decay) for seed in range(settings["seeds"])]

    arms = {("full", 1.0): _at_rate(scoring(settings, task), decay), ("soft", 1.0): scheduled(rule="soft")}
    for f in settings["fractions"]:
        arms[("random static", f)] = _at_rate(pruned(settings, task, "random", f), decay)
        arms[("static", f)] = _at_rate(pruned(settings, task, "hardest", f), decay)
        arms[("static, one run", f)] = _at_rate(pruned(settings, task, "hardest", f, single=True), decay)
        arms[("random dynamic", f)] = scheduled(f, rule="random")
        arms[("dynamic", f)] = scheduled(f)
    f = settings["ablation"]
    for tau in settings["warmups"]:
        arms[(f"tau {tau}", f)] = scheduled(f, warmup=tau)
    if 0 in settings["warmups"]:  # without the full epochs a run has fewer updates: once more with as many
        longer = round((warm + f * (settings["epochs"] - warm)) / f)
        arms[("tau 0, equal updates", f)] = scheduled(f, warmup=0, epochs=longer)
    if "smoothing" in settings["ablations"]:  # needs many scores: a cycle an epoch, with and without
        arms[("every epoch", f)] = scheduled(f, every=1)
        arms[("every epoch, smoothed", f)] = scheduled(f, every=1, **SMOOTHED)
    if "dropout" in settings["ablations"]:
        arms[("dropout on", f)] = scheduled(f, dropout=True)
    if "reuse" in settings["ablations"]:
        arms[("scored in training", f)] = scheduled(f, reuse=True)
    if "rate" in settings["ablations"]:
        arms[("other rate, full", 1.0)] = [run | {"score_at": []} for run in _at_rate(scoring(settings, task), not decay)]
        arms[("other rate, dynamic", f)] = scheduled(f, decay=not decay)
        arms[("other rate, random dynamic", f)] = scheduled(f, decay=not decay, rule="random")
    return arms


def _at_rate(configs: list[dict], decay: bool) -> list[dict]:
    """The same runs, and the scoring runs they lean on, with a decaying or a constant learning rate."""
    out = []
    for run in configs:
        keep = run["keep"]
        if keep and keep["source"]:
            keep = keep | {"source": keep["source"] | {"decay": decay}}
        out.append(run | {"decay": decay, "keep": keep})
    return out


def dynamic_pruning(settings: dict) -> list[dict]:
    """Runs of the chapter "Dynamic pruning"."""
    return [run for task in settings["tasks"] for arm in dynamic_arms(settings, task).values() for run in arm]


def dynamic_costs(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """What each stored run reached and what it cost, a row for each task, arm and seed.

    ``accuracy`` is Matthews' correlation where a task is judged by that (CoLA). ``units`` and ``seconds`` are all of it:
    training, the run's own scoring passes, and for static arms the bill of the runs that scored. That bill takes each scoring
    run up to its scoring point, one epoch: one run for "static, one run", all averaged ones for "static". A run that was
    scored for one subset may serve many; here each subset pays in full.
    """
    rows, held = [], {row["key"]: row for row in table.to_dict("records")}
    for task in settings["tasks"]:
        arms, epochs = dynamic_arms(settings, task), of_task(settings, task)["epochs"]
        full = {run["seed"]: held.get(runs.key(run)) for run in arms[("full", 1.0)]}
        for (name, fraction), configs in arms.items():
            for run in configs:
                seen = held.get(runs.key(run))
                billed = [full.get(source["seed"]) for source in runs.scoring_runs(run)]
                if seen is None or None in billed:
                    continue
                n = full[run["seed"]]["n_kept"] if full[run["seed"]] else np.nan
                units = TRAINED * seen["examples"] + SCORED * (seen["scored"] if name != "full" else 0)
                seconds = seen["train_seconds"] + (seen["scoring_seconds"] if name != "full" else 0.0)
                bill = sum(TRAINED * each["n_kept"] * _epochs_scored() + SCORED * each["scored"] for each in billed)
                billed_seconds = sum(
                    each["train_seconds"] * _epochs_scored() / epochs + each["scoring_seconds"] for each in billed
                )
                rows.append(
                    {"task": task, "arm": name, "fraction": fraction, "seed": run["seed"]}
                    | {"accuracy": seen[f"test_{measure(task)}"], "updates": seen["updates"]}
                    | {"trained": seen["examples"], "scored": seen["scored"]}
                    | {"units": units + bill, "seconds": seconds + billed_seconds, "scoring_bill": bill}
                    | {"cost": (units + bill) / (TRAINED * epochs * n)}
                )
    columns = "task arm fraction seed accuracy updates trained scored units seconds scoring_bill cost".split()
    return pd.DataFrame(rows, columns=columns)


def _epochs_scored() -> int:
    """Epochs a scoring run trains before the scoring point of the static arms."""
    return int(RETRAIN_AT.removesuffix("ep"))


def dynamic_arm(costs: pd.DataFrame, task: str, name: str, fraction: float = 1.0, what: str = "accuracy") -> pd.Series:
    """One column of :func:`dynamic_costs` by seed; empty where none of the arm's runs is stored."""
    rows = costs[(costs["task"] == task) & (costs["arm"] == name) & (costs["fraction"] == fraction)]
    return rows.set_index("seed")[what].sort_index()


def static_at_cost_of(settings: dict, costs: pd.DataFrame, task: str, fraction: float) -> pd.Series:
    """What static pruning reaches at the total cost of "dynamic" at `fraction`, by seed.

    Read off the line through the static arms of all fractions, chosen and billed by one scoring run each, and the full data,
    which need no scoring; linear in forward units between them. Where dynamic is cheaper than the cheapest static arm, it is
    compared with that one.
    """
    points = [("static, one run", f) for f in sorted(of_task(settings, task)["fractions"])] + [("full", 1.0)]
    accuracy = pd.DataFrame({place: dynamic_arm(costs, task, *place) for place in points}).dropna()
    units = pd.DataFrame({place: dynamic_arm(costs, task, *place, what="units") for place in points}).dropna()
    at = dynamic_arm(costs, task, "dynamic", fraction, what="units")
    seeds = accuracy.index.intersection(at.index)
    return pd.Series({seed: np.interp(at[seed], units.loc[seed], accuracy.loc[seed]) for seed in seeds}, dtype=float)


def dynamic_bill(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """The account, a row for each task and arm, means over seeds; ``cost`` is a share of training on everything."""
    costs = dynamic_costs(settings, table)
    columns = ["accuracy", "updates", "trained", "scored", "scoring_bill", "cost", "seconds"]
    return costs.groupby(["task", "arm", "fraction"], sort=False)[columns].mean().reset_index()


def planned_cost(epochs: int, **schedule) -> float:
    """Forward units of a schedule as a share of training on everything for as many epochs, before anything has run.

    >>> round(planned_cost(10, fraction=0.5, warmup=1, every=1), 2)    # 9 scoring passes, each a third of an epoch
    0.85

    Raises
    ------
    InputError
        A schedule that cannot be, see :func:`datadiet.dynamic.settings`.
    """
    n = 10_000
    sizes, scored = dynamic.bill(schedule, n, epochs)
    return (TRAINED * sum(sizes) + SCORED * scored) / (TRAINED * epochs * n)
