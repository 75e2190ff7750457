"""What the book offers to download: every column is explained, numbers come back as the ledger has them, checksums are right."""

import hashlib
import io
import json
import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from datadiet import chapters, paths, prune, runs
from datadiet.book import render
from datadiet.chapters import dynamic_pruning
from datadiet.chapters.arms import by_seed, kept_positions, pruned
from datadiet.chapters.parts import interval
from datadiet.chapters.settings import settings_of
from datadiet.chapters.what_all_runs_say import downloads
from datadiet.chapters.what_all_runs_say import runs as all_runs
from datadiet.errors import InputError
from datadiet.runs import released, store


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """The tidy table as a reader gets it."""
    return pd.read_csv(io.BytesIO(released.files()["runs.csv.gz"]), compression="gzip")


def test_every_column_is_in_the_dictionary_and_the_reverse(table):
    assert list(table) == list(released.COLUMNS)
    seen = set()
    for name, content in released.files().items():
        if name.startswith("scores-"):
            columns = {released.pattern(column) for column in pq.read_schema(io.BytesIO(content)).names}
            assert columns <= set(released.SCORE_COLUMNS), name
            seen |= columns
    assert seen == set(released.SCORE_COLUMNS)
    said = released.dictionary()
    assert len(said) == len(released.COLUMNS) + len(released.SCORE_COLUMNS) and said["meaning"].str.len().min() > 5


def test_no_metric_of_a_published_run_is_lost():
    recorded = {name for row in store.published().values() for name in row["metrics"]}
    known = set(released.COLUMNS) | set(released.NESTED)
    assert {name for name in recorded - known if not released.VALIDATION.fullmatch(name)} == set()


def test_an_arm_read_back_has_the_numbers_of_the_ledger(table):
    """The gain over random of one arm of TREC-6: from the file alone, and as a rule of a chapter reads it."""
    settings = settings_of("standard", "pruning-fractions")
    stored = runs.published(chapters.wanted("pruning-fractions", settings))
    arm = pruned(settings, "trec6", "hardest", 0.1)
    mine = table[table["key"].isin([runs.key(run) for run in arm])].set_index("seed").sort_index()
    gains = mine["test_accuracy"] - mine["random_key"].map(table.set_index("key")["test_accuracy"])
    theirs = by_seed(stored, arm) - by_seed(stored, pruned(settings, "trec6", "random", 0.1))
    assert interval(gains) == interval(theirs) and len(gains) == 5
    assert set(mine["kind"]) == {"pruned"} and set(mine["rule"]) == {"hardest"} and set(mine["fraction"]) == {0.1}
    assert len(table) == len(store.published()) and table["key"].is_unique


def test_the_columns_tell_every_run_from_every_other(table):
    """What was asked for, without keys and file names and without what came out; once 350 runs could not be told apart."""
    names = list(released.COLUMNS)
    asked = [name for name in names[: names.index("n_kept")] if name not in ("key", "arm", "scores_file", "random_key")]
    assert not table.duplicated(asked).any() and not table.duplicated(["arm", "seed", "draw"]).any()
    alone = table.groupby("arm")[[name for name in asked if name not in ("seed", "draw", "data_checksum")]].nunique(dropna=False)
    assert (alone == 1).all(axis=None) and len(alone) < len(table) / 3


def test_a_dynamic_run_has_the_share_of_its_cycles_and_its_random_run(table):
    dynamic = table[(table["kind"] == "dynamic") & (table["rule"] != "dynamic soft")]
    assert set(dynamic["fraction"]) == {0.2, 0.5} and dynamic["schedule_warmup"].notna().all()
    whole = table[(table["kind"] == "full") & (table["encoder"] == "minilm-mean")].groupby("data_checksum")["n_kept"].max()
    first, everything = dynamic["schedule_warmup"], dynamic["data_checksum"].map(whole)
    trained = first * everything + (dynamic["fraction"] * everything).round() * (dynamic["epochs"] - first)
    assert (dynamic["examples"] - trained).abs().max() <= 1
    settings = settings_of("standard", "dynamic-pruning")
    arms, by_key = dynamic_pruning.runs.arms(settings, "trec6"), table.set_index("key")
    for fraction in (0.2, 0.5):
        pairs = zip(arms["dynamic", fraction], arms["random dynamic", fraction], strict=True)
        assert all(by_key.loc[runs.key(run), "random_key"] == runs.key(random) for run, random in pairs)


def test_the_gap_of_a_mix_is_what_parity_hides(table):
    mixes = table.dropna(subset="test_gap")
    np.testing.assert_allclose(mixes["test_parity"], 1 - mixes["test_gap"].abs(), atol=1e-12)
    assert len(mixes) and mixes["test_gap"].min() < 0 < mixes["test_gap"].max()


