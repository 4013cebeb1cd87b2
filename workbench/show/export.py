"""Export: what was learned, as files for other tools: wildcards and templates for dynamicprompts, JSON, CSV."""

import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from workbench import __version__, checks, files
from workbench.data import wildcards
from workbench.data.wildcards.lines import Reference, as_line, file_names, unwritable
from workbench.files import atomic_path, cell
from workbench.files import write_json as save_json
from workbench.template import Slot, parse


@dataclass(frozen=True)
class Export:
    """What `write_wildcards` wrote.

    Attributes:
        folder: Path.
        files: tuple of str, names of the files in it.
        lists: dict of code name to the name of its list: `artist` is `artist.txt` (or .json) and `__artist__` in a template.
        fillers: int, fillers in all lists.
        templates: int, lines of `templates.txt` and `segments.txt`.
        left_out: dict of reason to the number of fillers, templates or codes that were left out for it.
    """

    folder: Path
    files: tuple
    lists: dict
    fillers: int
    templates: int
    left_out: dict

    @property
    def renamed(self):
        """The part of `lists` where the two names differ."""
        return {name: stem for name, stem in self.lists.items() if name != stem}

    def __str__(self):
        lines = [f"{self.fillers:,} fillers in {len(self.lists)} lists and {self.templates:,} templates in {self.folder}"]
        lines += [f"  {name!r} is __{stem}__" for name, stem in self.renamed.items()]
        return "\n".join(lines + [f"  left out: {n:,} {reason}" for reason, n in self.left_out.items()])


def write_wildcards(dsl, folder, n=None, weights=False):
    """Write a folder for dynamicprompts: a list of fillers per code, and templates such as `a __subject__, by __artist__`.

    `templates.txt` has complete prompts and `segments.txt` the stretches between separators, one template a line, the most
    common first; so `__templates__` draws a template and fills it. Lists have the fillers of `dsl.fillers`, the most used
    first. dynamicprompts has no escape character: texts that it cannot read (with `{`, `#`, `$`, `%` or a tab) are left out
    and counted. `wildcards.read` reads the folder.

    Args:
        dsl: `DeepDSL`.
        folder: str or Path; new, empty, or with an earlier export and nothing else, which is replaced.
        n: int, fillers per code at most, the most used; None for all that are known (4,000 in all).
        weights: bool, lists as .json, in which the weight of each filler is its usage: dynamicprompts draws by weight. It
            takes no weights from .txt, and when it combines it repeats a filler as often as its weight says.

    Returns:
        `Export`.

    Raises:
        NotFittedError: nothing was learned yet.
        ValueError: n is less than 1.
        ArtifactError: the folder holds other things, is a file, or cannot be written; nothing was changed.
    """
    folder, found = files.path(folder, "folder"), _fillers(dsl)
    if n is not None:
        checks.whole("n, how many fillers a code has at most,", n)
    lists, left_out = _writable(found, n)
    names = [dsl.codes[code].name for code in lists]
    stems = dict(zip(names, file_names(names), strict=True))
    written = dict(_list(stems[name], kept, weights) for name, kept in zip(names, lists.values(), strict=True))
    templates = 0
    for name, counted in (("templates", dsl.templates), ("segments", dsl.segments)):
        lines = [f"{line}\n" for line in (_line(one, stems, left_out) for one in counted) if line]
        templates += len(lines)
        if lines:
            written[f"{name}.txt"] = "".join(lines)
    wildcards.write(folder, written)
    return Export(folder, tuple(sorted(written)), stems, sum(map(len, lists.values())), templates, dict(left_out))


