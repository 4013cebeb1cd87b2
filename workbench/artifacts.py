"""Artifacts: the one save format. A folder of `config.json` and safetensors, written whole or not at all. No pickle."""

import hashlib
import json
import os
import re
import shutil
import warnings

import numpy as np
import safetensors
import safetensors.numpy

from workbench import __version__, files
from workbench.files import atomic_path, check_plain, read_json, write_json
from workbench.values import ArtifactError, DamagedError

FORMAT = 2
CONFIG = "config.json"
_TENSORS = re.compile(r"tensors-[0-9a-f]{16}\.safetensors")
# What a killed process leaves of `atomic_path` in a saved folder.
_PART = re.compile(r"\.(config|tensors-[0-9a-f]{16})\.\d+-[0-9a-f]{8}\.part\.(json|safetensors)")
_PICKLES = (".pkl", ".pickle", ".bin", ".pt", ".pth", ".ckpt", ".joblib")
_REMAKE = "Make it anew with this version: fit or train it again, and save it to another folder."
_DTYPES = {"bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64"}


def save(folder, kind, config, tensors):
    """Save one object; an older save of the same kind in this folder is replaced.

    The tensors go to a file named after its sha256 and `config.json`, written last, points to it. So a kill at any moment
    leaves the old save or the new one, never a mix. One process at a time may save to a folder.

    Args:
        folder: str or Path; made if missing.
        kind: str, what it is, such as "codebook"; `load` must ask for the same.
        config: dict of plain values (see `write_json`).
        tensors: dict of str to numpy array of bool, int or float16/32/64; it may be empty.

    Raises:
        TypeError: a tensor or a config value of another type.
        ArtifactError: the folder holds something else (nothing is touched), or the disk is full.
    """
    folder = files.path(folder, "folder")
    check_plain(config, "config")
    for name, array in tensors.items():
        if not isinstance(array, np.ndarray) or array.dtype.name not in _DTYPES:
            came = f"dtype {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"Tensor {name!r} is not a numpy array of bool, int or float, got {came}.")
    _check_free(folder, kind)
    data = safetensors.numpy.save({name: np.asarray(array, order="C") for name, array in tensors.items()})
    digest = hashlib.sha256(data).hexdigest()
    tensors_file = folder / _tensors_name(digest)
    with atomic_path(tensors_file) as temporary:
        temporary.write_bytes(data)
    head = {"format": FORMAT, "kind": kind, "workbench": __version__, "sha256": digest, "bytes": len(data), "config": config}
    write_json(folder / CONFIG, {"checksum": _checksum(head), **head})
    for entry in folder.iterdir():  # what the save before this one pointed to, and what killed ones left
        if _PART.fullmatch(entry.name) or (_TENSORS.fullmatch(entry.name) and entry != tensors_file):
            entry.unlink(missing_ok=True)


