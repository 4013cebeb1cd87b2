"""A frozen CLIP: texts and pictures in one space."""

from dataclasses import dataclass

import numpy as np
import torch
import transformers

# not from the top: there, transformers 5.15 and its neighbours offer it with torchvision only, which it does not need
from transformers.models.auto.image_processing_auto import AutoImageProcessor

from workbench import checks
from workbench.models.loading import FAILURES, frozen, load_tokenizer, not_found, printable, quiet, source
from workbench.pictures import as_pictures
from workbench.values import ModelError

_CHUNK = 64  # pictures or texts in one forward; more gains nothing on a CPU and costs memory


@dataclass(frozen=True, eq=False)
class CLIP:
    """A frozen CLIP.

    Attributes:
        name: str, as it was asked for.
        source: str, the folder or hub id it was loaded from.
        model: transformers.CLIPModel in evaluation mode, float32, no gradients.
        tokenizer: its fast tokenizer.
        processor: its image processor.
        window: int, most tokens the text tower reads, begin and end token included (77 for those of OpenAI).
        width: int d, size of the space that texts and pictures share.
    """

    name: str
    source: str
    model: torch.nn.Module
    tokenizer: object
    processor: object
    window: int
    width: int

    def __repr__(self):
        return f"CLIP({self.name!r}, width={self.width}, window={self.window}, device={str(self.device)!r})"

    @property
    def device(self):
        """torch.device the weights are on."""
        return next(self.model.parameters()).device

    def image_features(self, images):
        """Features of pictures.

        Args:
            images: what `pictures.as_pictures` takes: PIL images, paths, arrays; one or a list of n.

        Returns:
            float32 tensor (n, d) on the model's device, L2 norm 1.

        Raises:
            PictureError: one of them is not a picture, too small or too large.
        """
        images, out = as_pictures(images), []
        for start in range(0, len(images), _CHUNK):
            pixels = self.processor(images=images[start : start + _CHUNK], return_tensors="pt")["pixel_values"]
            with torch.inference_mode():
                out.append(pooled(self.model.get_image_features(pixel_values=pixels.to(self.device))))
        return torch.nn.functional.normalize(torch.cat(out), dim=-1).clone()

    def text_features(self, texts):
        """Features of texts. A text longer than the window is cut at its end, as everywhere with CLIP.

        Args:
            texts: str or list of n str.

        Returns:
            float32 tensor (n, d) on the model's device, L2 norm 1.

        Raises:
            TypeError: not str.
            ValueError: an empty list.
        """
        texts, out = checks.texts([texts] if isinstance(texts, str) else texts, "texts"), []
        for start in range(0, len(texts), _CHUNK):
            chunk = [printable(text) for text in texts[start : start + _CHUNK]]
            batch = self.tokenizer(chunk, padding=True, truncation=True, max_length=self.window, return_tensors="pt")
            ids, mask = batch["input_ids"].to(self.device), batch["attention_mask"].to(self.device)
            with torch.inference_mode():
                out.append(pooled(self.model.get_text_features(input_ids=ids, attention_mask=mask)))
        return torch.nn.functional.normalize(torch.cat(out), dim=-1).clone()


def pooled(out):
    """Transformers 4 returns the features, 5 an object around them."""
    return out if isinstance(out, torch.Tensor) else out.pooler_output


def target_of(clip, image):
    """What texts are compared with: mean of unit features, float32 tensor (d,), so that a dot product is a mean cosine."""
    given = image
    if isinstance(image, np.ndarray) and image.ndim == 1:
        image = torch.from_numpy(image)
    if isinstance(image, torch.Tensor) and image.ndim < 3:
        if image.ndim == 0 or image.shape[-1] != clip.width or not image.numel() or not image.is_floating_point():
            raise ValueError(
                f"Features for {clip.name} are float and {clip.width} wide, got shape {tuple(image.shape)} of {image.dtype}. "
                "Take those of clip.image_features or clip.text_features, or give the picture."
            )
        if not torch.isfinite(image).all():
            raise ValueError("The features hold NaN or infinity.")
        features = torch.nn.functional.normalize(image.to(clip.device, torch.float32).reshape(-1, clip.width), dim=-1)
    else:
        features = clip.image_features(given)
    return features.mean(0)


def load_clip(name="world", device=None):
    """Load a CLIP. Only safetensors are read and no code that comes with a model is run.

    Args:
        name: str; `"world"` is the tiny one that comes with the package and knows only the built-in picture world,
            `"world-small"` a second one that is still smaller and shares nothing with it. Otherwise a hub id such as
            `"openai/clip-vit-base-patch32"`, or a folder with model, tokenizer and image processor.
        device: str or torch.device; None takes a CUDA GPU if there is one, otherwise the CPU.

    Returns:
        `CLIP`.

    Raises:
        ModelError: it cannot be found or read, its weights are a pickle, incomplete or not finite, a tower is missing, or it
            has no fast tokenizer.
    """
    folder = source(name, "clip")
    try:
        with quiet():
            config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
            if config.model_type != "clip":
                tower = "its text tower is missing" if "vision" in config.model_type else f"it is a {config.model_type}"
                raise ModelError(f"{name} is not a CLIP with two towers: {tower}. Give one such as openai/clip-vit-base-patch32.")
            tokenizer = load_tokenizer(folder, name)
            processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
            model, info = transformers.CLIPModel.from_pretrained(
                folder, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
    except FAILURES as err:
        raise not_found("CLIP", folder, err) from err
    # Older checkpoints leave out position ids, which are numbers in order and not learned.
    missing = {key for key in info["missing_keys"] if not key.endswith("position_ids")}
    for tower, what in (("text_model", "text"), ("vision_model", "vision")):
        if f"{tower}.embeddings.position_embedding.weight" in missing:
            raise ModelError(f"{name} is not a CLIP with two towers: its {what} tower is missing from the weights.")
    model = frozen(model, name, missing).to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    window = min(tokenizer.model_max_length, model.config.text_config.max_position_embeddings)
    return CLIP(str(name), folder, model, tokenizer, processor, window, model.config.projection_dim)
