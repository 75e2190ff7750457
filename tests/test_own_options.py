"""Options of ``datadiet score`` and ``datadiet prune`` beside each other: what was asked for is done, or it is refused before."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_doors import call, refused

from datadiet import tables
from datadiet.audit import engine
from datadiet.tables import pruned

NAMES = ("cat", "cow", "dog")


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A table of 60 rows with probabilities of three classes, rounded so that their columns could be labels, at ``mine.csv``."""
    monkeypatch.chdir(tmp_path)
    given = np.arange(60) % 3
    probs = np.full((60, 3), 0.1)
    probs[np.arange(60), np.where(np.arange(60) % 4, given, (given + 1) % 3)] = 0.8
    columns = {"text": [f"a sentence with number {i}" for i in range(60)], "species": [NAMES[c] for c in given]}
    table = pd.DataFrame(columns | {f"p_{name}": probs[:, c] for c, name in enumerate(NAMES)})
    table.to_csv("mine.csv", index=False)
    return table


def test_a_report_does_not_replace_the_rows(mine):
    for out in (["--out", "mine.scored.html.csv", "--report", "./mine.scored.html.csv"], ["--report", "mine.scored.csv"]):
        refused(call("score", "mine.csv", "--probs", "p_*", *out, "--force"), "where the rows are written")


@pytest.mark.parametrize(
    "options, said",
    [
        (["--text-pair", "text"], "--text-pair does not go with --probs without --text"),
        (["--encoder", "minilm"], "--encoder does not go with --probs"),
        (["--text", "lists", "--report", "mine.html"], "holds a list in row 1"),
    ],
)
def test_options_that_would_be_ignored_or_fail_after_the_work(mine, options, said):
    mine.assign(lists=[["a"]] * 60).to_parquet("mine.parquet")
    refused(call("score", "mine.parquet", "--probs", "p_*", "--label", "species", *options), said)
    assert not list(Path().glob("*scored*"))


def test_columns_of_probabilities_are_no_label_beside_a_text_either(mine):
    result = call("score", "mine.csv", "--probs", "p_*", "--text", "text")
    assert result.exit_code == 0 and "the label 'species'" in result.stdout, result.output


def test_what_names_of_probabilities_end_with_alike_is_set_aside(mine):
    """A poor model, whose predictions agree no better with the labels in one order than in another."""
    poor = mine.rename(columns={f"p_{name}": f"{name}_prob" for name in NAMES})
    poor[["dog_prob", "cow_prob", "cat_prob"]] = poor[["cow_prob", "dog_prob", "cat_prob"]].to_numpy()
    poor.to_csv("poor.csv", index=False)
    result = call("score", "poor.csv", "--label", "species", "--probs", "dog_prob,cow_prob,cat_prob", "--score", "cross_entropy")
    assert "matched with classes by their names" in result.stdout, result.output
    scored = pd.read_csv("poor.scored.csv")
    own = [row[f"{row['species']}_prob"] for _, row in scored.iterrows()]
    np.testing.assert_allclose(scored["datadiet_cross_entropy"], -np.log(own))