def _checksum(head):
    """The sha256 of a head without its checksum; tuples and lists are the same, as in JSON."""
    plain = {name: value for name, value in head.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _tensors_name(digest):
    return f"tensors-{digest[:16]}.safetensors"


def _check_free(folder, kind):
    """Refuse to save into a folder that holds anything but an older save of this kind."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ArtifactError(f"Cannot save to {folder}: it is a file. Give a folder.")
    if (folder / CONFIG).exists():
        try:
            _read_head(folder, kind)
        except ArtifactError as err:
            raise ArtifactError(f"Cannot save a {kind!r} to {folder}; nothing was changed. {err} Give another folder.") from err
        return
    others = sorted(e.name for e in folder.iterdir() if not e.name.startswith(".") and not _TENSORS.fullmatch(e.name))
    if others:
        raise ArtifactError(
            f"Cannot save a {kind!r} to {folder}: it holds {_listing(others)} and no {CONFIG} of a {kind!r}. "
            "Nothing was changed. Give a new or empty folder."
        )


def _listing(names):
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def load(folder, kind, remake=_REMAKE):
    """Load what `save` wrote.

    Args:
        folder: str or Path.
        kind: str, the kind it was saved as.
        remake: str, a sentence for the error about an older format: how to make it anew.

    Returns:
        (config, tensors): the dict as given to `save` (tuples are lists now), and a dict of str to numpy array.

    Raises:
        ArtifactError: folder or a file of it is missing, damaged, of another kind, of a newer format, or a pickle.
    """
    folder = files.path(folder, "folder")
    if not folder.is_dir():
        what = "it is a file. Give the folder that was saved" if folder.exists() else "there is no such folder"
        raise ArtifactError(f"Cannot load a {kind!r} from {folder}: {what}.")
    head = _read_head(folder, kind, remake)
    digest, size, config = head.get("sha256"), head.get("bytes"), head.get("config")
    if not (
        isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest) and isinstance(size, int) and isinstance(config, dict)
    ):
        raise DamagedError(f"{folder / CONFIG} is damaged: it does not name its tensors. Save again or restore it.")
    if head.get("checksum") != _checksum(head):
        raise DamagedError(
            f"{folder / CONFIG} was changed since it was written: its checksum is another. Restore it or save again."
        )
    return config, _read_tensors(folder / _tensors_name(digest), digest, size)


def _read_head(folder, kind, remake=_REMAKE):
    path = folder / CONFIG
    if not path.exists():
        raise ArtifactError(_why_no_config(folder, kind))
    head = read_json(path)
    if not (
        isinstance(head, dict) and type(head.get("format")) is int and isinstance(head.get("kind"), str) and "workbench" in head
    ):
        raise ArtifactError(f"{path} was not written by the workbench (no format, kind and version in it).")
    if head["format"] > FORMAT:
        raise ArtifactError(
            f"{folder} was written by a newer workbench ({head['workbench']}, format {head['format']}); "
            f"this one ({__version__}) reads format {FORMAT}. Upgrade the workbench."
        )
    if head["format"] < FORMAT:
        raise ArtifactError(
            f"{folder} was written by workbench {head['workbench']} (format {head['format']}); this one ({__version__}) reads "
            f"format {FORMAT} only. {remake}"
        )
    if head["kind"] != kind:
        raise ArtifactError(f"{folder} holds a {head['kind']!r}, expected a {kind!r}.")
    return head


def _why_no_config(folder, kind):
    names = sorted(entry.name for entry in folder.iterdir())
    pickles = [name for name in names if name.lower().endswith(_PICKLES)]
    if pickles:
        return (
            f"{folder} has no {CONFIG}, but {_listing(pickles)}. Such files can run any code when read, so they are never "
            f"opened here: only safetensors are. Fit a new {kind!r} and save that."
        )
    if any(_TENSORS.fullmatch(name) for name in names):
        return f"{folder} has tensors but no {CONFIG}: saving was cut off before its end. Save again."
    return f"{folder} has no {CONFIG}, so it is not a saved {kind!r}. It holds: {_listing(names) or 'nothing'}."


def _read_tensors(path, digest, size):
    if not path.exists():
        raise DamagedError(f"{path} is missing, though {CONFIG} next to it names it. Restore it or save again.")
    found = path.stat().st_size
    if found < size:
        raise DamagedError(f"{path} is truncated: {found:,} of {size:,} bytes. Copy it again or save again.")
    with open(path, "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise DamagedError(f"{path} is damaged: its sha256 is not the one in {CONFIG}. Copy it again or save again.")
    try:
        return safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as err:
        raise DamagedError(f"{path} is not a safetensors file ({err}). Save again.") from err


class Checkpoint:
    """Where long work stands, in a folder of its own: what an interrupted run goes on from.

    Args:
        folder: str or Path.
        kind: str, such as "writer training".
        run: dict of plain values that tell this run from any other: options, seed, digests of data and model. `load` refuses
            the checkpoint of a run in which one of them differs.

    Raises:
        TypeError, ValueError: `run` holds what JSON cannot.
    """

    def __init__(self, folder, kind, run):
        check_plain(run, "run")
        self.folder, self.kind, self.run = files.path(folder, "folder"), kind, json.loads(json.dumps(run))

    def save(self, state, tensors):
        """Write where the work stands; the checkpoint before it is replaced.

        Args:
            state: dict of plain values (see `write_json`).
            tensors: dict of str to numpy array.

        Raises:
            ArtifactError: the folder holds something else, or the disk is full.
        """
        save(self.folder, self.kind, {"run": self.run, "state": state}, tensors)

    def load(self):
        """What `save` wrote last.

        Returns:
            (state, tensors); or None if there is none. A damaged one is renamed, with a warning that names both folders, and
            counts as none.

        Raises:
            ArtifactError: the folder holds something else, or another run; the error names what differs.
        """
        if not (self.folder / CONFIG).exists():
            _check_free(self.folder, self.kind)
            return None
        try:
            found, tensors = load(self.folder, self.kind)
        except DamagedError as err:
            aside = _free_name(self.folder)
            os.rename(self.folder, aside)
            warnings.warn(f"{err} The damaged checkpoint is now {aside}; the work begins anew.", stacklevel=2)
            return None
        other = sorted(name for name in {*self.run, *found["run"]} if self.run.get(name) != found["run"].get(name))
        if other:
            raise ArtifactError(
                f"{self.folder} holds the checkpoint of another run: {_differences(other, self.run, found['run'])}. Give another "
                "folder, or remove this one to start anew."
            )
        return found["state"], tensors

    def remove(self):
        """Remove the folder; nothing happens if there is none."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _free_name(folder):
    """The first free name for a damaged folder beside it."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}.damaged-{number}")).exists():
        number += 1
    return aside


def _differences(names, ours, saved):
    """In which values two runs differ, in words; of dicts, such as options, in which of theirs."""
    out = []
    for name in names:
        one, other = ours.get(name), saved.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            out += [f"{name}.{key}" for key in sorted({*one, *other}) if one.get(key) != other.get(key)]
        else:
            out.append(name)
    return _listing(out) + (" differ" if len(out) > 1 else " differs")


class Saved:
    """Base of what is learned and kept: `to_state` and `from_state` say what, `save` and `load` are the same for all.

    A class sets `kind`, its name in the folder, and has `to_state() -> (config, tensors)` (as `save` of this module takes them)
    and the class method `from_state(config, tensors)`.
    """

    kind = ""

    def save(self, folder):
        """Write it to a folder: config.json and safetensors; an older save of the same kind is replaced.

        Args:
            folder: str or Path.

        Raises:
            NotFittedError: nothing was learned yet.
            ArtifactError: the folder holds something else, or the disk is full.
        """
        save(folder, self.kind, *self.to_state())

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote.

        Args:
            folder: str or Path.

        Raises:
            ArtifactError: no such folder, damaged, of another format or kind, or its parts do not fit together.
        """
        return restored(cls.from_state, folder, cls.kind)


def restored(from_state, folder, kind, *more, remake=_REMAKE):
    """What `from_state(config, tensors, *more)` makes of a saved folder; what does not fit together is an `ArtifactError`."""
    config, tensors = load(folder, kind, remake)
    try:
        return from_state(config, tensors, *more)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as err:
        wrote = read_json(files.path(folder) / CONFIG)["workbench"]
        raise ArtifactError(
            f"{folder} is not a {kind!r} that this workbench ({__version__}) can read ({err!r}). Workbench {wrote} wrote it. "
            f"{remake}"
        ) from err
