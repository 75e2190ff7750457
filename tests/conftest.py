"""What several test files share: a store of their own, and the chapters executed once by plain papermill."""

import os
import subprocess
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: on models this small, threads cost more than they give

import nbformat
import pytest

from datadiet.book import render

ROOT = Path(__file__).resolve().parent.parent
BOOK = "tests/test_book.py", "tests/test_pages.py"  # files whose tests share the executed book, and so a process
CHAPTERS = [page for page in render.pages(ROOT) if render.is_notebook((ROOT / f"{page}.md").read_text())]


def pytest_configure(config):
    config.addinivalue_line("markers", "gpu: needs a CUDA GPU")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Of the two processes of `make test`, one executes the book, which takes longest; the other begins with the other files."""
    from xdist.scheduler import LoadFileScheduling

    class TheBookOnce(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "book" if file in BOOK else file

    return TheBookOnce(config, log)


def pytest_collection_modifyitems(items):
    """Tests of the book come first: what is sent out first begins first."""
    items.sort(key=lambda item: item.nodeid.partition("::")[0] not in BOOK)


@pytest.fixture(autouse=True)
def figures_closed():
    """Figures of a test do not outlive it."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def alone(tmp_path_factory):
    """An environment for commands: this Python's, an empty store, no data folder, no hub."""
    env = os.environ | {"DATADIET_STORE": str(tmp_path_factory.mktemp("store")), "HF_HUB_OFFLINE": "1"}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
    env.pop("DATADIET_DATA", None)
    return env


@pytest.fixture(scope="session")
def executed(tmp_path_factory, alone):
    """A function: a page of the book -> its notebook, executed once by the pipe that the README gives, smoke profile."""
    build, done = tmp_path_factory.mktemp("build"), {}

    def execute(page: str):
        if page not in done:
            output = build / "executed" / f"{page}.ipynb"
            output.parent.mkdir(parents=True, exist_ok=True)
            file = ROOT / "profiles" / "smoke" / f"{Path(page).name}.yml"
            profile = f" -f {file}" if file.is_file() else ""
            pipe = f"set -o pipefail; jupytext --to ipynb -o - {page}.md | papermill - {output}{profile}"
            done[page] = subprocess.run(["bash", "-c", pipe], cwd=ROOT, env=alone, capture_output=True, text=True), output
        ran, output = done[page]
        assert ran.returncode == 0, ran.stderr[-3000:]
        execute.said[page] = ran.stderr
        return nbformat.read(output, as_version=4)

    execute.build, execute.said = build, {}
    return execute


@pytest.fixture(scope="session")
def html(executed):
    """Folder of the rendered book, every chapter executed with the smoke profile."""
    for page in CHAPTERS:
        executed(page)
    render.render(ROOT, executed.build)
    return executed.build / "html"
