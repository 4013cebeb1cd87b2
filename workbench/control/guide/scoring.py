"""Scoring: calls scorers and proposals, each once per sample, and says in words what they did wrong."""

from typing import NamedTuple

import numpy as np

from workbench.values import GuideError


def name_of(scorer):
    """Name of a scorer in reports: its `name`, otherwise that of its function."""
    name = getattr(scorer, "name", None) or getattr(scorer, "__name__", None)
    return name if isinstance(name, str) else type(scorer).__name__


def names_of(scorers):
    """Names of scorers, all different: list of str."""
    found, seen = [], {}
    for scorer in scorers:
        name = name_of(scorer)
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def check_scorer(scorer):
    """Raise a GuideError for anything but a function."""
    if not callable(scorer):
        raise GuideError(f"A scorer is a function of a list of samples, got {scorer!r}.")


def scores(scorer, samples, name):
    """Numbers of one scorer, called once on all n samples: float64 (n,); a GuideError for anything but n finite numbers."""
    try:
        found = scorer(samples)
    except Exception as err:
        raise GuideError(
            f"Scorer {name!r} raised {type(err).__name__}: {err}. It got a list of {len(samples)} samples, the first "
            f"is {_short(samples[0])}; a scorer takes the whole list and returns one number for each."
        ) from err
    found = _array(found, f"Scorer {name!r}", len(samples))
    bad = np.flatnonzero(~np.isfinite(found))
    if len(bad):
        raise GuideError(
            f"Scorer {name!r} returned {found[bad[0]]} for {len(bad)} of {len(samples)} samples, such as "
            f"{_short(samples[bad[0]])}. A moment needs finite numbers: return a number for these samples too."
        )
    return found


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


def answers(scorer, samples, name):
    """Answers of a yes-or-no scorer, as `scores`: bool (n,)."""
    found = scores(scorer, samples, name)
    if not np.isin(found, (0, 1)).all():
        raise GuideError(f"Filter {name!r} must answer 0 or 1, got {found[~np.isin(found, (0, 1))][0]}.")
    return found.astype(bool)


def opposite(scorer):
    """A yes-or-no scorer that gives 1 where another gives 0."""

    def reverse(samples):
        return 1.0 - answers(scorer, samples, name_of(scorer))

    reverse.__name__ = f"not {name_of(scorer)}"
    return reverse


def log_scores(proposal, samples):
    """Log-probabilities by a proposal: float64 (n,), nats; a GuideError for a wrong length, NaN or +inf."""
    name = type(proposal).__name__
    found = _array(proposal.log_score(samples), f"log_score of {name}", len(samples))
    bad = np.flatnonzero(np.isnan(found) | (found == np.inf))
    if len(bad):
        raise GuideError(f"log_score of {name} is {found[bad[0]]} for {_short(samples[bad[0]])}: expected nats, or -inf.")
    return found


def draw(proposal, n, seed):
    """N samples of a proposal: list; a GuideError for another number of samples."""
    found = proposal.sample(n, seed=seed)
    found = found.tolist() if isinstance(found, np.ndarray) else list(found)
    if len(found) != n:
        raise GuideError(f"{type(proposal).__name__}.sample({n}, seed={seed}) returned {len(found)} samples, expected {n}.")
    return found


def in_context(proposal, context):
    """A proposal in a context; without contexts (None) the proposal itself."""
    if context is None:
        return proposal
    if not hasattr(proposal, "given"):
        raise GuideError(f"{type(proposal).__name__} has no contexts: it has no given(context) -> proposal.")
    return proposal.given(context)


def check_contexts(contexts, most=None):
    """Raise a ValueError for contexts that are not a list of one or more, or of more than `most`."""
    if contexts is not None and (isinstance(contexts, str) or not len(contexts) or (most is not None and len(contexts) > most)):
        size = "one or more" if most is None else f"1 to n={most}"
        raise ValueError(f"contexts must be a list of {size} contexts, got {contexts!r}.")


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
