"""Pairs: what people prefer, from answers to "which of these two?" (Bradley-Terry)."""

import numpy as np
import torch
from scipy.optimize import minimize

_PRIOR = 0.1  # weight of a normal prior of mean 0: keeps what always wins finite, and what nobody has seen at 0


def pair_loss(better, worse):
    """Mean of -log sigmoid(better - worse): the loss of a reward model on pairs.

    Args:
        better: torch.Tensor (n,) float, scores of those preferred.
        worse: torch.Tensor (n,) float, scores of the others.

    Returns:
        scalar tensor, nats.

    Source:
        Bradley and Terry, 1952; as a loss of preference models: Askell et al., arXiv:2112.00861, section 3.
    """
    return torch.nn.functional.softplus(worse - better).mean()


def strengths(pairs, n):
    """Strengths of n things by who won against whom: the likeliest under Bradley-Terry with a normal prior.

    Args:
        pairs: array-like (votes, 2) int, each row (winner, loser), both 0..n-1.
        n: int, things.

    Returns:
        array (n,) float64, mean 0; P(i beats j) = sigmoid(strength i - strength j).

    Raises:
        ValueError: no vote, a number that is no int or out of range, or a thing that meets itself.

    Source:
        Bradley and Terry, 1952; the likelihood is concave, so L-BFGS finds its only maximum.
    """
    pairs = np.asarray(pairs)
    if pairs.size == 0:
        raise ValueError("There is no vote yet. Strengths need at least one pair (winner, loser).")
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise ValueError(f"Votes are rows (winner, loser) of ints, got an array of {pairs.dtype} and shape {pairs.shape}.")
    if pairs.min() < 0 or pairs.max() >= n:
        raise ValueError(f"Votes name things 0 to {n - 1}, got {int(pairs.min())} to {int(pairs.max())}.")
    if (pairs[:, 0] == pairs[:, 1]).any():
        raise ValueError("A vote has the same thing on both sides.")
    won, lost = pairs.T

    def cost(s):
        gap = s[won] - s[lost]
        value = np.logaddexp(0, -gap).sum() + 0.5 * _PRIOR * (s**2).sum()
        slope = -1 / (1 + np.exp(np.clip(gap, -500, 500)))
        return value, np.bincount(won, slope, n) - np.bincount(lost, slope, n) + _PRIOR * s

    found = minimize(cost, np.zeros(n), jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x
    return found - found.mean()
