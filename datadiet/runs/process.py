"""The process that runs are computed in: memory that is freed stays, threads that wait sleep, nothing is reported to the hub.

A training step frees memory that the next one asks for again. By default glibc hands large blocks back to the system each time,
and the system clears every page before it gives it out anew; `benchmarks` measures what that costs. On a GPU torch's own
allocator keeps such memory; this asks the same of the C library.

Only the book, the command and the workers that they start are ours to change: importing the package changes nothing.
"""

import ctypes
import os
import platform
import signal
from functools import cache

TRIM, MMAP = -1, -3  # mallopt's names for its parameters
LARGEST = 32 * 2**20  # bytes; glibc takes no larger threshold for blocks that come from the heap
MOST = 2**31 - 1  # bytes of freed memory that are kept


def ours() -> None:
    """Set up this process as one of the book's, before torch is imported. Results are the same to the bit."""
    os.environ.update(_variables())
    keep_freed()


def environment() -> dict[str, str]:
    """The variables that set up a process yet to be started, a notebook's kernel, as :func:`ours` does from within.

    Those that the environment has already are left out.
    """
    return _variables() | ({"MALLOC_TRIM_THRESHOLD_": str(MOST), "MALLOC_MMAP_THRESHOLD_": str(LARGEST)} if _can_keep() else {})


def _variables() -> dict[str, str]:
    # OMP_... is read by torch when it is first imported: threads that wait for each other sleep instead of spinning. Where
    # another process wants the same cores, spinning makes small models many times slower, and a class shares its machines.
    # HF_... is read by the hub's client when it is first imported: it then does not report what is fetched.
    wanted = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {name: value for name, value in wanted.items() if name not in os.environ}


def _can_keep() -> bool:
    """Whether the C library is glibc, and not set up by the environment already (``MALLOC_...`` or ``GLIBC_TUNABLES``)."""
    return platform.libc_ver()[0] == "glibc" and not any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)


@cache
def keep_freed() -> bool:
    """Ask the C library to keep up to two gigabytes of freed memory, for the whole process; whether it does."""
    if not _can_keep():
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(MMAP, LARGEST) and library.mallopt(TRIM, MOST))


def gpus() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named or [str(number) for number in range(torch.cuda.device_count())]


def workers(devices: set[str], runs: int) -> tuple[int, str]:
    """(How many worker processes compute `runs` runs on `devices`, and why): a core each, or a GPU each; never more than runs."""
    import joblib  # counts as many cores as affinity and the limits of a container leave

    if devices == {"cpu"}:
        most, each = joblib.cpu_count(), "core"
    else:
        most, each = (len(gpus()), "GPU") if "cuda" in devices else (1, "device")
    count = max(1, min(most, runs))
    return count, f"{count} workers, one a {each}" if count == most else f"{count} workers, one a run"


def start_worker(free) -> None:
    """Set up a worker process: one thread, a GPU of its own from the queue `free`, interrupts left to its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ours()
    if free is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = free.get()  # read by CUDA when it is first used
    import torch

    torch.set_num_threads(1)
