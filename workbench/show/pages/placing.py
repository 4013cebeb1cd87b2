"""Placing: the folder of a site, which replaces an earlier site completely, and nothing but an earlier site."""

import contextlib
from itertools import islice
from pathlib import Path

from workbench import __version__
from workbench.files import atomic_path, read_json, replacing_folder, write_json
from workbench.values import ArtifactError

MARKER = "deep-dsl-site.json"
_KIND = "deep-dsl-site"
_LITTER = {".DS_Store", "Thumbs.db"}  # what systems put into a folder that is looked at


def place(folder):
    """The folder as an absolute Path; a link to a folder is followed, so that the link stays one."""
    return Path(folder).expanduser().resolve()


@contextlib.contextmanager
def replacing(folder):
    """A temporary folder, which takes the place of `folder` when the block ends well; after an error it is removed.

    Args:
        folder: str or Path; there may be none, an empty one, or one that was written by this function.

    Yields:
        Path of the temporary folder.

    Raises:
        ArtifactError: `folder` is something else; said before the block runs, and nothing is touched.
    """
    check(place(folder))
    with replacing_folder(folder) as part:
        yield part
        files = sorted(path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file())
        write_json(part / MARKER, {"kind": _KIND, "workbench": __version__, "files": files})
        check(place(folder))  # somebody may have put something there meanwhile


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
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", errors="replace"))


def _ours(folder):
    """Names of the files that an earlier site put there, by its marker; none without a marker."""
    try:
        marker = read_json(folder / MARKER)
    except ArtifactError:
        return set()
    if not isinstance(marker, dict) or marker.get("kind") != _KIND or not isinstance(marker.get("files"), list):
        return set()
    return {MARKER, *(name for name in marker["files"] if isinstance(name, str))}
