"""Wildcards: lists of fillers in folders of .txt, .json and .yaml files, as dynamicprompts and its UI extensions use them.

`fillers(folder)` gives lists that you have already to `DeepDSL.fit(prompts, codes=...)`; `read` shows what is in a folder;
`write` makes a folder that dynamicprompts reads. `workbench.export.write_wildcards` writes a learned language that way.
"""

import json
import os
import re
from fnmatch import fnmatchcase
from pathlib import Path

from workbench import files
from workbench.checks import did_you_mean
from workbench.data.wildcards.lines import RESERVED, weighed
from workbench.files import replacing_ours
from workbench.values import ArtifactError, TemplateError

__all__ = ["fillers", "read", "write"]

MARK = ".workbench-export"  # lists the files of an export; without a suffix, so that no reader takes it for a list
_SUFFIXES = (".txt", ".json", ".yaml", ".yml")
_MOST = 2_000_000  # lines of a folder
_EXPANDED = 1000  # texts that one line of a list may stand for


def read(folder):
    """Read a folder of wildcards.

    In `.txt` files each line is a filler. Blank lines and lines that begin with `#` are skipped, and `3::oak` has weight 3
    (which dynamicprompts reads in .json and .yaml only). `.json` and `.yaml` files hold a list, or lists in named levels. The
    file `wood/hard.txt` is the list `wood/hard`. If a filler stands twice in a list, the first one counts.

    Args:
        folder: str or Path.

    Returns:
        dict of name to dict of line to weight (float, 0 or more), sorted by name. Lines are as written, with `{a|b}` and
        `__name__`: `fillers` expands those. Empty lists are left out.

    Raises:
        ArtifactError: there is no such folder, no list in it, or a file that cannot be read; the message names it.
    """
    folder = files.path(folder, "folder")
    if not folder.is_dir():
        what = "it is a file. Give the folder it lies in" if folder.exists() else "there is no such folder"
        raise ArtifactError(f"Cannot read wildcards from {folder}: {what}.")
    found, left = {}, _MOST
    for path in _files(folder):
        for name, lines in _lists(path):
            mine = found.setdefault((path.relative_to(folder).parent / name).as_posix(), {})
            for text, weight in lines:
                left -= 1
                if left < 0:
                    raise ArtifactError(f"{folder} holds more than {_MOST:,} lines. Give a smaller folder.")
                if text:
                    mine.setdefault(text, weight)
    found = {name: found[name] for name in sorted(found) if found[name]}
    if not found:
        raise ArtifactError(f"{folder} holds no wildcards: expected {', '.join(_SUFFIXES)} files with a filler in each line.")
    return found


def fillers(wildcards):
    """The fillers of each list as plain texts, for `DeepDSL.fit(prompts, codes=...)`.

    Lines with `{a|b}` or `__name__` are expanded by dynamicprompts: pip install dynamicprompts. Other lines need no package.

    Args:
        wildcards: str or Path of a folder, or the result of `read`.

    Returns:
        dict of name to list of str, without repeats. The lists `templates` and `segments` of an export, which hold no
        fillers, are left out.

    Raises:
        ArtifactError: as `read`.
        ImportError: a line has to be expanded and dynamicprompts is not installed.
        TemplateError: a line is not understood, names a list that is not there, or stands for more than 1,000 texts; the
            message says which.
    """
    known = wildcards if isinstance(wildcards, dict) else read(wildcards)
    lists = {name: lines for name, lines in known.items() if name not in RESERVED}
    generator = _generator(known) if any(_has_signs(line) for lines in lists.values() for line in lines) else None
    out = {}
    for name, lines in lists.items():
        texts = (text.strip() for line in lines for text in _expanded(line, name, known, generator))
        out[name] = list(dict.fromkeys(filter(None, texts)))
    return {name: texts for name, texts in out.items() if texts}


def _has_signs(line):
    return any(sign in line for sign in ("{", "__", "#", "$", "%", "//", "/*"))


