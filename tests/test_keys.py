"""Keys of the exercises: the published solution passes, common mistakes get their sentence, a stub gets one too."""

import jupytext
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from datadiet import prune, runs, scores
from datadiet.chapters.dynamic_pruning import runs as dynamic_runs
from datadiet.chapters.loss_landscape import runs as landscape_runs
from datadiet.chapters.settings import settings_of
from datadiet.course import blocks, check, keys, write

FUNCTIONS = [
    label
    for label, key in keys.KEYS.items()
    if key.names[0]
    in ("redrawn", "share_wrong", "forms", "seeds_needed", "holm", "crossing", "uses", "found", "my_barrier", "updates")
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


def in_common(one, other):
    return np.isin(prune.keep(one, 0.1), prune.keep(other, 0.1)).mean()


def predictions():
    rng = np.random.default_rng(0)
    return rng.dirichlet([0.4] * 4, 300), rng.integers(0, 4, 300)


EL2N, MARGIN = scores.el2n(*predictions()), scores.margin(*predictions())

# The tables of the solutions of the loss landscape, of the published runs.
SETTINGS = settings_of("standard", "loss-landscape")
PUBLISHED = runs.published(landscape_runs.wanted(SETTINGS))
VELOCITIES = landscape_runs.velocities(SETTINGS, PUBLISHED)
MEANS = VELOCITIES.pivot_table(index=["task", "epoch"], columns="group", values="velocity", sort=False)
OUTSIDE = MEANS[~MEANS["random"].between(MEANS["easiest"], MEANS["hardest"])]
BEHIND = pd.concat({h: landscape_runs.behind(SETTINGS, PUBLISHED, h) for h in (0.01, 0.02, 0.05)}, names=["height"])
HEIGHTS = BEHIND.pivot_table(index=["task", "height"], columns="group", values="epochs", sort=False)


def cheapest():
    return next(each for each in range(1, 10) if dynamic_runs.planned_cost(10, fraction=0.5, warmup=1, every=each) < 2 / 3)


@pytest.mark.parametrize(
    "label, answers",
    [
        ("ex-label-noise-2", (1.0,)),
        ("ex-label-noise-2", (np.float64(1.0),)),
        ("ex-scores-1", (scores.el2n([[0.7, 0.2, 0.1]] * 3, [0, 1, 2]),)),
        ("ex-more-scores-1", ((np.sqrt(2) * 0.7, -np.log(0.3), 0.4),)),
        ("ex-over-time-1", (2,)),
        ("ex-pairs-1", ((1.0, 1.5),)),
        ("ex-joint-2", (0.9, 0.5, False)),
        ("ex-healthy-diet-1", (np.zeros(600, int), (np.arange(600) % 5 == 0).astype(int))),
        ("ex-healthy-diet-1", (np.zeros(600, bool), np.arange(600) % 5 == 0)),
        ("ex-healthy-diet-2", (scores.el2n([[0.7, 0.2, 0.1]] * 3, [0, 1, 2]),)),
        ("ex-what-all-runs-say-1", ([[25, 100], [100, 25]], [[100, 25], [25, 100]])),
        ("ex-dynamic-pruning-1", (cheapest(),)),
        ("ex-quickstart-1", (MARGIN, in_common(MARGIN, EL2N), EL2N)),
        ("ex-quickstart-1", (MARGIN.tolist(), round(in_common(MARGIN, EL2N), 2), EL2N)),
        ("ex-loss-landscape-2", (OUTSIDE,)),
        ("ex-loss-landscape-2", (OUTSIDE.reset_index()[["epoch", "task"]],)),
        ("ex-loss-landscape-2", (OUTSIDE.index,)),
        ("ex-loss-landscape-2", ([[task, float(epoch)] for task, epoch in OUTSIDE.index],)),
        ("ex-loss-landscape-2", (~MEANS["random"].between(MEANS["easiest"], MEANS["hardest"]),)),
        ("ex-loss-landscape-3", (HEIGHTS,)),
        ("ex-loss-landscape-3", (HEIGHTS.swaplevel().iloc[::-1],)),
        ("ex-loss-landscape-3", (HEIGHTS.reset_index(),)),
        ("ex-loss-landscape-3", (HEIGHTS.loc["cifar10"][::-1],)),
        ("ex-loss-landscape-3", (HEIGHTS.loc["cifar10", ["hardest", "middle", "easiest"]],)),
    ],
)
def test_right_values(label, answers):
    said = check(label, *answers)
    assert said, said


def first(values, wrong, n):
    return wrong[np.argsort(-values, kind="stable")[:n]].mean()


def one_seed_outside():
    rows = VELOCITIES.pivot_table(index=["task", "epoch", "seed"], columns="group", values="velocity")
    rows = rows[~rows["random"].between(rows["easiest"], rows["hardest"])].reset_index()
    return rows[["task", "epoch"]].drop_duplicates()


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
        ("ex-scores-1", (np.sqrt(2) * (1 - np.array([0.7, 0.2, 0.1])),), "two classes"),
        ("ex-more-scores-1", ((np.sqrt(2) * 0.7, -np.log(0.3), -0.4),), "minus that of the label"),
        ("ex-more-scores-1", ((0.7, -np.log(0.3), 0.4),), "two entries"),
        ("ex-over-time-1", (3,), "off by one"),
        ("ex-pairs-1", (0.5 * np.sqrt([3, 8]),), "1 + n"),
        ("ex-pruning-fractions-2", (lambda n, epochs, batch_size=32: epochs * (n // batch_size),), "round up"),
        ("ex-pruning-fractions-2", (lambda n, epochs, batch_size=32: -(-epochs * n // batch_size),), "in each epoch"),
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
        ("ex-quickstart-1", (..., ..., EL2N), "margin: nothing is filled in"),
        ("ex-quickstart-1", (MARGIN, ..., EL2N), "common: nothing is filled in"),
        ("ex-quickstart-1", (scores.margin, 0.5, EL2N), "margin: this is the function itself"),
        ("ex-quickstart-1", (EL2N, 1.0, EL2N), "margin: this is EL2N"),
        ("ex-quickstart-1", (-MARGIN, 0.0, EL2N), "margin: the order is turned"),
        ("ex-quickstart-1", (2 * MARGIN, 0.5, EL2N), "margin: a margin lies between -1 and 1"),
        ("ex-quickstart-1", (np.stack([MARGIN, MARGIN]), 0.5, EL2N), "margin: it has shape (2, 300)"),
        ("ex-quickstart-1", (MARGIN, in_common(-MARGIN, -EL2N), EL2N), "common: these are the easiest"),
        ("ex-quickstart-1", (MARGIN, 30 * in_common(MARGIN, EL2N), EL2N), "common: this is the number"),
        ("ex-quickstart-1", (MARGIN, 1 / (2 / in_common(MARGIN, EL2N) - 1), EL2N), "common: this is the share of all"),
        ("ex-quickstart-2", (lambda o, f, s: f[o[: round(s * len(o))]].mean(),), "number of examples read"),
        ("ex-quickstart-2", (lambda o, f, s: f[o[: round(s * len(o))]].sum() / len(o),), "number of all examples"),
        ("ex-quickstart-2", (lambda o, f, s: f[o[: round(s * len(o))]].sum(),), "divide it by"),
        ("ex-quickstart-2", (lambda o, f, s: f[: round(s * len(o))].sum() / f.sum(),), "first examples of the set"),
        ("ex-quickstart-2", (lambda o, f, s: f[o[-round(s * len(o)):]].sum() / f.sum(),), "from the end"),
        ("ex-quickstart-2", (lambda o, f, s: f[o < round(s * len(o))].sum() / f.sum(),), "rank of example i"),
        ("ex-quickstart-2", (lambda o, f, s: f[o[: s * len(o)]].sum() / f.sum(),), "TypeError"),
        ("ex-quickstart-2", (lambda o, f, s: 0.5,), "for an array"),
        ("ex-loss-landscape-1", (lambda e: max(e) - min(e[0], e[-1]),), "better end"),
        ("ex-loss-landscape-1", (lambda e: max(e) - max(e[0], e[-1]),), "worse end"),
        ("ex-loss-landscape-1", (lambda e: max(e) - (e[0] + e[-1]) / 2,), "mean of the two ends"),
        ("ex-loss-landscape-1", (lambda e: np.max(e),), "error at the highest place"),
        ("ex-loss-landscape-1", (lambda e: max(e[1:-1] - np.linspace(e[0], e[-1], len(e))[1:-1]),), "lies below"),
        ("ex-loss-landscape-1", (lambda e: e[len(e) // 2] - np.linspace(e[0], e[-1], len(e))[len(e) // 2],), "in the middle"),
        ("ex-loss-landscape-1", (lambda e: np.mean(e - np.linspace(e[0], e[-1], len(e))),), "mean height"),
        ("ex-loss-landscape-1", (lambda e: 0.0 if len(e) == 3 else 0.1,), "for an array"),
        ("ex-loss-landscape-1", (lambda e: e - e[0],), "TypeError"),
        ("ex-loss-landscape-2", (MEANS.drop(OUTSIDE.index),), "between the two; the others"),
        ("ex-loss-landscape-2", (MEANS,), "lower limit"),
        ("ex-loss-landscape-2", ([("digits", 8)],), "after the scoring point"),
        ("ex-loss-landscape-2", (one_seed_outside(),), "at least one seed"),
        ("ex-loss-landscape-2", ([(task, epoch - 1) for task, epoch in OUTSIDE.index],), "epochs count from 1"),
        ("ex-loss-landscape-2", (MEANS.iloc[1:4],), "of your 3 epochs 2 are not outside, and 2"),
        ("ex-loss-landscape-2", (OUTSIDE.reset_index(drop=True),), "which task and epoch"),
        ("ex-loss-landscape-2", (3,), "list of pairs"),
        ("ex-loss-landscape-2", ("digits",), "list of pairs"),
        ("ex-loss-landscape-2", (OUTSIDE.index[:0],), "of your 0 epochs"),
        ("ex-loss-landscape-3", (HEIGHTS.groupby(level="height").mean(),), "averaged into one"),
        ("ex-loss-landscape-3", (HEIGHTS.loc["digits"],), "all are zero"),
        ("ex-loss-landscape-3", (HEIGHTS.loc["cifar10"] * 5,), "sums over the seeds"),
        ("ex-loss-landscape-3", (HEIGHTS * 5,), "sums over the seeds"),
        ("ex-loss-landscape-3", (HEIGHTS.loc["cifar10"].T,), "on its side"),
        ("ex-loss-landscape-3", (HEIGHTS.loc["cifar10"].drop(columns="middle"),), "no column 'middle'"),
        ("ex-loss-landscape-3", (HEIGHTS.loc["cifar10"][:2],), "2 rows"),
        ("ex-loss-landscape-3", (HEIGHTS.reset_index(drop=True),), "which task and height"),
        ("ex-loss-landscape-3", (HEIGHTS.rename({0.01: 1.0}, level="height"),), "heights are shares"),
        ("ex-loss-landscape-3", (HEIGHTS.loc["cifar10"] + 0.1,), "entries differ"),
        ("ex-loss-landscape-3", (HEIGHTS.loc["cifar10"].to_numpy(),), "ndarray; give a table"),
        ("ex-what-it-costs-2", (lambda f, r, e: int(r / ((1 - f) * e)) + 1,), "scoring pass"),
    ],
)
def test_wrong_answers_are_told_why(label, answers, part):
    said = check(label, *answers)
    assert not said and part in said.sentence and "\n" not in repr(said), said
