"""Score: functions from texts or pictures to numbers (n,), ranking of phrases by what CLIP sees, and prompts built from that.

`rank_phrases(clip, picture, artists, prefix="a castle on a hill")` says which artist fits best behind these words,
`build_prompt(clip, picture, [("medium", media), ("artist", artists)])` writes a prompt for a picture, and `contains("Monet")`,
`n_words() <= 20`, `has_slot(dsl, "artist")`, `similarity(clip, picture)`, `log_prob(lm)` and
`of_picture(pipeline, shows("circle"))` are functions of texts.
"""

from workbench.score.building import Built, Choice, Step, build_prompt
from workbench.score.measure import Measure, at_least, at_most
from workbench.score.ranking import Ranked, phrase_features, rank_phrases
from workbench.score.scorers import contains, log_prob, matches, n_words, similarity
from workbench.score.shown import aesthetic, of_picture, shows
from workbench.score.slots import has_slot, slot_like
from workbench.score.table import PhraseTable

__all__ = [
    "Built",
    "Choice",
    "Measure",
    "PhraseTable",
    "Ranked",
    "Step",
    "aesthetic",
    "at_least",
    "at_most",
    "build_prompt",
    "contains",
    "has_slot",
    "log_prob",
    "matches",
    "n_words",
    "of_picture",
    "phrase_features",
    "rank_phrases",
    "shows",
    "similarity",
    "slot_like",
]
