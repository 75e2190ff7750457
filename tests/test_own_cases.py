"""Forty public reports, as commands: what the command line says of small tables like theirs, and that they come back whole.

Each case is named by its number in the list of reports; the inputs are made here.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from datadiet import cli

ASKED = ["the payment did not go through", "I cannot sign in any more", "the box was left outside again"]
TOPICS = ["billing", "login", "shipping"]


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A function: name, content -> a file in the working directory."""
    monkeypatch.chdir(tmp_path)

    def make(name, content):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    return make


def call(*arguments):
    return CliRunner().invoke(cli.main, [str(each) for each in arguments])


def score(name, *options):
    return call("score", name, "--encoder", "tiny", "--budget", "0.0001", *options)


def refused(result, *said):
    assert result.exit_code == 2 and isinstance(result.exception, SystemExit), (result.output, result.exception)
    message = result.stderr.strip()
    assert "\n" not in message and "Traceback" not in message
    for each in said:
        assert each in message, message


def rows(n=40, topics=TOPICS, text="{} ticket {}"):
    return [(f"{i:05d}", text.format(ASKED[i % 3], i), topics[i % len(topics)]) for i in range(n)]


def csv(found, names="id,question,topic", sep=",", end="\n"):
    return end.join([names.replace(",", sep), *(sep.join(row) for row in found)]) + end


def begins_as(out: bytes, content: bytes, end=b"\n") -> bool:
    """Whether every line of a result begins with the line that was typed."""
    lines, typed = out.split(end), content.split(end)
    return len(lines) == len(typed) and all(line.startswith(was) for line, was in zip(lines, typed, strict=True))


TYPED = "NA None null n/a TRUE 0.10 1e5 12345678901234567891 001 2024-01-02 12:30 1,5".replace("1,5", "1.50").split()


@pytest.mark.parametrize(
    "name, content",
    [
        (
            "01-long-ids.csv",
            csv([(f"13448001175712000{i:02d}", *row[1:]) for i, row in enumerate(rows())]).replace("20003", "", 1),
        ),
        ("01-bom.csv", b"\xef\xbb\xbf" + csv(rows()).encode()),
        ("02-semicolon.csv", csv(rows(), sep=";")),
        ("02-tab.csv", csv(rows(), sep="\t")),
        ("03-latin1.csv", csv(rows(text="{} café {}")).encode("latin-1")),
        ("06-bool.csv", csv(rows(topics=["TRUE", "FALSE"]))),
        ("09-crlf.CSV", csv(rows(), end="\r\n")),
        ("11-types.csv", csv([(*row, TYPED[i % len(TYPED)]) for i, row in enumerate(rows())], "id,question,topic,extra")),
        ("12-codes.csv", csv(rows(topics=["01", "1", "2"]))),
        ("12-words.csv", csv(rows(topics=["NA", "None", "null"]))),
    ],
)
def test_a_scored_table_begins_as_it_was_typed(made, tmp_path, name, content):
    name = made(name, content)
    result = score(name, "--text", "question", "--label", "topic")
    assert result.exit_code == 0, result.output
    refused(score(name, "--text", "question", "--label", "topic"), "there already", "--force")
    scored = next(path for path in tmp_path.iterdir() if ".scored." in path.name)
    typed = (tmp_path / name).read_bytes()
    end = b"\r\n" if b"\r\n" in typed else b"\n"
    assert begins_as(scored.read_bytes(), typed, end)
    result = call("prune", scored.name, "--keep", "0.5")
    assert result.exit_code == 0 and "20 of 40 rows kept" in result.stdout
    kept = next(path for path in tmp_path.iterdir() if ".kept." in path.name).read_bytes().split(end)
    assert set(kept) <= set(scored.read_bytes().split(end)) and len(kept) == 22


def test_classes_are_printed_with_counts_and_warnings(made):
    result = score(made("a.csv", csv([*rows(topics=["01", "1", "2"]), ("x", "one more thing", "rare")])))
    assert "Columns found: the text 'question', the label 'topic'." in result.stdout
    assert "4 classes in 'topic': 01 14, 1 13, 2 13, rare 1." in result.stdout and "'01' and '1'" in result.stdout
    assert "1 class has one row only (rare)" in result.stdout
    assert result.stdout.count(" | ") == 20 and "higher = harder" in result.stdout


