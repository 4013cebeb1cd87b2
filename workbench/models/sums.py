"""Sums: the sha256 of each file of a model. The formats of transformers and diffusers hold none."""

import functools
import hashlib
from pathlib import Path

from workbench.files import read_json, write_json
from workbench.values import ArtifactError, ModelError

NAME = "sha256.json"
_AGAIN = "Install the package again, or remove the folder and train it: python -m tools.world train"


def write(root, part):
    """Write down the sums of one model, the folder `part` of the folder `root` (str or Path), in `root/sha256.json`."""
    path = Path(root, NAME)
    known = read_json(path) if path.exists() else {}
    write_json(path, dict(sorted((known | {part: _sums(Path(root, part))}).items())))


@functools.cache
def check(folder):
    """Raise ModelError if a built-in model (`folder`, a Path) is not what `write` saw. Looks once a process."""
    try:
        found = others(folder)
    except (ArtifactError, KeyError, TypeError) as err:
        raise ModelError(f"The sums of the built-in models cannot be read ({err}). {_AGAIN}") from err
    if found:
        raise ModelError(f"{folder / found[0]} is missing or was changed since it was written. {_AGAIN}")


def others(folder):
    """Names of the files in `folder`, a Path, that are missing or not as `write` saw them: sorted list of str.

    Raises:
        ArtifactError, KeyError, TypeError: the sums cannot be read.
    """
    known, found = read_json(folder.parent / NAME)[folder.name], _sums(folder)
    return sorted(name for name in {*known, *found} if known.get(name) != found.get(name))


def _sums(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "README.md")
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}
