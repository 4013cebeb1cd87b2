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
