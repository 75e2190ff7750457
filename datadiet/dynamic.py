"""Pruning while training: which examples an epoch trains on, chosen anew as the model learns. Plain numpy, in your own loop.

    schedule = Dynamic(len(data), fraction=0.5, warmup=1, every=2)      # one epoch on everything, then cycles of two
    for epoch in range(epochs):
        if schedule.due(epoch):
            schedule.update(el2n(probabilities_of_all_examples, labels))
        for batch in loader(data, schedule.positions(epoch)): ...

    schedule = Soft(len(data), epochs)                                  # drop at random examples of low loss
    for epoch in range(epochs):
        weights = schedule.weights(epoch)
        for positions in batches(schedule.positions(epoch)):
            losses = ...                                                # one a position, of the forward pass made anyway
            (weights[positions] * losses).mean().backward()
            schedule.observe(positions, losses.detach().float().cpu())
"""

import math
from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np

from datadiet import prune
from datadiet.errors import InputError
from datadiet.scores._checks import as_array

STREAM = 7_210_001  # keeps these draws apart from others of the same seed
# Settings of a schedule in a run's config, by rule, with the defaults.
CYCLES = {"rule": "random", "fraction": 0.5, "warmup": 1, "every": 2}
SETTINGS = {
    # "dropout": on while scoring, as in the code released with NLU on Data Diets; the training loop sees to it.
    "hardest": CYCLES | {"rule": "hardest", "offset": 0.0, "alpha": 1.0, "spread": 0.0, "dropout": False},
    "random": CYCLES,
    "soft": {"rule": "soft", "drop": 0.5, "full_last": 0.125},
}
# Left out of a config at their default: earlier runs keep their keys. "reuse": examples just trained on need no scoring pass.
LATER = {"hardest": {"reuse": False}}
EPOCH = (Integral, lambda v: v >= 0, "the number of an epoch, 0 or more")


