"""A CLIP: its features, and what is missing, damaged or unsafe is named before any work starts."""

import shutil

import numpy as np
import PIL.Image
import pytest
import safetensors.torch
import torch
from transformers import CLIPVisionModel

from workbench.models import load_clip, loading
from workbench.values import ModelError, PictureError
from workbench.world.render import render_all
from workbench.world.scenes import OBJECTS, Scene

CLIP = loading.FOLDER / "clip"


@pytest.fixture(scope="module")
def clip():
    return load_clip("world", device="cpu")


@pytest.fixture
def folder(tmp_path):
    """A copy of the built-in CLIP, to be damaged."""
    return shutil.copytree(CLIP, tmp_path / "clip")


def rewrite(folder, change):
    """Change the weights of a folder."""
    path = folder / "model.safetensors"
    tensors = safetensors.torch.load(path.read_bytes())
    change(tensors)
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})


def test_the_built_in_one_is_found_by_its_name_and_by_its_folder(clip):
    again = load_clip(str(CLIP), device="cpu")
    assert repr(clip) == "CLIP('world', width=128, window=32, device='cpu')"
    assert torch.equal(again.text_features("a red circle"), clip.text_features("a red circle"))
    assert not any(p.requires_grad for p in clip.model.parameters()) and not clip.model.training


def test_features_are_unit_vectors_and_do_not_depend_on_their_neighbours(clip):
    pictures = list(np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), dtype=np.uint8))
    features, texts = clip.image_features(pictures), clip.text_features(["red", "a red circle at night, photo, by Monetta"] * 40)
    assert features.shape == (70, 128) and texts.shape == (80, 128) and features.dtype == torch.float32
    assert torch.allclose(features.norm(dim=1), torch.ones(70), atol=1e-5)
    assert torch.allclose(clip.image_features(pictures[69])[0], features[69], atol=1e-5)
    assert torch.allclose(clip.text_features("red")[0], texts[0], atol=1e-5)


def test_large_and_grey_pictures_are_seen_as_their_small_selves(clip):
    small = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8))
    large = small.resize((256, 256), PIL.Image.Resampling.NEAREST)
    assert (clip.image_features(small) @ clip.image_features(large).T).item() > 0.9


def test_a_text_beyond_the_window_is_cut(clip):
    long = "red circle " * 100
    assert torch.allclose(clip.text_features(long), clip.text_features("red circle " * 200))


@pytest.mark.parametrize(("texts", "error"), [([], ValueError), ([1], TypeError), (["a", None], TypeError)])
def test_what_is_no_text_is_refused(clip, texts, error):
    with pytest.raises(error):
        clip.text_features(texts)


def test_what_is_no_picture_is_refused(clip):
    with pytest.raises(PictureError, match="Picture 1 of 2"):
        clip.image_features([np.zeros((32, 32, 3), np.uint8), "nothing.png"])


def test_the_second_clip_is_another_one_and_sees_the_same_world():
    first, second = load_clip("world"), load_clip("world-small")
    assert (first.width, second.width) == (128, 96) and first.tokenizer.get_vocab() == second.tokenizer.get_vocab()
    drawn = [Scene(thing, "red", "snow", "photo") for thing in OBJECTS]
    pictures, texts = render_all(drawn, 10**8), [f"a photo of a red {scene.object} in the snow" for scene in drawn]
    near = second.image_features(pictures) @ second.text_features(texts).T
    assert near.argmax(1).tolist() == list(range(len(drawn)))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"])
def test_a_folder_with_a_missing_file_is_refused_and_shows_what_it_has(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match="missing or damaged. It has .*README.md"):
        load_clip(folder)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ModelError, match="It has no files"):
        load_clip(tmp_path)


def test_a_pickle_is_not_read(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ModelError, match=r"a pickle \(pytorch_model.bin\), which can run code and is not loaded"):
        load_clip(folder)


def test_damaged_weights_are_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="missing or damaged"):
        load_clip(folder)


def test_weights_with_nan_are_refused_and_the_tensor_is_named(folder):
    rewrite(folder, lambda tensors: tensors["text_projection.weight"][0].fill_(float("nan")))
    with pytest.raises(ModelError, match="text_projection.weight holds NaN"):
        load_clip(folder)


def test_weights_that_are_left_out_are_not_drawn_at_random(folder):
    rewrite(folder, lambda tensors: tensors.pop("visual_projection.weight"))
    with pytest.raises(ModelError, match="incomplete: 1 are missing, such as visual_projection.weight"):
        load_clip(folder)


def test_a_clip_without_a_text_tower_is_refused(folder, tmp_path, clip):
    rewrite(folder, lambda tensors: [tensors.pop(key) for key in list(tensors) if key.startswith("text_model")])
    with pytest.raises(ModelError, match="its text tower is missing from the weights"):
        load_clip(folder)
    vision = CLIPVisionModel(clip.model.config.vision_config)
    vision.save_pretrained(tmp_path / "vision")
    with pytest.raises(ModelError, match="not a CLIP with two towers: its text tower is missing"):
        load_clip(tmp_path / "vision")


def test_a_language_model_is_no_clip():
    with pytest.raises(ModelError, match="not a CLIP with two towers: it is a gpt2"):
        load_clip(loading.FOLDER / "lm")
