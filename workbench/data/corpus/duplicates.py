"""Duplicates: prompts that equal an earlier one, or share most of their runs of three words with one.

Source:
    Broder, On the resemblance and containment of documents, 1997 (shingles, min-wise hashing).
"""

import sqlite3
import zlib

import numpy as np

from workbench.values import ArtifactError

THRESHOLD = 0.8  # Jaccard index of the sets of word 3-grams, 0..1
_BANDS, _ROWS = 10, 4  # two prompts at Jaccard .8 share a band with probability .995, at .5 with .48, at .3 with .08
_SHINGLE = 3  # words
_INDEXED = 100_000  # prompts of one index
_FACTORS = np.random.default_rng(1).integers(2**63, size=_BANDS * _ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_ADDED = np.random.default_rng(2).integers(2**63, size=_BANDS * _ROWS, dtype=np.uint64)


class ExactDuplicates:
    """The first place of each number that was added, in a file that is deleted with it: millions cost no memory."""

    def __init__(self):
        self._table = sqlite3.connect("", isolation_level=None)
        self._table.execute("pragma journal_mode = off")
        self._table.execute("pragma cache_size = -32768")  # kibibytes, negative by the rule of SQLite
        self._table.execute("create table seen (key integer primary key, place integer)")
        self._table.execute("begin")

    def add(self, place, key):
        """Add a number from 0 to 2**64 - 1 -> the place that was added with it before, or None if it is new."""
        try:
            row = (key - 2**63, place)
            if self._table.execute("insert or ignore into seen values (?, ?)", row).rowcount:
                return None
            return self._table.execute("select place from seen where key = ?", row[:1]).fetchone()[0]
        except sqlite3.OperationalError as err:
            raise ArtifactError(
                f"The list of prompts seen so far cannot be written ({err}). Set TMPDIR to a disk with space."
            ) from err

    def close(self):
        """Delete the file."""
        self._table.close()


class NearDuplicates:
    """The prompts kept so far, to be asked for one that is nearly like the next. About 1.3 kB of memory per prompt.

    Prompts are compared with the last 100,000 to 200,000 that were added, so that memory stays below about 260 MB.
    """

    def __init__(self, threshold=THRESHOLD, indexed=_INDEXED):
        self._threshold, self._indexed = threshold, indexed
        # the older one first, at most two: (dict of a band to a key or a list of keys, dict of key to uint32 hashes)
        self._indexes = [({}, {})]

    def add(self, key, sketch):
        """Add a prompt unless it nearly repeats an earlier one.

        The prompts that share a band are found by the index, and each is checked by its exact Jaccard index.

        Args:
            key: int, greater than those before.
            sketch: of the prompt, from `sketches`.

        Returns:
            int, the key of the earlier prompt, or None if the prompt was added.
        """
        hashes, bands = sketch
        for index, known in self._indexes:
            if found := {key for band in bands if band in index for key in _keys(index[band])}:
                own = set(hashes.tolist())
                for other in sorted(found):
                    shared = len(own.intersection(known[other].tolist()))
                    if shared >= self._threshold * (len(own) + len(known[other]) - shared):
                        return other
        index, known = self._indexes[-1]
        for band in bands:
            found = index.setdefault(band, key)
            if isinstance(found, list):
                found.append(key)
            elif found != key:
                index[band] = [found, key]
        known[key] = hashes.copy()  # of its own: a view would hold what all prompts of one call share
        if len(known) >= self._indexed:
            self._indexes = [self._indexes[-1], ({}, {})]
        return None


def _keys(found):
    return found if isinstance(found, list) else [found]


def sketches(prompts):
    """What `NearDuplicates` needs of prompts, of many at once, since one at a time takes several times as long.

    Args:
        prompts: list of list of str, the words of each.

    Returns:
        list of (uint32 (r,), hashes of its different runs of three words; list of `_BANDS` int below 2**60).
    """
    if not prompts:
        return []
    hashes, owner = _shingles(prompts)
    starts = np.searchsorted(owner, np.arange(len(prompts)))
    # multiply and shift, a universal family of hashes (Dietzfelbinger et al., 1997): the least of each is a min-wise hash
    values = (hashes[:, None].astype(np.uint64) * _FACTORS + _ADDED) >> np.uint64(32)
    least = np.minimum.reduceat(values, starts, axis=0).reshape(len(prompts), _BANDS, _ROWS)
    # A band is a number, so that its place in a dict is small; should two bands be equal by chance, `add` sees it.
    bands = ((least * _FACTORS[:_ROWS]).sum(2, dtype=np.uint64) + _ADDED[:_BANDS]) >> np.uint64(4)
    return list(zip(np.split(hashes, starts[1:]), bands.tolist(), strict=True))


def _shingles(prompts):
    """Runs of three words: uint32 (r,), hashes, and int64 (r,), the prompts they are of; sorted by prompt, each hash once in it.

    A prompt of one or two words is one run.
    """
    sizes = np.array([len(words) for words in prompts])
    spelled = (word.encode() for words in prompts for word in words)
    words = np.fromiter(map(zlib.crc32, spelled), np.uint64, int(sizes.sum()))
    runs = np.maximum(sizes - _SHINGLE + 1, 1)
    owner = np.repeat(np.arange(len(prompts)), runs)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(runs) - runs, runs)  # in its prompt
    first = (np.cumsum(sizes) - sizes)[owner] + place
    mixed = np.zeros(len(owner), np.uint64)
    for offset in range(_SHINGLE):
        there = place + offset < sizes[owner]
        mixed[there] += (words[first[there] + offset] + np.uint64(1)) * _FACTORS[offset]
    numbered = np.unique(owner.astype(np.uint64) << np.uint64(32) | mixed >> np.uint64(32))
    return numbered.astype(np.uint32), (numbered >> np.uint64(32)).astype(np.int64)
