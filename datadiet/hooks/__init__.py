"""Scores and pruning inside other people's loops: the HF Trainer, a DataLoader, scikit-learn, pandas, datasets.

The names below are imported from their modules on first use: a callback needs transformers, a sampler torch, a table neither.
"""

from importlib import import_module

_PLACES = {
    "ScoreCallback": "trainer",
    "DynamicPruningCallback": "trainer",
    "PruningSampler": "sampler",
    "out_of_fold": "estimators",
    "scores_of": "estimators",
    "with_scores": "frames",
    "pruned": "frames",
}
__all__ = list(_PLACES)


def __getattr__(name: str):
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__():
    return sorted([*globals(), *_PLACES])
