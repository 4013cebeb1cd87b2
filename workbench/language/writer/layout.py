"""Layout: how a prompt with gaps lies before the decoder. Visible text first, gaps last, as in fill-in-the-middle training.

    LEFT a ▁ castle GAP ▁ by GAP RIGHT | FILL GO ▁ on ▁ a ▁ hill FILL GO ▁ monet

The visible part is read in both directions; what fills the gaps is written from left to right, one gap after the other. A
position has two coordinates: its number in the sequence, and its place in the visible text, which is that of the gap's mark for
all that fills it. So a filling sees how far it stands from every visible word, on both sides.

Source:
    Bavarian et al., arXiv:2207.14255 (fill in the middle); T5's prefix-LM mask, arXiv:1910.10683, section 3.2.1.
"""

from typing import NamedTuple

import numpy as np

from workbench.language.writer.tokens import FILL, GAP, GO, LEFT, PAD, RIGHT

NEIGHBOURS = 4  # visible pieces next to a gap that its input holds: two to the left, two to the right


class Gap(NamedTuple):
    """A gap of a prompt.

    `code` is the code shown to the writer. `spaced`: its first word is written as after a blank. `fill`: ids of its pieces,
    None if they are to be written. `truth`: its true code where the writer has to guess it, else -1. `slot`: row of the batch's
    content, -1 for absent content. `apart`: a word or a gap stands right before it, so that this blank is part of the filling.
    """

    code: int
    spaced: bool = True
    fill: tuple | None = None
    truth: int = -1
    slot: int = -1
    apart: bool = False


class Visible(NamedTuple):
    """A stretch of visible text: ids of its pieces and the code they have."""

    ids: tuple
    code: int


class Layout(NamedTuple):
    """A prompt with gaps: the visible part, with one mark per gap, and the gaps.

    `ids` and `codes` lists of p int, `marks` list of g int, where the marks stand; `neighbours` list of g tuples of int.
    """

    ids: list
    codes: list
    marks: list
    gaps: list
    neighbours: list

    @property
    def length(self):
        """Positions in all, of a layout whose gaps are filled."""
        return len(self.ids) + sum(len(gap.fill) + 2 for gap in self.gaps)


def lay(parts, literal):
    """Lay out parts.

    Args:
        parts: iterable of `Visible` and `Gap`, in the order of the prompt.
        literal: int, the code of text that is in no slot; also that of the edges.

    Returns:
        `Layout`.
    """
    ids, codes, marks, gaps = [LEFT], [literal], [], []
    for part in parts:
        if isinstance(part, Gap):
            marks.append(len(ids))
            gaps.append(part)
            ids.append(GAP)
            codes.append(part.code)
        else:
            ids += part.ids
            codes += [part.code] * len(part.ids)
    ids.append(RIGHT)
    codes.append(literal)
    padded = [PAD, *ids, PAD, PAD]
    # padded[i + 1] is ids[i]
    neighbours = [(padded[m], padded[m - 1] if m > 1 else PAD, padded[m + 2], padded[m + 3]) for m in marks]
    return Layout(ids, codes, marks, gaps, neighbours)


class Batch(NamedTuple):
    """Layouts side by side; b prompts, t positions, g gaps in all. int64 but for `prefix`.

    Lengths and numbers of gaps are rounded up, see `rounded`. `ids`, `codes`, `places` (b, t). `gap` (b, t): row of the gap a
    position fills, g where none. `content` (b, t): row of the slot whose content a position sees, -1 for none. `steps` (b, t):
    pieces of the filling that are written when a position is read. `targets` (b, t): the piece to be written next, -1 for none.
    `prefix` (b,) int64, length of the visible part. `neighbours` (g, 4), `starts` (g,) position of each FILL in the flattened
    batch, `truth` (g,), `slots` (g,); 0, -1 and -1 for gaps that only round the number up.
    """

    ids: np.ndarray
    codes: np.ndarray
    places: np.ndarray
    gap: np.ndarray
    content: np.ndarray
    steps: np.ndarray
    targets: np.ndarray
    prefix: np.ndarray
    neighbours: np.ndarray
    starts: np.ndarray
    truth: np.ndarray
    slots: np.ndarray


def rounded(n, step):
    """`n` rounded up. Matrix libraries compile code for each new shape and keep it: few shapes cost less time and memory."""
    return -(-n // step) * step


def batch(layouts, end):
    """Put layouts whose gaps are filled side by side, padded on the right.

    Args:
        layouts: list of `Layout`.
        end: int, the piece that says that a filling is over.
    """
    b, t = len(layouts), rounded(max(layout.length for layout in layouts), 8)
    g = rounded(sum(len(layout.gaps) for layout in layouts), 64)
    ids, codes, places = np.full((b, t), PAD), np.zeros((b, t), np.int64), np.zeros((b, t), np.int64)
    gap, content, targets = np.full((b, t), g), np.full((b, t), -1), np.full((b, t), -1)
    steps = np.zeros((b, t), np.int64)
    neighbours, starts, truth, slots = np.zeros((g, NEIGHBOURS), np.int64), np.zeros(g, np.int64), np.full(g, -1), np.full(g, -1)
    row = 0
    for i, layout in enumerate(layouts):
        at = len(layout.ids)
        ids[i, :at], codes[i, :at], places[i, :at] = layout.ids, layout.codes, np.arange(at)
        for mark, one, near in zip(layout.marks, layout.gaps, layout.neighbours, strict=True):
            n = len(one.fill)
            stop = at + n + 2
            ids[i, at:stop] = (FILL, GO, *one.fill)
            codes[i, at:stop], places[i, at:stop], gap[i, at:stop] = one.code, mark, row
            content[i, at + 1 : stop], steps[i, at + 1 : stop] = one.slot, np.arange(n + 1)
            targets[i, at + 1 : stop] = (*one.fill, end)
            neighbours[row], starts[row], truth[row], slots[row] = near, i * t + at, one.truth, one.slot
            row, at = row + 1, stop
    prefix = np.array([len(layout.ids) for layout in layouts])
    return Batch(ids, codes, places, gap, content, steps, targets, prefix, neighbours, starts, truth, slots)
