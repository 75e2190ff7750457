"""Golden files: keys that chapters ask for, and the published ledger, as they were when they were last looked at.

A key that changes orphans the runs stored under it; a number that changes in the ledger is another finding. Either may be right,
and is then made anew, with the reason in the commit:

    python tests/test_golden.py ledger                  # the whole ledger, from the published runs
    python tests/test_golden.py keys score-timing       # the keys of one chapter; says how many of the old ones are gone
"""

import hashlib
import json
import sys
from pathlib import Path

import pytest

from datadiet import chapters, runs
from datadiet.chapters import ledger
from datadiet.chapters.settings import settings_of

GOLDEN = Path(__file__).resolve().parent / "golden"
KEYS = json.loads((GOLDEN / "keys.json").read_text())
LEDGER = json.loads((GOLDEN / "ledger.json").read_text())


def keys_of(chapter: str) -> list[str]:
    """The keys that a chapter's published settings ask for, sorted."""
    return sorted({runs.key(run) for run in chapters.wanted(chapter, settings_of("standard", chapter))})


def hashed(keys: list[str]) -> str:
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


def judged(claim: str) -> dict:
    """What the published runs of all profiles that are evidence say to a claim, as the golden file holds it."""
    if claim not in ledger.rules():
        return {"verdict": ledger.claims()[claim]["status"]}
    found = ledger.decide_over(claim, ledger.evidence(ledger.chapter_of(claim)))
    experiments = [
        {
            "profile": each.profile, "task": each.task, "outcome": each.outcome,
            "criteria": {criterion.name: criterion.met for criterion in each.criteria},
            "parts": [[part.name, *((part.effect, part.low, part.high) if part.n else (None,) * 3), part.n, part.outcome]
                      for part in each.parts],
        }
        for each in found.experiments
    ]  # fmt: skip
    return {"verdict": found.verdict, "which": found.which, "seeds": found.seeds, "experiments": experiments}


@pytest.mark.parametrize("chapter", KEYS)
def test_published_settings_ask_for_the_same_keys(chapter):
    found = keys_of(chapter)
    assert set(KEYS[chapter]["some"]) <= set(found)
    assert len(found) == KEYS[chapter]["runs"]
    assert hashed(found) == KEYS[chapter]["all"]


def test_every_chapter_with_runs_and_every_claim_is_golden():
    assert set(KEYS) == set(chapters.NAMES)
    assert list(LEDGER) == list(ledger.claims())


@pytest.mark.parametrize("claim", LEDGER)
def test_the_published_ledger_is_the_same_to_the_digit(claim):
    found, golden = judged(claim), LEDGER[claim]
    assert set(found) == set(golden)
    assert all(found[name] == golden[name] for name in found if name != "experiments")
    for seen, wanted in zip(found.get("experiments", []), golden.get("experiments", []), strict=True):
        for name in ("profile", "task", "outcome", "criteria"):
            assert seen[name] == wanted[name]
        assert [part[:1] + part[4:] for part in seen["parts"]] == [part[:1] + part[4:] for part in wanted["parts"]]
        for one, other in zip(seen["parts"], wanted["parts"], strict=True):
            assert one[1:4] == (other[1:4] if other[1] is None else pytest.approx(other[1:4], rel=1e-9, abs=1e-12)), one[0]


def write(what: str, *names: str) -> None:
    """Make a golden file anew, or of the keys the entries of `names`."""
    if what == "ledger":
        claims = [f"{json.dumps(claim)}: {json.dumps(judged(claim))}" for claim in ledger.claims()]
        (GOLDEN / "ledger.json").write_text("{\n" + ",\n".join(claims) + "\n}\n")
        return
    for name in names:
        found = keys_of(name)
        old = set(KEYS.get(name, {"some": []})["some"])
        print(f"{name}: {len(found)} runs; of the {len(old)} old keys written out, {len(old - set(found))} are gone")
        some = sorted(old) if old and old <= set(found) else found[:: max(1, len(found) // 5)]
        KEYS[name] = {"runs": len(found), "all": hashed(found), "some": some}
    (GOLDEN / "keys.json").write_text(json.dumps(KEYS, indent=1))


if __name__ == "__main__":
    write(*sys.argv[1:])
