"""Measures of written prompts, and the plain trigram."""

import difflib
from collections import Counter, defaultdict

import numpy as np

from workbench import ngram
from workbench.language.writer.config import WINDOW
from workbench.values import TemplateError
from workbench.words import FUNCTION_WORDS, WORD, split

SHARE = 0.05  # a word has the labels that this share of its occurrences have
WORST = 30.0  # nats of a truth that a method gives no probability
_BASE = np.uint64(0x9E3779B97F4A7C15 | 1)
_STEPS = 30  # of expectation-maximisation


class Kinds:
    """Labels that words and whole fillers have in labelled training prompts.

    Args:
        labelled: list of `worlds.Labelled`.
        extra: iterable of (phrase, label), further fillers.
    """

    def __init__(self, labelled, extra=()):
        words, phrases = defaultdict(Counter), defaultdict(Counter)
        for one in labelled:
            for start, end, label in one.words:
                words[one.text[start:end].lower()][label] += 1
            for start, end, label, _ in one.spans:
                phrases[plain(one.text[start:end])][label] += 1
        self.counts = Counter({phrase: sum(labels.values()) for phrase, labels in phrases.items()})
        self._phrases = {phrase: set(labels) for phrase, labels in phrases.items()}
        self._words = {w: {x for x, n in labels.items() if n >= SHARE * sum(labels.values())} for w, labels in words.items()}
        for phrase, label in extra:
            for word in content_words(phrase):
                self._words.setdefault(word, set()).add(label)

    def word(self, word, label):
        """Whether a word may have a label."""
        return label in self._words.get(word, ())

    def phrase(self, phrase, label):
        """Whether a known filler may have a label."""
        return label in self._phrases.get(phrase, ())

    def mostly(self, text, label):
        """Whether more than half of the words of a text, function words left out, may have a label."""
        found = [self.word(word, label) for word in content_words(text)]
        return 2 * sum(found) > len(found)

    def share(self, slots):
        """Share of words that may have the label of their slot; `slots` are pairs (text, label)."""
        found = [self.word(word, label) for text, label in slots for word in content_words(text)]
        return float(np.mean(found)) if found else float("nan")


def plain(text):
    """Lower case, single blanks."""
    return " ".join(text.lower().split())


def content_words(text):
    """Words of a text in lower case, function words left out."""
    found = [text[t.start : t.end].lower() for t in split(text) if t.kind == WORD]
    return [word for word in found if word not in FUNCTION_WORDS]


class Trigram:
    """A plain trigram, interpolated with bigram, unigram and uniform by expectation-maximisation on every tenth text.

    The weights depend on how much of the context is known. The baseline for whole fillers.

    Source:
        Jelinek and Mercer 1980, "Interpolated estimation of Markov source parameters from sparse data".
    """

    def fit(self, sequences):
        """Count the n-grams of lists of words."""
        sequences = list(sequences)
        held = sequences[9::10] or sequences
        self._count([s for i, s in enumerate(sequences) if i % 10 != 9] or sequences)
        self._weights = {kind: np.full(4, 0.25) for kind in range(3)}
        parts = defaultdict(list)
        for sequence in held:
            for a, b, c in _triples(sequence):
                kind, p = self._levels(a, b, c)
                parts[kind].append(p)
        for kind, rows in parts.items():
            rows, weights = np.array(rows), self._weights[kind]
            for _ in range(_STEPS):
                shares = rows * weights
                weights = (shares / shares.sum(1, keepdims=True)).mean(0)
            self._weights[kind] = 0.999 * weights + 0.001 / 4  # never 0 for the uniform one
        self._count(sequences)
        return self

    def _count(self, sequences):
        self._n = Counter()
        for sequence in sequences:
            for a, b, c in _triples(sequence):
                self._n.update(((a, b, c), (b, c), (c,), (a, b, None), (b, None)))
                self._n[()] += 1
        self._uniform = 1 / (2 + sum(len(key) == 1 for key in self._n))

    def _levels(self, a, b, c):
        n, pair, one = self._n, self._n.get((a, b, None), 0), self._n.get((b, None), 0)
        return (pair > 0) + (one > 0), (
            n.get((a, b, c), 0) / pair if pair else 0.0,
            n.get((b, c), 0) / one if one else 0.0,
            n.get((c,), 0) / n[()],
            self._uniform,
        )

    def fill_log_prob(self, left, fillers, right):
        """Log-probability of all trigrams that reach into a gap, as `KneserNey.fill_log_prob`: float64 (f,)."""
        before, after, out = ["<s>", "<s>", *left][-2:], [*right[:2], "</s>"][:2], []
        for filler in fillers:
            line, total = [*before, *filler, *after], 0.0
            for i in range(2, len(line)):
                kind, p = self._levels(*line[i - 2 : i + 1])
                total += np.log(sum(w * x for w, x in zip(self._weights[kind].tolist(), p, strict=True)))
            out.append(total)
        return np.array(out)


