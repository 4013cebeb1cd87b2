"""Units: words -> phrases. Neighbours that the corpus keeps together ("oil on canvas") become one unit; no labels are used."""

import heapq
import math
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import NamedTuple

from workbench import checks, words
from workbench import progress as bars
from workbench.artifacts import Saved
from workbench.values import NotFittedError
from workbench.words import FUNCTION_WORDS

ALONE = "by"  # introduces an artist and belongs to neither side: "painted" | "by" | "ana lopez"
_OPENERS = frozenset({"a", "an", "the", "and", "or"})  # these begin a phrase of content: "a painting of a" is no preposition
_JOINTS = frozenset("-'‘’&+/")
_PASSES = 3  # times that joined units may be joined again; each pass reads the texts once
_MAX_WORDS = 6  # of the longest phrase
_MAX_COUNTS = 500_000  # entries of a counter; beyond that the rarest are dropped
_FULL_CORPUS = 2_000  # prompts from which on min_count holds as given


@dataclass(frozen=True)
class UnitsConfig:
    """Options of `Units`.

    Below 2,000 prompts `min_count` shrinks in proportion, but not below 2: a pair seen once is no evidence.
    """

    threshold: float = 0.4  # the least normalised PMI (-1..1) of neighbours that are joined
    min_count: int = 5  # times that a pair has to occur

    def __post_init__(self):
        checks.number("threshold", self.threshold, -1, 1)
        checks.whole("min_count", self.min_count)


class Span(NamedTuple):
    """A unit of a prompt.

    `start` and `end` (exclusive) count characters. `first` and `last` (exclusive) count the prompt's tokens of kind "word".
    `before` is 0 if the unit stands in the segment of the unit before it, 1 if a separator or mark is between them, 2 if the
    unit is the first. `text` is the lower-cased key with single blanks between tokens; as typed it is `prompt[start:end]`.
    """

    start: int
    end: int
    first: int
    last: int
    before: int
    text: str


