"""Rules of the chapter "Pruning fractions"."""

from datadiet import studies
from datadiet.rules.core import difference, part, per_task


@per_task
def bdd_4(settings, table, task):
    """Skipping a few of the hardest keeps or raises accuracy."""
    return [part(f"{task}: hardest after skipping the top 5 % - hardest", _window(settings, table, task), above=-0.005)]


def _window(settings, table, task):
    hardest = {"rule": "hardest", "fraction": settings["timing_fraction"], "at": studies.RETRAIN_AT}
    return difference(studies.arm(table, task, **hardest, offset=0.05), studies.arm(table, task, **hardest))


def _fractions(settings, table, task, rule="hardest", against="random"):
    """Paired differences at each kept fraction, smallest first."""
    out = {}
    for fraction in sorted(settings["tasks"][task]):
        other = {"fraction": 1.0} if against == "full" else {"fraction": fraction}
        out[fraction] = difference(
            studies.arm(table, task, rule, fraction=fraction, at=studies.RETRAIN_AT),
            studies.arm(table, task, against, **other),
        )
    return out


@per_task
def bdd_5(settings, table, task):
    """Hardest against random crosses over with the kept fraction."""
    by = _fractions(settings, table, task)
    low, high = min(by), max(by)
    return [
        part(f"{task}: hardest - random, {low:.0%} kept", by[low], below=0.0),
        part(f"{task}: hardest - random, {high:.0%} kept", by[high], above=0.0),
    ]


@per_task
def bdd_6(settings, table, task):
    """No hardest subset beats the full data."""
    by = _fractions(settings, table, task, against="full")
    return [part(f"{task}: hardest - full data, {fraction:.0%} kept", values, below=0.01) for fraction, values in by.items()] + [
        part(f"{task}: hardest - full data, {min(by):.0%} kept: a loss", by[min(by)], below=0.0)
    ]


@per_task
def p21_4(settings, table, task):
    """Keeping only the hardest collapses at extreme pruning."""
    by = _fractions(settings, table, task)
    low, high = min(by), max(by)
    n = min(len(by[low]), len(by[high]))
    return [
        part(f"{task}: hardest - random, {low:.0%} kept", by[low], below=0.0),
        part(f"{task}: the same at {low:.0%} - at {high:.0%} kept", by[low][:n] - by[high][:n], below=0.0),
    ]


@per_task
def p21_5(settings, table, task):
    """The best window leaves out the very top."""
    return [part(f"{task}: hardest after skipping the top 5 % - hardest", _window(settings, table, task), above=0.0)]


@per_task
def inf_2(settings, table, task):
    """Pruning the hard ones hurts more than pruning the easy ones."""
    high = max(settings["tasks"][task])
    at = {"fraction": high, "at": studies.RETRAIN_AT}
    return [
        part(
            f"{task}: easiest - hardest, {high:.0%} kept",
            difference(studies.arm(table, task, "easiest", **at), studies.arm(table, task, "hardest", **at)),
            below=0.0,
        )
    ]


RULES = {"BDD-4": bdd_4, "BDD-5": bdd_5, "BDD-6": bdd_6, "P21-4": p21_4, "P21-5": p21_5, "INF-2": inf_2}
