"""Keys of exercises: the names of a student's answers, and the function that checks them. The notebook shows no truth."""

from collections.abc import Callable
from typing import NamedTuple

from datadiet.chapters.answers import Said


class Key(NamedTuple):
    """Names that the stub of an exercise leaves to be filled in, and the check of their values."""

    names: tuple[str, ...]
    check: Callable[..., Said]


KEYS: dict[str, Key] = {}
