"""Before a sweep: what it will cost on this machine, from a timed sample.

of(chapters.wanted("score-timing", settings))         # runs, updates, minutes of what is not stored
"""

import time

import numpy as np
import pandas as pd

from datadiet import dynamic, runs
from datadiet.data import shrink
from datadiet.training import fairness, growth, landscape

SAMPLE_UPDATES = 8  # of the timed sample: enough to see the rate, few enough to wait for


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
    """Seconds a trained, a scored and a GraNd example cost here, and what a run costs besides, from a short timed run."""
    from datadiet.training import loop

    task = runs.task_of(run)
    size = min(len(task.train), SAMPLE_UPDATES * run["batch_size"])
    own = dict.fromkeys(("keep", "schedule", "augment", "pool", "branch")) | {"vog": False, "folds": 0, "budget": "epochs"}
    short = run | own | {"epochs": int(trains(run)), "score_at": [0], "grand_size": min(size, 64)}
    start = time.perf_counter()
    metrics = loop.fit(short, task if size == len(task.train) else shrink(task, size)).metrics
    whole = time.perf_counter() - start
    bare = metrics["scoring_seconds"] / (metrics["scored"] + 4 * metrics["grand_scored"])  # a gradient costs about four passes
    return {
        "trained": metrics["train_seconds"] / max(1, metrics["examples"]),  # an untrained network has none
        "scored": bare,
        "grand": 4 * bare,
        "run": whole - metrics["train_seconds"] - metrics["scoring_seconds"],
    }


def of(configs) -> pd.DataFrame:
    """The bill of the runs that a sweep of `configs` has to compute, a row for each task and kind; minutes of one process here.

    Out-of-fold runs are billed by the passes that take their features alone, not by the regression.

    Returns
    -------
    DataFrame
        task, kind ("scoring", "pruned", "random", "dynamic", "mix", "pool", "branch", "out-of-fold"), runs, updates, trained,
        scored, minutes; empty when all is stored.
    """
    todo, timed, rows = runs.missing(configs), {}, []
    for run in todo:
        same = ("task", "encoder", "layers", "max_length", "batch_size", "size", "inputs", "test_only", "device", "precision",
                "training_precision")  # fmt: skip
        setting = tuple(run[name] for name in same)
        setting += (trains(run),)  # a network that is not trained is not judged
        if setting not in timed:
            timed[setting] = rates(run)
        cost, rate = counts(run), timed[setting]
        seconds = rate["run"] + sum(cost[passes] * rate[passes] for passes in ("trained", "scored", "grand"))
        passes = {name: cost[name] for name in ("updates", "trained", "scored")}
        rows.append({"task": run["task"], "kind": kind_of(run), "runs": 1} | passes | {"minutes": seconds / 60})
    columns = ["task", "kind", "runs", "updates", "trained", "scored", "minutes"]
    return pd.DataFrame(rows, columns=columns).groupby(["task", "kind"], sort=False, as_index=False).sum()


def trains(run: dict) -> bool:
    """Whether a run trains a network at all."""
    return run["epochs"] > 0 and not run["folds"]


def kind_of(run: dict) -> str:
    """The kind of a run, as the bill calls it."""
    named = {"folds": "out-of-fold", "schedule": "dynamic", "augment": "mix", "pool": "pool", "branch": "branch"}
    kept = "scoring" if run["keep"] is None else "random" if run["keep"]["rule"] == "random" else "pruned"
    return next((kind for setting, kind in named.items() if run[setting]), kept)
