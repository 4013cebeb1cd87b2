"""Wildcards: lists of fillers in folders of .txt, .json and .yaml files, as dynamicprompts and its UI extensions use them.

`fillers(folder)` gives lists that you have already to `DeepDSL.fit(prompts, codes=...)`; `read` shows what is in a folder;
`write` makes a folder that dynamicprompts reads. `workbench.export.write_wildcards` writes a learned language that way.
"""

import warnings

from workbench.data.wildcards.expanding import Expander
from workbench.data.wildcards.folders import SUFFIXES, lists
from workbench.data.wildcards.lines import RESERVED
from workbench.files import path, replacing_ours
from workbench.values import ArtifactError, TemplateError

__all__ = ["fillers", "read", "write"]

MARK = ".workbench-export"  # lists the files of an export; without a suffix, so that no reader takes it for a list
_MOST = 2_000_000  # lines of a folder
_NAMED = 10  # things of those left out that a warning names


def read(folder):
    """Read a folder of wildcards.

    In `.txt` files each line is a filler. Blank lines and lines that begin with `#` are skipped, and `3::oak` has weight 3
    (which dynamicprompts reads in .json and .yaml only). `.json` and `.yaml` files hold a list, or lists in named levels;
    numbers and dates in a list are texts as they are written. The file `wood/hard.txt` is the list `wood/hard`. Links to files
    and folders are followed. If a filler stands twice in a list, the first one counts.

    Args:
        folder: str or Path.

    Returns:
        dict of name to dict of line to weight (float, 0 or more), sorted by name. Lines are as written, with `{a|b}` and
        `__name__`: `fillers` expands those.

    Raises:
        ArtifactError: there is no such folder, or no list in it that can be read; the message says why.
        ValueError: `folder` is no path.

    Warns:
        UserWarning: files, lists or entries were left out, such as a damaged file, an empty list, `count: 3` or a list in a list;
            it says how many, names ten of them, and says why.
    """
    folder = path(folder, "folder")
    if not folder.is_dir():
        what = "it is a file. Give the folder it lies in" if folder.exists() else "there is no such folder"
        raise ArtifactError(f"Cannot read wildcards from {folder}: {what}.")
    found, left, left_out = {}, _MOST, []
    for name, lines in lists(folder, left_out):
        mine = found.setdefault(name, {})
        for text, weight in lines:
            left -= 1
            if left < 0:
                raise ArtifactError(f"{folder} holds more than {_MOST:,} lines. Give a smaller folder.")
            if text:
                mine.setdefault(text, weight)
    left_out += [f"the list {name!r} is empty" for name in sorted(found) if not found[name]]
    found = {name: found[name] for name in sorted(found) if found[name]}
    if not found:
        why = f" Left out: {_named(left_out)}" if left_out else ""
        raise ArtifactError(f"{folder} holds no wildcards: expected {', '.join(SUFFIXES)} files with a filler in each line.{why}")
    _warn(f"reading {folder}", left_out)
    return found


def fillers(wildcards):
    """The fillers of each list as plain texts, for `DeepDSL.fit(prompts, codes=...)`.

    Lines with `{a|b}` or `__name__` are expanded by dynamicprompts: pip install dynamicprompts. Other lines need no package and
    stay as they are, with `$`, `%` and `<lora:my__style:0.7>`, but for comments (` # like this`).

    Args:
        wildcards: str or Path of a folder, or the result of `read`.

    Returns:
        dict of name to list of str, without repeats. The lists `templates` and `segments` of an export, which hold no
        fillers, are left out.

    Raises:
        ArtifactError: as `read`.
        ImportError: a line has to be expanded and dynamicprompts is not installed.
        TypeError: not a folder and not a dict of lists of str.
        TemplateError: no line can be used; the message says why.

    Warns:
        UserWarning: lines were left out that are not understood, name a list that is not there, or stand for more than 1,000
            texts; it says how many and names ten of them. Also as `read`.
    """
    known = _checked(wildcards) if isinstance(wildcards, dict) else read(wildcards)
    expander, out, left_out = Expander(known), {}, []
    for name, lines in known.items():
        if name in RESERVED and any("__" in line for line in lines):
            continue
        texts = []
        for line in lines:
            try:
                texts += map(str.strip, expander.texts(line, name))
            except TemplateError as err:
                left_out.append(str(err))
        out[name] = list(dict.fromkeys(filter(None, texts)))
    left_out += [f"Nothing is left of the list {name!r}." for name in out if not out[name]]
    out = {name: texts for name, texts in out.items() if texts}
    if left_out and not out:
        raise TemplateError(f"No line of these lists is a filler. {_named(left_out)}")
    _warn("expanding wildcards", left_out)
    return out


def _checked(lists):
    for name, lines in lists.items():
        if isinstance(lines, str) or not all(isinstance(line, str) for line in (name, *lines)):
            raise TypeError(f"wildcards is a folder, or a dict of name to lines, a list of str; got {name!r}: {lines!r:.60}.")
    return lists


def _named(left_out):
    more = f"; and {len(left_out) - _NAMED:,} more" if len(left_out) > _NAMED else ""
    return "; ".join(left_out[:_NAMED]) + more


def _warn(doing, left_out):
    if left_out:
        warnings.warn(f"Left out while {doing}, {len(left_out):,} in all: {_named(left_out)}", stacklevel=3)


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
