"""Sections of the report: each takes the audit, and gives HTML under a heading of its own."""

import numpy as np

from datadiet import prune
from datadiet.audit import drawing
from datadiet.audit.found import Audit
from datadiet.audit.markup import chance, fold, item, name, number, percent, plural, safe, table
from datadiet.audit.twins import Twins

CLASSES = 24  # classes, pairs of classes and groups of twins that stand in the open; the others are folded
PAIRS, GROUPS, MOST_GROUPS, MEMBERS = 12, 10, 200, 12
TITLES = {"el2n": "EL2N", "grand_head": "head GraNd", "aum": "AUM", "grand": "GraNd"}
MEANINGS = {
    "el2n": "the distance between the probabilities and the label",
    "margin": "the probability of the best other class, less that of the class in the table",
    "cross_entropy": "minus the logarithm of the probability of the class in the table",
    "entropy": "how undecided the probabilities are, whatever the label",
    "least_confidence": "one minus the highest probability, whatever the label",
    "grand_head": "the norm of the last layer's gradient",
    "aum": "how far the logit of the class in the table stayed below the best other one during training",
    "forgetting": "how often the row was right, and then wrong again, during training",
}
ENDS = {
    "hardest": "the rows of highest score",
    "easiest": "the rows of lowest score",
    "middle": "the rows in the middle of the ranking",
    "random": "rows at random, whatever their score",
    "stratified": "rows from every part of the range of the score",
}


def called(score: str) -> str:
    """A score's name in words; HTML."""
    return safe(TITLES.get(score, score.replace("_", " ")))


def section(place: str, title: str, inside: str) -> str:
    """A part of the page that a link can lead to; `title` and `inside` are HTML."""
    return f'<section id="{place}" aria-labelledby="{place}-title"><h2 id="{place}-title">{title}</h2>{inside}</section>'


def _known(count) -> bool:
    return bool(np.isfinite(np.asarray(count, float)).all())


def _checked(audit: Audit) -> bool:
    return bool(audit.planted) and len(audit.check) > 0


def headline(audit: Audit, total: int | None) -> str:
    """Findings in words: facts in boxes, one paragraph, and the warnings."""
    n, k = len(audit.given), len(audit.names)
    estimate, low, high = audit.count
    if _known(audit.count):
        wrong = (f"<dd>{number(estimate)} <small>95\u00a0% interval {number(low)} to {number(high)}; "
                 f"{percent(estimate / n)} of the rows</small></dd>")
        said = (f"About <strong>{plural(round(estimate), 'label')}</strong> of {number(n)} "
                f"{'is' if round(estimate) == 1 else 'are'} estimated to be wrong "
                f"(95\u00a0% interval {number(low)} to {number(high)}).")
    else:
        wrong = "<dd>unknown <small>could not be estimated</small></dd>"
        said = "The number of wrong labels could not be estimated."
    lacks = audit.how.get("lacks", "no text or no label")
    left = "" if total is None or total == n else f" of {number(total)}; the others have {lacks}"
    agreed, models = by_whom(audit)
    facts = (
        f'<dl class="facts"><div class="first"><dt>labels estimated wrong</dt>{wrong}</div>'
        f"<div><dt>rows scored</dt><dd>{number(n)} <small>{left.removeprefix(' ')}</small></dd></div>"
        f"<div><dt>classes</dt><dd>{number(k)} <small>the largest has {percent(audit.majority)} of the rows</small></dd></div>"
        f"<div><dt>{agreed}</dt><dd>{percent(audit.accuracy)} <small>of {models}; "
        f"the largest class alone: {percent(audit.majority)}</small></dd></div></dl>"
    )
    rank = f"The rows are ranked by <strong>{called(audit.used)}</strong>"
    rank += f", {MEANINGS[audit.used]}." if audit.used in MEANINGS else "."
    words = f'<p class="lead">{said} {rank} {_found_in_words(audit)}</p>'
    return facts + words + _warnings(audit)


