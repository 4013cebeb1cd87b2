"""Tagger: prompts -> units and their codes. It needs no names, so `fit` uses it before they are known."""

import numpy as np

from workbench.language import encode

_REMEMBERED = 20_000  # unit types whose static vectors stay in memory, since a corpus repeats itself


class Tagger:
    """Cuts prompts into units and finds the code of each.

    Args:
        encoder: `models.Encoder`.
        units: `Units`.
        codebook: `Codebook`.
    """

    def __init__(self, encoder, units, codebook):
        self.encoder, self.units, self.codebook = encoder, units, codebook
        self._vectors = {}

    def tag(self, prompts):
        """Pairs (list of u `Span`, int64 (u,) codes), one for each of a list of prompts."""
        spans = [self.units.split(text) for text in prompts]
        return list(zip(spans, self.codes(spans, encode.words(prompts, self.encoder)), strict=True))

    def codes(self, spans, words):
        """Codes of prompts whose word vectors are known.

        Args:
            spans: list of n lists of `Span`.
            words: list of n float (w_i, d), see `encode.words`.

        Returns:
            list of n int64 (u_i,).
        """
        flat = [span for found in spans for span in found]
        if not flat:
            return [np.zeros(0, np.int64) for _ in spans]
        types = list(dict.fromkeys(span.text for span in flat))
        number = {text: i for i, text in enumerate(types)}
        layer = np.concatenate([means(w, s) for w, s in zip(words, spans, strict=True) if s])
        ids, before = np.array([number[span.text] for span in flat]), np.array([span.before for span in flat], np.int8)
        codes = self.codebook.encode(layer, self.static(types), ids, before)
        return np.split(codes, np.cumsum([len(found) for found in spans])[:-1])

    def static(self, types):
        """Vectors of unit types that know nothing of any context: float32 (t, d)."""
        if len(self._vectors) > _REMEMBERED:
            self._vectors = {}
        missing = [text for text in types if text not in self._vectors]
        if missing:
            self._vectors.update(zip(missing, self.encoder.embed_words(missing), strict=True))
        return np.stack([self._vectors[text] for text in types])


def means(words, spans):
    """Mean of the word vectors of each span: float32 (u, d)."""
    words = words.astype(np.float32)
    if not spans:
        return words[:0]
    sums = np.add.reduceat(words, [span.first for span in spans])  # spans follow each other without a gap
    return sums / np.array([[span.last - span.first] for span in spans], np.float32)
