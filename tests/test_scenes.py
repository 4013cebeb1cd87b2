"""Scenes of the picture world, and what captions say of them."""

import itertools

import pytest

from workbench.world.scenes import (
    ARTISTS,
    BACKGROUNDS,
    COLORS,
    FORMS,
    HELD_OUT,
    OBJECTS,
    STYLES,
    VALUES,
    Scene,
    caption,
    read,
    scenes,
)

STAR = Scene("star", "red", "snow", "photo")


def test_values_are_single_words_that_mean_one_thing():
    values = [value.lower() for group in VALUES.values() for value in group]
    assert len(set(values)) == len(values) and all(value.isalpha() for value in values)
    assert (len(OBJECTS), len(COLORS), len(BACKGROUNDS), len(STYLES), len(ARTISTS)) == (6, 8, 6, 6, 3)


def test_held_out_pairs_touch_each_color_and_each_object():
    assert {color for color, _ in HELD_OUT} == set(COLORS) and {thing for _, thing in HELD_OUT} == set(OBJECTS)
    assert len(HELD_OUT) == 8


def test_splits_share_no_pair():
    pairs = {
        split: {(scene.color, scene.object) for scene in scenes(2000, split=split)} for split in ("train", "held_out", "any")
    }
    assert pairs["held_out"] == HELD_OUT
    assert pairs["train"] == set(itertools.product(COLORS, OBJECTS)) - HELD_OUT
    assert pairs["any"] == pairs["train"] | pairs["held_out"]


def test_scenes_depend_on_the_seed_alone():
    assert scenes(50, 3) == scenes(80, 3)[:50] != scenes(50, 4)
    assert scenes(0) == []


@pytest.mark.parametrize("form", FORMS)
def test_captions_are_read_back_exactly(form):
    for seed, scene in enumerate(scenes(500, 1, "any")):
        assert read(caption(scene, form, seed)) == scene._asdict()


def test_captions_of_known_scenes():
    scene = Scene("circle", "orange", "night", "embroidery", "Monetta")
    assert {caption(scene, seed=seed) for seed in range(20)} == {
        "an orange circle at night, embroidery, by Monetta",
        "an embroidery of an orange circle at night, by Monetta",
    }
    words = {caption(scene, "keywords", seed) for seed in range(300)}
    assert "orange, circle, night, embroidery, Monetta" in words and len(words) > 80  # of 120 orders
    assert caption(STAR, "prompt", 5) == caption(STAR, "prompt", 5)


def test_reading_says_none_where_the_text_is_silent_and_follows_the_majority():
    assert read("a dragon in a cave") == dict.fromkeys(VALUES)
    assert read("Red STAR,star, heart blue")["object"] == "star"
    assert read("blue red")["color"] == "blue" and read("blue red,red")["color"] == "red"
    assert read("reddish stars")["color"] is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scenes(3, split="test"), "split='test'"),
        (lambda: scenes(-1), "n=-1"),
        (lambda: caption(STAR, "poem"), "form='poem' is unknown. Choose one of: sentence"),
        (lambda: caption(STAR._replace(color="grey")), "no color 'grey'. It has: red, orange"),
    ],
)
def test_errors_say_what_came_and_what_there_is(call, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        call()
