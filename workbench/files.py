"""Files: a file or a folder is written completely or not at all, and read only if it is a plain file; locks; cells of a table."""

import contextlib
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import stat
import time
from itertools import islice
from pathlib import Path

import numpy as np
import safetensors

from workbench import __version__
from workbench.disk import of_the_disk, refused
from workbench.locks import lock_of, locked
from workbench.values import ArtifactError, DamagedError

_LITTER = {".DS_Store", "Thumbs.db"}  # what systems put into a folder that is looked at
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# The names of `_hidden`; older versions left out the host.
_TEMPORARY = re.compile(
    r"\.(?P<name>.+)\.(?P<pid>\d+)-((?P<host>[0-9a-f]{6})-)?(?P<key>[0-9a-f]{8})\.(?P<ending>part|old)(\.[^.]*)?"
)
_IN_USE = set()  # the keys of the temporary files and folders that this process is writing
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
_DAY = 86_400  # seconds after which a temporary file of another host must be that of a killed run
_MOST = 256 * 2**20  # bytes of a JSON file; that of the language that comes with the package has .5 MB


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


def cache_folder():
    """Where work that can be done again is kept: Path of `$WORKBENCH_CACHE`, or of `~/.cache/deep-dsl-workbench` without it."""
    return path(os.environ.get("WORKBENCH_CACHE") or "~/.cache/deep-dsl-workbench", "WORKBENCH_CACHE")


@contextlib.contextmanager
def atomic_path(file):
    """A temporary path to write to, which becomes `file` when the block ends well.

    The temporary file is there and empty, lies in the same folder (made if missing), is hidden, and keeps the suffix of `file`,
    since writers such as `np.save` and `savefig` look at it. After an error or Ctrl-C it is removed and an older `file` is as
    before. What killed processes left in the folder is swept away.

    Args:
        file: str or Path of the file to write.

    Yields:
        Path of the temporary file; the block writes it and closes it.

    Raises:
        ArtifactError: `file` is a folder or a device, it cannot be written there, or the disk is full.
    """
    file = path(file)
    file = Path(os.path.realpath(file)) if os.path.islink(file) else file  # a link stays a link
    if os.path.isdir(file):
        raise ArtifactError(f"Cannot write {file}: it is a folder. Give the path of a file.")
    if os.path.exists(file) and not os.path.isfile(file):
        raise ArtifactError(f"Cannot write {file}: it is no plain file. Give the path of a file.")
    temporary = _hidden(file, f".part{file.suffix[:20]}", file.stem)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        sweep(file.parent)
        temporary.touch(exist_ok=False)  # what forbids it is said before the block runs
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())  # a rename may reach the disk before the bytes do
        os.replace(temporary, file)
        _done_with(temporary)
    except BaseException as err:
        _done_with(temporary)
        found = of_the_disk(err, file, temporary)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if found is None:
            raise
        raise found from err


def _hidden(path, ending, name):
    """A new hidden name beside `path` that tells which process of which host made it; `sweep` reads it."""
    name, key = os.fsencode(name)[:80].decode("utf-8", "ignore"), secrets.token_hex(4)
    _IN_USE.add(key)
    return path.with_name(f".{name}.{os.getpid()}-{_HOST}-{key}{ending}")


def _done_with(temporary):
    """Note that a path of `_hidden` is not in use any more: should it stay, for an interrupt at the wrong moment, it is swept."""
    _IN_USE.discard(_TEMPORARY.fullmatch(temporary.name)["key"])


def sweep(folder):
    """Remove what dead processes left of `atomic_path` and `replacing_folder` in a folder; put a folder back that lost its place.

    Never what a living process of this host made; what another host made when it is older than a day.

    Args:
        folder: str or Path; nothing happens if it cannot be listed.
    """
    names = []
    with contextlib.suppress(OSError):
        names = os.listdir(folder)
    for found in filter(None, map(_TEMPORARY.fullmatch, names)):
        path, place = os.path.join(folder, found[0]), os.path.join(folder, found["name"])
        with contextlib.suppress(OSError):  # another process may sweep too
            old, placed = found["ending"] == "old", os.path.lexists(place)
            if not (old and placed) and not _is_left(path, found):  # an old folder beside the new one is of no use to anybody
                continue
            if old and not placed:
                os.replace(path, place)
            elif os.path.isdir(path) and not os.path.islink(path):
                remove_folder(path)
            else:
                os.unlink(path)


def _is_left(path, found):
    if found["host"] == _HOST and int(found["pid"]) == os.getpid():
        return found["key"] not in _IN_USE
    if found["host"] == _HOST and os.name == "posix":  # elsewhere a signal 0 would be one
        try:
            os.kill(int(found["pid"]), 0)
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:
            pass
        return False
    return time.time() - os.lstat(path).st_mtime > _DAY


