"""Files: a file or a folder is written completely or not at all; JSON, and cells of a table."""

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import safetensors

from workbench import __version__
from workbench.values import ArtifactError, DamagedError

_LITTER = {".DS_Store", "Thumbs.db"}  # what systems put into a folder that is looked at
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# What libraries that write files themselves (safetensors, pyarrow) say when they lose the errno of a full disk.
_FULL = re.compile(r"No space left on device|Disk quota exceeded|\bos error (28|122)\b|\bcode: (28|122)\b")


def path(value, name="The path"):
    """The path that a person means, by the one rule of this package: `~` is the home folder.

    Args:
        value: str or os.PathLike of a file or folder, there or not.
        name: str, the argument, for the error.

    Returns:
        Path.

    Raises:
        ValueError: something else, such as None, bytes or an empty text; or the home folder of a user who is not there.
    """
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else value
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ValueError(f"{name} must be a str or Path with something in it, such as 'out/dsl'; got {value!r}.")
    try:
        return Path(text).expanduser()
    except RuntimeError as err:
        raise ValueError(f"{name} is {text!r}, but there is no such user. Write out the path, from the root on.") from err


@contextlib.contextmanager
def atomic_path(file):
    """A temporary path to write to, which becomes `file` when the block ends well.

    The temporary file lies in the same folder (made if missing), is hidden, and keeps the suffix of `file`, since writers
    such as `np.save` and `savefig` look at it. After an error or Ctrl-C it is removed and an older `file` is as before.

    Args:
        file: str or Path of the file to write.

    Yields:
        Path of the temporary file; the block writes it and closes it.

    Raises:
        ArtifactError: `file` is a folder, or the disk is full.
    """
    file = path(file)
    if file.is_dir():
        raise ArtifactError(f"Cannot write {file}: it is a folder. Give the path of a file.")
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.stem[:80]}.{os.getpid()}-{secrets.token_hex(4)}.part{file.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())  # a rename may reach the disk before the bytes do
        os.replace(temporary, file)
    except BaseException as err:
        size = temporary.stat().st_size if temporary.exists() else 0
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not _disk_is_full(err):
            raise
        raise ArtifactError(
            f"The disk is full: {file} could not be written ({size:,} bytes were, {shutil.disk_usage(file.parent).free:,} "
            f"bytes are free in {file.parent.resolve()}). Nothing half-written is left and older files are as they were. "
            "Free some space or choose a folder on another disk, then run it again."
        ) from err


@contextlib.contextmanager
def replacing_folder(folder):
    """A temporary folder to write to, which takes the place of `folder` when the block ends well.

    After an error or Ctrl-C, whenever it comes, `folder` is the old one or the new one, complete. A killed process can leave
    the old folder next to its place, under a hidden name that ends in `.old`.

    Args:
        folder: str or Path; made if missing, parents too. An older folder is replaced with all that is in it: whether it may
            go is for the caller to check.

    Yields:
        Path of the temporary folder, which is empty and hidden and lies next to `folder`.

    Raises:
        ArtifactError: `folder` is a file, or no folder can be made there.
    """
    folder = path(folder).resolve()  # a link to a folder stays a link
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"Cannot write to {folder}: it is a file. Give the path of a folder.")
    name = f".{folder.name[:80]}.{os.getpid()}-{secrets.token_hex(4)}"
    part, old = folder.with_name(f"{name}.part"), folder.with_name(f"{name}.old")
    try:
        try:
            part.mkdir(parents=True)
        except OSError as err:
            raise ArtifactError(f"Cannot write to {folder}: {err.strerror}. Give another folder.") from err
        yield part
        if folder.exists():
            os.replace(folder, old)
        os.replace(part, folder)
    finally:
        # What is on the disk decides, not how far the lines above came: an interrupt may fall between any two of them.
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def replacing_ours(folder, kind, marker):
    """As `replacing_folder`, for a folder that may only replace an earlier one of its kind: nothing of somebody else is lost.

    Args:
        folder: str or Path; new, empty, or with nothing but files that an earlier call wrote.
        kind: str for errors, such as "site".
        marker: str, name of the file that lists the files of such a folder; it is written here.

    Yields:
        Path of the temporary folder.

    Raises:
        ArtifactError: the folder holds something else; said before the block runs, and nothing is touched.
    """
    check_ours(folder, kind, marker)
    with replacing_folder(folder) as part:
        yield part
        names = sorted(path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file())
        write_json(part / marker, {"workbench": __version__, "kind": kind, "files": names})
        check_ours(folder, kind, marker)  # somebody may have put something there meanwhile


