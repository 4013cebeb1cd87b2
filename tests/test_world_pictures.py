"""The tiny models that write and draw in the built-in world: language model and pipeline."""

import shutil

import numpy as np
import pytest
import torch

from tools.world import lm, pipeline
from workbench.models import load_clip, load_lm, load_pipeline
from workbench.models.checker import load_checker
from workbench.models.loading import FOLDER
from workbench.values import ModelError
from workbench.world import scenes
from workbench.world.render import render_all

FRESH = 9_000_000  # seeds that no training has used


@pytest.fixture(scope="module")
def judge():
    return load_checker()


@pytest.fixture(scope="module")
def world():
    return load_pipeline("world", device="cpu")


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
