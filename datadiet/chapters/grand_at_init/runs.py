"""GraNd at initialisation: does an untrained network know which images matter, or only how large they are?

Kinds of run, all on images: untrained networks (``epochs`` 0), scored where they stand; scoring runs, scored early and at their
end and watched at the end of every epoch; retraining on the hardest by each score.
"""

from itertools import combinations, islice

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from datadiet import runs
from datadiet.chapters import images
from datadiet.chapters.arms import mean_of_others, scores_by_seed, stored
from datadiet.chapters.images import of_task

FULL = "full data"
HALF = 0.5  # share kept in the claims about a half: the "kept" of their margins
INIT = "GraNd at initialisation"
LOADED = "GraNd the faulty restore gives"
TRANSFER = "EL2N of the other network"
SCORES = {  # arm -> the score whose hardest examples it keeps
    "random": None,
    "EL2N": "el2n",
    "GraNd": "grand",
    INIT: "grand",
    "input norm": "input_norm",
    "forgetting": "forgetting",
    LOADED: "grand",
    TRANSFER: "el2n",
}


def restore_then(checkpoints: dict, step: int | None = None):
    """A checkpoint as FLAX restored it before 0.3.4: asked for step 0, it gives the latest."""
    if step:
        return checkpoints[step]
    return checkpoints[max(checkpoints)]


def restore_now(checkpoints: dict, step: int | None = None):
    """A checkpoint as FLAX restores it since 0.3.4: the latest only where no step was asked for."""
    if step is not None:
        return checkpoints[step]
    return checkpoints[max(checkpoints)]


def untrained(settings: dict, task: str, count: int | None = None, **changes) -> list[dict]:
    """Untrained networks, a seed each, with the GraNd of every training example. Seed s is where scoring run s starts.

    `count` None: as many as the settings say.
    """
    plain = images.base(settings, task) | {"epochs": 0, "score_at": [0], "grand_size": None}
    count = of_task(settings, task)["inits"] if count is None else count
    return [runs.config(**plain | changes, seed=seed) for seed in range(count)]


def probes(settings: dict, task: str) -> dict[tuple[str, str], list[dict]]:
    """(network, normalisation of the input) -> untrained networks, for all that the settings name."""
    chosen = of_task(settings, task)
    return {
        (encoder, inputs): untrained(settings, task, count, encoder=encoder, inputs=inputs,
                                     size=chosen["size"] if size is None else size)
        for encoder, (size, count) in chosen["probes"].items()
        for inputs in chosen["probe_inputs"]
    }


def trained(settings: dict, task: str) -> list[dict]:
    """Scoring runs: the full data, scored early and at the end, watched at every epoch, with the GraNd of every example.

    As many as ``scorers``, where that is more than the seeds of the other arms.
    """
    chosen = of_task(settings, task)
    return images.scoring(chosen | {"seeds": max(chosen["seeds"], chosen["scorers"])}, task, watch=True)


def other_network(settings: dict, task: str) -> list[dict]:
    """Scoring runs of the other architecture, scored early."""
    chosen = of_task(settings, task)
    return images.scoring(settings, task, encoder=chosen["other"], score_at=chosen["score_at"][:1], grand_size=0)


def skipping(settings: dict, task: str, share: float) -> list[dict]:
    """The arm that skips the very hardest `share` by early EL2N and keeps the next, at equal steps."""
    by, at = scored(settings, task, "EL2N")
    fraction = of_task(settings, task)["fraction"]
    return images.pruned(settings, task, "hardest", fraction, by=by, at=at, score="el2n", offset=share, budget="steps")


def scored(settings: dict, task: str, name: str) -> tuple[list[dict], object]:
    """The runs that give an arm its score, and the scoring point."""
    fresh, full, points = untrained(settings, task), trained(settings, task), of_task(settings, task)["score_at"]
    # Each scoring run has a checkpoint at its start and one at its end: what the faulty restore makes of a wish for step 0.
    loaded = restore_then({0: (fresh, 0), 1: (full, points[-1])}, step=0)
    return {
        "EL2N": (full, points[0]),
        "GraNd": (full, points[0]),
        INIT: (fresh, 0),
        "input norm": (fresh, 0),
        "forgetting": (full, points[-1]),
        LOADED: loaded,
        TRANSFER: (other_network(settings, task), points[0]),
    }[name]