@pytest.mark.parametrize(
    "name, content, options, said",
    [
        ("03-extra.csv", "question,topic\n" + "hello, it is so,billing\n" * 9, [], ["line 2", "3 cells under 2 names", "quotes"]),
        (
            "13-double.csv",
            "text,text,label\n" + "a,b c d,x\n" * 9,
            ["--text", "text", "--label", "label"],
            ["2 columns are named 'text'"],
        ),
        ("13-found.csv", "text,text,label\n" + "a,b c d,x\na,e f g,y\n" * 9, [], ["text stands over several columns"]),
        (
            "labels.jsonl",
            '{"text": "a b c", "y": ["a", "b"]}\n' * 9,
            ["--text", "text", "--label", "y"],
            ["holds a list in line 1"],
        ),
        ("one.csv", csv(rows(topics=["billing"])), ["--text", "question", "--label", "topic"], ["one class only"]),
        ("empty.csv", "text,label\n", [], ["no rows"]),
        ("blank.csv", csv(rows(topics=[""])), ["--text", "question", "--label", "topic"], ["empty in all 40 rows"]),
        ("taken.csv", csv([(*row, "1") for row in rows()], "id,question,topic,datadiet_el2n"), [], ["'datadiet_el2n' already"]),
        ("unsure.csv", csv([(a, "x y", "y x") for a, _, _ in rows()]), [], ["no column looks like the text", "--text"]),
    ],
)
def test_bad_tables_are_one_paragraph(made, tmp_path, name, content, options, said):
    refused(score(made(name, content), *options), *said)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_case_05_a_trailing_comma(made, tmp_path):
    result = score(made("a.csv", "question,topic\n" + "".join(f"{q},{t},\n" for _, q, t in rows())))
    assert result.exit_code == 0 and "ends in a separator" in result.stdout
    assert pd.read_csv(tmp_path / "a.scored.csv").columns.tolist()[:2] == ["question", "topic"]


def test_case_08_and_20_rows_without_a_text_stay_and_are_counted(made, tmp_path):
    holes = [(i, "  " if i == "00003" else "" if i == "00007" else q, t) for i, q, t in rows()]
    result = score(made("a.csv", csv(holes)))
    assert result.exit_code == 0 and "38 rows scored" in result.stdout and "2 rows have no text or no label" in result.stdout
    lines = (tmp_path / "a.scored.csv").read_text().splitlines()
    assert lines[4] == "00003,  ,shipping,,,,".replace("shipping", holes[3][2]) and lines[8].endswith(",,")
    made("b.jsonl", "".join(json.dumps({"question": q or None, "topic": t}) + "\n" for _, q, t in holes))
    result = score("b.jsonl")
    assert result.exit_code == 0 and "38 rows scored" in result.stdout
    line = (tmp_path / "b.scored.jsonl").read_text().splitlines()[3]
    assert line.endswith('"datadiet_wrong": null, "datadiet_class": null, "datadiet_runs": null}')
    result = call("prune", "b.scored.jsonl", "--keep", "0.5")
    assert "2 rows have no score: kept" in result.stdout and "21 of 40 rows kept" in result.stdout


def test_case_10_our_own_output_is_read_again(made):
    made("a.csv", csv(rows(60, text="{}\rsecond {}")))
    assert score("a.csv").exit_code == 0
    result = call("prune", "a.scored.csv", "--keep", "0.9", "--rule", "easiest")
    assert result.exit_code == 0 and "54 of 60 rows kept" in result.stdout and "easiest rows are kept" in result.stdout


def test_case_15_the_index_of_a_parquet_file_stays(made, tmp_path):
    frame = pd.DataFrame(rows(), columns=["id", "question", "topic"]).set_index("id")
    frame.to_parquet(tmp_path / "a.parquet")
    made("unused", "")
    assert score("a.parquet").exit_code == 0
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.scored.parquet")[frame.columns], frame)


