"""Answers of students: what was filled in, read as numbers, and the sentence that a check says of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

import numpy as np

CLOSE = 1e-6  # relative difference of arrays that counts as none; answers in half or single precision get theirs


@dataclass(frozen=True)
class Said:
    """Whether an answer is right, and the sentence that says so, or what is wrong. True in an ``if`` where it is right."""

    right: bool
    sentence: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return f"{'Right' if self.right else 'Not yet'}: {self.sentence}"


def no(sentence: str) -> Said:
    return Said(False, sentence)


def yes(sentence: str) -> Said:
    return Said(True, sentence)


class Refused(Exception):
    """An answer that cannot be read; its message is the sentence."""


def filled_in(answer):
    """The answer, if there is one."""
    if answer is ... or answer is None:
        raise Refused("nothing is filled in; put your answer where the three dots stand.")
    return answer


def as_array(answer, kinds: str, wanted: str) -> tuple[np.ndarray, str]:
    """An answer as an array of numbers, and a remark where it was none."""
    answer, remark = filled_in(answer), ""
    if callable(answer):
        raise Refused(f"this is the function itself; call it, and give the {wanted} that it returns.")
    if isinstance(answer, list | tuple):
        remark = f" (It is a {type(answer).__name__}; np.asarray makes an array of it, with which one can compute.)"
    if hasattr(answer, "detach"):
        answer = answer.detach().cpu().numpy() if "bfloat16" not in str(answer.dtype) else answer.detach().cpu().float().numpy()
    try:
        values = np.asarray(answer)
    except ValueError:
        raise Refused(f"the rows have different lengths, so they are no array; the answer is {wanted}.") from None
    if values.dtype.kind not in "fiub":
        raise Refused(f"the answer has type {values.dtype}, which holds no numbers; the answer is {wanted}.")
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise Refused(f"{int(np.isnan(values).sum())} of {values.size} entries are NaN; look for a division by zero, the "
                       "logarithm of zero, or a run that is missing.")
    if values.dtype.kind not in kinds:
        raise Refused(f"the answer has type {values.dtype}; the answer is {wanted}.")
    return values, remark


def same(one, other) -> bool:
    """Whether two arrays are one, up to the rounding of the coarser type."""
    one, other = np.asarray(one), np.asarray(other)
    if one.shape != other.shape:
        return False
    coarse = max((np.finfo(each.dtype).eps for each in (one, other) if each.dtype.kind == "f"), default=0.0)
    return bool(np.allclose(one.astype(float), other.astype(float), rtol=max(CLOSE, 16 * coarse), atol=max(1e-9, 4 * coarse)))


def checking(check: Callable[..., Said]) -> Callable[..., Said]:
    """A check whose unreadable answers become sentences."""

    @wraps(check)
    def checked(*args, **kwargs) -> Said:
        try:
            return check(*args, **kwargs)
        except Refused as problem:
            return no(str(problem))

    return checked