def arm(settings: dict, task: str, name: str, fraction: float | None = None, budget: str = "epochs") -> list[dict]:
    """Retraining runs, a seed each: on the hardest by the arm's score, averaged over the runs of other seeds.

    The arm "full data" is that of the scoring runs. `fraction` None: the share kept where another thing is varied.
    """
    if name == FULL:
        return trained(settings, task)
    fraction = of_task(settings, task)["fraction"] if fraction is None else fraction
    if name == "random":
        return images.pruned(settings, task, "random", fraction, budget=budget)
    by, at = scored(settings, task, name)
    out = images.pruned(settings, task, "hardest", fraction, by=by, at=at, score=SCORES[name], budget=budget)
    if SCORES[name] == "input_norm":  # the same in every run
        out = [run | {"keep": run["keep"] | {"seeds": run["keep"]["seeds"][:1]}} for run in out]
    return out


def retrained(settings: dict, task: str) -> list[tuple[str, float, str]]:
    """(arm, kept fraction, budget) of every retraining arm.

    All fractions at equal epochs. At equal steps the one fraction, a half for the arms that claims about a half name, and those
    of ``equal_steps``.
    """
    chosen = of_task(settings, task)
    epochs = [(name, fraction, "epochs") for name in SCORES if name != TRANSFER for fraction in chosen["fractions"]]
    steps = [(name, chosen["fraction"], "steps") for name in SCORES]
    more = [(name, fraction, "steps") for name in SCORES if name != TRANSFER for fraction in chosen["equal_steps"]]
    return epochs + steps + more + [(name, HALF, "steps") for name in ("random", "EL2N", INIT, LOADED)]


def wanted(settings: dict) -> list[dict]:
    """Runs of the chapter "GraNd at initialisation"."""
    out = []
    for task in settings["tasks"]:
        out += untrained(settings, task) + trained(settings, task) + other_network(settings, task)
        for some in probes(settings, task).values():
            out += some
        for name, fraction, budget in retrained(settings, task):
            out += arm(settings, task, name, fraction, budget)
        for share in of_task(settings, task)["skips"]:
            out += skipping(settings, task, share)
    return out


def probed(settings: dict, table: pd.DataFrame, task: str, encoder: str, inputs: str) -> dict[int, np.ndarray]:
    """Seed -> the GraNd [N] of each stored untrained network of one architecture under one normalisation of the input."""
    return scores_by_seed(table, probes(settings, task).get((encoder, inputs), []), "grand", 0)


def input_norms(settings: dict, table: pd.DataFrame, task: str, encoder: str, inputs: str) -> np.ndarray | None:
    """Norm [N] of the inputs that those networks are given, the same for all of them; None where no network is stored."""
    run = next(iter(stored(table, probes(settings, task).get((encoder, inputs), [])).values()), None)
    return None if run is None else runs.score_values(run, "input_norm", 0)


def _rho(values, norm) -> float:
    """Spearman's rho with a norm; NaN where either is not there, or all norms are equal."""
    if values is None or norm is None or np.ptp(norm) < 1e-3 * norm.mean():
        return np.nan
    return spearmanr(values, norm)[0]


def rho_with_norm(grand: dict[int, np.ndarray], norm: np.ndarray | None) -> tuple[float, pd.Series]:
    """Rho of the average GraNd of networks (seed -> [N]) with a norm [N], and by seed rho of the average over all but one."""
    without = {seed: _rho(mean_of_others(grand, seed), norm) for seed in grand}
    return _rho(np.mean(list(grand.values()), axis=0) if grand else None, norm), pd.Series(without, dtype=float)


