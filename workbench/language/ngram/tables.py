"""Tables: n-gram counts in sorted arrays, and the probabilities that back off over them."""

from collections.abc import Iterable

import numpy as np

_FALLBACK = (0.5, 1.0, 1.5)  # discounts where counts of counts say nothing, as KenLM's --discount_fallback
_LAST = np.iinfo(np.int64).max  # after all keys, so that every search ends on one
_SAVED = ("keys", "lengths", "totals", "words", "counts")  # what a `Level` is made of


# ---- words as numbers ---------------------------------------------------------------------------------------------------


class Lexicon:
    """Numbers of words, most frequent first, then `unknown`, `end`, `begin` and `none` (before the beginning, after the end)."""

    def __init__(self, vocabulary):
        self.vocabulary = tuple(vocabulary)
        self.index = {word: number for number, word in enumerate(self.vocabulary)}
        self.unknown, self.end, self.begin, self.none, self.size = range(len(self.index), len(self.index) + 5)

    @classmethod
    def learn(cls, sequences):
        """Lexicon of the sequences -> (lexicon, numbers int64 (t,) of all words, lengths int64 (n,))."""
        seen, flat, lengths = {}, [], []
        for sequence in checked(sequences):
            flat.extend([seen.setdefault(word, len(seen)) for word in sequence])
            lengths.append(len(sequence))
        if not seen:
            raise ValueError(f"There is no word in these {len(lengths)} texts: give one list of words for each text.")
        wrong = next((word for word in seen if not isinstance(word, str)), None)
        if wrong is not None:
            raise TypeError(f"A word must be a str, got {wrong!r} ({type(wrong).__name__}).")
        flat = np.array(flat, np.int64)
        counts, names = np.bincount(flat), list(seen)
        order = sorted(range(len(names)), key=lambda number: (-counts[number], names[number]))
        return cls(names[place] for place in order), np.argsort(order)[flat], np.array(lengths, np.int64)

    def numbers(self, sequence):
        """Numbers of words: list of int."""
        return [self.index.get(word, self.unknown) for word in sequence]

    def lay_out(self, flat, lengths, front, back):
        """Texts in one line with marks between -> (line, places of the words in it); `front` and `back` count the marks."""
        starts = np.cumsum(lengths + front + back) - lengths - back
        line = np.full(int((lengths + front + back).sum()), self.none)
        places = np.arange(len(flat)) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        line[places] = flat
        if front:
            line[starts - 1] = self.begin
        if back:
            line[starts + lengths] = self.end
        return line, places


def checked(sequences):
    """The lists of words of an iterable, one at a time; TypeError for a str, which is an iterable too."""
    if isinstance(sequences, str) or not isinstance(sequences, Iterable):
        raise TypeError(f"Expected lists of words, got {sequences!r:.60}. For one text write [tokens(text)].")
    for sequence in sequences:
        yield checked_words(sequence)


def checked_words(sequence):
    """The list of words itself; TypeError for a str."""
    if isinstance(sequence, str) or not hasattr(sequence, "__len__"):
        raise TypeError(f"Expected a list of words, got {sequence!r:.60}. Cut a text with tokens(text).")
    return sequence


# ---- tables that back off -----------------------------------------------------------------------------------------------


class Level:
    """Counts of words after contexts of one length. Keys are sorted; a context is the number of its key.

    `keys` int64 (c,): number of the context without its farthest word * size + that word. `lengths` (c,): how many words follow
    a context; `totals` (c,): how often, before pruning. `words`, `counts` (e,): those words, context after context.
    """

    def __init__(self, size, keys, lengths, totals, words, counts, discounts):
        self.lengths, self.totals, self.words, self.counts, self.discounts = lengths, totals, words, counts, discounts
        rows = np.repeat(np.arange(len(lengths)), lengths)
        mass = (counts - np.array([0, *discounts])[np.minimum(counts, 3)]) / totals[rows]
        # Not found is -1, the last: such a context keeps nothing for itself, such a word has no mass.
        self.mass, self.gamma = np.append(mass, 0.0), np.append(1 - np.bincount(rows, mass, len(lengths)), 1.0)
        self.keys, self.entries = np.append(keys, _LAST), np.append(rows * size + words, _LAST)
        self.starts, self.sums = np.append(0, np.cumsum(lengths)), np.append(0.0, np.cumsum(mass))


def find(keys, wanted):
    """Places of `wanted` in sorted keys, -1 where it is not."""
    if not np.ndim(wanted):
        at = np.searchsorted(keys, wanted)
        return at if keys[at] == wanted else -1
    found, rows = np.full(len(wanted), -1), np.flatnonzero(wanted >= 0)  # below 0 is what follows from a -1
    wanted = wanted[rows]
    at = np.searchsorted(keys, wanted)
    same = keys[at] == wanted
    found[rows[same]] = at[same]
    return found


def _discounts(counts):
    """D1, D2 and D3+ from counts of counts: Chen and Goodman 1999, equation 26."""
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(float)
    if not n[1:5].all():
        return _FALLBACK
    y = n[1] / (n[1] + 2 * n[2])
    found = tuple(float(i - (i + 1) * y * n[i + 1] / n[i]) for i in (1, 2, 3))
    return found if min(found) > 0 else _FALLBACK


