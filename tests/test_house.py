"""The house stands as CONTRIBUTING.md draws it: who may import whom, how big a room is, what may lie in the repository."""

import ast
import json
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from small import partial_profiles

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "datadiet"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
PICTURE = (ROOT / "CONTRIBUTING.md").read_text()
# Ground floor first, as the picture's table has them: a room imports only from rooms before it.
ROOMS = re.findall(r"^\| `(\w+)/?` \|", PICTURE, re.M)
# Importing any of these loads neither torch nor transformers, and seaborn only where figures are drawn.
LIGHT = ("errors paths scores prune dynamic data data.sources nets.device runs runs.store runs.bill runs.verify "
         "tables tables.text tables.lines tables.columns tables.guess tables.pruned audit audit.report audit.trained "
         "audit.folds hooks hooks.estimators hooks.frames hooks.formats hooks.recorded "
         "chapters.settings chapters.ledger chapters.views chapters.label_noise.rules cli").split()
HEAVY = ("torch", "transformers", "accelerate", "seaborn", "matplotlib")
DATA_SUFFIXES = (
    ".parquet",
    ".csv",
    ".tsv",
    ".jsonl",
    ".arrow",
    ".npy",
    ".npz",
    ".pkl",
    ".pt",
    ".bin",
    ".safetensors",
    ".zip",
    ".gz",
    ".tar",
    ".sqlite",
)

PUBLISHED_TABLES = ("results/queue.csv",)  # numbers about runs


def in_repository() -> list[Path]:
    """Files that are in git, or would be with the next `git add`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()]


def name_of(path: Path) -> str:
    """Dotted name of a module below the package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


NAMES = {name_of(path): path for path in FILES}


def own_imports(path: Path) -> set[str]:
    """Modules of the package that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            assert not isinstance(node, ast.ImportFrom), "imports say the whole name"
            continue
        for name in names:
            if name.startswith("datadiet."):
                parts = name.split(".")[1:]
                found |= {dotted for dotted in (".".join(parts), ".".join(parts[:-1])) if dotted in NAMES} or {parts[0]}
    return found & set(NAMES)


def test_the_picture_shows_every_room_and_no_other():
    places = [path for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
    there = {path.name.removesuffix(".py") for path in places}
    assert there - {"__init__"} == set(ROOMS) and len(ROOMS) == len(set(ROOMS))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_below(room):
    below = set(ROOMS[: ROOMS.index(room) + 1])
    for name, path in NAMES.items():
        if name.split(".")[0] == room:
            assert {other.split(".")[0] for other in own_imports(path)} <= below, name


@pytest.mark.parametrize("room", [room for room in ROOMS if (PACKAGE / room).is_dir()])
def test_modules_of_a_room_do_not_import_in_a_circle(room):
    inside = {name: path for name, path in NAMES.items() if name.startswith(f"{room}.")}  # its __init__ is its door
    TopologicalSorter({name: own_imports(path) & set(inside) - {name} for name, path in inside.items()}).prepare()


def test_a_chapter_has_its_folder_and_a_parameter_file_in_every_profile():
    from datadiet import chapters
    from datadiet.chapters.settings import profiles

    for name in chapters.NAMES:
        folder = PACKAGE / "chapters" / name.replace("-", "_")
        assert (ROOT / "chapters" / f"{name}.md").is_file()
        assert {"__init__.py", "runs.py", "rules.py", "figures.py"} <= {path.name for path in folder.iterdir()}
        whole = set(profiles()) - partial_profiles()
        assert [profile for profile in whole if not (ROOT / "profiles" / profile / f"{name}.yml").is_file()] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_stays_one_room(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


def test_light_modules_pull_in_nothing_heavy():
    script = (
        "import importlib, json, sys\n"
        f"heavy, pulled = {HEAVY!r}, {{}}\n"
        f"for name in ['datadiet', *('datadiet.' + name for name in {LIGHT!r})]:\n"
        "    importlib.import_module(name)\n"
        "    pulled[name] = [module for module in heavy if module in sys.modules]\n"
        "print(json.dumps(pulled))\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert {name: modules for name, modules in json.loads(out).items() if modules} == {}


def test_scores_and_prune_need_numpy_alone():
    script = "import sys, datadiet.scores, datadiet.prune; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"pandas", "scipy", "sklearn", "datasets", "pyarrow", *HEAVY}


def test_no_data_in_the_repository_but_published_results():
    stray = [
        str(path)
        for path in in_repository()
        if path.suffix in DATA_SUFFIXES
        and not (path.parts[0] == "results" and path.suffix == ".parquet" or str(path) in PUBLISHED_TABLES)
    ]
    assert stray == []


def test_published_scores_carry_ids_and_numbers_but_no_text():
    texts = []
    for path in sorted((ROOT / "results" / "scores").glob("*.parquet")):
        schema = pq.read_schema(path)
        texts += [f"{path.name}: {field.name}" for field in schema if "string" in str(field.type) or "binary" in str(field.type)]
    assert texts == []


def test_notebooks_are_text_without_outputs():
    files = in_repository()
    assert [str(path) for path in files if path.suffix == ".ipynb"] == []
    assert {path.suffix for path in files if path.parts[0] == "chapters"} <= {".md"}


def test_no_file_is_large():
    assert [str(path) for path in in_repository() if (ROOT / path).stat().st_size > 4 * 2**20] == []
