"""Before a sweep: what it will cost on this machine, from a timed sample.

of(chapters.wanted("score-timing", settings))         # runs, updates, minutes of what is not stored
"""

import time

import numpy as np
import pandas as pd

from datadiet import dynamic, runs
from datadiet.data import shrink
from datadiet.nets import device
from datadiet.training import fairness, growth, landscape

COUNTS = ("runs", "updates", "trained", "scored")
PASSES = ("trained", "scored", "grand", "run")  # which cost seconds a unit
SAMPLE_UPDATES = 8  # of the timed sample: enough to see the rate, few enough to wait for
SAMPLE_ON_A_GPU = 32  # where updates are shorter than what it takes to begin
BEGUN = 2  # epochs after which every shape of a batch was captured that comes again


def counts(run: dict) -> dict:
    """Updates of one run, and examples trained, scored, and scored by full GraNd. Needs its set."""
    return _cost(run, runs.task_of(run).train)


def _cost(run: dict, train_split) -> dict:
    """Counts of one run on a training set: updates, examples trained, scored, and scored by full GraNd."""
    from datadiet.training import loop

    n = len(train_split)
    if run["folds"]:
        return {"updates": 0, "trained": 0, "scored": n, "grand": 0}
    if run["schedule"] is not None:
        sizes, scored = dynamic.bill(run["schedule"], n, run["epochs"])
        updates = sum(loop.updates_per_epoch(size, run["batch_size"]) for size in sizes)
        return {"updates": updates, "trained": sum(sizes), "scored": scored, "grand": 0}
    if run["branch"] is not None:
        branch, total = run["branch"], loop.budget(run, n, n)
        updates = total + sum(total - loop.step_of(at, n, run["batch_size"]) for at in branch["spawn"])
        # A kernel holds a gradient for every logit; forming and comparing them all costs about as much again.
        kernels = 2 * len(np.unique(train_split.labels)) * len(landscape.GROUPS) * branch["block"] * (run["epochs"] + 1)
        passes, lines = updates / loop.updates_per_epoch(n, run["batch_size"]), 1 + len(branch["spawn"]) * (branch["alphas"] - 1)
        return {"updates": updates, "trained": round(passes * n), "scored": lines * n, "grand": kernels}
    kept = n if run["keep"] is None else round(run["keep"]["fraction"] * n)
    if run["augment"] is not None:
        kept = fairness.size(run["augment"], train_split)
    if run["pool"] is not None:
        kept = growth.size(run["pool"])
    updates = loop.budget(run, kept, n)
    passes, points = updates / loop.updates_per_epoch(kept, run["batch_size"]), len(run["score_at"])
    sample = n if run["grand_size"] is None else min(run["grand_size"], n)
    return {
        "updates": updates,
        "trained": round(passes * kept),
        "scored": (points + run["epochs"] * run["watch"]) * n,
        "grand": points * (sample + n * run["vog"]),  # VoG takes a gradient as well, of the input
    }


