"""pyproject.toml, requirements.lock and environment.yml say the same; the lock is whole, on every Python it is for."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name as canonical

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines() if line and line[0] != "#"]
EXTRAS = {name: extra for name, extra in PROJECT["optional-dependencies"].items() if name != "bench"}  # peers stay outside
WANTED = [Requirement(line) for line in [*PROJECT["dependencies"], *(each for extra in EXTRAS.values() for each in extra)]]


SYSTEMS = {"linux": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
           "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"}}  # fmt: skip


def asks(python: str, system: str) -> dict[str, str]:
    """What markers of packages are evaluated with, for a Python and a system."""
    return default_environment() | {"python_version": python, "python_full_version": f"{python}.9"} | SYSTEMS[system]


def pins(python: str, system: str = "linux") -> dict[str, str]:
    """Package -> pinned version, for a Python and a system."""
    env = asks(python, system)
    chosen = [pin for pin in LOCK if pin.marker is None or pin.marker.evaluate(env)]
    return {canonical(pin.name): str(pin.specifier).removeprefix("==") for pin in chosen}


def test_every_line_of_the_lock_pins_one_version_of_one_package():
    assert [str(pin) for pin in LOCK if not re.fullmatch(r"==[\w.]+", str(pin.specifier))] == []
    names = [canonical(pin.name) for pin in LOCK]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_what_pyproject_asks_for_is_pinned_within_its_range(wanted):
    pinned = pins("3.11").get(canonical(wanted.name))
    assert pinned and wanted.specifier.contains(pinned, prereleases=True)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_lock_holds_all_that_its_packages_need(python, system):
    """Walks from what pyproject asks for, as that Python would; packages missing here, for another Python, end the walk."""
    env = asks(python, system)
    held, seen, problems, todo = pins(python, system), set(), [], list(WANTED)
    while todo:
        need = todo.pop()
        name, extras = canonical(need.name), frozenset(need.extras)
        if name not in held:
            problems.append(f"{need} is not in the lock")
        elif not need.specifier.contains(held[name], prereleases=True):
            problems.append(f"{need}, but the lock has {held[name]}")
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        for line in requires:
            each = Requirement(line)
            cuda = canonical(each.name).startswith(OF_CUDA)
            if not cuda and (each.marker is None or any(each.marker.evaluate(env | {"extra": extra}) for extra in ("", *extras))):
                todo.append(each)
    assert problems == []
    unneeded = set(held) - {name for name, _ in seen}
    assert unneeded <= FOR_AIOHTTP, "pinned, but nothing asks for it"


OF_CUDA = ("nvidia-", "cuda-", "triton")  # PyPI's torch for Linux pins its own, exactly
FOR_AIOHTTP = {"aiohappyeyeballs", "aiosignal", "frozenlist", "multidict", "propcache", "yarl"}  # papermill on Python 3.12


TRIPLES = {"linux": "x86_64-unknown-linux-gnu", "macos": "aarch64-apple-darwin"}


@pytest.mark.skipif("DATADIET_REGISTRY" not in os.environ, reason="asks the registry: DATADIET_REGISTRY, as nightly")
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", ["3.11.5", "3.12", "3.13"])
def test_the_registry_has_the_lock_as_wheels_for_every_python_and_system(python, system, tmp_path):
    """What pyproject.toml asks for, held to the versions of the lock, resolves to the lock, by wheels of that system alone.

    The markers are those of that Python and system; wheels are not downloaded, only what they say of themselves.
    """
    found, extras = tmp_path / "found.txt", [f"--extra={name}" for name in EXTRAS]
    command = ["uv", "pip", "compile", ROOT / "pyproject.toml", *extras, "--constraint", ROOT / "requirements.lock",
               "--only-binary=:all:", f"--python-platform={TRIPLES[system]}", f"--python-version={python}", "--no-config",
               "--no-header", "--no-annotate", "--quiet", "--output-file", found]  # fmt: skip
    env = os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"}  # the oldest that the wheels of torch are for
    ran = subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    resolved = dict(line.split("==") for line in found.read_text().split())
    held = pins(".".join(python.split(".")[:2]), system)
    assert {name: version for name, version in resolved.items() if not name.startswith(OF_CUDA)} == held


def test_peers_of_the_benchmarks_are_pinned_where_the_command_says_how_to_install_them():
    peers = PROJECT["optional-dependencies"]["bench"]
    assert all(re.fullmatch(r"\w+==[\d.]+", each) for each in peers)
    assert f"pip install --no-deps {' '.join(peers)}" in (ROOT / "benchmarks" / "__init__.py").read_text()


def test_installed_is_what_the_lock_says():
    here = pins(f"{sys.version_info.major}.{sys.version_info.minor}")
    found = {name: distribution(name).version.split("+")[0] for name in here}
    assert found == here


def test_what_workflows_call_is_there():
    """The files of tests that a job runs, and the switches that it sets for them, which a renaming would leave without effect."""
    files = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    jobs = [job for file in files for job in yaml.safe_load(file.read_text())["jobs"].values()]
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    commands += [line for job in jobs for line in job.get("strategy", {}).get("matrix", {}).get("what", [])]
    switched = 0
    for command in commands:
        for tests in re.findall(r"\btests/\S+", command):
            text = (ROOT / tests).read_text()
            for switch in re.findall(r"\bDATADIET_[A-Z]+(?==)", command):
                assert switch in text, command
                switched += 1
            if chosen := re.search(r" -k (\w+)", command):
                assert re.search(rf"def test_\w*{chosen[1]}", text), command
    assert switched >= 3


def test_conda_installs_the_lock_and_the_package_in_place():
    env = yaml.safe_load((ROOT / "environment.yml").read_text())
    python = next(each for each in env["dependencies"] if str(each).startswith("python="))
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.removeprefix("python="))
    assert env["dependencies"][-1] == {"pip": ["-r requirements.lock", "-e ."]}


def test_make_installs_from_the_lock():
    assert "-r requirements.lock" in (ROOT / "Makefile").read_text()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Builds a wheel of a copy of the checkout, "editable" or "wheel", with no network; gives the copy and the wheel unpacked."""
    place = tmp_path_factory.mktemp("holds")
    copy, made = place / "datadiet", {}
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, copy)
    shutil.copytree(ROOT / "datadiet", copy / "datadiet", ignore=shutil.ignore_patterns("__pycache__"))

    def built(kind):
        if kind not in made:
            out = place / kind
            call = f"from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})"
            ran = subprocess.run([sys.executable, "-c", call], cwd=copy, capture_output=True, text=True)
            assert ran.returncode == 0, ran.stderr
            (wheel,) = out.glob("*.whl")
            made[kind] = out / "site"
            zipfile.ZipFile(wheel).extractall(made[kind])
        return copy, made[kind]

    return built


