"""Scorers: functions from texts to numbers (n,), which can be wishes of `guide` and rewards of a search.

`contains("Monet")`, `n_words() <= 20`, `has_slot(dsl, "artist")`, `similarity(clip, picture)`, `log_prob(lm)` and
`of_picture(pipeline, shows("circle"))` are functions of texts.
"""

from workbench.control.scorers.measure import Measure, at_least, at_most
from workbench.control.scorers.scorers import contains, log_prob, matches, n_words, similarity
from workbench.control.scorers.shown import aesthetic, of_picture, shows
from workbench.control.scorers.slots import has_slot, slot_like

__all__ = [
    "Measure",
    "aesthetic",
    "at_least",
    "at_most",
    "contains",
    "has_slot",
    "log_prob",
    "matches",
    "n_words",
    "of_picture",
    "shows",
    "similarity",
    "slot_like",
]
