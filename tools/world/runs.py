"""Runs: what all these trainings share: a checkpoint beside the folder, and a moving average of the weights."""

import copy

import torch

from workbench.artifacts import Checkpoint


def checkpoint(folder, part, run):
    """The `artifacts.Checkpoint` of a training, beside the folder of its model.

    Args:
        folder: Path of the model.
        part: str, what is trained.
        run: dict of plain values that another training would not have, such as seed and steps.
    """
    return Checkpoint(folder.with_name(f".{folder.name}.{part}.checkpoint"), f"training of the {part}", {"part": part} | run)


def moving_average(model, keep):
    """A copy of a model whose weights follow those of the model.

    Args:
        model: torch.nn.Module.
        keep: float 0..1, share of the average that an update keeps; less in the first steps.

    Returns:
        (average, update): the copy, and a function of the step (int, from 0) to call after each step, as `training.train` does
        with `after`.
    """
    average = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(step):
        new = 1 - min(keep, (step + 1) / (step + 10))
        for mean, weight in zip(average.parameters(), model.parameters(), strict=True):
            mean.lerp_(weight, new)

    return average, update