def check_ours(folder, kind, marker):
    """Raise ArtifactError unless `replacing_ours` would take this folder."""
    folder = path(folder).resolve()
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ArtifactError(f"Cannot write the {kind} to {folder}: it is a file. Give the path of a folder.")
    try:
        ours = {marker, *read_json(folder / marker)["files"]}
    except (ArtifactError, KeyError, TypeError):
        ours = set()
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    # a few will do: the folder may be somebody's home
    foreign = list(islice((name for name in names if name not in ours and name.rpartition("/")[2] not in _LITTER), 4))
    if foreign:
        listed = ", ".join(sorted(foreign[:3])) + (" and more" if len(foreign) > 3 else "")
        raise ArtifactError(
            f"Cannot write the {kind} to {folder}: it holds {listed}, which no earlier {kind} put there. Nothing was changed. "
            "Give a new or empty folder."
        )


def _disk_is_full(err):
    if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return isinstance(err, (OSError, safetensors.SafetensorError)) and bool(_FULL.search(str(err)))


def cell(text):
    """A text as a cell of a table: one that a spreadsheet would, or might, take for a formula begins with an apostrophe."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def write_json(file, obj):
    """Write plain values as UTF-8 JSON, whole or not at all.

    Args:
        file: str or Path of the file.
        obj: dicts with str keys, lists, tuples (read back as lists), str, int, float, bool, None.

    Raises:
        TypeError: a value that JSON cannot hold (it says where), such as a numpy number or an int as key.
        ValueError: NaN or infinity.
        ArtifactError: the disk is full.
    """
    check_plain(obj, "it")
    data = json.dumps(obj, ensure_ascii=False, indent=1) + "\n"
    try:
        data = data.encode()
    except UnicodeEncodeError:  # half a surrogate pair, as in badly cut emoji: only the \ud83d form holds it
        data = (json.dumps(obj, indent=1) + "\n").encode()
    with atomic_path(file) as temporary:
        temporary.write_bytes(data)


def check_plain(obj, where):
    """`json.dumps` turns a key 1 into "1" and writes NaN, which is no JSON: refuse both, and say where a bad value is."""
    if isinstance(obj, dict):
        for key, value in obj.items():
            if not isinstance(key, str):
                raise TypeError(f"Only str keys can be saved, but {where} has the key {key!r} ({type(key).__name__}).")
            check_plain(value, f"{where}[{key!r}]")
    elif isinstance(obj, (list, tuple)):
        for number, value in enumerate(obj):
            check_plain(value, f"{where}[{number}]")
    elif isinstance(obj, float) and not np.isfinite(obj):
        raise ValueError(f"{where} is {obj}, which JSON cannot hold. Save None instead.")
    elif not (obj is None or isinstance(obj, (str, int, float, bool))) or isinstance(obj, np.generic):
        raise TypeError(f"{where} is a {type(obj).__name__}, which JSON cannot hold: use plain int, float, str, list or dict.")


def read_json(file):
    """Read a JSON file.

    Raises:
        ArtifactError: the file is missing, a folder, not UTF-8, or damaged (it says line and column).
    """
    file = path(file)
    try:
        return json.loads(file.read_bytes().decode("utf-8"))
    except FileNotFoundError as err:
        raise ArtifactError(f"There is no file {file}.") from err
    except IsADirectoryError as err:
        raise ArtifactError(f"{file} is a folder, expected a JSON file.") from err
    except UnicodeDecodeError as err:
        raise DamagedError(f"{file} is damaged: byte {err.start} is not UTF-8. Restore the file or make it again.") from err
    except json.JSONDecodeError as err:
        raise DamagedError(
            f"{file} is damaged: {err.msg} at line {err.lineno}, column {err.colno}. Restore the file or make it again."
        ) from err
