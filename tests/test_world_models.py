"""The tiny models that come with the package, as they lie in its folder: contents, cards, and whether the figures hold."""

import itertools
import random

import numpy as np
import pytest
import torch

from tools import world as training
from tools.world import cards, clip, vocabulary
from workbench.models import load_clip
from workbench.models.loading import FOLDER
from workbench.world.render import render_all
from workbench.world.scenes import OBJECTS, STYLES, Scene, scenes

SHIPPED = [name for name in training.PARTS if (FOLDER / name).is_dir()]


@pytest.fixture(scope="module")
def world():
    return load_clip("world", device="cpu")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_has_weights_without_pickle_and_a_card_with_figures_that_reach_the_gates(name):
    files = [path for path in (FOLDER / name).rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md"}
    about, card = cards.read(FOLDER / name), (FOLDER / name / "README.md").read_text("utf-8")
    assert training.failures(about["figures"], training.part(name).GATES) == []
    assert "must not be used" in card and f"Seed {about['seed']}" in card
    for figure, value in about["figures"].items():
        assert f"| {figure} | {value:.3f} |" in card


def test_all_models_together_are_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 15_000_000


def test_the_clip_reaches_its_gates_on_few_pictures_too():
    figures = clip.check(FOLDER / "clip", seed=1, n=64)
    # of 64 pictures one alone is .016
    assert training.failures(figures, {name: (sign, bound - 0.03) for name, (sign, bound) in clip.GATES.items()}) == []


def test_the_clip_is_an_ordinary_folder(world):
    assert sorted(path.name for path in (FOLDER / "clip").iterdir()) == [
        "README.md",
        "config.json",
        "figures.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    text = world.model.config.text_config
    assert (world.window, world.width) == (vocabulary.WINDOW, 128) and text.eos_token_id == world.tokenizer.eos_token_id != 2
    assert world.tokenizer.get_vocab() == vocabulary.tokenizer().get_vocab()
    assert world.model.dtype == torch.float32 and (FOLDER / "clip" / "model.safetensors").stat().st_size < 3_500_000


def test_the_processor_changes_nothing_at_32_pixels(world):
    pictures = render_all(scenes(3), 1)
    pixels = world.processor(images=list(pictures), return_tensors="pt")["pixel_values"]
    assert torch.allclose(pixels, torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1, atol=1e-6)


def test_words_are_known_in_any_order_and_among_surplus(world):
    drawn, rng = scenes(40, 12), random.Random(0)
    seen, found = world.image_features(render_all(drawn, 10**8)), []
    for scene, picture in zip(drawn, seen, strict=True):
        told = []
        for thing in OBJECTS:
            parts = [*scene._replace(object=thing, artist=None)[:4], "trending", "detailed", "cover"]
            rng.shuffle(parts)
            told.append(" ".join(parts))
        found.append(OBJECTS[int((world.text_features(told) @ picture).argmax())] == scene.object)
    assert np.mean(found) > 0.85


def test_larger_pictures_are_seen_as_well(world):
    drawn = [Scene(thing, "red", "snow", style) for thing, style in itertools.product(OBJECTS, STYLES)]
    told = world.text_features([f"{scene.style} {scene.color} {scene.object} {scene.background}" for scene in drawn])
    seen = world.image_features(render_all(drawn, 10**8, size=96))
    assert ((seen @ told.T).argmax(1) == torch.arange(len(drawn))).float().mean() > 0.7
