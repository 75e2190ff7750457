"""Rows worth keeping, by a column of scores: what ``datadiet prune`` does, and what it says."""

from dataclasses import dataclass

import numpy as np

from datadiet import prune
from datadiet.errors import InputError
from datadiet.tables import guess
from datadiet.tables.labels import Classes, classes, named, shown_name
from datadiet.tables.table import Table, blank, listed, many, per_cent, some, way_to_a_number

# Columns of `datadiet score` that are no score.
BESIDE = ("datadiet_runs", "datadiet_class", "datadiet_wrong", "datadiet_tags", "datadiet_word")
ENDS = {
    "hardest": "The hardest rows are kept, those with the highest {}.",
    "easiest": "The easiest rows are kept, those with the lowest {}.",
    "middle": "The rows in the middle are kept, neither the highest nor the lowest {}.",
    "random": "Rows are kept at random, whatever their {}.",
    "stratified": "Rows are kept from all over the range of {}, drawn at random within each part of it.",
}
BY_RANK = ("hardest", "easiest", "middle")  # rules that the order of the scores decides
MOVED = 0.03  # change of a class's share that is remarked upon
MOST = 30  # classes shown one by one
SUSPICIOUS = 10
PROBABLY = 0.5  # probability beyond which a label is called probably wrong


@dataclass(frozen=True)
class Pruned:
    """The rows that are kept, and sentences on what was done.

    Attributes
    ----------
    table : Table
    positions : int64 array
        Of the rows kept, in the table that was given.
    said : tuple of str
    """

    table: Table
    positions: np.ndarray
    said: tuple[str, ...]


def score_column(table: Table) -> str:
    """The one score column that ``datadiet score`` wrote."""
    found = [name for name in table.columns if name.startswith("datadiet_") and name not in BESIDE]
    found = found or [name for name in table.columns if name == "datadiet_wrong"]
    if len(found) != 1:
        raise InputError(
            f"datadiet prune: {len(found) or 'no'} columns of scores start with datadiet_; name the score column "
            f"with --score. The table has {listed(table.columns)}."
        )
    return found[0]


def numbers(table: Table, name: str) -> np.ndarray:
    """A column as float64 [rows]; NaN where a cell is blank or says NaN.

    Raises
    ------
    InputError
        No such column, or a cell that is no number, named by its line.
    """
    table.require("datadiet prune", name, "score ")
    out = np.full(len(table), np.nan)
    for row, cell in enumerate(table.cells(name)):
        if blank(cell):
            continue
        try:
            if isinstance(cell, bool) or isinstance(cell, str) and "_" in cell:
                raise ValueError
            out[row] = float(cell)
        except (ValueError, TypeError, OverflowError):
            raise InputError(
                f"datadiet prune: the column {name!r} holds {str(cell)[:40]!r} in {table.where(row)}, not "
                f"numbers; name the score column with --score{or_write(cell)}."
            ) from None
    return out


def or_write(cell) -> str:
    """The other way on, where a cell is nearly a number."""
    way = way_to_a_number(cell)
    return f", or write its numbers{way.removeprefix(',')}" if way else ""


