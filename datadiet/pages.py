"""What a chapter prints beside its figures: verdict cards, where the runs come from, how to run them again, the ledger.

Each returns an object that a notebook shows as HTML and a terminal as text. Everything that comes from a file is escaped.
"""

import json
from dataclasses import dataclass
from html import escape

import pandas as pd

from datadiet import claims, rules, runs, studies
from datadiet.errors import InputError
from datadiet.figures import View
from datadiet.studies import noise

DASH, DOT = "\N{EN DASH}", "\N{MIDDLE DOT}"
MARKS = {
    "reproduced": "\N{CHECK MARK}",
    "partly reproduced": "\N{ALMOST EQUAL TO}",
    "not reproduced": "\N{BALLOT X}",
    "undecided": "?",
}


@dataclass(frozen=True)
class Page:
    """HTML for a notebook, text for a terminal."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def mark(verdict: str) -> str:
    """A verdict with the sign that doubles its colour."""
    bare = verdict.split(": ")[-1]
    return f"{MARKS.get(bare, DOT)} {verdict}"


def number(value: float, digits: int = 3) -> str:
    """A signed number, or a dash where there is none."""
    return DASH if pd.isna(value) else f"{value:+.{digits}f}"


def spread(effect: float, low: float, high: float) -> str:
    """An effect with its 95 % interval."""
    return number(effect) if pd.isna(effect) else f"{number(effect)} [{number(low)}, {number(high)}]"


def table(rows: list[list[str]], head: list[str], caption: str) -> str:
    """An HTML table with a caption and column scopes; cells are escaped, except those that are links made here."""

    def cell(value):
        return value if value.startswith("<a ") else escape(value)

    lines = ["".join(f'<th scope="col">{escape(name)}</th>' for name in head)]
    lines += ["".join(f"<td>{cell(value)}</td>" for value in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines[1:])
    return (
        f'<div class="dd-table" tabindex="0"><table class="table"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{lines[0]}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def verdict(claim: str, sides: list[View]) -> Page:
    """A claim's card: what the paper says, what the rule found in each view, and the verdict."""
    entry, html = claims.claims()[claim], []
    text = [f"{claim}: {entry['claim']}", f"published: {entry['published']}"]
    for side in sides:
        found = claims.decide(claim, side.settings, side.table)
        rows = [
            [part.name, spread(part.effect, part.low, part.high), part.claimed, part.outcome, str(part.n)] for part in found.parts
        ]
        html.append(
            f'<p class="dd-verdict"><strong>{escape(side.name)}:</strong> {escape(mark(found.verdict))}</p>'
            + table(rows, ["part", "effect [95 % interval]", "claimed", "outcome", "seeds"], f"{claim}, {side.name}")
        )
        text += [f"{side.name}: {found.verdict}", *("  " + " | ".join(row) for row in rows)]
    head = (
        f"<p><strong>{claim}.</strong> {escape(entry['claim'])}<br><em>The paper:</em> {escape(entry['published'])} "
        f"({escape(entry['known'])}).</p><details><summary>The rule, written before the runs</summary>"
        f"<p>{escape(entry['rule'])}</p></details>"
    )
    return Page(f'<div class="dd-claim" id="{claim.lower()}">{head}{"".join(html)}</div>', "\n".join(text))


def provenance(sides: list[View]) -> Page:
    """Where the runs of each view come from: hardware, versions, commit, time, data."""
    names = ["profile", "runs stored", "hardware", "run time", "examples trained on", "versions", "commit", "data"]
    columns = [_origin(side) for side in sides]
    rows = [[name, *(column[i] for column in columns)] for i, name in enumerate(names)]
    text = "\n".join(" | ".join(row) for row in rows)
    return Page(table(rows, ["", *(side.name for side in sides)], "Where the runs on this page come from"), text)


def _origin(side: View) -> list[str]:
    runs, absent = side.table, side.table.attrs.get("missing", 0)
    stored = f"{len(runs)} of {len(runs) + absent}"
    if not len(runs):
        return [side.settings["profile"], stored, *[DASH] * 6]
    runs = runs.drop_duplicates("key")
    versions = sorted({", ".join(f"{name} {number}" for name, number in held.items()) for held in runs["versions"]})
    data = sorted(
        {f"{source}, SHA-256 {check[:12]}" for source, check in zip(runs["data_source"], runs["data_checksum"], strict=True)}
    )
    minutes = runs["seconds"].sum() / 60
    return [
        side.settings["profile"],
        stored,
        "; ".join(sorted(set(runs["hardware"]))),
        f"{minutes:.1f} min over {len(runs)} distinct runs",
        f"{runs['examples'].sum():,}",
        "; ".join(versions),
        ", ".join(sorted(set(runs["commit"]))),
        "; ".join(data),
    ]


