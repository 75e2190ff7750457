"""Parts of a decision rule: each has an effect, an interval, and a margin that the claim puts it above or below."""

from dataclasses import dataclass
from functools import wraps

import numpy as np
import pandas as pd
from scipy.stats import t as student

from datadiet.chapters.settings import alone
from datadiet.errors import InputError

ROUNDING = 1e-12  # width of an interval that is none
ENOUGH = 5  # paired seeds below which a verdict is only a hint


@dataclass(frozen=True)
class Part:
    """One effect of a rule. ``sign`` is +1 where the claim puts it above the margin, -1 below; n = 0 where runs are missing."""

    name: str
    effect: float
    low: float
    high: float
    n: int
    sign: int
    margin: float

    @property
    def outcome(self) -> str:
        """ "holds", "fails", "undecided", or "no runs"."""
        if not self.n:
            return "no runs"
        # Every seed gave the same difference, but for how it was rounded: both arms sit on a floor or a ceiling.
        if self.high - self.low < ROUNDING:
            return "undecided"
        if (self.low - self.margin) * self.sign > 0 and (self.high - self.margin) * self.sign > 0:
            return "holds"
        if (self.low - self.margin) * self.sign < 0 and (self.high - self.margin) * self.sign < 0:
            return "fails"
        return "undecided"

    @property
    def claimed(self) -> str:
        """The claimed side of the margin, in words."""
        return (
            f"{'above' if self.sign > 0 else 'below'} {self.margin:+g}"
            if self.margin
            else ("above 0" if self.sign > 0 else "below 0")
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
            f"parts.interval: {len(values)} value(s), all finite: {bool(np.isfinite(values).all())}; "
            "an interval needs at least two finite ones."
        )
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def part(name: str, values, *, above: float | None = None, below: float | None = None) -> Part:
    """A part from one value a seed, with what is claimed of it: exactly one of `above` and `below`, the margin."""
    sign, margin = (1, above) if above is not None else (-1, below)
    values = np.asarray(values, float)
    if len(values) < 2:
        return Part(name, np.nan, np.nan, np.nan, 0, sign, margin)
    return Part(name, *interval(values), len(values), sign, margin)


def jackknifed(name: str, whole: float, left_out, *, above: float) -> Part:
    """A part about a number that belongs to all seeds together: `whole` is its value, `left_out` that without each seed in turn.

    The interval is that of the jackknife: ``t * sqrt((n - 1) / n * sum((left_out - mean)^2))`` to either side.
    """
    left_out = np.asarray(left_out, float)
    n = len(left_out)
    if n < 2:
        return Part(name, np.nan, np.nan, np.nan, 0, 1, above)
    half = student.ppf(0.975, n - 1) * np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    return Part(name, float(whole), float(whole - half), float(whole + half), n, 1, above)


def difference(a: pd.Series, b: pd.Series) -> pd.Series:
    """Paired differences a - b, by seed, over the seeds that both have."""
    both = a.index.intersection(b.index)
    return (a[both] - b[both]).dropna()


def column(rows: pd.DataFrame, name: str, **chosen) -> pd.Series:
    """A column of a tidy table by seed, of the rows whose other columns have the values given; NaN left out."""
    for other, value in chosen.items():
        rows = rows[rows[other] == value]
    return rows.drop_duplicates("seed").set_index("seed")[name].dropna()


def per_task(rule):
    """A rule written for one task, applied to every task of the settings, as that task has them."""

    @wraps(rule)
    def on_all(settings, table, margins):
        return [found for task in settings["tasks"] for found in rule(alone(settings, task), table, task, margins)]

    return on_all
