"""A course made of the book: notebooks for students and instructors, slides, the published runs as tables.

    datadiet course OUT                         # writes all of it
    check("ex-label-noise-1", redrawn)          # in a student's notebook: right, or in a sentence what is wrong
"""

import difflib

from datadiet.errors import InputError


def check(label: str, *answers):
    """Say of the answers to an exercise that they are right, or what is wrong.

    Raises
    ------
    InputError
        No such exercise, or more or fewer answers than it asks for.
    """
    from datadiet.course.keys import KEYS

    if label not in KEYS:
        near = difflib.get_close_matches(label, KEYS, n=1)
        raise InputError(f"course.check: no exercise {label!r} has a check.{f' Did you mean {near[0]!r}?' if near else ''}")
    if len(answers) != len(KEYS[label].names):
        raise InputError(f"course.check: {label!r} was given {len(answers)} answers; it asks for {', '.join(KEYS[label].names)}.")
    return KEYS[label].check(*answers)