class _Resumable:
    """A schedule whose state goes into a checkpoint; the settings are the caller's to give again."""

    def state_dict(self) -> dict:
        """State so far: with it another run goes on where this one stopped (``torch.load`` with weights_only=False)."""
        return {name: np.copy(getattr(self, name)) for name in self._STATE}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a `state_dict` of a schedule of the same settings.

        Raises
        ------
        InputError
            The state of another kind of schedule, or of another number of examples.
        """
        where = f"dynamic.{type(self).__name__}.load_state_dict"
        read = {n: as_array(where, repr(n), value) for n, value in (state.items() if isinstance(state, Mapping) else ())}
        fits = {n: a.shape for n, a in read.items()} == {n: np.shape(getattr(self, n)) for n in self._STATE}
        fits = fits and all(value.dtype.kind in "fiu" and not np.isnan(value).any() for value in read.values())
        if not fits or (getattr(self, "rule", "") == "random" and read["updates"]):  # random subsets know no updates
            raise InputError(f"{where}: a state with {', '.join(sorted(map(repr, read))) or 'no names'} for a schedule of "
                             f"{self.n} examples; give the state of a schedule of the same rule and number.")
        for name, value in read.items():
            setattr(self, name, value.copy() if value.ndim else value.item())


class Dynamic(_Resumable):
    """Cycles that keep the examples hardest for the model as it is now: dynamic pruning of Attendu and Corbeil (2023).

    ``warmup`` epochs train on everything; then every ``every`` epochs the whole set is scored by the current model, and the
    epochs of that cycle train on the share with the highest scores. With ``warmup=0`` there is no model worth asking at
    first: the first cycle keeps a random share, as the released code does.

    Parameters
    ----------
    n : int
        Number of training examples.
    fraction : float
        Share kept, in (0, 1]: exactly ``round(fraction * n)`` examples.
    rule : str
        "hardest", or "random": a new random subset in every cycle, whatever the scores; the baseline that costs no scoring.
    warmup : int
        Epochs on everything (tau in the paper).
    every : int
        Epochs of a cycle (T in the paper).
    offset : float
        Share of the very hardest that is skipped first.
    alpha, spread : float
        Smoothing over cycles: the ranking is of ``m + spread * s``, with m the exponentially weighted mean of an example's
        scores, the newest with weight alpha, and s their exponentially weighted standard deviation, unbiased (as pandas'
        ``ewm(alpha=alpha, adjust=False)``). ``alpha=1`` looks at the newest score alone; the released code has 0.8 and 1.
    seed : int
        Draws the random subsets.

    Raises
    ------
    InputError
        Any of these out of its range; smoothing or an offset with rule="random"; a spread bonus with alpha=1.

    Examples
    --------
    >>> schedule = Dynamic(6, fraction=0.5, warmup=1, every=2)
    >>> schedule.positions(0)
    array([0, 1, 2, 3, 4, 5])
    >>> [epoch for epoch in range(6) if schedule.due(epoch)]
    [1, 3, 5]
    >>> schedule.update([0.1, 0.9, 0.2, 0.8, 0.3, 0.7])
    >>> schedule.positions(1)
    array([1, 3, 5])
    """

    _STATE = ("updates", "_mean", "_variance", "_squares")

    def __init__(self, n, fraction=0.5, rule="hardest", warmup=1, every=2, offset=0.0, alpha=1.0, spread=0.0, seed=0):
        _check("Dynamic", "n", n, Integral, lambda v: v >= 1, "the number of examples, at least 1")
        _check("Dynamic", "fraction", fraction, Real, lambda v: 0 < v <= 1, "the share to keep, above 0 and at most 1")
        _check("Dynamic", "warmup", warmup, Integral, lambda v: v >= 0, "epochs on everything, 0 or more")
        _check("Dynamic", "every", every, Integral, lambda v: v >= 1, "epochs of a cycle, 1 or more")
        _check("Dynamic", "alpha", alpha, Real, lambda v: 0 < v <= 1, "the weight of the newest score, above 0 and at most 1")
        _check("Dynamic", "spread", spread, Real, lambda v: 0 <= v < math.inf, "the weight of the spread bonus, 0 or more")
        _check("Dynamic", "seed", seed, Integral, lambda v: v >= 0, "a whole number, 0 or more")
        if not isinstance(rule, str) or rule not in ("hardest", "random"):
            raise InputError(f"dynamic.Dynamic: rule={rule!r}; choose 'hardest' or 'random'.")
        if rule == "random" and (alpha != 1 or spread):
            raise InputError(f"dynamic.Dynamic: alpha={alpha}, spread={spread} mean nothing to rule='random'; leave them out.")
        if spread and alpha == 1:
            raise InputError(f"dynamic.Dynamic: spread={spread} with alpha=1: one score has no spread; lower alpha.")
        prune.keep(np.zeros(n), fraction, rule, offset=offset)  # refuses shares it could not keep later
        self.n, self.fraction, self.rule, self.warmup, self.every = n, fraction, rule, warmup, every
        self.offset, self.alpha, self.spread, self.seed = offset, alpha, spread, seed
        self.updates = 0
        self._mean = self._variance = np.zeros(n)
        self._squares = 1.0  # sum of the squared weights of the scores so far

    def due(self, epoch: int) -> bool:
        """Whether `epoch`, counted from 0, opens a cycle that needs the scores of all examples first."""
        since = epoch - self.warmup
        return self.rule != "random" and epoch > 0 and since >= 0 and since % self.every == 0

    def update(self, scores) -> None:
        """Take in the scores of all examples, [n], higher = harder, by the model as it is now.

        Raises
        ------
        InputError
            Not one finite number an example; rule="random", which scores nothing.
        """
        if self.rule == "random":
            raise InputError("dynamic.Dynamic.update: rule='random' scores nothing; update only when due(epoch) says so.")
        scores = _numbers("Dynamic.update", "scores", scores, self.n)
        if not self.updates:
            self._mean = scores
        else:
            step = self.alpha * (scores - self._mean)
            self._variance = (1 - self.alpha) * (self._variance + step * (scores - self._mean))
            self._mean = self._mean + step
            self._squares = (1 - self.alpha) ** 2 * self._squares + self.alpha**2
        self.updates += 1

    def ranked_by(self) -> np.ndarray:
        """The smoothed score, [n]: the next cycle ranks by it."""
        if not self.spread or self.updates < 2:
            return self._mean
        return self._mean + self.spread * np.sqrt(self._variance / (1 - self._squares))

    def positions(self, epoch: int) -> np.ndarray:
        """Positions of the examples that `epoch` trains on, sorted int64.

        Raises
        ------
        InputError
            More or fewer updates so far than the epoch builds on; an epoch that is none.
        """
        _check("Dynamic.positions", "epoch", epoch, *EPOCH)
        if epoch < self.warmup:
            return np.arange(self.n)
        cycle = (epoch - self.warmup) // self.every
        if self.rule == "random" or (self.warmup == 0 and cycle == 0):
            return np.sort(np.random.default_rng([STREAM, self.seed, cycle]).permutation(self.n)[: self.size(epoch)])
        needed = cycle + (self.warmup > 0)
        if self.updates != needed:
            raise InputError(f"dynamic.Dynamic.positions: epoch {epoch} builds on {needed} update(s), {self.updates} were made; "
                             "call update(scores of all examples) once before each epoch for which due(epoch) is true.")
        return prune.keep(self.ranked_by(), self.fraction, offset=self.offset)

    def weights(self, epoch: int) -> np.ndarray:
        """Weight of each example's loss in `epoch`, [n]: one everywhere."""
        return np.ones(self.n)

    def size(self, epoch: int) -> int:
        """Number of examples that `epoch` trains on."""
        return self.n if epoch < self.warmup else round(self.fraction * self.n)

    def planned(self, epoch: int, epochs: int) -> list[int]:
        """Sizes of the epochs from `epoch` to the last of `epochs`; exact."""
        return [self.size(each) for each in range(epoch, epochs)]


