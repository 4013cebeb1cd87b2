"""How a part that tasks share and a part of one task become the vectors that are sent, and how their gradient comes back to both.

Each is a function of two float32 arrays, (shared, own), that returns the vectors and a function of their gradient, which gives
the gradients of the two. Any function of this form will do, a learned one too.

Source:
    google-research/prompt-tuning, prompt_tuning/extended/multitask_prompts.py: add, concat, concat-features, project.
"""

import numpy as np


def add(shared, own):
    """The sum of two arrays (k, w). Raises ValueError for other shapes."""
    _alike("add", shared.shape, own.shape)
    return shared + own, lambda slope: (slope, slope)


def concatenate(shared, own):
    """The vectors of both, (j, w) and (k, w), one after the other: (j + k, w). Raises ValueError for unlike widths."""
    _alike("concatenate", shared.shape[1:], own.shape[1:])
    return np.concatenate([shared, own]), lambda slope: (slope[: len(shared)], slope[len(shared) :])


def features(shared, own):
    """Vectors side by side, (k, v) and (k, w - v): (k, w). Raises ValueError for other numbers of vectors."""
    _alike("features", shared.shape[:1], own.shape[:1])
    at = shared.shape[1]
    return np.concatenate([shared, own], 1), lambda slope: (slope[:, :at], slope[:, at:])


def project(shared, own):
    """An affine map of the shared vectors (k, v) by a matrix with a last row that is added, (v + 1, w): (k, w).

    With the identity and a row of zeros it gives the shared vectors. Raises ValueError for a matrix of another height.
    """
    _alike("project", (shared.shape[1] + 1,), own.shape[:1])

    def back(slope):
        return slope @ own[:-1].T, np.concatenate([shared.T @ slope, slope.sum(0, keepdims=True)])

    return shared @ own[:-1] + own[-1], back


def _alike(name, one, other):
    if one != other:
        raise ValueError(f"{name} cannot combine a shared part and an own part of these shapes: {one} and {other} must be equal.")
