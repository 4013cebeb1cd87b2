"""Words: where the words, separators and marks of a prompt begin and end. The one tokenisation that all stages share."""

import re
from functools import lru_cache
from typing import NamedTuple

import regex  # Unicode classes (letters with their combining marks, grapheme clusters), which `re` lacks

WORD, SEPARATOR, JOINT, MARKUP, SYNTAX = "word", "separator", "joint", "markup", "syntax"

# Signs that nobody sees, inside words: soft hyphen, zero width space, joiners and no-break space.
INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
_UNSEEN = dict.fromkeys(map(ord, INVISIBLE))
# `<lora:ink_style:0.8>` names a file of another program; in a printed template a slot of such a name is written `<\lora:...>`.
FOREIGN = frozenset("lora lyco locon loha lokr dora hypernet hypernetwork embedding embed ti wildcard wc".split())
# Short faces that stand alone: tags of image boards (>_<, ^_^, :3) and hearts.
_FACE = r"""(?<![^\s,(\[{|]) (?: >_[<>oO] | [oO]_[<>] | <[o|]>_<[o|]> | [\^=+@;.*~-]_[\^=+@;.*~-] | \|_\| | [:;]['-]?[()DPpoO]
    | [:=]3 | :[<>/|] | </?3+ | \^\^ ) (?![^\s,)\]}|:])"""
FACE = regex.compile(_FACE, regex.VERBOSE)
_GROUP = regex.compile(
    rf"(?P<face>{_FACE}) | \\. | [$%]?\{{ | <(?=[\p{{L}}/!|$%]) | [\[\](){{}}|>]", regex.VERBOSE | regex.DOTALL
)
_CLOSES = {")": "(", "]": "[", "}": "{", ">": "<"}
_EDITS = regex.compile(r":\s*[\d.]+%?\s*\]$")  # the end of [a:b:.5] and [a:.5]
_CHOOSES = regex.compile(r"[$%]|\{[\d-]+\$\$")  # ${var=...}, %{wrap}, {2$$a}
_INSIDE = regex.compile(r"\[[^\[\]]*+\]|\{[^{}]*+\}")
_COMMANDS = regex.compile(r"(?<![\w-])(?:AND(?:_PERP|_SALT|_TOPK)?|BREAK|ADD(?:COMM|BASE|COL|ROW))(?![\w-])")
_LONGEST_TAG = 300  # characters of <...>

