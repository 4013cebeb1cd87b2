"""Scoring: calling scorers and proposals of others once per sample, and saying in words what they did wrong."""

import numbers

import numpy as np

from workbench.values import GuideError


def name_of(scorer):
    """What a scorer is called in reports: its `name`, else that of its function."""
    name = getattr(scorer, "name", None) or getattr(scorer, "__name__", None)
    return name if isinstance(name, str) else type(scorer).__name__


def names_of(scorers):
    """Names of scorers, each different: list of str."""
    found, seen = [], {}
    for scorer in scorers:
        name = name_of(scorer)
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def scores(scorer, samples, name=None):
    """Numbers of one scorer, called once on all samples.

    Args:
        scorer: function, list of n samples -> n finite numbers.
        samples: list of n.
        name: str for messages.

    Returns:
        float64 (n,).

    Raises:
        GuideError: it raised, or returned something else.
    """
    name = name or name_of(scorer)
    try:
        found = scorer(samples)
    except Exception as err:
        raise GuideError(
            f"Scorer {name!r} raised {type(err).__name__}: {err}. It was given a list of {len(samples)} samples, the first "
            f"is {_short(samples[0])}; a scorer takes the whole list and returns one number for each."
        ) from err
    found = _array(found, f"Scorer {name!r}", len(samples))
    bad = np.flatnonzero(~np.isfinite(found))
    if len(bad):
        raise GuideError(
            f"Scorer {name!r} returned {found[bad[0]]} for {len(bad)} of {len(samples)} samples, such as "
            f"{_short(samples[bad[0]])}. A moment needs finite numbers; for those without one, ask whether they have one."
        )
    return found


def log_scores(proposal, samples):
    """Log-probabilities by a proposal: float64 (n,), nats, -inf allowed.

    Raises:
        GuideError: wrong length, NaN or +inf.
    """
    name = type(proposal).__name__
    found = _array(proposal.log_score(samples), f"log_score of {name}", len(samples))
    bad = np.flatnonzero(np.isnan(found) | (found == np.inf))
    if len(bad):
        raise GuideError(
            f"log_score of {name} is {found[bad[0]]} for {_short(samples[bad[0]])}: expected nats, -inf at the least."
        )
    return found


def draw(proposal, n, seed):
    """N samples of a proposal: list.

    Raises:
        GuideError: it returned another number of samples.
    """
    found = proposal.sample(n, seed=seed)
    found = found.tolist() if isinstance(found, np.ndarray) else list(found)
    if len(found) != n:
        raise GuideError(f"{type(proposal).__name__}.sample({n}, seed={seed}) returned {len(found)} samples, expected {n}.")
    return found


def whole(name, value, least):
    """`value` if it is an int of `least` or more.

    Raises:
        ValueError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name} must be an int of {least} or more, got {value!r}.")
    return int(value)


def _array(found, who, n):
    if hasattr(found, "detach"):
        found = found.detach().cpu().numpy()
    try:
        array = np.asarray(found, np.float64)
    except (TypeError, ValueError) as err:
        raise GuideError(f"{who} returned {_short(found)}, expected {n} numbers, one for each sample.") from err
    if array.shape != (n,):
        came = f"shape {array.shape}" if array.ndim else f"one number, {array}"
        raise GuideError(f"{who} returned {came} for {n} samples, expected ({n},), one number for each.")
    return array


def _short(thing):
    text = repr(thing)
    return text if len(text) <= 80 else text[:77] + "..."
