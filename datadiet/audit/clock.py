"""A budget of time: how much is left, and which work still fits."""

import math
import re
import time

from datadiet.errors import InputError

OVER = 0.2  # of a budget, by which it may be passed
UNITS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "seconds": 1,
    "min": 60,
    "m": 60,
    "minute": 60,
    "minutes": 60,
    "h": 3600,
    "hour": 3600,
    "hours": 3600,
    "": 60,
}


def seconds(budget) -> float:
    """Seconds of a budget: "30s", "5min", "1h", "1h 30min"; a bare number is minutes.

    >>> seconds("30s"), seconds("5 min"), seconds("1h30min"), seconds(0.5)
    (30.0, 300.0, 5400.0, 30.0)

    Raises
    ------
    InputError
        Another spelling, or nothing above zero.
    """
    spelt = str(budget).strip().lower()
    parts = re.findall(r"(\d+(?:\.\d*)?(?:e-?\d+)?|\.\d+)\s*([a-z]*)", spelt)
    rest = re.sub(r"(\d+(?:\.\d*)?(?:e-?\d+)?|\.\d+)\s*([a-z]*)", "", spelt)
    if (
        not parts
        or rest.strip()
        or any(unit not in UNITS for _, unit in parts)
        or len(parts) > 1
        and any(not u for _, u in parts)
    ):
        raise InputError(f"--budget: {budget!r} is no time; write 30s, 5min or 1h (a bare number is minutes).")
    found = sum(float(number) * UNITS[unit] for number, unit in parts)
    if not 0 < found < float("inf"):
        raise InputError(f"--budget: {budget!r}; give a time above zero, such as 30s or 5min.")
    return found


def rounded(needed: float) -> str:
    """A budget of at least `needed` seconds, as one gives it: tens of seconds, minutes, then hours.

    >>> rounded(31.0), rounded(90.0), rounded(95.0), rounded(4000.0), rounded(8000.0)
    ('40s', '90s', '2min', '67min', '3h')
    """
    for most, unit, word in ((90, 10, "s"), (7200, 60, "min"), (float("inf"), 3600, "h")):
        if needed <= most:
            return f"{math.ceil(needed / unit) * (10 if word == 's' else 1)}{word}"
    raise InputError(f"datadiet score: {needed} is no time.")


class Clock:
    """Seconds since it was made, or since `start`, and those left of `budget`.

    Parameters
    ----------
    budget : float
        Seconds.
    start : float, optional
        Reading of ``time.monotonic()`` at the start of the command, whose imports count as well.
    """

    def __init__(self, budget: float, start: float | None = None):
        self.budget, self.start = budget, time.monotonic() if start is None else start

    @property
    def spent(self) -> float:
        return time.monotonic() - self.start

    @property
    def left(self) -> float:
        return self.budget - self.spent

    @property
    def bound(self) -> float:
        """Seconds until the budget is passed by a fifth, which is as far as a budget is promised to be kept."""
        return self.left + OVER * self.budget
