"""Syntax: the part of the dynamicprompts language that is understood here, and plain text written so that it means itself.

    a cat, {red|3::blue}, by __artist__    two variants, the second three times as likely, and a reference to a list of fillers

dynamicprompts has no escape character. `_`, `/` and `:` can be written where they would mean something, as a variant of one
choice: `{_}`. `{`, `#`, `$` and `%` cannot be written at all, and `|` and `}` not inside a variant: `unwritable` says so.

Source:
    dynamicprompts 0.31, src/dynamicprompts/parser/parse.py (its docstring is the grammar; what it does is the reference).
"""

import math
import re
from typing import NamedTuple

from workbench.values import TemplateError

_DEPTH = 40  # of variants within variants
_NEVER = {"{": "a variant", "#": "a comment", "$": "a variable", "%": "a wrap"}
_LINE_BREAKS = "\n\r"
_COMMENT = re.compile(r"\s*(#[^\n]*|//[^\n]*|/\*.*?\*/)", re.DOTALL)
# Text goes on until something begins that is not text; `//` and `/*` are comments only where a token begins.
_LITERAL = re.compile(r"(?:(?!__)[^#{$%])+", re.DOTALL)
_LITERAL_INSIDE = re.compile(r"(?:(?!__)[^#{$%|}])+", re.DOTALL)
_REFERENCE = re.compile(r"__((?:(?!__)[^(${}#%)])+)__", re.DOTALL)
_WEIGHT = re.compile(r"\s*(\d+\.\d*|\.\d+|\d+)::")
_LINE_WEIGHT = re.compile(r"(\d+\.\d*|\.\d+|\d+)::")
_BOUND = re.compile(r"\s*(\d*-?\d*)\s*\$\$")


class Reference(NamedTuple):
    """A place that takes a filler of the list `name`: `__name__`."""

    name: str


class Variant(NamedTuple):
    """A place that takes one of `options`: tuple of (parts, weight), the parts as `parse` gives them, the weight a float."""

    options: tuple


def unwritable(text, inside=False):
    """Why dynamicprompts cannot be given a text, if it cannot.

    Args:
        text: str.
        inside: bool, whether it is to stand inside a variant, as in a list with weights.

    Returns:
        str, the reason in a few words; None if `escape` can write it.
    """
    for sign, meaning in _NEVER.items():
        if sign in text:
            return f"holds {sign}, which begins {meaning}"
    if inside and ("|" in text or "}" in text):
        return "holds | or }, which end a choice"
    if any(sign in text for sign in _LINE_BREAKS):
        return "holds a line break"
    if "\t" in text:
        return "holds a tab, which is read as blanks"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half a character"
    return None


def escape(text, inside=False):
    """Write plain text so that it means itself to dynamicprompts.

    Args:
        text: str, any stretch of literal text.
        inside: bool, whether it is to stand inside a variant.

    Returns:
        str, such as `snake_{_}case` for `snake__case`.

    Raises:
        TemplateError: it cannot be written (see `unwritable`).
    """
    why = unwritable(text, inside)
    if why:
        raise TemplateError(f"dynamicprompts cannot be given {text[:60]!r}: it {why}, and there is no way to write that as text.")
    # at its edges a _ would join those of a reference
    text = re.sub(r"(?<=_)_|^_|_$", "{_}", text)
    return re.sub(r"(?<=/)([/*])", r"{\1}", text)


def line(parts):
    """Write a filler or a template as a line of a list.

    Args:
        parts: str, plain text; or an iterable of str and `Reference`. White space at the ends of the line is dropped.

    Returns:
        str. None looks like `3::text`, which has a weight for readers of lists: `3{:}:text`.

    Raises:
        TemplateError: some of it cannot be written (see `unwritable`), or nothing is left.
    """
    parts = (parts,) if isinstance(parts, str) else parts
    text = "".join(f"__{part.name}__" if isinstance(part, Reference) else escape(part) for part in parts).strip()
    if not text:
        raise TemplateError("A line of a list needs text, got none.")
    return _LINE_WEIGHT.sub(r"\1{:}:", text, count=1) if _LINE_WEIGHT.match(text) else text


