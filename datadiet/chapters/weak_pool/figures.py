"""Figures of the chapter "A weak pool"."""

import seaborn as sns

from datadiet.chapters.drawing import line, panels, t95
from datadiet.chapters.parts import difference
from datadiet.chapters.views import View
from datadiet.chapters.weak_pool.runs import error, grown, weak

NAMES = {"random": "random", "stratified": "random,\nstratified", "entropy": "entropy", "margin": "margin", "el2n": "EL2N"}
GREY = "0.35"


def _pairs(names: dict, first: int = 0):
    """Two series that stand beside one another: key, name, how far it is moved, and how it is drawn."""
    looks = zip(names.items(), (-0.1, 0.1), "os", sns.color_palette("colorblind")[first:], strict=False)
    for (key, name), moved, marker, colour in looks:
        yield key, name, moved, {"marker": marker, "color": colour, "ls": "none"}


def _axis(ax, choices, ylabel):
    ax.set_xticks(range(len(choices)), [NAMES[by] for by in choices])
    ax.set(xlim=(-0.5, len(choices) - 0.5), ylabel=ylabel)


def errors(views: list[View], kind: str = "intent"):
    """Test error after adding examples by each rule, with hypotheses and with true labels; the seed set alone as a level."""
    labels = {"hypotheses": "trained on hypotheses", "truth": "trained on the truth (oracle)"}
    chart = panels(views)
    for ax, settings, table, task in chart:
        for each, name, moved, style in _pairs(labels):
            values = [error(table, grown(settings, task, by, each), kind) for by in settings["choices"]]
            line(ax, [place + moved for place in range(len(values))], values, name, **style)
        alone = error(table, weak(settings, task), kind)
        if len(alone):
            ax.axhline(alone.mean(), color=GREY, ls="--", lw=1.4, label="seed set alone")
            ax.axhspan(*t95(alone), color=GREY, alpha=0.12, lw=0)
        _axis(ax, settings["choices"], f"share of wrong {kind}s")
    return chart


def gains(views: list[View]):
    """Error of each rule minus that of random additions, seed by seed, trained on hypotheses. Below zero: better than random."""
    chart = panels(views)
    for ax, settings, table, task in chart:
        choices = [by for by in settings["choices"] if by != "random"]
        for kind, name, moved, style in _pairs({"intent": "intent error", "frame": "frame error"}, first=2):
            random = error(table, grown(settings, task, "random"), kind)
            values = [difference(error(table, grown(settings, task, by), kind), random) for by in choices]
            line(ax, [place + moved for place in range(len(choices))], values, name, **style)
        ax.axhline(0, color="0.6", lw=0.8)
        _axis(ax, choices, "error minus that of random additions")
    return chart
