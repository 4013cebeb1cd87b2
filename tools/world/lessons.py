"""Lessons: batches that teach the tiny CLIP to part attributes: pictures, captions with surplus and gaps, wrong captions.

Three ideas are here. Objects are also painted in colors without a name, so that a shape does not hang on the colors it was
seen in. Half of a batch are groups that differ in one attribute. Each picture comes with a caption that is nearly right: one
value is another one, is missing, or is contradicted.
"""

from typing import NamedTuple

import numpy as np

from tools.world import vocabulary
from workbench.world.render import RGB, render_all
from workbench.world.scenes import ATTRIBUTES, COLORS, HELD_OUT, OBJECTS, VALUES, Scene, caption, scenes

NAMES = (*ATTRIBUTES, "artist")
_NAMED = np.array([RGB[color] for color in COLORS])
_HELD_OUT = np.array([[(color, thing) in HELD_OUT for thing in OBJECTS] for color in COLORS])
SILENT, NAMELESS, CONTRARY = -1, -1, -9  # a text does not say it; a picture has no name for it; a text says two things


class Lesson(NamedTuple):
    """One batch of n pictures.

    Attributes:
        pictures: uint8 (n, 32, 32, 3).
        shown: int64 (n, 5), number of the value in `VALUES` by attribute; artist 3 is none; color may be NAMELESS.
        texts: list of 2 n str: a caption of each picture, then one nearly right of each.
        stated: int64 (2 n, 5), what the texts say; SILENT or CONTRARY where they say nothing or two things.
        unfair: bool (n, 6), objects that a picture must not be said not to show: in its color they are held out, so that no
            picture would ever contradict.
    """

    pictures: np.ndarray
    shown: np.ndarray
    texts: list
    stated: np.ndarray
    unfair: np.ndarray


