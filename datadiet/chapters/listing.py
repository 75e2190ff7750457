"""The ledger as a page shows it: every claim by its paper, verdict first, with filters and a search where there is a script."""

from html import escape

import pandas as pd

from datadiet.chapters import ledger
from datadiet.chapters.history import dates
from datadiet.chapters.pages import Page, headed, spread

VERDICTS = {"agrees": "agrees or reproduced", "partly": "agrees in part", "disagrees": "disagrees or not reproduced",
            "undecided": "undecided", "open": "nothing decided"}


def whole(profiles: tuple[str, ...] = ledger.EVIDENCE) -> Page:
    """Every claim with its verdict, regime, effect, chapter and dates, by paper; our own inferences stand apart, below."""
    found = ledger.ledger(profiles)
    html, text = [_filters(found)], []
    for ours in (False, True):
        some = found[found["ours"] == ours]
        if ours and len(some):
            html.append('<h2 class="dd-ours">Inferences of our own</h2><p>No paper makes these claims in so many words. They '
                        "stand below the paper that they lean on, and are not counted as its own.</p>")
        for paper in [each for each in ledger.PAPERS if each in set(some["paper"])]:
            rows = some[some["paper"] == paper].to_dict("records")
            abbreviation, name, authors = ledger.PAPERS[paper]
            head = f'<h{2 + ours} class="dd-paper">{escape(name)}</h{2 + ours}>'
            who = f'<p class="dd-who">{escape(authors)}; ids begin with {escape(abbreviation)}</p>'
            html.append(f'<section class="dd-group">{head}{who}{"".join(_line(row, profiles) for row in rows)}</section>')
            text += [f"{row['id']:7} {row['verdict']:26} {spread(row['effect'], row['low'], row['high']):28} {row['part']}"
                     for row in rows]
    return Page(f'<div class="dd-ledger">{"".join(html)}</div>', "\n".join(text))


def _filters(found: pd.DataFrame) -> str:
    """The search box and three choices; hidden where no script shows them. Numbers say how many claims a choice has."""
    def choice(name: str, label: str, words: dict, column: str) -> str:
        counts = found[column].value_counts()
        options = "".join(f'<option value="{escape(value)}">{escape(word)} ({counts[value]})</option>'
                          for value, word in words.items() if value in counts)
        return f'<label>{label}<select name="{name}"><option value="">all</option>{options}</select></label>'

    papers = {key: f"{short}: {name}" for key, (short, name, _) in ledger.PAPERS.items()}
    return (
        '<form class="dd-filters" role="search" aria-label="Claims" hidden>'
        '<label>Search<input type="search" name="words" autocomplete="off" placeholder="word, id, set"></label>'
        + choice("paper", "Paper", papers, "paper")
        + choice("kind", "Verdict", VERDICTS, "kind")
        + choice("setting", "Regime", {word: word for word in ledger.SETTINGS}, "setting")
        + '<button type="reset">Show all</button><p class="dd-count" role="status"></p></form>'
    )


def place_of(row: dict) -> str:
    """Address of the cell that decides a claim, or of its line in the ledger where none does."""
    if row["id"] in ledger.rules():
        return f"{row['chapter'].removesuffix('.md')}.html#{row['id'].lower()}"
    return f"claims.html#ledger-{row['id'].lower()}"


def _line(row: dict, profiles: tuple[str, ...]) -> str:
    """A claim in the ledger: verdict, sentence, effect, its cell; the rest folds away."""
    claim, entry, decided = row["id"], ledger.claims()[row["id"]], row["id"] in ledger.rules()
    link = f'<a href="{escape(place_of(row))}">{claim}</a>' if decided else claim
    what = [headed(claim, row["verdict"], row["setting"], link), f'<p class="dd-sentence">{escape(row["claim"])}</p>']
    if row["part"]:
        effect = f"{row['part']}: {spread(row['effect'], row['low'], row['high'])}, {row['seeds']} seeds"
        what.append(f'<p class="dd-regime">{escape(effect)}</p>')
    if row["why"]:
        what.append(f'<p class="dd-regime">{escape(row["why"])}</p>')
    whose = "Our inference" if row["ours"] else "The paper"
    inside = [f"<p><em>{whose}:</em> {escape(row['published'])} ({escape(entry['known'])}).</p>"]
    if decided:
        each = "".join(f"<li>{escape(one)}</li>" for one in row["experiments"])
        tables = [table for _, table in ledger.evidence(ledger.chapter_of(claim), profiles)]
        inside.append(f"<p>Experiments:</p><ul>{each}</ul><p>{dates(claim, tables)} "
                      f'<a href="{escape(place_of(row))}">The cell that decides it</a>.</p>')
    fold = f'<details class="dd-fold"><summary>The paper, the experiments, the dates</summary>{"".join(inside)}</details>'
    data = "".join(f' data-{name}="{escape(str(row[name]))}"' for name in ("paper", "kind", "setting"))
    return f'<div class="dd-claim dd-line dd-{row["kind"]}" id="ledger-{claim.lower()}"{data}>{"".join(what)}{fold}</div>'
