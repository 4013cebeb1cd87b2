"""Units: the phrases of a corpus. Words that belong together ("oil on canvas", "claude monet") become one unit."""

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import NamedTuple

from tqdm.auto import tqdm

from workbench.values import NotFittedError
from workbench.words import FUNCTION_WORDS, JOINT, WORD, split

# "by" parts what is made from who made it, so it is a unit of its own whatever its neighbours ("art by" would hide the artist).
_ALONE = frozenset({"by"})
_MAX_PAIRS = 1_000_000


@dataclass(frozen=True)
class UnitsConfig:
    """Options of `Units`."""

    threshold: float = 0.4  # normalised PMI from which neighbours are joined, -1..1
    passes: int = 3  # each pass may join what the last one made: up to 2**passes words
    min_count: int = 5  # a pair seen less often is never joined
    max_words: int = 6  # longest phrase, in tokens

    def __post_init__(self):
        if not -1 <= self.threshold <= 1:
            raise ValueError(f"threshold is a normalised PMI, -1..1, got {self.threshold}.")
        for name in ("passes", "min_count", "max_words"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be an int of 1 or more, got {getattr(self, name)!r}.")


class Span(NamedTuple):
    """A unit of a prompt.

    `start`, `end`: characters of the prompt, end exclusive. `first`, `last`: which of the prompt's tokens of kind `word` it
    holds, last exclusive. `before`: 0 if it follows the unit before in the same segment, 1 if a separator or a bracket stands
    in between, 2 if it is the first of the prompt. `text`: its tokens in lower case with single blanks.
    """

    start: int
    end: int
    first: int
    last: int
    before: int
    text: str


class Units:
    """Phrases learned from a corpus: pairs of neighbours with high normalised pointwise mutual information, best first.

    After `fit`: `phrases_` dict of phrase -> NPMI (-1..1), `pruned_` number of rare pairs forgotten to bound memory.
    """

    def __init__(self, config=UnitsConfig()):  # noqa: B008 - frozen
        self.config = config

    def fit(self, texts, progress=True):
        """Learn the phrases of a corpus; it is read once per pass and never held in memory.

        Args:
            texts: sequence of str, read `config.passes` times.
            progress: bool, show a progress bar.

        Returns:
            self.

        Raises:
            TypeError: texts is one string, or an iterator that can be read only once.

        Source:
            Normalised PMI: Bouma 2009, "Normalized (pointwise) mutual information in collocation extraction", section 3.
        """
        if isinstance(texts, (str, bytes)) or iter(texts) is texts:
            raise TypeError("Units.fit takes a list of prompts (or a Corpus) that can be read several times.")
        self.pruned_, self._tables = 0, []
        with tqdm(total=self.config.passes * len(texts), desc="phrases", unit="prompt", disable=not progress) as bar:
            for _ in range(self.config.passes):
                table = self._learn(texts, bar)
                if not table:
                    bar.update(bar.total - bar.n)
                    break
                self._tables.append(table)
        return self

    def _learn(self, texts, bar):
        """One pass: a dict of joinable pairs (left, right) -> NPMI, on the corpus as the passes before left it."""
        singles, pairs, minimum = Counter(), Counter(), 1
        for text in texts:
            for segment in _segments(text):
                keys = self._join([token for token, *_ in segment])
                singles.update(keys)
                pairs.update(zip(keys, keys[1:], strict=False))
            bar.update()
            if len(pairs) > _MAX_PAIRS:  # as gensim's Phrases does: forget the rarest, ever more of them
                minimum += 1
                before = len(pairs)
                pairs = Counter({pair: n for pair, n in pairs.items() if n >= minimum})
                self.pruned_ += before - len(pairs)
        total = sum(singles.values())
        return {
            pair: value
            for pair, count in pairs.items()
            if count >= self.config.min_count
            and " ".join(pair).count(" ") < self.config.max_words
            and (value := _npmi(count, singles[pair[0]], singles[pair[1]], total)) >= self.config.threshold
        }

    def _join(self, keys):
        for table in self._tables:
            keys = _joined(keys, table)
        return keys

    @property
    def phrases_(self):
        """Dict of phrase -> NPMI (-1..1) of its two halves."""
        self._check_fitted()
        return {" ".join(pair): value for table in self._tables for pair, value in table.items()}

    def split(self, text):
        """Cut a prompt into units.

        Args:
            text: str.

        Returns:
            list of `Span` in order; each token of kind `word` lies in exactly one. Lone joints ("-", "&") lie inside a unit or
            in none.

        Raises:
            NotFittedError: before `fit`.
        """
        self._check_fitted()
        spans, n_words = [], 0
        for segment in _segments(text):
            before, at = (1 if spans else 2), 0
            for key in self._join([token for token, *_ in segment]):
                for part in _parts(key.split(" ")):
                    tokens = segment[at : at + len(part)]
                    at += len(part)
                    while tokens and tokens[-1][3] == JOINT:
                        tokens = tokens[:-1]
                    while tokens and tokens[0][3] == JOINT:
                        tokens = tokens[1:]
                    if not tokens:
                        continue
                    count = sum(kind == WORD for *_, kind in tokens)
                    key_text = " ".join(token for token, *_ in tokens)
                    spans.append(Span(tokens[0][1], tokens[-1][2], n_words, n_words + count, before, key_text))
                    n_words, before = n_words + count, 0
        return spans

    def to_config(self):
        """Plain JSON values that `from_config` reads."""
        self._check_fitted()
        tables = [[[*pair, value] for pair, value in table.items()] for table in self._tables]
        return {"options": asdict(self.config), "tables": tables, "pruned": self.pruned_}

    @classmethod
    def from_config(cls, state):
        """The `Units` that `to_config` described."""
        units = cls(UnitsConfig(**state["options"]))
        units._tables = [{(left, right): value for left, right, value in table} for table in state["tables"]]
        units.pruned_ = state["pruned"]
        return units

    def _check_fitted(self):
        if not hasattr(self, "_tables"):
            raise NotFittedError("These Units know no corpus yet: call fit(texts) first.")


def _segments(text):
    """List of segments, each a list of (lower-cased token, start, end, kind); separators and markup end a segment."""
    segments, current = [], []
    for start, end, kind in split(text):
        if kind in (WORD, JOINT):
            # a blank inside a token (a flag has one, a word never) would break the keys
            current.append((text[start:end].lower(), start, end, kind))
        elif current:
            segments.append(current)
            current = []
    if current:
        segments.append(current)
    return segments


def _npmi(count, left, right, total):
    """Normalised PMI of a pair: 1 if they only occur together, 0 if independent."""
    if count >= total:
        return 1.0
    return math.log(count * total / (left * right)) / -math.log(count / total)


def _joined(keys, table):
    """Join neighbours, the best pair first, until no pair of the table is left."""
    keys = list(keys)
    while len(keys) > 1:
        scores = [table.get(pair, -2.0) for pair in zip(keys, keys[1:], strict=False)]
        best = max(range(len(scores)), key=scores.__getitem__)
        if scores[best] <= -2.0:
            break
        keys[best : best + 2] = [f"{keys[best]} {keys[best + 1]}"]
    return keys


def _parts(tokens):
    """Cut a joined phrase so that its edges are both content words or both function words, and "by" stands alone."""
    if len(tokens) == 1:
        return [tokens]
    for i, token in enumerate(tokens):
        if token in _ALONE:
            return [part for piece in (tokens[:i], [token], tokens[i + 1 :]) if piece for part in _parts(piece)]
    function = [token in FUNCTION_WORDS for token in tokens]
    if function[0] == function[-1]:
        return [tokens]
    start = function.index(False)
    end = len(tokens) - function[::-1].index(False)
    return [part for part in (tokens[:start], tokens[start:end], tokens[end:]) if part]
