"""Whatever is given: an answer that is right, or InputError in one paragraph; never another error, never a changed input.

DATADIET_INPUTS is the number of generated inputs a property; the nightly job gives 10,000. A failure is printed
with the way to repeat it. What may lie in files is in test_inputs_files.py.
"""

import codecs
import contextlib
import csv
import io
import json
import os
import re
import tempfile
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from test_report import made

from datadiet import cli, data, dynamic, hooks, prune, scores, tables
from datadiet.audit.report import report
from datadiet.chapters import pages
from datadiet.chapters.explorer import figures as explorer
from datadiet.course.plain import Plain
from datadiet.course.slides import slides
from datadiet.errors import InputError

# The nightly job looks for new inputs; without it they are the same each time, so that a commit is judged by what it changed.
MANY = settings(max_examples=int(os.environ.get("DATADIET_INPUTS", 60)), deadline=None, print_blob=True,
                derandomize="DATADIET_INPUTS" not in os.environ, suppress_health_check=list(HealthCheck))  # fmt: skip


def refusal(problem: InputError) -> str:
    """The message of a refusal, which is one paragraph that begins with the operation."""
    said = str(problem)
    assert re.match(r"[A-Za-z_][\w. -]*: \S|--[\w-]+: \S", said), said
    assert "\n" not in said and "\r" not in said, said
    return said


def asked(call):
    """(answer, None), or (None, message of the refusal)."""
    try:
        return call(), None
    except InputError as problem:
        return None, refusal(problem)


# --- Arrays of any kind

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
DTYPES = st.one_of(hnp.scalar_dtypes(), hnp.byte_string_dtypes(), hnp.unicode_string_dtypes(), st.just(np.dtype(object)))
NUMBERS = st.floats() | st.integers(-(2**70), 2**70) | st.booleans()
THINGS = st.none() | NUMBERS | st.text(max_size=3) | st.binary(max_size=3) | st.complex_numbers()


def _array(dtype, shape):
    return hnp.arrays(dtype, shape, elements=THINGS if dtype == np.dtype(object) else None)


ARRAYS = st.builds(lambda dtype, shape: (dtype, shape), DTYPES, SHAPES).flatmap(lambda both: _array(*both))
ANYTHING = st.one_of(ARRAYS, THINGS, st.recursive(THINGS, lambda inner: st.lists(inner, max_size=3), max_leaves=6),
                     st.dictionaries(st.text(max_size=2), NUMBERS, max_size=2))  # fmt: skip
REALS = st.sampled_from([np.float16, np.float32, np.float64, np.longdouble, ">f8"])
WHOLE = st.sampled_from([np.int8, np.uint8, np.int32, np.int64, np.uint64, ">i4"])
POISON = st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 1e308, -1e308, 5e-324, 2.0])


@st.composite
def predictions(draw, axes=(2, 3), probabilities=True):
    """(probabilities or logits, labels), nearly always right; now and then one entry or one label that is not."""
    shape = draw(hnp.array_shapes(min_dims=max(axes), max_dims=max(axes), max_side=4))[-draw(st.sampled_from(axes)):]
    shape = (*shape[:-1], max(shape[-1], 2))
    raw = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 9))) + np.eye(shape[-1], dtype=int)[0]
    rows = (raw / raw.sum(-1, keepdims=True) if probabilities else raw - 4.5).astype(draw(REALS))
    labels = draw(hnp.arrays(draw(WHOLE), shape[-2], elements=st.integers(0, shape[-1] - 1)))
    if draw(st.integers(0, 3)) == 0:
        with np.errstate(over="ignore"):
            rows[tuple(draw(st.integers(0, side - 1)) for side in shape)] = draw(POISON)
    if draw(st.integers(0, 7)) == 0:
        labels[0] = draw(st.integers(0, 100))
    return rows, labels


