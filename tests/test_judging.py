"""Newcomers and their judge: what is new is drawn, said and read; what is old is as it was."""

import time

import numpy as np
import pytest

from workbench import world
from workbench.world import newcomers, render, scenes


def test_old_scenes_are_drawn_as_before():
    some = scenes.scenes(40, 3)
    assert np.array_equal(newcomers.render_all(some, 5), render.render_all(some, 5))


def test_a_new_value_is_in_every_picture_and_caption():
    for value, kind in newcomers.KINDS.items():
        pictures, captions = newcomers.examples(6, value, seed=1)
        assert pictures.shape == (6, 32, 32, 3) and all(f"<{value}>" in caption for caption in captions)
        assert all(getattr(scene, kind) == value for scene in newcomers.sample(6, value))
    assert newcomers.caption(newcomers.sample(1, ("lava", "arrow"))[0], words=False).count("lava arrow") == 1


def test_the_mixed_style_is_the_mean_of_two_drawings():
    scene = newcomers.sample(1, "inkwash")[0]
    one, other = (render.render(scene._replace(style=style), 4).astype(int) for style in newcomers.STYLES["inkwash"])
    assert np.abs(newcomers.render_all([scene], 4)[0] - (one + other) / 2).max() <= 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: newcomers.sample(1, "larva"), "Did you mean 'lava'"),
        (lambda: newcomers.sample(1, ("lava", "black")), "one value of each kind"),
        (lambda: newcomers.render_all([scenes.Scene("box", "red", "snow", "photo")]), "no object 'box'"),
        (lambda: world.judge(["larva"]), "a new value must be one of"),
        (lambda: world.judge(steps=0), "steps must be an int of 1 or more"),
        (lambda: render.render(newcomers.sample(1, "lava")[0]), "no color 'lava'"),
    ],
)
def test_what_is_neither_old_nor_new_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_judge_reads_a_new_color_and_is_kept(tmp_path):
    judge = world.judge(["lava"], steps=30, folder=tmp_path / "judge", progress=False)
    assert judge.values["color"][-1] == "lava" and len(judge.values["object"]) == 6
    old, new = scenes.scenes(100, 9), newcomers.sample(100, "lava", 9)
    assert judge.accuracy(newcomers.render_all(new, 10**9), new)["color"] >= 0.9
    assert judge.accuracy(newcomers.render_all(old, 10**9), old)["all"] >= 0.9
    again = world.judge(["lava"], steps=30, folder=tmp_path / "judge")
    assert again.read(newcomers.render_all(new, 1)) == judge.read(newcomers.render_all(new, 1))


def test_a_folder_holds_the_judges_of_several_calls_and_no_call_gets_that_of_another(tmp_path):
    one, two = (world.judge(["lava"], steps=1, seed=seed, folder=tmp_path, progress=False) for seed in (0, 1))
    weights = [next(judge.model.parameters()) for judge in (one, two, world.judge(["lava"], steps=1, seed=1, folder=tmp_path))]
    assert not (weights[0] == weights[1]).all() and (weights[1] == weights[2]).all()


def test_many_examples_take_no_longer_each_than_few():
    def seconds(n):
        begun = time.process_time()
        newcomers._different(newcomers.sample(8 * n, "lava"), n)
        return time.process_time() - begun

    seconds(20)
    assert seconds(800) < 1.5  # a comparison of all with all takes 4
