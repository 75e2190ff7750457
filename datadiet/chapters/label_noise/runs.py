"""Label noise: the wrong labels among the hardest examples, where the flips are known, and the effect of dropping these examples.

``rates`` are the shares of flipped labels, ``fractions`` the shares kept when the hardest, or random examples, are dropped;
``people`` the sets with labels that people gave, and the share of drawn flips that stands beside each.
"""

import numpy as np
import pandas as pd
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from datadiet import runs, scores
from datadiet.chapters.arms import arrays_by_seed, base, by_seed, pruned, scores_by_seed, scoring, without_seed
from datadiet.chapters.settings import RETRAIN_AT, of_task
from datadiet.errors import InputError

CLEAN, NOISY = 0.0, 0.1  # the two rates at which models are retrained; the rules speak of the second
FOLDS = 5
POINTWISE = ("el2n", "grand_head", "cross_entropy", "margin", "entropy")
SCORES = (*POINTWISE, "aum", "forgetting")
PEOPLE, DRAWN = "people", "drawn flips"
KINDS = (PEOPLE, DRAWN)
PICTURES, TENTH = "cifar10", 0.9  # the set whose images people labelled; the share kept where a tenth of them is dropped
LIKE = ("optimizer", "inputs", "shifts")  # of people_run, beside the settings that every run has
PEOPLE_RUN = ("size", "validation", "encoder", "epochs", "batch_size", "learning_rate", *LIKE)
MEASURES = ("auroc", "ap", "recall")


def at_rate(settings: dict, rate: float) -> dict:
    """The settings with `rate` of the training labels flipped."""
    return settings | {"noise": rate}


def left_out(fraction: float) -> float:
    """The share dropped where `fraction` is kept; rounded, for it becomes the offset of a run's config."""
    return round(1 - fraction, 9)


def full(settings: dict, task: str, rate: float) -> list[dict]:
    """The scoring runs at a rate, a seed each, on all examples."""
    return scoring(at_rate(settings, rate), task)


def without(settings: dict, task: str, rate: float, rule: str, fraction: float) -> list[dict]:
    """The arm that keeps `fraction` at a rate: without the "hardest", or without "random" examples."""
    offset = {"hardest": left_out(fraction), "random": 0.0}[rule]
    return pruned(at_rate(settings, rate), task, rule, fraction, offset=offset)


def window(settings: dict, task: str, rate: float, offset: float) -> list[dict]:
    """The arm that keeps the hardest ``fraction`` below the very hardest `offset`, at a rate."""
    return pruned(at_rate(settings, rate), task, "hardest", settings["fraction"], offset=offset)


def cross_fitted(settings: dict, task: str, rate: float) -> list[dict]:
    """The one run of the outside method: out-of-fold probabilities on frozen features of the whole encoder."""
    return [runs.config(**(base(at_rate(settings, rate), task) | {"layers": None}), folds=FOLDS, seed=0, score_at=[0])]


def people_arms(settings: dict, task: str, kind: str) -> dict[str, list[dict]]:
    """Arm -> its runs, a seed each: "full", which is scored, and without the "hardest" or a "random" tenth.

    `kind` PEOPLE: with the labels that people gave. DRAWN, the control: the true labels of the same set, as large a share of
    which is flipped to a class drawn from the others.

    Raises
    ------
    InputError
        A ``people_run`` that lacks a setting, or has one too many.
    """
    if set(settings["people_run"]) != set(PEOPLE_RUN):
        given = ", ".join(settings["people_run"]) or "nothing"
        raise InputError(f"label_noise.people_arms: people_run, which the runs on {task!r} take, sets {given}; "
                         f"set these in it, and no others: {', '.join(PEOPLE_RUN)}.")
    own = settings | settings["people_run"] | {
        "noise": 0.0 if kind == PEOPLE else settings["people"][task], "layers": None, "max_length": runs.DEFAULTS["max_length"],
        "score_at": settings["people_at"], "grand_size": 0}
    name, like = task if kind == PEOPLE else PICTURES, {setting: own[setting] for setting in LIKE}
    scored = [run | like for run in scoring(own, name)]
    hardest = pruned(own, name, "hardest", TENTH, at=own["score_at"][0], offset=left_out(TENTH))
    return {
        "full": scored,
        "hardest": [run | like | {"keep": run["keep"] | {"source": without_seed(scored[0])}} for run in hardest],
        "random": [run | like for run in pruned(own, name, "random", TENTH)],
    }


