"""Figures of the chapter "A weak pool"."""

import matplotlib.pyplot as plt
import seaborn as sns

from datadiet.chapters.drawing import View, legend, line, panels, t95
from datadiet.chapters.parts import difference
from datadiet.chapters.weak_pool.runs import pool_result, pool_results

NAMES = {"random": "random", "stratified": "random,\nstratified", "entropy": "entropy", "margin": "margin", "el2n": "EL2N"}
LABELS = (("hypotheses", "trained on hypotheses", "o", -0.1), ("truth", "trained on the truth (oracle)", "s", 0.1))


def _axis(ax, names):
    ax.set_xticks(range(len(names)), [NAMES[name] for name in names])
    ax.set_xlim(-0.5, len(names) - 0.5)


def pool_errors(sides: list[View], what: str = "intent_error", ylabel: str = "share of wrong intents"):
    """Test error after adding examples by each rule, with hypotheses and with true labels; the seed set alone as a level."""
    for ax, view, task in panels(sides):
        results, choices = pool_results(view.settings, view.table), view.settings["choices"]
        for (labels, name, marker, moved), colour in zip(LABELS, sns.color_palette("colorblind"), strict=False):
            values = [pool_result(results, task, by, labels, what) for by in choices]
            line(ax, [at + moved for at in range(len(values))], values, name, color=colour, marker=marker, ls="none")
        alone = pool_result(results, task, "nothing", "truth", what)
        if len(alone):
            ax.axhline(alone.mean(), color="0.35", ls="--", lw=1.4, label="seed set alone")
            ax.axhspan(*t95(alone), color="0.35", alpha=0.12, lw=0)
        _axis(ax, choices)
        ax.set_ylabel(ylabel)
        legend(ax)
    return plt.gcf()


def pool_gains(sides: list[View]):
    """Error of each rule minus that of random additions, seed by seed, trained on hypotheses. Below zero: better than random."""
    for ax, view, task in panels(sides):
        results = pool_results(view.settings, view.table)
        names = [by for by in view.settings["choices"] if by != "random"]
        kinds = (("intent_error", "intent error", "o", -0.1), ("frame_error", "frame error", "s", 0.1))
        for (what, name, marker, moved), colour in zip(kinds, sns.color_palette("colorblind")[2:], strict=False):
            base = pool_result(results, task, "random", what=what)
            gains = [difference(pool_result(results, task, by, what=what), base) for by in names]
            line(ax, [at + moved for at in range(len(names))], gains, name, color=colour, marker=marker, ls="none")
        ax.axhline(0, color="0.6", lw=0.8)
        _axis(ax, names)
        ax.set_ylabel("error minus that of random additions")
        legend(ax)
    return plt.gcf()
