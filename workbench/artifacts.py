"""Artifacts: the one save format. A folder of `config.json` and safetensors, written whole or not at all. No pickle."""

import hashlib
import json
import os
import re
import warnings

import numpy as np
import safetensors
import safetensors.numpy

from workbench import __version__, files
from workbench.files import atomic_path, check_plain, check_regular, lock_of, locked, make_folder, read_json, write_json
from workbench.values import ArtifactError, DamagedError

FORMAT = 2
CONFIG = "config.json"
_TENSORS = re.compile(r"tensors-[0-9a-f]{16}\.safetensors")
_PICKLES = (".pkl", ".pickle", ".bin", ".pt", ".pth", ".ckpt", ".joblib")
_REMAKE = "Make it anew with this version: fit or train it again, and save it to another folder."
_DTYPES = {"bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64"}


def save(folder, kind, config, tensors):
    """Save one object; an older save of the same kind in this folder is replaced.

    The tensors go to a file named after its sha256 and `config.json`, written last, points to it. So a kill at any moment
    leaves the old save or the new one, never a mix. Of processes that save to one folder, the last one wins whole.

    Args:
        folder: str or Path; made if missing.
        kind: str, what it is, such as "codebook"; `load` must ask for the same.
        config: dict of plain values (see `write_json`).
        tensors: dict of str to numpy array of bool, int or float16/32/64; it may be empty.

    Raises:
        TypeError: a tensor or a config value of another type.
        ArtifactError: the folder holds something else (nothing is touched) or cannot be written to, or the disk is full.
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
    head = {"format": FORMAT, "kind": kind, "workbench": __version__, "sha256": digest, "bytes": len(data), "config": config}
    tensors_file = folder / _tensors_name(digest)
    make_folder(folder)
    with locked(lock_of(folder), folder):
        _check_free(folder, kind)
        with atomic_path(tensors_file) as temporary:
            temporary.write_bytes(data)
        write_json(folder / CONFIG, {"checksum": _checksum(head), **head})
        for entry in folder.iterdir():  # what the save before this one pointed to
            if _TENSORS.fullmatch(entry.name) and entry != tensors_file:
                entry.unlink(missing_ok=True)


def _checksum(head):
    """The sha256 of a head without its checksum; tuples and lists are the same, as in JSON."""
    plain = {name: value for name, value in head.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _tensors_name(digest):
    return f"tensors-{digest[:16]}.safetensors"


def _check_free(folder, kind):
    """Refuse to save into a folder that holds anything but an older save of this kind."""
    if not os.path.exists(folder):
        return
    if not os.path.isdir(folder):
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
    if not os.path.isdir(folder):
        what = "it is a file. Give the folder that was saved" if os.path.exists(folder) else "there is no such folder"
        raise ArtifactError(f"Cannot load a {kind!r} from {folder}: {what}.")
    head = _read_head(folder, kind, remake)
    while True:
        try:
            return _read_config(folder, head), _read_tensors(folder, head)
        except DamagedError:
            before, head = head, _read_head(folder, kind, remake)
            if head == before:  # otherwise another process saved meanwhile
                raise


def _read_config(folder, head):
    digest, size, config = head.get("sha256"), head.get("bytes"), head.get("config")
    if not (
        isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest) and isinstance(size, int) and isinstance(config, dict)
    ):
        raise DamagedError(f"{folder / CONFIG} is damaged: it does not name its tensors. Save again or restore it.")
    if head.get("checksum") != _checksum(head):
        raise DamagedError(
            f"{folder / CONFIG} was changed since it was written: its checksum is another. Restore it or save again."
        )
    return config


def _read_head(folder, kind, remake=_REMAKE):
    path = folder / CONFIG
    if not path.exists():
        raise ArtifactError(_why_no_config(folder, kind))
    head = read_json(path)
    known = isinstance(head, dict) and type(head.get("format")) is int and head["format"] >= 1
    if not (known and isinstance(head.get("kind"), str) and "workbench" in head):
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


def _read_tensors(folder, head):
    path = folder / _tensors_name(head["sha256"])
    if not os.path.exists(path):
        raise DamagedError(f"{path} is missing, though {CONFIG} next to it names it. Restore it or save again.")
    try:
        check_regular(path)
    except ArtifactError as err:
        if os.path.lexists(path):
            raise
        raise DamagedError(f"{path} has gone. Restore it or save again.") from err
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno()).st_size
            if found < head["bytes"]:
                raise DamagedError(f"{path} is truncated: {found:,} of {head['bytes']:,} bytes. Copy it again or save again.")
            if found > head["bytes"] or hashlib.file_digest(file, "sha256").hexdigest() != head["sha256"]:
                raise DamagedError(f"{path} is damaged: its sha256 is not the one in {CONFIG}. Copy it again or save again.")
        return safetensors.numpy.load_file(path)
    except FileNotFoundError as err:
        raise DamagedError(f"{path} has gone. Restore it or save again.") from err
    except OSError as err:
        raise ArtifactError(f"Cannot read {path}: {err.strerror}.") from err
    except (safetensors.SafetensorError, KeyError) as err:  # a type that numpy does not have is a KeyError
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
            if found.keys() != {"run", "state"} or not isinstance(found["run"], dict):
                raise DamagedError(f"{self.folder} is no checkpoint: it does not say of which run.")
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
        files.remove_folder(self.folder)


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
        for name, array in tensors.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(f"{name} holds NaN or infinity")
        return from_state(config, tensors, *more)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError, ArithmeticError) as err:
        wrote = read_json(files.path(folder) / CONFIG)["workbench"]
        raise ArtifactError(
            f"{folder} is not a {kind!r} that this workbench ({__version__}) can read ({err!r}). Workbench {wrote} wrote it. "
            f"{remake}"
        ) from err


def check_layout(tensors, layout):
    """Refuse tensors of another type or shape than they were saved with, in `from_state`.

    Args:
        tensors: dict of str to numpy array; names that `layout` lacks may be there too.
        layout: dict of name to dtype and sizes, such as "float32 k 2 w". A letter is the same size everywhere.

    Returns:
        dict of letter to int.

    Raises:
        KeyError: a tensor is missing.
        ValueError: one has another type or shape; it is named.
    """
    sizes = {}
    for name, expected in layout.items():
        dtype, *axes = expected.split()
        array = tensors[name]
        wanted = [int(axis) if axis.isdigit() else sizes.setdefault(axis, n) for axis, n in zip(axes, array.shape, strict=False)]
        if array.dtype != dtype or array.ndim != len(axes) or list(array.shape) != wanted:
            raise ValueError(f"{name} is {array.dtype} {array.shape}, expected {dtype} ({', '.join(axes)}), {sizes}")
    return sizes


def from_half(tensors):
    """The weights of a network, saved as float16: dict of name to float32 array; another type is a ValueError."""
    for name, array in tensors.items():
        if array.dtype != np.float16:
            raise ValueError(f"{name} is {array.dtype}, expected float16")
    return {name: np.array(array, np.float32) for name, array in tensors.items()}
