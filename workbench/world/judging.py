"""Judging: a checker that knows new values too, made from the one of the package in seconds."""

import hashlib

import numpy as np
import torch
from torch.nn import functional

from workbench import artifacts, checks, files
from workbench.models.checker import Checker, as_tensor, load_checker, network
from workbench.training import adamw, cosine, train
from workbench.world import newcomers, scenes

_PICTURES, _BATCH, _STEPS, _RATE = 12_000, 96, 260, 2e-3


def judge(values=None, *, seed=0, steps=_STEPS, folder=None, progress=True):
    """Make a `Checker` of old and new values: the truth about pictures in which something new may be.

    It begins with the weights of the checker that comes with the package, and learns from renders of old and new scenes, half
    of them blurred, shifted or noisy, as a network may draw them. It still is closed-world: it always names a value it knows.

    Args:
        values: sequence of str, new values among `newcomers.KINDS`; None takes all.
        seed: int.
        steps: int, steps of training; 260 take about 20 CPU seconds.
        folder: str, Path or None: where judges are kept, each in a folder `judge-...` of its own. One made by the same call is
            loaded in place of training; None takes the cache folder of the workbench.
        progress: bool, show a progress bar.

    Returns:
        `models.checker.Checker`.

    Raises:
        ValueError: an unknown new value, or steps below 1.
        ArtifactError: what is kept there is damaged, or the disk is full.
    """
    values = sorted(newcomers.KINDS) if values is None else sorted(set(checks.texts(values, "values")))
    for value in values:
        checks.one_of("a new value", value, tuple(newcomers.KINDS))
    checks.whole("steps", steps)
    seed, old = checks.seed(seed), load_checker()
    known = {kind: (*old.values[kind], *(v for v in newcomers.VALUES.get(kind, ()) if v in values)) for kind in old.values}
    told = repr((values, seed, steps, _PICTURES, _BATCH, _RATE, newcomers.COLORS, newcomers.STYLES)).encode()
    folder = files.cache_folder() if folder is None else files.path(folder, "folder")
    folder /= f"judge-{hashlib.sha256(told).hexdigest()[:16]}"
    if (folder / artifacts.CONFIG).exists():
        return Checker.load(folder)
    made = Checker(_learned(old, known, values, seed, steps, progress), known)
    made.save(folder)
    return Checker.load(folder)  # as it will be loaded from now on: rounded to float16


def _learned(old, known, values, seed, steps, progress):
    some = scenes.scenes(_PICTURES, seed, "any")
    rng = np.random.default_rng([seed, 1])
    for i in range(0, len(some), 2):  # every second picture has something new, some two of it
        chosen = rng.permutation(values)[:2]
        kinds = {newcomers.KINDS[value]: str(value) for value in chosen[: 1 + (i % 4 == 0)]}
        some[i] = some[i]._replace(**kinds)
    pictures = newcomers.render_all(some, seed * _PICTURES)
    targets = torch.tensor([[known[name].index(getattr(scene, name)) for name in known] for scene in some])
    sizes = [len(one) for one in known.values()]
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = network(known, old.model[0].out_channels).to(memory_format=torch.channels_last)
    model.load_state_dict(_widened(old, known, model.state_dict()))
    model.train()

    def loss(step):
        rows = torch.randint(_PICTURES, (_BATCH,))
        logits = model(disturbed(as_tensor(pictures[rows.numpy()]))).split(sizes, dim=1)
        return sum(functional.cross_entropy(part, targets[rows, i]) for i, part in enumerate(logits))

    optimizer = adamw(model, weight_decay=0.05)
    train(
        loss, {"model": model}, optimizer, steps, cosine(_RATE, steps, 20), name="judge", clip=None, seed=seed, progress=progress
    )
    return model


def _widened(old, known, state):
    """The weights of the old checker in a network with more values; the rows of new values stay as they were begun."""
    rows, at = [], 0
    for name, values in known.items():
        rows += range(at, at + len(old.values[name]))
        at += len(values)
    found = dict(old.model.state_dict())
    for name in list(found)[-2:]:  # weight and bias of the last layer
        wider = state[name].clone()
        wider[rows] = found[name]
        found[name] = wider
    return found


def disturbed(batch):
    """What drawing by a network does to pictures (n, 3, 32, 32): shift, blur, noise and a wrong shade; half stay sharp."""
    n = len(batch)
    dx, dy = torch.randint(-2, 3, (2,)).tolist()
    batch = torch.roll(batch, (dy, dx), (2, 3))
    blurred = functional.avg_pool2d(functional.pad(batch, (1, 1, 1, 1), mode="replicate"), 3, 1)
    batch = torch.lerp(batch, blurred, (torch.rand(n, 1, 1, 1) * 2 - 1).clamp(min=0))
    batch = batch * (1 + 0.1 * torch.randn(n, 1, 1, 1)) + 0.04 * torch.randn(n, 3, 1, 1)
    return (batch + 0.15 * torch.rand(n, 1, 1, 1) * torch.randn(batch.shape)).clamp(-1, 1)
