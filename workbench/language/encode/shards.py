"""Shards: word features on disk. One safetensors file for some prompts, named after its content, read with plain reads."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from workbench.artifacts import atomic_path
from workbench.values import ArtifactError, ModelError


@dataclass(frozen=True)
class Shard:
    """A complete file: `n_prompts + 1` int64 at byte `offsets_at`, then `n_words * width` float16 at `vectors_at`."""

    path: Path
    n_prompts: int
    n_words: int
    width: int
    offsets_at: int
    vectors_at: int

    def offsets(self):
        """int64 (n_prompts + 1,): the words of prompt i are the rows `offsets[i]:offsets[i + 1]`."""
        return self._read(np.int64, self.offsets_at, self.n_prompts + 1)

    def vectors(self, start, stop):
        """float16 (stop - start, width): the rows from `start` to `stop`."""
        values = self._read(np.float16, self.vectors_at + 2 * self.width * start, self.width * (stop - start))
        return values.reshape(-1, self.width)

    def _read(self, dtype, at, count):
        # Not memory-mapped: the pages of a map that were touched count as memory of the process.
        try:
            values = np.fromfile(self.path, dtype, count, offset=at)
        except FileNotFoundError:
            values = ()
        if len(values) != count:
            raise ArtifactError(f"The features in {self.path} have gone or were cut off since they were made. Run encode again.")
        return values


def write_shard(path, key, counts, vectors):
    """Write a shard, whole or not at all.

    Args:
        path: Path of the file.
        key: str, what it is the shard of.
        counts: int (n,), words per prompt.
        vectors: float32 (w, d), stored as float16.

    Raises:
        ArtifactError: the disk is full.
        ModelError: values that float16 cannot hold.
    """
    with np.errstate(over="ignore"):
        stored = vectors.astype(np.float16)
    if not np.isfinite(stored).all():
        raise ModelError(f"Hidden states of up to {np.abs(vectors).max():.3g} do not fit float16 (65504). Read another layer.")
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    # One entry of metadata only: the order of several in the file changes from run to run.
    data = safetensors.numpy.save({"offsets": offsets, "vectors": stored}, metadata={"key": key})
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def open_shard(path, key, n_prompts, n_words, width):
    """Open a shard if it is there, is complete and is the one asked for; only its header is read.

    Returns:
        (`Shard`, None), or (None, None) if there is no such file, or (None, str), what is wrong with it.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length < size else None
    except FileNotFoundError:
        return None, None
    except ValueError:
        header = None
    middle, end = 8 * (n_prompts + 1), 8 * (n_prompts + 1) + 2 * width * n_words
    expected = {
        "__metadata__": {"key": key},
        "offsets": {"dtype": "I64", "shape": [n_prompts + 1], "data_offsets": [0, middle]},
        "vectors": {"dtype": "F16", "shape": [n_words, width], "data_offsets": [middle, end]},
    }
    if header != expected:
        return None, f"is damaged ({size:,} bytes, and the header is not that of these prompts)"
    if size != 8 + length + end:
        return None, f"is cut off or damaged: {size:,} bytes, expected {8 + length + end:,}"
    return Shard(path, n_prompts, n_words, width, 8 + length, 8 + length + middle), None


class Features:
    """Word features of n prompts, on disk. `len(features)` is n; `features[i]` is float32 (w_i, d), one row per word of prompt i.

    Attributes:
        folder: Path the shards are in.
        width: int d.
        n_words: int, rows in all.
        made: int, prompts encoded by the call of `encode` that returned this.
        kept: int, prompts it found already encoded.
        damaged: tuple of Path, shards it found cut off or damaged, and made again.
    """

    def __init__(self, folder, shards, made=0, kept=0, damaged=()):
        self.folder, self.made, self.kept, self.damaged = folder, made, kept, tuple(damaged)
        self.width = shards[0].width
        self.n_words = sum(shard.n_words for shard in shards)
        self._shards = list(shards)
        self._firsts = np.cumsum([0] + [shard.n_prompts for shard in shards])

    def __len__(self):
        return int(self._firsts[-1])

    def __repr__(self):
        return f"Features({len(self):,} prompts, {self.n_words:,} words, width={self.width}, folder={str(self.folder)!r})"

    def shards(self):
        """Go through everything once, a shard at a time.

        Yields:
            (first, offsets, vectors): int, number of the shard's first prompt; int64 (m + 1,), the words of its prompt j are
            the rows `offsets[j]:offsets[j + 1]`; float16 (w, d).

        Raises:
            ArtifactError: a file has gone or changed since.
        """
        for first, shard in zip(self._firsts[:-1], self._shards, strict=True):
            yield int(first), shard.offsets(), shard.vectors(0, shard.n_words)

    def read(self, start, stop):
        """Features of the prompts `start` to `stop` (exclusive); only their bytes are read.

        Returns:
            list of float32 (w_i, d).

        Raises:
            IndexError: not 0 <= start <= stop <= len(self).
            ArtifactError: a file has gone or changed since.
        """
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"There are the prompts 0 to {len(self)} (exclusive), asked for {start} to {stop}.")
        out = []
        for first, shard in zip(self._firsts[:-1], self._shards, strict=True):
            a, b = max(start - first, 0), min(stop - first, shard.n_prompts)
            if a < b:
                offsets = shard.offsets()[a : b + 1]
                vectors = shard.vectors(offsets[0], offsets[-1]).astype(np.float32)
                out += np.split(vectors, offsets[1:-1] - offsets[0])
        return out

    def __getitem__(self, i):
        place = i + len(self) if i < 0 else i
        if not 0 <= place < len(self):
            raise IndexError(f"features[{i}] is beyond the {len(self):,} prompts.")
        return self.read(place, place + 1)[0]
