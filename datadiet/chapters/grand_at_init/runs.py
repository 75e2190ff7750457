"""GraNd at initialisation: does an untrained network know which images matter, or only how large they are?

Kinds of run, all on images: untrained networks (``epochs`` 0), scored where they stand; scoring runs, read early and at their
end and watched at the end of every epoch; retraining on what each score keeps.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from datadiet import runs
from datadiet.chapters import arms as core
from datadiet.chapters.arms import base, pruned, scoring

BUDGETS = ("epochs", "steps")
INIT = "GraNd at initialisation"
LOADED = "GraNd the faulty restore gives"
ARMS = {  # name of an arm -> the score it keeps the hardest by
    "random": None,
    "EL2N": "el2n",
    "GraNd": "grand",
    INIT: "grand",
    "input norm": "input_norm",
    "forgetting": "forgetting",
    LOADED: "grand",
}
TRANSFER = "EL2N of the other network"


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


def of_task(settings: dict, task: str) -> dict:
    """Settings as one task has them: what ``per_task`` changes, and no tokens, for a picture has none."""
    return core.of_task(settings, task) | {"max_length": runs.DEFAULTS["max_length"]}


def _like(settings: dict, run: dict, **changes) -> dict:
    """A run with the settings that only images have."""
    return run | {name: settings[name] for name in ("optimizer", "inputs", "shifts")} | changes


def inits(settings: dict, task: str, **changes) -> list[dict]:
    """Untrained networks, a seed each, with the GraNd of every training example. Seed s is where scoring run s starts."""
    chosen = of_task(settings, task)
    plain = base(chosen, task) | {"epochs": 0, "score_at": [0], "grand_size": None}
    own = {name: chosen[name] for name in ("optimizer", "inputs", "shifts")}
    return [runs.config(**plain | own | changes, seed=seed) for seed in range(chosen["inits"])]


def trained(settings: dict, task: str) -> list[dict]:
    """Scoring runs: the full data, read early and at the end, watched at every epoch, with the GraNd of every example."""
    chosen = of_task(settings, task)
    return [_like(chosen, run, watch=True) for run in scoring(chosen, task)]


def others(settings: dict, task: str) -> list[dict]:
    """Scoring runs of the other architecture, read early."""
    chosen = of_task(settings, task)
    early = {"encoder": chosen["other"], "score_at": chosen["score_at"][:1], "grand_size": 0}
    return [_like(chosen, run) | early for run in scoring(chosen, task)]


def sources(settings: dict, task: str) -> dict[str, tuple[list[dict], object]]:
    """Arm -> the runs its score is read from, and the scoring point."""
    fresh, full, points = inits(settings, task), trained(settings, task), of_task(settings, task)["score_at"]
    # Each scoring run has a checkpoint at its start and one at its end: what the faulty restore makes of a wish for step 0.
    loaded = restore_then({0: (fresh, 0), 1: (full, points[-1])}, step=0)
    return {
        "EL2N": (full, points[0]),
        "GraNd": (full, points[0]),
        INIT: (fresh, 0),
        "input norm": (fresh, 0),
        "forgetting": (full, points[-1]),
        LOADED: loaded,
        TRANSFER: (others(settings, task), points[0]),
    }


def retrained(settings: dict, task: str, name: str, fraction: float, budget: str = "epochs") -> list[dict]:
    """Retraining runs of one arm, a seed each: the hardest by its score, averaged over the runs of other seeds."""
    chosen, score = of_task(settings, task), ARMS.get(name, "el2n")
    if score is None:
        return [_like(chosen, run) for run in pruned(chosen, task, "random", fraction, budget=budget)]
    out = []
    found, at = sources(settings, task)[name]
    for run in pruned(chosen, task, "hardest", fraction, at=at, score=score, budget=budget):
        source = {k: v for k, v in found[0].items() if k != "seed"}
        seeds = [other["seed"] for other in found if other["seed"] != run["seed"]]
        if score == "input_norm":
            seeds = seeds[:1]  # the same in every run
        out.append(_like(chosen, run | {"keep": run["keep"] | {"source": source, "seeds": seeds}}))
    return out


def plan_of(settings: dict, task: str) -> list[tuple[str, float, str]]:
    """(arm, kept fraction, budget) of every retraining arm.

    All fractions at equal epochs. At equal steps the timing fraction, and the largest for the arms that claims about a half name.
    """
    middle = of_task(settings, task)["timing_fraction"]
    out = [(name, fraction, "epochs") for name in ARMS for fraction in settings["tasks"][task]]
    largest = max(settings["tasks"][task])
    out += [(name, middle, "steps") for name in (*ARMS, TRANSFER)]
    return out + [(name, largest, "steps") for name in ("random", "EL2N", INIT, LOADED)]


def probes(settings: dict, task: str) -> list[dict]:
    """Untrained networks of every architecture under every normalisation of the input."""
    out = []
    for encoder, (size, count) in of_task(settings, task)["probes"].items():
        for inputs in settings["probe_inputs"]:
            size = size or of_task(settings, task)["size"]
            out += inits(settings | {"inits": count}, task, encoder=encoder, inputs=inputs, size=size)
    return out


def grand_at_init(settings: dict) -> list[dict]:
    """Runs of the chapter "GraNd at initialisation"."""
    out = []
    for task in settings["tasks"]:
        out += inits(settings, task) + trained(settings, task) + others(settings, task) + probes(settings, task)
        for name, fraction, budget in plan_of(settings, task):
            out += retrained(settings, task, name, fraction, budget)
    return out


def picture_arm(settings: dict, table: pd.DataFrame, task: str, name: str, fraction: float, budget: str = "epochs") -> pd.Series:
    """Test accuracy by seed of one arm; "full data" is one too."""
    full = trained(settings, task) if name == "full data" else retrained(settings, task, name, fraction, budget)
    found = table[table["key"].isin([runs.key(run) for run in full])] if len(table) else table
    return found.drop_duplicates("key").set_index("seed")["test_accuracy"].sort_index() if len(found) else pd.Series(dtype=float)


def _held(configs: list[dict], table: pd.DataFrame) -> dict[int, dict]:
    """Seed -> arrays of those runs that are in the table."""
    found = set(table["key"]) if len(table) else set()
    return {run["seed"]: runs.store.arrays(runs.key(run)) for run in configs if runs.key(run) in found}


def correlations(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rho of untrained networks' GraNd with two norms of the input, a row an untrained network.

    ``pixels``: the norm of the standardised image, whatever the network is given. ``seen``: the norm of what the network is
    given; NaN where all are equal, as they are once every image is normalised by itself. These are of the one network;
    ``_mean`` is that of the average GraNd over all networks, as papers give it, ``_without`` of that over all but this one.
    """
    rows = []
    for task in settings["tasks"]:
        chosen = of_task(settings, task)
        for encoder, (size, count) in chosen["probes"].items():
            ask, plain = settings | {"inits": count}, {"encoder": encoder, "size": size or chosen["size"]}
            raw = [held["input_norm"] for held in _held(inits(ask, task, **plain, inputs="standardised"), table).values()]
            for inputs in settings["probe_inputs"]:
                found = _held(inits(ask, task, **plain, inputs=inputs), table)
                grand = {seed: held["grand"][0].astype(np.float64) for seed, held in found.items()}
                for seed in grand if len(grand) > 1 and raw else ():
                    norms = {"pixels": raw[0], "seen": found[seed]["input_norm"]}
                    without = np.mean([g for s, g in grand.items() if s != seed], axis=0)
                    row = {"task": task, "encoder": encoder, "inputs": inputs, "seed": seed, "images": len(without)}
                    for name, norm in norms.items():
                        level = np.ptp(norm) < 1e-3 * norm.mean()
                        averages = {"": grand[seed], "_mean": np.mean(list(grand.values()), axis=0), "_without": without}
                        row |= {name + what: np.nan if level else spearmanr(g, norm)[0] for what, g in averages.items()}
                    rows.append(row)
    return pd.DataFrame(rows)


