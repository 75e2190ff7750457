"""Command lines in a page: run as a reader would type them, in a folder of their own, and shown as a terminal shows them."""

import shlex
import subprocess
import sys


def run(line: str, folder, fails: bool = False) -> None:
    """Run ``datadiet ...`` in `folder` and print what it says; `fails` says that it is meant to refuse.

    Raises
    ------
    RuntimeError
        It failed and was not meant to, or the other way round.
    """
    words = shlex.split(line)
    if words[0] != "datadiet":
        raise RuntimeError(f"commands.run: {words[0]!r}; pages run datadiet alone.")
    command = [sys.executable, "-c", "from datadiet.cli import main; main()", *words[1:]]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if bool(ran.returncode) != fails:
        raise RuntimeError(f"commands.run: {line} ended with {ran.returncode}: {ran.stderr[-2000:]}")
    print(f"$ {line}\n{ran.stderr.strip() if fails else ran.stdout.strip()}")
