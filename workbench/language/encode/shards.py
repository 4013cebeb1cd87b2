"""Shards: word features on disk. One safetensors file for some prompts, named after its content."""

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from workbench.files import atomic_path, check_regular
from workbench.values import ArtifactError, DamagedError, ModelError


@dataclass(frozen=True)
class Shard:
    """A complete file: `offsets` int64 (n_prompts + 1,) and `vectors` float16 (n_words, width); `digest` is their sha256."""

    path: Path
    n_prompts: int
    n_words: int
    digest: str

    def whole(self):
        """Both arrays, read and checked: (offsets, vectors)."""
        with self._open() as file:
            offsets, vectors = file.get_tensor("offsets"), file.get_tensor("vectors")
        if _digest(offsets, vectors) != self.digest:
            raise DamagedError(f"The features in {self.path} were changed since they were made. Run encode again.")
        return offsets, vectors

    def offsets(self):
        """int64 (n_prompts + 1,): the words of prompt i are the rows `offsets[i]:offsets[i + 1]`."""
        with self._open() as file:
            return file.get_tensor("offsets")

    def vectors(self, start, stop):
        """float16 (stop - start, width): the rows from `start` to `stop`; only their bytes are read, so they are not checked."""
        with self._open() as file:
            rows = file.get_slice("vectors")
            return rows[int(start) : int(stop)] if stop > start else np.zeros((0, rows.get_shape()[1]), np.float16)

    @contextmanager
    def _open(self):
        # opened for each read: the mapped pages of files that stay open would count as memory of the process
        try:
            with safetensors.safe_open(self.path, "np") as file:
                yield file
        except (FileNotFoundError, safetensors.SafetensorError) as err:
            raise ArtifactError(
                f"The features in {self.path} have gone or were cut off since they were made. Run encode again."
            ) from err


def write_shard(path, key, counts, vectors):
    """Write a shard, whole or not at all: `counts` int (n,), words per prompt; `vectors` float32 (w, d), stored as float16.

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
    metadata = {"key": f"{key} {_digest(offsets, stored)}"}
    data = safetensors.numpy.save({"offsets": offsets, "vectors": stored}, metadata=metadata)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def _digest(offsets, vectors):
    """The sha256 of a shard's arrays as a str."""
    digest = hashlib.sha256(offsets.data)
    digest.update(vectors.data)
    return digest.hexdigest()


def open_shard(path, key, n_prompts, n_words, width):
    """Open a shard if it is there, is the one asked for, and every byte of it is as it was written.

    Returns:
        (`Shard`, None), or (None, None) if there is no such file, or (None, str), what is wrong with it.
    """
    if not path.exists():
        return None, None
    expected = {"offsets": ("I64", [n_prompts + 1]), "vectors": ("F16", [n_words, width])}
    try:
        check_regular(path)
        with safetensors.safe_open(path, "np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}
            found = {name: (part.get_dtype(), part.get_shape()) for name, part in slices.items()}
            made, _, digest = (file.metadata() or {}).get("key", "").partition(" ")
        if found != expected or made != key:
            return None, "is damaged: the header is not that of these prompts"
        shard = Shard(path, n_prompts, n_words, digest)
        shard.whole()
    except (safetensors.SafetensorError, OSError) as err:
        return None, f"is cut off or damaged ({path.stat().st_size:,} bytes; {err})"
    except DamagedError:
        return None, "is damaged: its checksum is another"
    except ArtifactError as err:
        return None, f"is damaged ({err})"
    return shard, None


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

    def __init__(self, folder, shards, width, made=0, kept=0, damaged=()):
        self.folder, self.width, self.made, self.kept, self.damaged = folder, width, made, kept, tuple(damaged)
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
            yield int(first), *shard.whole()

    def __getitem__(self, i):
        place = i + len(self) if i < 0 else i
        if not 0 <= place < len(self):
            raise IndexError(f"features[{i}] is beyond the {len(self):,} prompts.")
        number = int(np.searchsorted(self._firsts, place, side="right")) - 1
        shard, row = self._shards[number], place - self._firsts[number]
        start, stop = shard.offsets()[row : row + 2]
        return shard.vectors(start, stop).astype(np.float32)
