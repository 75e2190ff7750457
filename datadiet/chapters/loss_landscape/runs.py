"""The loss landscape: do kernels turn faster, and futures part for longer, where examples are hard?

Kinds of run, all on images: scoring runs, which are those of the other architecture in "GraNd at initialisation", and runs that
branch: they follow the kernel of a block of the hardest, middle, easiest and random examples, and measure barriers on groups.
"""

import numpy as np
import pandas as pd

from datadiet import runs
from datadiet.chapters.arms import base, scoring
from datadiet.chapters.grand_at_init import runs as images
from datadiet.training import landscape

PLAN = ("spawn", "alphas", "share", "block")
OWN = ("optimizer", "inputs", "shifts")  # settings that only images have
KEYS = ["task", "seed", "group"]


def scored(settings: dict, task: str) -> list[dict]:
    """Scoring runs of a task, a seed each."""
    chosen = images.of_task(settings, task)
    return [run | {name: chosen[name] for name in OWN} for run in scoring(chosen, task)]


def branched(settings: dict, task: str) -> list[dict]:
    """Runs that branch, a seed each. Seed s ranks by EL2N of the *other* seeds' scoring runs, at the first scoring point."""
    chosen, full = images.of_task(settings, task), scored(settings, task)
    own = {name: chosen[name] for name in OWN}
    plan = {name: chosen[name] for name in PLAN} | {"at": chosen["score_at"][0]}
    plan |= {"source": {name: value for name, value in full[0].items() if name != "seed"}}
    seeds = [run["seed"] for run in full]
    return [
        runs.config(**base(chosen, task), **own, seed=seed, branch=plan | {"seeds": [other for other in seeds if other != seed]})
        for seed in seeds
    ]


def loss_landscape(settings: dict) -> list[dict]:
    """Runs of the chapter "The loss landscape"."""
    return [run for task in settings["tasks"] for run in scored(settings, task) + branched(settings, task)]


def _stored(settings: dict, table: pd.DataFrame):
    """Task, config and row of every run of the table that branches."""
    held = {row["key"]: row for row in table.to_dict("records")}
    for task in settings["tasks"]:
        for run in branched(settings, task):
            if runs.key(run) in held:
                yield task, run, held[runs.key(run)]


def velocities(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """How far the kernel of each block turned in each epoch, a row a task, seed, group and epoch.

    ``epoch``: the epoch at whose two ends the kernels were taken, from 1. ``after``: whether it began at the scoring point that
    the examples are ranked by, or later.
    """
    rows = [
        {"task": task, "seed": run["seed"], "group": group, "epoch": epoch, "velocity": value,
         "after": epoch - 1 >= row["ranked_epoch"]}
        for task, run, row in _stored(settings, table)
        for group, values in row["velocity"].items()
        for epoch, value in enumerate(values, start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=[*KEYS, "epoch", "velocity", "after"])


def lines(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Training error on the line between two futures, a row a task, seed, group, spawn point and place ``alpha`` on the line.

    ``alpha`` 0 is the run itself, 1 its other future.
    """
    rows = [
        {"task": task, "seed": run["seed"], "group": group, "spawn": str(at), "alpha": alpha, "error": error}
        for task, run, row in _stored(settings, table)
        for group, all_lines in row["errors"].items()
        for at, line in zip(run["branch"]["spawn"], all_lines, strict=True)
        for alpha, error in zip(np.linspace(0, 1, len(line)), line, strict=True)
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "spawn", "alpha", "error"])


def barriers(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Barrier between two futures, a row a task, seed, group and spawn point; ``epoch`` is the spawn point in epochs."""
    rows = [
        {"task": task, "seed": run["seed"], "group": group, "spawn": str(at), "epoch": epoch, "barrier": landscape.barrier(line)}
        for task, run, row in _stored(settings, table)
        for group, all_lines in row["errors"].items()
        for at, epoch, line in zip(run["branch"]["spawn"], row["spawn_epochs"], all_lines, strict=True)
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "spawn", "epoch", "barrier"])


def behind(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Until which moment futures that part end up behind a barrier, in ``epochs``, a row a task, seed and group."""
    found = barriers(settings, table)
    rows = [
        dict(zip(KEYS, of, strict=True))
        | {"epochs": landscape.epochs_behind(some["epoch"], some["barrier"], images.of_task(settings, of[0])["epochs"])}
        for of, some in found.groupby(KEYS, sort=False)
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "epochs"])