def rows(
    table: Table,
    column: str | None = None,
    *,
    keep: float | None = None,
    rule: str = "hardest",
    offset: float = 0.0,
    balanced: str | None = None,
    seed: int = 0,
    unscored: str = "keep",
    drop_wrong: float | None = None,
    label: str | None = None,
) -> Pruned:
    """The rows that `rule` keeps by their scores, in their order.

    Rows that are probably wrong go first, if that is asked for; then `keep` of the rest with a score stay, exactly
    ``round(keep * n)`` of them; rows without a score are beside all that.

    Parameters
    ----------
    table : Table
    column : str, optional
        Column of the scores, higher = harder; the one that ``datadiet score`` wrote where it is not given.
    keep, rule, offset, seed
        As in :func:`datadiet.prune.keep`. `keep` may be left out where `drop_wrong` is given.
    balanced : str, optional
        Column of classes whose shares stay.
    unscored : str
        "keep" or "drop": what becomes of rows without a score.
    drop_wrong : float, optional
        Rows whose ``datadiet_wrong``, the probability that their label is wrong, is above it are dropped.
    label : str, optional
        Column of classes to count before and after; `balanced`, or found, where it is not given.

    Raises
    ------
    InputError
        Without `keep`, what would say which rows it keeps; a missing column, scores that are not numbers, no row with a score,
        rows without a class in `balanced`, and all that :func:`datadiet.prune.keep` refuses.
    """
    if keep is None and drop_wrong is None:
        raise InputError(
            "datadiet prune: nothing says how much to keep; give --keep with the share of the rows, such as "
            "--keep 0.7, or --drop-wrong."
        )
    if keep is not None and not 0 < keep <= 1:
        other = per_cent("--keep", keep)
        raise InputError(f"datadiet prune: --keep {keep:g}; give the share of the rows to keep, above 0 and at most 1{other}.")
    if unscored not in ("keep", "drop"):
        raise InputError(f"datadiet prune: unscored={unscored!r}; choose keep or drop.")
    chooses = {"--score": column, "--rule": rule != "hardest", "--offset": offset, "--balanced": balanced}
    if keep is None and (idle := [name for name, given in chooses.items() if given]):
        raise InputError(
            f"datadiet prune: {idle[0]} says which rows a share is made of, and no share is given; add --keep, such as "
            "--keep 0.7, or leave it away."
        )
    said = []
    n = len(table)
    stays = np.ones(n, bool)
    if drop_wrong is not None:
        doubts = wrong(table, drop_wrong)
        stays &= ~(doubts > drop_wrong)
        said.append(
            f"Rows dropped whose label is wrong with a probability above {drop_wrong:g} (datadiet_wrong): {n - stays.sum()}."
        )
        if not stays.any():
            raise InputError(f"datadiet prune: --drop-wrong {drop_wrong:g} would drop all {n} rows; raise it.")
    found, text = guess.shown(table)
    asked = balanced if label is None else label
    groups = counted(table, found) if asked is None else classes(table, asked)
    label = None if groups is None else groups.column
    if keep is None:
        without = stays & np.isnan(doubts)
    else:
        column = column or score_column(table)
        scores = numbers(table, column)
        scored = np.flatnonzero(stays & ~np.isnan(scores))
        if not len(scored):
            raise InputError(
                f"datadiet prune: the column {column!r} holds no number in any of {n} rows; name the score column "
                f"with --score, or score the table first."
            )
        least = scored[scores[scored] == -np.inf]
        if len(least):
            raise InputError(
                f"datadiet prune: {many(len(least))} the score -inf in {column!r} (the first is {table.where(least[0])}); score "
                "these rows again, or empty their cells."
            )
        even = groups if balanced in (None, label) else classes(table, balanced)
        labels = None if balanced is None else every_class(table, even, scored)
        chosen = scored[prune.keep(scores[scored], keep, rule, offset=offset, labels=labels, seed=seed)]
        if rule in BY_RANK and len(chosen) < len(scored) and (scores[scored] == scores[scored[0]]).all():
            said.append(
                f"All {len(scored)} rows have the same {column}, so their order in the file alone decided which are kept: take "
                "another score, or --rule random."
            )
        without = stays & np.isnan(scores)
        stays = without.copy()
        stays[chosen] = True
        said.insert(
            0,
            ENDS[rule].format(column)
            + (f" The {'hardest' if rule != 'easiest' else 'easiest'} {100 * offset:g} % of them are skipped." if offset else ""),
        )
    if without.any():
        said.append(
            f"{many(without.sum())} no score: {'kept' if unscored == 'keep' else 'dropped'} "
            f"(--unscored {'drop' if unscored == 'keep' else 'keep'} for the other)."
        )
    if unscored == "drop":
        stays &= ~without
    positions = np.flatnonzero(stays)
    if not len(positions):
        raise InputError("datadiet prune: no row would be left; take --unscored drop away, or raise --drop-wrong.")
    if groups is None:
        said.append("No column looks like the label, so rows are not counted by class; name one with --label.")
    else:
        said += shares(groups, stays, balanced == groups.column)
    if keep is not None and rule != "random" and "datadiet_wrong" in table.columns:
        likely = numbers(table, "datadiet_wrong") > PROBABLY
        share, before = likely[stays].mean(), likely.mean()
        if share > before:
            said.append(
                f"Of the rows that are kept {share:.0%} are probably labelled wrong (datadiet_wrong above {PROBABLY:g}), of all "
                f"{before:.0%}: what is hard is often wrong. --drop-wrong {PROBABLY:g} takes them out first."
            )
    known = "datadiet_wrong" in table.columns and (column is None or not np.isnan(numbers(table, "datadiet_wrong")).all())
    by = "datadiet_wrong" if known else column
    kept = np.where(stays, "kept", "dropped")
    said.append(suspicious(table, by, scores if by == column else numbers(table, by), label, [text] if text else [], kept))
    return Pruned(table.take(positions), positions, tuple(said))


def counted(table: Table, found: str | None) -> Classes | None:
    """Classes of a column that was found and not named: None where there is none, or where it turns out to hold no classes."""
    try:
        return None if found is None else classes(table, found)
    except InputError:
        return None


