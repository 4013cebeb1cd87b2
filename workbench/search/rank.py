"""Rank: phrases in the order of what CLIP sees, and prompts built from that.

`rank_phrases(clip, picture, artists, prefix="a castle on a hill")` says which artist fits best after these words;
`build_prompt(clip, picture, [("medium", media), ("artist", artists)])` writes a prompt for a picture, slot by slot.
"""

import re
from typing import NamedTuple

import torch

from workbench import checks
from workbench.models.clip import target_of
from workbench.models.text_tower import phrase_features
from workbench.template import Slot, Template

__all__ = ["Built", "Choice", "Ranked", "Step", "build_prompt", "phrase_features", "rank_phrases"]

_AGAIN = 64  # fillers of a slot that are tried again once all slots are filled
_GAIN = 1e-6  # less is rounding
_AN = re.compile(r"(?i)\b(a)n?( )$")


class Ranked(NamedTuple):
    """A phrase and its similarity to the picture: mean cosine, -1..1, of the whole text with its prefix."""

    phrase: str
    similarity: float


def rank_phrases(clip, image, phrases, prefix="", top=None, *, joint=", "):
    """Rank phrases after a prefix by their similarity to a picture.

    Args:
        clip: `models.CLIP`.
        image: a picture or a list of them (see `pictures.as_pictures`), or features as `CLIP.image_features` and
            `CLIP.text_features` return them: a float tensor (m, d) or (d,), or a numpy array (d,). With several, the
            similarity is the mean over them.
        phrases: list of n str.
        prefix: str that stands before each of them, with `joint` between; "" for the phrases alone.
        top: int, how many to return; None returns all, down to the least fitting.
        joint: str between prefix and phrase.

    Returns:
        list of `Ranked`, the best first; equal ones in the order given.

    Raises:
        ValueError: no phrases, features of another width, `top` below 1, or a prefix that fills the window.
        TypeError: something that is not a str.
        PictureError: not a picture.
    """
    if top is not None:
        checks.whole("top", top)
    phrases, target = checks.texts(phrases, "phrases"), target_of(clip, image)
    similarity = (phrase_features(clip, phrases, prefix, joint=joint) @ target).cpu()
    order = torch.sort(similarity, descending=True, stable=True).indices[:top].tolist()
    return [Ranked(phrases[i], float(similarity[i])) for i in order]


class Choice(NamedTuple):
    """A slot to fill: its name, its fillers, the text before and after a filler, and the gain in cosine each filler must bring.

    `costs` are floats >= 0, one for each filler, or () for none: rare fillers may cost more, and a small cost for all keeps out
    words that hardly help. An `optional` slot stays empty where it does not help. Another one is filled whenever the slot before
    it is, which keeps together what belongs together, such as `a <color> <object>`; as the first one it is always filled.
    """

    name: str
    fillers: tuple
    before: str = ", "
    after: str = ""
    optional: bool = True
    costs: tuple = ()


class Step(NamedTuple):
    """A slot that was filled, and the similarity of the text up to there: cosine, -1..1."""

    slot: str
    filler: str
    similarity: float


class Built(NamedTuple):
    """A prompt that was built: its text, its similarity (cosine, -1..1), the same as a `Template`, and its steps in order."""

    text: str
    similarity: float
    template: Template
    steps: tuple


class _State(NamedTuple):
    picked: tuple  # a filler or None for each slot so far
    text: str
    similarity: float
    score: float  # similarity without costs

    @property
    def filled(self):
        return sum(filler is not None for filler in self.picked)


def build_prompt(clip, image, slots, *, beam=4, max_slots=None, exchange=True):
    """Write a prompt for a picture: from left to right, each slot gets the filler that fits best after the text so far.

    No filler is used twice. The score is the cosine minus the costs of the fillers.

    Args:
        clip: `models.CLIP`.
        image: a picture or several, or features, as in `rank_phrases`; several make one prompt for what they have in common.
        slots: list of `Choice` or of (name, fillers), in the order of the text.
        beam: int >= 1, texts kept on the way; 1 is greedy.
        max_slots: int, slots filled at most; None fills as many as help.
        exchange: bool, at the end change one slot at a time as long as that helps, since the first ones were filled before the
            others were known.

    Returns:
        `Built`.

    Raises:
        ValueError: no slots, a slot without fillers or with another number of costs, or `beam` or `max_slots` below 1.
        TypeError: a slot or a filler of another type.
        PictureError: not a picture.
    """
    choices = [_checked(slot, number) for number, slot in enumerate(slots, 1)]
    if not choices:
        raise ValueError("There are no slots: give a list of (name, fillers).")
    checks.whole("beam", beam)
    most = len(choices) if max_slots is None else checks.whole("max_slots", max_slots)
    starts = [i for i, choice in enumerate(choices) if choice.optional or i == 0]
    least = min(1 + _followers(choices, i) for i in (starts if choices[0].optional else [0]))
    if least > most:
        raise ValueError(f"max_slots={max_slots} leaves no room: {least} slots or more are filled together.")
    target = target_of(clip, image)
    best, ranked = _forward(clip, target, choices, beam, most)
    if exchange:
        best = _exchange(clip, target, choices, best, ranked, most)
    return _built(clip, target, choices, best)


