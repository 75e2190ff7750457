"""Contestants side by side. Each lives in a process of its own; they take turns, so that a noisy machine is noisy for all.

A contestant is a function ``make(**settings)`` that prepares and returns ``once(round)``, which is what is timed. What ``once``
returns, a dict, is kept: "seconds" there replaces the time taken around the call, "answer" of the first call is compared
with the answer of the contestant that is the truth, everything else becomes a column. A turn of several calls is their median;
``first_call`` is the first of them, which comes after a pause while others had their turn.
"""

import datetime
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import get_context

import numpy as np
import pandas as pd
from tqdm import tqdm

from datadiet.nets import device
from datadiet.runs import provenance

MIB = 2**20


@dataclass(frozen=True)
class Contestant:
    """Who computes what: `make` must be importable, since it is called in another process."""

    case: str  # what is computed, and on what; times are compared within a case
    peer: str  # who computes it
    make: Callable
    settings: dict = field(default_factory=dict)
    warm: bool = True  # call it once before the rounds
    calls: int = 1  # how often it is called in a turn
    sizes: dict = field(default_factory=dict)  # columns that say how big the case is


def _status(line: str) -> int:
    """A line of /proc/self/status, in bytes; 0 where there is none (not Linux)."""
    try:
        with open("/proc/self/status") as file:
            return next(int(each.split()[1]) * 1024 for each in file if each.startswith(line))
    except (OSError, StopIteration):
        return 0


def _forget_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def memory() -> int:
    """Bytes in use now, on the GPU where there is one; the peak is counted anew from here."""
    if device.gpu() is None:
        _forget_peak()
        return _status("VmRSS")
    import torch

    if torch.cuda.is_initialized():  # a process that has not yet touched the GPU has no peak, and is not to be made to
        torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def _peak() -> int:
    import torch

    return _status("VmHWM") if device.gpu() is None else torch.cuda.max_memory_allocated()


def timed(once: Callable, number: int, before: int) -> dict:
    """One call: its seconds, the device waited for at both ends, its peak memory above `before`, and what it says itself."""
    device.wait(device.best())
    start = time.perf_counter()
    said = once(number) or {}
    device.wait(device.best())
    return {"seconds": time.perf_counter() - start, "peak_mib": (_peak() - before) / MIB} | said


def failure(problem: Exception) -> dict:
    """What is noted of a contestant that cannot do it, which is a result."""
    lines = str(problem).strip().splitlines() or ["no message"]
    return {"failed": f"{type(problem).__name__}: {lines[0][:200]}"}


def _serve(pipe, contestant: Contestant, threads: int) -> None:
    """Life of a contestant's process: prepare, answer once, then run whenever it is told to."""
    import torch

    torch.set_num_threads(threads)
    try:
        once = contestant.make(**contestant.settings)
        before = memory()
        pipe.send(timed(once, -1, before) if contestant.warm else {})
        while (number := pipe.recv()) is not None:
            said = [timed(once, number, before) for _ in range(contestant.calls)]
            seconds = [each["seconds"] for each in said]
            turn = said[-1] | {"seconds": statistics.median(seconds)} | ({"first_call": seconds[0]} if len(said) > 1 else {})
            turn.pop("answer", None)
            pipe.send(turn)
    except Exception as problem:
        pipe.send(failure(problem))


def race(suite: str, contestants: list[Contestant], rounds: int, truth: str | None = None) -> pd.DataFrame:
    """A row for each contestant and round: seconds, peak memory above that before, and what the contestant said.

    Parameters
    ----------
    suite : str
        First column.
    contestants : list of Contestant
        Of one case or several; the cases are run one after the other.
    rounds : int
        How often each one runs. A contestant that fails has one row, with the reason in ``failed``.
    truth : str, optional
        The peer whose answer the others are compared with: ``error`` is the largest relative difference.
    """
    threads, rows = os.cpu_count() or 1, []
    about = origin(threads)
    context = get_context("spawn")
    cases = list(dict.fromkeys(each.case for each in contestants))
    with tqdm(total=len(contestants) * (rounds + 1), desc=suite, unit="turn") as bar:
        for case in cases:
            running = []
            for each in (each for each in contestants if each.case == case):
                pipe, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, each, threads), daemon=True)
                process.start()
                running.append((each, pipe, process, _heard(pipe, process)))
                bar.update()
            right = next((first.get("answer") for each, _, _, first in running if each.peer == truth), None)
            start = [{"suite": suite, "case": case, "peer": each.peer, **each.sizes, **about} for each, *_ in running]
            for place, (*_, first) in enumerate(running):
                if "failed" in first:
                    rows.append(start[place] | {"round": -1, "failed": first["failed"]})
                    bar.update(rounds)
                elif right is not None and first.get("answer") is not None:
                    start[place]["error"] = float(np.max(np.abs(first["answer"] - right) / np.abs(right)))
            alive = [place for place in range(len(running)) if "failed" not in running[place][3]]
            for number in range(rounds):
                load, now = os.getloadavg()[0], datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
                turn = number % max(1, len(alive))
                for place in alive[turn:] + alive[:turn]:
                    _, pipe, process, _ = running[place]
                    pipe.send(number)
                    said = _heard(pipe, process)
                    rows.append(start[place] | {"round": number, "started": now, "load": load} | said)
                    bar.update()
                    if "failed" in said:
                        alive = [other for other in alive if other != place]
            for _, pipe, process, _ in running:
                if process.is_alive():
                    pipe.send(None)
                process.join()
    return pd.DataFrame(rows)


def origin(threads: int) -> dict:
    """Columns that say where rounds come from: hardware, threads, commit, releases."""
    return {"hardware": provenance.hardware(), "threads": threads, "commit": provenance.commit(),
            "versions": json.dumps(provenance.versions() | _peers())}


def _heard(pipe, process) -> dict:
    """What a contestant says next; one that was killed (out of memory) has failed."""
    while process.is_alive() and not pipe.poll(0.05):
        pass
    return pipe.recv() if pipe.poll() else {"failed": f"the process ended with exit code {process.exitcode}"}


def _peers() -> dict[str, str]:
    """Releases of the peers that are installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("opacus", "cleanlab"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
