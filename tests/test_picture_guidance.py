"""Picture guidance: without a pull it is the pipeline to the bit, with one it moves; and ensembles of prompts."""

import copy

import numpy as np
import PIL.Image
import pytest
import torch

from workbench import ensemble, picture_guidance
from workbench.control import picture_guidance as module
from workbench.control.picture_guidance import GuidanceConfig, Guide
from workbench.models import load_clip, load_pipeline
from workbench.models.aesthetic import beauty
from workbench.models.pipeline import Pipeline
from workbench.values import ModelError, PictureError
from workbench.world import render, scenes

PROMPTS = ["a red circle in the snow", "a blue star at night"]


@pytest.fixture(scope="module")
def pipeline():
    return load_pipeline("world", device="cpu")


@pytest.fixture(scope="module")
def clip():
    return load_clip("world", device="cpu")


def guides(style, n=3):
    some = [scene._replace(style=style, artist=None) for scene in scenes.scenes(n, 900)]
    return list(render.render_all(some, 77))


def same(one, other):
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(one, other, strict=True))


def test_without_a_pull_the_pictures_are_those_of_the_pipeline_to_the_bit(pipeline, clip):
    plain = pipeline.draw(PROMPTS, steps=4, seed=3)
    for what, config in (
        (Guide(guides("mosaic"), 0), GuidanceConfig(steps=4, seed=3)),
        (guides("mosaic"), GuidanceConfig(steps=4, seed=3, scale=0)),
    ):
        assert same(
            picture_guidance.draw(pipeline, clip, PROMPTS, [what] if isinstance(what, Guide) else Guide(what), config), plain
        )
    # and the loop itself, which the two above leave out
    zero = GuidanceConfig(steps=4, scale=0)
    assert same(module._drawn(pipeline, clip, PROMPTS, clip.text_features("mosaic"), torch.ones(1), zero, 3), plain)


def test_a_guide_that_weighs_nothing_changes_nothing(pipeline, clip):
    config = GuidanceConfig(steps=2, seed=1)
    text, picture = Guide("mosaic"), guides("photo")
    one = picture_guidance.draw(pipeline, clip, PROMPTS, [text, Guide(picture, 0)], config)
    assert same(one, picture_guidance.draw(pipeline, clip, PROMPTS, text, config))
    assert not same(one, picture_guidance.draw(pipeline, clip, PROMPTS, [text, Guide(picture, 1)], config))
    assert not same(one, pipeline.draw(PROMPTS, steps=2, seed=1))


def test_pictures_come_nearer_to_their_guide(pipeline, clip):
    config, guide = GuidanceConfig(steps=4, cutouts=1), guides("mosaic")
    target = clip.image_features(guide).mean(0)
    pulled = clip.image_features(picture_guidance.draw(pipeline, clip, PROMPTS, Guide(guide), config)) @ target
    pushed = clip.image_features(picture_guidance.draw(pipeline, clip, PROMPTS, Guide(guide, -1), config)) @ target
    plain = clip.image_features(pipeline.draw(PROMPTS, steps=4)) @ target
    assert (pulled > plain).all() and pushed.mean() < plain.mean()


def test_a_prompt_has_the_same_picture_in_any_batch(pipeline, clip):
    config = GuidanceConfig(steps=2)
    one, two = (picture_guidance.draw(pipeline, clip, PROMPTS, "mosaic", config, batch=n) for n in (1, 2))
    assert all(np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 1 for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p, c: picture_guidance.draw(p, c, PROMPTS, []), ValueError, "There are no guides"),
        (lambda p, c: picture_guidance.draw(p, c, [], "mosaic"), ValueError, "There are no prompts"),
        (lambda p, c: picture_guidance.draw(p, c, [3], "mosaic"), TypeError, "row 0 is int"),
        (lambda p, c: picture_guidance.draw(p, "world", PROMPTS, "mosaic"), TypeError, "a CLIP of models.load_clip"),
        (lambda p, c: picture_guidance.draw(p, c, PROMPTS, Guide("mosaic", "much")), ValueError, "the weight of a guide"),
        (lambda p, c: GuidanceConfig(scale=-1), ValueError, "scale must be a number of 0 or more"),
        (lambda p, c: GuidanceConfig(steps=0), ValueError, "steps must be an int of 1 or more"),
    ],
)
def test_bad_input_is_named(pipeline, clip, call, error, message):
    with pytest.raises(error, match=message):
        call(pipeline, clip)


def test_a_pipeline_of_another_kind_is_refused(clip, pipeline):
    from diffusers import EulerDiscreteScheduler

    class Other:
        unet = vae = text_encoder = True
        scheduler = EulerDiscreteScheduler()

    with pytest.raises(ModelError, match="keeps the variance, got EulerDiscreteScheduler"):
        picture_guidance.draw(Pipeline("x", "", Other()), clip, PROMPTS, "mosaic")
    with pytest.raises(ModelError, match="object has no unet"):
        picture_guidance.draw(Pipeline("x", "", object()), clip, PROMPTS, "mosaic")


