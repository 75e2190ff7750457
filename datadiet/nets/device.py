"""The device: which one a run trains on, and in which precision. Nothing else asks torch for it."""

from contextlib import contextmanager, nullcontext
from functools import cache

from datadiet.errors import InputError

PRECISION = {"cpu": "float32", "cuda": "bfloat16", "mps": "float32"}  # of a training pass, where nothing else is asked
PRECISIONS = ("float32", "bfloat16")
EVAL_BATCH = {"cpu": 32, "cuda": 512, "mps": 128}  # examples of a scoring pass: they fit a cache, or keep a GPU busy


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
        raise InputError(f"device: the run asks for {asked!r}, this machine has {has}; run it where there is one, or ask for a "
                         "device that is here.")
    return asked


def name_of(where) -> str:
    """Name of a device of torch, or of a run, without its number: "cpu", "cuda" or "mps"."""
    return str(where).partition(":")[0]


def autocast(where, precision: str):
    """A context whose matrix products on the device are in `precision`; in "float32" nothing changes."""
    import torch

    return nullcontext() if precision == "float32" else torch.autocast(name_of(where), getattr(torch, precision))


def _generators(where) -> list:
    """Modules of torch whose random states a run on the device draws from: the processor's, and a GPU's."""
    import torch

    return [torch.random] + [getattr(torch, name) for name in ("cuda", "mps") if name == name_of(where)]


def seed(where, number: int) -> None:
    """Seed the processor's generator and that of the device; ``torch.manual_seed`` would seed those of all GPUs."""
    import torch

    torch.default_generator.manual_seed(number)
    for module in _generators(where)[1:]:
        module.manual_seed(number)


@contextmanager
def seeded(where, number: int):
    """Random draws from a seed, on the processor and the device; both generators are left as they were found."""
    modules = _generators(where)
    before = [module.get_rng_state() for module in modules]
    seed(where, number)
    try:
        yield
    finally:
        for module, state in zip(modules, before, strict=True):
            module.set_rng_state(state)