def same_bytes(value):
    """What shows whether an input was changed."""
    return value.tobytes() if isinstance(value, np.ndarray) and value.dtype != object else repr(value)


def answer(call, *given_):
    """The answer or None, the inputs unchanged."""
    before = [same_bytes(each) for each in given_]
    found, _ = asked(lambda: call(*given_))
    assert [same_bytes(each) for each in given_] == before
    return found


def column(found, n: int) -> bool:
    """Whether an answer is what each score promises: float64, one an example, none missing."""
    return isinstance(found, np.ndarray) and found.dtype == np.float64 and found.shape == (n,) and not np.isnan(found).any()


# --- Scores

def by_rows(formula):
    """A score as its formula says, a row at a time, the mean over runs."""
    def slow(rows, labels):
        runs = rows if rows.ndim == 3 else rows[None]
        of_each = [[formula(np.float64(row), int(label)) for row, label in zip(run, labels, strict=True)] for run in runs]
        return np.mean(of_each, axis=0)
    return slow


TINY = np.finfo(np.float64).tiny
TRUTHS = {
    "el2n": lambda p, y: np.linalg.norm(p - np.eye(len(p))[y]),
    "cross_entropy": lambda p, y: -np.log(np.clip(p[y], TINY, 1)),
    "margin": lambda p, y: max(np.delete(p, y)) - p[y],
    "entropy": lambda p, y: -sum(q * np.log(min(q, 1)) for q in p if q > TINY),
    "least_confidence": lambda p, y: 1 - p.max(),
}


@pytest.mark.parametrize("name", TRUTHS)
@given(both=predictions())
@MANY
def test_a_score_is_its_formula_or_a_refusal(name, both):
    rows, labels = both
    given_ = (rows,) if name in ("entropy", "least_confidence") else both
    found = answer(getattr(scores, name), *given_)
    if found is not None:
        assert column(found, len(labels))
        np.testing.assert_allclose(found, by_rows(TRUTHS[name])(rows, labels), rtol=1e-9, atol=1e-9)
    else:
        p = rows.astype(np.float64)
        wrong = int(labels.max()) >= rows.shape[-1] and len(given_) == 2
        with np.errstate(all="ignore"):
            assert wrong or not np.isfinite(p).all() or (p < 0).any() or (abs(p.sum(-1) - 1) > 0.0039).any()


SCORES = ["el2n", "cross_entropy", "margin", "entropy", "least_confidence", "grand_head", "aum", "tracin", "forgetting",
          "datamap", "vog", "of_class", "input_norm", "joint_el2n"]  # fmt: skip


@pytest.mark.parametrize("name", SCORES)
@given(given_=st.lists(ANYTHING, min_size=6, max_size=6))
@MANY
def test_a_score_of_anything_at_all(name, given_):
    import inspect

    score = getattr(scores, name)
    needed = [each for each in inspect.signature(score).parameters.values() if each.kind != each.KEYWORD_ONLY]
    found = answer(score, *given_[: len(needed)])
    for each in () if found is None else found if isinstance(found, tuple) else (found,):
        assert column(each, each.size) and each.size


@given(predictions((2,)), st.data())
@MANY
def test_grand_head_of_any_features(both, more):
    rows, labels = both
    features = more.draw(hnp.arrays(np.float64, (len(labels), 2), elements=st.floats(-9, 9) | POISON))
    bias = more.draw(st.booleans() | ANYTHING)
    found = answer(lambda *arrays: scores.grand_head(*arrays, bias=bias), rows, labels, features)
    if found is not None:
        lengths = np.array([np.hypot(*row) if not bias else np.hypot(np.hypot(*row), 1) for row in features])
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(found, by_rows(TRUTHS["el2n"])(rows, labels) * lengths, rtol=1e-7, atol=1e-9)


