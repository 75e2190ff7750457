"""Load, else compute. A run is a config; its result is stored under the config's key and comes back at once when asked again.

table = sweep([config(task="docstrings", seed=s) for s in range(3)])                 # three full-data runs
table = sweep(configs, engine="processes")                                           # a run a core
table = sweep(configs, engine="dask://scheduler:8786")                               # a cluster
table = sweep(configs, engine="stored")                                              # look up, compute nothing
"""

import contextlib
import datetime
import hashlib
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context

import numpy as np
import pandas as pd
from tqdm import tqdm

from datadiet import dynamic, fairness, pool, prune, store
from datadiet.data import flip_labels, load, shrink
from datadiet.errors import InputError
from datadiet.provenance import commit, hardware, versions
from datadiet.recorded import softmax, values_from  # noqa: F401 - also this module's, by name

PROTOCOL = 1  # raised when the same config comes to mean another run

DEFAULTS = {
    "task": "docstrings",
    "noise": 0.0,  # share of training labels flipped on purpose (symmetric, seed 0: the same flips in every run)
    "validation": 0.1,  # share of train held out where a set has no official validation split
    "size": None,  # training examples, a stratified draw; None = all
    "encoder": "minilm",
    "layers": None,  # first layers of the encoder that are kept; None = all
    "max_length": 64,  # tokens
    "epochs": 3,
    "budget": "epochs",  # what a pruned run spends: the same "epochs", or as many update "steps" as the full set
    "batch_size": 32,
    "learning_rate": 5e-5,
    "seed": 0,
    "score_at": [],  # scoring points: update steps (0, 10, ...) or epochs ("1ep", ...)
    "grand_size": 0,  # examples whose full-parameter GraNd is recorded at each scoring point; None = all
    "keep": None,
}
# Settings that came after the first published runs. At its default such a setting is left out of the key, so that what was
# computed before it existed keeps its key: the run is the same.
LATER: dict = {
    "schedule": None,  # pruning while training: a dict of dynamic.SETTINGS
    "optimizer": "adamw",  # or "sgd": Nesterov momentum 0.9, weight decay 5e-4
    "inputs": "unit range",  # how an image is normalised: a name of pictures.INPUTS
    "shifts": False,  # training images shifted by up to 4 pixels and mirrored at random
    "watch": False,  # record at the end of every epoch which training examples are right: what forgetting is counted on
    "decay": True,  # the learning rate rises over the first tenth of the updates and falls to zero; False: constant
    "folds": 0,  # above 0: nothing is fine-tuned; out-of-fold probabilities of a regression on frozen features instead
    "augment": None,  # train on a mix of factual and gender-swapped sentences: a dict of fairness.SETTINGS
    "precision": "float32",  # of passes that train nothing, scoring among them; or "bfloat16", faster on a GPU
    "pool": None,  # a training set that grows from a pool with weak labels: a dict of pool.START or pool.ADD
}
KEEP = {
    "rule": "random",
    "fraction": 0.5,
    "offset": 0.0,
    "balanced": False,
    "score": None,  # a name of scores.SCORES or "grand_head"; None for the random rule
    "at": None,  # the scoring point
    "seeds": [],  # scoring runs whose scores are averaged
    "source": None,  # config of the scoring runs, without its seed
}


def config(keep: dict | None = None, **changes) -> dict:
    """A complete run config: the defaults with `changes`, and with `keep` for a pruned run.

    Raises
    ------
    InputError
        An unknown key, naming the known ones; also within a schedule, a mix or a pool. A mix beside a `keep`; a pool beside
        anything else that says what is trained on.
    """
    for given, known, what in ((changes, DEFAULTS | LATER, "config"), (keep or {}, KEEP, "keep")):
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise InputError(f"runs.config: unknown {what} key(s) {', '.join(unknown)}; known: {', '.join(known)}.")
    if changes.get("schedule") is not None:
        changes["schedule"] = dynamic.settings(changes["schedule"])
    if changes.get("augment") is not None:
        if keep is not None:
            raise InputError("runs.config: a run trains on a pruned set (keep) or on a mix (augment), not both; leave one out.")
        changes["augment"] = fairness.settings(**changes["augment"])
    if changes.get("pool") is not None:
        changes["pool"] = pool.settings(changes["pool"])
        if keep is not None or changes.get("schedule") is not None or changes.get("augment") is not None:
            raise InputError("runs.config: a pool says what is trained on; it goes with no keep, schedule or mix.")
    return DEFAULTS | LATER | changes | {"keep": None if keep is None else KEEP | keep}


def key(run: dict) -> str:
    """SHA-256 of the canonical JSON of a config and the protocol number, 64 hex digits."""
    return hashlib.sha256(json.dumps([PROTOCOL, _named(run)], sort_keys=True, allow_nan=False).encode()).hexdigest()


def _named(run: dict) -> dict:
    """What of a config is part of its key: all but later settings at their defaults, in its scoring runs' config too."""
    out = {name: value for name, value in run.items() if name not in LATER or value != LATER[name]}
    for what in ("keep", "augment", "pool"):
        if out.get(what) and out[what].get("source"):
            out[what] = out[what] | {"source": _named(out[what]["source"])}
    return out


