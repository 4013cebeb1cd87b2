"""Describing: a prompt of the learned language for a picture."""

import re

import numpy as np

from workbench import checks
from workbench.models import CLIP, load_clip
from workbench.models.clip import target_of
from workbench.search.rank import Choice, build_prompt
from workbench.template import Slot, Template, parse
from workbench.values import TemplateError
from workbench.words import is_function

_TEMPLATES = 16  # common templates that are tried, greedily
_KEPT = 4  # the best of them, tried with care
_FILLERS = 200  # most frequent fillers of a code that are tried
_SEPARATED = re.compile(r"^(.*?)([\s,;|.]*)$", re.DOTALL)
_ARTICLE = re.compile(r"\b(a)n? <")


def describe(dsl, image, clip="world", *, template=None, beam=4, max_slots=8, prior=0.2):
    """Write the prompt of this language that CLIP finds nearest to a picture. Needs no writer.

    The most common templates are filled from left to right with the fillers of their codes. To the best of them common
    segments of further codes are added where they help. What counts is the cosine, and by the weight `prior` how common a
    filler is: as a CLIP is trained, its logit scale times the cosine is a log-likelihood but for a constant, and the log
    share of a filler among those of its code is its log-prior.

    Args:
        dsl: `DeepDSL`.
        image: a picture or several (what they share is described), or features, as in `rank.rank_phrases`.
        clip: `models.CLIP`, or a name for `models.load_clip`, which takes a second or more at each call.
        template: `Template` or prompt. If it has masks, these are filled and all else stays; if not, all its slots are filled
            anew. None tries the common templates.
        beam: int >= 1, texts kept on the way, as in `rank.build_prompt`.
        max_slots: int, slots filled at most when the template is chosen here.
        prior: float >= 0, weight of the corpus; 0 looks at the cosine alone, and adds whatever gains a hair's breadth.

    Returns:
        `rank.Built`: text, similarity (cosine, -1..1), template, steps.

    Raises:
        PictureError: not a picture.
        TemplateError: a template without slots, of another DSL, or with `<?>`.
        ModelError: the CLIP cannot be found.
        ValueError: `beam` or `max_slots` below 1, or `prior` below 0.
    """
    checks.number("prior", prior, 0)
    checks.whole("beam", beam)
    checks.whole("max_slots", max_slots)
    given = None if template is None else _to_fill(dsl, template)
    clip = clip if isinstance(clip, CLIP) else load_clip(clip)
    features = target_of(clip, image)
    weight = prior / float(clip.model.logit_scale.exp())
    if given is not None:
        return build_prompt(clip, features, _choices(dsl, given, weight), beam=beam)
    plans = [(_choices(dsl, plan, weight), {slot.code for slot in plan.slots}) for plan in _plans(dsl, max_slots)]
    if not plans:
        raise TemplateError("This language has no common template to fill. Give one: template='a <subject:?>'.")
    found = [build_prompt(clip, features, slots, beam=1, max_slots=max_slots, exchange=False) for slots, _ in plans]
    order = sorted(range(len(plans)), key=lambda i: -_worth(found[i], plans[i][0]))
    best = []
    for slots, codes in [plans[i] for i in order[:_KEPT]]:
        slots = [*slots, *_further(dsl, codes, weight)]
        best.append((build_prompt(clip, features, slots, beam=beam, max_slots=max_slots), slots))
    return max(best, key=lambda one: _worth(*one))[0]


def _to_fill(dsl, template):
    understood = dsl.read(template)
    if understood.masked:
        kept = [part.text if isinstance(part, Slot) and part.text is not None else part for part in understood.parts]
        understood = Template.build(kept)
    if not understood.slots:
        raise TemplateError(f"There is nothing to fill in {str(template)!r}: it holds no slot.")
    if any(slot.code is None for slot in understood.slots):
        raise TemplateError("describe cannot fill <?>, as its kind is not known: name the slot, as in <artist:?>.")
    return understood


def _plans(dsl, max_slots):
    """The most common templates, open, without those that differ in an article only."""
    plans = {}
    for counted in dsl.templates:
        template = dsl.read(parse(counted.examples[0]))
        if 0 < len(template.slots) <= max_slots:
            plans.setdefault(_ARTICLE.sub(r"\1 <", template.skeleton.lower()), template)
    return list(plans.values())[:_TEMPLATES]


def _further(dsl, codes, weight):
    """Optional slots: the most common segment of one slot of each code that is not in `codes`."""
    further = {}
    for counted in dsl.segments:
        segment = dsl.read(parse(counted.examples[0]))
        if len(segment.slots) == 1 and segment.slots[0].code not in codes:
            further.setdefault(segment.slots[0].code, _choices(dsl, segment, weight)[0]._replace(optional=True))
    return [c._replace(before=f", {c.before}") for c in further.values()]


def _choices(dsl, template, weight):
    """Slots of a template as `Choice`s, all of which are filled: a common template is a whole prompt."""
    choices, between = [], ""
    for segment in template.segments():
        start = len(choices)
        for part in segment:
            if isinstance(part, Slot):
                fillers, costs = _fillers_of(dsl, part.code, weight)
                choices.append(Choice(part.name, fillers, between, optional=False, costs=costs))
                between = ""
            else:
                between += part
        if len(choices) > start:  # what ends the segment belongs to it, the separator to the next one
            after, between = _SEPARATED.match(between).groups()
            choices[-1] = choices[-1]._replace(after=after)
    if between.strip(" ,;|."):
        choices[-1] = choices[-1]._replace(after=choices[-1].after + between)
    return choices


def _fillers_of(dsl, code, weight):
    """The most frequent fillers of a code, and what they cost: a share of the code's units in nats, times `weight`."""
    rows = np.flatnonzero(dsl.fillers.codes == code)
    rows = rows[np.argsort(-dsl.fillers.counts[rows], kind="stable")]
    rows = [i for i in rows if not is_function(dsl.fillers.texts[i])][:_FILLERS] or rows[:1]
    costs = -weight * np.log(dsl.fillers.counts[rows] / dsl.fillers.counts[dsl.fillers.codes == code].sum())
    return tuple(dsl.fillers.texts[i] for i in rows), tuple(costs.tolist())


def _worth(built, slots):
    """Similarity less the costs of what was picked."""
    costs = {(slot.name, filler): cost for slot in slots for filler, cost in zip(slot.fillers, slot.costs, strict=True)}
    return built.similarity - sum(costs[step.slot, step.filler] for step in built.steps)