@given(predictions((3,), probabilities=False))
@MANY
def test_aum_of_any_logits(both):
    rows, labels = both
    found = answer(scores.aum, rows, labels)
    if found is not None:
        assert column(found, len(labels)) and np.isfinite(found).all()
        np.testing.assert_allclose(found, by_rows(TRUTHS["margin"])(rows, labels), rtol=1e-9, atol=1e-9)


@given(predictions((3,)))
@MANY
def test_a_data_map_of_any_probabilities(both):
    rows, labels = both
    found = answer(scores.datamap, rows, labels)
    if found is not None:
        own = np.array([[run[i, y] for i, y in enumerate(labels)] for run in rows], np.float64)
        np.testing.assert_allclose(found.confidence, own.mean(0), atol=1e-12)
        np.testing.assert_allclose(found.variability, own.std(0), atol=1e-12)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6)))
@MANY
def test_forgetting_counted_step_by_step(correct):
    found = answer(scores.forgetting, correct)
    for example, history in zip(found, correct.T, strict=True):
        falls = sum(a and not b for a, b in zip(history, history[1:], strict=False))
        assert example == (falls if history.any() else np.inf)


# --- Which to keep

PLAIN = ARRAYS | st.floats() | st.integers(-3, 10) | st.booleans() | st.text(max_size=2) | st.none() | st.just(np.float32(0.5))
SHARES = st.floats(0, 1) | st.just(0.5) | PLAIN | ANYTHING


@st.composite
def ranked(draw):
    n = draw(st.integers(1, 12))
    some = st.integers(-3, 3).map(float) | st.floats(allow_nan=False) | st.just(np.inf)
    return np.array(draw(st.lists(some, min_size=n, max_size=n)))


@given(ranked() | ANYTHING, SHARES, st.sampled_from(prune.RULES) | ANYTHING, st.just(0.0) | SHARES,
       st.none() | st.just("own") | ANYTHING, st.integers(0, 2**70) | PLAIN, st.data())  # fmt: skip
@MANY
def test_what_is_kept(values, fraction, rule, offset, labels, seed, more):
    if isinstance(labels, str) and labels == "own":
        count = len(values) if isinstance(values, list) or np.ndim(values) else 1
        labels = more.draw(hnp.arrays(np.int8, count, elements=st.integers(0, 2)))
    found = answer(lambda one, two: prune.keep(one, fraction, rule, offset, two, seed), values, labels)
    if found is None:
        return
    n = len(values)
    assert found.dtype == np.int64 and found.shape == (round(fraction * n),) and len(set(found.tolist())) == len(found)
    assert (np.diff(found) > 0).all() and 0 <= found[0] and found[-1] < n
    if labels is None and rule in ("hardest", "easiest"):
        order = sorted(range(n), key=lambda i: (-float(values[i]), i))
        skip = min(round(offset * n), n - len(found))
        head = order[skip : skip + len(found)] if rule == "hardest" else order[n - skip - len(found) : n - skip]
        assert found.tolist() == sorted(head)


# --- Schedules

@given(st.integers(1, 6) | PLAIN, st.just(0.5) | SHARES, st.sampled_from(["hardest", "random"]) | ANYTHING,
       st.integers(0, 2) | PLAIN, st.integers(1, 3) | PLAIN, st.just(0.0) | SHARES, st.just(1.0) | SHARES,
       st.just(0.0) | PLAIN, st.just(0) | PLAIN, st.lists(ranked() | ANYTHING | st.none(), max_size=5))  # fmt: skip
@MANY
def test_a_schedule_that_prunes_while_training(n, fraction, rule, warmup, every, offset, alpha, spread, seed, updates):
    made = answer(lambda: dynamic.Dynamic(n, fraction, rule, warmup, every, offset, alpha, spread, seed))
    if made is None:
        return
    for epoch, given_ in enumerate(updates):
        if made.due(epoch):
            answer(made.update, np.linspace(0, 1, n) if given_ is None else given_)
        found = answer(made.positions, epoch)
        if found is not None:
            assert found.dtype == np.int64 and len(found) == made.size(epoch) and (np.diff(found) > 0).all()
    state = made.state_dict()
    again = dynamic.Dynamic(n, fraction, rule, warmup, every, offset, alpha, spread, seed)
    again.load_state_dict(state)
    np.testing.assert_array_equal(again.ranked_by(), made.ranked_by())


