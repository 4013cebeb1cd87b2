"""Lesson: what a notebook says to its reader: a claim that is checked, a figure with words, a listing, the scale it runs at."""

import base64
import io
import math
import os
import sys

import numpy as np
from PIL import Image

from workbench.chips import as_html
from workbench.pictures import as_pictures

# Of figures: Okabe & Ito 2008, distinguishable with any kind of colour vision; without yellow, which vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SCALES = ("fast", "default", "full")
_MIN_ALT_WORDS = 6


def check(what, value, low=None, high=None, equal=None):
    """Assert a claim and print its rule, and under a range the value of this run.

    `check("share of codes in use", 0.93, low=0.6)` prints two lines: `ok  share of codes in use >= 0.60`, which is the same at
    every scale and on every machine, so that nbval compares it, and `    here 0.93`, which is not compared (tests/sanitize.cfg).
    Without a bound the claim itself must be the value: `check("two runs are equal", a == b)`.

    Args:
        what: str, the claim in words.
        value: a number, or a bool, or with `equal` also a str, tuple, list, set or dict; numpy and torch scalars too.
        low: number, smallest allowed value, itself allowed.
        high: number, largest allowed value, itself allowed.
        equal: the one allowed value; floats are compared exactly. Not together with `low` or `high`.

    Raises:
        AssertionError: the claim is false, with the value; NaN makes every claim false.
        TypeError: a value that cannot be compared with these bounds, such as an array.
        ValueError: bounds that contradict each other, or a bound that is NaN.
    """
    value, equal = _plain(what, value), _plain(what, equal)
    if equal is not None:
        if low is not None or high is not None:
            raise ValueError(f"check({what!r}) got equal= and a range: give one of them.")
        rule = f"{what} == {_bound(equal)}"
        true = isinstance(value, bool) == isinstance(equal, bool) and value == equal
    elif low is None and high is None:
        if not isinstance(value, bool):
            raise TypeError(f"check({what!r}) without low=, high= or equal= wants a bool, got {value!r}.")
        rule, true = what, value
    else:
        rule, true = _range(what, value, low, high)
    if not true:
        raise AssertionError(f"false: {rule}; the value is {value!r}")
    # with `equal` and for a bool the rule says the value already; one print, so that nothing comes between the two lines
    print(f"ok  {rule}" if low is None and high is None else f"ok  {rule}\n    here {_short(value)}", flush=True)


def figure_html(fig, alt, caption=None, numbers=None):
    """Write a figure as an HTML `<figure>` with the picture inside, readable by a screen reader and without network.

    Args:
        fig: matplotlib Figure with something drawn in every visible pair of axes.
        alt: str, six words or more: what a reader who does not see the figure should know. Compared by nbval.
        caption: str or None, a line under the figure. Compared by nbval.
        numbers: what this one run shows, folded away under the figure: str, or dict of name -> number or another dict; or None.
            Not compared (tests/sanitize.cfg).

    Returns:
        str, one line of HTML.

    Raises:
        ValueError: axes without data, no title, or an alt text that is too short.
    """
    _refuse_short(alt)
    _refuse_bare(fig)
    return _figure_html(fig, base64.b64encode(_png(fig)).decode("ascii"), alt, caption, numbers)


def show(fig, alt, caption=None, numbers=None):
    """Show a figure in a notebook, then close it: HTML with its words, beside it a PNG and the words for viewers without HTML.

    `show(*atlas.plot_usage(...))` shows what the atlas drew. Outside of IPython the words are printed.

    Args:
        fig: matplotlib Figure, see `figure_html`.
        alt: str, six words or more.
        caption: str or None, a line under the figure.
        numbers: what this run shows, as for `figure_html`; not compared by nbval.

    Raises:
        ValueError: axes without data, no title, or an alt text that is too short.
    """
    _refuse_short(alt)
    _refuse_bare(fig)
    numbered = f"In numbers: {_told(numbers)}" if numbers else None
    words = "\n".join(" ".join(str(part).split()) for part in (f"Figure: {alt}", caption, numbered) if part)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(fig)  # otherwise the inline backend shows it a second time
    shell = sys.modules.get("IPython")  # a plain script may have it installed: only a running shell can show HTML
    if shell is None or shell.get_ipython() is None:
        print(words)
        return
    from IPython.display import display

    picture = base64.b64encode(_png(fig)).decode("ascii")
    data = {"text/html": _figure_html(fig, picture, alt, caption, numbers), "image/png": picture, "text/plain": words}
    display(data, raw=True, metadata={"image/png": {"alt": alt, "width": _pixels(fig)}})


