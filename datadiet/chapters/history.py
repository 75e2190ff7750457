"""When the rule of a claim was written, from the history of ``claims.yml`` in git, and when its runs were first computed."""

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from html import escape

import pandas as pd
import yaml

from datadiet import paths

ENTRY = re.compile(r"^- id: (\S+)\n(.*?)(?=^- id: |\Z)", re.MULTILINE | re.DOTALL)
RULE = re.compile(r"^  rule: *(?:>-)?((?:.*\n)(?:    .*\n|\n(?=    ))*)", re.MULTILINE)


@dataclass(frozen=True)
class Written:
    """The commit that first gave a claim a rule, and the one that gave it its present words, with their days."""

    first: str
    first_day: str
    present: str
    present_day: str


def rules_in(text: str) -> dict[str, str]:
    """The words of every rule in a text of ``claims.yml``, by claim, however its lines were broken."""
    found = {claim: RULE.search(f"{entry}\n") for claim, entry in ENTRY.findall(text)}
    return {claim: " ".join(rule[1].split()) for claim, rule in found.items() if rule and rule[1].strip()}


@cache
def written() -> dict[str, Written]:
    """When the rules were written, by claim; nothing where the book lies outside git, or in a clone without its history."""
    out = {}
    for commit, day in (line.split() for line in _git("log", "--reverse", "--format=%H %as", "--", "claims.yml").splitlines()):
        for claim, rule in rules_in(_git("show", f"{commit}:./claims.yml")).items():
            first, words, present = out.get(claim, ((commit, day), None, None))
            out[claim] = (first, rule, (commit, day) if rule != words else present)
    return {claim: Written(*first, *present) for claim, (first, _, present) in out.items()}


def _git(*command: str) -> str:
    """What git prints in the book's folder; nothing where there is no git, no repository, or a shallow clone."""
    def run(*words):
        done = subprocess.run(["git", *words], cwd=paths.root(), capture_output=True, text=True, check=False)
        return done.stdout if done.returncode == 0 else ""

    try:
        return run(*command) if run("rev-parse", "--is-shallow-repository").strip() == "false" else ""
    except OSError:
        return ""


def commit_link(commit: str) -> str:
    """A commit's short name as HTML, linked where ``_config.yml`` names the address of the repository."""
    file = paths.root() / "_config.yml"
    options = yaml.safe_load(file.read_text()) if file.is_file() else {}
    for level in ("sphinx", "config", "html_theme_options"):
        options = options.get(level) or {}
    address = str(options.get("repository_url") or "").strip().rstrip("/")
    name = f"<code>{escape(commit[:7])}</code>"
    return f'<a href="{escape(address)}/commit/{escape(commit)}">{name}</a>' if address.startswith("https://") else name


def dates(claim: str, tables: list[pd.DataFrame]) -> str:
    """When a claim's rule was written and the runs of its chapter were first computed, as HTML in a sentence or two."""
    said, rule = [], written().get(claim)
    if rule is None:
        said.append("The commit of the rule is not known here: this copy of the book has no git history.")
    elif rule.first == rule.present:
        said.append(f"Rule written {rule.first_day} in {commit_link(rule.first)}, unchanged since.")
    else:
        said.append(f"Rule first written {rule.first_day} in {commit_link(rule.first)}; in its present words since "
                    f"{rule.present_day}, {commit_link(rule.present)}.")
    days = [day for table in tables if "started" in table for day in table["started"].dropna().astype(str)]
    known = f"First stored run of its chapter: {escape(min(days)[:10])}." if days else "The day of its first run is not stored."
    return " ".join([*said, known])
