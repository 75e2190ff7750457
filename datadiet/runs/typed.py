"""Settings of a run, each with its default, its type and its range: one table says them, and every value is checked by it.

table = {"epochs": whole(3, "passes over what is trained on", 0)}
stored(table, {"epochs": 5})                          # {"epochs": 5}; "five", 5.0, True and -1 are InputErrors

A value is stored in one form whatever form it came in: 0 as 0.0 where the setting is a float, a number of numpy as Python's.
"""

import math
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from datadiet.errors import InputError


class Setting(NamedTuple):
    """A default; the allowed values in words; and a function to the stored form, which raises ValueError where nothing fits."""

    default: object
    allowed: str
    form: Callable


def _refuse(condition: bool, seen: str = "") -> None:
    if condition:
        raise ValueError(seen)


def _or_none(default, allowed: str, form: Callable, none: str) -> Setting:
    """A setting that may also be None, which means `none`."""
    return Setting(default, f"{allowed}, or None for {none}", lambda value: None if value is None else form(value))


def whole(default, meaning: str, low: int, below: float = math.inf, none: str | None = None) -> Setting:
    """A whole number from `low` to below `below`."""

    def form(value):
        _refuse(type(value) is not int or not low <= value < below)  # type: a bool is an int, and never meant as one
        return value

    allowed = f"it is {meaning}, a whole number from {low}" + (f" to below {below}" if below < math.inf else "")
    return Setting(default, allowed, form) if none is None else _or_none(default, allowed, form, none)


def number(default, meaning: str, low: float = -math.inf, above: float = -math.inf, below: float = math.inf,
           high: float = math.inf, none: str | None = None) -> Setting:  # fmt: skip
    """A finite number: from `low`, above `above`, below `below`, at most `high`."""

    def form(value):
        _refuse(type(value) not in (int, float) or not (low <= value <= high and above < value < below))
        return float(value) + 0.0  # minus zero is zero

    limits = {"from {}": low, "above {}": above, "below {}": below, "at most {}": high}
    said = ", ".join(words.format(limit) for words, limit in limits.items() if abs(limit) < math.inf)
    return Setting(default, f"it is {meaning}, a number {said}".strip(), form)


def choice(default, meaning: str, choices: tuple, none: str | None = None) -> Setting:
    """One of `choices`."""

    def form(value):
        _refuse(type(value) is not str or value not in choices)
        return value

    allowed = f"choose one of {', '.join(choices)}: {meaning}"
    return Setting(default, allowed, form) if none is None else _or_none(default, allowed, form, none)


def flag(default: bool, meaning: str) -> Setting:
    """True or False."""

    def form(value):
        _refuse(type(value) is not bool)
        return value

    return Setting(default, f"it says {meaning}, True or False", form)


def text(default: str, meaning: str) -> Setting:
    """A name."""

    def form(value):
        _refuse(not isinstance(value, str) or not value)
        return str(value)

    return Setting(default, f"it is {meaning}, a name", form)


def _point(value):
    if type(value) is int and value >= 0:
        return value
    _refuse(not isinstance(value, str) or not re.fullmatch("[0-9]+ep", value), f"the scoring point {value!r}")
    return f"{int(value[:-2])}ep"


POINT = "an update step (0, 10, ...) or epochs ('1ep', '2ep', ...)"


def point(default, meaning: str, none: str) -> Setting:
    """A scoring point."""
    return _or_none(default, f"it is {meaning}, {POINT}", _point, none)


def points(default: list, meaning: str) -> Setting:
    """A list of scoring points."""
    return Setting(default, f"it is {meaning}, a list; each is {POINT}", _each(_point))


def seeds(default: list, meaning: str) -> Setting:
    """A list of seeds."""
    return Setting(default, f"it is {meaning}, a list of whole numbers from 0", _each(whole(0, "", 0).form))


def _each(form: Callable) -> Callable:
    def forms(values):
        _refuse(not isinstance(values, (list, tuple)))
        return [form(_plain(value)) for value in values]

    return forms


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value


def stored(table: dict[str, Setting], given: dict, where: str = "") -> dict:
    """`given` with each value in its stored form; names that are not in the table stay as they are.

    Raises
    ------
    InputError
        A value that its setting does not allow; `where` names the dict that it stands in.
    """
    out = dict(given)
    for name, value in given.items():
        if name not in table:
            continue
        try:
            out[name] = table[name].form(_plain(value))
        except (ValueError, OverflowError) as problem:
            seen = f"has {problem}" if isinstance(problem, ValueError) and str(problem) else f"{value!r}"
            raise InputError(f"runs.config: {where}{name} {seen}; {table[name].allowed}.") from None
    return out


def defaults(table: dict[str, Setting]) -> dict:
    """The default of every setting; a new list each time."""
    return {name: list(one.default) if isinstance(one.default, list) else one.default for name, one in table.items()}
