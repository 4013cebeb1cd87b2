"""Score: plain functions from texts to numbers (n,), ranking of phrases by what CLIP sees, and prompts built from that.

`rank_phrases(clip, picture, artists, prefix="a castle on a hill")` says which artist fits best behind these words,
`build_prompt(clip, picture, [("medium", media), ("artist", artists)])` writes a prompt for a picture, and `contains("Monet")`,
`n_words()`, `similarity(clip, picture)` and `log_prob(lm)` are functions of texts.
"""

from workbench.score.building import Built, Choice, Step, build_prompt
from workbench.score.ranking import Ranked, phrase_features, rank_phrases
from workbench.score.scorers import contains, log_prob, matches, n_words, similarity
from workbench.score.table import PhraseTable

__all__ = [
    "Built",
    "Choice",
    "PhraseTable",
    "Ranked",
    "Step",
    "build_prompt",
    "contains",
    "log_prob",
    "matches",
    "n_words",
    "phrase_features",
    "rank_phrases",
    "similarity",
]
