"""Settings, and the runs that every experiment is made of: scoring runs, pruned runs, and one arm of a table of runs."""

import numpy as np
import pandas as pd
import yaml

from datadiet import paths, runs
from datadiet.errors import InputError

RETRAIN_AT = "1ep"  # scoring point of every experiment that is not about timing: BERT on a Data Diet's choice


MEASURES = {"cola": "matthews", "hub:cola": "matthews"}  # what a task is judged by, where it is not accuracy: GLUE's choice


SECTIONS = {  # chapter -> prefix of the settings that are its own
    "pruning-fractions": "fractions",
    "influence-scores": "influence",
    "label-noise": "noise",
    "grand-at-init": "image",
    "loss-landscape": "landscape",
    "dynamic-pruning": "dynamic",
    "joint": "joint",
    "weak-pool": "pool",
    "healthy-diet": "fair",
    "who-is-right": "conflict",
    "what-it-costs": "cost",
}
RUN_KEYS = ("noise", "validation", "size", "encoder", "layers", "max_length", "epochs", "batch_size", "learning_rate")


def profiles() -> list[str]:
    """Names of the profiles there are."""
    return sorted(file.stem for file in (paths.root() / "profiles").glob("*.yml"))


def settings_of(profile: str, chapter: str | None = None, **changes) -> dict:
    """The settings of ``profiles/PROFILE.yml`` with `changes`, as one chapter reads them.

    A chapter that trains on other tasks than the rest has keys of its own, marked by a prefix (:data:`SECTIONS`): for
    "grand-at-init", ``image_epochs`` is what ``epochs`` means. The common key stands where there is none with the prefix.

    Raises
    ------
    InputError
        Unknown profile, or a changed key that no profile has.
    """
    if profile not in profiles():
        raise InputError(f"studies.settings_of: unknown profile {profile!r}; choose one of {', '.join(profiles())}.")
    settings = yaml.safe_load((paths.root() / "profiles" / f"{profile}.yml").read_text())
    unknown = sorted(set(changes) - set(settings))
    if unknown:
        raise InputError(f"studies.settings_of: unknown parameter(s) {', '.join(unknown)}; known: {', '.join(settings)}.")
    return of_chapter(settings | changes, chapter)


def of_chapter(settings: dict, chapter: str | None) -> dict:
    """Settings as `chapter` reads them: what has its prefix replaces what has not. Applied twice it changes nothing more."""
    prefix = SECTIONS.get(chapter)
    own = {name.removeprefix(f"{prefix}_"): value for name, value in settings.items() if name.startswith(f"{prefix}_")}
    return settings | own


def parameters(namespace: dict, chapter: str | None = None) -> dict:
    """The settings of a notebook: those of its ``profile``, changed by every setting among its variables.

    ``parameters(globals())`` after the parameters cell, which papermill's values follow.
    """
    if "profile" not in namespace:
        raise InputError("studies.parameters: the notebook sets no profile; its parameters cell must.")
    profile = namespace["profile"]
    changed = {name: namespace[name] for name in settings_of(profile) if name in namespace and name != "profile"}
    return settings_of(profile, chapter, **changed)


def of_task(settings: dict, task: str) -> dict:
    """Settings as one task has them, where the chapter's ``per_task`` changes some. Applied twice it changes nothing more."""
    return settings | settings.get("per_task", {}).get(task, {})


def measure(task: str) -> str:
    """What a task is judged by: "accuracy", or Matthews' correlation ("matthews") for CoLA."""
    return MEASURES.get(task, "accuracy")


def base(settings: dict, task: str) -> dict:
    return {"task": task} | {name: settings[name] for name in RUN_KEYS}


def scoring(settings: dict, task: str) -> list[dict]:
    """The scoring runs of a task: full data, a seed each, recorded at every scoring point. Also the full-data baseline."""
    return [
        runs.config(**base(settings, task), seed=seed, score_at=settings["score_at"], grand_size=settings["grand_size"])
        for seed in range(settings["seeds"])
    ]


def pruned(
    settings: dict,
    task: str,
    rule: str,
    fraction: float,
    *,
    at=RETRAIN_AT,
    score: str = "el2n",
    offset: float = 0.0,
    balanced: bool = False,
    budget: str = "epochs",
    single: bool = False,
) -> list[dict]:
    """Retraining runs, a seed each, on the examples that `rule` keeps.

    Seed s prunes with scores averaged over the *other* scoring seeds, so that no run is chosen by its own initialisation;
    ``single`` uses one of the others alone.
    """
    seeds, out = range(settings["seeds"]), []
    source = {k: v for k, v in scoring(settings, task)[0].items() if k != "seed"}
    for seed in seeds:
        chosen = {"rule": rule, "fraction": fraction, "offset": offset, "balanced": balanced}
        if rule != "random":
            others = [(seed + 1) % len(seeds)] if single else [s for s in seeds if s != seed]
            chosen |= {"score": score, "at": at, "seeds": others, "source": source}
        out.append(runs.config(**base(settings, task), budget=budget, seed=seed, keep=chosen))
    return out


def arm(table: pd.DataFrame, task: str, rule: str, **chosen) -> pd.Series:
    """Test accuracy by seed of one arm of the table, or what the task is judged by; empty where none of its runs is stored."""
    if not len(table):
        return pd.Series(dtype=float)
    wanted = {"task": task, "rule": rule, "offset": 0.0, "balanced": False, "budget": "epochs"} | chosen
    rows = np.logical_and.reduce([table[name] == value for name, value in wanted.items()])
    if "score_seeds" not in chosen and rule not in ("full", "random"):
        rows &= table["score_seeds"] == table.loc[rows, "score_seeds"].max()  # the average, not the single run
    return table[rows].drop_duplicates("key").set_index("seed")[f"test_{measure(task)}"].sort_index()
