"""What chapters about images share: settings without tokens, and runs with the settings that only images have."""

from datadiet import runs
from datadiet.chapters import arms
from datadiet.chapters import settings as chapter_settings

OWN = ("optimizer", "inputs", "shifts")  # settings that only images have
NO_TOKENS = {"layers": None, "max_length": runs.DEFAULTS["max_length"]}


def of_task(settings: dict, task: str) -> dict:
    """Settings as one task has them, with those that a net for images has no choice of. Applied twice it changes nothing more."""
    return chapter_settings.of_task(settings, task) | NO_TOKENS


def own(settings: dict, task: str) -> dict:
    """The settings of a task that only images have."""
    chosen = of_task(settings, task)
    return {name: chosen[name] for name in OWN}


def base(settings: dict, task: str) -> dict:
    """Settings of a chapter that are part of its runs' configs."""
    return arms.base(of_task(settings, task), task) | own(settings, task)


def scoring(settings: dict, task: str, **changes) -> list[dict]:
    """The scoring runs of a task, a seed each, with `changes` in all of them. Also the full-data baseline."""
    return [runs.config(**run | own(settings, task) | changes) for run in arms.scoring(of_task(settings, task), task)]


def pruned(settings: dict, task: str, rule: str, fraction: float, *, by: list[dict] | None = None, **more) -> list[dict]:
    """Retraining runs, a seed each, on the images that `rule` keeps.

    Seed s prunes with scores averaged over those runs of the arm `by` that have another seed; None: the scoring runs. `more` is
    that of :func:`datadiet.chapters.arms.pruned`.
    """
    by = scoring(settings, task) if by is None else by
    plain = arms.pruned(of_task(settings, task), task, rule, fraction, by=by, **more)
    return [run | own(settings, task) for run in plain]
