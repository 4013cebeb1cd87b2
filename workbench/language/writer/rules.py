"""Rules: which pieces may be written next, so that a filling ends in time, closes its brackets, and holds known words."""

import numpy as np

from workbench.language.writer.tokens import END
from workbench.language.writer.trie import NEVER, nested

_ROWS = 3000  # rows of what may be written next that are kept


class State:
    """What has been written in a gap: the node of the trie, brackets still to be closed, how many pieces.

    `start`: whether a blank stands before the gap; `before`: the piece before it, -1 if that does not matter.
    """

    __slots__ = ("before", "count", "node", "open", "start")

    def __init__(self, spaced, before=-1):
        self.node, self.open, self.count, self.start, self.before = 0, "", 0, bool(spaced), before

    @classmethod
    def begun(cls, layout, number, tokens):
        """The state before anything is written in a gap of a `Layout`: an article before it says how it may begin."""
        gap, before = layout.gaps[number], layout.neighbours[number][0]
        return cls(gap.spaced, before if gap.spaced and before in tokens.clashes else -1)

    def step(self, piece, tokens):
        """Go on by any piece."""
        trie = tokens.trie
        after = trie.children[self.node].get(piece)
        # a known token goes on if it can, otherwise the next begins
        self.node = after if after is not None else trie.children[0].get(piece, 0)
        if piece in tokens.brackets:
            still = nested(self.open, tokens.brackets[piece])
            self.open = "" if still is None else still
        self.count += 1


class Rules:
    """Which pieces are allowed in a `State`: those from which a filling can still end in time, all brackets closed.

    Args:
        tokens: `Tokens`.
        known: bool, hold words to those that the tokens know.
        most: int, pieces of a filling at most.
    """

    def __init__(self, tokens, known, most):
        self.tokens, self.known, self.most = tokens, known, most
        trie = tokens.trie
        if known:
            self.begin = trie.starts > 0
            self.costs = np.full(tokens.size, NEVER)  # pieces of the shortest token that a piece begins
            for piece, node in trie.children[0].items():
                self.costs[piece] = 1 + trie.needs[node]
        else:
            self.begin = np.stack([tokens.written & ~tokens.marked, tokens.written & tokens.marked])
            self.costs = np.where(tokens.written, 1, NEVER)
        glued = self.begin[0] & (self.costs == 1)
        self.closers = {found for piece, found in tokens.brackets.items() if glued[piece]}
        self.brackets = np.array(sorted(tokens.brackets), np.int64)
        costs = np.concatenate([self.costs, trie.needs])
        self._far, self._rows = int(costs[costs < NEVER].max(initial=1)) + 4 + 4 * min(trie.word, 8), {}

    def allowed(self, state):
        """Bool (v,), not to be changed: it is kept for the next state like this one."""
        # With enough room left it plays no part how much.
        left = min(self.most - state.count, self._far + 4 * len(state.open))
        start = (state.start, state.before) if not state.count else None
        key = (state.node if self.known else -1, state.open, left, start)
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= _ROWS:
                self._rows = {}
            row = self._rows[key] = self._allowed(state)
        return row

    def _allowed(self, state):
        tokens, trie, known = self.tokens, self.tokens.trie, self.known
        left = self.most - state.count
        room = left - self._closing(state.open)
        done = state.count > 0 and (not known or bool(trie.ends[state.node]))
        if not state.count:
            row = self.begin[int(state.start)]
            if known and state.before in tokens.clashes:
                agreeing = row & ~tokens.clashes[state.before]
                row = agreeing if agreeing.any() else row
        elif not known:
            row = tokens.written
        else:
            row = trie.after[trie.kinds[state.node]] if done else np.zeros(tokens.size, bool)
        fits = row & (self.costs <= room)
        for piece in self.brackets[row[self.brackets]].tolist():
            still = nested(state.open, tokens.brackets[piece])
            fits[piece] = still is not None and self.costs[piece] + self._closing(still, True) <= left
        if known and state.count:
            for piece, node in trie.children[state.node].items():  # a token goes on
                fits[piece] = 1 + trie.needs[node] <= room
        fits[END] = done and not state.open and not (known and trie.unfinished(state.node))
        if not fits.any():  # no token is short enough
            fits[END] = True
        return fits

    def _closing(self, still, after_bracket=False):
        """Pieces it takes to close brackets: one if they are known tokens, after a word, as brackets in a row are one token."""
        if not still:
            return 0
        if not self.known:
            return len(still) if self.closers.issuperset(still) else NEVER
        return 1 + after_bracket * self.tokens.trie.word if still[::-1] in self.closers else NEVER
