"""Mixing: a language model and n-grams as one law of words, spelled piece by piece. Only known words, and no loops."""

import math

import numpy as np

from workbench.language.writer.pieces import BEGIN, END, INITIALS, WORD

LONGEST = 100  # pieces after which a prompt ends with its word
GRAM = 4  # words, separators counted; no so many stand in a prompt twice
_TINY = 1e-300


class Law:
    """What may follow, and how likely it is.

    Each word comes from the language model with probability `share`, else from the n-grams. Both are held to the allowed words.
    The pieces of a word are drawn from the mixture given the pieces before, which is the same: what they say of the word's
    source is counted in.

    Args:
        pieces: `Pieces`.
        ngram: `KneserNey` of the same vocabulary.
        allowed: bool (n + 1,), which of `pieces.words` may be written; the end must be.
        share: float 0..1, of the language model.
        loops: bool, whether as many words as `GRAM` may be repeated.
    """

    def __init__(self, pieces, ngram, allowed, share, loops=False):
        self.pieces, self.share, self.loops, self._ngram = pieces, share, loops, ngram
        words = np.isin(pieces.kinds, (WORD, INITIALS))
        self._ok = {True: allowed, False: allowed & words, None: pieces.kinds == BEGIN}
        self._counts = {what: np.append(0, np.cumsum(some)) for what, some in self._ok.items()}

    def after(self, said, length):
        """The law of the next word: running sums of its probabilities, and of the allowed words, float64 and int64 (n + 2,).

        Args:
            said: list of int, the rows in `pieces.words` of the words before.
            length: int, their pieces.
        """
        what = bool(said) and self.pieces.kinds[said[-1]] == WORD  # anything may follow a word; a word must follow anything else
        what = None if what and length >= LONGEST else bool(what)
        ok, counts = self._ok[what], self._counts[what]
        last, before = said[1 - GRAM :], range(len(said) - GRAM + 1)
        again = [] if self.loops else [said[i + GRAM - 1] for i in before if said[i : i + GRAM - 1] == last]
        if again:
            fewer = ok.copy()
            fewer[again] = False
            if fewer.any():
                ok, counts = fewer, np.append(0, np.cumsum(fewer))
        p = self._ngram.next_prob([self.pieces.tokens[row] for row in said])[self.pieces.order]
        p = np.where(ok, p, 0.0)
        return np.append(0, np.cumsum(p / p.sum())), counts


class Walk:
    """A prompt as it is written, piece by piece. `ids` are its pieces, `words` (log p by the model, by the n-grams) of each."""

    def __init__(self, law):
        self.law, self.ids, self.words = law, [], []
        self._said, self._node, self._now = [], None, None
        self._log_p = [0.0, 0.0]  # of the word so far
        self._next = law.after([], 0)

    def prob(self, logits):
        """Probabilities of the next piece, float64 (v,), some 0; `logits` float (v,) are those of the language model."""
        law, node, share = self.law, self._node, self.law.share
        inside, inside_kn, root = np.zeros(0, np.int64), np.zeros(0), law.pieces.root
        stop_kn = 1.0
        if node is not None:
            sums, counts = self._now
            mass = max(sums[node.high] - sums[node.low], _TINY)
            here = counts[node.highs] > counts[node.lows]
            inside = node.pieces[here]
            inside_kn = np.maximum(sums[node.highs] - sums[node.lows], 0)[here] / mass
            stop_kn = max(sums[node.word + 1] - sums[node.word], 0) / mass if self._next else 0.0
        starts, starts_kn = np.zeros(0, np.int64), np.zeros(0)
        if self._next:
            sums, counts = self._next
            here = counts[root.highs] > counts[root.lows]
            here &= ~np.isin(root.pieces, inside)  # a piece that goes on with the word does so
            starts, starts_kn = root.pieces[here], np.maximum(sums[root.highs] - sums[root.lows], 0)[here]
            starts_kn = starts_kn / max(starts_kn.sum(), _TINY)
        # the language model over the same pieces
        both = logits[np.append(inside, starts)].astype(np.float64)
        both = np.exp(both - both.max())
        both /= both.sum()
        inside_lm, starts_lm = both[: len(inside)], both[len(inside) :]
        stop_lm = starts_lm.sum() if len(inside) else 1.0
        starts_lm = starts_lm / max(stop_lm, _TINY)
        weight = _posterior(share, *self._log_p)
        out = np.zeros(law.pieces.size)
        out[inside] = weight * inside_lm + (1 - weight) * inside_kn
        out[starts] = (weight * stop_lm + (1 - weight) * stop_kn) * (share * starts_lm + (1 - share) * starts_kn)
        self._options = inside, inside_lm, inside_kn, starts, starts_lm, starts_kn, stop_lm, stop_kn
        return out

    def push(self, piece):
        """Write a piece that `prob` allowed, right after it; False if it did not."""
        inside, inside_lm, inside_kn, starts, starts_lm, starts_kn, stop_lm, stop_kn = self._options
        at = np.flatnonzero(inside == piece)
        if len(at):
            self._log_p = [p + _log(q[at[0]]) for p, q in zip(self._log_p, (inside_lm, inside_kn), strict=True)]
            node = self._node.children[piece]
        else:
            at = np.flatnonzero(starts == piece)
            if not len(at):
                return False
            if self._node is not None:
                self._finish(_log(stop_lm), _log(stop_kn))
            self._log_p, self._now = [_log(starts_lm[at[0]]), _log(starts_kn[at[0]])], self._next
            node = self.law.pieces.root.children[piece]
        self.ids.append(piece)
        self._node, self._next = node, None
        if piece == END:
            self._finish(0.0, 0.0)
            return True
        counts = self._now[1]
        if node.word >= 0 and counts[node.word + 1] > counts[node.word]:
            self._next = self.law.after([*self._said, node.word], len(self.ids))
        return True

    def _finish(self, *stop):
        self.words.append(tuple(p + q for p, q in zip(self._log_p, stop, strict=True)))
        self._said.append(self._node.word)


def _posterior(share, by_lm, by_ngram):
    """Probability that a word comes from the language model, given the log-probabilities of its pieces so far."""
    if share in (0.0, 1.0):
        return share
    odds = math.log(share) - math.log(1 - share) + by_lm - by_ngram
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, odds))))


def _log(p):
    return math.log(max(p, _TINY))
