"""The queue: runs that wait for a GPU, in order, and their bill.

    for entry in entries(): runs.sweep(entry.wanted(), "processes")
    bill()                              # entry, runs, stored, updates, minutes at the rate of the runs that a GPU has made
"""

import datetime
import io
from dataclasses import dataclass

import pandas as pd

from datadiet import chapters, paths, runs
from datadiet.chapters.settings import has, parsed, settings_of
from datadiet.errors import InputError
from datadiet.nets import device
from datadiet.runs import sealed

COLUMNS = ["entry", "profile", "for", "runs", "stored", "updates", "minutes"]


@dataclass(frozen=True)
class Entry:
    """One entry: a profile, the chapters of it that are meant, and its purpose in words."""

    profile: str
    chapters: tuple[str, ...]
    purpose: str

    def wanted(self) -> list[dict]:
        """Its runs, each once, in order."""
        found = (run for name in self.chapters for run in chapters.wanted(name, settings_of(self.profile, name)))
        return list({runs.key(run): run for run in found}.values())


def entries() -> list[Entry]:
    """The entries of ``profiles/queue.yml``.

    Raises
    ------
    InputError
        An entry that names a chapter of which its profile has no file.
    """
    out = []
    for given in parsed((paths.root() / "profiles" / "queue.yml").read_text()):
        names = given.get("chapters") or [name for name in chapters.NAMES if has(given["profile"], name)]
        absent = [name for name in names if not has(given["profile"], name)]
        if absent or not names:
            lacks = ", ".join(absent) or "any chapter"
            raise InputError(f"queue.entries: the profile {given['profile']!r} has no file for {lacks}; mend profiles/queue.yml.")
        out.append(Entry(given["profile"], tuple(names), given["for"]))
    return out


def rate() -> float:
    """Updates a second, all workers together, of the published runs that a GPU made in one sweep; NaN where there are none."""
    made = [row for row in runs.store.published().values() if device.is_gpu(row["config"].get("device", "cpu"))]
    if not made:
        return float("nan")
    starts = [datetime.datetime.fromisoformat(row["provenance"]["started"]).timestamp() for row in made]
    ends = [start + row["provenance"]["seconds"] for start, row in zip(starts, made, strict=True)]
    return sum(row["metrics"]["updates"] for row in made) / (max(ends) - min(starts))


def published_bill() -> pd.DataFrame:
    """The bill as it was last written to the results; empty where it never was."""
    file = paths.results() / "queue.csv"
    return pd.read_csv(io.BytesIO(sealed.opened(file.parent, file.name))) if file.is_file() else pd.DataFrame(columns=COLUMNS)


def publish(found: pd.DataFrame) -> None:
    """Write a bill to the results."""
    found.round({"minutes": 1}).to_csv(paths.results() / "queue.csv", index=False)
    sealed.seal(paths.results(), ["queue.csv"])


def bill() -> pd.DataFrame:
    """Runs, updates and estimated minutes of each entry; a run that an earlier entry asks for too is counted there alone.

    The minutes are those of updates alone, at the :func:`rate` of text runs without captured steps. Needs the sets.
    """
    from datadiet.runs.bill import counts

    rows, seen, each = [], set(), rate()
    for number, entry in enumerate(entries(), start=1):
        mine = {key: run for run in entry.wanted() if (key := runs.key(run)) not in seen}
        seen |= set(mine)
        todo = runs.missing(list(mine.values()))
        updates = sum(counts(run)["updates"] for run in todo)
        name = f"{entry.profile}: {', '.join(entry.chapters)}"
        rows.append([number, name, entry.purpose, len(mine), len(mine) - len(todo), updates, updates / each / 60])
    return pd.DataFrame(rows, columns=COLUMNS)
