"""Grammar: a seeded writer of text-to-image prompts that says of each word which slot it fills. The corpus with known truth.

A prompt is a subject with what it does and where, and a tail of modifiers, parted by commas, in the loose order in which people
type them; `spelling` then makes it look typed. A fifth of the fillers of each open slot never occurs in the training split.
"""

import hashlib
import numbers
import random
import re
from collections import Counter
from functools import partial
from typing import NamedTuple

from workbench import words
from workbench.world import lexicon, spelling

OPEN_SLOTS = ("subject", "action", "scene", "medium", "movement", "artist", "lighting", "camera", "color", "material")
LABELS = (*OPEN_SLOTS, "quality", "site", "separator", "weight", "function")
SPLITS = ("train", "test")

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


class Filler(NamedTuple):
    """A whole filler: characters `start` to `end` (exclusive), its slot, and whether training prompts never have it."""

    start: int
    end: int
    label: str
    unseen: bool


class LabelledPrompt(NamedTuple):
    """A prompt with its truth: `labels`, one of `LABELS` per token of `words.split(text)`, and its `fillers` in order."""

    text: str
    labels: tuple[str, ...]
    fillers: tuple[Filler, ...]


def _hold_out(slots):
    """Part the fillers of each slot and group -> {(slot, group): (kept, held out)}, tuples in the order of the lexicon.

    What stands elsewhere too ("gold", a colour and a material; "watercolor", half of "watercolor painting") is never held out:
    a training prompt would show it. The rest is ranked by a hash of its own, so no seed and no Python version moves the line.
    """
    groups = {(label, group): fillers for label, by_group in slots.items() for group, fillers in by_group.items()}
    everything = "\n".join(f" {phrase} " for fillers in (*groups.values(), lexicon.ADJECTIVES) for phrase in fillers)
    parts = {}
    for (label, group), fillers in groups.items():
        alone = [filler for filler in fillers if everything.count(f" {filler} ") == 1] if label in OPEN_SLOTS else []
        alone.sort(key=lambda filler, label=label: hashlib.sha256(f"{label}/{filler}".encode()).digest())
        held = set(alone[: round(len(fillers) / 5)])
        parts[label, group] = (tuple(f for f in fillers if f not in held), tuple(f for f in fillers if f in held))
    return parts


_PARTS = _hold_out(_SLOTS)


class _Draft:
    """A prompt being written: pieces `[gap, text, label, unseen]`, the gap being the white space in front."""

    def __init__(self, rng, split):
        self.rng, self.roll, self.with_held_out = rng, rng.random, split == "test"
        self.pieces, self.used, self.gap = [], set(), ""
        self.articles = self.roll() < 0.85
        self.weights = self.roll() < 0.1
        self.separator = rng.choices((",", "|", "."), (90, 6, 4))[0]

    def one_of(self, options):
        return options[int(self.roll() * len(options))]

    def pick(self, label, group):
        """Draw a filler that this prompt does not have yet, if four draws find one -> (text, unseen)."""
        kept, held_out = _PARTS[label, group]
        for _ in range(4):
            unseen = self.with_held_out and bool(held_out) and self.roll() < 0.5
            pool = held_out if unseen else kept
            text = pool[int(len(pool) * self.roll() ** _SKEW[label])]
            if text not in self.used:
                break
        self.used.add(text)
        return text, unseen

    def add(self, text, label="function", unseen=False):
        self.pieces.append([self.gap, text, label, unseen])
        self.gap = " "

    def fill(self, label, group, before=None, article=False):
        """Write a filler, with a function phrase and an article in front if asked for."""
        text, unseen = self.pick(label, group)
        if before:
            self.add(before)
        if article:
            self.add(_article(text))
        self.add(text, label, unseen)

    def separate(self):
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
    """Labels of at most `size` modifiers, in one of the usual orders or in none; a scene only if there is none yet."""
    counts, chosen = Counter(piece[2] for piece in draft.pieces if piece[2] == "scene"), []
    for _ in range(size):
        label = draft.one_of(_TAIL)
        if counts[label] < _AT_MOST[label]:
            counts[label] += 1
            chosen.append(label)
    if draft.roll() < 0.75:
        chosen.sort(key=draft.one_of(_ORDERS).get)
    return chosen


def _write(draft):
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


def _finish(pieces):
    """Join the pieces and carry their labels over to the tokens of the text."""
    fillers, owner_ends, position = [], [], 0
    for gap, text, label, unseen in pieces:
        start, position = position + len(gap), position + len(gap) + len(text)
        owner_ends.append(position)
        if label in _SLOTS:
            fillers.append(Filler(start, position, label, unseen))
    text = "".join([gap + piece for gap, piece, _, _ in pieces])
    labels, owner = [], 0
    for token in words.split(text):
        while token.start >= owner_ends[owner]:
            owner += 1
        labels.append(pieces[owner][2])
    return LabelledPrompt(text, tuple(labels), tuple(fillers))


def _check(split, **counts):
    if split not in SPLITS:
        raise ValueError(f"split={split!r} is unknown. Choose one of: {', '.join(SPLITS)}.")
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
            raise ValueError(f"{name}={value!r}: expected a whole number, 0 or more.")


def prompt(i, seed=0, split="train", noise=True):
    """Write prompt number `i`, which depends on `seed`, `split` and `i` alone: the truth of a row can be written again.

    Args:
        i: int >= 0, number of the prompt.
        seed: int >= 0; each seed is another corpus.
        split: "train" never has held-out fillers; "test" draws every second filler of an open slot from them.
        noise: False leaves out casing and spelling noise. The fillers and their order stay the same.

    Returns:
        `LabelledPrompt`.

    Raises:
        ValueError: unknown split; i or seed is no whole number, or negative.
    """
    _check(split, i=i, seed=seed)
    # one whole number per (seed, split, i); all its 32-bit words seed the generator
    draft = _Draft(random.Random((int(seed) << 65) + (SPLITS.index(split) << 64) + int(i)), split)
    _write(draft)
    return _finish(spelling.roughen(draft.pieces, draft.rng, draft.separator) if noise else draft.pieces)


def generate(n, seed=0, split="train", noise=True):
    """Write prompts 0 to n - 1, one at a time, in constant memory.

    Args:
        n: int >= 0, how many.
        seed: int >= 0, as in `prompt`.
        split: "train" or "test", as in `prompt`.
        noise: bool, as in `prompt`.

    Returns:
        iterator of `LabelledPrompt`.

    Raises:
        ValueError: at once, as in `prompt`.
    """
    _check(split, n=n, seed=seed)
    return (prompt(i, seed, split, noise) for i in range(n))


def fillers(label, split="train"):
    """All fillers of a slot, as written in the lexicon.

    A subject in a prompt may have one of `lexicon.ADJECTIVES` in front of its filler.

    Args:
        label: a slot: one of `OPEN_SLOTS`, "quality" or "site".
        split: "train": those of training prompts, which test prompts have too; "test": the held-out ones, none in a closed slot.

    Returns:
        tuple of str; the two splits have none in common.

    Raises:
        ValueError: unknown split, or a label that is no slot.
    """
    _check(split)
    if label not in _SLOTS:
        raise ValueError(f"{label!r} is not a slot with fillers. Choose one of: {', '.join(_SLOTS)}.")
    return tuple(filler for group in _SLOTS[label] for filler in _PARTS[label, group][SPLITS.index(split)])
