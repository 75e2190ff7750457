"""Rules of the chapter "Score timing"."""

from datadiet.chapters.arms import by_seed, scoring
from datadiet.chapters.parts import BETWEEN_RHOS, ENOUGH, RHO, SHARE, column, difference, jackknifed, part, per_task
from datadiet.chapters.score_timing.runs import approximation, averaging, early, hardest, random, skew
from datadiet.chapters.settings import RETRAIN_AT


def full(settings: dict, task: str) -> list[dict]:
    """Runs on the full data."""
    return scoring(settings, task)


def _against_random(settings, table, task, at, name, **margin):
    gain = difference(by_seed(table, hardest(settings, task, at)), by_seed(table, random(settings, task)))
    return part(f"{task}: hardest by EL2N at {name} - random", gain, **margin)


def _against_late(settings, table, task, at, **margin):
    gain = difference(*(by_seed(table, hardest(settings, task, each)) for each in (at, RETRAIN_AT)))
    return part(f"{task}: hardest by EL2N at step {at} - at one epoch", gain, **margin)


@per_task
def bdd_1(settings, table, task, margins):
    """Early scores select worse than random, and worse than later ones."""
    parts = []
    for at in early(settings, margins["first_steps"]):
        parts += [_against_random(settings, table, task, at, f"step {at}", below=margins["early"]),
                  _against_late(settings, table, task, at, below=margins["later"])]
    return parts


@per_task
def bdd_2(settings, table, task, margins):
    """Usable at one epoch, not before, where the paper has the hardest win."""
    settings = settings | {"fraction": margins["kept"]}
    late = _against_random(settings, table, task, RETRAIN_AT, "one epoch", above=margins["late"])
    first = early(settings, margins["first_steps"])
    return [late, *(_against_late(settings, table, task, at, below=margins["early"]) for at in first)]


@per_task
def bdd_3(settings, table, task, margins):
    """The early failure goes with class skew, which evens out."""
    first, found = settings["score_at"][0], skew(settings, table)
    start, late = (column(found, "skew", task=task, at=str(at)) for at in (first, RETRAIN_AT))
    plain, balanced = (by_seed(table, hardest(settings, task, first, balanced=each)) for each in (False, True))
    return [
        part(f"{task}: class skew at step {first} - at one epoch", difference(start, late), above=margins["fall"],
             within=(-1, 1)),
        part(f"{task}: class skew at one epoch", late, below=margins["even"], within=SHARE),
        part(f"{task}: class-balanced hardest - hardest, scored at step {first}", difference(balanced, plain),
             above=margins["balanced"]),
    ]


@per_task
def bdd_7(settings, table, task, margins):
    """Head-only GraNd and EL2N select the same."""
    found = approximation(settings, table)
    rho, overlap = (column(found, name, task=task, at=RETRAIN_AT) for name in ("head_rho", "head_overlap"))
    return [
        part(f"{task}: rho of head GraNd and EL2N at one epoch", rho, above=margins["rho"], within=RHO),
        part(f"{task}: overlap of their hardest halves", overlap, above=margins["overlap"], within=SHARE),
    ]


def _gain_of_averaging(pairs, k: int) -> float:
    return pairs[pairs["k"] == k]["rho"].mean() - pairs[pairs["k"] == 1]["rho"].mean()


@per_task
def p21_3(settings, table, task, margins):
    """Averaging over runs is essential."""
    pairs = averaging(settings, table)
    pairs = pairs[pairs["task"] == task]
    seeds = sorted({seed for some in pairs["seeds"] for seed in some})
    parts = []
    if settings["seeds"] >= ENOUGH:  # leaving out one of fewer than five runs leaves too few to compare averages of two
        enough = len(seeds) >= ENOUGH
        # Pairs of runs share runs: a jackknife over seeds, not a t-interval over pairs, says how sure we are.
        k = (len(seeds) - 1) // 2  # the most that can be averaged where a seed is left out
        left_out = [pairs[[seed not in some for some in pairs["seeds"]]] for seed in seeds] if enough else []
        without = [_gain_of_averaging(rest, k) for rest in left_out]
        parts.append(jackknifed(f"{task}: agreement of averaged scores - of single runs",
                                _gain_of_averaging(pairs, k) if enough else 0, without, above=margins["agreement"],
                                within=BETWEEN_RHOS))
    gain = difference(*(by_seed(table, hardest(settings, task, single=single)) for single in (False, True)))
    return [*parts, part(f"{task}: hardest by the averaged score - by one run's", gain, above=margins["accuracy"])]


@per_task
def p21_6(settings, table, task, margins):
    """EL2N approximates GraNd after training, not at initialisation."""
    start, found = settings["score_at"][0], approximation(settings, table)
    first, late = (column(found, "full_rho", task=task, at=str(at)) for at in (start, RETRAIN_AT))
    return [
        part(f"{task}: rho of full GraNd and EL2N, one epoch - step {start}", difference(late, first), above=margins["rise"],
             within=BETWEEN_RHOS),
        part(f"{task}: rho of full GraNd and EL2N at one epoch", late, above=margins["rho"], within=RHO),
    ]


@per_task
def hardest_beat_random(settings, table, task, margins):
    """Control: at this share, choosing the hardest pays at all."""
    return [_against_random(settings, table, task, RETRAIN_AT, "one epoch", above=margins["control"])]


CONTROLS = {"P21-3": hardest_beat_random}
RULES = {"BDD-1": bdd_1, "BDD-2": bdd_2, "BDD-3": bdd_3, "BDD-7": bdd_7, "P21-3": p21_3, "P21-6": p21_6}
