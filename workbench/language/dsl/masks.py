"""Masks: what people give a language to write from. Prompts with open slots, checked against its codes."""

import itertools
import numbers
import re
from dataclasses import replace

from workbench.checks import did_you_mean
from workbench.template import Slot, Template, parse
from workbench.values import TemplateError

_HOLE = "\n"  # stands for a mask while the text around it is read: it separates segments and is not a word
_MASK = re.compile(r"<\?>|<[^<>]*:\s*\?>")


def typed(prompt):
    """The template of a typed prompt: parsed if it has a mask, otherwise plain text."""
    return parse(prompt) if _MASK.search(prompt) else Template.build([prompt])


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
        raise TemplateError(f"This language has no slot {slot.name!r}.{hint} It has: {', '.join(known)}.")
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
