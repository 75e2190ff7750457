"""Keys of the exercises: the published solution passes, common mistakes get their sentence, a stub gets one too."""

import jupytext
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from datadiet import scores
from datadiet.chapters.dynamic_pruning import runs as dynamic_runs
from datadiet.course import blocks, check, keys, write

FUNCTIONS = [
    label
    for label, key in keys.KEYS.items()
    if key.names[0] in ("redrawn", "share_wrong", "forms", "seeds_needed", "holm", "crossing", "uses")
]


def code_of(label, within):
    for page in write.chapters_of(ROOT):
        found = [
            b.text
            for b in blocks.blocks(jupytext.read(ROOT / f"{page}.md"))
            if b.kind == "code" and b.within == within and b.label == label
        ]
        if found:
            return "\n".join(found)
    raise AssertionError(f"{label} has no {within}")


def functions(code) -> dict:
    """What the function definitions and imports of a cell give; the rest needs the chapter around it."""
    import ast

    tree = ast.parse(code)
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.Import | ast.ImportFrom)]
    names = {"np": np, "pd": pd, "rng": np.random.default_rng(0), "scores": scores}
    exec(compile(tree, "cell", "exec"), names)
    return names


@pytest.mark.parametrize("label", FUNCTIONS)
def test_the_solution_in_the_chapter_passes_and_the_stub_does_not(label):
    (name,) = keys.KEYS[label].names
    solved, stub = functions(code_of(label, "solution"))[name], functions(code_of(label, "exercise"))[name]
    for _ in range(5):  # on fresh input each time
        said = check(label, solved)
        assert said, said
    assert "nothing is filled in" in check(label, stub).sentence


def cheapest():
    return next(each for each in range(1, 10) if dynamic_runs.planned_cost(10, fraction=0.5, warmup=1, every=each) < 2 / 3)


@pytest.mark.parametrize(
    "label, answers",
    [
        ("ex-label-noise-2", (1.0,)),
        ("ex-label-noise-2", (np.float64(1.0),)),
        ("ex-joint-2", (0.9, 0.5, False)),
        ("ex-healthy-diet-1", (np.zeros(600, int), (np.arange(600) % 5 == 0).astype(int))),
        ("ex-healthy-diet-1", (np.zeros(600, bool), np.arange(600) % 5 == 0)),
        ("ex-healthy-diet-2", (scores.el2n([[0.7, 0.2, 0.1]] * 3, [0, 1, 2]),)),
        ("ex-what-all-runs-say-1", ([[25, 100], [100, 25]], [[100, 25], [25, 100]])),
        ("ex-dynamic-pruning-1", (cheapest(),)),
    ],
)
def test_right_values(label, answers):
    said = check(label, *answers)
    assert said, said


def first(values, wrong, n):
    return wrong[np.argsort(-values, kind="stable")[:n]].mean()


def every_label(labels, rate, classes):
    chosen = np.random.default_rng().permutation(len(labels))[: round(rate * len(labels))]
    out = labels.copy()
    out[chosen] = (out[chosen] + 1) % classes
    return out


def in_place(labels, rate, classes):
    labels[:10] = 0
    return labels


