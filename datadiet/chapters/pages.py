"""Tables and cards of a chapter: verdicts, where the runs come from, how to run them again, the ledger.

Each returns an object that a notebook shows as HTML and a terminal as text. Everything that comes from a file is escaped.
"""

import re
from base64 import b64encode
from dataclasses import dataclass
from html import escape

import pandas as pd

from datadiet.audit.markup import named, visible
from datadiet.chapters.history import dates
from datadiet.chapters.ledger import PAPERS, SETTINGS, claims, decide_over, kind_of
from datadiet.chapters.parts import difference, interval
from datadiet.chapters.views import View, rebuilt

HINT = "Rebuilt here, a hint"
SHOWN = 10  # rows of a table on a page
WORDS = 22  # letters of a cell that stay in one line
DASH, DOT = "\N{EN DASH}", "\N{MIDDLE DOT}"
NUMBER = rf"[-+\u2212]?\d[\d.,]*( ?[%\u00d7]| ?[a-zA-Z]{{1,3}})?( [\[(].*)?|{DASH}"  # with a unit, an interval; no checksum
MARKS = {
    "reproduced": "\N{CHECK MARK}",
    "agrees": "\N{CHECK MARK}",
    "partly reproduced": "\N{ALMOST EQUAL TO}",
    "partly": "\N{ALMOST EQUAL TO}",
    "not reproduced": "\N{BALLOT X}",
    "disagrees": "\N{BALLOT X}",
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


class Link(str):
    """HTML of a link that was made here: the one kind of cell that a table does not escape."""


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


def gain(one: pd.Series, other: pd.Series) -> str:
    """The paired difference of two arms with its 95 % interval, seed by seed; a dash where fewer than two seeds have both."""
    values = difference(one, other)
    return spread(*interval(values)) if len(values) > 1 else DASH


def table(rows: list[list[str]], head: list[str], caption: str) -> str:
    """An HTML table with a caption and column scopes; every text is escaped, except a :class:`Link`.

    The class of a cell says its kind: ``dd-number``, ``dd-word`` (it stays in one line) or ``dd-words`` (it wraps).
    """

    def cell(value):
        return value if isinstance(value, Link) else escape(named(value))

    def data(value):
        seen = re.sub("<.*?>", "", value) if isinstance(value, Link) else value
        kind = "number" if re.fullmatch(NUMBER, value) else "words" if len(seen) > WORDS else "word"
        return f'<td class="dd-{kind}">{cell(value)}</td>'

    lines = ["".join(f'<th scope="col">{escape(named(name))}</th>' for name in head)]
    lines += ["".join(map(data, row)) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines[1:])
    return (
        f'<div class="dd-table" tabindex="0"><table class="table"><caption>{escape(named(caption))}</caption>'
        f"<thead><tr>{lines[0]}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def folded(page, summary: str = HINT) -> Page:
    """A page or a chart behind a line that opens it."""
    html = f'<details class="dd-fold"><summary>{escape(summary)}</summary>{page._repr_html_()}</details>'
    return Page(html, f"{summary}\n{page!r}")


def of_views(make, views: list[View]) -> Page:
    """``make(views)`` of the views that are shown, and below it, folded away, of those that were rebuilt here."""
    shown, own = make(list(views)), rebuilt(views)
    below = [folded(make(own))] if own else []
    return Page("".join(page.html for page in [shown, *below]), "\n".join(page.text for page in [shown, *below]))


def badge(verdict: str, setting: str) -> str:
    """A verdict in its colour with the sign that doubles it, and where its experiments stand; HTML."""
    word = verdict.split(": ")[-1]
    word = {"partly": "agrees in part"}.get(word, word)
    hint = '<span class="dd-chip">hint, fewer than five seeds</span>' if verdict.startswith("hint") else ""
    chip = "" if kind_of(verdict) == "open" else f'<span class="dd-chip">{escape(setting)}</span>'
    sign = MARKS.get(verdict.split(": ")[-1], DOT)
    return f'<strong class="dd-badge dd-{kind_of(verdict)}">{sign} {escape(word)}</strong> {chip}{hint}'


def headed(claim: str, verdict: str, setting: str, link: str) -> str:
    """The first line of a card: the verdict, where its experiments stand, the claim's id, the paper; HTML."""
    abbreviation, name, authors = PAPERS[claims()[claim]["paper"]]
    paper = f'<abbr title="{escape(abbreviation)}: {escape(name)}, {escape(authors)}">{escape(name)}</abbr>'
    return f'<p class="dd-verdict">{badge(verdict, setting)} <span class="dd-whose">{link} {DOT} {paper}</span></p>'


def verdict(claim: str, views: list[View]) -> Page:
    """A claim's card: its verdict from the runs that are shown, the claim, its regime; parts, rule and rebuilt runs fold away."""
    entry = claims()[claim]
    found = decide_over(claim, [(view.settings, view.table) for view in views])
    text = [f"{claim}: {found.verdict}", *filter(None, [found.which]), entry["claim"], f"published: {entry['published']}"]
    html = [headed(claim, found.verdict, found.setting, f'<a href="claims.html#ledger-{claim.lower()}">{claim}</a>')]
    html.append(f'<p class="dd-sentence">{escape(entry["claim"])}</p>')
    regime = f"{SETTINGS[found.setting].capitalize()}."
    if part := found.headline:
        regime = f"{part.name}: {spread(part.effect, part.low, part.high)}, claimed {part.claimed}, {part.n} seeds. {regime}"
    html.append(f'<p class="dd-regime">{escape(regime)}</p>')
    which = f'<p class="dd-which">{escape(found.which)}</p>' if found.which else ""
    shown = [_experiments(claim, view) for view in views]
    html.append(_fold(f"Experiments and regimes ({sum(page.html.count('<section') for page in shown)})",
                      which + "".join(page.html for page in shown)))
    html.append(_rule(claim, views))
    own = [_experiments(claim, view) for view in rebuilt(views)]
    if own:
        html.append(_fold(HINT, "".join(page.html for page in own)))
    text += [page.text for page in shown + own]
    return Page(f'<div class="dd-claim dd-{kind_of(found.verdict)}" id="{claim.lower()}">{"".join(html)}</div>', "\n".join(text))


def _fold(summary: str, inside: str) -> str:
    return f'<details class="dd-fold"><summary>{escape(summary)}</summary>{inside}</details>'


def _experiments(claim: str, view: View) -> Page:
    """What a view's runs of each task say to a claim: outcome, parts, criteria of the regime."""
    html, text = [], []
    for each in decide_over(claim, [(view.settings, view.table)]).experiments:
        name = f"{view.name}, {each.task}"
        rows = [[part.outcome, part.short, spread(part.effect, part.low, part.high), part.claimed, str(part.n)]
                for part in each.parts]
        criteria = [["met" if criterion.met else "not met", criterion.name, criterion.words] for criterion in each.criteria]
        html.append(
            f'<section class="dd-experiment"><p><strong>{escape(name)}:</strong> {escape(each.words)}</p>'
            + table(rows, ["outcome", "part", "effect [95 % interval]", "claimed", "seeds"], f"{claim}, {name}")
            + table(criteria, ["criterion", "name", "why"], f"Regime of {claim}, {name}")
            + "</section>"
        )
        text += [f"{name}: {each.words}", *("  " + " | ".join(row) for row in rows + criteria)]
    return Page("".join(html), "\n".join(text))


def _rule(claim: str, views: list[View]) -> str:
    """What the paper says, the rule of a claim, its regime, its dates and its dated notes, folded away."""
    entry = claims()[claim]
    whose = "Our inference, no sentence of the paper" if entry.get("ours") else "The paper"
    paper = f"<p><em>{whose}:</em> {escape(entry['published'])} ({escape(entry['known'])}).</p>"
    notes = "".join(f"<p>{day}: {escape(note)}</p>" for day, note in entry.get("notes", {}).items())
    control = entry["regime"].get("control")
    control = f"<p><em>Control:</em> {escape(control)}.</p>" if control else ""
    when = f'<p class="dd-dates">{dates(claim, [view.table for view in views])}</p>'
    rule = f"<p><em>Rule:</em> {escape(entry['rule'])}</p>"
    return _fold("Paper, rule and changes", f"{paper}{rule}{control}{when}{notes}")


def provenance(views: list[View]) -> Page:
    """Where the runs of each view come from: the stored ones counted in a line, which opens hardware, versions, commit, data."""
    page = of_views(_provenance, views)
    counts = ", ".join(f"{view.name}: {_origin(view)[1]} runs stored" for view in views)
    return Page(folded(page, f"Where the runs on this page come from ({counts})").html, page.text)


def _provenance(views: list[View]) -> Page:
    names = ["profile", "runs stored", "hardware", "run time", "examples trained on", "texts cut", "versions", "commit", "data"]
    columns = [_origin(view) for view in views]
    rows = [[name, *(column[i] for column in columns)] for i, name in enumerate(names)]
    text = "\n".join(" | ".join(row) for row in rows)
    return Page(table(rows, ["", *(view.name for view in views)], "Settings and origin"), text)


def _origin(view: View) -> list[str]:
    runs, absent = view.table, view.table.attrs.get("missing", 0)
    stored = f"{len(runs)} of {len(runs) + absent}"
    if not len(runs):
        return [view.settings["profile"], stored, *[DASH] * 7]
    runs = runs.drop_duplicates("key")
    versions = sorted({", ".join(f"{name} {number}" for name, number in releases.items()) for releases in runs["versions"]})
    data = sorted(
        {f"{source}, SHA-256 {check[:12]}" for source, check in zip(runs["data_source"], runs["data_checksum"], strict=True)}
    )
    minutes = runs["seconds"].sum() / 60
    return [
        view.settings["profile"],
        stored,
        "; ".join(sorted(set(runs["hardware"]))),
        f"{minutes:.1f} min over {len(runs)} distinct runs",
        f"{runs['examples'].sum():,}",
        DASH if runs.get("cut") is None or runs["cut"].isna().all() else f"{runs['cut'].mean():.0%} of the training texts",
        "; ".join(versions),
        ", ".join(sorted(set(runs["commit"]))),
        "; ".join(data),
    ]


def rerun(chapter: str, views: list[View]) -> Page:
    """How to run a chapter again, with the time its runs took where they were made."""
    lines = [
        f"datadiet run {chapter} --profile lab",
        f"jupytext --to ipynb -o - chapters/{chapter}.md | papermill - {chapter}.ipynb -f profiles/lab/{chapter}.yml",
        f"datadiet run {chapter} --profile standard -p engine processes",
    ]
    times = []
    for view in [*views, *rebuilt(views)]:
        if len(view.table):
            runs = view.table.drop_duplicates("key")
            times.append(
                f"{view.name} ({view.settings['profile']}): {len(runs)} runs, {runs['seconds'].sum() / 60:.1f} min of runs on "
                f"{'; '.join(sorted(set(runs['hardware'])))}."
            )
    html = f"<pre>{escape(chr(10).join(lines))}</pre>" + "".join(f"<p>{escape(time)}</p>" for time in times)
    return Page(f'<div class="dd-rerun">{html}</div>', "\n".join(lines + times))


def frame(values: pd.DataFrame, caption: str, digits: int = 2, shown: int = SHOWN) -> Page:
    """A tidy table: its first rows with the columns as the head, numbers rounded, a dash where there is none; all as a file.

    Parameters
    ----------
    values : DataFrame
        In the order in which its rows matter; its index is not shown.
    caption : str
        Words, with units.
    digits : int
        Of every number that is not whole.
    shown : int
        Rows on the page. Where the table has more, the whole of it is a CSV file to download, inside the page itself.
    """

    def cell(value) -> str:
        if pd.isna(value):
            return DASH
        return f"{value:,.{digits}f}" if isinstance(value, float) else str(value)

    rows, head = [[cell(value) for value in row] for row in values.itertuples(index=False)], [str(name) for name in values]
    text = "\n".join(" | ".join(row) for row in [head, *rows])
    if len(rows) <= shown:
        return Page(table(rows, head, caption), text)
    name = "-".join(re.findall(r"[a-z0-9]+", caption.lower())[:8]) + ".csv"
    held = values.map(lambda value: visible(value) if isinstance(value, str) else value)
    file = b64encode(held.to_csv(index=False, header=[visible(name) for name in head]).encode()).decode()
    link = f'<a download="{name}" href="data:text/csv;base64,{file}">All {len(rows)} rows as CSV</a>'
    return Page(f'{table(rows[:shown], head, caption)}<p class="dd-more">{shown} of {len(rows)} rows. {link}</p>', text)


def frames(views: list[View], make, caption: str, digits: int = 2) -> Page:
    """The table ``make(view)`` of every view, in a box that scrolls by itself; a view whose table is empty is named as such."""

    def of(views) -> Page:
        parts = []
        for view in views:
            values, name = make(view), f"{view.name} ({view.settings['profile']}): {caption}"
            text = f"{view.name} ({view.settings['profile']}): no runs are stored yet."
            parts.append(frame(values, name, digits) if len(values) else Page(f"<p>{escape(text)}</p>", text))
        return Page("".join(part.html for part in parts), "\n".join(part.text for part in parts))

    return of_views(of, views)
