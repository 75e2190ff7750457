"""Every example in a docstring and in the README does what it says."""

import doctest
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import datadiet
from datadiet import cli
from datadiet.chapters.settings import profiles

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "datadiet").rglob("*.py"))
MODULES = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in FILES]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
LINES = [line for block in re.findall(r"^```bash\n(.*?)^```", README, re.M | re.S) for line in block.strip().splitlines()]
# Of these only the command line is checked: they take long, or need a table of another kind (tests/test_doors.py has those).
LONG = re.compile(r"^(make|pipx|uvx) |--profile (lab|standard|paper)|^datadiet (verify|sweep|store)|--probs|--trained|"
                  r"slots.jsonl|photos/|saved_set/|table/")


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A folder like a clone with a table of the reader's, to run the README in; its lines share it, as a reader's shell does."""
    folder = tmp_path_factory.mktemp("clone")
    for each in ROOT.iterdir():
        if each.name not in ("_build", ".datadiet", ".git", ".venv"):
            (folder / each.name).symlink_to(each)
    rows = [f"which {thing} is number {n},{thing}" for n in range(16) for thing in ("river", "mountain")]
    (folder / "mine.csv").write_text("\n".join(["question,topic", *rows]) + "\n")
    return folder


@pytest.mark.parametrize("line", LINES)
def test_commands_of_the_readme(line, clone, alone):
    words = shlex.split(line, comments=True)
    if not LONG.search(line):
        ran = subprocess.run(["bash", "-euo", "pipefail", "-c", line], cwd=clone, env=alone, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr[-3000:]
    elif words[0] == "make":
        subprocess.run(["make", "-n", *words[1:]], cwd=clone, check=True, capture_output=True)
    else:
        words = words[words.index("datadiet") :]
        cli.main.commands[words[1]].make_context(words[1], words[2:])  # raises on what the command does not know
        for place, word in enumerate(words):
            if word == "--profile":
                assert words[place + 1] in profiles()


@pytest.mark.parametrize("code", PYTHON)
def test_python_of_the_readme(code, clone, alone):
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=clone, env=alone, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]


def test_modules_that_pages_call_are_installed_and_the_environment_is_entered_first():
    """What ``python -m NAME`` names is there after `make book`; commands of `.venv` come after the line that enters it."""
    pages = README + "".join(page.read_text() for page in sorted((ROOT / "chapters").glob("*.md")))
    called = set(re.findall(r"python -m ([\w.]+)", pages))
    assert called and [name for name in called if not importlib.util.find_spec(f"{name}.__main__")] == []
    entered = README.index(". .venv/bin/activate")
    assert all(README.index(name) > entered for name in ("jupyter-book build", "jupytext --to", "datadiet run"))


def test_the_version_is_the_citations():
    assert f"version: {datadiet.__version__}\n" in (ROOT / "CITATION.cff").read_text()
