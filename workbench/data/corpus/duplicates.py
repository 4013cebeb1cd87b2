"""Duplicates: prompts that equal an earlier one, or share most of their runs of three words with one.

Source:
    Broder, On the resemblance and containment of documents, 1997 (shingles, min-wise hashing); hashes by `datasketch`.
"""

import sqlite3
import zlib

import numpy as np

from workbench.values import ArtifactError

THRESHOLD = 0.8  # Jaccard index of the sets of word 3-grams, 0..1
_BANDS, _ROWS = 10, 4  # two prompts at Jaccard .8 share a band with probability .995, at .5 with .48, at .3 with .08
_SHINGLE = 3  # words
_INDEXED = 100_000  # prompts of one index


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
        from datasketch import MinHash  # takes half a second to import

        self._threshold, self._indexed = threshold, indexed
        self._sketch = MinHash(num_perm=_BANDS * _ROWS, seed=1, hashfunc=int)
        # the older one first, at most two: (dict of a band to a key or a list of keys, dict of key to uint32 hashes)
        self._indexes = [({}, {})]

    def add(self, key, words):
        """Add a prompt unless it nearly repeats an earlier one.

        The prompts that share a band are found by the index, and each is checked by its exact Jaccard index.

        Args:
            key: int, greater than those before.
            words: list of str, the words of the prompt.

        Returns:
            int, the key of the earlier prompt, or None if the prompt was added.
        """
        hashes = _shingles(words)
        sketch = self._sketch
        sketch.clear()
        sketch.update_batch(hashes)
        # A band is a number, so that its place in a dict is small; should two bands be equal by chance, the check below sees it.
        values = sketch.hashvalues.reshape(_BANDS, _ROWS)
        bands = [hash((band, row.tobytes())) for band, row in enumerate(values)]
        for index, known in self._indexes:
            for other in sorted({key for band in bands for key in _keys(index.get(band, []))}):
                shared = len(hashes.intersection(known[other].tolist()))
                if shared >= self._threshold * (len(hashes) + len(known[other]) - shared):
                    return other
        index, known = self._indexes[-1]
        for band in bands:
            found = index.setdefault(band, key)
            if isinstance(found, list):
                found.append(key)
            elif found != key:
                index[band] = [found, key]
        known[key] = np.fromiter(hashes, np.uint32, len(hashes))
        if len(known) >= self._indexed:
            self._indexes = [self._indexes[-1], ({}, {})]
        return None


def _keys(found):
    return found if isinstance(found, list) else [found]


def _shingles(words):
    """Hashes of the runs of three words, a set of int below 2**32; one or two words are one run."""
    runs = zip(*(words[offset:] for offset in range(_SHINGLE)), strict=False) if len(words) >= _SHINGLE else [words]
    return {zlib.crc32("\n".join(run).encode()) for run in runs}