def readings(settings: dict, table: pd.DataFrame, task: str, name: str) -> dict[int, np.ndarray]:
    """Seed -> the score [N] that the arm `name` prunes by, as each of its stored runs reads it."""
    found, at = sources(settings, task)[name]
    held = set(table["key"]) if len(table) else set()
    return {run["seed"]: runs.score_values(run, ARMS.get(name, "el2n"), at) for run in found if runs.key(run) in held}


def standing(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Reliability and validity of every score, a row a task, score and seed.

    ``reliability``: rho of one run's score with the mean of the other runs' of the same score. ``validity``: rho with EL2N at the
    end of training, mean of the other seeds. A ranking can be stable and useless.
    """
    rows = []
    for task in settings["tasks"]:
        full, last = trained(settings, task), of_task(settings, task)["score_at"][-1]
        late = {run["seed"]: runs.score_values(run, "el2n", last) for run in full if len(_held([run], table))}
        for name in ("EL2N", "GraNd", "forgetting", "input norm", INIT):
            read = readings(settings, table, task, name)
            for seed, values in read.items():
                others_read = [v for s, v in read.items() if s != seed]
                others_late = [v for s, v in late.items() if s != seed]
                if others_read and others_late:
                    rows.append({
                        "task": task, "score": name, "seed": seed,
                        "reliability": spearmanr(values, np.mean(others_read, axis=0))[0],
                        "validity": spearmanr(values, np.mean(others_late, axis=0))[0],
                    })  # fmt: skip
    return pd.DataFrame(rows)


def halves(settings: dict, table: pd.DataFrame, draws: int = 20) -> pd.DataFrame:
    """Rho between the mean GraNd of two halves of the untrained networks, a row a task and way to halve them (`draws`)."""
    rows = []
    for task in settings["tasks"]:
        values = np.array(list(readings(settings, table, task, INIT).values()))
        n = len(values) // 2
        for left in list(combinations(range(len(values)), n))[:draws] if n else ():
            right = sorted(set(range(len(values))) - set(left))[:n]
            rows.append({"task": task, "runs": n, "rho": spearmanr(values[list(left)].mean(0), values[right].mean(0))[0]})
    return pd.DataFrame(rows)


def likeness(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """How alike scores rank, a row a task and seed.

    ``grand``: rho of one run's GraNd and EL2N at the early scoring point. ``forgetting``: rho of its early EL2N with the mean
    forgetting counts of the other runs. ``loaded``: rho of what the faulty restore gives for step 0 with what was asked for.
    """
    rows = []
    for task in settings["tasks"]:
        read = {name: readings(settings, table, task, name) for name in ("EL2N", "GraNd", "forgetting", INIT, LOADED)}
        for seed, el2n in read["EL2N"].items():
            counts = [v for s, v in read["forgetting"].items() if s != seed]
            fresh = read[INIT].get(seed)
            rows.append({
                "task": task, "seed": seed,
                "grand": spearmanr(read["GraNd"][seed], el2n)[0],
                "forgetting": spearmanr(el2n, np.mean(counts, axis=0))[0] if counts else np.nan,
                "loaded": np.nan if fresh is None else spearmanr(read[LOADED][seed], fresh)[0],
            })  # fmt: skip
    return pd.DataFrame(rows)
