"""Every stored run looked at: the live store, the published results, or a folder somebody sent.

findings(live())           # a list of Finding, empty where all is well
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from datadiet import paths
from datadiet.errors import InputError
from datadiet.runs import database, sealed, store
from datadiet.runs.configs import key


@dataclass(frozen=True)
class Finding:
    """A fault: `where` it is, `what` it is, and the command or step that mends it."""

    where: str
    what: str
    mend: str

    def __str__(self):
        return f"{self.where}: {self.what}. {self.mend}"


AGAIN = "Delete the file, and the run is computed again when it is next asked for."
RESTORE = "Restore it with `git checkout -- results`, or publish its run again."


def live(folder: Path | None = None) -> tuple[int, list[Finding]]:
    """How many runs the store in `folder` has, the live one where none is given, and the faults in it. Nothing is changed."""
    named, folder = folder, folder or paths.store()
    if not (folder / "runs.sqlite").is_file():
        lacks = Finding(str(folder), "it holds no store: runs.sqlite is not there", "Name the folder that $DATADIET_STORE named.")
        return 0, [lacks] if named else []
    try:
        with database.opened(folder) as db:
            broken = [line[0] for line in db.execute("PRAGMA integrity_check") if line[0] != "ok"]
            rows = database.stored(db)
    except InputError as problem:
        return 0, [Finding(str(folder), str(problem).removeprefix("store: ").rstrip("."), "Nothing else was looked at.")]
    found = [
        Finding("runs.sqlite", f"SQLite finds {line}", "Move the store away; its runs are computed again.") for line in broken
    ]
    for name, *parts, seal, arrays_seal in tqdm(rows, desc="store check", unit="run", leave=False):
        found += _row(name, parts, seal) + _arrays(folder / "arrays" / f"{name}.npz", arrays_seal)
    known = {f"{row[0]}.npz" for row in rows}
    for place in sorted((folder / "arrays").iterdir()) if (folder / "arrays").is_dir() else []:
        if place.name not in known:
            found.append(
                Finding(
                    f"arrays/{place.name}",
                    "no run has this file: a process was killed while it stored one",
                    "Delete it while no sweep is running.",
                )
            )
    return len(rows), found


def _row(name: str, parts: list[str], seal: str | None) -> list[Finding]:
    where, mend = f"run {str(name)[:12]}", "Delete its file in arrays/, and it is computed again when it is next asked for."
    found = database.objects(parts)
    try:
        known = None if found is None else key(found[0])
    except InputError as problem:
        return [Finding(where, f"its row cannot be read ({problem})", mend)]
    if known is None:
        return [Finding(where, "its row cannot be read: a part of it is no object of JSON", mend)]
    if known != name:
        return [Finding(where, f"its config has the key {known[:12]}: it was changed, or is of another release", mend)]
    if seal not in (None, database.row_sum(*parts)):
        return [Finding(where, "its row is not as it was written", mend)]
    return []


def _arrays(place: Path, seal: str | None) -> list[Finding]:
    where = f"arrays/{place.name}"
    if not place.is_file():
        return [Finding(where, "the file is gone", "Nothing to do: the run is computed again when it is next asked for.")]
    try:
        store.unpacked(place.read_bytes(), seal)
    except store.UNREADABLE as problem:
        return [Finding(where, f"the file is torn, or is not as it was written ({type(problem).__name__})", AGAIN)]
    return []


def published() -> tuple[int, list[Finding]]:
    """How many runs are published, and the faults of ``results/``: each file against its checksum, each run against its key."""
    folder = paths.results()
    if not (folder / "runs.parquet").is_file():
        return 0, []
    sums, found = sealed.sums(folder), []
    there = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} - {sealed.NAME}
    found += [Finding(name, f"the file is gone that {sealed.NAME} names", RESTORE) for name in sorted(sums.keys() - there)]
    for name in tqdm(sorted(there), desc="store check", unit="file", leave=False):
        try:
            sealed.opened(folder, name)
        except InputError as problem:
            found.append(Finding(name, str(problem).removeprefix("results: ").split(". ")[0].rstrip("."), RESTORE))
    if any(fault.where == "runs.parquet" for fault in found):
        return 0, found
    table = pq.read_table(pa.BufferReader(sealed.opened(folder, "runs.parquet")), columns=["key", "config"]).to_pylist()
    for row in table:
        if (known := key(json.loads(row["config"]))) != row["key"]:
            found.append(Finding(f"run {row['key'][:12]}", f"its config has the key {known[:12]}", RESTORE))
    keys = {row["key"] for row in table}
    for name in sorted(there):
        if name.startswith("scores/") and Path(name).stem not in keys:
            found.append(Finding(name, "no published run has these scores", RESTORE))
    return len(table), found
