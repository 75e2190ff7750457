"""How a network's kernel turns while it trains, and the error between two of its futures: settings, groups and measures.

    velocity(before, after)                        # how far the kernel of a block of examples turned, 0 = not at all
    barrier([0.1, 0.4, 0.2])                       # error on the straight line between two networks, above its ends
    epochs_behind([0, 1, 2], [0.5, 0.2, 0.0], 8)   # until which moment two futures end up behind a barrier

Numbers only: the kernels come from `tangent`, the futures from `branch`.
"""

import numpy as np

from datadiet import prune
from datadiet.errors import InputError

SETTINGS = {
    "spawn": [0, "1ep"],  # spawn points: update steps or epochs at which a second future of the run begins
    "alphas": 5,  # places on the line between two futures, its ends included
    "share": 0.1,  # of the training set: size of the groups whose error is measured on the line
    "block": 50,  # examples of the blocks whose kernel is followed
    "score": "el2n",  # the score that ranks the examples
    "at": None,  # the scoring point
    "seeds": [],  # scoring runs whose scores are averaged
    "source": None,  # config of the scoring runs, without its seed
}
GROUPS = ("hardest", "middle", "easiest", "random")  # rules of prune.keep
STABLE = 0.02  # a barrier up to here is none: two points of error


def settings(given: dict) -> dict:
    """Complete settings of a run that branches: the defaults, changed by `given`.

    Raises
    ------
    InputError
        An unknown key; no scoring runs to rank by; no spawn point; fewer than three places on the line, or an even number,
        which would leave out its middle; a share or a block that holds nothing.
    """
    unknown = sorted(set(given) - set(SETTINGS))
    if unknown:
        raise InputError(f"landscape.settings: unknown key(s) {', '.join(unknown)}; known: {', '.join(SETTINGS)}.")
    out = SETTINGS | given
    if out["source"] is None or not out["seeds"] or out["at"] is None:
        raise InputError(f"landscape.settings: source {'is missing' if out['source'] is None else 'is given'}, seeds "
                         f"{out['seeds']}, at={out['at']!r}; examples are ranked by scoring runs: give their config, seeds and "
                         "scoring point.")
    if not out["spawn"]:
        raise InputError("landscape.settings: spawn is empty; give at least one update step or epoch to branch at.")
    if out["alphas"] < 3 or out["alphas"] % 2 == 0:
        raise InputError(f"landscape.settings: alphas={out['alphas']}; give an odd number from 3: both ends, and the middle.")
    if not 0 < out["share"] <= 1 or out["block"] < 2:
        raise InputError(f"landscape.settings: share={out['share']}, block={out['block']}; a share lies above 0 and at most "
                         "at 1, a block holds at least 2 examples.")
    return out


