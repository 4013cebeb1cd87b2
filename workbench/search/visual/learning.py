"""How visual prompts are learned, and one gradient alone."""

import hashlib
from dataclasses import asdict

import torch
from torch.nn import functional

from workbench.artifacts import Checkpoint
from workbench.search.soft.frozen import frozen
from workbench.search.soft.learning import batch, descend
from workbench.search.visual.config import VisualConfig
from workbench.search.visual.kinds import Numbers, starts
from workbench.search.visual.towers import read_pictures, sha256
from workbench.search.visual.visual_prompt import VisualPrompt, arrays, scores

_LOOKED = 128  # pictures on which starts are compared


def tune(vision, pictures, labels, config=None, *, folder=None, progress=True):
    """Learn a visual prompt: a few numbers with which a frozen vision model gives the right label.

    Args:
        vision: `models.CLIP`, for which labels are texts; or the `Checker` of the world, for the values of one attribute.
        pictures: n pictures, see `pictures.as_pictures`.
        labels: list of n str.
        config: `VisualConfig`; None takes the defaults.
        folder: str, Path or None, for checkpoints every 10 steps; the same call goes on from there, to the same result.
        progress: bool, show a progress bar.

    Returns:
        `VisualPrompt`. Ctrl-C ends the training after the step and returns the prompt so far, with `stopped` "interrupted".

    Raises:
        TypeError: no vision model, or labels that are no str.
        PictureError: one of them is not a picture.
        ValueError: other numbers of pictures and labels, one label only, labels that the checker does not know, or a border that
            leaves nothing.
        ModelError: tokens for a model that reads pixels only.
        ArtifactError: `folder` holds another run.

    Source:
        Bahng et al., arXiv:2203.17274 (border); Jia et al., arXiv:2203.12119 (tokens).
    """
    config = config or VisualConfig()
    tower, pixels, classes, targets = read_pictures(vision, pictures, labels, config.template)
    model = sha256(tower.model)
    with frozen(tower):
        numbers = Numbers(_start(tower, pixels, targets, config), config.maker, config.seed).to(pixels.device)

        def loss(step):
            rows = batch(range(len(pixels)), config.batch, step, config.seed)
            found = scores(tower, numbers, pixels[rows], config)
            right = (found.argmax(1) == targets[rows]).float().mean()
            value = functional.cross_entropy(found, targets[rows])
            return value, {"loss": float(value.detach()), "accuracy": float(right)}

        stopped, history = "steps", []
        if config.steps:
            digest = hashlib.sha256(pixels.cpu().numpy().tobytes() + repr(list(labels)).encode()).hexdigest()
            run = {"options": asdict(config), "model": model, "data": digest}
            checkpoint = None if folder is None else Checkpoint(folder, "visual prompt training", run)
            done, stopped = descend(loss, {"numbers": numbers}, config, "learning a visual prompt", checkpoint, progress)
            history = [{name: round(value, 5) for name, value in row.items()} for row in done.history]
    return VisualPrompt(arrays(numbers), classes, config, model, tuple(history), stopped)


def gradient(vision, prompt, pictures, labels):
    """The loss of a visual prompt on some pictures, its gradient, and what is predicted. Nothing is changed.

    Args:
        vision: the model the prompt was learned with.
        prompt: `VisualPrompt`.
        pictures: n pictures.
        labels: list of n str, among `prompt.labels`.

    Returns:
        (loss, float, nats; dict of name -> float32 array, as in `prompt.tensors`; the likeliest labels, list of n str).

    Raises:
        ModelError: another model.
        TypeError, PictureError, ValueError: as in `tune`.
    """
    _, pixels, classes, targets = read_pictures(vision, pictures, labels, prompt.config.template, prompt.labels)
    tower, numbers = prompt._on(vision)
    with frozen(tower):
        found = scores(tower, numbers, pixels, prompt.config)
        loss = functional.cross_entropy(found, targets)
        if loss.requires_grad:  # not without tokens
            loss.backward()
    slopes = {name: torch.zeros_like(value) if value.grad is None else value.grad for name, value in numbers.named_parameters()}
    grads = {name: slope.cpu().numpy() for name, slope in slopes.items()}
    return float(loss.detach()), grads, [classes[best] for best in found.argmax(1).tolist()]


def _start(tower, pixels, targets, config):
    """Of the numbers that a prompt may begin with, those of least loss on the first pictures."""
    options = starts(tower, config)
    if len(options) == 1:
        return options[0]

    def loss(start):
        with torch.no_grad():
            found = scores(tower, Numbers(start, 0, 0).to(pixels.device), pixels[:_LOOKED], config)
        return float(functional.cross_entropy(found, targets[:_LOOKED]))

    return min(options, key=loss)