def lesson(n, seed, step, nameless=0.3):
    """Batch number `step`, which depends on the arguments alone.

    Args:
        n: int, pictures, a multiple of 8.
        seed: int >= 0, of the training.
        step: int >= 0.
        nameless: float, share of pictures whose object has a color without a name.

    Returns:
        `Lesson`.
    """
    rng = np.random.default_rng([int(seed), int(step)])
    drawn = scenes(n // 2, seed * 1_000_003 + step)
    for base in scenes(n // 8, seed * 1_000_003 + step + 500_009):
        drawn += _group(base, 4, rng)
    shown = np.array([[_number(name, getattr(scene, name)) for name in NAMES] for scene in drawn])
    paint = np.array([RGB[scene.color] for scene in drawn])
    for row in np.flatnonzero(rng.random(n) < nameless):
        paint[row], shown[row, NAMES.index("color")] = _paint(drawn[row].object, rng), NAMELESS
    pictures = render_all(drawn, rng.integers(1 << 31, size=n), colors=paint)
    right = [_text(row, rng) for row in shown]
    wrong = [_nearly(row, said, rng) for row, (_, said) in zip(shown, right, strict=True)]
    texts, stated = zip(*right, *wrong, strict=True)
    return Lesson(pictures, shown, list(texts), np.array(stated), _refused(paint))


def _number(name, value):
    return len(VALUES[name]) if value is None else VALUES[name].index(value)


def _group(base, n, rng):
    """`base` and n - 1 scenes that differ from it in the same attribute."""
    while True:
        name = NAMES[rng.integers(5)]
        values = (*VALUES[name], None) if name == "artist" else VALUES[name]
        others = [base._replace(**{name: value}) for value in values if value != getattr(base, name)]
        others = [scene for scene in others if (scene.color, scene.object) not in HELD_OUT]
        if len(others) >= n - 1:
            return [base, *(others[i] for i in rng.permutation(len(others))[: n - 1])]


def _paint(thing, rng):
    """A random color, but never one that would pass for a color this object must not be seen in."""
    while True:
        color = rng.random(3)
        if not _refused(color[None])[0, OBJECTS.index(thing)]:
            return color


def _refused(paint):
    """Colors (n, 3) -> bool (n, 6), whether they are, or pass for, a color that is held out for an object."""
    far = np.linalg.norm(_NAMED - paint[:, None], axis=-1)
    near = (far < 0.35) | (far == far.min(1, keepdims=True))
    return near @ _HELD_OUT


def _word(name, value):
    return VALUES[name][value]


def _text(row, rng):
    """A caption of what is shown -> (text, what it states)."""
    said = row.copy()
    said[(said == [len(VALUES[name]) for name in NAMES]) | (said == NAMELESS)] = SILENT
    if rng.random() < 0.35 and (said[:4] != SILENT).all():
        return _sentence(said, rng), said
    if rng.random() < 0.4:  # leave some out, never all
        keep = rng.random(5) < 0.75
        keep[rng.integers(4)] = True
        part = np.where(keep, said, SILENT)
        said = part if (part != SILENT).any() else said
    return _keywords([_word(name, value) for name, value in zip(NAMES, said, strict=True) if value != SILENT], rng), said


def _sentence(said, rng):
    values = {name: None if value == SILENT else _word(name, value) for name, value in zip(NAMES, said, strict=True)}
    return caption(Scene(**values), ("sentence", "sentence", "prompt")[rng.integers(3)], int(rng.integers(1 << 31)))


_SURPLUS = vocabulary.surplus()


def _keywords(words, rng):
    """Words in any order, at times said twice, with surplus words between them and with or without commas."""
    words = list(words)
    if rng.random() < 0.2:
        words.append(words[rng.integers(len(words))])
    if rng.random() < 0.6:
        extra = [_SURPLUS[i] for i in rng.integers(len(_SURPLUS), size=rng.integers(1, 7))]
        words += ["qqq" if rng.random() < 0.04 else word for word in extra]
    words = [words[i] for i in rng.permutation(len(words))]
    return (", " if rng.random() < 0.5 else " ").join(words)


def _nearly(row, said, rng):
    """A text that is wrong in one point for a picture whose caption states `said` -> (text, what it states)."""
    stated, points = said.copy(), np.flatnonzero(said != SILENT)
    point = points[rng.integers(len(points))]
    name, roll = NAMES[point], rng.random()
    other = [value for value in range(len(VALUES[name])) if value != said[point] and not _is_held_out(name, value, row)]
    other = other[rng.integers(len(other))]
    if roll < 0.2 and len(points) > 1:
        stated[point] = SILENT
    elif roll < 0.75:
        stated[point] = other
    words = [_word(NAMES[i], stated[i]) for i in range(5) if stated[i] != SILENT]
    if roll >= 0.75:
        words.append(_word(name, other))
        stated[point] = CONTRARY
    elif (stated[:4] != SILENT).all() and rng.random() < 0.5:
        return _sentence(stated, rng), stated
    return _keywords(words, rng), stated


def _is_held_out(name, value, row):
    """Whether a value would make a pair that is held out: no text says one, as what is only ever wrong is learned as wrong."""
    thing, color = (value, row[1]) if name == "object" else (row[0], value)
    return name in ("object", "color") and color != NAMELESS and bool(_HELD_OUT[color, thing])


def masks(shown, stated, unfair):
    """Which pairs of a picture and a text are no lesson: those that are right though they do not belong together.

    A text that says less than the picture's own caption counts as wrong for the picture, so that saying more wins.

    Args:
        shown: int (n, 5), as in `Lesson`.
        stated: int (m, 5), as in `Lesson`; the first n are the captions of the pictures.
        unfair: bool (n, 6), as in `Lesson`.

    Returns:
        (skip for pictures, skip for texts): bool (n, m), True where picture i and text j are left out when a text is looked for
        a picture, and when a picture is looked for a text.
    """
    n = len(shown)
    silent, nameless = stated[None] == SILENT, shown[:, None] == NAMELESS
    right = (silent | (nameless & (stated[None] != CONTRARY)) | (stated[None] == shown[:, None])).all(-1)
    own = stated[:n, None] != SILENT
    less = (silent | own).all(-1) & (silent & own).any(-1)
    unfair = (stated[:, 0] >= 0) & unfair[:, np.maximum(stated[:, 0], 0)]
    skip, skip_less = (right & ~less) | unfair, right | unfair
    rows = np.arange(n)
    skip[rows, rows] = skip_less[rows, rows] = False
    return skip, skip_less
