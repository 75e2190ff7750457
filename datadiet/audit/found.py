"""An audit's findings: one record, which the command prints, the report shows and the new columns are read off."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

LEARNED = 0.02  # by which the accuracy has to pass the share of the largest class, or by half of what it can


def learned(accuracy: float, majority: float) -> bool:
    """Whether models are right clearly more often than always saying the largest class, of share `majority`, would be.

    >>> learned(0.55, 0.5), learned(0.51, 0.5), learned(0.999, 0.99), learned(0.992, 0.99)
    (True, False, True, False)
    """
    return accuracy >= majority + min(LEARNED, (1 - majority) / 2)


@dataclass(frozen=True)
class Audit:
    """Findings about the labels of one table; n rows were scored, there are K classes.

    Attributes
    ----------
    names : tuple of str
        Classes, as typed in the table.
    rows : int array [n]
        Positions in the table of the rows that were scored; the first row is 0.
    given : int64 array [n]
        Class in the table, as an index into `names`.
    probs : float array [n, K]
        Probabilities out of fold: of models that did not train on the row.
    scores : dict of str to float array [n]
        Every score tried; higher = harder.
    used : str
        Score that ranks, a key of `scores`.
    wrong : float array [n]
        Probability that the label is wrong, in [0, 1].
    count : (float, float, float)
        Number of wrong labels: estimate, low and high end of its 95 % interval. NaN where it could not be estimated.
    check : DataFrame
        A row a score: `score`; `auc`, the area under the curve for finding planted flips, with `low` and `high`; `found`,
        the share of the planted flips among the `planted` rows of highest score. Empty where no check was made.
    planted : int
        Flips planted in the copy of the labels.
    accuracy, majority : float
        Share of rows whose most probable class is the one in the table, out of fold; share of the largest class.
    warnings : tuple of str
        Sentences for the user.
    how : dict
        Settings, seconds, models, version: enough to do it again.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> probs = np.array([[.9, .1], [.8, .2]])
    >>> audit = Audit(names=("no", "yes"), rows=np.array([0, 1]), given=np.array([0, 1]), probs=probs,
    ...     scores={"margin": np.array([-.8, .6])}, used="margin", wrong=np.array([.05, .9]), count=(1., 0., 2.),
    ...     check=pd.DataFrame(columns=["score", "auc", "low", "high", "found"]), planted=0, accuracy=.5, majority=.5,
    ...     warnings=(), how={})
    >>> audit.names[audit.probs[1].argmax()]
    'no'
    """

    names: tuple[str, ...]
    rows: np.ndarray
    given: np.ndarray
    probs: np.ndarray
    scores: dict[str, np.ndarray]
    used: str
    wrong: np.ndarray
    count: tuple[float, float, float]
    check: pd.DataFrame
    planted: int
    accuracy: float
    majority: float
    warnings: tuple[str, ...]
    how: dict
