"""Typed: between the text that people type, in which `<?>` and `<artist:?>` are masks, and a `Template`.

A slot of a printed template, `<artist:Goya>`, is one here too. In contrast to the printed form, any other `<` is the character
itself: prompts have `<lora:x:0.8>` and hearts.
"""

import difflib
import re
from dataclasses import replace

from workbench.template import Slot, Template, parse

_ALMOST = re.compile(r"<[^<>]{1,80}:\s*\?>")


def read(dsl, text):
    """Typed text as (`Template`, list of str: what looks like a mask but names no code of the `DeepDSL`)."""
    names = {code.name: code.id for code in dsl.codes}
    known = "|".join(re.escape(str(Slot(name))[1:-3]) for name in names)
    pieces = re.split(rf"(<\?>|<(?:{known}):(?:[^<>\\]++|\\.)++>)", text, flags=re.DOTALL)
    parts = [parse(piece, names).parts[0] if number % 2 else piece for number, piece in enumerate(pieces)]
    literals, template = "".join(pieces[::2]), Template.build(parts)
    return (dsl.read(template) if literals.strip() else template), _ALMOST.findall(literals)


def whole(text):
    """The text without halves of characters, which no page can take: two that belong together are joined, others become �."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def write(template):
    """The text of a template as it is typed: fillers and literals as they are, masks printed. The inverse of `read`."""
    return "".join(p if isinstance(p, str) else str(p) if p.text is None else p.text for p in template.parts)


def with_text(template, number, text):
    """The template with the slot of this number set to a text, or masked as `<?>` for None."""
    parts, at = [], 0
    for part in template.parts:
        if isinstance(part, Slot):
            if at == number:
                part = Slot(None) if text is None else text if part.name is None else replace(part, text=text)
            at += 1
        parts.append(part)
    return Template.build(parts)


def carried(locked, old, new):
    """Numbers of slots of `new` that are those of `old` which were locked: the same name and text, in the same order."""
    before, after = ([(slot.name, slot.text) for slot in template.slots] for template in (old, new))
    if len(before) * len(after) > 250_000:  # difflib is quadratic: of a paste as long as this, only the beginning is compared
        before, after = before[:500], after[:500]
    same = difflib.SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    moved = {block.a + i: block.b + i for block in same for i in range(block.size)}
    return frozenset(moved[number] for number in locked if number in moved)


def adopted(dsl, start, locked, filled):
    """A filled template as the next start: (`Template`, frozenset of the numbers that locked slots have now).

    What was written for `<?>` is read, all other slots stay as they are. `locked` has numbers of slots of `start`, which was
    filled; `filled` is `start` without masks, in which the fillers of `<?>` are literal text.
    """
    named = [number for number, slot in enumerate(start.slots) if slot.name is not None]
    if len(named) != len(filled.slots):  # written from nothing, or by another start
        return filled, frozenset()
    places = {slot.start for number, slot in zip(named, filled.slots, strict=True) if number in locked}
    if len(named) < len(start.slots):
        filled = _with_slots_of(filled, dsl.read(filled.prompt))
    return filled, frozenset(number for number, slot in enumerate(filled.slots) if slot.start in places)


def _with_slots_of(template, other):
    """The template with the slots of another reading of the same prompt, where these lie within its literals."""
    parts, at, text = [], 0, template.prompt
    for part in template.parts:
        if isinstance(part, Slot):
            parts.append(part)
            at = part.end
            continue
        stop = at + len(part)
        for slot in other.slots:
            if at <= slot.start and slot.end <= stop:
                parts += [text[at : slot.start], slot]
                at = slot.end
        parts.append(text[at:stop])
        at = stop
    return Template.build(parts)
