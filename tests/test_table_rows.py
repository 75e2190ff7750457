"""Classes as they were typed, columns that are found or asked for, rows that are kept, and what is said about all that."""

import json

import numpy as np
import pytest
from test_table_files import file, saved  # noqa: F401

from datadiet import prune, tables
from datadiet.errors import InputError
from datadiet.tables import guess, labels, pruned


@pytest.fixture
def table(file):  # noqa: F811
    """A function: columns -> a table read from a text file of them, or from JSON lines."""

    def made(kind="csv", **columns):
        rows = list(zip(*columns.values(), strict=True))
        if kind == "jsonl":
            lines = [json.dumps(dict(zip(columns, row, strict=True))) for row in rows]
            return tables.read(file("\n".join(lines), "mine.jsonl"))
        return tables.read(file("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n"))

    return made


WORDS = ["the payment did not go through", "I cannot sign in any more", "the box was left outside again"]


def rows(n=60, **columns):
    return {
        "id": [f"{i:05d}" for i in range(n)],
        "question": [f"{WORDS[i % 3]} {i}" for i in range(n)],
        "topic": [("billing", "login", "shipping")[i % 3] for i in range(n)],
    } | columns


# --- Classes


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_codes_and_words_for_nothing_are_classes(table, kind):
    """Case 12: 01 is not 1; NA and None are words; a blank cell alone is no label."""
    labels = ["01", "1", "2", "NA", "None", "", "  ", "01", "nan", "1 "]
    found = tables.classes(table(kind, text=list("abcdefghij"), y=labels), "y")
    assert found.names == ("01", "1", "1 ", "2", "NA", "None", "nan") and (found.of < 0).sum() == 2
    assert [found.names[c] for c in found.of if c >= 0] == [label for label in labels if label.strip()]
    assert found.counts.tolist() == [2, 1, 1, 1, 1, 1, 1]
    assert "'01' and '1' and '1 '" in found.warnings[0] and "'NA', 'None', 'nan' are classes" in found.warnings[2]
    assert str(found).startswith("7 classes in 'y': 01 2, 1 1, '1 ' 1") and "2 rows have no label" in str(found)


def test_numbers_and_booleans_of_json_keep_their_names(table):
    found = tables.classes(table("jsonl", y=[True, False, 1, 1.0, "1", None, float("nan"), 0]), "y")
    assert found.names == ("0", "1", "1 (int)", "1.0", "false", "true") and found.of.tolist() == [5, 4, 2, 3, 1, -1, -1, 0]


@pytest.mark.parametrize("label", [["a", "b"], {"a": 1}])
def test_lists_of_labels_are_refused(table, label):
    with pytest.raises(InputError, match=f"holds a {type(label).__name__} in line 2"):
        tables.classes(table("jsonl", y=["a", label]), "y")


def test_lists_written_as_text_are_refused(table):
    with pytest.raises(InputError, match="lists written as text"):
        tables.classes(table("jsonl", y=["['a', 'b']", '["a", "c"]', "a"]), "y")


@pytest.mark.parametrize(
    "names, alike",
    [
        (("login", "Login", "log in", "login "), True),
        (("caf\u00e9", "cafe\u0301"), True),
        (("a\u00a0b", "a b"), True),
        (("a\u200b", "a"), True),
        (("007", "7"), True),
        (("1.0", "1"), True),
        (("-1", "1"), False),
        (("a-b", "ab"), False),
        (("10", "1"), False),
        (("C++", "C"), False),
        (("0", "00"), True),
        (("1.5", "1.50"), False),
    ],
)
def test_names_that_look_alike(names, alike):
    said = labels.warnings(tuple(sorted(names)), np.full(len(names), 9))
    assert [("kept apart" in each) for each in said] == [True] * alike


def test_what_looks_like_a_mistake_in_counts():
    (one,) = labels.warnings(("a", "b", "rare"), np.array([20, 20, 1]))
    assert one.startswith("1 class has one row only (rare)")
    assert "200 classes in 400 rows" in labels.warnings(tuple(f"c{i}" for i in range(200)), np.full(200, 2))[0]
    assert "several labels in one cell" in labels.warnings(("a", "a,b", "b"), np.full(3, 5))[0]
    assert labels.warnings(("neg", "pos"), np.array([20, 20])) == []


def test_a_long_list_of_classes_is_cut(table):
    said = str(tables.classes(table(y=[f"c{i // 2:02d}" for i in range(60)], z=["x"] * 60), "y"))
    assert "c00 2" in said and "and 10 more" in said


