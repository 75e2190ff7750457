"""Dynamic pruning: choosing examples anew in the course of training, against choosing once, with every pass in the cost.

Cost is counted in forward units: 3 for an example trained on (a backward pass costs about two forward ones), 1 for an example
scored. Dynamic runs pay for their own passes; static ones for the scoring runs that chose their examples, up to the
scoring point.
"""

import numpy as np
import pandas as pd

from datadiet import dynamic, runs
from datadiet.chapters.arms import base, by_seed, pruned, scoring
from datadiet.chapters.settings import RETRAIN_AT, measure, of_task
from datadiet.errors import InputError

TRAINED, SCORED = 3, 1  # forward units
SMOOTHED = {"alpha": 0.8, "spread": 1.0}  # of the released code's script for joint sets
ABLATIONS = ("smoothing", "dropout", "reuse", "rate")
FULL, SOFT = ("full", 1.0), ("soft", 1.0)
EPOCHS_SCORED = int(RETRAIN_AT.removesuffix("ep"))  # that a scoring run trains before it chooses the static arms
ACCOUNT = ["accuracy", "updates", "trained", "scored", "units", "seconds", "scoring_bill", "cost"]


def scheduled(settings: dict, task: str, schedule: dict, **changes) -> list[dict]:
    """Runs that are pruned while they train, a seed each; `changes` are of their config."""
    own = base(settings, task) | {"decay": settings["decay"]} | changes
    return [runs.config(**own, seed=seed, schedule=schedule) for seed in range(settings["seeds"])]


def _at_rate(configs: list[dict], decay: bool) -> list[dict]:
    """The same runs, and the scoring runs that chose their examples, with a decaying or a constant learning rate."""
    out = []
    for run in configs:
        keep = run["keep"]
        if keep and keep["source"]:
            keep = keep | {"source": keep["source"] | {"decay": decay}}
        out.append(run | {"decay": decay, "keep": keep})
    return out


def arms(settings: dict, task: str) -> dict[tuple, list[dict]]:
    """The arms of a task: (name, kept fraction) -> its runs, a seed each. A name has one meaning in every profile.

    "full", "soft" (a fraction of 1: every example may come back); at each fraction "random static", "static" (EL2N of the other
    seeds' runs, averaged), "static, one run" (of one of them), "random dynamic", "dynamic" (EL2N); and at the fraction
    ``ablation`` arms that change one thing of "dynamic": "first phase of N", "first phase of 0, equal updates", "cycles of 1",
    "cycles of 1, smoothed", "dropout in scoring", "scored in training" (kept examples by their training pass), and the other
    learning-rate schedule, "other rate, ...", beside its own full and random runs.

    Raises
    ------
    InputError
        ``ablations`` that name something else.
    """
    settings = of_task(settings, task)
    unknown = [name for name in settings["ablations"] if name not in ABLATIONS]
    if unknown:
        raise InputError(f"dynamic_pruning.arms: ablations of {task!r} name {', '.join(map(repr, unknown))}; "
                         f"choose among {', '.join(ABLATIONS)}.")
    decay, epochs = settings["decay"], settings["epochs"]

    def cycles(fraction, **changes):
        return {"fraction": fraction, "warmup": settings["warmup"], "every": settings["every"]} | changes

    out = {FULL: _at_rate(scoring(settings, task), decay), SOFT: scheduled(settings, task, {"rule": "soft"})}
    for f in settings["fractions"]:
        out["random static", f] = _at_rate(pruned(settings, task, "random", f), decay)
        out["static", f] = _at_rate(pruned(settings, task, "hardest", f), decay)
        out["static, one run", f] = _at_rate(pruned(settings, task, "hardest", f, single=True), decay)
        out["random dynamic", f] = scheduled(settings, task, cycles(f, rule="random"))
        out["dynamic", f] = scheduled(settings, task, cycles(f))
    f = settings["ablation"]
    if settings["warmups"] or settings["ablations"]:  # the unchanged method is asked for beside them, whatever the fractions are
        out["random dynamic", f] = scheduled(settings, task, cycles(f, rule="random"))
        out["dynamic", f] = scheduled(settings, task, cycles(f))
    for first in settings["warmups"]:
        out[f"first phase of {first}", f] = scheduled(settings, task, cycles(f, warmup=first))
        if first == 0:  # without the full epochs a run has fewer updates: once more with as many
            longer = round((settings["warmup"] + f * (epochs - settings["warmup"])) / f)
            out["first phase of 0, equal updates", f] = scheduled(settings, task, cycles(f, warmup=0), epochs=longer)
    if "smoothing" in settings["ablations"]:  # needs many scores: a cycle an epoch, with and without
        out["cycles of 1", f] = scheduled(settings, task, cycles(f, every=1))
        out["cycles of 1, smoothed", f] = scheduled(settings, task, cycles(f, every=1, **SMOOTHED))
    if "dropout" in settings["ablations"]:
        out["dropout in scoring", f] = scheduled(settings, task, cycles(f, dropout=True))
    if "reuse" in settings["ablations"]:
        out["scored in training", f] = scheduled(settings, task, cycles(f, reuse=True))
    if "rate" in settings["ablations"]:
        out["other rate, dynamic", f] = scheduled(settings, task, cycles(f), decay=not decay)
        out["other rate, random dynamic", f] = scheduled(settings, task, cycles(f, rule="random"), decay=not decay)
        out["other rate, full", 1.0] = [run | {"score_at": []} for run in _at_rate(scoring(settings, task), not decay)]
    return out


