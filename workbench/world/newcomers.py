"""Newcomers: values that the built-in world lacks, for its models to learn: two shapes, four colors, a style. No torch.

The renderer draws them, the captions write them as new words, `<lava>`; the pipeline and the CLIP have never seen one.
"""

import random

import numpy as np

from workbench import checks
from workbench.world import render, scenes

COLORS = {"lava": (0.93, 0.30, 0.03), "black": (0.06, 0.06, 0.07), "brown": (0.44, 0.26, 0.11), "lime": (0.68, 0.94, 0.10)}
SHAPES = ("arrow", "crescent")
STYLES = {"inkwash": ("sketch", "watercolor")}  # the mean of two drawings of one scene
VALUES = {"object": SHAPES, "color": tuple(COLORS), "style": tuple(STYLES)}
KINDS = {value: kind for kind, values in VALUES.items() for value in values}
_TRIED = 8  # scenes to choose each example from
_STAND_INS = {"object": "circle", "color": "red", "style": "mosaic"}  # old values that a caption is written with


def sample(n, values=(), seed=0, split="any"):
    """Draw random scenes of the world that have some new values.

    Args:
        n: int >= 0.
        values: str, one new value, or several of different kinds; none gives scenes of `scenes.scenes`.
        seed: int.
        split: as in `scenes.scenes`, for what stays old.

    Returns:
        list of n `scenes.Scene`; `scenes.check` refuses those with new values, `render_all` of this module draws them.

    Raises:
        ValueError: an unknown new value, or two of one kind.
    """
    values = [values] if isinstance(values, str) else list(values)
    for value in values:
        checks.one_of("a new value", value, tuple(KINDS))
    if len({KINDS[value] for value in values}) < len(values):
        raise ValueError(f"A scene has one value of each kind, got {', '.join(values)}.")
    return [scene._replace(**{KINDS[value]: value for value in values}) for scene in scenes.scenes(n, seed, split)]


def render_all(some, seed=0, size=32):
    """Draw scenes with and without new values: as `render.render_all`, and equal to it where all is old.

    Args:
        some: n `scenes.Scene`.
        seed: int, or n of them, one a picture.
        size: int, pixels a side, >= 8.

    Returns:
        uint8 (n, size, size, 3), RGB.

    Raises:
        ValueError: a value that is neither old nor new, a seed that is no int, or a size below 8.
    """
    for scene in some:
        scenes.check(_stand_in(scene))
    paint = [COLORS.get(scene.color) or render.RGB[scene.color] for scene in some]
    mixed = [i for i, scene in enumerate(some) if scene.style in STYLES]

    def draw(which):
        chosen = [s._replace(style=STYLES[s.style][which]) if s.style in STYLES else s for s in some]
        return render.draw_all(chosen, seed, size, paint)

    out = draw(0)
    if mixed:
        out[mixed] = ((out[mixed].astype(np.uint16) + draw(1)[mixed] + 1) // 2).astype(np.uint8)
    return out


def caption(scene, seed=0, words=True):
    """Describe a scene in a sentence, new values as new words: "a <lava> heart in the snow, photo".

    Args:
        scene: `scenes.Scene`.
        seed: int, for the order of style and rest.
        words: bool; False writes new values as they are, "lava".

    Returns:
        str.

    Raises:
        ValueError: a value that is neither old nor new.
    """
    text = scenes.caption(_stand_in(scene), "sentence", seed)
    for kind, value in zip(scene._fields, scene, strict=True):
        if value in KINDS:
            text = text.replace(_STAND_INS[kind], f"<{value}>" if words else value, 1)
    return text


def examples(n, values=(), seed=0, split="train"):
    """Pictures and captions that show new values, to learn from, with surroundings as different as can be.

    Args:
        n: int >= 0.
        values: str or several, as in `sample`.
        seed: int.
        split: as in `sample`; the default leaves out the pairs that old training never saw.

    Returns:
        (pictures, uint8 (n, 32, 32, 3); captions, list of n str). No artist: nothing but the new value is new.
    """
    seed = checks.seed(seed)
    some = _different([scene._replace(artist=None) for scene in sample(_TRIED * n, values, seed, split)], n)
    rng = random.Random(f"newcomers {seed}")
    return render_all(some, [rng.randrange(2**40) for _ in some]), [caption(scene, i) for i, scene in enumerate(some)]


def _different(some, n):
    """Of many scenes n, one after another that which repeats the fewest old values."""
    repeats, chosen = np.zeros(len(some), int), []  # of each scene: how often its values were chosen
    columns = [np.array([str(value) for value in column]) for column in zip(*some, strict=True)]
    for _ in range(n):
        best = int(repeats.argmin())
        chosen.append(some[best])
        for column in columns:
            repeats += column == column[best]
        repeats[best] = np.iinfo(int).max // 2
    return chosen


def _stand_in(scene):
    """The scene with an old value for each new one."""
    return scene._replace(**{kind: _STAND_INS[kind] for kind in VALUES if getattr(scene, kind) in VALUES[kind]})
