"""Rules of the chapter "Do other scores do better?"."""

import pandas as pd

from datadiet.chapters.influence_scores.runs import FULL, RANDOM, ahead, arm
from datadiet.chapters.parts import part, per_task

EARLY, LATE = "EL2N, early", "EL2N, late"
OTHERS = ("forgetting", "area under the margin")  # VoG is the score that the paper has succeed (INF-3)


def full(settings: dict, task: str) -> list[dict]:
    """Runs on the full data."""
    return arm(settings, task, FULL)


def _mean_ahead(settings, table, task, name, fractions, against=RANDOM) -> pd.Series:
    """One arm minus another, mean over kept fractions, by seed; of the seeds that both arms have at every fraction."""
    gains = [ahead(settings, table, task, name, against, fraction) for fraction in sorted(fractions)]
    mean = pd.concat(gains, axis=1, join="inner").mean(axis=1) if gains else pd.Series(dtype=float)
    mean.attrs["constant"] = max((each.attrs["constant"] for each in gains), default=0.0)
    return mean


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
    return parts


@per_task
def inf_3(settings, table, task, margins):
    """The 55 % of highest class-normalised VoG train nearly as good a model as all."""
    name = f"{task}: VoG within the class - full data, {settings['fraction']:.0%} kept"
    return [part(name, ahead(settings, table, task, "VoG within the class", FULL), above=margins["cost"])]


@per_task
def early_el2n_beats_random(settings, table, task, margins):
    """Control: where little is pruned, the score that is known to work does."""
    most = [fraction for fraction in settings["fractions"] if fraction >= margins["little"]]
    gain = _mean_ahead(settings, table, task, EARLY, most)
    return [part(f"{task}: {EARLY} - random, at least {margins['little']:.0%} kept", gain, above=margins["control"])]


@per_task
def random_costs(settings, table, task, margins):
    """Control: pruning as many at random costs more than the claim allows, or any choice would do."""
    return [part(f"{task}: random - full data, {settings['fraction']:.0%} kept", ahead(settings, table, task, RANDOM, FULL),
                 below=margins["control"])]


CONTROLS = {"INF-1": early_el2n_beats_random, "INF-3": random_costs}


RULES = {"INF-1": inf_1, "INF-3": inf_3}
