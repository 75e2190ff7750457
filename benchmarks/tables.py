"""Scores of a table of probabilities: ours and cleanlab's, over one plain numpy pass over the same table.

The pass is ``probs.sum(axis=1)``, which reads every entry once and writes one number an example. Ours include all checks of
the input (finite, not negative, rows that sum to 1, labels in range). A turn is the median of several calls in a row;
``first_call`` is the first of them, which comes after a pause while others had their turn.
"""

import statistics
import time

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


def _turns(work):
    """A turn: the median of CALLS calls, and the first of them."""
    def once(number):
        seconds = []
        for _ in range(CALLS):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
        return {"seconds": statistics.median(seconds), "first_call": seconds[0]}

    return once


def one_pass(**table):
    probs, _ = _table(**table)
    return _turns(lambda: probs.sum(1))


def ours(score: str, **table):
    probs, labels = _table(**table)
    return _turns(lambda: scores.SCORES[score](probs, labels))


def cleanlab(method: str, **table):
    from cleanlab.rank import get_label_quality_scores

    probs, labels = _table(**table)
    return _turns(lambda: get_label_quality_scores(labels, probs, method=method))


def contestants(quick: bool) -> list[Contestant]:
    n, out = 2_000 if quick else 1_000_000, []
    for dtype in ("float64", "float32"):
        case, table = f"{n:,} x 10, {dtype}", {"n": n, "k": 10, "dtype": dtype}
        out.append(Contestant(case, REFERENCE, one_pass, table))
        out += [Contestant(case, f"datadiet, {name}", ours, table | {"score": name}) for name in scores.SCORES]
        out += [Contestant(case, f"cleanlab, {name}", cleanlab, table | {"method": name}) for name in CLEANLAB]
    return out
