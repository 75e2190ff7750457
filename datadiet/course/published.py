"""Checks of answers that are tables of the published runs of the loss landscape, computed here once more."""

import pandas as pd

from datadiet import chapters, runs
from datadiet.chapters import checks
from datadiet.chapters.answers import Refused, Said, checking, filled_in, no, yes
from datadiet.chapters.settings import settings_of
from datadiet.errors import InputError

CHAPTER, GROUPS = "loss-landscape", ["easiest", "middle", "hardest"]


def _runs() -> tuple[dict, pd.DataFrame]:
    settings = settings_of("standard", CHAPTER)
    table = runs.published(chapters.wanted(CHAPTER, settings))
    if not len(table):
        raise InputError(f"course.check: there are no published runs of {CHAPTER} to compare with; work in a copy of the "
                         "repository that has its folder results.")
    return settings, table


def _pairs(answer) -> set[tuple[str, int]]:
    """Tasks and epochs of an answer: the rows of a table, the True ones of a mask, or pairs in a list."""
    answer, names = filled_in(answer), ["task", "epoch"]
    if isinstance(answer, pd.Series) and answer.dtype == bool:
        answer = answer[answer]
    if isinstance(answer, pd.DataFrame | pd.Series):
        rows = answer.reset_index()
        if not set(names) <= set(rows.columns):
            raise Refused("the table does not say which task and epoch a row is of; keep both in the index or as columns.")
        answer = list(rows[names].itertuples(index=False, name=None))
    try:
        return {(str(task), int(epoch)) for task, epoch in answer}
    except (TypeError, ValueError):
        raise Refused("give the task and the epoch of each row that is outside: a table with both, or a list of pairs.") from None


def _rows_outside(table: pd.DataFrame) -> pd.DataFrame:
    return table[~table["random"].between(table["easiest"], table["hardest"])]


@checking
def outside(answer) -> Said:
    """Tasks and epochs in which the mean velocity of the random block is not between those of the easiest and the hardest."""
    from datadiet.chapters.loss_landscape import runs as landscape

    found, level = landscape.velocities(*_runs()), ["task", "epoch"]
    rows = found.pivot_table(index=[*level, "seed"], columns="group", values="velocity")
    means = rows.groupby(level=level).mean()
    truth, anywhere = (set(_rows_outside(each).index.droplevel(each.index.names[2:])) for each in (means, rows))
    given, every = _pairs(answer), set(means.index)
    after = set(found[found["after"]].set_index(level).index)
    if given == truth:
        return yes(f"the random block is outside in {len(truth)} of {len(every)} epochs.")
    for sentence, mistake in {
        "these are the epochs in which the random block lies between the two; the others were asked for.": every - truth,
        "every epoch is listed; does the lower limit come first? The easiest block is the slower one.": every,
        "only epochs after the scoring point are looked at; every epoch of the run was asked for.": truth & after,
        "these are the epochs in which at least one seed is outside; average over the seeds first.": anywhere,
    }.items():
        if given == mistake:
            return no(sentence)
    if given - every:
        return no(f"{sorted(given - every)[0]} is no task and epoch of the published runs; epochs count from 1.")
    return no(f"of your {len(given)} epochs {len(given - truth)} are not outside, and {len(truth - given)} that are outside are "
              "missing.")


@checking
def heights(answer) -> Said:
    """Mean epochs until futures have no barrier, a row a height (or a task and height), a column a group."""
    from datadiet.chapters.loss_landscape import runs as landscape

    settings, table = _runs()
    answer, level = filled_in(answer), ["task", "height"]
    rows = pd.concat({height: landscape.behind(settings, table, height) for height in (0.01, 0.02, 0.05)}, names=["height"])
    sums, means = (rows.groupby([*level, "group"])["epochs"].agg(how).unstack()[GROUPS] for how in ("sum", "mean"))
    if not isinstance(answer, pd.DataFrame):
        raise Refused(f"the answer is a {type(answer).__name__}; give a table with a row a height and a column a group.")
    if set(GROUPS) <= set(answer.index):
        return no("the table lies on its side; with .T the heights become its rows and the groups its columns.")
    if missing := [group for group in GROUPS if group not in answer]:
        return no(f"the table has no column {missing[0]!r}; give a column a group.")
    if len(answer) == len(means):
        named = answer.reset_index()
        if not set(level) <= set(named):
            return no("the table does not say which task and height a row is of; keep both in the index or as columns.")
        given = named.set_index(level)[GROUPS].sort_index()
        if list(given.index) != list(means.index):
            return no("the tasks or heights are others; the heights are shares, 0.01 to 0.05, and the tasks digits and cifar10.")
        return checks.values(given, means, {"these are sums over the seeds; the mean was asked for.": sums})
    if len(answer) != 3:
        return no(f"the table has {len(answer)} rows; give a row a height, of CIFAR-10 or of each set.")
    return checks.values(answer[GROUPS].sort_index(), means.loc["cifar10"], {
        "the two sets are averaged into one; keep them apart, for the digits have no barrier at all.":
            means.groupby(level="height").mean(),
        "all are zero: so it is on the digits, and with heights of 1, 2 and 5. Take CIFAR-10, and heights of 0.01 to 0.05.":
            means.loc["digits"],
        "these are sums over the seeds; the mean was asked for.": sums.loc["cifar10"],
    })  # fmt: skip
