"""A student's function, tried on fresh input beside the true one and beside the functions of common mistakes."""

from collections.abc import Callable

import numpy as np

from datadiet.chapters import checks
from datadiet.chapters.answers import Said, no, yes


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


def draws() -> np.random.Generator:
    """Fresh input every time: an answer is not to fit the last one."""
    return np.random.default_rng()
