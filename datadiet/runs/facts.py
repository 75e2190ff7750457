"""Facts of the published sets: how many examples of each class their test split has, kept with the results.

    test_shares("trec6")                            # [K], the accuracies of the models that always give one answer
    constant(0.188, "trec6")                        # whether an accuracy is one of them

Runs were published before their Matthews' correlation was recorded; by these shares a constant classifier is still known.
"""

import json
from functools import cache

import numpy as np

from datadiet import paths
from datadiet.data import load
from datadiet.errors import InputError
from datadiet.runs import sealed

ROUNDING = 1e-9  # accuracies are counts over a few thousand examples: nearer than this they are the same count


def _file():
    return paths.results() / "tasks.json"


@cache
def _counts() -> dict[str, list[int]]:
    return json.loads(sealed.opened(paths.results(), _file().name)) if _file().is_file() else {}


def test_shares(task: str) -> np.ndarray | None:
    """Share of each class in the test split of a published set [K]; None where the set has no published run."""
    counts = _counts().get(task)
    return None if counts is None else np.asarray(counts) / sum(counts)


def constant(accuracy: float, task: str) -> bool:
    """Whether a test accuracy is that of a model which gives every example the same answer."""
    shares = test_shares(task)
    return shares is not None and bool((np.abs(shares - accuracy) < ROUNDING).any())


def publish(tasks: dict) -> None:
    """Add the class counts of the test splits of `tasks`, name -> :class:`datadiet.data.Task`, to the results."""
    counts = dict(_counts()) | {
        name: np.bincount(task.test.labels, minlength=task.n_classes).tolist() for name, task in tasks.items()
    }
    lines = [f"{json.dumps(name)}: {json.dumps(counts[name])}" for name in sorted(counts)]
    _file().write_text("{\n" + ",\n".join(lines) + "\n}\n")
    sealed.seal(paths.results(), [_file().name])
    _counts.cache_clear()


def publish_sets(names) -> dict[str, str]:
    """:func:`publish` of the sets of these names, as they are read; those that cannot be read come back, name -> the reason."""
    tasks, unread = {}, {}
    for name in sorted(set(names)):
        try:
            tasks[name] = load(name)
        except InputError as problem:
            unread[name] = str(problem)
    if tasks:
        publish(tasks)
    return unread
