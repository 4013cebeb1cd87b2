"""Measures: scorers with a name, which can be compared, as in `n_words() <= 20`; and what several of them remember together."""

import math
import numbers
import weakref
from collections import OrderedDict

import numpy as np

from workbench import checks

_SIGNS = {"<=": np.less_equal, ">=": np.greater_equal, "<": np.less, ">": np.greater}


class Measure:
    """A scorer: a function, list of n samples -> float64 (n,). Compared with a number it is one that answers yes or no.

    `n_words() <= 20` gives 1 for texts of up to 20 words and 0 for others. For a function of one's own there are `at_most` and
    `at_least`.
    """

    def __init__(self, name, score):
        self.__name__ = self.__qualname__ = name
        self._score = score

    def __call__(self, samples):
        """Scores of samples: float64 (n,); for texts, what has a `text`, such as a `Sample`, counts as text."""
        return np.asarray(self._score(samples), np.float64) if len(samples) else np.zeros(0)

    def __repr__(self):
        return self.__name__

    def __le__(self, value):
        return _compared(self, "<=", value)

    def __ge__(self, value):
        return _compared(self, ">=", value)

    def __lt__(self, value):
        return _compared(self, "<", value)

    def __gt__(self, value):
        return _compared(self, ">", value)

    def __bool__(self):
        raise TypeError(
            f"{self.__name__} is a function, not true or false. For a range, make two wishes: one with <= and one with >=."
        )


def at_most(scorer, value):
    """Whether a score is `value` or less; `scorer <= value` for those of this package.

    Args:
        scorer: function, list of n samples -> n numbers.
        value: finite float.

    Returns:
        `Measure`, list of n samples -> float64 (n,), 1 or 0; NaN where the score is NaN.

    Raises:
        TypeError: no function, or no number.
    """
    return _compared(scorer, "<=", value)


def at_least(scorer, value):
    """Whether a score is `value` or more; otherwise as `at_most`."""
    return _compared(scorer, ">=", value)


def text_measure(name, score):
    """A `Measure` of texts; `score` gets a list of plain str that is not empty."""
    return Measure(name, lambda samples: score(texts_of(samples)))


def texts_of(samples):
    """The texts of samples: list of str.

    Raises:
        TypeError: a single str, or something that is no text.
    """
    if isinstance(samples, (list, tuple)):
        samples = [str.__str__(text) if isinstance(text, str) else text for text in (_text(sample) for sample in samples)]
    return checks.texts(samples, "texts")


def _text(sample):
    text = getattr(sample, "text", None)  # a picture may have something else under that name
    return text if isinstance(text, str) else sample


def _compared(scorer, sign, value):
    if not callable(scorer):
        raise TypeError(f"A scorer is a function of a list of samples, got {scorer!r}.")
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise TypeError(f"A score is compared with a finite number, got {value!r}.")
    name = getattr(scorer, "__name__", None) or type(scorer).__name__

    def answers(samples):
        found = np.asarray(scorer(samples), np.float64)
        return np.where(np.isnan(found), np.nan, _SIGNS[sign](found, value))

    return Measure(f"{name} {sign} {value:g}", answers)


class Memory:
    """What was found out about texts with the help of a model, kept as long as the model lives, so that several scorers share it.

    Not more than `room` is kept per model, by `size` of a value; the oldest goes first. Models that cannot be told apart by
    identity, or cannot be referred to weakly, are not remembered.
    """

    def __init__(self, room, size=lambda value: 1):
        self._room, self._size, self._kept = room, size, weakref.WeakKeyDictionary()

    def get(self, model, keys, find):
        """Values of keys: list. `find` is called with a list of the different keys that are not known yet and returns theirs."""
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