def _found_in_words(audit: Audit) -> str:
    if not _checked(audit):
        return "No check with planted flips was made: how well this ranking finds wrong labels is not known."
    line = audit.check[audit.check["score"] == audit.used]
    if not len(line):
        return "The check with planted flips did not try this score."
    line = line.iloc[0]
    return (
        f"How well that finds wrong labels was tried on a copy of the labels in which {plural(audit.planted, 'label')} "
        f"{'was' if audit.planted == 1 else 'were'} changed on purpose: "
        f"the {number(audit.planted)} rows it then ranked first held {percent(line['found'], 0)} of them "
        f"(by chance {percent(audit.planted / len(audit.given), 0)})."
    )


def _warnings(audit: Audit) -> str:
    if not audit.warnings:
        return ""
    lines = "".join(f"<li>{safe(each)}</li>" for each in audit.warnings)
    heading = '<h2 id="warn-title">Before you use it</h2>'
    return f'<div class="warn" role="note" aria-labelledby="warn-title">{heading}<ul>{lines}</ul></div>'


def check(audit: Audit) -> str:
    """The check with planted flips: a line a score, and what share each of them found."""
    if not _checked(audit):
        return section("check", "How well this works here", "<p>No check with planted flips was made.</p>")
    lines = audit.check.to_dict("records")
    lines.sort(key=lambda line: -line["auc"])
    by_chance = audit.planted / len(audit.given)
    rows = [[f'{"<strong>" if line["score"] == audit.used else ""}{called(line["score"])}'
             f'{"</strong> (used)" if line["score"] == audit.used else ""}',
             f'{line["auc"]:.3f}', f'{line["low"]:.3f} to {line["high"]:.3f}', percent(line["found"], 0)] for line in lines]
    drawn = drawing.bars(
        [(TITLES.get(line["score"], line["score"].replace("_", " ")), float(np.clip(line["found"], 0, 1)),
          percent(line["found"], 0), line["score"] == audit.used) for line in lines],
        "Share of the planted flips found, by score: "
        + ", ".join(f"{called(line['score'])} {percent(line['found'], 0)}" for line in lines)
        + f"; by chance {percent(by_chance, 0)}",
        by_chance,
    )
    return section(
        "check", "How well this works here",
        f"<p>In a copy of your own labels {plural(audit.planted, 'label')} {'was' if audit.planted == 1 else 'were'} changed to "
        "another class on purpose, and the rows were scored again with it. A score that works puts these planted flips at the "
        "top.</p>"
        f"<figure>{drawn}<figcaption>Share of the planted flips among the {number(audit.planted)} rows of highest score. The "
        f"dashed line is a ranking by chance, {percent(by_chance, 0)}.</figcaption></figure>"
        + table([("score", ""), ("area under the curve", "n"), ("95\u00a0% interval", "n"), ("flips found", "n")], rows,
                "The area under the curve is the share of pairs of a flipped and an untouched row in which the flipped one has "
                "the higher score: 1 is perfect, 0.5 is chance.", "fit narrow")
    )


def distribution(audit: Audit) -> str:
    """The score over all rows, and class by class."""
    values, known = audit.scores[audit.used], not np.isnan(audit.wrong).all()
    finite = np.isfinite(values)
    inside, beyond = "", int((~finite).sum())
    if finite.any():
        low, high = float(values[finite].min()), float(values[finite].max())
        middle = float(np.median(values[finite]))
        label = (f"Histogram of {called(audit.used)} over {plural(int(finite.sum()), 'row')}: from {low:.3g} to {high:.3g}, "
                 f"median {middle:.3g}")
        drawn = drawing.histogram(values[finite], np.nan_to_num(audit.wrong[finite]), label)
        keys = (
            ' <span class="key right"></span>labels expected to be right, <span class="key wrong"></span>expected to be wrong: '
            "the probabilities that the label is wrong, summed." if known else ""
        )  # fmt: skip
        inside += (f"<figure>{drawn}<figcaption>Number of rows by {called(audit.used)}; further right is more suspicious.{keys}"
                   "</figcaption></figure>")
    if beyond:
        inside += f"<p>Not drawn: {plural(beyond, 'row')} whose score is infinite, the most suspicious of all.</p>"
    inside += "<h3>Class by class</h3>" + _classes(audit, values, finite)
    return section("scores", f"The score, {called(audit.used)}", inside)


