"""Rules of the chapter "GraNd at initialisation"."""

from datadiet.chapters.arms import by_seed
from datadiet.chapters.grand_at_init.runs import (
    FULL,
    INIT,
    LOADED,
    TRANSFER,
    arm,
    input_norms,
    likeness,
    often_forgotten,
    probed,
    rho_with_norm,
)
from datadiet.chapters.parts import BETWEEN_RHOS, RHO, SHARE, column, difference, jackknifed, part, per_task


def full(settings: dict, task: str) -> list[dict]:
    """Runs on the full data."""
    return arm(settings, task, FULL)


def _against(settings, table, task, name, other, *, fraction=None, **margin):
    """One arm minus another at equal steps, at the fraction of the settings or at a given one."""
    fraction = settings["fraction"] if fraction is None else fraction
    one, two = (by_seed(table, arm(settings, task, each, fraction, "steps")) for each in (name, other))
    return part(f"{task}: {name} - {other}, {fraction:.0%} kept", difference(one, two), **margin)


@per_task
def k23_1(settings, table, task, margins):
    """EL2N early in training prunes better than at random."""
    return [_against(settings, table, task, "EL2N", "random", above=margins["gain"])]


@per_task
def k23_2(settings, table, task, margins):
    """GraNd at initialisation prunes no better than at random."""
    return [_against(settings, table, task, INIT, "random", below=margins["no_better"])]


@per_task
def k23_3(settings, table, task, margins):
    """GraNd at initialisation follows the norm of the input, until the input is whitened."""
    encoder = settings["encoder"]
    pixels = input_norms(settings, table, task, encoder, "standardised")
    plain, white = (probed(settings, table, task, encoder, inputs) for inputs in ("standardised", "whitened"))
    rho, without = rho_with_norm(plain, pixels)
    # A difference of averages is over the networks that both have, as each of them is left out of both.
    (high, highs), (low, lows) = (rho_with_norm({seed: some[seed] for seed in plain if seed in white}, pixels)
                                  for some in (plain, white))
    return [
        jackknifed(f"{task}: rho of GraNd at initialisation and input norm, {encoder}", rho, without.dropna(),
                   above=margins["rho"], within=RHO),
        jackknifed(f"{task}: the same, minus that under a whitened input", high - low, difference(highs, lows),
                   above=margins["drop"], within=BETWEEN_RHOS),
    ]


@per_task
def k23_4(settings, table, task, margins):
    """The norm of the input prunes no better than at random."""
    return [_against(settings, table, task, "input norm", "random", below=margins["no_better"])]


@per_task
def k23_5(settings, table, task, margins):
    """GraNd later in training is useful and ranks as EL2N does."""
    rho = column(likeness(settings, table), "grand", task=task)
    return [
        part(f"{task}: rho of GraNd and EL2N, early in training", rho, above=margins["rho"], within=RHO),
        _against(settings, table, task, "GraNd", "random", above=margins["gain"]),
    ]


@per_task
def k23_6(settings, table, task, margins):
    """The checkpoint that the faulty restore loads would have looked like a success of GraNd at initialisation."""
    return [
        _against(settings, table, task, LOADED, INIT, above=margins["over_init"]),
        _against(settings, table, task, LOADED, "random", above=margins["over_random"]),
    ]


def _half_for_free(settings, table, task, name, margins) -> list:
    """As good as the full data, and not because any half would do."""
    return [
        _against(settings, table, task, name, FULL, fraction=margins["kept"], above=margins["as_good"]),
        _against(settings, table, task, name, "random", fraction=margins["kept"], above=margins["over_random"]),
    ]


@per_task
def p21_1(settings, table, task, margins):
    """GraNd at initialisation prunes half for free."""
    return _half_for_free(settings, table, task, INIT, margins)


@per_task
def p21_2(settings, table, task, margins):
    """EL2N early in training prunes half for free."""
    return _half_for_free(settings, table, task, "EL2N", margins)


@per_task
def p21_7(settings, table, task, margins):
    """Another network's scores prune as well as one's own."""
    return [
        _against(settings, table, task, TRANSFER, "random", above=margins["over_random"]),
        _against(settings, table, task, TRANSFER, "EL2N", above=margins["over_own"]),
    ]


@per_task
def p21_8(settings, table, task, margins):
    """Early EL2N ranks as forgetting over the whole of training does."""
    rho = column(likeness(settings, table), "forgetting", task=task)
    return [part(f"{task}: rho of early EL2N and forgetting counts of other runs", rho, above=margins["rho"], within=RHO)]


@per_task
def el2n_beats_random(settings, table, task, margins):
    """Control: a score that is known to choose well does so here."""
    return [_against(settings, table, task, "EL2N", "random", above=margins["control"])]


@per_task
def el2n_beats_random_at_half(settings, table, task, margins):
    """The same at the share that the claim names."""
    return [_against(settings, table, task, "EL2N", "random", fraction=margins["kept"], above=margins["control"])]


@per_task
def something_is_forgotten(settings, table, task, margins):
    """Control: forgetting counts that are nearly all zero or one rank nothing."""
    return [part(f"{task}: share of examples forgotten more than once, mean over runs", often_forgotten(settings, table, task),
                 above=margins["control"], within=SHARE)]


CONTROLS = {
    "K23-2": el2n_beats_random, "K23-4": el2n_beats_random, "K23-6": el2n_beats_random, "P21-1": el2n_beats_random_at_half,
    "P21-7": el2n_beats_random, "P21-8": something_is_forgotten,
}  # fmt: skip
RULES = {
    "K23-1": k23_1, "K23-2": k23_2, "K23-3": k23_3, "K23-4": k23_4, "K23-5": k23_5, "K23-6": k23_6,
    "P21-1": p21_1, "P21-2": p21_2, "P21-7": p21_7, "P21-8": p21_8,
}  # fmt: skip
