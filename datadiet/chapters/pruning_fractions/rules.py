"""Rules of the chapter "Pruning fractions"."""

from datadiet.chapters.arms import by_seed, pruned, scoring
from datadiet.chapters.parts import difference, however_constant, part, per_task
from datadiet.chapters.regime import floor
from datadiet.chapters.settings import measure


def full(settings: dict, task: str) -> list[dict]:
    """Runs on the full data."""
    return scoring(settings, task)


def _gain(settings, table, task, rule, against, fraction):
    """One rule minus another at a kept fraction, by seed; `against` "full": minus the full data."""
    other = scoring(settings, task) if against == "full" else pruned(settings, task, against, fraction)
    return difference(by_seed(table, pruned(settings, task, rule, fraction)), by_seed(table, other))


def _window(settings, table, task, margins):
    """The hardest after skipping the very hardest, minus the plain hardest."""
    window, plain = (by_seed(table, pruned(settings, task, "hardest", settings["fraction"], offset=offset))
                     for offset in (margins["skipped"], 0.0))
    name = f"{task}: hardest after skipping the top {margins['skipped']:.0%} - hardest"
    return [part(name, difference(window, plain), above=margins["gain"])]


@per_task
def bdd_4(settings, table, task, margins):
    """Skipping a few of the hardest keeps or raises accuracy."""
    return _window(settings, table, task, margins)


@per_task
def p21_5(settings, table, task, margins):
    """The best window leaves out the very top."""
    return _window(settings, table, task, margins)


@per_task
def bdd_5(settings, table, task, margins):
    """Hardest against random crosses over with the kept fraction."""
    low, high = min(settings["fractions"]), max(settings["fractions"])
    return [
        part(f"{task}: hardest - random, {low:.0%} kept", _gain(settings, table, task, "hardest", "random", low),
             below=margins["least"]),
        part(f"{task}: hardest - random, {high:.0%} kept", _gain(settings, table, task, "hardest", "random", high),
             above=margins["most"]),
    ]


@per_task
def bdd_6(settings, table, task, margins):
    """No hardest subset beats the full data."""
    gains = {f: _gain(settings, table, task, "hardest", "full", f) for f in sorted(settings["fractions"])}
    low = min(gains)
    return [part(f"{task}: hardest - full data, {f:.0%} kept", gain, below=margins["no_gain"]) for f, gain in gains.items()] + [
        part(f"{task}: hardest - full data, {low:.0%} kept: a loss", gains[low], below=margins["loss"])
    ]


@per_task
def p21_4(settings, table, task, margins):
    """Keeping only the hardest collapses at extreme pruning."""
    low, high = min(settings["fractions"]), max(settings["fractions"])
    # A model that the hardest turn into a constant classifier is the collapse; one that random examples do is a floor.
    least, most = (difference(however_constant(by_seed(table, pruned(settings, task, "hardest", f))),
                              by_seed(table, pruned(settings, task, "random", f))) for f in (low, high))
    return [
        part(f"{task}: hardest - random, {low:.0%} kept", least, below=margins["least"]),
        part(f"{task}: the same at {low:.0%} - at {high:.0%} kept", difference(least, most), below=margins["fall"]),
    ]


@per_task
def inf_2(settings, table, task, margins):
    """Pruning the hard ones hurts more than pruning the easy ones."""
    high = max(settings["fractions"])
    gain = _gain(settings, table, task, "easiest", "hardest", high)
    return [part(f"{task}: easiest - hardest, {high:.0%} kept", gain, below=margins["gain"])]


@per_task
def random_learns(settings, table, task, margins):
    """Control: as few random examples still train a model clearly above the most frequent class."""
    low = min(settings["fractions"])
    reached = by_seed(table, pruned(settings, task, "random", low))
    names = by_seed(table, full(settings, task), "label_names")  # without full data no subset is judged
    above = reached - floor(task, len(names.iloc[0]), measure(task)) if len(names) else reached[:0]
    return [part(f"{task}: random, {low:.0%} kept - the most frequent class", above, above=margins["control"])]


CONTROLS = {"P21-4": random_learns, "BDD-5": random_learns, "BDD-6": random_learns}
RULES = {"BDD-4": bdd_4, "BDD-5": bdd_5, "BDD-6": bdd_6, "P21-4": p21_4, "P21-5": p21_5, "INF-2": inf_2}