def test_three_rows_give_no_warnings_of_numpy(mine):
    mine[:3].to_csv("three.csv", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = call("score", "three.csv", "--label", "species", "--probs", "p_*")
    assert result.exit_code == 0 and "3 rows scored" in result.stdout, (result.output, result.exception)


def test_a_rare_class_that_is_learned_is_learned():
    """One row in a hundred is spam: models that are right in 99.9 % need not have seen the rows, and have learned something."""
    given = np.repeat([0, 1], [1188, 12])
    right = np.where(given == 1, 0.97, 0.01)
    right[-1] = 0.2
    for spam, learned in ((right, True), (np.full(1200, 0.01), False)):
        said = " ".join(engine.of_probs(np.stack([1 - spam, spam], 1), given, ("ham", "spam"), np.arange(1200)).warnings)
        assert ("have not learned" not in said) == learned and "that trained on these rows" not in said


# --- Pruning


def table(**columns):
    """40 rows with two columns of classes, EL2N, and the probability that the label is wrong, which the first four lack."""
    doubt = [np.nan if i < 4 else i / 40 for i in range(40)]
    rows = {"topic": ["a", "b"] * 20, "lang": ["en"] * 30 + ["de"] * 10, "datadiet_el2n": doubt, "datadiet_wrong": doubt}
    pd.DataFrame(rows | columns).to_csv("mine.csv", index=False)
    return tables.read("mine.csv")


def test_unscored_rows_are_dropped_where_only_wrong_ones_go_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept, dropped = (pruned.rows(table(), drop_wrong=0.5, unscored=each) for each in ("keep", "drop"))
    assert kept.positions.tolist() == list(range(21)) and "4 rows have no score: kept" in kept.said[1]
    assert dropped.positions.tolist() == list(range(4, 21)) and "4 rows have no score: dropped" in dropped.said[1]
    refused(call("prune", "mine.csv", "--drop-wrong", "0", "--unscored", "drop"), "no row would be left")


@pytest.mark.parametrize("option", [("--rule", "easiest"), ("--offset", 0.1), ("--balanced", "topic"), ("--score", "lang")])
def test_what_says_which_share_needs_a_share(tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    table()
    refused(call("prune", "mine.csv", "--drop-wrong", 0.5, *option), f"{option[0]} says", "add --keep")


def test_classes_that_are_balanced_need_not_be_those_that_are_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = pruned.rows(table(), keep=0.5, balanced="topic", label="lang", unscored="drop")
    assert done.positions.tolist() == pruned.rows(table(), keep=0.5, balanced="topic", unscored="drop").positions.tolist()
    said = "\n".join(done.said)
    assert "  en: 30 -> 8" in said and "--balanced lang keeps them" in said


def test_the_score_of_tokens_with_tags_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = table(datadiet_tags=["O O"] * 40, datadiet_word=[1] * 40, datadiet_runs=[6] * 40)
    assert pruned.score_column(made) == "datadiet_el2n"


def test_infinite_scores_throughout_are_said_to_be_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = " ".join(pruned.rows(table(forgetting=["inf"] * 40), "forgetting", keep=0.5).said)
    assert "All 40 rows have the same forgetting" in said


def test_lists_in_a_text_file_are_lists(mine):
    """As pandas writes them; as numpy prints them they are refused with a word."""
    probs = mine[[f"p_{name}" for name in NAMES]].to_numpy()
    mine.assign(all=probs.tolist()).to_csv("lists.csv", index=False)
    for file, asked in (("lists.csv", "all"), ("mine.csv", "p_*")):
        assert call("score", file, "--label", "species", "--probs", asked, "--score", "el2n").exit_code == 0
    one, other = (pd.read_csv(f"{name}.scored.csv")["datadiet_el2n"] for name in ("lists", "mine"))
    np.testing.assert_array_equal(one, other)
    mine.assign(all=list(probs)).to_csv("lists.csv", index=False)
    refused(call("score", "lists.csv", "--label", "species", "--probs", "all", "--force"), "no list as JSON has it", "0.25, 0.75")


def test_a_score_of_minus_infinity_is_named_by_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text("id,s\n0,\n1,\n2,0.5\n3,-inf\n")
    refused(call("prune", "mine.csv", "--score", "s", "--keep", "0.5"), "1 row has the score -inf", "line 5")


@pytest.mark.parametrize("command", [("prune", "--keep", "0.5", "--score"), ("score", "--probs", "p_*", "--label")])
def test_how_a_file_was_read_is_said_where_a_column_is_not_found(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_bytes("題,点数\n表,0.5\n表,0.7\n".encode("shift_jis"))
    result = call(command[0], "mine.csv", *command[1:], "点数")
    refused(result, "column '点数'")
    assert "name the encoding with --encoding" in result.stdout


def test_a_separator_that_is_not_found_is_asked_for(mine):
    mine.to_csv("caret.csv", index=False, sep="^")
    asked = ("score", "caret.csv", "--label", "species", "--probs", "p_*")
    refused(call(*asked), "name their separator with --sep")
    assert call(*asked, "--sep", "^").exit_code == 0


def test_per_cent_in_place_of_probabilities_drop_nothing_in_silence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table(datadiet_wrong=[100 * i / 40 for i in range(40)])
    refused(call("prune", "mine.csv", "--drop-wrong", "0.5"), "39 rows have no probability in datadiet_wrong", "line 3, with 2.5")


@pytest.mark.parametrize("command", [("score",), ("prune", "--keep", "0.5")])
def test_a_file_without_a_name_is_not_the_folder_one_is_in(mine, command):
    refused(call(command[0], "", *command[1:]), "file names nothing")


# --- Predictions, shares and reports that would be read as something else


def test_columns_of_which_some_are_named_as_classes_are_refused(mine):
    """Too few rows to see another order by the labels: p_dog would have been the class cat."""
    odd = mine.rename(columns={"p_cow": "p_cwo"})[["text", "species", "p_dog", "p_cat", "p_cwo"]]
    odd.iloc[:24].to_csv("odd.csv", index=False)
    refused(call("score", "odd.csv", "--label", "species", "--probs", "p_*"), "but not p_cwo; the classes are cat, cow, dog")
    mine.set_axis(["text", "species", "p_1", "p_2", "p_3"], axis=1).to_csv("none.csv", index=False)
    assert "p_1 is cat" in call("score", "none.csv", "--label", "species", "--probs", "p_*").stdout


def test_a_star_may_stand_in_front(mine):
    mine.rename(columns={f"p_{name}": f"{name}_prob" for name in NAMES}).to_csv("ends.csv", index=False)
    result = call("score", "ends.csv", "--label", "species", "--probs", "*_prob")
    assert result.exit_code == 0 and "matched with classes by their names" in result.stdout, result.output
    refused(call("score", "ends.csv", "--label", "species", "--probs", "*_p", "--force"), "no column is named as '*_p' says")


def test_one_class_is_said_before_its_columns_are_counted(mine):
    mine.assign(species="cat").to_csv("one.csv", index=False)
    result = call("score", "one.csv", "--label", "species", "--probs", "p_*")
    refused(result, "holds one class only")
    assert "1 class in 'species': cat 60." in result.stdout


def test_a_report_does_not_replace_the_predictions(mine):
    np.save("probs.npy", mine[[f"p_{name}" for name in sorted(NAMES)]].to_numpy())
    seen = Path("probs.npy").read_bytes()
    for asked in ("probs.npy", "./probs.npy"):
        result = call("score", "mine.csv", "--label", "species", "--probs", "probs.npy", "--report", asked, "--force")
        refused(result, "is where the predictions are read")
    assert Path("probs.npy").read_bytes() == seen and not Path("mine.scored.csv").exists()


def test_what_is_no_array_names_the_way_to_one(mine):
    np.save("probs.npy", np.array([[0.5, None]], object))
    refused(call("score", "mine.csv", "--label", "species", "--probs", "probs.npy"), "save it with numpy.save, as numbers")


@pytest.mark.parametrize("option", ["--keep", "--drop-wrong", "--offset"])
@pytest.mark.parametrize("value", ["70%", "0,7", "most"])
def test_shares_that_are_no_numbers_are_refused(mine, option, value):
    refused(call("prune", "mine.csv", option, value), f"{value!r} is no share", "such as 0.7 for 70 %")


def test_a_probability_in_per_cent_is_named(mine):
    mine.assign(datadiet_wrong=0.5).to_csv("scored.csv", index=False)
    refused(call("prune", "scored.csv", "--drop-wrong", "50"), "50 % is --drop-wrong 0.5")


# --- Objects and arrays of which a part would not be read


def test_a_key_that_is_named_twice_is_refused(mine):
    line = '{"text": "a", "species": "cat", "more": {"k": 1, "k": 2}}'
    twice = f'{line}\n{line[:-1]}, "species": "dog"}}\n', f'[{line},\n{line[:-1]}, "text": 1}}]'
    for name, content in zip(("a.jsonl", "a.json"), twice, strict=True):
        Path(name).write_text(content)
        refused(call("score", name), f"line 2 of {name} names {'species' if name == 'a.jsonl' else 'text'!r} twice")
    Path("b.jsonl").write_text(f"{line}\n")
    assert len(tables.read(Path("b.jsonl"))) == 1  # within a value nothing is read


@pytest.mark.parametrize("more", ['[{"text": "b"}]', '{"text": "b"}', "]"])
def test_what_stands_behind_an_array_is_not_lost(mine, more):
    Path("a.jsonl").write_text('[{"text": "a"}]\n' + more + "\n")
    refused(call("score", "a.jsonl"), "goes on behind the array that ends in line 1")


def test_one_object_is_named_where_its_columns_are_asked_for(mine):
    Path("a.json").write_text(mine.to_json())
    refused(call("score", "a.json", "--label", "species", "--probs", "p_*"), "holds columns", "orient='records'")
    Path("b.json").write_text('{"data": ' + mine.to_json(orient="records") + "}")
    refused(call("score", "b.json", "--label", "species", "--probs", "p_*"), "60 objects in a list under 'data'")