def _triples(sequence):
    line = ["<s>", "<s>", *sequence, "</s>"]
    return zip(line, line[1:], line[2:], strict=False)


class Tally:
    """Answers of one method to infill queries: right kind, exact, nats, for queries that are known and for unseen fillers."""

    def __init__(self):
        self.kind, self.unseen, self.exact, self.nats, self.words = [], [], [], [], 0

    def add(self, scores, truth, kinds, n_words, unseen):
        """Note one query.

        Args:
            scores: float64 (c,), log-probabilities up to a constant.
            truth: int, place of the truth among the candidates, or None.
            kinds: bool (c,), which candidates have the right kind; None where the kind is not known.
            n_words: int, words of the truth.
            unseen: bool, the truth is a filler that training prompts never have.
        """
        best = int(np.argmax(scores))
        if kinds is not None:
            self.kind.append(bool(kinds[best]))
            if unseen:
                self.unseen.append(bool(kinds[best]))
        if truth is not None and not unseen:
            top = scores.max()
            norm = top + np.log(np.exp(scores - top).sum())
            self.exact.append(best == truth)
            self.nats.append(min(WORST, float(norm - scores[truth])))
            self.words += n_words

    def figures(self):
        """Dict of figure -> float."""
        means = {"right kind": self.kind, "right kind, unseen": self.unseen, "exact": self.exact}
        found = {name: float(np.mean(rows)) for name, rows in means.items() if rows}
        return found | ({"nats per word": sum(self.nats) / self.words} if self.nats else {})


def distinct(sequences):
    """Different pairs of words over all pairs (distinct-2: Li et al., arXiv:1510.03055)."""
    pairs = [pair for words in sequences for pair in zip(words, words[1:], strict=False)]
    return len(set(pairs)) / max(1, len(pairs))


def balanced(text):
    """Whether every bracket is closed, in order."""
    waiting = []
    for character in text:
        if character in "([{":
            waiting.append(")]}"["([{".index(character)])
        elif character in ")]}" and (not waiting or waiting.pop() != character):
            return False
    return not waiting


def alike(template, other):
    """How alike the codes of two templates are, 0..1: the ratio of difflib."""
    runs = [[slot.name for slot in one.slots] for one in (template, other)]
    return difflib.SequenceMatcher(None, *runs, autojunk=False).ratio()


def copied_runs(sequences, train):
    """Words in the longest run that each text shares with one training text: int64 (n,).

    Args:
        sequences: list of n lists of words.
        train: list of lists of words.
    """
    index = {}
    (ours, owner), (theirs, _) = _laid_out(sequences, index, 1), _laid_out(train, index, 2)
    longest, length = np.zeros(len(sequences), np.int64), 1
    at, there = np.flatnonzero(owner >= 0), np.arange(len(theirs))
    mine, seen = ours[at] * _BASE, theirs * _BASE
    while len(at):
        keep = np.isin(mine, seen)
        at, mine = at[keep], mine[keep]
        longest[owner[at]] = length
        keep = np.isin(seen, mine)
        there, seen = there[keep], seen[keep]
        inside = at + length < len(ours)
        at, mine = at[inside], mine[inside]
        inside = there + length < len(theirs)
        there, seen = there[inside], seen[inside]
        mine, seen = (mine + ours[at + length]) * _BASE, (seen + theirs[there + length]) * _BASE
        length += 1
    return longest


