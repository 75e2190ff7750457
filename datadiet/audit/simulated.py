"""How long a cluster takes to score a table in partitions, and how much of that is lost to workers that die: a simulation.

simulate(rows=1_000_000_000, partition=1_000_000, workers=256, rate=2_000, overhead=0.5, dies=0.01, restart=120, seed=0)
"""

import heapq
import math

import numpy as np
import pandas as pd

from datadiet.errors import InputError


def simulate(rows: int, partition: int, workers: int, rate: float, overhead: float, dies: float = 0.0, restart: float = 120.0,
             seed: int = 0) -> dict:  # fmt: skip
    """Seconds until all partitions are written, and worker seconds that were held.

    Partitions wait in one queue, and nothing is exchanged between them (no shuffle). A worker takes the next one, needs
    ``overhead + partition / rate`` seconds for it, and takes another. A worker dies at random, `dies` times an hour on average;
    the partition that it had begun goes back to the queue, and after `restart` seconds the worker is there again. Not in the
    model: a shared disk or network that saturates, workers of unequal speed, the wait in a scheduler's queue.

    Parameters
    ----------
    rows, partition : int
        Rows of the table, and of each partition.
    workers : int
        Of one core each.
    rate : float
        Rows that a worker scores in a second.
    overhead : float
        Seconds a partition beside its rows.
    dies : float
        Deaths of one worker in an hour, at random times (exponential).
    restart : float
        Seconds until a dead worker works again.
    seed : int
        Draws the deaths.

    Returns
    -------
    dict
        ``seconds``, ``core_seconds`` (workers times seconds: they are held to the end), ``lost`` (share of core seconds in work
        that was thrown away), ``deaths``.

    Raises
    ------
    InputError
        A number that is not positive; deaths so frequent that a partition hardly ever ends.

    Examples
    --------
    >>> simulate(rows=1000, partition=100, workers=5, rate=10, overhead=1)
    {'seconds': 22.0, 'core_seconds': 110.0, 'lost': 0.0, 'deaths': 0}
    """
    if min(rows, partition, workers, rate) <= 0 or min(overhead, dies, restart) < 0:
        raise InputError(
            f"simulated.simulate: rows={rows}, partition={partition}, workers={workers}, rate={rate}, overhead={overhead}, "
            f"dies={dies}, restart={restart}; give positive numbers, the last three may be 0."
        )
    if dies * (overhead + partition / rate) > 3 * 3600:
        raise InputError(
            f"simulated.simulate: a partition of {partition:,} rows takes {overhead + partition / rate:,.0f} s and a worker dies "
            f"{dies} times an hour: hardly any would end. Make partitions smaller."
        )
    rng, waiting, last = np.random.default_rng(seed), math.ceil(rows / partition), 0.0
    sizes = [partition] * (waiting - 1) + [rows - partition * (waiting - 1)]
    free = [(0.0, worker) for worker in range(workers)]  # when, who
    dying = rng.exponential(3600 / dies, workers) if dies else np.full(workers, np.inf)
    lost, deaths, back = 0.0, 0, []  # back: (when a partition comes back, its rows)
    while sizes or back:
        now, worker = heapq.heappop(free)
        if dying[worker] <= now:  # it died idle, or while it was away
            dying[worker] = now + rng.exponential(3600 / dies)
        if back and (back[0][0] <= now or not sizes):
            when, size = heapq.heappop(back)
            now = max(now, when)
        else:
            size = sizes.pop(0) if len(sizes) == 1 else sizes.pop()
        end = now + overhead + size / rate
        if dying[worker] < end:
            died = max(now, dying[worker])
            lost, deaths = lost + died - now, deaths + 1
            heapq.heappush(back, (died, size))
            heapq.heappush(free, (died + restart, worker))
            dying[worker] = died + restart + rng.exponential(3600 / dies)
        else:
            last = max(last, end)
            heapq.heappush(free, (end, worker))
    return {
        "seconds": float(last),
        "core_seconds": float(last * workers),
        "lost": float(lost / (last * workers)),
        "deaths": deaths,
    }


def rates(table: pd.DataFrame) -> pd.DataFrame:
    """Rows a second and seconds a partition of one worker, a row a kind of scoring, read off the benchmark "cluster".

    Each kind was measured with a small and a large partition: median seconds ``t``, so ``rate = (n2 - n1) / (t2 - t1)`` and
    ``overhead = t1 - n1 / rate``, at least 0. ``MiB a worker``: the most that a worker of Dask had in memory, imports included.

    Raises
    ------
    InputError
        A large partition that was no slower than the small one.
    """
    out = []
    for kind, rounds in table.groupby(table["case"].str.partition(":")[0], sort=False):
        middle = rounds[rounds["peer"] == "one worker"].groupby("size")["seconds"].median().sort_index()
        (n1, t1), (n2, t2) = middle.items()
        if t2 <= t1:
            raise InputError(
                f"simulated.rates: {kind}: {n2:,} rows took {t2:.3g} s and {n1:,} took {t1:.3g} s, which gives no rate; measure "
                "larger partitions, on a machine at rest."
            )
        rate = (n2 - n1) / (t2 - t1)
        row = {"scored from": kind, "rows/s a worker": rate, "s a partition": max(0.0, t1 - n1 / rate)}
        out.append(row | {"MiB a worker": rounds["worker_mib"].max()})
    return pd.DataFrame(out)


def foreseen(table: pd.DataFrame) -> pd.DataFrame:
    """Seconds that four partitions took, the median over rounds, beside those of the simulation at the rates of one partition."""
    out = []
    for each in rates(table).to_dict("records"):
        four = table[table["case"] == f"{each['scored from']}: 4 partitions"]
        for workers, peer in ((1, "one, 4 partitions"), (2, "two of Dask, 4 partitions")):
            mine = four[four["peer"] == peer]
            rows = int(mine["size"].iloc[0])
            said = simulate(rows, rows // 4, workers, each["rows/s a worker"], each["s a partition"])["seconds"]
            measured = mine["seconds"].median()
            row = {"scored from": each["scored from"], "rows": rows, "workers": workers, "measured s": measured}
            out.append(row | {"simulated s": said, "measured / simulated": measured / said})
    return pd.DataFrame(out)


def billion(
    table: pd.DataFrame,
    workers=(16, 64, 256, 1024),
    partition: int = 250_000,
    dies: float = 0.05,
    restart: float = 120.0,
    rows: int = 1_000_000_000,
    price: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Simulate a billion rows at the rates that the benchmark measured; with the `price` of a core hour, their cost as well."""
    out = []
    for each in rates(table).to_dict("records"):
        for count in workers:
            said = simulate(rows, partition, count, each["rows/s a worker"], each["s a partition"], dies, restart, seed)
            row = {
                "scored from": each["scored from"],
                "workers": count,
                "hours": said["seconds"] / 3600,
                "core hours": said["core_seconds"] / 3600,
                "workers that died": said["deaths"],
                "work lost": said["lost"],
            }
            out.append(row | ({} if price is None else {"cost": price * row["core hours"]}))
    return pd.DataFrame(out)
