"""Figures of the chapter "Joint tasks"."""

from itertools import cycle

import seaborn as sns

from datadiet.chapters.drawing import COLOURS, level, line, panels
from datadiet.chapters.joint import runs
from datadiet.chapters.views import View

ARMS = {  # arm -> what a reader sees, in the order of the axis
    "full": "full data",
    "random": "random",
    "joint_norm": "norm",
    "joint_sum": "sum",
    "joint_mean": "mean",
    "joint_rms": "rms",
    "el2n": "intent only",
    "easiest": "easiest (norm)",
    "random dynamic": "random, anew",
    "dynamic": "dynamic (norm)",
}


def _abreast(series):
    """Each of a few series with how far it is moved, so that they stand beside one another, and how it is drawn."""
    for i, (one, marker, colour) in enumerate(zip(series, cycle("osD^v"), cycle(sns.color_palette("colorblind")), strict=False)):
        yield one, 0.24 * (i - (len(series) - 1) / 2), {"marker": marker, "color": colour, "ls": "none"}


def _names(settings) -> list[str]:
    """The pruned arms that the settings ask for, in the order of the axis."""
    return [name for name in ARMS if name != "full" and (name not in runs.FORMS or name in settings["scores"])]


def _axis(ax, names, ylabel):
    """The arms along the axis, their names at an angle."""
    shown = [ARMS[name] for name in names]
    ax.set_xticks(range(len(names)), shown, rotation=40, ha="right", rotation_mode="anchor", fontsize=10.5)
    ax.set_ylabel(ylabel)


def exact_frames(views: list[View]):
    """Share of utterances with the intent and every slot right, of every arm at each kept fraction; the full data as a level."""
    chart = panels(views)
    for ax, settings, table, task in chart:
        names = _names(settings)
        for fraction, moved, style in _abreast(sorted(settings["fractions"])):
            values = [runs.result(settings, table, task, name, fraction) for name in names]
            line(ax, [place + moved for place in range(len(names))], values, f"{fraction:.0%} kept", **style)
        level(ax, runs.result(settings, table, task, "full"), "full data")
        _axis(ax, names, "share of exact frames")
    return chart


def lengths(views: list[View], aside=()):
    """Mean number of words of the examples that each form of the score keeps, beside that of the whole set."""
    chart = panels(views, aside=aside)
    for ax, settings, table, task in chart:
        rows = runs.lengths(settings, table)
        rows = rows[rows["task"] == task]
        for fraction, moved, style in _abreast(sorted(settings["fractions"])):
            hardest = rows[rows["kept"] == str(fraction)]
            values = [hardest.loc[hardest["form"] == form, "kept_words"] for form in runs.FORMS]
            line(ax, [place + moved for place in range(len(values))], values, f"hardest {fraction:.0%}", **style)
        if len(rows):
            ax.axhline(rows["all_words"].mean(), color=COLOURS["full data"], ls="--", lw=1.4, label="whole set")
        _axis(ax, runs.FORMS, "words an utterance")
    return chart


def two_slot_measures(views: list[View], aside=()):
    """The same predictions by two measures of slots: share of right tags, and F1 over spans."""
    chart = panels(views, aside=aside)
    for ax, settings, table, task in chart:
        names, largest = ["full", *_names(settings)], max(settings["fractions"])
        tags, f1 = ([runs.result(settings, table, task, name, largest, measure) for name in names]
                    for measure in ("tags", "span_f1"))
        measures = {"share of right tags, O included": tags, "F1 over spans": f1}
        for (name, values), _, style in _abreast(measures.items()):
            line(ax, range(len(names)), values, name, **style)
        for place, (upper, lower) in enumerate(zip(tags, f1, strict=True)):
            if len(upper):
                ax.vlines(place, lower.mean(), upper.mean(), color="0.7", lw=1, zorder=0)
        ax.set_ylim(None, 1.0)
        _axis(ax, names, f"on the test set, {largest:.0%} kept")
    return chart
