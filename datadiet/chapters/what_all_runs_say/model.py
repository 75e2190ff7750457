"""Models of the gain over random, from numbers known before the pruned run is trained, and their error on sets left out.

The formula sees a training set through the scoring runs. They sort it into groups: the examples that they say are of class p.
A new model learns of group p how its kept examples are labelled; where most of them are the scoring runs' mistakes, it learns the
mistake, for the whole group. Groups and labels make a table of counts; the kept examples make another.
"""

from collections.abc import Callable
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from datadiet.chapters.what_all_runs_say.runs import arms as arms_of
from datadiet.chapters.what_all_runs_say.tables import called
from datadiet.errors import InputError

# Numbers of the formula that are tried; those with the least squared error on the sets that are not left out are taken.
GRID = list(product((1.0, 1.5, 2.0, 3.0), (0.0, 0.5, 1.0, 2.0)))  # decided, common
PLAIN = (1.0, 0.0)  # answers in proportion to what was kept: nothing to choose
OURS = "formula, two numbers"


def agreement(kept: np.ndarray, whole: np.ndarray, decided: float = 1.0, common: float = 0.0) -> float:
    """Share of the whole set whose label a model would give that learned the kept table.

    In group p it answers class y with a probability proportional to ``s(p, y)^decided * c(y)^common``, where ``c`` are the class
    shares of the kept and ``s(p, .)`` the shares of the labels in group p, after one example with the shares ``c`` was added: of
    an empty group, the class shares are all that is known.

    Parameters
    ----------
    kept, whole : array [K, K]
        Counts of examples, a row a group (the class that the scoring runs say), a column a label. Higher = more examples.
    decided : float
        1: answers in proportion; the larger, the more is the most common label alone answered.
    common : float
        How much a class that is common among the kept is preferred in every group, as in a model trained for few updates.

    Raises
    ------
    InputError
        Tables of unequal shape, or without a count.

    Examples
    --------
    >>> whole = [[80, 20], [20, 80]]                              # the scoring runs are right on four in five
    >>> round(agreement([[40, 10], [10, 40]], whole), 2)          # a random half
    0.68
    >>> round(agreement([[30, 20], [20, 30]], whole), 2)          # a half with all their mistakes
    0.56
    >>> round(agreement([[5, 20], [20, 5]], whole), 2)            # a quarter, mistakes for the most part: below a guess
    0.33
    """
    kept, whole = np.asarray(kept, float), np.asarray(whole, float)
    if kept.shape != whole.shape or kept.ndim != 2 or kept.sum() <= 0 or whole.sum() <= 0:
        raise InputError(
            f"model.agreement: tables of shape {kept.shape} and {whole.shape} with {kept.sum():g} and {whole.sum():g} "
            "examples; give two tables [K, K] of counts, neither empty."
        )
    shares = kept.sum(0) / kept.sum()
    inside = kept + shares
    answers = (inside / inside.sum(1, keepdims=True)) ** decided * shares**common
    answers /= answers.sum(1, keepdims=True)
    return float((whole * answers).sum() / whole.sum())


def foretold(arms: pd.DataFrame, numbers: tuple = PLAIN) -> np.ndarray:
    """Gain of each arm by the formula: ``random * (agreement(kept) / agreement(whole) - 1)``, in points of accuracy.

    The second agreement is that of a model which learned the whole table: about what random examples teach.
    """
    ratio = [
        agreement(kept, whole, *numbers) / agreement(whole, whole, *numbers)
        for kept, whole in zip(arms["kept table"], arms["whole table"], strict=True)
    ]
    return arms["random"].to_numpy() * (np.array(ratio) - 1)


def on_grid(arms: pd.DataFrame) -> np.ndarray:
    """:func:`foretold` with each of GRID, [len(GRID), arms]."""
    return np.array([foretold(arms, numbers) for numbers in GRID])


