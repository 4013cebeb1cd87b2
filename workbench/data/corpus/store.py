"""Store: texts in memory-mapped Arrow files that are named after their content, and the scratch files to make them."""

import contextlib
import errno
import hashlib
import os
import tempfile
from itertools import islice
from pathlib import Path

import pyarrow as pa

from workbench.artifacts import atomic_path
from workbench.values import ArtifactError

BATCH = 4_096  # texts per Arrow batch
_SCHEMA = pa.schema([("text", pa.string())])


def cache_folder():
    """Where corpora are kept: `$WORKBENCH_CACHE/corpus`, else `~/.cache/deep-dsl-workbench/corpus`.

    It may be deleted whenever no corpus is in use.
    """
    chosen = os.environ.get("WORKBENCH_CACHE")
    return (Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "deep-dsl-workbench") / "corpus"


@contextlib.contextmanager
def scratch_files(n):
    """Temporary binary files in the cache folder; without a name, so that even SIGKILL leaves nothing behind.

    Args:
        n: int, how many.

    Yields:
        list of n files open for writing and reading.

    Raises:
        ArtifactError: the folder cannot be made or written to, or the disk is full.
    """
    folder = cache_folder()
    try:
        with contextlib.ExitStack() as stack:
            folder.mkdir(parents=True, exist_ok=True)
            files = [stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in range(n)]
            yield files
    except OSError as err:
        advice = "Set the environment variable WORKBENCH_CACHE to a folder on a disk with space that you may write to."
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ArtifactError(f"The disk is full: the corpus cannot be written to {folder}. Free some space. {advice}") from err
        if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise ArtifactError(f"The corpus cannot be written to {folder} ({err.strerror}). {advice}") from err
        raise


def write_texts(sink, texts):
    """Write texts as an Arrow file, a batch at a time.

    Args:
        sink: path, or binary file open for writing; it is left open.
        texts: iterable of str.
    """
    texts = iter(texts)
    with pa.ipc.new_file(sink, _SCHEMA) as writer:
        while batch := list(islice(texts, BATCH)):
            writer.write_batch(pa.record_batch([pa.array(batch, pa.string())], schema=_SCHEMA))


def read_texts(source):
    """Read back what `write_texts` wrote, a batch at a time.

    Args:
        source: binary file, as it was written to.

    Yields:
        str.
    """
    reader = pa.ipc.open_file(source)
    for number in range(reader.num_record_batches):
        yield from reader.get_batch(number).column(0).to_pylist()


def fingerprint(texts):
    """Hash of a sequence of texts: equal if and only if the texts and their order are.

    Args:
        texts: iterable of str.

    Returns:
        str, 64 hex digits (sha256).
    """
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def keep(texts):
    """Put texts into the cache, or find them there.

    Args:
        texts: function without arguments that gives an iterator over the texts; called up to twice.

    Returns:
        (column, name): a memory-mapped `pyarrow.ChunkedArray` in batches of `BATCH`, and the texts' `fingerprint`.

    Raises:
        ArtifactError: the disk is full.
    """
    name = fingerprint(texts())
    path = cache_folder() / f"{name}.arrow"
    try:
        column = _open(path)
        if fingerprint(each(column)) == name:
            return column, name
    except (OSError, pa.ArrowInvalid):
        pass  # not there yet, or damaged: written again
    with atomic_path(path) as temporary:
        write_texts(str(temporary), texts())
    return _open(path), name


def _open(path):
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all().column(0)


def each(column):
    """Iterate over the texts of a column.

    Yields:
        str.
    """
    for chunk in column.chunks:
        yield from chunk.to_pylist()
