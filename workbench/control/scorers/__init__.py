"""Scorers: functions from a list of samples to one number each. They serve as moments of `guide` and as rewards of a search.

- Of texts: `contains("Monet")`, `n_words()`, `similarity(clip, picture)`, `log_prob(lm)`.
- Of texts as a learned language reads them: `has_slot(dsl, "artist")`, `slot_like(dsl, "artist", "Claude Monet")`.
- Of creativity: `novelty(corpus)`, `value(wishes)`, `surprise(model)`.
- Of pictures: `shows("circle")`, `aesthetic()`, `similarity(clip, text)`; `of_picture(pipeline, scorer)` makes them scorers of
  texts.

Compared with a number, a scorer becomes a yes-or-no scorer: `n_words() <= 20`. Any function of the same shape is a scorer too;
`Scorer(function)` gives it the comparisons: `Scorer(my_function) >= 3`.
"""

from workbench.control.scorers.of_creativity import novelty, surprise, value
from workbench.control.scorers.of_pictures import aesthetic, of_picture, shows
from workbench.control.scorers.of_slots import has_slot, slot_like
from workbench.control.scorers.of_texts import contains, log_prob, n_words, similarity
from workbench.control.scorers.scorer import Scorer

__all__ = [
    "Scorer",
    "aesthetic",
    "contains",
    "has_slot",
    "log_prob",
    "n_words",
    "novelty",
    "of_picture",
    "shows",
    "similarity",
    "slot_like",
    "surprise",
    "value",
]
