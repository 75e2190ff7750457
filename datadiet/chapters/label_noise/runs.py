"""Label noise: what the top of the ranking holds when some labels are known to be wrong, and what dropping it buys.

``rates`` are the shares of flipped labels, ``tasks`` the shares kept when the hardest, or random ones, are dropped; ``people``
the sets with labels that people gave, and the share of drawn flips that stands beside each.
"""

import numpy as np
import pandas as pd
from scipy.stats import rankdata, spearmanr

from datadiet import runs, scores
from datadiet.chapters.arms import RETRAIN_AT, arm, base, of_chapter, pruned, scoring
from datadiet.chapters.grand_at_init import runs as images
from datadiet.errors import InputError

CLEAN, NOISY = 0.0, 0.1  # the two rates at which models are retrained; the rules speak of the second
FOLDS = 5
POINTWISE = ("el2n", "grand_head", "cross_entropy", "margin", "entropy")
OUTSIDE = "out of fold"  # the ranking by out-of-fold self-confidence: confident learning's, no fine-tuning


def at_rate(settings: dict, rate: float) -> dict:
    """The settings with `rate` of the training labels flipped."""
    return settings | {"noise": rate}


def cross_fitted(settings: dict, task: str) -> dict:
    """The run of the outside method: out-of-fold probabilities on features of the whole, frozen encoder."""
    return runs.config(**(base(settings, task) | {"layers": None}), folds=FOLDS, seed=0, score_at=[0])


PEOPLE, DRAWN = "people", "drawn flips"
PICTURES, TENTH = "cifar10", 0.9  # the set whose images people labelled; the share kept where a tenth of them is dropped


def human_arms(settings: dict, task: str, kind: str) -> dict[str, list[dict]]:
    """Arm -> its runs, a seed each: "full", which is scored, and without the "hardest" or a "random" tenth.

    `kind` PEOPLE: with the labels that people gave. DRAWN, the control: the true labels of the same set, as large a share of
    which is flipped to a class drawn from the others. Network and settings are those of CIFAR-10 in "GraNd at initialisation".
    """
    own = images.of_task(of_chapter(settings, "grand-at-init"), PICTURES)
    own |= {"score_at": settings["people_at"], "grand_size": 0, "noise": 0.0 if kind == PEOPLE else settings["people"][task]}
    name, like = task if kind == PEOPLE else PICTURES, {what: own[what] for what in ("optimizer", "inputs", "shifts")}
    full = [run | like for run in scoring(own, name)]
    source = {what: value for what, value in full[0].items() if what != "seed"}
    hardest = pruned(own, name, "hardest", TENTH, at=own["score_at"][0], offset=left_out(TENTH))
    return {
        "full": full,
        "hardest": [run | like | {"keep": run["keep"] | {"source": source}} for run in hardest],
        "random": [run | like for run in pruned(own, name, "random", TENTH)],
    }


