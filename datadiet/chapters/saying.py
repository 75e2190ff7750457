"""The result of a panel in words, read off the data that it draws: the text alternative of a figure."""

import numpy as np
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.ticker import FixedLocator

SHOWN = 8  # series that are read out; a reader of more wants the table


def said_of(ax) -> str:
    """A sentence of the panel's results: each series at its two ends, each level, the ends of a heat map, the count of points.

    Where random examples are drawn, the series that is furthest from them comes first.
    """
    parts = [*_furthest(ax), *_series(ax), *_levels(ax), *_mesh(ax), *_cloud(ax)]
    if not parts:
        return "; ".join(text.get_text().replace("\n", " ") for text in ax.texts)
    rest = len(parts) - SHOWN
    axis = f"{ax.get_ylabel()}: " if ax.get_ylabel() else ""
    return (axis + "; ".join(parts[:SHOWN]) + (f"; and {rest} more" if rest > 0 else "")).replace("\n", " ") + "."


def _place(ax, x: float) -> str:
    """The name that the axis has for a place, or its number."""
    if isinstance(ax.xaxis.get_major_locator(), FixedLocator):
        names, ticks = [text.get_text().replace("\n", " ") for text in ax.get_xticklabels()], np.asarray(ax.get_xticks(), float)
        if len(ticks):
            return names[int(np.argmin(abs(x - ticks)))]
    return f"{x:.3g}"


def _lines(ax) -> list:
    """Name, places and values of each series with error bars."""
    found = []
    for container in ax.containers:
        data = getattr(container, "lines", [None])[0]
        if data is not None:
            x, y = (np.asarray(values, float) for values in data.get_data())
            good = np.isfinite(x) & np.isfinite(y)
            if good.any():
                name = str(container.get_label() or "")
                found.append(("" if name.startswith("_") else name.replace("\n", " "), x[good], y[good]))
    return found


def _series(ax) -> list[str]:
    parts = []
    for name, x, y in _lines(ax):
        first, last = _place(ax, x[0]), _place(ax, x[-1])
        if len(x) == 1:
            parts.append(f"{name or first} {y[0]:.3g}" if name in ("", first) else f"{name} {y[0]:.3g} at {first}")
        else:
            parts.append(f"{name or 'values'} from {y[0]:.3g} at {first} to {y[-1]:.3g} at {last}")
    return parts


def _levels(ax) -> list[str]:
    """Lines that have a name and no error bars: levels, and single curves."""
    mine = {id(each) for container in ax.containers for each in getattr(container, "lines", []) if each is not None}
    parts = []
    for each in ax.lines:
        name, y = str(each.get_label()), np.asarray(each.get_ydata(), float)
        if id(each) not in mine and not name.startswith("_") and len(y) and np.isfinite(y).all():
            parts.append(f"{name} {y[0]:.3g}" if y[0] == y[-1] else f"{name} from {y[0]:.3g} to {y[-1]:.3g}")
    return parts


def _furthest(ax) -> list[str]:
    """The series and place with the largest distance to random examples, where both are drawn."""
    lines = {name: dict(zip((_place(ax, at) for at in x), y, strict=True)) for name, x, y in _lines(ax) if name}
    level = next((each.get_ydata()[0] for each in ax.lines if each.get_label() == "random" and len(each.get_ydata())), None)
    random = lines.pop("random", None)
    gaps = [
        (y - (random[place] if random else level), name, place)
        for name, values in lines.items()
        for place, y in values.items()
        if name != "full data" and (place in random if random else level is not None)
    ]
    if not gaps:
        return []
    gap, name, place = max(gaps, key=lambda each: abs(each[0]))
    return [f"furthest from random is {name}{'' if place == name else f' at {place}'}, {gap:+.3g}"]


def _mesh(ax) -> list[str]:
    """The highest and the lowest cell of a heat map, by row and column."""
    parts = []
    for mesh in ax.collections:
        if isinstance(mesh, QuadMesh):
            rows, columns = ([text.get_text() for text in labels] for labels in (ax.get_yticklabels(), ax.get_xticklabels()))
            grid = np.ma.filled(np.ma.asarray(mesh.get_array(), float), np.nan).reshape(-1, len(columns) or 1)
            for word, at in (("highest", np.nanargmax(grid)), ("lowest", np.nanargmin(grid))):
                row, column = np.unravel_index(at, grid.shape)
                parts.append(f"{word} {grid[row, column]:.3g}, {rows[row]}, {columns[column]}")
    return parts


def _cloud(ax) -> list[str]:
    """How many points a cloud has, and how many of them lie below zero."""
    points = [each.get_offsets() for each in ax.collections if isinstance(each, PathCollection) and len(each.get_offsets())]
    if not points:
        return []
    y = np.ma.filled(np.ma.concatenate(points)[:, 1].astype(float), np.nan)
    return [f"{np.isfinite(y).sum()} points, {(y < 0).sum()} of them below zero, their median {np.nanmedian(y):.3g}"]
