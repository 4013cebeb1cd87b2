"""Presentable: which fillers of a language maps and lists show, and which prompts come first: nothing misspelt, nothing rare."""

import re
import string
from collections import Counter

import numpy as np

from workbench.language import lexicon
from workbench.template import parse

_RARE = 3  # uses, below which a filler is left out where its code has enough others
_ENOUGH = 12  # fillers of a code
_TIMES = 10  # a word is a slip if one a letter away is so many times as frequent, and no list of words has it
_CHIPS = 5  # of a prompt that is shown first
_WORD = re.compile(r"[^\W\d_]{3,}")


def rows(dsl):
    """Rows of `dsl.fillers` to show, int64 (n,), in their order: no function words, none that is misspelt or rare."""
    fillers, literal = dsl.fillers, {code.id for code in dsl.codes if code.literal}
    slips, codes, counts = _slips(*_words(dsl)), np.asarray(fillers.codes), np.asarray(fillers.counts)
    common = Counter(codes[counts >= _RARE].tolist())
    kept = [
        row
        for row, (text, code, count) in enumerate(zip(fillers.texts, codes.tolist(), counts.tolist(), strict=True))
        if code not in literal and (count >= _RARE or common[code] < _ENOUGH) and slips.isdisjoint(_WORD.findall(text.lower()))
    ]
    return np.array(kept, np.int64)


def prompts(dsl, n):
    """Up to n `Template`s to show first: of the examples of this language, with about five chips of many kinds."""
    uses, spelled = _words(dsl)
    slips, found = _slips(uses, spelled), [parse(text) for count in dsl.templates for text in count.examples]
    whole = [one for one in found if one.slots and not one.masked and slips.isdisjoint(_WORD.findall(one.prompt.lower()))]

    def strange(one):  # may hold a slip, too
        return any(word not in spelled and uses[word] < _RARE for word in _WORD.findall(one.prompt.lower()))

    some, chosen, shown = sorted(whole, key=lambda one: (strange(one), abs(len(one.slots) - _CHIPS)))[: 4 * n], [], set()
    while some and len(chosen) < n:
        best = max(
            some, key=lambda one: (not strange(one), len({slot.name for slot in one.slots} - shown))
        )  # of equals the first
        some.remove(best)
        chosen.append(best)
        shown |= {slot.name for slot in best.slots}
    return chosen


def _words(dsl):
    """Words of the fillers, a Counter, and words that are spelled right, a set of str; all in lower case."""
    uses = Counter()
    for text, count in zip(dsl.fillers.texts, np.asarray(dsl.fillers.counts).tolist(), strict=True):
        for word in _WORD.findall(text.lower()):
            uses[word] += count
    tokenizer = getattr(getattr(dsl, "encoder", None), "tokenizer", None)
    spelled = set(tokenizer.get_vocab()) if tokenizer else set()  # its whole words are those of much other text
    spelled |= {word for phrases in lexicon.phrases().values() for text in phrases for word in _WORD.findall(text)}
    return uses, spelled


def _slips(uses, spelled):
    """Of the words that `_words` finds those that are slips of the hand: set of str."""
    return {
        word
        for word, count in uses.items()
        if word not in spelled and any(uses[other] >= _TIMES * count for other in _near(word) if other in uses)
    }


def _near(word):
    """Texts one letter away from a word: one left out, two swapped, one put in, one changed. A plural is no slip."""
    halves = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    out = {a + b[1:] for a, b in halves if b} | {a + b[1] + b[0] + b[2:] for a, b in halves if len(b) > 1}
    for letter in string.ascii_lowercase:
        out |= {a + letter + b for a, b in halves} | {a + letter + b[1:] for a, b in halves if b}
    return out - {word, word + "s", word.removesuffix("s")}