class Soft(_Resumable):
    """Soft random pruning with rescaling: InfoBatch, Qin et al. (2024).

    In each epoch the examples whose latest training loss lies below the mean are a group of which ``round(drop * count)``, drawn
    anew, are left out; the losses of those kept count ``1 / (1 - drop)``-fold, so that the expected gradient stays that of
    the whole set, up to the rounding. Losses are those of the training passes made anyway: nothing is scored. The first epoch
    sees everything, and so does the last share of epochs.

    Parameters
    ----------
    n, epochs : int
        Number of training examples, and of epochs.
    drop : float
        Share of the well-learned group that is left out, in [0, 1).
    full_last : float
        Share of the epochs, at the end and rounded up, on everything, in [0, 1]. (1 minus the delta of the released code.)
    seed : int
        Draws the examples that are left out.

    Raises
    ------
    InputError
        Any of these out of its range.

    Examples
    --------
    >>> schedule = Soft(6, epochs=4, drop=0.5)
    >>> schedule.observe(range(6), [0.1, 0.1, 0.1, 0.1, 2.0, 3.0])
    >>> len(schedule.positions(1)), float(schedule.weights(1).sum())
    (4, 6.0)
    >>> len(schedule.positions(3))
    6
    """

    _STATE = ("_losses", "_drawn_epoch", "_drawn_weights")

    def __init__(self, n, epochs, drop=0.5, full_last=0.125, seed=0):
        _check("Soft", "n", n, Integral, lambda v: v >= 1, "the number of examples, at least 1")
        _check("Soft", "epochs", epochs, Integral, lambda v: v >= 1, "the number of epochs, at least 1")
        _check("Soft", "drop", drop, Real, lambda v: 0 <= v < 1, "the share of the group to leave out, from 0 to below 1")
        _check("Soft", "full_last", full_last, Real, lambda v: 0 <= v <= 1, "the share of epochs on everything, from 0 to 1")
        _check("Soft", "seed", seed, Integral, lambda v: v >= 0, "a whole number, 0 or more")
        self.n, self.epochs, self.drop, self.seed = n, epochs, drop, seed
        self.pruned_until = epochs - math.ceil(full_last * epochs)
        self._losses = np.full(n, np.inf)
        self._drawn_epoch, self._drawn_weights = -1, np.ones(n)

    def due(self, epoch: int) -> bool:
        """Never: the losses of training are score enough."""
        return False

    def observe(self, positions, losses) -> None:
        """Take in the losses of a training batch: one for each of its `positions`.

        Raises
        ------
        InputError
            Not one finite loss a position, or a position that is none.
        """
        positions = as_array("dynamic.Soft.observe", "positions", positions)
        if positions.ndim != 1 or positions.dtype.kind not in "iu" or ((positions < 0) | (positions >= self.n)).any():
            raise InputError(f"dynamic.Soft.observe: positions must be whole numbers from 0 to {self.n - 1}, [B]; "
                             f"shape {positions.shape} of type {positions.dtype} was given.")
        self._losses[positions] = _numbers("Soft.observe", "losses", losses, len(positions))

    def _draw(self, epoch: int) -> np.ndarray:
        """Weight of each example in `epoch`, 0 for those left out; drawn once an epoch, from the losses up to its start."""
        _check("Soft.positions", "epoch", epoch, *EPOCH)
        if self._drawn_epoch != epoch:
            weights = np.ones(self.n)
            if epoch < self.pruned_until and np.isfinite(self._losses).all():
                learned = np.flatnonzero(self._losses < self._losses.mean())
                rng = np.random.default_rng([STREAM, self.seed, epoch])
                weights[learned] = 1 / (1 - self.drop)
                weights[rng.permutation(learned)[: round(self.drop * len(learned))]] = 0
            self._drawn_epoch, self._drawn_weights = epoch, weights
        return self._drawn_weights

    def positions(self, epoch: int) -> np.ndarray:
        """Positions of the examples that `epoch`, 0 or more, trains on, sorted int64."""
        return np.flatnonzero(self._draw(epoch))

    def weights(self, epoch: int) -> np.ndarray:
        """Weight of each example's loss in `epoch`, [n]; 0 for those left out."""
        return self._draw(epoch).copy()

    def planned(self, epoch: int, epochs: int) -> list[int]:
        """Sizes of the epochs from `epoch` on: this one as drawn, later pruned ones taken to be like it, the last ones full."""
        now = len(self.positions(epoch))
        return [now if each < self.pruned_until else self.n for each in range(epoch, epochs)]


