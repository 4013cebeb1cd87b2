"""Captions: random captions of the picture world and the exact probability of each, to judge a language model by. No torch."""

import math
import random

from workbench import checks
from workbench.world import scenes


def sample(n, seed=0, split="train"):
    """Draw captions: random scenes, each said in one of the three `scenes.FORMS` at random, in lower case.

    Args:
        n: int >= 0.
        seed: int.
        split: "train", "held_out" or "any", as in `scenes.scenes`.

    Returns:
        list of n str.

    Raises:
        ValueError: unknown split, or a negative n.
    """
    seed = checks.seed(seed)
    rng = random.Random(f"captions {seed}")
    drawn = scenes.scenes(n, seed, split)
    return [scenes.caption(scene, rng.choice(scenes.FORMS), rng.randrange(2**53)).lower() for scene in drawn]


def log_prob(text):
    """The exact log-probability with which `sample` of the train split draws a text.

    Args:
        text: str; case does not matter.

    Returns:
        float, nats, below 0; -inf for a text that it never draws.
    """
    said = scenes.read(text)
    if any(said[name] is None for name in scenes.ATTRIBUTES) or (said["color"], said["object"]) in scenes.HELD_OUT:
        return -math.inf
    scene, parts = scenes.Scene(**said), text.lower().split(", ")
    of_form = _log_prob_of_scene(scene) - math.log(len(scenes.FORMS))
    if sorted(parts) == sorted(value.lower() for value in scene if value):  # keywords, in any order
        return of_form - math.lgamma(len(parts) + 1)
    return of_form + _log_prob_of_wording(scene, parts[0], parts[1:])


def _log_prob_of_scene(scene):
    pairs = len(scenes.COLORS) * len(scenes.OBJECTS) - len(scenes.HELD_OUT)
    artists = 2 * len(scenes.ARTISTS) if scene.artist else 2
    return -math.log(pairs * len(scenes.BACKGROUNDS) * len(scenes.STYLES) * artists)


def _log_prob_of_wording(scene, opening, rest):
    """Log-probability of a sentence (no surplus) or of a prompt, given its scene and its form."""
    openings = _openings(scene)
    if opening not in openings:
        return -math.inf
    style_first, adjective = openings[opening]
    own = ([] if style_first else [scene.style]) + ([f"by {scene.artist.lower()}"] if scene.artist else [])
    surplus = [part for part in rest if part in scenes.SURPLUS]
    n, r = len(scenes.SURPLUS), len(surplus)
    if sorted(rest) != sorted(own + surplus) or r != len(set(surplus)) or r > scenes.MAX_SURPLUS:
        return -math.inf
    chance = -math.log(2)  # the style comes first, or not
    if r == 0:
        return -math.inf if adjective else chance
    chance -= math.log(2 * (len(scenes.ADJECTIVES) if adjective else 1)) + math.log(scenes.MAX_SURPLUS)
    # the surplus at the end in the order drawn, or everything in any order
    ordered = 1 / math.perm(n, r) if rest == own + surplus else 0.0
    mixed = 1 / math.comb(n, r) / math.factorial(len(rest))
    return chance + math.log((ordered + mixed) / 2)


def _openings(scene):
    """First parts of sentences and prompts that say a scene -> (does the style come first, is there an adjective)."""
    openings = {}
    for adjective in ("", *scenes.ADJECTIVES):
        openings[scenes.opening(scene, adjective)] = (False, bool(adjective))
        openings[scenes.opening(scene, adjective, style_first=True)] = (True, bool(adjective))
    return openings
