"""Near duplicates: prompts that share most of their runs of three words, found in linear time with little memory.

Source:
    Broder, On the resemblance and containment of documents, 1997 (shingles, min-wise hashing); Leskovec, Rajaraman, Ullman,
    Mining of Massive Datasets, section 3.4 (banding).
"""

import zlib

import numpy as np

THRESHOLD = 0.8  # Jaccard index of the sets of word 3-grams, 0..1
_BANDS, _ROWS = 13, 5  # a pair at Jaccard .8 meets in one band or more with probability .994, at .5 with .34, at .3 with .03
_LAGS = 3  # a row is compared with the first of its group and with so many before it, so that big groups cost linear time
_EDGES = 4  # verified earlier neighbours remembered per row
_PAIRS = 16_384  # pairs verified at a time; bounds the memory
_SHINGLE = 3


class Sketches:
    """Min-hash sketches of prompts: 52 bytes each in memory, the 3-grams themselves in a scratch file."""

    def __init__(self, scratch):
        self._scratch = scratch  # binary file open for writing and reading
        self._bands = []  # uint32 (bands, rows of one batch) each
        self._sizes = []  # int32 (rows of one batch,) each
        random = np.random.default_rng(0)
        shape = (2, _BANDS, _ROWS)
        self._factors, self._terms = random.integers(0, 2**64, size=shape, dtype=np.uint64)
        self._factors |= np.uint64(1)

    def add(self, prompts):
        """Sketch a batch of prompts; rows are numbered on from the last batch.

        Args:
            prompts: list of lists of str, the words of each prompt; none is empty.
        """
        counts = np.fromiter(map(len, prompts), np.int64, len(prompts))
        words = np.fromiter((zlib.crc32(w.encode()) for p in prompts for w in p), np.uint64, int(counts.sum()))
        shingles, sizes = _shingle_sets(words, counts)
        self._scratch.write(shingles.astype(np.uint32).tobytes())
        self._sizes.append(sizes.astype(np.int32))
        self._bands.append(self._band_hashes(shingles, sizes))

    def _band_hashes(self, shingles, sizes):
        starts = np.cumsum(sizes) - sizes
        bands = np.empty((_BANDS, len(sizes)), np.uint32)
        for band in range(_BANDS):
            mixed = np.zeros(len(sizes), np.uint64)
            for factor, term in zip(self._factors[band], self._terms[band], strict=True):
                least = np.minimum.reduceat((shingles * factor + term) >> np.uint64(32), starts)
                mixed = _mix(mixed ^ least)
            bands[band] = mixed >> np.uint64(32)
        return bands

    def find(self, alive, threshold=THRESHOLD):
        """Find the rows that nearly repeat an earlier one.

        Candidates share a band; each is checked by its exact Jaccard index. A row is named only if the earlier row it is like
        is itself not named, so every named row has a near neighbour among those that stay.

        Args:
            alive: bool (n,), rows to look at; the others are not compared.
            threshold: float 0..1, least Jaccard index of a near duplicate.

        Returns:
            int64 (n,), for each row the earlier row it nearly repeats, or -1.
        """
        origin = np.full(len(alive), -1, np.int64)
        rows = np.flatnonzero(alive)
        if len(rows) < 2:
            return origin
        self._scratch.flush()
        sizes = np.concatenate(self._sizes)
        shingles = np.memmap(self._scratch, np.uint32, "r", shape=(int(sizes.sum(dtype=np.int64)),))
        starts = np.cumsum(sizes, dtype=np.int64) - sizes
        edges = np.empty(0, np.uint64)  # later row << 32 | earlier row, sorted
        for band in range(_BANDS):
            column = np.concatenate([batch[band] for batch in self._bands])[rows]
            later, earlier = _candidates(column, rows)
            small, large = np.sort([sizes[later], sizes[earlier]], axis=0)
            possible = small >= threshold * large
            codes = _pair_codes(later[possible], earlier[possible])
            codes = np.setdiff1d(codes, edges)
            similar = [_jaccard(codes[i : i + _PAIRS], shingles, starts, sizes) for i in range(0, len(codes), _PAIRS)]
            if similar:
                edges = _first_edges(np.union1d(edges, codes[np.concatenate(similar) >= threshold]))
        # in order of the later row, so that whether the earlier row stays is already known
        for later, earlier in zip((edges >> np.uint64(32)).tolist(), (edges & np.uint64(2**32 - 1)).tolist(), strict=True):
            if origin[later] < 0 and origin[earlier] < 0:
                origin[later] = earlier
        return origin


