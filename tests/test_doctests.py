"""Every example in a docstring and in the README does what it says."""

import doctest
import importlib
import re
import subprocess
from pathlib import Path

import pytest

import datadiet

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(f"datadiet.{path.stem}" for path in (ROOT / "datadiet").glob("*.py") if path.stem != "__init__")
# A block is run unless the line before it says <!-- not run: why -->.
BLOCK = re.compile(r"(?:<!-- not run: (?P<why>.*?) -->\n)?```(?P<language>python|sh|bash)\n(?P<code>.*?)^```", re.M | re.S)
README = ROOT / "README.md"
BLOCKS = [match.groupdict() for match in BLOCK.finditer(README.read_text())] if README.is_file() else []


@pytest.mark.parametrize("name", ["datadiet", *MODULES])
def test_docstrings(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A folder that looks like the repository, to run the README's commands in; blocks share it, as a reader's shell does."""
    folder = tmp_path_factory.mktemp("clone")
    for each in ROOT.iterdir():
        if each.name not in ("_build", ".datadiet", ".git"):
            (folder / each.name).symlink_to(each)
    return folder


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block["code"].strip().splitlines()[0][:50])
def test_readme(block, clone, alone):
    if block["why"]:
        pytest.skip(block["why"])
    shell = block["language"] != "python"
    command = ["bash", "-euo", "pipefail", "-c", block["code"]] if shell else ["python", "-c", block["code"]]
    ran = subprocess.run(command, cwd=clone, env=alone, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]


def test_the_version_is_the_citations():
    assert f"version: {datadiet.__version__}\n" in (ROOT / "CITATION.cff").read_text()
