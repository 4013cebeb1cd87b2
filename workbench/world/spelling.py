"""Spelling: how prompts look once typed. Casing, typing errors, and the blanks that bots used to put into words."""

import re

_LONG_WORD = re.compile(r"[^\W\d_]{4,}")
_IN_NUMBER = re.compile(r"(\d)(?=[^\W_])")
_IN_WORD = re.compile(r"(?<=\w)(['-])(?=\w)")

SLIPS = 0.015  # share of words


def misspell(text, rng):
    """Swap two letters of a word of four letters or more, or drop or double one; its first letter stays in place.

    Args:
        text: str; without such a word it is returned unchanged.
        rng: `random.Random`.

    Returns:
        str.
    """
    spans = [found.span() for found in _LONG_WORD.finditer(text)]
    if not spans:
        return text
    start, end = spans[int(rng.random() * len(spans))]
    at, roll = start + 1 + int(rng.random() * (end - start - 2)), rng.random()
    if roll < 0.5:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + (text[at + 1 :] if roll < 0.8 else text[at] + text[at:])


def bot_gaps(text):
    """Separate digits and hyphens from their neighbours: "8k" -> "8 k", "sci-fi" -> "sci - fi"; "f/1.8" stays."""
    return _IN_WORD.sub(r" \1 ", _IN_NUMBER.sub(r"\1 ", text))


def roughen(pieces, rng, separator):
    """Type a prompt as people do; labels and their order stay.

    Args:
        pieces: list of `[gap, text, label, unseen]` of a clean prompt.
        rng: `random.Random`.
        separator: str, the mark between the segments of this prompt.

    Returns:
        a new list of pieces, sometimes with one more comma or full stop.
    """
    roll = rng.random()
    # a bot's "8 k. Sharp" would read as the initial "k."
    bot = roll < 0.08 and separator != "."
    case = str.lower if bot or roll < 0.45 else str.title if roll < 0.5 else str
    tight = separator == "," and rng.random() < 0.04
    typed, after_separator = [], False
    for gap, text, label, unseen in pieces:
        if label not in ("separator", "weight", "function"):
            if rng.random() < SLIPS * (text.count(" ") + 1):
                text = misspell(text, rng)
            if bot:
                text = bot_gaps(text)
        gap = "" if tight and after_separator else gap
        typed.append([gap, text if label == "weight" else case(text), label, unseen])
        after_separator = label == "separator"
    if 0.5 <= roll < 0.7:
        typed[0][1] = typed[0][1][0].upper() + typed[0][1][1:]
    if rng.random() < 0.04 and typed[-1][2] != "weight":
        typed.append(["", "," if bot or rng.random() < 0.5 else ".", "separator", False])
    return typed