def iframe(page, title="Interactive map", height=580):
    """Wrap a page for a notebook: an HTML string for `IPython.display.HTML`, apart from the notebook's own scripts and styles.

    Args:
        page: str, an HTML page such as `atlas.hover_map` writes.
        title: str, the name of the frame for screen readers.
        height: int, pixels.

    Returns:
        str. Works in Jupyter, Colab and plain pages; the frame may run scripts and nothing else.
    """
    frame = (
        f'<iframe title="{as_html(title)}" sandbox="allow-scripts" loading="lazy" '
        f'style="width:100%;height:{int(height)}px;border:0" srcdoc="{as_html(page)}"></iframe>'
    )
    return f"<div>{frame}</div>"  # IPython warns about HTML that begins with a frame


def listing(groups, *, order=(), columns=False):
    """List texts and templates under headings, as HTML where a viewer shows it and as text everywhere else.

    Args:
        groups: dict of heading, "" for none -> list of `Template`, of `Sample` (its template is shown where it has one), or str.
        order: names of slots for the colours of chips, see `Template.html`.
        columns: bool, groups side by side instead of one below the other, in HTML.

    Returns:
        `Listing`; the last line of a cell shows it, and `print` prints it.
    """
    return Listing({str(heading): [_whole(row) for row in rows] for heading, rows in groups.items()}, order, columns)


class Listing:
    """Texts and templates under headings. Made by `listing`."""

    def __init__(self, groups, order, columns):
        self.groups, self.order, self.columns = groups, order, columns

    def __repr__(self):
        blocks = [[*([heading] if heading else []), *(f"  {row}" for row in rows)] for heading, rows in self.groups.items()]
        return "\n\n".join("\n".join(block) for block in blocks)

    def _repr_html_(self):
        blocks = []
        for heading, rows in self.groups.items():
            head = f'<p style="margin:10px 0 2px"><b>{as_html(heading)}</b></p>' if heading else ""
            blocks.append(head + "".join(self._row_html(row) for row in rows))
        if self.columns:
            cells = "".join(f'<td style="vertical-align:top;text-align:left;padding:0 14px">{block}</td>' for block in blocks)
            return f"<table><tr>{cells}</tr></table>"
        return f"<div>{''.join(blocks)}</div>"

    def _row_html(self, row):
        return row.html(self.order) if hasattr(row, "html") else f'<div style="margin:0 0 4px">{as_html(row)}</div>'


def gallery(pictures, titles=None, columns=8, size=1.25):
    """Draw pictures side by side, each pixel as large as the next.

    Args:
        pictures: n >= 1 pictures of any kind that `pictures.as_pictures` takes.
        titles: n str, one above each picture; or None. A line break may stand in a title.
        columns: int, pictures in a row, >= 1.
        size: float, inches of a picture's side, > 0.

    Returns:
        matplotlib Figure.

    Raises:
        ValueError: not as many titles as pictures.
        PictureError: no pictures, or one that is not a picture.
    """
    from matplotlib.figure import Figure

    pictures = as_pictures(pictures)
    titles = [""] * len(pictures) if titles is None else list(titles)
    if len(titles) != len(pictures):
        raise ValueError(f"gallery needs a title for each picture or none; got {len(pictures)} pictures, {len(titles)} titles.")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    lines = 1 + max(title.count("\n") for title in titles) if any(titles) else 0
    figure = Figure(figsize=(columns * size, rows * (size + 0.16 * lines)), layout="constrained")
    for number, ax in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        ax.axis("off")
        ax.set_visible(number < len(pictures))
        if number < len(pictures):
            ax.imshow(pictures[number], interpolation="nearest")
            ax.set_title(titles[number], fontsize=8, pad=3)
    return figure


def scale():
    """Say how much work a notebook may do: "fast", "default" or "full", from the environment variable WORKBENCH_SCALE.

    Raises:
        ValueError: the variable holds something else.
    """
    wanted = os.environ.get("WORKBENCH_SCALE", "") or "default"
    if wanted not in SCALES:
        raise ValueError(f"WORKBENCH_SCALE is {wanted!r}; it can be {', '.join(SCALES)}, or unset for default.")
    return wanted


def pick(*, fast, default, full):
    """Choose one of three values by the scale, such as numbers of prompts: fast=1_000, default=10_000, full=100_000."""
    return {"fast": fast, "default": default, "full": full}[scale()]


def _plain(what, value):
    """Turn scalars of numpy and torch into Python's; refuse arrays, whose comparison is not one truth."""
    if hasattr(value, "ndim") and hasattr(value, "item"):
        if value.ndim:
            shape = tuple(value.shape)
            raise TypeError(f"check({what!r}) got an array of shape {shape}: reduce it first, as in (a == b).all() or a.min().")
        return value.item()
    return value


