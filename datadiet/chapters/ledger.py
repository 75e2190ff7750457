"""The ledger: the rules applied to stored runs. Verdict, effect and interval come out.

    settings = settings_of("standard", "score-timing")
    table = runs.published(chapters.wanted("score-timing", settings))
    decide("BDD-1", settings, table)        # Verdict(id="BDD-1", verdict="reproduced", parts=...)
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from datadiet import chapters, paths, runs
from datadiet.chapters.parts import ENOUGH, Part
from datadiet.chapters.settings import has, parsed, settings_of
from datadiet.errors import InputError


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim and its parts; ``effect``, ``low`` and ``high`` are those of the first part that has runs."""

    id: str
    verdict: str
    parts: tuple[Part, ...]
    seeds: int

    @property
    def headline(self) -> Part | None:
        """The part whose numbers stand for the claim in one line."""
        return next((part for part in self.parts if part.n), None)

    def frame(self) -> pd.DataFrame:
        """The parts as a table, one row each."""
        return pd.DataFrame(
            [
                {
                    "part": part.name,
                    "effect": part.effect,
                    "low": part.low,
                    "high": part.high,
                    "claimed": part.claimed,
                    "outcome": part.outcome,
                    "seeds": part.n,
                }
                for part in self.parts
            ]
        )


@cache
def claims() -> dict[str, dict]:
    """The entries of ``claims.yml`` by id."""
    return {entry["id"]: entry for entry in parsed((paths.root() / "claims.yml").read_text())}


def verdict_of(outcomes: list[str]) -> str:
    """The verdict that the outcomes of a claim's parts come to.

    >>> verdict_of(["holds", "holds"]), verdict_of(["holds", "fails"]), verdict_of(["fails", "undecided"])
    ('reproduced', 'partly reproduced', 'not reproduced')
    """
    if not outcomes or "no runs" in outcomes:
        return "no runs yet"
    if set(outcomes) == {"holds"}:
        return "reproduced"
    if "holds" in outcomes:
        return "partly reproduced"
    return "not reproduced" if "fails" in outcomes else "undecided"


def chapter_of(claim: str) -> str:
    """The chapter that tests a claim, as its file is called without the ending."""
    return claims()[claim]["chapter"].removesuffix(".md")


@cache
def rules() -> dict:
    """The decision rules of all chapters by claim: functions of settings, a table of runs, and the claim's margins."""
    return {claim: rule for name in chapters.NAMES for claim, rule in chapters.room(name, "rules").RULES.items()}


def decide(claim: str, settings: dict, table: pd.DataFrame) -> Verdict:
    """Apply a claim's rule to a table of runs.

    Parameters
    ----------
    claim : str
        An id of ``claims.yml`` that has a rule.
    settings : dict
        Of :func:`datadiet.chapters.settings.settings_of` for the claim's chapter: they say which runs are meant.
    table : DataFrame
        Of :func:`datadiet.runs.sweep`; runs it lacks make a part say "no runs".

    Raises
    ------
    InputError
        Unknown claim, or one without a rule.
    """
    if claim not in rules():
        known = "no rule yet" if claim in claims() else "not a claim of claims.yml"
        raise InputError(f"ledger.decide: {claim!r} is {known}; rules exist for {', '.join(rules())}.")
    parts = tuple(rules()[claim](settings, table, claims()[claim].get("margins", {})))
    seeds = min((p.n for p in parts if p.n), default=0)
    verdict = verdict_of([p.outcome for p in parts])
    if 0 < seeds < ENOUGH and verdict != "no runs yet":
        verdict = f"{settings['profile']}: {verdict}"  # a hint: too few seeds to decide
    if claims()[claim]["status"] == "analogue":
        verdict = f"analogue: {verdict}"  # another experiment than the paper's: it cannot confirm or refute
    return Verdict(claim, verdict, parts, seeds)


def ledger(profile: str = "standard") -> pd.DataFrame:
    """Every claim of ``claims.yml`` with its verdict from the published runs of `profile`, or why there is none."""
    settings = {name: settings_of(profile, name) for name in chapters.NAMES if has(profile, name)}
    tables = {name: runs.published(chapters.wanted(name, own)) for name, own in settings.items()}
    rows = []
    for claim, entry in claims().items():
        row = {name: entry[name] for name in ("id", "claim", "paper", "published", "chapter")}
        row |= {"verdict": "no runs yet" if claim in rules() else entry["status"], "effect": np.nan, "low": np.nan,
                "high": np.nan, "seeds": 0, "part": "", "why": entry.get("why") or ""}
        if claim in rules() and (chapter := chapter_of(claim)) in tables:
            found = decide(claim, settings[chapter], tables[chapter])
            row |= {"verdict": found.verdict, "seeds": found.seeds}
            if (first := found.headline) is not None:
                row |= {"effect": first.effect, "low": first.low, "high": first.high, "part": first.name}
        rows.append(row)
    return pd.DataFrame(rows)
