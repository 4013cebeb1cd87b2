"""How good prompts are for targets in the space of a CLIP, and the gradient of it."""

import torch

from workbench.search.pez.exact import ExactTower
from workbench.search.pez.tower import TextTower


class ClipObjective:
    """Weighted mean of the cosines of prompts with the targets of their search.

    Args:
        clip: `models.CLIP`.
        targets: list of s `Targets`.
        config: `PEZConfig`.
        vocabulary: `Vocabulary`.

    Raises:
        ValueError: prefix, tokens and suffix do not fit into the window of the text tower.
    """

    def __init__(self, clip, targets, config, vocabulary):
        wanted = len(vocabulary.prefix) + config.length + len(vocabulary.suffix) + 2
        if wanted > clip.window:
            raise ValueError(
                f"The prompt is too long: {len(vocabulary.prefix)} tokens of prefix, {config.length} to find, "
                f"{len(vocabulary.suffix)} of suffix and the begin and end token are {wanted}; {clip.name} reads {clip.window}."
            )
        self.restarts, self.sampled, self.targets = config.restarts, config.targets_per_step, targets
        rows = len(targets) * config.restarts
        self.strict, self.exact = config.strict, config.strict and config.dtype == "float32"
        if self.exact:
            self.tower = ExactTower(clip, config.length, config.restarts)
        else:
            dtype = getattr(torch, config.dtype)
            self.tower = TextTower(clip, config.length, vocabulary.prefix, vocabulary.suffix, dtype=dtype, rows=rows)
        self.table = self.tower.table
        self.directions = torch.stack([one.direction for one in targets])

    def gradient(self, vectors, rows, draws):
        """Scores (n,) at vectors (n, t, w) over all targets, and the gradient (n, t, w), maybe over a sample; as `Run` says."""
        searches = rows // self.restarts
        if self.exact:
            parts = zip(vectors.split(self.restarts), searches[:: self.restarts].tolist(), strict=True)
            made = [self._as_released(part, self.targets[i].features, draws[i]) for part, i in parts]
            return tuple(map(torch.cat, zip(*made, strict=True)))
        directions = self.directions[searches]
        toward = directions if self.sampled is None else self._sample(searches, draws)
        features, gradient = self.tower.gradient(vectors, toward)
        return (features * directions).sum(1), gradient / self.restarts if self.strict else gradient

    @torch.enable_grad()
    def _as_released(self, vectors, targets, draws):
        """Scores (r,) and gradient (r, t, w) of one search, with the operations of the released loop in their order."""
        some = targets
        if self.sampled is not None:
            some = targets[torch.randperm(len(targets), generator=draws).to(targets.device)][: self.sampled]
        point = vectors.clone().requires_grad_()
        text = self.tower.features(point)
        scores = (targets / targets.norm(dim=1, keepdim=True)) @ text.detach().t()
        cosines = (some / some.norm(dim=1, keepdim=True)) @ text.t()
        return scores.mean(0), torch.autograd.grad(cosines.mean(), point)[0]

    def _sample(self, searches, draws):
        out = {}
        for i in searches.unique().tolist():
            features, weights = self.targets[i]
            some = torch.randperm(len(features), generator=draws[i])[: self.sampled].to(features.device)
            out[i] = weights[some] @ features[some] / weights[some].abs().sum().clamp_min(1e-12)
        return torch.stack([out[i] for i in searches.tolist()])

    def score(self, vectors, rows):
        """Scores (n,) at vectors (n, t, w)."""
        return (self.tower.features(vectors) * self.directions[rows // self.restarts]).sum(1)

    def by_target(self, ids, search):
        """Cosine (m,) of one prompt ids (t,) with each target of a search."""
        return self.targets[search].features @ self.tower.features(self.table[ids][None])[0]