def human_detection(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """How well each score finds wrong labels that people gave, and drawn ones: as :func:`detection`, and the ``kind``."""
    found, rows = set(table["key"]) if len(table) else set(), []
    for task in settings["people"]:
        for kind in (PEOPLE, DRAWN):
            for run in human_arms(settings, task, kind)["full"]:
                if runs.key(run) in found:
                    held = runs.store.arrays(runs.key(run))
                    wrong = held["labels"] != held["truth"]
                    for at in run["score_at"]:
                        for name in SCORES:
                            values = values_of(held, name, run["score_at"], at)
                            if values is not None:
                                row = _row(task, wrong.mean(), run["seed"], str(at), name, values, wrong)
                                rows.append(row | {"kind": kind})
    return pd.DataFrame(rows)


def human_drops(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy of each arm of :func:`human_arms`, a row for each set, kind, arm and seed."""
    rows = [{"task": task, "kind": kind, "arm": name, "seed": run["seed"], "key": runs.key(run)}
            for task in settings["people"] for kind in (PEOPLE, DRAWN)
            for name, arm_runs in human_arms(settings, task, kind).items() for run in arm_runs]
    asked = pd.DataFrame(rows, columns=["task", "kind", "arm", "seed", "key"])
    known = table if len(table) else pd.DataFrame(columns=["key", "test_accuracy"])
    known = known[["key", "test_accuracy"]].drop_duplicates("key")
    return asked.merge(known, on="key").rename(columns={"test_accuracy": "accuracy"}).drop(columns="key")


def left_out(fraction: float) -> float:
    """The share dropped where `fraction` is kept."""
    return round(1 - fraction, 9)


def label_noise(settings: dict) -> list[dict]:
    """Runs of the chapter "What the top of the ranking holds": scoring at every rate; dropping and windows at two."""
    out = []
    for task, fractions in settings["tasks"].items():
        for rate in settings["rates"]:
            noisy = at_rate(settings, rate)
            out += scoring(noisy, task)
            out += [cross_fitted(noisy, task)] if rate else []
        for noisy in (at_rate(settings, CLEAN), at_rate(settings, NOISY)):
            for fraction in fractions:
                out += pruned(noisy, task, "hardest", fraction, offset=left_out(fraction))
                out += pruned(noisy, task, "random", fraction)
            for offset in (0.0, *settings["offsets"]):
                out += pruned(noisy, task, "hardest", settings["timing_fraction"], offset=offset)
    for task in settings["people"]:
        out += [run for kind in (PEOPLE, DRAWN) for arm in human_arms(settings, task, kind).values() for run in arm]
    return out


def dropped(table: pd.DataFrame, task: str, rate: float, rule: str, fraction: float) -> pd.Series:
    """Test accuracy by seed after dropping all but `fraction`: the hardest, or random ones; 1.0 drops nothing."""
    if fraction == 1:
        return arm(table, task, "full", noise=rate, folds=0)
    offset = {"hardest": left_out(fraction), "random": 0.0}[rule]
    return arm(table, task, rule, fraction=fraction, offset=offset, noise=rate)


def window(settings: dict, table: pd.DataFrame, task: str, rate: float, offset: float) -> pd.Series:
    """Test accuracy by seed of the hardest ``timing_fraction`` below the very hardest `offset`."""
    return arm(table, task, "hardest", fraction=settings["timing_fraction"], offset=offset, noise=rate)


# --- How well a ranking finds what is known to be wrong

def auroc(values, wrong) -> float:
    """Chance that a wrong example scores above a right one, equals counting half; 0.5 = the ranking knows nothing."""
    ranks, n = rankdata(values), int(np.sum(wrong))
    return float((ranks[wrong].sum() - n * (n + 1) / 2) / (n * (len(ranks) - n)))


def average_precision(values, wrong) -> float:
    """Precision at each threshold, weighted by the recall that it adds; the share of wrong ones = knows nothing."""
    steps, place = np.unique(rankdata(values), return_inverse=True)
    order = len(steps) - 1 - place  # 0 = the hardest
    found, seen = (np.cumsum(np.bincount(order, weights)) for weights in (np.asarray(wrong, float), None))
    return float((np.diff(found, prepend=0) * found / seen).sum() / found[-1])


def recall(values, wrong) -> float:
    """Share of the n wrong examples among the n hardest; equals that straddle the cut count by their chance to be above it."""
    values, wrong = np.asarray(values, float), np.asarray(wrong)
    n = int(wrong.sum())
    cut = np.sort(values)[-n]
    above, level = values > cut, values == cut
    return float((wrong[above].sum() + wrong[level].sum() * (n - above.sum()) / level.sum()) / n)


MEASURES = {"auroc": auroc, "ap": average_precision, "recall": recall}


def values_of(held: dict, name: str, points: list, at) -> np.ndarray | None:
    """A score [N] from a run's arrays at the scoring point `at`: read there, or over the ends of epochs up to there.

    None where a score over time has too few recordings: the area under the margin needs one end of an epoch, forgetting two.
    """
    t = points.index(at)
    if name in POINTWISE:
        return runs.values_from(held, name, t)
    times = [i for i, point in enumerate(points[: t + 1]) if isinstance(point, str)]
    if len(times) < {"aum": 1, "forgetting": 2}[name]:
        return None
    logits = held["logits"][times]
    return scores.aum(logits, held["labels"]) if name == "aum" else scores.forgetting(logits.argmax(-1) == held["labels"])


SCORES = (*POINTWISE, "aum", "forgetting")


def stored_arrays(settings: dict, table: pd.DataFrame, task: str, rate: float, outside: bool = False):
    """(seed, arrays) of the stored scoring runs at a rate, or of the outside method's."""
    found = set(table["key"]) if len(table) else set()
    noisy = at_rate(settings, rate)
    for run in [cross_fitted(noisy, task)] if outside else scoring(noisy, task):
        if runs.key(run) in found:
            yield run["seed"], runs.store.arrays(runs.key(run))


def detection(settings: dict, table: pd.DataFrame, rates=None, names=SCORES, points=None) -> pd.DataFrame:
    """How well each score finds the flips: a row for each task, rate above 0, seed, scoring point and score.

    ``auroc``, ``ap`` and ``recall`` as in :data:`MEASURES`. The outside method's rows, one a task and rate, have the point "-".
    """
    rows = []
    for task in settings["tasks"]:
        for rate in filter(None, settings["rates"] if rates is None else rates):
            for seed, held in stored_arrays(settings, table, task, rate):
                wrong = held["labels"] != held["truth"]
                for at in settings["score_at"] if points is None else points:
                    for name in names:
                        values = values_of(held, name, settings["score_at"], at)
                        if values is not None:
                            rows.append(_row(task, rate, seed, str(at), name, values, wrong))
            for seed, held in stored_arrays(settings, table, task, rate, outside=True):
                values = runs.values_from(held, "cross_entropy", 0)
                rows.append(_row(task, rate, seed, "-", OUTSIDE, values, held["labels"] != held["truth"]))
    return pd.DataFrame(rows)


def _row(task, rate, seed, at, name, values, wrong) -> dict:
    measured = {measure: of(values, wrong) for measure, of in MEASURES.items()}
    return {"task": task, "noise": rate, "seed": seed, "at": at, "score": name} | measured


def extremes(settings: dict, table: pd.DataFrame, task: str, n: int = 2) -> pd.DataFrame:
    """The `n` hardest and easiest examples of each given class, by EL2N at one epoch averaged over the stored runs.

    ``position`` in the training set, ``label`` as given, ``truth``, ``el2n``, ``end`` ("hardest" or "easiest").
    """
    held = [arrays for _, arrays in stored_arrays(settings, table, task, NOISY)]
    if not held:
        return pd.DataFrame()
    at = settings["score_at"].index(RETRAIN_AT)
    values = np.mean([runs.values_from(arrays, "el2n", at) for arrays in held], axis=0)
    labels, truth, rows = held[0]["labels"], held[0]["truth"], []
    for label in np.unique(labels):
        ranking = np.flatnonzero(labels == label)
        ranking = ranking[np.argsort(-values[ranking], kind="stable")]
        for end, some in (("hardest", ranking[:n]), ("easiest", ranking[::-1][:n])):
            rows += [{"position": i, "label": int(label), "truth": int(truth[i]), "el2n": values[i], "end": end} for i in some]
    return pd.DataFrame(rows)


# --- Checks against cleanlab, and of scores against each other

def _cleanlab():
    try:
        import cleanlab.filter
        import cleanlab.rank
    except ImportError:
        raise InputError("studies.noise: cleanlab is not installed; pip install 'datadiet[book]' brings it.") from None
    return cleanlab


def against_cleanlab(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Our loss and margin beside cleanlab's label quality of the same probabilities, per task and seed, at one epoch.

    ``rho_...``: Spearman's rho of minus cleanlab's quality with our score. ``auroc_...``: of cleanlab's own ranking.
    """
    rows = []
    for task in settings["tasks"]:
        for seed, held in stored_arrays(settings, table, task, NOISY):
            t = settings["score_at"].index(RETRAIN_AT)
            probs, row = runs.probabilities(held["logits"][t]), {"task": task, "seed": seed}
            for method, ours in (("self_confidence", "cross_entropy"), ("normalized_margin", "margin")):
                theirs = -_cleanlab().rank.get_label_quality_scores(held["labels"], probs, method=method)
                row[f"rho_{method}"] = spearmanr(theirs, runs.values_from(held, ours, t))[0]
                row[f"auroc_{method}"] = auroc(theirs, held["labels"] != held["truth"])
            rows.append(row)
    return pd.DataFrame(rows)


def confident_learning(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """What cleanlab's confident learning calls a label issue, from out-of-fold probabilities, per task and rate.

    ``flagged`` examples, ``precision`` (share of them that were flipped) and ``recall`` (share of the flips among them).
    """
    rows = []
    for task in settings["tasks"]:
        for rate in filter(None, settings["rates"]):
            for _, held in stored_arrays(settings, table, task, rate, outside=True):
                wrong, probs = held["labels"] != held["truth"], runs.probabilities(held["logits"][0])
                issue = _cleanlab().filter.find_label_issues(held["labels"], probs, n_jobs=1)
                hits = int((issue & wrong).sum())
                rows.append({"task": task, "noise": rate, "flips": int(wrong.sum()), "flagged": int(issue.sum()),
                             "precision": hits / max(issue.sum(), 1), "recall": hits / wrong.sum()})
    return pd.DataFrame(rows)


def one_ranking(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rho of EL2N with other scores at one epoch, per task and seed. With two classes loss and margin add nothing."""
    rows = []
    for task in settings["tasks"]:
        for seed, held in stored_arrays(settings, table, task, NOISY):
            t = settings["score_at"].index(RETRAIN_AT)
            el2n = runs.values_from(held, "el2n", t)
            row = {"task": task, "classes": held["logits"].shape[-1], "seed": seed}
            rows.append(row | {name: spearmanr(el2n, runs.values_from(held, name, t))[0] for name in POINTWISE[1:]})
    return pd.DataFrame(rows)
