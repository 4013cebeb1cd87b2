"""The checker: what it reads in pictures of the built-in world."""

import numpy as np
import PIL.Image
import pytest

from workbench import artifacts
from workbench.models.checker import Checker, load_checker
from workbench.values import ArtifactError, PictureError
from workbench.world import scenes
from workbench.world.render import render, render_all

FRESH = 9_000_000  # seeds that no training has used


@pytest.fixture(scope="module")
def judge():
    return load_checker()


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_the_checker_reads_pictures_it_has_never_seen(judge, split):
    truth = scenes.scenes(400, FRESH, split)
    found = judge.accuracy(render_all(truth, FRESH), truth)
    assert min(found[name] for name in scenes.ATTRIBUTES) >= 0.99, found


def test_the_checker_reads_blurred_and_larger_pictures(judge):
    truth = scenes.scenes(100, FRESH, "any")
    large = [PIL.Image.fromarray(picture).resize((64, 64)) for picture in render_all(truth, FRESH)]
    assert judge.accuracy(large, truth)["all"] >= 0.95
    readings = judge.read(large[:2])
    assert readings[0]._fields == scenes.ATTRIBUTES and readings[0].object in scenes.OBJECTS


def test_the_checker_says_how_sure_it_is(judge):
    chances = judge.probabilities(render(scenes.Scene("star", "red", "sea", "photo"), FRESH))
    assert {name: array.shape for name, array in chances.items()} == {
        name: (1, len(values)) for name, values in judge.values.items()
    }
    assert all(abs(array.sum() - 1) < 1e-5 for array in chances.values())
    assert chances["object"][0, scenes.OBJECTS.index("star")] > 0.9


def test_the_checker_refuses_what_is_no_picture(judge):
    with pytest.raises(PictureError, match="Not a picture"):
        judge.read(["a red star", 3][1])
    with pytest.raises(ValueError, match="a scene for each picture, got 1 pictures and 2 scenes"):
        judge.accuracy(np.zeros((32, 32, 3)), scenes.scenes(2))


def test_a_folder_without_a_whole_checker_is_an_error(judge, tmp_path):
    with pytest.raises(ArtifactError, match="there is no such folder"):
        Checker.load(tmp_path / "none")
    config, tensors = judge.to_state()
    artifacts.save(tmp_path / "other", Checker.kind, config | {"values": {"object": ["dragon"]}}, tensors)
    with pytest.raises(
        ArtifactError, match="is not a 'picture checker' that this workbench .*should read object, color, background, style"
    ):
        Checker.load(tmp_path / "other")


def test_a_checker_is_saved_and_loaded(judge, tmp_path):
    judge.save(tmp_path)
    picture = render(scenes.Scene("star", "red", "sea", "photo"), FRESH)
    again = Checker.load(tmp_path)
    assert again.values == judge.values and again.read(picture) == judge.read(picture)
