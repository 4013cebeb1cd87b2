"""Varying: prompts near a prompt."""

import math
import re

import numpy as np

from workbench import checks
from workbench.checks import unit_rows
from workbench.language.dsl.masks import masked, opened
from workbench.values import TemplateError

# What a reader trips over: "an watercolor", "a engraving", "by Monet and Monet". Words such as "hour" and "unicorn" are neither.
_SLIPS = re.compile(
    r"\ban (?=[bcdfgjklmnpqrstvwyz])|\ba (?=[aei]|o(?!n[ce]\b)|u(?!ni|s[eu]))|\b(\w.{3,}?)(?:,| and|, and)? \1\b", re.IGNORECASE
)
_TURNS = 7  # rounds in which prompts that differ are looked for


def vary(author, prompt, n, proximity, by, lock, decoding, seed):
    """See `DeepDSL.vary`; `author` is an `Author`. List of n `Sample`."""
    checks.whole("n", n)
    checks.share("proximity", proximity)
    checks.one_of("by", by, ("slots", "noise"))
    template, free = _to_vary(author.reader, prompt, lock)
    words, rng = [slot.text for slot in template.slots], np.random.default_rng(seed)
    contents = author.content(words), author.content(words, spelled=False)
    found, seen, slips = [], {template.prompt.lower(): None}, len(_SLIPS.findall(template.prompt))
    wanted = math.ceil(n * (1 + 3 * proximity))  # the nearer, the more there are to choose from
    for turn in range(_TURNS):
        tasks = [_task(template, free, contents, proximity, by, rng) for _ in range(wanted)]
        # Content near that of a filler often gives the filler again: what is still missing is looked for further away.
        blend = float(proximity) * 0.7 ** max(0, turn - 1)
        new = author.fill(*map(list, zip(*tasks, strict=True)), decoding, seed + 7919 * turn, blend, words)
        found += new
        for sample in new:
            if len(_SLIPS.findall(sample.text)) <= slips:
                seen.setdefault(sample.text.lower(), sample)
        if len(seen) > wanted:
            break
    best = [sample for sample in seen.values() if sample is not None]
    if len(best) > n:
        near = _likeness(author.reader.tagger, best, template)
        best = [best[i] for i in np.sort(np.argsort(-near, kind="stable")[:n])]
    clumsy = {sample.text.lower(): sample for sample in found if sample.text.lower() not in seen}
    return (best + list(clumsy.values()) + found)[:n]  # better a slip than the same prompt twice


def _to_vary(reader, prompt, lock):
    """The template of a prompt, and the numbers of its slots that may change: int64."""
    template = reader.template(prompt)
    if template.masked:
        raise TemplateError(f"vary needs a whole prompt, still open: {template}. Use infill for masks.")
    if not template.slots:
        raise TemplateError(f"There is nothing to vary in {template.prompt!r}: it holds no slot.")
    free = np.array([i for i, slot in enumerate(opened(template, lock).slots) if slot.text is None], np.int64)
    if not len(free):
        raise TemplateError(f"There is nothing to vary in {template.prompt!r}: all its slots are locked.")
    return template, free


def _task(template, free, contents, proximity, by, rng):
    """A template with some of its slots masked, and the content to fill each with."""
    spelled, meant = contents
    kept = int(round(proximity * (len(free) - 1))) if by == "slots" else 0
    open_ = np.sort(free[rng.permutation(len(free))[kept:]])
    again = np.zeros(len(open_), bool)  # slots that get the very content of the prompt
    if by == "noise":
        again = rng.random(len(open_)) < proximity
        again[rng.integers(len(open_))] = False  # at least one is to change
    content = list(np.where(again[:, None], spelled[open_], meant[open_])) if proximity else [None] * len(open_)
    return masked(template, set(open_.tolist())), content


def _likeness(tagger, samples, template):
    """How like the fillers of each sample are to those of a template of the same shape: mean cosine, float (n,)."""
    texts = [slot.text.lower() for one in (template, *(sample.template for sample in samples)) for slot in one.slots]
    vectors = unit_rows(tagger.static(texts)).reshape(len(samples) + 1, -1)
    return vectors[1:] @ vectors[0] / len(template.slots)