def _expanded(line, name, known, generator):
    """The texts that a line of the list `name` stands for."""
    if not _has_signs(line):
        return [line]
    for wanted in re.findall("__(.+?)__", line):
        if not any(fnmatchcase(one, wanted) or fnmatchcase(one, f"*/{wanted}") for one in known):
            raise TemplateError(
                f"In the list {name!r}, {line[:60]!r}: there is no list {wanted!r}.{did_you_mean(wanted, known)} "
                f"There are: {', '.join(map(repr, list(known)[:12]))}."
            )
    try:
        texts = generator.generate(line, _EXPANDED + 1)
    except Exception as err:  # from pyparsing or dynamicprompts, RecursionError, OverflowError
        why = "it is too deep, or a list is part of itself" if isinstance(err, RecursionError) else err
        raise TemplateError(f"In the list {name!r}, {line[:60]!r}: dynamicprompts cannot read that ({why}).") from err
    if len(texts) > _EXPANDED:
        raise TemplateError(
            f"A line of {name!r} stands for more than {_EXPANDED:,} texts, {line[:60]!r}. It is a template and not a filler: "
            f"leave {name!r} out."
        )
    return texts


def _generator(known):
    try:
        from dynamicprompts.generators import CombinatorialPromptGenerator
        from dynamicprompts.wildcards import WildcardManager
    except ImportError as err:
        raise ImportError("To expand {a|b} and __name__ in lists, dynamicprompts is needed: pip install dynamicprompts") from err
    manager = WildcardManager(root_map={"": [{name: list(lines) for name, lines in known.items()}]})
    manager.sort_wildcards = False
    return CombinatorialPromptGenerator(manager)


def write(folder, files):
    """Write the files of an export, all or none: they are written next to the folder, which they then replace.

    Args:
        folder: str or Path; new, empty, or with nothing but an earlier export, which is replaced.
        files: dict of file name to its text.

    Raises:
        ArtifactError: the folder holds other things, is a file, or cannot be written. Nothing was changed.
    """
    try:
        with replacing_ours(folder, "export", MARK) as part:
            for name, text in files.items():
                (part / name).write_text(text, "utf-8", newline="\n")
    except OSError as err:
        why = err.strerror or err
        raise ArtifactError(f"Cannot write to {folder} ({why}). Give another folder; nothing half-written is left.") from err


def _files(folder):
    """The files with lists, without hidden ones, in the same order on every system."""
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(top) / name
            if not name.startswith(".") and path.suffix.lower() in _SUFFIXES:
                yield path


def _lists(path):
    """Pairs (name, list of (line, weight)) of a file."""
    suffix = path.suffix.lower()
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise ArtifactError(f"{path} is no text: byte {err.start} is not UTF-8. Save it as UTF-8 or remove it.") from err
    if "\0" in text:
        raise ArtifactError(f"{path} is no text: it holds zero bytes. Save it as UTF-8 or remove it.")
    if suffix == ".txt":
        lines = map(str.strip, re.split("[\r\n]+", text))
        yield path.stem, [weighed(one) for one in lines if not one.startswith("#")]
        return
    import yaml

    try:
        data = json.loads(text) if suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as err:
        raise ArtifactError(f"{path} is damaged: {' '.join(str(err).split())}.") from err
    yield from _levels(data, path, path.stem)


def _levels(data, path, name, depth=0):
    """Lists in named levels; the file gives its name only to a list without one."""
    if depth > 20:
        raise ArtifactError(f"{path} has more than 20 levels: that is no file of wildcards.")
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _levels(value, path, f"{name}/{key}" if depth else str(key), depth + 1)
    elif isinstance(data, str):
        yield name, [weighed(data.strip())]
    elif isinstance(data, list):
        yield name, [_entry(one, path) for one in data if one]
    elif data is not None:
        raise ArtifactError(f"{path} holds a {type(data).__name__} under {name!r}, expected a list of texts.")


def _entry(one, path):
    if isinstance(one, str):
        return weighed(one.strip())
    text = one.get("text") or one.get("content") if isinstance(one, dict) else None
    weight = one.get("weight", 1) if isinstance(one, dict) else 1
    if not isinstance(text, str) or isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < 1e300:
        raise ArtifactError(f'{path} holds {str(one)[:60]!r}, expected a text or {{"text": ..., "weight": number}}.')
    return text.strip(), float(weight)