def _shingle_sets(words, counts):
    """Word hashes (m,), `counts` (n,) per prompt -> 3-gram hashes, unique and sorted per prompt, and how many (n,)."""
    prompt = np.repeat(np.arange(len(counts), dtype=np.uint64), counts)
    place = np.arange(len(words)) - np.repeat(np.cumsum(counts) - counts, counts)
    left = np.repeat(counts, counts) - place  # words from here to the end of the prompt
    hashes = _mix(words)
    for offset in range(1, _SHINGLE):
        following = np.append(words[offset:], np.zeros(min(offset, len(words)), np.uint64))
        hashes = _mix(hashes ^ np.where(left > offset, following, np.uint64(0)))
    whole = (left >= _SHINGLE) | (place == 0)  # prompts of one or two words are one short shingle
    codes = np.unique(prompt[whole] << np.uint64(32) | hashes[whole] >> np.uint64(32))
    sizes = np.bincount((codes >> np.uint64(32)).astype(np.int64), minlength=len(counts))
    return codes & np.uint64(2**32 - 1), sizes


def _mix(x):
    """Spread uint64 values over all bits (the finaliser of splitmix64: Steele, Lea, Flood, OOPSLA 2014, figure 17)."""
    x = (x + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _candidates(column, rows):
    """Pairs (later, earlier) of `rows` with equal values in `column`: with the first of the group and the few just before."""
    order = np.argsort(column, kind="stable")
    column, rows = column[order], rows[order]
    at = np.arange(len(rows))
    new = np.append(True, column[1:] != column[:-1])
    first = np.maximum.accumulate(np.where(new, at, 0))
    others = [np.maximum(at - lag, first) for lag in range(1, _LAGS + 1)] + [first]
    pairs = [(rows[other < at], rows[other[other < at]]) for other in others]
    return tuple(np.concatenate(side) for side in zip(*pairs, strict=True))


def _pair_codes(later, earlier):
    return np.unique(later.astype(np.uint64) << np.uint64(32) | earlier.astype(np.uint64))


def _first_edges(edges):
    """The first `_EDGES` of each later row; `edges` is sorted."""
    later = edges >> np.uint64(32)
    at = np.arange(len(edges))
    first = np.maximum.accumulate(np.where(np.append(True, later[1:] != later[:-1])[: len(edges)], at, 0))
    return edges[at - first < _EDGES]


def _jaccard(codes, shingles, starts, sizes):
    """Jaccard index, float64 (p,), of the shingle sets of p pairs given as later << 32 | earlier."""
    sides = (codes >> np.uint64(32)).astype(np.int64), (codes & np.uint64(2**32 - 1)).astype(np.int64)
    keyed = []
    for rows in sides:
        size = sizes[rows].astype(np.int64)
        pair = np.repeat(np.arange(len(rows), dtype=np.uint64), size)
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        keyed.append(pair << np.uint64(32) | shingles[np.repeat(starts[rows], size) + within].astype(np.uint64))
    merged = np.sort(np.concatenate(keyed))
    shared = merged[1:][merged[1:] == merged[:-1]] >> np.uint64(32)  # sets: twice means in both
    both = np.bincount(shared.astype(np.int64), minlength=len(codes))
    return both / (sizes[sides[0]] + sizes[sides[1]] - both)
