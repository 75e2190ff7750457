"""Anybody's table: every row with a text and a label gets a score, rows keep their order, and bad input is named."""

import numpy as np
import pandas as pd
import pytest
from small import WORDS

from datadiet import prune, tables
from datadiet.audit import engine, trained
from datadiet.errors import InputError
from datadiet.tables import pruned


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    kinds = rng.choice(list(WORDS), 40)
    return pd.DataFrame(
        {"id": np.arange(40) * 7, "text": [" ".join(rng.choice(WORDS[kind], 2)) for kind in kinds], "kind": kinds}
    )


@pytest.fixture
def table(tmp_path):
    """A function: a frame -> a table read from a CSV file of it."""

    def made(frame):
        frame.to_csv(tmp_path / "made.csv", index=False)
        return tables.read(tmp_path / "made.csv")

    return made


def scored(table, **options):
    asked = {"text": "text", "label": "kind", "encoder": "tiny", "seconds": 1e-6, "score": "el2n"} | options
    return engine.columns(trained.score(table, **asked), len(table))


@pytest.mark.parametrize("score", ["el2n", "margin", "grand_head"])
def test_every_row_is_scored_in_its_order(frame, table, score):
    new = scored(table(frame), score=score)
    assert np.isfinite(new[f"datadiet_{score}"]).all() and new["datadiet_runs"] == [1] * 40


def test_rows_without_text_or_label_stay_without_a_score(frame, table):
    """Their neighbours are scored as they would be alone."""
    holes = frame.copy()
    holes.loc[[3, 20], "text"] = ["", "  "]
    holes.loc[7, "kind"] = None
    new = scored(table(holes))["datadiet_el2n"]
    assert [row for row, value in enumerate(new) if value is None] == [3, 7, 20]
    rest = scored(table(frame.drop([3, 7, 20])))["datadiet_el2n"]
    assert [value for value in new if value is not None] == rest


def test_scores_follow_their_rows(frame, table):
    whole = table(frame)
    done = whole.with_columns(scored(whole))
    kept = pruned.rows(done, keep=0.5)
    expected = prune.keep(np.array(done.cells("datadiet_el2n"), float), 0.5)
    assert kept.positions.tolist() == expected.tolist() and len(kept.table) == 20
    assert kept.table.cells("id") == [str(7 * row) for row in expected]


def test_a_budget_buys_runs_and_averages_them(frame, table):
    assert set(scored(table(frame), seconds=30.0)["datadiet_runs"]) == {trained.MOST_RUNS}


def test_pairs(frame, table):
    paired = scored(table(frame.assign(other=frame["text"].to_numpy()[::-1])), text_pair="other")
    single = scored(table(frame))
    assert not np.allclose(paired["datadiet_el2n"], single["datadiet_el2n"], atol=1e-7)


@pytest.mark.parametrize(
    "change, options, message",
    [
        ({}, {"text": "txt"}, "no text column 'txt'; did you mean 'text'\\? the table has id, text, kind"),
        ({}, {"label": "sort"}, "no label column"),
        ({"kind": "same"}, {}, "one class only"),
        ({}, {"label": "id"}, "does not look like a class"),
        ({}, {"score": "el3n"}, "unknown score 'el3n'; choose one of el2n"),
        ({}, {"seconds": 0}, "budget of 0 seconds"),
        ({}, {"precision": "int8"}, "precision 'int8'; choose one of float32, bfloat16"),
        ({}, {"encoder": "no/such-encoder"}, "could not be loaded"),
        ({"text": None}, {}, "no row has both a text in 'text' and a label in 'kind'"),
        ({"kind": None}, {}, "empty in all 40 rows"),
    ],
)
def test_bad_requests(frame, table, change, options, message):
    with pytest.raises(InputError, match=message):
        scored(table(frame.assign(**change)), **options)