def write_json(dsl, path):
    """Write the grammar as JSON: codes with their fillers and counts, which code follows which, templates with counts.

    Each code has `followed_by`, the share of its units that each other code follows, and `ends`, the share at the end of a
    prompt; `begins` holds the codes that prompts begin with, and their shares.

    Args:
        dsl: `DeepDSL`.
        path: str or Path of the file; an older one is replaced.

    Raises:
        NotFittedError: nothing was learned yet.
        ArtifactError: the path is a folder, or the disk is full.
    """
    found = _fillers(dsl)
    names = [*(code.name for code in dsl.codes), None]
    *after, begins = ({to: share for to, share in zip(names, row, strict=True) if share} for row in dsl.transitions.tolist())
    begins.pop(None, None)
    codes = []
    for code, follow in zip(dsl.codes, after, strict=True):
        fillers = [{"text": text, "count": count} for text, count in found[code.id]]
        codes.append(code._asdict() | {"fillers": fillers, "ends": follow.pop(None, 0.0), "followed_by": follow})
    counted = {kind: [one._asdict() for one in getattr(dsl, kind)] for kind in ("templates", "segments")}
    head = {"workbench": __version__, "prompts": dsl.stats["prompts"]}
    save_json(path, head | {"codes": codes, "begins": begins} | counted)


def write_csv(dsl, path):
    """Write codes, fillers and templates as one table in CSV (UTF-8), for a spreadsheet: columns kind, code, text, count.

    `kind` is code, filler, template or segment; `count` is the number of units, or prompts, that have it. A text that a
    spreadsheet would take for a formula begins with an apostrophe.

    Args:
        dsl: `DeepDSL`.
        path: str or Path of the file; an older one is replaced.

    Raises:
        NotFittedError: nothing was learned yet.
        ArtifactError: the path is a folder, or the disk is full.
    """
    found = _fillers(dsl)
    rows = [("code", code.name, "", code.count) for code in dsl.codes]
    rows += [("filler", code.name, *filler) for code in dsl.codes for filler in found[code.id]]
    rows += [("template", "", one.skeleton, one.count) for one in dsl.templates]
    rows += [("segment", "", one.skeleton, one.count) for one in dsl.segments]
    with atomic_path(path) as part, open(part, "w", encoding="utf-8", newline="", errors="replace") as file:
        table = csv.writer(file)
        table.writerow(("kind", "code", "text", "count"))
        table.writerows((kind, cell(name), cell(text), count) for kind, name, text, count in rows)


def _fillers(dsl):
    """Fillers by code, the most used first: dict of number to list of (text, count)."""
    found = {code.id: [] for code in dsl.codes}
    for text, code, count in zip(dsl.fillers.texts, dsl.fillers.codes.tolist(), dsl.fillers.counts.tolist(), strict=True):
        found[code].append((text, count))
    return {code: sorted(pairs, key=lambda pair: (-pair[1], pair[0])) for code, pairs in found.items()}


def _writable(found, n):
    """Fillers that dynamicprompts can read, by code: dict of number to list of (text, count); and a Counter of the others."""
    lists, left_out = {}, Counter()
    for code, pairs in found.items():
        kept = []
        for text, count in pairs:
            why = unwritable(text)
            if why:
                left_out[f"fillers: text {why}"] += 1
            elif text.strip():
                kept.append((text.strip(), count))
        if kept:
            lists[code] = kept[:n]
        else:
            left_out["codes: no filler is known or can be written"] += 1
    return lists, left_out


def _list(stem, found, weights):
    """A list of (text, count) as a file: (name, text)."""
    lines = [(as_line(text), count) for text, count in found]
    if not weights:
        return f"{stem}.txt", "".join(f"{line}\n" for line, _ in lines)
    # One line of weighted choices in a .txt would do too, but dynamicprompts parses it anew for each draw: half a second of it.
    data = {stem: [{"text": line, "weight": count} for line, count in lines]}
    return f"{stem}.json", json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def _line(counted, stems, left_out):
    """A template as a line, or None: it is counted then."""
    parts = parse(counted.examples[0]).parts
    for part in parts:
        why = unwritable(part) if isinstance(part, str) else None
        if why:
            left_out[f"templates: text {why}"] += 1
            return None
        if isinstance(part, Slot) and part.name not in stems:
            left_out["templates: a slot has no list"] += 1
            return None
    return as_line(part if isinstance(part, str) else Reference(stems[part.name]) for part in parts)
