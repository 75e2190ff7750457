"""Figures of the chapter "GraNd at initialisation"."""

import matplotlib.pyplot as plt
import seaborn as sns

from datadiet.chapters.drawing import View, level, line, panels, t95
from datadiet.chapters.grand_at_init import runs as images
from datadiet.chapters.grand_at_init.runs import correlations, picture_arm, standing

STYLES = dict(
    zip([*images.ARMS, images.TRANSFER], zip([*sns.color_palette("colorblind", 8)], "os^vDPX*", strict=True), strict=True)
)
SCORES = ("random", "EL2N", "GraNd", "forgetting", "input norm", images.INIT)


def _drawn(ax, x, arms, name):
    colour, marker = STYLES[name]
    line(ax, x, arms, name, color=colour, marker=marker)


def _below(ax):
    ax.legend(frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)


def _by_fraction(sides, names, budget="epochs"):
    for ax, view, task in panels(sides):
        fractions = sorted(view.settings["tasks"][task])
        if budget == "steps":
            fractions = sorted({images.of_task(view.settings, task)["timing_fraction"], fractions[-1]})
        for name in names:
            arms = [picture_arm(view.settings, view.table, task, name, fraction, budget) for fraction in fractions]
            _drawn(ax, fractions, arms, name)
        level(ax, picture_arm(view.settings, view.table, task, "full data", 1.0), "full data")
        ax.set_xscale("log")
        ax.set_xticks(fractions, [f"{f:.0%}" for f in fractions])
        ax.minorticks_off()
        ax.set(xlabel=f"kept fraction (log scale), equal {budget}", ylabel="test accuracy")
        _below(ax)
    return plt.gcf()


def picture_accuracy(sides: list[View]):
    """Test accuracy of the hardest by every score against the kept fraction, equal epochs; random subsets and the full data."""
    return _by_fraction(sides, SCORES)


def checkpoint_fault(sides: list[View]):
    """GraNd at initialisation as it is, and as the faulty restore would have shown it, beside random subsets; equal steps."""
    return _by_fraction(sides, ("random", images.INIT, images.LOADED), "steps")


def picture_budgets(sides: list[View]):
    """The same subsets at equal epochs and at equal steps, one kept fraction."""
    for ax, view, task in panels(sides):
        fraction = images.of_task(view.settings, task)["timing_fraction"]
        for name in SCORES:
            arms = [picture_arm(view.settings, view.table, task, name, fraction, budget) for budget in images.BUDGETS]
            _drawn(ax, range(2), arms, name)
        level(ax, picture_arm(view.settings, view.table, task, "full data", 1.0), "full data")
        ax.set_xticks(range(2), ["equal epochs", "equal steps"])
        ax.set(xlim=(-0.4, 1.4), xlabel="training budget", ylabel=f"test accuracy, {fraction:.0%} kept")
        _below(ax)
    return plt.gcf()


def transfer(sides: list[View]):
    """The main network trained on what another architecture finds hard, beside its own choice and chance; equal steps."""
    names = ("random", "EL2N", images.TRANSFER)
    for ax, view, task in panels(sides):
        chosen = images.of_task(view.settings, task)
        fraction, labels = chosen["timing_fraction"], ["random", f"{chosen['encoder']}'s", f"{chosen['other']}'s"]
        for place, name in enumerate(names):
            _drawn(ax, [place], [picture_arm(view.settings, view.table, task, name, fraction, "steps")], name)
        level(ax, picture_arm(view.settings, view.table, task, "full data", 1.0), "full data")
        ax.set_xticks(range(len(names)), labels)
        ax.set(xlim=(-0.5, 2.5), xlabel=f"whose EL2N chose for {chosen['encoder']}", ylabel=f"test accuracy, {fraction:.0%} kept")
    return plt.gcf()


def norm_correlations(sides: list[View]):
    """Rho of untrained networks' GraNd with the norm of the pixels (filled) and of what the network is given (open).

    Markers are the average over networks, small dots single networks.
    """
    for ax, view, task in panels(sides):
        rows, inputs = correlations(view.settings, view.table), view.settings["probe_inputs"]
        encoders = list(images.of_task(view.settings, task)["probes"])
        for k, (encoder, colour, marker) in enumerate(zip(encoders, sns.color_palette("colorblind"), "os^D", strict=False)):
            one = rows[(rows["task"] == task) & (rows["encoder"] == encoder)] if len(rows) else rows
            if not len(one):
                continue
            label = f"{encoder}, {one['images'].iloc[0]:,} images"
            for column, fill, shift in (("pixels", colour, -0.05), ("seen", "white", 0.05)):
                means = one.drop_duplicates("inputs").set_index("inputs")[f"{column}_mean"].reindex(inputs)
                x = {way: place + (k - (len(encoders) - 1) / 2) * 0.22 + shift for place, way in enumerate(inputs)}
                ax.plot(one["inputs"].map(x), one[column], ".", color=colour, ms=3, alpha=0.5)
                ax.plot(list(x.values()), means, marker=marker, color=colour, mfc=fill, ls="none", label=label)
                label = None
        ax.axhline(0, color="0.6", lw=0.8)
        ax.set_xticks(range(len(inputs)), inputs)
        ax.set(xlabel="how the input is normalised", ylabel="rho with the norm", ylim=(-1.05, 1.05))
        _below(ax)
    return plt.gcf()


def standing(sides: list[View]):
    """Every score by its agreement with itself across runs and its agreement with EL2N at the end of training."""
    for ax, view, task in panels(sides):
        rows = standing(view.settings, view.table)
        for name in SCORES[1:]:
            one = rows[(rows["task"] == task) & (rows["score"] == name)] if len(rows) else rows
            if len(one):
                (x, y), (colour, marker) = (one["reliability"].mean(), one["validity"].mean()), STYLES[name]
                (left, right), (low, high) = t95(one["reliability"]), t95(one["validity"])
                ax.errorbar(x, y, xerr=[[x - left], [right - x]], yerr=[[y - low], [high - y]], color=colour, marker=marker,
                            ls="none", capsize=3, ms=7, label=name)  # fmt: skip
        ax.axhline(0, color="0.6", lw=0.8)
        ax.set(xlabel="reliability: rho with other runs", ylabel="validity: rho with late EL2N")
        ax.set(xlim=(-0.1, 1.05), ylim=(-0.5, 1.05))
        _below(ax)
    return plt.gcf()
