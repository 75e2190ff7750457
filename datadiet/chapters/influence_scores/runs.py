"""Do other scores do better than EL2N, and does its scoring point matter?

Scoring runs record every example at the end of epochs, keep their weights there for VoG, and are watched at every epoch for
forgetting. EL2N is taken at the first scoring point and at the last; the scores that look back over a run, at the last.
"""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from datadiet.chapters.arms import (
    arrays_by_seed,
    by_seed,
    class_skew,
    mean_of_others,
    pruned,
    scores_by_seed,
    scoring,
    without_seed,
)
from datadiet.chapters.parts import difference
from datadiet.chapters.settings import of_task
from datadiet.errors import InputError
from datadiet.prune import keep

SCORES = {  # arm -> the score whose hardest it keeps, and the place of its scoring point: 0 the first, -1 the last
    "EL2N, early": ("el2n", 0),
    "EL2N, late": ("el2n", -1),
    "forgetting": ("forgetting", -1),
    "area under the margin": ("aum", -1),
    "TracIn of the head": ("tracin", -1),
    "VoG within the class": ("vog_class", -1),
    "VoG": ("vog", -1),
}
RANDOM, OF_CLASS, FULL = "random", "random of each class", "full data"
RETRAINED = (RANDOM, *SCORES, OF_CLASS)
ONCE = ("VoG", OF_CLASS)  # at one share only
RECORDS = {"watch": True, "vog": True}  # of a scoring run, beside the predictions


def arm(settings: dict, task: str, name: str, fraction: float | None = None) -> list[dict]:
    """The runs of one arm, a seed each, at equal epochs.

    `name`: one of ``RETRAINED``, or "full data", whose runs are the scoring runs. `fraction` None: the share kept where another
    thing is varied.

    Raises
    ------
    InputError
        An unknown arm.
    """
    own = of_task(settings, task)
    full = [run | RECORDS for run in scoring(own, task)]
    fraction = own["fraction"] if fraction is None else fraction
    if name == FULL:
        return full
    if name in (RANDOM, OF_CLASS):
        return pruned(own, task, "random", fraction, balanced=name == OF_CLASS)
    if name not in SCORES:
        raise InputError(f"influence_scores.arm: unknown arm {name!r}; choose one of {', '.join((FULL, *RETRAINED))}.")
    score, place = SCORES[name]
    chosen = pruned(own, task, "hardest", fraction, score=score, at=own["score_at"][place])
    return [run | {"keep": run["keep"] | {"source": without_seed(full[0])}} for run in chosen]


def wanted(settings: dict) -> list[dict]:
    """Runs of the chapter "Do other scores do better?"."""
    out = []
    for task in settings["tasks"]:
        own = of_task(settings, task)
        out += arm(own, task, FULL)
        for name in RETRAINED:
            for fraction in sorted({own["fraction"], *(own["fractions"] if name not in ONCE else [])}):
                out += arm(own, task, name, fraction)
    return out


def accuracy(view, task: str, name: str, fraction: float | None = None) -> pd.Series:
    """Test accuracy by seed of one arm of a view; `fraction` None: the share kept where another thing is varied."""
    return by_seed(view.table, arm(view.settings, task, name, fraction))


def ahead(settings: dict, table: pd.DataFrame, task: str, name: str, against: str, fraction: float | None = None) -> pd.Series:
    """Test accuracy of one arm minus that of another, by seed, at one kept fraction."""
    return difference(*(by_seed(table, arm(settings, task, each, fraction)) for each in (name, against)))


def agreement(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Agreement of the rankings, a row for each task and pair of scores, from the scoring runs of the table.

    ``rho``: Spearman's rank correlation of the two scores, each averaged over the runs; of a score with itself, the mean over
    the runs of one run's with the average of the others (``easy``: among the half that the others call easiest). ``shared``:
    the part of the share kept by one that the other keeps too. ``skew``: total variation distance between the classes of the
    examples that the first keeps and those of the whole set.
    """
    rows = []
    for task in settings["tasks"]:
        own, full = of_task(settings, task), arm(settings, task, FULL)
        recorded = arrays_by_seed(table, full)
        if len(recorded) < 2:
            continue
        labels = next(iter(recorded.values()))["labels"]
        values = {name: scores_by_seed(table, full, score, own["score_at"][place]) for name, (score, place) in SCORES.items()}
        means = {name: np.mean(list(some.values()), axis=0) for name, some in values.items()}
        kept = {name: keep(mean, own["fraction"]) for name, mean in means.items()}
        for one in SCORES:
            for other in SCORES:
                rho, easy = (_rho(means[one], means[other]), np.nan) if one != other else _again(values[one])
                rows.append({"task": task, "score": one, "other": other, "rho": rho, "easy": easy,
                             "shared": np.isin(kept[one], kept[other]).mean(), "skew": class_skew(labels, kept[one])})
    return pd.DataFrame(rows, columns=["task", "score", "other", "rho", "easy", "shared", "skew"])


def _again(values: dict[int, np.ndarray]) -> tuple[float, float]:
    """Agreement of each run's scores with the mean of the others': over all examples, and over the easiest half."""
    pairs = [(one, mean_of_others(values, seed)) for seed, one in values.items()]
    halves = [(one[half], rest[half]) for one, rest in pairs for half in [keep(rest, 0.5, "easiest")]]
    return tuple(float(np.mean([_rho(*pair) for pair in some])) for some in (pairs, halves))


def _rho(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rho; 0 where one of the two has all values equal and so ranks nothing."""
    return 0.0 if one.min() == one.max() or other.min() == other.max() else float(spearmanr(one, other)[0])
