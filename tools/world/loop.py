"""The loop of a long training: learning rate, gradients of bounded length, checkpoints."""

import math

import torch
from tqdm.auto import tqdm

from tools.world import checkpoints

_EVERY = 200  # steps from one checkpoint to the next


def steps(total, name, rate, optimizer, config, modules, saved, progress):
    """The steps that are left, with the rate of each set (up, then down a cosine to zero) and a checkpoint now and then.

    Args:
        total: int, steps in all.
        name: str, for the progress bar.
        rate: float, highest learning rate.
        optimizer: torch.optim.Optimizer.
        config: dict of plain values that another training would not have.
        modules: dict of str to torch.nn.Module, what is trained.
        saved: Path of the checkpoint, or None for none.
        progress: bool, show a progress bar.

    Yields:
        int, the number of the step.
    """
    first = checkpoints.resume(saved, config, modules, optimizer) if saved else 0
    for step in tqdm(range(first, total), initial=first, total=total, desc=name, disable=not progress):
        for group in optimizer.param_groups:
            group["lr"] = rate * min((step + 1) / 150, 0.5 + 0.5 * math.cos(math.pi * step / total) + 1e-3)
        yield step
        if saved and ((step + 1) % _EVERY == 0 or step + 1 == total):
            checkpoints.store(saved, step + 1, config, modules, optimizer)


def update(loss, model, optimizer):
    """One step down the gradient of a loss, no longer than 1."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
