"""Rules of the chapter "Score timing"."""

import numpy as np
import pandas as pd
from scipy.stats import t as student

from datadiet import studies
from datadiet.rules.core import ENOUGH, Part, difference, part, per_task

EARLY = 30  # steps up to which a scoring point counts as one of the first steps


def _early(settings: dict) -> list:
    return [at for at in settings["score_at"] if isinstance(at, int) and at <= EARLY]


def _timing(settings, table, task, at, **chosen):
    return studies.arm(table, task, "hardest", fraction=settings["timing_fraction"], at=at, **chosen)


def _random(settings, table, task, fraction=None):
    return studies.arm(table, task, "random", fraction=fraction or settings["timing_fraction"])


@per_task
def bdd_1(settings, table, task):
    """Early scores select worse than random."""
    return [
        part(
            f"{task}: hardest by EL2N at step {at} - random",
            difference(_timing(settings, table, task, at), _random(settings, table, task)),
            below=0.0,
        )
        for at in _early(settings)
    ]


@per_task
def bdd_2(settings, table, task):
    """Usable at one epoch, not before."""
    random = _random(settings, table, task)
    late = part(
        f"{task}: hardest by EL2N at one epoch - random",
        difference(_timing(settings, table, task, studies.RETRAIN_AT), random),
        above=-0.01,
    )
    return [late] + [
        part(
            f"{task}: hardest by EL2N at step {at} - random",
            difference(_timing(settings, table, task, at), random),
            below=-0.01,
        )
        for at in _early(settings)
    ]


@per_task
def bdd_3(settings, table, task):
    """The early failure goes with class skew, which evens out."""
    first, skew = settings["score_at"][0], studies.skew(settings, table)
    by_seed = {at: pd.Series(dtype=float) for at in (first, studies.RETRAIN_AT)}
    if len(skew):
        one = skew[skew["task"] == task].drop_duplicates(["at", "seed"])
        by_seed = {at: one[one["at"] == str(at)].set_index("seed")["skew"] for at in by_seed}
    plain, balanced = _timing(settings, table, task, first), _timing(settings, table, task, first, balanced=True)
    return [
        part(
            f"{task}: class skew at step {first} - at one epoch",
            difference(by_seed[first], by_seed[studies.RETRAIN_AT]),
            above=0.0,
        ),
        part(f"{task}: class skew at one epoch", by_seed[studies.RETRAIN_AT], below=0.1),
        part(f"{task}: class-balanced hardest - hardest, scored at step {first}", difference(balanced, plain), above=0.0),
    ]


def _approximation(settings, table, task, column, at):
    found = studies.approximation(settings, table)
    if not len(found) or column not in found:
        return pd.Series(dtype=float)
    return found[(found["task"] == task) & (found["at"] == str(at))].set_index("seed")[column]


@per_task
def bdd_7(settings, table, task):
    """Head-only GraNd and EL2N select the same."""
    at = studies.RETRAIN_AT
    return [
        part(
            f"{task}: rho of head GraNd and EL2N at one epoch",
            _approximation(settings, table, task, "head_rho", at),
            above=0.95,
        ),
        part(
            f"{task}: overlap of their hardest halves",
            _approximation(settings, table, task, "head_overlap", at),
            above=0.9,
        ),
    ]


def _gain_of_averaging(pairs: pd.DataFrame) -> float:
    return pairs[pairs["k"] == pairs["k"].max()]["rho"].mean() - pairs[pairs["k"] == 1]["rho"].mean()


@per_task
def p21_3(settings, table, task):
    """Averaging over runs is essential."""
    pairs = studies.averaging(settings, table)
    name = f"{task}: agreement of averaged scores - of single runs"
    agreement = Part(name, np.nan, np.nan, np.nan, 0, 1, 0.0)
    seeds = range(settings["seeds"])
    if len(pairs) and len(seeds) >= ENOUGH:
        pairs = pairs[pairs["task"] == task]
        # Pairs of runs share runs: a jackknife over seeds, not a t-interval over pairs, says how sure we are.
        left_out = np.array([_gain_of_averaging(pairs[[s not in used for used in pairs["runs"]]]) for s in seeds])
        effect, n = _gain_of_averaging(pairs), len(left_out)
        half = student.ppf(0.975, n - 1) * np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
        agreement = Part(name, float(effect), float(effect - half), float(effect + half), n, 1, 0.0)
    mean = _timing(settings, table, task, studies.RETRAIN_AT)
    one = _timing(settings, table, task, studies.RETRAIN_AT, score_seeds=1)
    # Leaving out one of fewer than five runs leaves too few to compare averages of two.
    return [agreement] * (len(seeds) >= ENOUGH) + [
        part(f"{task}: hardest by the averaged score - by one run's", difference(mean, one), above=0.0)
    ]


@per_task
def p21_6(settings, table, task):
    """EL2N approximates GraNd after training, not at initialisation."""
    first, late = (_approximation(settings, table, task, "full_rho", at) for at in (settings["score_at"][0], studies.RETRAIN_AT))
    return [
        part(
            f"{task}: rho of full GraNd and EL2N, one epoch - step {settings['score_at'][0]}",
            difference(late, first),
            above=0.0,
        ),
        part(f"{task}: rho of full GraNd and EL2N at one epoch", late, above=0.8),
    ]


RULES = {"BDD-1": bdd_1, "BDD-2": bdd_2, "BDD-3": bdd_3, "BDD-7": bdd_7, "P21-3": p21_3, "P21-6": p21_6}
