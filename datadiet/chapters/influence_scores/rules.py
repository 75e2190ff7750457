"""Rules of the chapter "Do other scores do better?"."""

from dataclasses import replace

import numpy as np
import pandas as pd

from datadiet.chapters.influence_scores.runs import SCORES, influence_arm
from datadiet.chapters.parts import Part, interval, part, per_task

LITTLE = 0.75  # kept fractions from here up are "little pruned": the paper has EL2N ahead for 0 to 25 % pruned
AHEAD = 0.01  # a score does not beat random where it is less than a point ahead
CLEAR = 0.1  # by how much the full data must beat a coin of K sides for a task to decide anything
OTHERS = [name for name in SCORES if not name.startswith("EL2N") and name != "VoG"]  # plain VoG is the same score once more


def _ahead(settings, table, task, name: str, little: bool, of: str = "random") -> np.ndarray:
    """What an arm is ahead of another, mean over the fractions where little, or more than little, is pruned; by seed."""
    fractions = [f for f in sorted(settings["tasks"][task]) if (f >= LITTLE) == little]
    by_seed = [influence_arm(settings, table, task, name, f) - influence_arm(settings, table, task, of, f)
               for f in fractions]
    return pd.concat(by_seed, axis=1).dropna().mean(axis=1).to_numpy() if by_seed else np.array([])


def learned(settings, table, task) -> bool:
    """Whether the full data is learned clearly above chance: its interval lies above 1/K + 0.1."""
    full = influence_arm(settings, table, task, "full data")
    if len(full) < 2:
        return False
    names = table.loc[(table["task"] == task) & (table["rule"] == "full"), "label_names"].iloc[0]
    return interval(full)[1] > 1 / len(names) + CLEAR


def _if_learned(settings, table, task, parts: list[Part]) -> list[Part]:
    """The parts, which decide nothing where the task is not learned."""
    if learned(settings, table, task):
        return parts
    return [replace(each, name=f"{each.name} (not learned)", low=-np.inf, high=np.inf) if each.n else each for each in parts]


@per_task
def inf_1(settings, table, task):
    """Most scores do not beat random; EL2N does while little is pruned, if it is read early."""
    little, more = f"at least {LITTLE:.0%} kept", "less kept"
    parts = [part(f"{task}: {name} - random, {little}", _ahead(settings, table, task, name, True), below=AHEAD)
             for name in OTHERS]
    parts += [
        part(f"{task}: EL2N, early - random, {little}", _ahead(settings, table, task, "EL2N, early", True), above=0.0),
        part(f"{task}: EL2N, early - random, {more}", _ahead(settings, table, task, "EL2N, early", False), below=AHEAD),
        part(f"{task}: EL2N, late - random, {little}", _ahead(settings, table, task, "EL2N, late", True), below=AHEAD),
        part(f"{task}: EL2N, early - late, {little}",
             _ahead(settings, table, task, "EL2N, early", True, of="EL2N, late"), above=0.0),
    ]
    return _if_learned(settings, table, task, parts)


@per_task
def inf_3(settings, table, task):
    """The 55 % of highest class-normalised VoG train nearly as good a model as all."""
    kept = settings["timing_fraction"]
    cost = influence_arm(settings, table, task, "VoG within the class", kept)
    cost = (cost - influence_arm(settings, table, task, "full data")).dropna().to_numpy()
    found = part(f"{task}: VoG within the class - full data, {kept:.0%} kept", cost, above=-0.01)
    return _if_learned(settings, table, task, [found])


RULES = {"INF-1": inf_1, "INF-3": inf_3}