def _laid_out(sequences, index, side):
    """Words as numbers in one line, after each text a number of its own; owner of each place, -1 for those."""
    numbers, owner = [], []
    for i, words in enumerate(sequences):
        numbers += [index.setdefault(word, len(index) + 1) for word in words] + [2**40 * side + i]
        owner += [i] * len(words) + [-1]
    return np.array(numbers, np.uint64), np.array(owner)


def tokens_of(texts):
    """Words of each text; texts without any are left out."""
    return [found for found in map(ngram.tokens, texts) if found]


def table(rows):
    """Markdown of rows (measure, target, baselines, ours, met); `met` is True, False or None."""
    lines = ["| measure | target | baselines | ours | met |", "| --- " * 5 + "|"]
    for measure, target, baselines, ours, met in rows:
        lines.append(f"| {measure} | {target} | {baselines} | {ours} | {'' if met is None else 'yes' if met else '**no**'} |")
    return "\n".join(lines)


def read(dsl, prompts):
    """Templates of prompts, in blocks."""
    prompts = list(prompts)
    return [t for at in range(0, len(prompts), 500) for t in dsl.read(prompts[at : at + 500])]


def fits(dsl, text):
    """Whether a prompt leaves the writer room for its gaps: none but very long real ones do not."""
    return sum(len(piece.ids) for piece in dsl.writer_.tokens_.split(text)) < WINDOW // 2


def rerollable(dsl, labelled, n):
    """The first n prompts with slots that the writer has room to fill all at once: pairs (labelled, template)."""
    pairs, long = [], 0
    for at in range(0, len(labelled), 100):
        some = labelled[at : at + 100]
        for one, template in zip(some, dsl.read([one.text for one in some]), strict=True):
            literal = "".join(part for part in template.parts if isinstance(part, str))
            pieces = sum(len(piece.ids) for piece in dsl.writer_.tokens_.split(literal))
            if pieces + 10 * len(template.slots) > WINDOW:
                long += 1
            elif template.slots:
                pairs.append((one, template))
        if len(pairs) >= n:
            break
    if long:
        print(f"{long} of {at + len(some)} prompts have more slots than the writer's window holds: left out", flush=True)
    return pairs[:n]


def from_nothing(dsl, n, seed):
    """Samples without a template: list of n `Sample`. Templates that are too long for the writer are drawn again."""
    try:
        return dsl.sample(n, seed=seed)
    except TemplateError:
        out, failed = [], 0
        while len(out) < n and failed < 10 * n:
            try:
                out += dsl.sample(1, seed=seed + len(out) + failed)
            except TemplateError:
                failed += 1
        print(f"sample(n) failed for {failed} of {n + failed} seeds: the drawn template is too long for the writer", flush=True)
        return out


def shown(value):
    """A figure as text."""
    return "-" if value is None or value != value else f"{value:.3g}" if value >= 10 else f"{value:.3f}"


def pick(rows, n, rng):
    """At most n of a list, chosen at random."""
    return [rows[i] for i in rng.permutation(len(rows))[:n].tolist()]


def gold_slots(one, template):
    """The label of each slot of a prompt: that of most of its words, function words left out; None if there is none."""
    out = []
    for slot in template.slots:
        labels = [
            label
            for start, end, label in one.words
            if slot.start <= start < slot.end and one.text[start:end].lower() not in FUNCTION_WORDS
        ]
        out.append(max(set(labels), key=lambda x: (labels.count(x), x)) if labels else None)
    return out
