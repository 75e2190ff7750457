"""Rules of the chapter "Do other scores do better?"."""

from dataclasses import replace

import numpy as np
import pandas as pd

from datadiet.chapters.arms import by_seed
from datadiet.chapters.influence_scores.runs import FULL, RANDOM, SCORES, ahead, arm
from datadiet.chapters.parts import Part, interval, part, per_task

EARLY, LATE = "EL2N, early", "EL2N, late"
OTHERS = [name for name in SCORES if name not in (EARLY, LATE, "VoG")]  # plain VoG is the same score once more


def _mean_ahead(settings, table, task, name, fractions, against=RANDOM) -> pd.Series:
    """One arm minus another, mean over kept fractions, by seed; of the seeds that both arms have at every fraction."""
    gains = [ahead(settings, table, task, name, against, fraction) for fraction in sorted(fractions)]
    return pd.concat(gains, axis=1, join="inner").mean(axis=1) if gains else pd.Series(dtype=float)


def _if_learned(settings, table, task, clear: float, parts: list[Part]) -> list[Part]:
    """The parts, which decide nothing where the full data is not learned: of K classes, its interval not above 1/K + `clear`."""
    full = arm(settings, task, FULL)
    accuracy = by_seed(table, full)
    if len(accuracy) < 2:
        return [replace(each, effect=np.nan, low=np.nan, high=np.nan, n=0) for each in parts]
    classes = len(by_seed(table, full, "label_names").iloc[0])
    if interval(accuracy)[1] > 1 / classes + clear:
        return parts
    return [replace(each, name=f"{each.name} (not learned)", low=-np.inf, high=np.inf) if each.n else each for each in parts]


@per_task
def inf_1(settings, table, task, margins):
    """Most scores do not beat random; EL2N does while little is pruned, if it is taken early."""
    little, more = f"at least {margins['little']:.0%} kept", "less kept"
    most = [fraction for fraction in settings["fractions"] if fraction >= margins["little"]]
    rest = [fraction for fraction in settings["fractions"] if fraction < margins["little"]]
    parts = [
        part(f"{task}: {name} - random, {little}", _mean_ahead(settings, table, task, name, most), below=margins["not_ahead"])
        for name in OTHERS
    ]
    parts += [
        part(f"{task}: {EARLY} - random, {little}", _mean_ahead(settings, table, task, EARLY, most), above=margins["ahead"]),
        part(f"{task}: {EARLY} - random, {more}", _mean_ahead(settings, table, task, EARLY, rest), below=margins["not_ahead"]),
        part(f"{task}: {LATE} - random, {little}", _mean_ahead(settings, table, task, LATE, most), below=margins["not_ahead"]),
        part(f"{task}: EL2N, early - late, {little}", _mean_ahead(settings, table, task, EARLY, most, against=LATE),
             above=margins["earlier"]),
    ]
    return _if_learned(settings, table, task, margins["learned"], parts)


@per_task
def inf_3(settings, table, task, margins):
    """The 55 % of highest class-normalised VoG train nearly as good a model as all."""
    name = f"{task}: VoG within the class - full data, {settings['fraction']:.0%} kept"
    found = part(name, ahead(settings, table, task, "VoG within the class", FULL), above=margins["cost"])
    return _if_learned(settings, table, task, margins["learned"], [found])


RULES = {"INF-1": inf_1, "INF-3": inf_3}
