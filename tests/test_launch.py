"""Launch buttons follow from one address, the notebooks they open fetch the book, and Binder installs the lock."""

import json
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
import yaml
from conftest import ROOT

from datadiet.book import launch
from datadiet.book.render import is_notebook, pages
from datadiet.errors import InputError

NOTE = """\
---
kernelspec:
  name: python3
  display_name: Python 3
jupytext:
  text_representation:
    extension: .md
    format_name: myst
---
# Note

```{code-cell} ipython3
1 + 1
```
"""


def book(folder, url):
    """A book of two pages with this book's configuration, and an address."""
    (folder / "chapters").mkdir(parents=True)
    config = (ROOT / "_config.yml").read_text()
    assert 'repository_url: ""' in config  # the book itself has none
    config = config.replace('repository_url: ""', f'repository_url: "{url}"').replace(
        "execute_notebooks: force", "execute_notebooks: 'off'"
    )
    (folder / "_config.yml").write_text(config)
    for name in ("_static", "_ext"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "references.bib", folder)
    (folder / "_toc.yml").write_text("format: jb-book\nroot: chapters/index\nchapters:\n  - file: chapters/note\n")
    (folder / "chapters" / "index.md").write_text("# Start\n\nWords.\n")
    (folder / "chapters" / "note.md").write_text(NOTE)
    return folder


@pytest.mark.parametrize("url", ["https://github.com/somebody/datadiet", ""])
def test_buttons_are_shown_where_an_address_is_set_and_nowhere_else(tmp_path, url):
    folder = book(tmp_path / "book", url)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(folder), "--quiet"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-2000:]
    page, start = ((folder / "_build" / "html" / "chapters" / f"{name}.html").read_text() for name in ("note", "index"))
    found = re.findall(r'href="([^"]*(?:mybinder|colab)[^"]*)"', page)
    assert found == (
        [
            "https://mybinder.org/v2/gh/somebody/datadiet/notebooks?urlpath=lab/tree/chapters/note.ipynb",
            "https://colab.research.google.com/github/somebody/datadiet/blob/notebooks/chapters/note.ipynb",
        ]
        if url
        else []
    )
    assert "launch-buttons" not in start and ("launch-buttons" in page) == bool(url)


def test_no_address_no_notebooks(tmp_path):
    assert launch.address(ROOT) == "" and launch.write(ROOT, tmp_path / "out") == [] and not (tmp_path / "out").exists()


@pytest.mark.parametrize("url", ["github.com/somebody/datadiet", "https://github.com/a/b; rm -rf x", "https://github.com/a/'b'"])
def test_an_address_that_is_none_is_refused(tmp_path, url):
    with pytest.raises(InputError, match="begins with https://"):
        launch.address(book(tmp_path / "book", url))


def test_every_chapter_is_written_with_the_cell_that_fetches_the_book(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "address", lambda root: "https://github.com/somebody/datadiet")
    found = launch.write(ROOT, tmp_path)
    wanted = [page for page in pages(ROOT) if is_notebook((ROOT / f"{page}.md").read_text())]
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [f"{page}.ipynb" for page in wanted]
    for path in found:
        notebook = nbformat.read(path, 4)
        nbformat.validate(notebook)
        first, *others = (cell for cell in notebook.cells if cell.cell_type == "code")
        assert "https://github.com/somebody/datadiet" in first.source and first.metadata.tags == ["setup"]
        assert not any(cell.get("outputs") for cell in others)


@pytest.fixture
def away(tmp_path):
    """A folder with a fake git, which writes down what it is asked, and an empty working folder."""
    commands, here = tmp_path / "bin", tmp_path / "here"
    commands.mkdir()
    here.mkdir()
    (commands / "git").write_text(
        '#!/bin/sh\necho "git $*" >> "$SAID"\nmkdir datadiet-book\ntouch datadiet-book/claims.yml\nmkdir datadiet-book/profiles\n'
    )
    (commands / "git").chmod(0o755)
    return commands, here


def setup_ran(away, then, installed):
    """What the first cell asked for, run in an empty folder where the package is installed (without a clone) or missing."""
    commands, here = away
    hide = "" if installed else "import sys\nsys.modules['datadiet'] = None\n"
    fake = (
        "import subprocess, os\nreal = subprocess.run\n"
        "def run(command, **kw):\n"
        "    if 'pip' in command:\n"
        "        open(os.environ['SAID'], 'a').write('pip ' + command[-1] + '\\n'); return\n"
        "    return real(command, **kw)\n"
        "subprocess.run = run\n"
    )
    cell = launch.setup_cell("https://github.com/somebody/datadiet").source
    # A package that lies elsewhere than in a checkout: its root is looked for from the working folder alone.
    lost = (
        ""
        if not installed
        else (
            "from datadiet import paths\nfrom datadiet.errors import InputError\n"
            "def root():\n    raise InputError('no clone')\npaths.root = root\n"
        )
    )
    script = here.parent / "cell.py"
    script.write_text(hide + fake + lost + cell + then)
    env = os.environ | {"SAID": str(here.parent / "said"), "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run([sys.executable, str(script)], cwd=here, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    said = here.parent / "said"
    return ran.stdout.strip(), said.read_text().splitlines() if said.is_file() else []


CLONE = "git clone --quiet --depth 1 https://github.com/somebody/datadiet datadiet-book"


def test_the_first_cell_fetches_and_installs_where_nothing_is_here(away):
    where, said = setup_ran(away, "print(Path.cwd().name)\n", installed=False)
    assert where == "datadiet-book" and said == [CLONE, "pip ./datadiet-book[notebooks]"]


def test_the_first_cell_only_fetches_where_the_package_is_installed(away):
    where, said = setup_ran(away, "print(Path.cwd().name)\n", installed=True)
    assert where == "datadiet-book" and said == [CLONE]


def test_the_first_cell_does_nothing_in_a_clone(tmp_path):
    cell = launch.setup_cell("https://nowhere.invalid/x").source + "print(Path.cwd())\n"
    ran = subprocess.run([sys.executable, "-c", cell], cwd=ROOT / "chapters", capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip()) == (0, str(ROOT / "chapters")), ran.stderr


def test_binder_installs_the_lock_and_the_package_in_place():
    folder = ROOT / ".binder"
    lines = [line for line in (folder / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines == ["--extra-index-url https://download.pytorch.org/whl/cpu", "-r ../requirements.lock"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert f"python={(folder / 'runtime.txt').read_text().strip().removeprefix('python-')}" in conda
    assert os.access(folder / "postBuild", os.X_OK) and "--no-deps" in (folder / "postBuild").read_text()
    assert subprocess.run(["bash", "-n", str(folder / "postBuild")]).returncode == 0


def test_the_branch_that_the_buttons_open_is_the_one_that_is_published():
    options = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]["html_theme_options"]
    workflow = (ROOT / ".github" / "workflows" / "notebooks.yml").read_text()
    assert f"HEAD:{options['repository_branch']}" in workflow and "datadiet.book.launch" in workflow
    assert json.dumps(yaml.safe_load(workflow)["permissions"]) == '{"contents": "write"}'
