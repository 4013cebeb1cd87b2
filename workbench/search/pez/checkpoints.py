"""Searches that survive a kill: their state in a folder, and going on from it."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from workbench import artifacts
from workbench.values import ArtifactError

KIND = "pez search"


class Checkpoint:
    """The folder of one search.

    Args:
        folder: str, Path or None, which saves nothing.
        config: `PEZConfig`.
        about: dict of plain values, what else the result depends on: model, targets.
    """

    def __init__(self, folder, config, about):
        self.folder, self.every = folder, config.save_every
        self.about = json.loads(json.dumps({"config": dataclasses.asdict(config), **about}))

    def load(self):
        """The numbers and tensors saved last, or None.

        Raises:
            ArtifactError: the folder holds something else, or a search with other options, targets or another model.
        """
        if self.folder is None or not (Path(self.folder) / artifacts.CONFIG).exists():
            return None
        config, tensors = artifacts.load(self.folder, KIND)
        saved = config["about"]
        ours = {name: value for name, value in self.about.items() if saved.get(name) != value}
        if ours:
            names = ", ".join(sorted(ours))
            if set(ours) == {"config"}:
                old = saved.get("config", {})
                names = ", ".join(name for name, value in self.about["config"].items() if old.get(name) != value) or "config"
            raise ArtifactError(f"{self.folder} holds a search with other {names}. Give another folder, or the same search.")
        return config["numbers"], {name: torch.from_numpy(array.copy()) for name, array in tensors.items()}

    def save(self, numbers, tensors):
        """Save; `numbers` is a dict of plain values."""
        if self.folder is not None:
            arrays = {name: np.ascontiguousarray(tensor.detach().cpu().numpy()) for name, tensor in tensors.items()}
            artifacts.save(self.folder, KIND, {"about": self.about, "numbers": numbers}, arrays)


def digest(*tensors):
    """str, the same for the same tensors."""
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(np.ascontiguousarray(tensor.detach().float().cpu().numpy()).tobytes())
    return sha.hexdigest()