def _chosen_by(run: dict) -> dict | None:
    """What says which scoring runs choose the examples of `run`: its keep or its mix; None where it trains on everything."""
    return run["keep"] or run["augment"]


def scoring_runs(run: dict) -> list[dict]:
    """The runs that `run` leans on: whose scores it prunes or mixes with, whose hypotheses it trains on. Most lean on none."""
    if run["pool"]:
        weak = run["pool"].get("source")
        return [weak | {"seed": run["seed"]}] if weak else []
    chosen = _chosen_by(run)
    return [chosen["source"] | {"seed": seed} for seed in chosen["seeds"]] if chosen and chosen["source"] else []


def score_values(run: dict, name: str, at) -> np.ndarray:
    """Score `name` of every training example [N] by one stored scoring run, at its scoring point `at`."""
    return values_from(store.arrays(key(run)), name, run["score_at"].index(at))


@cache
def _task(name: str, validation: float, size: int | None, noise: float):
    task = load(name, validation=validation)
    task = task if size is None else shrink(task, size)
    return task if not noise else flip_labels(task, noise, seed=0)


def task_of(run: dict):
    """The task of a run, shrunk and with flipped labels as its config says."""
    return _task(run["task"], run["validation"], run["size"], run["noise"])


def compute(run: dict, values: np.ndarray | dict | None = None, progress: bool = False) -> tuple[dict, dict, dict]:
    """Carry out one run, storing nothing: (metrics, provenance, arrays). `values`: what it takes of the runs it leans on."""
    import torch

    from datadiet import frozen, train

    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    task, keep = task_of(run), run["keep"]
    kept, checksum, facts = None, task.checksum, {}
    if run["pool"] is not None:
        task, kept, facts = pool.grow(task, run["pool"], run["seed"], values)
    if keep is not None:
        values = np.zeros(len(task.train)) if values is None else values
        groups = task.train.labels if keep["balanced"] else None
        kept = prune.keep(values, keep["fraction"], keep["rule"], offset=keep["offset"], seed=run["seed"], labels=groups)
    elif run["augment"] is not None:
        kept = fairness.mix(run["augment"], task.train, values, run["seed"])
    fitted = frozen.out_of_fold(run, task) if run["folds"] else train.fit(run, task, kept, progress)
    provenance = {
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        "commit": commit(),
        "protocol": PROTOCOL,
        "versions": versions(),
        "data_checksum": checksum,
        "data_source": task.source,
        "label_names": list(task.label_names),
        "started": started.isoformat(timespec="seconds"),
        "seconds": time.perf_counter() - clock,
    }
    return fitted.metrics | facts, provenance, fitted.arrays


def _one_thread():
    import torch

    torch.set_num_threads(1)


def _taken(run: dict) -> np.ndarray | dict | None:
    """Scores a run prunes with: the mean over its scoring runs of each run's scores. For a pool, the weak run's arrays."""
    sources = scoring_runs(run)
    if run["pool"]:
        return store.arrays(key(sources[0])) if sources else None
    chosen = _chosen_by(run)
    return np.mean([score_values(source, chosen["score"], chosen["at"]) for source in sources], axis=0) if sources else None


def again(run: dict) -> tuple[dict, dict, dict]:
    """Compute a run whether or not it is stored, storing nothing; the runs it leans on must be stored."""
    return compute(run, _taken(run))


class SweepFailed(RuntimeError):
    """Some runs of a sweep failed; the others are stored. ``failures`` maps a key to its exception."""

    def __init__(self, failures: dict, of: int):
        self.failures = failures
        seen: dict[str, list] = {}
        for k, e in failures.items():
            seen.setdefault(f"{type(e).__name__}: {e}", []).append(k[:12])
        lines = [f"{len(keys)} run(s), {keys[0]} first: {what}" for what, keys in seen.items()]
        super().__init__(f"runs.sweep: {len(failures)} of {of} runs failed, the others are stored.\n" + "\n".join(lines))


def _pool(engine: str):
    """An executor, and how to wait for its futures, for `engine`. A sweep starts its workers once: each imports for seconds."""
    if engine == "processes":
        # Spawned, because a forked copy of a process that has used torch's threads can hang.
        pool = ProcessPoolExecutor(max(1, os.cpu_count() or 1), mp_context=get_context("spawn"), initializer=_one_thread)
        return pool, as_completed
    try:
        from distributed import Client
        from distributed import as_completed as dask_completed
    except ImportError:
        raise InputError("runs.sweep: the Dask engine needs the extra: pip install 'datadiet[dask]'") from None
    try:
        return Client(engine.replace("dask://", "tcp://"), timeout=10), dask_completed
    except OSError as problem:
        raise InputError(f"runs.sweep: no Dask scheduler answers at {engine} ({type(problem).__name__}).") from None


