"""The picture by which a link to the book is shown elsewhere, drawn from the published runs when the book is rendered."""

import io

import seaborn as sns
from matplotlib.figure import Figure

from datadiet.chapters.what_all_runs_say.runs import arms, by_run

SIZE = (1200, 630)  # pixels, as those who show links ask for


def drawn() -> bytes:
    """A PNG: every published arm that keeps the hardest, its gain over random against the misclassified share of the kept."""
    found = arms(by_run())
    found = found[~found["blind"] & found["rule"].eq("hardest")]
    worse = int((found["high"] < 0).sum())
    figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100, layout="constrained", facecolor="white")
    ax = figure.add_subplot()
    ax.scatter(found["wrong"], found["gain"], s=60, color=sns.color_palette("colorblind")[0], alpha=0.6, lw=0)
    ax.axhline(0, color="0.3")
    ax.tick_params(labelsize=15)
    ax.set_xlabel("share of the kept examples that the scoring runs misclassify", fontsize=18)
    ax.set_ylabel("test accuracy minus random", fontsize=18)
    ax.set_title(f"datadiet: {worse} of {len(found)} published arms that keep the hardest\nare surely worse than random",
                 fontsize=24, loc="left", pad=18)  # fmt: skip
    sns.despine(ax=ax)
    with io.BytesIO() as out:
        figure.savefig(out, format="png", metadata={"Software": None})
        return out.getvalue()
