"""Keys of exercises: the names of a student's answers, and the function that checks them. The notebook shows no truth.

A function that a student writes is tried on fresh input, beside the true one and beside the functions of common mistakes.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from datadiet import scores
from datadiet.chapters import checks
from datadiet.chapters.answers import Said, no, yes


class Key(NamedTuple):
    """Names that the stub of an exercise leaves to be filled in, and the check of their values."""

    names: tuple[str, ...]
    check: Callable[..., Said]


def tried(answer, truth: Callable, inputs: list[tuple], wrong: dict[str, Callable] | None = None) -> Said:
    """A function, compared with the true one on each of some inputs; a mistake is named where it explains every wrong result.

    Parameters
    ----------
    answer, truth : function
    inputs : list of tuple
        Arguments. What the answer changes in them it does not share with the truth.
    wrong : dict
        Sentence -> the function of a common mistake.
    """
    if answer is ... or answer is None:
        return no("nothing is filled in; put your function where the three dots stand.")
    if not callable(answer):
        return no(f"the answer is a {type(answer).__name__}; give the function itself, without calling it.")
    results = []
    for arguments in inputs:
        copies = [each.copy() if hasattr(each, "copy") else each for each in arguments]
        try:
            results.append(answer(*copies))
        except Exception as problem:  # of the student's own code, whatever it is
            return no(f"the function raised {type(problem).__name__}: {problem}")
    if all(result is None or result is ... for result in results):
        return no("nothing is filled in: the function returns nothing.")
    for sentence, mistake in (wrong or {}).items():
        theirs = [mistake(*arguments) for arguments in inputs]
        right = [truth(*arguments) for arguments in inputs]
        if all(map(_alike, results, theirs)) and not all(map(_alike, theirs, right)):
            return no(sentence)
    for arguments, result in zip(inputs, results, strict=True):
        said = _compared(result, truth(*arguments))
        if not said:
            return no(f"for {_shown(arguments)}: {said.sentence}")
    return yes(f"the same as the true one on {len(inputs)} inputs.")


def _compared(result, right) -> Said:
    if np.ndim(right) == 0:
        return checks.number(result, float(right), within=1e-6 * max(1.0, abs(float(right))))
    return checks.values(result, right)


def _alike(result, other) -> bool:
    return bool(_compared(result, other))


def _shown(arguments: tuple) -> str:
    short = (f"an array of {np.size(each)}" if np.ndim(each) else repr(each) for each in arguments)
    return ", ".join(short)


def each_of(*said: tuple[str, Said]) -> Said:
    """Several answers: the first that is not right, with its name."""
    for name, one in said:
        if not one:
            return no(f"{name}: {one.sentence}")
    return yes("all answers are.")


def _draws() -> np.random.Generator:
    return np.random.default_rng()  # fresh input every time: an answer is not to fit the last one


def redrawn(answer) -> Said:
    """Labels of which a share is drawn anew from all classes: fewer than the share are wrong."""
    rng, said = _draws(), []
    for classes in (2, 6):
        labels, rate = rng.integers(0, classes, 40_000), 0.3
        before = labels.copy()
        if not callable(answer):
            return tried(answer, redrawn, [])
        try:
            found = answer(labels, rate, classes)
        except Exception as problem:  # of the student's own code, whatever it is
            return no(f"the function raised {type(problem).__name__}: {problem}")
        if found is None or found is ...:
            return no("nothing is filled in: the function returns nothing.")
        if not np.array_equal(labels, before):
            return no("the function changes the labels that it is given; work on a copy.")
        if np.shape(found) != labels.shape or np.asarray(found).dtype.kind not in "iu":
            return no("return as many labels as there were, whole numbers.")
        share, expected = float((found != labels).mean()), rate * (1 - 1 / classes)
        if abs(share - rate) < 0.01:
            return no("each chosen label became another one; a draw from all classes may bring the old one back.")
        said.append(abs(share - expected) < 0.012)
        if not said[-1]:
            return no(f"with {classes} classes {share:.3f} of the labels are wrong; is a share of {rate} drawn, each once?")
    return yes("the share of wrong labels is smaller than the share drawn anew.")


def share_wrong(answer) -> Said:
    """Precision among the first n."""
    rng = _draws()
    inputs = [(rng.random(200), rng.random(200) < 0.3, n) for n in (50, 20, 7)]

    def first(values, wrong, n):
        return wrong[np.argsort(-values, kind="stable")[:n]].mean()

    return tried(answer, first, inputs, {
        "these are the lowest values; wrong labels are looked for among the highest.":
            lambda values, wrong, n: wrong[np.argsort(values, kind="stable")[:n]].mean(),
        "this is the share of all wrong labels that is found; the question is how many of the n are wrong.":
            lambda values, wrong, n: wrong[np.argsort(-values)[:n]].sum() / wrong.sum(),
        "this is the number of wrong labels; divide it by n.": lambda values, wrong, n: wrong[np.argsort(-values)[:n]].sum(),
        "this is off by one in the count: n examples are checked.":
            lambda values, wrong, n: wrong[np.argsort(-values, kind="stable")[: n - 1]].mean(),
        "these are the first n examples of the set; put them in order of their values first.":
            lambda values, wrong, n: wrong[:n].mean(),
    })  # fmt: skip


def cycle(answer) -> Said:
    """The least number of epochs in a cycle at which ten epochs cost less than two thirds."""
    from datadiet.chapters.dynamic_pruning.runs import planned_cost

    truth = next(every for every in range(1, 10) if planned_cost(10, fraction=0.5, warmup=1, every=every) < 2 / 3)
    return checks.number(answer, truth, 1e-9, {"any length would do without the scoring passes; they cost too.": 1})


def crossing(answer) -> Said:
    """Tokens at which tables of inner products take as many multiplications as the gradient."""
    return tried(answer, lambda d_in, d_out: d_in * d_out / (d_in + d_out), [(384, 1536), (7, 7), (768, 30)], {
        "this is the width of the layer; both widths count.": lambda d_in, d_out: d_in,
        "this is the smaller width; the crossing lies below it.": min,
        "this is the mean of the widths; the costs are d_in * d_out and n * (d_in + d_out) a token.": lambda a, b: (a + b) / 2,
        "this is twice the value: the harmonic mean, where half of it is asked for.": lambda a, b: 2 * a * b / (a + b),
    })  # fmt: skip


def uses(answer) -> Said:
    """Trainings from which on a subset is cheaper; a forward pass costs a third of a training step."""

    def bill(runs):
        return runs * (1 + 1 / 3)

    return tried(answer, lambda f, runs, epochs: math.floor(bill(runs) / ((1 - f) * epochs)) + 1,
                 [(0.5, 5, 3), (0.8, 5, 3), (0.5, 5, 10), (0.8, 5, 100), (0.7, 2, 7)], {
        "the scoring pass at the end of each run is left out.": lambda f, r, e: math.floor(r / ((1 - f) * e)) + 1,
        "the saving of a training is the share that is dropped, 1 - f.": lambda f, r, e: math.floor(bill(r) / (f * e)) + 1,
        "at that number it only costs as much; count one more where it is reached exactly, and round up.":
            lambda f, r, e: math.floor(bill(r) / ((1 - f) * e)),
    })  # fmt: skip


def seeds_needed(answer) -> Said:
    """Paired seeds for an interval of a half-width."""
    rng = _draws()
    inputs = [(rng.normal(0, 0.02, 5), width) for width in (0.01, 0.005, 0.003)]
    return tried(answer, lambda d, width: math.ceil((2 * np.std(d, ddof=1) / width) ** 2), inputs, {
        "the half-width falls with the root of the number of seeds, so square the ratio.":
            lambda d, width: math.ceil(2 * np.std(d, ddof=1) / width),
        "use n - 1 in the standard deviation of a few seeds (ddof=1).": lambda d, width: math.ceil((2 * np.std(d) / width) ** 2),
        "the half-width is two standard errors.": lambda d, width: math.ceil((np.std(d, ddof=1) / width) ** 2),
        "round up: a part of a seed cannot be run.": lambda d, width: math.floor((2 * np.std(d, ddof=1) / width) ** 2),
    })  # fmt: skip


def holm(answer) -> Said:
    """Holm's step-down method."""
    rng = _draws()

    def stepped(p, level=0.05):
        order, out = np.argsort(p), np.zeros(len(p), bool)
        for place, i in enumerate(order):
            if p[i] > level / (len(p) - place):
                break
            out[i] = True
        return out

    drawn = ([0.001, 0.0095, 0.011, 0.013, 0.02, 0.9], [0.02] * 4, [0.03, 0.001, 0.04])
    return tried(answer, stepped, [(rng.permutation(p),) for p in drawn], {
        "every p-value is compared with the same level; the k-th smallest has its own.": lambda p: p <= 0.05 / len(p),
        "nothing is corrected: every p-value below 0.05 is rejected.": lambda p: p < 0.05,
        "stop at the first that is not below its level; later ones are not rejected either.":
            lambda p: p <= 0.05 / (len(p) - np.argsort(np.argsort(p))),
    })  # fmt: skip


