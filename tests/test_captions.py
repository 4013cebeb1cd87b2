"""Random captions of the picture world, and the exact probability of each."""

import itertools
import math

import numpy as np
import pytest

from workbench.world import captions, scenes

FRESH = 9_000_000  # seeds that no training has used


def test_captions_depend_on_seed_and_split_alone_and_are_of_all_forms():
    some = captions.sample(60, 3)
    assert some == captions.sample(80, 3)[:60] != captions.sample(60, 4) and captions.sample(0) == []
    assert all(text == text.lower() for text in some)
    forms = {"of" in text or " a " in f" {text}" for text in some}
    assert forms == {True, False}
    held = [scenes.read(text) for text in captions.sample(60, 3, "held_out")]
    assert {(said["color"], said["object"]) for said in held} <= scenes.HELD_OUT
    with pytest.raises(ValueError, match="split='test'"):
        captions.sample(3, split="test")


def test_the_probabilities_of_all_sentences_and_keywords_sum_to_two_thirds():
    both = {scenes.caption(scenes.Scene("star", "red", "sea", "photo"), "sentence", seed): seed for seed in range(20)}
    assert len(both) == 2  # the style in front, or last; the same draw for every scene
    total = 0.0
    for values in itertools.product(scenes.OBJECTS, scenes.COLORS, scenes.BACKGROUNDS, scenes.STYLES, (None, *scenes.ARTISTS)):
        scene = scenes.Scene(*values)
        if (scene.color, scene.object) not in scenes.HELD_OUT:
            said = [value for value in scene if value]
            total += math.factorial(len(said)) * math.exp(captions.log_prob(", ".join(said)))
            total += sum(math.exp(captions.log_prob(scenes.caption(scene, "sentence", seed))) for seed in both.values())
    assert abs(total - 2 / 3) < 1e-9


def test_what_captions_cannot_say_has_no_probability():
    held = next(iter(sorted(scenes.HELD_OUT)))
    for text in (
        "red, circle, snow",
        ", ".join((*held, "snow", "photo")),
        "a a blue circle in the snow, photo",
        "a bold blue circle in the snow, photo",  # an adjective is of prompts, and those have surplus
        "a blue circle in the snow, photo, 4k, 4k",
        "",
    ):
        assert captions.log_prob(text) == -math.inf, text
    assert all(captions.log_prob(text) > -40 for text in captions.sample(300, FRESH))


def test_prompts_have_the_probability_with_which_they_are_drawn():
    scene = scenes.Scene("circle", "blue", "snow", "photo")
    drawn = [scenes.caption(scene, "prompt", seed).lower() for seed in range(6000)]
    given = math.log(3 * 40 * 36 * 2)  # form, pair, background and style, no artist
    for rest in (1, 2):  # parts after the first
        share = np.mean([text.count(",") == rest and text.startswith("a photo of a blue circle") for text in drawn])
        n = {1: 58, 2: 58 * 57}[rest]
        example = "a photo of a blue circle in the snow, 4k" + ", hd" * (rest - 1)
        expected = n * math.exp(captions.log_prob(example) + given)
        assert abs(share - expected) < 4 * math.sqrt(expected / 6000), (share, expected)