def rates(run: dict) -> dict[str, float]:
    """Seconds a trained, a scored and a GraNd example cost here, and what a run costs besides, from short runs that are timed.

    They are made on the device of the run. Where that starts slowly, a GPU, one that is not timed comes first, as the process
    pays once for its kernels; and the rate is that of the later epochs, as each run pays anew for capturing its updates.

    Raises
    ------
    InputError
        The device of the run is not here.
    """
    from datadiet.training import loop

    task, slow, trained = runs.task_of(run), device.starts_slowly(run["device"]), int(trains(run))
    size = min(len(task.train), (SAMPLE_ON_A_GPU if slow else SAMPLE_UPDATES) * run["batch_size"])
    own = dict.fromkeys(("keep", "schedule", "augment", "pool", "branch")) | {"vog": False, "folds": 0, "budget": "epochs"}
    short = run | own | {"score_at": [0], "grand_size": min(size, 64)}
    sample = task if size == len(task.train) else shrink(task, size)

    def timed(epochs):
        start = time.perf_counter()
        metrics = loop.fit(short | {"epochs": epochs}, sample).metrics
        return metrics, time.perf_counter() - start

    if slow:
        timed(trained)
        (metrics, whole), (longer, _) = timed(BEGUN * trained), timed(2 * BEGUN * trained)
        seconds, examples = (longer[name] - metrics[name] for name in ("train_seconds", "examples"))
        seconds = max(0.0, seconds)  # of a few short updates the clock may see none
    else:
        metrics, whole = timed(trained)
        seconds, examples = metrics["train_seconds"], metrics["examples"]
    rate = seconds / max(1, examples)  # an untrained network has none
    bare = metrics["scoring_seconds"] / (metrics["scored"] + 4 * metrics["grand_scored"])  # a gradient costs about four passes
    return {
        "trained": rate,
        "scored": bare,
        "grand": 4 * bare,
        "run": whole - metrics["examples"] * rate - metrics["scoring_seconds"],
    }


def of(configs) -> pd.DataFrame:
    """The bill of the runs that a sweep of `configs` has to compute, a row for each task, kind and device.

    Minutes are those of one process here; they are NaN, not timed, where the runs ask for a device that this machine has not.
    Out-of-fold runs are billed by the passes that take their features alone, not by the regression.

    Returns
    -------
    DataFrame
        task, kind ("scoring", "pruned", "random", "dynamic", "mix", "pool", "branch", "out-of-fold"), device, runs, updates,
        trained, scored, minutes; empty when all is stored.
    """
    todo, timed, rows = runs.missing(configs), {}, []
    for run in todo:
        same = ("task", "encoder", "layers", "max_length", "batch_size", "size", "inputs", "test_only", "device", "precision",
                "training_precision", "quick")  # fmt: skip
        setting = tuple(run[name] for name in same)
        setting += (trains(run),)  # a network that is not trained is not judged
        if setting not in timed:
            timed[setting] = rates(run) if device.is_here(run["device"]) else dict.fromkeys(PASSES, np.nan)
        cost, rate = counts(run), timed[setting]
        seconds = sum((cost | {"run": 1})[name] * rate[name] for name in PASSES)
        of_what = {"task": run["task"], "kind": kind_of(run), "device": run["device"]}
        rows.append(of_what | {name: (cost | {"runs": 1})[name] for name in COUNTS} | {"minutes": seconds / 60})
    what = ["task", "kind", "device"]
    return pd.DataFrame(rows, columns=[*what, *COUNTS, "minutes"]).groupby(what, sort=False, as_index=False).sum(skipna=False)


def in_all(due: pd.DataFrame) -> str:
    """The sum of a bill in words, and which runs of it could not be timed here."""
    timed, absent = due[due["minutes"].notna()], due[due["minutes"].isna()]
    said = f"In all {due['runs'].sum()} runs, {due['updates'].sum()} updates"
    if not len(absent):
        return f"{said}, {due['minutes'].sum():.1f} minutes in one process."
    names = " and ".join(sorted(set(absent["device"])))
    minutes = f"; the other {timed['runs'].sum()}: {timed['minutes'].sum():.1f} minutes in one process" if len(timed) else ""
    return (f"{said}. {absent['runs'].sum()} runs ask for {names}, which this machine has not, and are not timed here{minutes}. "
            "Plan on a machine that has it.")


def trains(run: dict) -> bool:
    """Whether a run trains a network at all."""
    return run["epochs"] > 0 and not run["folds"]


def kind_of(run: dict) -> str:
    """The kind of a run, as the bill calls it."""
    named = {"folds": "out-of-fold", "schedule": "dynamic", "augment": "mix", "pool": "pool", "branch": "branch"}
    kept = "scoring" if run["keep"] is None else "random" if run["keep"]["rule"] == "random" else "pruned"
    return next((kind for setting, kind in named.items() if run[setting]), kept)
