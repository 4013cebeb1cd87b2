"""The tiny models that draw, judge and write in the built-in world: checker, aesthetic head, language model, pipeline."""

import json
import math
import shutil

import numpy as np
import PIL.Image
import pytest
import torch

from tools.world import lm, pipeline
from workbench.models import aesthetic, load_clip, load_lm, load_pipeline
from workbench.models.checker import VALUES, load_checker
from workbench.models.loading import FOLDER
from workbench.values import ArtifactError, ModelError, PictureError
from workbench.world import scenes
from workbench.world.render import render, render_all

FRESH = 9_000_000  # seeds that no training has used


@pytest.fixture(scope="module")
def judge():
    return load_checker()


@pytest.fixture(scope="module")
def world():
    return load_pipeline("world", device="cpu")


# Checker


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
    assert {name: array.shape for name, array in chances.items()} == {name: (1, len(values)) for name, values in VALUES.items()}
    assert all(abs(array.sum() - 1) < 1e-5 for array in chances.values())
    assert chances["object"][0, scenes.OBJECTS.index("star")] > 0.9


def test_the_checker_refuses_what_is_no_picture(judge):
    with pytest.raises(PictureError, match="Not a picture"):
        judge.read(["a red star", 3][1])
    with pytest.raises(ValueError, match="a scene for each picture, got 1 pictures and 2 scenes"):
        judge.accuracy(np.zeros((32, 32, 3)), scenes.scenes(2))


def test_a_checker_of_another_world_is_an_error(tmp_path):
    with pytest.raises(ArtifactError, match="there is no such folder"):
        load_checker(tmp_path / "none")
    shutil.copytree(FOLDER / "checker", tmp_path / "other")
    head = json.loads((tmp_path / "other" / "config.json").read_text("utf-8"))
    head["config"]["values"]["object"][0] = "dragon"
    (tmp_path / "other" / "config.json").write_text(json.dumps(head), "utf-8")
    with pytest.raises(ArtifactError, match="reads other values than this world has. Train it again"):
        load_checker(tmp_path / "other")


# Aesthetic score


def test_the_true_score_is_contrast_and_color_less_noise():
    grey, halves, red = (np.zeros((32, 32, 3), np.float32) for _ in range(3))
    grey += 0.5
    halves[:, 16:] = 1
    red[..., 0] = 1
    noise = np.random.default_rng(0).integers(0, 2, (32, 32, 1)).astype(np.float32) * np.ones(3, np.float32)
    flat, parted, colored, noisy = aesthetic.beauty([grey, halves, red, noise])
    assert abs(flat - 5) < 1e-5
    # luma 0 and 1 in equal parts: 0.5; in the 30 inner columns two differ by 1/4 from the mean of their neighbours
    assert abs(parted - (5 + 10 * (0.5 - 2 / 30 / 4 / 2))) < 1e-4
    assert abs(colored - (5 + 10 * 0.3 / 3 * math.hypot(1, 0.5))) < 1e-4
    assert noisy < parted - 1


def test_the_head_guesses_the_score_from_features():
    head, clip = aesthetic.load_aesthetic(), load_clip("world", device="cpu")
    pictures = render_all(scenes.scenes(300, FRESH, "any"), FRESH)
    guess = head.score(clip.image_features(pictures))
    assert np.allclose(head.score_pictures(pictures[:3]), guess[:3], atol=1e-4)
    assert guess.shape == (300,) and guess.dtype == np.float32
    assert np.corrcoef(guess, aesthetic.beauty(pictures))[0, 1] >= 0.94
    with pytest.raises(ValueError, match=r"reads features \(n, 128\), got \(1, 5\)"):
        head.score(np.zeros((1, 5), np.float32))


# Language model


def test_the_language_model_is_near_the_entropy_of_captions():
    figures = lm.check("world", seed=5, n=256)
    assert figures["cross-entropy / entropy"] <= 1.03, figures
    assert figures["samples that are captions"] >= 0.8, figures


def test_the_language_model_reads_the_words_of_the_clip_and_writes_readable_text():
    model, clip = load_lm("world"), load_clip("world", device="cpu")
    words = set(clip.tokenizer.get_vocab()) - set(clip.tokenizer.all_special_tokens)
    assert words <= set(model.tokenizer.get_vocab())
    text = "a red star at night, watercolor, by monetta"
    ids = model.tokenizer(text).input_ids
    assert ids[0] == model.tokenizer.bos_token_id and model.tokenizer.decode(ids, skip_special_tokens=True) == text


# Pipeline


def test_the_pipeline_draws_what_captions_say(world, judge):
    truth = scenes.scenes(16, FRESH, "held_out")
    prompts = [scenes.caption(scene, scenes.FORMS[i % 3], i) for i, scene in enumerate(truth)]
    pictures = world.draw(prompts, steps=10, seed=FRESH)
    assert {picture.size for picture in pictures} == {(32, 32)}
    found = judge.accuracy(pictures, truth)
    assert found["object"] >= 0.9 and found["color"] >= 0.9, found


def test_a_drawn_picture_depends_on_its_prompt_and_its_seed_alone(world):
    prompts = ["a red star at night, photo", "blue, heart, snow, sketch", "green, cross, sea, mosaic"]
    together = [np.asarray(picture).astype(int) for picture in world.draw(prompts, steps=4, seed=3)]
    alone = np.asarray(world.draw(prompts[1], steps=4, seed=4)[0]).astype(int)
    assert np.abs(together[1] - alone).max() <= 1  # products of other sizes round differently
    in_parts = [np.asarray(picture).astype(int) for picture in world.draw(prompts, steps=4, seed=3, batch=1)]
    assert np.abs(np.stack(together) - np.stack(in_parts)).max() <= 1
    assert np.abs(np.asarray(world.draw(prompts[1], steps=4, seed=5)[0]) - alone).max() > 50


def test_the_pipeline_is_a_stock_one_on_the_text_tower_of_the_clip(world):
    assert type(world.pipe).__name__ == "StableDiffusionPipeline" and world.pipe.safety_checker is None
    assert world.pipe.unet.config.sample_size == 8 and world.pipe.vae_scale_factor == 4
    tower = pipeline.text_tower(load_clip("world", device="cpu").model)
    own = world.pipe.text_encoder.state_dict()
    assert all(torch.equal(own[key], value) for key, value in tower.items() if "position_ids" not in key)


def test_latents_hold_nearly_all_of_a_picture(world, judge):
    truth = scenes.scenes(60, FRESH, "any")
    pictures = render_all(truth, FRESH)
    from workbench.models.checker import as_tensor

    with torch.inference_mode():
        again = world.pipe.vae.decode(world.pipe.vae.encode(as_tensor(pictures)).latents).sample.clamp(-1, 1)
    again = ((again + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    assert judge.accuracy(again, truth)["all"] >= 0.9
    assert np.abs(again.astype(int) - pictures).mean() < 0.06 * 255


def test_a_damaged_pipeline_is_an_error(tmp_path):
    folder = shutil.copytree(FOLDER / "pipeline", tmp_path / "pipeline")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ModelError, match="holds no text-to-image pipeline that can be read"):
        load_pipeline(str(folder))
    shutil.rmtree(folder / "unet")
    with pytest.raises(ModelError, match="holds no text-to-image pipeline that can be read"):
        load_pipeline(str(folder))
