"""Figures of the chapter "GraNd at initialisation"."""

import seaborn as sns

from datadiet.chapters.arms import by_seed
from datadiet.chapters.drawing import level, line, panels, t95
from datadiet.chapters.grand_at_init import runs
from datadiet.chapters.grand_at_init.runs import FULL, INIT, LOADED, TRANSFER, arm
from datadiet.chapters.views import View

STYLES = dict(zip(runs.SCORES, zip(sns.color_palette("colorblind", 8), "os^vDPX*", strict=True), strict=True))
COMPARED = ("random", "EL2N", "GraNd", "forgetting", "input norm", INIT)


def _arms(ax, x, found, name):
    colour, marker = STYLES[name]
    line(ax, x, found, name, color=colour, marker=marker)


def _by_fraction(views, names, budget="epochs"):
    chart = panels(views)
    for ax, settings, table, task in chart:
        fractions = sorted(settings["fractions"])
        if budget == "steps":
            fractions = sorted({settings["fraction"], fractions[-1]})
        for name in names:
            _arms(ax, fractions, [by_seed(table, arm(settings, task, name, each, budget)) for each in fractions], name)
        level(ax, by_seed(table, arm(settings, task, FULL)), FULL)
        ax.set_xscale("log")
        ax.set_xticks(fractions, [f"{f:.0%}" for f in fractions])
        ax.minorticks_off()
        ax.set(xlabel=f"kept share (log scale), equal {budget}", ylabel="test accuracy")
    return chart


def accuracy_by_fraction(views: list[View]):
    """Test accuracy of the hardest by every score against the kept fraction, equal epochs; random subsets and the full data."""
    return _by_fraction(views, COMPARED)


def checkpoint_fault(views: list[View]):
    """GraNd at initialisation as it is, and as the faulty restore would have shown it, beside random subsets; equal steps."""
    return _by_fraction(views, ("random", INIT, LOADED), "steps")


def budgets(views: list[View]):
    """The same subsets at equal epochs and at equal steps, one kept fraction."""
    chart = panels(views)
    for ax, settings, table, task in chart:
        for name in COMPARED:
            found = [by_seed(table, arm(settings, task, name, budget=budget)) for budget in ("epochs", "steps")]
            _arms(ax, range(2), found, name)
        level(ax, by_seed(table, arm(settings, task, FULL)), FULL)
        ax.set_xticks(range(2), ["equal epochs", "equal steps"])
        ax.set(xlim=(-0.4, 1.4), xlabel="training budget", ylabel=f"test accuracy, {settings['fraction']:.0%} kept")
    return chart


def transfer(views: list[View]):
    """The main network trained on the hardest by another architecture, by its own EL2N and on random subsets; equal steps."""
    chart = panels(views)
    for ax, settings, table, task in chart:
        names = {"random": "random", "EL2N": f"{settings['encoder']}'s", TRANSFER: f"{settings['other']}'s"}
        for place, name in enumerate(names):
            _arms(ax, [place], [by_seed(table, arm(settings, task, name, budget="steps"))], name)
        level(ax, by_seed(table, arm(settings, task, FULL)), FULL)
        ax.set_xticks(range(len(names)), names.values())
        ax.set(xlim=(-0.5, 2.5), xlabel=f"network whose EL2N chose for {settings['encoder']}",
               ylabel=f"test accuracy, {settings['fraction']:.0%} kept")
    return chart


def norm_correlations(views: list[View]):
    """Rho of untrained networks' GraNd with the norm of the pixels (filled) and of what the network is given (open).

    Markers are the average over networks, small dots single networks.
    """
    chart = panels(views)
    for ax, settings, table, task in chart:
        rows, inputs, encoders = runs.correlations(settings, table), settings["probe_inputs"], list(settings["probes"])
        for k, (encoder, colour, marker) in enumerate(zip(encoders, sns.color_palette("colorblind"), "os^D", strict=False)):
            one = rows[(rows["task"] == task) & (rows["encoder"] == encoder)]
            if not len(one):
                continue
            label = encoder
            for column, fill, shift in (("pixels", colour, -0.05), ("seen", "white", 0.05)):
                means = one.drop_duplicates("inputs").set_index("inputs")[f"{column}_mean"].reindex(inputs)
                x = {way: place + (k - (len(encoders) - 1) / 2) * 0.22 + shift for place, way in enumerate(inputs)}
                ax.plot(one["inputs"].map(x), one[column], ".", color=colour, ms=3, alpha=0.5)
                ax.plot(list(x.values()), means, marker=marker, color=colour, mfc=fill, ls="none", label=label)
                label = None
        ax.axhline(0, color="0.6", lw=0.8)
        ax.set_xticks(range(len(inputs)), inputs)
        ax.set(xlabel="how the input is normalised", ylabel="rho with the norm", ylim=(-1.05, 1.05))
    return chart


def standing(views: list[View]):
    """Every score by its agreement with itself across runs and its agreement with EL2N at the end of training."""
    chart = panels(views)
    for ax, settings, table, task in chart:
        rows = runs.standing(settings, table).dropna()
        for name in COMPARED[1:]:
            one = rows[(rows["task"] == task) & (rows["score"] == name)]
            if len(one):
                (x, y), (colour, marker) = (one["reliability"].mean(), one["validity"].mean()), STYLES[name]
                (left, right), (low, high) = t95(one["reliability"]), t95(one["validity"])
                ax.errorbar(x, y, xerr=[[x - left], [right - x]], yerr=[[y - low], [high - y]], color=colour, marker=marker,
                            ls="none", capsize=3, ms=7, label=name)  # fmt: skip
        ax.axhline(0, color="0.6", lw=0.8)
        ax.set(xlabel="reliability: rho with other runs", ylabel="validity: rho with late EL2N")
        ax.set(xlim=(-0.1, 1.05), ylim=(-0.5, 1.05))
    return chart
