"""Figures of the chapter "Wrong labels among the hardest examples", and its table of examples."""

from html import escape

import pandas as pd
import seaborn as sns

from datadiet.chapters.arms import by_seed
from datadiet.chapters.drawing import line, panels, scoring_points
from datadiet.chapters.label_noise import runs
from datadiet.chapters.label_noise.runs import CLEAN, KINDS, NOISY, SCORES
from datadiet.chapters.pages import Page
from datadiet.chapters.pages import table as html_table
from datadiet.chapters.parts import difference
from datadiet.chapters.settings import RETRAIN_AT, of_task
from datadiet.chapters.views import View, changed, rebuilt
from datadiet.errors import InputError
from datadiet.runs import task_of

OUTSIDE = "out of fold"
NAMES = {
    "el2n": "EL2N",
    "grand_head": "GraNd of the head",
    "cross_entropy": "loss",
    "margin": "margin",
    "entropy": "entropy",
    "aum": "area under the margin",
    "forgetting": "forgetting",
    OUTSIDE: "frozen features, out of fold",
}
STYLES = {name: {"color": colour, "marker": marker}
          for name, colour, marker in zip(NAMES, sns.color_palette("colorblind", 8), "os^DvPX*", strict=True)}
RATES = {CLEAN: {"ls": "-"}, NOISY: {"ls": ":", "mfc": "white"}}
MEASURES = {"ap": "average precision", "auroc": "area under the ROC curve", "recall": "share of n flips among the n hardest"}


def _at(found: pd.DataFrame, score: str, at: str, measure: str) -> pd.Series:
    """A measure of one score at one scoring point, of every seed."""
    return found.loc[(found["score"] == score) & (found["at"] == at), measure]


def finding_flips(views: list[View], measure: str = "ap"):
    """How well each score finds the flipped labels, by scoring point. Levels: the outside method dashed, random grey."""
    chart = panels(views)
    for ax, settings, table, task in chart:
        points = scoring_points(ax, settings)
        found = runs.detection(table, runs.full(settings, task, NOISY))
        ax.axhline(0.5 if measure == "auroc" else NOISY, color="0.6", lw=0.8)
        for i, name in enumerate(SCORES):
            groups = [_at(found, name, at, measure) for at in points]
            line(ax, [x + 0.03 * i for x in range(len(points))], groups, NAMES[name], **STYLES[name])
        for value in runs.outside(settings, table, task, NOISY)[measure]:
            ax.axhline(value, color=STYLES[OUTSIDE]["color"], ls="--", lw=1.4, label=NAMES[OUTSIDE])
        ax.set(ylabel=f"{MEASURES[measure]}, {NOISY:.0%} flipped", ylim=(0, 1.02))
    return chart


def finding_flips_by_rate(views: list[View]):
    """The share of the flips among the hardest examples of each ranking, by the share of labels that was flipped."""
    chart = panels(views)
    for ax, settings, table, task in chart:
        rates, last = [rate for rate in settings["rates"] if rate], settings["score_at"][-1]
        found = [runs.detection(table, runs.full(settings, task, rate), ["el2n", "aum"], [RETRAIN_AT, last]) for rate in rates]
        curves = {
            f"{NAMES['el2n']}, one epoch": ("el2n", [_at(rows, "el2n", RETRAIN_AT, "recall") for rows in found], {}),
            f"{NAMES['el2n']}, {last}": ("el2n", [_at(rows, "el2n", str(last), "recall") for rows in found], {"ls": ":"}),
            f"{NAMES['aum']}, {last}": ("aum", [_at(rows, "aum", str(last), "recall") for rows in found], {}),
            NAMES[OUTSIDE]: (OUTSIDE, [runs.outside(settings, table, task, rate)["recall"] for rate in rates], {}),
        }
        for i, (label, (name, groups, style)) in enumerate(curves.items()):
            line(ax, [x + 0.05 * i for x in range(len(rates))], groups, label, **STYLES[name] | style)
        ax.plot(range(len(rates)), rates, color="0.6", lw=0.8, marker="_", label="random")
        ax.set_xticks(range(len(rates)), [f"{rate:.0%}" for rate in rates])
        ax.set(xlabel="labels flipped", ylabel=MEASURES["recall"], ylim=(0, 1.02), xlim=(-0.5, len(rates) - 0.5))
    return chart


def people_errors(views: list[View], measure: str = "auroc"):
    """How well scores find wrong labels that people gave (solid), and about as many drawn flips of the same set (dotted)."""
    styles, names = dict(zip(KINDS, RATES.values(), strict=True)), {"el2n": "EL2N", "aum": "AUM", "entropy": "entropy"}
    views = changed(views, lambda view: View(view.name, view.settings | {"tasks": list(view.settings["people"])}, view.table))
    chart = panels(views)
    for ax, settings, table, task in chart:
        points = [str(at) for at in settings["people_at"]]
        for kind in KINDS:
            found = runs.detection(table, runs.people_arms(settings, task, kind)["full"], names)
            for i, (name, short) in enumerate(names.items()):
                groups = [_at(found, name, at, measure) for at in points]
                line(ax, [x + 0.05 * i for x in range(len(points))], groups, f"{short}, {kind}", **STYLES[name] | styles[kind])
        ax.axhline(0.5 if measure == "auroc" else settings["people"][task], color="0.6", lw=0.8)
        ax.set_xticks(range(len(points)), points)
        ax.set(xlabel="scoring point (ep = end of epoch)", ylabel=MEASURES[measure])
    return chart


