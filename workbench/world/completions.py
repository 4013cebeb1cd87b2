"""Completions: short prompts as people type them, and all that may be added, so that the best addition can be found. No torch."""

from typing import NamedTuple

from workbench import checks
from workbench.world import scenes


class Typed(NamedTuple):
    """A prompt as typed, and what it asks for; `background` is None where it asks for none."""

    words: str
    object: str
    color: str
    background: str | None = None


def typed(thing, color, background=None):
    """The prompt as typed that asks for these: "a red circle", "a red circle in the snow".

    Raises:
        ValueError: a value that the world does not have.
    """
    bare = background is None
    scene = scenes.Scene(thing, color, scenes.BACKGROUNDS[0] if bare else background, scenes.STYLES[0])
    scenes.check(scene)
    whole = scenes.opening(scene)
    words = whole.removesuffix(f" {scenes.place(scene)}") if bare else whole
    return Typed(words, thing, color, background)


def prompts(split="train", background=None):
    """All prompts as typed.

    Args:
        split: "train", "held_out" or "any", which pairs of color and object, as in `scenes.scenes`.
        background: True: only those that ask for a background; False: only those that do not; None: all.

    Returns:
        list of `Typed`; each pair without a background, if those are wanted, and then with each of the six.
    """
    checks.one_of("split", split, scenes.SPLITS)
    places = ((None,) if background is not True else ()) + (scenes.BACKGROUNDS if background is not False else ())
    return [
        typed(thing, color, place)
        for color in scenes.COLORS
        for thing in scenes.OBJECTS
        if split == "any" or ((color, thing) in scenes.HELD_OUT) == (split == "held_out")
        for place in places
    ]


def endings(background=None):
    """All that a caption of the world may add: a background if none was asked for, a style, an artist or none.

    Args:
        background: str, what was asked for, or None.

    Returns:
        tuple of str, 24 or 144, which begin with a blank or a comma.

    Raises:
        ValueError: a background that the world does not have.
    """
    places = [""]
    if background is None:
        places = [typed("star", "red", one).words.removeprefix("a red star") for one in scenes.BACKGROUNDS]
    else:
        checks.one_of("background", background, scenes.BACKGROUNDS)
    artists = ["", *(f", by {artist.lower()}" for artist in scenes.ARTISTS)]
    return tuple(f"{place}, {style}{artist}" for place in places for style in scenes.STYLES for artist in artists)


def pairs(n, seed=0, split="train"):
    """Examples of how prompts go on: random prompts as typed, half of them with a background, and captions that begin so.

    Args:
        n: int >= 0.
        seed: int.
        split: as in `scenes.scenes`.

    Returns:
        list of n pairs (words as typed, caption), in lower case.
    """
    out = []
    for i, scene in enumerate(scenes.scenes(n, seed, split)):
        start = typed(scene.object, scene.color, (None, scene.background)[i % 2])
        whole = f"{scenes.opening(scene)}, {scene.style}" + (f", by {scene.artist}" if scene.artist else "")
        out.append((start.words, whole.lower()))
    return out