class Units(Saved):
    """Phrases learned from a corpus.

    After `fit`: `phrases_` dict phrase -> normalised PMI (0 is chance, 1 is "never apart"), of all passes; `report_` dict of
    what was read, used and dropped.

    Source:
        Bouma, Normalized (Pointwise) Mutual Information in Collocation Extraction, GSCL 2009, section 4; passes and bounded
        counters as in Mikolov et al., arXiv:1310.4546, section 4, and gensim's `Phrases`.
    """

    kind = "units"

    def __init__(self, config=UnitsConfig()):
        self.config = config
        self._tables = None  # per pass: (left, right) -> (joined text, NPMI)

    def fit(self, texts, progress=True):
        """Learn which neighbours belong together. Reads `texts` once a pass and keeps counts only, in bounded memory.

        Args:
            texts: sequence of str, prompts; it is read up to 3 times.
            progress: whether to show a progress bar.

        Returns:
            self. A corpus too small for any phrase leaves `phrases_` empty: units are then single words.

        Raises:
            TypeError: `texts` is a string or can be read only once, or a row is not a string.
            ValueError: no texts.
        """
        size = _check_texts(texts)
        limit = min(self.config.min_count, max(2, math.ceil(self.config.min_count * size / _FULL_CORPUS)))
        report = {"prompts": size, "words": 0, "min_count": limit, "phrases_per_pass": [], "counts_pruned": 0}
        tables = []
        with bars.bar(total=size * _PASSES, name="finding phrases", unit="prompts", shown=progress) as bar:
            for _ in range(_PASSES):
                units, pairs, n_units, pruned = _count(texts, tables, bar)
                table = self._table(units, pairs, n_units, limit)
                report["words"] = report["words"] or n_units
                report["counts_pruned"] += pruned
                report["phrases_per_pass"].append(len(table))
                if not table:
                    break
                tables.append(table)
        self._restore(tables, report)
        return self

    def split(self, text):
        """Cut a prompt into units.

        Every token of kind "word" is in exactly one unit. Separators and marks are in none; a hyphen or an ampersand between
        blanks may stand inside one ("sci - fi") but never at its edge. A unit begins and ends with content words, or holds
        function words only, or is one preposition ("in the style of"); what was joined otherwise is split again, and "by"
        stands alone.

        Args:
            text: str, any text.

        Returns:
            list of `Span`, in order.

        Raises:
            NotFittedError: before `fit`.
        """
        if self._tables is None:
            raise NotFittedError("These units have no phrases yet: call fit(texts) first, or load a saved DSL.")
        spans, word = [], 0
        for tokens in _segments(text):
            keys = [key for _, _, key in tokens]
            begin, before = 0, 1 if spans else 2
            for size in _sizes(keys, self._tables):
                for first, last in _edges(keys, begin, begin + size):
                    n_words = sum(key not in _JOINTS for key in keys[first:last])
                    label = " ".join(keys[first:last])
                    spans.append(Span(tokens[first][0], tokens[last - 1][1], word, word + n_words, before, label))
                    word, before = word + n_words, 0
                begin += size
        return spans

    def to_state(self):
        """Config (JSON values) and tensors (none) that `from_state` reads. Raises NotFittedError before `fit`."""
        if self._tables is None:
            raise NotFittedError("These units have no phrases to save: call fit(texts) first.")
        passes = [[[*pair, score] for pair, (_, score) in table.items()] for table in self._tables]
        return {"options": asdict(self.config), "passes": passes, "report": dict(self.report_)}, {}

    @classmethod
    def from_state(cls, config, tensors):
        """The `Units` that `to_state` described."""
        tables = [{(left, right): (f"{left} {right}", float(npmi)) for left, right, npmi in rows} for rows in config["passes"]]
        return cls(UnitsConfig(**config["options"]))._restore(tables, dict(config["report"]))

    def _restore(self, tables, report):
        self._tables, self.report_ = tables, report
        self.phrases_ = {joined: score for table in tables for joined, score in table.values()}
        return self

    def _table(self, units, pairs, n_units, limit):
        """The pairs that one pass joins -> {(left, right): (joined text, NPMI)}."""
        table = {}
        for (left, right), count in pairs.items():
            if count < limit or ALONE in (left, right):
                continue
            # a pruned unit occurs at least as often as its pairs do
            score = npmi(count, max(units[left], count), max(units[right], count), n_units)
            joined = f"{left} {right}"
            n_words = sum(token not in _JOINTS for token in joined.split(" "))
            if score >= self.config.threshold and n_words <= _MAX_WORDS:
                table[left, right] = (sys.intern(joined), score)
        return table


def npmi(pair, left, right, total):
    """Normalised pointwise mutual information of two neighbours: log(p(xy) / p(x)p(y)) / -log p(xy).

    Args:
        pair: int > 0, times they stand together.
        left: int >= pair, times the left one occurs.
        right: int >= pair, times the right one occurs.
        total: int > pair, units in all.

    Returns:
        float -1..1: 0 at chance, 1 if neither occurs without the other.
    """
    return math.log(pair * total / (left * right)) / -math.log(pair / total)


def _check_texts(texts):
    """The number of rows, or an error before any work; the texts are not copied."""
    if isinstance(texts, (str, bytes)):
        raise TypeError("Units.fit got one string. Expected a list of prompts: fit([text]).")
    if not hasattr(texts, "__len__") or iter(texts) is texts:
        raise TypeError(f"Units.fit reads the texts several times, {type(texts).__name__} can be read only once. Give a list.")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"Row {row} of texts is {type(text).__name__}, expected str. Leave out rows without text.")
    if not len(texts):
        raise ValueError("Units.fit got no texts. Expected one prompt or more.")
    return len(texts)


def _segments(text):
    """The stretches between separators and marks -> lists of (start, end, key), words and joints."""
    segment = []
    for start, end, kind in words.split(text):
        if kind == words.WORD or kind == words.JOINT:
            # a few graphemes hold a blank, which separates the tokens of a key; equal keys share memory
            segment.append((start, end, sys.intern(words.visible(text[start:end]).replace(" ", ""))))
        elif segment:
            yield segment
            segment = []
    if segment:
        yield segment


