"""Atlas: pictures of a learned language. Vectors, codes and texts in, maps and figures out; it knows no model and no DSL."""

from workbench.show.atlas.figures import Picture, plot_map, plot_transitions, plot_usage
from workbench.show.atlas.hover import hover_map, iframe
from workbench.show.atlas.projection import Atlas, fit, neighbours, transitions

__all__ = [
    "Atlas",
    "Picture",
    "fit",
    "hover_map",
    "iframe",
    "neighbours",
    "plot_map",
    "plot_transitions",
    "plot_usage",
    "transitions",
]
