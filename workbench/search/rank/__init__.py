"""Rank: phrases in the order of what CLIP sees, and prompts built from that.

`rank_phrases(clip, picture, artists, prefix="a castle on a hill")` says which artist fits best after these words;
`build_prompt(clip, picture, [("medium", media), ("artist", artists)])` writes a prompt for a picture, slot by slot.
"""

from typing import NamedTuple

import torch

from workbench import checks
from workbench.models.clip import target_of
from workbench.models.text_tower import phrase_features
from workbench.search.rank.building import Built, Choice, Step, build_prompt

__all__ = ["Built", "Choice", "Ranked", "Step", "build_prompt", "phrase_features", "rank_phrases"]


class Ranked(NamedTuple):
    """A phrase and its similarity to the picture: mean cosine, -1..1, of the whole text with its prefix."""

    phrase: str
    similarity: float


def rank_phrases(clip, image, phrases, prefix="", top=None, *, joint=", "):
    """Rank phrases after a prefix by their similarity to a picture.

    Args:
        clip: `models.CLIP`.
        image: a picture or a list of them (see `pictures.as_pictures`), or features as `CLIP.image_features` and
            `CLIP.text_features` return them: a float tensor (m, d) or (d,), or a numpy array (d,). With several, the
            similarity is the mean over them.
        phrases: list of n str.
        prefix: str that stands before each of them, with `joint` between; "" for the phrases alone.
        top: int, how many to return; None returns all, down to the least fitting.
        joint: str between prefix and phrase.

    Returns:
        list of `Ranked`, the best first; equal ones in the order given.

    Raises:
        ValueError: no phrases, features of another width, `top` below 1, or a prefix that fills the window.
        TypeError: something that is not a str.
        PictureError: not a picture.
    """
    if top is not None:
        checks.whole("top", top)
    phrases, target = checks.texts(phrases, "phrases"), target_of(clip, image)
    similarity = (phrase_features(clip, phrases, prefix, joint=joint) @ target).cpu()
    order = torch.sort(similarity, descending=True, stable=True).indices[:top].tolist()
    return [Ranked(phrases[i], float(similarity[i])) for i in order]
