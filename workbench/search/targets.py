"""What a prompt should be like: pictures, texts or a weighted mix of them, as one direction in the space of a CLIP."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from workbench import pictures
from workbench.models.text_tower import TextTower
from workbench.search.loop import digest
from workbench.values import PictureError

KINDS = ("picture", "text", "features")


class Target(NamedTuple):
    """What a prompt should be like: `kind` ("picture", "text", "features"), `value`, and `weight`, negative to repel."""

    kind: str
    value: object
    weight: float = 1.0


class Targets(NamedTuple):
    """Features and weights of targets.

    Attributes:
        features: float32 tensor (m, d), L2 norm 1.
        weights: float32 tensor (m,), absolute values sum to 1.
    """

    features: torch.Tensor
    weights: torch.Tensor

    @property
    def direction(self):
        """float32 tensor (d,). Its product with a feature is the weighted mean of the cosines, so a mix costs no more."""
        return self.weights @ self.features


def as_targets(clip, targets):
    """Compute the features of targets.

    Args:
        clip: `models.CLIP`.
        targets: one target or a list of m. A target is a picture, as `pictures.as_pictures` takes it; a text; a `Target`; or a
            tuple (kind, value, weight). Plain values weigh 1. A str is a text, unless it is the path of a picture or ends like
            one, as "star.png" does: ("text", "star.png") is these words all the same.

    Returns:
        `Targets`.

    Raises:
        PictureError: a target is not a usable picture; the error says which.
        ValueError: no targets, a weight that is not finite, all weights 0, or targets that cancel out.
        TypeError: a text that is empty or not a str.
    """
    if isinstance(targets, Targets):
        return targets
    targets = list(targets.values()) if isinstance(targets, Mapping) else pictures.several(targets)
    single = isinstance(targets, Target) or not isinstance(targets, (list, tuple)) or _is_triple(targets)
    items = [_as_target(item, number) for number, item in enumerate([targets] if single else targets)]
    if not items:
        raise ValueError("There are no targets: an empty list was given. Give a picture, a text or a list of them.")
    weights = torch.tensor([item.weight for item in items], dtype=torch.float64)
    if not weights.any():
        raise ValueError("The weights of all targets are 0, so there is nothing to search for.")
    features = torch.cat([_features(clip, item, number) for number, item in enumerate(items)])
    out = Targets(features, (weights / weights.abs().sum()).float().to(features.device))
    if out.direction.norm() < 1e-4:
        raise ValueError("The targets cancel out: what attracts and what repels is the same. Change the weights.")
    return out


def _is_triple(value):
    return isinstance(value, tuple) and len(value) in (2, 3) and isinstance(value[0], str) and value[0] in KINDS


def _as_target(item, number):
    if isinstance(item, Target) or _is_triple(item):
        item = Target(*item)
    elif isinstance(item, str) and not pictures.is_named(item):
        item = Target("text", item)
    else:
        item = Target("picture", item)
    if item.kind not in KINDS:
        raise ValueError(f"Target {number} is of the kind {item.kind!r}; kinds are {', '.join(KINDS)}.")
    try:
        weight = float(item.weight)
    except (TypeError, ValueError):
        weight = math.nan
    if not math.isfinite(weight):
        raise ValueError(f"The weight of target {number} is {item.weight!r}; it must be a finite number.")
    return item._replace(weight=weight)


def _features(clip, item, number):
    if item.kind == "text":
        if not isinstance(item.value, str) or not item.value.strip():
            raise TypeError(f"Target {number} should be a text that is not empty, got {item.value!r}.")
        return clip.text_features(item.value)
    if item.kind == "picture":
        try:
            found = clip.image_features(item.value)
        except PictureError as err:
            words = f"('text', {item.value!r})" if isinstance(item.value, str) else "a str"
            raise PictureError(f"Target {number}: {err} For a text give {words}.") from err
        if len(found) != 1:
            raise PictureError(f"Target {number} is {len(found)} pictures. Give each of them as a target of its own.")
        return found
    value = item.value.detach().cpu() if isinstance(item.value, torch.Tensor) else item.value
    feature = torch.as_tensor(np.asarray(value, dtype=np.float32)).reshape(-1)
    if len(feature) != clip.width or not torch.isfinite(feature).all() or not feature.any():
        raise ValueError(f"Target {number} should be a vector of {clip.width} finite numbers, not all 0; got {len(feature)}.")
    return torch.nn.functional.normalize(feature, dim=0)[None].to(clip.device)


class ClipObjective:
    """The objective of `pez.search`: the weighted mean of the cosines of prompts with the targets of their search.

    Args:
        clip: `models.CLIP`.
        targets: list of s `Targets`.
        config: `PEZConfig`.
        vocabulary: `Vocabulary`.

    Raises:
        ValueError: prefix, tokens and suffix do not fit into the window of the text tower.
    """

    def __init__(self, clip, targets, config, vocabulary):
        before, after = len(vocabulary.prefix), len(vocabulary.suffix)
        wanted = before + config.length + after + 2
        if wanted > clip.window:
            raise ValueError(
                f"The prompt is too long: {before} tokens of prefix, {config.length} to find, {after} of suffix and the begin "
                f"and end token are {wanted}; {clip.name} reads {clip.window}."
            )
        self.restarts, self.targets = config.restarts, targets
        self.directions = torch.stack([one.direction for one in targets])
        begin, end = clip.tokenizer("")["input_ids"]
        self.tower = TextTower(clip, [begin, *vocabulary.prefix])
        self.table = self.tower.table
        self.tail = self.table[[*vocabulary.suffix, end]]
        self.about = {"model": clip.name, "targets": digest(self.directions)}

    def score(self, ids, rows):
        """Scores (n,) of prompts ids (n, t)."""
        return self._scores(self.table[ids], rows)

    @torch.enable_grad()
    def gradient(self, vectors, rows):
        """Scores (n,) at vectors (n, t, w), and the gradient (n, t, w) of their sum."""
        vectors = vectors.detach().requires_grad_()
        scores = self._scores(vectors, rows)
        return scores.detach(), torch.autograd.grad(scores.sum(), vectors)[0]

    def by_target(self, ids, search):
        """Cosine (m,) of one prompt ids (t,) with each target of a search."""
        return self.targets[search].features @ self._features(self.table[ids][None])[0]

    def _scores(self, vectors, rows):
        return (self._features(vectors) * self.directions[rows // self.restarts]).sum(1)

    def _features(self, vectors):
        return self.tower.features(torch.cat([vectors, self.tail.expand(len(vectors), -1, -1)], 1))
