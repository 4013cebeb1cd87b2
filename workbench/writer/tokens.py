"""Tokens: what the writer reads and writes. Words as learned pieces, a trie of the words it may write, and how to case them."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from workbench import words
from workbench.values import ArtifactError
from workbench.writer.trie import SPACE, brackets, grow

# The marks: padding, a gap in the visible text, where a filling begins, where its words begin, its end, the prompt's edges.
PAD, GAP, FILL, GO, END, LEFT, RIGHT = range(7)
_N_MARKS = 7
_BYTES = 256  # tokens that spell any character there is no piece for
_CASED = 20_000  # words whose usual casing is kept


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

    def __init__(self, pieces, merges, known, cased):
        self.pieces, self.merges, self.known, self.cased = list(pieces), [tuple(m) for m in merges], list(known), dict(cased)
        first = _N_MARKS + _BYTES
        vocabulary = {f"<0x{byte:02X}>": _N_MARKS + byte for byte in range(_BYTES)}
        vocabulary |= {piece: first + i for i, piece in enumerate(self.pieces)}
        self._bpe = tokenizers.Tokenizer(BPE(vocab=vocabulary, merges=self.merges, byte_fallback=True))
        self._ids = {}
        self.size = first + len(self.pieces)
        self.trie = grow(self.known, self.spell, self.size)
        found = {_N_MARKS + ord(c): c for c in "()[]{}<>"} | {first + i: brackets(p) for i, p in enumerate(self.pieces)}
        self.brackets = {i: those for i, those in found.items() if those}  # of the pieces that hold any
        # Pieces behind a blank, and all that can be written: no marks, and no bytes that spell a blank.
        self.marked = np.array([False] * first + [p.startswith((SPACE, " ")) for p in self.pieces])
        self.written = np.arange(self.size) >= _N_MARKS
        self.written[[_N_MARKS + ord(c) for c in " \t\n\r\v\f"]] = False

    @classmethod
    def learn(cls, texts, size, min_count=2):
        """Learn pieces from texts.

        Args:
            texts: iterable of str.
            size: int, pieces at most, marks and bytes not counted.
            min_count: int, times a token must occur to be known; decoding can be held to known tokens.
        """
        counts, forms = Counter(), Counter()
        for text in texts:
            for start, end, kind in words.split(text):
                if text[start:end].isspace():
                    continue
                counts[_marked(text, start, end)] += 1
                if kind == words.WORD:
                    forms[text[start:end]] += 1
        # Each token is a training text of its own, so no merge crosses a blank. Beyond some thousands a count says no more.
        trainer = BpeTrainer(vocab_size=size, limit_alphabet=min(400, size // 2), show_progress=False)
        learner = tokenizers.Tokenizer(BPE())
        learner.train_from_iterator((token for token, n in counts.items() for _ in range(min(n, 2000))), trainer)
        state = tokenizers_state(learner)
        known = sorted(token for token, n in counts.items() if n >= min_count)
        return cls(state["vocab"], state["merges"], known, _usual_case(forms))

    def split(self, text):
        """Cut a prompt into tokens: list of `Piece`; white space between them is not kept but as "some" or "none"."""
        tokens = [(start, end) for start, end, _ in words.split(text) if not text[start:end].isspace()]  # without line ends
        return [Piece(start, end, self.spell(_marked(text, start, end))) for start, end in tokens]

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
            if _N_MARKS <= i < _N_MARKS + _BYTES:
                pending.append(i - _N_MARKS)
                continue
            if pending:
                out.append(pending.decode("utf-8", "replace"))
                pending = bytearray()
            if i >= _N_MARKS:
                out.append(self.pieces[i - _N_MARKS - _BYTES])
        out.append(pending.decode("utf-8", "replace"))
        return "".join(out).replace(SPACE, " ")

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
        return {"pieces": self.pieces, "merges": [list(m) for m in self.merges], "known": self.known, "cased": self.cased}

    @classmethod
    def from_config(cls, state):
        """The tokens whose `to_config` gave `state`.

        Raises:
            ArtifactError: `state` has another shape.
        """
        try:
            return cls(state["pieces"], state["merges"], state["known"], state["cased"])
        except Exception as err:  # the Rust library raises bare Exception on bad merges
            raise ArtifactError(f"These are no saved tokens ({err}): expected what to_config gives.") from err


def tokenizers_state(learner):
    """Vocabulary in order of id, and merges, of a trained byte-pair encoder."""
    import json

    state = json.loads(learner.to_str())["model"]
    merges = [m.split(" ") if isinstance(m, str) else m for m in state["merges"]]
    return {"vocab": [p for p, _ in sorted(state["vocab"].items(), key=lambda item: item[1])], "merges": merges}


def _marked(text, start, end):
    """A token as the writer sees it: lower-case, with a mark if a blank or the beginning stands before it."""
    mark = SPACE if start == 0 or text[start - 1].isspace() else ""
    return mark + " ".join(text[start:end].lower().split()).replace(SPACE, "_")


def _usual_case(forms):
    """Lower-case word -> its most common casing, where that is not lower-case."""
    best = {}
    for form, n in forms.most_common():
        best.setdefault(form.lower(), (form, n))
    usual = sorted(((n, low, form) for low, (form, n) in best.items() if form != low and n > 1), reverse=True)
    return {low: form for _, low, form in usual[:_CASED]}