def expected(wrong: float) -> str:
    """A number of labels expected to be wrong; unknown where it is NaN."""
    return number(wrong, 1) if wrong == wrong else "unknown"


def _classes(audit: Audit, values: np.ndarray, finite: np.ndarray) -> str:
    low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 1.0)
    agree = audit.probs.argmax(1) == audit.given
    lines = []
    for k, title in enumerate(audit.names):
        mine = audit.given == k
        if not mine.any():
            continue
        bad = float(audit.wrong[mine].sum())
        drawn = drawing.strip(values[mine & finite], low, high) if (mine & finite).any() else '<span class="none">no score</span>'
        share = f" ({percent(bad / mine.sum())})" if bad == bad else ""
        lines.append((-np.nan_to_num(bad), k, [name(title), number(int(mine.sum())), percent(float(agree[mine].mean()), 0),
                                               f"{expected(bad)}{share}", drawn]))
    rows = [row for *_, row in sorted(lines, key=lambda line: line[:2])]
    columns = [("class", ""), ("rows", "n"), ("model agrees", "n"), ("expected wrong", "n"), (called(audit.used), "wide")]
    words = (f"Most labels expected to be wrong first. Box: the middle half of the class's rows; stroke: median; line: from 5 to "
             f"95\u00a0%; all on one scale, {low:.3g} to {high:.3g}.")
    return _folded(rows, CLASSES, _tables(columns, words, "The other classes.", "stack classes"), "more class", "more classes")


def _folded(rows: list, most: int, draw, one: str, more: str | None = None) -> str:
    """The first rows in the open, the others in a fold; `draw` makes HTML of some rows, and is told whether they are the rest."""
    if len(rows) <= most + 1:  # a fold for one row would be longer than the row
        return draw(rows, False)
    return draw(rows[:most], False) + fold(plural(len(rows) - most, one, more), draw(rows[most:], True))


def _tables(columns, words: str, rest_words: str, kind: str):
    """How `_folded` draws rows as a table: `words` stand above those in the open, `rest_words` above the others."""
    return lambda rows, rest: table(columns, rows, rest_words if rest else words, kind)


def order(audit: Audit) -> np.ndarray:
    """Positions among the scored rows, most suspicious first: by the score used, equals by probability, then as in the table."""
    return np.lexsort((audit.rows, -np.nan_to_num(audit.wrong), -audit.scores[audit.used]))


def by_whom(audit: Audit) -> tuple[str, str]:
    """Name of the accuracy, and the models whose it is: what they saw of a row says how much it is worth."""
    if "probs" in audit.how:
        return "accuracy of the predictions", "the models that made them, which must not have seen the row"
    if audit.how.get("saw the rows"):
        return "agreement with the labels", "models that trained on the row"
    return "accuracy out of fold", "models that never saw the row"


