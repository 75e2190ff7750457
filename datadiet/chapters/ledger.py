"""The ledger: the rules applied to stored runs. Verdict, regime, effect and interval come out.

    settings = settings_of("standard", "score-timing")
    table = runs.published(chapters.wanted("score-timing", settings))
    decide("BDD-1", settings, table)        # Verdict(id="BDD-1", verdict="could not have shown it", experiments=...)
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from datadiet import chapters, paths, runs
from datadiet.chapters.parts import FLOOR, Part
from datadiet.chapters.regime import Experiment, deciding, experiments, verdict_of
from datadiet.chapters.settings import has, parsed, settings_of
from datadiet.errors import InputError

# Profiles whose published runs decide claims; one without published runs of a chapter says nothing about it.
EVIDENCE = ("standard", "gpu", "news", "gpu-windows", "gpu-every-1", "gpu-every-4")

# key in references.bib -> the abbreviation that its claims' ids begin with, its name, and by whom
PAPERS = {
    "paul2021deep": ("P21", "Deep Learning on a Data Diet", "Paul et al., 2021"),
    "kirsch2023does": ("K23", "Does \u201cDeep Learning on a Data Diet\u201d reproduce?", "Kirsch, 2023"),
    "fayyaz2022bert": ("BDD", "BERT on a Data Diet", "Fayyaz et al., 2022"),
    "attendu2023nlu": ("NDD", "NLU on Data Diets", "Attendu and Corbeil, 2023"),
    "anand2023influence": ("INF", "Influence Scores at Scale", "Anand et al., 2023"),
    "zayed2022deep": ("HDD", "Deep Learning on a Healthy Data Diet", "Zayed et al., 2023"),
    "sabbineni2023comprehensive": ("BEM", "Benchmarking of Entropy and Margin", "Sabbineni et al., 2023"),
    "marion2023when": ("WLM", "When Less is More", "Marion et al., 2023"),
}
# word of a verdict -> what it comes to, for colours and filters
KINDS = {"reproduced": "agrees", "agrees": "agrees", "partly reproduced": "partly", "partly": "partly", "undecided": "undecided",
         "not reproduced": "disagrees", "disagrees": "disagrees"}
# where the experiments that decide a claim stand -> what that means for it
SETTINGS = {
    "the paper's setting": "within stated bounds of the paper's own experiment",
    "reduced setting": "smaller than the paper's experiment: neither confirms nor refutes the paper",
    "analogue": "the same design on other data: speaks of the analogue alone",
    "outside its regime": "tried, but the experiment could not have shown the claim right or wrong",
    "no runs yet": "the rule is written, its runs are not published",
    "not testable here": "its data or models cannot be had by us",
}


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim, and the experiments that it comes from."""

    id: str
    verdict: str
    experiments: tuple[Experiment, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of all experiments."""
        return tuple(part for each in self.experiments for part in each.parts)

    @property
    def seeds(self) -> int:
        """Fewest paired seeds of an experiment that has runs."""
        return min((each.seeds for each in self.experiments if each.seeds), default=0)

    @property
    def headline(self) -> Part | None:
        """The part whose numbers stand for the claim in one line: one that decided the outcome of an experiment that counts."""
        order = ("disagrees", "agrees", "partly", "undecided", "no runs")
        found = sorted(deciding(self.experiments) or self.experiments, key=lambda each: order.index(each.outcome))
        for each in found:
            some = [part for part in each.parts if part.n and part.outcome != FLOOR]
            decided = {"agrees": ("holds",), "disagrees": ("fails",), "partly": ("fails", "holds")}
            if some:
                return next((part for outcome in decided.get(each.outcome, ("undecided",)) for part in some
                             if part.outcome == outcome), some[0])
        return next((part for part in self.parts if part.n), None)

    @property
    def setting(self) -> str:
        """Where the experiments that decide stand, a word of ``SETTINGS``."""
        counted = deciding(self.experiments)
        if all(each.outcome == "no runs" for each in self.experiments):
            return "no runs yet"
        if not counted:
            return "outside its regime"
        if self.verdict.startswith("analogue"):
            return "analogue"
        return "the paper's setting" if counted[0].met("setting") else "reduced setting"

    @property
    def which(self) -> str:
        """Where it agrees partly: which experiments agree, and in which parts; a task of several profiles is named with them."""
        if "partly" not in self.verdict:
            return ""
        counted = deciding(self.experiments)
        tasks = [each.task for each in counted]
        names = [f"{each.task} ({each.profile})" if tasks.count(each.task) > 1 else each.task for each in counted]
        return "; ".join(f"{name} {each.said}" for name, each in zip(names, counted, strict=True))

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


def kind_of(verdict: str) -> str:
    """What a verdict comes to: "agrees", "partly", "disagrees", "undecided", or "open" where nothing was decided."""
    return KINDS.get(verdict.split(": ")[-1], "open")


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
    return decide_over(claim, [(settings, table)])


def decide_over(claim: str, views) -> Verdict:
    """The verdict of :func:`decide` from several tables together, (settings, table) each: every task of each is an experiment."""
    if claim not in rules():
        known = "no rule yet" if claim in claims() else "not a claim of claims.yml"
        raise InputError(f"ledger.decide: {claim!r} is {known}; rules exist for {', '.join(rules())}.")
    entry, room = claims()[claim], chapters.room(chapter_of(claim), "rules")
    found = tuple(each for settings, table in views for each in experiments(entry, rules()[claim], room, settings, table))
    verdict = verdict_of(found)
    if entry["status"] == "analogue":
        verdict = f"analogue: {verdict.replace('reduced setting: ', '')}"  # another experiment than the paper's
    return Verdict(claim, verdict, found)


@cache
def evidence(chapter: str, profiles: tuple[str, ...] = EVIDENCE) -> tuple[tuple[dict, pd.DataFrame], ...]:
    """Settings and published runs of a chapter in every profile that has a file for it."""
    settings = [settings_of(profile, chapter) for profile in profiles if has(profile, chapter)]
    found = [(own, runs.published(chapters.wanted(chapter, own))) for own in settings]
    return tuple((own, table) for own, table in found if len(table) or own["profile"] == profiles[0])


def ledger(profiles: tuple[str, ...] = EVIDENCE) -> pd.DataFrame:
    """Every claim of ``claims.yml`` with its verdict from the published runs of `profiles`, or why there is none."""
    rows = []
    for claim, entry in claims().items():
        row = {name: entry[name] for name in ("id", "claim", "paper", "published", "chapter")}
        row |= {"ours": entry.get("ours", False), "verdict": entry["status"], "effect": np.nan, "low": np.nan, "high": np.nan,
                "seeds": 0, "part": "", "which": "", "regime": "", "why": entry.get("why") or "", "sign": 0, "margin": np.nan,
                "experiments": [],
                "setting": "not testable here" if entry["status"] == "not testable here" else "no runs yet"}
        if claim in rules():
            found = decide_over(claim, evidence(chapter_of(claim), profiles))
            row |= {"verdict": found.verdict, "which": found.which, "seeds": found.seeds, "setting": found.setting,
                    "regime": "; ".join(f"{each.task}: {each.words}" for each in found.experiments),
                    "experiments": [f"{each.task}: {each.words}" for each in found.experiments]}
            if (part := found.headline) is not None:
                row |= {"effect": part.effect, "low": part.low, "high": part.high, "part": part.name, "sign": part.sign,
                        "margin": part.margin}
        row["kind"] = kind_of(row["verdict"])
        rows.append(row)
    return pd.DataFrame(rows)