@contextlib.contextmanager
def replacing_folder(folder):
    """A temporary folder to write to, which takes the place of `folder` when the block ends well.

    After an error or Ctrl-C, whenever it comes, `folder` is the old one or the new one, complete. A process that is killed in the
    moment of the exchange leaves the old folder next to its place, under a hidden name that ends in `.old`; the next one that
    writes beside it puts it back.

    Args:
        folder: str or Path; made if missing, parents too. An older folder is replaced with all that is in it: whether it may
            go is for the caller to check.

    Yields:
        Path of the temporary folder, which is empty and hidden and lies next to `folder`.

    Raises:
        ArtifactError: `folder` is a file, it cannot be written there, or the disk is full.
    """
    folder = Path(os.path.realpath(path(folder)))  # a link to a folder stays a link
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise ArtifactError(f"Cannot write to {folder}: it is a file. Give the path of a folder.")
    sweep(folder.parent)
    part = _hidden(folder, ".part", folder.name)
    old = part.with_suffix(".old")
    try:
        part.mkdir(parents=True)
        yield part
        if folder.exists():
            os.replace(folder, old)
        os.replace(part, folder)
    except ArtifactError as err:  # of a file inside
        raise type(err)(str(err).replace(str(part), str(folder))) from err
    except (OSError, safetensors.SafetensorError) as err:
        found = of_the_disk(err, folder, part)
        if found is None:
            raise
        raise found from err
    finally:
        _done_with(part)
        # What is on the disk decides, not how far the lines above came: an interrupt may fall between any two of them.
        if os.path.exists(old) and not os.path.exists(folder):
            os.replace(old, folder)
        remove_folder(part)
        remove_folder(old)


def remove_folder(folder):
    """Remove a folder with all that is in it, as far as that is possible; nothing happens if it is not there."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except OSError as err:  # Ctrl-C between the closing of a file and the note of it: Python 3.11 closes it once more
        if isinstance(err.__context__, KeyboardInterrupt):
            raise err.__context__ from None
        raise


def make_folder(folder):
    """Make a folder, and its parents, if it is missing; `ArtifactError` says why that cannot be."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise refused(folder, err) from err


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
    with locked(lock_of(path(folder), "written"), folder), replacing_folder(folder) as part:
        yield part
        names = sorted(path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file())
        write_json(part / marker, {"workbench": __version__, "kind": kind, "files": names})
        check_ours(folder, kind, marker)  # somebody may have put something there meanwhile


def check_ours(folder, kind, marker):
    """Raise ArtifactError unless `replacing_ours` would take this folder."""
    folder = Path(os.path.realpath(path(folder)))
    if not os.path.exists(folder):
        return
    if not os.path.isdir(folder):
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


def check_regular(path, most=None):
    """Raise ArtifactError unless `path` is a plain file, no folder, pipe or device, of at most `most` bytes."""
    try:
        found = os.stat(path)
    except FileNotFoundError as err:
        raise ArtifactError(f"There is no file {path}.") from err
    except (OSError, ValueError) as err:
        raise ArtifactError(f"Cannot read {path}: {getattr(err, 'strerror', None) or err}.") from err
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
        raise ArtifactError(f"{path} is {what}, expected a plain file.")
    if most is not None and found.st_size > most:
        raise ArtifactError(f"{path} has {found.st_size:,} bytes, more than the {most:,} that such a file may have.")


def read_json(file, most=_MOST):
    """Read a JSON file.

    Args:
        file: str or Path.
        most: int, bytes that it may have.

    Raises:
        ArtifactError: the file is missing, a folder, a pipe or a device, too large, cannot be opened, not UTF-8, or damaged (it
            says line and column); what JSON does not know (NaN, infinity) and what Python cannot hold is damage too.
    """
    file = path(file)
    check_regular(file, most)
    try:
        return json.loads(file.read_bytes().decode("utf-8"), parse_constant=_finite, parse_float=_finite)
    except UnicodeDecodeError as err:
        why = f"byte {err.start} is not UTF-8"
    except json.JSONDecodeError as err:
        why = f"{err.msg} at line {err.lineno}, column {err.colno}"
    except RecursionError:
        why = "its lists and objects are nested too deeply"
    except OSError as err:
        raise ArtifactError(f"Cannot read {file}: {err.strerror}.") from err
    except ValueError as err:  # a number: infinite, or an int with more digits than Python reads
        why = " ".join(str(err).split(";")[0].split())
    raise DamagedError(f"{file} is damaged: {why}. Restore the file or make it again.")


def _finite(text):
    if not np.isfinite(value := float(text)):
        raise ValueError(f"it holds the number {text:.20}, which is not finite")
    return value