def _forward(clip, target, choices, beam, most):
    """Fill from left to right: the best `_State`, and for each slot its fillers, the most fitting first."""
    states, ranked = [_State((), "", -1.0, -1.0)], []
    for i, choice in enumerate(choices):
        follows = i > 0 and not choice.optional
        size = 1 + _followers(choices, i)
        grown = [s for s in states if (s.picked[-1] is not None if follows else s.filled + size <= most)]
        if i == 0 and not choice.optional:
            skipped = []
        else:
            skipped = [s._replace(picked=(*s.picked, None)) for s in states if not follows or s.picked[-1] is None]
        picked = [(*state.picked, filler) for state in grown for filler in choice.fillers]
        new = [one for one in picked if one[-1] not in one[:-1]]
        picked = new if new or choice.optional else picked
        filled = _best(_scored(clip, target, choices, picked), len(picked))
        ranked.append(tuple(dict.fromkeys(state.picked[-1] for state in filled)))
        if _followers(choices, i):  # half a phrase is not compared with an empty one
            states = filled[:beam] + _best(skipped, beam)
        else:
            states = _best(filled[:beam] + skipped, beam)
    return _best(states, 1)[0], ranked


def _exchange(clip, target, choices, best, ranked, most):
    """Change one slot at a time, fill one more, or leave out what is optional, as long as that helps."""
    while True:
        others = []
        for i, (choice, filler) in enumerate(zip(choices, best.picked, strict=True)):
            after = i + 1 + _followers(choices, i)
            if filler is None and (best.filled == most or not choice.optional or after > i + 1):
                continue
            others += [(*best.picked[:i], other, *best.picked[i + 1 :]) for other in ranked[i][:_AGAIN] if other != filler]
            if filler is not None and choice.optional and best.filled > after - i:
                others.append((*best.picked[:i], *[None] * (after - i), *best.picked[after:]))
        others = [picked for picked in others if _no_filler_twice(picked)]
        found = _best(_scored(clip, target, choices, others), 1)
        if not found or not found[0].score > best.score + _GAIN:  # so that NaN ends it too
            return best
        best = found[0]


def _built(clip, target, choices, best):
    template = Template.build(_parts(choices, best.picked))
    at = [i + 1 for i, filler in enumerate(best.picked) if filler is not None]
    grown = _similarity(clip, target, [_write(choices, best.picked[:i]) for i in at])
    steps = tuple(Step(choices[i - 1].name, best.picked[i - 1], s) for i, s in zip(at, grown, strict=True))
    return Built(template.prompt, best.similarity, template, steps)


def _followers(choices, i):
    """How many slots after slot `i` are filled if it is."""
    return next((n for n, choice in enumerate(choices[i + 1 :]) if choice.optional), len(choices) - i - 1)


def _scored(clip, target, choices, picked):
    """A `_State` for each tuple of fillers."""
    texts = [_write(choices, some) for some in picked]
    costs = [dict(zip(choice.fillers, choice.costs, strict=True)) if choice.costs else {} for choice in choices]
    paid = [sum(of.get(filler, 0.0) for of, filler in zip(costs, some, strict=False)) for some in picked]
    found = zip(picked, texts, _similarity(clip, target, texts), paid, strict=True)
    return [_State(some, text, similarity, similarity - cost) for some, text, similarity, cost in found]


def _similarity(clip, target, texts):
    # what these texts have in common is computed once
    return (phrase_features(clip, texts) @ target).tolist() if texts else []


def _no_filler_twice(picked):
    said = [filler for filler in picked if filler is not None]
    return len(set(said)) == len(said)


def _best(states, n):
    """The first `n` of different text by score."""
    by_text = {}
    for state in states:
        by_text.setdefault(state.text, state)
    return sorted(by_text.values(), key=lambda state: -state.score)[:n]


def _write(choices, picked):
    return "".join(part.text if isinstance(part, Slot) else part for part in _parts(choices, picked))


def _parts(choices, picked):
    parts = []
    for choice, filler in zip(choices, picked, strict=False):
        if filler is not None:
            before = choice.before if parts else choice.before.lstrip(" ,;|.")
            before = _AN.sub(r"\1n\2" if filler[0].lower() in "aeiou" else r"\1\2", before)
            parts += [before, Slot(choice.name, filler), choice.after]
    return parts


def _checked(slot, number):
    if not isinstance(slot, tuple) or len(slot) < 2 or not isinstance(slot[0], str):
        raise TypeError(f"Slot {number} is a Choice or (name, fillers), got {slot!r:.60}.")
    choice = Choice(*slot)
    fillers = tuple(checks.texts(choice.fillers, f"fillers of slot {choice.name!r}"))
    if choice.costs and len(choice.costs) != len(fillers):
        raise ValueError(f"Slot {choice.name!r} has {len(fillers)} fillers and {len(choice.costs)} costs. Give one for each.")
    if not all(filler.strip() for filler in fillers):
        raise ValueError(f"Slot {choice.name!r} has an empty filler. Leave it out: optional slots may stay empty.")
    return choice._replace(fillers=fillers, costs=tuple(choice.costs))