@given(st.integers(1, 6) | PLAIN, st.integers(1, 5) | PLAIN, SHARES, SHARES, st.just(0) | PLAIN,
       st.lists(st.tuples(ANYTHING | st.just([0]), ANYTHING | st.just([1.5])), max_size=4))  # fmt: skip
@MANY
def test_a_soft_schedule(n, epochs, drop, full_last, seed, batches):
    made = answer(lambda: dynamic.Soft(n, epochs, drop, full_last, seed))
    if made is None:
        return
    made.observe(np.arange(n), np.linspace(0, 1, n))
    for epoch, (positions, losses) in enumerate(batches):
        answer(made.observe, positions, losses)
        found, weights = made.positions(epoch), made.weights(epoch)
        assert (weights[found] > 0).all() and weights.shape == (n,) and np.count_nonzero(weights) == len(found)


@given(st.dictionaries(st.sampled_from(["rule", "fraction", "warmup", "every", "drop", "reuse", "x"]), PLAIN
                       | st.sampled_from(["hardest", "soft"]), max_size=4), st.integers(1, 5), st.integers(1, 5))  # fmt: skip
@MANY
def test_a_schedule_described_in_a_config(schedule, n, epochs):
    answer(lambda: dynamic.bill(schedule, n, epochs))


@given(st.dictionaries(st.sampled_from(["updates", "_mean", "_variance", "_squares", "x"]), ANYTHING) | ANYTHING)
@MANY
def test_a_state_of_something_else_is_refused(state):
    made = dynamic.Dynamic(3)
    if answer(made.load_state_dict, state) is None and asked(lambda: made.load_state_dict(state))[1]:
        np.testing.assert_array_equal(made.positions(0), [0, 1, 2])


# --- Labels, and other people's tables and loops

DIGITS = data.load("digits")


@given(st.floats(0, 1, exclude_max=True) | PLAIN, st.integers(0, 2**40) | PLAIN,
       st.sampled_from(["symmetric", "pairwise"]) | ANYTHING)  # fmt: skip
@MANY
def test_flips_of_any_rate(rate, seed, kind):
    noisy = answer(lambda: data.flip_labels(DIGITS, rate, seed, kind))
    if noisy is not None:
        assert (noisy.train.labels != noisy.truth).sum() == round(rate * len(noisy.truth))
        np.testing.assert_array_equal(noisy.truth, DIGITS.train.labels)
        assert noisy.train.labels.dtype == DIGITS.train.labels.dtype and noisy.train.labels.max() < DIGITS.n_classes


FRAMES = st.integers(0, 4).map(lambda n: pd.DataFrame({"text": ["a"] * n, "own": np.arange(n) / 7}, index=range(9, 9 + n)))


@given(FRAMES | ANYTHING, st.dictionaries(st.text(max_size=2) | st.just("text"), ANYTHING, max_size=2) | ANYTHING)
@MANY
def test_a_table_with_scores(table, new):
    before = table.copy() if isinstance(table, pd.DataFrame) else None
    found = answer(lambda: hooks.with_scores(table, new))
    if before is not None:
        pd.testing.assert_frame_equal(table, before)
    if found is not None:
        pd.testing.assert_frame_equal(found[before.columns], before)
        assert list(found.columns) == [*before.columns, *new] and all(len(found[name]) == len(before) for name in new)


@given(FRAMES | ANYTHING, st.just("own") | st.text(max_size=3) | ranked() | ANYTHING, SHARES,
       st.none() | st.just("text") | ANYTHING)  # fmt: skip
