"""Rules: which pieces may be written next, so that a filling ends in time and holds words only, known ones if asked for."""

import numpy as np

from workbench.language.writer.tokens import END
from workbench.language.writer.trie import NEVER

_ROWS = 3000  # rows of what may be written next that are kept


class State:
    """What has been written in a gap: the node of the trie, whether a word must follow (`Tokens.joins`), how many pieces.

    `start`: the row of `Rules.begin`; `before`: the piece before the gap, -1 if that does not matter.
    """

    __slots__ = ("before", "count", "joint", "node", "start")

    def __init__(self, start, before=-1):
        self.node, self.joint, self.count, self.start, self.before = 0, 0, 0, int(start), before

    @classmethod
    def begun(cls, layout, number, tokens):
        """The state before anything is written in a gap of a `Layout`: an article before it says how it may begin."""
        gap, before = layout.gaps[number], layout.neighbours[number][0]
        return cls(2 if gap.apart else gap.spaced, before if gap.spaced and before in tokens.clashes else -1)

    def step(self, piece, tokens):
        """Go on by any piece."""
        trie = tokens.trie
        after = trie.children[self.node].get(piece)
        # a known token goes on if it can, otherwise the next begins
        self.node = after if after is not None else trie.children[0].get(piece, 0)
        self.joint = int(tokens.joins[piece])
        self.count += 1


class Rules:
    """Which pieces are allowed in a `State`: those from which a filling can still end in time, as `trie.writable` text.

    Args:
        tokens: `Tokens`.
        known: bool, hold words to those that the tokens know; False allows any words. None allows any text, as people give it.
        most: int, pieces of a filling at most.
    """

    def __init__(self, tokens, known, most):
        self.tokens, self.known, self.most = tokens, known, most
        trie, marked = tokens.trie, tokens.marked
        # Rows: glued to what stands before the gap, after a blank, and after a blank that is written as part of the filling.
        if known:
            self.begin = trie.begin[[0, 1, 1]]
            self.costs = np.full(tokens.size, NEVER)  # pieces of the shortest token that a piece begins
            for piece, node in trie.children[0].items():
                self.costs[piece] = 1 + trie.needs[node]
        else:
            self.free = tokens.written if known is None else tokens.plain
            first = self.free if known is None else self.free & ~tokens.opens
            self.begin = np.stack([first & ~marked, first & marked, first if known is None else first & marked])
            self.costs = np.where(self.free, 1 if known is None else 1 + (tokens.joins > 0), NEVER)
        costs = np.concatenate([self.costs, 1 + trie.needs])
        self._far, self._rows = int(costs[costs < NEVER].max(initial=1)), {}

    def allowed(self, state):
        """Bool (v,), not to be changed: it is kept for the next state like this one."""
        left = min(self.most - state.count, self._far)  # with enough room left it plays no part how much
        start = (state.start, state.before) if not state.count else None
        key = (state.node if self.known else state.joint, left, start)
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= _ROWS:
                self._rows = {}
            row = self._rows[key] = self._allowed(state, left)
        return row

    def _allowed(self, state, left):
        tokens, trie, known = self.tokens, self.tokens.trie, self.known
        joint = state.joint if known is False else 0  # it needs a word after it; of known tokens the trie says so
        done = state.count > 0 and (not known or bool(trie.ends[state.node]))
        if not state.count:
            row = self.begin[state.start]
            if known and state.before in tokens.clashes:
                agreeing = row & ~tokens.clashes[state.before]
                row = agreeing if agreeing.any() else row
        elif not known:
            row = self.free & ~tokens.opens if joint else self.free
            row = row & ~tokens.marked if joint == 2 else row
        else:
            row = trie.after[trie.kinds[state.node]] if done else np.zeros(tokens.size, bool)
        fits = row & (self.costs <= left)
        if known and state.count:
            for piece, node in trie.children[state.node].items():  # a token goes on
                fits[piece] = 1 + trie.needs[node] <= left
        fits[END] = done and not joint and not (known and trie.unfinished(state.node))
        if not fits.any():  # no token is short enough
            fits[END] = True
        return fits