def _count(texts, tables, bar):
    """Count units and pairs of neighbours, as joined by `tables` -> (units, pairs, number of units, entries pruned)."""
    units, pairs, n_units, pruned, floor = Counter(), Counter(), 0, 0, 1
    for text in texts:
        for tokens in _segments(text):
            joined = [key for _, _, key in tokens]
            for table in tables:
                joined, _ = _join(joined, table)
            n_units += len(joined)
            units.update(joined)
            if len(joined) > 1:
                pairs.update(pairwise(joined))
        while len(pairs) > _MAX_COUNTS or len(units) > _MAX_COUNTS:
            pruned += _prune(pairs, floor) + _prune(units, floor)
            floor += 1
        bar.update()
    return units, pairs, n_units, pruned


def _prune(counts, floor):
    """Forget, in a counter that is too long, what occurred at most `floor` times -> entries dropped."""
    if len(counts) <= _MAX_COUNTS:
        return 0
    rare = [key for key, count in counts.items() if count <= floor]
    for key in rare:
        del counts[key]
    return len(rare)


def _join(units, table):
    """Join neighbours that stand in `table`, best first and then leftmost -> (units, how many of the old each one holds).

    A queue instead of a search for the best after each step: a row of 1 MB without separators is one segment.
    """
    queue = [(-table[pair][1], i, i + 1, pair) for i, pair in enumerate(pairwise(units)) if pair in table]
    if not queue:
        return units, [1] * len(units)
    heapq.heapify(queue)
    units, sizes, end = list(units), [1] * len(units), len(units)
    starts = list(range(end))  # at the last place of a unit, its first place; units and sizes are kept at the first
    while queue:
        _, i, j, pair = heapq.heappop(queue)
        if not sizes[i] or j >= end or not sizes[j] or i + sizes[i] != j or (units[i], units[j]) != pair:
            continue  # one of the two has been joined to another unit since
        units[i], sizes[i], sizes[j] = table[pair][0], sizes[i] + sizes[j], 0
        after = i + sizes[i]
        starts[after - 1] = i
        for left, right in ((starts[i - 1], i) if i else (0, end), (i, after)):
            if right < end and (found := table.get((units[left], units[right]))):
                heapq.heappush(queue, (-found[1], left, right, (units[left], units[right])))
    return [u for u, size in zip(units, sizes, strict=True) if size], [size for size in sizes if size]


def _sizes(keys, tables):
    """How many tokens each unit of a segment holds after all passes."""
    units, sizes = keys, [1] * len(keys)
    for table in tables:
        units, merged = _join(units, table)
        if len(merged) < len(sizes):
            rest = iter(sizes)
            sizes = [sum(next(rest) for _ in range(size)) for size in merged]
    return sizes


def _is_preposition(keys):
    """True for function words alone, and for what works as one preposition: "in the style of", "on top of a"."""
    content = sum(key not in FUNCTION_WORDS and key not in _JOINTS for key in keys)
    return not content or (content == 1 and keys[0] not in _OPENERS and "of" in keys[-2:])


def _edges(keys, first, last):
    """Split tokens `first` to `last` (exclusive) so that both edges are of one kind -> (first, last) of the parts, no joints."""
    while first < last and keys[first] in _JOINTS:
        first += 1
    while first < last and keys[last - 1] in _JOINTS:
        last -= 1
    if first == last:
        return
    opens, closes = keys[first] in FUNCTION_WORDS, keys[last - 1] in FUNCTION_WORDS
    if opens == closes and (not opens or _is_preposition(keys[first:last])):
        yield first, last
        return
    cut = first if opens else last
    if opens:  # "the milky way" -> "the" | "milky way"
        while keys[cut] in FUNCTION_WORDS or keys[cut] in _JOINTS:
            cut += 1
    else:  # "portrait of a" -> "portrait" | "of a"
        while keys[cut - 1] in FUNCTION_WORDS or keys[cut - 1] in _JOINTS:
            cut -= 1
    yield from _edges(keys, first, cut)
    yield from _edges(keys, cut, last)
