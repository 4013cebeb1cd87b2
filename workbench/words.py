"""Words: where the words, separators and marks of a prompt begin and end. The one tokenisation that all stages share."""

from typing import NamedTuple

import regex  # Unicode classes (letters with their combining marks, grapheme clusters), which `re` lacks

WORD, SEPARATOR, JOINT, MARKUP = "word", "separator", "joint", "markup"

# Order matters: the first alternative that matches at a position wins.
_PATTERN = regex.compile(
    r"""
      (?P<markup> --\p{L}[\w-]*(?:[ ]+\d[\d.:]*)?           # --ar 16:9, --v 5
        | ::?-?\d+(?:\.\d+)?(?=\s*[\)\]\}>]|\s*$|\s*,|\s+\D)  # weights: (x:1.2)  x::2
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


# Words that carry no content of their own. "s", "t", "d", "ll", "re" and "ve" are what is left of "dog ' s" and "don ' t".
# Not "up", "down", "out" and "off": "close up", "cut out".
FUNCTION_WORDS = frozenset(
    """
    a an the this that these those some any no each every all both either neither such another other
    of in on at by with without within from to into onto upon over under above below beneath between among through throughout
    across against along amid around before after behind beside besides beyond during inside outside near next
    toward towards until since per via like as than except about but and or nor so yet if while when where whereas because
    though although unless whether
    i me my mine myself you your yours yourself he him his himself she her hers herself it its itself we us our ours ourselves
    they them their theirs themselves who whom whose which what there here
    is are was were be been being am has have had having do does did can could will would shall should may might must not
    s t d ll re ve
    """.split()
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
        while (
            text[stop - 1].isspace() and kind == WORD
        ):  # a few signs, such as U+0600, form one grapheme with the space after them
            stop -= 1
        tokens.append(Word(position, stop, kind))
        position = stop
    return tokens


def is_function(phrase):
    """True if a phrase begins and ends with function words: "of a", "in the style of"."""
    tokens = phrase.split()
    return bool(tokens) and tokens[0] in FUNCTION_WORDS and tokens[-1] in FUNCTION_WORDS
