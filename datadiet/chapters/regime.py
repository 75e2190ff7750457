"""The regime of an experiment: whether it could have shown a claim to be wrong or right, and whether it is the paper's own.

    experiments("K23-2", settings, table)       # an Experiment a task: parts of the rule, criteria, outcome

Four criteria. *Learned*: the full data is learned, surely above the most frequent class and at least halfway from there
to the best that is known of the task. *No floor*: no arm that a part compares is a constant classifier. *Control*: an effect
that is known to exist is seen on the same task. *Setting*: the experiment lies within the bounds that ``claims.yml`` sets
around the paper's. Without the first three an experiment counts neither for nor against a claim; without the last it counts
as a reduced one.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from datadiet import runs
from datadiet.chapters.arms import by_seed
from datadiet.chapters.parts import ENOUGH, FLOOR, Part, interval
from datadiet.chapters.settings import alone, measure
from datadiet.runs import facts

CLEAR = 0.1  # by which full data has to lie above the most frequent class, or Matthews' correlation above 0
HALFWAY = 0.5  # share of the way from there to the best that is known of the task, by which its interval has to lie
LESS = ("keep", "schedule", "pool", "augment", "noise", "folds")  # settings of runs that do not train on the data as it is
WORDS = {"learned": "not learned", "no floor": "on the floor", "control": "no positive control", "setting": "reduced setting"}


@dataclass(frozen=True)
class Criterion:
    """One criterion of a regime, whether it is met, and by which figures."""

    name: str
    met: bool
    words: str


@dataclass(frozen=True)
class Experiment:
    """What one profile's runs on one task say to a claim."""

    task: str
    profile: str
    parts: tuple[Part, ...]
    criteria: tuple[Criterion, ...]

    def met(self, name: str) -> bool:
        """Whether the criterion `name` is met."""
        return next(each.met for each in self.criteria if each.name == name)

    @property
    def counts(self) -> bool:
        """Whether it could have shown the claim to be right, and to be wrong."""
        return self.outcome != "no runs" and all(each.met for each in self.criteria if each.name != "setting")

    @property
    def outcome(self) -> str:
        """ "agrees" (every part holds), "disagrees" (one fails and none holds), "partly", "undecided"; "no runs" where a part has
        none."""
        seen = [part.outcome for part in self.parts if part.outcome not in (FLOOR, "no runs")]
        if not self.parts or "no runs" in (part.outcome for part in self.parts):
            return "no runs"
        if "fails" in seen:
            return "partly" if "holds" in seen else "disagrees"
        return "agrees" if set(seen) == {"holds"} else "partly" if "holds" in seen else "undecided"

    @property
    def seeds(self) -> int:
        """Fewest paired seeds of a part that has runs."""
        return min((part.n for part in self.parts if part.n), default=0)

    @property
    def words(self) -> str:
        """Outcome and regime in a few words."""
        if self.outcome == "no runs":
            return "no runs yet"
        if not self.counts:
            short = [WORDS[each.name] for each in self.criteria if each.name != "setting" and not each.met]
            return f"could not have shown it: {', '.join(short)}"
        return ("" if self.met("setting") else "reduced setting: ") + self.said

    @property
    def said(self) -> str:
        """Its outcome; where it agrees partly, with which parts hold and which fail."""
        if self.outcome != "partly":
            return self.outcome
        held, failed = ("; ".join(part.short for part in self.parts if part.outcome == each) for each in ("holds", "fails"))
        return f"agrees in: {held}" + (f"; not in: {failed}" if failed else "")


def experiments(claim: dict, rule, room, settings: dict, table: pd.DataFrame) -> tuple[Experiment, ...]:
    """The experiments of a view on a claim, one a task, from the claim's entry, its rule and its chapter's module of rules."""
    parts = rule(settings, table, claim.get("margins", {}))
    out = []
    for task in settings["tasks"]:
        own = alone(settings, task)
        some = tuple(part for part in parts if part.task == task)
        if some:
            out.append(Experiment(task, settings["profile"], some, _criteria(claim, room, own, table, task, some)))
    return tuple(out)


def _criteria(claim: dict, room, settings: dict, table, task: str, parts) -> tuple[Criterion, ...]:
    regime, full = claim["regime"], room.full(settings, task)
    found = [
        _learned(regime, table, task, full),
        _no_floor(parts),
        _control(claim, room, settings, table),
        _setting(regime.get("setting"), settings, table, task, full, claim.get("margins", {})),
    ]
    return tuple(each for each in found if each is not None)


FLOORS = {"matthews": 0.0, "auc": 0.5}  # of measures for which it is the same on every task


def floor(task: str, classes: int, by: str = "accuracy") -> float:
    """The measure `by` on test of the best model that gives every example the same answer."""
    shares = facts.test_shares(task)
    return FLOORS.get(by, 1 / classes if shares is None else float(shares.max()))


