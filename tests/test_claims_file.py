"""The ledger is complete, and every entry says what it must."""

from datetime import date
from pathlib import Path

import pytest
import yaml
from pybtex.database import parse_file

from datadiet import chapters
from datadiet.chapters import ledger

ROOT = Path(__file__).resolve().parent.parent
CLAIMS = yaml.safe_load((ROOT / "claims.yml").read_text(encoding="utf-8"))

# Ids are promises to readers: none is renamed, reused or dropped.
SERIES = {"BDD": 7, "NDD": 6, "K23": 6, "P21": 10, "BEM": 1, "HDD": 2, "INF": 3, "WLM": 1}
NOISY = {"BDD-4", "P21-5"}  # the part of a claim that is about noisy labels is a line of its own, right below: the id with an n
IDS = [name for series, n in SERIES.items() for i in range(1, n + 1)
       for name in (f"{series}-{i}", *([f"{series}-{i}n"] if f"{series}-{i}" in NOISY else []))]
TESTED = {
    "score-timing.md": ["BDD-1", "BDD-2", "BDD-3", "BDD-7", "P21-3", "P21-6"],
    "grand-at-init.md": ["K23-1", "K23-2", "K23-3", "K23-4", "K23-5", "K23-6", "P21-1", "P21-2", "P21-7", "P21-8"],
    "loss-landscape.md": ["P21-10"],
    "pruning-fractions.md": ["BDD-4", "BDD-5", "BDD-6", "P21-4", "P21-5", "INF-2"],
    "influence-scores.md": ["INF-1", "INF-3"],
    "joint.md": ["NDD-6"],
    "weak-pool.md": ["BEM-1"],
    "dynamic-pruning.md": ["NDD-1", "NDD-2", "NDD-3", "NDD-4", "NDD-5"],
    "label-noise.md": ["BDD-4n", "P21-5n", "P21-9"],
    "healthy-diet.md": ["HDD-1", "HDD-2"],
}
RULED = ("tested", "analogue")  # an analogue is another experiment than the paper's: a rule, and why it decides nothing
FIELDS = {"id", "paper", "claim", "published", "known", "settings", "chapter", "status"}
HOW_KNOWN = (
    "read in the paper",
    "read in released code",
    "computed from released artefacts",
    "second-hand notes",
    "inferred by us",
    "from memory, unchecked",
)


def test_every_claim_is_there_once():
    assert [claim["id"] for claim in CLAIMS] == IDS
    assert len(IDS) == 36 + len(NOISY)


def test_tested_claims_are_those_of_the_chapters():
    found = {}
    for claim in CLAIMS:
        if claim["status"] in RULED:
            found.setdefault(claim["chapter"], []).append(claim["id"])
    assert {chapter: sorted(ids) for chapter, ids in found.items()} == {
        chapter: sorted(ids) for chapter, ids in TESTED.items()}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["id"])
def test_schema(claim):
    reasons = {"tested": {"rule"}, "analogue": {"rule", "why"}}.get(claim["status"], {"why"})
    ruled = claim["status"] in RULED
    assert set(claim) - {"notes", "ours"} == FIELDS | reasons | ({"margins", "regime"} if ruled else set())
    assert ruled or "notes" not in claim
    assert claim.get("ours", True) is True
    assert all(isinstance(value, (int, float)) for value in claim.get("margins", {}).values())
    assert claim["status"] in (*RULED, "not yet", "not testable here")
    texts = {name: text for name, text in claim.items() if name not in ("chapter", "margins", "regime", "notes", "ours")}
    assert all(isinstance(text, str) and text.strip() == text and text for text in texts.values())
    assert claim["claim"].endswith(".") and all(claim[reason].endswith(".") for reason in reasons)
    assert all(way.startswith(HOW_KNOWN) for way in claim["known"].split("; "))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["id"])
def test_a_tested_claim_names_a_chapter_that_exists(claim):
    if claim["status"] in RULED:
        assert (ROOT / "chapters" / claim["chapter"]).is_file()
        assert any("Written before" in text for text in (claim["rule"], *claim.get("notes", {}).values()))
    else:
        assert claim["chapter"] is None


BOUNDS = {"tasks": list, "encoders": list, "examples": int, "epochs": int, "fraction": list, "least": list, "most": list}
MEASURES = ("accuracy", "matthews", "auc")


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if "regime" in claim], ids=lambda claim: claim["id"])
def test_a_regime_says_what_the_code_reads_and_nothing_else(claim):
    regime = claim["regime"]
    assert set(regime) <= {"learned", "measure", "reach", "control", "setting"} and "setting" in regime
    assert regime.get("learned", False) is False and regime.get("measure", "auc") in MEASURES
    assert all(0 < reached < 1 for reached in regime.get("reach", {}).values())
    controls = chapters.room(claim["chapter"].removesuffix(".md"), "rules").__dict__.get("CONTROLS", {})
    assert ("control" in regime) == ("control" in claim["margins"]) == (claim["id"] in controls)
    bounds = regime["setting"] or {}
    assert all(isinstance(bound, BOUNDS[name]) for name, bound in bounds.items())
    if claim["status"] == "analogue":
        assert regime["setting"] is None
    else:
        assert {"tasks", "encoders"} <= set(bounds)


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if "notes" in claim], ids=lambda claim: claim["id"])
def test_notes_are_dated_sentences(claim):
    assert all(isinstance(day, date) and text.strip().endswith(".") for day, text in claim["notes"].items())


def test_an_inference_of_our_own_is_known_as_one():
    ours = {claim["id"] for claim in CLAIMS if claim.get("ours")}
    assert ours and all("inferred by us" in claim["known"] for claim in CLAIMS if claim["id"] in ours)


def test_every_paper_is_in_the_bibliography():
    assert {claim["paper"] for claim in CLAIMS} <= set(parse_file(str(ROOT / "references.bib")).entries)


def test_every_rule_in_words_is_a_rule_in_code():
    assert set(ledger.rules()) == {claim["id"] for claim in CLAIMS if claim["status"] in RULED}