# Order matters: the first alternative that matches at a position wins. Repetitions are possessive or bounded: time is linear.
_PATTERN = regex.compile(
    r"""
      (?P<syntax> (?:https?://|(?<!\w)www\.)[^\s<>"{}|\\^`,]*[^\s<>"{}|\\^`,.;:!?)\]]
        | (?<![\w.])embedding:[^\s,()\[\]{}<>:]+
        | COMMANDS
        | \\[()\[\]{}<>|]                                              # ganyu \(genshin impact\)
        | __(?=[^\s_])(?:[^\s_<>{}]|_(?!_)){1,100}+__                  # __color__, __folder/list*__
        | (?<!\w)\w[\w-]{0,80}\.(?i:png|jpe?g|webp|gif|bmp|tiff?|heic|cr2|nef|dng|mp4|safetensors|ckpt)(?![\w-])
        | \.(?:blend|and|swap)\([^()\n]{0,200}+\)                      # of InvokeAI: ("a", "b").blend(.5, .5)
        | (?<!\w)(?:--|—)no(?!\w)(?:[^\S\n]++(?!(?:--|—)\p{L})\S++)*+  # --no text, letters
        | (?<!\w)(?:--|—)[scom]ref(?!\w)(?:[ ]++(?:https?://[^\s,]++|(?:random|\d)[\w:.]*+))*+
        | (?<!\w)(?:--|—)(?:style|motion|p|profile|personalize|bs|mode)(?!\w)(?:[ =]++(?!--|—)[^\s,]++)?+
        | (?<!\w)--\p{L}[\w-]*+(?:=[^\s,]++|[ ]++https?://[^\s,]++)
        | (?<!\w)—(?:ar|aspect|v|version|niji|q|s|stylize|c|chaos|w|weird|iw|seed|stop|test|uplight|tile|hd)(?!\w)
            (?:[ ]+\d[\d.:]*)? )                                      # --ar as phones type it
    | (?P<markup> (?<![\p{L}\p{M}\p{N}_])--\p{L}[\w-]*(?:[ ]+\.?\d[\d.:]*)?  # --ar 16:9, --v 5
        | ::?[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?=\s*[\)\]\}>]|\s*$|\s*,|\s+\D)  # weights: (x:1.2)  x::2
        | ::[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?=[\s|;]) | :[ ]+[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?=[ ]*\))
        | (?<![\p{L}\p{N}.:])-?(?:\d+(?:\.\d+)?|\.\d+)::(?=[^\s\d:])  # 1.5::word::
        | (?<=[\p{L}\p{N}"”\)])(?:[+]{2,}+|--++|(?<=\))(?:[+-]|\d*\.\d+|\d+))(?=[\s,;|.)\]]|$)  # word++, (some words)1.3
        | [()\[\]{}<>]+ | :: | (?<!\w)[*_\#@~^=\\`"“”«»]+ | [*_\#@~^=\\`"“”«»]+ )
    | (?P<separator> [,;|.!?:\n\r•·…—–。、，；！？؛،]+ )
    | (?P<joint> [-'‘’&+/] )                                 # what no word below holds: the hyphen of "sci - fi", quotes
    | (?P<word> (?=[L'’\-&+/:]{1,80}+[.!?]?_(?!_)\\?\(?[L])[L]++(?:(?:['’\-&+]|[/:](?=\p{L})|[.!?:]?_(?!_))[L]++)*+
            (?:_\\?\([^()\\\s,]{1,60}+\\?\))*+                     # long_hair, hatsune_miku_(vocaloid), fate/stay_night
        | [fFƒ]/\d+(?:\.\d+)?                                # f/1.8
        | \d+(?:[.:/x×]\d+)*[\p{L}\p{M}%°I]*                 # 16:9, 1.2, 35mm, 1980s
        | [L]+(?:['’\-&+][L]+)*(?:(?<=\d)\.\d+)?             # o'keeffe, close-up, d&d, f2.8
        | [\U0001F1E6-\U0001F1FF]{2}                         # emoji of countries: \X would count them from the first
        | \X )                                               # emoji and other symbols, one grapheme each
    """.replace("COMMANDS", _COMMANDS.pattern)
    .replace("[L", rf"[\p{{L}}\p{{M}}\p{{N}}{INVISIBLE}")
    .replace("°I]", f"°{INVISIBLE}]"),
    regex.VERBOSE,
)
# Most tokens of most prompts. The patterns above and below say the same of them, in ten times the time.
_PLAIN = re.compile(r"[ ]?(?:(?P<word>[A-Za-z][a-z]*+)(?=[ ,]|\Z)|(?P<separator>,)(?=[ A-Za-z]))")
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
    r"""A token of a prompt: characters `start` to `end` (exclusive) and its kind.

    Kinds: `word`; `separator` (comma, pipe, full stop, line end...), which ends a segment; `joint`, a hyphen, quote, slash or
    ampersand outside words, which may stand inside a phrase ("sci - fi"); `markup`, brackets, weights and flags: `((`,
    `:1.2`, `--ar 16:9`; `syntax`, what another program reads and nobody as words: `<lora:ink:0.8>`, `__color__`, `{a|b}`,
    `[a:b:.5]`, `BREAK`, `--style raw`, addresses, `\(`.
    """

    start: int
    end: int
    kind: str