def wrong(table: Table, limit: float) -> np.ndarray:
    """Probability that the label is wrong, [rows]; NaN where there is none."""
    if not 0 <= limit <= 1:
        other = per_cent("--drop-wrong", limit)
        raise InputError(f"datadiet prune: --drop-wrong {limit:g}; give a probability from 0 to 1{other}.")
    if "datadiet_wrong" not in table.columns:
        raise InputError(
            "datadiet prune: --drop-wrong reads the column datadiet_wrong, which this table does not have; score "
            f"it with `datadiet score` first. The table has {listed(table.columns)}."
        )
    found = numbers(table, "datadiet_wrong")
    if np.isnan(found).all():
        raise InputError(
            "datadiet prune: the column datadiet_wrong is empty, as it is where planted flips were not found; take "
            "--drop-wrong away, or score the table in another way."
        )
    odd = np.flatnonzero((found < 0) | (found > 1))
    if len(odd):
        raise InputError(
            f"datadiet prune: {many(len(odd))} no probability in datadiet_wrong (the first is {table.where(odd[0])}, with "
            f"{found[odd[0]]:g}); --drop-wrong reads numbers from 0 to 1."
        )
    return found


def every_class(table: Table, groups: Classes, scored: np.ndarray) -> np.ndarray:
    """Class of each row with a score; none may be missing."""
    empty = scored[groups.of[scored] < 0]
    if len(empty):
        raise InputError(
            f"datadiet prune: {many(len(empty))} no class in {groups.column!r} (the first is "
            f"{table.where(empty[0])}), so their class cannot keep its share; fill the cells, or take --balanced "
            f"away."
        )
    return groups.of[scored]


def shares(groups: Classes, stays: np.ndarray, balanced: bool) -> list[str]:
    """Sentences on the classes: how many of each, before and after; those that are lost; shares that have moved."""
    there = groups.of >= 0
    before, after = groups.counts, np.bincount(groups.of[there & stays], minlength=len(groups.names))
    order = np.argsort(-before, kind="stable")
    lines = [f"  {shown_name(groups.names[c])}: {before[c]} -> {after[c]}" for c in order[:MOST]]
    if len(order) > MOST:
        lines.append(f"  and {len(order) - MOST} more classes: {before[order[MOST:]].sum()} -> {after[order[MOST:]].sum()}")
    if not there.all():
        lines.append(f"  no class: {(~there).sum()} -> {(~there & stays).sum()}")
    said = [f"Rows of each class in {groups.column!r}, before -> after:\n" + "\n".join(lines)]
    lost = [groups.names[c] for c in order if before[c] and not after[c]]
    if lost:
        shown = ", ".join(map(shown_name, lost[:10])) + (f" and {len(lost) - 10} more" if len(lost) > 10 else "")
        said.append(
            f"Lost: no row is kept of {len(lost)} class{'es' if len(lost) > 1 else ''} ({shown}). Keep more rows, or "
            f"add those of it by hand."
        )
    moved = after / max(after.sum(), 1) - before / before.sum()
    most = int(np.argmax(np.abs(moved)))
    if not balanced and abs(moved[most]) > MOVED:
        said.append(
            f"The shares of the classes have moved: {shown_name(groups.names[most])} from "
            f"{100 * before[most] / before.sum():.0f} % to {100 * after[most] / max(after.sum(), 1):.0f} %. "
            f"--balanced {groups.column} keeps them."
        )
    return said


def suspicious(table: Table, column: str, values, label=None, texts=(), beside=None, most: int = SUSPICIOUS) -> str:
    """The rows with the highest values, a line each: where, value, cells. Empty where no row has a value.

    Parameters
    ----------
    table : Table
    column : str
        Name of the values.
    values : float array [rows]
        NaN where there is none.
    label : str, optional
        Column of classes to show, each named as in the list of classes.
    texts : sequence of str
        Columns to show behind it.
    beside : sequence of str [rows], optional
        A word for each row.
    """
    values = np.asarray(values, float)
    there = np.flatnonzero(~np.isnan(values))
    top = there[np.argsort(-values[there], kind="stable")[:most]]
    if not len(top):
        return f"No row has a {column}."
    part = table.take(top)
    cells = [] if beside is None else [[beside[row] for row in top]]
    if label is not None:
        given = part.cells(label)
        cells.append(["" if blank(cell) else shown_name(cell if isinstance(cell, str) else named(cell)) for cell in given])
    cells += [[shortened(cell) for cell in part.cells(name)] for name in texts]
    lines = [
        " | ".join([f"  {table.where(row)}: {values[row]:.3g}", *(column[k] for column in cells)]) for k, row in enumerate(top)
    ]
    alike = int((values[there] == values[top[-1]]).sum() - (values[top] == values[top[-1]]).sum())
    if alike:
        lines.append(f"  and {some(alike, 'row')} more with the {column} of the last, below it by the order of the file alone")
    return f"The {len(top)} rows with the highest {column}:\n" + "\n".join(lines)


def shortened(cell, most: int = 60) -> str:
    """A cell on one line.

    >>> shortened("a\\nb"), shortened(None), shortened(["B-city", "O"])
    ('a b', '', 'B-city O')
    """
    text = "" if cell is None else " ".join(map(str, cell[:400])) if isinstance(cell, list) else str(cell)
    text = "".join(letter if letter.isprintable() else " " for letter in text[:400])
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
