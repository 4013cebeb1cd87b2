"""Drafting: random choices that make up a prompt of the grammar, segment by segment, before it is typed."""

import hashlib
import re
from collections import Counter
from functools import partial

from workbench.world import lexicon

_SLOTS = lexicon.SLOTS
# Lists begin with what people type most: position = size * u ** skew for u uniform in 0..1.
_SKEW = dict.fromkeys(_SLOTS, 1.4) | {"subject": 1.0, "quality": 1.9, "site": 1.9}
_NEED_NO_AN = re.compile(r"uni|use|eu|one", re.IGNORECASE)  # "a unicorn", though u is a vowel

_KINDS = ("person",) * 7 + ("creature",) * 7 + ("thing",) * 6 + ("portrait",) * 2 + ("many", "place")
_SCENES = ("in a",) * 8 + ("in the",) * 4 + ("on a",) * 4 + ("at",) * 2 + ("on the", "under a", "near")
_TAIL = (
    ("quality",) * 8 + ("medium", "artist", "lighting") * 3 + ("camera", "movement", "color", "site") * 2 + ("material", "scene")
)
_AT_MOST = dict.fromkeys(_SLOTS, 1) | {"quality": 6, "lighting": 2, "medium": 2, "camera": 2, "site": 2}
_ORDERS = tuple(
    {label: rank for rank, label in enumerate(order.split())}
    for order in (
        "scene material medium artist lighting camera color movement quality site",
        "scene medium movement color lighting quality camera site material artist",
        "material movement medium quality artist site color lighting camera scene",
        "scene color material lighting camera quality medium movement artist site",
    )
)


def _hold_out(slots):
    """Split the fillers of each slot and group -> {(slot, group): (kept, held out)}, tuples in the order of the lexicon.

    A filler that also occurs elsewhere ("gold", a colour and a material; "watercolor", half of "watercolor painting") is never
    held out: a training prompt would show it. The others are ranked by a hash of their own, so the split depends on no seed and
    on no version of Python.
    """
    groups = {(label, group): fillers for label, by_group in slots.items() for group, fillers in by_group.items()}
    everything = "\n".join(f" {phrase} " for fillers in (*groups.values(), lexicon.ADJECTIVES) for phrase in fillers)
    parts = {}
    for (label, group), fillers in groups.items():
        alone = [filler for filler in fillers if everything.count(f" {filler} ") == 1] if label in lexicon.OPEN_SLOTS else []
        alone.sort(key=lambda filler, label=label: hashlib.sha256(f"{label}/{filler}".encode()).digest())
        held = set(alone[: round(len(fillers) / 5)])
        parts[label, group] = (tuple(f for f in fillers if f not in held), tuple(f for f in fillers if f in held))
    return parts


PARTS = _hold_out(_SLOTS)


