"""The gate an executed chapter passes: cells in order, no error, nothing on stderr; and the figures that it promises."""

import re
from pathlib import Path

import nbformat

FIGURE = re.compile(r"^```+\{figure\}.*?^:name: *(\S+)", re.MULTILINE | re.DOTALL)


def is_progress(text: str) -> bool:
    """Whether what was written to stderr is progress bars and nothing else."""
    return all(not line.strip() or re.search(r"\d+%\|", line) for line in re.split(r"[\r\n]", text))


def problems(notebook) -> list[str]:
    """Faults of an executed notebook: cells out of order, errors, and anything written to stderr."""
    found, code = [], [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for place, cell in enumerate(code, start=1):
        if cell.execution_count != place:
            found.append(f"code cell {place} has the execution count {cell.execution_count}")
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"code cell {place} raised {output.ename}: {output.evalue}")
            elif output.get("name") == "stderr" and not is_progress(output.text):
                found.append(f"code cell {place} wrote to stderr: {output.text.strip()[:300]}")
    return found


def promised_figures(source: Path) -> list[str]:
    """Names of the figures that a page promises: named figure cells, and figures in its text."""
    if source.suffix == ".md":
        return FIGURE.findall(source.read_text())
    names = []
    for cell in nbformat.read(source, as_version=4).cells:
        if cell.cell_type == "code":
            figure = (cell.metadata.get("mystnb") or {}).get("figure") or {}
            names += [figure["name"]] if "name" in figure else []
        else:
            names += FIGURE.findall(cell.source)
    return names
