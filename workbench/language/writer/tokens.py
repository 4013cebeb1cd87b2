"""Tokens: what the writer reads and writes. Words as learned pieces, a trie of the words it may write, and how to case them."""

import copy
import json
import re
import unicodedata
from collections import Counter
from typing import NamedTuple

import numpy as np
import tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from workbench import words
from workbench.language.writer.trie import JOINTS, SPACE, grow, single, writable

# The marks: padding, a gap in the visible text, where a filling begins, where its words begin, its end, the prompt's edges.
PAD, GAP, FILL, GO, END, LEFT, RIGHT = range(7)
N_MARKS = 7
_BYTES = 256  # tokens that spell any character there is no piece for
_RARE, _MISSPELT = 50, 20  # a word seen less often than this is misspelt if a similar one is this many times as common
_MISSPELT_SHORT = 150  # the same for words of three letters
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_CASED = 20_000  # words whose usual casing is kept
# Words that an English article does not stand before. "hour", "unicorn", "umbrella", "one" and "European" may follow either.
_CLASH = {"a": re.compile("[ai]|e(?!u)|o(?!n)"), "an": re.compile("[bcdfgjklmnpqrstvwyz]|h(?!o|ei|$)")}
_ENGLISH = 0.9  # share of articles that have to agree with what follows, for the writer to be held to it


class Piece(NamedTuple):
    """A token of a prompt: characters `start` to `end` (exclusive, the blank before left out) and the ids of its pieces."""

    start: int
    end: int
    ids: tuple


