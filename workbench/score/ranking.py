"""Ranking: which of many phrases, behind a fixed beginning, comes nearest to a picture."""

from typing import NamedTuple

import numpy as np
import torch

from workbench.models import printable
from workbench.score.tower import encode

_TOKENISED = 4096  # texts given to the tokenizer at a time


class Ranked(NamedTuple):
    """A phrase and its similarity to what was looked for: mean cosine, -1..1, of the whole text with its prefix."""

    phrase: str
    similarity: float


def rank_phrases(clip, image, phrases, prefix="", top=None, *, joint=", "):
    """Rank phrases behind a prefix by their similarity to a picture.

    Args:
        clip: `models.CLIP`.
        image: a picture or a list of them (see `pictures.as_pictures`), or features as `CLIP.image_features` and
            `CLIP.text_features` return them: a float tensor (m, d) or (d,), or a numpy array (d,). With several, the
            similarity is the mean over them.
        phrases: list of n str.
        prefix: str that stands before each of them, with `joint` between; "" for the phrases alone.
        top: int, how many to return; None is all. The last ones of all are the least fitting.
        joint: str between prefix and phrase.

    Returns:
        list of `Ranked`, the best first; equal ones in the order given.

    Raises:
        ValueError: no phrases, features of another width, `top` below 1, or a prefix that fills the window.
        TypeError: something that is no str.
        PictureError: not a picture.
    """
    check_top(top)
    target = target_of(clip, image)
    similarity = phrase_features(clip, phrases, prefix, joint=joint) @ target
    return best_first(list(phrases), similarity.cpu(), top)


def phrase_features(clip, phrases, prefix="", *, joint=", "):
    """Where phrases lie behind a prefix: as `clip.text_features` of prefix + joint + phrase, many times as fast.

    What texts have in common runs through the text tower once, the prefix above all; of the phrases only tokens that differ do,
    without padding. This goes by tokens, so it is exact too where the tokenizer joins the prefix's end with a phrase's start.

    Args:
        clip: `models.CLIP`.
        phrases: list of n str. What goes beyond the window is cut, as everywhere with CLIP.
        prefix: str, "" for none.
        joint: str between a prefix and a phrase.

    Returns:
        float32 tensor (n, d) on the model's device, L2 norm 1.

    Raises:
        ValueError: no phrases, or a prefix that leaves no room for a phrase in the window.
        TypeError: something that is no str.

    Source:
        Ranking behind a fixed prefix is what pharmapsychotic/clip-interrogator does, each text in full and padded to the window.
    """
    phrases = check_texts(phrases, "phrases")
    if not isinstance(prefix, str) or not isinstance(joint, str):
        raise TypeError(f"prefix and joint are str, got {type(prefix).__name__} and {type(joint).__name__}.")
    texts = [f"{prefix}{joint}{phrase}" for phrase in phrases] if prefix else phrases
    if prefix and len(_tokens(clip, [prefix])[0]) >= clip.window:
        raise ValueError(
            f"The prefix fills the window of {clip.window} tokens, so that no phrase behind it would be read. Shorten it: "
            f"{prefix[:60]!r}..."
        )
    with torch.inference_mode():
        features = encode(clip.model, _tokens(clip, texts))
    return torch.nn.functional.normalize(features, dim=-1).clone()


def target_of(clip, image):
    """What texts are compared with: mean of unit features, float32 tensor (d,), so that a dot product is a mean cosine."""
    given = image
    if isinstance(image, np.ndarray) and image.ndim == 1:
        image = torch.from_numpy(image)
    if isinstance(image, torch.Tensor) and image.ndim < 3:
        if image.ndim == 0 or image.shape[-1] != clip.width or not image.numel() or not image.is_floating_point():
            raise ValueError(
                f"Features for {clip.name} are float and {clip.width} wide, got shape {tuple(image.shape)} of {image.dtype}. "
                "Take those of clip.image_features or clip.text_features, or give the picture."
            )
        if not torch.isfinite(image).all():
            raise ValueError("The features hold NaN or infinity.")
        features = torch.nn.functional.normalize(image.to(clip.device, torch.float32).reshape(-1, clip.width), dim=-1)
    else:
        features = clip.image_features(given)
    return features.mean(0)


def best_first(phrases, similarity, top):
    """Pair up (n,) similarities with phrases, sort, cut: list of `Ranked`."""
    order = torch.sort(similarity, descending=True, stable=True).indices[:top].tolist()
    return [Ranked(phrases[i], float(similarity[i])) for i in order]


def check_texts(texts, what):
    """A list of str, or an error that says what came instead."""
    if isinstance(texts, str) or not hasattr(texts, "__iter__"):
        raise TypeError(f"{what} is a list of str, got {type(texts).__name__}.")
    texts = list(texts)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"{what} is a list of str, but row {row} is {type(text).__name__}.")
    if not texts:
        raise ValueError(f"There are no {what}: an empty list was given.")
    return texts


def check_top(top):
    """`top` is None or a whole number of 1 or more."""
    if top is not None and (isinstance(top, bool) or not isinstance(top, (int, np.integer)) or top < 1):
        raise ValueError(f"top is how many to return, 1 or more, or None for all; got {top!r}.")


def _tokens(clip, texts):
    """Tokens of each text from the first to the one that the model pools; those after it change nothing."""
    ids = []
    for start in range(0, len(texts), _TOKENISED):
        some = [printable(text) for text in texts[start : start + _TOKENISED]]
        ids += clip.tokenizer(some, truncation=True, max_length=clip.window)["input_ids"]
    end = clip.model.config.text_config.eos_token_id
    if end == 2:  # the rule of transformers for configs from before it was the number of the end token: the highest one is pooled
        return [one[: int(np.argmax(one)) + 1] for one in ids]
    return [one[: one.index(end) + 1] if end in one else one[:1] for one in ids]
