"""Decisions of the chapter "Who is right, when": one for each cell and contrast, and a count of them for each paper's advice.

No claim of the ledger is decided here: each advice was given for a setting of its own, and a cell is not that setting.
Written before its runs.
"""

from dataclasses import dataclass
from itertools import product

import pandas as pd

from datadiet.chapters.arms import by_seed
from datadiet.chapters.parts import FLOOR, difference, part
from datadiet.chapters.settings import of_task
from datadiet.chapters.who_is_right.runs import BUDGETS, KEPT_BY, arm

OUTCOMES = {"holds": "better", "fails": "worse"}  # of a part that claims more than 0
COUNTED = ("holds", "fails", "undecided", FLOOR, "no runs")


@dataclass(frozen=True)
class Advice:
    """Advice of a paper on which end to keep, as a contrast: `rule` beats `against` (or loses to it, where ``wins`` is False)."""

    paper: str
    says: str
    rule: str
    against: str
    where: str  # of the fractions of a task: "least", "most", "more than least" or "any"
    wins: bool = True

    def fractions(self, kept) -> list[float]:
        """Kept fractions, of those of a task, that the advice speaks of. A single one is neither the least nor the most."""
        kept = sorted(kept)
        if len(kept) < 2 and self.where != "any":
            return []
        return {"least": kept[:1], "most": kept[-1:], "more than least": kept[1:], "any": kept}[self.where]


TITLES = {
    "paul2021deep": "Deep Learning on a Data Diet",
    "fayyaz2022bert": "BERT on a Data Diet",
    "anand2023influence": "Influence Scores at Scale",
    "sorscher2022beyond": "Beyond neural scaling laws",
    "marion2023when": "When Less is More",
}
ADVICE = (
    Advice("paul2021deep", "keep the hardest, unless very little is kept", "hardest", "random", "more than least"),
    Advice("paul2021deep", "keeping very little, the hardest collapse", "hardest", "random", "least", wins=False),
    Advice("fayyaz2022bert", "keeping much, the hardest beat random", "hardest", "random", "most"),
    Advice("fayyaz2022bert", "keeping little, the hardest lose to random", "hardest", "random", "least", wins=False),
    Advice("anand2023influence", "pruning hard ones hurts more than pruning easy ones", "hardest", "easiest", "most"),
    Advice("sorscher2022beyond", "where less data is kept, keep the easy ones", "easiest", "random", "least"),
    Advice("sorscher2022beyond", "where more data is kept, keep the hard ones", "hardest", "random", "most"),
    Advice("marion2023when", "of the three bands the middle is best: it beats the hardest", "middle", "hardest", "any"),
    Advice("marion2023when", "of the three bands the middle is best: it beats the easiest", "middle", "easiest", "any"),
)


def contrast(settings: dict, table: pd.DataFrame, task: str, cell: tuple, rule: str, against: str) -> dict:
    """One contrast in one cell (rate, budget, fraction): the paired effect, its interval, and the outcome.

    The outcome is "better", "worse", "undecided", "on the floor" or "no runs".
    """
    rate, budget, fraction = cell
    own = of_task(settings, task)
    one, other = (by_seed(table, arm(own, task, rate, fraction, budget, each)) for each in (rule, against))
    name = f"{task}: {rule} - {against}, {fraction:.0%} kept, {rate:.0%} flipped, equal {budget}"
    found = part(name, difference(one, other), above=0.0)
    return {"task": task, "noise": rate, "budget": budget, "fraction": fraction, "rule": rule, "against": against,
            "effect": found.effect, "low": found.low, "high": found.high, "n": found.n,
            "outcome": OUTCOMES.get(found.outcome, found.outcome)}


def cells(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Every way to keep against random, in every cell."""
    rows = []
    for task in settings["tasks"]:
        own = of_task(settings, task)
        for cell in product(own["rates"], BUDGETS, sorted(own["fractions"])):
            rows += [contrast(own, table, task, cell, rule, "random") for rule in KEPT_BY if rule != "random"]
    named = ["task", "noise", "budget", "fraction", "rule", "against", "effect", "low", "high", "n", "outcome"]
    return pd.DataFrame(rows, columns=named)


def advice(settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """In how many cells each advice holds, fails, is undecided or on the floor, a row an advice and rate of label noise.

    An advice that speaks of no cell of these settings has no row.
    """
    every = [(task, of_task(settings, task)) for task in settings["tasks"]]
    rates, rows = sorted({rate for _, own in every for rate in own["rates"]}), []
    for given, rate in product(ADVICE, rates):
        found = [
            contrast(own, table, task, (rate, budget, fraction), given.rule, given.against)["outcome"]
            for task, own in every if rate in own["rates"]
            for budget, fraction in product(BUDGETS, given.fractions(own["fractions"]))
        ]
        if not found:
            continue
        holds, fails = ("better", "worse") if given.wins else ("worse", "better")
        counts = {name: name for name in COUNTED} | {"holds": holds, "fails": fails}
        rows.append({"paper": TITLES[given.paper], "says": given.says, "noise": rate, "cells": len(found)}
                    | {name: found.count(outcome) for name, outcome in counts.items()})
    return pd.DataFrame(rows, columns=["paper", "says", "noise", "cells", *COUNTED])


RULES = {}  # no claim of the ledger is decided here
