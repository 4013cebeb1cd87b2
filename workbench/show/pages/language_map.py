"""Language map: the fillers of a language laid out once, and drawn as SVG that needs no script and no other file."""

from typing import NamedTuple

import numpy as np

from workbench.chips import CHIPS
from workbench.show import atlas, palette, presentable
from workbench.show.atlas import labels
from workbench.show.atlas.projection import gathered
from workbench.show.rendering import grouped, line

_WIDTH, _HEIGHT, _EDGE = 1000, 620, 26  # of the map, in units of its view box
_POINTS, _NAMES = 2000, 60  # drawn at most
# SVG path data of a dot after its place, by pattern, in the order of `figures.MARKS`; of a line of no length the caps are drawn
_SHAPES = ("h0", "h0", "m-4 3h8l-4-7z", "m0-4 4 4-4 4-4-4z", "m-4-3h8l-4 7z", "m-3 0h6m-3-3v6")


class Chart(NamedTuple):
    """A map that is laid out: dicts of the number of a code -> `dots` (SVG path data), `middles` (x, y), `looks` int 0..47; its
    trustworthiness `trust`, 0..1; `shown` of `total` fillers are drawn.
    """

    dots: dict
    middles: dict
    looks: dict
    trust: float
    shown: int
    total: int


def chart(dsl):
    """Lay out the map of the fillers of a `DeepDSL`: a `Chart`, or None where there are too few different fillers."""
    rows, looks = presentable.rows(dsl), palette.looks(dsl)
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
    xy = (xy - xy.min(axis=0)) / np.maximum(np.ptp(xy, axis=0), 1e-9)
    xy[:, 1] = 1 - xy[:, 1]  # screens count downwards
    xy = np.round(_EDGE + xy * (np.array([_WIDTH, _HEIGHT]) - 2 * _EDGE)).astype(int)
    middles = labels.centres(xy, codes, len(there))
    numbers, names = there.tolist(), {code.id: code.name for code in dsl.codes}
    given = {number: looks[names[number]] for number in numbers}
    return Chart(
        {number: _dots(xy[codes == row], given[number]) for row, number in enumerate(numbers)},
        dict(zip(numbers, middles.tolist(), strict=True)),
        given,
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
        dots = [(_class(chart.looks[code.id]), chart.dots[code.id]) for code in by_use]
        named = by_use[:_NAMES]
        label = f"Map of {grouped(chart.shown)} fillers: near ones are used alike. Each name leads to the page of its code."
    else:
        rest = {}
        for number, drawn in chart.dots.items():
            mark, _, _ = _class(chart.looks[number]).partition(" k")
            rest[mark] = rest.get(mark, "") + drawn * (number != only.id)
        dots = [(f"{mark} rest", drawn) for mark, drawn in rest.items()]
        dots.append((f"{_class(chart.looks[only.id])} this", chart.dots[only.id]))
        near = {number for number, _ in only.near}
        named = [only, *(code for code in by_use if code.id in near)]
        label = f"Map of {grouped(chart.shown)} fillers; those of {line(only.name)} stand out, the codes nearest to it are named."
    taken, names = [], []
    for code in named:
        text = line(code.name, 26)
        x, y = _free(chart.middles[code.id], 9.2 * len(text) + 10, taken)
        names.append({"text": text, "x": x, "y": y, "file": code.file, "here": code is only})
    legend = [{"name": line(code.name, 26), "look": chart.looks[code.id], "file": code.file} for code in by_use[:_NAMES]]
    drawn = {"width": _WIDTH, "height": _HEIGHT, "label": label, "dots": dots, "names": names, "legend": legend}
    return drawn | {"trust": chart.trust, "shown": chart.shown, "total": chart.total}


def _class(look):
    return f"dots m{look // len(CHIPS)} k{look % len(CHIPS)}"


def _dots(points, look):
    """Points as SVG path data, the shortest way to write thousands."""
    return "".join(f"M{x} {y}{_SHAPES[look // len(CHIPS)]}" for x, y in np.unique(points, axis=0).tolist())


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
