"""Dual: weights that bring moments of a weighted sample to targets, their covariance, and why there are none.

The target nearest to the base in KL among those with the wished moments is base(x) * exp(lambda . f(x)); its lambda is where
log Z(lambda) - lambda . moments, smooth and convex, is least. On a sample that needs the features alone: no scorer is
called again.
"""

from typing import NamedTuple

import numpy as np

_STEPS = 200
_TOLERANCE = 1e-10  # of moments, in units of the range of a feature
_FAR = 10.0  # lambda times the range, and the number of features, from which on it may be running away
_ROUNDS = 100  # of the linear programme that gives the reason


class Solution(NamedTuple):
    """Of `solve`: `weights` float64 (k,); `covariance` (k, k) of them; `moment_covariance` (k, k), of the true moments at these
    weights; `p` float64 (n,), share of each sample in the target, 1 in total; `log_z` float64 (g,) per group, nats; `rank`,
    how many of the k features are not a sum of others.
    """

    weights: np.ndarray
    covariance: np.ndarray
    moment_covariance: np.ndarray
    p: np.ndarray
    log_z: np.ndarray
    rank: int


class Blocked(Exception):
    """No finite weights do. `direction` float64 (k,): with it, feature . direction is at most `bound` in all samples, while the
    moments make it `wished`.
    """

    def __init__(self, direction, bound, wished):
        super().__init__()
        self.direction, self.bound, self.wished = direction, bound, wished


def solve(features, moments, log_base, groups, sizes):
    """Newton's method on the dual.

    Args:
        features: float64 (n, k).
        moments: float64 (k,), wished means.
        log_base: float64 (n,), log of what each sample counts for before any tilt.
        groups: int64 (n,), in 0..g-1: samples of one context form a group; each group has its own normaliser and all count the
            same. Each has a sample here.
        sizes: int (g,), samples drawn per group, with those that count for nothing and are not among the n.

    Returns:
        `Solution`. Covariances are those of self-normalised importance sampling, by the delta method.

    Raises:
        Blocked: the moments lie outside the hull of the features, or on its edge.

    Source:
        Khalifa et al., arXiv:2012.11635, who descend on the squared error of the moments instead; contexts after
        Korbak et al., arXiv:2112.00791; sandwich covariance: White 1982, and Owen, Monte Carlo theory, chapter 9.
    """
    span = np.ptp(features, axis=0)
    span[span == 0] = 1
    x, wished = features / span, moments / span
    weights, value = np.zeros(x.shape[1]), None
    state = _state(x, wished, log_base, groups, sizes, weights)
    for _ in range(_STEPS):
        p, gradient, hessian, value, _ = state
        if np.abs(gradient).max(initial=0) < _TOLERANCE:
            break
        # the ridge, far below the curvature that matters, is for features that say the same
        step = np.linalg.solve(hessian + 1e-12 * np.eye(len(hessian)), gradient)
        if np.abs(step).max() > 4:
            step *= 4 / np.abs(step).max()
        for _ in range(40):
            after = _state(x, wished, log_base, groups, sizes, weights - step)
            if after[3] <= value - 1e-4 * gradient @ step or np.abs(after[1]).max() < _TOLERANCE:
                break
            step = step / 2
        else:
            break
        weights, state = weights - step, after
    p, gradient, hessian, _, log_z = state
    if len(weights) * np.abs(weights).max(initial=0) > _FAR or np.abs(gradient).max(initial=0) > 1e-6:
        _check_inside(x, wished, span)
    if np.abs(gradient).max(initial=0) > 1e-6:
        raise Blocked(*_no_direction(len(moments)))
    strength, axes = np.linalg.eigh(hessian)
    free = strength < 1e-9 * strength.max(initial=0)
    if free.any():  # features that say the same: of all weights that do the same, the shortest
        weights = weights - axes[:, free] @ (axes[:, free].T @ weights)
        p, _, hessian, _, log_z = _state(x, wished, log_base, groups, sizes, weights)
    covariances = _covariances(x, wished, p, groups, hessian, span)
    return Solution(weights / span, *covariances, p, log_z, len(weights) - int(free.sum()))


def _state(x, wished, log_base, groups, sizes, weights):
    """Shares, gradient, Hessian, value of the dual, and log Z per group."""
    log_w = log_base + x @ weights
    g = len(sizes)
    top = np.full(g, -np.inf)
    np.maximum.at(top, groups, log_w)
    w = np.exp(log_w - top[groups])
    total = np.bincount(groups, w, g)
    p = w / total[groups] / g
    log_z = top + np.log(total) - np.log(sizes)
    centres = np.stack([np.bincount(groups, p * column, g) * g for column in x.T], 1) if x.shape[1] else np.zeros((g, 0))
    around = x - centres[groups]
    return p, centres.mean(0) - wished, (around * p[:, None]).T @ around, log_z.mean() - weights @ wished, log_z


def _covariances(x, wished, p, groups, hessian, span):
    """Of the weights, and of the moments reached."""
    g = groups.max(initial=0) + 1
    centres = np.stack([np.bincount(groups, p * column, g) * g for column in x.T], 1) if x.shape[1] else np.zeros((g, 0))
    pull = (x - centres[groups]) * p[:, None]
    noise = pull.T @ pull
    if g > 1:  # contexts are a sample too
        around = centres - wished
        noise = noise + around.T @ around / (g * (g - 1))
    inverse = np.linalg.pinv(hessian, rcond=1e-9, hermitian=True)
    return inverse @ noise @ inverse / np.outer(span, span), noise * np.outer(span, span)


def _check_inside(x, wished, span):
    """Raise `Blocked` if no weights of the samples, all above 0, have these moments, with the clearest reason."""
    gaps = wished - x
    direction = _away(gaps, far=True)
    if direction is None:  # on the edge there is no distance
        direction = _away(gaps, far=False)
    if direction is None:
        return
    direction = np.where(np.abs(direction) < 1e-7, 0, direction)
    bound, asked, scale = (x @ direction).max(), wished @ direction, np.abs(direction / span).max()
    raise Blocked(direction / span / scale, bound / scale, asked / scale)


def _away(gaps, far):
    """A direction in which no sample lies beyond the moments, by a linear programme; None if there is none.

    With `far`, the one in which all samples stay the farthest short of them: it leaves out moments that are not to blame.
    Samples come in as they are needed: few matter.
    """
    from scipy.optimize import linprog

    k = gaps.shape[1]
    cost = np.r_[np.zeros(k), -1] if far else np.r_[-gaps.mean(0), 0]  # the last variable is the distance
    bounds = [(-1, 1)] * k + [(0, None if far else 0)]
    rows = np.unique([gaps.argmin(0), gaps.argmax(0)])
    for _ in range(_ROUNDS):
        found = linprog(cost, A_ub=np.c_[-gaps[rows], np.ones(len(rows))], b_ub=np.zeros(len(rows)), bounds=bounds)
        if found.status != 0 or -found.fun < 1e-9:
            return None
        short = gaps @ found.x[:k] - found.x[k]
        beyond = np.flatnonzero(short < -1e-9)
        if not len(beyond):
            return found.x[:k]
        rows = np.union1d(rows, beyond[np.argsort(short[beyond])[:50]])
    return None


def _no_direction(k):
    return np.zeros(k), np.nan, np.nan
