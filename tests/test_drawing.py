"""Charts: panels of their own, one legend, text as text, colours that follow the page, and the result in words."""

import re
import time
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from datadiet.chapters import svg
from datadiet.chapters.drawing import COLOURS, Chart, heat, level, line, panels
from datadiet.chapters.saying import said_of
from datadiet.chapters.settings import settings_of
from datadiet.chapters.views import HERE, View, Views
from datadiet.errors import InputError

SETTINGS = settings_of("standard", "pruning-fractions") | {"tasks": ["trec6", "mnli"], "per_task": {}}
RUNS = pd.DataFrame({"key": ["a"]})


def drawn(views, values=None):
    """A chart of two arms at three kept shares, and the full data."""
    values = {"hardest": [0.2, 0.5, 0.9], "random": [0.6, 0.7, 0.8]} if values is None else values
    chart = panels(views)
    for ax, *_ in chart:
        for name, means in values.items():
            line(ax, range(3), [[mean - 0.01, mean + 0.01] for mean in means], name)
        level(ax, [0.94, 0.96], "full data")
        ax.set_xticks(range(3), ["2%", "10%", "50%"])
        ax.set_ylabel("test accuracy")
    return chart


def test_every_panel_is_a_drawing_and_the_legend_is_drawn_once():
    page = BeautifulSoup(drawn([View("Published", SETTINGS, RUNS)])._repr_html_(), "html.parser")
    assert len(page.select("svg.dd-drawing")) == 2 and len(page.select(".dd-legend")) == 1
    assert [each.text.strip() for each in page.select(".dd-legend li")] == ["full data", "hardest", "random"]
    assert [each.text for each in page.select(".dd-panel-title")] == ["Published: trec6, standard", "Published: mnli, standard"]
    for panel in page.select("svg.dd-drawing"):
        assert {"2%", "10%", "50%", "test accuracy"} <= {each.text.strip() for each in panel.select("text")}


def test_the_text_alternative_says_the_result():
    chart = drawn([View("Published", SETTINGS, RUNS)])
    said = said_of(chart.axes[0])
    assert said.startswith("test accuracy: furthest from random is hardest at 2%, -0.4; ")
    assert "hardest from 0.2 at 2% to 0.9 at 50%" in said and "full data 0.95" in said
    page = BeautifulSoup(chart._repr_html_(), "html.parser")
    assert page.select("svg.dd-drawing")[1]["aria-label"] == f"Published: mnli, standard. {said_of(chart.axes[1])}"
    other = drawn([View("Published", SETTINGS, RUNS)], {"hardest": [0.9, 0.5, 0.2], "random": [0.6, 0.6, 0.6]})
    assert "furthest from random is hardest at 50%, -0.4" in repr(other)


def test_a_heat_map_says_its_ends():
    seed = time.time_ns() % 2**32
    print("seed", seed)
    grid = pd.DataFrame(np.random.default_rng(seed).random((3, 4)), index=list("abc"), columns=list("wxyz"))
    ax = Chart().panel()
    heat(ax, grid, grid.map("{:.2f}".format), (0, 1))
    row, column = grid.stack().idxmax()
    assert f"highest {grid.loc[row, column]:.3g}, {row}, {column};" in said_of(ax)
    row, column = grid.stack().idxmin()
    assert f"lowest {grid.loc[row, column]:.3g}, {row}, {column}." in said_of(ax)


def test_runs_rebuilt_here_are_folded_away_beside_published_ones_only():
    here, public = View(HERE, SETTINGS, RUNS), View("Published", SETTINGS, RUNS)
    both = BeautifulSoup(drawn(Views([public], [here]))._repr_html_(), "html.parser")
    assert [each.text for each in both.select("details .dd-panel-title")] == [
        f"{HERE}: trec6, standard",
        f"{HERE}: mnli, standard",
    ]
    assert len(both.select("svg.dd-drawing")) == 4
    assert not BeautifulSoup(drawn([here])._repr_html_(), "html.parser").select("details")


def test_sets_put_aside_fold_away_unless_there_are_no_others():
    view, page = View("Published", SETTINGS, RUNS), {}
    for aside in (("mnli",), ("mnli", "trec6"), ()):
        chart = panels([view], aside=aside)
        for ax, *_ in chart:
            line(ax, [0], [[1.0]], "made")
        page[aside] = BeautifulSoup(chart._repr_html_(), "html.parser")
        assert len(page[aside].select("svg.dd-drawing")) == 2
    assert [each.text for each in page["mnli",].select("details .dd-panel-title")] == ["Published: mnli, standard"]
    assert page["mnli",].summary.text == "More sets: mnli"
    assert not page["mnli", "trec6"].select("details") and not page[()].select("details")
    other = View("Published, larger", SETTINGS | {"profile": "gpu"}, RUNS)
    chart = panels([view, other], aside=("mnli, gpu",))
    for ax, *_ in chart:
        line(ax, [0], [[1.0]], "made")
    folded = BeautifulSoup(chart._repr_html_(), "html.parser").select("details .dd-panel-title")
    assert [each.text for each in folded] == ["Published, larger: mnli, gpu"]


def test_a_drawing_is_well_formed_follows_the_mode_and_shares_no_name_with_another():
    page = drawn([View("Published", SETTINGS, RUNS), View("Published, larger", SETTINGS, RUNS)])._repr_html_()
    names = re.findall(r' id="(\w+)"', page)
    assert names and len(names) == len(set(names))
    used = set(re.findall(r'(?:href="#|url\(#)(\w+)', page))
    assert used <= set(names)
    for each in re.findall(r"<svg class=\"dd-drawing\".*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(each)
        assert "currentColor" in each and "var(--dd-blue" in each and svg.INK not in each and svg.FAINT not in each
        sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", each)]
        assert sizes and min(sizes) >= 10


def test_every_colour_of_the_house_has_a_name_in_the_style_sheet():
    from conftest import ROOT

    sheet = (ROOT / "_static" / "datadiet.css").read_text()
    for colour in [*svg.NAMES.values(), "faint", "guide", "ground"]:
        assert len(re.findall(rf"--dd-{colour}: ", sheet)) == (1 if colour == "ground" else 2), colour
    assert all(svg.themed(mpl.colors.to_hex(colour)).startswith("var(") for colour in COLOURS.values())


def test_a_view_without_runs_says_so_and_no_view_is_refused():
    chart = drawn([View("Published", SETTINGS, pd.DataFrame())])
    assert said_of(chart.axes[0]) == "no runs stored yet" and len(chart.axes) == 1
    with pytest.raises(InputError, match="no view to draw"):
        panels([])


def test_settings_of_the_reader_are_left_as_they_are():
    before = dict(mpl.rcParams)
    drawn([View("Published", SETTINGS, RUNS)])._repr_html_()
    assert dict(mpl.rcParams) == before
