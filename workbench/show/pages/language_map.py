"""Language map: the fillers of a language laid out once, and drawn as SVG that needs no script and no other file."""

from typing import NamedTuple

import numpy as np

from workbench.show import atlas
from workbench.show.atlas import labels
from workbench.show.atlas.figures import styles
from workbench.show.atlas.projection import gathered
from workbench.show.rendering import grouped, line

_WIDTH, _HEIGHT, _EDGE = 1000, 620, 26  # of the map, in units of its view box
_POINTS, _NAMES = 4000, 60  # drawn at most


class Chart(NamedTuple):
    """A map that is laid out: dicts of the number of a code -> `dots` (SVG path data), `middles` (x, y), `colours` int 0..6; its
    trustworthiness `trust`, 0..1; `shown` of `total` fillers are drawn.
    """

    dots: dict
    middles: dict
    colours: dict
    trust: float
    shown: int
    total: int


def spoken(dsl):
    """Rows of the fillers that a map shows, int64 (n,): without function words, which stand in every prompt and near nothing."""
    return np.flatnonzero(np.isin(dsl.fillers.codes, [code.id for code in dsl.codes if not code.literal]))


def chart(dsl):
    """Lay out the map of the fillers of a `DeepDSL`: a `Chart`, or None where there are too few different fillers."""
    rows = spoken(dsl)
    total = len(rows)
    vectors = np.asarray(dsl.fillers.vectors)[rows]
    if not atlas.can_map(vectors):
        return None
    if total > _POINTS:
        some = np.sort(np.random.default_rng(0).permutation(total)[:_POINTS])
        rows, vectors = rows[some], vectors[some]
    there, codes = np.unique(dsl.fillers.codes[rows], return_inverse=True)
    placed = atlas.fit(vectors, seed=0)
    xy = gathered(placed.xy)
    colours = [colour for colour, _ in styles(xy, codes, len(there))]
    xy = (xy - xy.min(axis=0)) / np.maximum(np.ptp(xy, axis=0), 1e-9)
    xy[:, 1] = 1 - xy[:, 1]  # screens count downwards
    xy = np.round(_EDGE + xy * (np.array([_WIDTH, _HEIGHT]) - 2 * _EDGE)).astype(int)
    middles = labels.centres(xy, codes, len(there))
    numbers = there.tolist()
    return Chart(
        {number: _dots(xy[codes == row]) for row, number in enumerate(numbers)},
        dict(zip(numbers, middles.tolist(), strict=True)),
        dict(zip(numbers, colours, strict=True)),
        placed.trustworthiness,
        len(xy),
        total,
    )


def picture(chart, codes, only=None):
    """What the template draws: dots and the names of codes, which lead to their pages.

    Args:
        chart: `Chart`.
        codes: list of `CodeFacts`, most used first.
        only: `CodeFacts` or None; this code then stands out, and of the others only its neighbours are named.

    Returns:
        dict of plain values for the macro `picture`.
    """
    by_use = [code for code in codes if code.id in chart.dots]
    if only is None:
        dots = [(f"dots k{chart.colours[code.id]}", chart.dots[code.id]) for code in by_use]
        named = by_use[:_NAMES]
        label = f"Map of {grouped(chart.shown)} fillers: near ones are used alike. Each name leads to the page of its code."
    else:
        others = "".join(dots for number, dots in chart.dots.items() if number != only.id)
        dots = [("dots rest", others), ("dots this", chart.dots[only.id])]
        near = {number for number, _ in only.near}
        named = [only, *(code for code in by_use if code.id in near)]
        label = f"Map of {grouped(chart.shown)} fillers; those of {line(only.name)} stand out, the codes nearest to it are named."
    taken, names = [], []
    for code in named:
        text = line(code.name, 26)
        x, y = _free(chart.middles[code.id], 9.2 * len(text) + 10, taken)
        names.append({"text": text, "x": x, "y": y, "file": code.file, "here": code is only})
    drawn = {"width": _WIDTH, "height": _HEIGHT, "label": label, "dots": dots, "names": names}
    return drawn | {"trust": chart.trust, "shown": chart.shown, "total": chart.total}


def _dots(points):
    """Each point is a line of no length with a round cap: the shortest way to write thousands."""
    return "".join(f"M{x} {y}h0" for x, y in np.unique(points, axis=0).tolist())


def _free(middle, wide, taken):
    """The place nearest to the middle where a name of this width covers no other; the middle itself if there is none."""
    half = wide / 2
    x = min(max(middle[0], half + 2), _WIDTH - half - 2)
    for step in (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5):
        y = min(max(middle[1] + 21 * step, 18), _HEIGHT - 10)
        if all(abs(x - other) >= half + reach or abs(y - level) >= 21 for other, level, reach in taken):
            break
    else:
        y = middle[1]
    taken.append((x, y, half))
    return round(x), round(y)
