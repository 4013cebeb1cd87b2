"""Games: pictures of which only the color and the object tell one from another. Which words then help is known."""

import itertools
import random

import numpy as np

from workbench import checks
from workbench.world import scenes


def games(n, size=12, seed=0):
    """Draw games for a speaker and its listeners. The first picture of each is the one to be found.

    Within a game all pictures have the same background and style and no artist, and the first shares neither its color nor its
    object with another one. So either word alone is enough for a listener that sees all; one without colors needs the object,
    one that sees no shapes needs the color, and nothing else helps.

    Args:
        n: int >= 1, games.
        size: int, pictures of a game, 2..36.
        seed: int.

    Returns:
        (list of s different `scenes.Scene`; int64 array (n, size), the scenes of each game by their numbers).

    Raises:
        ValueError: `n` or `size` out of range.
    """
    most = (len(scenes.COLORS) - 1) * (len(scenes.OBJECTS) - 1) + 1
    checks.whole("n", n)
    checks.whole("size", size, 2, most)
    rng, number, rows = random.Random(f"games {checks.seed(seed)}"), {}, []
    for _ in range(n):
        background, style = rng.choice(scenes.BACKGROUNDS), rng.choice(scenes.STYLES)
        color, thing = rng.choice(scenes.COLORS), rng.choice(scenes.OBJECTS)
        others = [pair for pair in itertools.product(scenes.COLORS, scenes.OBJECTS) if pair[0] != color and pair[1] != thing]
        pairs = [(color, thing), *rng.sample(others, size - 1)]
        shown = [scenes.Scene(thing, color, background, style) for color, thing in pairs]
        rows.append([number.setdefault(scene, len(number)) for scene in shown])
    return list(number), np.array(rows)
