"""Pieces: the words of a corpus, spelled in pieces of a pretrained model's vocabulary, and the trie of these spellings."""

from typing import NamedTuple

import numpy as np

from workbench import words

END = 0  # the piece, and the word, that ends a prompt
BEGIN, WORD, SEPARATOR, JOINT, INITIALS = range(5)  # what a token is, and what stands before the first


def tokens(text):
    """What a prompt is read as: words and joints after a blank, separators glued to what stands before; all in lower case.

    Brackets, weights and syntax of other programs are left out, and separators at both ends.

    Args:
        text: str.

    Returns:
        list of str, such as [" a", " fox", ",", " sci", " -", " fi"].
    """
    out, last = [], BEGIN
    for start, end, kind in words.split(text):
        if kind not in (words.WORD, words.SEPARATOR, words.JOINT):
            continue
        token = words.visible(text[start:end])
        if kind != words.WORD:
            if last != WORD:
                continue
            token = token.strip()[:1] or ","  # of ",,," one
        out.append(token if kind == words.SEPARATOR else " " + token)
        last = kind_of(out[-1])
    while out and kind_of(out[-1]) != WORD:
        out.pop()
    return out


def kind_of(token):
    """WORD, SEPARATOR, JOINT or INITIALS, such as " h."; only after a word may anything but a word follow."""
    if token[0] != " ":
        return SEPARATOR
    if words.split(token[1:])[0].kind == words.JOINT:
        return JOINT
    return INITIALS if token[-1] == "." else WORD


class Node(NamedTuple):
    """Words with a common beginning: rows `low` to `high` (exclusive) of `Pieces.words`; `word` is the row that ends here, or -1.

    `children`: dict of piece -> `Node`, in rising order of pieces; `pieces`, `lows`, `highs` int64 (c,), the same as arrays.
    """

    low: int
    high: int
    word: int
    children: dict
    pieces: np.ndarray
    lows: np.ndarray
    highs: np.ndarray


class Pieces:
    """The words of a corpus in pieces of a base, numbered from 1; piece 0 is the end.

    Args:
        tokenizer: fast tokenizer of the base.
        vocabulary: list of n str, tokens (see `tokens`), all different.

    Attributes:
        base: int64 (v - 1,), ids of the pieces in the base.
        words: list of n + 1 tuples of int, the end and the spellings of the words, in rising order.
        order: int64 (n + 1,), place in `vocabulary` of each of them; n for the end.
        tokens: list of n + 1 str, the same as texts.
        kinds: int8 (n + 1,), of each of them; BEGIN for the end.
    """

    def __init__(self, tokenizer, vocabulary):
        self._tokenizer = tokenizer
        ids = tokenizer(list(vocabulary), add_special_tokens=False).input_ids
        self.base = np.unique(np.concatenate([np.array(one, np.int64) for one in ids]))
        self.size = len(self.base) + 1
        spelt = [tuple((np.searchsorted(self.base, one) + 1).tolist()) for one in ids]
        self._spelt = dict(zip(vocabulary, spelt, strict=True))
        spelt.append((END,))
        order = sorted(range(len(spelt)), key=spelt.__getitem__)
        self.order, self.words = np.array(order), [spelt[i] for i in order]
        self.tokens = [vocabulary[i] if i < len(vocabulary) else "" for i in order]
        self.kinds = np.array([BEGIN if i == len(vocabulary) else kind_of(vocabulary[i]) for i in order], np.int8)
        self.root = self._node(0, len(order), 0)

    def _node(self, low, high, depth):
        """The `Node` of the words `low` to `high`, which share their first `depth` pieces."""
        word = -1
        first, children = low, {}
        while first < high and len(self.words[first]) == depth:  # of words spelled alike, the last one
            word, first = first, first + 1
        while first < high:
            piece, last = self.words[first][depth], first + 1
            while last < high and self.words[last][depth] == piece:
                last += 1
            children[piece] = self._node(first, last, depth + 1)
            first = last
        bounds = np.array([(piece, node.low, node.high) for piece, node in children.items()], np.int64).reshape(-1, 3)
        return Node(low, high, word, children, *bounds.T)

    def spell(self, some):
        """Numbers of the pieces of tokens of the vocabulary, without the end: list of int. KeyError for another token."""
        return [piece for token in some for piece in self._spelt[token]]

    def __contains__(self, token):
        return token in self._spelt

    def text(self, pieces):
        """The text of numbers of pieces."""
        ids = [int(self.base[piece - 1]) for piece in pieces if piece != END]
        return self._tokenizer.decode(ids, clean_up_tokenization_spaces=False).removeprefix(" ")
