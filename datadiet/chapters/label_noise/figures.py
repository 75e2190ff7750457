"""Figures of the chapter "What the top of the ranking holds"."""

import matplotlib.pyplot as plt
import seaborn as sns

from datadiet.chapters.arms import RETRAIN_AT
from datadiet.chapters.drawing import View, legend, line, panels, scoring_points
from datadiet.chapters.label_noise import runs as noise
from datadiet.chapters.label_noise.runs import CLEAN, DRAWN, NOISY, OUTSIDE, PEOPLE, detection, dropped, human_detection, window

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


def finding_flips(sides: list[View], measure: str = "ap"):
    """How well each score finds the flipped labels, by scoring point; the outside method as a level, chance as a grey line."""
    for ax, view, task in panels(sides):
        points = scoring_points(ax, view.settings)
        found = detection(view.settings, view.table, rates=[NOISY])
        ax.axhline(0.5 if measure == "auroc" else NOISY, color="0.6", lw=0.8)
        if len(found):
            one = found[found["task"] == task]
            for i, name in enumerate(noise.SCORES):
                rows = one[one["score"] == name]
                groups = [rows.loc[rows["at"] == at, measure] for at in points]
                line(ax, [x + 0.03 * i for x in range(len(points))], groups, NAMES[name], **STYLES[name])
            _outside(ax, one.loc[one["score"] == OUTSIDE, measure])
        ax.set(ylabel=f"{MEASURES[measure]}, {NOISY:.0%} flipped", ylim=(0, 1.02))
        legend(ax)
    return plt.gcf()


def _outside(ax, values):
    if len(values):
        ax.axhline(values.mean(), color=STYLES[OUTSIDE]["color"], ls="--", lw=1.4, label=NAMES[OUTSIDE])


def finding_flips_by_rate(sides: list[View]):
    """The share of the flips that the top of each ranking holds, by how many labels were flipped."""
    for ax, view, task in panels(sides):
        rates = [rate for rate in view.settings["rates"] if rate]
        last = str(view.settings["score_at"][-1])
        found = detection(view.settings, view.table)
        arms = (("el2n", RETRAIN_AT, "one epoch"), ("el2n", last, last), ("aum", last, last), (OUTSIDE, "-", ""))
        for i, (name, at, when) in enumerate(arms):
            if len(found):
                rows = found[(found["task"] == task) & (found["score"] == name) & (found["at"] == at)]
                style = STYLES[name] | ({"ls": ":"} if i == 1 else {})
                label = f"{NAMES[name]}, {when}" if when else NAMES[name]
                groups = [rows.loc[rows["noise"] == rate, "recall"] for rate in rates]
                line(ax, [x + 0.05 * i for x in range(len(rates))], groups, label, **style)
        ax.plot(range(len(rates)), rates, color="0.6", lw=0.8, marker="_", label="chance")
        ax.set_xticks(range(len(rates)), [f"{rate:.0%}" for rate in rates])
        ax.set(xlabel="labels flipped", ylabel=MEASURES["recall"], ylim=(0, 1.02), xlim=(-0.5, len(rates) - 0.5))
        legend(ax)
    return plt.gcf()


def human_errors(sides: list[View], measure: str = "auroc"):
    """How well scores find wrong labels that people gave (solid), and about as many drawn flips of the same set (dotted)."""
    sides = [View(view.name, view.settings | {"tasks": view.settings["people"]}, view.table) for view in sides]
    for ax, view, task in panels(sides):
        points, found = [str(at) for at in view.settings["people_at"]], human_detection(view.settings, view.table)
        for kind, style in {PEOPLE: {"ls": "-"}, DRAWN: {"ls": ":", "mfc": "white"}}.items():
            for i, (name, short) in enumerate({"el2n": "EL2N", "aum": "AUM", "entropy": "entropy"}.items()):
                groups = [_of(found, task, kind, name, at, measure) for at in points]
                line(ax, [x + 0.05 * i for x in range(len(points))], groups, f"{short}, {kind}", **STYLES[name] | style)
        ax.axhline(0.5 if measure == "auroc" else view.settings["people"][task], color="0.6", lw=0.8)
        ax.set_xticks(range(len(points)), points)
        ax.set(xlabel="scoring point (ep = end of epoch)", ylabel=MEASURES[measure])
        legend(ax)
    return plt.gcf()


