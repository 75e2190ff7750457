"""Rules of the chapter "Weak pool"."""

from datadiet.chapters.parts import difference, part, per_task
from datadiet.chapters.weak_pool.runs import error, grown, weak


def full(settings: dict, task: str) -> list[dict]:
    """Runs on all truly labelled examples: the seed set."""
    return weak(settings, task)


@per_task
def bem_1(settings, table, task, margins):
    """Added data chosen by entropy or EL2N helps more than data added at random: an analogue on public data."""
    parts = []
    for kind in ("intent", "frame"):
        for by, name in (("entropy", "entropy"), ("el2n", "EL2N")):
            chosen, random = (error(table, grown(settings, task, each), kind) for each in (by, "random"))
            parts.append(part(f"{task}: added by {name} - at random: {kind} error", difference(chosen, random),
                              below=margins["gain"]))
    return parts


RULES = {"BEM-1": bem_1}