def wanted(settings: dict) -> list[dict]:
    """Runs of the chapter "Wrong labels among the hardest examples": scoring at every rate; dropping and windows at two."""
    out = []
    for task in settings["tasks"]:
        own = of_task(settings, task)
        for rate in own["rates"]:
            out += full(own, task, rate)
            out += cross_fitted(own, task, rate) if rate else []
        for rate in (CLEAN, NOISY):
            for fraction in own["fractions"]:
                for rule in ("hardest", "random"):
                    out += without(own, task, rate, rule, fraction)
            for offset in (0.0, *own["offsets"]):
                out += window(own, task, rate, offset)
    for task in settings["people"]:
        out += [run for kind in KINDS for arm in people_arms(settings, task, kind).values() for run in arm]
    return out


def people_accuracy(view, task: str, kind: str, name: str) -> pd.Series:
    """Test accuracy by seed of one of the :func:`people_arms` of a view."""
    return by_seed(view.table, people_arms(view.settings, task, kind)[name])


# --- How well a ranking finds the labels that are known to be wrong

def recall(values, wrong) -> float:
    """Share of the n wrong examples among the n hardest; of examples equal at the cut, the share above it counts."""
    values, wrong = np.asarray(values, float), np.asarray(wrong)
    n = int(wrong.sum())
    cut = np.sort(values)[-n]
    above, level = values > cut, values == cut
    return float((wrong[above].sum() + wrong[level].sum() * (n - above.sum()) / level.sum()) / n)


def measures(values, wrong) -> dict[str, float]:
    """How well scores [N] find the wrong examples [N]: ``auroc``, ``ap`` (average precision), ``recall``.

    A random ranking has an area under the ROC curve of 0.5, and the share of wrong ones as average precision and recall.

    Raises
    ------
    InputError
        All examples wrong, or none: there is nothing to find.
    """
    if not 0 < np.sum(wrong) < len(wrong):
        raise InputError(f"label_noise.measures: {int(np.sum(wrong))} of {len(wrong)} labels are wrong; how well a score "
                         "finds them is measured on labels of both kinds: take a larger set, or another rate.")
    ranks = rankdata(values)  # forgetting may be infinite, which scikit-learn refuses; ranks are not, and rank alike
    return {"auroc": float(roc_auc_score(wrong, ranks)), "ap": float(average_precision_score(wrong, ranks)),
            "recall": recall(ranks, wrong)}


def values_of(recorded: dict, name: str, points: list, at) -> np.ndarray | None:
    """A score [N] from a run's arrays: at the scoring point `at`, or over the ends of epochs up to it.

    None where a score over time has too few recordings: the area under the margin needs one end of an epoch, forgetting two.
    """
    t = points.index(at)
    if name in POINTWISE:
        return runs.values_from(recorded, name, t)
    times = [i for i, point in enumerate(points[: t + 1]) if isinstance(point, str)]
    if len(times) < {"aum": 1, "forgetting": 2}[name]:
        return None
    logits = recorded["logits"][times]
    return scores.aum(logits, recorded["labels"]) if name == "aum" else scores.forgetting(logits.argmax(-1) == recorded["labels"])


def detection(table: pd.DataFrame, arm: list[dict], names=SCORES, points=None) -> pd.DataFrame:
    """How well scores find the wrong labels, as the runs of an arm have them: a row for each seed, scoring point and score.

    The columns ``auroc``, ``ap`` and ``recall`` are those of :func:`measures`. `points` None: all scoring points.
    """
    rows = []
    for seed, recorded in arrays_by_seed(table, arm).items():
        wrong = recorded["labels"] != recorded["truth"]
        for at in arm[0]["score_at"] if points is None else points:
            for name in names:
                values = values_of(recorded, name, arm[0]["score_at"], at)
                if values is not None:
                    rows.append({"seed": seed, "at": str(at), "score": name} | measures(values, wrong))
    return pd.DataFrame(rows, columns=["seed", "at", "score", *MEASURES])


def outside(settings: dict, table: pd.DataFrame, task: str, rate: float) -> pd.DataFrame:
    """How well the outside method finds the flips of a task at a rate, as :func:`detection`: by its self-confidence, one row."""
    return detection(table, cross_fitted(settings, task, rate), ["cross_entropy"])


def extremes(settings: dict, table: pd.DataFrame, task: str, n: int = 2) -> pd.DataFrame:
    """The `n` hardest and easiest examples of each given class, by EL2N at one epoch averaged over the stored runs.

    ``position`` in the training set, ``label`` as given, ``truth``, ``el2n``, ``end`` ("hardest" or "easiest").
    """
    arm, rows = full(settings, task, NOISY), []
    values = scores_by_seed(table, arm, "el2n", RETRAIN_AT)
    if values:
        recorded, mean = next(iter(arrays_by_seed(table, arm).values())), np.mean(list(values.values()), axis=0)
        labels, truth = recorded["labels"], recorded["truth"]
        for label in np.unique(labels):
            ranking = np.flatnonzero(labels == label)
            ranking = ranking[np.argsort(-mean[ranking], kind="stable")]
            for end, some in (("hardest", ranking[:n]), ("easiest", ranking[::-1][:n])):
                rows += [{"position": i, "label": int(label), "truth": int(truth[i]), "el2n": mean[i], "end": end} for i in some]
    return pd.DataFrame(rows, columns=["position", "label", "truth", "el2n", "end"])


