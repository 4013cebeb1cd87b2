"""What a prompt is to be like: pictures, texts, or a weighted mix of both, as one direction in the space of a CLIP."""

import math
import pathlib
from typing import NamedTuple

import numpy as np
import torch

from workbench.values import PictureError

KINDS = ("picture", "text", "features")


class Target(NamedTuple):
    """What a prompt is to be like: `kind` ("picture", "text", "features"), `value`, and `weight`, negative for unlike."""

    kind: str
    value: object
    weight: float = 1.0


class Targets(NamedTuple):
    """Targets where a CLIP sees them.

    Attributes:
        features: float32 tensor (m, d), L2 norm 1.
        weights: float32 tensor (m,), absolute values sum to 1.
    """

    features: torch.Tensor
    weights: torch.Tensor

    @property
    def direction(self):
        """float32 tensor (d,). Its product with a feature is the weighted mean of the cosines, so any mix costs what one does."""
        return self.weights @ self.features


def as_targets(clip, targets):
    """Look at targets.

    Args:
        clip: `models.CLIP`.
        targets: one target or a list of m. A target is a PIL image, a path (`pathlib.Path`) or an array of a picture; a str,
            which is a text; a `Target`; or a tuple (kind, value, weight). Plain values weigh 1.

    Returns:
        `Targets`.

    Raises:
        PictureError: what should be a picture is none; it says which.
        ValueError: no targets, a weight that is not finite, all weights 0, or targets that cancel out.
        TypeError: something else than the above.
    """
    if isinstance(targets, Targets):
        return targets
    single = isinstance(targets, (str, Target, pathlib.Path)) or not isinstance(targets, (list, tuple)) or _is_triple(targets)
    items = [_as_target(item, number) for number, item in enumerate([targets] if single else targets)]
    if not items:
        raise ValueError("There are no targets: an empty list was given. Give a picture, a text or a list of them.")
    weights = torch.tensor([item.weight for item in items], dtype=torch.float64)
    if not weights.any():
        raise ValueError("The weights of all targets are 0, so there is nothing to search for.")
    features = torch.cat([_look(clip, item, number) for number, item in enumerate(items)])
    out = Targets(features, (weights / weights.abs().sum()).float().to(features.device))
    if out.direction.norm() < 1e-4:
        raise ValueError("The targets cancel out: what they attract and what they repel is the same. Change the weights.")
    return out


def _is_triple(value):
    return isinstance(value, tuple) and len(value) in (2, 3) and isinstance(value[0], str) and value[0] in KINDS


def _as_target(item, number):
    if isinstance(item, Target) or _is_triple(item):
        item = Target(*item)
    elif isinstance(item, str):
        item = Target("text", item)
    else:
        item = Target("picture", item)
    if item.kind not in KINDS:
        raise ValueError(f"Target {number} is of the kind {item.kind!r}; there are {', '.join(KINDS)}.")
    try:
        weight = float(item.weight)
    except (TypeError, ValueError):
        weight = math.nan
    if not math.isfinite(weight):
        raise ValueError(f"The weight of target {number} is {item.weight!r}; it must be a finite number.")
    return item._replace(weight=weight)


def _look(clip, item, number):
    if item.kind == "text":
        if not isinstance(item.value, str) or not item.value.strip():
            raise TypeError(f"Target {number} should be a text that is not empty, got {item.value!r}.")
        return clip.text_features(item.value)
    if item.kind == "picture":
        try:
            return clip.image_features(item.value)
        except PictureError as err:
            raise PictureError(f"Target {number}: {err} A text is given as a str.") from err
    value = item.value.detach().cpu() if isinstance(item.value, torch.Tensor) else item.value
    feature = torch.as_tensor(np.asarray(value, dtype=np.float32)).reshape(-1)
    if len(feature) != clip.width or not torch.isfinite(feature).all() or not feature.any():
        raise ValueError(f"Target {number} should be a vector of {clip.width} finite numbers, not all 0; got {len(feature)}.")
    return torch.nn.functional.normalize(feature, dim=0)[None].to(clip.device)