def columns(arms: pd.DataFrame) -> pd.DataFrame:
    """Numbers known before the run, as regressions see them."""
    rules = {f"is {rule}": (arms["rule"] == rule).astype(float) for rule in sorted(set(arms["rule"]))}
    more = {"kept share": arms["kept share"], "skew": arms["skew"], "wrong": arms["wrong"], "all wrong": arms["all wrong"]}
    more |= {"more wrong": arms["wrong"] - arms["all wrong"], "above": arms["above"], "random": arms["random"] - arms["chance"]}
    more |= {"above x skew": arms["above"] * arms["skew"], "above x more wrong": arms["above"] * more["more wrong"]}
    return pd.DataFrame(more | rules).astype(float)


SHARE_AND_RULE = ("kept share", "is hardest", "is easiest")
WRONG = ("skew", "wrong", "all wrong")
BEFORE = ("skew", "more wrong", "above", "above x skew", "above x more wrong")


def _regressed(names: tuple, make: Callable) -> Callable:
    def fit_and_foretell(arms, known, asked, grid):
        seen = columns(arms)[list(names)].to_numpy()
        return make().fit(seen[known], arms["gain"].to_numpy()[known]).predict(seen[asked])

    return fit_and_foretell


def _ridge():
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13)))


def _forest():
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(25, min_samples_leaf=5, random_state=0)


def _monotone():
    from sklearn.ensemble import HistGradientBoostingRegressor

    falling = [-1, -1, 0, 0, 0, 0]  # the gain falls with skew and with how much more is wrong than in all
    return HistGradientBoostingRegressor(max_iter=50, learning_rate=0.1, max_depth=3, monotonic_cst=falling, random_state=0)


def _mean(arms, known, asked, grid):
    return np.full(np.sum(asked), arms["gain"].to_numpy()[known].mean())


def _plain(arms, known, asked, grid):
    return grid[GRID.index(PLAIN)][asked]


def best_numbers(arms: pd.DataFrame, grid: np.ndarray) -> int:
    """Place in GRID with the least squared error, mean over families: one with many arms has no more say than another."""
    missed = pd.DataFrame((grid - arms["gain"].to_numpy()) ** 2).T
    return int(missed.groupby(arms["family"].to_numpy()).mean().mean().argmin())


def _chosen(arms, known, asked, grid):
    return grid[best_numbers(arms[known], grid[:, known]), asked]


# Every model whose error is shown, simplest first: (arms, known [N], asked [N], grid) -> gains of the asked.
CANDIDATES = {
    "mean of the other tasks": _mean,
    "kept share and rule, ridge": _regressed(SHARE_AND_RULE, _ridge),
    "skew and share misclassified, ridge": _regressed(WRONG, _ridge),
    "the same with products, forest": _regressed(BEFORE, _forest),
    "the same and random's accuracy, monotone trees": _regressed((*BEFORE, "random"), _monotone),
    "formula, nothing to choose": _plain,
    OURS: _chosen,
}


def left_out(arms: pd.DataFrame, name: str, grid: np.ndarray | None = None) -> np.ndarray:
    """Gain that one of CANDIDATES foretells for each arm, having seen the arms of the other families alone.

    Raises
    ------
    InputError
        An unknown candidate, or arms of fewer than two families.
    """
    if name not in CANDIDATES:
        raise InputError(f"model.left_out: unknown model {name!r}; choose one of {', '.join(CANDIDATES)}.")
    families = arms["family"].to_numpy()
    if len(set(families)) < 2:
        raise InputError(f"model.left_out: arms of {len(set(families))} set(s); to leave one out, give arms of at least two.")
    grid, out = on_grid(arms) if grid is None else grid, np.full(len(arms), np.nan)
    for one in sorted(set(families)):
        asked = families == one
        out[asked] = CANDIDATES[name](arms, ~asked, asked, grid)
    return out


