"""Folders: the files of a folder of wildcards and the lists in them. An entry that cannot be used is left out and named."""

import json
import os
import re
import reprlib

from workbench.data.wildcards.lines import weighed
from workbench.values import ArtifactError

SUFFIXES = (".txt", ".json", ".yaml", ".yml")
_LARGEST = 200_000_000  # bytes of a file
_FOLDERS = 20_000  # folders that are looked into: links can multiply them
_ALIASES = 10_000  # entries that the aliases of a YAML file may add to those that are written out
_DEEPEST = 20  # levels of a file


class _Bare(str):
    """A number, date or truth value of JSON or YAML, as it is written."""


def lists(folder, left_out):
    """Read the lists of a folder, in the same order on every system.

    Args:
        folder: Path.
        left_out: list that gets a str for each file and entry that cannot be used: where it is, and why.

    Yields:
        (name, list of (line, weight)).

    Raises:
        ArtifactError: too many folders.
    """
    for path in _files(folder, left_out):
        inside = "".join(f"{part}/" for part in path.relative_to(folder).parts[:-1])
        try:
            for name, lines in _lists(path, left_out):
                yield inside + name, lines
        except (ArtifactError, OSError) as err:
            left_out.append(str(err))


def _files(folder, left_out):
    """The files with lists, without hidden ones. Links are followed, but not in a circle."""
    waiting, looked = [(folder, frozenset())], 0
    while waiting:
        top, above = waiting.pop()
        try:
            place, entries = os.stat(top), sorted(path for path in top.iterdir() if not path.name.startswith("."))
        except OSError as err:
            left_out.append(f"{top} cannot be opened ({err.strerror})")
            continue
        here, looked = (place.st_dev, place.st_ino), looked + 1
        if here in above:
            left_out.append(f"{top} is a link to a folder that it lies in")
            continue
        if looked > _FOLDERS:
            raise ArtifactError(f"{folder} holds more than {_FOLDERS:,} folders, links included. Give a smaller one.")
        folders = dict.fromkeys(path for path in entries if os.path.isdir(path))
        for path in entries:
            if path not in folders and path.suffix.lower() in SUFFIXES:
                if os.path.isfile(path):
                    yield path
                else:
                    left_out.append(f"{path} is {'a link to nothing' if path.is_symlink() else 'no regular file'}")
        waiting += [(path, above | {here}) for path in reversed(list(folders))]


def _lists(path, left_out):
    """Pairs (name, list of (line, weight)) of a file."""
    if os.path.getsize(path) > _LARGEST:
        raise ArtifactError(f"{path} is larger than {_LARGEST:,} bytes: that is no file of wildcards.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise ArtifactError(f"{path} is no text: byte {err.start} is not UTF-8. Save it as UTF-8 or remove it.") from err
    if "\0" in text:
        raise ArtifactError(f"{path} is no text: it holds zero bytes. Save it as UTF-8 or remove it.")
    if path.suffix.lower() == ".txt":
        lines = map(str.strip, re.split("[\r\n]+", text))
        yield path.stem, [weighed(one) for one in lines if not one.startswith("#")]
        return
    yield from _levels(_parsed(text, path), path, path.stem, left_out)


def _parsed(text, path):
    """A .json or .yaml file as str, list and dict, in which numbers, dates and truth values are `_Bare`."""
    import yaml

    try:
        if path.suffix.lower() == ".json":
            numbers = dict.fromkeys(("parse_int", "parse_float", "parse_constant"), _Bare)
            return json.loads(text, object_pairs_hook=_joined, **numbers)
        room = [len(text) + _ALIASES]  # whatever is written out takes a character or more
        found = [_plain(node, path, room) for node in yaml.compose_all(text, yaml.SafeLoader) if node is not None]
    except (ValueError, yaml.YAMLError, RecursionError) as err:
        raise ArtifactError(f"{path} is damaged: {' '.join(str(err).split())}.") from err
    return found[0] if len(found) == 1 else _joined((key, value) for one in found for key, value in _pairs(one, path))


def _pairs(document, path):
    if not isinstance(document, dict):
        raise ArtifactError(f"{path} has several documents, divided by ---, and not all of them are named lists.")
    return document.items()


def _plain(node, path, room, depth=0):
    """A node of YAML as str, list and dict. Aliases are followed, and what they add is counted: a few lines can mean millions."""
    room[0] -= 1
    if room[0] < 0 or depth > _DEEPEST + 2:
        what = f"its aliases stand for more than {_ALIASES:,} entries" if room[0] < 0 else f"it has more than {_DEEPEST} levels"
        raise ArtifactError(f"{path} cannot be read: {what}.")
    kind = node.tag.rpartition(":")[2]
    if isinstance(node.value, str):
        if kind == "null":
            return None if node.value else ""
        return _Bare(node.value) if kind in ("int", "float", "bool", "timestamp") else node.value
    if node.id == "sequence":
        return [_plain(one, path, room, depth + 1) for one in node.value]
    pairs = [(_plain(key, path, room, depth + 1), _plain(value, path, room, depth + 1)) for key, value in node.value]
    merged = [one for key, some in pairs if key == "<<" for one in (some if isinstance(some, list) else [some])]
    own = _joined((key if isinstance(key, str) else _short(key), value) for key, value in pairs if key != "<<")
    return {**_joined(pair for one in merged if isinstance(one, dict) for pair in one.items()), **own}


def _joined(pairs):
    """A dict of pairs; lists, and levels, under the same name become one."""
    out = {}
    for key, value in pairs:
        before = out.get(key)
        if isinstance(before, list) and isinstance(value, list):
            value = before + value
        elif isinstance(before, dict) and isinstance(value, dict):
            value = _joined([*before.items(), *value.items()])
        out[key] = value
    return out


def _levels(data, path, name, left_out, depth=0):
    """Lists in named levels; the file gives its name only to a list without one."""
    if depth > _DEEPEST:
        raise ArtifactError(f"{path} has more than {_DEEPEST} levels: that is no file of wildcards.")
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _levels(value, path, f"{name}/{key}" if depth else key, left_out, depth + 1)
    elif isinstance(data, list):
        entries = [_entry(one) for one in data]
        for number, one in enumerate(data):
            if entries[number] is None:
                expected = 'a text or {"text": ..., "weight": number}'
                left_out.append(_odd(one, f"entry {number + 1} of {name!r}", path, expected))
        yield name, list(filter(None, entries))
    elif isinstance(data, str) and not isinstance(data, _Bare):
        yield name, [weighed(data.strip())]
    else:
        left_out.append(_odd(data, repr(name), path, "a list of texts"))


def _odd(one, where, path, expected):
    odd = isinstance(one, (dict, list)) and path.suffix.lower() != ".json"
    hint = " (in YAML a text with ': ', { or [ in it needs quotes)" if odd else ""
    return f"{path}: {where} is {_short(one)}, expected {expected}{hint}"


def _short(one):
    return "null" if one is None else one[:60] if isinstance(one, str) else reprlib.repr(one)


def _entry(one):
    """(text, weight) of an entry of a list; None if it is no such thing."""
    if isinstance(one, bool):  # of JSON; those of YAML are as they are written
        one = _Bare(json.dumps(one))
    if isinstance(one, str):
        return weighed(one.strip())
    text = one.get("text") or one.get("content") if isinstance(one, dict) else None
    try:
        weight = float(one.get("weight", 1))
    except (AttributeError, TypeError, ValueError):
        return None
    return (text.strip(), weight) if isinstance(text, str) and 0 <= weight < 1e300 else None
