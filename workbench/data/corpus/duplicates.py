"""Near duplicates: prompts that share most of their runs of three words with an earlier one.

Source:
    Broder, On the resemblance and containment of documents, 1997 (shingles, min-wise hashing); the index is `datasketch`.
"""

import zlib

import numpy as np

THRESHOLD = 0.8  # Jaccard index of the sets of word 3-grams, 0..1
_BANDS, _ROWS = 10, 4  # two prompts at Jaccard .8 share a band with probability .995, at .5 with .48, at .3 with .08
_SHINGLE = 3  # words
_INDEXED = 100_000  # prompts of one index


class NearDuplicates:
    """The prompts kept so far, to be asked for one that is nearly like the next. About 3.5 kB of memory per prompt.

    Prompts are compared with the last 100,000 to 200,000 that were added, so that memory stays below about 700 MB.
    """

    def __init__(self, threshold=THRESHOLD, indexed=_INDEXED):
        from datasketch import MinHash  # takes half a second to import

        self._threshold, self._indexed = threshold, indexed
        self._sketch = MinHash(num_perm=_BANDS * _ROWS, seed=1, hashfunc=int)
        self._indexes = [self._new_index()]  # the older one first, at most two: (MinHashLSH, dict of key to uint32 hashes)

    def _new_index(self):
        from datasketch import MinHashLSH

        return MinHashLSH(num_perm=_BANDS * _ROWS, params=(_BANDS, _ROWS)), {}

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
        for index, known in self._indexes:
            for other in sorted(index.query(sketch)):
                shared = len(hashes.intersection(known[other].tolist()))
                if shared >= self._threshold * (len(hashes) + len(known[other]) - shared):
                    return other
        index, known = self._indexes[-1]
        index.insert(key, sketch, check_duplication=False)
        known[key] = np.fromiter(hashes, np.uint32, len(hashes))
        if len(known) >= self._indexed:
            self._indexes = [self._indexes[-1], self._new_index()]
        return None


def _shingles(words):
    """Hashes of the runs of three words, a set of int below 2**32; one or two words are one run."""
    runs = zip(*(words[offset:] for offset in range(_SHINGLE)), strict=False) if len(words) >= _SHINGLE else [words]
    return {zlib.crc32("\n".join(run).encode()) for run in runs}