def test_the_first_analysis_of_the_page_is_that_of_the_chapter(monkeypatch, tmp_path):
    """Every arm of "What all runs say together" that is judged by accuracy, its gain and its seeds, by the code on the page."""
    (tmp_path / "runs.csv.gz").write_bytes(released.files()["runs.csv.gz"])
    page = (paths.root() / "chapters" / "data.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.+?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    found = names["arms"]
    theirs = all_runs.arms(all_runs.by_run())
    theirs = theirs[(theirs["chance"] > 0) & (theirs["seeds"] > 1)]
    mine = {(round(mean, 9), int(count)) for mean, count in zip(found["gain", "mean"], found["gain", "count"], strict=True)}
    assert {(round(gain, 9), seeds) for gain, seeds in zip(theirs["gain"], theirs["seeds"], strict=True)} <= mine


def table_of(name: str) -> tuple[pd.DataFrame, dict]:
    found = pq.read_table(io.BytesIO(released.files()[name]))
    return found.to_pandas(), {
        key.decode(): json.loads(value) for key, value in found.schema.metadata.items() if key != b"pandas"
    }


@pytest.mark.parametrize("rule, fraction, balanced", [("hardest", 0.1, False), ("easiest", 0.2, False), ("hardest", 0.5, True)])
def test_ranks_give_the_positions_that_a_stored_run_kept(table, rule, fraction, balanced):
    settings = settings_of("standard", "pruning-fractions")
    for run in pruned(settings, "trec6", rule, fraction, balanced=balanced):
        name = table.set_index("key").loc[runs.key(run), "scores_file"]
        scores, facts = table_of(name)
        rank, n, size = scores[f"rank@1ep without {run['seed']}"].to_numpy(), len(scores), round(fraction * len(scores))
        if balanced:
            found = prune.keep(-rank, fraction, rule, labels=scores["label"].to_numpy())
        else:
            found = np.flatnonzero(rank < size if rule == "hardest" else rank >= n - size)
        np.testing.assert_array_equal(found, kept_positions(run))
        assert facts["task"] == "trec6" and facts["data_checksum"] == table.set_index("key").loc[runs.key(run), "data_checksum"]


def test_a_score_table_has_the_mean_and_the_spread_of_its_runs():
    keys = next(keys for name, keys in released._scored(*stored_configs()).items() if "snips" in name)
    found, rows = released.score_table(keys).to_pandas(), store.published(keys)
    values = np.array([runs.score_values(runs.config(**rows[k]["config"]), "margin", "1ep") for k in keys])
    np.testing.assert_allclose(found["margin@1ep mean"], values.mean(0), rtol=2**-13)  # half of the last digit kept
    np.testing.assert_allclose(found["margin@1ep sd"], values.std(0, ddof=1), rtol=2**-7)
    np.testing.assert_array_equal(found["id"], store.arrays(keys[0])["ids"])


def stored_configs() -> tuple[dict, dict]:
    rows = store.published()
    return rows, {k: runs.config(**row["config"]) for k, row in rows.items()}


def test_score_tables_are_of_one_config_and_of_published_runs():
    groups = list(released._scored(*stored_configs()).values())
    with pytest.raises(InputError, match="more than their seed"):
        released.score_table([groups[0][0], groups[1][0]])
    with pytest.raises(InputError, match="not published"):
        released.score_table(["0" * 64])


def test_checksums_and_sizes_are_right_and_no_text_is_in_the_files():
    files = released.files()
    listed = released.index().set_index("file")
    assert set(listed.index) == set(files) - {"index.csv"}
    for name, row in listed.iterrows():
        assert (row["bytes"], row["sha256"]) == (len(files[name]), hashlib.sha256(files[name]).hexdigest())
        if name.endswith(".parquet"):
            assert not any("string" in str(field.type) for field in pq.read_schema(io.BytesIO(files[name])))
    assert sum(map(len, files.values())) < 8e6
    assert "index.csv" in downloads.linked().html and "el2n@POINT mean" in downloads.dictionary().text


def test_the_book_holds_the_files(tmp_path):
    (tmp_path / "source").mkdir()
    config: dict = {}
    render._release(paths.root(), tmp_path / "source", config)
    folder = tmp_path / "source" / config["sphinx"]["config"]["html_extra_path"][0] / "data"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == released.files() | {
        "claims.yml": (paths.root() / "claims.yml").read_bytes()}


def test_a_book_without_results_offers_nothing(tmp_path, monkeypatch):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "claims.yml").write_text("[]")
    monkeypatch.chdir(tmp_path)
    config: dict = {}
    render._release(tmp_path, tmp_path, config)
    assert released.files() == {} and released.index().empty
    assert [file.name for file in (tmp_path / "released" / "data").iterdir()] == ["claims.yml"]
