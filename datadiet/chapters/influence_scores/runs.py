"""Do other scores do better than EL2N, and does it matter when EL2N is read?

Scoring runs are read at the end of epochs, keep their weights there for VoG, and are watched at every epoch for forgetting.
EL2N is read twice, at the first scoring point and at the last; the scores that look back over a run are read at the last.
"""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from datadiet import runs
from datadiet.chapters.arms import arm, of_task, pruned, scoring
from datadiet.prune import keep

SCORES = {  # arm -> the score whose hardest it keeps, and which scoring point it is read at: 0 the first, -1 the last
    "EL2N, early": ("el2n", 0),
    "EL2N, late": ("el2n", -1),
    "forgetting": ("forgetting", -1),
    "area under the margin": ("aum", -1),
    "VoG within the class": ("vog_class", -1),
    "VoG": ("vog", -1),
}
RANDOM, OF_CLASS = "random", "random of each class"
ARMS = (RANDOM, *SCORES, OF_CLASS)
ONCE = ("VoG", OF_CLASS)  # at the timing fraction only
RECORDS = {"watch": True, "vog": True}  # what a scoring run records beside the predictions


def _chosen(settings: dict, name: str) -> tuple[str, dict]:
    """The rule of an arm, and what says the rest of it, as :func:`pruned` takes it."""
    if name not in SCORES:
        return "random", {"balanced": name == OF_CLASS}
    score, place = SCORES[name]
    return "hardest", {"score": score, "at": settings["score_at"][place]}


def influence_sources(settings: dict, task: str) -> list[dict]:
    """Scoring runs of a task, a seed each; also the full-data baseline."""
    settings = of_task(settings, task)
    return [run | {"test_only": settings["test_only"]} | RECORDS for run in scoring(settings, task)]


def retrained(settings: dict, task: str, name: str, fraction: float) -> list[dict]:
    """Retraining runs of one arm, a seed each, at equal epochs."""
    settings = of_task(settings, task)
    rule, rest = _chosen(settings, name)
    source = {k: v for k, v in influence_sources(settings, task)[0].items() if k != "seed"}
    out = []
    for run in pruned(settings, task, rule, fraction, **rest):
        kept = run["keep"] | ({"source": source} if run["keep"]["source"] else {})
        out.append(run | {"test_only": settings["test_only"], "keep": kept})
    return out


def influence_plan(settings: dict, task: str) -> list[tuple[str, float]]:
    """(arm, kept fraction) of every retraining arm: all fractions, and two arms at the timing fraction alone."""
    middle = of_task(settings, task)["timing_fraction"]
    fractions = sorted({*settings["tasks"][task], middle})
    return [(name, f) for name in ARMS for f in fractions if f == middle or name not in ONCE]


def influence_scores(settings: dict) -> list[dict]:
    """Runs of the chapter "Do other scores do better?"."""
    out = []
    for task in settings["tasks"]:
        out += influence_sources(settings, task)
        for name, fraction in influence_plan(settings, task):
            out += retrained(settings, task, name, fraction)
    return out


def influence_arm(settings: dict, table: pd.DataFrame, task: str, name: str, fraction: float = 1.0) -> pd.Series:
    """Test accuracy by seed of one arm, "full data" among them; empty where none of its runs is stored."""
    if name == "full data":
        return arm(table, task, "full")
    rule, rest = _chosen(of_task(settings, task), name)
    return arm(table, task, rule, fraction=fraction, **rest)


def influence_gains(settings: dict, table: pd.DataFrame, task: str, name: str, fraction: float) -> pd.Series:
    """What an arm is ahead of random examples of the same number, by seed."""
    here = influence_arm(settings, table, task, name, fraction)
    return (here - influence_arm(settings, table, task, RANDOM, fraction)).dropna()


def influence_agreement(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """What the rankings have in common, a row for each task and pair of scores, from the scoring runs of the table.

    ``rho``: Spearman's rank correlation of the two scores, each averaged over the runs; of a score with itself, the mean over
    the runs of one run's with the average of the others (``easy``: among the half that the others call easiest). ``shared``:
    share of what one would keep at the timing fraction that the other would keep too. ``skew``: total variation distance between
    the classes of what the first would keep and those of the whole set.
    """
    rows, found = [], set(table["key"]) if len(table) else set()
    for task in settings["tasks"]:
        own = of_task(settings, task)
        held = [run for run in influence_sources(settings, task) if runs.key(run) in found]
        if len(held) < 2:
            continue
        labels = runs.store.arrays(runs.key(held[0]))["labels"]
        read = {name: np.array([runs.score_values(run, score, own["score_at"][place]) for run in held])
                for name, (score, place) in SCORES.items()}
        kept = {name: keep(values.mean(0), own["timing_fraction"]) for name, values in read.items()}
        for one, values in read.items():
            for other, others in read.items():
                rho, easy = (_rho(values.mean(0), others.mean(0)), np.nan) if one != other else _again(values)
                rows.append({"task": task, "score": one, "other": other, "rho": rho, "easy": easy,
                             "shared": np.isin(kept[one], kept[other]).mean(), "skew": _skew(labels, kept[one])})
    return pd.DataFrame(rows, columns=["task", "score", "other", "rho", "easy", "shared", "skew"])


def _again(values: np.ndarray) -> tuple[float, float]:
    """Agreement of each run's scores [R, N] with the mean of the others': over all examples, and over the easiest half."""
    pairs = [(one, np.delete(values, r, axis=0).mean(0)) for r, one in enumerate(values)]
    halves = [(one[half], rest[half]) for one, rest in pairs for half in [keep(rest, 0.5, "easiest")]]
    return tuple(float(np.mean([_rho(*pair) for pair in some])) for some in (pairs, halves))


def _rho(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rho; 0 where one of the two has all values equal and so ranks nothing."""
    return 0.0 if one.min() == one.max() or other.min() == other.max() else float(spearmanr(one, other)[0])


def _skew(labels: np.ndarray, kept: np.ndarray) -> float:
    shares = [np.bincount(some, minlength=labels.max() + 1) / len(some) for some in (labels, labels[kept])]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)
