"""Scorer: a function of samples with a name and comparisons, and a cache that scorers of one model share."""

import math
import numbers
import weakref
from collections import OrderedDict
from functools import partialmethod

import numpy as np

from workbench import checks

_SIGNS = {"<=": np.less_equal, ">=": np.greater_equal, "<": np.less, ">": np.greater}


class Scorer:
    """A function, list of n samples -> float64 (n,), that can be compared with a number.

    `n_words() <= 20` is a scorer that gives 1 for texts of up to 20 words and 0 for others, and NaN where the score is NaN.

    Args:
        score: function, list of n samples -> n numbers. It is not called for an empty list.
        name: str, for reports; None is the name of the function.

    Raises:
        TypeError: `score` is not a function.
    """

    def __init__(self, score, name=None):
        if not callable(score):
            raise TypeError(f"A scorer is a function of a list of samples, got {score!r}.")
        self.__name__ = self.__qualname__ = name or getattr(score, "__name__", None) or type(score).__name__
        self._score = score

    def __call__(self, samples):
        """Scores of n samples: float64 (n,)."""
        return np.asarray(self._score(samples), np.float64) if len(samples) else np.zeros(0)

    def __repr__(self):
        return self.__name__

    def __bool__(self):
        raise TypeError(
            f"{self.__name__} is a function, not true or false. For a range, use two scorers: one with <= and one with >=."
        )

    def _compared(self, sign, value):
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise TypeError(f"A score is compared with a finite number, got {value!r}.")

        def answers(samples):
            found = self(samples)
            return np.where(np.isnan(found), np.nan, _SIGNS[sign](found, value))

        return Scorer(answers, f"{self.__name__} {sign} {value:g}")

    __le__ = partialmethod(_compared, "<=")
    __ge__ = partialmethod(_compared, ">=")
    __lt__ = partialmethod(_compared, "<")
    __gt__ = partialmethod(_compared, ">")


def text_scorer(name, score):
    """A `Scorer` of texts: `score` gets a list of plain str. A single str, or anything in the list but str, is a TypeError."""
    return Scorer(lambda samples: score([str(text) for text in checks.texts(samples, "texts")]), name)


class Cache:
    """Results of a model, kept as long as the model lives, so that several scorers share them.

    Per model at most `room` is kept, where each value counts `size(value)`; the oldest go first. Nothing is kept for a model that
    cannot be hashed or weakly referenced.
    """

    def __init__(self, room, size=lambda value: 1):
        self._room, self._size, self._kept = room, size, weakref.WeakKeyDictionary()

    def get(self, model, keys, find):
        """Values of keys: list. `find` is called with the list of new keys, each once, and returns their values."""
        try:
            kept = self._kept.setdefault(model, OrderedDict())
        except TypeError:
            kept = OrderedDict()
        known = {key: kept[key] for key in keys if key in kept}
        new = [key for key in dict.fromkeys(keys) if key not in known]
        if new:
            known.update(zip(new, find(new), strict=True))
            kept.update((key, known[key]) for key in new)
            total = sum(map(self._size, kept.values()))
            while total > self._room:
                total -= self._size(kept.popitem(last=False)[1])
        return [known[key] for key in keys]
