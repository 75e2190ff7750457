"""The runs that a user asks for by the names of chapters and a profile, with the nearest name where one is misspelt."""

import difflib

from datadiet import chapters
from datadiet.chapters import settings
from datadiet.errors import InputError


def asked(names, profile: str, changes: dict) -> tuple[str, list[dict]]:
    """The engine of a profile, and the runs that chapters ask for in it; all chapters with runs where none is named.

    A change is made in every chapter that has the parameter.

    Raises
    ------
    InputError
        Unknown chapter, profile or parameter, or a change to another kind of value.
    """
    for name in names:
        if name not in chapters.NAMES:
            near = difflib.get_close_matches(name, chapters.NAMES, n=3)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise InputError(f"datadiet: no chapter {name!r} asks for runs. {hint}Those that do: {', '.join(chapters.NAMES)}.")
    names = names or [name for name in chapters.NAMES if settings.has(profile, name)]
    own = {name: settings.settings_of(profile, name) for name in names}
    unknown = sorted(set(changes).difference(*own.values()))
    if unknown:
        near = difflib.get_close_matches(unknown[0], {key for each in own.values() for key in each}, n=3)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"datadiet: no parameter {', '.join(map(repr, unknown))} in {', '.join(own)}.{hint}")
    own = {name: settings.checked(old | {key: value for key, value in changes.items() if key in old}, name)
           for name, old in own.items()}
    return next(iter(own.values()))["engine"], [run for name, new in own.items() for run in chapters.wanted(name, new)]


def alone(names, changes) -> None:
    """Raise where a chapter or a parameter is named beside --queue, whose entries name their own."""
    if names or changes:
        raise InputError(f"--queue: the entries of the queue name their chapters and settings; leave out "
                         f"{', '.join([*names, *(f'-p {name}' for name, _ in changes)])}.")