def _carry_out(wave: list[dict], workers, bar, failures: dict) -> None:
    """Compute and store the runs of one wave; a failure is noted and the wave goes on. `workers`: of :func:`_pool`, or None."""

    def keep_result(run, result):
        try:
            metrics, provenance, arrays = result()
            store.save(key(run), run, metrics, provenance, arrays)
        except Exception as problem:
            failures[key(run)] = problem
        bar.update()

    if workers is None:
        for run in wave:
            keep_result(run, lambda run=run: compute(run, _taken(run)))
        return
    (executor, completed), futures = workers, {}
    for run in wave:
        try:
            futures[executor.submit(compute, run, _taken(run))] = run
        except Exception as problem:  # a worker was killed in an earlier wave
            failures[key(run)] = problem
            bar.update()
    for future in completed(list(futures)):
        keep_result(futures[future], future.result)


def missing(configs) -> list[dict]:
    """Runs of `configs`, and scoring runs they lean on, that are not stored; scoring runs first, no run twice."""
    wanted = {key(run): run for run in configs}
    leaned_on = {key(source): source for run in wanted.values() for source in scoring_runs(run)}
    everything = leaned_on | wanted
    found = store.find(everything)
    # A published pruned run needs no scoring runs of its own; a missing one does.
    needed = {key(source) for k, run in wanted.items() if k not in found for source in scoring_runs(run)}
    todo = [run for k, run in everything.items() if k not in found and (k in wanted or k in needed)]
    return sorted(todo, key=lambda run: bool(scoring_runs(run)))


def sweep(configs, engine: str = "here") -> pd.DataFrame:
    """Load each run, else compute and store it; one row a run, in the order asked for.

    Parameters
    ----------
    configs : iterable of dict
        Made by :func:`config`. Scoring runs that a pruned run needs are computed too.
    engine : str
        "here" (one after the other), "processes" (one a core), "dask://host:port", or "stored" (compute nothing; absent
        runs are counted in ``table.attrs["missing"]``).

    Returns
    -------
    pandas.DataFrame
        Config, metrics and provenance of each run in columns; ``origin`` says "here" or "published".

    Raises
    ------
    InputError
        Unknown engine.
    SweepFailed
        After all runs were tried, if any failed. What succeeded is stored; a second call computes only the rest.
    """
    configs = list(configs)
    if engine not in ("here", "processes", "stored") and not engine.startswith("dask://"):
        raise InputError(f"runs.sweep: unknown engine {engine!r}; choose 'here', 'processes', 'dask://host:port' or 'stored'.")
    todo = [] if engine == "stored" else missing(configs)
    failures: dict = {}
    for run in todo:
        task_of(run)  # a set that cannot be had is an error now, before anything is trained
    if todo:
        with contextlib.ExitStack() as stack:
            bar = stack.enter_context(tqdm(total=len(todo), desc="runs", unit="run", file=sys.stderr, leave=False))
            workers = None if engine == "here" else _pool(engine)
            if workers:
                stack.enter_context(workers[0])
            _carry_out([run for run in todo if not scoring_runs(run)], workers, bar, failures)
            ready = []
            for run in (run for run in todo if scoring_runs(run)):
                broken = [key(source) for source in scoring_runs(run) if key(source) in failures]
                if broken:
                    failures[key(run)] = RuntimeError(f"its scoring run {broken[0][:12]} failed")
                    bar.update()
                else:
                    ready.append(run)
            _carry_out(ready, workers, bar, failures)
    if failures:
        raise SweepFailed(failures, len(todo))
    return _table(configs, store.find(key(run) for run in configs))


def published(configs) -> pd.DataFrame:
    """The table of :func:`sweep` from the published results alone."""
    configs = list(configs)
    return _table(configs, store.published(key(run) for run in configs))


def _table(configs: list[dict], found: dict) -> pd.DataFrame:
    rows = [_flat(key(run), found[key(run)]) for run in configs if key(run) in found]
    table = pd.DataFrame(rows)
    table.attrs["missing"] = len(configs) - len(rows)
    return table


def _flat(k: str, run: dict) -> dict:
    """One row: what was asked for, what came out, where and how."""
    schedule = run["config"].get("schedule")
    rule = "full" if schedule is None else f"dynamic {schedule['rule']}"
    rule = "pool" if run["config"].get("pool") else rule
    keep = run["config"]["keep"] or KEEP | {"rule": rule, "fraction": 1.0}
    if mixed := run["config"].get("augment"):
        keep |= {"rule": "mix"} | {name: mixed[name] for name in ("score", "at", "seeds")}
    provenance = {
        name: run["provenance"].get(name)
        for name in "hardware threads commit versions data_checksum data_source label_names started seconds".split()
    }
    return (
        {"key": k}
        | {name: value for name, value in (LATER | run["config"]).items() if name != "keep"}
        | {name: keep[name] for name in ("rule", "fraction", "offset", "balanced", "score", "at")}
        | {"score_seeds": len(keep["seeds"])}
        | run["metrics"]
        | provenance
        | {"origin": run["origin"]}
    )
