"""Scorers of creativity: novelty, value and surprise, the three things that most definitions of it ask for."""

import numpy as np

from workbench import checks, words
from workbench.control.scorers.scorer import Scorer, text_scorer


def novelty(corpus, embed=None):
    """How far a text is from the nearest one of a corpus. A copy scores 0.

    Args:
        corpus: list of str, what is known.
        embed: function, list of n texts -> (n, d) array, such as `models.load_clip().text_features`; the score then is 1 less the
            largest cosine. None compares words: the share of the text's words outside the longest run of them, as it stands,
            that one text of the corpus has too; case and punctuation do not matter.

    Returns:
        `Scorer`, list of n str -> float64 (n,): 0..1, with `embed` 0..2. A text without words is no novelty, 0.

    Raises:
        ValueError: an empty corpus.
        TypeError: something in it that is no str, or an `embed` that is no function.

    Source:
        Franceschelli and Musolesi, "Creativity and Machine Learning: A Survey", arXiv:2104.02726, section 2; the three measures:
        Boden, "The Creative Mind", 2003.
    """
    corpus = checks.texts(corpus, "corpus")
    if embed is None:
        known = "\n".join(_line(_words(text)) for text in dict.fromkeys(corpus))  # no word holds a blank or a line end
        return text_scorer("novelty()", lambda texts: [_own_share(_words(text), known) for text in texts])
    if not callable(embed):
        raise TypeError(f"embed is a function of a list of texts, got {embed!r}.")
    vectors = checks.unit_rows(np.asarray(embed(corpus), np.float64))

    def far(texts):
        cosines = checks.unit_rows(np.asarray(embed(texts), np.float64)) @ vectors.T
        return [0.0 if not _words(text) else max(0.0, 1 - row.max()) for text, row in zip(texts, cosines, strict=True)]

    return text_scorer("novelty(embed)", far)


def value(wishes):
    """How far a text meets wishes: the weighted mean of their scores.

    Args:
        wishes: scorer, list of scorers, or dict of scorer to weight > 0, such as `{contains("night"): 2, n_words() <= 20: 1}`;
            yes-or-no scorers give the share of wishes that are met.

    Returns:
        `Scorer`, list of n samples -> float64 (n,), on the scale of the wishes.

    Raises:
        ValueError: no wishes, or a weight that is not above 0.
        TypeError: a wish that is no function.
    """
    wishes = [wishes] if callable(wishes) else wishes
    weights = dict(wishes) if isinstance(wishes, dict) else dict.fromkeys(wishes, 1.0)
    if not weights:
        raise ValueError("value needs one wish or more: a scorer, a list of them, or a dict of scorer to weight.")
    for wish, weight in weights.items():
        if not callable(wish):
            raise TypeError(f"A wish is a function of a list of samples, got {wish!r}.")
        checks.number(f"the weight of {getattr(wish, '__name__', wish)}", weight, 0, above=True)
    whole = sum(weights.values())

    def mean(samples):
        return sum(weight * np.asarray(wish(samples), np.float64) for wish, weight in weights.items()) / whole

    return Scorer(mean, "value()")


def surprise(model):
    """How unlikely a text is under a model: its negative log-probability per word.

    Args:
        model: anything with `log_score(texts) -> (n,)` nats, such as a `proposals.FromDSL` or `LMProposal`, or a function of the
            same shape, such as `log_prob(lm)`.

    Returns:
        `Scorer`, list of n samples -> float64 (n,), nats a word; infinite for what the model never writes. A text without words
        counts as one word.

    Raises:
        TypeError: a model without `log_score` that is no function.
    """
    score = getattr(model, "log_score", model)
    if not callable(score):
        raise TypeError(f"surprise needs a model with log_score, or a function, got {type(model).__name__}.")

    def nats(samples):
        counts = [max(1, len(_words(str(text)))) for text in checks.texts(samples, "texts")]
        return -np.asarray(score(samples), np.float64) / counts

    return Scorer(nats, "surprise()")


def _words(text):
    return [text[word.start : word.end].lower() for word in words.split(text) if word.kind == words.WORD]


def _line(parts):
    return f" {' '.join(parts)} "


def _own_share(parts, known):
    """Share of words outside the longest run that `known` holds."""
    start = longest = 0
    for end in range(1, len(parts) + 1):
        # a longer run than before is all that counts, so the window never gets smaller
        if _line(parts[start:end]) in known:
            longest = max(longest, end - start)
        else:
            start += 1
    return 1 - longest / len(parts) if parts else 0.0
