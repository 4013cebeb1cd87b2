"""Taste: what somebody likes of each slot. As a scorer it ranks and steers what a language writes."""

import numpy as np

from workbench import checks
from workbench.artifacts import Saved
from workbench.control.scorers.scorer import Scorer


class Taste(Saved):
    """Weights of fillers, learned from votes.

    Args:
        weights: dict of slot name -> dict of filler -> float, in units of a vote's logit: the chance that a prompt beats another
            is sigmoid(the difference of their sums).
    """

    kind = "taste"

    def __init__(self, weights):
        self.weights = weights

    def scorer(self, dsl):
        """The taste as a scorer of texts as a language reads them.

        Args:
            dsl: `DeepDSL`, or anything with `read(texts) -> templates`.

        Returns:
            `Scorer`, list of n texts -> float64 (n,): the sum of the weights of their fillers. What nobody voted on counts 0.
            `guide.exponential({taste.scorer(dsl): 1})` is the language as this person would have it.
        """
        known = {name: {text.lower(): value for text, value in some.items()} for name, some in self.weights.items()}

        def score(samples):
            read = dsl.read([str(text) for text in checks.texts(samples, "texts")])
            of = [[known.get(slot.name, {}).get((slot.text or "").lower(), 0.0) for slot in one.slots] for one in read]
            return [sum(some) for some in of]

        return Scorer(score, "taste")

    def rank(self, dsl, texts):
        """Texts by this taste, the best first; equals stay in order: list of the same objects."""
        texts = list(texts)
        return [texts[i] for i in np.argsort(-self.scorer(dsl)(texts), kind="stable")]

    def favourites(self, n=3):
        """The n fillers of each slot that are liked best: dict of slot name -> list of (filler, weight)."""
        return {name: sorted(some.items(), key=lambda pair: -pair[1])[:n] for name, some in self.weights.items()}

    def to_state(self):
        """Config (JSON values) and tensors that `from_state` reads."""
        return {"weights": self.weights}, {}

    @classmethod
    def from_state(cls, config, tensors):
        """The `Taste` that `to_state` described."""
        weights = {
            str(name): {str(text): float(value) for text, value in some.items()} for name, some in config["weights"].items()
        }
        if not all(np.isfinite(list(some.values())).all() for some in weights.values() if some):
            raise ValueError("a weight is not finite")
        return cls(weights)