def dropping(views: list[View]):
    """Test accuracy after dropping the hardest, or random ones, with clean and with noisy labels."""
    colours = dict(zip(("hardest", "random"), sns.color_palette("colorblind"), strict=False))
    chart = panels(views)
    for ax, settings, table, task in chart:
        fractions = sorted(settings["fractions"], reverse=True)
        shares = [0.0, *map(runs.left_out, fractions)]
        for rate, style in RATES.items():
            for rule, marker in (("hardest", "o"), ("random", "s")):
                arms = [runs.full(settings, task, rate), *(runs.without(settings, task, rate, rule, f) for f in fractions)]
                line(ax, shares, [by_seed(table, arm) for arm in arms], f"{rule} dropped, {rate:.0%} flipped",
                     **{"color": colours[rule], "marker": marker} | style)
        ax.set_xticks(shares, [f"{share:.0%}" for share in shares])
        ax.set(xlabel="dropped", ylabel="test accuracy")
    return chart


def windows(views: list[View]):
    """Gain from skipping the very hardest over not skipping, paired by seed, with clean and with noisy labels."""
    chart = panels(views)
    for ax, settings, table, task in chart:
        offsets = sorted(settings["offsets"])
        for place, (rate, style) in enumerate(RATES.items()):
            plain = by_seed(table, runs.window(settings, task, rate, 0.0))
            gains = [difference(by_seed(table, runs.window(settings, task, rate, offset)), plain) for offset in offsets]
            line(ax, [i + 0.08 * place for i in range(len(offsets))], gains, f"{rate:.0%} flipped",
                 **{"color": sns.color_palette("colorblind")[place], "marker": "oD"[place]} | style)
        ax.axhline(0, color="0.6", lw=0.8)
        ax.set_xticks(range(len(offsets)), [f"{offset:.0%}" for offset in offsets])
        ax.set(xlabel="hardest share that is skipped", ylabel=f"gain in test accuracy, {settings['fraction']:.0%} kept",
               xlim=(-0.5, len(offsets) - 0.5))
    return chart


def examples(views: list[View], n: int = 2, width: int = 110) -> Page:
    """The hardest and easiest texts of each class under label noise, flips marked; below them the sets without, and why.

    Published runs hold ids, labels and numbers, no texts: those come from the set itself, if it can be read here.
    """
    parts, text, without = [], [], {}
    for view in [*views, *rebuilt(views)]:
        for task in view.settings["tasks"]:
            own = of_task(view.settings, task)
            found = runs.extremes(own, view.table, task, n)
            loaded, why = _set_of(own, view.table, task) if len(found) else (None, "no runs are stored yet")
            if why:
                without.setdefault(why, []).append(task)
                continue
            rows = _texts(loaded, found, width)
            caption = f"{view.name}, {task}: hardest and easiest of each class, {NOISY:.0%} of the labels flipped"
            parts.append(html_table(rows, ["label given", "end", "EL2N", "text", "flipped?"], caption))
            text += [caption, *(" | ".join(row) for row in rows)]
    for why, tasks in without.items():
        text.append(f"Not shown, {', '.join(dict.fromkeys(tasks))}: {why}.")
        parts.append(f"<p>{escape(text[-1])}</p>")
    return Page("".join(parts), "\n".join(text))


def _texts(loaded, found: pd.DataFrame, width: int) -> list[list[str]]:
    """A row of words an example: label, end, score, text, and whether its label was flipped."""
    columns, names, rows = list(loaded.train.inputs.values()), loaded.label_names, []
    for row in found.to_dict("records"):
        words = " / ".join(column[row["position"]] for column in columns)
        shown = words if len(words) <= width else f"{words[: width - 3]}..."
        flipped = f"FLIPPED, was {names[row['truth']]}" if row["truth"] != row["label"] else ""
        rows.append([names[row["label"]], row["end"], f"{row['el2n']:.2f}", shown, flipped])
    return rows


def _set_of(settings: dict, table: pd.DataFrame, task: str):
    """The set that the noisy runs of a table saw and no reason, or None and why it cannot be had here."""
    arm = runs.full(settings, task, NOISY)
    try:
        loaded = task_of(arm[0])
    except InputError:
        return None, "published runs hold no texts; where DATADIET_DATA names a folder with the set, this cell shows them"
    if set(by_seed(table, arm, "data_checksum")) != {loaded.checksum}:
        return None, "the set here has another checksum than the one that the runs saw, so its texts are not theirs"
    return loaded, None
