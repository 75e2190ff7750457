"""What several scores compute of rows of predictions: errors, leads, the label's entry, and means over runs."""

import numpy as np


def mean(score, *runs) -> np.ndarray:
    """Mean over runs of the score of each; one run at a time, so that only one is held in float64."""
    rows = (tuple(np.ascontiguousarray(x, dtype=np.float64) for x in run) for run in zip(*runs, strict=True))
    return np.mean([score(*run) for run in rows], axis=0)


def errors(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """||p - y||_2, [N]."""
    error = p.copy()
    error[np.arange(len(p)), labels] -= 1
    return np.linalg.norm(error, axis=-1)


def of_label(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The label's entry of each row, [N]."""
    return rows[np.arange(len(rows)), labels]


def lead(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How far the best of the other classes is ahead of the label, [N]."""
    others = rows.copy()
    others[np.arange(len(rows)), labels] = -np.inf
    return others.max(-1) - of_label(rows, labels)
