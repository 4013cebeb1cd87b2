"""Scenes: what the pictures of the built-in world can show, and captions that describe it and can be read back. No torch."""

import itertools
import random
import re
from typing import NamedTuple

from workbench import checks
from workbench.world import lexicon

OBJECTS = ("circle", "square", "triangle", "star", "heart", "cross")
COLORS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
BACKGROUNDS = ("snow", "desert", "night", "meadow", "sea", "rain")
STYLES = ("watercolor", "mosaic", "woodcut", "embroidery", "sketch", "photo")
ARTISTS = ("Monetta", "Vangora", "Kandova")  # invented; each is a texture
ATTRIBUTES = ("object", "color", "background", "style")
VALUES = {"object": OBJECTS, "color": COLORS, "background": BACKGROUNDS, "style": STYLES, "artist": ARTISTS}
SPLITS = ("train", "held_out", "any")
FORMS = ("sentence", "keywords", "prompt")

# Pairs (color, object) that training never shows: each color once, each object once or twice.
HELD_OUT = frozenset((color, OBJECTS[(2 * i + i // 3) % 6]) for i, color in enumerate(COLORS))

_PLACES = {
    "snow": "in the snow",
    "desert": "in the desert",
    "night": "at night",
    "meadow": "in a meadow",
    "sea": "at sea",
    "rain": "in the rain",
}
ADJECTIVES = ("large", "bold", "bright", "simple", "single", "centered", "lone", "plain")
MAX_SURPLUS = 4  # phrases of praise in a prompt
_WORD = re.compile(r"[a-z]+")
_MEANING = {value.lower(): (name, value) for name, values in VALUES.items() for value in values}


class Scene(NamedTuple):
    """What a picture shows: an object in a color before a background, in a style, sometimes with the texture of an artist."""

    object: str
    color: str
    background: str
    style: str
    artist: str | None = None


def scenes(n, seed=0, split="train"):
    """Draw random scenes. All values are equally likely, and about half of the scenes have an artist.

    Args:
        n: int >= 0.
        seed: int.
        split: "train" never has a pair (color, object) of `HELD_OUT`, "held_out" has only those, "any" all.

    Returns:
        list of n `Scene`.

    Raises:
        ValueError: unknown split, or a negative n.
    """
    if split not in SPLITS or n < 0:
        raise ValueError(f"scenes needs n >= 0 and a split of {', '.join(SPLITS)}; got n={n} and split={split!r}.")
    pairs = [
        (color, thing)
        for color, thing in itertools.product(COLORS, OBJECTS)
        if split == "any" or ((color, thing) in HELD_OUT) == (split == "held_out")
    ]
    rng, drawn = random.Random(f"scenes {split} {checks.seed(seed)}"), []
    for _ in range(n):
        color, thing = rng.choice(pairs)
        artist = rng.choice(ARTISTS) if rng.random() < 0.5 else None
        drawn.append(Scene(thing, color, rng.choice(BACKGROUNDS), rng.choice(STYLES), artist))
    return drawn


def caption(scene, form="sentence", seed=0):
    """Describe a scene in words; `read` reads it back.

    Args:
        scene: `Scene`.
        form: "sentence" ("a red circle in the snow, watercolor, by Monetta"), "keywords" ("snow, red, watercolor, circle"),
            in shuffled order, or "prompt": a sentence with the praise that people add ("highly detailed, 4k").
        seed: int, for the order, the wording and the praise. Equal arguments give equal captions.

    Returns:
        str.

    Raises:
        ValueError: unknown form, or a scene with a value that the world does not have.
    """
    if form not in FORMS:
        raise ValueError(f"form={form!r} is unknown. Choose one of: {', '.join(FORMS)}.")
    check(scene)
    rng = random.Random(f"caption {form} {checks.seed(seed)}")
    if form == "keywords":
        parts = [part for part in scene if part]
        rng.shuffle(parts)
        return ", ".join(parts)
    adjective = rng.choice(ADJECTIVES) if form == "prompt" and rng.random() < 0.5 else ""
    style_first = rng.random() < 0.5
    parts = [opening(scene, adjective, style_first)] + ([] if style_first else [scene.style])
    if scene.artist:
        parts.append(f"by {scene.artist}")
    if form == "prompt":
        surplus = rng.sample(SURPLUS, rng.randint(1, MAX_SURPLUS))
        if rng.random() < 0.5:
            parts += surplus
        else:
            parts = [parts[0], *rng.sample(parts[1:] + surplus, len(parts[1:] + surplus))]
    return ", ".join(parts)


def opening(scene, adjective="", style_first=False):
    """The first part of a caption: "a large red circle in the snow", or with the style, "a photo of a large red circle ..."."""
    thing = _with_article(f"{adjective} {scene.color} {scene.object}".lstrip()) + f" {place(scene)}"
    return f"{_with_article(scene.style)} of {thing}" if style_first else thing


def place(scene):
    """The background of a scene in words: "in the snow"."""
    return _PLACES[scene.background]


def _with_article(phrase):
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def read(text):
    """What a text says about a scene: the exact inverse of `caption`, and a reasonable reading of any list of words.

    Args:
        text: str. Case and what stands between the words do not matter.

    Returns:
        dict of "object", "color", "background", "style" and "artist" -> value, or None where the text does not say. If it
        has several values of one attribute, the most frequent one counts, and among equals the first.
    """
    said = {name: {} for name in VALUES}
    for word in _WORD.findall(text.lower()):
        if word in _MEANING:
            name, value = _MEANING[word]
            said[name][value] = said[name].get(value, 0) + 1
    return {name: max(counts, key=counts.get) if counts else None for name, counts in said.items()}


def check(scene):
    """Refuse a scene that cannot be described or drawn.

    Raises:
        ValueError: a value that the world does not have; it says which there are.
    """
    for name, value in zip(Scene._fields, scene, strict=True):
        if value not in VALUES[name] and not (name == "artist" and value is None):
            raise ValueError(f"The world has no {name} {value!r}. It has: {', '.join(VALUES[name])}.")


# The praise of the prompt grammar, without phrases that name a value of a scene.
SURPLUS = tuple(phrase for phrase in lexicon.SLOTS["quality"]["praise"] if not any(read(phrase).values()))
