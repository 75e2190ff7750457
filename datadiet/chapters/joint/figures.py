"""Figures of the chapter "Joint tasks"."""

import matplotlib.pyplot as plt
import seaborn as sns

from datadiet.chapters.drawing import COLOURS, View, legend, level, line, panels
from datadiet.chapters.joint.runs import FORMS as JOINT_FORMS
from datadiet.chapters.joint.runs import joint_lengths, joint_result, joint_results

ARMS = {  # arm -> what a reader sees, in the order of the axis
    "random": "random",
    "joint_norm": "norm",
    "joint_sum": "sum",
    "joint_mean": "mean",
    "joint_rms": "rms",
    "el2n": "intent only",
    "easiest": "easiest (norm)",
    "random dynamic": "random,\nanew",
    "dynamic": "dynamic\n(norm)",
}
MARKERS = "osD^"


def _side_by_side(series):
    """Each of a few series with a marker, a colour, and how far it is moved so that they stand beside one another."""
    for i, one in enumerate(series):
        yield one, MARKERS[i], 0.24 * (i - (len(series) - 1) / 2), sns.color_palette("colorblind")[i]


def _legend(ax):
    """The common legend, below names that lean."""
    legend(ax, -0.32)


def _named(ax, names):
    ax.set_xticks(range(len(names)), [ARMS[name] for name in names], rotation=40, ha="right", fontsize="small")


def joint_arms(sides: list[View], what: str = "frame", ylabel: str = "share of exact frames"):
    """One measure of every arm, at each kept fraction; the full data as a level."""
    for ax, view, task in panels(sides):
        results, fractions = joint_results(view.settings, view.table), sorted(view.settings["tasks"][task])
        names = [name for name in ARMS if name in set(results["arm"])]
        for fraction, marker, moved, colour in _side_by_side(fractions):
            values = [joint_result(results, task, name, fraction, what) for name in names]
            places = [place + moved for place in range(len(names))]
            line(ax, places, values, f"{fraction:.0%} kept", color=colour, marker=marker, ls="none")
        level(ax, joint_result(results, task, "full", what=what), "full data")
        _named(ax, names)
        ax.set_ylabel(ylabel)
        _legend(ax)
    return plt.gcf()


def joint_lengths(sides: list[View]):
    """Mean number of words of what each form of the score keeps, beside that of the whole set."""
    for ax, view, task in panels(sides):
        rows, fractions = joint_lengths(view.settings, view.table), sorted(view.settings["tasks"][task])
        one = rows[rows["task"] == task]
        for fraction, marker, moved, colour in _side_by_side(fractions):
            held = one[one["fraction"] == fraction]
            values = [held.loc[held["form"] == form, "kept_words"] for form in JOINT_FORMS]
            places = [place + moved for place in range(len(values))]
            line(ax, places, values, f"hardest {fraction:.0%}", color=colour, marker=marker, ls="none")
        if len(one):
            ax.axhline(one["all_words"].mean(), color=COLOURS["full data"], ls="--", lw=1.4, label="whole set")
        _named(ax, JOINT_FORMS)
        ax.set_ylabel("words an utterance")
        _legend(ax)
    return plt.gcf()


def two_slot_measures(sides: list[View]):
    """The same predictions by two measures of slots: share of right tags, and F1 over spans."""
    for ax, view, task in panels(sides):
        results, fraction = joint_results(view.settings, view.table), max(view.settings["tasks"][task])
        names = [("full", 1.0)] + [(name, fraction) for name in ARMS if name in set(results["arm"])]
        measures = (("tags", "share of right tags, O included"), ("span_f1", "F1 over spans"))
        for (what, name), marker, _, colour in _side_by_side(measures):
            values = [joint_result(results, task, *arm, what) for arm in names]
            line(ax, range(len(names)), values, name, color=colour, marker=marker, ls="none")
        both = [[joint_result(results, task, *arm, what) for what, _ in measures] for arm in names]
        for place, (tags, f1) in enumerate(both):
            if len(tags):
                ax.vlines(place, f1.mean(), tags.mean(), color="0.7", lw=1, zorder=0)
        said = ["full data", *(ARMS[name] for name, _ in names[1:])]
        ax.set_xticks(range(len(names)), said, rotation=40, ha="right", fontsize="small")
        ax.set(ylabel=f"on the test set, {fraction:.0%} kept", ylim=(None, 1.0))
        _legend(ax)
    return plt.gcf()
