"""Drawings of the report: SVG written by hand, in percent of the width, so that a phone gets the same letters as a screen."""

import numpy as np

from datadiet.audit.markup import number, plural, safe

BINS = 40
HIGH = 150  # pixels of a histogram's plot
ROW = 40  # pixels of a bar with its name above


def _svg(inside: str, height: int, label: str, kind: str) -> str:
    return f'<svg class="{kind}" width="100%" height="{height}" role="img" aria-label="{label}">{inside}</svg>'


def _at(share: float) -> str:
    return f"{100 * share:.2f}%"


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers within [low, high], some `about` of them.

    >>> [round(tick, 3) for tick in ticks(-.83, .97)]
    [-0.5, 0.0, 0.5]
    """
    step = 10.0 ** np.floor(np.log10((high - low) / about))
    step *= next(times for times in (1, 2, 5, 10) if times * step * about >= high - low)
    return [float(step * k) for k in range(int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9)) + 1)]


def bars(items, label: str, chance: float) -> str:
    """Shares as bars, one below the other, each with its name and value above it.

    Parameters
    ----------
    items : list of (str, float, str, bool)
        Name, share in [0, 1], value in words, and whether it is the one that is used.
    label : str
        Words for those who cannot see it; escaped.
    chance : float
        Share by chance: a line across all bars.
    """
    drawn = []
    for place, (title, share, value, used) in enumerate(items):
        top, weight = place * ROW, ' class="strong"' if used else ""
        drawn.append(
            f'<text x="0" y="{top + 13}"{weight}>{safe(title, 36)}</text>'
            f'<text x="100%" y="{top + 13}" text-anchor="end"{weight}>{safe(value)}</text>'
            f'<rect class="track" x="0" y="{top + 19}" width="100%" height="11" rx="2"/>'
            f'<rect class="{"used" if used else "other"}" x="0" y="{top + 19}" width="{_at(share)}" height="11" rx="2"/>'
            f'<line class="chance" x1="{_at(chance)}" x2="{_at(chance)}" y1="{top + 16}" y2="{top + 33}"/>'
        )
    return _svg("".join(drawn), ROW * len(items), label, "bars")


def histogram(values: np.ndarray, wrong: np.ndarray, label: str) -> str:
    """Distribution of a score in 40 bins; the lower part of each bar is the number of labels expected to be wrong.

    Parameters
    ----------
    values : float array [n]
        Finite scores.
    wrong : float array [n]
        Probability that the label is wrong.
    label : str
        Words for those who cannot see it; escaped.
    """
    low, high = float(values.min()), float(values.max())
    if high <= low:  # one value only: a bar in the middle of something
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    counts = np.histogram(values, edges)[0]
    bad = np.histogram(values, edges, weights=wrong)[0]
    top, foot = int(counts.max()), HIGH + 14
    drawn = []
    for tick in ticks(0, top, 3):
        y = foot - HIGH * tick / top
        drawn.append(f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
        if tick:
            drawn.append(f'<text class="soft" x="100%" y="{y - 3:.1f}" text-anchor="end">{number(tick)}</text>')
    for place, (count, part) in enumerate(zip(counts, bad, strict=True)):
        if not count:
            continue
        x, tall, short = _at((place + 0.06) / BINS), HIGH * count / top, HIGH * part / top
        span = f"{edges[place]:.3g} to {edges[place + 1]:.3g}"
        tip = f"<title>{span}: {plural(int(count), 'row')}, {part:.1f} expected wrong</title>"
        width = _at(0.88 / BINS)
        drawn.append(
            f'<g>{tip}<rect class="right" x="{x}" y="{foot - tall:.1f}" width="{width}" height="{tall - short:.1f}"/>'
            f'<rect class="wrong" x="{x}" y="{foot - short:.1f}" width="{width}" height="{short:.1f}"/></g>'
        )
    drawn.append(f'<line class="axis" x1="0" x2="100%" y1="{foot}" y2="{foot}"/>')
    for tick in ticks(low, high):
        share = (tick - low) / (high - low)
        anchor = "start" if share < 0.04 else "end" if share > 0.96 else "middle"
        drawn.append(
            f'<line class="axis" x1="{_at(share)}" x2="{_at(share)}" y1="{foot}" y2="{foot + 4}"/>'
            f'<text class="soft" x="{_at(share)}" y="{foot + 18}" text-anchor="{anchor}">{f"{tick:g}".replace("-", "−")}</text>'
        )
    return _svg("".join(drawn), foot + 24, label, "histogram")


def strip(values: np.ndarray, low: float, high: float) -> str:
    """A class on the common scale of the score: line from 5 to 95 %, box from 25 to 75 %, a stroke at the median."""
    marks = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    a, b, c, d, e = (np.clip((marks - low) / (high - low or 1.0), 0, 1)).tolist()
    words = f"score: median {marks[2]:.3g}, middle half {marks[1]:.3g} to {marks[3]:.3g}"
    return _svg(
        f'<line class="axis" x1="{_at(a)}" x2="{_at(e)}" y1="9" y2="9"/>'
        f'<rect class="used" x="{_at(b)}" y="4" width="{_at(max(d - b, 0.004))}" height="10" rx="1"/>'
        f'<line class="median" x1="{_at(c)}" x2="{_at(c)}" y1="1" y2="17"/>',
        18, words, "strip",
    )


def pair(before: float, after: float, most: float) -> str:
    """Two shares of a class, before and after, as two thin bars on a scale that ends at `most`."""
    return _svg(
        f'<rect class="other" x="0" y="2" width="{_at(before / most)}" height="7" rx="1"/>'
        f'<rect class="used" x="0" y="11" width="{_at(after / most)}" height="7" rx="1"/>',
        20, f"before {100 * before:.1f} %, after {100 * after:.1f} %", "strip",
    )
