"""Questions: twelve small tasks about captions of the picture world, whose relations are known. No torch.

Does a caption say its artist, its style, its background, its color? Each question is asked of captions in three forms. Tasks that
ask the same are relatives, however their texts look; tasks of one form have the same kind of texts, whatever they ask.
"""

import random

from workbench import checks
from workbench.world import scenes

ASKED = ("artist", "style", "background", "color")
TASKS = tuple((asked, form) for asked in ASKED for form in scenes.FORMS)
LABELS = ("full", "half")  # said, or not; the same words in all tasks, so that they do not tell which task it is
_MOST = 3  # phrases of praise


def rows(asked, form, n, seed=0):
    """Draw captions, of which each says each of the four attributes or not at random, and the answers.

    Args:
        asked: str of `ASKED`.
        form: str of `scenes.FORMS`: "sentence", "keywords", or "prompt" with praise; the parts of the last two are in any order.
        n: int >= 1.
        seed: int. Equal forms and seeds give equal texts, whatever is asked.

    Returns:
        (texts, labels): two lists of n str; "full" if the caption says what is asked, else "half".

    Raises:
        ValueError: an unknown question or form, or n below 1.
    """
    checks.one_of("asked", asked, ASKED)
    checks.one_of("form", form, scenes.FORMS)
    checks.whole("n", n)
    rng, texts, labels = random.Random(f"questions {form} {checks.seed(seed)}"), [], []
    for scene in scenes.scenes(n, seed, "any"):
        said = {name for name in ASKED if rng.random() < 0.5}
        texts.append(_caption(scene, form, said, rng))
        labels.append(LABELS[asked not in said])
    return texts, labels


def _caption(scene, form, said, rng):
    """A caption that says the object and some of the rest, in lower case."""
    scene = scene._replace(artist=scene.artist or rng.choice(scenes.ARTISTS))
    if form == "keywords":
        parts = [scene.object, *(getattr(scene, name) for name in ASKED if name in said)]
        rng.shuffle(parts)
        return ", ".join(parts).lower()
    thing = f"{scene.color} {scene.object}" if "color" in said else scene.object
    opening = f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"
    if "background" in said:
        opening += f" {scenes.place(scene)}"
    parts = [scene.style] * ("style" in said) + [f"by {scene.artist}"] * ("artist" in said)
    if form == "prompt":
        parts += rng.sample(scenes.SURPLUS, rng.randint(1, _MOST))
        rng.shuffle(parts)
    return ", ".join([opening, *parts]).lower()