@MANY
def test_a_table_pruned(table, values, fraction, labels):
    found = answer(lambda: hooks.pruned(table, values, fraction, labels=labels))
    if found is not None:
        assert len(found) == round(fraction * len(table)) and set(found.index) <= set(table.index)


class Counting:
    """A classifier of the shares of the classes, which looks at no feature."""

    def get_params(self, deep=True):
        return {}

    def fit(self, X, y):
        self.classes_, counts = np.unique(y, return_counts=True)
        self.shares = counts / counts.sum()
        return self

    def predict_proba(self, X):
        return np.tile(self.shares, (len(X), 1))


@given(st.lists(st.text(max_size=2), max_size=6) | ANYTHING, st.lists(st.integers(0, 2), max_size=6) | ANYTHING,
       st.integers(2, 3) | PLAIN, st.just(1) | PLAIN, st.just(0) | PLAIN, st.just(Counting()) | ANYTHING)  # fmt: skip
@MANY
def test_out_of_fold_of_anything(X, y, folds, repeats, seed, estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class of one row has its note
        found = answer(lambda: hooks.out_of_fold(estimator, X, y, folds, repeats, seed))
    if found is not None:
        assert found.shape == (len(y), len(np.unique(y))) and found.dtype == np.float64
        np.testing.assert_allclose(found.sum(1), 1)


# --- Files of tables

HOSTILE = st.sampled_from(
    ['"', '""', ",", ";", "\t", "|", "\n", "\r\n", "\r", "\0", "\ufeff", "a", "1", " ", "é", "日", "😀", "=1+1", "\x1a", "sep=;",
     "{", "}", "[", "]", ":", "null", "NaN", "1e999", "\\ud83d", "\\", "label", "text", "x" * 3000, "\x85", "\u2028"]  # fmt: skip
)
CELL = st.lists(HOSTILE, max_size=4).map("".join) | st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "latin-1", "shift_jis", "utf-7"])
NAMES = st.sampled_from(["t.csv", "t.tsv", "t.txt", "t.jsonl", "t.json", "t.ndjson", "t.parquet", "t.csv.gz", "t.xlsx", "t"])


@st.composite
def typed(draw):
    """Bytes of a file as people and programs write them, or as a disk leaves them."""
    kind = draw(st.sampled_from(["bytes", "pieces", "csv", "csv", "jsonl", "json"]))
    if kind == "bytes":
        return draw(st.binary(max_size=60))
    width = draw(st.integers(1, 3))
    rows = draw(st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=5))
    if kind == "pieces":
        text = "".join(draw(st.lists(HOSTILE, max_size=30)))
    elif kind == "csv":
        stream = io.StringIO(newline="")
        form = {"delimiter": draw(st.sampled_from(",;\t|")), "lineterminator": draw(st.sampled_from(["\n", "\r\n", "\r"]))}
        csv.writer(stream, quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])), **form).writerows(
            [["text", "label", "n"][:width], *rows]
        )
        text = stream.getvalue()
    else:
        objects = [dict(zip(("text", "label", "n"), row, strict=False)) for row in rows]
        text = json.dumps(objects) if kind == "json" else "\n".join(map(json.dumps, objects))
    out = text.encode(draw(ENCODINGS), "replace")
    return out[: draw(st.integers(0, len(out)))] if draw(st.integers(0, 4)) == 0 else out


def stored(table) -> bytes:
    stream = io.BytesIO()
    table.save(stream)
    return stream.getvalue()


