"""A view: a table of runs, the settings it was asked for with, and what to call it. Every figure is drawn from one or two."""

from dataclasses import dataclass

import pandas as pd

from datadiet import chapters, runs
from datadiet.chapters.ledger import EVIDENCE
from datadiet.chapters.settings import has, settings_of
from datadiet.chapters.settings import of_notebook as settings_of_notebook

HERE = "This machine"
NAMED = {"gpu": "on a GPU", "news": "AG News"}  # profiles whose views have a name of their own


@dataclass(frozen=True)
class View:
    """A table of runs, the settings it was asked for with, and what to call it."""

    name: str
    settings: dict
    table: pd.DataFrame


def compare(settings: dict, here: pd.DataFrame, published_settings: dict, published: pd.DataFrame) -> list[View]:
    """The runs of this machine, now, and the published ones; one view where both are the same runs."""
    public = View("Published", published_settings, published)
    if len(here) and set(here["key"]) == set(published["key"]) and (here["origin"] == "published").all():
        return [public]
    return [View(HERE, settings, here), public]


def of_notebook(chapter: str, namespace: dict) -> list[View]:
    """The views of a chapter, from its notebook's parameters: its runs, loaded or else computed, and the published ones.

        views = chapter.views(globals())

    Raises
    ------
    InputError
        The parameters cell was not run, or sets something that is none.
    """
    settings, standard = settings_of_notebook(namespace, chapter), settings_of("standard", chapter)
    here = runs.sweep(chapters.wanted(chapter, settings), settings["engine"])
    views = compare(settings, here, standard, runs.published(chapters.wanted(chapter, standard)))
    for profile in EVIDENCE[1:]:
        if has(profile, chapter):
            larger = settings_of(profile, chapter)
            table = runs.published(chapters.wanted(chapter, larger))
            if len(table):
                views.append(View(f"Published, {NAMED.get(profile, profile)}", larger, table))
    return views
