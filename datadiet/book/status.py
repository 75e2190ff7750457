"""The status page: when, where and with what each page of a book was last executed."""

import datetime
from pathlib import Path

import nbformat

from datadiet.runs.provenance import commit, hardware, versions

MARK = "<!-- executions -->"  # where the table goes in the text of the page
UNKNOWN = "not known"


def about() -> dict:
    """The state of this machine as it is kept in the metadata of an executed notebook."""
    return {"hardware": hardware(), "commit": commit(), "versions": versions()}


def table(executed: Path, pages: list[str]) -> str:
    """Markdown: a row a page of code, its last execution, seconds, commit; below, the machines and releases.

    Parameters
    ----------
    executed : Path
        Folder of the executed notebooks.
    pages : list of str
        As in the table of contents, without a suffix.
    """
    rows, where = [], {}
    for page in pages:
        found = nbformat.read(executed / f"{page}.ipynb", as_version=4).metadata
        made, timed = found.get("datadiet", {}), found.get("papermill", {})
        begun, took = timed.get("start_time"), timed.get("duration")
        when = datetime.datetime.fromisoformat(begun).strftime("%Y-%m-%d %H:%M UTC") if begun else UNKNOWN
        releases = (f"{name} {each}" for name, each in made.get("versions", {}).items())
        letter = where.setdefault("; ".join([made.get("hardware", UNKNOWN), *releases]), chr(ord("A") + len(where)))
        name = Path(page).name
        cells = [f"[{name}]({name}.md)", when, f"{took:.0f}" if took else UNKNOWN, made.get("profile") or "its own defaults",
                 made.get("commit", UNKNOWN), letter]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    head = "| page | last executed | seconds | profile | commit | machine |\n| --- | --- | ---: | --- | --- | --- |"
    machines = "\n".join(f"- **{letter}**: {machine}" for machine, letter in where.items())
    return "\n".join([head, *rows, "", machines])
