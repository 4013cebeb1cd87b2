"""Disk: what a system says when a file or a folder cannot be written, as an error that says what to do."""

import errno
import os
import re
import shutil
from pathlib import Path

import safetensors

from workbench.values import ArtifactError

# What libraries that write files themselves (safetensors, pyarrow) say when they lose the errno of a full disk.
_FULL = re.compile(r"No space left on device|Disk quota exceeded|\bos error (28|122)\b|\bcode: (28|122)\b")
_WRITING = {errno.EIO, errno.EFBIG, errno.EROFS, errno.ENOSPC, errno.EDQUOT}  # of errors that name no file: those of a disk


def refused(path, err):
    """The `ArtifactError` for an OSError: which path, what failed, what to do."""
    named = f" ({err.filename})" if err.filename in map(str, Path(path).parents) else ""
    advice = {
        errno.ENAMETOOLONG: "Give a shorter name.",
        errno.ENOTDIR: "A part of this path is a file. Give another folder.",
        errno.EEXIST: "A part of this path is a file. Give another folder.",
        errno.EFBIG: "This process may not write files of this size (ulimit -f).",
        errno.EIO: "The disk does not work as it should. Give another folder.",
    }.get(err.errno, "Give another folder, one that you may write to.")
    return ArtifactError(f"Cannot write {path}: {err.strerror or err}{named}. {advice}")


def of_the_disk(err, path, temporary):
    """`err` as an `ArtifactError` if it is about writing `path` by way of `temporary`, otherwise None."""
    if _disk_is_full(err):
        there = next(folder for folder in (temporary, *path.absolute().parents) if os.path.exists(folder))
        size = there.stat().st_size if there.is_file() else 0
        there = there.parent if there == temporary else there
        return ArtifactError(
            f"The disk is full: {path} could not be written ({size:,} bytes were, {shutil.disk_usage(there).free:,} bytes are "
            f"free in {there.resolve()}). Nothing half-written is left and older files are as they were. "
            "Free some space or choose a folder on another disk, then run it again."
        )
    if not isinstance(err, OSError):
        return None
    ours = err.errno in _WRITING if err.filename is None else _is_within(err.filename, path, temporary)
    return refused(path, err) if ours else None


def _is_within(name, path, temporary):
    name = Path(os.fsdecode(name)) if isinstance(name, (str, bytes, os.PathLike)) else Path()
    return temporary in (name, *name.parents) or name in (path, *path.parents)


def _disk_is_full(err):
    if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return isinstance(err, (OSError, safetensors.SafetensorError)) and bool(_FULL.search(str(err)))
