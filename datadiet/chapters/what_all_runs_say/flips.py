"""Who finds flipped labels: what ``python -m benchmarks flips`` measured, peer beside peer, paired by draw."""

import numpy as np
import pandas as pd

from datadiet import paths
from datadiet.audit import clock
from datadiet.chapters.pages import DASH
from datadiet.chapters.parts import interval
from datadiet.chapters.what_it_costs.runs import benchmark

COLUMNS = ["set", "seed", "rows", "peer", "score", "auc", "precision", "seconds", "failed"]


def measured() -> pd.DataFrame:
    """The published draws of the suite; without rows where none was measured."""
    file = paths.results() / "benchmarks" / "flips.parquet"
    return benchmark("flips") if file.is_file() else pd.DataFrame(columns=COLUMNS)


def compared(table: pd.DataFrame, reference: str = "datadiet 30s") -> pd.DataFrame:
    """A row a set, peer and score: area under the curve and precision, means over draws, and how far `reference` is ahead.

    Parameters
    ----------
    table : DataFrame
        Rows of ``benchmark("flips")``; any part of them.
    reference : str
        The peer whose area under the curve is compared: ``ahead`` is the mean over draws of its own minus that of the row, with
        the 95 % t interval ``low``, ``high``. NaN where the two share fewer than two draws. A peer of several scores stands at
        the one with the largest mean.

    Returns
    -------
    DataFrame
        ``set``, ``peer``, ``score`` ("" for ours, which chooses one for each draw), ``draws``, ``auc``, ``precision`` (at the
        number of flips), ``seconds`` (median), ``ahead``, ``low``, ``high``, ``failed``.
    """
    none = dict.fromkeys(COLUMNS, np.nan) | {"score": "", "failed": None}
    table = table.assign(**{name: none[name] for name in COLUMNS if name not in table})  # none failed, or all did
    table = table.assign(score=table["score"].where(~table["peer"].str.startswith("datadiet"), "").fillna(""))
    draw = ["seed", "rows"]
    rows = []
    for name, mine in table.groupby("set", sort=False):
        base = mine[(mine["peer"] == reference) & mine["auc"].notna()]
        if len(base):
            base = base[base["score"] == base.groupby("score")["auc"].mean().idxmax()]
        base = base.set_index(draw)["auc"]
        for (peer, score), theirs in mine.groupby(["peer", "score"], sort=False):
            behind = (base - theirs.set_index(draw)["auc"]).dropna().to_numpy(float)
            ahead, low, high = interval(behind) if len(behind) > 1 else (behind.mean() if len(behind) else np.nan, *[np.nan] * 2)
            rows.append({"set": name, "peer": peer, "score": score, "draws": int(theirs["auc"].notna().sum()),
                         "auc": theirs["auc"].mean(), "precision": theirs["precision"].mean(),
                         "seconds": theirs["seconds"].median(), "ahead": ahead, "low": low, "high": high,
                         "failed": next(iter(theirs["failed"].dropna()), "")})  # fmt: skip
    return pd.DataFrame(rows)


def best(found: pd.DataFrame) -> pd.DataFrame:
    """Of each set and peer the score with the largest mean area under the curve: a peer is not held to a bad choice of score."""
    known = found[found["auc"].notna()]
    return known.loc[known.groupby(["set", "peer"], sort=False)["auc"].idxmax()].reset_index(drop=True)


def ours(table: pd.DataFrame) -> list[str]:
    """Peers that are ``datadiet score``, the smallest budget first."""
    known = [peer for peer in table["peer"].unique() if peer.startswith("datadiet ")]
    return sorted(known, key=lambda peer: clock.seconds(peer.removeprefix("datadiet ")))


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """How often the interval of the number of wrong labels holds the number of flips, a row a peer that gives one."""
    if "low" not in table:
        return pd.DataFrame(columns=["peer", "draws", "held", "width"])
    given = table[table["low"].notna()]
    given = pd.concat([given[:0], *(given[given["peer"] == own] for own in ours(given))])
    held = given.assign(held=(given["low"] <= given["flips"]) & (given["flips"] <= given["high"]),
                        width=(given["high"] - given["low"]) / given["flips"])  # fmt: skip
    grouped = held.groupby("peer", sort=False)
    return grouped.agg(draws=("held", "size"), held=("held", "sum"), width=("width", "median")).reset_index()


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """A row a set and budget of ours: areas under the curve, peers at the best of their scores, and how far ours is ahead.

    Returns
    -------
    DataFrame
        ``set``, ``budget``, ``datadiet score``, and for each other peer two columns: its area, and "ahead of PEER", the mean of
        the paired differences with its 95 % interval, without one where the two share one draw, a dash where they share none.
        A sentence where nothing was measured.
    """
    if not len(table):
        return pd.DataFrame({"not measured yet": ["python -m benchmarks flips"]})
    rows, peers = [], table["peer"].unique()
    tops = {own: best(compared(table, own)).set_index(["set", "peer"]) for own in ours(table)}
    for name in table["set"].unique():
        for own, top in tops.items():
            if (name, own) not in top.index:
                continue
            row = {"set": name, "budget": own.removeprefix("datadiet "), "datadiet score": top.loc[(name, own), "auc"]}
            for peer in peers[~np.isin(peers, list(tops))]:
                theirs = top.loc[(name, peer)] if (name, peer) in top.index else {"auc": np.nan, "ahead": np.nan}
                row |= {peer: theirs["auc"], f"ahead of {peer}": _ahead(theirs) if pd.notna(theirs["ahead"]) else DASH}
            rows.append(row)
    return pd.DataFrame(rows)


def _ahead(row: pd.Series) -> str:
    return f"{row['ahead']:+.3f}" + (f" [{row['low']:+.3f},\N{NO-BREAK SPACE}{row['high']:+.3f}]" if pd.notna(row["low"]) else "")
