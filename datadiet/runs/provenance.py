"""Provenance of a run: processor, releases, commit."""

import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

from datadiet import __version__, paths
from datadiet.errors import InputError
from datadiet.nets import device

RELEASES = ("torch", "transformers", "numpy")


@cache
def hardware() -> str:
    """One line that names this machine's processor, the instructions that torch uses of it, cores and GPU.

    Processors of one name, as those of rented machines, differ in their instructions, and so in how they round.
    """
    import torch

    cpu = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            cpu = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), cpu)
    except OSError:
        pass
    gpu = device.gpu()
    return f"{cpu}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores" + ("" if gpu is None else f", {gpu}")


def commit() -> str:
    """Short commit of the book's repository, with a plus sign where the package differs from it; "unknown" outside git."""
    try:
        return _commit_of(paths.root())
    except InputError:
        return "unknown"


@cache
def _commit_of(root: Path) -> str:
    try:
        git = ["git", "-C", str(root)]
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "--", "datadiet"], capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed.strip() else "")


@cache
def versions() -> dict[str, str]:
    """Releases of Python, this package and the libraries a run's numbers depend on."""
    return {"python": platform.python_version(), "datadiet": __version__} | {
        name: importlib.metadata.version(name) for name in RELEASES
    }
