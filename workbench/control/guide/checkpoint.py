"""Checkpoints of a tuning: weights, optimizer, history, in one folder; no random state, as each step has a seed of its own."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from workbench import artifacts
from workbench.values import ArtifactError

KIND = "guide-tuning"


@dataclass
class Run:
    """Where a tuning stands: steps gone, a row of history for each, and by context two logs, whose difference is log Z: the
    sum of weighted estimates of Z and that of their weights.
    """

    step: int = 0
    history: list = field(default_factory=list)
    normalisers: dict = field(default_factory=dict)

    def log_z(self, context, estimate=None, weight=1.0):
        """Log Z of a context; an estimate of it is taken in first."""
        total, count = self.normalisers.get(context, (-np.inf, -np.inf))
        if estimate is not None:
            total, count = np.logaddexp(total, np.log(weight) + estimate), np.logaddexp(count, np.log(weight))
            self.normalisers[context] = [float(total), float(count)]
        return float(total - count) if count > -np.inf else -np.inf


@dataclass(frozen=True)
class Checkpoint:
    """A folder for one tuning; `key` is a dict of JSON values that says which."""

    folder: object
    key: dict
    offline: bool

    def store(self, run, weights, optimizer, source):
        """Write all that `restore` needs; an older checkpoint is replaced."""
        tensors = {f"policy.{name}": tensor for name, tensor in weights.items()}
        for name, tensor in weights.items():
            state = optimizer.state[tensor]
            tensors |= {f"{part}.{name}": state[part] for part in ("step", "exp_avg", "exp_avg_sq")}
        if self.offline:
            tensors |= {f"source.{name}": tensor for name, tensor in source.parameters()}
        normalisers = {name: [None if x == -float("inf") else x for x in pair] for name, pair in run.normalisers.items()}
        config = {"key": self.key, "step": run.step, "history": run.history, "normalisers": normalisers}
        artifacts.save(self.folder, KIND, config, {name: t.detach().cpu().numpy() for name, t in tensors.items()})

    def restore(self, run, weights, optimizer, source):
        """Bring run, weights, optimizer and source to where they were; nothing if the folder is new.

        Raises:
            ArtifactError: the folder holds another tuning (it says in what it differs), or something else.
        """
        folder = Path(self.folder)
        if not folder.exists() or not any(folder.iterdir()):
            return
        config, tensors = artifacts.load(folder, KIND)
        other = [name for name, value in self.key.items() if config["key"].get(name) != value]
        if other:
            raise ArtifactError(
                f"{folder} holds the checkpoint of another tuning: {', '.join(other)} differ. Give another folder."
            )
        run.step, run.history = config["step"], config["history"]
        run.normalisers = {
            name: [-float("inf") if x is None else x for x in pair] for name, pair in config["normalisers"].items()
        }
        with torch.no_grad():
            for name, tensor in weights.items():
                tensor.copy_(torch.from_numpy(tensors[f"policy.{name}"]))
                optimizer.state[tensor] = {
                    "step": torch.from_numpy(tensors[f"step.{name}"].copy()),
                    **{part: torch.from_numpy(tensors[f"{part}.{name}"]).to(tensor) for part in ("exp_avg", "exp_avg_sq")},
                }
            if self.offline:
                for name, tensor in source.parameters():
                    tensor.copy_(torch.from_numpy(tensors[f"source.{name}"]))