def test_case_16_what_cannot_be_written_is_found_before_the_work(made, monkeypatch):
    from datadiet.audit import trained

    monkeypatch.setattr(trained, "score", lambda *args, **options: pytest.fail("the work was begun"))
    lines = [json.dumps({"question": q, "topic": t, "mixed": 1 if i == "00001" else "x"}) for i, q, t in rows()]
    name = made("a.jsonl", "\n".join(lines))
    made("there.jsonl", "")
    for out, said in (
        ("out.parquet", "'mixed' have no one type"),
        ("/proc/x.jsonl", "nothing can be written"),
        ("no/x.jsonl", "no folder no"),
        ("there.jsonl", "there already"),
        ("a.jsonl", "name another file"),
        ("x.xlsx", "no workbook is written; name a .csv file"),
    ):
        refused(score(name, "--out", out), said)


def test_case_14_and_31_pruning(made):
    scores = [f"{i * 7 % 40 / 40}" for i in range(40)]
    typed = [(*row, s) for row, s in zip(rows(), scores, strict=True)]
    blanks = [(i, q, "" if int(i) < 6 else t, s) for i, q, t, s in typed]
    name = made("a.csv", csv(blanks, "id,question,topic,hardness"))
    refused(call("prune", name, "--keep", "0.5", "--score", "hardness", "--balanced", "topic"), "6 rows have no class in 'topic'")
    rare = [(i, q, "rare" if i == "00000" else t, s) for i, q, t, s in typed]
    name = made("b.csv", csv(rare, "id,question,topic,hardness"))
    result = call("prune", name, "--keep", "0.3", "--score", "hardness", "--balanced", "topic")
    assert result.exit_code == 0 and "no row is kept of 1 class (rare)" in result.stdout and "  rare: 1 -> 0" in result.stdout


def test_wrong_rows_are_dropped(made):
    typed = [(*row, "0.9" if i < 4 else "0.1") for i, row in enumerate(rows())]
    name = made("a.csv", csv(typed, "id,question,topic,datadiet_wrong"))
    result = call("prune", name, "--drop-wrong", "0.5")
    assert result.exit_code == 0 and "36 of 40 rows kept" in result.stdout and "line 2: 0.9 | dropped" in result.stdout
    refused(call("prune", name, "--out", "b.csv"), "give --keep")


def test_a_full_disk_leaves_nothing(made, tmp_path):
    """A limit on the size of files stands in for the disk's."""
    name = made("a.csv", csv([(*row, "0.5") for row in rows(4000)], "id,question,topic,datadiet_el2n"))
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "from datadiet import cli; cli.main(sys.argv[1:])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, "prune", name, "--keep", "0.9"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert ran.returncode == 2 and "could not be written" in ran.stderr and "Nothing was left behind" in ran.stderr, ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_predictions_made_elsewhere_and_a_report(made, tmp_path):
    made("p.csv", "id,topic,p_login,p_billing\n" + "".join(
        f"{i:03d},{('login', 'billing')[i % 2]},{0.9 if i % 2 == 0 else 0.1},{0.1 if i % 2 == 0 else 0.9}\n" for i in range(40)))
    result = call(*["score", "p.csv", "--label", "topic", "--probs", "p_*", "--report", "p.html"])
    assert result.exit_code == 0 and "matched with classes by their names" in result.output, result.output
    scored = pd.read_csv(tmp_path / "p.scored.csv", dtype=str)
    assert (scored["datadiet_class"] == scored["topic"]).all() and scored["id"][0] == "000"
    page = (tmp_path / "p.html").read_text()
    assert page.startswith("<!doctype html>") and "datadiet score" in page and "p.csv" in page
    assert "there already" in call(*["score", "p.csv", "--probs", "p_*", "--out", "q.csv", "--report", "p.html"]).output


@pytest.mark.parametrize(
    "asked, message",
    [("p_login", "1 column (p_login)"), ("p_login,nope", "no probability column 'nope'"), ("p_login,topic", "give numbers"),
     ("none.npy", "there is no file"), ("wrong.npy", "has shape (3, 2)"), ("objects.npy", "could not be read")],
)  # fmt: skip
def test_predictions_that_do_not_fit_are_refused(made, tmp_path, asked, message):
    made("p.csv", "id,topic,p_login,p_billing\n" + "".join(f"{i:03d},{('login', 'billing')[i % 2]},0.5,0.5\n" for i in range(40)))
    np.save(tmp_path / "wrong.npy", np.full((3, 2), 0.5))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    result = call(*["score", "p.csv", "--label", "topic", "--probs", asked])
    assert result.exit_code == 2 and message in result.output, result.output
    assert not (tmp_path / "p.scored.csv").exists()


