"""The settings of a chapter: ``profiles/PROFILE/CHAPTER.yml``, a papermill parameter file whose keys are its parameters cell.

    settings = settings_of("lab", "score-timing")               # or settings_of("lab", "score-timing", seeds=5)
    of_task(settings, "cola")                                   # with what ``per_task`` changes for one task
"""

import re

import yaml

from datadiet import paths
from datadiet.errors import InputError

RETRAIN_AT = "1ep"  # scoring point of every experiment that is not about timing: BERT on a Data Diet's choice
MEASURES = {"cola": "matthews", "hub:cola": "matthews"}  # what a task is judged by, where it is not accuracy: GLUE's choice


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, as it is everywhere but in YAML 1.1."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parsed(text: str):
    """A YAML value; 1e-3 is a number."""
    return yaml.load(text, _Loader)


def profiles() -> list[str]:
    """Names of the profiles there are."""
    return sorted(folder.name for folder in (paths.root() / "profiles").iterdir() if folder.is_dir())


def file_of(profile: str, chapter: str):
    """The parameter file of a chapter in a profile; it need not exist.

    Raises
    ------
    InputError
        Unknown profile.
    """
    if profile not in profiles():
        raise InputError(f"settings: unknown profile {profile!r}; choose one of {', '.join(profiles())}.")
    return paths.root() / "profiles" / profile / f"{chapter}.yml"


def has(profile: str, chapter: str) -> bool:
    """Whether a profile has a parameter file for a chapter; one that has none asks for no runs of it."""
    return file_of(profile, chapter).is_file()


def settings_of(profile: str, chapter: str, **changes) -> dict:
    """The settings of a chapter in a profile, with `changes`.

    Raises
    ------
    InputError
        Unknown profile, a chapter without a file in it, or a changed key that the chapter does not have.
    """
    file = file_of(profile, chapter)
    if not file.is_file():
        raise InputError(f"settings: the profile {profile!r} has no file for the chapter {chapter!r}: {file} is not there.")
    settings = parsed(file.read_text())
    unknown = sorted(set(changes) - set(settings))
    if unknown:
        raise InputError(f"settings: {chapter!r} has no parameter(s) {', '.join(unknown)}; it has {', '.join(settings)}.")
    return settings | changes


def of_notebook(namespace: dict, chapter: str) -> dict:
    """The settings of a notebook, from its variables: those that its parameters cell sets, and no others.

    Raises
    ------
    InputError
        A parameter that is not set, or not to a plain value: the cell has to come first, and unchanged names.
    """
    names = list(settings_of("standard", chapter))
    absent = [name for name in names if name not in namespace]
    odd = [name for name in names if name in namespace and not _plain(namespace[name])]
    if absent or odd:
        raise InputError(f"settings: of the parameters of {chapter!r}, {', '.join(absent) or 'none'} not set, "
                         f"{', '.join(odd) or 'none'} set to something that is no plain value; run the parameters cell again.")
    return {name: namespace[name] for name in names}


def _plain(value) -> bool:
    """Whether a value is of the kinds that YAML has."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(each) for key, each in value.items())
    if isinstance(value, list):
        return all(map(_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def of_task(settings: dict, task: str) -> dict:
    """Settings as one task has them, where the chapter's ``per_task`` changes some. Applied twice it changes nothing more."""
    return settings | settings.get("per_task", {}).get(task, {})


def alone(settings: dict, task: str) -> dict:
    """Settings of a chapter as if it had one task: a table made with them reads the runs of that task and no others."""
    return of_task(settings, task) | {"tasks": [task]}


def measure(task: str) -> str:
    """What a task is judged by: "accuracy", or Matthews' correlation ("matthews") for CoLA."""
    return MEASURES.get(task, "accuracy")
