"""Long use: a store with 100,000 runs that answers a chapter's question, and a sweep of 5,000 stubs that does not grow.

The rows of the store are published ones; beyond them, copies under other seeds, each with its own key, checksum and array file.
An answer is read anew, as a notebook that has just been opened would.

A sweep of stubs is a whole sweep, from keys to the stored rows, of which only the training is missing: numbers are returned at
once. Memory is that of the process when so many runs were stored.
"""

import dataclasses
import functools
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.harness import MIB, Contestant

CHAPTER, CLAIM = "pruning-fractions", "BDD-5"
STORED = (1_000, 10_000, 100_000)
STUBS = (500, 2_500, 5_000)  # runs that are stored when memory is looked at
LINKS = 30_000  # names that one file may have; file systems allow 65,000


def filled(folder: Path, stored: int):
    """A store of so many runs: those of the chapter, and copies under other seeds."""
    from datadiet import chapters, runs
    from datadiet.chapters.settings import settings_of
    from datadiet.runs import database, sealed, store

    settings = settings_of("standard", CHAPTER)
    wanted = {runs.key(run): run for run in chapters.wanted(CHAPTER, settings)}
    published = list(store.published(wanted).items())
    for key, row in published:
        recorded = store.arrays(key, "published") if row["config"]["score_at"] else {"ids": np.arange(100)}
        store.save(key, row["config"], row["metrics"], row["provenance"], recorded, folder)
    arrays, rows = folder / "arrays", []
    for number in range(stored - len(published)):
        _, row = published[number % len(published)]
        config = row["config"] | {"seed": 1000 + number}
        key = runs.key(config)
        if number % LINKS == 0:
            first = arrays / f"{key}.npz"
            np.savez_compressed(first, ids=np.arange(100 + number))
            seal = sealed.digest(first.read_bytes())
        else:
            os.link(first, arrays / f"{key}.npz")
        parts = [json.dumps(part, sort_keys=True) for part in (config, row["metrics"], row["provenance"])]
        rows.append((key, *parts, database.row_sum(*parts), seal))
    with database.opened(folder, write=True) as db, db:
        db.executemany(f"INSERT INTO runs ({', '.join((*database.ROW, *database.SUMS))}) VALUES (?, ?, ?, ?, ?, ?)", rows)
        assert db.execute("SELECT count(*) FROM runs").fetchone() == (stored,)
    return settings, list(wanted.values())


def question(what: str, stored: int):
    """Asks for the runs of a chapter, and draws a verdict, or the share that the networks get wrong, from them."""
    from datadiet import runs
    from datadiet.chapters import ledger, room
    from datadiet.runs import store

    folder = tempfile.TemporaryDirectory()
    settings, wanted = filled(Path(folder.name), stored)
    os.environ["DATADIET_STORE"] = folder.name

    def once(number, folder=folder):  # the folder lives as long as this function
        store._published.cache_clear()
        store._read.cache_clear()
        table = runs.sweep(wanted, engine="stored")
        if what == "verdict":
            found = ledger.decide(CLAIM, settings, table)
        else:
            found = room(CHAPTER, "runs").misclassified(settings, table)
        assert len(table) and (table["origin"] == "here").all() and found is not None
        return {"answered": len(table)}

    return once


def _in_use() -> float:
    """MiB that this process has in memory."""
    import psutil

    return psutil.Process().memory_info().rss / MIB


def stubs(sizes: tuple[int, ...]):
    """A sweep; memory in use, and seconds a run since the last look, at each of `sizes` runs."""
    from datadiet import runs
    from datadiet.runs import store
    from datadiet.training import loop

    configs = [runs.config(task="feedback", encoder="tiny", max_length=8, size=16, seed=seed, epochs=0, score_at=[])
               for seed in range(max(sizes))]  # fmt: skip
    ids = np.arange(16)
    fit = loop.Fit({"test_accuracy": 0.5, "parameters": 1}, {"ids": ids, "labels": ids})

    def once(number):
        seen, looked, save = {}, [0, time.perf_counter()], store.save

        @functools.wraps(save)
        def noted(*run):
            save(*run)
            noted.stored += 1
            if noted.stored in sizes:
                now = time.perf_counter()
                seen[f"mib_{noted.stored}"] = _in_use()
                seen[f"ms_a_run_{noted.stored}"] = 1000 * (now - looked[1]) / (noted.stored - looked[0])
                looked[:] = noted.stored, time.perf_counter()

        noted.stored, before, trained = 0, os.environ.get("DATADIET_STORE"), loop.fit
        with tempfile.TemporaryDirectory() as folder:
            os.environ["DATADIET_STORE"], store.save = folder, noted
            loop.fit = lambda *run, **how: dataclasses.replace(fit)
            try:
                table = runs.sweep(configs, engine="here")
            finally:
                store.save, loop.fit = save, trained
                os.environ.pop("DATADIET_STORE")
                os.environ |= {} if before is None else {"DATADIET_STORE": before}
        assert len(table) == max(sizes) == noted.stored
        return seen

    return once


def contestants(quick: bool) -> list[Contestant]:
    stored, sizes = ((400, 500), (4, 8, 12)) if quick else (STORED, STUBS)
    out = []
    for what, words in (("verdict", "the verdict of one claim"), ("arrays", "the share of kept examples that is wrong")):
        out += [Contestant(f"Store: {words}", f"{n:,} runs", question, {"what": what, "stored": n}, sizes={"stored": n})
                for n in stored]  # fmt: skip
    out.append(Contestant(f"Sweep of {max(sizes):,} stubs", "engine here", stubs, {"sizes": sizes}, warm=False,
                          sizes={"runs": max(sizes)}))  # fmt: skip
    return out