def suspicious(audit: Audit, texts, most: int, open_rows: int) -> str:
    """Rows of highest score: as given, what the model would say, and how sure that is."""
    first = order(audit)[:most]
    rows = []
    for i in first:
        own, best = int(audit.given[i]), int(audit.probs[i].argmax())
        label = audit.names[own]
        suggested = '<span class="none">the same</span>' if best == own else (
            f'{name(audit.names[best])} <span class="odds">at {chance(audit.probs[i, best])}</span>')
        rows.append([number(int(audit.rows[i]) + 1), item(texts[i], label),
                     f'<span>{name(label)} <span class="odds">at {chance(audit.probs[i, own])}</span></span>',
                     f"<span>{suggested}</span>", f'<span class="bad">{chance(audit.wrong[i])}</span>'])
    columns = [("row", ""), ("text", "wide"), ("class in the table", ""), ("model's class", ""), ("label wrong", "n")]
    words = (f"“At” is the probability that this class has by {by_whom(audit)[1]}. “Label wrong” is the probability that the "
             "class in the table is wrong.")
    return section(
        "rows", f"The {plural(len(first), 'most suspicious row')}",
        "<p>Row 1 is the first row of the table, the first one below the header; rows are counted as records, so a line break "
        "inside a cell does not count. Read these before you change anything: a rare but right row is suspicious, too. "
        "An apostrophe is shown before a text that a spreadsheet would run as a formula; the table does not have it.</p>"
        + _folded(rows, open_rows, _tables(columns, words, "The rows after these.", "stack rows"), "more row")
    )


def doubles(audit: Audit, texts, found: Twins) -> str:
    """Near-duplicates with different labels."""
    def shown(i):
        return f"<div>{item(texts[i], audit.names[audit.given[i]])}</div>"

    def who(members, more=""):
        each = [f"row {number(audit.rows[i] + 1)}: {name(audit.names[audit.given[i]])}" for i in members[:MEMBERS]]
        if len(members) > MEMBERS:
            each.append(f"and {plural(len(members) - MEMBERS, 'more row')}")
        return f'<div class="who">{"".join(f"<span>{one}</span>" for one in each)}{more}</div>'

    def listed(part, rest):
        return f'<ul class="group">{"".join(f"<li>{each}</li>" for each in part)}</ul>'

    same = [who(group) + shown(group[0]) for group in found.exact[:MOST_GROUPS]]
    near = [who([a], f'<span class="like">alike to {value:.2f}</span>') + shown(a) + who([b]) + shown(b)
            for a, b, value in found.near[:MOST_GROUPS]]
    inside = "<p>Two rows that say the same and have different labels: one of the two is wrong, or the classes overlap.</p>"
    inside += f"<h3>The same, but for case, blanks and punctuation: {plural(len(found.exact), 'group')}</h3>"
    inside += _folded(same, GROUPS, listed, "more group") if same else "<p>None.</p>"
    inside += f"<h3>Nearly the same: {plural(len(found.near), 'pair')}</h3>"
    inside += _folded(near, GROUPS, listed, "more pair") if near else "<p>None.</p>"
    if max(len(found.exact), len(found.near)) > MOST_GROUPS:
        inside += f"<p>Only the first {MOST_GROUPS} of each kind are listed.</p>"
    if found.copies:
        inside += (f"<p>{plural(found.copies, 'row has', 'rows have')} an exact copy with the same label. A model that saw the "
                   "copy is surer of the row than it should be: a wrong label that was copied with its row is hard to find.</p>")
    return section("twins", "The same text, different labels",
                   inside + "".join(f'<p class="under">{safe(note)}</p>' for note in found.notes))


