"""Figures and tables of the chapter "What all runs say together"."""

from html import escape

import numpy as np
import pandas as pd
import seaborn as sns

from datadiet.chapters import pages
from datadiet.chapters.drawing import MARKERS, Chart
from datadiet.chapters.what_all_runs_say.model import by_family

HARDEST = ("hardest", "hardest of each class")


def map_of_arms(arms: pd.DataFrame):
    """Gain over random against the misclassified share of the kept, an arm a point, colour its class skew, shape its rule.

    First the arms that keep the hardest, then the others. Where the hardest of a set are surely below chance and random ones well
    above it (by more than 0.1), the arm that keeps most is named.
    """
    chart = Chart()
    axes = [chart.panel(title, 330) for title in ("the hardest", "other rules")]
    rules = arms["rule"].where(~arms["of each class"], arms["rule"] + " of each class")
    ends = {"vmin": 0, "vmax": max(arms["skew"].max(), 0.1), "cmap": "viridis"}
    for ax, hard in zip(axes, (True, False), strict=True):
        for rule in sorted(set(rules[rules.isin(HARDEST) == hard])):
            mine = arms[rules == rule]
            bars = np.nan_to_num([mine["gain"] - mine["low"], mine["high"] - mine["gain"]])
            ax.errorbar(mine["wrong"], mine["gain"], yerr=bars, ls="none", color="0.75", lw=0.8, zorder=1)
            marker = MARKERS.get(rule, "*")
            points = ax.scatter(mine["wrong"], mine["gain"], c=mine["skew"], marker=marker, s=26, lw=0.3, edgecolor="k", **ends)
            ax.scatter([], [], marker=marker, color="0.4", label=rule)
        ax.axhline(0, color="0.3", lw=0.8)
        ax.set(ylabel="gain over random", xlabel="share of the kept that the scoring runs misclassify", xlim=(-0.03, 1.03))
        ax.figure.colorbar(points, ax=ax, orientation="horizontal", label="class skew of the kept", aspect=40, pad=0.02)
    below = arms[
        (arms["rule"] == "hardest")
        & ~arms["of each class"]
        & (arms["most"] < arms["chance"])
        & (arms["random"] - arms["chance"] > 0.1)
    ]
    for place, (one, mine) in enumerate(below.groupby("family")):
        largest = mine.loc[mine["kept share"].idxmax()]
        side = {"xytext": (14, 16 - 8 * place)} if largest["wrong"] < 0.85 else {"xytext": (-16, -24), "ha": "right"}
        axes[0].annotate(
            f"{one}, {largest['kept share']:.0%}",
            (largest["wrong"], largest["gain"]),
            fontsize=10,
            **side,
            textcoords="offset points",
            arrowprops={"arrowstyle": "-", "lw": 0.6},
            bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.8},
        )
    return chart


def seen_and_foretold(arms: pd.DataFrame, foretold: np.ndarray, named: int = 4):
    """Gain seen against the gain foretold by a model that has not seen the set; the sets that it misses most have a colour."""
    worst = list(by_family(arms, foretold)["left out"][:named])
    chart = Chart()
    ax = chart.panel(height=330)
    low = min(arms["gain"].min(), foretold.min()) - 0.03
    high = max(arms["gain"].max(), foretold.max(), 0) + 0.03
    ax.plot([low, high], [low, high], color="0.3", lw=0.8)
    looks = dict(zip(worst, zip(sns.color_palette("colorblind"), "osD^vP", strict=False), strict=False))
    for one in ["other sets", *worst]:
        mine = (~arms["family"].isin(worst) if one == "other sets" else arms["family"] == one).to_numpy()
        colour, marker = looks.get(one, ("0.65", "."))
        ax.scatter(foretold[mine], arms["gain"][mine], color=colour, marker=marker, s=26, label=one, alpha=0.8)
    ax.set(xlabel="gain foretold, the set left out", ylabel="gain over random, seen", xlim=(low, high), ylim=(low, high))
    ax.set_aspect("equal")
    return chart


def sentence(text: str) -> pages.Page:
    """A sentence with numbers that a cell filled in."""
    return pages.Page(f'<p class="dd-rerun">{escape(text)}</p>', text)
