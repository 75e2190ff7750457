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
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from datadiet.nets import device

TRIM, MMAP = -1, -3  # mallopt's names for its parameters
LARGEST = 32 * 2**20  # bytes; glibc takes no larger threshold for blocks that come from the heap
MOST = 2**31 - 1  # bytes of freed memory that are kept
SMALL = ("tiny", "minilm", "minilm-mean", "convnet", "resnet-small", "resnet18")  # encoders that share a GPU without asking
NEED, NEED_OF_OTHERS = 4, 16  # GiB of a GPU for a worker of those, and of others: room that was set, not measured


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
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them, in the order in which torch counts them."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return (named or [str(number) for number in range(count)])[:count]


def mps() -> bool:
    """Whether CUDA's Multi-Process Service runs: whether its control daemon has a pipe in the folder of its pipes.

    With it the work of several processes is done on a GPU at the same time, without it they take turns. It is the machine's
    owner who starts it; nothing here does.
    """
    return (Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY") or "/tmp/nvidia-mps") / "control").exists()


def need(runs: list[dict]) -> int:
    """GiB of a GPU's memory that a worker is given room for, by the largest encoder among `runs`."""
    return max((NEED if run["encoder"] in SMALL else NEED_OF_OTHERS for run in runs if run["device"] == "cuda"), default=NEED)


@dataclass(frozen=True)
class Workers:
    """How many worker processes a sweep starts, the GPU of each (none where they use no GPU), and why so many, in words."""

    count: int
    gpus: list[str]
    words: str


def workers(devices: set[str], runs: int, memory: int = NEED) -> Workers:
    """The worker processes that compute `runs` runs on `devices`, never more than runs.

    On a CPU it is one a core. A GPU is shared by as many as its part of the cores and its free memory allow, at least by one,
    each having room for `memory` GiB: a single run of a small model leaves most of a GPU idle. They are dealt out in turn, so
    that no GPU has two more than another while both have room.
    """
    import joblib  # counts as many cores as affinity and the limits of a container leave

    cores = joblib.cpu_count()
    if "cuda" in devices:
        return _sharing(gpus(), cores, runs, memory)
    most, each = (cores, "core") if devices == {"cpu"} else (1, "device")
    count = max(1, min(most, runs))
    return Workers(count, [], f"{count} workers, one a {each if count == most else 'run'}")


def _sharing(there: list[str], cores: int, runs: int, memory: int) -> Workers:
    by_cores = max(1, cores // len(there))
    by_memory = [max(1, int(free // memory)) for _, free, _ in device.cards()]
    shares = [min(by_cores, most) for most in by_memory]
    dealt = [name for turn in range(max(shares)) for name, share in zip(there, shares, strict=True) if turn < share][:runs]
    count, most = len(dealt), max(map(dealt.count, there))
    said = [f"{count} workers: {len(there)} GPU{'s' * (len(there) > 1)}"]
    even = "" if count == most * len(there) else "up to "
    said.append("one each" if most == 1 else "all share it" if len(there) == 1 else f"{even}{most} share each")
    if count == runs:
        said.append("one a run")
    else:
        said.append(f"as {cores} cores allow" if min(by_memory) >= by_cores else "as free memory allows")
    shared = f"; MPS is {'running' if mps() else 'not running: they take turns'}" if most > 1 else ""
    return Workers(count, dealt, ", ".join(said) + shared)


def start_worker(free) -> None:
    """Set up a worker process: one thread, one GPU from the queue `free`, all imports made, interrupts left to its parent.

    A worker lives as long as its sweep: it imports once, and reads and tokenises a set once, at its first run on it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ours()
    if free is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = free.get()  # read by CUDA when it is first used
    import torch

    torch.set_num_threads(1)
    import datadiet.training.loop  # noqa: F401 - transformers with it, before the first run and not within its time
