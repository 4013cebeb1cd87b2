"""Checker: a network that reads object, color, background and style from a picture of the built-in world, without any CLIP."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from workbench import artifacts
from workbench.pictures import as_pictures

FOLDER = Path(__file__).parents[1] / "world" / "models" / "checker"
SIZE = 32  # pixels a side; other pictures are resized to it
_CHUNK = 256


class Reading(NamedTuple):
    """What the checker sees in a picture: one of its `values` for each attribute."""

    object: str
    color: str
    background: str
    style: str


def network(values, width=32):
    """The untrained network: float32 (n, 3, 32, 32) in -1..1 -> (n, v) logits of all values, attribute by attribute.

    Args:
        values: dict of attribute to its values, a sequence of str.
        width: int, channels of the first layer.
    """
    nn = torch.nn

    def step(before, after, stride):
        return [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]

    outputs = sum(map(len, values.values()))
    return nn.Sequential(
        *step(3, width, 1),
        *step(width, width * 3 // 2, 2),
        *step(width * 3 // 2, width * 2, 2),
        *step(width * 2, width * 2, 2),
        nn.Flatten(),  # not pooled: a shape is where its edges are
        nn.Linear(width * 2 * (SIZE // 8) ** 2, width * 4, bias=False),
        nn.BatchNorm1d(width * 4),
        nn.ReLU(),
        nn.Linear(width * 4, outputs),
    )


def pixels(images):
    """float32 tensor (n, 3, 32, 32) in -1..1 of pictures of any size, see `pictures.as_pictures`."""
    pictures = [picture if picture.size == (SIZE, SIZE) else picture.resize((SIZE, SIZE)) for picture in as_pictures(images)]
    return as_tensor(np.stack([np.asarray(picture) for picture in pictures]))


def as_tensor(array):
    """uint8 array (n, 32, 32, 3) -> float32 tensor (n, 3, 32, 32) in -1..1."""
    return torch.from_numpy(array).permute(0, 3, 1, 2).float() / 127.5 - 1


class Checker(artifacts.Saved):
    """A trained network that reads pictures of the built-in world. It always names a known value, even where there is none.

    Args:
        model: the trained `network`.
        values: dict of attribute to its values, as given to `network`; the attributes are those of `Reading`.
    """

    kind = "picture checker"

    def __init__(self, model, values):
        self.model = model.eval().requires_grad_(False)
        self.values = {name: tuple(known) for name, known in values.items()}

    def probabilities(self, images):
        """Probabilities of all values.

        Args:
            images: n pictures, see `pictures.as_pictures`.

        Returns:
            dict of attribute -> float32 array (n, values), rows sum to 1, columns as in `values[attribute]`.

        Raises:
            PictureError: one of them is not a picture.
        """
        batch = pixels(images)
        with torch.inference_mode():
            logits = torch.cat([self.model(chunk) for chunk in batch.split(_CHUNK)])
        parts = logits.split([len(known) for known in self.values.values()], dim=1)
        return {name: part.softmax(1).numpy() for name, part in zip(self.values, parts, strict=True)}

    def read(self, images):
        """The most likely values: list of n `Reading`. Arguments and errors as in `probabilities`."""
        best = {name: array.argmax(1) for name, array in self.probabilities(images).items()}
        rows = zip(*(best[name] for name in Reading._fields), strict=True)
        return [Reading(*(self.values[name][i] for name, i in zip(Reading._fields, row, strict=True))) for row in rows]

    def accuracy(self, images, truth):
        """Share of pictures whose attribute is read correctly.

        Args:
            images: n pictures.
            truth: n scenes or readings, what should be in them.

        Returns:
            dict of attribute -> float 0..1, and "all": all four correct.

        Raises:
            PictureError: one of them is not a picture.
            ValueError: another number of pictures than of scenes.
        """
        readings = self.read(images)
        if len(readings) != len(truth):
            raise ValueError(f"accuracy needs a scene for each picture, got {len(readings)} pictures and {len(truth)} scenes.")
        right = np.array(
            [[getattr(a, name) == getattr(b, name) for name in self.values] for a, b in zip(readings, truth, strict=True)]
        )
        return dict(zip(self.values, right.mean(0).tolist(), strict=True)) | {"all": float(right.all(1).mean())}

    def to_state(self):
        """(config, tensors) for `save`: weights in float16."""
        tensors = {key: value.detach().numpy() for key, value in self.model.state_dict().items() if value.is_floating_point()}
        config = {"width": self.model[0].out_channels, "values": {name: list(known) for name, known in self.values.items()}}
        return config, {key: value.astype(np.float16) for key, value in tensors.items()}

    @classmethod
    def from_state(cls, config, tensors):
        """The checker that `to_state` describes."""
        values = config["values"]
        if tuple(values) != Reading._fields:
            raise ValueError(f"it should read {', '.join(Reading._fields)}")
        model = network(values, config["width"])
        weights = {key: torch.from_numpy(array) for key, array in artifacts.from_half(tensors).items()}
        counters = {key: value for key, value in model.state_dict().items() if not value.is_floating_point()}  # of training only
        model.load_state_dict({**weights, **counters})
        return cls(model, values)


def load_checker():
    """Load the `Checker` that comes with the package, on the CPU."""
    return Checker.load(FOLDER)
