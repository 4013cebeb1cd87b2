"""Trie: what a filler may hold, the known tokens by their pieces, and which token may follow which."""

import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from workbench import words

SPACE = "▁"  # marks a token that follows a blank, or begins the prompt
NEVER = 1 << 20  # more pieces than any filling has
_BARRED = frozenset('()[]{}<>|\\"`')  # inside words
JOINTS = frozenset("-&+/")  # that fillers may hold: the others are quotes

# What a token begins with; bits, as a piece may begin several tokens.
_LETTER, _JOINT, _OTHER = (1 << i for i in range(3))
# What a token is: initials and joints need a word after them.
_WORD, _INITIALS, _JOINS = range(3)


def writable(text):
    """Whether a filler that is written may be this text: words, with joints between such as the hyphen of "sci - fi".

    Separators, brackets, quotes, weights, flags and all else that is syntax say where a filler ends or what a program does with
    it: they are the user's. Words such as "f/1.8", "16:9", "o'keeffe" and "h. r. giger" are single tokens.
    """
    text = unicodedata.normalize("NFKC", text)  # wide brackets and commas are brackets and commas
    tokens = words.split(text)
    kinds = [words.JOINT, *(token.kind for token in tokens), words.JOINT]
    between = all(words.JOINT not in pair or pair[0] != pair[1] for pair in pairwise(kinds))
    return bool(tokens) and between and all(_plain(text[start:end], kind) for start, end, kind in tokens)


def single(token):
    """Whether a text is one token that `writable` text may hold; initials need a word after them."""
    end = words.split(f"{token} x")[0].end if token.strip() else -1
    return end == len(token) and writable(f"x {token} x")


def _plain(token, kind):
    if kind == words.JOINT:
        return token in JOINTS
    # no lone sign, nothing unseen, and no tag such as "saber_(fate)", whose brackets weigh it where they are not escaped
    return kind == words.WORD and unicodedata.category(token[0])[0] not in "PC" and _BARRED.isdisjoint(token)


class Trie(NamedTuple):
    """Known tokens by their pieces. Node 0 is "between two tokens"; `children` per node, a dict piece -> node.

    `ends` bool (nodes,): a token may end here; `kinds` int8 (nodes,), which kind it is then. `needs` int64 (nodes,): fewest
    pieces until a token ends, with the word that initials and joints need. `begin` bool (2, pieces): pieces that may begin a
    filling, glued to what stands before or (second row) after a blank. `after` bool (kinds, pieces): pieces that may begin a
    token after one of a kind, so that `words.split` reads these two tokens again.
    """

    children: list
    ends: np.ndarray
    kinds: np.ndarray
    needs: np.ndarray
    begin: np.ndarray
    after: np.ndarray

    def unfinished(self, node):
        """Whether the token that ends here must be followed by a word."""
        return self.kinds[node] != _WORD


def grow(known, spell, size):
    """The `Trie` of known tokens.

    Args:
        known: list of str, tokens with their mark for a blank, each a `single` one.
        spell: function, token -> tuple of pieces.
        size: int, number of pieces there are.
    """
    children, ends, kinds, needs, starts = [{}], [False], [0], [NEVER], np.zeros((2, size), np.int64)
    spelt = [(token.startswith(SPACE), token.removeprefix(SPACE), spell(token)) for token in known]
    for spaced, bare, ids in spelt:
        starts[int(spaced), ids[0]] |= _begins(bare)
    spaced = starts[1]
    word = min((len(ids) for after_blank, _, ids in spelt if after_blank and spaced[ids[0]] == _LETTER), default=NEVER)
    for _, bare, ids in spelt:
        kind = _kind(bare)
        node, left = 0, len(ids) + (0 if kind == _WORD else word)
        for piece in ids:
            after = children[node].get(piece)
            if after is None:
                after = children[node][piece] = len(children)
                children.append({})
                ends.append(False)
                kinds.append(0)
                needs.append(NEVER)
            node, left = after, left - 1
            needs[node] = min(needs[node], left)
        ends[node], kinds[node] = True, kind
    after = np.stack(
        [
            spaced > 0,  # letters, digits and signs would join the word, and "word+" is a weight
            spaced == _LETTER,  # initials are initials before a letter
            (spaced > 0) & (spaced & _JOINT == 0),
        ]
    )
    return Trie(children, np.array(ends), np.array(kinds, np.int8), np.array(needs), starts & ~_JOINT > 0, after)


def _begins(bare):
    if bare[0].isalpha() or unicodedata.category(bare[0])[0] == "M":
        return _LETTER
    return _JOINT if _kind(bare) == _JOINS else _OTHER


@lru_cache(100_000)
def _kind(bare):
    if bare[-1] == ".":
        return _INITIALS
    return _JOINS if words.split(bare)[0].kind == words.JOINT else _WORD