def shares(audit: Audit, keep: float, rule: str, balanced: bool, offset: float = 0.0, seed: int = 0) -> str:
    """Classes before and after the pruning asked for; rows are chosen as ``datadiet prune`` does."""
    kept = prune.keep(audit.scores[audit.used], keep, rule, offset=offset, labels=audit.given if balanced else None, seed=seed)
    k, n = len(audit.names), len(audit.given)
    before, after = np.bincount(audit.given, minlength=k), np.bincount(audit.given[kept], minlength=k)
    old, new = before / n, after / len(kept)
    most = float(max(old.max(), new.max()))
    lost = [audit.names[c] for c in range(k) if before[c] and not after[c]]
    bad = float(np.nan_to_num(audit.wrong).sum())
    rows = [[name(audit.names[c]), f"{number(before[c])} ({percent(old[c])})", f"{number(after[c])} ({percent(new[c])})",
             f"{100 * (new[c] - old[c]):+.1f} points".replace("-", "−"), drawing.pair(old[c], new[c], most)]
            for c in sorted(range(k), key=lambda c: (-abs(new[c] - old[c]), c)) if before[c]]
    columns = [("class", ""), ("before", "n"), ("after", "n"), ("change of share", "n"), ("shares", "wide")]
    end = ENDS[rule]
    each = ", the same share of every class" if balanced else ""
    words = (f"<p>Keeping {percent(keep, 0)} by the rule “{rule}” keeps {number(len(kept))} of {number(n)} rows: {end}{each}"
             + (f", after leaving out {percent(offset)} at that end" if offset else "") + ".")
    if bad > 0:
        words += f" They hold {percent(float(audit.wrong[kept].sum()) / bad, 0)} of the labels expected to be wrong."
    words += "</p>"
    if lost:
        which = ", ".join(map(name, lost[:20])) + (" and others" if len(lost) > 20 else "")
        words += (f'<div class="warn" role="note"><p>{plural(len(lost), "class loses", "classes lose")} every row: {which}. '
                  "“--balanced” keeps the same share of every class.</p></div>")
    key = ('Largest change first. <span class="key other"></span>before, <span class="key used"></span>after.')
    return section("pruning", "Classes before and after pruning", words + _folded(
        rows, CLASSES, _tables(columns, key, "The other classes.", "stack classes"), "more class", "more classes"))


def confusion(audit: Audit) -> str:
    """Pairs of classes: in the table the one, for the models the other."""
    k, best = len(audit.names), audit.probs.argmax(1)
    codes = audit.given.astype(np.int64) * k + best
    counts = np.bincount(codes[best != audit.given], minlength=0)
    pairs = np.flatnonzero(counts)
    pairs = pairs[np.argsort(-counts[pairs], kind="stable")]
    if not len(pairs):
        return section("confusion", "Which class is taken for which", "<p>The models agree with the table in every row.</p>")
    size = np.bincount(audit.given, minlength=k)
    rows = [[f"{name(audit.names[code // k])} → {name(audit.names[code % k])}", number(int(counts[code])),
             percent(counts[code] / size[code // k]), expected(float(audit.wrong[codes == code].sum()))]
            for code in pairs[:10 * PAIRS].tolist()]
    columns = [("in the table → the models", ""), ("rows", "n"), ("of the class", "n"), ("expected wrong", "n")]
    more = len(pairs) - len(rows)
    return section(
        "confusion", "Which class is taken for which",
        f"<p>The models differ from the table in {plural(int(counts.sum()), 'row')}, in {plural(len(pairs), 'pair')} of classes. "
        "Where few of a pair's rows are expected to be wrong, the two classes are hard to tell apart rather than mislabelled.</p>"
        + _folded(rows, PAIRS, _tables(columns, "Most rows first.", "The other pairs.", "fit narrow"), "more pair")
        + (f"<p>{number(more)} rarer pairs are not listed.</p>" if more else "")
    )


def limits(audit: Audit) -> str:
    """Blind spots, in plain words."""
    seen = [
        ("Systematic errors.",
         "Where everyone who labelled made the same mistake, the models learn the mistake, and the rows look right. The estimate "
         "does not count them."),
        ("Classes that are hard to tell apart.",
         "Real mistakes go to the class next door, where the models are unsure as well; planted flips go further. Real mistakes "
         "may be found less often than planted ones."),
        ("Rare but right.",
         "An unusual row, a class of few rows or a new way to say something is suspicious without being wrong. A row in this "
         "list is a row to read, not a row to delete."),
        ("Rows that fit no class, or more than one.",
         "They have a class like all others; the score only says that they are hard."),
        ("Texts that say nothing about the class.",
         f"Where the {by_whom(audit)[0]} is little more than the largest class alone "
         f"(here {percent(audit.accuracy)} and {percent(audit.majority)}), the score says little about labels."),
    ]
    lines = "".join(f"<li><strong>{blind}</strong> {why}</li>" for blind, why in seen)
    return section("limits", "What this cannot see", f"<ul>{lines}</ul>")
