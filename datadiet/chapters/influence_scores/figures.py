"""Figures of the chapter "Do other scores do better?"."""

import seaborn as sns

from datadiet.chapters.arms import by_seed
from datadiet.chapters.drawing import heat, level, line, panels
from datadiet.chapters.influence_scores import runs
from datadiet.chapters.influence_scores.runs import FULL, ONCE, RANDOM, RETRAINED, SCORES
from datadiet.chapters.views import View

COLOURS = [sns.color_palette("colorblind")[i] for i in (0, 1, 2, 3, 8, 4, 9)]  # the one between, 5, is that of random
STYLES = {name: {"color": colour, "marker": marker} for name, colour, marker in zip(SCORES, COLOURS, "osvDXP^", strict=True)}
STYLES["EL2N, late"] |= {"ls": ":"}


def gains(views: list[View]):
    """Test accuracy minus that of random examples of the same number, paired by seed, against the kept fraction."""
    chart = panels(views)
    for ax, settings, table, task in chart:
        fractions = sorted(settings["fractions"])
        for i, name in enumerate(name for name in STYLES if name not in ONCE):
            ahead = [runs.ahead(settings, table, task, name, RANDOM, fraction) for fraction in fractions]
            line(ax, [x + 0.05 * i for x in range(len(fractions))], ahead, name, **STYLES[name])
        ax.axhline(0, color="0.35", lw=1, label="random")
        ax.set_xticks(range(len(fractions)), [f"{f:.0%}" for f in fractions])
        ax.set(xlabel="kept", ylabel="test accuracy - random")
    return chart


def arms(views: list[View]):
    """Test accuracy of every arm at one size; random examples and the full data as levels."""
    chart = panels(views)
    for ax, settings, table, task in chart:
        names = [name for name in RETRAINED if name != RANDOM]
        for place, name in enumerate(names):
            style = STYLES.get(name, {"color": "0.35", "marker": "*"})
            line(ax, [place], [by_seed(table, runs.arm(settings, task, name))], None, **style)
        for name in (RANDOM, FULL):
            level(ax, by_seed(table, runs.arm(settings, task, name)), name)
        ax.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
        ax.set(ylabel=f"test accuracy, {settings['fraction']:.0%} kept")
    return chart


def agreement(views: list[View]):
    """Rank correlation of the scores with each other; on the diagonal, of one run's score with the other runs'."""
    chart = panels(views, height=320)
    for ax, settings, table, task in chart:
        rows = runs.agreement(settings, table)
        rows = rows[rows["task"] == task]
        if len(rows):
            grid = rows.pivot_table(index="score", columns="other", values="rho", aggfunc="first", sort=False)
            grid = grid.loc[list(SCORES), list(SCORES)]
            words = grid.map(lambda rho: f"{rho:.2f}".replace("0.", "."))
            heat(ax, grid, words, (-1, 1))
            ax.set_xticks(ax.get_xticks(), list(SCORES), rotation=50, ha="right", rotation_mode="anchor")
    return chart