@cache
def best(task: str, by: str) -> float:
    """The highest mean over seeds of the measure `by` on test that published runs reach on all data of a task; else -inf."""
    reached: dict = {}
    for row in runs.store.published().values():
        run = row["config"]
        if run["task"] == task and not any(run.get(name) for name in LESS):
            value = row["metrics"].get(f"test_{by}")
            if value is not None:
                reached.setdefault(str({name: each for name, each in run.items() if name != "seed"}), []).append(value)
    return max((float(np.mean(values)) for values in reached.values()), default=-np.inf)


def _learned(regime: dict, table, task: str, full: list[dict]) -> Criterion | None:
    """The full data, against the most frequent class and the best that is known; None where the rule trains on no labels."""
    if regime.get("learned") is False:
        return None
    by = regime.get("measure", measure(task))
    values = by_seed(table, full, f"test_{by}")
    if len(values) < 2:
        return Criterion("learned", False, f"{task}: no runs on the full data")
    classes = len(by_seed(table, full, "label_names").iloc[0])
    low, known = floor(task, classes, by), max(regime.get("reach", {}).get(task, -np.inf), best(task, by))
    halfway = low + HALFWAY * max(0.0, known - low)
    mean, bottom, _ = interval(values)
    return Criterion("learned", bottom > low + CLEAR and bottom >= halfway,
                     f"test {by} of the full data {mean:.3f}, surely {bottom:.3f}; always the same answer gives {low:.3f}, "
                     f"the best known is {max(known, mean):.3f}")


def _no_floor(parts) -> Criterion:
    """Every part is without a constant classifier."""
    on = [part.short for part in parts if part.outcome == FLOOR]
    return Criterion("no floor", not on, "constant classifiers in: " + "; ".join(on) if on else "no arm is a constant classifier")


def _control(claim: dict, room, settings: dict, table) -> Criterion | None:
    """A known effect, where the claim asks for one: all its parts hold."""
    rule = getattr(room, "CONTROLS", {}).get(claim["id"])
    if rule is None:
        return None
    parts = rule(settings, table, claim["margins"])
    said = "; ".join(f"{part.short}: no runs" if part.outcome == "no runs" else
                     f"{part.short} {part.effect:+.3f} [{part.low:+.3f}, {part.high:+.3f}]" for part in parts)
    return Criterion("control", bool(parts) and all(part.outcome == "holds" for part in parts), said)


def _setting(bounds: dict | None, settings: dict, table, task: str, full: list[dict], margins: dict) -> Criterion:
    """The experiment within the bounds around the paper's; None: no experiment here can lie within them.

    The share kept is the one by which the rule judges: that of its margins, or else of the settings.
    """
    if bounds is None:
        return Criterion("setting", False, "no setting here is the paper's")
    trained = by_seed(table, full, "n_kept")
    examples = int(trained.max()) if len(trained) else 0
    shares = {"fraction": lambda: margins.get("kept", settings["fraction"]), "least": lambda: min(settings["fractions"]),
              "most": lambda: max(settings["fractions"])}
    outside = []
    for name, asked in bounds.items():
        if name == "tasks":
            if task not in asked:
                outside.append(f"{task} for {' or '.join(asked)}")
        elif name == "encoders":
            if settings["encoder"] not in asked:
                outside.append(f"{settings['encoder']} for {' or '.join(asked)}")
        elif name == "examples":
            if examples < asked:
                outside.append(f"{examples:,} examples, the bound is {asked:,}")
        elif name == "epochs":
            if settings["epochs"] < asked:
                outside.append(f"{settings['epochs']} epochs, the bound is {asked}")
        elif name in shares:
            if not asked[0] <= (share := shares[name]()) <= asked[1]:
                words = {"least": " at the least", "most": " at the most"}.get(name, "")
                outside.append(f"{share:.0%} kept{words} for {asked[0]:.0%} to {asked[1]:.0%}")
        else:
            raise KeyError(f"claims.yml: the bound {name!r} of a setting is not known")
    return Criterion("setting", not outside, "; ".join(outside) or "within the bounds of the paper's")


def verdict_of(found: tuple[Experiment, ...]) -> str:
    """The verdict that experiments come to. Those that are the paper's own decide where there are any."""
    if all(each.outcome == "no runs" for each in found):
        return "no runs yet"
    counted = deciding(found)
    if not counted:
        return "could not have shown it"
    outcomes = {each.outcome for each in counted}
    said = outcomes.pop() if len(outcomes) == 1 else "disagrees" if outcomes == {"disagrees", "undecided"} else "partly"
    if counted[0].met("setting"):
        said = {"agrees": "reproduced", "disagrees": "not reproduced", "partly": "partly reproduced"}.get(said, said)
    else:
        said = f"reduced setting: {said}"
    return f"hint: {said}" if min(each.seeds for each in counted) < ENOUGH else said


def deciding(found: tuple[Experiment, ...]) -> list[Experiment]:
    """The experiments that decide: those that count and are the paper's own, or else those that count."""
    counted = [each for each in found if each.counts]
    return [each for each in counted if each.met("setting")] or counted
