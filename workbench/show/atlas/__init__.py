"""Atlas: pictures of a learned language. Vectors, codes and texts in, maps and figures out; it knows no model and no DSL."""

import importlib

from workbench.lesson import iframe
from workbench.show.atlas.projection import LEAST, Atlas, can_map, fit, neighbours, transitions

# Loaded at first use: matplotlib takes seconds, and a page without a figure needs none of these.
_LAZY = {
    "CaptionedFigure": "figures",
    "hover_map": "figures",
    "plot_map": "figures",
    "plot_transitions": "figures",
    "plot_usage": "figures",
}

__all__ = [
    "LEAST",
    "Atlas",
    "CaptionedFigure",
    "can_map",
    "fit",
    "hover_map",
    "iframe",
    "neighbours",
    "plot_map",
    "plot_transitions",
    "plot_usage",
    "transitions",
]


def __getattr__(name):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}. It has: {', '.join(__all__)}.")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
