"""Projection: vectors -> a map in two dimensions, and how far to trust it; nearest neighbours; which code follows which."""

import warnings
from dataclasses import dataclass

import numpy as np

from workbench import checks

LEAST = 5  # rows: fewer are no map
_NEIGHBOURS = 15  # of a row, for UMAP: fewer show more detail, more show the large shape
_FITTED = 5000  # rows that UMAP sees; time grows with its square
_EPOCHS = 200  # UMAP's own default for large data; more changed no trustworthiness in its third digit
_JUDGED = 2000  # trustworthiness takes n * n floats
_MIN_DIST = 0.25  # room for the dots of dense clouds; .1 gains no trustworthiness
_BAND = 0.05  # of the drawn width: the widest empty band of a picture


@dataclass(frozen=True)
class Atlas:
    """A map of n vectors.

    Attributes:
        xy: float32 (n, 2), places on the map; no unit, only nearness has a meaning.
        trustworthiness: float, 0..1: are neighbours on the map neighbours in truth? About .5 for random places.
        rows: int64 (m,), the rows UMAP was fitted on, ascending; the others were placed among them.
    """

    xy: np.ndarray
    trustworthiness: float
    rows: np.ndarray


def fit(vectors, *, seed=0):
    """Draw a map: UMAP on a sample of at most 5,000 rows, the others placed among their nearest mapped rows.

    Equal seeds give equal maps on one machine; other processors and versions give other maps of about equal trustworthiness.
    5,000 rows take about 4 seconds, and 5-10 more in the first call of a process (numba compiles).

    Args:
        vectors: float (n, d), n >= 5 and d >= 2, distances are Euclidean: normalise the rows first if only direction matters.
        seed: int.

    Returns:
        `Atlas`; its trustworthiness is measured on at most 2,000 rows.

    Raises:
        ValueError: wrong shape, too few rows, NaN, or rows that are all equal.
        ImportError: umap-learn is missing.

    Source:
        UMAP, arXiv:1802.03426, section 3; placing new rows is the first step of its transform (weights of section 3.1), without
        the gradient steps after it: equal trustworthiness in our measurement (.651 and .650), 25 seconds less.
        Trustworthiness: Venna & Kaski 2001.
    """
    x, seed = _check_array(vectors), checks.seed(seed)
    if len(x) < LEAST or x.shape[1] < 2:
        raise ValueError(f"A map needs {LEAST} rows of width 2 or more, got {x.shape}.")
    if (x == x[0]).all():
        raise ValueError(f"All {len(x)} rows are equal: there is nothing to map. Were the vectors computed?")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Tensorflow not installed", category=ImportWarning)
            import umap
    except ImportError as err:
        raise ImportError("atlas.fit needs umap-learn: pip install umap-learn") from err
    from sklearn.manifold import trustworthiness  # here: it takes a second, and the studio opens without a map
    from threadpoolctl import threadpool_limits

    n = len(x)
    rows = np.sort(np.random.default_rng(seed).permutation(n)[:_FITTED])
    k = min(_NEIGHBOURS, len(rows) - 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*precomputed_knn", category=UserWarning)  # we never call its transform
        mapper = umap.UMAP(
            n_neighbors=k,
            n_epochs=_EPOCHS,
            init="pca",
            min_dist=_MIN_DIST,
            random_state=seed % 2**32,
            n_jobs=1,
            precomputed_knn=_nearest(x[rows], x[rows], k),
        )
        with threadpool_limits(1, user_api="openmp"):  # numba sets the threads of all of OpenMP, torch's too, and leaves them so
            placed = mapper.fit_transform(x[rows])
    xy = np.empty((n, 2), dtype=np.float32)
    xy[rows] = placed
    others = np.setdiff1d(np.arange(n), rows)
    if len(others):
        xy[others] = _place(placed, *_nearest(x[rows], x[others], k))
    judged = np.sort(np.random.default_rng(seed).permutation(n)[:_JUDGED])
    trust = trustworthiness(x[judged], xy[judged], n_neighbors=min(15, (len(judged) - 1) // 2))
    return Atlas(xy, float(trust), rows)


def can_map(vectors):
    """Whether `fit` can draw a map of these vectors, float (n, d): there are enough of them, and they are not all equal."""
    return len(vectors) >= LEAST and bool((vectors != vectors[0]).any())


def neighbours(vectors, rows, k=10):
    """Find the rows of `vectors` that point in the same direction as some of them.

    Args:
        vectors: float (n, d).
        rows: int or int (m,), rows of `vectors`; none is its own neighbour.
        k: int, neighbours wanted, 1..n - 1.

    Returns:
        (rows int64 (m, k), cosines float32 (m, k)), nearest first; m is 1 for one row.

    Raises:
        ValueError: a wrong shape, NaN, or k out of range.
        IndexError: a row that does not exist.
    """
    x, own = checks.unit_rows(_check_array(vectors)), np.atleast_1d(rows)
    if own.size and not (-len(x) <= own.min() and own.max() < len(x)):
        raise IndexError(f"neighbours got row {own.min()}..{own.max()}, there are rows 0..{len(x) - 1}.")
    checks.whole("k", k, most=len(x) - 1)
    cosine = x[own] @ x.T  # (m, n)
    cosine[np.arange(len(own)), own] = -np.inf
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
    return order.astype(np.int64), np.take_along_axis(cosine, order, axis=1)


def transitions(sequences, k):
    """Count which code follows which, as shares of each row.

    Args:
        sequences: one sequence of codes per prompt, each code an int 0..k-1; empty sequences are counted too.
        k: int, size of the alphabet.

    Returns:
        float64 (k + 1, k + 1). Entry [i, j] is the share (0..1) of occurrences of code i that code j follows; the last
        row is the start of a prompt, the last column its end. A row sums to 1, or to 0 for a code that never occurs.

    Raises:
        ValueError: a code outside of 0..k-1.
    """
    counts = np.zeros((k + 1, k + 1))
    for number, sequence in enumerate(sequences):
        codes = np.asarray(sequence, dtype=np.int64)
        if codes.size and not (0 <= codes.min() and codes.max() < k):
            raise ValueError(f"sequence {number} holds code {codes.min()}..{codes.max()}; with k={k} codes are 0..{k - 1}.")
        path = np.concatenate([[k], codes, [k]])
        np.add.at(counts, (path[:-1], path[1:]), 1)
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=counts, where=totals > 0)


def gathered(xy):
    """Cut wide empty bands of a map short, so that a far island does not take the room of all the rest.

    Along each axis, no gap between one place and the next stays wider than a twentieth of the width that is left. Only
    empty bands shrink, so clouds keep their shape and their order; in a map by UMAP the width of such a band means nothing.

    Args:
        xy: float (n, 2).

    Returns:
        float64 (n, 2).
    """
    xy = np.array(xy, dtype=np.float64)
    for axis in range(2):
        order = np.argsort(xy[:, axis], kind="stable")
        gaps = np.diff(xy[order, axis])
        widest, most = gaps.max(initial=0.0), max(_BAND, 2 / max((gaps > 0).sum(), 1))
        for _ in range(100):  # the bound follows the width, which follows the bound: it settles from above
            widest = min(widest, most * np.minimum(gaps, widest).sum())
        cut = np.maximum(gaps - widest, 0)
        if (cut > 1e-9 * np.ptp(xy[:, axis])).any():
            xy[order[1:], axis] -= np.cumsum(cut)
    return xy


def _nearest(rows, queries, k):
    """Exact nearest rows, ids and distances (m, k): UMAP's own search is approximate and compiles for half a minute."""
    from sklearn import config_context
    from sklearn.neighbors import NearestNeighbors

    with config_context(working_memory=64):  # MiB a block: memory does not grow with the number of queries
        distances, ids = NearestNeighbors(algorithm="brute").fit(rows).kneighbors(queries, n_neighbors=k)
    return ids, distances.astype(np.float32)


def _place(placed, ids, distances):
    """Average the places of the nearest mapped rows, (m, k) ids and distances -> (m, 2); the nearest weighs 1, far ones less."""
    beyond = distances - distances[:, :1]
    spread = np.maximum(beyond.mean(axis=1, keepdims=True), 1e-9)
    weights = np.exp(-beyond / spread)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.einsum("mk,mkc->mc", weights, placed[ids])


def _check_array(vectors):
    x = np.asarray(vectors, dtype=np.float32)
    if x.ndim != 2 or x.shape[1] < 1:
        raise ValueError(f"vectors must have shape (n, d), got {x.shape}.")
    if not np.isfinite(x).all():
        raise ValueError(f"vectors hold NaN or infinity in row {int(np.argmin(np.isfinite(x).all(axis=1)))}.")
    return x