class Tables:
    """p(word | context) by interpolated modified Kneser-Ney, for contexts of any make, e.g. words to the left and the right.

    A context is a list of columns, the one that is dropped last first; a column is an int or an int array (m,).
    """

    def __init__(self, levels, size, outcomes):
        self.levels, self.size, self.outcomes = levels, size, outcomes
        self.base = np.full(outcomes, levels[0].gamma[0] / outcomes)
        self.base[levels[0].words] += levels[0].mass[:-1]
        self._base_sums = np.cumsum(self.base)

    @classmethod
    def learn(cls, words, context, none, size, outcomes, min_count=1):
        """Count words (m,) after contexts, columns (m,), which end before `none`; for `min_count` see `NgramConfig`."""
        nodes, keys = [np.zeros(len(words), np.int64)], [np.zeros(1, np.int64)]
        for column in context:
            node, rows = np.full(len(words), -1), np.flatnonzero((nodes[-1] >= 0) & (column != none))
            unique, node[rows] = np.unique(nodes[-1][rows] * size + column[rows], return_inverse=True)
            nodes.append(node)
            keys.append(unique)
        levels, first = [], None
        for depth in reversed(range(len(nodes))):
            rows = np.flatnonzero(nodes[depth] >= 0)
            entries, at, inverse = np.unique(nodes[depth][rows] * size + words[rows], return_index=True, return_inverse=True)
            if first is None:
                counts = np.bincount(inverse, minlength=len(entries))
            else:  # how many different words stand before, but plain counts where none can: at the beginning
                entry = np.full(len(words), -1)
                entry[rows] = inverse
                whole = entry[rows[nodes[depth + 1][rows] < 0]]
                counts = np.bincount(np.concatenate([whole, entry[first]]), minlength=len(entries))
            first = rows[at]
            discounts, node, kept = _discounts(counts), entries // size, keys[depth]
            totals = np.bincount(node, counts, len(kept)).astype(np.int64)
            if depth and depth == len(context) and min_count > 1:
                stay = counts >= min_count
                used, node = np.unique(node[stay], return_inverse=True)
                entries, counts, kept, totals = entries[stay], counts[stay], kept[used], totals[used]
            lengths = np.bincount(node, minlength=len(kept))
            levels.insert(0, Level(size, kept, lengths, totals, entries % size, counts, discounts))
        return cls(levels, size, outcomes)

    def prob(self, context, words):
        """Probability of words (int or (m,)) after contexts -> float64, scalar or (m,)."""
        if np.ndim(words) and not any(np.ndim(column) for column in context):
            return self.row(context)[words]
        p, node = self.base[words], 0
        for level, column in zip(self.levels[1:], context, strict=True):
            node = find(level.keys, node * self.size + column)
            p = level.gamma[node] * p + level.mass[find(level.entries, node * self.size + words)]
        return p

    def row(self, context):
        """Probability of every outcome after one context -> float64 (outcomes,), sums to 1."""
        p, node = self.base.copy(), 0
        for level, column in zip(self.levels[1:], context, strict=True):
            node = int(find(level.keys, node * self.size + column))
            if node < 0:
                break
            here = slice(level.starts[node], level.starts[node + 1])
            p *= level.gamma[node]
            p[level.words[here]] += level.mass[here]
        return p

    def draw(self, context, n, rng):
        """One outcome after each of n contexts -> int64 (n,): from the longest context, or with its gamma from a shorter one."""
        nodes = [np.zeros(n, np.int64)]
        for level, column in zip(self.levels[1:], context, strict=True):
            nodes.append(find(level.keys, nodes[-1] * self.size + column))
        drawn, left = np.zeros(n, np.int64), np.arange(n)
        for level, node in zip(self.levels[:0:-1], nodes[:0:-1], strict=True):
            u, row = rng.random(len(left)), node[left]
            here = u < 1 - level.gamma[row]
            row = row[here]
            at = np.searchsorted(level.sums, level.sums[level.starts[row]] + u[here], side="right") - 1
            drawn[left[here]] = level.words[np.clip(at, level.starts[row], level.starts[row + 1] - 1)]
            left = left[~here]
        drawn[left] = self.draw_base(len(left), rng)
        return drawn

    def draw_base(self, n, rng):
        """One outcome each, without context -> int64 (n,)."""
        return np.minimum(np.searchsorted(self._base_sums, rng.random(n), side="right"), self.outcomes - 1)

    def to_state(self):
        """Discounts (list of lists) and arrays of all levels, as small as their values allow."""
        discounts = [list(level.discounts) for level in self.levels]
        return discounts, {
            f"{name}_{order}": small(array)
            for order, level in enumerate(self.levels, 1)
            for name, array in zip(_SAVED, (level.keys[:-1], level.lengths, level.totals, level.words, level.counts), strict=True)
        }

    @classmethod
    def from_state(cls, discounts, tensors, size, outcomes):
        """The tables that `to_state` described; KeyError or ValueError for others."""
        levels = []
        for order, three in enumerate(discounts, 1):
            arrays = [tensors[f"{name}_{order}"] for name in _SAVED]
            if any(array.dtype.kind != "u" or array.ndim != 1 for array in arrays):
                raise ValueError(f"the tables of order {order} are no counts")
            keys, lengths, totals, words, counts = (array.astype(np.int64) for array in arrays)
            if not len(keys) == len(lengths) == len(totals) or not lengths.sum() == len(words) == len(counts):
                raise ValueError(f"the tables of order {order} do not fit together")
            if len(words) and not 0 <= words.min() <= words.max() < outcomes:
                raise ValueError(f"order {order} holds words that are not in the vocabulary")
            if min(counts.min(initial=1), totals.min(initial=1)) < 1 or (np.diff(keys) <= 0).any():
                raise ValueError(f"order {order} has counts below 1 or contexts out of order")
            levels.append(Level(size, keys, lengths, totals, words, counts, tuple(three)))
        return cls(levels, size, outcomes)


def small(array):
    """The same values in the smallest unsigned type."""
    return np.ascontiguousarray(array, np.min_scalar_type(int(array.max(initial=0))))
