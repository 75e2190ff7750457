"""Rules of the chapter "The loss landscape"."""

from datadiet.chapters import images
from datadiet.chapters.loss_landscape.runs import barriers, behind, velocities
from datadiet.chapters.parts import difference, part, per_task


def full(settings: dict, task: str) -> list[dict]:
    """Runs on the full data."""
    return images.scoring(settings, task)


def _gap(rows, column, **chosen):
    """The hardest group minus the easiest by seed, of the mean of a column over the rows that are meant."""
    for name, value in chosen.items():
        rows = rows[rows[name] == value]
    return difference(*(rows[rows["group"] == group].groupby("seed")[column].mean() for group in ("hardest", "easiest")))


@per_task
def p21_10(settings, table, task, margins):
    """The kernel of the hardest turns faster, and they stay longer behind a barrier."""
    spawn, height = f"{margins['spawn_epoch']}ep", margins["barrier"]
    turned = _gap(velocities(settings, table), "velocity", task=task, after=True)
    barrier = _gap(barriers(settings, table), "barrier", task=task, spawn=spawn)
    epochs = _gap(behind(settings, table, height), "epochs", task=task)
    return [
        part(f"{task}: kernel velocity after the scoring point, hardest - easiest", turned, above=margins["velocity"]),
        part(f"{task}: barrier between futures that part at {spawn}, hardest - easiest", barrier, above=height),
        part(f"{task}: epochs until futures have no barrier, hardest - easiest", epochs, above=margins["epochs"]),
    ]


RULES = {"P21-10": p21_10}
