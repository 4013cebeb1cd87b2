"""Drawing: the badge of a code and the map of the language, as SVG that needs no font, no script and no other file."""

import re
import unicodedata
from typing import NamedTuple

import numpy as np

from workbench.show import atlas
from workbench.show.atlas import labels
from workbench.show.atlas.figures import styles
from workbench.show.atlas.projection import gathered
from workbench.show.pages.naming import escaped, line

WIDTH, HEIGHT, _EDGE = 1000, 620, 26  # of the map, in units of its view box
_POINTS, _NAMES = 4000, 60  # drawn at most
_MAP_ROWS = 5
_LEFT, _RIGHT, _LEFT_INK, _RIGHT_INK = "#30363d", "#99ddff", "#ffffff", "#0b1116"
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 cannot hold these in any form
_NARROW, _WIDE = set("iljtf.,:;|!'()[]/ -"), set("mwMW@%&")


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


def badge(label, message):
    """A badge in two halves, as an SVG element that is also a whole file.

    Args:
        label: str, left, white on dark grey (12:1); cut after 40 characters.
        message: str, right, black on light blue (12:1).

    Returns:
        str.
    """
    label, message = (line(_ILLEGAL.sub("", text).replace("\0", "").strip() or "?", 40) for text in (label, message))
    left, right = (_length(text) + 20 for text in (label, message))
    said = escaped(f"{label}: {message}")
    halves = "".join(
        f'<text x="{x}" y="14" fill="{ink}" textLength="{wide}" lengthAdjust="spacingAndGlyphs">{escaped(text)}</text>'
        for x, ink, wide, text in (
            (left / 2, _LEFT_INK, left - 20, label),
            (left + right / 2, _RIGHT_INK, right - 20, message),
        )
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" viewBox="0 0 {left + right} 20" role="img" '
        f'aria-label="{said}"><title>{said}</title>'
        f'<path fill="{_LEFT}" d="M4 0H{left}V20H4A4 4 0 0 1 0 16V4A4 4 0 0 1 4 0Z"/>'
        f'<path fill="{_RIGHT}" d="M{left} 0h{right - 4}a4 4 0 0 1 4 4v12a4 4 0 0 1-4 4h-{right - 4}Z"/>'
        f'<g font-family="Verdana,Geneva,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">{halves}</g></svg>\n'
    )


def _length(text):
    """About how wide a text is, in pixels; `textLength` makes it so."""
    widths = (
        12.0 if unicodedata.east_asian_width(sign) in "WF" else 4.2 if sign in _NARROW else 10.2 if sign in _WIDE else 7.2
        for sign in text
        if not unicodedata.combining(sign)
    )
    return max(8, round(sum(widths)))


def chart(dsl):
    """Lay out the map of the fillers, without function words, which stand in every prompt and near nothing.

    Returns:
        `Chart`, or None where there are too few different fillers.
    """
    spoken = np.flatnonzero(np.isin(dsl.fillers.codes, [code.id for code in dsl.codes if not code.literal]))
    total = len(spoken)
    vectors = np.asarray(dsl.fillers.vectors)[spoken]
    if total < _MAP_ROWS or (vectors == vectors[0]).all():
        return None
    if total > _POINTS:
        some = np.sort(np.random.default_rng(0).permutation(total)[:_POINTS])
        spoken, vectors = spoken[some], vectors[some]
    there, codes = np.unique(dsl.fillers.codes[spoken], return_inverse=True)
    placed = atlas.fit(vectors, seed=0)
    xy = gathered(placed.xy)
    colours = [colour for colour, _ in styles(xy, codes, len(there))]
    xy = (xy - xy.min(axis=0)) / np.maximum(np.ptp(xy, axis=0), 1e-9)
    xy[:, 1] = 1 - xy[:, 1]  # screens count downwards
    xy = np.round(_EDGE + xy * (np.array([WIDTH, HEIGHT]) - 2 * _EDGE)).astype(int)
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


def picture(chart, codes, folder="codes/", only=None):
    """The map as an SVG element; names of codes are links to their pages, colours come from the style sheet of the page.

    Args:
        chart: `Chart`.
        codes: list of `CodeFacts`, most used first.
        folder: str, where the pages of codes are from here.
        only: `CodeFacts` or None; this code then stands out, and of the others only its neighbours are named.
    """
    by_use = [code for code in codes if code.id in chart.dots]
    if only is None:
        dots = "".join(_path(chart.dots[code.id], f"dots k{chart.colours[code.id]}") for code in by_use)
        named = by_use[:_NAMES]
        label = f"Map of {chart.shown:,} fillers: near ones are used alike. Each name leads to the page of its code."
    else:
        others = "".join(dots for number, dots in chart.dots.items() if number != only.id)
        dots = _path(others, "dots rest") + _path(chart.dots[only.id], "dots this")
        near = {number for number, _ in only.near}
        named = [only, *(code for code in by_use if code.id in near)]
        label = f"Map of {chart.shown:,} fillers; those of {line(only.name)} stand out, the codes nearest to it are named."
    taken, names = [], []
    for code in named:
        text = line(code.name, 26)
        x, y = _free(chart.middles[code.id], 9.2 * len(text) + 10, taken)
        inside = f'<text x="{x}" y="{y}">{escaped(text)}</text>'
        names.append(
            inside.replace("<text", '<text class="here"') if code is only else f'<a href="{folder}{code.file}.html">{inside}</a>'
        )
    return (
        f'<svg class="map" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{escaped(label)}">{dots}{"".join(names)}</svg>'
    )


def _dots(points):
    """Each point is a line of no length with a round cap: the shortest way to write thousands."""
    return "".join(f"M{x} {y}h0" for x, y in np.unique(points, axis=0).tolist())


def _path(dots, kind):
    return f'<path class="{kind}" d="{dots}"/>' if dots else ""


def _free(middle, wide, taken):
    """The place nearest to the middle where a name of this width covers no other; the middle itself if there is none."""
    half = wide / 2
    x = min(max(middle[0], half + 2), WIDTH - half - 2)
    for step in (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5):
        y = min(max(middle[1] + 21 * step, 18), HEIGHT - 10)
        if all(abs(x - other) >= half + reach or abs(y - level) >= 21 for other, level, reach in taken):
            break
    else:
        y = middle[1]
    taken.append((x, y, half))
    return round(x), round(y)
