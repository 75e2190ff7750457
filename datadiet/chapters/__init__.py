"""The experiments of the book, a folder a chapter, named as its file is: ``label_noise`` for ``label-noise.md``.

    from datadiet.chapters import label_noise as chapter
    views = chapter.views(globals())        # the runs of this machine, and the published ones
    chapter.figures.finding_flips(views)

A chapter has ``runs`` (which runs it asks for, and the tables read off them), ``rules`` (its decision rules) and ``figures``;
one that asks for no runs has no rules, and may have ``tables`` and a ``model`` of what it reads.
"""

from functools import partial
from importlib import import_module

from datadiet.errors import InputError

# Chapters that ask for runs; _toc.yml has the order of the book.
NAMES = (
    "score-timing", "pruning-fractions", "influence-scores", "grand-at-init", "loss-landscape", "label-noise", "dynamic-pruning",
    "joint", "weak-pool", "healthy-diet", "who-is-right",
)  # fmt: skip
ROOMS = ("runs", "rules", "figures", "model", "tables", "flips")


def room(chapter: str, name: str):
    """One of the modules ``runs``, ``rules`` and ``figures`` of a chapter, by the name that the chapter's file has."""
    return import_module(f"datadiet.chapters.{chapter.replace('-', '_')}.{name}")


def wanted(chapter: str, settings: dict) -> list[dict]:
    """The runs that a chapter asks for with these settings.

    Raises
    ------
    InputError
        A chapter that asks for no runs.
    """
    if chapter not in NAMES:
        raise InputError(f"chapters.wanted: {chapter!r} asks for no runs; chapters that do: {', '.join(NAMES)}.")
    return room(chapter, "runs").wanted(settings)


def rooms(package: str):
    """The ``__getattr__`` of a chapter: its modules are imported when they are first asked for, for figures take seconds."""

    def get(name: str):
        if name in ROOMS:
            return import_module(f"{package}.{name}")
        if name == "views":
            from datadiet.chapters.views import of_notebook

            return partial(of_notebook, package.rpartition(".")[2].replace("_", "-"))
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
