"""N-grams: which words follow, and which stand between, by counting. The baseline of writers and a source of fillers."""

from dataclasses import asdict, dataclass
from itertools import chain, islice

import numpy as np

from workbench import checks, words
from workbench.artifacts import Saved
from workbench.language.ngram.tables import Lexicon, Tables, checked, checked_words, small
from workbench.values import ModelError, NotFittedError, Sample

__all__ = ["KneserNey", "NgramConfig", "tokens"]

_ROWS = 200_000  # probabilities looked up at a time, to bound memory
MAX_WORDS = 80  # of a sample; longer texts are cut
_REDRAWS = 1000  # of an unknown word, which has no spelling
_PARTICLES = 20  # beginnings and ends grown for each filler that is asked for


def tokens(text):
    """Words, separators, joints and markup of a text, in lower case, without the syntax of other programs: list of str."""
    return [words.visible(text[token.start : token.end]) for token in words.split(text) if token.kind != words.SYNTAX]


@dataclass(frozen=True)
class NgramConfig:
    """Options of `KneserNey`."""

    order: int = 3  # words in the longest n-gram
    min_count: int = 1  # longest n-grams counted less often are forgotten; their probability goes to the shorter ones

    def __post_init__(self):
        checks.whole("order", self.order)
        checks.whole("min_count", self.min_count)


