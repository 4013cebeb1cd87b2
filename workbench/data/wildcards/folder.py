"""Folders: lists of fillers as people keep them (.txt, .json, .yaml), read, and written whole or not at all."""

import contextlib
import json
import os
import re
import secrets
import shutil
from itertools import islice
from operator import itemgetter
from pathlib import Path

from workbench import __version__, artifacts
from workbench.data.wildcards.combining import combinations, count
from workbench.data.wildcards.names import RESERVED
from workbench.data.wildcards.syntax import weighed
from workbench.values import ArtifactError, TemplateError

MARK = ".workbench-export"  # lists the files of an export; without a suffix, so that no reader takes it for a list
_SUFFIXES = (".txt", ".json", ".yaml", ".yml")
_MOST = 2_000_000  # lines of a folder
_FIRST = itemgetter(0)
_EXPANDED = 1000  # texts that one line may stand for, as fillers of a code


def read(folder):
    """Read a folder of wildcards.

    In `.txt` files a line is a filler; blank lines and those that begin with `#` are passed over, `3::oak` has weight 3 (which
    dynamicprompts reads in .json and .yaml only). `.json` and `.yaml` hold a list, or lists in named levels. A file
    `wood/hard.txt` is the list `wood/hard`. Of a filler that stands twice in a list the first counts.

    Args:
        folder: str or Path.

    Returns:
        dict of name to dict of line to weight (float, 0 or more), sorted by name. Lines are as written: what they stand for if
        they hold `{a|b}` or `__name__` is for `combinations`, `sample` and `fillers` to say. A list without lines is left out.

    Raises:
        ArtifactError: there is no such folder, no list in it, or a file that is no text (it says which).
        ImportError: a .yaml file, without PyYAML.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "it is a file. Give the folder it lies in" if folder.exists() else "there is no such folder"
        raise ArtifactError(f"Cannot read wildcards from {folder}: {what}.")
    found, left = {}, _MOST
    for path in _files(folder):
        for name, lines in _lists(path):
            mine = found.setdefault((path.relative_to(folder).parent / name).as_posix(), {})
            for text, weight in filter(_FIRST, lines):
                left -= 1
                if left < 0:
                    raise ArtifactError(f"{folder} holds more than {_MOST:,} lines. Give a smaller folder.")
                mine.setdefault(text, weight)
    found = {name: found[name] for name in sorted(found) if found[name]}
    if not found:
        raise ArtifactError(f"{folder} holds no wildcards: expected {', '.join(_SUFFIXES)} files with a filler in each line.")
    return found


def fillers(wildcards):
    """The plain texts that lists stand for, as `DeepDSL.fit(prompts, codes=...)` takes them.

    Args:
        wildcards: str or Path of a folder, or what `read` returned.

    Returns:
        dict of name to list of str, without repeats. Variants and references are written out; the lists `templates` and
        `segments` of an export, which hold no fillers, are passed over.

    Raises:
        ArtifactError: as `read`.
        TemplateError: a line is not understood, or stands for more than 1,000 texts, as a template does (it says which).
    """
    known = wildcards if isinstance(wildcards, dict) else read(wildcards)
    out = {}
    for name, lines in known.items():
        if name in RESERVED:
            continue
        texts = {}
        for text in lines:
            n = count(text, known)
            if n > _EXPANDED:
                raise TemplateError(
                    f"A line of {name!r} stands for {n:,} texts, {text[:60]!r}: a template, no filler. Leave {name!r} out."
                )
            texts.update(dict.fromkeys(found.strip() for found in islice(combinations(text, known), _EXPANDED)))
        out[name] = [text for text in texts if text]
    return {name: texts for name, texts in out.items() if texts}


def write(folder, files, overwrite=False):
    """Write the files of an export, all or none: they are made beside the folder, which then takes their place.

    Args:
        folder: str or Path. New, empty, or with an earlier export and nothing else, which is replaced.
        files: dict of file name to its text.
        overwrite: bool, write also where other files are: those of an equal name are replaced, the others stay.

    Raises:
        ArtifactError: the folder holds other things, is a file, or cannot be written. Nothing was changed.
    """
    folder = Path(folder).expanduser().resolve()
    beside = not _check_free(folder, overwrite)
    mark = json.dumps({"workbench": __version__, "files": sorted(files)}, ensure_ascii=False, indent=1)
    contents = files | {MARK: mark}
    if beside:  # among other people's files: one by one
        for name, text in contents.items():
            with _told(folder), artifacts.atomic_path(folder / name) as temporary:
                temporary.write_text(text, "utf-8", newline="\n")
        return
    aside = folder.with_name(f".{folder.name[:80]}.{secrets.token_hex(4)}.part")
    old = aside.with_suffix(".old")
    try:
        with _told(folder):
            aside.mkdir(parents=True)
            for name, text in contents.items():
                (aside / name).write_text(text, "utf-8", newline="\n")
            if folder.exists():
                os.replace(folder, old)
            try:
                os.replace(aside, folder)
            except BaseException:
                if old.exists():
                    os.replace(old, folder)
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _told(folder):
    """Say in one sentence what the system would not let us do."""
    try:
        yield
    except OSError as err:
        raise ArtifactError(
            f"Cannot write to {folder} ({err.strerror or err}). Give another folder; nothing half-written is left."
        ) from err


def _check_free(folder, overwrite):
    """Whether the folder is new, empty or holds an earlier export alone; False if it may be written into all the same."""
    if not folder.exists():
        return True
    if not folder.is_dir():
        raise ArtifactError(f"Cannot export to {folder}: it is a file. Give a folder.")
    with _told(folder):
        there = sorted(path.name for path in folder.iterdir())
    try:
        mine = [*artifacts.read_json(folder / MARK)["files"], MARK]
    except (ArtifactError, KeyError, TypeError):
        mine = []
    others = [name for name in there if name not in mine]
    if not others:
        return True
    if overwrite:
        return False
    listed = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
    raise ArtifactError(
        f"Cannot export to {folder}: it holds {listed}, which no export wrote. Nothing was changed. Give a new or empty folder, "
        "or overwrite=True to write beside them (files of equal names are replaced)."
    )


def _files(folder):
    """The files with lists, hidden ones left out, in one order on every system."""
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(top) / name
            if not name.startswith(".") and path.suffix.lower() in _SUFFIXES:
                yield path


def _lists(path):
    """Pairs (name, list of (line, weight)) of a file."""
    text = _text(path)
    if path.suffix.lower() == ".txt":
        lines = map(str.strip, re.split("[\r\n]+", text))
        yield path.stem, [_weighed(one, path) for one in lines if not one.startswith("#")]
    elif path.suffix.lower() == ".json":
        try:
            data = json.loads(text)
        except json.JSONDecodeError as err:
            raise ArtifactError(f"{path} is damaged: {err.msg} at line {err.lineno}, column {err.colno}.") from err
        yield from _levels(data, path, path.stem)
    else:
        yield from _levels(_yaml(text, path), path, path.stem)


def _text(path):
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise ArtifactError(f"{path} is no text: byte {err.start} is not UTF-8. Save it as UTF-8, or take it away.") from err
    if "\0" in text:
        raise ArtifactError(f"{path} is no text: it holds zero bytes. Take it away, or save it as UTF-8.")
    return text


def _yaml(text, path):
    try:
        import yaml
    except ImportError as err:
        raise ImportError(f"To read {path}, PyYAML is needed: pip install pyyaml") from err
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise ArtifactError(f"{path} is damaged: {' '.join(str(err).split())}") from err


def _levels(data, path, name, depth=0):
    """Lists in named levels; the name of the file counts only where it holds one list and no names."""
    if depth > 20:
        raise ArtifactError(f"{path} has levels more than 20 deep: that is no file of wildcards.")
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _levels(value, path, f"{name}/{key}" if depth else str(key), depth + 1)
    elif isinstance(data, str):
        yield name, [_weighed(data.strip(), path)]
    elif isinstance(data, list):
        yield name, [_entry(one, path) for one in data if one]
    elif data is not None:
        raise ArtifactError(f"{path} holds a {type(data).__name__} under {name!r}, expected a list of texts.")


def _entry(one, path):
    if isinstance(one, str):
        return _weighed(one.strip(), path)
    text = one.get("text") or one.get("content") if isinstance(one, dict) else None
    weight = one.get("weight", 1) if isinstance(one, dict) else 1
    if not isinstance(text, str) or isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < 1e300:
        raise ArtifactError(f'{path} holds {str(one)[:60]!r}, expected a text or {{"text": ..., "weight": number}}.')
    return text.strip(), float(weight)


def _weighed(text, path):
    try:
        return weighed(text)
    except TemplateError as err:
        raise ArtifactError(f"{path}: {err}") from err