def weighed(text):
    """A line of a list apart: (line without its weight, weight). `3::oak` has weight 3, `oak` has 1.

    Raises:
        TemplateError: a weight that is no usable number.
    """
    found = _LINE_WEIGHT.match(text)
    if found is None:
        return text, 1.0
    return text[found.end() :].strip(), _number(found[1], text)


def parse(text):
    """Read a template or a line of a list.

    Args:
        text: str.

    Returns:
        tuple of str (plain text), `Reference` and `Variant`, in order; neighbouring texts are joined, comments are left out.

    Raises:
        TemplateError: brackets or `__` that do not close, or a part of the language that is not understood here: variables,
            parameters, wraps, choices of several (`{2$$a|b}`) and marks of a sampler (`{!a|b}`).
    """
    if not isinstance(text, str):
        raise TypeError(f"A template is a str, got {type(text).__name__}.")
    parts, position = _parts(text, 0, 0)
    return parts


def _parts(text, position, depth):
    """Parts from a position on, up to the end or, inside a variant, to its next | or }: (parts, position)."""
    if depth > _DEPTH:
        raise TemplateError(f"Variants lie in variants {_DEPTH} deep in {text[:60]!r}: write some of them as lists.")
    parts, literal = [], _LITERAL_INSIDE if depth else _LITERAL
    while position < len(text):
        comment, found = _COMMENT.match(text, position), literal.match(text, position)
        if comment:
            position = comment.end()
        elif found:
            parts.append(found[0])
            position = found.end()
        elif text.startswith("__", position):
            part, position = _reference(text, position)
            parts.append(part)
        elif text[position] == "{":
            part, position = _variant(text, position, depth)
            parts.append(part)
        elif text[position] in "|}":  # inside a variant: outside, both are text
            break
        else:
            raise TemplateError(f"{_where(text, position)}: {text[position]} begins {_NEVER[text[position]]}, {_UNKNOWN}")
    return _joined(parts), position


_UNKNOWN = "which is not understood here. Plain text, {a|3::b} and __list__ are."


def _reference(text, position):
    found = _REFERENCE.match(text, position)
    if found is None:
        raise TemplateError(
            f"{_where(text, position)}: a reference is __name__, without brackets or parameters. As text, __ is _{{_}}."
        )
    name = found[1]
    if name[0] in "~!@":
        raise TemplateError(f"{_where(text, position)}: the mark {name[0]} chooses a sampler, {_UNKNOWN}")
    return Reference(re.sub(r"[\\/]+", "/", name.strip()).strip("/")), found.end()


def _variant(text, begin, depth):
    position, options = begin + 1, []
    if _BOUND.match(text, position):
        raise TemplateError(f"{_where(text, begin)}: $$ chooses several, {_UNKNOWN}")
    if re.compile(r"\s*[~!@]").match(text, position):
        raise TemplateError(f"{_where(text, begin)}: the mark behind {{ chooses a sampler, {_UNKNOWN}")
    while True:
        weight, found = 1.0, _WEIGHT.match(text, position)
        if found:
            weight, position = _number(found[1], text), found.end()
        else:
            position = re.compile(r"\s*").match(text, position).end()
        parts, position = _parts(text, position, depth + 1)
        options.append((parts, weight))
        if position == len(text):
            raise TemplateError(f"{_where(text, begin)}: this {{ is never closed.")
        position += 1
        if text[position - 1] == "}":
            return Variant(tuple(options)), position


def _number(digits, text):
    value = float(digits)
    if not math.isfinite(value):
        raise TemplateError(f"The weight {digits[:20]} in {text[:60]!r} is no usable number.")
    return value


def _joined(parts):
    """Parts with neighbouring texts as one, and variants of one plain choice, as `escape` writes them, as text."""
    out = []
    for part in parts:
        if isinstance(part, Variant) and len(part.options) == 1:
            inner = part.options[0][0]
        else:
            inner = (part,)
        for one in inner:
            if isinstance(one, str) and out and isinstance(out[-1], str):
                out[-1] += one
            else:
                out.append(one)
    return tuple(out)


def _where(text, position):
    return f"Character {position}, {text[position : position + 40]!r}"
