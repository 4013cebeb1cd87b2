"""Masks: what people give a language to write from. Prompts with open slots, checked against its codes."""

import difflib
import itertools
import numbers
import re
from dataclasses import replace

from workbench.checks import did_you_mean
from workbench.chips import Syntax
from workbench.template import Slot, Template, parse
from workbench.values import TemplateError

_HOLE = "\n"  # stands for a mask while the text around it is read: it separates segments and is not a word
_SLOT = re.compile(r"\\[<>\\]|<(?:[^<>\\]++|\\.)*+>", re.DOTALL)
_ESCAPE = re.compile(r"\\([<>\\])")
_LIKE = 0.75  # how like a name of the language a wrong one is that is taken for a slip (the ratio of difflib)
_SLIPS = 50  # names that are looked at for slips, since difflib is slow
_COMMAND, _OTHER = "\ufffc", "\ufffb"  # stand for syntax while a literal closes over it


def typed(prompt, codes):
    """The template of a typed prompt, which may be a template in its printed form.

    It is one if it holds a mask, or a slot with a name of the language. Other `<...>`, such as `<lora:ink:0.8>`, and single
    `<` and `>` in it are text. All else is plain text to the letter.

    Args:
        prompt: str.
        codes: sequence of `Code`.

    Raises:
        TemplateError: a mask with an unknown name, or in a printed template one that is nearly a known name.
    """
    known, parts, at, others = {code.name: code.id for code in codes}, [], 0, []
    for found in _SLOT.finditer(prompt) if "<" in prompt else ():
        slot = _slot(found[0])
        if slot is not None and (slot.text is None or slot.name in known):
            _number(slot, known)
            parts += [_ESCAPE.sub(r"\1", prompt[at : found.start()]), slot]
            at = found.end()
        elif slot is not None:
            others.append(slot)
    if not parts:
        return Template.build([prompt])
    for slot in others[:_SLIPS]:
        if difflib.get_close_matches(slot.name[:40], known, 1, _LIKE):
            _number(slot, known)
    return Template.build([*parts, _ESCAPE.sub(r"\1", prompt[at:])])


def _slot(text):
    """The slot that `<...>` is, None if it is none."""
    try:
        (part,) = parse(text).parts
    except TemplateError:
        return None
    return part if isinstance(part, Slot) else None


def coded(template, codes):
    """The template with the numbers that the names of its slots have among `codes`, a sequence of `Code`.

    Raises:
        TemplateError: an unknown name, or the number of another DSL.
    """
    known = {code.name: code.id for code in codes}
    return Template.build(replace(p, code=_number(p, known)) if isinstance(p, Slot) else p for p in template.parts)


def _number(slot, known):
    if slot.name is None:
        return None
    if slot.name not in known:
        hint = did_you_mean(slot.name, known)
        raise TemplateError(
            f"This language has no slot {slot.name!r}.{hint} It has: {', '.join(known)}. To write < as text, write \\<."
        )
    if slot.code is not None and slot.code != known[slot.name]:
        raise TemplateError(
            f"{slot} has code {slot.code}, but here {slot.name!r} is code {known[slot.name]}: the template comes from "
            "another DSL. Read its prompt with this one."
        )
    return known[slot.name]


def holed(template, codes):
    """A template whose slots are all open, as a text to read: (str, list of (place, `Slot`) for `restored`).

    Raises:
        TemplateError: as `coded`, or nothing but masks.
    """
    text, holes = "", []
    for part in coded(template, codes).parts:
        if isinstance(part, Slot):
            holes.append((len(text), part))
        text += _HOLE if isinstance(part, Slot) else part
    if holes and not text.strip():
        raise TemplateError("There is nothing but masks in this prompt: sample(n) writes from nothing.")
    return text, holes


def restored(seen, holes):
    """The template that was read from a text with holes, with the masks in their places."""
    parts, at, left = [], 0, list(holes)
    for part in seen.parts:
        if isinstance(part, Slot):
            parts.append(part)
            at += len(part.text)
            continue
        begin = at
        while left and left[0][0] < at + len(part):
            where, mask = left.pop(0)
            parts += [part[begin - at : where - at], mask]
            begin = where + 1
        parts.append(part[begin - at :])
        at += len(part)
    return Template.build(parts)


def opened(template, lock):
    """The template with its slots masked except those that are locked.

    Args:
        template: `Template`.
        lock: a name or number of a slot, or an iterable of them.

    Raises:
        TemplateError: a slot that is not there, or a template without slots.
    """
    lock = {lock} if isinstance(lock, str | numbers.Integral) else set(lock)
    numbered = {one for one in lock if isinstance(one, numbers.Integral)}
    for number in sorted(numbered - set(range(len(template.slots)))):
        raise TemplateError(f"There is no slot number {number} to lock: the template has {len(template.slots)}, from 0.")
    names = {slot.name for slot in template.slots}
    for name in sorted(lock - numbered - names):
        listed = ", ".join(sorted(map(str, names)))
        raise TemplateError(f"There is no slot {name!r} to lock.{did_you_mean(name, names)} The template has: {listed}.")
    if not template.slots:
        raise TemplateError(f"There is nothing to re-roll in {template.prompt!r}: it holds no slot.")
    locked = {i for i, slot in enumerate(template.slots) if slot.name in lock}
    return masked(template, set(range(len(template.slots))) - locked - numbered)


def masked(template, chosen):
    """The template with the slots of these numbers masked."""
    number = itertools.count()
    parts = template.parts
    return Template.build(replace(p, text=None) if isinstance(p, Slot) and next(number) in chosen else p for p in parts)


def without_syntax(template):
    """The template that is left without `Syntax`, for what learns to write: "a, <lora:x:1>, b" becomes "a, b"."""
    pieces = template.pieces()
    if not any(isinstance(piece, Syntax) for piece in pieces):
        return template
    parts = list(Template.build(_marked(p) if isinstance(p, Syntax) else p for p in pieces).parts)
    for number, part in enumerate(parts):
        if isinstance(part, str) and (_COMMAND in part or _OTHER in part):
            parts[number] = _closed(part, first=not number, last=number == len(parts) - 1)
    return Template.build(parts)


def _marked(syntax):
    return _COMMAND if syntax.isupper() and syntax[0].isalpha() else _OTHER


def _closed(literal, first, last):
    """A literal whose marks of syntax are taken out: a segment of syntax goes with its separator, a command becomes a comma."""
    literal = re.sub(rf"(?<=[,;|.\n])(\s*){_COMMAND}|{_COMMAND}(?=\s*[,;|.\n])", rf"\1{_OTHER}", literal)
    literal = re.sub(rf"\s*{_COMMAND}\s*", ", ", literal)
    literal = re.sub(rf"(?<=[,;|.\n])(\s*){_OTHER}(?=\s*[,;|.\n])\s*[,;|.\n]", "", literal)
    literal = re.sub(rf"\s*{_OTHER}(?=[\s,;|.])|{_OTHER}", "", literal)
    literal = literal.lstrip(" ,;|\n") if first else literal
    return literal.rstrip(" ,;|\n") if last else literal