def settings(schedule: dict) -> dict:
    """A complete description of a schedule for a run's config: the defaults of its rule, changed by `schedule`.

    >>> settings({"rule": "random", "fraction": 0.2})
    {'rule': 'random', 'fraction': 0.2, 'warmup': 1, 'every': 2}

    Raises
    ------
    InputError
        An unknown rule, or a key that this rule does not know.
    """
    rule = schedule.get("rule", "hardest")
    if not isinstance(rule, str) or rule not in SETTINGS:
        raise InputError(f"dynamic.settings: unknown rule {rule!r}; choose one of {', '.join(SETTINGS)}.")
    later = LATER.get(rule, {})
    known = SETTINGS[rule] | later
    if unknown := sorted(map(str, set(schedule) - set(known))):
        raise InputError(f"dynamic.settings: rule={rule!r} knows no {', '.join(unknown)}; it knows {', '.join(known)}.")
    if said := [f"{name}={schedule[name]!r}" for name in ("reuse", "dropout") if not isinstance(schedule.get(name, False), bool)]:
        raise InputError(f"dynamic.settings: {said[0]}; say True or False.")
    if schedule.get("reuse") and schedule.get("dropout"):
        raise InputError("dynamic.settings: reuse=True scores by the training pass, where dropout is on: leave out dropout.")
    return {name: value for name, value in (known | schedule).items() if name not in later or value != later[name]}


def of(schedule: dict, n: int, epochs: int, seed: int) -> Dynamic | Soft:
    """The schedule that a run's config describes."""
    given = {name: value for name, value in settings(schedule).items() if name not in ("dropout", "reuse")}
    if given["rule"] == "soft":
        del given["rule"]
        return Soft(n, epochs, **given, seed=seed)
    return Dynamic(n, **given, seed=seed)


def bill(schedule: dict, n: int, epochs: int) -> tuple[list[int], int]:
    """(examples trained on in each epoch, examples scored by passes of their own) before anything has run.

    Exact but for "soft", whose sizes depend on the losses: it is put down with half of the examples below the mean.
    """
    made = of(schedule, n, epochs, 0)
    if isinstance(made, Soft):
        pruned = round((1 - made.drop / 2) * n)
        return [pruned if 0 < epoch < made.pruned_until else n for epoch in range(epochs)], 0
    scored = [n - (made.size(epoch - 1) if schedule.get("reuse") else 0) for epoch in range(epochs) if made.due(epoch)]
    return made.planned(0, epochs), sum(scored)


def _check(where: str, name: str, value, kind, fits, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, kind) or not fits(value):
        raise InputError(f"dynamic.{where}: {name}={value!r}; it is {what}.")


def _numbers(where: str, what: str, values, n: int) -> np.ndarray:
    """`values` as float64 [n], all finite."""
    seen = as_array(f"dynamic.{where}", what, values)
    if seen.shape != (n,) or seen.dtype.kind not in "fiu" or not np.isfinite(seen).all():
        raise InputError(f"dynamic.{where}: {what} have shape {seen.shape} and type {seen.dtype}; give one finite number "
                         f"for each of {n} examples, [{n}].")
    return seen.astype(np.float64)
