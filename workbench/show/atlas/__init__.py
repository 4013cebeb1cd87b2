"""Atlas: pictures of a learned language. Vectors, codes and texts in, maps and figures out; it knows no model and no DSL."""

from workbench.lesson import iframe
from workbench.show.atlas.figures import CaptionedFigure, hover_map, plot_map, plot_transitions, plot_usage
from workbench.show.atlas.projection import LEAST, Atlas, can_map, fit, neighbours, transitions

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