def test_a_folder_that_holds_the_checkout_does_not_hide_the_package(wheels):
    """Python, started there, takes the checkout's folder for a package without files unless a line of the path leads to it."""
    copy, site = wheels("editable")
    script = f"import site; site.addsitedir({str(site)!r}); from datadiet import __version__, errors; print(errors.__file__)"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for folder in (copy.parent, copy, site):
        ran = subprocess.run([sys.executable, "-S", "-c", script], cwd=folder, env=env, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert Path(ran.stdout.strip()).resolve() == (copy / "datadiet" / "errors.py").resolve()


OF_THE_BOOK = {"cleanlab": "cleanlab", "ipykernel": "ipykernel", "jupyter-book": "jupyter_book", "jupytext": "jupytext",
               "markdown-it-py": "markdown_it", "matplotlib": "matplotlib", "mdit-py-plugins": "mdit_py_plugins",
               "nbclient": "nbclient", "nbformat": "nbformat", "papermill": "papermill", "pybtex": "pybtex",
               "seaborn": "seaborn", "sphinx": "sphinx", "sphinx-exercise": "sphinx_exercise",
               "sphinx-mathjax-offline": "sphinx-mathjax-offline"}
HIDING = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Hidden())
{then}
"""


def as_installed(wheels, folder, then, hidden=(), *arguments):
    """Runs Python on the package of the wheel, in a folder outside of the checkout and with a home of its own."""
    _, site = wheels("wheel")
    env = {name: value for name, value in os.environ.items() if not name.startswith("DATADIET_") and name != "XDG_CACHE_HOME"}
    env |= {"PYTHONPATH": str(site), "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run([sys.executable, "-c", HIDING.format(names=set(hidden) or "()", then=then), *map(str, arguments)],
                         cwd=folder, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_list_of_the_book_s_packages_is_that_of_its_extra():
    assert set(OF_THE_BOOK) == {Requirement(line).name for line in EXTRAS["book"]}


def test_a_table_is_scored_and_pruned_without_the_book_and_its_packages(wheels, tmp_path):
    """By the wheel alone, in any folder: nothing is written beside the package, and the table's folder gains the results only."""
    rows = [f"{kind} number {i},{kind}" for i in range(12) for kind in ("question", "answer")]
    (tmp_path / "mine.csv").write_text("\n".join(["words,kind", *rows]) + "\n")
    before = sorted((wheels("wheel")[1]).rglob("*"))
    command = "from datadiet.cli import main; main()"
    asked = ["mine.csv", "--text", "words", "--label", "kind", "--encoder", "tiny", "--budget", "0.01"]
    as_installed(wheels, tmp_path, command, OF_THE_BOOK.values(), "score", *asked)
    as_installed(wheels, tmp_path, command, OF_THE_BOOK.values(), "prune", "mine.scored.csv", "--keep", "0.5")
    assert sorted(each.name for each in tmp_path.glob("*.csv")) == ["mine.csv", "mine.scored.csv", "mine.scored.kept.csv"]
    assert len((tmp_path / "mine.scored.kept.csv").read_text().splitlines()) == 13
    assert sorted((wheels("wheel")[1]).rglob("*")) == before


def test_runs_of_somebody_without_a_clone_are_kept_in_the_cache_of_the_user(wheels, tmp_path):
    then = "from datadiet import paths; from datadiet.runs import store; print(paths.store(), len(store.find(['none'])))"
    assert as_installed(wheels, tmp_path, then).split() == [str(tmp_path / ".cache" / "datadiet"), "0"]
    where = as_installed(wheels, tmp_path, "from datadiet import errors, paths\ntry: paths.root()\n"
                                           "except errors.InputError as problem: print(problem)")
    assert "inside a clone of the book" in where


def test_the_package_is_imported_without_anything_heavy(wheels, tmp_path):
    """Every name that others call is reached from the package alone, and loaded when it is."""
    heavy = ["torch", "transformers", "datasets", "pandas", "numpy", "scipy", "sklearn", "pyarrow"]
    as_installed(wheels, tmp_path, f"import datadiet\nassert not set({heavy}) & set(sys.modules)")
    then = "import datadiet\nprint(datadiet.scores.el2n.__name__, datadiet.prune.keep.__name__, 'torch' in sys.modules)"
    assert as_installed(wheels, tmp_path, then).split() == ["el2n", "keep", "False"]
    assert "AttributeError" in as_installed(wheels, tmp_path, "import datadiet\ntry: datadiet.nothing\n"
                                                              "except AttributeError as e: print(type(e).__name__)")


def test_style():
    ran = subprocess.run([sys.executable, "-m", "ruff", "check", "--quiet", "."], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
