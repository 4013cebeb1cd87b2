"""Placing: a folder that is replaced by a new one as a whole, and only where the old one was written here."""

import contextlib
import os
import secrets
import shutil
from itertools import islice
from pathlib import Path

from workbench import __version__, artifacts
from workbench.values import ArtifactError

MARKER = "deep-dsl-site.json"
_KIND = "deep-dsl-site"
_LITTER = {".DS_Store", "Thumbs.db"}  # what systems put into a folder that is looked at


def place(folder):
    """The folder as an absolute Path; a link to a folder is followed, so that the link stays one."""
    return Path(folder).expanduser().resolve()


@contextlib.contextmanager
def replacing(folder):
    """A temporary folder next to `folder`, which takes its place when the block ends well; after an error it is removed.

    Args:
        folder: str or Path; there may be none, an empty one, or one that was written by this function.

    Yields:
        Path of the temporary folder.

    Raises:
        ArtifactError: `folder` is something else; said before the block runs, and nothing is touched.
    """
    folder = place(folder)
    check(folder)
    name = f".{folder.name[:80]}.{os.getpid()}-{secrets.token_hex(4)}"
    part, old = folder.with_name(f"{name}.part"), folder.with_name(f"{name}.old")
    try:
        part.mkdir(parents=True)
    except OSError as err:
        raise ArtifactError(f"Cannot write {folder}: {err.strerror}. Give another folder.") from err
    try:
        yield part
        files = sorted(path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file())
        artifacts.write_json(part / MARKER, {"kind": _KIND, "workbench": __version__, "files": files})
        check(folder)  # somebody may have put something there meanwhile
        _exchange(folder, part, old)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def check(folder):
    """Raise ArtifactError if this Path is neither free nor an earlier site."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ArtifactError(f"Cannot write the site to {folder}: it is a file. Give the path of a folder.")
    ours = _ours(folder)
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    # a few will do: the folder may be somebody's home
    foreign = list(islice((name for name in files if name not in ours and name.rpartition("/")[2] not in _LITTER), 4))
    if foreign:
        listed = ", ".join(sorted(foreign[:3])) + (" and more" if len(foreign) > 3 else "")
        raise ArtifactError(
            f"Cannot write the site to {folder}: it holds {listed}, which no earlier site put there. Nothing was changed. "
            "Give a new or empty folder."
        )


def put(path, text):
    """Write a text as UTF-8; half a surrogate pair, as in badly cut emoji, becomes a question mark."""
    with artifacts.atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", errors="replace"))


def _exchange(folder, part, old):
    there = folder.exists()
    if there:
        os.rename(folder, old)
    try:
        os.rename(part, folder)
    except BaseException:
        if there:
            os.rename(old, folder)
        raise


def _ours(folder):
    """Names of the files that an earlier site put there, by its marker; none without a marker."""
    if not (folder / MARKER).is_file():
        return set()
    try:
        marker = artifacts.read_json(folder / MARKER)
    except ArtifactError:
        return set()
    if not isinstance(marker, dict) or marker.get("kind") != _KIND or not isinstance(marker.get("files"), list):
        return set()
    return {MARKER, *(name for name in marker["files"] if isinstance(name, str))}
