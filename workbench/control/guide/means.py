"""Means of scorers over samples, with standard errors."""

from typing import NamedTuple

import numpy as np

from workbench.control.guide.scoring import names_of, scores


class Means(NamedTuple):
    """Of k scorers: `names`, tuple of k str; `values`, means, and `errors`, their standard errors, float64 (k,)."""

    names: tuple
    values: np.ndarray
    errors: np.ndarray


def means(samples, scorers, weights=None):
    """Means of scorers over samples, with standard errors. Each scorer is called once.

    Args:
        samples: list of n, two or more.
        scorers: list of k scorers; dict of name -> scorer, such as `ebm.scorers`; or dict of scorer -> moment, as `constrain`
            takes it.
        weights: float (n,), how much each sample counts, such as `Pool.weights`; None: all the same.

    Returns:
        `Means`.

    Raises:
        GuideError: a scorer that fails.
        ValueError: too few samples, or weights that do not fit.

    Source:
        Errors with weights: Owen, Monte Carlo theory, methods and examples, chapter 9.2.
    """
    named = isinstance(scorers, dict) and all(isinstance(key, str) for key in scorers)
    names = list(scorers) if named else names_of(scorers)
    n, scorers = len(samples), list(scorers.values() if named else scorers)
    if n < 2 or not scorers:
        raise ValueError(f"means needs at least two samples and one scorer, got {n} and {len(scorers)}.")
    share = np.full(n, 1.0) if weights is None else np.asarray(weights, np.float64)
    if share.shape != (n,) or not np.isfinite(share).all() or share.min() < 0 or share.sum() == 0:
        raise ValueError(f"weights must be {n} numbers of 0 or more, one for each sample, got shape {share.shape}.")
    share = share / share.sum()
    found = np.array([scores(scorer, samples, name) for scorer, name in zip(scorers, names, strict=True)])  # (k, n)
    values = found.mean(1) if weights is None else found @ share  # a mean of ones is exactly one
    errors = np.sqrt((found - values[:, None]) ** 2 @ share**2)
    return Means(tuple(names), values, errors)