@pytest.mark.parametrize(
    "label, answers, part",
    [
        ("ex-label-noise-1", (every_label,), "bring the old one back"),
        ("ex-label-noise-1", (in_place,), "copy"),
        ("ex-label-noise-1", (lambda a, b, c: a,), "0.000 of the labels"),
        ("ex-label-noise-1", (lambda a: a,), "TypeError"),
        ("ex-label-noise-1", (lambda a, b, c: a[:-1],), "as many labels"),
        ("ex-label-noise-1", (lambda a, b, c: a.astype(float),), "whole"),
        ("ex-label-noise-1", (3,), "the function itself"),
        ("ex-label-noise-2", (0.98,), "too small"),
        ("ex-label-noise-2", ([1.0],), "answer[0]"),
        ("ex-label-noise-3", (lambda v, w, n=50: first(-v, w, n),), "lowest"),
        ("ex-label-noise-3", (lambda v, w, n=50: first(v, w, n - 1),), "off by one"),
        ("ex-label-noise-3", (lambda v, w, n=50: first(v, w, n) * n,), "divide it by n"),
        ("ex-label-noise-3", (lambda v, w, n=50: w[:n].mean(),), "order"),
        ("ex-label-noise-3", (lambda v, w, n=50: w[np.argsort(-v)[:n]].sum() / w.sum(),), "of all wrong labels"),
        ("ex-label-noise-3", (lambda v, w, n=50: first(v, w, 50),), "for an array"),
        ("ex-label-noise-3", (lambda v, w, n=50: np.nan,), "NaN"),
        ("ex-dynamic-pruning-1", (1,), "scoring passes"),
        ("ex-dynamic-pruning-1", ("2",), "text"),
        ("ex-joint-2", (0.9, 0.75, False), "span_f1: a slot counts as a whole"),
        ("ex-joint-2", (0.9, 0.5, True), "exact"),
        ("ex-joint-2", (90, 0.5, False), "percentage"),
        ("ex-joint-2", (..., 0.5, False), "right_tags: nothing"),
        ("ex-joint-2", (0.9, 0.5, ...), "nothing"),
        ("ex-joint-1", (lambda i, w: {"norm": 1.0},), "KeyError"),
        ("ex-joint-1", (lambda i, w: [i, i, i],), "shape"),
        ("ex-weak-pool-4", (lambda d, w=0.01: int(np.ceil(2 * np.std(d, ddof=1) / w)),), "square the ratio"),
        ("ex-weak-pool-4", (lambda d, w=0.01: int((2 * np.std(d, ddof=1) / w) ** 2),), "round up"),
        ("ex-healthy-diet-1", (np.zeros(600), np.arange(600) % 2), "perfect: the rates of complaint differ"),
        ("ex-healthy-diet-1", (np.zeros(5), np.zeros(600)), "shape (5,)"),
        ("ex-healthy-diet-1", (np.full(600, 0.5), np.zeros(600)), "0 or 1"),
        ("ex-healthy-diet-1", (np.zeros(600), np.zeros(600)), "perfect"),
        ("ex-healthy-diet-1", (..., ...), "nothing is filled in"),
        ("ex-healthy-diet-2", (np.sqrt(2) * (1 - np.array([0.7, 0.2, 0.1])),), "two classes"),
        ("ex-healthy-diet-2", (np.array([0.7, 0.2, 0.1]),), "entries differ"),
        ("ex-who-is-right-3", (lambda p, level=0.05: p < level,), "nothing is corrected"),
        ("ex-who-is-right-3", (lambda p, level=0.05: p <= level / len(p),), "its own"),
        ("ex-what-all-runs-say-1", ([[100, 25], [25, 100]], [[100, 25], [25, 100]]), "kept: here four in five"),
        ("ex-what-all-runs-say-1", (np.array([[25, 100], [100, 25]]) / 250, ...), "numbers of examples"),
        ("ex-what-all-runs-say-1", ([[25, 100], [100, 25]], ...), "random_quarter: nothing"),
        ("ex-what-it-costs-1", (lambda a, b: a,), "width of the layer"),
        ("ex-what-it-costs-1", (lambda a, b: 2 * a * b / (a + b),), "twice"),
        ("ex-what-it-costs-1", (lambda a, b: 307.2,), "for 7, 7"),  # right for the layer of the page by luck
        ("ex-what-it-costs-2", (lambda f, r, e: int(r / ((1 - f) * e)) + 1,), "scoring pass"),
    ],
)
def test_wrong_answers_are_told_why(label, answers, part):
    said = check(label, *answers)
    assert not said and part in said.sentence and "\n" not in repr(said), said
