"""Contestants of a made-up race; a module of its own, since each is called in another process."""

import os
import time

import numpy as np


def sleeper(seconds, answer):
    def once(number):
        time.sleep(seconds)
        return {"answer": np.array(answer, float)}

    return once


def teller(seconds):
    return lambda number: {"seconds": seconds * (number + 2), "test_accuracy": 0.5}


def broken():
    raise ValueError("no such thing\nmore")


def breaks_later():
    def once(number):
        if number > 0:
            raise RuntimeError("tired")

    return once


def tiring():
    """Its first call after the warm-up is slow."""
    calls = iter([1.0, 9.0, 2.0, 3.0, 9.0, 2.0, 3.0])
    return lambda number: {"seconds": next(calls)}


def dies():
    """Its process ends in the middle of a call, as one does that is killed for want of memory."""
    return lambda number: os._exit(7)
