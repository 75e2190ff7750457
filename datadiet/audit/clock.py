"""A budget of time: how much is left, and which work still fits."""

import re
import time

from datadiet.errors import InputError

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


class Clock:
    """Seconds since it was made, and those left of `budget`."""

    def __init__(self, budget: float):
        self.budget, self.start = budget, time.monotonic()

    @property
    def spent(self) -> float:
        return time.monotonic() - self.start

    @property
    def left(self) -> float:
        return self.budget - self.spent