def _at_one_epoch(settings: dict, table: pd.DataFrame):
    """(task, seed, arrays, place of the scoring point "1ep") of every stored scoring run with noisy labels."""
    for task in settings["tasks"]:
        own = of_task(settings, task)
        for seed, recorded in arrays_by_seed(table, full(own, task, NOISY)).items():
            yield task, seed, recorded, own["score_at"].index(RETRAIN_AT)


def not_flipped(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """The examples not flipped among the n hardest by EL2N at one epoch, n the number of flips: a row a task, seed and class."""
    rows = []
    for task, seed, recorded, t in _at_one_epoch(settings, table):
        wrong = recorded["labels"] != recorded["truth"]
        top = np.argsort(-runs.values_from(recorded, "el2n", t), kind="stable")[: wrong.sum()]
        right = np.bincount(recorded["labels"][top[~wrong[top]]], minlength=recorded["logits"].shape[-1])
        rows += [{"task": task, "seed": seed, "hardest": len(top), "label": label, "not_flipped": int(count)}
                 for label, count in enumerate(right)]
    return pd.DataFrame(rows, columns=["task", "seed", "hardest", "label", "not_flipped"])


# --- Checks against cleanlab, and of scores against each other

def _cleanlab():
    try:
        import cleanlab.filter
        import cleanlab.rank
    except ImportError:
        raise InputError("label_noise: cleanlab is not installed; pip install 'datadiet[book]' brings it.") from None
    return cleanlab


def against_cleanlab(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Our loss and margin beside cleanlab's label quality of the same probabilities, per task and seed, at one epoch.

    ``rho_...``: Spearman's rho of minus cleanlab's quality with our score. ``auroc_...``: of cleanlab's own ranking.
    """
    methods, rows = {"self_confidence": "cross_entropy", "normalized_margin": "margin"}, []
    for task, seed, recorded, t in _at_one_epoch(settings, table):
        probs, row = runs.probabilities(recorded["logits"][t]), {"task": task, "seed": seed}
        for method, ours in methods.items():
            theirs = -_cleanlab().rank.get_label_quality_scores(recorded["labels"], probs, method=method)
            row[f"rho_{method}"] = spearmanr(theirs, runs.values_from(recorded, ours, t))[0]
            row[f"auroc_{method}"] = measures(theirs, recorded["labels"] != recorded["truth"])["auroc"]
        rows.append(row)
    return pd.DataFrame(rows, columns=["task", "seed", *(f"{what}_{method}" for method in methods for what in ("rho", "auroc"))])


def confident_learning(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Label issues by cleanlab's confident learning, from out-of-fold probabilities, per task and rate.

    ``flagged`` examples, ``precision`` (share of them that were flipped) and ``recall`` (share of the flips among them).
    """
    rows = []
    for task in settings["tasks"]:
        own = of_task(settings, task)
        for rate in filter(None, own["rates"]):
            for recorded in arrays_by_seed(table, cross_fitted(own, task, rate)).values():
                wrong, probs = recorded["labels"] != recorded["truth"], runs.probabilities(recorded["logits"][0])
                issue = _cleanlab().filter.find_label_issues(recorded["labels"], probs, n_jobs=1)
                hits = int((issue & wrong).sum())
                rows.append({"task": task, "noise": rate, "flips": int(wrong.sum()), "flagged": int(issue.sum()),
                             "precision": hits / max(issue.sum(), 1), "recall": hits / wrong.sum()})
    return pd.DataFrame(rows, columns=["task", "noise", "flips", "flagged", "precision", "recall"])


def one_ranking(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rho of EL2N with other scores at one epoch, per task and seed. With two classes loss and margin rank as EL2N."""
    rows = []
    for task, seed, recorded, t in _at_one_epoch(settings, table):
        el2n = runs.values_from(recorded, "el2n", t)
        row = {"task": task, "classes": recorded["logits"].shape[-1], "seed": seed}
        rows.append(row | {name: spearmanr(el2n, runs.values_from(recorded, name, t))[0] for name in POINTWISE[1:]})
    return pd.DataFrame(rows, columns=["task", "classes", "seed", *POINTWISE[1:]])
