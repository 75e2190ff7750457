"""One HTML file that says which rows of a table look wrong, how sure that is, and how to do it again: to read, and to send.

The file needs no network and no script, and its policy forbids both, so that nothing in a cell could ever run. The same
audit gives the same file, byte for byte.
"""

import base64
import hashlib
import json
import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np

import datadiet
from datadiet.audit import sections
from datadiet.audit.found import Audit
from datadiet.audit.markup import safe
from datadiet.audit.twins import Twins, twins
from datadiet.errors import InputError

MOST = 100
OPEN = 30
FIRST = ("command", "digest", "lacks")  # of what was done: shown before everything else
TITLES = {"digest": "digest of the table (SHA-256)", "version": "datadiet"}


def report(
    audit: Audit,
    texts,
    *,
    title: str,
    table_name: str,
    keep: float | None = None,
    rule: str = "easiest",
    balanced: bool = False,
    offset: float = 0.0,
    seed: int = 0,
    total: int | None = None,
    found: Twins | None = None,
    most: int = MOST,
    open_rows: int = OPEN,
) -> str:
    """An audit as one HTML page without a network.

    Parameters
    ----------
    audit : Audit
        Findings. Of `how`, "command" (a string or a list of words) and "digest" come first; every other entry is shown as it is.
    texts : list of str, of (str, str), or of pathlib.Path
        One for each row that was scored, in the order of ``audit.rows``. Paths are pictures: those shown are made small and put
        into the page.
    title : str
        Heading of the page.
    table_name : str
        Name of the table, as the user knows it.
    keep : float, optional
        Share of the rows that pruning would keep: the section on class shares is there only if it is given.
    rule, balanced, offset, seed
        Of the pruning, see :func:`datadiet.prune.keep`; `balanced` keeps the same share of every class.
    total : int, optional
        Rows of the table; those not scored are then counted.
    found : Twins, optional
        Near-duplicates, where they were looked for before, with features for instance; else they are looked for in the texts.
    most, open_rows : int
        Suspicious rows in the page, and how many of them stand in the open.

    Returns
    -------
    str
        Whole HTML document, to be written as UTF-8.

    Raises
    ------
    InputError
        Texts that are not one a scored row or of another type; arrays of the audit that differ in length; a score that is
        not there or NaN; a pruning that :func:`datadiet.prune.keep` refuses.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> audit = Audit(names=("no", "yes"), rows=np.array([0, 1]), given=np.array([0, 1]), probs=np.array([[.9, .1], [.8, .2]]),
    ...     scores={"margin": np.array([-.8, .6])}, used="margin", wrong=np.array([.05, .9]), count=(1., 0., 2.),
    ...     check=pd.DataFrame(columns=["score", "auc", "low", "high", "found"]), planted=0, accuracy=.5, majority=.5,
    ...     warnings=(), how={})
    >>> page = report(audit, ["it rains", "<b>it rains not"], title="Weather", table_name="weather.csv")
    >>> page[:15], "&lt;b&gt;it rains not" in page
    ('<!doctype html>', True)
    """
    texts = _checked(audit, texts, most, open_rows)
    parts = [
        ("check", "How well it works", sections.check(audit)),
        ("scores", "The score", sections.distribution(audit)),
        ("rows", "Suspicious rows", sections.suspicious(audit, texts, most, open_rows)),
        ("twins", "Same text, other label",
         sections.doubles(audit, texts, twins(texts, audit.given) if found is None else found)),
        ("confusion", "Confusion", sections.confusion(audit)),
        ("limits", "What it cannot see", sections.limits(audit)),
        ("how", "How to repeat it", done(audit.how)),
    ]
    if keep is not None:
        parts.insert(4, ("pruning", "Pruning", sections.shares(audit, keep, rule, balanced, offset, seed)))
    links = "".join(f'<li><a href="#{place}">{words}</a></li>' for place, words, _ in parts)
    style = "\n" + files("datadiet.audit").joinpath("report.css").read_text(encoding="utf-8")
    # Only this very style may apply, and pictures only from within: even a mistake in escaping could not load or run a thing.
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    body = "\n".join(inside for *_, inside in parts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>{safe(title, 200)}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the findings</a>
<header>
<h1>{safe(title, 200)}</h1>
<p class="under">Labels of <strong>{safe(table_name, 200)}</strong>, checked with datadiet</p>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main id="main" tabindex="-1">
{sections.headline(audit, total)}
{body}
</main>
<footer>This file holds texts of the table: send it only to those who may see them. It loads nothing from anywhere and runs no
script.</footer>
</body>
</html>
"""


def done(how: Mapping) -> str:
    """The section on what was done: the command, the digest of the table, then every setting as it is."""
    inside = ""
    command = how.get("command")
    if command:
        words = command if isinstance(command, str) else shlex.join(map(str, command))
        inside += f"<p>This command does it again:</p><pre><code>{safe(words)}</code></pre>"
    rest = {key: how[key] for key in ("digest",) if key in how} | {key: value for key, value in how.items() if key not in FIRST}
    rest.setdefault("version", datadiet.__version__)
    titles = {key: safe(TITLES.get(key, str(key).replace("_", " "))) for key in rest}
    lines = "".join(f"<dt>{titles[key]}</dt><dd>{_value(value)}</dd>" for key, value in rest.items())
    return sections.section("how", "What was done, and how to repeat it", f'{inside}<dl class="how">{lines}</dl>')


def _value(value) -> str:
    """A setting as HTML."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return "<br>".join(f"{safe(str(key).replace('_', ' '))}: {_value(each)}" for key, each in value.items()) or "none"
    if isinstance(value, list | tuple) and all(isinstance(each, str | int | float) for each in value):
        return ", ".join(map(_value, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    return safe(value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False))


def _checked(audit: Audit, texts, most: int, open_rows: int) -> list:
    """Texts as a list, each of a known type; the audit's arrays agree."""
    n = len(audit.given)
    texts = list(texts)
    if not n or len(texts) != n:
        raise InputError(f"audit.report: {n} rows were scored and {len(texts)} texts given; give one for each "
                         "scored row, at least one.")
    sizes = {"rows": len(audit.rows), "wrong": len(audit.wrong), "probs": len(audit.probs)} | {
        f"scores[{key!r}]": len(values) for key, values in audit.scores.items()}
    other = [f"{key} has {size}" for key, size in sizes.items() if size != n]
    if other:
        raise InputError(f"audit.report: {n} labels were scored, but {', '.join(other)}; give one of each a row.")
    if audit.used not in audit.scores:
        raise InputError(f"audit.report: the score used, {audit.used!r}, is not among {', '.join(audit.scores)}; name one.")
    unknown = np.isnan(audit.wrong)  # in all rows where no flips were planted, or none were found
    if np.isnan(audit.scores[audit.used]).any() or unknown.any() and not unknown.all():
        raise InputError(f"audit.report: {audit.used!r}, or the probability that a label is wrong, is NaN in some rows; leave "
                         "them out.")
    for place, each in enumerate(texts):
        if not isinstance(each, str | Path) and not (
                isinstance(each, tuple) and len(each) == 2 and all(isinstance(part, str) for part in each)):
            raise InputError(f"audit.report: text {place} is {type(each).__name__}; give strings, pairs of strings, or "
                             "pathlib.Path for pictures.")
    if most < 1 or open_rows < 1:
        raise InputError(f"audit.report: most={most}, open_rows={open_rows}; both are at least 1.")
    return texts