def tables(kept, random_quarter) -> Said:
    """Tables of a kept quarter, one in five right, and of a random one."""
    right, other = np.array([[25, 100], [100, 25]]), np.array([[100, 25], [25, 100]])
    return each_of(
        ("kept", checks.values(kept, right, {"here four in five are right; one in five was asked for.": other,
                                             "these are shares; give numbers of examples.": right / 250})),
        ("random_quarter", checks.values(random_quarter, other, {"a random quarter is right as often as the whole set.": right})),
    )  # fmt: skip


def parity(constant, perfect) -> Said:
    """Predictions with a demographic parity of 1 and an accuracy of 0.8, and of 1."""
    labels, women = np.arange(600) % 5 == 0, np.arange(600) % 2 == 1
    said = []
    for name, given, accuracy in (("constant", constant, 0.8), ("perfect", perfect, 1.0)):
        read = checks.values(given, labels, what="600 predictions of 0 or 1")
        if not read and ("nothing is filled in" in read.sentence or "shape" in read.sentence or "type" in read.sentence):
            return no(f"{name}: {read.sentence}")
        given = np.asarray(given).astype(float)
        rates = [given[group].mean() for group in (women, ~women)]
        if not np.isin(given, (0, 1)).all():
            return no(f"{name}: give predictions of 0 or 1.")
        if abs(rates[0] - rates[1]) > 1e-9:
            return no(f"{name}: the rates of complaint differ, {rates[0]:.2f} for women and {rates[1]:.2f} for men.")
        said.append((name, checks.number(float((given == labels).mean()), accuracy, 1e-9)))
    return each_of(*said)


