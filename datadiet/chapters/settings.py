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


_EXPONENT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))


UNLIMITED = ("size", "layers", "grand_size")  # settings of which none at all means everything


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
    return checked(settings | changes, chapter)


def checked(settings: dict, chapter: str) -> dict:
    """The settings, if they are those of the chapter, each of the kind that it is in the standard profile.

    Papermill reads YAML 1.1 and hands in 1e-3 as text: where a number belongs it is that number.

    Raises
    ------
    InputError
        A setting that is missing, or of another kind: a word for a number, a single value for a list; fewer than one seed;
        a setting of one set that the chapter does not have.
    """
    if not has("standard", chapter):
        return settings
    models = parsed(file_of("standard", chapter).read_text())
    absent = [name for name in models if name not in settings]
    if absent:
        raise InputError(f"settings: {chapter!r} also needs the parameter(s) {', '.join(absent)}; its file lacks them.")
    settings = settings | {name: _of_kind(settings[name], models, name, chapter) for name in models}
    for task, own in settings.get("per_task", {}).items():
        if not isinstance(own, dict) or not models.keys() >= own.keys():
            raise InputError(f"settings: per_task={{{task!r}: {own!r}}} in {chapter!r}; give settings of the chapter and their "
                             f"values, of {', '.join(models)}.")
        own = {name: _of_kind(value, models, name, chapter) for name, value in own.items()}
        settings["per_task"] = settings["per_task"] | {task: own}
    for name in ("seeds", "inits", "batch_size"):
        if settings.get(name, 1) < 1:
            why = "a batch holds an example or more" if name == "batch_size" else "at least one run of each arm is needed"
            raise InputError(f"settings: {name}={settings[name]} in {chapter!r}; {why}.")
    for name in ("score_at", "fractions"):
        if settings.get(name) == [] and models.get(name):
            raise InputError(f"settings: {name}=[] in {chapter!r}; give one or more, as the standard profile: {models[name]!r}.")
    return settings


def _of_kind(value, models: dict, name: str, chapter: str):
    """A setting of the kind that it is in the standard profile."""
    model = models[name]
    value = [_number(each, model[0]) for each in value] if isinstance(value, list) and model and isinstance(model, list) else (
        _number(value, model))
    if not _alike(value, model) or value is None and model is not None and name not in UNLIMITED:
        raise InputError(f"settings: {name}={value!r} in {chapter!r}; give a value like that of the standard profile, {model!r}.")
    return value


def _number(value, model):
    """The number that a text writes as 1e-3 does, where a number belongs, or none at all (no limit)."""
    text = isinstance(value, str) and (model is None or isinstance(model, (int, float))) and _EXPONENT.match(value)
    return float(value) if text else value


def _alike(value, model) -> bool:
    """Whether a value is of the kind of another; none at all stands for everything, as in size and layers."""
    if isinstance(model, list):
        return isinstance(value, list) and (not model or all(_of_the_shape(each, model) for each in value))
    if isinstance(model, dict):
        models = list(model.values())
        free = not models or not all(isinstance(each, list) for each in models)
        return isinstance(value, dict) and (free or all(_of_the_shape(each, models) for each in value.values()))
    if value is None or model is None:
        return not isinstance(value, (list, dict, str, bool)) and not isinstance(model, (str, bool))
    if isinstance(model, bool) or isinstance(value, bool):
        return isinstance(model, bool) and isinstance(value, bool)
    return isinstance(value, (int, float) if isinstance(model, float) else type(model))


def _of_the_shape(value, models: list) -> bool:
    """Whether an element is a list as long as one of the others, or a single value among single values: a number among such."""
    if any(isinstance(each, list) for each in models):
        return isinstance(value, list) and len(value) in {len(each) for each in models if isinstance(each, list)}
    if all(isinstance(each, (int, float)) for each in models):
        return value is not None and _alike(value, 0.0)
    return not isinstance(value, list) and (isinstance(value, dict) if isinstance(models[0], dict) else value is not None)


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
    return checked({name: namespace[name] for name in names}, chapter)


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
    """The metric of a task: "accuracy", or Matthews' correlation ("matthews") for CoLA."""
    return MEASURES.get(task, "accuracy")
