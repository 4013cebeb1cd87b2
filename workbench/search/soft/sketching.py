"""A sketch of a task: what its texts say about it to a frozen model, without any learning."""

from typing import NamedTuple

import numpy as np

from workbench import checks
from workbench.search.soft.baselines import features
from workbench.search.soft.config import SoftConfig
from workbench.search.soft.learning import gradient_many, start_vectors
from workbench.search.soft.rows import check_lm
from workbench.search.soft.soft_prompt import sha256

_ROWS = 16  # prompts of one call, each with a row of its own


class Sketch(NamedTuple):
    """What a task looks like to a model before anything is learned.

    Attributes:
        model: str, name of the model; `sha256`: str, of its weights.
        layout: str, as in `SoftConfig`.
        start: float32 array (k, w), what a prompt with this config begins as.
        gradient: float32 array (k, w), the mean over rows of minus the unit gradient of each row's loss at the start: the
            direction in which the rows agree to go; its norm, 0..1, says how much they agree. None without labels.
        features: float32 array (w,), the mean over texts of their mean hidden state after the last layer. None without texts.
    """

    model: str
    sha256: str
    layout: str
    start: np.ndarray
    gradient: np.ndarray | None = None
    features: np.ndarray | None = None


def sketch(lm, texts=None, labels=None, config=None):
    """Sketch a task, to find its relatives in a library. It costs about as much as two epochs of learning.

    Args:
        lm: `models.LM`.
        texts: list of n str, or None: the start alone.
        labels: list of n str, or None: no gradient.
        config: `SoftConfig`, of which start, vectors, layout, template, loss and seed count; sketches of equal ones can be
            compared. None takes the defaults.

    Returns:
        `Sketch`.

    Raises:
        TypeError: not an LM, or not str.
        ValueError: texts and labels as in `tune`; labels without texts.

    Source:
        Own trials. Gradients as a task's vector: Achille et al., "Task2Vec", arXiv:1902.03545, who take the Fisher information.
    """
    config = config or SoftConfig()
    start = start_vectors(check_lm(lm), config).cpu().numpy().copy()
    known = (lm.name, sha256(lm), config.layout, start)
    if texts is None:
        if labels is not None:
            raise ValueError("There are labels but no texts.")
        return Sketch(*known)
    texts = checks.texts(texts, "texts")
    gradient = None if labels is None else _agreed(lm, texts, labels, config, start)
    return Sketch(*known, gradient, features(lm, texts).mean(0))


def _agreed(lm, texts, labels, config, start):
    """The mean of minus unit gradients, a row each: float32 (k, w)."""
    labels, total = checks.texts(labels, "labels"), np.zeros(start.shape)
    if len(labels) != len(texts):
        raise ValueError(f"There are {len(texts)} texts and {len(labels)} labels; each text needs one.")
    classes = sorted(set(labels))
    for at in range(0, len(texts), _ROWS):
        tasks = [([text], [label]) for text, label in zip(texts[at : at + _ROWS], labels[at : at + _ROWS], strict=True)]
        for _, gradient, _ in gradient_many(lm, [start] * len(tasks), tasks, config, classes=[classes] * len(tasks)):
            total -= gradient / max(np.linalg.norm(gradient), 1e-12)
    return (total / len(texts)).astype(np.float32)