def groups(values: np.ndarray, size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Positions of the `size` hardest, middle, easiest and random examples by their scores `values` [N], each sorted.

    >>> {name: some.tolist() for name, some in groups(np.array([0.3, 0.9, 0.1, 0.5]), 1).items()}
    {'hardest': [1], 'middle': [3], 'easiest': [2], 'random': [2]}

    Raises
    ------
    InputError
        No example, or more than there are.
    """
    if not 1 <= size <= len(values):
        raise InputError(f"landscape.groups: groups of {size} from {len(values)} examples; ask for 1 to {len(values)}.")
    return {rule: prune.keep(values, size / len(values), rule, seed=seed) for rule in GROUPS}


def velocity(before, after) -> float:
    """How far a kernel turned between two moments: the cosine distance of its Gram matrices.

    ``1 - <K, L> / (|K| |L|)``, with the Frobenius product and norm; 0 = the same up to a factor, 1 = nothing in common. Without
    unit; divided by the time between the two moments it is a velocity (Fort et al. 2020), and one epoch is the unit here. Neither
    end is hard in itself. Paul, Ganguli, Dziugaite (2021) measure it on blocks of images that are neighbours in the ranking by
    EL2N.

    Parameters
    ----------
    before, after : array [M, M]
        Gram matrices of the same examples and logits, in the same order.

    Raises
    ------
    InputError
        Matrices that are not square and of one shape, not finite, or all zero.

    Examples
    --------
    >>> velocity([[2, 0], [0, 2]], [[1, 0], [0, 1]])
    0.0
    >>> velocity([[1, 0], [0, 0]], [[0, 0], [0, 1]])
    1.0
    """
    k, m = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if k.shape != m.shape or k.ndim != 2 or k.shape[0] != k.shape[1]:
        raise InputError(f"landscape.velocity: kernels of shapes {k.shape} and {m.shape}; give two square ones of one size.")
    lengths = np.linalg.norm(k), np.linalg.norm(m)
    if not np.isfinite(lengths).all() or not all(lengths):
        raise InputError(f"landscape.velocity: the kernels have norms {lengths[0]:.3g} and {lengths[1]:.3g}; a direction needs a "
                         "finite norm above 0. Did the network diverge?")
    # Of unit vectors, half the squared distance is one minus the cosine, and it loses no digits where they nearly agree.
    return float(((k / lengths[0] - m / lengths[1]) ** 2).sum() / 2)


def barrier(errors) -> float:
    """Height of the barrier on the line between two networks, in the unit of the errors (a share, 0.01 = one point).

    ``max_a errors(a) - ((1 - a) errors(0) + a errors(1))`` over the places a on the line, both ends included; so it is at least
    0, and 0 where the two networks are one. High = the two lie in different valleys, as far as these examples can tell. Linear
    mode connectivity is a barrier of 0 (Frankle et al. 2020). They compare with the mean of the two ends; here it is the straight
    line between them, so that one end's being worse than the other is no barrier.

    Parameters
    ----------
    errors : array [A]
        Errors at A evenly spaced places from one network to the other.

    Raises
    ------
    InputError
        Fewer than three places, or an error that is not finite.

    Examples
    --------
    >>> barrier([0.0, 0.5, 0.0])
    0.5
    >>> barrier([0.0, 0.25, 0.5])
    0.0
    """
    errors = np.asarray(errors, np.float64)
    if errors.ndim != 1 or len(errors) < 3 or not np.isfinite(errors).all():
        raise InputError(f"landscape.barrier: errors of shape {errors.shape}, all finite: {bool(np.isfinite(errors).all())}; "
                         "give finite ones at three places or more, [A].")
    return float((errors - np.linspace(errors[0], errors[-1], len(errors))).max())


def epochs_behind(spawned, barriers, end: float, height: float = STABLE) -> float:
    """Until which moment of training two futures that part there end up behind a barrier higher than `height`, in epochs.

    Between spawn points the barrier is taken to go in a straight line, and to reach 0 at the end of training, where both
    futures are one network. The last moment at which that line is at `height` comes back, 0 where it is never higher.

    Parameters
    ----------
    spawned : array [S]
        Spawn points in epochs, rising.
    barriers : array [S]
        The barrier between the two futures of each.
    end : float
        Length of training in epochs, above every spawn point.
    height : float
        Barriers up to here count as none.

    Raises
    ------
    InputError
        Nothing spawned, arrays of different lengths, spawn points that do not rise or lie beyond the end.

    Examples
    --------
    >>> epochs_behind([0, 2, 4], [0.5, 0.04, 0.0], 8)
    3.0
    >>> epochs_behind([0, 2, 4], [0.0, 0.0, 0.0], 8)
    0.0
    """
    x, y = np.append(np.asarray(spawned, np.float64), end), np.append(np.asarray(barriers, np.float64), 0.0)
    if len(x) != len(y) or len(x) < 2 or (np.diff(x) <= 0).any():
        raise InputError(f"landscape.epochs_behind: spawn points {x[:-1].tolist()} with {len(y) - 1} barrier(s), training ends "
                         f"at {end}; give one barrier each for rising points before the end.")
    above = np.flatnonzero(y > height)
    if not len(above):
        return 0.0
    i = above[-1]  # the barrier at i + 1 is not higher, so the line comes down to `height` between the two
    return float(x[i] + (x[i + 1] - x[i]) * (y[i] - height) / (y[i] - y[i + 1]))
