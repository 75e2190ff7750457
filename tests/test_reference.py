"""Pages about the package: the reference has every name that others call, and the ten answers name tests that exist."""

import re

import pandas as pd
import pytest
import yaml
from conftest import ROOT

from datadiet.chapters.what_all_runs_say import tables

ASKED = (ROOT / "chapters" / "asked-for.md").read_text()


def promised() -> set[str]:
    """Names in the block of CONTRIBUTING.md, as ``module.name`` or ``module.Class.method``."""
    block = (ROOT / "CONTRIBUTING.md").read_text().split("## Names that others call")[1].split("```")[1]
    found, module = set(), None
    for line in block.splitlines():
        if line.startswith("datadiet."):
            module = line.split()[0]
        elif not line.startswith(" "):
            module = None
        if module is None:
            continue
        rest = line.removeprefix(module).split("  time-resolved")[0]
        if "first axis = time" in rest or rest.strip().startswith("sorted int64"):
            continue
        if module == "datadiet.scores":
            found |= {f"{module}.{name}" for name in rest.split()}
        else:
            if described := re.match(r"\s+([A-Z]\w+):", rest):  # a class with its methods
                found.add(f"{module}.{described[1]}")
                continue
            found |= {f"{module}.{name}" for name in re.findall(r"(?:^|\s)([A-Za-z]\w+)\(", rest)
                      if not line.strip().startswith("both:")
                      and not (module == "datadiet.dynamic" and name[0].islower())}
    return found


def test_the_reference_documents_every_name_that_others_call():
    page = (ROOT / "chapters" / "reference.md").read_text()
    there = set(re.findall(r"auto(?:function|class):: ([\w.]+)", page))
    names = promised()
    assert len(names) > 15 and names == there


def test_the_reference_has_the_methods_of_both_schedules():
    promised, page = (ROOT / "CONTRIBUTING.md").read_text(), (ROOT / "chapters" / "reference.md").read_text()
    both = re.findall(r"(\w+)\(", re.search(r"both:(.*)", promised)[1])
    for name in ("Dynamic", "Soft"):
        own = re.findall(r"(\w+)\(", re.search(rf"{name}\(.*?\)(.*)", promised)[1])
        members = re.search(rf"dynamic\.{name}\n +:members: (.*)", page)[1].split(", ")
        assert own and both and {*own, *both} <= {*members}


def test_every_documented_name_has_a_docstring():
    import importlib

    for name in promised():
        module, _, attribute = name.rpartition(".")
        assert (getattr(importlib.import_module(module), attribute).__doc__ or "").strip(), name


def named():
    return re.findall(r"`(test_\w+\.py)::(test_\w+)`", ASKED)


def test_there_are_ten_answers_and_each_names_a_test():
    answers = re.split(r"^\d+\. ", ASKED, flags=re.MULTILINE)[1:]
    assert len(answers) == 10 and all("::test_" in answer for answer in answers)


def test_the_lock_serves_as_many_versions_of_python_as_the_answers_say():
    matrix = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())["jobs"]["test"]["strategy"]["matrix"]
    assert f"One lock file serves {['no', 'one', 'two', 'three', 'four'][len(matrix['python'])]} versions of Python" in ASKED


@pytest.mark.parametrize("file, test", named())
def test_a_named_test_exists(file, test):
    assert re.search(rf"^def {test}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE)


def test_outcomes_count_each_arm_once_and_on_its_side():
    arms = pd.DataFrame({"rule": ["hardest", "hardest", "easiest", "hardest"], "kept share": [0.35, 0.36, 0.66, 0.1],
                         "family": ["a", "b", "a", "a"], "gain": [-0.2, 0.1, 0.0, -0.1], "low": [-0.3, 0.05, -0.1, -0.3],
                         "high": [-0.1, 0.2, 0.1, 0.1]})
    found = tables.outcomes(arms, ["rule", "kept"]).set_index(["rule", "kept"])
    counts = {("hardest", "up to 35 %"): 2, ("hardest", "36 to 65 %"): 1, ("easiest", "more than 65 %"): 1}
    assert found["arms"].to_dict() == counts
    first = found.loc[("hardest", "up to 35 %")]
    assert (first["surely lose"], first["surely gain"], first["sets"], first["worst"]) == (1, 0, 1, -0.2)
    assert found.loc[("hardest", "36 to 65 %"), "surely gain"] == 1 and first["mean gain"] == pytest.approx(-0.15)