@pytest.mark.parametrize("cell", [["a", "b"], {"a": 1}])
def test_texts_are_texts(table, cell):
    made = table("jsonl", text=["a b", 1.5, None, " ", ""], tokens=["a", cell, "b", "c", "d"])
    assert tables.texts(made, "text") == ["a b", "1.5", None, None, None]
    with pytest.raises(InputError, match=f"text column 'tokens' holds a {type(cell).__name__} in line 2"):
        tables.texts(made, "tokens")


# --- Columns


def test_columns_are_found_and_said(table):
    found = guess.columns(table(**rows()))
    assert (found.text, found.label, found.text_pair) == ("question", "topic", None)
    assert found.said.startswith("Columns found: the text 'question', the label 'topic'.")
    assert guess.columns(table(**rows()), "id", "topic") == guess.Guess("id", "topic", None, "")


def test_pairs_are_found(table):
    data = rows()
    found = guess.columns(table(Premise=data["question"], hypothesis=data["question"][::-1], gold=data["topic"]))
    assert (found.text, found.text_pair, found.label) == ("Premise", "hypothesis", "gold")


def test_what_datadiet_wrote_is_no_candidate(table):
    data = rows()
    found = guess.columns(table(**data, datadiet_class=data["topic"], datadiet_el2n=[0.5] * 60))
    assert (found.text, found.label) == ("question", "topic")


@pytest.mark.parametrize(
    "change, options, message",
    [
        (
            {
                "question": ["x y"] * 60,
                "one": [f"a text of words {i}" for i in range(60)],
                "two": [f"some other text {i}" for i in range(60)],
            },
            {"label": "topic"},
            "text could be one, two; name one with --text",
        ),
        ({"sort": ["a", "b"] * 30, "topic": ["c", "d"] * 30}, {}, None),
        (
            {"sort": ["a", "b"] * 30, "topic": ["c", "d"] * 30, "class": ["e", "f"] * 30},
            {},
            "label could be topic, sort, class; name one",
        ),
        ({"question": list(range(60))}, {}, "no column looks like the text; name it with --text"),
        ({"topic": [f"t{i}" for i in range(60)]}, {}, "no column looks like the label"),
        ({}, {"text": "questoin"}, "no text column 'questoin'; did you mean 'question'"),
    ],
)
def test_columns_are_asked_for_where_it_is_not_sure(table, change, options, message):
    made = table(**rows(**change))
    if message is None:
        assert guess.columns(made, **options).label == "topic"
    else:
        with pytest.raises(InputError, match=message):
            guess.columns(made, **options)


# --- Rows


def scored(n=60, **columns):
    return rows(n, datadiet_el2n=np.random.default_rng(0).permutation(n) / n, **columns)


def test_rows_are_kept_as_prune_says_and_the_end_is_named(table):
    data = scored()
    made = table(**data)
    for rule, said in (
        ("hardest", "highest datadiet_el2n"),
        ("easiest", "lowest datadiet_el2n"),
        ("middle", "in the middle"),
        ("random", "at random"),
        ("stratified", "all over the range"),
    ):
        done = pruned.rows(made, keep=0.3, rule=rule)
        assert done.positions.tolist() == prune.keep(data["datadiet_el2n"], 0.3, rule).tolist()
        assert said in done.said[0] and done.table.cells("id") == [data["id"][i] for i in done.positions]
        lines = saved(made).splitlines(keepends=True)
        assert saved(done.table) == b"".join([lines[0], *(lines[i + 1] for i in done.positions)])
    assert "easiest 10 % of them are skipped" in pruned.rows(made, keep=0.3, rule="easiest", offset=0.1).said[0]


def test_the_score_column_is_found_among_those_of_datadiet_score(table):
    data = scored(datadiet_wrong=[0.1] * 60, datadiet_class=["login"] * 60, datadiet_runs=[3] * 60)
    assert pruned.score_column(table(**data)) == "datadiet_el2n"
    del data["datadiet_el2n"]
    assert pruned.score_column(table(**data)) == "datadiet_wrong"
    for some, message in ((rows(), "no columns of scores"), (scored(datadiet_aum=[1] * 60), "2 columns of scores")):
        with pytest.raises(InputError, match=f"{message}.*--score"):
            pruned.score_column(table(**some))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_rows_without_a_score_are_kept_and_counted_or_dropped(table, kind):
    data = scored()
    empty = "" if kind == "csv" else None
    data["datadiet_el2n"] = [empty if i in (5, 50) else value for i, value in enumerate(data["datadiet_el2n"])]
    made = table(kind, **data)
    kept, dropped = pruned.rows(made, keep=0.5), pruned.rows(made, keep=0.5, unscored="drop")
    assert len(kept.table) == 31 and {5, 50} <= set(kept.positions) and "2 rows have no score: kept" in kept.said[1]
    assert set(kept.positions) - {5, 50} == set(dropped.positions) and "2 rows have no score: dropped" in dropped.said[1]