def rerun(chapter: str, sides: list[View]) -> Page:
    """How to run a chapter again, with the time its runs took where they were made."""
    lines = [
        f"datadiet run {chapter} --profile lab",
        f"jupytext --to ipynb -o - chapters/{chapter}.md | papermill - {chapter}.ipynb -f profiles/lab.yml",
        f"datadiet run {chapter} --profile standard -p engine processes",
    ]
    times = []
    for side in sides:
        if len(side.table):
            runs = side.table.drop_duplicates("key")
            times.append(
                f"{side.name} ({side.settings['profile']}): {len(runs)} runs, {runs['seconds'].sum() / 60:.1f} min of runs on "
                f"{'; '.join(sorted(set(runs['hardware'])))}."
            )
    html = f"<pre>{escape(chr(10).join(lines))}</pre>" + "".join(f"<p>{escape(time)}</p>" for time in times)
    return Page(f'<div class="dd-rerun">{html}</div>', "\n".join(lines + times))


def examples(side: View, n: int = 2, width: int = 110) -> Page:
    """The hardest and easiest texts of each class under label noise, flips marked; or why they cannot be shown here.

    Published runs hold ids, labels and numbers, no texts: those are read from the set itself, if this machine has it.
    """
    parts, text = [], []
    for task in side.settings["tasks"]:
        found = noise.extremes(side.settings, side.table, task, n)
        loaded, problem = _set_of(side, task) if len(found) else (None, "no runs are stored yet")
        if problem:
            parts.append(f"<p><em>{escape(f'{side.name}, {task}: {problem}')}</em></p>")
            text.append(f"{side.name}, {task}: {problem}")
            continue
        columns, names, rows = list(loaded.train.inputs.values()), loaded.label_names, []
        for row in found.to_dict("records"):
            words = " / ".join(column[row["position"]] for column in columns)
            shown = words if len(words) <= width else f"{words[: width - 3]}..."
            flipped = f"FLIPPED, was {names[row['truth']]}" if row["truth"] != row["label"] else ""
            rows.append([names[row["label"]], row["end"], f"{row['el2n']:.2f}", shown, flipped])
        caption = f"{side.name}, {task}: hardest and easiest of each class, {noise.NOISY:.0%} of the labels flipped"
        parts.append(table(rows, ["label given", "end", "EL2N", "text", "flipped?"], caption))
        text += [caption, *(" | ".join(row) for row in rows)]
    return Page("".join(parts), "\n".join(text))


def _set_of(side: View, task: str):
    """The set that a view's noisy runs saw, or (None, why it cannot be had here)."""
    run = studies.scoring(noise.at_rate(side.settings, noise.NOISY), task)[0]
    try:
        loaded = runs.task_of(run)
    except InputError as problem:
        return None, f"published runs hold no texts, and the set cannot be read here. {problem}"
    seen = side.table.loc[side.table["key"] == runs.key(run), "data_checksum"]
    if len(seen) and seen.iloc[0] != loaded.checksum:
        return None, "the set on this machine has another checksum than the one that the runs saw, so its texts are not theirs"
    return loaded, None


def advice(sides: list[View]) -> Page:
    """In how many cells of the factorial experiment each paper's advice holds."""
    parts, text = [], []
    for side in sides:
        found = rules.conflict.advice(side.settings, side.table)
        counts = ("holds", "fails", "undecided", "no runs")
        rows = [[row["paper"], row["says"], f"{row['noise']:.0%}", *(str(row[name]) for name in counts)]
                for row in found.to_dict("records")]
        caption = f"{side.name}: cells in which the advice holds, fails, or is undecided by a 95 % interval"
        parts.append(table(rows, ["paper", "advice", "flipped", *counts], caption))
        text += [caption, *(" | ".join(row) for row in rows)]
    return Page("".join(parts), "\n".join(text))