def _range(what, value, low, high):
    """Return the rule in words and whether the value keeps it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"check({what!r}) with a range wants a number, got {value!r}.")
    low, high = _plain(what, low), _plain(what, high)
    if any(bound is not None and math.isnan(bound) for bound in (low, high)):
        raise ValueError(f"check({what!r}) got NaN as a bound.")
    if low is not None and high is not None and low > high:
        raise ValueError(f"check({what!r}) got low={low} above high={high}: no value can be right.")
    rule = what if low is None else f"{what} >= {_bound(low)}"
    if high is not None:
        rule = f"{what} <= {_bound(high)}" if low is None else f"{_bound(low)} <= {what} <= {_bound(high)}"
    # written so that NaN, which is neither above nor below, is false
    return rule, (low is None or value >= low) and (high is None or value <= high)


def _bound(bound):
    """Write a bound in full, fractions with at least two digits: 0.6 -> 0.60."""
    text = repr(bound)
    return f"{text}0" if isinstance(bound, float) and len(text.partition(".")[2]) == 1 and abs(bound) < 1 else text


def _png(fig):
    """Draw a figure as PNG bytes; equal figures give equal bytes."""
    stream, small = io.BytesIO(), io.BytesIO()
    fig.savefig(stream, format="png", dpi=144, bbox_inches="tight", facecolor="white", metadata={"Software": None})
    # charts do with 256 colours and a third of the bytes; a photograph needs all its colours
    photographs = any(image.get_array().ndim == 3 for ax in fig.axes for image in ax.images)
    with Image.open(stream) as drawn:
        drawn = drawn.convert("RGB")
        drawn = drawn if photographs else drawn.quantize(256, dither=Image.Dither.NONE)
        drawn.save(small, format="png", optimize=True)
    return small.getvalue()


def _has_data(ax):
    """Tell whether anything is drawn in these axes: a scatter of no points is not."""
    for artist in (*ax.lines, *ax.collections):
        points = artist.get_xydata() if hasattr(artist, "get_xydata") else np.ma.filled(artist.get_offsets(), np.nan)
        shapes = artist.get_paths() if hasattr(artist, "get_paths") else [None]
        if len(shapes) and np.isfinite(np.asarray(points, dtype=float)).all(axis=-1).any():
            return True
    return bool(ax.images or ax.patches or ax.texts or ax.tables)


def _one_line(text):
    return as_html(" ".join(str(text).split()))


def _whole(row):
    """What a listing shows of a sample: the template, if there is one."""
    return row if getattr(row, "template", None) is None else row.template


def _short(value):
    """A number in four digits, small whole ones in full."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _told(numbers):
    """Numbers in words: "random 0.005, k-means 0.57"; of dicts in a dict "all words: random 0.005, ...; open slots: ..."."""
    if isinstance(numbers, dict):
        nested = any(isinstance(value, dict) for value in numbers.values())
        return ("; " if nested else ", ").join(
            f"{name}{':' * isinstance(value, dict)} {_told(value)}" for name, value in numbers.items()
        )
    return f"{float(numbers):.3g}" if isinstance(numbers, (float, np.floating)) else str(numbers)


def _refuse_short(alt):
    if len(str(alt).split()) < _MIN_ALT_WORDS:
        raise ValueError(
            f"The alt text {alt!r} has under {_MIN_ALT_WORDS} words: say what the figure shows and what to see in it."
        )


def _refuse_bare(fig):
    axes = [ax for ax in fig.axes if ax.get_visible()]
    empty = [number for number, ax in enumerate(axes) if not _has_data(ax)]
    if empty or not axes:
        where = f"axes {empty} of {len(axes)} hold" if axes else "it holds"
        raise ValueError(f"This figure would show nothing: {where} no data. Was the array empty, or drawn into another figure?")
    if not any(text.strip() for text in (fig.get_suptitle(), *(ax.get_title(at) for ax in axes for at in ("left", "center")))):
        raise ValueError("This figure has no title. Say what it shows: ax.set_title(...), or fig.suptitle(...).")


def _figure_html(fig, picture, alt, caption, numbers):
    parts = [
        f'<img alt="{_one_line(alt)}" style="max-width:100%;width:{_pixels(fig)}px;height:auto" '
        f'src="data:image/png;base64,{picture}">',
        f"<figcaption>{_one_line(caption)}</figcaption>" if caption else "",
        f"<details><summary>This figure in numbers</summary>{_one_line(_told(numbers))}</details>" if numbers else "",
    ]
    return f'<figure style="margin:0">{"".join(parts)}</figure>'


def _pixels(fig):
    return round(fig.get_figwidth() * 96)
