"""Keys of exercises: the names of a student's answers, and the function that checks them. The notebook shows no truth."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from datadiet import prune, scores
from datadiet.chapters import checks
from datadiet.chapters.answers import Said, as_array, checking, no, same, yes
from datadiet.course import published
from datadiet.course.tried import draws, each_of, tried


class Key(NamedTuple):
    """Names of the stub of an exercise, most of them to be filled in, and the check of their values."""

    names: tuple[str, ...]
    check: Callable[..., Said]


def redrawn(answer) -> Said:
    """Labels of which a share is drawn anew from all classes: fewer than the share are wrong."""
    rng, said = draws(), []
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
    rng = draws()
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
    rng = draws()
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
    rng = draws()

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
        "sqrt(2) (1 - p_y) is EL2N of two classes; here are three.": np.sqrt(2) * (1 - shares),
        "these are squares; take the root.": scores.el2n([shares] * 3, [0, 1, 2]) ** 2,
    }, "three numbers, one a class")  # fmt: skip


def of_two(three_scores) -> Said:
    """EL2N, loss and margin of a label with the probability 0.3, of two classes."""
    right = np.array([np.sqrt(2) * 0.7, -np.log(0.3), 1 - 2 * 0.3])
    return checks.values(three_scores, right, {
        "the margin is the largest other probability minus that of the label.": right * [1, 1, -1],
        "EL2N is the length of the error vector, which has two entries.": [0.7, *right[1:]],
    }, "EL2N, loss and margin, in this order")  # fmt: skip


def updates(answer) -> Said:
    """Updates of a run whose last batch of an epoch may be smaller."""
    return tried(answer, lambda n, epochs, batch=32: epochs * math.ceil(n / batch), [(109, 3), (545, 3), (2726, 5, 16)], {
        "the last batch of an epoch may be smaller and is an update too: round up.":
            lambda n, epochs, batch=32: epochs * math.floor(n / batch),
        "round up in each epoch: no batch reaches from one epoch into the next.":
            lambda n, epochs, batch=32: math.ceil(epochs * n / batch),
    })  # fmt: skip


def forms(answer) -> Said:
    """Four forms of the joint score, in a dict."""
    rng = draws()
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


def in_common(margin, common, el2n) -> Said:
    """Margins of the examples, and the share of the hardest tenth that they have in common with EL2N of the same page."""
    read = _margins(margin, el2n)
    if not read:
        return no(f"margin: {read.sentence}")
    chosen = {end: [set(prune.keep(each, 0.1, end)) for each in (margin, el2n)] for end in ("hardest", "easiest")}
    (one, other), (low, lower) = chosen.values()
    both, size = len(one & other), len(one)
    return each_of(("common", checks.number(common, both / size, 0.005, {
        "these are the easiest; the hardest have the highest scores.": len(low & lower) / size,
        "this is the share of all that either has; divide by the size of one of the two tenths.": both / len(one | other),
        "this is the number of examples in common; divide it by the size of a tenth.": both,
    })))  # fmt: skip


@checking
def _margins(margin, el2n) -> Said:
    given, own = (as_array(each, "fiu", "one number an example")[0] for each in (margin, el2n))
    if given.shape != own.shape:
        return no(f"it has shape {given.shape} where {own.shape} is asked for; give one number an example, the mean over runs.")
    if same(given, own):
        return no("this is EL2N once more.")
    if np.abs(given).max() > 1:
        return no("a margin lies between -1 and 1; average over the runs, and give probabilities to scores.margin.")
    if np.corrcoef(np.argsort(np.argsort(given)), np.argsort(np.argsort(own)))[0, 1] < 0:
        return no("the order is turned: here higher means harder.")
    return yes("one margin an example.")


def found(answer) -> Said:
    """Share of the flipped labels among the first of an order."""
    rng = draws()
    inputs = [(rng.permutation(200), rng.permutation(200) < 30, share) for share in (0.1, 0.2, 0.5)]

    def first(order, share):
        return order[: round(share * len(order))]

    return tried(answer, lambda order, flipped, share: flipped[first(order, share)].sum() / flipped.sum(), inputs, {
        "this divides by the number of examples read; divide by the number of all flipped labels.":
            lambda order, flipped, share: flipped[first(order, share)].mean(),
        "this divides by the number of all examples; divide by the number of flipped labels.":
            lambda order, flipped, share: flipped[first(order, share)].sum() / len(order),
        "this is the number of flipped labels found; divide it by the number of all flipped labels.":
            lambda order, flipped, share: flipped[first(order, share)].sum(),
        "these are the first examples of the set; read them in the order that is given.":
            lambda order, flipped, share: flipped[: round(share * len(order))].sum() / flipped.sum(),
        "this reads from the end of the order; its first entry is the first to be read.":
            lambda order, flipped, share: flipped[first(order[::-1], share)].sum() / flipped.sum(),
        "order holds the position of the example that is read first, and so on; it is not the rank of example i.":
            lambda order, flipped, share: flipped[order < round(share * len(order))].sum() / flipped.sum(),
    })  # fmt: skip


def barrier(answer) -> Said:
    """Largest height of errors above the straight line between the first and the last."""
    from datadiet.training import landscape

    rng = draws()
    dip, hill = [0.3, 0.1, 0.0, 0.2, 0.5], [0.1, 0.5, 0.4, 0.3, 0.2]
    inputs = [(line,) for line in (hill, dip, [0.1, 0.2, 0.3], [0.1, 0.3, 0.3], [float(each) for each in rng.random(5)])]

    def heights(errors):
        return np.asarray(errors) - np.linspace(errors[0], errors[-1], len(errors))

    return tried(answer, landscape.barrier, inputs, {
        "this is the height above the better end; a future that is merely worse than the other makes no barrier.":
            lambda errors: max(errors) - min(errors[0], errors[-1]),
        "this is the height above the worse end; the straight line between the two ends is lower.":
            lambda errors: max(errors) - max(errors[0], errors[-1]),
        "this is the height above the mean of the two ends; take the straight line between them, at each place its own height.":
            lambda errors: max(errors) - (errors[0] + errors[-1]) / 2,
        "this is the error at the highest place; take away the straight line between the two ends.": max,
        "this is the mean height; the largest one was asked for.": lambda errors: heights(errors).mean(),
        "this is the height in the middle of the line; look for the largest one at all places.":
            lambda errors: heights(errors)[len(errors) // 2],
        "a line that lies below has the barrier 0; the two ends are places on the line as well.":
            lambda errors: heights(errors)[1:-1].max(),
    })  # fmt: skip


KEYS: dict[str, Key] = {
    "ex-quickstart-1": Key(("margin", "common", "el2n"), in_common),
    "ex-quickstart-2": Key(("found",), found),
    "ex-scores-1": Key(("by_hand",), prior),
    "ex-more-scores-1": Key(("three_scores",), of_two),
    "ex-over-time-1": Key(("forgotten_times",), lambda answer: checks.number(answer, 2, 1e-6)),
    "ex-pairs-1": Key(("two_lengths",), lambda answer: checks.values(answer, [1.0, 1.5], {
        "the intent has an error too: 1 + n terms under the root.": 0.5 * np.sqrt([3, 8])}, "two numbers")),
    "ex-pruning-fractions-2": Key(("updates",), updates),
    "ex-loss-landscape-1": Key(("my_barrier",), barrier),
    "ex-loss-landscape-2": Key(("outside",), published.outside),
    "ex-loss-landscape-3": Key(("epochs_by_height",), published.heights),
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
