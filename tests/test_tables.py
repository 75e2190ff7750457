"""Anybody's table: every row gets a score, rows keep their order, and bad input is named."""

import numpy as np
import pandas as pd
import pytest
from small import WORDS

from datadiet import prune, tables
from datadiet.errors import InputError


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    kinds = rng.choice(list(WORDS), 40)
    return pd.DataFrame(
        {"id": np.arange(40) * 7, "text": [" ".join(rng.choice(WORDS[kind], 2)) for kind in kinds], "kind": kinds}
    )


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_table_comes_back_as_it_was(frame, tmp_path, ending):
    tables.write(frame, tmp_path / f"t{ending}")
    pd.testing.assert_frame_equal(tables.read(tmp_path / f"t{ending}"), frame, check_dtype=False)


@pytest.mark.parametrize("score", ["el2n", "margin", "grand_head"])
def test_every_row_is_scored_in_its_order(frame, score):
    scored = tables.score(frame, text="text", label="kind", score=score, encoder="tiny", budget=1e-6)
    pd.testing.assert_frame_equal(scored[frame.columns.tolist()], frame)
    assert scored[f"datadiet_{score}"].notna().all() and (scored["datadiet_runs"] == 1).all()


def test_scores_follow_their_rows(frame):
    """Shuffling a table shuffles its texts' labels with them; the rows' scores stay attached to the ids' order."""
    scored = tables.score(frame, text="text", label="kind", encoder="tiny", budget=1e-6)
    kept = tables.prune_rows(scored, "datadiet_el2n", keep=0.5)
    expected = prune.keep(scored["datadiet_el2n"].to_numpy(), 0.5)
    assert kept["id"].tolist() == frame["id"].iloc[expected].tolist() and len(kept) == 20


def test_a_budget_buys_runs_and_averages_them(frame):
    scored = tables.score(frame, text="text", label="kind", encoder="tiny", budget=5.0)
    assert (scored["datadiet_runs"] == tables.MOST_RUNS).all()


def test_pairs(frame):
    paired = frame.assign(other=frame["text"].to_numpy()[::-1])
    scored = tables.score(paired, text="text", text_pair="other", label="kind", encoder="tiny", budget=1e-6)
    single = tables.score(frame, text="text", label="kind", encoder="tiny", budget=1e-6)
    assert not np.allclose(scored["datadiet_el2n"], single["datadiet_el2n"], atol=1e-7)


def test_balanced_pruning_keeps_the_shares(frame):
    scored = frame.assign(s=np.random.default_rng(1).random(40))
    kept = tables.prune_rows(scored, "s", keep=0.5, balanced="kind")
    share = kept["kind"].value_counts() / frame["kind"].value_counts()
    assert len(kept) == 20 and (share - 0.5).abs().max() < 0.06


@pytest.mark.parametrize(
    "change, options, message",
    [
        ({}, {"text": "txt"}, "no text column 'txt'; the table has id, text, kind"),
        ({}, {"label": "sort"}, "no label column"),
        ({"kind": "same"}, {}, "one class only"),
        ({}, {"label": "id"}, "does not look like a class"),
        ({}, {"score": "el3n"}, "unknown score 'el3n'; choose one of el2n"),
        ({}, {"budget": 0}, "budget of 0 minutes"),
        ({}, {"precision": "int8"}, "precision 'int8'; choose one of float32, bfloat16"),
        ({}, {"encoder": "no/such-encoder"}, "could not be loaded"),
        ({"text": None}, {}, "empty in 40 rows, the first is row 0"),
    ],
)
def test_bad_requests(frame, change, options, message):
    with pytest.raises(InputError, match=message):
        tables.score(frame.assign(**change), **{"text": "text", "label": "kind", "encoder": "tiny"} | options)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("t.xlsx", "", "ends in '.xlsx'"),
        ("t.csv", None, "no file"),
        ("t.csv", "a,b\n", "no rows"),
        ("t.csv", "", "could not be read"),
        ("t.jsonl", "{", "could not be read"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        tables.read(tmp_path / name)


@pytest.mark.parametrize(
    "column, options, message",
    [
        ("s", {}, "no column 's'"),
        ("kind", {}, "not numbers"),
        ("id", {"keep": 1.5}, "1.5"),
        ("id", {"balanced": "sort"}, "no column 'sort'"),
    ],
)
def test_pruning_that_cannot_be(frame, column, options, message):
    with pytest.raises(InputError, match=message):
        tables.prune_rows(frame, column, **{"keep": 0.5} | options)
