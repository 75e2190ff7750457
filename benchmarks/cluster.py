"""Rows that one worker scores in a second, of a table in partitions, and what a simulation makes of it for a billion rows.

Each kind of scoring with a small and a large partition, so that the cost of a partition beside its rows can be told apart; and
with two workers of a Dask cluster, each a process of its own, beside the same partitions on one: does the simulation foresee it?
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from multiprocessing.util import Finalize
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import Contestant
from datadiet.audit import partitions, sampled

CASES = {"probabilities of 10 classes": (200_000, 2_000_000), "texts": (256, 1024)}  # rows of a small and of a large partition
SAMPLE = 200  # rows that the model of texts is fitted on, once, and not timed here
USE = ("el2n", "margin", "cross_entropy", "entropy")


def _write(folder: Path, case: str, rows: int, count: int) -> dict:
    """A table of `count` partitions, and how it is scored."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number in range(count):
        labels = draw.integers(0, 10, rows)
        if case == "texts":
            from datadiet import data

            train = data.load("docstrings").train
            some = draw.choice(len(train), rows)
            columns = {"text": np.array(train.inputs["text"], object)[some].tolist(), "y": train.labels[some].astype(str)}
        else:
            columns = {"y": labels} | {f"p{k}": each for k, each in enumerate(draw.dirichlet(np.ones(10), rows).T)}
        pq.write_table(pa.table(columns), folder / f"part-{number}.parquet")
    return {"label": "y", "use": USE} | (
        {"text": "text", "sample": SAMPLE} if case == "texts" else {"probs": [f"p{k}" for k in range(10)]}
    )


def _again(out: Path) -> None:
    """Take the partitions away, and leave the model."""
    for file in out.glob("*.parquet"):
        file.unlink()


def most() -> float:
    """MiB that this process had in memory at most, its imports included; 0 where the system does not say."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0.0


def one_worker(case: str, rows: int, count: int = 1):
    folder = Path(tempfile.mkdtemp())
    asked = _write(folder / "in", case, rows, count)
    if case == "texts":
        import torch

        torch.set_num_threads(1)  # a worker is one core
        sampled.features(["warm"], "minilm-mean", 128)

    def once(number):
        _again(folder / "out") if (folder / "out").exists() else None
        partitions.score(folder / "in", folder / "out", **asked, seed=0)

    _last(folder)
    once(-1)  # the model is fitted here
    return once


def two_workers(case: str, rows: int, count: int):
    folder = Path(tempfile.mkdtemp())
    asked = _write(folder / "in", case, rows, count)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    children = [_dask("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")]
    options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0")
    children += [_dask("worker", f"tcp://127.0.0.1:{port}", *options) for _ in range(2)]
    _last(folder, children)
    from distributed import Client

    client = Client(f"tcp://127.0.0.1:{port}", timeout=60)
    client.wait_for_workers(2, timeout=60)
    Finalize(None, client.close, exitpriority=2)  # before its scheduler goes

    def once(number):
        _again(folder / "out") if (folder / "out").exists() else None
        start = time.perf_counter()
        partitions.score(folder / "in", folder / "out", **asked, seed=0, engine=f"dask://127.0.0.1:{port}")
        return {"seconds": time.perf_counter() - start, "worker_mib": max(client.run(most).values())}

    once(-1)  # the model is fitted, and every worker has made its imports
    return once


def _dask(*words):
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", "dask", *words], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _last(folder: Path, children=()) -> None:
    """At the end of this process: its children and its folder go."""
    def clear():
        for child in reversed(children):
            child.kill()
            child.wait()
        shutil.rmtree(folder, ignore_errors=True)

    Finalize(None, clear, exitpriority=1)


def contestants(quick: bool) -> list[Contestant]:
    out = []
    for case, sizes in CASES.items():
        small, large = (32, 64) if quick else sizes
        for rows in (small, large):
            out.append(Contestant(f"{case}: {rows:,} rows", "one worker", one_worker, {"case": case, "rows": rows}, warm=False,
                                  sizes={"size": rows}))  # fmt: skip
        together = {"case": case, "rows": large // 2, "count": 4}
        for peer, make in (("one, 4 partitions", one_worker), ("two of Dask, 4 partitions", two_workers)):
            out.append(Contestant(f"{case}: 4 partitions", peer, make, together, warm=False, sizes={"size": 4 * (large // 2)}))
    return out
