"""Checkpoints: a part of the training that was stopped goes on where it was, with the same result. safetensors and JSON."""

import contextlib
import os
import secrets
import shutil
from pathlib import Path

import numpy as np
import torch

from workbench import artifacts
from workbench.values import ArtifactError

_KIND = "training checkpoint"


def store(folder, step, config, modules, optimizer=None):
    """Write down where a training is, whole or not at all.

    What is drawn by lot must depend on the step alone, since no state of a random generator is kept.

    Args:
        folder: str or Path, of this checkpoint alone.
        step: int, steps done.
        config: dict of plain values that another training would not have; `resume` compares it.
        modules: dict of str to torch.nn.Module.
        optimizer: torch.optim.Optimizer or None; its schedule is a function of the step and is not kept.

    Raises:
        ArtifactError: the disk is full, or the folder holds something else.
    """
    tensors = {f"{name}/{key}": _array(value) for name, module in modules.items() for key, value in module.state_dict().items()}
    if optimizer is not None:
        for number, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{key}": _array(value) for key, value in state.items()}
    artifacts.save(folder, _KIND, {"step": step, "config": config}, tensors)


def resume(folder, config, modules, optimizer=None):
    """Go on from a checkpoint, if there is one of this very training.

    Args:
        folder: str or Path, as given to `store`.
        config: dict, as given to `store`. With another one the checkpoint is ignored.
        modules: dict of str to torch.nn.Module, changed in place.
        optimizer: as given to `store`, changed in place.

    Returns:
        int, steps done; 0 if there is nothing to go on from.
    """
    try:
        head, tensors = artifacts.load(folder, _KIND)
    except ArtifactError:
        return 0  # missing, or damaged by something that is not us: the training starts anew
    if head["config"] != config:
        return 0
    for name, module in modules.items():
        own = {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
        module.load_state_dict({key: torch.from_numpy(value) for key, value in own.items()})
    if optimizer is not None:
        saved, states = optimizer.state_dict(), {}
        for key, value in tensors.items():
            if key.startswith("optimizer/"):
                _, number, name = key.split("/")
                states.setdefault(int(number), {})[name] = torch.from_numpy(value)
        optimizer.load_state_dict({"state": states, "param_groups": saved["param_groups"]})
    return int(head["step"])


def _array(value):
    return np.array(value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value)  # a copy: training goes on


@contextlib.contextmanager
def whole_folder(folder):
    """A temporary folder to write to, which takes the place of `folder` when the block ends well.

    Args:
        folder: str or Path; an older one is replaced, files and all.

    Yields:
        Path of the temporary folder, which exists and lies beside `folder`.
    """
    folder = Path(folder)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for path in temporary.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)  # some writers leave files that only their owner can read
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove(folder):
    """Forget a checkpoint, if there is one."""
    shutil.rmtree(folder, ignore_errors=True)
