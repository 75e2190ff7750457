"""The status page says when and where each page was executed, as its notebook remembers it."""

import nbformat

from datadiet.book import status
from datadiet.runs.provenance import commit, hardware


def test_each_page_has_its_time_commit_and_machine(tmp_path):
    for name, meta in {
        "chapters/a": {"papermill": {"start_time": "2026-11-28T10:00:00.123456", "duration": 12.4},
                       "datadiet": status.about() | {"profile": "lab"}},
        "chapters/b": {},
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(metadata=meta), tmp_path / f"{name}.ipynb")
    found = status.table(tmp_path, ["chapters/a", "chapters/b"]).splitlines()
    assert f"| [a](a.md) | 2026-11-28 10:00 UTC | 12 | lab | {commit()} | A |" in found
    assert "| [b](b.md) | not known | not known | its own defaults | not known | B |" in found
    assert any(line.startswith(f"- **A**: {hardware()}; ") and "torch" in line for line in found)
    assert "- **B**: not known" in found
