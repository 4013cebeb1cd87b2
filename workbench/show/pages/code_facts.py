"""Code facts: all that pages say of a code, gathered from a `DeepDSL` and from the prompts that were read."""

import re
import unicodedata
from typing import NamedTuple

import numpy as np

from workbench.show import atlas
from workbench.show.pages.occurrences import Seen
from workbench.show.rendering import line, percent

_NEAR, _STEPS = 6, 6
_FILLERS = 6  # in a row of the table
_LONGEST = 60  # characters of a file's name
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10))}  # no files on Windows
START, END = "start", "end"  # of a prompt, in place of the number of a code


class CodeFacts(NamedTuple):
    """A code: as in `Code`, with its `file` (a name without suffix), `rank` by use from 1, `typical` fillers with counts in the
    whole corpus, `frequent` fillers with counts in the sample, both tuples of (text, count); `before` and `after` it, tuples of
    (number of a code, START or END; share 0..1); `near`, a tuple of (number of a code, cosine); and what prompts show, `seen`.
    """

    id: int
    name: str
    count: int
    usage: float
    literal: bool
    file: str
    rank: int
    typical: tuple
    frequent: tuple
    before: tuple
    after: tuple
    near: tuple
    seen: Seen


def gather(dsl, seen):
    """`CodeFacts` of all codes of a `DeepDSL`, most used first; `seen` is a dict of number of the code -> `Seen`."""
    files, near, order = file_names(dsl.codes), _near(dsl), sorted(dsl.codes, key=lambda code: (-code.count, code.id))
    return [
        CodeFacts(
            *(code.id, code.name, code.count, code.usage, code.literal),
            files[code.id],
            rank,
            tuple(code.fillers),
            _frequent(dsl, code.id),
            *_steps(dsl, code.id),
            near.get(code.id, ()),
            seen.get(code.id, Seen()),
        )
        for rank, code in enumerate(order, 1)
    ]


def code_rows(codes, looks, pages=True):
    """Rows of the table of `CodeFacts`, dicts of plain values; `looks` as of `palette.looks`; `pages`: whether there are."""
    top = max((code.usage for code in codes), default=0) or 1
    return [
        {
            "name": line(code.name, 60),
            "page": f"codes/{code.file}.html" if pages else "",
            "look": None if code.literal else looks[code.name],
            "literal": code.literal,
            "width": 100 * code.usage / top,
            "share": percent(code.usage),
            "count": code.count,
            "fillers": [(line(text, 40), count) for text, count in code.typical[:_FILLERS]],
        }
        for code in codes
    ]


def file_names(codes):
    """A file name without suffix for each `Code`, whose name may be any text, as a dict of number of the code -> str.

    It has lower-case ASCII letters, digits and hyphens, from the name of the code; each comes only once.
    """
    names, taken = {}, set()
    for code in codes:
        plain = unicodedata.normalize("NFKD", code.name).encode("ascii", "ignore").decode().lower()
        stem = re.sub("[^a-z0-9]+", "-", plain)[:_LONGEST].strip("-")
        if not stem or stem in _DEVICES:
            stem = f"code-{code.id}"
        name, again = stem, 1
        while name in taken:
            again += 1
            name = f"{stem}-{again}"
        names[code.id] = name
        taken.add(name)
    return names


def _frequent(dsl, code):
    rows = np.flatnonzero(dsl.fillers.codes == code)
    rows = rows[np.argsort(-dsl.fillers.counts[rows], kind="stable")]
    return tuple((dsl.fillers.texts[row], int(dsl.fillers.counts[row])) for row in rows)


def _steps(dsl, code):
    """What comes before a code and what after it, as shares of its uses; most frequent first."""
    k = len(dsl.codes)
    after = np.asarray(dsl.transitions, np.float64)
    uses = np.zeros(k + 1)
    uses[[c.id for c in dsl.codes]] = [c.count for c in dsl.codes]
    uses[k] = dsl.stats["prompts"]
    before = uses * after[:, code]
    return tuple(
        tuple((end if i == k else int(i), float(shares[i])) for i in np.argsort(-shares, kind="stable")[:_STEPS] if shares[i] > 0)
        for shares, end in ((before / max(before.sum(), 1e-12), START), (after[code], END))
    )


def _near(dsl):
    """For each code with fillers the codes whose mean filler points in its direction most: code -> ((code, cosine), ...)."""
    there = np.unique(dsl.fillers.codes)
    if len(there) < 2:
        return {}
    codes, counts, vectors = dsl.fillers.codes, dsl.fillers.counts, np.asarray(dsl.fillers.vectors)
    centres = np.stack([np.average(vectors[codes == code], axis=0, weights=counts[codes == code]) for code in there])
    rows, cosines = atlas.neighbours(centres, np.arange(len(there)), min(_NEAR, len(there) - 1))
    return {
        int(code): tuple((int(there[row]), float(cosine)) for row, cosine in zip(*found, strict=True))
        for code, found in zip(there, zip(rows, cosines, strict=True), strict=True)
    }
