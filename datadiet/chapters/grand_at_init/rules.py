"""Rules of the chapter "GraNd at initialisation"."""

import numpy as np
import pandas as pd
from scipy.stats import t as student

from datadiet.chapters.grand_at_init import runs as images
from datadiet.chapters.grand_at_init.runs import correlations, likeness, picture_arm
from datadiet.chapters.parts import Part, difference, part, per_task

NO_BETTER = 0.005  # half a point: "no better than random" leaves room for noise, and "as good as all" as much
AS_GOOD = -0.005


def _against(settings, table, task, name, other, *, largest=False, **side):
    """One arm minus another at equal steps, at the timing fraction or at the largest one."""
    fraction = max(settings["tasks"][task]) if largest else images.of_task(settings, task)["timing_fraction"]
    a, b = (picture_arm(settings, table, task, arm, fraction, "steps") for arm in (name, other))
    return part(f"{task}: {name} - {other}, {fraction:.0%} kept", difference(a, b), **side)


def _of(rows: pd.DataFrame, column: str, **chosen) -> pd.Series:
    """A column by seed, of the rows that are meant; empty where there are none."""
    for name, value in chosen.items():
        rows = rows[rows[name] == value] if len(rows) else rows
    return rows.set_index("seed")[column].dropna() if len(rows) else pd.Series(dtype=float)


def _jackknifed(name, whole, left_out, above) -> Part:
    """A part about an average over networks: `whole` is its value (repeated), `left_out` that without each network in turn."""
    n = len(left_out)
    if n < 2:
        return Part(name, np.nan, np.nan, np.nan, 0, 1, above)
    effect, left_out = float(np.asarray(whole)[0]), np.asarray(left_out)
    half = student.ppf(0.975, n - 1) * np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    return Part(name, effect, float(effect - half), float(effect + half), n, 1, above)


@per_task
def k23_1(settings, table, task):
    """EL2N early in training prunes better than chance."""
    return [_against(settings, table, task, "EL2N", "random", above=0.0)]


@per_task
def k23_2(settings, table, task):
    """GraNd at initialisation prunes no better than chance."""
    return [_against(settings, table, task, images.INIT, "random", below=NO_BETTER)]


@per_task
def k23_3(settings, table, task):
    """GraNd at initialisation follows the norm of the input, until the input is whitened."""
    rows = correlations(settings, table)
    own = {"task": task, "encoder": images.of_task(settings, task)["encoder"]}
    found = {
        (inputs, column): _of(rows, column, **own, inputs=inputs)
        for inputs in ("standardised", "whitened")
        for column in ("pixels_mean", "pixels_without")
    }
    plain, white = ([found[inputs, c] for c in ("pixels_mean", "pixels_without")] for inputs in ("standardised", "whitened"))
    drop = [difference(a, b) for a, b in zip(plain, white, strict=True)]
    return [
        _jackknifed(f"{task}: rho of GraNd at initialisation and input norm, {own['encoder']}", *plain, above=0.8),
        _jackknifed(f"{task}: the same, minus that under a whitened input", *drop, above=0.2),
    ]


@per_task
def k23_4(settings, table, task):
    """The norm of the input prunes no better than chance."""
    return [_against(settings, table, task, "input norm", "random", below=NO_BETTER)]


@per_task
def k23_5(settings, table, task):
    """GraNd later in training is useful and ranks as EL2N does."""
    rho = _of(likeness(settings, table), "grand", task=task)
    return [
        part(f"{task}: rho of GraNd and EL2N, early in training", rho, above=0.9),
        _against(settings, table, task, "GraNd", "random", above=0.0),
    ]


@per_task
def k23_6(settings, table, task):
    """What the faulty restore loads would have looked like a success of GraNd at initialisation."""
    return [
        _against(settings, table, task, images.LOADED, images.INIT, above=0.0),
        _against(settings, table, task, images.LOADED, "random", above=0.0),
    ]


@per_task
def p21_1(settings, table, task):
    """GraNd at initialisation prunes half for free, and not because any half would do."""
    return [
        _against(settings, table, task, images.INIT, "full data", largest=True, above=AS_GOOD),
        _against(settings, table, task, images.INIT, "random", largest=True, above=0.0),
    ]


@per_task
def p21_2(settings, table, task):
    """EL2N early in training prunes half for free, and not because any half would do."""
    return [
        _against(settings, table, task, "EL2N", "full data", largest=True, above=AS_GOOD),
        _against(settings, table, task, "EL2N", "random", largest=True, above=0.0),
    ]


@per_task
def p21_7(settings, table, task):
    """Another network's scores prune as well as one's own."""
    return [
        _against(settings, table, task, images.TRANSFER, "random", above=0.0),
        _against(settings, table, task, images.TRANSFER, "EL2N", above=-0.01),
    ]


@per_task
def p21_8(settings, table, task):
    """Early EL2N ranks as forgetting over the whole of training does."""
    rho = _of(likeness(settings, table), "forgetting", task=task)
    return [part(f"{task}: rho of early EL2N and forgetting counts of other runs", rho, above=0.7)]


RULES = {
    "K23-1": k23_1, "K23-2": k23_2, "K23-3": k23_3, "K23-4": k23_4, "K23-5": k23_5, "K23-6": k23_6,
    "P21-1": p21_1, "P21-2": p21_2, "P21-7": p21_7, "P21-8": p21_8,
}  # fmt: skip
