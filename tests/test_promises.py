"""The page of promises: every test that it names exists, and those about what is never loaded or run."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "chapters" / "promises.md").read_text()


def test_every_list_of_promises_names_tests_that_exist():
    defined = {node.name for file in (ROOT / "tests").glob("test_*.py") for node in ast.walk(ast.parse(file.read_text()))
               if isinstance(node, ast.FunctionDef)}  # fmt: skip
    lists = PAGE.split("\n## Not promised")[0].split("\n## ")[1:]
    assert len(lists) == 3
    for each in lists:
        promises, named = re.findall(r"^- ", each, re.M), re.findall(r"`(test_\w+)`", each)
        assert len(named) >= len(promises), each[:60]
        assert not set(named) - defined, set(named) - defined


def calls(tree):
    """(name of the function as written, keywords) of every call in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {each.arg: ast.unparse(each.value) for each in node.keywords}


def faults(code: str) -> list[str]:
    tree, found = ast.parse(code), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.split(".")[0] for alias in node.names} | {(getattr(node, "module", None) or "").split(".")[0]}
            found += names & {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}
    for name, keywords in calls(tree):
        if name.endswith("torch.load") and keywords.get("weights_only") != "True":
            found.append("torch.load without weights_only")
        if name in ("eval", "exec", "joblib.load", "joblib.dump") or name.split(".")[-1] in ("read_pickle", "to_pickle"):
            found.append(name)
        if keywords.get("allow_pickle", "False") != "False" or keywords.get("trust_remote_code", "False") != "False":
            found.append(f"{name}({keywords})")
    return found


def test_no_pickle_is_loaded_and_no_remote_code_is_trusted():
    for folder in ("datadiet", "benchmarks", "_ext"):
        for file in (ROOT / folder).rglob("*.py"):
            assert not faults(file.read_text()), file


def test_what_would_be_a_fault_is_found():
    for code in ("import pickle", "joblib.load('x')", "import torch\ntorch.load('x')", "np.load(f, allow_pickle=True)",
                 "AutoModel.from_pretrained('x', trust_remote_code=True)", "pd.read_pickle('x')", "eval('1')"):  # fmt: skip
        assert faults(code), code
    assert not faults("np.load(f, allow_pickle=False)\ntorch.load('x', weights_only=True)\nmodel.eval()")