def fairness(sides: list[View]) -> Page:
    """Every arm of the chapter on fairness: utility first, then fairness, means over seeds; a constant for reference."""
    parts, text = [], []
    columns = ["accuracy", "auc", "parity", "odds", "gap", "flips"]
    head = ["arm", "shares", "sentences", "accuracy", "AUC", "demographic parity", "equality of odds", "gap", "flips"]
    for side in sides:
        found = studies.fair_table(side.settings, side.table)
        if not len(found):
            text.append(f"{side.name} ({side.settings['profile']}): no runs are stored yet.")
            parts.append(f"<p><em>{escape(text[-1])}</em></p>")
        for task in side.settings["tasks"] if len(found) else ():
            one = found[found["task"] == task]
            means = one.groupby(["arm", "factuals", "counterfactuals"], sort=False)[["n", *(f"test_{c}" for c in columns)]].mean()
            rows = [[name, f"{a:g}, {b:g}", f"{row['n']:.0f}", *(f"{row[f'test_{what}']:.3f}" for what in columns)]
                    for (name, a, b), row in means.iterrows()]
            nothing = studies.constant(side.settings, task)
            rows.append(["always the majority class", DASH, DASH, *(f"{nothing[what]:.3f}" for what in columns)])
            caption = f"{side.name}, {task}: test split, means over {one['seed'].nunique()} seeds"
            parts.append(table(rows, head, caption))
            text += [caption, *(" | ".join(row) for row in rows)]
            if chosen := studies.chosen_mix(side.settings, found, task):
                text.append(f"The healthy mix judged below: shares {chosen[0]:g}, {chosen[1]:g}, the best parity on validation.")
                parts.append(f"<p>{escape(text[-1])}</p>")
    return Page("".join(parts), "\n".join(text))


def ledger(profile: str = "standard") -> Page:
    """Every claim with its verdict, effect, interval and chapter."""
    found, rows, text = claims.ledger(profile), [], []
    for row in found.to_dict("records"):
        place = (
            f'<a href="{row["chapter"].replace(".md", ".html")}#{row["id"].lower()}">{row["chapter"].removesuffix(".md")}</a>'
            if row["id"] in claims.RULES
            else row["why"]
        )
        effect = spread(row["effect"], row["low"], row["high"])
        rows.append([row["id"], row["claim"], row["published"], mark(row["verdict"]), effect, str(row["seeds"] or DASH), place])
        text.append(f"{row['id']:7} {row['verdict']:18} {effect:28} {row['what']}")
    html = table(
        rows,
        ["id", "claim", "the paper", "verdict", "effect [95 % interval]", "seeds", "where, or why not"],
        f"The ledger: {len(rows)} claims, {profile} profile",
    )
    return Page(html, "\n".join(text))


def glance(profile: str = "standard") -> Page:
    """How many claims stand where."""
    counts = claims.ledger(profile)["verdict"].value_counts()
    rows = [[mark(name), str(count)] for name, count in counts.items()]
    return Page(table(rows, ["verdict", "claims"], "The ledger at a glance"), "\n".join(f"{a}: {b}" for a, b in rows))


def measured(table: pd.DataFrame, name: str) -> Page:
    """Where the rounds of a benchmark were measured: hardware, threads, releases, commit, time, how busy the machine was."""
    first, load = table.iloc[0], table["load"].dropna()
    held = ", ".join(f"{package} {release}" for package, release in json.loads(first["versions"]).items())
    started = sorted(table["started"].dropna())
    text = (
        f"{name}: {first['hardware']}, {first['threads']} threads; {held}; commit {first['commit']}; "
        f"{started[0]} to {started[-1]}; load average {load.median():.1f}, at most {load.max():.1f}."
    )
    return Page(f'<p class="dd-rerun">{escape(text)}</p>', text)


def ratios(rounds: pd.DataFrame, reference: str, caption: str) -> Page:
    """Peers of a benchmark beside `reference`: median ratio with the least and greatest round, seconds, memory, error."""
    rows = []
    for row in studies.ratios(rounds, reference).sort_values(["case", "ratio"], kind="stable").to_dict("records"):
        if pd.notna(row["failed"]):
            rows.append([row["case"], row["peer"], f"cannot: {row['failed']}", *[DASH] * 3])
            continue
        error = row.get("error")
        rows.append(
            [row["case"], row["peer"], f"{row['ratio']:.2f} [{row['least']:.2f}, {row['greatest']:.2f}]", f"{row['seconds']:.3g}"]
            + [f"{row['peak_mib']:,.0f}" if "peak_mib" in row else DASH, DASH if pd.isna(error) else f"{error:.0e}"]
        )
    head = ["what", "by", f"time over {reference} [least, greatest]", "seconds", "MiB more", "largest error"]
    return Page(table(rows, head, caption), "\n".join(" | ".join(row) for row in rows))


def frame(values: pd.DataFrame, caption: str, digits: int = 2) -> Page:
    """A tidy table as it is: its columns as the head, numbers rounded, a dash where there is none."""

    def cell(value) -> str:
        if pd.isna(value):
            return DASH
        return f"{value:,.{digits}f}" if isinstance(value, float) else str(value)

    rows, head = [[cell(value) for value in row] for row in values.itertuples(index=False)], [str(name) for name in values]
    return Page(table(rows, head, caption), "\n".join(" | ".join(row) for row in [head, *rows]))
