"""The house stands as CONTRIBUTING.md draws it: who may import whom, how big a room is, what may lie in the repository."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "datadiet"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
# A room of several files (one a chapter) is one module of the picture.
MODULES = {name: [path for path in FILES if path.relative_to(PACKAGE).parts[0].removesuffix(".py") == name]
           for name in dict.fromkeys(path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES)}

# Ground floor first: a module imports only from modules on its left.
ORDER = (
    "errors paths memory _rows _checks history scores prune dynamic landscape spans sources embedded feedback data fairness "
    "dropout first_token models pictures layers gradnorm tangent joint kinds inputgrad train branch frozen store provenance "
    "recorded pool configs runs studies rules claims audit tables figures pages doctor gate book cli"
).split()
LIGHT = (
    "errors",
    "paths",
    "history",
    "scores",
    "prune",
    "dynamic",
    "landscape",
    "spans",
    "sources",
    "data",
    "store",
    "recorded",
    "pool",
    "configs",
    "runs",
    "studies",
    "rules",
    "claims",
    "audit",
    "tables",
)
HEAVY = ("torch", "transformers", "accelerate")
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


def own_imports(path: Path) -> set[str]:
    """Modules of the package that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "datadiet" + (f".{node.module}" if node.module else "") if node.level else node.module
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("datadiet.")}
    return found & set(MODULES)


def test_every_module_has_its_place():
    assert set(MODULES) <= set(ORDER), "a new module needs a place in ORDER and in CONTRIBUTING.md"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_below(name):
    below = set(ORDER[: ORDER.index(name)])
    for path in MODULES[name]:
        assert own_imports(path) - {name} <= below


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
        if path.suffix in DATA_SUFFIXES and not (path.parts[0] == "results" and path.suffix == ".parquet")
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
