"""The loss landscape: do kernels turn faster, and futures part for longer, where examples are hard?

Kinds of run, all on images: scoring runs, which are those of the other architecture in "GraNd at initialisation", and runs that
branch: they follow the kernel of a block of the hardest, middle, easiest and random examples, and measure barriers on groups.
"""

import numpy as np
import pandas as pd

from datadiet import runs
from datadiet.chapters import images
from datadiet.chapters.arms import stored, without_seed
from datadiet.training import landscape

BRANCH = ("spawn", "alphas", "share", "block")  # settings of the branches
KEYS = ["task", "seed", "group"]


def branched(settings: dict, task: str) -> list[dict]:
    """Runs that branch, a seed each. Seed s ranks by EL2N of the *other* seeds' scoring runs, at the first scoring point."""
    chosen, full = images.of_task(settings, task), images.scoring(settings, task)
    branch = {name: chosen[name] for name in BRANCH} | {"at": chosen["score_at"][0], "source": without_seed(full[0])}
    out, seeds = [], [run["seed"] for run in full]
    for seed in seeds:
        others = [other for other in seeds if other != seed]
        out.append(runs.config(**images.base(settings, task), seed=seed, branch=branch | {"seeds": others}))
    return out


def wanted(settings: dict) -> list[dict]:
    """Runs of the chapter "The loss landscape"."""
    return [run for task in settings["tasks"] for run in images.scoring(settings, task) + branched(settings, task)]


def _found(settings: dict, table: pd.DataFrame):
    """Task, config and row of every run of the table that branches."""
    rows = {row["key"]: row for row in table.to_dict("records")}
    for task in settings["tasks"]:
        for run in stored(table, branched(settings, task)).values():
            yield task, run, rows[runs.key(run)]


def velocities(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """How far the kernel of each block turned in each epoch, a row a task, seed, group and epoch.

    ``epoch``: the epoch at whose two ends the kernels were taken, from 1. ``after``: whether it began at the scoring point that
    the examples are ranked by, or later.
    """
    rows = [
        {"task": task, "seed": run["seed"], "group": group, "epoch": epoch, "velocity": value,
         "after": epoch - 1 >= row["ranked_epoch"]}
        for task, run, row in _found(settings, table)
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
        for task, run, row in _found(settings, table)
        for group, all_lines in row["errors"].items()
        for at, line in zip(run["branch"]["spawn"], all_lines, strict=True)
        for alpha, error in zip(np.linspace(0, 1, len(line)), line, strict=True)
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "spawn", "alpha", "error"])


def barriers(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Barrier between two futures, a row a task, seed, group and spawn point; ``epoch`` is the spawn point in epochs."""
    rows = [
        {"task": task, "seed": run["seed"], "group": group, "spawn": str(at), "epoch": epoch, "barrier": landscape.barrier(line)}
        for task, run, row in _found(settings, table)
        for group, all_lines in row["errors"].items()
        for at, epoch, line in zip(run["branch"]["spawn"], row["spawn_epochs"], all_lines, strict=True)
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "spawn", "epoch", "barrier"])


def behind(settings: dict, table: pd.DataFrame, height: float = landscape.STABLE) -> pd.DataFrame:
    """Moment until which futures that part end up behind a barrier above `height`, in epochs, a row a task, seed and group."""
    rows = []
    for (task, seed, group), some in barriers(settings, table).groupby(KEYS, sort=False):
        end = images.of_task(settings, task)["epochs"]
        epochs = landscape.epochs_behind(some["epoch"], some["barrier"], end, height)
        rows.append({"task": task, "seed": seed, "group": group, "epochs": epochs})
    return pd.DataFrame(rows, columns=[*KEYS, "epochs"])
