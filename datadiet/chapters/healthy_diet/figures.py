"""Figures and the table of the chapter "A healthy data diet"."""

from html import escape

import numpy as np
import seaborn as sns

from datadiet.chapters import pages
from datadiet.chapters.drawing import line, panels, scoring_points, t95
from datadiet.chapters.healthy_diet import runs
from datadiet.chapters.healthy_diet.runs import FACTUAL, FULL, HIGH, LOW, shares_of
from datadiet.chapters.settings import of_task
from datadiet.chapters.views import View

ARMS = [FACTUAL, FULL, "healthy GE", "random", "vanilla GE", "unhealthy GE", "hardest by EL2N + random", LOW, HIGH]
STYLE = dict(zip(ARMS, zip([(0.35, 0.35, 0.35), *sns.color_palette("colorblind", 8)], "Xos^vDP<>", strict=True), strict=True))
COLUMNS = {"accuracy": "accuracy", "auc": "AUC", "parity": "demographic parity", "odds": "equality of odds", "gap": "gap",
           "flips": "flips"}
NEAR = 0.1  # of gap: the width of a label of two shares


def _cross(ax, x, y, name, label):
    """One point with its intervals in both directions."""
    (left, right), (low, high) = t95(x), t95(y)
    colour, marker = STYLE[name]
    ax.errorbar(np.mean(x), np.mean(y), xerr=[[np.mean(x) - left], [right - np.mean(x)]],
                yerr=[[np.mean(y) - low], [high - np.mean(y)]], color=colour, marker=marker, capsize=2, lw=1.2, ms=6, ls="",
                label=label)


def utility_and_fairness(views: list[View]):
    """Every arm by how much more often women than men are said to complain, and by accuracy; a constant for reference."""
    chart = panels(views, height=320)
    for ax, settings, table, task in chart:
        found = runs.measured(settings, table, task)
        for name in ARMS:
            pairs = shares_of(settings, name)
            stored = {pair: found[name, *pair] for pair in pairs if len(found[name, *pair])}
            for place, one in enumerate(stored.values()):
                _cross(ax, one["test_gap"], one["test_accuracy"], name, None if place else name)
            if len(pairs) > 1:
                _named(ax, {pair: (one["test_gap"].mean(), one["test_accuracy"].mean()) for pair, one in stored.items()})
        nothing = runs.constant(settings, task)
        ax.plot(nothing["gap"], nothing["accuracy"], "*", color="0.2", ms=10, label="always praise")
        ax.axvline(0, color="0.6", lw=0.8)
        ax.set(xlabel="rate of 'complaint', women - men (0 is fair)", ylabel="test accuracy")
    return chart


def _named(ax, points: dict[tuple, tuple]):
    """The shares of an arm beside each of its points: to the left where the next one is so near that their words would meet."""
    placed = sorted(points.items(), key=lambda each: each[1])
    for (pair, place), (_, after) in zip(placed, [*placed[1:], (None, (np.inf, 0))], strict=True):
        side = -1 if after[0] - place[0] < NEAR else 1
        ax.annotate(f"{pair[0]:g}, {pair[1]:g}", place, (3 * side, -2), textcoords="offset points", fontsize=9.5, va="top",
                    ha="right" if side < 0 else "left")


def counterfactuals(views: list[View]):
    """Demographic parity and AUC when none, the half of lowest GE, the half of highest GE, or all counterfactuals are added."""
    places = {FACTUAL: "none", LOW: "lowest GE", HIGH: "highest GE", FULL: "all"}
    chart = panels(views)
    for ax, settings, table, task in chart:
        found = runs.measured(settings, table, task)
        arms = [found[name, *shares_of(settings, name)[0]] for name in places]
        for (column, name), colour, marker in zip({"test_parity": "demographic parity", "test_auc": "AUC (utility)"}.items(),
                                                  sns.color_palette("colorblind"), "os", strict=False):
            line(ax, range(len(places)), [arm[column] for arm in arms], name, color=colour, marker=marker, ls="")
        ax.set_xticks(range(len(places)), places.values())
        ax.set(xlabel="counterfactuals added to the factual sentences", ylabel="parity, AUC", ylim=(None, 1.02), xlim=(-0.4, 3.4))
    return chart


def minority(views: list[View]):
    """Share of the rarer class in the hardest tenth by EL2N, by scoring point, beside its share of the whole set."""
    chart = panels(views)
    for ax, settings, table, task in chart:
        points, rows = scoring_points(ax, settings), runs.minority(settings, table)
        rows = rows[rows["task"] == task]
        if len(rows):
            shares = [rows.loc[rows["at"] == at, "share"] for at in points]
            colour = sns.color_palette("colorblind")[0]
            ax.plot(range(len(points)), [each.mean() for each in shares], color=colour, lw=1.6, label="hardest tenth, mean")
            for place, each in enumerate(shares):  # an interval would leave [0, 1]
                ax.plot([place] * len(each), each, "o", color=colour, alpha=0.5, ms=5, label=None if place else "one seed")
            ax.axhline(rows["whole"].mean(), color="0.35", ls="--", lw=1.4, label="whole set")
        ax.set(ylabel="share of complaints", ylim=(-0.03, 1.05))
    return chart


def fairness(views: list[View]) -> pages.Page:
    """Every arm of the chapter: utility first, then fairness, means over seeds; a constant for reference."""
    return pages.of_views(_fairness, views)


def _fairness(views: list[View]) -> pages.Page:
    html, text = [], []

    def say(sentence: str) -> None:
        text.append(sentence)
        html.append(f"<p>{escape(sentence)}</p>")

    for view in views:
        if not len(view.table):
            say(f"{view.name} ({view.settings['profile']}): no runs are stored yet.")
            continue
        for task in view.settings["tasks"]:
            own, found = of_task(view.settings, task), runs.measured(view.settings, view.table, task)
            rows, nothing = [], runs.constant(own, task)
            for (name, a, b), one in found.items():
                means = [f"{one['n'].mean():.0f}", *(f"{one[f'test_{metric}'].mean():.3f}" for metric in COLUMNS)]
                rows.append([name, f"{a:g}, {b:g}", *(means if len(one) else [pages.DASH] * len(means)), str(len(one))])
            constant = [f"{nothing[metric]:.3f}" for metric in COLUMNS]
            rows.append(["always the majority class", pages.DASH, pages.DASH, *constant, pages.DASH])
            caption = f"{view.name}, {task}: test split, means over seeds"
            html.append(pages.table(rows, ["arm", "shares", "sentences", *COLUMNS.values(), "seeds"], caption))
            text += [caption, *(" | ".join(row) for row in rows)]
            if chosen := runs.chosen_shares(own, found):
                say(f"The healthy mix judged below: shares {chosen[0]:g}, {chosen[1]:g}, the best parity on validation.")
    return pages.Page("".join(html), "\n".join(text))
