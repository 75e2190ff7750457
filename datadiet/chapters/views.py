"""A view: a table of runs, its settings and its name. Figures are drawn from published views; rebuilt ones fold away below."""

from dataclasses import dataclass

import pandas as pd

from datadiet import chapters, runs
from datadiet.chapters.ledger import EVIDENCE
from datadiet.chapters.settings import has, settings_of
from datadiet.chapters.settings import of_notebook as settings_of_notebook

HERE = "Rebuilt here"
NAMED = {"gpu": "on a GPU", "news": "AG News"}  # profiles whose views have a name of their own


@dataclass(frozen=True)
class View:
    """A table of runs, the settings it was asked for with, and what to call it."""

    name: str
    settings: dict
    table: pd.DataFrame


class Views(list):
    """Views that are shown at full size, and in ``rebuilt`` those made where the page was built, folded away below them."""

    def __init__(self, shown=(), rebuilt=()):
        super().__init__(shown)
        self.rebuilt = list(rebuilt)


def rebuilt(views: list[View]) -> list[View]:
    """The views that fold away; none of a plain list, all of whose views are shown."""
    return getattr(views, "rebuilt", [])


def changed(views: list[View], change) -> Views:
    """The same views, each as ``change(view)`` returns it."""
    return Views(map(change, views), map(change, rebuilt(views)))


def compare(settings: dict, here: pd.DataFrame, published: list[View]) -> Views:
    """Published views, and the runs made here if they are others than the first one's; those alone where nothing is published."""
    first = published[0].table
    if len(here) and set(here["key"]) == set(first["key"]) and (here["origin"] == "published").all():
        return Views(published)
    own = View(HERE, settings, here)
    return Views(published, [own]) if any(len(view.table) for view in published) else Views([own])


def of_notebook(chapter: str, namespace: dict) -> Views:
    """The views of a chapter, from its notebook's parameters: the published runs, and its own, loaded or else computed.

        views = chapter.views(globals())

    A loop over them sees the published ones; ``views.rebuilt`` has those of the parameters where they are others.

    Raises
    ------
    InputError
        The parameters cell was not run, or sets something that is none.
    """
    settings, standard = settings_of_notebook(namespace, chapter), settings_of("standard", chapter)
    here = runs.sweep(chapters.wanted(chapter, settings), settings["engine"])
    published = [View("Published", standard, runs.published(chapters.wanted(chapter, standard)))]
    for profile in EVIDENCE[1:]:
        if has(profile, chapter):
            larger = settings_of(profile, chapter)
            table = runs.published(chapters.wanted(chapter, larger))
            if len(table):
                published.append(View(f"Published, {NAMED.get(profile, profile)}", larger, table))
    return compare(settings, here, published)
