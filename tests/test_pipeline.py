"""Text-to-image pipelines: what is damaged is named before any work starts."""

import shutil

import pytest
import safetensors.torch

from workbench.models import load_pipeline, loading
from workbench.values import ModelError

PIPELINE = loading.FOLDER / "pipeline"


def test_a_pipeline_with_nan_or_a_missing_part_is_refused(tmp_path):
    folder = shutil.copytree(PIPELINE, tmp_path / "pipeline")
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.torch.load(path.read_bytes())
    next(iter(tensors.values())).view(-1)[0] = float("inf")
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="holds NaN or infinity"):
        load_pipeline(folder)
    path.unlink()
    with pytest.raises(ModelError, match="missing or damaged"):
        load_pipeline(folder)


def test_a_prompt_that_is_cut_is_told_once_for_a_whole_call(capfd, recwarn):
    pipeline = load_pipeline(device="cpu")
    long = "a red circle in the snow, " + "woodcut, " * 14 + "by Vangora"
    pipeline.draw([long, "a red circle", long], steps=1, batch=1)
    (told,) = [str(one.message) for one in recwarn if "tokens that the pipeline reads" in str(one.message)]
    assert told.startswith("2 of 3 prompts have more than the 32 tokens") and told.endswith(", by vangora'.")
    assert "truncated" not in "".join(capfd.readouterr())


def test_prompts_that_fit_are_drawn_without_a_word(recwarn):
    load_pipeline(device="cpu").draw(["a red circle in the snow"], steps=1)
    assert not [one for one in recwarn if "tokens" in str(one.message)]