def test_wrong_rows_are_dropped_first(table):
    data = scored(datadiet_wrong=[0.9 if i < 6 else "" if i == 7 else 0.2 for i in range(60)])
    made = table(**data)
    alone = pruned.rows(made, drop_wrong=0.5)
    assert alone.positions.tolist() == list(range(6, 60)) and "(datadiet_wrong): 6." in alone.said[0]
    both = pruned.rows(made, drop_wrong=0.5, keep=0.5)
    rest = np.arange(6, 60)
    assert both.positions.tolist() == rest[prune.keep(np.array(data["datadiet_el2n"])[6:], 0.5)].tolist()
    assert "line 2: 0.9 | dropped | billing | the payment" in alone.said[-1] and alone.said[-1].count("\n") == 11
    more = "and 49 rows more with the datadiet_wrong of the last, below it by the order of the file alone"
    assert alone.said[-1].endswith(more)


def test_blanks_in_the_balanced_column_are_one_paragraph(table):
    """Case 14; a row without a score needs no class."""
    data = scored()
    data["topic"] = ["" if i % 10 == 0 else value for i, value in enumerate(data["topic"])]
    with pytest.raises(InputError, match="6 rows have no class in 'topic' \\(the first is line 2\\)"):
        pruned.rows(table(**data), keep=0.5, balanced="topic")
    data["datadiet_el2n"] = ["" if i % 10 == 0 else value for i, value in enumerate(data["datadiet_el2n"])]
    done = pruned.rows(table(**data), keep=0.5, balanced="topic")
    assert len(done.table) == 27 + 6 and "  no class: 6 -> 6" in "".join(done.said)


def test_classes_before_and_after_and_those_that_are_lost(table):
    """Case 31: a class of one row goes, and that is said."""
    data = scored()
    data["topic"][0] = "rare"
    data["datadiet_el2n"][0] = -1
    said = "\n".join(pruned.rows(table(**data), keep=0.4, balanced="topic").said)
    assert "  rare: 1 -> 0" in said and "no row is kept of 1 class (rare)" in said and "  login: 20 -> 8" in said
    assert "--balanced" not in said


def test_shares_that_move_call_for_balanced(table):
    data = scored()
    data["datadiet_el2n"] = [0.9 if topic == "login" else 0.1 for topic in data["topic"]]
    said = "\n".join(pruned.rows(table(**data), keep=0.5).said)
    assert "login from 33 % to 67 %. --balanced topic keeps them" in said
    assert "have moved" not in "\n".join(pruned.rows(table(**data), keep=0.5, balanced="topic").said)


@pytest.mark.parametrize("others", [{}, {"tag": [f'"[{i % 2}, 2]"' for i in range(60)]}])
def test_a_table_without_a_label_is_pruned_and_that_is_said(table, others):
    data = scored(**others)
    del data["topic"]
    assert any("No column looks like the label" in each for each in pruned.rows(table(**data), keep=0.5).said)


@pytest.mark.parametrize(
    "column, options, message",
    [
        ("s", {}, "no score column 's'"),
        ("topic", {}, "holds 'billing' in line 2, not numbers"),
        ("comma", {}, "holds '1_0' in line 2, not numbers"),
        ("empty", {}, "no number in any of 60 rows"),
        ("id", {"keep": 1.5}, "1.5"),
        ("id", {"keep": None}, "give --keep"),
        ("id", {"balanced": "sort"}, "no label column 'sort'"),
        ("id", {"unscored": "ignore"}, "choose keep or drop"),
        ("id", {"drop_wrong": 0.5}, "reads the column datadiet_wrong"),
        ("id", {"drop_wrong": 2}, "a probability from 0 to 1"),
        ("id", {"rule": "hard"}, "'hard'"),
    ],
)
def test_pruning_that_cannot_be(table, column, options, message):
    with pytest.raises(InputError, match=message):
        pruned.rows(table(**rows(comma=["1_0"] * 60, empty=[""] * 60)), column, **{"keep": 0.5} | options)
    with pytest.raises(InputError, match="would drop all"):
        pruned.rows(table(**scored(datadiet_wrong=[0.9] * 60)), drop_wrong=0.5)