class Tokens:
    """The pieces of a corpus, learned by byte-pair encoding of its tokens (`workbench.words`), lower-cased.

    Source:
        Sennrich et al., arXiv:1508.07909 (byte-pair encoding); SentencePiece's mark for blanks, arXiv:1808.06226.
    """

    def __init__(self, pieces, merges, known, cased, articles=False):
        self.pieces, self.merges = list(pieces), [tuple(m) for m in merges]
        self.known = [token for token in known if single(token.removeprefix(SPACE))]
        self.cased = {low: form for low, form in dict(cased).items() if single(form)}
        self.articles = bool(articles)
        first = N_MARKS + _BYTES
        vocabulary = {f"<0x{byte:02X}>": N_MARKS + byte for byte in range(_BYTES)}
        vocabulary |= {piece: first + i for i, piece in enumerate(self.pieces)}
        self._bpe = tokenizers.Tokenizer(BPE(vocab=vocabulary, merges=self.merges, byte_fallback=True))
        self._ids, self._knew = {}, (None, None)
        self.size = first + len(self.pieces)
        self.trie = grow(self.known, self.spell, self.size)
        # Pieces after a blank, and all that text can be made of: no marks, and no bytes that spell a blank.
        self.marked = np.array([False] * first + [p.startswith((SPACE, " ")) for p in self.pieces])
        self.written = np.arange(self.size) >= N_MARKS
        self.written[[N_MARKS + ord(c) for c in " \t\n\r\v\f"]] = False
        # Pieces that any word may be spelled with, which begin with a joint, and which need a word after them (see `_joins`).
        self.plain = np.array([False] * first + [_plain(piece) for piece in self.pieces])
        self.plain[[N_MARKS + byte for byte in range(128) if chr(byte).isalnum()]] = True
        self.opens = np.array([False] * first + [piece.removeprefix(SPACE)[:1] in JOINTS for piece in self.pieces])
        self.joins = np.array([0] * first + [_joins(piece) for piece in self.pieces])
        # Whether words often stand right after a mark, "(castle", or without any blanks: then they may begin a filling so.
        self.glues = 5 * sum(not token.startswith(SPACE) for token in self.known) >= len(self.known)
        self.clashes = {}  # by the piece of an article, which pieces may not follow it
        for article, clash in _CLASH.items() if self.articles else ():
            ids = self.spell(SPACE + article)
            if len(ids) == 1:
                clashing = [bool(clash.match(piece.lstrip(SPACE + " "))) for piece in self.pieces]
                self.clashes[ids[0]] = np.array([False] * first + clashing)

    @classmethod
    def learn(cls, texts, size, min_count=2):
        """Learn pieces from texts.

        Args:
            texts: iterable of str.
            size: int, pieces at most, marks and bytes not counted.
            min_count: int, times a token must occur to be known; decoding can be held to known tokens.
        """
        counts, forms, articles = _counted(texts)
        # Each token is a training text of its own, so no merge crosses a blank. Beyond some thousands a count says no more.
        trainer = BpeTrainer(vocab_size=size, limit_alphabet=min(400, size // 2), show_progress=False)
        learner = tokenizers.Tokenizer(BPE())
        learner.train_from_iterator((token for token, n in counts.items() for _ in range(min(n, 2000))), trainer)
        state = json.loads(learner.to_str())["model"]
        merges = [m.split(" ") if isinstance(m, str) else m for m in state["merges"]]
        known = [token for token in _said(counts, forms) if counts[token] >= min_count]
        known = sorted(token for token in known if not _misspelt(token, counts[token], counts))
        return cls(sorted(state["vocab"], key=state["vocab"].get), merges, known, _usual_case(forms), articles)

    def split(self, text, glued=False):
        """Cut a prompt, or text `glued` to some before it, into tokens: list of `Piece`; white space is "some" or "none".

        Line ends and the syntax of other programs are passed over.
        """
        tokens = [(s, e) for s, e, kind in words.split(text) if kind != words.SYNTAX and not text[s:e].isspace()]
        return [Piece(start, end, self.spell(_marked(text, start, end, glued))) for start, end in tokens]

    def spell(self, token):
        """Ids of the pieces of one token, given with its mark for a blank."""
        ids = self._ids.get(token)
        if ids is None:
            if len(self._ids) > 100_000:
                self._ids = {}
            text = token.encode("utf-8", "replace").decode()
            ids = self._ids[token] = tuple(self._bpe.encode(text, add_special_tokens=False).ids)
        return ids

    def text(self, ids):
        """The text of pieces, lower-cased as they are; a blank in front stays, as the mark of the first piece."""
        out, pending = [], bytearray()
        for i in ids:
            if N_MARKS <= i < N_MARKS + _BYTES:
                pending.append(i - N_MARKS)
                continue
            if pending:
                out.append(pending.decode("utf-8", "replace"))
                pending = bytearray()
            if i >= N_MARKS:
                out.append(self.pieces[i - N_MARKS - _BYTES])
        out.append(pending.decode("utf-8", "replace"))
        return "".join(out).replace(SPACE, " ")

    def knowing(self, texts):
        """Tokens that know the words of some texts too, cased as they are there unless the corpus has a casing for them."""
        texts = tuple(texts)
        if self._knew[0] != texts:  # a prompt is written anew again and again
            self._knew = texts, self._knowing(texts)
        return self._knew[1]

    def _knowing(self, texts):
        counts, forms, _ = _counted(texts)
        new = sorted(token for token in _said(counts, forms) - set(self.known) if single(token.removeprefix(SPACE)))
        if not new:
            return self
        other = copy.copy(self)
        other._knew = (None, None)
        other.known = [*self.known, *new]
        other.cased = {form.lower(): form for form in forms if form != form.lower()} | self.cased
        other.trie = grow(other.known, other.spell, other.size)
        return other

    def dress(self, text):
        """The text with each word in the casing it usually has in the corpus: "rembrandt" -> "Rembrandt"."""
        out, at = [], 0
        for start, end, kind in words.split(text):
            if kind == words.WORD:
                out += [text[at:start], self.cased.get(text[start:end], text[start:end])]
                at = end
        return "".join(out) + text[at:]

    def to_config(self):
        """JSON values from which `from_config` makes it again."""
        merges = [list(m) for m in self.merges]
        return {"pieces": self.pieces, "merges": merges, "known": self.known, "cased": self.cased, "articles": self.articles}

    @classmethod
    def from_config(cls, state):
        """The tokens whose `to_config` gave `state`.

        Raises:
            ValueError: `state` has another shape.
        """
        try:
            return cls(state["pieces"], state["merges"], state["known"], state["cased"], state["articles"])
        except Exception as err:  # the Rust library raises bare Exception on bad merges
            raise ValueError(f"These are no saved tokens ({err}): expected what to_config gives.") from err


def _counted(texts):
    """How often each token stands in texts, with its mark for a blank, and each word as typed: two Counters.

    And whether "a" and "an" are English articles there, a bool.
    """
    counts, forms, articles = Counter(), Counter(), Counter()
    for text in texts:
        last = None
        for start, end, kind in words.split(text):
            if kind == words.SYNTAX or text[start:end].isspace():
                continue
            token = _marked(text, start, end)
            counts[token] += 1
            if kind == words.WORD:
                forms[text[start:end]] += 1
            if last in _CLASH and token.startswith(SPACE):
                articles[last, _CLASH[last].match(token.removeprefix(SPACE)) is None] += 1
            last = token.removeprefix(SPACE)
    agree = [articles[article, True] / max(1, articles[article, True] + articles[article, False]) for article in _CLASH]
    return counts, forms, min(agree) >= _ENGLISH


def _plain(piece):
    """Whether a piece may be part of any word: inside one of letters, digits and joints only, since signs would cut it."""
    if piece.startswith(SPACE):
        return piece == SPACE or (" " not in piece and writable(f"x {piece[1:]}" + " x" * (piece[-1] in JOINTS)))
    inside = all(c in JOINTS or c.isalnum() or unicodedata.category(c)[0] == "M" for c in piece)
    return inside and writable(f"x{piece}x")


def _joins(piece):
    """1 for a joint between blanks, 2 for a piece that ends in a blank or a joint and goes on without a blank, else 0."""
    if piece[-1:] not in (SPACE, *JOINTS):
        return 0
    return 1 if piece.startswith(SPACE) and piece[1:] in JOINTS else 2


def _said(counts, forms):
    """The tokens that were typed as words or joints: "BREAK" and "AND" are other programs' syntax."""
    bares = {" ".join(form.lower().split()) for form in forms} | JOINTS
    return {token for token in counts if token.removeprefix(SPACE) in bares}


def _misspelt(token, n, counts):
    """Whether a rare word is a common one with two letters swapped, one inside it doubled, added, or left out.

    Words of three letters have many neighbours: of them only one of a far more common word with a letter left out is.
    """
    bare = token.removeprefix(SPACE)
    if n >= _RARE or len(bare) < 3 or not bare.isalpha():
        return False
    begin = 2 if token.startswith(SPACE) else 1  # typists seldom miss the first letter, and a last one may be a plural's
    more = [token[:i] + c + token[i:] for i in range(begin, len(token)) for c in _LETTERS]
    if len(bare) == 3:
        return any(counts.get(other, 0) >= _MISSPELT_SHORT * n for other in more)
    swapped = [token[:i] + token[i + 1] + token[i] + token[i + 2 :] for i in range(begin, len(token) - 1)]
    less = [token[:i] + token[i + 1 :] for i in range(begin, len(token) - 1)]
    return any(counts.get(other, 0) >= _MISSPELT * n for other in swapped + less + more)


def _marked(text, start, end, glued=False):
    """A token as the writer sees it: lower-case, with a mark if a blank or, unless `glued`, the beginning stands before it."""
    spaced = text[start - 1].isspace() if start else not glued
    return (SPACE if spaced else "") + " ".join(text[start:end].lower().split()).replace(SPACE, "_")


def _usual_case(forms):
    """Lower-case word -> its most common casing, where that is not lower-case."""
    best = {}
    for form, n in forms.most_common():
        best.setdefault(form.lower(), (form, n))
    usual = sorted(((n, low, form) for low, (form, n) in best.items() if form != low and n > 1), reverse=True)
    return {low: form for _, low, form in usual[:_CASED]}
