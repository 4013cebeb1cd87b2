"""Facts: all that the page of a code says, gathered from a `DeepDSL` and from the prompts that were read."""

from typing import NamedTuple

import numpy as np

from workbench.show import atlas
from workbench.show.pages.naming import file_names
from workbench.show.pages.reading import Seen

_NEAR, _STEPS = 6, 6
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
    """`CodeFacts` of all codes, most used first.

    Args:
        dsl: `DeepDSL`.
        seen: dict of number of the code -> `Seen`.
    """
    files, near, order = file_names(dsl.codes), _near(dsl), sorted(dsl.codes, key=lambda code: (-code.count, code.id))
    return [
        CodeFacts(
            code.id,
            code.name,
            code.count,
            code.usage,
            code.literal,
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