class Draft:
    """A prompt being written: pieces `[gap, text, label, unseen]`, the gap being the white space before it."""

    def __init__(self, rng, split):
        self.rng, self.roll, self.with_held_out = rng, rng.random, split == "test"
        self.pieces, self.used, self.gap = [], set(), ""
        self.articles = self.roll() < 0.85
        self.weights = self.roll() < 0.1
        self.separator = rng.choices((",", "|", "."), (90, 6, 4))[0]

    def one_of(self, options):
        """A random one of a sequence, each as likely as any other."""
        return options[int(self.roll() * len(options))]

    def pick(self, label, group):
        """Draw a filler that this prompt does not have yet, if four draws find one -> (text, unseen)."""
        kept, held_out = PARTS[label, group]
        for _ in range(4):
            unseen = self.with_held_out and bool(held_out) and self.roll() < 0.5
            pool = held_out if unseen else kept
            text = pool[int(len(pool) * self.roll() ** _SKEW[label])]
            if text not in self.used:
                break
        self.used.add(text)
        return text, unseen

    def add(self, text, label="function", unseen=False):
        """Write a piece after the gap that is due; the next gap is a blank."""
        self.pieces.append([self.gap, text, label, unseen])
        self.gap = " "

    def fill(self, label, group, before=None, article=False):
        """Write a filler, with a function phrase and an article before it if asked for."""
        text, unseen = self.pick(label, group)
        if before:
            self.add(before)
        if article:
            self.add(_article(text))
        self.add(text, label, unseen)

    def separate(self):
        """Write the separator of this prompt."""
        self.gap = " " if self.separator == "|" else ""
        self.add(self.separator, "separator")

    def segment(self, write):
        """Write one segment: the separator, perhaps a weight around it, and what `write` writes."""
        if self.pieces:
            self.separate()
        form = self.one_of(("(:", "(:", "(:", "((", "((", "(", "[")) if self.weights and self.roll() < 0.35 else ""
        if form:
            self.add(form.rstrip(":"), "weight")
            self.gap = ""
        write(self)
        if form:
            self.gap = ""
            # after a digit the colon would be read as part of the number ("400:1.2")
            if form == "(:" and not self.pieces[-1][1][-1].isdigit():
                self.add(self.one_of((":1.1", ":1.2", ":1.3", ":1.4", ":1.5", ":0.8")), "weight")
                self.gap = ""
            self.add({"((": "))", "[": "]"}.get(form, ")"), "weight")


def _article(text):
    return "an" if text[0] in "aeiou" and not _NEED_NO_AN.match(text) or text.startswith("hour") else "a"


def _scene(draft, bare=0.0):
    group = draft.one_of(_SCENES)
    preposition, _, article = group.partition(" ")
    if draft.roll() < bare and article:
        draft.fill("scene", group)
    else:
        draft.fill("scene", group, before=group if article == "the" else preposition, article=article == "a")


def _subject(draft, kind):
    """An article, perhaps an adjective, a colour or a material, and the subject."""
    text, unseen = draft.pick("subject", kind)
    front, roll = [], draft.roll()
    if kind != "portrait":
        if roll < 0.22:
            text = f"{draft.one_of(lexicon.ADJECTIVES)} {text}"
        elif roll < 0.36 and kind not in ("place", "person"):
            front = [(*draft.pick("color", "word"), "color")]
        elif roll < 0.52 and kind in ("thing", "creature"):
            front = [(*draft.pick("material", "stuff"), "material")]
    if draft.articles and kind != "many" and not (kind == "portrait" and roll < 0.5):
        draft.add(_article(front[0][0] if front else text))
    for adjective, new, label in front:
        draft.add(adjective, label, new)
    draft.add(text, "subject", unseen)


def _head(draft, opener=0.3, full=False):
    """The subject, what it does and where: "an oil painting of a red fox sleeping in a snowy forest"."""
    roll, kind = draft.roll, draft.one_of(_KINDS)
    if kind != "portrait" and roll() < opener:
        movement = draft.pick("movement", "style") if roll() < 0.2 else None
        medium = draft.pick("medium", "of")
        if draft.articles and roll() < 0.6:
            draft.add(_article((movement or medium)[0]))
        if movement:
            draft.add(movement[0], "movement", movement[1])
        draft.add(medium[0], "medium", medium[1])
        draft.add("of")
    _subject(draft, kind)
    if kind in ("person", "creature", "thing", "many") and (roll() < 0.45 or full):
        draft.fill("action", "any" if kind == "many" or (kind != "thing" and roll() < 0.12) else kind)
    elif kind in ("thing", "creature") and roll() < 0.15:
        draft.fill("material", draft.one_of(("stuff", "substance")), before="made of")
    elif kind == "person" and roll() < 0.2:
        draft.fill("color", "word", before="dressed in")
    if kind == "place":
        if roll() < 0.3 or full:
            draft.fill("scene", "at", before="at")
    elif roll() < 0.45 or full:
        _scene(draft)
    if roll() < 0.1:
        group = draft.one_of(("during", "lit by", "lit by"))
        draft.fill("lighting", group, before=group)


