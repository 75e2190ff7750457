"""Rules of students: checked when they are written, sealed, and judged by paired differences with their margin."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from small import around, rows, settings

from datadiet import paths
from datadiet.chapters.arms import pruned
from datadiet.chapters.parts import interval
from datadiet.chapters.teach import model, tables
from datadiet.errors import InputError

FULL = settings("pruning-fractions", seeds=5, fractions=[0.3, 0.6])
FIELDS = {"task": "words", "keeps": "hardest", "against": "random", "fraction": 0.3, "claim": "less", "margin": 0.01, "sure": 0.8,
          "why": "it is misclassified"}  # fmt: skip


def rule(**changes):
    return model.Rule(**FIELDS | changes)


def table(hardest, random):
    return pd.DataFrame(rows(pruned(FULL, "words", "hardest", 0.3), hardest) + rows(pruned(FULL, "words", "random", 0.3), random))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"keeps": "hard"}, "keeps='hard'"),
        ({"claim": "worse"}, "more, less"),
        ({"sure": 1.2}, "sure=1.2"),
        ({"sure": 80}, "sure=80"),
        ({"margin": -0.1}, "margin=-0.1"),
        ({"against": "hardest"}, "that differ"),
        ({"why": " "}, "the reason"),
    ],
)
def test_a_rule_that_cannot_be_judged_is_refused_when_it_is_written(changes, said):
    with pytest.raises(InputError, match=said):
        rule(**changes)


@pytest.mark.parametrize(
    "hardest, claim, margin, outcome, points",
    [
        (0.50, "less", 0.01, "holds", 1 - 0.2**2),
        (0.50, "more", 0.01, "fails", 1 - 0.8**2),
        (0.70, "more", 0.05, "holds", 1 - 0.2**2),
        (0.70, "more", 0.20, "fails", 1 - 0.8**2),
        (0.59, "less", 0.01, "undecided", None),
        (0.70, "less", 0.0, "fails", 1 - 0.8**2),
    ],
)
def test_outcomes_and_points(hardest, claim, margin, outcome, points):
    one, other = around(hardest, wobble=0.004), around(0.60, wobble=-0.001)
    (found,) = model.judged([rule(claim=claim, margin=margin)], FULL, table(one, other)).to_dict("records")
    mean, low, high = interval(np.array(one) - np.array(other))  # by position, which is the seed here
    assert found["outcome"] == outcome and found["seeds"] == 5
    assert (found["effect"], found["low"], found["high"]) == pytest.approx((mean, low, high))
    assert np.isnan(found["points"]) if points is None else found["points"] == pytest.approx(points)


def test_seeds_are_paired_and_a_set_without_runs_says_so():
    found = model.judged([rule(), rule(task="none"), rule(fraction=0.6)], FULL, table([0.5, None, 0.5, 0.4, 0.5], around(0.6)))
    assert found["seeds"].tolist() == [4, 0, 0] and found["outcome"].tolist() == ["holds", "no runs", "no runs"]
    assert found["points"].notna().tolist() == [True, False, False]


def test_a_seal_is_of_every_field_and_of_the_order():
    digest = hashlib.sha256(json.dumps([FIELDS], sort_keys=True).encode()).hexdigest()
    assert model.sealed([rule()]) == digest
    others = [model.sealed([rule(**{name: other})]) for name, other in (("margin", 0.02), ("sure", 0.81), ("why", "another"))]
    assert len({digest, *others, model.sealed([rule(), rule(margin=0.02)]), model.sealed([rule(margin=0.02), rule()])}) == 6


def test_every_lab_was_measured_and_takes_ten_minutes_at_most():
    found = tables.labs()
    assert set(found["lab"]) == {file.stem for file in (paths.root() / "profiles" / "lab").glob("*.yml")}
    assert 0 < found["minutes"].min() <= found["minutes"].iloc[0] == found["minutes"].max() <= 10
    assert len(tables.machine()) == 1