def tags(right_tags, span_f1, exact) -> Said:
    """One of ten tags wrong: one of two slots, and the frame."""
    frame = yes("False.") if exact is False or isinstance(exact, np.bool_) and not exact else no(
        "nothing is filled in." if exact is ... else "the frame is exact only where every tag is right: True or False?")
    return each_of(
        ("right_tags", checks.number(right_tags, 0.9, 1e-6)),
        ("span_f1", checks.number(span_f1, 0.5, 1e-6, {"a slot counts as a whole or not at all.": 0.75,
                                                       "these are the tags; F1 counts slots.": 0.9})),
        ("exact", frame),
    )  # fmt: skip


def prior(values) -> Said:
    """EL2N of a model that predicts the class shares."""
    shares = np.array([0.7, 0.2, 0.1])
    return checks.values(values, scores.el2n([shares] * 3, [0, 1, 2]), {
        "sqrt(2) (1 - share) is EL2N of two classes; here are three.": np.sqrt(2) * (1 - shares),
        "these are squares; take the root.": scores.el2n([shares] * 3, [0, 1, 2]) ** 2,
    }, "three numbers, one a class")  # fmt: skip


def forms(answer) -> Said:
    """Four forms of the joint score, in a dict."""
    rng = _draws()
    inputs = [(float(rng.random()), rng.random(n)) for n in (1, 3, 20)]

    def four(intent, words):
        squares = intent**2 + (words**2).sum()
        return [np.sqrt(squares), intent + words.sum(), (intent + words.mean()) / 2, np.sqrt(squares / (1 + len(words)))]

    if not callable(answer):
        return tried(answer, four, inputs)

    def listed(intent, words):
        found = answer(intent, words)
        if found is None or found is ...:
            return None
        return [found[name] for name in ("norm", "sum", "mean", "rms")] if isinstance(found, dict) else list(found)

    return tried(listed, four, inputs, {
        "the mean is that of intent and words together; first average the words, then take the mean of both.":
            lambda intent, words: [*four(intent, words)[:2], (intent + words.sum()) / (1 + len(words)), four(intent, words)[3]],
        "the root mean square divides by the number of words and the intent, 1 + n.":
            lambda intent, words: [*four(intent, words)[:3], four(intent, words)[0] / np.sqrt(len(words))],
    })  # fmt: skip


KEYS: dict[str, Key] = {
    "ex-label-noise-1": Key(("redrawn",), redrawn),
    "ex-label-noise-2": Key(("correlation",), lambda answer: checks.number(answer, 1.0, 1e-6)),
    "ex-label-noise-3": Key(("share_wrong",), share_wrong),
    "ex-dynamic-pruning-1": Key(("answer",), cycle),
    "ex-joint-1": Key(("forms",), forms),
    "ex-joint-2": Key(("right_tags", "span_f1", "exact"), tags),
    "ex-weak-pool-4": Key(("seeds_needed",), seeds_needed),
    "ex-healthy-diet-1": Key(("constant", "perfect"), parity),
    "ex-healthy-diet-2": Key(("values",), prior),
    "ex-who-is-right-3": Key(("holm",), holm),
    "ex-what-all-runs-say-1": Key(("kept", "random_quarter"), tables),
    "ex-what-it-costs-1": Key(("crossing",), crossing),
    "ex-what-it-costs-2": Key(("uses",), uses),
}