def read_as(name: str, content: bytes, **options):
    """The table in a file of these bytes, or None where it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        return answer(lambda: tables.read(file, **options))


OPTIONS = st.fixed_dictionaries({}, optional={"sep": st.sampled_from([",", ";", "tab", "::", "", "\n", '"', "é"]) | CELL,
                                              "encoding": ENCODINGS | CELL, "quotes": st.booleans()})  # fmt: skip


@given(typed(), NAMES, st.just({}) | OPTIONS)
@MANY
def test_a_file_of_anything_comes_back_byte_for_byte(content, name, options):
    table = read_as(name, content, **options)
    if table is None:
        return
    assert len(table) and (name.endswith((".parquet", ".gz")) or stored(table) == content)
    names = [each for each in table.columns if table.columns.count(each) == 1]
    before = {each: table.cells(each) for each in names}
    assert all(len(cells) == len(table) for cells in before.values())
    new = [None if i % 3 == 2 else '"x", \n' if i % 2 else i / 7 for i in range(len(table))]
    wider = answer(lambda: stored(table.with_columns({"datadiet_new": new})))
    if wider is None:
        return
    again = read_as(name, wider, **options)
    if again is not None:  # a wider file may show another separator: then all cells must be as the options of the first say
        assert len(again) == len(table) or not options
        if again.columns == (*table.columns, "datadiet_new"):
            assert {each: again.cells(each) for each in names} == before or "NaN" in repr(before) or "nan" in repr(before)


@given(st.lists(st.lists(CELL, min_size=2, max_size=2), min_size=1, max_size=5), st.sampled_from(",;\t"),
       st.sampled_from([b"", codecs.BOM_UTF8]))  # fmt: skip
@MANY
def test_cells_are_those_of_pythons_reader(rows, sep, mark):
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=sep, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([["one", "two"], *rows])
    table = read_as("t.csv", mark + stream.getvalue().encode(), sep=sep, quotes=True)
    if table is not None:
        assert table.columns == ("one", "two")
        theirs = list(csv.reader(io.StringIO(stream.getvalue(), newline=""), delimiter=sep))[1:]
        assert [list(row) for row in zip(table.cells("one"), table.cells("two"), strict=True)] == theirs == rows
        new = ["é" if i % 2 else '"\n' for i in range(len(rows))]
        again = read_as("t.csv", stored(table.with_columns({"new": new})), sep=sep, quotes=True)
        assert again.cells("new") == new and again.cells("one") == table.cells("one")


# --- The command line

ARGUMENT = CELL.map(lambda text: text.replace("\0", ""))  # no operating system passes a zero byte
WORDS = st.sampled_from(["t.csv", "text", "label", "p_*", "p_a,p_b", "p.npy", "0.5", "1", "-1", "nan",
                         "hardest", "random", "el2n",
                         "here", "tab", "cp1252", "30s", "0s", "1e99h", "smoke", "nothing", "out.csv",
                          "no/out.csv", "."]) | ARGUMENT  # fmt: skip
GIVEN = {
    "score": ["--text", "--label", "--score", "--budget", "--max-length", "--precision", "--report", "--sep", "--encoding",
              "--quotes", "--out", "--force", "--tokens", "--tags"],
    "prune": ["--keep", "--score", "--rule", "--offset", "--balanced", "--drop-wrong", "--unscored", "--label", "--seed", "--sep",
              "--encoding", "--out", "--force"],
    "plan": ["--profile", "-p", "--publish"],
    "run": ["--profile", "-p", "--out"],
    "claims": ["--profile"],
    "store": ["merge", "export", "check", "--of"],
    "course": ["--force"],
}  # fmt: skip
FLAGS = ("--force", "--publish", "check", "merge", "export")
GOOD = {"--text": ["text"], "--label": ["label"], "--score": ["el2n", "margin", "hard"], "--budget": ["30s"], "--sep": [","],
        "--max-length": ["8"], "--precision": ["float32"], "--report": ["report.html"], "--encoding": ["utf-8"],
        "--quotes": ["letters"],
        "--out": ["out.csv", "out.jsonl", "out.ipynb"], "--keep": ["0.5", "1"], "--rule": list(prune.RULES),
        "--offset": ["0", "0.2"],
        "--balanced": ["label"], "--drop-wrong": ["0.9"], "--unscored": ["drop"], "--seed": ["3"], "--profile": ["smoke", "lab"],
        "-p": ["seeds", "engine"]}  # fmt: skip
TABLE = "text,label,p_a,p_b,hard\n" + "".join(f"row {i},{'ab'[i % 2]},0.{i + 1},0.{9 - i},0.{i}\n" for i in range(8))


def commanded(command: str, arguments: list[str], files=()) -> None:
    """Run a command in a folder of its own with a table; it ends with 0, 1 or 2, and leaves no part of a file."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name in files:
            Path(name).write_text(files[name])
        Path("t.csv").write_text(TABLE)
        np.save("p.npy", np.full((8, 2), 0.5))
        env = {"DATADIET_STORE": str(Path("store").resolve()), "HF_HUB_OFFLINE": "1"}
        done = CliRunner().invoke(cli.main, [command, *arguments], env=env)
        assert done.exit_code in (0, 1, 2) and (done.exception is None or isinstance(done.exception, SystemExit)), done.exc_info
        assert "Traceback" not in done.output and not list(Path(".").rglob("*.part"))
        assert Path("t.csv").read_text() == TABLE or "--out" in arguments


