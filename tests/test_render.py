"""Pictures of the built-in world, drawn from scenes."""

import itertools

import numpy as np
import pytest

from workbench.world.render import RGB, render, render_all
from workbench.world.scenes import ATTRIBUTES, BACKGROUNDS, COLORS, OBJECTS, STYLES, VALUES, Scene, scenes

STAR = Scene("star", "red", "snow", "photo")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: render(STAR._replace(object="cat")), "no object 'cat'"),
        (lambda: render(STAR, size=4), "size >= 8"),
        (lambda: render(STAR, seed=1.5), "seed must be an int, got 1.5"),
        (lambda: render_all([STAR], seed=[1, 2]), "2 seeds"),
    ],
)
def test_errors_say_what_came_and_what_there_is(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_pictures_depend_on_scene_seed_and_size_alone():
    drawn = scenes(300, 2, "any")
    batch = render_all(drawn, seed=7)
    assert batch.shape == (300, 32, 32, 3) and batch.dtype == np.uint8
    for i in (0, 5, 299):
        assert (render(drawn[i], seed=7 + i) == batch[i]).all()
    assert (render_all(drawn[:4], seed=[9, 8, 7, 6])[1] == render(drawn[1], 8)).all()
    assert (render(STAR, 1) != render(STAR, 2)).any()


@pytest.mark.parametrize("attribute", (*ATTRIBUTES, "artist"))
def test_pictures_that_differ_in_one_attribute_differ_to_the_eye(attribute):
    values = list(VALUES[attribute]) + ([None] if attribute == "artist" else [])
    for seed, scene in enumerate(scenes(24, 5)):
        shown = render_all([scene._replace(**{attribute: value}) for value in values], [seed] * len(values)).astype(float)
        for a, b in itertools.combinations(shown, 2):
            assert (np.abs(a - b).max(-1) > 12).mean() > 0.03, scene


@pytest.mark.parametrize("style", STYLES)
def test_objects_show_their_color_in_every_style(style):
    for color, background in itertools.product(COLORS, BACKGROUNDS):
        picture = render_all([Scene("square", color, background, style)] * 8, 3)[:, 12:20, 12:20] / 255.0
        hue = picture.mean((0, 1, 2)) - picture.mean()
        match = {name: np.corrcoef(hue, np.subtract(rgb, np.mean(rgb)))[0, 1] for name, rgb in RGB.items()}
        # red and orange, or blue and purple, differ in more than the direction of their hue
        assert sorted(match, key=match.get)[-3:].count(color), (color, background)


@pytest.mark.parametrize("thing", OBJECTS)
def test_objects_have_their_shape_and_stay_in_the_frame(thing):
    paint = np.float32([[1, 0, 1]] * 64)
    shown = render_all([Scene(thing, "red", "meadow", "photo")] * 64, 0, colors=paint).astype(float)
    mask = (shown[..., 0] + shown[..., 2]) / 2 - shown[..., 1] > 60
    share = mask.mean((1, 2))
    low, high = {"circle": (0.25, 0.5), "square": (0.25, 0.5), "triangle": (0.15, 0.35)}.get(thing, (0.12, 0.4))
    assert low < share.min() and share.max() < high
    assert mask[:, [0, -1]].mean() < 0.02 and mask[:, :, [0, -1]].mean() < 0.02


def test_larger_pictures_show_the_same_more_finely():
    for scene in scenes(20, 8)[:6]:
        small, large = render(scene, 4, 32).astype(float), render(scene, 4, 128).astype(float)
        shrunk = large.reshape(32, 4, 32, 4, 3).mean((1, 3))
        assert np.abs(small - shrunk).mean() < 22
