"""Trie: the known tokens by their pieces, and which token may stand glued to which, so that a text is read as it was written."""

import unicodedata
from typing import NamedTuple

import numpy as np

SPACE = "▁"  # marks a token that follows a blank, or begins the prompt
OPENING = {"(": ")", "[": "]", "{": "}", "<": ">"}
CLOSING = frozenset(OPENING.values())
NEVER = 1 << 20  # more pieces than any filling has
_SEPARATORS = frozenset(",;|.!?:\n\r•·…—–。、，；！？؛،")
_MARKS = frozenset('*_#@~^=\\`"“”«»')
_JOINTS = frozenset("-'‘’&+/")

# What a token is, by its first character; bits, as a piece may begin several tokens.
LETTER, DIGIT, SEPARATOR, DOT, COMMA, WEIGHT, OPENS, CLOSES, MARK, JOINT, SYMBOL = (1 << i for i in range(11))
_BRACKET, _ANY = OPENS | CLOSES, (1 << 11) - 1
# What may not be glued to a token, and what may not follow it after a blank: `words.split` would read other tokens.
_WORD, _NUMBER, _SIZE, _INITIAL, _INITIALS, _OPENED, _CLOSED, _SEPARATED, _COMMA, _MARKED, _WEIGHT, _FLAG, _SYMBOL = range(13)
_GLUED = {
    _WORD: LETTER | DIGIT,
    _NUMBER: LETTER | DIGIT | SYMBOL | WEIGHT,  # 16 and :9, 50 and % are one token
    _SIZE: LETTER | DIGIT | SYMBOL,  # 8k
    _INITIAL: LETTER | DIGIT | DOT,  # h. giger
    _INITIALS: _ANY,
    _OPENED: _BRACKET,
    _CLOSED: _BRACKET,
    _SEPARATED: LETTER | DIGIT | SEPARATOR | DOT | COMMA | WEIGHT,
    _COMMA: SEPARATOR | DOT | COMMA | WEIGHT,
    _MARKED: MARK,
    _WEIGHT: _ANY & ~(CLOSES | COMMA),
    _FLAG: _ANY & ~(_BRACKET | COMMA),
    _SYMBOL: LETTER | DIGIT | SYMBOL,  # signs may join to one grapheme
}
_SPACED = {_INITIALS: _ANY & ~LETTER, _WEIGHT: DIGIT, _FLAG: DIGIT}  # initials need a letter after them


class Trie(NamedTuple):
    """Known tokens by their pieces. Node 0 is "between two tokens"; `children` per node, a dict piece -> node.

    `ends` bool (nodes,): a token may end here; `kinds` int8 (nodes,), which kind it is then. `needs` int64 (nodes,): fewest
    pieces until a token ends, with the word that initials need; `NEVER` for brackets of several pieces, never written.
    `starts` int64 (2, pieces): bits of what tokens a piece may begin, glued or (second row) after a blank. `after` bool
    (kinds, pieces): pieces that may begin a token after one of a kind. `word` int: fewest pieces of a word after a blank.
    """

    children: list
    ends: np.ndarray
    kinds: np.ndarray
    needs: np.ndarray
    starts: np.ndarray
    after: np.ndarray
    word: int

    def unfinished(self, node):
        """Whether the token that ends here must be followed by a word."""
        return self.kinds[node] == _INITIALS


def grow(known, spell, size):
    """The `Trie` of known tokens.

    Args:
        known: list of str, tokens with their mark for a blank.
        spell: function, token -> tuple of pieces.
        size: int, number of pieces there are.
    """
    children, ends, kinds, needs, starts = [{}], [False], [0], [NEVER], np.zeros((2, size), np.int64)
    bares = ((token, token.removeprefix(SPACE)) for token in known)
    spelt = [(token != bare, bare, _kind(bare), spell(token)) for token, bare in bares if bare]
    written = [kind not in (_OPENED, _CLOSED) or len(ids) == 1 for _, _, kind, ids in spelt]
    for (spaced, bare, _, ids), may in zip(spelt, written, strict=True):
        starts[int(spaced), ids[0]] |= _begins(bare) if may else 0
    words = (len(ids) for spaced, _, kind, ids in spelt if spaced and kind == _WORD and starts[1, ids[0]] == LETTER)
    word = min(words, default=NEVER)
    for (_, _, kind, ids), may in zip(spelt, written, strict=True):
        node, left = 0, len(ids) + (word if kind == _INITIALS else 0)
        for piece in ids:
            after = children[node].get(piece)
            if after is None:
                after = children[node][piece] = len(children)
                children.append({})
                ends.append(False)
                kinds.append(0)
                needs.append(NEVER)
            node, left = after, left - 1
            if may:
                needs[node] = min(needs[node], left)
        ends[node], kinds[node] = True, kind
    glued, spaced = starts
    after = [
        (glued > 0) & (glued & barred == 0) | (spaced > 0) & (spaced & _SPACED.get(kind, 0) == 0)
        for kind, barred in _GLUED.items()
    ]
    return Trie(children, np.array(ends), np.array(kinds, np.int8), np.array(needs), starts, np.stack(after), word)


def brackets(text):
    """The brackets of a text, in order."""
    return "".join(c for c in text if c in OPENING or c in CLOSING)


def nested(stack, text):
    """What is still to be closed, in the order of opening, after brackets `text`; None where one closes that is not open."""
    for c in text:
        if c in OPENING:
            stack += OPENING[c]
        elif stack[-1:] == c:
            stack = stack[:-1]
        else:
            return None
    return stack


def _begins(bare):
    c = bare[0]
    if c.isalpha() or unicodedata.category(c)[0] == "M" or c == "\u200d":
        return LETTER
    if c.isnumeric():
        return DIGIT
    if c in _SEPARATORS:
        return WEIGHT if _weighs(bare) else DOT if c == "." else COMMA if bare == "," else SEPARATOR
    if c in OPENING or c in CLOSING:
        return OPENS if any(one in OPENING for one in bare) else CLOSES
    return MARK if c in _MARKS else JOINT if c in _JOINTS else SYMBOL


def _weighs(bare):
    return any(c.isnumeric() for c in bare)  # :1.2


def _kind(bare):
    c = bare[0]
    if brackets(bare):
        return _OPENED if bare[-1] in OPENING else _CLOSED
    if c in _SEPARATORS:
        return _WEIGHT if _weighs(bare) else _COMMA if bare == "," else _SEPARATED
    if bare.startswith("--"):
        return _FLAG
    if c in _MARKS:
        return _MARKED
    if c.isnumeric() or bare[-1].isnumeric():
        return _NUMBER if bare[-1].isnumeric() else _SIZE
    if c in _JOINTS:
        return _WORD
    if c.isalpha():
        return _INITIALS if bare[-1] == "." else _INITIAL if len(bare) == 1 else _WORD
    return _SYMBOL
