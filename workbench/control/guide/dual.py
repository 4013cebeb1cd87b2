"""Dual: the weights that bring the moments of a weighted sample to given values, their covariance, and why none exist.

Of all distributions with given moments, the one nearest to the base in KL is base(x) * exp(lambda . f(x)). Its lambda minimises
log Z(lambda) - lambda . moments, which is smooth and convex. This needs only the features: no scorer is called again.
"""

from typing import NamedTuple

import numpy as np

_STEPS = 200
_TOLERANCE = 1e-10  # of moments, in units of the range of a feature
_CLOSE = 1e-6  # moments further off than this were not reached
_FAR = 10.0  # lambda times the range, times the number of features: beyond this lambda may be diverging
_ROUNDS = 100  # of the linear programme that finds the reason


class Solution(NamedTuple):
    """Of `solve`, for k features and n samples in g groups.

    `weights` float64 (k,); `covariance` (k, k) of the weights; `moment_covariance` (k, k), of the true moments at these weights;
    `p` float64 (n,), share of each sample in the target, 1 in total; `log_z` float64 (g,), nats; `rank`, the number of linearly
    independent features.
    """

    weights: np.ndarray
    covariance: np.ndarray
    moment_covariance: np.ndarray
    p: np.ndarray
    log_z: np.ndarray
    rank: int


class Blocked(Exception):
    """No finite weights satisfy the moments.

    `direction` float64 (k,): feature . direction is at most `bound` in all samples, but the moments make it `asked`.
    """

    def __init__(self, direction, bound, asked):
        super().__init__()
        self.direction, self.bound, self.asked = direction, bound, asked


class _State(NamedTuple):
    """The dual at some weights: shares (n,), gradient (k,), Hessian (k, k), value, log Z (g,), means of features (g, k)."""

    p: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray
    value: float
    log_z: np.ndarray
    centres: np.ndarray

    @property
    def off(self):
        """The largest distance of a moment from what was asked."""
        return np.abs(self.gradient).max(initial=0)


def solve(features, moments, log_base, groups, sizes):
    """Newton's method on the dual: a `Solution`, with covariances of self-normalised importance sampling by the delta method.

    Args:
        features: float64 (n, k).
        moments: float64 (k,), the means to reach.
        log_base: float64 (n,), log weight of each sample before any tilt.
        groups: int64 (n,), context of each sample in 0..g-1. Each group has at least one sample and its own normaliser, and all
            groups count the same.
        sizes: int (g,), samples drawn per group, including those without weight, which are not among the n.

    Raises:
        Blocked: the moments lie outside the convex hull of the features, or on its edge.

    Source:
        Khalifa et al., arXiv:2012.11635, who descend on the squared error of the moments instead; contexts after
        Korbak et al., arXiv:2112.00791; sandwich covariance: White 1982, and Owen, Monte Carlo theory, chapter 9.
    """
    span = np.ptp(features, axis=0)
    span[span == 0] = 1
    data = features / span, moments / span, log_base, groups, sizes
    weights = np.zeros(features.shape[1])
    state = _state(*data, weights)
    for _ in range(_STEPS):
        if state.off < _TOLERANCE:
            break
        # the ridge is far below the curvature that matters; it is for features that are linearly dependent
        step = np.linalg.solve(state.hessian + 1e-12 * np.eye(len(weights)), state.gradient)
        step *= min(1, 4 / np.abs(step).max())
        for _ in range(40):
            after = _state(*data, weights - step)
            if after.value <= state.value - 1e-4 * state.gradient @ step or after.off < _TOLERANCE:
                break
            step = step / 2
        else:
            break
        weights, state = weights - step, after
    if len(weights) * np.abs(weights).max(initial=0) > _FAR or state.off > _CLOSE:
        _check_inside(*data[:2], span)
    if state.off > _CLOSE:
        raise Blocked(np.zeros(len(moments)), np.nan, np.nan)
    strength, axes = np.linalg.eigh(state.hessian)
    free = strength < 1e-9 * strength.max(initial=0)
    if free.any():  # dependent features: of all weights with the same effect, the shortest
        weights = weights - axes[:, free] @ (axes[:, free].T @ weights)
        state = _state(*data, weights)
    covariances = _covariances(*data[:2], groups, span, state)
    return Solution(weights / span, *covariances, state.p, state.log_z, len(weights) - int(free.sum()))


def _state(x, asked, log_base, groups, sizes, weights):
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
    hessian = (around * p[:, None]).T @ around
    return _State(p, centres.mean(0) - asked, hessian, log_z.mean() - weights @ asked, log_z, centres)


def _covariances(x, asked, groups, span, state):
    """Of the weights, and of the moments reached."""
    pull = (x - state.centres[groups]) * state.p[:, None]
    noise, g = pull.T @ pull, len(state.centres)
    if g > 1:  # contexts are a sample too
        around = state.centres - asked
        noise = noise + around.T @ around / (g * (g - 1))
    inverse = np.linalg.pinv(state.hessian, rcond=1e-9, hermitian=True)
    return inverse @ noise @ inverse / np.outer(span, span), noise * np.outer(span, span)


def _check_inside(x, asked, span):
    """Raise `Blocked`, with the clearest reason, if no positive weights of the samples give these moments."""
    direction = _away(asked - x, far=True)
    if direction is None:  # on the edge there is no distance
        direction = _away(asked - x, far=False)
    if direction is None:
        return
    direction = np.where(np.abs(direction) < 1e-7, 0, direction)
    bound, reached, scale = (x @ direction).max(), asked @ direction, np.abs(direction / span).max()
    raise Blocked(direction / span / scale, bound / scale, reached / scale)


def _away(gaps, far):
    """A direction in which no sample lies beyond the moments, by a linear programme; None if there is none.

    With `far`, the direction in which all samples stay furthest short of them; it leaves out moments that are not to blame.
    Samples are added as they are needed, because few matter and all of them together take half a minute.
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
