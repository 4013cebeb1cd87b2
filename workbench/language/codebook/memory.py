"""Memory: which codes a unit type had before, as evidence for the next unit of that type."""

import hashlib

import numpy as np


def identities(static):
    """A number per unit type, by which it is recognised again; types of one static vector are one type.

    Args:
        static: float32 (t, d), static vector of each unit type.

    Returns:
        uint64 (t,), a hash of the vector to the letter.
    """
    rows = np.ascontiguousarray(static, np.float32) + np.float32(0)  # -0.0 becomes 0.0
    return np.array([int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "little") for row in rows], np.uint64)


_ANCHOR = 1_000_000  # occurrences that a code given by hand counts as; with 1,000 features and neighbours often outweigh it


def remember(codes, types, smoothing, given=None):
    """What the posteriors of units say of their types.

    Args:
        codes: float32 (n, k), probability of each code for each unit.
        types: int64 (n,), type of each unit; every number 0..m-1 occurs, or has a code given.
        smoothing: float > 0, occurrences that the average over all types counts as.
        given: int64 (m,), a code that the type is known to have, -1 for none; or None. It counts as a million
            occurrences.

    Returns:
        float16 (m, k): log p(type | code) / p(type), nats; near 0 for a type seen seldom.

    Source:
        Word emissions of an HMM tagger learned by Baum-Welch (Merialdo 1994, "Tagging English text with a probabilistic
        model"), shrunk towards independence by a Dirichlet prior.
    """
    given = np.full(int(types.max()) + 1, -1) if given is None else given
    order, counts = np.argsort(types, kind="stable"), np.bincount(types, minlength=len(given))
    seen, had = counts > 0, np.zeros((len(given), codes.shape[1]))
    had[seen] = np.add.reduceat(codes[order], (np.cumsum(counts) - counts)[seen], axis=0, dtype=np.float64)
    average = np.maximum(had.sum(0) / len(types), 1e-9)
    fixed = np.flatnonzero(given >= 0)
    had[fixed, given[fixed]] += _ANCHOR
    counts[fixed] += _ANCHOR
    share = (had + smoothing * average) / (counts[:, None] + smoothing)
    return np.log(share / average).astype(np.float16)


def recall(known, memory, wanted):
    """What is remembered of types: float32 (t, k), zeros for a type that was never seen.

    Args:
        known: uint64 (m,), `identities` in rising order.
        memory: float16 (m, k), their rows of `remember`.
        wanted: uint64 (t,), identities to look up.
    """
    out = np.zeros((len(wanted), memory.shape[1]), np.float32)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    seen = known[at] == wanted
    out[seen] = memory[at[seen]]
    return out
