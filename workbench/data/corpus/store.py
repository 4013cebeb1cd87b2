"""Store: texts on disk, memory-mapped as a `datasets.Dataset`, in files without a name that go when nobody holds them."""

import contextlib
import errno
import hashlib
import mmap
import secrets
import tempfile
from itertools import islice

import pyarrow as pa

from workbench import files
from workbench.values import ArtifactError

_BATCH = 4_096  # texts of an Arrow batch
_SCATTERED = 512  # texts read at a time from anywhere in the file: each may bring 64 KiB of it into memory


def cache_folder():
    """Where texts are stored: `$WORKBENCH_CACHE/corpus`, or `~/.cache/deep-dsl-workbench/corpus` without the variable."""
    return files.cache("corpus")


def stored(texts):
    """Write an iterable of str to disk, a batch at a time -> `datasets.Dataset` with the column `text`, mapped into memory.

    The file lies in the cache folder and has no name: it disappears with the data set, and even a killed process leaves
    nothing behind.

    Raises:
        ArtifactError: the folder cannot be made or written to, or the disk is full.
    """
    from datasets import Dataset  # takes a second or two to import
    from datasets.table import InMemoryTable

    schema, texts = pa.schema([("text", pa.string())]), iter(texts)
    with _scratch_file() as file:
        with pa.ipc.new_stream(file, schema) as writer:
            while batch := list(islice(texts, _BATCH)):
                writer.write_batch(pa.record_batch([pa.array(batch, pa.string())], schema=schema))
        file.flush()
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        mapped = pa.py_buffer(mapping)
    # with a fingerprint of its own, since `datasets` would copy all texts to compute one
    data = Dataset(InMemoryTable.from_buffer(mapped), fingerprint=secrets.token_hex(8))
    data.mapping = mapping
    return data


@contextlib.contextmanager
def _scratch_file():
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            yield file
    except OSError as err:
        advice = "Set the environment variable WORKBENCH_CACHE to a folder on a disk with space that you may write to."
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ArtifactError(f"The disk is full: the corpus cannot be written to {folder}. Free some space. {advice}") from err
        if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise ArtifactError(f"The corpus cannot be written to {folder} ({err.strerror}). {advice}") from err
        raise


def each(data, places=None):
    """Yield the texts of a data set, or those at `places` (int64, in any order), a batch at a time."""
    if places is None:
        for batch in data.iter(_BATCH):
            yield from batch["text"]
            _let_go(data)
        return
    for start in range(0, len(places), _SCATTERED):
        yield from data[places[start : start + _SCATTERED].tolist()]["text"]
        _let_go(data)


def _let_go(data):
    """Count the pages of the file that were read no longer as memory of this process; they are read again when needed."""
    if hasattr(mmap, "MADV_DONTNEED") and hasattr(data, "mapping"):
        data.mapping.madvise(mmap.MADV_DONTNEED)


def fingerprint(texts):
    """Hash of an iterable of str, equal only if the texts and their order are equal -> str, 64 hex digits (sha256)."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
