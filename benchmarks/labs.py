"""What a class runs live: each chapter at the profile lab, from an empty store, as `datadiet run CHAPTER --profile lab` runs it.

A round is one run of one chapter with nothing beside it that this project started; the column load says how busy the machine was.
Seconds are those of the whole command, imports included: what a class waits.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import Contestant
from datadiet import paths

COMMAND = "from datadiet.cli import main; main()"


def lab(chapter: str, profile: str):
    """Runs one chapter with a store and an output of its own; raises with the end of what it wrote where it failed."""

    def once(number):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / f"{chapter}.ipynb"
            asked = ["run", chapter, "--profile", profile, "--out", str(out)]
            ran = subprocess.run([sys.executable, "-c", COMMAND, *asked], cwd=paths.root(), capture_output=True, text=True,
                                 env=os.environ | {"DATADIET_STORE": str(Path(folder) / "store")})
        if ran.returncode:
            raise RuntimeError(ran.stderr.strip()[-200:])
        return {}

    return once


def contestants(quick: bool) -> list[Contestant]:
    """Every chapter that the profile has a file for; `quick`: one, at the profile smoke."""
    profile = "smoke" if quick else "lab"
    names = sorted(file.stem for file in (paths.root() / "profiles" / profile).glob("*.yml"))
    return [Contestant(name, "datadiet run", lab, {"chapter": name, "profile": profile}, warm=False)
            for name in (names[:1] if quick else names)]
