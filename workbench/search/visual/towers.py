"""Frozen vision models as functions of pixels, and which of them may be prompted."""

import contextlib
import hashlib

import numpy as np
import torch

from workbench import checks
from workbench.models import checker
from workbench.models.clip import CLIP, pooled
from workbench.pictures import as_pictures
from workbench.search.soft.soft_prompt import known_sha256


def tower_of(vision, labels, template):
    """The tower of a model for some labels.

    Raises:
        TypeError: no vision model.
        ValueError: labels that it cannot tell apart.
    """
    if isinstance(vision, CLIP):
        return ClipTower(vision, labels, template)
    if isinstance(vision, checker.Checker):
        return CheckerTower(vision, labels)
    raise TypeError(f"A visual prompt works with models.load_clip or the world's checker, got {type(vision).__name__}.")


def sha256(model):
    """The sha256, in hex, of the weights of a torch module: str."""

    def compute():
        digest = hashlib.sha256()
        for name, tensor in sorted(model.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)}".encode() + tensor.cpu().float().numpy().tobytes())
        return digest.hexdigest()

    return known_sha256(model, model, compute)


class ClipTower:
    """The two towers of a CLIP: a picture's scores are those of the texts of the labels.

    Attributes:
        model: torch module; `size` int, pixels a side; `layers` and `width` ints, of its transformer.
    """

    def __init__(self, clip, labels, template):
        self.clip, self.model = clip, clip.model
        vision = clip.model.config.vision_config
        self.size, self.layers, self.width = vision.image_size, vision.num_hidden_layers, vision.hidden_size
        with torch.no_grad():
            self.texts = clip.text_features([template.replace("{label}", label) for label in labels])
        mean, std = (torch.tensor(x)[:, None, None] for x in (clip.processor.image_mean, clip.processor.image_std))
        self.mean, self.std = mean.to(clip.device), std.to(clip.device)

    def pixels(self, pictures):
        """float32 (n, 3, s, s) in -1..1, cut and resized as the model's processor does it."""
        found = self.clip.processor(images=as_pictures(pictures), return_tensors="pt")["pixel_values"].to(self.clip.device)
        return (found * self.std + self.mean) * 2 - 1

    def scores(self, pixels, tokens=None):
        """Scores (n, c), before softmax, of pixels (n, 3, s, s) and tokens (1 or n, layers, k, w)."""
        with self._with(tokens):
            features = pooled(self.model.get_image_features(pixel_values=((pixels + 1) / 2 - self.mean) / self.std))
        return torch.nn.functional.normalize(features, dim=-1) @ self.texts.T * self.model.logit_scale.exp()

    @contextlib.contextmanager
    def _with(self, tokens):
        """Tokens stand behind the patches: those of the first layer go on, unless the next layer has its own."""
        hooks = []
        if tokens is not None and tokens.shape[2]:
            layers = self.model.vision_model.encoder.layers

            def put(layer, k=tokens.shape[2]):
                def hook(module, arguments, named):
                    states = arguments[0] if arguments else named["hidden_states"]
                    own = tokens[:, layer].expand(len(states), -1, -1)
                    states = torch.cat([states[:, : states.shape[1] - k * (layer > 0)], own], 1)
                    return ((states, *arguments[1:]), named) if arguments else ((), named | {"hidden_states": states})

                return hook

            hooks = [layers[i].register_forward_pre_hook(put(i), with_kwargs=True) for i in range(tokens.shape[1])]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


class CheckerTower:
    """The checker of the world, for the values of one of its attributes."""

    layers = width = 0

    def __init__(self, vision, labels):
        self.model, self.size, at = vision.model, checker.SIZE, 0
        for known in vision.values.values():
            if set(labels) <= set(known):
                self.columns = [at + known.index(label) for label in labels]
                return
            at += len(known)
        kinds = "; ".join(f"{name}: {', '.join(known)}" for name, known in vision.values.items())
        raise ValueError(f"The checker reads the values of one attribute, got {', '.join(labels)}. It knows {kinds}.")

    def pixels(self, pictures):
        """float32 (n, 3, s, s) in -1..1."""
        return checker.pixels(pictures)

    def scores(self, pixels, tokens=None):
        """Scores (n, c), before softmax."""
        return self.model(pixels)[:, self.columns]


def read_pictures(vision, pictures, labels, template, known=None):
    """What is learned from: (tower, pixels (n, 3, s, s), labels as sorted classes, their numbers int64 (n,)).

    Raises:
        PictureError: one of them is no picture.
        TypeError, ValueError: other numbers of pictures and labels, one class only, or labels that are no str.
    """
    labels = checks.texts(labels, "labels")
    classes = tuple(sorted(set(labels))) if known is None else tuple(known)
    if len(classes) < 2:
        raise ValueError(f"There must be two labels or more, got {', '.join(classes)}.")
    if extra := set(labels) - set(classes):
        raise ValueError(f"These labels are not among the classes: {', '.join(sorted(extra))}.")
    tower, pictures = tower_of(vision, classes, template), as_pictures(pictures)
    if len(pictures) != len(labels):
        raise ValueError(f"There are {len(pictures)} pictures and {len(labels)} labels; each picture needs one.")
    pixels = tower.pixels(pictures)
    return tower, pixels, classes, torch.tensor([classes.index(label) for label in labels], device=pixels.device)


def as_array(pixels):
    """Pixels (n, 3, s, s), those outside of -1..1 cut, as uint8 (n, s, s, 3)."""
    shown = (pixels.detach().cpu().clamp(-1, 1) + 1) * 127.5
    return shown.round().permute(0, 2, 3, 1).numpy().astype(np.uint8)
