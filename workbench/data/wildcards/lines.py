"""Lines: plain text, templates and names of codes, written so that dynamicprompts reads them as they are meant.

    a cat, {red|3::blue}, by __artist__    two variants, the second three times as likely, and a reference to a list of fillers

dynamicprompts has no escape character. Where `_`, `/` or `:` would mean something, they are written as a variant with one choice:
`{_}`. `{`, `#`, `$` and `%` cannot be written at all: `unwritable` says so.

Source:
    dynamicprompts 0.31, src/dynamicprompts/parser/parse.py (its docstring is the grammar; its behaviour is the reference).
"""

import re
import unicodedata
from typing import NamedTuple

from workbench.values import TemplateError

RESERVED = ("templates", "segments")  # files of an export that hold templates
_MEANINGS = {"{": "a variant", "#": "a comment", "$": "a variable", "%": "a wrap"}
_WEIGHT = re.compile(r"(\d{1,30}\.\d*|\.\d+|\d{1,30})::")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_LONGEST = 60  # characters of a file name


class Reference(NamedTuple):
    """A place that takes a filler of the list `name`: `__name__`."""

    name: str


def unwritable(text):
    """Why dynamicprompts cannot read a text as it is, in a few words; None if `escape` can write the text."""
    for sign, meaning in _MEANINGS.items():
        if sign in text:
            return f"holds {sign}, which begins {meaning}"
    if "\n" in text or "\r" in text:
        return "holds a line break"
    if "\t" in text:
        return "holds a tab, which is read as blanks"
    if "\0" in text:
        return "holds a zero character"
    if "\ufeff" in text:
        return "holds a byte order mark, which readers of files drop"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half a character"
    return None


def escape(text):
    """Write literal text outside variants so that dynamicprompts reads it as text: `snake__case` as `snake_{_}case`.

    Raises:
        TemplateError: it cannot be written (see `unwritable`).
    """
    why = unwritable(text)
    if why:
        raise TemplateError(
            f"dynamicprompts cannot read {text[:60]!r} as plain text: it {why}, and there is no way to escape that."
        )
    # a _ at an edge would join those of a reference
    text = re.sub(r"(?<=_)_|^_|_$", "{_}", text)
    return re.sub(r"(?<=/)([/*])", r"{\1}", text)


def as_line(parts):
    """Write a filler (str) or a template (iterable of str and `Reference`) as a line of a list.

    White space at its ends is dropped. Text such as `3::oak`, which would have a weight, becomes `3{:}:oak`.

    Raises:
        TemplateError: some of it cannot be written (see `unwritable`), or nothing is left.
    """
    parts = (parts,) if isinstance(parts, str) else parts
    text = "".join(f"__{part.name}__" if isinstance(part, Reference) else escape(part) for part in parts).strip()
    if not text:
        raise TemplateError("A line of a list needs text, got none.")
    return _WEIGHT.sub(r"\1{:}:", text, count=1) if _WEIGHT.match(text) else text


def weighed(text):
    """Split a line into (line without its weight, weight): `3::oak` has weight 3, `oak` has 1."""
    found = _WEIGHT.match(text)
    return (text[found.end() :].strip(), float(found[1])) if found else (text, 1.0)


def file_names(names, reserved=RESERVED):
    """File names, without suffix, for the names of codes: the same for the same names.

    Letters and digits of any language, `-` and single `_` stay, everything else becomes `-`. A number is added (`artist-2`) to
    a reserved name, a device of Windows, and a name that differs from an earlier one in case only.

    Args:
        names: list of str; the first of two equal names gets the plain file name.
        reserved: iterable of str, names that are taken.

    Returns:
        list of different str, at most 70 characters each.
    """
    taken, out = {name.casefold() for name in reserved} | _DEVICES, []
    for number, name in enumerate(names):
        stem = re.sub(r"[^\w-]+", "-", unicodedata.normalize("NFC", name))
        stem = re.sub(r"_{2,}", "_", stem)  # two of them end a reference
        stem = re.sub(r"-{2,}", "-", stem).strip("-_")[:_LONGEST].strip("-_") or f"code-{number}"
        free, copy = stem, 2
        while free.casefold() in taken:
            free, copy = f"{stem}-{copy}", copy + 1
        taken.add(free.casefold())
        out.append(free)
    return out
