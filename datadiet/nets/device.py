"""The device: which one a run trains on, and in which precision. Nothing else asks torch for it."""

from functools import cache

from datadiet.errors import InputError

PRECISION = {"cpu": "float32", "cuda": "bfloat16", "mps": "float32"}  # of a training pass, where nothing else is asked


@cache
def best() -> str:
    """The device of this machine that trains fastest: "cuda", "mps" or "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def resolved(asked: str) -> str:
    """The device that a setting means: itself, or for "auto" the best of this machine.

    Raises
    ------
    InputError
        An unknown device.
    """
    if asked not in ("auto", *PRECISION):
        raise InputError(f"device: {asked!r}; choose one of auto, {', '.join(PRECISION)}.")
    return best() if asked == "auto" else asked


def check(asked: str) -> str:
    """The device of a run, which this machine must have.

    Raises
    ------
    InputError
        A device that this machine has not.
    """
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(asked, False):
        has = ", ".join(name for name, good in there.items() if good)
        raise InputError(f"device: the run asks for {asked!r}, this machine has {has}; run it there, or ask for device: auto.")
    return asked