# ---- ensembles ----------------------------------------------------------------------------------------------------------


class Painter:
    """Draws squares of the color that a prompt names."""

    def draw(self, prompts, *, steps, seed, batch):
        return [PIL.Image.new("RGB", (32, 32), prompt.split()[0]) for prompt in prompts]


class Brightness:
    def score_pictures(self, images, clip):
        return [float(np.asarray(image).mean()) for image in images]


def test_the_best_variants_are_kept_by_relevance_and_beauty(clip):
    variants = ["red", "white", "black", "white"]
    found = ensemble.draw_best(Painter(), "red", variants, keep=2, clip=clip, head=Brightness(), weight=1)
    assert [one.prompt for one in found] == ["white", "red"] and found[0].aesthetic == 255
    found = ensemble.draw_best(Painter(), "red", variants, keep=9, clip=clip, head=Brightness(), weight=0)
    assert len(found) == 3 and [one.relevance for one in found] == sorted((one.relevance for one in found), reverse=True)


def test_a_wish_is_kept_and_made_more_beautiful(pipeline, clip):
    wish = "a red heart"
    variants = [
        f"a red heart {place}, {style}" for place in ("at night", "in the snow") for style in ("photo", "sketch", "woodcut")
    ]
    kept = ensemble.draw_best(pipeline, wish, variants, keep=2, clip=clip)
    every = pipeline.draw(variants, seed=[0, 1, 2, 3, 4, 5])
    assert beauty([one.picture for one in kept]).mean() > beauty(every).mean()
    again = ensemble.draw_best(pipeline, wish, variants, keep=2, clip=clip)
    assert same([one.picture for one in kept], [one.picture for one in again])


def test_an_ensemble_names_bad_options(clip):
    for call, message in (
        (lambda: ensemble.draw_best(Painter(), "red", [], clip=clip), "There are no variants"),
        (lambda: ensemble.draw_best(Painter(), "red", ["red"], keep=0, clip=clip), "keep must be an int"),
        (lambda: ensemble.draw_best(Painter(), "red", ["red"], weight=2, clip=clip), "weight must be a number from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_the_built_in_pipeline_takes_four_steps_where_nothing_is_said(pipeline):
    assert same(pipeline.draw(PROMPTS, seed=1), pipeline.draw(PROMPTS, steps=4, seed=1))


def test_a_scheduler_that_adds_noise_draws_it_from_the_seed_of_the_picture(pipeline, clip):
    from diffusers import DDPMScheduler

    other = Pipeline("world", "", copy.copy(pipeline.pipe))
    other.pipe.scheduler = DDPMScheduler.from_config(pipeline.pipe.scheduler.config)
    config = GuidanceConfig(steps=3, seed=5)
    first = picture_guidance.draw(other, clip, PROMPTS, "mosaic", config)
    torch.manual_seed(99)
    assert same(first, picture_guidance.draw(other, clip, PROMPTS, "mosaic", config))
    pulled = module._drawn(other, clip, PROMPTS, clip.text_features("mosaic"), torch.ones(1), config.replace(scale=0), 5)
    assert same(pulled, other.draw(PROMPTS, steps=3, seed=5))


def test_a_picture_does_not_depend_on_the_batch_where_parts_are_looked_at_too(pipeline, clip):
    config = GuidanceConfig(steps=2, cutouts=2)
    one, two = (picture_guidance.draw(pipeline, clip, PROMPTS, "mosaic", config, batch=n) for n in (1, 2))
    assert all(np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 1 for a, b in zip(one, two, strict=True))


def test_the_path_of_a_picture_is_a_picture_and_no_text(pipeline, clip, tmp_path):
    PIL.Image.fromarray(guides("mosaic", 1)[0]).save(tmp_path / "guide.png")
    by_path, by_array = (module._targets(clip, one)[0] for one in (str(tmp_path / "guide.png"), guides("mosaic", 1)[0]))
    assert torch.equal(by_path, by_array)
    with pytest.raises(PictureError, match=r"no picture .*none\.png"):
        picture_guidance.draw(pipeline, clip, PROMPTS, str(tmp_path / "none.png"))


@pytest.mark.parametrize("guidance", [float("nan"), "much"])
def test_a_weight_of_the_prompt_that_is_no_number_is_refused(guidance):
    with pytest.raises(ValueError, match="guidance must be a number"):
        GuidanceConfig(guidance=guidance)


@pytest.mark.parametrize("scores", [[1.0], [1.0, float("nan")], [[1.0], [2.0]]])
def test_a_head_that_gives_no_number_for_each_picture_is_named(clip, scores):
    class Odd:
        def score_pictures(self, images, clip):
            return scores

    with pytest.raises(ValueError, match="head"):
        ensemble.draw_best(Painter(), "red", ["red", "blue"], clip=clip, head=Odd())