def _of(found, task, kind, name, at, measure):
    if not len(found):
        return []
    return found.loc[(found[["task", "kind", "score", "at"]] == [task, kind, name, at]).all(axis=1), measure]


def dropping(sides: list[View]):
    """Test accuracy after dropping the hardest, or random ones, with clean and with noisy labels."""
    for ax, view, task in panels(sides):
        kept = [1.0, *sorted(view.settings["tasks"][task], reverse=True)]
        shares = [noise.left_out(fraction) for fraction in kept]
        for rate, style in RATES.items():
            for rule in ("hardest", "random"):
                groups = [dropped(view.table, task, rate, rule, fraction) for fraction in kept]
                line(ax, shares, groups, f"{rule} dropped, {rate:.0%} flipped",
                     **{"color": sns.color_palette("colorblind")[rule == "random"], "marker": "os"[rule == "random"]} | style)
        ax.set_xticks(shares, [f"{share:.0%}" for share in shares])
        ax.set(xlabel="dropped", ylabel="test accuracy")
        legend(ax)
    return plt.gcf()


def noisy_windows(sides: list[View]):
    """What skipping the very hardest gains over not skipping, paired by seed, with clean and with noisy labels."""
    for ax, view, task in panels(sides):
        offsets, fraction = sorted(view.settings["offsets"]), view.settings["timing_fraction"]
        for place, (rate, style) in enumerate(RATES.items()):
            plain = window(view.settings, view.table, task, rate, 0.0)
            gains = [(window(view.settings, view.table, task, rate, offset) - plain).dropna() for offset in offsets]
            line(ax, [i + 0.08 * place for i in range(len(offsets))], gains, f"{rate:.0%} flipped",
                 **{"color": sns.color_palette("colorblind")[place], "marker": "oD"[place]} | style)
        ax.axhline(0, color="0.6", lw=0.8)
        ax.set_xticks(range(len(offsets)), [f"{offset:.0%}" for offset in offsets])
        ax.set(xlabel="hardest share that is skipped", ylabel=f"gain in test accuracy, {fraction:.0%} kept",
               xlim=(-0.5, len(offsets) - 0.5))
        legend(ax)
    return plt.gcf()


# moved from pages
def examples(side: View, n: int = 2, width: int = 110) -> Page:
    """The hardest and easiest texts of each class under label noise, flips marked; or why they cannot be shown here.

    Published runs hold ids, labels and numbers, no texts: those are read from the set itself, if this machine has it.
    """
    parts, text = [], []
    for task in side.settings["tasks"]:
        found = noise.extremes(side.settings, side.table, task, n)
        loaded, problem = _set_of(side, task) if len(found) else (None, "no runs are stored yet")
        if problem:
            parts.append(f"<p><em>{escape(f'{side.name}, {task}: {problem}')}</em></p>")
            text.append(f"{side.name}, {task}: {problem}")
            continue
        columns, names, rows = list(loaded.train.inputs.values()), loaded.label_names, []
        for row in found.to_dict("records"):
            words = " / ".join(column[row["position"]] for column in columns)
            shown = words if len(words) <= width else f"{words[: width - 3]}..."
            flipped = f"FLIPPED, was {names[row['truth']]}" if row["truth"] != row["label"] else ""
            rows.append([names[row["label"]], row["end"], f"{row['el2n']:.2f}", shown, flipped])
        caption = f"{side.name}, {task}: hardest and easiest of each class, {noise.NOISY:.0%} of the labels flipped"
        parts.append(table(rows, ["label given", "end", "EL2N", "text", "flipped?"], caption))
        text += [caption, *(" | ".join(row) for row in rows)]
    return Page("".join(parts), "\n".join(text))


def _set_of(side: View, task: str):
    """The set that a view's noisy runs saw, or (None, why it cannot be had here)."""
    run = scoring(noise.at_rate(side.settings, noise.NOISY), task)[0]
    try:
        loaded = runs.task_of(run)
    except InputError as problem:
        return None, f"published runs hold no texts, and the set cannot be read here. {problem}"
    seen = side.table.loc[side.table["key"] == runs.key(run), "data_checksum"]
    if len(seen) and seen.iloc[0] != loaded.checksum:
        return None, "the set on this machine has another checksum than the one that the runs saw, so its texts are not theirs"
    return loaded, None
