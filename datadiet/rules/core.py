"""What a decision rule is made of: parts with an effect, an interval and a claimed side."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from datadiet import studies
from datadiet.errors import InputError

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


def per_task(rule):
    """A rule written for one task, applied to every task of the settings."""

    def on_all(settings, table):
        return [p for task in settings["tasks"] for p in rule(studies.of_task(settings, task), table, task)]

    return on_all
