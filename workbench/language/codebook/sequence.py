"""Sequence: which code follows which, and what that says of a unit between its neighbours (forward-backward)."""

from typing import NamedTuple

import numpy as np

_TINY = 1e-30


class Posterior(NamedTuple):
    """What forward-backward returns.

    `codes` float32 (n, k): probability of each code for each unit. `pairs` float64 (2, k, k): expected number of times a code
    follows another, inside a segment [0] and across a separator [1]. `starts` float64 (k,): expected number of prompts that
    begin with a code. `log_likelihood`: float, nats in all, up to the constant that was taken off `log_emissions`.
    """

    codes: np.ndarray
    pairs: np.ndarray
    starts: np.ndarray
    log_likelihood: float


def forward_backward(log_emissions, before, start, transitions):
    """Posterior of the codes of many prompts, all prompts of a step at once.

    Args:
        log_emissions: float (n, k), log p(features | code) of each unit, prompts one after the other.
        before: int8 (n,), 2 where a prompt begins, 1 after a separator, otherwise 0.
        start: float (k,), probability of each code at the beginning.
        transitions: float (2, k, k), rows sum to 1; [0] inside a segment, [1] across a separator.

    Returns:
        `Posterior`.

    Source:
        Baum-Welch with scaling: Rabiner 1989, "A tutorial on hidden Markov models", section V.A; here the transition matrix
        is chosen by an observed input, the separator (Bengio and Frasconi 1995).
    """
    top = log_emissions.max(1, keepdims=True)
    emissions = np.maximum(np.exp(log_emissions - top), _TINY).astype(np.float32)
    begins = np.flatnonzero(before == 2)
    lengths = np.diff(np.append(begins, len(before)))
    order = np.argsort(-lengths, kind="stable")
    begins, lengths = begins[order], lengths[order]
    alive = [int((lengths > t).sum()) for t in range(lengths[0])]  # prompts that have a unit number t, the longest first
    across = (before == 1)[:, None]
    transitions, start = transitions.astype(np.float32), start.astype(np.float32)

    forward, scale = np.zeros_like(emissions), np.ones(len(before), np.float32)
    for t, count in enumerate(alive):
        rows = begins[:count] + t
        if t == 0:
            reached = np.broadcast_to(start, (count, len(start)))
        else:
            last = forward[rows - 1]
            reached = np.where(across[rows], last @ transitions[1], last @ transitions[0])
        joint = reached * emissions[rows]
        scale[rows] = np.maximum(joint.sum(1), _TINY)
        forward[rows] = joint / scale[rows, None]

    codes, pairs = forward.copy(), np.zeros((2, *transitions.shape[1:]))
    backward = np.ones((0, emissions.shape[1]), np.float32)
    for t in range(len(alive) - 1, -1, -1):
        count, here = alive[t], np.ones((alive[t], emissions.shape[1]), np.float32)
        if t + 1 < len(alive):
            rows = begins[: alive[t + 1]] + t + 1
            ahead = emissions[rows] * backward / scale[rows, None]
            for kind in (0, 1):
                chosen = across[rows, 0] == bool(kind)
                pairs[kind] += transitions[kind] * (forward[rows[chosen] - 1].T @ ahead[chosen])
            here[: len(rows)] = np.where(across[rows], ahead @ transitions[1].T, ahead @ transitions[0].T)
        rows = begins[:count] + t
        joint = forward[rows] * here
        codes[rows] = joint / np.maximum(joint.sum(1, keepdims=True), _TINY)
        backward = here
    return Posterior(codes, pairs, codes[begins].sum(0, dtype=np.float64), float(np.log(scale).sum() + top.sum()))
