"""Before and after a sweep: what it will cost on this machine, and whether published runs come out again.

plan(studies.score_timing(settings))          # runs, updates, minutes, from a timed sample here
verify(configs, sample=3)                     # computes three published runs anew and compares
"""

import time

import numpy as np
import pandas as pd

from datadiet import dynamic, runs
from datadiet.data import shrink
from datadiet.errors import InputError
from datadiet.runs import store
from datadiet.training import fairness, growth, landscape

SAMPLE_UPDATES = 8  # of the timed sample: enough to see the rate, few enough to wait for


def _cost(run: dict, train_split) -> dict:
    """Counts of one run on a training set: updates, examples trained, scored, and scored by full GraNd."""
    from datadiet.training import loop

    n = len(train_split)
    if run["schedule"] is not None:
        sizes, scored = dynamic.bill(run["schedule"], n, run["epochs"])
        updates = sum(loop.updates_per_epoch(size, run["batch_size"]) for size in sizes)
        return {"updates": updates, "trained": sum(sizes), "scored": scored, "grand": 0}
    if run["branch"] is not None:
        plan, total = run["branch"], loop.budget(run, n, n)
        updates = total + sum(total - loop.step_of(at, n, run["batch_size"]) for at in plan["spawn"])
        # A kernel holds a gradient for every logit; forming and comparing them all costs about as much again.
        kernels = 2 * len(np.unique(train_split.labels)) * len(landscape.GROUPS) * plan["block"] * (run["epochs"] + 1)
        passes, lines = updates / loop.updates_per_epoch(n, run["batch_size"]), 1 + len(plan["spawn"]) * (plan["alphas"] - 1)
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
    own = dict.fromkeys(("keep", "schedule", "augment", "pool", "branch")) | {"vog": False}
    short = run | own | {"epochs": min(1, run["epochs"]), "budget": "epochs", "score_at": [0], "grand_size": min(size, 64)}
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


def plan(configs) -> pd.DataFrame:
    """The bill of what is not stored yet, a row for each task and kind of run; minutes are those of one process here.

    Returns
    -------
    DataFrame
        task, kind ("scoring", "pruned", "random", "dynamic", "mix", "pool", "branch"), runs, updates, trained, scored, minutes;
        empty when all is stored.
    """
    todo, timed, rows = runs.missing(configs), {}, []
    for run in todo:
        same = ("task", "encoder", "layers", "max_length", "batch_size", "size", "inputs", "test_only")
        setting = tuple(run[name] for name in same)
        setting += (run["epochs"] > 0,)  # an untrained network is not judged
        if setting not in timed:
            timed[setting] = rates(run)
        cost, rate = _cost(run, runs.task_of(run).train), timed[setting]
        seconds = rate["run"] + sum(cost[what] * rate[what] for what in ("trained", "scored", "grand"))
        kind = "scoring" if run["keep"] is None else "random" if run["keep"]["rule"] == "random" else "pruned"
        named = {"schedule": "dynamic", "augment": "mix", "pool": "pool", "branch": "branch"}
        kind = next((word for name, word in named.items() if run[name]), kind)
        rows.append(
            {"task": run["task"], "kind": kind, "runs": 1}
            | {k: cost[k] for k in ("updates", "trained", "scored")}
            | {"minutes": seconds / 60}
        )
    columns = ["task", "kind", "runs", "updates", "trained", "scored", "minutes"]
    return pd.DataFrame(rows, columns=columns).groupby(["task", "kind"], sort=False, as_index=False).sum()


def verify(configs, sample: int = 3, seed: int = 0, tolerance: float = 0.02) -> pd.DataFrame:
    """Compute a random sample of the published runs among `configs` anew, storing nothing, and compare.

    Other hardware, thread counts and releases round differently, and training amplifies it; on the same ones a run must come
    out equal. ``outcome`` is "equal", "close" (test accuracy within `tolerance`) or "differs".

    Raises
    ------
    InputError
        `sample` below 1, or nothing published among `configs`.
    """
    if sample < 1:
        raise InputError(f"audit.verify: a sample of {sample} runs; ask for at least 1.")
    by_key = {runs.key(run): run for run in configs if run["epochs"]}  # an untrained network has no accuracy to compare
    held = store.published(by_key)
    if not held:
        raise InputError("audit.verify: none of these runs is published in results/; there is nothing to compare with.")
    chosen = np.random.default_rng(seed).choice(sorted(held), min(sample, len(held)), replace=False)
    rows = []
    for key in map(str, chosen):
        metrics, provenance, _ = runs.again(by_key[key])
        old, new = held[key]["metrics"]["test_accuracy"], metrics["test_accuracy"]
        same = all(held[key]["provenance"][name] == provenance[name] for name in ("hardware", "threads", "versions"))
        outcome = "equal" if old == new else "close" if abs(old - new) <= tolerance else "differs"
        rows.append(
            {
                "key": key[:12],
                "task": by_key[key]["task"],
                "published": old,
                "here": new,
                "same_machine": same,
                "outcome": outcome,
            }
        )
    return pd.DataFrame(rows)
