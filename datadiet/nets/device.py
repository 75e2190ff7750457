"""The device: which one a run trains on, in which precision, and all else that differs between devices. Nothing else asks torch.

Nothing here imports torch before it is needed: a command that only prints does not wait for it.
"""

import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from functools import cache

from datadiet.errors import InputError

PRECISION = {"cpu": "float32", "cuda": "bfloat16", "mps": "float32"}  # of a training pass, where nothing else is asked
PRECISIONS = ("float32", "bfloat16")
EVAL_BATCH = {"cpu": 32, "cuda": 512, "mps": 128}  # examples of a scoring pass: they fit a cache, or keep a GPU busy
NORM_BATCH = {"cpu": 64, "cuda": 256, "mps": 64}  # examples whose gradient norms are taken at once; not measured on a GPU
# Whether a quick run has static shapes and a captured update: a GPU loses more time to waiting for work than to padding.
STATIC = {"cpu": False, "cuda": True, "mps": False}


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


def _here() -> dict[str, bool]:
    import torch

    return {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


def is_here(asked: str) -> bool:
    """Whether this machine has the device of a run."""
    return _here().get(asked, False)


def check(asked: str) -> str:
    """The device of a run, which this machine must have.

    Raises
    ------
    InputError
        A device that this machine has not.
    """
    if not is_here(asked):
        has = ", ".join(name for name, good in _here().items() if good)
        raise InputError(f"device: the run asks for {asked!r}, this machine has {has}; run it where there is one, or ask for a "
                         "device that is here.")
    return asked


def repeats(where) -> bool:
    """Whether a run on the device comes out again to the bit: on a processor; a GPU adds up in an order of its own."""
    return name_of(where) == "cpu"


def starts_slowly(where) -> bool:
    """Whether the first updates on the device cost more than others: kernels are loaded, shapes prepared, updates captured."""
    return name_of(where) != "cpu"


def name_of(where) -> str:
    """Name of a device of torch, or of a run, without its number: "cpu", "cuda" or "mps"."""
    return str(where).partition(":")[0]


def autocast(where, precision: str):
    """A context whose matrix products on the device are in `precision`; in "float32" nothing changes."""
    import torch

    return nullcontext() if precision == "float32" else torch.autocast(name_of(where), getattr(torch, precision))


def static(where, quick: bool) -> bool:
    """Whether a run on the device has static shapes (see :mod:`datadiet.training.static`), and a captured update."""
    return quick and STATIC[name_of(where)]


def is_gpu(where) -> bool:
    """Whether the device, of torch or of a run, is a GPU."""
    return name_of(where) in ("cuda", "mps")


def cuts_batches(where) -> bool:
    """Whether a quick run cuts batches where that saves padding: on a processor, never on a GPU, which waits for work."""
    return name_of(where) == "cpu"


def attention(where, quick: bool):
    """A context for quick runs on a CUDA GPU in which cuDNN's attention is not chosen; elsewhere nothing changes.

    It builds a plan for every shape that it has not seen, and scoring passes and the first updates are of shapes not seen.
    """
    if not quick or name_of(where) != "cuda":
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])


def lay_out(model, where) -> None:
    """Order the weights of convolutions with the channel last on a CUDA GPU, in place: its kernels want them so."""
    import torch

    if name_of(where) == "cuda":
        model.to(memory_format=torch.channels_last)  # the activations of a convolution take the order of its weights


def gpu() -> str | None:
    """Name of this machine's CUDA GPU; None where there is none."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def cards() -> list[tuple[str, float, float]]:
    """Name of each CUDA GPU that torch sees, and GiB of its memory that are free, and in all.

    Asking makes a context of this process on each, which takes some memory itself.
    """
    import torch

    numbers = range(torch.cuda.device_count())
    return [(torch.cuda.get_device_name(n), *(size / 2**30 for size in torch.cuda.mem_get_info(n))) for n in numbers]


def cuda_release() -> str | None:
    """The release of CUDA that torch was built for; None where it was built without."""
    import torch

    return torch.version.cuda


def wait(where) -> None:
    """Return when the device has done all that it was asked; at once on a processor."""
    import torch

    if is_gpu(where):
        getattr(torch, name_of(where)).synchronize()


class Stopwatch:
    """Seconds spent inside its contexts, in all. The device is waited for at both ends: its work counts where it was asked."""

    def __init__(self, where):
        self.where, self.seconds = where, 0.0

    def running(self):
        """A context whose seconds count."""
        return self._counting(1)

    def paused(self):
        """A context within :meth:`running` whose seconds do not."""
        return self._counting(-1)

    @contextmanager
    def _counting(self, sign: int):
        wait(self.where)
        start = time.perf_counter()
        try:
            yield
        finally:
            wait(self.where)
            self.seconds += sign * (time.perf_counter() - start)


@cache  # a stream has memory of its own
def _second_stream(number: int):
    import torch

    return torch.cuda.Stream(number)


@contextmanager
def aside(where):
    """A context whose work a CUDA GPU does in a stream of its own, after all before it and before all after it.

    Work that is to be captured is first done so. On other devices nothing changes.
    """
    if name_of(where) != "cuda":
        yield
        return
    import torch

    usual, other = torch.cuda.current_stream(), _second_stream(torch.cuda.current_device())
    other.wait_stream(usual)
    with torch.cuda.stream(other):
        yield
    usual.wait_stream(other)


def recorded(run: Callable, pool=None):
    """A CUDA graph of the work that ``run()`` asks for, none of which is done: ``replay()`` does it, as often as it is called.

    Random draws are those of torch's current generator, from the place where it is at each replay. Memory is that of `pool`, of
    a graph's ``pool()``, or new. If ``run`` cannot be captured the error is torch's, and torch can be used as before.
    """
    import torch

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(torch.cuda.current_stream()):  # a capture that fails leaves its own stream the current one
        try:
            with torch.cuda.graph(graph, pool=pool):
                run()
        except Exception:
            # Some releases of torch then leave the generator in the state of capture, where it refuses to draw: take a copy's.
            generator = torch.cuda.default_generators[torch.cuda.current_device()]
            generator.graphsafe_set_state(generator.clone_state())
            raise
    return graph


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


def random_states(where) -> list:
    """States of the processor's generator and of that of the device, tensors of bytes."""
    return [module.get_rng_state() for module in _generators(where)]


def set_random_states(where, states: list) -> None:
    """Back to where :func:`random_states` were taken."""
    for module, state in zip(_generators(where), states, strict=True):
        module.set_rng_state(state)


@contextmanager
def seeded(where, number: int):
    """Random draws from a seed, on the processor and the device; both generators are left as they were found."""
    before = random_states(where)
    seed(where, number)
    try:
        yield
    finally:
        set_random_states(where, before)
