"""Parts of a decision rule: each has an effect, an interval, and a margin that the claim puts it above or below."""

from dataclasses import dataclass, replace
from functools import wraps

import numpy as np
import pandas as pd
from scipy.stats import t as student

from datadiet.chapters.settings import alone
from datadiet.errors import InputError

ROUNDING = 1e-12  # width of an interval that is none
ENOUGH = 5  # paired seeds below which a verdict is only a hint
CONSTANT = 0.2  # share of an arm's runs that may be constant classifiers
FLOOR = "on the floor"
SHARE, RHO, BETWEEN_RHOS = (0.0, 1.0), (-1.0, 1.0), (-2.0, 2.0)  # bounds of shares, of correlations and of their differences


@dataclass(frozen=True)
class Part:
    """One effect of a rule. ``sign`` is +1 where the claim puts it above the margin, -1 below; n = 0 where runs are missing.

    ``constant``: the largest share of constant classifiers in an arm that it compares. ``task``: the task it is about.
    """

    name: str
    effect: float
    low: float
    high: float
    n: int
    sign: int
    margin: float
    constant: float = 0.0
    task: str = ""

    @property
    def short(self) -> str:
        """The name without that of the task."""
        return self.name.removeprefix(f"{self.task}: ").removeprefix(f"{self.task}, ")

    @property
    def outcome(self) -> str:
        """ "holds", "fails", "undecided", "on the floor", or "no runs"."""
        if not self.n:
            return "no runs"
        if self.constant > CONSTANT:
            return FLOOR
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


def part(name: str, values, *, above: float | None = None, below: float | None = None, within=(-np.inf, np.inf)) -> Part:
    """A part from one value a seed, with its claim: exactly one of `above` and `below`, the margin.

    `within`: the least and the largest value that there can be; the interval ends there.
    """
    sign, margin = (1, above) if above is not None else (-1, below)
    constant = getattr(values, "attrs", {}).get("constant", 0.0)
    values = np.asarray(values, float)
    if len(values) < 2:
        return Part(name, np.nan, np.nan, np.nan, 0, sign, margin)
    return Part(name, *bounded(interval(values), within), len(values), sign, margin, constant)


def bounded(found: tuple[float, float, float], within: tuple[float, float]) -> tuple[float, float, float]:
    """A mean and its interval, whose ends lie no further out than the values themselves can.

    >>> bounded((0.98, 0.95, 1.01), SHARE)
    (0.98, 0.95, 1.0)
    """
    mean, low, high = found
    return mean, max(low, within[0]), min(high, within[1])


def jackknifed(name: str, whole: float, left_out, *, above: float, within=(-np.inf, np.inf)) -> Part:
    """A part about a number that belongs to all seeds together: `whole` is its value, `left_out` that without each seed in turn.

    The interval is that of the jackknife: ``t * sqrt((n - 1) / n * sum((left_out - mean)^2))`` to either side.
    """
    left_out = np.asarray(left_out, float)
    n = len(left_out)
    if n < 2:
        return Part(name, np.nan, np.nan, np.nan, 0, 1, above)
    half = student.ppf(0.975, n - 1) * np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    return Part(name, *bounded((float(whole), float(whole - half), float(whole + half)), within), n, 1, above)


def difference(a: pd.Series, b: pd.Series) -> pd.Series:
    """Paired differences a - b, by seed, over the seeds that both have.

    ``attrs["constant"]``: the larger of the two arms' shares of constant classifiers.
    """
    both = a.index.intersection(b.index)
    found = (a[both] - b[both]).dropna()
    found.attrs["constant"] = max(each.attrs.get("constant", 0.0) for each in (a, b))
    return found


def however_constant(arm: pd.Series) -> pd.Series:
    """An arm whose constant classifiers are a finding, as where a claim says that it collapses, and no floor."""
    found = arm.copy()
    found.attrs["constant"] = 0.0
    return found


def column(rows: pd.DataFrame, name: str, **chosen) -> pd.Series:
    """A column of a tidy table by seed, of the rows whose other columns have the values given; NaN left out."""
    for other, value in chosen.items():
        rows = rows[rows[other] == value]
    return rows.drop_duplicates("seed").set_index("seed")[name].dropna()


def per_task(rule):
    """A rule written for one task, applied to every task of the settings, as that task has them."""

    @wraps(rule)
    def on_all(settings, table, margins):
        return [replace(found, task=task)
                for task in settings["tasks"] for found in rule(alone(settings, task), table, task, margins)]

    return on_all
