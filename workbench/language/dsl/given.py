"""What people give a language to write from: prompts with masks and templates, understood and checked."""

import difflib
import numbers
import re
from dataclasses import replace

import numpy as np

from workbench.language import ngram
from workbench.template import Slot, Template, parse
from workbench.values import NotFittedError, TemplateError

_HOLE = "\n"  # stands for a mask while the text round it is read: it parts segments and is no word
_MASK = re.compile(r"<\?>|<[^<>]*:\s*\?>")


class Given:
    """How `DeepDSL` understands what it is given; its attributes are set there: `codes`, `writer_`."""

    def understand(self, prompt):
        r"""The template of a prompt with or without masks, as `sample` and `infill` understand it. Needs no writer.

        Args:
            prompt: str, in which `<?>` and `<artist:?>` are masks and, if there is one, `\<` is the character; or `Template`,
                whose masks stay where they are: if all its slots are masks, the text round them is read.

        Returns:
            `Template`, whose slots have the codes of this DSL.

        Raises:
            TemplateError: nothing but masks, or a name that this language has not.
            TypeError: neither.
        """
        if isinstance(prompt, Template) and any(slot.text is None for slot in prompt.slots):
            return self._read_masked(prompt)
        return self._understood(prompt)

    def _check_writes(self, n):
        if not hasattr(self, "codes"):
            raise NotFittedError("This DeepDSL has learned nothing yet: use DeepDSL.fit(prompts) or DeepDSL.load(folder).")
        if self.writer_ is None:
            raise NotFittedError(
                "This DSL only reads: it was learned with DSLConfig(writer=None). "
                "Fit it again with a writer, DSLConfig(writer=WriterConfig()); what it has learned so far is not learned twice."
            )
        if isinstance(n, bool) or not isinstance(n, numbers.Integral) or n < 1:
            raise ValueError(f"n is how many prompts you want, an int of 1 or more, got {n!r}.")

    def _understood(self, template):
        """A `Template` whose slots have codes of this DSL; a str is read, with its masks if it has any."""
        if isinstance(template, str):
            return self._read_masked(template) if _MASK.search(template) else self.read(template)
        if not isinstance(template, Template):
            raise TypeError(f"Expected a prompt (str) or a Template, got {type(template).__name__}.")
        return Template.build(self._coded(template.parts))

    def _coded(self, parts):
        """The parts, slots with the numbers that their names have here."""
        known = {code.name: code.id for code in self.codes}
        return [replace(part, code=_code(part, known)) if isinstance(part, Slot) else part for part in parts]

    def _opened(self, template, lock):
        """The template with its slots masked but for those that are locked, by name or by number."""
        lock = {lock} if isinstance(lock, str) or isinstance(lock, numbers.Integral) else set(lock)
        numbered = {name for name in lock if isinstance(name, numbers.Integral)}
        for number in sorted(numbered - set(range(len(template.slots)))):
            raise TemplateError(f"There is no slot number {number} to lock: the template has {len(template.slots)}, from 0.")
        there = {slot.name for slot in template.slots}
        for name in sorted(lock - numbered - there):
            near = difflib.get_close_matches(str(name), [t for t in there if t], 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            listed = ", ".join(sorted(map(str, there)))
            raise TemplateError(f"There is no slot {name!r} to lock.{hint} The template has: {listed}.")
        if not template.slots:
            raise TemplateError(f"There is nothing to re-roll in {template.prompt!r}: it holds no slot.")
        parts, number = [], 0
        for part in template.parts:
            if isinstance(part, Slot):
                part = part if part.name in lock or number in numbered else replace(part, text=None)
                number += 1
            parts.append(part)
        return Template.build(parts)

    def _read_masked(self, prompt):
        """A prompt with masks as a template: what is visible is read, each mask stays where it is."""
        template = parse(prompt) if isinstance(prompt, str) else prompt
        if not isinstance(template, Template):
            raise TypeError(f"Expected a prompt (str) or a Template, got {type(prompt).__name__}.")
        masks = [p for p in template.parts if isinstance(p, Slot) and p.text is None]
        if not masks:
            raise TemplateError(
                "This prompt holds no mask. Write <?> for anything or, say, <artist:?> for a slot; or use sample or vary."
            )
        masks = self._coded(masks)
        if any(isinstance(p, Slot) and p.text is not None for p in template.parts):
            return Template.build(self._coded(template.parts))
        texts = [""]
        for part in template.parts:
            if isinstance(part, Slot):
                texts.append("")
            else:
                texts[-1] += part
        if not any(text.strip() for text in texts):
            raise TemplateError("There is nothing but masks in this prompt: sample(n) writes from nothing.")
        holes = np.cumsum([len(text) + 1 for text in texts])[:-1] - 1
        seen, parts, at, left = self.read(_HOLE.join(texts)), [], 0, list(zip(holes.tolist(), masks, strict=True))
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

    def _check_like(self, like, masks):
        if not isinstance(like, dict):
            raise TypeError(f"like is a dict of slot name to filler, got {type(like).__name__}.")
        names = {slot.name or "?" for slot in masks}
        for name, filler in like.items():
            if name not in names:
                near = difflib.get_close_matches(str(name), names, 1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                listed = ", ".join(sorted(names))
                raise TemplateError(f"like names {name!r}, but no mask has that name.{hint} Masks here: {listed}.")
            if not isinstance(filler, str) or not ngram.tokens(filler):
                raise TemplateError(f"like={{{name!r}: ...}} needs a filler with a word in it, got {filler!r}.")
        return dict(like)

    def _check_fillers(self, fillers, masks):
        """A list of tuples of str, one for each mask."""
        if isinstance(fillers, str) or not hasattr(fillers, "__iter__"):
            raise TypeError(f"fillers is a list of str, or of tuples of str for several masks, got {type(fillers).__name__}.")
        found = [(filler,) if isinstance(filler, str) else filler for filler in fillers]
        if not found:
            raise ValueError("There is no filler to rank: give one or more.")
        for filler in found:
            if not isinstance(filler, list | tuple) or not all(isinstance(text, str) for text in filler):
                raise TypeError(f"A filler is a str, or a tuple of str for several masks, got {filler!r}.")
            if len(filler) != len(masks):
                raise TemplateError(f"This prompt has {len(masks)} masks, but {filler!r} holds {len(filler)} fillers.")
            if not all(ngram.tokens(text) for text in filler):
                raise TemplateError(f"A filler needs a word in it, got {filler!r}.")
        return [tuple(filler) for filler in found]


def _code(slot, known):
    """The number of a slot's code; `known` is a dict of name to number."""
    if slot.name is None:
        return None
    if slot.name not in known:
        near = difflib.get_close_matches(slot.name, known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise TemplateError(f"This language has no slot {slot.name!r}.{hint} It has: {', '.join(known)}.")
    if slot.code is not None and slot.code != known[slot.name]:
        raise TemplateError(
            f"{slot} has code {slot.code}, but here {slot.name!r} is code {known[slot.name]}: the template comes from "
            "another DSL. Read its prompt with this one."
        )
    return known[slot.name]
