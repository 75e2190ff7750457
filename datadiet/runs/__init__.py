"""Load, else compute. A run is a config; its result is stored under the config's key and comes back at once when asked again.

table = sweep([config(task="docstrings", seed=s) for s in range(3)])                 # three full-data runs
table = sweep(configs, engine="processes")                                           # a run a core
table = sweep(configs, engine="dask://scheduler:8786")                               # a cluster
table = sweep(configs, engine="stored")                                              # look up, compute nothing
"""

import contextlib
import datetime
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context

import numpy as np
import pandas as pd
from tqdm import tqdm

from datadiet import prune
from datadiet.data import flip_labels, load, shrink, without_validation
from datadiet.errors import InputError
from datadiet.runs import store
from datadiet.runs.configs import DEFAULTS, KEEP, LATER, PROTOCOL, chosen_by, config, key, scoring_runs  # noqa: F401 - its names too
from datadiet.runs.provenance import commit, hardware, versions
from datadiet.runs.recorded import probabilities, values_from  # noqa: F401 - also this module's, by name
from datadiet.training import fairness, growth


def score_values(run: dict, name: str, at) -> np.ndarray:
    """Score `name` of every training example [N] by one stored scoring run, at its scoring point `at`."""
    return values_from(store.arrays(key(run)), name, run["score_at"].index(at))


@cache
def _task(name: str, validation: float, size: int | None, noise: float, test_only: bool):
    task = load(name, validation=validation)
    task = without_validation(task) if test_only else task
    task = task if size is None else shrink(task, size)
    return task if not noise else flip_labels(task, noise, seed=0)


def task_of(run: dict):
    """The task of a run, shrunk and with flipped labels as its config says."""
    return _task(run["task"], run["validation"], run["size"], run["noise"], run["test_only"])


def compute(run: dict, values: np.ndarray | dict | None = None, progress: bool = False) -> tuple[dict, dict, dict]:
    """Carry out one run, storing nothing: (metrics, provenance, arrays). `values`: what it takes of the runs it leans on."""
    import torch

    from datadiet.training import branch, frozen, loop

    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    task, keep = task_of(run), run["keep"]
    kept, checksum, facts = None, task.checksum, {}
    if run["pool"] is not None:
        task, kept, facts = growth.grow(task, run["pool"], run["seed"], values)
    if keep is not None:
        values = np.zeros(len(task.train)) if values is None else values
        groups = task.train.labels if keep["balanced"] else None
        kept = prune.keep(values, keep["fraction"], keep["rule"], offset=keep["offset"], seed=run["seed"], labels=groups)
    elif run["augment"] is not None:
        kept = fairness.mix(run["augment"], task.train, values, run["seed"])
    if run["branch"] is not None:
        fitted = branch.fit(run, task, values, progress)
    else:
        fitted = frozen.out_of_fold(run, task) if run["folds"] else loop.fit(run, task, kept, progress)
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
    chosen = chosen_by(run)
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
    asked = LATER | run["config"]
    rule = "full" if asked["schedule"] is None else f"dynamic {asked['schedule']['rule']}"
    rule = "pool" if asked["pool"] else "branch" if asked["branch"] else rule
    keep = asked.pop("keep") or KEEP | {"rule": rule, "fraction": 1.0}
    if chosen := asked["augment"] or asked["branch"]:
        keep |= {"rule": "mix" if asked["augment"] else rule} | {name: chosen[name] for name in ("score", "at", "seeds")}
    how = {name: keep[name] for name in ("rule", "fraction", "offset", "balanced", "score", "at")}
    how["score_seeds"] = len(keep["seeds"])
    names = "hardware threads commit versions data_checksum data_source label_names started seconds".split()
    provenance = {name: run["provenance"].get(name) for name in names}
    return {"key": k} | asked | how | run["metrics"] | provenance | {"origin": run["origin"]}