@st.composite
def arguments(draw, command):
    found = []
    for option in draw(st.lists(st.sampled_from(GIVEN[command]), max_size=4)):
        value = draw(WORDS if option not in GOOD or not draw(st.integers(0, 3)) else st.sampled_from(GOOD[option]))
        found += [option] if option in FLAGS else [option, value] + ([draw(WORDS)] if option == "-p" else [])
    return found


@pytest.mark.parametrize("command", ["score", "prune"])
@given(more=st.data())
@MANY
def test_commands_for_tables(command, more):
    head = ["t.csv"] if more.draw(st.integers(0, 4)) else [more.draw(WORDS)]
    usual = ["--keep", "0.5", "--score", "hard"]
    if command == "score":
        probs = more.draw(WORDS if not more.draw(st.integers(0, 4)) else st.sampled_from(["p_*", "p_a,p_b", "p.npy"]))
        usual = ["--probs", probs, "--text", "text", "--label", "label"]
    commanded(command, [*head, *usual, *more.draw(arguments(command))])


@pytest.mark.parametrize("command", ["plan", "run", "claims", "store", "course"])
@given(more=st.data())
@MANY
def test_commands_of_the_book(command, more):
    """Runs and notebooks are not carried out: what is asked for is read, and refused in words where it cannot be."""
    names = more.draw(st.lists(st.sampled_from(["score-timing", "nothing"]) | ARGUMENT, min_size=command == "run", max_size=2))
    with mock.patch("datadiet.runs.bill.of", lambda wanted: []), \
            mock.patch("datadiet.book.build.execute", lambda source, output, *rest, **more: {"cells": []}), \
            mock.patch("datadiet.book.build.problems", lambda done: []), \
            mock.patch("datadiet.chapters.ledger.ledger", lambda profiles: pd.DataFrame({"ours": []})), \
            mock.patch("datadiet.course.write.write", lambda out, force: {}):  # fmt: skip
        commanded(command, [*(names if command != "claims" else []), *more.draw(arguments(command))])


# --- Texts that would script a page, or run in a spreadsheet

EVIL = ["<script>ran()</script>",
        "</script><script>ran()", "<img src=x onerror=ran()>", '" onmouseover="ran()',
        "javascript:ran()", '<a href="javascript:ran()">x</a>', "[x](javascript:ran())", "<svg onload=ran()>",
        "</style><b onclick=ran()>", "<!--", "-->",
        "]]>", "</title>", "</textarea>", "&lt;script&gt;", "<iframe srcdoc='<script>ran()</script>'>",
        "=1+1", "+ran()", "-ran()", "@SUM(A1)", "\t=1", " =1+1", "\r=1", "\0", "\ud83d", "\u202e", "<a "]  # fmt: skip
