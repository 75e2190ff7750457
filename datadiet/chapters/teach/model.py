"""Rules that students hand in, and how they are judged: by runs that nobody has seen when the rules are written.

    rule = Rule("trec6", "hardest", "random", 0.3, "less", margin=0.01, sure=0.8, why="most of that part is misclassified")
    sealed([rule])                              # 64 hex digits to hand in before the runs are made
    judged([rule], settings, table)             # a row a rule: outcome, effect, interval, points
"""

import hashlib
import json
from dataclasses import asdict, dataclass

import pandas as pd

from datadiet.chapters.arms import by_seed, pruned
from datadiet.chapters.parts import difference, part
from datadiet.chapters.settings import of_task
from datadiet.errors import InputError
from datadiet.prune import RULES

CLAIMS = ("more", "less")
COUNTED = {"holds": 1.0, "fails": 0.0}  # what a probability is compared with; no other outcome gives points


@dataclass(frozen=True)
class Rule:
    """A prediction: on `task`, `keeps` at share `fraction` reaches more (or less) test accuracy than `against`, by `margin`.

    `sure` is the probability, 0 to 1, that the student gives to "holds" where the outcome is decided; `why` is the reason.

    Raises
    ------
    InputError
        An unknown rule of pruning, a claim that is neither more nor less, a margin below 0, a probability outside of 0 to 1,
        or no reason.
    """

    task: str
    keeps: str
    against: str
    fraction: float
    claim: str
    margin: float
    sure: float
    why: str

    def __post_init__(self):
        for name, value, known in (("keeps", self.keeps, RULES), ("against", self.against, RULES), ("claim", self.claim, CLAIMS)):
            if value not in known:
                raise InputError(f"teach.Rule: {name}={value!r}; choose one of {', '.join(known)}.")
        if not 0 <= self.sure <= 1 or self.margin < 0:
            raise InputError(f"teach.Rule: sure={self.sure}, margin={self.margin}; give a probability from 0 to 1, and a margin "
                             "of at least 0.")
        if self.keeps == self.against or not self.why.strip():
            raise InputError("teach.Rule: compare two rules of pruning that differ, and give the reason in `why`.")


def sealed(rules: list[Rule]) -> str:
    """SHA-256 of the rules, 64 hex digits: handed in before the runs, it shows that the rules were not changed afterwards.

    >>> sealed([Rule("trec6", "hardest", "random", 0.3, "less", 0.01, 0.8, "most of it is misclassified")])[:12]
    'df9c653205ee'
    """
    return hashlib.sha256(json.dumps([asdict(rule) for rule in rules], sort_keys=True).encode()).hexdigest()


def judged(rules: list[Rule], settings: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Rules and what the runs say of them, a row each, in their order.

    A rule holds where the whole 95 % interval of the paired difference lies beyond its margin, on the claimed side, and fails
    where the whole interval lies on the other side of the margin. ``points`` is one less the squared distance of `sure` from the
    outcome (1: holds, 0: fails): who is sure and right gets 1, who says 0.5 gets 0.75, who is sure and wrong gets 0. A rule that
    is undecided, or whose arms sit on a floor, gets no points and takes none: it does not count.
    """
    rows = []
    for rule in rules:
        effect, low, high, outcome, seeds = (float("nan"),) * 3 + ("no runs", 0)
        if rule.task in settings["tasks"]:
            own = of_task(settings, rule.task)
            one, other = (by_seed(table, pruned(own, rule.task, name, rule.fraction)) for name in (rule.keeps, rule.against))
            side = {"above": rule.margin} if rule.claim == "more" else {"below": -rule.margin}
            found = part(rule.task, difference(one, other), **side)
            effect, low, high, outcome, seeds = found.effect, found.low, found.high, found.outcome, found.n
        points = 1 - (rule.sure - COUNTED[outcome]) ** 2 if outcome in COUNTED else float("nan")
        said = f"{rule.task}: {rule.keeps} {rule.claim} than {rule.against} by {rule.margin:g}, {rule.fraction:.0%} kept"
        rows.append({"rule": said, "sure": rule.sure, "outcome": outcome, "effect": effect, "low": low, "high": high,
                     "seeds": seeds, "points": points})
    return pd.DataFrame(rows)
