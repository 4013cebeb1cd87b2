"""Divergences between a policy and a target, as functions of log t = log policy(x) - log target(x) on samples of the policy.

A divergence is D(policy) = E_target[f(t)] for a convex f with f(1) = 0. Its gradient is E_policy[f'(t) * grad log policy], so
that f' is all that tuning needs; -f' is what a sample is rewarded with.
"""

import numpy as np

_MOST = 10.0  # nats: how bad reverse KL may find what the target excludes, which is infinitely bad
_SMALL = 30.0  # nats at which ratios of samples that the policy all but forgot are cut, against overflow


def _kl(log_t):
    p = np.exp(-log_t)
    return -p, -log_t * p


def _reverse_kl(log_t):
    log_t = np.minimum(log_t, _MOST)
    return log_t + 1, log_t


def _js(log_t):
    both = np.logaddexp(0, log_t) - np.log(2)  # log of (t + 1) / 2
    return (log_t - both) / 2, (log_t - both - both * np.exp(-log_t)) / 2


def _tv(log_t):
    return np.sign(log_t) / 2, np.abs(1 - np.exp(-log_t)) / 2


def _chi2(log_t):
    p = np.exp(-log_t)
    return -(p**2), p**2 - p


DIVERGENCES = {"kl": _kl, "reverse_kl": _reverse_kl, "js": _js, "tv": _tv, "chi2": _chi2}
# Both values where the target excludes a sample.
_LIMITS = {"kl": (0, 0), "reverse_kl": (_MOST + 1, _MOST), "js": (np.log(2) / 2,) * 2, "tv": (0.5, 0.5), "chi2": (0, 0)}


def divergence(name, log_t):
    """f'(t), and f(t) / t, whose mean over samples of the policy is the divergence: two float64 (n,).

    Args:
        name: "kl", KL(target, policy); "reverse_kl", KL(policy, target), where what the target excludes counts as 10 nats; "js",
            Jensen-Shannon, at most log 2; "tv", total variation, at most 1; "chi2", Pearson's of the target from the policy.
        log_t: float64 (n,), log policy - log target; inf for what the target excludes.

    Source:
        Go et al., arXiv:2302.08215, theorem 1.
    """
    excluded = np.isposinf(log_t)
    slope, value = DIVERGENCES[name](np.clip(log_t, -_SMALL, 2 * _SMALL))
    at_slope, at_value = _LIMITS[name]
    return np.where(excluded, at_slope, slope), np.where(excluded, at_value, value)
