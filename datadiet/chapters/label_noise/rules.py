"""Rules of the chapter "What the top of the ranking holds"."""

import pandas as pd

from datadiet.chapters.arms import RETRAIN_AT
from datadiet.chapters.label_noise.runs import CLEAN, NOISY, detection, dropped, window
from datadiet.chapters.parts import difference, part, per_task

KEPT = 0.9  # BDD-4n: a tenth is dropped
SKIPPED = 0.1  # P21-5n: the window starts below the hardest tenth


@per_task
def p21_9(settings, table, task):
    """Mislabelled examples gather at the top."""
    found = detection(settings, table, rates=[NOISY], names=["el2n"], points=[RETRAIN_AT])
    empty = pd.DataFrame(columns=["auroc", "recall"])
    found = found[(found["task"] == task) & (found["score"] == "el2n")] if len(found) else empty
    return [
        part(f"{task}: AUROC of the flips by EL2N at one epoch, {NOISY:.0%} flipped", found["auroc"], above=0.7),
        part(f"{task}: share of the n flips among the n hardest", found["recall"], above=3 * NOISY),
    ]


@per_task
def bdd_4n(settings, table, task):
    """With wrong labels in the set, leaving out the hardest keeps or raises accuracy."""
    hardest, random, full = (dropped(table, task, NOISY, *arm) for arm in (("hardest", KEPT), ("random", KEPT), ("random", 1.0)))
    what = f"{task}, {NOISY:.0%} flipped: without the hardest {1 - KEPT:.0%}"
    return [
        part(f"{what} - full data", difference(hardest, full), above=-0.005),
        part(f"{what} - without a random {1 - KEPT:.0%}", difference(hardest, random), above=0.0),
    ]


@per_task
def p21_5n(settings, table, task):
    """The best window leaves out more when labels are noisy."""
    gains = {
        rate: (window(settings, table, task, rate, SKIPPED) - window(settings, table, task, rate, 0.0)).dropna()
        for rate in (CLEAN, NOISY)
    }
    what = f"{task}: hardest after skipping the top {SKIPPED:.0%} - hardest"
    return [
        part(f"{what}, {NOISY:.0%} flipped", gains[NOISY], above=0.0),
        part(f"{what}: the same at {NOISY:.0%} - at {CLEAN:.0%} flipped", difference(gains[NOISY], gains[CLEAN]), above=0.0),
    ]


RULES = {"P21-9": p21_9, "BDD-4n": bdd_4n, "P21-5n": p21_5n}
