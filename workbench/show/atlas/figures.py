"""Figures, each with its alt text: the map with the names of the codes on it, usage, which code follows which; and the hover map,
one HTML page that needs no network and no kernel.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patheffects import withStroke
from matplotlib.ticker import PercentFormatter

from workbench.chips import CHIPS, DOTS, LOOKS
from workbench.lesson import COLOURS
from workbench.show.atlas import labels
from workbench.show.atlas.projection import gathered
from workbench.show.rendering import line, render

# of the looks of codes (`chips`): with a mark for each eight hues, 48 codes look different
MARKS = ("o", "s", "^", "D", "v", "P")
_INK, _FAINT, _WARN = "#1a1a1a", "#5f5f5f", "#a84900"
_BLANK = {"facecolor": "white", "linewidth": 0, "pad": 0.6}
_HALO = [withStroke(linewidth=2.6, foreground="white")]
_NAME_LENGTH = 26
_MOST_CODES = 16  # rows of the heat map: with more it cannot be read


class CaptionedFigure(NamedTuple):
    """A figure with its words; `lesson.show(*picture)` shows it.

    `alt` says what to see and is the same for all data, so that a notebook can compare it; `numbers` says what these data show.
    """

    figure: Figure
    alt: str
    caption: str
    numbers: str


def looks_of_map(xy, codes, k):
    """Give each code a look, so that codes near each other on the map differ in hue: for codes of which only the map is known.

    Args:
        xy: float (n, 2), places on the map.
        codes: int (n,), 0..k-1.
        k: int.

    Returns:
        list of k int 0..47, see `chips`; all differ up to 48 codes.
    """
    centres = labels.centres(xy, codes, k)
    sizes = np.bincount(codes, minlength=k)
    given, used = [None] * k, [[] for _ in DOTS]
    for code in np.argsort(-sizes, kind="stable"):
        # a code without fillers has no place: it takes the hue that is used least
        place = centres[code] if sizes[code] else np.zeros(2)
        room = [min((np.linalg.norm(centres[o] - place) for o in others if sizes[o]), default=np.inf) for others in used]
        full = [len(others) // len(MARKS) for others in used]
        hue = min(range(len(DOTS)), key=lambda c: (full[c], -room[c], len(used[c]), c))
        given[code] = (hue + len(DOTS) * len(used[hue])) % LOOKS
        used[hue].append(code)
    return given


def plot_map(xy, codes, names, texts=None, title="Map of the learned language", looks=None):
    """Draw fillers where the map puts them, coloured by code, with the name of each code on its fillers.

    Args:
        xy: float (n, 2), from `fit`; wide empty bands are cut short (`projection.gathered`).
        codes: int (n,), the code of each filler, 0..k-1.
        names: k str, the names of the codes.
        texts: n str or None, of each code the frequent fillers first; some of those are then written where there is room.
        title: str.
        looks: k int 0..47, hue and mark of each code as its chips have them (`chips`); None gives near codes different hues.

    Returns:
        `CaptionedFigure`.

    Raises:
        ValueError: arrays that do not fit each other.
    """
    xy, codes = check_map(xy, codes, names, texts, looks)
    xy = gathered(xy)
    k = len(names)
    figure, (ax,) = _page(9.6, 7.4, title)
    sizes = np.bincount(codes, minlength=k)
    area = float(np.clip(40_000 / len(xy), 9, 45))
    for code, look in enumerate(looks_of_map(xy, codes, k) if looks is None else looks):
        at = xy[codes == code]
        if len(at):
            hue, mark = DOTS[look % len(DOTS)], MARKS[look // len(DOTS)]
            ax.scatter(*at.T, s=area, c=hue, marker=mark, alpha=0.55, linewidths=0, rasterized=True)
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel("UMAP axis 1 (no unit: only nearness has a meaning)", color=_FAINT, fontsize=9)
    ax.set_ylabel("UMAP axis 2", color=_FAINT, fontsize=9)
    ax.margins(0.04)
    plain = {"ha": "center", "parse_math": False, "path_effects": _HALO}  # a $ in a prompt is no formula
    look = plain | {"fontsize": 10 if k <= 40 else 8.5, "weight": "bold", "color": _INK, "va": "center", "zorder": 5}
    used = np.flatnonzero(sizes)
    places = labels.centres(xy, codes, k)
    name_texts = [ax.text(*places[code], written(names[code]), **look) for code in used]
    taken = labels.spread(ax, name_texts, [xy[codes == code] for code in used])
    if texts is not None:
        for row, text in labels.free_rows(ax, xy, [written(text) for text in texts], codes, taken):
            small = plain | {"fontsize": 8, "color": "#333333", "va": "bottom", "zorder": 4}
            ax.annotate(text, xy[row], (0, 3), textcoords="offset points", **small)
    largest = ", ".join(f"{names[code]} {sizes[code] / len(xy):.1%}" for code in np.argsort(-sizes, kind="stable")[:5])
    return CaptionedFigure(
        figure,
        "Scatter map of fillers: each dot is a filler, near dots mean alike. Fillers of one code share a colour and a mark, "
        "and the name of the code is written on them.",
        "Each dot is a filler; colour and mark say its code. Only nearness has a meaning: not the axes, not the gaps, of which "
        "wide ones are cut short.",
        f"{len(xy):,} fillers in {(sizes > 0).sum()} of {k} codes; largest: {largest}.",
    )


def hover_map(xy, codes, names, texts, title="Map of the learned language", height=560, looks=None):
    """Write an interactive map: hover or search fillers, zoom, show one code alone; all of it by mouse or keyboard.

    The page makes no request (its content security policy forbids all) and treats every text as text, never as HTML. About
    35 bytes a filler: pass a few thousand fillers, not the corpus.

    Args:
        xy: float (n, 2), from `fit`; wide empty bands are cut short, as in `plot_map`.
        codes: int (n,), the code of each filler, 0..k-1.
        names: k str.
        texts: n str, the fillers.
        title: str.
        height: int, pixels; a higher frame does not make the map higher.
        looks: as for `plot_map`.

    Returns:
        str, an HTML page. In a notebook: `HTML(iframe(page))`.

    Raises:
        ValueError: arrays that do not fit each other, or a height under 240.
    """
    xy, codes = check_map(xy, codes, names, texts, looks)
    if height < 240:
        raise ValueError(f"hover_map got height={height}; its controls need 240 pixels.")
    xy = gathered(xy)
    low, span = xy.min(axis=0), np.maximum(np.ptp(xy, axis=0), 1e-9)
    places = (xy - low) / span
    middles = (labels.centres(xy, codes, len(names)) - low) / span
    data = {
        "x": [round(float(x), 4) for x in places[:, 0]],
        "y": [round(1 - float(y), 4) for y in places[:, 1]],  # screens count downwards
        "code": codes.tolist(),
        "text": [" ".join(str(text).split()) for text in texts],
        "names": [" ".join(str(name).split()) for name in names],
        "middles": [None if np.isnan(x) else [round(float(x), 4), round(1 - float(y), 4)] for x, y in middles],
        "looks": looks_of_map(xy, codes, len(names)) if looks is None else list(looks),
        "colours": DOTS,
        "night": CHIPS,
        "marks": MARKS,
    }
    return render("hover.html", title=" ".join(str(title).split()), height=int(height), data=data)


def plot_usage(counts, names):
    """Draw how much of the corpus each code takes, most used first.

    Args:
        counts: int (k,), units of each code in the corpus.
        names: k str.

    Returns:
        `CaptionedFigure`; a code that is never used is marked "unused".

    Raises:
        ValueError: shapes that do not fit, negative counts, or nothing counted.
    """
    counts = np.asarray(counts)
    if counts.shape != (len(names),) or len(names) < 1:
        raise ValueError(f"plot_usage got counts of shape {counts.shape} for {len(names)} names.")
    if counts.min() < 0 or counts.sum() == 0:
        raise ValueError("plot_usage got negative counts, or no count above 0.")
    shares = 100 * counts / counts.sum()
    order, k = np.argsort(-shares, kind="stable"), len(names)
    columns = 1 if k <= 40 else 2
    rows = -(-k // columns)
    figure, axes = _page(9.6, 1.3 + 0.215 * max(rows, 4), "How often each code is used", columns)
    top = shares.max() * 1.14
    for ax, part in zip(axes, np.array_split(order, columns), strict=True):
        places = np.arange(len(part))
        ax.barh(places, shares[part], color=COLOURS[0], height=0.72)
        ax.axvline(100 / k, color=COLOURS[1], linestyle=(0, (4, 3)), linewidth=1.4, zorder=0)
        for place, code in zip(places, part, strict=True):
            unused = counts[code] == 0
            label = "unused" if unused else f"{shares[code]:.1f} %"
            ink = _WARN if unused else _INK
            ax.text(shares[code] + top * 0.008, place, label, va="center", fontsize=8, color=ink, bbox=_BLANK)
        _tick_names(ax.yaxis, places, [names[code] for code in part])
        ax.set(ylim=(len(part) - 0.4, -0.6), xlim=(0, top))
        ax.set_xlabel("share of the units of the corpus, %", fontsize=9)
        ax.spines[["top", "right", "left"]].set_visible(False)
    axes[0].set_ylabel("code, most used first", fontsize=9)
    axes[-1].text(100 / k, len(part) - 0.55, " equal share", fontsize=8, color=_WARN, va="bottom", path_effects=_HALO)
    listed = "; ".join(f"{names[code]} {shares[code]:.1f} %" for code in order)
    return CaptionedFigure(
        figure,
        "Bar chart of the share of the corpus that each code takes, most used code on top; a dashed line marks an equal share.",
        "Dashed: the share that each code would have if all were used alike.",
        f"{int(counts.sum()):,} units, {int((counts > 0).sum())} of {k} codes in use: {listed}.",
    )


def plot_transitions(matrix, names):
    """Draw how often one code follows another as a heat map, codes ordered by where in the prompt they stand on average.

    Of more than 16 codes the 16 are shown that the average prompt has most of; what the others take is one column.

    Args:
        matrix: float (k + 1, k + 1) from `transitions`: shares of each row; last row start, last column end of the prompt.
        names: k str.

    Returns:
        `CaptionedFigure`. Read along a row: what comes after this code.

    Raises:
        ValueError: a wrong shape, or rows that sum neither to 1 nor to 0.
    """
    matrix, k = np.asarray(matrix, dtype=np.float64), len(names)
    if matrix.shape != (k + 1, k + 1):
        raise ValueError(
            f"plot_transitions needs a matrix ({k + 1}, {k + 1}) for {k} names (transitions(...)), got {matrix.shape}."
        )
    sums = matrix.sum(axis=1)
    if not np.all((np.abs(sums - 1) < 1e-6) | (sums == 0)) or matrix.min() < 0:
        raise ValueError("plot_transitions needs shares: rows of numbers >= 0 that sum to 1 (or 0 for a code never seen).")
    visits, position = _walk(matrix)
    most = np.argsort(-visits, kind="stable")[:_MOST_CODES]
    order = most[np.argsort(position[most], kind="stable")]
    rest = np.setdiff1d(np.arange(k), order)
    shown = matrix[np.ix_([k, *order], [*order, k])]
    heads, tails = ["start of prompt", *(names[code] for code in order)], [*(names[code] for code in order), "end of prompt"]
    if len(rest):
        shown = np.insert(shown, -1, matrix[np.ix_([k, *order], rest)].sum(axis=1), axis=1)
        tails.insert(-1, f"{len(rest)} other codes")
    rows, columns = shown.shape
    figure, (ax,) = _page(3.2 + 0.44 * columns, 2.6 + 0.36 * rows, "Which code follows which")
    # steps that never happen stay blank; the few brightest (often the end of the prompt) share the top colour
    top = max(np.quantile(shown[shown > 0], 0.98), 1e-6)
    image = ax.imshow(np.ma.masked_equal(shown, 0), cmap="viridis_r", norm=PowerNorm(0.5, vmin=0, vmax=top), aspect="auto")
    ax.set_facecolor("#f4f4f4")
    _tick_names(ax.yaxis, range(rows), heads, 10)
    _tick_names(ax.xaxis, range(columns), tails, 10)
    ax.tick_params(axis="x", rotation=60)
    for label in ax.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")
    ax.set_xlabel("next code", fontsize=10)
    ax.set_ylabel("code, in the order of the average prompt", fontsize=10)
    ax.axhline(0.5, color=_INK, linewidth=1.2)
    ax.axvline(len(order) - 0.5, color=_INK, linewidth=1.2)
    for (i, j), share in np.ndenumerate(shown):
        if share >= 0.02:
            ink = "white" if share > 0.3 * top else "black"
            ax.text(j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=9, color=ink)
    extend, percent = "max" if shown.max() > top else "neither", PercentFormatter(1, decimals=0)
    bar = figure.colorbar(image, ax=ax, shrink=0.6, pad=0.02, extend=extend, format=percent)
    bar.set_label("share of what follows, each row sums to 100 %", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    strongest = np.dstack(np.unravel_index(np.argsort(-shown, axis=None, kind="stable")[:10], shown.shape))[0]
    listed = "; ".join(f"{heads[i]} → {tails[j]} {shown[i, j]:.0%}" for i, j in strongest if shown[i, j] > 0)
    return CaptionedFigure(
        figure,
        "Heat map of which code follows which: rows are codes in the order of the average prompt, columns the code that comes "
        "next; dark cells are frequent steps, blank ones never happen.",
        "Read along a row: what comes after this code, in percent. The first row starts a prompt, the last column ends it.",
        f"Strongest steps: {listed}.",
    )


def check_map(xy, codes, names, texts, looks=None):
    """Return xy as float64 (n, 2) and codes as int64 (n,), or raise ValueError when they do not fit each other."""
    xy, codes = np.asarray(xy, dtype=np.float64), np.asarray(codes)
    if xy.ndim != 2 or xy.shape[1] != 2 or len(xy) == 0 or not np.isfinite(xy).all():
        raise ValueError(f"xy must be finite and of shape (n, 2) with n > 0, got {xy.shape}.")
    if codes.shape != (len(xy),) or not np.issubdtype(codes.dtype, np.integer):
        raise ValueError(f"codes must be {len(xy)} integers, one for each point, got {codes.dtype} {codes.shape}.")
    if codes.min() < 0 or codes.max() >= len(names):
        raise ValueError(f"codes {codes.min()}..{codes.max()} do not fit {len(names)} names (0..{len(names) - 1}).")
    if texts is not None and len(texts) != len(xy):
        raise ValueError(f"{len(texts)} texts came for {len(xy)} points.")
    if looks is not None and (len(looks) != len(names) or not all(0 <= look < LOOKS for look in looks)):
        raise ValueError(f"looks must be {len(names)} numbers 0..{LOOKS - 1}, one for each name, got {list(looks)}.")
    return xy, codes.astype(np.int64)


def written(text, length=_NAME_LENGTH):
    """Return the text as it can be drawn: one line, no longer than `length`, signs that the font lacks as a small square."""
    drawn = "".join(sign if ord(sign) in _signs() else "▫" for sign in " ".join(str(text).split()))
    return line(drawn, length)


@cache
def _signs():
    # drawing a sign that the font lacks warns, and warnings fail tests
    return frozenset(get_font(findfont(FontProperties())).get_charmap())


def _page(width, height, title, columns=1):
    # no pyplot: nothing global to close, no window, no backend to choose
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(written(title, 90), x=0.01, ha="left", fontsize=13, weight="bold", color=_INK, parse_math=False)
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _tick_names(axis, places, names, size=8):
    axis.set_ticks(list(places), [written(name) for name in names])
    for label in axis.get_ticklabels():
        label.set(fontsize=size, parse_math=False)
    axis.set_tick_params(length=0)


def _walk(matrix):
    """How often the average prompt has each code, and its mean position there: float (k,), float (k,), infinite if never seen.

    The mean position in a walk through the shares is expected sum of (time * visits) / expected visits. With Q the steps between
    codes and s the first step, visits are s (I - Q)^-1 and the sum is s (I - Q)^-1 Q (I - Q)^-1.
    """
    k = len(matrix) - 1
    # damped, so that a chain that never ends has an answer too
    leave = np.eye(k) - (1 - 1e-6) * matrix[:k, :k]
    visits = np.linalg.solve(leave.T, matrix[k, :k])
    moments = np.linalg.solve(leave.T, matrix[:k, :k].T @ visits)
    return visits, np.divide(moments, visits, out=np.full(k, np.inf), where=visits > 1e-12)
