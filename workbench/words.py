"""Words: where the words, separators and marks of a prompt begin and end. The one tokenisation that all stages share."""

from typing import NamedTuple

import regex  # Unicode classes (letters with their combining marks, grapheme clusters), which `re` lacks

WORD, SEPARATOR, JOINT, MARKUP = "word", "separator", "joint", "markup"

# Order matters: the first alternative that matches at a position wins.
_PATTERN = regex.compile(
    r"""
      (?P<markup> --\p{L}[\w-]*(?:[ ]+\d[\d.:]*)?           # --ar 16:9, --v 5
        | ::?-?\d+(?:\.\d+)?(?=\s*[\)\]\}]|\s*$|\s*,|\s+\D)  # weights: (x:1.2)  x::2
        | [()\[\]{}<>]+ | :: | (?<!\w)[*_\#@~^=\\`"“”«»]+ | [*_\#@~^=\\`"“”«»]+ )
    | (?P<separator> [,;|.!?:\n\r•·…—–。、，；！？؛،]+ )
    | (?P<joint> [-'‘’&+/] )                                 # what no word below holds: the hyphen of "sci - fi", quotes
    | (?P<word> [fFƒ]/\d+(?:\.\d+)?                          # f/1.8
        | \d+(?:[.:/x×]\d+)*[\p{L}\p{M}%°]*                  # 16:9, 1.2, 35mm, 1980s
        | [\p{L}\p{M}\p{N}]+(?:['’\-&+][\p{L}\p{M}\p{N}]+)*(?:(?<=\d)\.\d+)?  # o'keeffe, close-up, d&d, f2.8
        | \X )                                               # emoji and other symbols, one grapheme each
    """,
    regex.VERBOSE,
)
# h. and r. of "h. r. giger", M.C. of "M.C. Escher": tried first, since any other dot after a word is a separator.
_INITIALS = regex.compile(r"(?:(?<![\p{L}\p{N}])\p{L}\.)+(?=\s*\p{L})")


# The closed class of English: a list is enough, since no new ones are coined.
FUNCTION_WORDS = frozenset(
    "a an the this that these those some any each every no of in on at by with without and or nor but to from for into onto over "
    "under above below between among behind beside near through across along around against upon within during before after "
    "while as than so if is are was were be been being am do does has have had it its his her hers their theirs he she they them "
    "him i you we my your our who which whose where when there here not ' ’ s - & + /".split()
)


class Word(NamedTuple):
    """A token of a prompt: characters `start` to `end` (exclusive) and its kind.

    Kinds: `word`; `separator` (comma, pipe, full stop, line end...), which ends a segment; `joint`, a hyphen, quote, slash or
    ampersand outside words, which may stand inside a phrase ("sci - fi"); `markup`, brackets, weights and flags: `((`,
    `:1.2`, `--ar 16:9`.
    """

    start: int
    end: int
    kind: str


def split(text):
    """Cut a prompt into tokens; what no token covers is white space.

    Args:
        text: str, any Unicode text; it is not changed.

    Returns:
        list of `Word` in order, not overlapping. `[]` for text without visible characters.
    """
    tokens, position, end = [], 0, len(text)
    while position < end:
        if text[position].isspace() and text[position] not in "\n\r":
            position += 1
            continue
        found = _INITIALS.match(text, position)
        kind = WORD
        if found is None:
            found = _PATTERN.match(text, position)
            kind = found.lastgroup if found else WORD
        stop = found.end() if found else position + 1
        while text[stop - 1].isspace() and kind == WORD:  # a few signs, such as U+0600, form one grapheme with the space behind
            stop -= 1
        tokens.append(Word(position, stop, kind))
        position = stop
    return tokens
