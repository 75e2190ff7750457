"""Rules of the chapter "Wrong labels among the hardest examples"."""

from datadiet.chapters.arms import by_seed
from datadiet.chapters.label_noise.runs import CLEAN, detection, window, without
from datadiet.chapters.label_noise.runs import full as full_at
from datadiet.chapters.parts import SHARE, difference, part, per_task
from datadiet.chapters.settings import RETRAIN_AT


def full(settings: dict, task: str) -> list[dict]:
    """Runs on the full data, with the labels that it came with."""
    return full_at(settings, task, CLEAN)


@per_task
def p21_9(settings, table, task, margins):
    """Mislabelled examples gather among the hardest."""
    found = detection(table, full_at(settings, task, margins["rate"]), ["el2n"], [RETRAIN_AT]).set_index("seed")
    return [
        part(f"{task}: AUROC of the flips by EL2N at one epoch, {margins['rate']:.0%} flipped", found["auroc"],
             above=margins["auroc"], within=SHARE),
        part(f"{task}: share of the n flips among the n hardest", found["recall"], above=margins["recall"], within=SHARE),
    ]


@per_task
def bdd_4n(settings, table, task, margins):
    """With wrong labels in the set, leaving out the hardest keeps or raises accuracy."""
    rate, kept = margins["rate"], margins["kept"]
    everything = by_seed(table, full_at(settings, task, rate))
    hardest, random = (by_seed(table, without(settings, task, rate, rule, kept)) for rule in ("hardest", "random"))
    name = f"{task}, {rate:.0%} flipped: without the hardest {1 - kept:.0%}"
    return [
        part(f"{name} - full data", difference(hardest, everything), above=margins["against_full"]),
        part(f"{name} - without a random {1 - kept:.0%}", difference(hardest, random), above=margins["against_random"]),
    ]


@per_task
def p21_5n(settings, table, task, margins):
    """The best window leaves out more when labels are noisy."""
    rate, skipped = margins["rate"], margins["skipped"]
    noisy, clean = (difference(*(by_seed(table, window(settings, task, each, offset)) for offset in (skipped, 0.0)))
                    for each in (rate, CLEAN))
    name = f"{task}: hardest after skipping the top {skipped:.0%} - hardest"
    return [
        part(f"{name}, {rate:.0%} flipped", noisy, above=margins["gain"]),
        part(f"{name}: the same at {rate:.0%} - at {CLEAN:.0%} flipped", difference(noisy, clean), above=margins["more"]),
    ]


RULES = {"P21-9": p21_9, "BDD-4n": bdd_4n, "P21-5n": p21_5n}
