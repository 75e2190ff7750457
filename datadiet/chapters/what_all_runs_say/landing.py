"""The first screen of the book: the findings in three sentences, the commands for a table of one's own, the forest plot."""

from html import escape

import pandas as pd

from datadiet.chapters import ledger
from datadiet.chapters.forest import forest
from datadiet.chapters.listing import VERDICTS
from datadiet.chapters.pages import Page
from datadiet.chapters.what_all_runs_say import runs, tables

COMMANDS = (
    "datadiet score mine.csv --text question --label topic --out scored.csv",
    "datadiet prune scored.csv --keep 0.9 --rule easiest --balanced topic --out kept.csv",
)
# name, page, what is behind the door; the third holds links, and is HTML
DOORS = (
    ("Read", "score-timing.html", '<a href="scores.html">What a score is</a>, <a href="score-timing.html">when it can be '
     'trusted</a>, <a href="pruning-fractions.html">how much can go</a>; in short: '
     '<a href="what-all-runs-say.html">what all runs say</a>.'),
    ("Run", "quickstart.html", '<a href="quickstart.html">The quickstart</a> needs nothing to download. '
     '<a href="which-score.html">Choose a score</a>, or look at <a href="explorer.html">the examples themselves</a>.'),
    ("Teach", "teach.html", '<a href="teach.html">Four sessions</a>, exercises and a quiz in each chapter, <code>datadiet '
     'course</code> for notebooks and slides, <a href="data.html">all runs as tables</a>.'),
)


def sentences(claims: pd.DataFrame) -> list[str]:
    """What was found, in three sentences whose numbers are read off the published runs and the ledger."""
    by_run = runs.by_run()
    arms = runs.arms(by_run)
    arms = arms[~arms["blind"]].reset_index(drop=True)
    half = tables.hardest(arms, "mnli", 0.5, at="1ep")
    wrong = arms[arms["wrong"] > 0.5]
    theirs = claims[~claims["ours"]]
    kinds = theirs["kind"].value_counts()
    lost, sure = int((wrong["gain"] < 0).sum()), int((wrong["high"] < 0).sum())
    found = {kind: int(kinds.get(kind, 0)) for kind in VERDICTS}
    return [
        f"A model trained on the hardest half of MNLI pairs, labels unchanged, is right on {half['accuracy']:.1%} of the test "
        f"pairs: less than guessing among three classes ({half['chance']:.1%}), and far below a model trained on a random half "
        f"({half['random']:.1%}).",
        f"This is no exception: of {len(arms)} ways to prune with published runs, {len(wrong)} keep mostly examples that the "
        f"scoring runs misclassify, and {lost} of those {len(wrong)} train worse models than as many random examples, "
        f"{sure} of them by their whole 95 % interval.",
        f"Of {len(theirs)} claims of {theirs['paper'].nunique()} papers, tried in settings that are mostly smaller than the "
        f"papers', {found['agrees']} agree with our runs, "
        f"{found['partly']} agree in part, {found['disagrees']} do not, {found['undecided']} are undecided, and "
        f"{found['open']} could not be decided by our runs.",
    ]


def landing() -> Page:
    """The sentences and commands beside the forest plot, below them on a phone."""
    claims = ledger.ledger()
    said, plot = sentences(claims), forest(claims)
    links = ["", ' <a href="what-all-runs-say.html">What all runs say</a>.', ' <a href="claims.html">The ledger</a>.']
    found = "".join(f"<p>{escape(sentence)}{link}</p>" for sentence, link in zip(said, links, strict=True))
    commands = "".join(f"<pre>{escape(command)}</pre>" for command in COMMANDS)
    doors = "".join(f'<li><a class="dd-door" href="{page}">{name}</a><p>{inside}</p></li>' for name, page, inside in DOORS)
    html = (
        f'<div class="dd-landing"><div class="dd-found">{found}</div>{plot.html}<div class="dd-ways">'
        f'<ul class="dd-doors">{doors}</ul>'
        f"<p>Your own table, in two commands:</p>{commands}</div></div>"
    )
    return Page(html, "\n".join([*said, *COMMANDS, plot.text]))
