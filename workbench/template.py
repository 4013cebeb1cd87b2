r"""The language: a prompt as literal text and named slots, which prints, parses, matches and fills without loss.

    <subject:portrait of a samurai>, by <artist:Rembrandt>    a slot has the name of its code and a text
    <subject:portrait of a samurai>, by <artist:?>            a masked slot of known kind
    <subject:portrait of a samurai>, <?>                      "I don't know what goes here"

In text, `<`, `>` and `\` are written `\<`, `\>` and `\\` (`escape` does it); in a name also `\:`. A slot text that is only `?`
is `\?`. `<lora:ink:0.8>` is text for another program; a slot of such a name (`words.FOREIGN`) is written `<\lora:...>`. A
backslash before any other character is itself.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from workbench import words
from workbench.chips import Syntax, chip, literal_html
from workbench.values import TemplateError

MASK = "<?>"

# Possessive (++, *+), so that a "<" which is never closed costs one pass and no backtracking.
_PIECE = re.compile(r"(?P<literal>(?:[^<>\\]++|\\[<>\\]?+)++)|<(?P<body>(?:[^<>\\]++|\\.)*+)>", re.DOTALL)
_BODY = re.compile(r"((?:[^:\\]++|\\.)*+):(.*)", re.DOTALL)

_NAME = re.compile(r"^\\(?=[^\W\d_])|\\([<>\\:?])")
_ESCAPED = re.compile(r"\\([<>\\:?])")


@dataclass(frozen=True, slots=True)
class Slot:
    """A place of a template that holds a filler.

    `name` is the printed name of its code ("17" if the code has none); None only in `<?>`. `text` is the filler, None when
    masked. `start` and `end` count characters of the prompt (masked slots count as none); a `Template` sets them. `code` is
    the number of the code where it is known; two slots that print alike are equal without it.
    """

    name: str | None
    text: str | None = None
    start: int = 0
    end: int = 0
    code: int | None = field(default=None, compare=False)

    def __str__(self):
        if self.name is None:
            return MASK
        name = "\\" * (self.name.lower() in words.FOREIGN) + escape(self.name).replace(":", r"\:")
        if self.text is None:
            return f"<{name}:?>"
        text = escape(self.text)
        return f"<{name}:{text.replace('?', chr(92) + '?') if text.strip() == '?' else text}>"


@dataclass(frozen=True, slots=True, repr=False)
class Template:
    """A prompt as parts: literal texts and slots, in order.

    Whatever parts are given, empty literals are dropped, neighbouring ones are joined and the offsets of slots are set, so
    templates that mean the same are equal. `str(template)` prints it, `parse` reads that back without loss.
    """

    parts: tuple[str | Slot, ...]

    def __post_init__(self):
        parts, literals, position = [], [], 0
        for part in self.parts:
            if isinstance(part, str):
                literals.append(part)
                position += len(part)
                continue
            _check_slot(part)
            end = position + len(part.text or "")
            parts += ["".join(literals), replace(part, start=position, end=end)]
            literals, position = [], end
        parts.append("".join(literals))
        object.__setattr__(self, "parts", tuple(part for part in parts if part != ""))

    @classmethod
    def build(cls, parts):
        """A template of any iterable of literals (str) and `Slot`s; their offsets are set here.

        Raises:
            TypeError: a part that is neither.
            TemplateError: a slot without a name that has a text, or with the name "".
        """
        return cls(tuple(parts))

    @classmethod
    def parse(cls, text, names=None):
        """Read the printed form; the same as the function `parse`."""
        return parse(text, names)

    @property
    def slots(self):
        """The slots in order, a tuple of `Slot`."""
        return tuple(part for part in self.parts if isinstance(part, Slot))

    @property
    def masked(self):
        """Whether any slot is open."""
        return any(slot.text is None for slot in self.slots)

    @property
    def prompt(self):
        """The plain text.

        Raises:
            TemplateError: a slot is masked.
        """
        if self.masked:
            still = [f"{slot} (slot {number})" for number, slot in enumerate(self.slots, 1) if slot.text is None]
            raise TemplateError(f"This template is no prompt yet, still open: {_listing(still)}. Fill them, with fill or infill.")
        return "".join(part.text if isinstance(part, Slot) else part for part in self.parts)

    @property
    def skeleton(self):
        """The template without its fillers, to look at: `<subject>, <medium>, by <artist>`."""
        return "".join(f"<{part.name or '?'}>" if isinstance(part, Slot) else part for part in self.parts)

    def segments(self):
        """The parts, cut into segments at the separators (comma, pipe, full stop, ...: see `words`) of its literals.

        A segment ends with its separators and the white space after them, so nothing is lost: `Template.build` of all parts
        of all segments is this template. Separators inside a slot do not cut. A segment of separators alone comes only
        first, in a prompt that starts with one.

        Returns:
            list of tuples of str and `Slot`, none empty.
        """
        segments, segment = [], []
        for part in self.parts:
            begin = 0
            for cut in _cuts(part) if isinstance(part, str) else ():
                segments.append((*segment, part[begin:cut]))
                segment, begin = [], cut
            if isinstance(part, Slot) or begin < len(part):
                segment.append(part if isinstance(part, Slot) else part[begin:])
        return [*segments, tuple(segment)] if segment else segments

    def pieces(self):
        """The parts, with `Syntax` of other programs cut out of the literals: list of str, `Syntax` and `Slot`, none empty."""
        texts = [part if isinstance(part, str) else part.text or "\n" for part in self.parts]
        prompt, pieces, at = "".join(texts), [], 0
        spans = [(start, end) for start, end, kind in words.split(prompt) if kind == words.SYNTAX][::-1]
        for part, text in zip(self.parts, texts, strict=True):
            stop = at + len(text)
            while spans and spans[-1][0] < stop:
                start, end = spans.pop()
                if isinstance(part, str) and at <= start and end <= stop:
                    pieces += [prompt[at:start], Syntax(prompt[start:end])]
                    at = end
            pieces.append(part if isinstance(part, Slot) else prompt[at:stop])
            at = stop
        return [piece for piece in pieces if piece != ""]

    def fill(self, fillers):
        """Put fillers into masked slots.

        Args:
            fillers: dict of slot name to a str, for all masked slots of that name, or to a list of str, one for each of them
                in order; masked slots that are not named stay open. Or a list or tuple of str, one for each masked slot. A
                `<?>` can be filled only this way, and becomes literal text, as its kind is not known.

        Returns:
            a new `Template`.

        Raises:
            TemplateError: no masked slot of that name, or another number of fillers than of slots.
            TypeError: fillers of another type.
        """
        places = [number for number, part in enumerate(self.parts) if isinstance(part, Slot) and part.text is None]
        parts = list(self.parts)
        for place, text in _assign(fillers, places, parts):
            if not isinstance(text, str):
                raise TypeError(f"A filler is a str, got {type(text).__name__} for {parts[place]}.")
            parts[place] = text if parts[place].name is None else replace(parts[place], text=text)
        return Template.build(parts)

    def open(self, *names):
        """A new `Template` with the slots of these names masked, or all slots if no name is given.

        Raises:
            TemplateError: no slot has such a name.
        """
        there = {slot.name for slot in self.slots}
        for name in names:
            if name is None or name not in there:
                raise TemplateError(f"There is no slot named {_short(name)}. {_near(name, there)}")
        return Template.build(
            replace(part, text=None) if isinstance(part, Slot) and (not names or part.name in names) else part
            for part in self.parts
        )

    def match(self, text):
        """Lay the template over another prompt: literals must be there as written, every slot takes 1 or more characters.

        Each slot, from the left, takes as little as it can: it ends where the next literal is first found. Of slots with no
        literal between them all but the last take one character. Fillers that the slots have now play no part. Needs time
        linear in `text`.

        Args:
            text: str, a plain prompt.

        Returns:
            tuple of str, the filler of each slot, such that `template.open().fill(fillers).prompt == text`; None if `text`
            does not fit.
        """
        if not isinstance(text, str):
            raise TypeError(f"match needs a str, got {type(text).__name__}.")
        fillers, position, waiting = [], 0, 0  # waiting: slots since the last literal
        for number, part in enumerate(self.parts):
            if isinstance(part, Slot):
                waiting += 1
                continue
            if not waiting:  # only the first part: literals never neighbour each other
                found = 0 if text.startswith(part) else -1
            elif number == len(self.parts) - 1:
                found = len(text) - len(part) if text.endswith(part) else -1
            else:
                found = text.find(part, position + waiting)
            if found < position + waiting:
                return None
            fillers += _spread(text[position:found], waiting)
            position, waiting = found + len(part), 0
        if len(text) - position < waiting or (not waiting and position != len(text)):
            return None
        return (*fillers, *_spread(text[position:], waiting))

    def same_shape(self, other):
        """Whether both have the same literals and slot names in the same order, whatever the fillers."""
        return self.open() == other.open()

    def __str__(self):
        return "".join(str(part) if isinstance(part, Slot) else escape(part) for part in self.parts)

    def __repr__(self):
        return f"Template.parse({str(self)!r})"

    def html(self, order=()):
        """The template as HTML: slots as coloured chips, each with its name; syntax of other programs as grey ones, "as is".

        Args:
            order: names of slots, most important first: the first eight of them have eight colours, the next eight the same
                with stripes, and so on; or a dict of name -> look, 0..47, as `show.palette` makes it. Slots of other names
                have the look of the number of their code, or where that is unknown of their name.

        Returns:
            str, one `div`.
        """
        place = order if isinstance(order, dict) else {name: number for number, name in enumerate(order)}
        inside = "".join(chip(p, place) if isinstance(p, Slot) else literal_html(p) for p in self.pieces())
        return f'<div dir="auto" style="white-space:pre-wrap;line-height:2">{inside}</div>'

    def _repr_html_(self):
        return self.html()


def escape(text):
    r"""Write `<`, `>` and `\` of a plain prompt as `\<`, `\>` and `\\`, so that `parse` takes them as text."""
    return re.sub(r"[<>\\]", r"\\\g<0>", text)


def parse(text, names=None):
    r"""Read a template from its printed form, or as typed by hand: `a castle on a hill, <?>, by <artist:?>`.

    Args:
        text: str. A prompt without `<`, `>` and `\` is a template without slots.
        names: dict of name to number of the code, or None. If given, slots get their code and a name must be one of them.

    Returns:
        `Template`, with `parse(str(template)) == template`.

    Raises:
        TemplateError: a `<` or `>` that belongs to no slot, or a name that is not in `names`.
    """
    if not isinstance(text, str):
        raise TypeError(f"parse needs a str, got {type(text).__name__}.")
    parts, position = [], 0
    while position < len(text):
        found = _PIECE.match(text, position)
        if found is None and (found := words.FACE.match(text, position)):  # >_< and <3
            parts.append(found[0])
            position = found.end()
            continue
        if found is None:
            raise TemplateError(_stray(text, position))
        literal, body = found["literal"], found["body"]
        parts.append(_slot(body, names, text, position) if literal is None else re.sub(r"\\([<>\\])", r"\1", literal))
        position = found.end()
    return Template.build(parts)


def _slot(body, names, text, position):
    if body.strip() == "?":
        return Slot(None)
    halves = _BODY.fullmatch(body)
    if halves is None or not halves[1]:
        raise TemplateError(
            f"{_excerpt(text, position)} is not a slot. Write <name:text>, <name:?> or {MASK}; for the characters themselves "
            r"write \< and \> (template.escape does it)."
        )
    if halves[1].lower() in words.FOREIGN:
        return f"<{body}>"
    name, filler = (pattern.sub(r"\1", half) for pattern, half in zip((_NAME, _ESCAPED), halves.groups(), strict=True))
    if names is not None and name not in names:
        raise TemplateError(
            f"{_excerpt(text, position)}: there is no code named {_short(name)}. {_near(name, names)} "
            rf"To leave a slot open, write {MASK}; to write the character <, write \<."
        )
    return Slot(name, None if halves[2].strip() == "?" else filler, code=None if names is None else names[name])


def _stray(text, position):
    what = "this < opens a slot that is not closed" if text[position] == "<" else "this > closes no slot"
    return (
        rf"{_excerpt(text, position)}: {what}. To write the character itself, write \{text[position]} (template.escape does it)."
    )


def _excerpt(text, position):
    return f"Character {position}, {_short(text[position : position + 41])}"


def _short(text):
    return repr(text if not isinstance(text, str) or len(text) <= 40 else text[:39] + "…")


def _near(name, names):
    """Say which names there are: near ones first; the slice keeps difflib, which is quadratic, from long names."""
    known = sorted(other for other in names if other is not None)
    if not known:
        return "There are no names."
    near = difflib.get_close_matches(str(name)[:40], known, n=3, cutoff=0.5)
    return (f"Did you mean {' or '.join(map(_short, near))}? " if near else "") + f"There are: {_listing(map(_short, known))}."


def _listing(items, most=12):
    items = list(items)
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


def _check_slot(part):
    if not isinstance(part, Slot):
        raise TypeError(f"A part of a template is a str or a Slot, got {type(part).__name__}.")
    if part.name is None and part.text is not None:
        raise TemplateError(
            f"A slot without a name is always open, got the text {_short(part.text)}. Give it a name, or a literal."
        )
    if part.name == "":
        raise TemplateError("A slot needs a name of at least one character, or None for a mask.")
    if not isinstance(part.name, str | None) or not isinstance(part.text, str | None):
        raise TypeError(f"Name and text of a slot are str or None, got {part.name!r} and {part.text!r}.")


def _cuts(literal):
    """Where segments end in a literal: behind each run of separators and the white space after it."""
    tokens = words.split(literal)
    for number, token in enumerate(tokens, 1):
        after = tokens[number] if number < len(tokens) else None
        if token.kind == words.SEPARATOR and (after is None or after.kind != words.SEPARATOR):
            yield len(literal) if after is None else after.start


def _assign(fillers, places, parts):
    """Pairs (place, text) for `Template.fill`."""
    if isinstance(fillers, list | tuple):
        if len(fillers) != len(places):
            raise TemplateError(f"{len(places)} slots are open, got {len(fillers)} fillers. Give one for each, in order.")
        return list(zip(places, fillers, strict=True))
    if not isinstance(fillers, Mapping):
        raise TypeError(f"fill needs a dict of names or a list of str, got {type(fillers).__name__}.")
    by_name, pairs = {}, []
    for place in places:
        by_name.setdefault(parts[place].name, []).append(place)
    for name, given in fillers.items():
        if name is None or name not in by_name:
            filled = any(isinstance(part, Slot) and part.name == name for part in parts if name is not None)
            hint = f"It has a text: open({name!r}) masks it." if filled else _near(name, by_name)
            raise TemplateError(f"No open slot is named {_short(name)}. {hint}")
        mine = by_name[name]
        given = given if isinstance(given, list | tuple) else [given] * len(mine)
        if len(given) != len(mine):
            raise TemplateError(f"{len(mine)} open slots are named {_short(name)}, got {len(given)} fillers for them.")
        pairs += zip(mine, given, strict=True)
    return pairs


def _spread(chunk, count):
    return [*chunk[: count - 1], chunk[count - 1 :]] if count else []
