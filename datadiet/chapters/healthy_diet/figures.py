"""Figures of the chapter "A healthy data diet"."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from datadiet.chapters.drawing import HEIGHT, View, legend, line, panels, scoring_points, t95
from datadiet.chapters.healthy_diet.runs import CHOSEN_AMONG, FACTUAL, FULL, HIGH, LOW, constant, fair_table, minority, of_arm

ARMS = [FACTUAL, FULL, "healthy GE", "random", "vanilla GE", "unhealthy GE", "hardest by EL2N + random",
        LOW, HIGH]
STYLE = dict(zip(ARMS, zip([(0.35, 0.35, 0.35), *sns.color_palette("colorblind", 8)], "Xos^vDP<>", strict=True), strict=True))
CONSTANT = "always praise"


def _cross(ax, x, y, name, label):
    """One point with its intervals in both directions."""
    (left, right), (low, high) = t95(x), t95(y)
    colour, marker = STYLE[name]
    ax.errorbar(np.mean(x), np.mean(y), xerr=[[np.mean(x) - left], [right - np.mean(x)]],
                yerr=[[np.mean(y) - low], [high - np.mean(y)]], color=colour, marker=marker, capsize=2, lw=1.2, ms=6, ls="",
                label=label)


def utility_and_fairness(sides: list[View]):
    """Every arm by how much more often women than men are said to complain, and by accuracy; a constant for reference."""
    for ax, view, task in panels(sides):
        found = fair_table(view.settings, view.table)
        first = tuple(view.settings["mixes"][0])
        for name in ARMS:
            for shares, one in of_arm(found, task, name).groupby(["factuals", "counterfactuals"], sort=False):
                several = name in CHOSEN_AMONG and len(view.settings["mixes"]) > 1
                _cross(ax, one["test_gap"], one["test_accuracy"], name, name if shares == first or not several else None)
                if several:
                    ax.annotate(f" {shares[0]:g}, {shares[1]:g}", (one["test_gap"].mean(), one["test_accuracy"].mean()),
                                fontsize=6, va="bottom")
        nothing = constant(view.settings, task)
        ax.plot(nothing["gap"], nothing["accuracy"], "*", color="0.2", ms=10, label=CONSTANT)
        ax.axvline(0, color="0.6", lw=0.8)
        ax.set(xlabel="rate of 'complaint', women - men (0 is fair)", ylabel="test accuracy")
        legend(ax)
    plt.gcf().set_figheight(HEIGHT + 1.5)  # ten names below the axes
    return plt.gcf()


def counterfactuals(sides: list[View]):
    """Demographic parity and AUC when none, the half of lowest GE, the half of highest GE, or all counterfactuals are added."""
    places = {FACTUAL: "none", LOW: "lowest GE", HIGH: "highest GE", FULL: "all"}
    for ax, view, task in panels(sides):
        found = fair_table(view.settings, view.table)
        for (column, name), colour, marker in zip({"test_parity": "demographic parity", "test_auc": "AUC (utility)"}.items(),
                                                  sns.color_palette("colorblind"), "os", strict=False):
            line(ax, range(len(places)), [of_arm(found, task, arm)[column] for arm in places], name, color=colour,
                 marker=marker, ls="")
        ax.set_xticks(range(len(places)), places.values())
        ax.set(xlabel="counterfactuals added to the factual sentences", ylabel="parity, AUC", ylim=(None, 1.02), xlim=(-0.4, 3.4))
        legend(ax)
    return plt.gcf()


def minority(sides: list[View]):
    """Share of the rarer class in the hardest tenth by EL2N, by scoring point, beside its share of the whole set."""
    for ax, view, task in panels(sides):
        points, rows = scoring_points(ax, view.settings), minority(view.settings, view.table)
        if len(rows):
            one = rows[rows["task"] == task]
            shares = [one.loc[one["at"] == at, "share"] for at in points]
            colour = sns.color_palette("colorblind")[0]
            ax.plot(range(len(points)), [each.mean() for each in shares], color=colour, lw=1.6, label="hardest tenth, mean")
            for place, each in enumerate(shares):  # an interval would leave [0, 1]
                ax.plot([place] * len(each), each, "o", color=colour, alpha=0.5, ms=5, label=None if place else "one seed")
            ax.axhline(one["whole"].mean(), color="0.35", ls="--", lw=1.4, label="whole set")
        ax.set(ylabel="share of complaints", ylim=(-0.03, 1.05))
        legend(ax)
    return plt.gcf()


# moved from pages
def fairness(sides: list[View]) -> Page:
    """Every arm of the chapter on fairness: utility first, then fairness, means over seeds; a constant for reference."""
    parts, text = [], []
    columns = ["accuracy", "auc", "parity", "odds", "gap", "flips"]
    head = ["arm", "shares", "sentences", "accuracy", "AUC", "demographic parity", "equality of odds", "gap", "flips"]
    for side in sides:
        found = fair_table(side.settings, side.table)
        if not len(found):
            text.append(f"{side.name} ({side.settings['profile']}): no runs are stored yet.")
            parts.append(f"<p><em>{escape(text[-1])}</em></p>")
        for task in side.settings["tasks"] if len(found) else ():
            one = found[found["task"] == task]
            means = one.groupby(["arm", "factuals", "counterfactuals"], sort=False)[["n", *(f"test_{c}" for c in columns)]].mean()
            rows = [[name, f"{a:g}, {b:g}", f"{row['n']:.0f}", *(f"{row[f'test_{what}']:.3f}" for what in columns)]
                    for (name, a, b), row in means.iterrows()]
            nothing = constant(side.settings, task)
            rows.append(["always the majority class", DASH, DASH, *(f"{nothing[what]:.3f}" for what in columns)])
            caption = f"{side.name}, {task}: test split, means over {one['seed'].nunique()} seeds"
            parts.append(table(rows, head, caption))
            text += [caption, *(" | ".join(row) for row in rows)]
            if chosen := chosen_mix(side.settings, found, task):
                text.append(f"The healthy mix judged below: shares {chosen[0]:g}, {chosen[1]:g}, the best parity on validation.")
                parts.append(f"<p>{escape(text[-1])}</p>")
    return Page("".join(parts), "\n".join(text))
