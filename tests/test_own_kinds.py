"""Everyday tables of a newcomer, by the kind of what went wrong with them: what is said, and what comes out."""

import json

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from test_own_cases import TOPICS, call, csv, made, refused, rows, score  # noqa: F401

from datadiet import tables
from datadiet.tables import labels, predicted

# --- Columns that are not found: the reason is named


def lines(made_of) -> str:
    """Objects as JSON lines."""
    return "".join(json.dumps(each) + "\n" for each in made_of)


SPREAD = [(q, *("1" if t == each else "0" for each in ("billing", "login", "shipping"))) for _, q, t in rows()]
SEVERAL = [(q, str(i % 2), str(i // 2 % 2)) for i, (_, q, _) in enumerate(rows())]


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("few.csv", csv([(*row[:2], row[0]) for row in rows(8)]), ["'topic' is named like one", "8 different values in 8 rows"]),
        ("a.jsonl", lines({"text": q, "label": [t]} for _, q, t in rows()), ["'label' holds a list (['billing'])"]),
        ("deep.jsonl", lines({"data": {"text": q}, "label": t} for _, q, t in rows()), ["data holds objects", "--text"]),
        (
            "same.csv",
            csv([(i, "the same words again", t) for i, _, t in rows()]),
            ["'question' is named like one", "1 different"],
        ),
        ("one.txt", "".join(f"__label__{t} {q}\n" for _, q, t in rows()), ["one column only", "--sep"]),
        (
            "spread.csv",
            csv(SPREAD, "text,billing,login,shipping"),
            ["could be billing, login, shipping", "a 1 in just one of them"],
        ),
        ("several.csv", csv(SEVERAL, "text,late,broken"), ["could be late, broken", "several in a row"]),
    ],
)
def test_why_no_column_was_taken(made, name, content, said):  # noqa: F811
    refused(score(made(name, content)), *said)


# --- Files of one JSON object, and lines of an array


@pytest.mark.parametrize(
    "whole, said",
    [
        ({"text": {"0": "a", "1": "b"}, "label": {"0": "x", "1": "y"}}, ["holds columns", "orient='records'"]),
        ({"text": ["a", "b"], "label": ["x", "y"]}, ["holds columns"]),
        ({"version": 2, "data": [{"text": "a"}, {"text": "b"}]}, ["2 objects in a list under 'data'"]),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_one_object_that_holds_a_table_is_named(made, name, whole, said):  # noqa: F811
    refused(score(made(name, json.dumps(whole))), *said)


def test_one_row_is_a_row(made, tmp_path):  # noqa: F811
    row = {"text": "a b", "label": "x", "tokens": ["a", "b"], "spans": [{"at": 0}]}
    assert tables.read(tmp_path / made("a.jsonl", json.dumps(row))).cells("label") == ["x"]


@pytest.mark.parametrize("indent", [None, 2])
def test_rows_of_an_array_are_named_by_their_line(made, tmp_path, indent):  # noqa: F811
    found = [{"question": q, "topic": t, "more": {"a": [1, 2]}} for _, q, t in rows()]
    text = json.dumps(found, indent=indent)
    table = tables.read(tmp_path / made("a.json", text))
    lines = [text.count("\n", 0, text.index(json.dumps(row["question"]))) + 1 for row in found]
    opening = [line - (indent is not None) for line in lines]  # the bracket stands a line above the first key
    assert [table.where(k) for k in range(len(found))] == [f"line {line}" for line in opening]


# --- Letters that no encoder reads


def test_half_a_character_is_scored_and_stays(made, tmp_path):  # noqa: F811
    typed = "".join(
        json.dumps({"question": "\ud83d" * (i == "00003") + q, "topic": t + "\ud83d" * (t == "login")}) + "\n"
        for i, q, t in rows()
    )
    result = score(made("a.jsonl", typed), "--report", "a.html")
    assert result.exit_code == 0, result.output
    out = (tmp_path / "a.scored.jsonl").read_text().splitlines()
    assert all(line.startswith(was[:-1]) for line, was in zip(out, typed.splitlines(), strict=True)) and "\\ud83d" in out[3]
    assert (tmp_path / "a.html").read_bytes().decode("utf-8")


@pytest.mark.parametrize("text", ["plain", "caf\u00e9", "\U0001f469\u200d\U0001f467 and", "\u05e9\u05dc\u05d5\u05dd", ""])
def test_whole_texts_stay(text):
    assert tables.table.whole(text) == text


# --- Classes: named alike everywhere, and what looks like a mistake


def test_suspicious_rows_name_the_class_as_the_list_does(made):  # noqa: F811
    typed = [(i, q, "login " if i == "00004" else t) for i, q, t in rows()]
    result = score(made("a.csv", csv(typed)))
    assert "'login ' 1" in result.stdout and "line 6: " in result.stdout
    assert next(line for line in result.stdout.splitlines() if "line 6: " in line).split(" | ")[1] == "'login '"
    made("b.jsonl", "".join(json.dumps({"question": q, "topic": int(i) % 2 == 0}) + "\n" for i, q, _ in rows()))
    shown = {line.split(" | ")[1] for line in score("b.jsonl").stdout.splitlines() if line.startswith("  line ")}
    assert shown <= {"true", "false"} and shown


def test_numbers_beside_the_same_numbers_as_texts_are_said(made, tmp_path):  # noqa: F811
    lines = [json.dumps({"question": q, "topic": str(k) if k == 5 else k % 3}) for k, (_, q, _) in enumerate(rows())]
    lines[6] = json.dumps({"question": "one more", "topic": "1"})
    found = tables.classes(tables.read(tmp_path / made("a.jsonl", "\n".join(lines))), "topic")
    assert "1 (int)" in found.names and found.warnings[0].startswith("'1 (int)': the same letters")


@pytest.mark.parametrize(
    "names, several",
    [
        (("a|b", "a|c", "b|c"), True),
        (("red;blue", "red;green", "blue;green", "other"), True),
        (("C++", "C", "Java"), False),
        (("Lima, PE", "Cusco, PE", "Quito, EC"), False),
        (("a,b", "c,d"), False),
    ],
)
def test_labels_put_together_are_said(names, several):
    said = labels.warnings(tuple(sorted(names)), np.full(len(names), 9))
    assert ["several labels" in each for each in said] == [True] * several


# --- Predictions made elsewhere


def predictions(k, n=300, seed=0):
    """Probabilities [n, k], and labels that agree with most of them."""
    draw = np.random.default_rng(seed)
    of, logits = draw.integers(0, k, n), draw.normal(size=(n, k))
    logits[np.arange(n), of] += 3
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), of


def groups_of(names, of):
    every = tuple(sorted(names))
    codes = np.array([every.index(names[c]) for c in of])
    return labels.Classes("gold", every, codes, np.bincount(codes, minlength=len(every)), ())


@pytest.mark.parametrize("k", [3, 12])
def test_an_array_in_the_order_of_numbers_is_found(made, tmp_path, k):  # noqa: F811
    probs, of = predictions(k)
    made("a.csv", csv([(str(c),) for c in of], "gold"))
    np.save("by_number.npy", probs)
    order = sorted(range(k), key=str)
    np.save("by_letter.npy", probs[:, order])
    groups = groups_of([str(c) for c in range(k)], of)
    for name in ("by_number.npy", "by_letter.npy"):
        found, said = predicted.probabilities(tables.read(tmp_path / "a.csv"), name, groups)
        np.testing.assert_array_equal(found, probs[:, order])
        assert ("order of their numbers (so" in said) == (k == 12 and name == "by_number.npy"), said


def test_columns_of_other_classes_are_refused(made, tmp_path):  # noqa: F811
    probs, of = predictions(4)
    names = ["spring", "autumn", "winter", "summer"]  # in the order of the model, not of the alphabet
    made("a.csv", csv([(names[c],) for c in of], "gold"))
    np.save("p.npy", probs)
    refused(
        call("score", "a.csv", "--probs", "p.npy", "--label", "gold"), "in the order spring, autumn, winter, summer it would be"
    )
    np.save("p.npy", probs[:, [names.index(name) for name in sorted(names)]])
    assert call("score", "a.csv", "--probs", "p.npy", "--label", "gold").exit_code == 0
    np.save("p.npy", np.random.default_rng(1).dirichlet(np.ones(4), len(of)))  # a model that knows nothing fits no order
    assert call("score", "a.csv", "--probs", "p.npy", "--label", "gold", "--out", "b.csv").exit_code == 0


def test_lists_names_in_capitals_and_blanks_behind_commas(made, tmp_path):  # noqa: F811
    probs, of = predictions(2)
    frame = pd.DataFrame({"gold": np.array(["no", "yes"])[of], "P_Yes": probs[:, 1], "P_No": probs[:, 0]})
    frame.assign(probs=list(probs)).to_parquet(tmp_path / "a.parquet")
    table, groups = tables.read(tmp_path / "a.parquet"), groups_of(["no", "yes"], of)
    for asked in ("P_*", "P_Yes, P_No", "probs"):
        np.testing.assert_array_equal(predicted.probabilities(table, asked, groups)[0], probs)


@pytest.mark.parametrize(
    "change, asked, said",
    [
        (lambda f: f.assign(p_no=f.p_no.where(f.index != 7, 0.9)), "p_*", ["1 row has numbers", "line 9", "the sum"]),
        (lambda f: f.assign(p_no=np.log(f.p_no), p_yes=np.log(f.p_yes)), "p_*", ["300 rows", "line 2", "softmax"]),
        (lambda f: f, "p_yes", ["1 column (p_yes) for 2 classes", "the second one minus the first"]),
        (lambda f: f.assign(p_maybe=0.0), "p_*", ["3 columns", "of classes that no row has"]),
        (lambda f: f.assign(gold=f.gold.where(f.index > 1, "maybe")), "p_*", ["for 3 classes", "empty the labels", "maybe 2"]),
        (lambda f: f, "other.csv", ["other.csv is a file, and no array"]),
        (lambda f: f, "*", ["every column but the label"]),
        (lambda f: f, "", ["--probs names nothing"]),
    ],
)
def test_predictions_that_do_not_fit_name_the_way_on(made, tmp_path, change, asked, said):  # noqa: F811
    probs, of = predictions(2)
    frame = pd.DataFrame({"gold": np.array(["no", "yes"])[of], "p_yes": probs[:, 1], "p_no": probs[:, 0]})
    change(frame).to_csv("a.csv", index=False)
    made("other.csv", "a\n1\n")
    result = call("score", "a.csv", "--probs", asked)
    assert result.exit_code == 2 and all(each in result.stderr for each in said), result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "other.csv"]


def test_predictions_of_rows_that_were_trained_on_and_equal_scores_are_said(made):  # noqa: F811
    _, of = predictions(2)
    made(
        "a.csv", csv([(["no", "yes"][c], *(("0.999", "0.001") if c == 0 else ("0.001", "0.999"))) for c in of], "gold,p_no,p_yes")
    )
    said = call("score", "a.csv", "--probs", "p_*").stdout
    assert "agree with 100.0% of the labels" in said and "290 rows more with the datadiet_el2n of the last" in said
    assert "little more than the class" not in said  # equal scores differ by rounding alone


# --- Pruning


def scored(n=60):
    """Rows whose hardest sixth is probably labelled wrong."""
    numbers = [(f"{i / n}", "0.9" if i >= n - n // 6 else "0.1") for i in range(n)]
    return csv(
        [(*row, *pair) for row, pair in zip(rows(n), numbers, strict=True)], "id,question,topic,datadiet_el2n,datadiet_wrong"
    )


def test_rows_that_are_kept_and_probably_wrong_are_counted(made):  # noqa: F811
    name = made("a.csv", scored())
    said = call("prune", name, "--keep", "0.5").stdout
    assert "Of the rows that are kept 33% are probably labelled wrong" in said and "of all 17%" in said
    for options in (["--rule", "easiest"], ["--rule", "random"], ["--drop-wrong", "0.5"]):
        assert "probably labelled wrong" not in call("prune", name, "--keep", "0.5", *options, "--force").stdout


@pytest.mark.parametrize(
    "share, said", [("30", "30 % is --keep 0.3"), ("0", "above 0 and at most 1."), ("nan", "--keep nan"), ("300", "most 1.")]
)
def test_a_share_in_per_cent_is_named(made, share, said):  # noqa: F811
    refused(call("prune", made("a.csv", scored()), "--keep", share), said)


# --- Files that are not there, folders of images, sentences in lines


def test_a_name_without_an_ending_may_be_a_file_that_is_not_there(made):  # noqa: F811
    refused(score("nothing"), "there is no file nothing")
    refused(score("nothing.xyz"), "there is no file nothing.xyz")
    refused(score(made("there.xyz", "a")), "ends in '.xyz'")


def test_sentences_in_lines_are_named(made):  # noqa: F811
    refused(score(made("a.txt", "fly\tO\nto\tO\nulm\tB-city\n\n" * 20)), "CoNLL", "--tokens")


def test_images_and_folders_that_are_left_out_are_said(tmp_path):
    for name in ("cat/1.png", "cat/old/2.png", "dog/1.png", "3.png", ".thumbs/4.png", "empty/notes.txt"):
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / name).touch()
    table = tables.read(tmp_path / "pets")
    assert table.cells("path") == ["cat/1.png", "dog/1.png"]
    elsewhere, files, empty = table.notes
    assert (
        "3 images in it (the first is .thumbs/4.png)" in elsewhere
        and "1 file in the folders" in files
        and "empty is no class" in empty
    )


@pytest.mark.parametrize("command, option", [("score", "--report"), ("score", "--probs"), ("score", "--out"), ("prune", "--out")])
def test_options_that_name_nothing_are_refused(made, command, option):  # noqa: F811
    refused(call(command, made("a.csv", scored()), option, ""), f"{option} names nothing")


# --- The report


def page(tmp_path, *options, name="a.csv"):
    encoder = [] if "--probs" in options else ["--encoder", "tiny"]
    result = call("score", name, *encoder, "--report", "r.html", "--force", *options)
    assert result.exit_code == 0, result.output
    return BeautifulSoup((tmp_path / "r.html").read_text(encoding="utf-8"), "html.parser")


def test_a_report_has_what_the_command_says_of_classes(made, tmp_path):  # noqa: F811
    made("a.csv", csv([(i, q, "login\u00a0" if int(i) % 9 == 4 else t) for i, q, t in rows()]))
    found = page(tmp_path, "--budget", "0.0001")
    assert "'login' and 'login\\xa0'" in found.select_one(".warn").text
    names = [each.text for each in found.select(".classes tbody th")]
    assert "login" in names and "'login\\xa0'" in names


def test_a_report_says_what_the_models_saw(made, tmp_path, monkeypatch):  # noqa: F811
    from datadiet.audit import trained

    monkeypatch.setattr(trained, "MOST_RUNS", 1)
    made("a.csv", csv(rows()))
    assert "accuracy out of fold" in page(tmp_path, "--budget", "0.0001").select_one(".facts").text
    seen = page(tmp_path, "--trained", "--budget", "10min")
    assert "agreement with the labels" in seen.select_one(".facts").text and "models that trained on the row" in seen.text
    assert "never saw" not in seen.text and "accuracy out of fold" not in seen.text
    made("p.csv", csv([(t, *(str(int(t == each)) for each in TOPICS)) for _, _, t in rows()], f"topic,{','.join(TOPICS)}"))
    given = page(tmp_path, "--probs", ",".join(TOPICS), name="p.csv")
    assert "must not have seen the row" in given.text and "never saw" not in given.text


def test_a_report_of_images_names_what_the_others_lack(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for i in range(24):
        place = tmp_path / "pets" / ("cat", "dog")[i % 2] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16), 40 + 120 * (i % 2) + i).save(place)
    (tmp_path / "pets" / "cat" / "broken.png").write_bytes(b"\x89PNG")
    assert call("score", "pets", "--budget", "10s", "--report", "r.html").exit_code == 0
    found = BeautifulSoup((tmp_path / "r.html").read_text(encoding="utf-8"), "html.parser")
    assert "24 of 25; the others have no image that can be read" in " ".join(found.select_one(".facts").text.split())


# --- Another kind of file


def test_numbers_of_32_bits_keep_their_digits_in_a_text_file(tmp_path):
    seed = np.random.default_rng().integers(1_000_000)
    values = np.random.default_rng(seed).lognormal(0, 20, 200).astype(np.float32)
    values[:4] = 0.1, 1.5e-12, np.inf, -0.0
    frame = pd.DataFrame({"single": values, "half": np.float16([0.1] * 200), "double": [0.1 + 0.2] * 200})
    frame.to_parquet(tmp_path / "a.parquet")
    table = tables.read(tmp_path / "a.parquet")
    tables.like(table, tmp_path / "a.csv").write(tmp_path / "a.csv")
    again = pd.read_csv(tmp_path / "a.csv", dtype=str)
    assert again.iloc[0].tolist() == ["0.1", "0.1", "0.30000000000000004"] and again["single"][1] == "1.5e-12"
    assert (again["single"].astype(np.float32) == values).all(), f"seed {seed}"


def test_probabilities_that_are_empty_drop_nothing_in_silence(made):  # noqa: F811
    typed = csv([(*row, f"{i / 40}", "") for i, row in enumerate(rows())], "id,question,topic,datadiet_el2n,datadiet_wrong")
    name = made("a.csv", typed)
    refused(call("prune", name, "--drop-wrong", "0.5"), "datadiet_wrong is empty")
    said = call("prune", name, "--keep", "0.5").stdout
    assert "The 10 rows with the highest datadiet_el2n" in said and "20 of 40 rows kept" in said