class KneserNey(Saved):
    """Interpolated modified Kneser-Ney n-grams with an open vocabulary.

    A text is a list of words (`tokens`); its end is predicted too. Each probability is that of the longest n-gram, discounted,
    plus what that leaves times the probability by the shorter one; below single words lies a uniform floor over the vocabulary,
    the end and the unknown word. All unknown words have the probability of the one. Where a text begins the context is one
    mark, and n-grams that start with it keep plain counts, since nothing can stand before them.

    After `fit`: `vocabulary_`, tuple of str, most frequent first.

    Source:
        Chen and Goodman 1999, "An empirical study of smoothing techniques for language modeling", section 3; the mark and the
        discounts of tiny corpora as in KenLM (Heafield et al. 2013, "Scalable modified Kneser-Ney language model estimation").
    """

    kind = "ngram"

    def __init__(self, config=NgramConfig()):  # noqa: B008 - frozen
        self.config = config

    def fit(self, sequences):
        """Count the n-grams of texts; about 1 s and 200 MB for a million words.

        Args:
            sequences: iterable of lists of str.

        Returns:
            self.

        Raises:
            ValueError: there is no word.
            TypeError: a str where a list of str belongs.
        """
        lexicon, flat, lengths = Lexicon.learn(sequences)
        line, places, context = self._laid_out(lexicon, flat, lengths)
        self._tables = Tables.learn(line[places], context, lexicon.none, lexicon.size, lexicon.begin, self.config.min_count)
        self._lexicon, self.vocabulary_, self._pairs = lexicon, lexicon.vocabulary, None
        return self

    def _laid_out(self, lexicon, flat, lengths):
        """All that is predicted, words and ends, with its contexts -> (line, places, columns)."""
        depth = self.config.order - 1
        line, places = lexicon.lay_out(flat, lengths, depth, 1)
        places = np.sort(np.concatenate([places, np.flatnonzero(line == lexicon.end)]))
        return line, places, [line[places - 1 - k] for k in range(depth)]

    def _fitted(self):
        if not hasattr(self, "_tables"):
            raise NotFittedError("This KneserNey has no counts yet: call fit first.")
        return self._lexicon, self._tables

    def log_prob(self, sequences):
        """Log-probability of every word and of the end of texts, given what stands before.

        Args:
            sequences: iterable of lists of str.

        Returns:
            list of float64 (len + 1,), nats, one array for each text.
        """
        lexicon, tables = self._fitted()
        numbers = [lexicon.numbers(sequence) for sequence in checked(sequences)]
        return self._each(numbers, tables.prob)

    def _each(self, numbers, prob):
        """Logarithm of `prob(context, words)` for every word and the end of texts, given as lists of numbers: list of arrays."""
        lengths = np.array([len(each) for each in numbers], np.int64)
        flat = np.fromiter(chain.from_iterable(numbers), np.int64, int(lengths.sum()))
        line, places, context = self._laid_out(self._lexicon, flat, lengths)
        found = np.empty(len(places))
        for at in range(0, len(places), _ROWS):
            rows = slice(at, at + _ROWS)
            found[rows] = prob([column[rows] for column in context], line[places[rows]])
        return np.split(np.log(found), np.cumsum(lengths + 1)[:-1]) if numbers else []

    def next_prob(self, left):
        """Probability of every word that may follow a text, unknown ones left out.

        Args:
            left: list of str, the whole text so far; [] is the beginning.

        Returns:
            float64 (v + 1,), of `vocabulary_` in order and of the end; sums to 1.
        """
        lexicon, tables = self._fitted()
        row = tables.row(self._sides(left, [])[0][::-1])
        return np.delete(row, lexicon.unknown) / (1 - row[lexicon.unknown])

    def perplexity(self, sequences):
        """Exponential of the mean of -`log_prob` over all words and ends of the texts: float, 1 or more.

        Raises:
            ValueError: no text.
        """
        found = self.log_prob(sequences)
        if not found:
            raise ValueError("The perplexity of no text is not defined: give one list of words or more.")
        return float(np.exp(-np.concatenate(found).mean()))

    def candidates_log_prob(self, left, right, candidates=None):
        """Two-sided score of single words for a gap: log p(left + [w] + right) up to a constant shared by all.

        Args:
            left: list of str, the whole text before the gap; [] is the beginning.
            right: list of str, the whole text after it; [] is the end.
            candidates: list of str, or None for `vocabulary_`.

        Returns:
            float64 (c,), nats.
        """
        lexicon, _ = self._fitted()
        numbers = range(lexicon.unknown) if candidates is None else lexicon.numbers(checked_words(candidates))
        return self._score(*self._sides(left, right), np.array(numbers, np.int64)[:, None])

    def fill_log_prob(self, left, fillers, right):
        """As `candidates_log_prob`, for fillers of several words: comparable over lengths too.

        Args:
            left: list of str, the whole text before the gap.
            fillers: iterable of lists of str; [] closes the gap.
            right: list of str, the whole text after it.

        Returns:
            float64 (f,), nats.
        """
        lexicon, _ = self._fitted()
        fillers = [lexicon.numbers(filler) for filler in checked(fillers)]
        lengths, sides, found = np.array([len(filler) for filler in fillers]), self._sides(left, right), np.empty(len(fillers))
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            block = np.array([fillers[row] for row in rows], np.int64).reshape(len(rows), length)
            found[rows] = self._score(*sides, block)
        return found

    def _sides(self, left, right):
        """The numbers next to a gap, as many as an n-gram with the gap can reach."""
        lexicon, depth = self._lexicon, self.config.order - 1
        left, right = checked_words(left), checked_words(right)
        before = [*[lexicon.none] * depth, lexicon.begin, *lexicon.numbers(left[max(0, len(left) - depth) :])]
        return before[len(before) - depth :], [*lexicon.numbers(right[:depth]), lexicon.end][:depth]

    def _score(self, left, right, block):
        """Log p of the n-grams that reach into `block`, int (f, length) -> float64 (f,)."""
        line, depth, total = [*left, *block.T, *right], len(left), np.zeros(len(block))
        for at in range(depth, len(line)):
            total += np.log(self._tables.prob([line[at - 1 - k] for k in range(depth)], line[at]))
        return total

    def sample(self, n, seed=0):
        """Draw texts from left to right; the unknown word, which has no spelling, is drawn again.

        Args:
            n: int, 1 or more.
            seed: int.

        Returns:
            list of n `Sample`, cut after 80 words: words joined by blanks, with their numbers in `vocabulary_` as `ids` and
            `log_prob`. Some may be empty.
        """
        lexicon, _ = self._fitted()
        drawn = self._grow(*self._sides([], [])[:1], checks.whole("n", n), MAX_WORDS, np.random.default_rng(checks.seed(seed)))
        ids = [tuple(row[row < lexicon.unknown].tolist()) for row in drawn]
        scores = self._log_score(ids).tolist()
        return [Sample(self._text(one), ids=one, log_prob=score) for one, score in zip(ids, scores, strict=True)]

    def log_score(self, samples):
        """Log-probability of texts, as `sample` draws them.

        Args:
            samples: list of str. A `Sample` of this model is scored by its words, any other text by its `tokens`.

        Returns:
            float64 (n,), nats; -inf for texts with unknown words or more than 80.
        """
        lexicon, _ = self._fitted()
        if isinstance(samples, str):
            raise TypeError("log_score takes a list of texts, got one str.")
        ids = [getattr(sample, "ids", None) for sample in samples]
        own = (one is not None and self._text(one) == sample for one, sample in zip(ids, samples, strict=True))
        read = (one if ours else lexicon.numbers(tokens(text)) for one, ours, text in zip(ids, own, samples, strict=True))
        return self._log_score(list(read))

    def _text(self, ids):
        """Words joined by blanks; a number that is none of this vocabulary's is left out."""
        return " ".join(self.vocabulary_[number] for number in ids if 0 <= number < len(self.vocabulary_))

    def _log_score(self, ids):
        """Log-probability of texts, lists of numbers, as `sample` draws them: float64 (n,)."""
        tables, unknown = self._tables, self._lexicon.unknown

        def prob(context, words):
            return tables.prob(context, words) / (1 - tables.prob(context, np.full(len(words), unknown)))

        out = np.full(len(ids), -np.inf)
        rows = [i for i, one in enumerate(ids) if len(one) <= MAX_WORDS and unknown not in one]
        for i, found in zip(rows, self._each([ids[i] for i in rows], prob), strict=True):
            out[i] = found[:MAX_WORDS].sum()  # the end of a text that is cut is not drawn
        return out

    def _grow(self, left, n, length, rng):
        """Draw n continuations of `left` -> int64 (n, length), `end` from where a text has ended."""
        lexicon, depth = self._lexicon, len(left)
        line = np.full((n, depth + length), lexicon.end)
        line[:, :depth] = left
        alive = np.arange(n)
        for at in range(depth, depth + length):
            todo = alive
            for _ in range(_REDRAWS):
                line[todo, at] = self._tables.draw([line[todo, at - 1 - k] for k in range(depth)], len(todo), rng)
                todo = todo[line[todo, at] == lexicon.unknown]
                if not len(todo):
                    break
            else:
                raise ModelError(
                    "These n-grams draw nothing but unknown words: their tables are damaged. Fit or load them again."
                )
            alive = alive[line[alive, at] != lexicon.end]
        return line[:, depth:]

    def propose(self, left, right, n, seed=0, max_words=6, length=None, only=None):
        """Fillers for a gap: grown from the left, from the right, and from both sides until they meet.

        Args:
            left: list of str, the whole text before the gap.
            right: list of str, the whole text after it.
            n: int, how many at most.
            seed: int.
            max_words: int, longest filler where the length is not known.
            length: int, words of each filler, or None for 1 to `max_words`.
            only: function, str (the words of a filler, joined by blanks) -> bool, which fillers may be proposed; None: all.

        Returns:
            list of (tuple of str, float), different fillers of known words with their `fill_log_prob`, best first. Fewer than n
            where no more were found.
        """
        lexicon, _ = self._fitted()
        n, max_words = checks.whole("n", n), checks.whole("max_words", max_words)
        lengths = range(1, max_words + 1) if length is None else [checks.whole("length", length)]
        rng, (before, after) = np.random.default_rng(checks.seed(seed)), self._sides(left, right)
        forward = self._grow(before, _PARTICLES * n, lengths[-1], rng)
        backward = self._grow_back(lexicon.numbers(right[:1]), _PARTICLES * n, lengths[-1], rng)[:, ::-1]
        found, names = [], lexicon.vocabulary
        for size in lengths:
            if size == 1:
                block = np.arange(lexicon.unknown)[:, None]
            else:
                ours = np.arange(size) < rng.integers(0, size + 1, (len(forward), 1))
                block = np.where(ours, forward[:, :size], backward[:, -size:])
                block = np.unique(block[(block < lexicon.unknown).all(1)], axis=0)
            scores = self._score(before, after, block)
            best = np.argsort(-scores, kind="stable")
            some = ((tuple(names[number] for number in block[row].tolist()), float(scores[row])) for row in best)
            found += islice((each for each in some if only is None or only(" ".join(each[0]))), n)
        found.sort(key=lambda each: -each[1])
        return found[:n]

    def _grow_back(self, first, n, length, rng):
        """Draw what stands before a word, `first` (or before the end, []), by pairs -> int64 (n, length), nearest first."""
        lexicon = self._lexicon
        line, alive = np.full((n, length + 1), lexicon.begin), np.arange(n)
        line[:, 0] = first or lexicon.end
        for at in range(1, length + 1):
            line[alive, at] = self._draw_before(line[alive, at - 1], rng)
            alive = alive[line[alive, at] != lexicon.begin]
        return line[:, 1:]

    def _draw_before(self, after, rng):
        """One word before each of `after`, as often as the two stood together -> int64 (n,)."""
        if self.config.order == 1:
            return self._tables.draw_base(len(after), rng)
        if self._pairs is None:  # sorted once, at the first use: pairs by their second word
            level = self._tables.levels[1]
            order = np.argsort(level.words, kind="stable")
            first = np.repeat(level.keys[:-1], level.lengths)[order]
            starts = np.searchsorted(level.words[order], np.arange(self._lexicon.size + 1))
            self._pairs = first, starts, np.append(0, np.cumsum(level.counts[order]))
        first, starts, sums = self._pairs
        low, high = sums[starts[after]], sums[starts[after + 1]]
        at = np.searchsorted(sums, low + rng.random(len(after)) * (high - low), side="right") - 1
        return np.where(low < high, first[np.minimum(at, len(first) - 1)], self._tables.draw_base(len(after), rng))

    def to_state(self):
        """Config (JSON values) and tensors (dict of arrays) that `from_state` reads."""
        lexicon, tables = self._fitted()
        discounts, tensors = tables.to_state()
        spelt = [word.encode("utf-8", "surrogatepass") for word in lexicon.vocabulary]
        tensors["spelling"] = np.frombuffer(b"".join(spelt), np.uint8)
        tensors["spelling_lengths"] = small(np.array([len(word) for word in spelt]))
        return {"options": asdict(self.config), "discounts": discounts}, tensors

    @classmethod
    def from_state(cls, config, tensors):
        """The `KneserNey` that `to_state` described; KeyError, TypeError or ValueError for what is none."""
        model = cls(NgramConfig(**config["options"]))
        ends = np.cumsum(tensors["spelling_lengths"].astype(np.int64)).tolist()
        spelling = tensors["spelling"].tobytes()
        bounds = zip([0, *ends], ends, strict=False)
        lexicon = Lexicon(spelling[start:end].decode("utf-8", "surrogatepass") for start, end in bounds)
        if len(config["discounts"]) != model.config.order or ends[-1:] != [len(spelling)]:
            raise ValueError(f"{len(config['discounts'])} tables, {len(ends)} words")
        model._tables = Tables.from_state(config["discounts"], tensors, lexicon.size, lexicon.begin)
        model._lexicon, model.vocabulary_, model._pairs = lexicon, lexicon.vocabulary, None
        return model