@pytest.mark.parametrize(
    "options, said",
    [
        (["--text", "topic", "--label", "topic"], ["'topic' is named twice", "meaningless"]),
        (["--text", "question", "--text-pair", "question", "--label", "topic"], ["'question' is named twice"]),
        (["--precision", "bfloat16"], ["--precision", "--trained"]),
        (["--report", "no/r.html"], ["--report: there is no folder no"]),
        (["--report", "a.csv"], ["--report: a.csv is the table that is read"]),
    ],
)
def test_what_means_nothing_is_refused_before_the_work(made, tmp_path, options, said):
    refused(score(made("a.csv", csv(rows())), *options), *said)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def predicted(change=lambda row, first, second: (first, second), topics=("login", "billing"), sep=","):
    """Predictions of 40 rows; `change` gives both cells of a row."""
    cells = [change(i, *(("0.9", "0.1") if i % 2 == 0 else ("0.1", "0.9"))) for i in range(40)]
    return csv([(f"{i:03d}", topics[i % 2], *pair) for i, pair in enumerate(cells)], "id,topic,p_login,p_billing", sep)


@pytest.mark.parametrize(
    "content, options, said",
    [
        (predicted(lambda i, a, b: ("" if i == 3 else a, b)), ["p_*"], ["1 row has a label but no probability", "line 5"]),
        (predicted(lambda i, a, b: ("nan" if i > 37 else a, b)), ["p_*"], ["2 rows have a label but no probability", "line 40"]),
        (predicted(lambda i, a, b: (str(100 * float(a)), str(100 * float(b)))), ["p_*"], ["sum to 100", "divide them by 100"]),
        (predicted(lambda i, a, b: (a.replace(".", ","), b.replace(".", ",")), sep=";"), ["p_*"], ["'0,1'", "decimal comma"]),
        (predicted(lambda i, a, b: ("90%", "10%")), ["p_*"], ["'10%'", "per cent"]),
        (predicted(lambda i, a, b: ("2.5", "-1.0")), ["p_*"], ["softmax"]),
        (predicted(), ["q_*"], ["no column is named as 'q_*' says", "id, topic, p_login, p_billing"]),
        (predicted(topics=("login", "login")), ["p_*"], ["no column looks like the label"]),
    ],
)
def test_predictions_that_are_none_name_the_cell_and_the_way_on(made, tmp_path, content, options, said):
    result = call("score", made("p.csv", content), "--probs", *options)
    assert result.exit_code == 2 and all(each in result.stderr for each in said), result.output
    assert "could be p_" not in result.stderr and [path.name for path in tmp_path.iterdir()] == ["p.csv"]


def test_a_row_without_a_label_needs_no_probability(made, tmp_path):
    result = call("score", made("p.csv", predicted(lambda i, a, b: ("", b) if i == 3 else (a, b)).replace("003,billing", "003,")),
                  "--probs", "p_*")  # fmt: skip
    assert result.exit_code == 0 and "39 rows scored" in result.stdout, result.output


@pytest.mark.parametrize("rule", ["hardest", "easiest", "middle"])
def test_scores_that_are_all_the_same_are_said(made, rule):
    name = made("a.csv", csv([(*row, "0.5") for row in rows()], "id,question,topic,hardness"))
    result = call("prune", name, "--keep", "0.5", "--score", "hardness", "--rule", rule)
    assert result.exit_code == 0 and "All 40 rows have the same hardness" in result.stdout and "--rule random" in result.stdout
    result = call("prune", name, "--keep", "1", "--score", "hardness", "--rule", rule, "--force")
    assert result.exit_code == 0 and "have the same" not in result.stdout


def test_a_decimal_comma_among_scores_is_named(made):
    name = made("a.csv", csv([(*row, "0,5") for row in rows()], "id,question,topic,hardness", sep=";"))
    refused(call("prune", name, "--keep", "0.5", "--score", "hardness"), "'0,5' in line 2", "decimal comma")


def test_lines_above_the_names_are_named(made):
    refused(score(made("a.csv", "# export\n" + csv(rows()))), "3 cells under 1 name (", "take away what stands above them")
    refused(score(made("b.csv", "# a\n# b\n" + csv(rows()))), "41 of 42 rows differ", "take away what stands above them")
