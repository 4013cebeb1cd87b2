"""Context: what tends to stand next to a word, predicted from the word alone (eigenwords)."""

import numpy as np

_COMMON = 300  # unit types that are a kind of neighbour of their own; the others fall into _GROUPS
_GROUPS = 64
_OFFSETS = (-2, -1, 1, 2)
_RIDGE = 0.01  # share of the mean variance added to every direction


def learn_context(static, types, before, n_dims, seed):
    """Directions of static vectors that predict the neighbours of a unit, by canonical correlation analysis.

    A neighbour counts as its type if that is common, otherwise as the k-means group of its static vector, so that rare
    neighbours help too. Each direction is scaled by its correlation: those that predict nothing vanish.

    Args:
        static: float32 (t, d), static vector of each unit type, centred, L2 norm 1.
        types: int64 (n,), type of each unit, prompts one after the other.
        before: int8 (n,), 2 where a prompt begins (see `workbench.language.units.Span`).
        n_dims: int, directions to keep.
        seed: int.

    Returns:
        float32 (d, n_dims); `static @ it` are the eigenwords.

    Source:
        Dhillon, Foster and Ungar 2011, "Multi-view learning of word embeddings via CCA" (one-step variant, section 3).
    """
    n, width = len(types), static.shape[1]
    counts = np.bincount(types, minlength=len(static)).astype(np.float64)
    covariance = (static * counts[:, None]).T @ static / n
    values, axes = np.linalg.eigh(covariance)
    whitening = axes @ np.diag((np.maximum(values, 0) + _RIDGE * values.mean()) ** -0.5) @ axes.T
    whitened = (static @ whitening).astype(np.float32)
    views = _neighbours(_groups(static, counts, seed), types, before)
    product = np.zeros((width, width))
    for view in views:
        # sum of whitened vectors per kind of neighbour = joint counts (kind x type) @ whitened
        kinds, frequency = int(view.max()) + 1, np.bincount(view)
        pair, times = np.unique(view * len(static) + types, return_counts=True)
        sums = np.zeros((kinds, width), np.float32)
        for piece in np.array_split(np.arange(len(pair)), max(1, len(pair) // 50_000)):
            kind, row = np.divmod(pair[piece], len(static))
            np.add.at(sums, kind, whitened[row] * times[piece, None].astype(np.float32))
        sums /= np.sqrt(np.maximum(frequency, 10))[:, None]
        product += sums.T @ sums / n
    strength, axes = np.linalg.eigh(product)
    best = np.argsort(-strength)[:n_dims]
    return (whitening @ axes[:, best] * np.sqrt(np.maximum(strength[best], 0))).astype(np.float32)


def _groups(static, counts, seed):
    """int64 (t,): how a type counts as a neighbour: 0.._COMMON-1 if common, otherwise _COMMON plus its group."""
    from sklearn.cluster import KMeans

    order = np.argsort(-counts, kind="stable")
    sample = order[: min(20_000, np.count_nonzero(counts))]  # given codes have types that never occur
    groups = min(_GROUPS, len(np.unique(static[sample], axis=0)))  # "sci-fi" and "sci - fi" have one vector
    means = KMeans(groups, n_init=1, max_iter=30, random_state=seed % 2**32).fit(static[sample], sample_weight=counts[sample])
    kinds = _COMMON + means.predict(static).astype(np.int64)
    common = order[:_COMMON]
    kinds[common] = np.arange(len(common))
    return kinds


def _neighbours(kinds, types, before):
    """For each offset an int64 (n,): kind of the neighbour there; beyond the prompt a kind of its own."""
    prompt = np.cumsum(before == 2)
    seen, outside = kinds[types], int(kinds.max()) + 1
    for offset in _OFFSETS:
        there = np.arange(len(types)) + offset
        inside = (there >= 0) & (there < len(types))
        inside[inside] = prompt[there[inside]] == prompt[inside]
        view = np.full(len(types), outside)
        view[inside] = seen[there[inside]]
        yield view
