"""Load, else compute. A run is a config; its result is stored under the config's key and comes back at once when asked again.

table = sweep([config(task="docstrings", seed=s) for s in range(3)])                 # three full-data runs
table = sweep(configs, engine="processes")                                           # a run a core
table = sweep(configs, engine="dask://scheduler:8786")                               # a cluster
table = sweep(configs, engine="stored")                                              # look up, compute nothing
"""

import contextlib
import datetime
import sys
import threading
import time
import warnings
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
from tqdm import tqdm

from datadiet import paths, prune
from datadiet.data import flip_labels, load, shrink, without_validation
from datadiet.errors import InputError
from datadiet.nets import device
from datadiet.runs import engines, store
from datadiet.runs.configs import DEFAULTS, KEEP, LATER, PROTOCOL, chosen_by, config, key, scoring_runs  # noqa: F401 - its names too
from datadiet.runs.provenance import commit, hardware, versions
from datadiet.runs.recorded import probabilities, values_from  # noqa: F401 - also this module's, by name
from datadiet.training import fairness, growth

ONE_AT_A_TIME = threading.Lock()  # runs in threads of one process would draw from the same generator, torch's


def score_values(run: dict, name: str, at, origin: str | None = None) -> np.ndarray:
    """Score `name` of every training example [N] by one stored scoring run, at its scoring point `at`.

    `origin`: "here" or "published" looks there alone, as in :func:`datadiet.runs.store.arrays`.

    Raises
    ------
    InputError
        No arrays are stored; not one of its scoring points; a score that it did not record.
    """
    if at not in run["score_at"]:
        raise InputError(f"runs.score_values: the run is not scored at {at!r}; its scoring points are {run['score_at']}.")
    return values_from(store.arrays(key(run), origin), name, run["score_at"].index(at))


@cache
def _task(root, name: str, validation: float, size: int | None, noise: float, test_only: bool, draw: int):
    task = load(name, root, validation=validation)
    task = without_validation(task) if test_only else task
    task = task if size is None else shrink(task, size, draw)
    return task if not noise else flip_labels(task, noise, seed=0)


def _set_of(run: dict) -> tuple:
    """The settings of a run that say which examples and labels it sees."""
    return run["task"], run["validation"], run["size"], run["noise"], run["test_only"], run["draw"]


def task_of(run: dict):
    """The task of a run, shrunk and with flipped labels as its config says. It is the caller's own: the next run gets another."""
    task = _task(paths.data(), *_set_of(run))
    splits = {name: _copied(getattr(task, name)) for name in ("train", "validation", "test")}
    return replace(task, **splits, truth=None if task.truth is None else task.truth.copy())


def _copied(split):
    if split is None:
        return None
    inputs = {name: rows.copy() if isinstance(rows, (list, np.ndarray)) else rows for name, rows in split.inputs.items()}
    return replace(split, ids=split.ids.copy(), labels=split.labels.copy(), inputs=inputs)


def compute(run: dict, values: np.ndarray | dict | None = None, progress: bool = False) -> tuple[dict, dict, dict]:
    """Carry out one run, storing nothing: (metrics, provenance, arrays). `values`: scores or arrays of the runs it leans on.

    Runs in threads of one process wait for each other.

    Raises
    ------
    InputError
        The device that the run asks for is not here; and whatever its training refuses.
    """
    with ONE_AT_A_TIME:
        return _compute(run, values, progress)


def _compute(run: dict, values: np.ndarray | dict | None, progress: bool) -> tuple[dict, dict, dict]:
    import torch

    from datadiet.training import branch, frozen, loop

    device.check(run["device"])
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
        "device": run["device"],
        "training_precision": run["training_precision"],
        "precision": run["precision"],
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


def _taken(run: dict, origin: str | None = None) -> np.ndarray | dict | None:
    """Scores a run prunes with: the mean over its scoring runs of each run's scores. For a pool, the weak run's arrays."""
    sources = scoring_runs(run)
    if run["pool"]:
        return store.arrays(key(sources[0]), origin) if sources else None
    chosen = chosen_by(run)
    values = [score_values(source, chosen["score"], chosen["at"], origin) for source in sources]
    return np.mean(values, axis=0) if sources else None


def again(run: dict, origin: str | None = None) -> tuple[dict, dict, dict]:
    """Compute a run whether or not it is stored, storing nothing. The runs it leans on must be stored, at `origin` if given."""
    return compute(run, _taken(run, origin))


class SweepFailed(RuntimeError):
    """Some runs of a sweep failed; the others are stored. ``failures`` maps a key to its exception."""

    def __init__(self, failures: dict, of: int):
        self.failures = failures
        seen: dict[str, list] = {}
        for k, e in failures.items():
            seen.setdefault(f"{type(e).__name__}: {e}", []).append(k[:12])
        lines = [f"{len(keys)} run(s), {keys[0]} first: {what}" for what, keys in seen.items()]
        super().__init__(f"runs.sweep: {len(failures)} of {of} runs failed, the others are stored.\n" + "\n".join(lines))


def _carry_out(wave: list[dict], workers, bar, failures: dict) -> None:
    """Compute and store the runs of one wave; a failure is noted and the wave goes on. `workers`: of an engine, or None."""

    def done(run, result):
        try:
            found = result()
        except Exception as problem:
            failures[key(run)] = problem
        else:
            store.save(key(run), run, *found)  # where it cannot, it could not for the runs to come: the sweep ends
        bar.update()

    if workers is None:
        for run in wave:
            done(run, lambda run=run: compute(run, _taken(run)))
        return
    executor, room, _ = workers

    def jobs():
        for run in wave:
            try:
                yield run, compute, run, _taken(run)
            except Exception as problem:  # the scores that it leans on are not there
                failures[key(run)] = problem
                bar.update()

    engines.carry_out(jobs(), executor, room, done)