def chosen_blind(arms: pd.DataFrame, grid: np.ndarray) -> tuple[np.ndarray, dict[str, str]]:
    """Gains foretold when the model itself is chosen without the family left out, and family -> the model chosen.

    With one family left out, each candidate foretells every other family as if that were left out as well; the one with the least
    squared error there foretells the first.
    """
    families, gains = arms["family"].to_numpy(), arms["gain"].to_numpy()
    ones = sorted(set(families))
    missed = {(one, name): 0.0 for one in ones for name in CANDIDATES}
    for one, other in combinations(ones, 2):
        asked = np.isin(families, (one, other))
        for name, model in CANDIDATES.items():
            squares = (model(arms, ~asked, asked, grid) - gains[asked]) ** 2
            missed[one, name] += squares[families[asked] == other].sum()
            missed[other, name] += squares[families[asked] == one].sum()
    chosen, out = {one: min(CANDIDATES, key=lambda name: missed[one, name]) for one in ones}, np.full(len(arms), np.nan)
    for one, name in chosen.items():
        asked = families == one
        out[asked] = CANDIDATES[name](arms, ~asked, asked, grid)
    return out, chosen


def error(gains, foretold) -> dict[str, float]:
    """``R2`` (1 - squared error over that of the mean of all gains; below 0: worse than it), ``rank`` correlation (Spearman; NaN
    where nothing varies), ``typical miss`` (root of the mean squared error, points of accuracy).

    >>> error([0.0, 1.0], [0.0, 1.0])["R2"], error([0.0, 1.0], [1.0, 0.0])["R2"]
    (1.0, -3.0)
    """
    gains, foretold = np.asarray(gains, float), np.asarray(foretold, float)
    missed = ((gains - foretold) ** 2).sum()
    spread = ((gains - gains.mean()) ** 2).sum()
    varies = min(np.ptp(gains), np.ptp(foretold)) > 0
    return {
        "R2": float(1 - missed / spread) if spread else np.nan,
        "rank": float(spearmanr(gains, foretold)[0]) if varies else np.nan,
        "typical miss": float(np.sqrt(missed / len(gains))),
    }


def compared(arms: pd.DataFrame, grid: np.ndarray) -> pd.DataFrame:
    """The error of every candidate on families left out, a row each."""
    return pd.DataFrame([{"model": name} | error(arms["gain"], left_out(arms, name, grid)) for name in CANDIDATES])


def by_family(arms: pd.DataFrame, foretold: np.ndarray) -> pd.DataFrame:
    """The error within each family when it was left out, a row each, worst first; ``R2`` is over the family's own mean."""
    rows = [
        {"left out": one, "arms": int(mine.sum()), "mean gain": arms["gain"][mine].mean(), "foretold": foretold[mine].mean()}
        | error(arms["gain"][mine], foretold[mine])
        for one in sorted(set(arms["family"]))
        for mine in [(arms["family"] == one).to_numpy()]
    ]
    return pd.DataFrame(rows).sort_values("typical miss", ascending=False, ignore_index=True)


def missed_most(arms: pd.DataFrame, foretold: np.ndarray, n: int = 12) -> pd.DataFrame:
    """The arms that a model misses most, a row each, furthest first: ``missed`` is the gain seen less the gain foretold."""
    table = arms.assign(foretold=foretold, missed=arms["gain"] - foretold)
    order = table["missed"].abs().sort_values(ascending=False, kind="stable").index[:n]
    return pd.DataFrame(
        [
            called(arm) | {name: arm[name] for name in ("random", "gain", "foretold", "missed", "wrong", "skew")}
            for _, arm in table.loc[order].iterrows()
        ]
    )


def on_other_seeds(runs: pd.DataFrame) -> dict[str, float]:
    """The error of the formula, each family left out, with the gains of odd seeds and all else of even ones.

    The accuracy of random examples stands both in the formula and in the gain. With seeds of their own, no noise is shared.

    Parameters
    ----------
    runs : DataFrame
        Of :func:`datadiet.chapters.what_all_runs_say.runs.by_run`.
    """
    even, odd = (arms_of(runs[runs["seed"] % 2 == rest]) for rest in (0, 1))
    both = even[even["arm"].isin(odd["arm"])].reset_index(drop=True)
    return error(odd.set_index("arm")["gain"][both["arm"]], left_out(both, OURS))
