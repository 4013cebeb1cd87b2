"""Examples: templates as arrays, and which parts of a prompt become gaps in training."""

from typing import NamedTuple

import numpy as np

from workbench.language.writer.layout import Gap, Visible, lay
from workbench.language.writer.trie import writable
from workbench.template import Slot

P_TEMPLATE = 0.42  # share of examples in which slots are gaps
P_FREE = 0.08  # share in which the whole prompt is one gap
P_CONTENT = 0.5  # share of the gaps of templates with content


class Prompts(NamedTuple):
    """Many prompts as flat arrays: pieces by token, tokens by part, parts by prompt. Offsets are one longer than what they cut.

    `pieces` int32; `tokens` int64, where the pieces of a token begin; `spaced` bool per token; `parts` int64, where the tokens
    of a part begin; `codes` int16 per part, `n_codes` for literal text; `fillers` int32 per part, row of the filler's
    features, -1 for literal text; `prompts` int64, where the parts of a prompt begin.
    """

    pieces: np.ndarray
    tokens: np.ndarray
    spaced: np.ndarray
    parts: np.ndarray
    codes: np.ndarray
    fillers: np.ndarray
    prompts: np.ndarray

    def __len__(self):
        return len(self.prompts) - 1

    def lengths(self):
        """Pieces of each prompt: int64 (n,)."""
        return np.diff(self.tokens[self.parts[self.prompts]])


def marked(templates, tokens, n_codes, longest=None):
    """Templates, all slots filled and with codes, as `Prompts`, and the texts of their fillers.

    A slot that holds markup is literal text here: the writer learns around it.

    Args:
        templates: iterable of `Template`.
        tokens: `Tokens`.
        n_codes: int k; literal text gets code k.
        longest: int, pieces a prompt may have; longer ones and those without a word are left out. None: no limit.

    Returns:
        (`Prompts`, list of str, dict): row i of the list is filler i, lower-cased; the dict counts what was left out,
        `too_long` and `empty`.
    """
    dropped = {"too_long": 0, "empty": 0}
    pieces, starts, spaced, parts, codes, fillers, prompts, texts = [], [0], [], [0], [], [], [0], {}
    for template in templates:
        prompt = template.prompt
        found, at, end = tokens.split(prompt), 0, 0
        if not found or (longest is not None and sum(len(piece.ids) for piece in found) > longest):
            dropped["too_long" if found else "empty"] += 1
            continue
        for part in template.parts:
            text = part.text if isinstance(part, Slot) else part
            slot = isinstance(part, Slot) and writable(text)  # what no filler may hold stays as it is
            end += len(text)
            first = at
            while at < len(found) and found[at].start < end:
                piece = found[at]
                spaced.append(piece.start == 0 or prompt[piece.start - 1].isspace())
                pieces += piece.ids
                starts.append(len(pieces))
                at += 1
            if at > first:  # literal text of blanks alone has no token
                parts.append(len(spaced))
                codes.append(part.code if slot else n_codes)
                fillers.append(texts.setdefault(text.lower(), len(texts)) if slot else -1)
        prompts.append(len(codes))
    arrays = (pieces, np.int32), (starts, np.int64), (spaced, bool), (parts, np.int64), (codes, np.int16), (fillers, np.int32)
    return Prompts(*(np.array(a, t) for a, t in arrays), np.array(prompts, np.int64)), list(texts), dropped


class Masker:
    """Draws which parts of a prompt are gaps, what the writer knows of them, and whether it sees their content.

    A share `P_TEMPLATE` of the examples has slots as gaps, all or some, with their separators visible; `P_FREE` is one gap as a
    whole; the others have one to three gaps: words, slots, or neighbouring parts with what stands between them.
    """

    def __init__(self, prompts, n_codes):
        self.prompts = prompts
        self.literal, self.mask = n_codes, n_codes + 1

    def draw(self, row, rng):
        """The gaps of a prompt.

        Returns:
            (`Layout`, list of int): the second holds, by content row of the layout, the filler's row.
        """
        kind = rng.random()
        if kind < P_TEMPLATE:
            return self._template(row, rng)
        if kind < P_TEMPLATE + P_FREE:
            return self.free(row), []
        return self._infill(row, rng)

    def free(self, row):
        """The whole prompt as one gap of no code."""
        return lay([Gap(self.mask, fill=self._ids(*self._tokens_of(row)))], self.literal)

    def _template(self, row, rng):
        share = 1.0 if rng.random() < 0.6 else rng.uniform(0.15, 0.9)
        shown = rng.random() < 0.8  # whether codes of gaps are shown, in most of the prompt
        content = rng.random() < P_CONTENT
        blind = rng.random() < 0.3  # codes of visible text are hidden
        parts, slots = [], []
        for part in range(*self.prompts.prompts[row : row + 2]):
            first, last = self.prompts.parts[part : part + 2]
            code, ids = int(self.prompts.codes[part]), self._ids(first, last)
            if code == self.literal or rng.random() >= share:
                parts.append(Visible(ids, self.mask if blind and code != self.literal else code))
                continue
            known = shown != (rng.random() < 0.1)
            slot = -1
            if content != (rng.random() < 0.15):
                slot = len(slots)
                slots.append(int(self.prompts.fillers[part]))
            parts.append(Gap(code if known else self.mask, bool(self.prompts.spaced[first]), ids, -1 if known else code, slot))
        return lay(parts, self.literal), slots

    def _infill(self, row, rng):
        p = self.prompts
        first, last = self._tokens_of(row)
        begin, stop = p.prompts[row : row + 2]
        ranges = []  # (first token, last, code shown, true code)
        for _ in range(rng.integers(1, 4)):
            kind = rng.random()
            if kind < 0.5:  # words
                a = int(rng.integers(first, last))
                b = min(last, a + int(rng.choice(4, p=(0.55, 0.2, 0.15, 0.1))) + 1)
                ranges.append((a, b, self.mask, -1))
                continue
            part = int(rng.integers(begin, stop))
            if kind < 0.75:  # a slot
                code = int(p.codes[part])
                known = rng.random() < 0.5
                truth = -1 if known or code == self.literal else code
                ranges.append((int(p.parts[part]), int(p.parts[part + 1]), code if known else self.mask, truth))
            else:
                end = min(stop, part + int(rng.integers(2, 6)))
                ranges.append((int(p.parts[part]), int(p.parts[end]), self.mask, -1))
        blind = rng.random() < 0.3
        parts, at, done = [], first, first
        part = begin
        for a, b, code, truth in sorted(ranges):
            if a < done:  # overlaps the gap before it
                continue
            part = self._visible(parts, at, a, part, blind)
            parts.append(Gap(code, bool(p.spaced[a]), self._ids(a, b), truth))
            at = done = b
        self._visible(parts, at, last, part, blind)
        return lay(parts, self.literal), []

    def _visible(self, parts, at, stop, part, blind):
        """Append tokens `at` to `stop` as visible text with their codes -> the part where it stopped."""
        p = self.prompts
        while at < stop:
            while p.parts[part + 1] <= at:
                part += 1
            end = min(stop, int(p.parts[part + 1]))
            code = int(p.codes[part])
            parts.append(Visible(self._ids(at, end), self.mask if blind and code != self.literal else code))
            at = end
        return part

    def _tokens_of(self, row):
        p = self.prompts
        return int(p.parts[p.prompts[row]]), int(p.parts[p.prompts[row + 1]])

    def _ids(self, first, last):
        p = self.prompts
        return tuple(p.pieces[p.tokens[first] : p.tokens[last]].tolist())