def _artist(draft):
    """One of the three forms: "by X and Y", "in the style of X", "X"; at times a list of names."""
    roll = draft.roll()
    if roll < 0.55:
        draft.fill("artist", "name", before="by")
    elif roll < 0.72:
        draft.fill("artist", "name", before="in the style of")
    else:
        draft.fill("artist", "name")
    roll = draft.roll()
    if roll < 0.12:
        draft.separate()
        draft.fill("artist", "name")
    if roll < 0.35:
        draft.fill("artist", "name", before="and")


def _medium(draft):
    draft.fill("medium", "plain" if draft.roll() < 0.6 else "of")


def _movement(draft):
    roll = draft.roll()
    if roll < 0.7:
        draft.fill("movement", "style", before="in" if roll < 0.06 else None)
        if roll < 0.25:
            draft.add("style")
    else:
        draft.fill("movement", "name", before="in the style of" if roll < 0.76 else None)


def _lighting(draft):
    roll = draft.roll()
    if roll < 0.8:
        draft.fill("lighting", "light", before="with" if roll < 0.1 else None)
    else:
        draft.fill("lighting", "during" if roll < 0.88 else "lit by", before="lit by" if roll > 0.93 else None)


def _camera(draft):
    roll = draft.roll()
    if roll < 0.25:
        draft.fill("camera", "gear", before="shot on" if roll < 0.15 else None)
    elif roll < 0.42:
        draft.fill("camera", "lens", before="shot with" if roll < 0.31 else None, article=roll < 0.31)
    else:
        draft.fill("camera", "view")


def _color(draft):
    roll = draft.roll()
    if roll < 0.6:
        draft.fill("color", "palette")
    else:
        draft.fill("color", "word", before="in" if roll < 0.7 else None)
        draft.fill("color", "word", before="and")


def _material(draft):
    draft.fill("material", draft.one_of(("stuff", "stuff", "substance")), before="made of" if draft.roll() < 0.5 else None)


_WRITERS = {
    "artist": _artist,
    "medium": _medium,
    "movement": _movement,
    "lighting": _lighting,
    "camera": _camera,
    "color": _color,
    "material": _material,
    "scene": partial(_scene, bare=0.4),
    "quality": lambda draft: draft.fill("quality", "praise"),
    "site": lambda draft: draft.fill("site", "site"),
}


def _tail(draft, size):
    """Labels of at most `size` modifiers, in one of the usual orders or in random order; a scene only if there is none yet."""
    counts, chosen = Counter(piece[2] for piece in draft.pieces if piece[2] == "scene"), []
    for _ in range(size):
        label = draft.one_of(_TAIL)
        if counts[label] < _AT_MOST[label]:
            counts[label] += 1
            chosen.append(label)
    if draft.roll() < 0.75:
        chosen.sort(key=draft.one_of(_ORDERS).get)
    return chosen


def write(draft):
    """Write a whole prompt: a sentence, a list, a style before the subject, or tags."""
    roll = draft.roll()
    if roll < 0.32:  # a sentence: nothing or little after it
        size = int(draft.roll() ** 1.5 * 4)
        draft.segment(partial(_head, opener=0.5, full=size == 0))
    elif roll < 0.8:
        size = 3 + int(draft.roll() * 9)
        draft.segment(_head)
    else:
        size = 2 + int(draft.roll() * 7)
        before = ("medium", "movement", "medium", "artist") if roll < 0.9 else ("quality", "quality", "medium", "color")
        for _ in range(1 + int(draft.roll() * (1 if roll < 0.9 else 3))):
            draft.segment(_WRITERS[draft.one_of(before)])
        draft.segment(partial(_head, opener=0.0))
    for label in _tail(draft, size):
        draft.segment(_WRITERS[label])
    if draft.roll() < 0.015:
        draft.add(draft.one_of(("--ar 16:9", "--ar 2:3", "--ar 3:2", "--v 4", "--ar 1:1")), "weight")
