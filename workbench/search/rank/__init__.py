"""Rank: phrases ranked by what CLIP sees, and prompts built from that.

`rank_phrases(clip, picture, artists, prefix="a castle on a hill")` says which artist fits best after these words;
`build_prompt(clip, picture, [("medium", media), ("artist", artists)])` writes a prompt for a picture, slot by slot.
"""

from workbench.models.text_tower import phrase_features
from workbench.search.rank.building import Built, Choice, Step, build_prompt
from workbench.search.rank.ranking import Ranked, rank_phrases
from workbench.search.rank.table import PhraseTable

__all__ = ["Built", "Choice", "PhraseTable", "Ranked", "Step", "build_prompt", "phrase_features", "rank_phrases"]
