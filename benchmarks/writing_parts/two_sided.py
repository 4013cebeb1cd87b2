"""Two-sided: which word stands between two others. A mixture of trigrams that look to the left, to the right and both ways."""

import numpy as np

from workbench.language.ngram.tables import Lexicon, Tables, checked_words, find
from workbench.values import NotFittedError

_HELD_OUT = 10  # every 10th text tunes the weights
_STEPS = 50  # of expectation-maximisation
_PRIOR = 20  # words that stand for the weights over all in those of one kind of context
# Words that each view looks at, the last dropped first: -1 is the word to the left, 1 the one to the right.
_VIEWS = ((-1, -2), (1, 2), (-1, 1), (1, -1))
_KINDS = 8  # of contexts: whether the first three views know their pair of words; the last two look at the same pair


class TwoSided:
    """p(word | two words to the left, two to the right), a mixture of four trigrams.

    The trigrams see the two words to the left; the two to the right; and one on each side, backing off to the left or to the
    right one; each is an interpolated modified Kneser-Ney of its own. The weights depend on which of the pairs are known, and
    are found by expectation-maximisation on every tenth text, which the counts then leave out; the final counts are of all.

    After `fit`: `vocabulary_`, tuple of str, most frequent first; `weights_` float64 (8, 4), rows sum to 1.

    Source:
        Jelinek and Mercer 1980, "Interpolated estimation of Markov source parameters from sparse data": weights by EM on deleted
        text; Chen and Goodman 1999, section 3, for the trigrams.
    """

    def fit(self, sequences):
        """Count, and weigh the views.

        Args:
            sequences: iterable of lists of str; with fewer than 2 all views weigh the same.

        Returns:
            self.

        Raises:
            ValueError: there is no word.
            TypeError: a str where a list of str belongs.
        """
        lexicon, flat, lengths = Lexicon.learn(sequences)
        line, places = lexicon.lay_out(flat, lengths, 2, 2)
        every = min(_HELD_OUT, len(lengths))
        held = np.repeat(np.arange(len(lengths)) % every == every - 1, lengths)
        if held.any() and not held.all():
            self.weights_ = _weigh(_learn(lexicon, line, places[~held]), line, places[held])
        else:
            self.weights_ = np.full((_KINDS, len(_VIEWS)), 1 / len(_VIEWS))
        self._tables, self._lexicon, self.vocabulary_ = _learn(lexicon, line, places), lexicon, lexicon.vocabulary
        return self

    def candidates_log_prob(self, left, right, candidates=None):
        """Log-probability of single words in a gap.

        Args:
            left: list of str, the whole text before the gap; [] is the beginning.
            right: list of str, the whole text after it; [] is the end.
            candidates: list of str, or None for `vocabulary_`.

        Returns:
            float64 (c,), nats. Over the vocabulary and one unknown word the probabilities sum to 1; every unknown word has
            that of the one.

        Raises:
            NotFittedError: before `fit`.
        """
        if not hasattr(self, "_tables"):
            raise NotFittedError("This TwoSided has no counts yet: call fit first.")
        lexicon = self._lexicon
        before = [lexicon.none, lexicon.begin, *lexicon.numbers(checked_words(left)[-2:])][-2:]
        after = [*lexicon.numbers(checked_words(right)[:2]), lexicon.end, lexicon.none][:2]
        near = {-2: before[0], -1: before[1], 1: after[0], 2: after[1]}
        views = [[near[step] for step in view] for view in _VIEWS]
        weights = self.weights_[int(_kind(self._tables, views))]
        p = sum(w * table.row(view) for w, table, view in zip(weights, self._tables, views, strict=True))
        numbers = slice(lexicon.unknown) if candidates is None else lexicon.numbers(checked_words(candidates))
        return np.log(p[numbers])


def _learn(lexicon, line, places):
    return [
        Tables.learn(line[places], [line[places + step] for step in view], lexicon.none, lexicon.size, lexicon.unknown + 1)
        for view in _VIEWS
    ]


def _kind(tables, views):
    """Which pairs of words are known, as the number of a row of weights."""
    return sum((_depth(table, view) == 2) * 2**i for i, (table, view) in enumerate(zip(tables[:3], views[:3], strict=True)))


def _depth(table, context):
    """How many words of contexts are known from the fit -> int, scalar or (m,)."""
    node, found = 0, 0
    for level, column in zip(table.levels[1:], context, strict=True):
        node = find(level.keys, node * table.size + column)
        found = found + (node >= 0)
    return found


def _weigh(tables, line, places):
    """Weights of the views for each kind of context, by EM -> float64 (kinds, views)."""
    views = [[line[places + step] for step in view] for view in _VIEWS]
    p = np.stack([table.prob(view, line[places]) for table, view in zip(tables, views, strict=True)], 1)
    overall = _em(p, np.full(len(_VIEWS), 1 / len(_VIEWS)), 0)
    kind = _kind(tables, views)
    return np.stack([_em(p[kind == k], overall, _PRIOR) for k in range(_KINDS)])


def _em(p, start, prior):
    weights = start
    for _ in range(_STEPS):
        shares = p * weights
        shares /= shares.sum(1, keepdims=True)
        weights = (shares.sum(0) + prior * start) / (len(p) + prior)
    return weights