def wanted(settings: dict) -> list[dict]:
    """Runs of the chapter "Dynamic pruning"."""
    return [run for task in settings["tasks"] for arm in arms(settings, task).values() for run in arm]


def accuracy(view, task: str, name: str, fraction: float) -> pd.Series:
    """Test accuracy by seed of one arm of a view."""
    return by_seed(view.table, arms(view.settings, task)[name, fraction])


def account(settings: dict, table: pd.DataFrame, task: str) -> dict[tuple, pd.DataFrame]:
    """Accuracy and cost of the stored runs of a task: (arm, kept fraction) -> a frame by seed.

    ``accuracy`` is Matthews' correlation where a task is judged by that (CoLA). ``units`` and ``seconds`` are all of it:
    training, the run's own scoring passes, and for static arms the bill of the runs that scored. That bill takes each scoring
    run up to its scoring point, one epoch and one pass: one run for "static, one run", all averaged ones for "static". A run
    that was scored for one subset may serve many; here each subset pays in full. ``cost`` is ``units`` as a share of training on
    everything. A cost is NaN where it cannot be known: where a scoring run, or every run on the full data, is not stored.
    """
    found, every = {row["key"]: row for row in table.to_dict("records")}, arms(settings, task)
    whole = [found[key] for key in map(runs.key, every[FULL]) if key in found]
    everything = TRAINED * of_task(settings, task)["epochs"] * (whole[0]["n_kept"] if whole else np.nan)
    out = {}
    for arm, configs in every.items():
        rows = {run["seed"]: _paid(run, found, everything) for run in configs if runs.key(run) in found}
        out[arm] = pd.DataFrame(rows.values(), index=pd.Index(rows, name="seed", dtype=int), columns=ACCOUNT, dtype=float)
        out[arm].attrs |= by_seed(table, configs).attrs
    return out


def _paid(run: dict, found: dict[str, dict], everything: float) -> dict[str, float]:
    """One row of the account; `found` holds rows of the table of runs by key, `everything` is the cost of the full data."""
    row, bills = found[runs.key(run)], [_bill(found.get(runs.key(source)), source) for source in runs.scoring_runs(run)]
    units, seconds = TRAINED * row["examples"], row["train_seconds"]
    if run["schedule"]:  # the scoring pass of the full data is static pruning's business
        units, seconds = units + SCORED * row["scored"], seconds + row["scoring_seconds"]
    bill = sum(units for units, _ in bills)
    return {
        "accuracy": row[f"test_{measure(run['task'])}"],
        "updates": row["updates"],
        "trained": row["examples"],
        "scored": row["scored"],
        "units": units + bill,
        "seconds": seconds + sum(seconds for _, seconds in bills),
        "scoring_bill": bill,
        "cost": (units + bill) / everything,
    }


def _bill(row: dict | None, source: dict) -> tuple[float, float]:
    """Forward units and seconds of a scoring run up to the scoring point; NaN where it is not stored."""
    if row is None:
        return np.nan, np.nan
    units = (TRAINED * EPOCHS_SCORED + SCORED) * row["n_kept"]
    return units, row["train_seconds"] * EPOCHS_SCORED / source["epochs"] + row["scoring_seconds"] / len(source["score_at"])


def bill(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """The account, a row for each task and arm: its stored seeds, and means over them."""
    rows = []
    for task in settings["tasks"]:
        for (name, fraction), of_arm in account(settings, table, task).items():
            rows.append({"task": task, "arm": name, "fraction": fraction, "seeds": len(of_arm)} | of_arm.mean().to_dict())
    return pd.DataFrame(rows, columns=["task", "arm", "fraction", "seeds", *ACCOUNT])


def static_at_cost_of_dynamic(settings: dict, found: dict[tuple, pd.DataFrame], fraction: float) -> pd.Series:
    """Accuracy of static pruning at the total cost of "dynamic" at `fraction`, by seed; `found` is :func:`account`'s.

    Read off the line through the static arms of all fractions, chosen and billed by one scoring run each, and the full data,
    which need no scoring; linear in forward units between them. Where dynamic is cheaper than the cheapest static arm, it is
    compared with that one. A seed that lacks one of these points has no such line.
    """
    points = [found["static, one run", f] for f in sorted(settings["fractions"])] + [found[FULL]]
    reached, units = (pd.concat([each[name] for each in points], axis=1, join="inner").dropna() for name in ("accuracy", "units"))
    at = found["dynamic", fraction]["units"]
    seeds = reached.index.intersection(units.index).intersection(at.index)
    line = pd.Series({seed: np.interp(at[seed], units.loc[seed], reached.loc[seed]) for seed in seeds}, dtype=float)
    used = [each for each, own in zip(points, np.eye(len(points)), strict=True)
            if any(np.interp(at[seed], units.loc[seed], own) > 0 for seed in seeds)]
    line.attrs["constant"] = max((each.attrs.get("constant", 0.0) for each in used), default=0.0)
    return line


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
