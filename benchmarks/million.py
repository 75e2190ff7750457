"""A million rows through ``datadiet score --probs`` and ``datadiet prune``: seconds and memory, a CSV file beside partitions.

In memory, a table is held whole: its bytes, where its cells begin, and the new columns. In partitions no more than 65,536 rows
are. Both write the same scores. ``rows``: of the table; ``peak_mib``: above what the process held before, Python and
its packages.
"""

import contextlib
import io
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.harness import Contestant

REFERENCE = "CSV, in memory"
CLASSES = ("billing", "login", "other", "shipping")
PARTS = 8


def _table(rows: int) -> pa.Table:
    draw = np.random.default_rng(0)
    truth = draw.integers(0, len(CLASSES), rows)
    logits = draw.normal(size=(rows, len(CLASSES))) + 3 * np.eye(len(CLASSES))[truth]
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    given = np.where(draw.random(rows) < 0.05, (truth + 1) % len(CLASSES), truth)
    names = np.array(CLASSES)
    texts = [f"a question about {name} number {row}" for row, name in enumerate(names[truth])]
    columns = {"id": np.char.zfill(np.arange(rows).astype(str), 8), "text": texts, "topic": names[given]}
    return pa.table(columns | {f"p_{name}": probs[:, k] for k, name in enumerate(CLASSES)})


def _called(*words) -> None:
    from datadiet import cli

    with contextlib.redirect_stdout(io.StringIO()):
        cli.main([str(word) for word in words], standalone_mode=False)


def in_memory(verb: str, rows: int):
    folder = tempfile.TemporaryDirectory()
    file, scored = Path(folder.name) / "mine.csv", Path(folder.name) / "scored.csv"
    pyarrow.csv.write_csv(_table(rows), file)
    score = ["score", file, "--label", "topic", "--probs", "p_*", "--score", "el2n", "--out", scored, "--force"]
    prune = ["prune", scored, "--score", "datadiet_el2n", "--keep", "0.7", "--out", Path(folder.name) / "kept.csv", "--force"]
    if verb == "prune":
        _called(*score)

    def once(number, folder=folder):  # the folder lives as long as this function
        _called(*(score if verb == "score" else prune))

    return once


def in_partitions(verb: str, rows: int):
    folder = tempfile.TemporaryDirectory()
    source, scored = Path(folder.name) / "mine", Path(folder.name) / "scored"
    source.mkdir()
    table, size = _table(rows), -(-rows // PARTS)
    for part in range(PARTS):
        pq.write_table(table.slice(part * size, size), source / f"{part}.parquet")
    how = ["--engine", "here", "--out"]
    score = ["score", source, "--label", "topic", "--probs", "p_*", "--score", "el2n", *how]
    prune = ["prune", scored, "--score", "datadiet_el2n", "--keep", "0.7", *how]
    if verb == "prune":
        _called(*score, scored)

    def once(number, folder=folder):
        _called(*(score if verb == "score" else prune), Path(folder.name) / f"out-{verb}-{number}")

    return once


def contestants(quick: bool) -> list[Contestant]:
    rows, out = 2_000 if quick else 1_000_000, []
    for verb in ("score", "prune"):
        case = f"datadiet {verb}, {rows:,} rows"
        settings, sizes = {"verb": verb, "rows": rows}, {"rows": rows}
        out += [Contestant(case, REFERENCE, in_memory, settings, sizes=sizes),
                Contestant(case, "Parquet, in partitions", in_partitions, settings, sizes=sizes)]  # fmt: skip
    return out
