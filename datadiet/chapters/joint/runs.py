"""Joint tasks: does EL2N carry over to an intent with slots, and in which form? The runs, and the examples of each form."""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from datadiet import runs
from datadiet.chapters.arms import arrays_by_seed, base, by_seed, pruned, scores_by_seed, scoring
from datadiet.chapters.settings import RETRAIN_AT, of_task
from datadiet.prune import keep

FORMS = ("joint_norm", "joint_sum", "joint_mean", "joint_rms", "el2n")  # the last looks at the intent alone
DYNAMIC = {"dynamic": "hardest", "random dynamic": "random"}  # chosen anew in each cycle, hardest by the stacked norm
MEASURES = {
    "intent": "test_accuracy",
    "tags": "test_tag_accuracy",  # share of right tags, "O" included
    "span_f1": "test_span_f1",  # of the slots
    "frame": "test_frame_accuracy",  # share of utterances whose intent and slots are all right
    "unseen": "test_unseen",  # share of utterances with a label that is nowhere in training
}


def arm(settings: dict, task: str, name: str, fraction: float | None = None) -> list[dict]:
    """The runs of one arm, a seed each.

    `name`: "full", which needs no fraction; "random"; one of FORMS, the hardest by that form of the score; "easiest", by the
    stacked norm; or one of DYNAMIC.
    """
    settings = of_task(settings, task)
    if name == "full":
        return scoring(settings, task)
    if name in DYNAMIC:
        cycles = {"rule": DYNAMIC[name], "fraction": fraction, "warmup": settings["warmup"], "every": settings["every"]}
        return [runs.config(**base(settings, task), seed=seed, schedule=cycles) for seed in range(settings["seeds"])]
    if name in FORMS:
        return pruned(settings, task, "hardest", fraction, score=name)
    return pruned(settings, task, name, fraction, score="joint_norm")


def wanted(settings: dict) -> list[dict]:
    """Runs of the chapter "Joint tasks"; the easiest are kept at the largest fraction only."""
    out = []
    for task in settings["tasks"]:
        own = of_task(settings, task)
        out += arm(own, task, "full")
        for fraction in own["fractions"]:
            for name in ("random", *own["scores"], *DYNAMIC):
                out += arm(own, task, name, fraction)
        out += arm(own, task, "easiest", max(own["fractions"]))
    return out


def result(settings: dict, table: pd.DataFrame, task: str, name: str, fraction=None, measure: str = "frame") -> pd.Series:
    """One of MEASURES by seed, for the stored runs of one arm."""
    return by_seed(table, arm(settings, task, name, fraction), MEASURES[measure])


def full_data(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Every measure of training on the full data, mean over seeds, a row for each task that has runs."""
    means = {task: {name: result(settings, table, task, "full", measure=name).mean() for name in MEASURES}
             for task in settings["tasks"]}
    return pd.DataFrame(means).T.dropna(how="all")


def lengths(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Length and class of the examples that each form of the score keeps, a row for each task, seed, form and kept fraction.

    ``rho``: Spearman's, of one run's scores and the lengths. ``kept_words``: mean length of the hardest share by them.
    ``all_words``: of the whole training set. ``kept_common`` and ``all_common``: shares of the commonest intent in the two.
    ``kept``: the kept fraction as text.
    """
    rows = []
    for task in settings["tasks"]:
        own = of_task(settings, task)
        full = arm(own, task, "full")
        scores = {form: scores_by_seed(table, full, form, RETRAIN_AT) for form in FORMS}
        for seed, recorded in arrays_by_seed(table, full).items():
            words, common = recorded["words"][0], recorded["labels"] == np.bincount(recorded["labels"]).argmax()
            for form in FORMS:
                values = scores[form][seed]
                row = {"task": task, "seed": seed, "form": form, "rho": spearmanr(values, words)[0],
                       "all_words": words.mean(), "all_common": common.mean()}
                for fraction in own["fractions"]:
                    hardest = keep(values, fraction)
                    rows.append(row | {"kept": str(fraction), "kept_words": words[hardest].mean(),
                                       "kept_common": common[hardest].mean()})
    columns = ["task", "seed", "form", "rho", "all_words", "all_common", "kept", "kept_words", "kept_common"]
    return pd.DataFrame(rows, columns=columns)
