"""Rules of the chapter "The loss landscape"."""

from datadiet.chapters.loss_landscape.runs import barriers, behind, velocities
from datadiet.chapters.parts import difference, part, per_task
from datadiet.training import landscape

SPAWN = "1ep"  # where the futures part whose barrier is judged


def _by_seed(rows, group: str, column: str, **chosen):
    """Mean of a column by seed, of one group's rows."""
    for name, value in (chosen | {"group": group}).items():
        rows = rows[rows[name] == value]
    return rows.groupby("seed")[column].mean()


@per_task
def p21_10(settings, table, task):
    """The kernel of the hardest turns faster, and they stay longer behind a barrier."""

    def gap(name, rows, column, above=0.0, **chosen):
        hard, easy = (_by_seed(rows, group, column, task=task, **chosen) for group in ("hardest", "easiest"))
        return part(f"{task}: {name}, hardest - easiest", difference(hard, easy), above=above)

    return [
        gap("kernel velocity after the scoring point", velocities(settings, table), "velocity", after=True),
        gap(f"barrier between futures that part at {SPAWN}", barriers(settings, table), "barrier", landscape.STABLE,
            spawn=SPAWN),
        gap("epochs until futures share a valley", behind(settings, table), "epochs"),
    ]


RULES = {"P21-10": p21_10}
