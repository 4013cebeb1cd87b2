"""Scorers of texts: words, length, similarity to texts or pictures, probability under a language model."""

import re

import numpy as np
import torch

from workbench import checks, words
from workbench.control.proposals.causal import sums
from workbench.control.scorers.scorer import Scorer, text_scorer
from workbench.models.clip import target_of
from workbench.models.lm import begin_of, window
from workbench.models.loading import printable
from workbench.models.text_tower import phrase_features
from workbench.pictures import is_named

_BATCH = 64  # texts in one forward pass of the language model


def contains(phrase):
    """Whether a text contains a word or phrase; only complete words count, and case does not matter.

    Args:
        phrase: str, or a list of str of which one is enough.

    Returns:
        `Scorer`, list of n str -> float64 (n,), 1 or 0.

    Raises:
        ValueError: an empty list or phrase.
        TypeError: not a str or a list of str.
    """
    phrases = checks.texts([phrase] if isinstance(phrase, str) else phrase, "phrases")
    if not all(one.strip() for one in phrases):
        raise ValueError("contains needs a word or phrase, got one that is empty.")
    spaced = [r"\s+".join(map(re.escape, one.split())) for one in phrases]
    pattern = re.compile("|".join(rf"(?<!\w){one}(?!\w)" for one in spaced), re.IGNORECASE)
    return text_scorer(f"contains({phrase!r})", lambda texts: [pattern.search(text) is not None for text in texts])


def n_words():
    """Number of words of a text, as `words.split` counts them; separators and punctuation are not words.

    Returns:
        `Scorer`, list of n str -> float64 (n,), words.
    """
    return text_scorer("n_words()", lambda texts: [sum(w.kind == words.WORD for w in words.split(text)) for text in texts])


def similarity(clip, target):
    """Cosine between a text, or a picture, and pictures, texts or features; the mean over several targets.

    Args:
        clip: `models.CLIP`.
        target: str, list of str, a picture or features as `rank_phrases` takes them. A str that ends like the name of a picture
            (`.png`), or is the path of one, is the picture.

    Returns:
        `Scorer`, list of n str, or of n pictures (PIL images or arrays) -> float64 (n,), -1..1.

    Raises:
        ValueError: features of another width.
        PictureError: not a usable picture.
    """
    texts = [target] if isinstance(target, str) and not is_named(target) else target
    if isinstance(texts, (list, tuple)) and texts and all(isinstance(text, str) for text in texts):
        vector, shown = target_of(clip, clip.text_features(list(texts))), repr(target)
    else:
        vector, shown = target_of(clip, target), type(target).__name__

    def cosine(samples):
        if any(isinstance(sample, str) for sample in samples):
            features = phrase_features(clip, [str(text) for text in checks.texts(samples, "texts")])
        else:
            features = clip.image_features(samples)
        return (features @ vector).cpu().numpy()

    return Scorer(cosine, f"similarity({clip.name}, {shown})")


def log_prob(lm, *, mean=False):
    """Log-probability of a text under a causal language model: of all its tokens, without the end of the text.

    Args:
        lm: `models.LM`.
        mean: bool, per token instead of their sum.

    Returns:
        `Scorer`, list of n str -> float64 (n,), nats; 0 for a text without tokens. It raises ValueError for a text longer than
        the model's window.

    Raises:
        ValueError: the tokenizer has neither a begin nor an end token to start a text with.
    """
    tokenizer, model = lm.tokenizer, lm.model
    begin, most = begin_of(lm), window(lm)
    if begin is None:
        raise ValueError(f"{lm.name} has neither a begin nor an end token, so that the first word of a text has no probability.")

    def score(texts):
        ids = tokenizer([printable(text) for text in texts], add_special_tokens=False)["input_ids"]
        for row, one in enumerate(ids):
            if len(one) + 1 > most:
                raise ValueError(f"Text {row} has {len(one)} tokens; {lm.name} reads {most - 1} at most. Shorten it.")
        out, order = np.zeros(len(ids)), sorted((row for row in range(len(ids)) if ids[row]), key=lambda row: len(ids[row]))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            with torch.inference_mode():
                found = sums(model, [begin], [ids[row] for row in rows], lambda logits, _: logits.log_softmax(-1))
            out[rows] = found.cpu().numpy()
        return out / np.maximum(1, [len(one) for one in ids]) if mean else out

    return text_scorer(f"log_prob({lm.name}{', mean=True' if mean else ''})", score)
