"""Rules of the chapter "Weak pool"."""


from datadiet.chapters.parts import difference, part
from datadiet.chapters.weak_pool.runs import pool_result, pool_results


def bem_1(settings, table):
    """Added data chosen by entropy or EL2N helps more than data added at random: an analogue on public data."""
    results = pool_results(settings, table)
    return [
        part(
            f"{task}: added by {name} - at random: {error}",
            difference(*(pool_result(results, task, each, what=what) for each in (by, "random"))),
            below=0.0,
        )
        for task in settings["tasks"]
        for what, error in (("intent_error", "intent error"), ("frame_error", "frame error"))
        for by, name in (("entropy", "entropy"), ("el2n", "EL2N"))
    ]


RULES = {"BEM-1": bem_1}
