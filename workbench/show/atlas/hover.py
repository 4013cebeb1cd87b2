"""Hover map: the map as one HTML page that needs no network and no kernel. Zoom, hover, search, one code at a time."""

import numpy as np

from workbench.lesson import COLOURS
from workbench.show.atlas import labels
from workbench.show.atlas.figures import MARKS, check_map, styles
from workbench.show.atlas.projection import gathered
from workbench.show.rendering import render


def hover_map(xy, codes, names, texts, title="Map of the learned language", height=560):
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

    Returns:
        str, an HTML page. In a notebook: `HTML(iframe(page))`.

    Raises:
        ValueError: arrays that do not fit each other, or a height under 240.
    """
    xy, codes = check_map(xy, codes, names, texts)
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
        "styles": styles(xy, codes, len(names)),
        "colours": COLOURS,
        "marks": MARKS,
    }
    return render("hover.html", title=" ".join(str(title).split()), height=int(height), data=data)
