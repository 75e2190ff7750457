"""Scores of a table of probabilities: ours and cleanlab's, over one plain numpy pass over the same table.

The pass is ``probs.sum(axis=1)``, which reads every entry once and writes one number an example. Ours include all checks of
the input (finite, not negative, rows that sum to 1, labels in range).
"""

import numpy as np

from benchmarks.harness import Contestant
from datadiet import scores

REFERENCE = "numpy, probs.sum(1)"
CALLS = 9
CLEANLAB = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")


def _table(n: int, k: int, dtype: str):
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 3, (n, k))
    probs = np.exp(logits - logits.max(1, keepdims=True))
    probs /= probs.sum(1, keepdims=True)
    return probs.astype(dtype), draw.integers(0, k, n)


def one_pass(**table):
    probs, _ = _table(**table)

    def once(number):
        probs.sum(1)

    return once


def ours(score: str, **table):
    probs, labels = _table(**table)

    def once(number):
        scores.SCORES[score](probs, labels)

    return once


def cleanlab(method: str, **table):
    from cleanlab.rank import get_label_quality_scores

    probs, labels = _table(**table)

    def once(number):
        get_label_quality_scores(labels, probs, method=method)

    return once


def contestants(quick: bool) -> list[Contestant]:
    n, out = 2_000 if quick else 1_000_000, []
    for dtype in ("float64", "float32"):
        case, table = f"{n:,} x 10, {dtype}", {"n": n, "k": 10, "dtype": dtype}
        out.append(Contestant(case, REFERENCE, one_pass, table, calls=CALLS))
        out += [Contestant(case, f"datadiet, {name}", ours, table | {"score": name}, calls=CALLS) for name in scores.SCORES]
        out += [Contestant(case, f"cleanlab, {name}", cleanlab, table | {"method": name}, calls=CALLS) for name in CLEANLAB]
    return out
