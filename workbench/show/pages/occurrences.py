"""Occurrences: prompts and segments in which a code occurs."""

from collections import Counter
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from workbench.data import corpus
from workbench.template import Slot, Template, parse

_EXAMPLES, _SEGMENTS = 8, 8
_ENDS = " ,|.;"  # `DeepDSL` cuts these off the segments it counts


class Marked(NamedTuple):
    """A prompt, and the places of a code in it: (start, end) in characters, in order."""

    text: str
    spans: tuple


class Segment(NamedTuple):
    """A segment as one of its `Template`s, how often its shape was seen, and where function words of the code stand in it."""

    template: Template
    count: int
    spans: tuple


class Seen(NamedTuple):
    """What prompts show of a code: `examples` (`Marked`) of how many `prompts`, `segments` (`Segment`) of how many `shapes`."""

    examples: tuple = ()
    segments: tuple = ()
    prompts: int = 0
    shapes: int = 0


def look(dsl, prompts, n):
    """Look for each code in prompts.

    Args:
        dsl: `DeepDSL`.
        prompts: list of str, `Corpus` or None, as in `site.write`.
        n: int, prompts read at most.

    Returns:
        (dict of number of the code -> `Seen`, str that says where they come from).

    Raises:
        TypeError: `prompts` are not texts.
    """
    built_in = prompts is None
    if built_in:
        if (dsl.stats.get("corpus") or {}).get("source") != "world":
            return _kept(dsl)
        prompts = corpus.load("world", n=n, progress=False)
    if isinstance(prompts, str) or not hasattr(prompts, "__getitem__"):
        raise TypeError(f"prompts are a list of str or a Corpus, got {type(prompts).__name__}. For a file: corpus.load(path).")
    total = len(prompts)
    rows = np.unique(np.linspace(0, total - 1, min(n, total)).astype(int)) if total else ()
    texts = [prompts[int(row)] for row in rows]
    given = "that were given" if len(texts) == total else f"out of the {total:,} given"
    where = "of the built-in grammar" if built_in else given
    finds = _Finds()
    literal = {code.id for code in dsl.codes if code.literal}
    for template, units in zip(dsl.read(texts), dsl.tag(texts), strict=True) if texts else ():
        words = [(unit.start, unit.end, unit.code) for unit in units if unit.code in literal]
        finds.add(template, words)
    return finds.seen(), f"{len(texts):,} prompts {where}"


def _kept(dsl):
    """What the examples of the common templates and segments show, which a `DeepDSL` keeps."""
    numbers, finds = {code.name: code.id for code in dsl.codes}, _Finds()
    printed = [text for found in (*dsl.templates, *dsl.segments) for text in found.examples]
    for text in dict.fromkeys(printed):
        finds.add(_coded(text, numbers), (), whole=False)
    for found in dsl.segments:
        if found.examples:
            finds.count(_coded(found.examples[0], numbers), (), found.count)
    return finds.seen(), f"{len(set(printed)):,} prompts and segments that this language keeps as examples"


def _coded(printed, numbers):
    """A printed template whose slots have the numbers of their codes, None where a name is not known."""
    parts = parse(printed).parts
    return Template.build(replace(p, code=numbers.get(p.name)) if isinstance(p, Slot) else p for p in parts)


class _Finds:
    """Collects, prompt by prompt."""

    def __init__(self):
        self.prompts, self.marked, self.counts, self.shapes = Counter(), {}, {}, {}

    def add(self, template, words, whole=True):
        """A prompt with its function words, (start, end, code) each; `whole` counts its segments too."""
        spans = {}
        for start, end, code in (*((slot.start, slot.end, slot.code) for slot in template.slots), *words):
            spans.setdefault(code, []).append((start, end))
        for code, found in spans.items():
            self.prompts[code] += 1
            filler = template.prompt[slice(*found[0])].lower()
            marked = self.marked.setdefault(code, [])
            before = sum(filler == other for _, other, _ in marked)
            if before < _EXAMPLES:
                marked.append((before, filler, Marked(template.prompt, tuple(sorted(found)))))
        slots = [(slot.start, slot.end) for slot in template.slots]
        # a function word in a slot ("castle on a hill") belongs to the filler there
        words = [(a, b, code) for a, b, code in words if not any(start <= a < end for start, end in slots)]
        at = 0
        for parts in template.segments() if whole else ():
            end = at + sum(len(part.text) if isinstance(part, Slot) else len(part) for part in parts)
            self.count(Template.build(parts), [(a - at, b - at, code) for a, b, code in words if at <= a and b <= end], 1)
            at = end

    def count(self, template, words, times):
        """A segment that was seen a number of times."""
        template, words = _stripped(template, words)
        shape = template.skeleton
        for code in {slot.code for slot in template.slots} | {code for *_, code in words}:
            self.counts.setdefault(code, Counter())[shape] += times
            spans = tuple((a, b) for a, b, other in words if other == code)
            self.shapes.setdefault((code, shape), (template, spans))

    def seen(self):
        """Dict of code -> `Seen`: a filler that was shown already comes after all that were not."""
        found = {}
        for code, marked in self.marked.items():
            counts = self.counts.get(code, Counter())
            common = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:_SEGMENTS]
            segments = (Segment(self.shapes[code, shape][0], times, self.shapes[code, shape][1]) for shape, times in common)
            examples = (example for *_, example in sorted(marked, key=lambda one: one[0])[:_EXAMPLES])
            found[code] = Seen(tuple(examples), tuple(segments), self.prompts[code], len(counts))
        return found


def _stripped(template, words):
    """A segment without separators at its ends, and its words moved along."""
    parts, cut = list(template.parts), 0
    if parts and isinstance(parts[0], str):
        cut = len(parts[0]) - len(parts[0].lstrip(_ENDS))
        parts[0] = parts[0].lstrip(_ENDS)
    if parts and isinstance(parts[-1], str):
        parts[-1] = parts[-1].rstrip(_ENDS)
    return Template.build(parts), [(a - cut, b - cut, code) for a, b, code in words]