TEXT = st.lists(st.sampled_from(EVIL) | st.text(max_size=4), max_size=3).map("".join)


def harmless(page: str, scripts: int = 0) -> BeautifulSoup:
    """A page, of which every element is looked at."""
    page.encode("utf-8")
    soup = BeautifulSoup(page, "html.parser")
    assert len(soup.find_all("script")) == scripts and not soup.find_all(["iframe", "object", "embed", "base", "form"])
    for element in soup.find_all(True):
        for name, value in element.attrs.items():
            assert not name.lower().startswith("on") and name.lower() != "srcdoc", element
            assert "javascript:" not in str(value).lower() or name not in ("href", "src", "action", "xlink:href"), element
    return soup


AUDITED = made(20)


@given(st.lists(TEXT, min_size=20, max_size=20), st.lists(TEXT, min_size=3, max_size=3, unique=True), TEXT, TEXT)
@MANY
def test_no_text_scripts_a_report_or_runs_in_a_spreadsheet(texts, names, title, table_name):
    from dataclasses import replace

    found, _ = asked(lambda: report(replace(AUDITED[0], names=tuple(names)), texts, title=title, table_name=table_name))
    if found is None:
        return
    soup = harmless(found)
    for cell in soup.select("td div.text, bdi.name"):
        said = cell.get_text()
        assert not re.match(r"\s*[=@]", said) and not re.match(r"\s*[+-](?!\.?\d)", said) or cell.find_parent("details"), said


@given(st.lists(st.lists(TEXT, min_size=2, max_size=2), min_size=1, max_size=3),
       st.lists(TEXT, min_size=2, max_size=2, unique=True), TEXT)  # fmt: skip
@MANY
def test_no_text_scripts_a_table_of_a_page(rows, head, caption):
    harmless(pages.table(rows, head, caption))
    frame = pd.DataFrame(rows, columns=pd.Index(head, dtype=object), dtype=object)
    soup = harmless(pages.frame(frame, caption, shown=1).html)
    assert len(soup.find_all("a")) == (len(rows) > 1)


@given(st.lists(TEXT, min_size=1, max_size=3), TEXT)
@MANY
def test_no_text_scripts_the_explorer(texts, name):
    ours = BeautifulSoup(explorer.page({}), "html.parser").find_all("script")
    soup = BeautifulSoup(explorer.page({name: {"texts": texts, "classes": texts}}), "html.parser")
    assert len(soup.find_all("script")) == len(ours) and soup.find(id="ddx-held").string.isascii()
    assert json.loads(soup.find(id="ddx-held").string)["sets"][0]["name"] == name


ROOT = Path(__file__).resolve().parent.parent
OURS = 1  # script of a deck without a formula


IN_UTF8 = TEXT.map(lambda text: re.sub("[\ud800-\udfff\U00010000-\U0010ffff]", "", text))  # as JSON and YAML both read it


@given(IN_UTF8, IN_UTF8, IN_UTF8)
@MANY
def test_no_text_scripts_the_slides_of_a_quiz_or_a_table(question, right, wrong):
    import jupytext
    import nbformat

    shown = pages.table([[question, right]], ["text", wrong], right).replace("<table", "<figure><table", 1)
    quiz = json.dumps([{"question": question or "?", "answers": [{"text": right or "a", "right": True, "because": wrong or "b"},
                                                                 {"text": wrong or "b", "because": right or "a"}]}])  # fmt: skip
    notebook = jupytext.reads("# A chapter\n\n## Part\n\n```{code-cell} ipython3\nx\n```\n", "md:myst")
    notebook.cells += [nbformat.v4.new_markdown_cell(f"## Quiz\n\n```{{quiz}}\n{quiz}\n```")]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("display_data", {"text/html": shown})]
    deck = slides(notebook, Plain(ROOT, set(), ""))
    scripts = OURS + 2 * ("window.MathJax" in deck)
    harmless(deck, scripts)
