"""Checks of exercises: each looks at an answer and says in one sentence that it is right, or what is wrong with it.

    checks.kept(answer, el2n, 0.1)                                   # positions of the examples to keep
    checks.score(my_el2n, scores.el2n)                               # a function, tried on fresh random predictions
    checks.number(answer, 0.31, within=0.005)                        # one number
    checks.values(answer, truth, {"The norm is of the mean": other})  # an array, and the arrays of common mistakes
    checks.probabilities(answer)
    checks.gain(answer, hardest, random)                             # a paired difference over seeds
    checks.chosen(answer, validation, test)                          # what was to be chosen without the test set
    checks.choice(answer, "random", {"middle": "It has its own bias"})

An answer that is not filled in yet, and one of the wrong type, get a sentence too: a check never raises because of an answer.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from datadiet import prune
from datadiet.chapters.answers import Refused, Said, as_array, checking, filled_in, no, same, yes
from datadiet.chapters.mistakes import of_kept, of_score
from datadiet.errors import InputError

ROUNDS = 5  # fresh inputs that a function is tried on


@checking
def number(answer, truth: float, within: float = 0.005, wrong: dict[str, float] | None = None) -> Said:
    """One number, right where it is less than `within` from the truth.

    Parameters
    ----------
    answer : float
    truth : float
    within : float
        Half of the last digit that was asked for.
    wrong : dict
        Sentence -> the number of a common mistake, of this exercise. The sign, the share left over and the percentage are known.

    Examples
    --------
    >>> number(0.314, 0.31), number(31, 0.31)
    (Right: 0.314., Not yet: this looks like a percentage; a share lies between 0 and 1.)
    """
    if isinstance(filled_in(answer), str):
        raise Refused(f"{answer!r} is text; give the number without quotes.")
    values, _ = as_array(answer, "fiub", "one number")
    if values.dtype.kind == "b":
        raise Refused("the answer is True or False; the question asks for a number.")
    if values.ndim:
        raise Refused(f"the answer has shape {values.shape}; give one number"
                       + (", answer[0]." if values.size == 1 else ": which of them, or a mean of them?"))
    value = float(values)
    if not np.isfinite(value):
        raise Refused("the answer is infinite; look for a division by zero.")
    if abs(value - truth) <= within:
        return yes(f"{value:.4g}.")
    known = dict(wrong or {}) | {
        "the sign is turned; which of the two is taken from which?": -truth,
        "this is the share left over, one less the share that was asked for.": 1 - truth,
        "this looks like a percentage; a share lies between 0 and 1.": 100 * truth,
        "this looks like a share; a percentage was asked for.": truth / 100,
    }
    for sentence, mistake in known.items():
        near = max(abs(mistake) * within / max(abs(truth), within), min(within, abs(mistake) / 2))
        if abs(value - mistake) <= near and abs(mistake - truth) > within:
            return no(sentence)
    if float(truth).is_integer() and within < 1 and abs(value - truth) == 1:
        return no(f"{value:.4g} is off by one; do you count both ends, or neither?")
    return no(f"{value:.4g} is too {'large' if value > truth else 'small'}.")


@checking
def values(answer, truth, wrong: dict | None = None, what: str = "an array of numbers") -> Said:
    """An array, entry by entry.

    Parameters
    ----------
    answer, truth : array
    wrong : dict
        Sentence -> the array of a common mistake, of this exercise.
    what : str
        The noun that an answer of another kind is told.

    Examples
    --------
    >>> values(np.array([2.0, 1.0]), [1.0, 2.0])
    Not yet: these are the right numbers in another order; entry i belongs to example i.
    """
    truth = np.asarray(truth)
    given, remark = as_array(answer, "fiub" if truth.dtype.kind == "b" else "fiu", what)
    for sentence, mistake in (wrong or {}).items():
        if same(given, mistake) and not same(mistake, truth):
            return no(sentence)
    if given.shape != truth.shape:
        hint = "; the axes are turned" if given.shape == truth.shape[::-1] else ""
        return no(f"the answer has shape {given.shape} where {truth.shape} is asked for{hint}.")
    if same(given, truth):
        return yes(f"all {truth.size} entries agree.{remark}")
    if truth.dtype.kind == "f" and given.dtype.kind in "iu" and same(given, np.trunc(truth)):
        return no(f"the answer has type {given.dtype}, so that all decimals are cut off; keep floating-point numbers.")
    if truth.dtype.kind != "b" and same(given, -truth):
        return no("the sign is turned: here higher means harder.")
    if same(np.sort(given, axis=None), np.sort(truth, axis=None)):
        return no("these are the right numbers in another order; entry i belongs to example i.")
    off = ~np.isclose(given.astype(float), truth.astype(float), rtol=1e-3, atol=1e-6)
    place = tuple(int(i) for i in np.argwhere(off)[0]) if off.any() else (0,) * truth.ndim
    return no(f"{max(1, int(off.sum()))} of {truth.size} entries differ, the first at {place if len(place) != 1 else place[0]}: "
              f"{float(given[place]):.4g}, where {float(truth[place]):.4g} is right.")


@checking
def kept(answer, scores, fraction: float, rule: str = "hardest", offset: float = 0.0, labels=None) -> Said:
    """Positions of the examples that :func:`datadiet.prune.keep` keeps, in any order.

    Parameters
    ----------
    answer : integer array
    scores, fraction, rule, offset, labels
        As ``prune.keep`` has them; the rule "random" has no right answer.

    Examples
    --------
    >>> kept(np.array([0, 1]), [0.1, 0.2, 0.8, 0.9], 0.5)
    Not yet: this is the other end: these are the easiest. Higher means harder, so the hardest have the highest scores.
    """
    if rule in ("random", "stratified"):
        raise InputError(f"checks.kept: the rule {rule!r} draws at random, so that no answer is right; check its size.")
    truth, n = prune.keep(scores, fraction, rule, offset, labels), len(scores)
    given, remark = as_array(answer, "fiub", "positions, whole numbers from 0")
    if given.ndim != 1:
        raise Refused(f"the answer has shape {given.shape}; give one row of positions.")
    if given.dtype.kind == "b":
        found = "" if len(given) == n and np.array_equal(np.flatnonzero(given), truth) else ", but of other examples"
        raise Refused(f"this is a mask of True and False{found}; np.flatnonzero turns a mask into positions.")
    if given.dtype.kind == "f":
        whole = np.array_equal(given, np.round(given))
        hint = "positions are whole numbers, .astype(int) makes them so" if whole else (
            "these look like scores; np.argsort gives the positions that put scores in order")
        raise Refused(f"the answer has type {given.dtype}; {hint}.")
    if len(np.unique(given)) < len(given):
        return no(f"{len(given) - len(np.unique(given))} positions stand there more than once.")
    if len(given) and (given.min() < 0 or given.max() >= n):
        return no(f"the positions go from {given.min()} to {given.max()}; those of {n} examples go from 0 to {n - 1}.")
    if np.array_equal(np.sort(given), truth):
        return yes(f"the {len(truth)} examples of {n}.{remark}")
    return no(of_kept(np.sort(given), truth, scores, fraction, rule, offset, labels))


@checking
def score(answer: Callable, truth: Callable, classes: int = 4, runs: bool = False, seed: int | None = None) -> Said:
    """A function ``answer(probs [N, K], labels [N])``, compared with the true one on fresh random predictions.

    An answer that is right for the predictions of a page by luck is found out by others: sure hits, sure misses, two classes.

    Parameters
    ----------
    answer, truth : function
        Of probabilities and labels, with `runs` of probabilities [R, N, K].
    classes : int
        K.
    runs : bool
        Whether several runs are given, over which the truth averages.
    seed : int, optional
        Of the predictions; drawn anew where not given, and said where the answer is wrong.
    """
    if not callable(filled_in(answer)):
        raise Refused(f"the answer is a {type(answer).__name__}; give the function itself, without calling it.")
    seed = int(np.random.default_rng().integers(2**31)) if seed is None else seed
    rng, sentences, good = np.random.default_rng(seed), [], 0
    for number_of in range(ROUNDS):
        k, n = (2 if number_of == 1 else classes), 40
        logits = rng.normal(0, 3, (3, n, k) if runs else (n, k))
        probs = np.exp(logits - logits.max(-1, keepdims=True))
        probs, labels = probs / probs.sum(-1, keepdims=True), rng.integers(0, k, n)
        if number_of == 2:  # certainties, where a logarithm or a root may go wrong
            probs[..., :4, :] = np.eye(k)[rng.integers(0, k, 4)]
        before, right = (probs.copy(), labels.copy()), np.asarray(truth(probs, labels))
        try:
            given = answer(probs, labels)
        except Exception as problem:  # of the student's own code, whatever it is
            return no(f"the function raised {type(problem).__name__}: {problem}")
        if not (np.array_equal(before[0], probs) and np.array_equal(before[1], labels)):
            return no("the function changes the arrays it is given; the next line of a page would then see other numbers. "
                      "Work on a copy.")
        if given is None or given is ...:
            return no("the function returns nothing; does it end with return?")
        said = values(given, right, of_score(logits, *before), "one number an example")
        good += said.right
        sentences += [] if said.right else [said.sentence]
    if not sentences:
        return yes(f"the same as the true one on {ROUNDS} sets of random predictions.")
    if good:
        return no(f"right on {good} of {ROUNDS} sets of random predictions and wrong on the others (seed {seed}): {sentences[0]}")
    return no(sentences[0])


@checking
def probabilities(answer, shape: tuple | None = None) -> Said:
    """Rows of probabilities [N, K].

    Examples
    --------
    >>> probabilities(np.array([[2.0, 1.0], [0.5, 0.5]]))
    Not yet: the first row adds up to 3, not to 1; divide each row by its sum.
    """
    given, remark = as_array(answer, "fiu", "a table of probabilities, a row an example")
    if shape is not None and given.shape != shape:
        return no(f"the answer has shape {given.shape} where {shape} is asked for.")
    if given.ndim < 2:
        return no(f"the answer has shape {given.shape}; give a row an example and a column a class.")
    if np.isinf(given).any():
        return no("some entries are infinite; take the largest logit of a row away from the row before np.exp.")
    sums = given.sum(-1)
    if np.allclose(sums, 1, atol=_tolerance(given)) and (given >= 0).all():
        return yes(f"every row adds up to 1.{remark}")
    if (given <= 0).all() and np.allclose(np.exp(given).sum(-1), 1, atol=1e-3):
        return no("these are logarithms of probabilities; np.exp turns them into probabilities.")
    if (given >= 0).all() and np.allclose(given.sum(-2), 1, atol=1e-3):
        return no("the columns add up to 1, not the rows; sum over the last axis, with keepdims=True.")
    if (given < 0).any():
        return no("some entries are negative, so these are logits; the softmax makes probabilities of them.")
    if np.allclose(given.sum(), 1, atol=1e-3):
        return no("all entries together add up to 1; each row must, for each example has one label.")
    return no(f"the first row adds up to {float(np.ravel(sums)[0]):.4g}, not to 1; divide each row by its sum.")


def _tolerance(given: np.ndarray) -> float:
    """How far a row may miss the sum 1: 0.004 in half precision, as :mod:`datadiet.scores` has it."""
    return 4e-3 if given.dtype == np.float16 else 1e-5


@checking
def gain(answer, one: pd.Series, other: pd.Series, within: float = 5e-4) -> Said:
    """The mean over seeds of the paired difference ``one - other``, both indexed by seed."""
    both = pd.concat([one.rename("one"), other.rename("other")], axis=1).dropna()
    if both.empty:
        raise InputError("checks.gain: no seed is in both arms; give two arms of the same seeds.")
    pairs = both["one"] - both["other"]
    wrong = {
        "the sign is turned; the gain is the first arm less the second.": -pairs.mean(),
        "this is the mean of the sizes of the differences; keep their signs and average then.": pairs.abs().mean(),
        "this is the sum over seeds; divide it by their number.": pairs.sum(),
        "this is the median; the mean was asked for.": pairs.median(),
        "this is the difference of the best seeds; compare seed with seed.": both["one"].max() - both["other"].max(),
        "these are all seeds of each arm, also those without a partner; drop them first.": one.mean() - other.mean(),
        "this is the spread over seeds, not the mean.": pairs.std(),
        "this is a ratio; the difference was asked for.": both["one"].mean() / both["other"].mean(),
    }
    return number(answer, float(pairs.mean()), within, wrong)


@checking
def chosen(answer, validation: dict, test: dict) -> Said:
    """A candidate that was to be chosen by the validation set.

    Parameters
    ----------
    answer
        A key of `validation`.
    validation, test : dict or pandas.Series
        Candidate -> accuracy on that split.

    Examples
    --------
    >>> chosen(0.5, {0.3: 0.80, 0.5: 0.79}, {0.3: 0.75, 0.5: 0.78})
    Not yet: this is the best on the test set: what is chosen there is no longer tested. Choose on the validation set.
    """
    validation, test, answer = dict(validation), dict(test), filled_in(answer)
    try:
        known = answer in validation
    except TypeError:
        known = False
    if not known:
        names = ", ".join(map(str, validation))
        where = " This is an accuracy; give the name it belongs to." if isinstance(answer, float) and (
            answer in validation.values() or answer in test.values()) else ""
        seen = repr(answer) if isinstance(answer, str | int | float) else f"a {type(answer).__name__}"
        return no(f"{seen} is none of the candidates: {names}.{where}")
    best = {name for name, value in validation.items() if value == max(validation.values())}
    best_on_test = {name for name, value in test.items() if value == max(test.values())}
    if answer in best:
        same = " (It is the best on the test set too, so that this check cannot see where you looked.)"
        same = same if answer in best_on_test else ""
        return yes(f"{answer!r} is the best on the validation set.{same}")
    if answer in best_on_test:
        return no("this is the best on the test set: what is chosen there is no longer tested. Choose on the validation set.")
    worst = validation[answer] == min(validation.values())
    return no(f"{answer!r} is {'the worst' if worst else 'not the best'} on the validation set.")


@checking
def choice(answer, right: str, because: dict[str, str] | None = None) -> Said:
    """One word of a few.

    Parameters
    ----------
    answer, right : str
        Capitals and spaces at the ends do not matter.
    because : dict
        Each other word -> why it is not the answer.

    Examples
    --------
    >>> choice("Easiest ", "random", {"easiest": "the easiest say nothing about the score"})
    Not yet: the easiest say nothing about the score.
    """
    because = because or {}
    words = ", ".join(sorted({right, *because}))
    if not isinstance(filled_in(answer), str):
        raise Refused(f"the answer is a {type(answer).__name__}; give one word in quotes, of {words}.")
    word = answer.strip().casefold()
    if word == right.casefold():
        return yes(f"{right}.")
    for wrong, why in because.items():
        if word == wrong.casefold():
            return no(why.rstrip(".") + ".")
    return no(f"{answer!r} is none of {words}.")