def listed(configs, where: str) -> list[dict]:
    """The configs of an iterable, each complete."""
    if not isinstance(configs, Iterable) or isinstance(configs, dict | str | bytes | np.ndarray):
        raise InputError(f"runs.{where}: configs={configs!r:.60}; give a list of configs, as runs.config makes them.")
    found, needed = list(configs), {*DEFAULTS, *LATER, "keep"}
    if wrong := [run for run in found if not isinstance(run, dict) or run.keys() != needed]:
        raise InputError(f"runs.{where}: {wrong[0]!r:.60} among the configs; give dicts, complete as runs.config makes them.")
    return found


def missing(configs) -> list[dict]:
    """The runs that a sweep of `configs` has to compute; scoring runs first, no run twice.

    They are not stored, or of other data than there are now (:func:`sweep` has the rule). Their sets are loaded.

    Raises
    ------
    InputError
        A set that cannot be had; a published scoring run of other data that a run to compute would lean on.
    """
    wanted = {key(run): run for run in listed(configs, "missing")}
    leans = {k: {key(source): source for source in scoring_runs(run)} for k, run in wanted.items()}
    everything = {k: source for sources in leans.values() for k, source in sources.items()} | wanted
    found, changed = store.find(everything), {}
    todo = wanted.keys() - found.keys()
    while True:
        # A published pruned run needs no scoring runs of its own; one to compute does.
        needed = {k for pruned in todo for k in leans.get(pruned, ())}
        todo |= needed - found.keys()
        here = {_set_of(everything[k]): task_of(everything[k]).checksum for k in everything if k in todo}
        others = {k for k in (wanted.keys() | needed) - todo if _differs(found[k], here.get(_set_of(everything[k])))}
        stale = {k for k in others if found[k]["origin"] == "here"}
        if mixed := sorted(needed & others - stale):
            raise InputError(
                f"runs.sweep: the published scoring run {mixed[0][:12]} on {everything[mixed[0]]['task']!r} was computed with "
                "other data than there are here, and a run that is not published would be chosen by its scores; install the "
                "releases of requirements.lock (docstrings are those of the installed packages), or use the same data folder."
            )
        if not stale:
            break
        changed |= {k: everything[k] for k in stale}
        todo |= stale
    _say(changed, "run(s) of this machine were computed with other data than there are now: they are computed again")
    shown = "published run(s) were computed with other data than there are here: they are shown as published, with their checksum"
    _say({k: everything[k] for k in others}, shown)
    return sorted((run for k, run in everything.items() if k in todo), key=lambda run: bool(scoring_runs(run)))


def _differs(run: dict, checksum: str | None) -> bool:
    """Whether a stored run is of other data than those of `checksum`; None where the set was not loaded."""
    return checksum is not None and run["provenance"]["data_checksum"] != checksum


def _say(seen: dict, words: str) -> None:
    if seen:
        names = ", ".join(sorted({run["task"] for run in seen.values()}))
        warnings.warn(f"runs.sweep: {len(seen)} {words} ({names}).", stacklevel=4)


def sweep(configs, engine: str = "here") -> pd.DataFrame:
    """Load each run, else compute and store it; one row a run, in the order asked for.

    Parameters
    ----------
    configs : iterable of dict
        Made by :func:`config`. Scoring runs that a pruned run needs are computed too.
    engine : str
        "here" (one after the other), "processes" (one a core, or several a GPU), "dask://host:port", or "stored" (compute
        nothing; absent runs are counted in ``table.attrs["missing"]``).

    Returns
    -------
    pandas.DataFrame
        Config, metrics and provenance of each run in columns; ``origin`` says "here" or "published".

    Raises
    ------
    InputError
        Unknown engine, or a Dask address without host or port; a set or a device that a run to compute needs and that is not
        here: nothing is trained before. A store that cannot be written to: the sweep ends, and the runs stored before stay.
    SweepFailed
        After all runs were tried, if any failed. What succeeded is stored; a second call computes only the rest.

    Warns
    -----
    UserWarning
        Stored runs are of other data than there are here.

    Notes
    -----
    A run's key names its set, its provenance has the checksum of the data, and the two can part: "docstrings" are those of the
    installed packages, a data folder can be replaced. The data are compared wherever a set is loaded anyway, which is where a run
    on it has to be computed; looking up alone loads nothing and compares nothing. Where they differ, a run of this machine is
    computed again and the new one replaces it. A published run stays as it is, evidence with a checksum of its own, but no run is
    computed with its scores: that is an InputError. :func:`datadiet.runs.verify.published_again` compares the data of each run.

    Interrupted, a sweep has stored every run that had ended.
    """
    configs, engine = listed(configs, "sweep"), engines.check(engine)
    todo = [] if engine == "stored" else missing(configs)
    failures: dict = {}
    if engine in ("here", "processes"):
        for name in {run["device"] for run in todo}:
            device.check(name)
    if todo:
        with contextlib.ExitStack() as stack:
            workers = None if engine == "here" else stack.enter_context(engines.started(engine, todo))
            words = f"runs ({workers[-1]})" if workers else "runs"
            bar = stack.enter_context(tqdm(total=len(todo), desc=words, unit="run", file=sys.stderr, leave=False))
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
    configs = listed(configs, "published")
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
