"""Atlas: pictures of a learned language. Vectors, codes and texts in, maps and figures out; it knows no model and no DSL."""

import importlib

from workbench.lesson import iframe
from workbench.show.atlas.projection import LEAST, Atlas, can_map, fit, neighbours, transitions

_DRAWN = ("CaptionedFigure", "hover_map", "plot_map", "plot_transitions", "plot_usage")  # at first use: matplotlib takes seconds

__all__ = ["LEAST", "Atlas", "can_map", "fit", "iframe", "neighbours", "transitions", *_DRAWN]


def __getattr__(name):
    if name not in _DRAWN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}. It has: {', '.join(__all__)}.")
    return getattr(importlib.import_module(f"{__name__}.figures"), name)