def split(text):
    """Cut a prompt into tokens; what no token covers is white space.

    Args:
        text: str, any Unicode text; it is not changed.

    Returns:
        list of `Word` in order, not overlapping. `[]` for text without visible characters. Takes time linear in `text`.
    """
    tokens, position, end = [], 0, len(text)
    groups = iter([*_groups(text), (end, end)])
    begin, close = next(groups)
    while position < end:
        if plain := _PLAIN.match(text, position):
            tokens.append(Word(*plain.span(plain.lastgroup), plain.lastgroup))
            position = plain.end()
            continue
        if text[position].isspace() and text[position] not in "\n\r":
            position += 1
            continue
        while begin < position:
            begin, close = next(groups)
        if begin == position:
            stop, kind = close, SYNTAX
        else:
            stop, kind = _token(text, position)
            if kind != SYNTAX:
                stop = min(stop, begin)
        while (
            text[stop - 1].isspace() and kind == WORD
        ):  # a few signs, such as U+0600, form one grapheme with the space after them
            stop -= 1
        tokens.append(Word(position, stop, kind))
        position = stop
    return tokens


def _token(text, position):
    """The end and the kind of the token that begins here and is no group."""
    if text.startswith(".", position + 1) and (found := _INITIALS.match(text, position)):
        return found.end(), WORD
    found = _PATTERN.match(text, position)
    if found is None:
        return position + 1, WORD
    # BREAK and AND mean something as the only words in capitals
    if found.lastgroup == SYNTAX and found[0].isupper() and found[0][0].isalpha() and _shouted(text):
        return found.end(), WORD
    return found.end(), found.lastgroup


@lru_cache(maxsize=8)
def _shouted(text):
    text = _COMMANDS.sub("", text)
    return sum(map(str.isupper, text)) > sum(map(str.islower, text))


def _groups(text):
    """Faces, and the outermost brackets that another program reads, {a|b}, [a:b:.5], <lora:ink:0.8>: list of (start, end)."""
    found, opened, waiting = [], [], dict.fromkeys("([{<", 0)
    separates = " | " in text and " | " in _INSIDE.sub("", text)  # then it does so in [a | b] too
    for sign in _GROUP.finditer(text):
        one = sign[0]
        if sign["face"]:
            found.append(sign.span())
        elif one == "|" and opened:
            opened[-1][2] |= not (separates and opened[-1][0] == "[" and text[sign.start() - 1 : sign.end() + 1] == " | ")
        elif one[-1] in waiting:
            opened.append([one[-1], sign.start(), False])
            waiting[one[-1]] += 1
        elif waiting.get(_CLOSES.get(one)):
            kind = None
            while kind != _CLOSES[one]:  # what is still open inside is never closed
                kind, start, chooses = opened.pop()
                waiting[kind] -= 1
            if _is_syntax(text, kind, start, sign.end(), chooses):
                while found and found[-1][0] > start:
                    found.pop()
                found.append((start, sign.end()))
    return found


def _is_syntax(text, kind, start, end, chooses):
    """Whether brackets from `start` to `end` belong to another program; `chooses`: a | stands in them and in no others."""
    if kind == "{":
        return chooses or _CHOOSES.match(text, start) is not None
    if kind == "[":
        return chooses or _EDITS.search(text, max(start, end - 20), end) is not None
    return kind == "<" and end - start <= _LONGEST_TAG and "\n" not in text[start:end]


def visible(token):
    """A token in lower case without the signs that nobody sees: equal for "Water\u00adcolor" and "watercolor"."""
    token = token.lower()
    return token.translate(_UNSEEN) if any(map(str.isalnum, token)) else token  # emoji are made with joiners


def is_function(phrase):
    """True if a phrase begins and ends with function words: "of a", "in the style of"."""
    tokens = phrase.split()
    return bool(tokens) and tokens[0] in FUNCTION_WORDS and tokens[-1] in FUNCTION_WORDS
