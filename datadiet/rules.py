"""The decision rules of ``claims.yml`` as code, one function a claim: settings and a table of runs in, parts out.

A part is an effect with a 95 % interval and the side of a margin on which the claim puts it: it holds when the interval lies
wholly on that side, fails when wholly on the other, and is undecided otherwise. A rule is committed before the runs it judges.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from datadiet import studies
from datadiet.errors import InputError

EARLY = 30  # steps up to which a scoring point counts as one of the first steps
ENOUGH = 5  # paired seeds below which a verdict is only a hint


@dataclass(frozen=True)
class Part:
    """One effect of a rule. ``side`` is +1 where the claim puts it above the margin, -1 below; n = 0 where runs are missing."""

    name: str
    effect: float
    low: float
    high: float
    n: int
    side: int
    margin: float

    @property
    def outcome(self) -> str:
        """ "holds", "fails", "undecided", or "no runs"."""
        if not self.n:
            return "no runs"
        if self.low == self.high:  # every seed gave the same difference: both arms sit on a floor or a ceiling
            return "undecided"
        if (self.low - self.margin) * self.side > 0 and (self.high - self.margin) * self.side > 0:
            return "holds"
        if (self.low - self.margin) * self.side < 0 and (self.high - self.margin) * self.side < 0:
            return "fails"
        return "undecided"

    @property
    def claimed(self) -> str:
        """The claimed side in words."""
        return (
            f"{'above' if self.side > 0 else 'below'} {self.margin:+g}"
            if self.margin
            else ("above 0" if self.side > 0 else "below 0")
        )


def interval(values) -> tuple[float, float, float]:
    """Mean of paired differences and its 95 % t-interval: (mean, low, high).

    >>> interval([1.0, 2.0, 3.0])[0]
    2.0
    >>> [round(float(end), 2) for end in interval([1.0, 2.0, 3.0])]
    [2.0, -0.48, 4.48]

    Raises
    ------
    InputError
        Fewer than two values, or one that is not finite.
    """
    values = np.asarray(values, float)
    if len(values) < 2 or not np.isfinite(values).all():
        raise InputError(
            f"rules.interval: {len(values)} value(s), all finite: {bool(np.isfinite(values).all())}; "
            "an interval needs at least two finite ones."
        )
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def part(name: str, values, *, above: float | None = None, below: float | None = None) -> Part:
    """A part from one value a seed, with its claimed side: exactly one of `above` and `below`."""
    side, margin = (1, above) if above is not None else (-1, below)
    values = np.asarray(values, float)
    if len(values) < 2:
        return Part(name, np.nan, np.nan, np.nan, 0, side, margin)
    return Part(name, *interval(values), len(values), side, margin)


def difference(a: pd.Series, b: pd.Series) -> np.ndarray:
    """Paired differences a - b over the seeds both have."""
    both = a.index.intersection(b.index)
    return (a[both] - b[both]).to_numpy()


def _early(settings: dict) -> list:
    return [at for at in settings["score_at"] if isinstance(at, int) and at <= EARLY]


def _timing(settings, table, task, at, **chosen):
    return studies.arm(table, task, "hardest", fraction=settings["timing_fraction"], at=at, **chosen)


def _random(settings, table, task, fraction=None):
    return studies.arm(table, task, "random", fraction=fraction or settings["timing_fraction"])


def _per_task(rule):
    """A rule written for one task, applied to every task of the settings."""

    def on_all(settings, table):
        return [p for task in settings["tasks"] for p in rule(settings, table, task)]

    return on_all


@_per_task
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


@_per_task
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


@_per_task
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


@_per_task
def bdd_4(settings, table, task):
    """Skipping a few of the hardest keeps or raises accuracy."""
    return [part(f"{task}: hardest after skipping the top 5 % - hardest", _window(settings, table, task), above=-0.005)]


def _window(settings, table, task):
    hardest = {"rule": "hardest", "fraction": settings["timing_fraction"], "at": studies.RETRAIN_AT}
    return difference(studies.arm(table, task, **hardest, offset=0.05), studies.arm(table, task, **hardest))


def _fractions(settings, table, task, rule="hardest", against="random"):
    """Paired differences at each kept fraction, smallest first."""
    out = {}
    for fraction in sorted(settings["tasks"][task]):
        other = {"fraction": 1.0} if against == "full" else {"fraction": fraction}
        out[fraction] = difference(
            studies.arm(table, task, rule, fraction=fraction, at=studies.RETRAIN_AT),
            studies.arm(table, task, against, **other),
        )
    return out


@_per_task
def bdd_5(settings, table, task):
    """Hardest against random crosses over with the kept fraction."""
    by = _fractions(settings, table, task)
    low, high = min(by), max(by)
    return [
        part(f"{task}: hardest - random, {low:.0%} kept", by[low], below=0.0),
        part(f"{task}: hardest - random, {high:.0%} kept", by[high], above=0.0),
    ]


@_per_task
def bdd_6(settings, table, task):
    """No hardest subset beats the full data."""
    by = _fractions(settings, table, task, against="full")
    return [part(f"{task}: hardest - full data, {fraction:.0%} kept", values, below=0.01) for fraction, values in by.items()] + [
        part(f"{task}: hardest - full data, {min(by):.0%} kept: a loss", by[min(by)], below=0.0)
    ]


def _approximation(settings, table, task, column, at):
    found = studies.approximation(settings, table)
    if not len(found) or column not in found:
        return pd.Series(dtype=float)
    return found[(found["task"] == task) & (found["at"] == str(at))].set_index("seed")[column]


@_per_task
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


@_per_task
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


@_per_task
def p21_4(settings, table, task):
    """Keeping only the hardest collapses at extreme pruning."""
    by = _fractions(settings, table, task)
    low, high = min(by), max(by)
    n = min(len(by[low]), len(by[high]))
    return [
        part(f"{task}: hardest - random, {low:.0%} kept", by[low], below=0.0),
        part(f"{task}: the same at {low:.0%} - at {high:.0%} kept", by[low][:n] - by[high][:n], below=0.0),
    ]


@_per_task
def p21_5(settings, table, task):
    """The best window leaves out the very top."""
    return [part(f"{task}: hardest after skipping the top 5 % - hardest", _window(settings, table, task), above=0.0)]


@_per_task
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


@_per_task
def inf_2(settings, table, task):
    """Pruning the hard ones hurts more than pruning the easy ones."""
    high = max(settings["tasks"][task])
    at = {"fraction": high, "at": studies.RETRAIN_AT}
    return [
        part(
            f"{task}: easiest - hardest, {high:.0%} kept",
            difference(studies.arm(table, task, "easiest", **at), studies.arm(table, task, "hardest", **at)),
            below=0.0,
        )
    ]


RULES = {
    "BDD-1": bdd_1,
    "BDD-2": bdd_2,
    "BDD-3": bdd_3,
    "BDD-4": bdd_4,
    "BDD-5": bdd_5,
    "BDD-6": bdd_6,
    "BDD-7": bdd_7,
    "P21-3": p21_3,
    "P21-4": p21_4,
    "P21-5": p21_5,
    "P21-6": p21_6,
    "INF-2": inf_2,
}