def correlations(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rho of untrained networks' GraNd with two norms of the input, a row an untrained network.

    ``pixels``: the norm of the standardised image, whatever the network is given. ``seen``: the norm of what the network is
    given; NaN where all are equal, as they are once every image is normalised by itself. These are of the one network;
    ``_mean`` is that of the average GraNd over all networks, as papers give it.
    """
    rows = []
    for task in settings["tasks"]:
        for encoder, inputs in probes(settings, task):
            grand = probed(settings, table, task, encoder, inputs)
            norms = {name: input_norms(settings, table, task, encoder, way)
                     for name, way in (("pixels", "standardised"), ("seen", inputs))}
            means = {f"{name}_mean": rho_with_norm(grand, norm)[0] for name, norm in norms.items()}
            for seed, values in grand.items():
                row = {"task": task, "encoder": encoder, "inputs": inputs, "seed": seed, "images": len(values)}
                rows.append(row | {name: _rho(values, norm) for name, norm in norms.items()} | means)
    columns = ["task", "encoder", "inputs", "seed", "images", "pixels", "seen", "pixels_mean", "seen_mean"]
    return pd.DataFrame(rows, columns=columns)


def scores_of(settings: dict, table: pd.DataFrame, task: str, name: str) -> dict[int, np.ndarray]:
    """Seed -> the score [N] that an arm prunes by, of each of the stored runs that give it."""
    arm, at = scored(settings, task, name)
    return scores_by_seed(table, arm, SCORES[name], at)


def standing(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Reliability and validity of every score, a row a task, score and seed.

    ``reliability``: rho of one run's score with the mean of the other runs' of the same score. ``validity``: rho with EL2N at the
    end of training, mean of the other seeds. NaN where no other run is stored. A ranking can be stable and useless.
    """
    rows = []
    for task in settings["tasks"]:
        late = scores_by_seed(table, trained(settings, task), "el2n", of_task(settings, task)["score_at"][-1])
        for name in ("EL2N", "GraNd", "forgetting", "input norm", INIT):
            found = scores_of(settings, table, task, name)
            for seed, values in found.items():
                others = {"reliability": mean_of_others(found, seed), "validity": mean_of_others(late, seed)}
                rho = {what: np.nan if mean is None else spearmanr(values, mean)[0] for what, mean in others.items()}
                rows.append({"task": task, "score": name, "seed": seed} | rho)
    return pd.DataFrame(rows, columns=["task", "score", "seed", "reliability", "validity"])


def halves(settings: dict, table: pd.DataFrame, draws: int = 20) -> pd.DataFrame:
    """Rho between the mean GraNd of two halves of the untrained networks, a row a task and way to halve them (`draws`)."""
    rows = []
    for task in settings["tasks"]:
        values = scores_of(settings, table, task, INIT)
        n = len(values) // 2
        for left in islice(combinations(values, n), draws) if n else ():
            right = [seed for seed in values if seed not in left][:n]
            means = [np.mean([values[seed] for seed in half], axis=0) for half in (left, right)]
            rows.append({"task": task, "runs": n, "rho": spearmanr(*means)[0]})
    return pd.DataFrame(rows, columns=["task", "runs", "rho"])


def often_forgotten(settings: dict, table: pd.DataFrame, task: str) -> pd.Series:
    """Share of the examples whose mean forgetting count over the other seeds' runs is above one, by seed."""
    counts = scores_of(settings, table, task, "forgetting")
    others = {seed: mean_of_others(counts, seed) for seed in counts}
    return pd.Series({seed: (mean > 1).mean() for seed, mean in others.items() if mean is not None}, dtype=float)


def likeness(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """How alike scores rank, a row a task and seed; NaN where one of the two is not stored.

    ``grand``: rho of one run's GraNd and EL2N at the early scoring point. ``forgetting``: rho of its early EL2N with the mean
    forgetting counts of the other runs. ``loaded``: rho of what the faulty restore gives for step 0 with what was asked for.
    """
    rows = []
    for task in settings["tasks"]:
        found = {name: scores_of(settings, table, task, name) for name in ("EL2N", "GraNd", "forgetting", INIT, LOADED)}
        for seed, el2n in found["EL2N"].items():
            counts, fresh = mean_of_others(found["forgetting"], seed), found[INIT].get(seed)
            rows.append({
                "task": task, "seed": seed,
                "grand": spearmanr(found["GraNd"][seed], el2n)[0],
                "forgetting": np.nan if counts is None else spearmanr(el2n, counts)[0],
                "loaded": np.nan if fresh is None else spearmanr(found[LOADED][seed], fresh)[0],
            })  # fmt: skip
    return pd.DataFrame(rows, columns=["task", "seed", "grand", "forgetting", "loaded"])
