"""Decoding: filling gaps piece by piece, and the exact log-probability of what was or could have been written."""

import math
import numbers
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from workbench.language.writer.exemplars import draw
from workbench.language.writer.tokens import END, FILL, GO
from workbench.language.writer.trie import NEVER, nested

NOISE = -2  # as `Gap.slot`: content is drawn from the prior when the gap is reached
_ROWS = 3000  # rows of what may be written next that are kept
_CHUNK = 256  # candidates scored at once


@dataclass(frozen=True)
class Decoding:
    """How pieces are chosen.

    `temperature` > 0 divides the scores; then the `top_k` best pieces are kept (0: all), then the fewest that hold `top_p` of
    the probability. `known` holds words to those of the corpus. A filling has at most `max_pieces` pieces.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    known: bool = True
    max_pieces: int = 32

    def __post_init__(self):
        if not isinstance(self.temperature, numbers.Real) or not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be above 0, got {self.temperature!r}. Near 0 the best piece always wins.")
        if not isinstance(self.top_k, numbers.Integral) or isinstance(self.top_k, bool) or self.top_k < 0:
            raise ValueError(f"top_k must be an int, 0 for all pieces or a number of pieces, got {self.top_k!r}.")
        if not isinstance(self.top_p, numbers.Real) or not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p!r}.")
        if not isinstance(self.max_pieces, numbers.Integral) or self.max_pieces < 1:
            raise ValueError(f"max_pieces must be 1 or more, got {self.max_pieces!r}.")


class Filled(NamedTuple):
    """What `fill` returns: `fills` per layout a list of tuples of pieces, `log_probs` float64 (b,) in nats, `content` float32
    (rows, c), that which gaps refer to by `slots`, per layout a list of int.
    """

    fills: list
    log_probs: np.ndarray
    content: np.ndarray
    slots: list


class State:
    """What has been written in a gap: the node of the trie, brackets still to be closed, how many pieces.

    `start`: whether a blank stands before the gap; `behind`: the piece before it, -1 if that does not matter.
    """

    __slots__ = ("behind", "count", "node", "open", "start")

    def __init__(self, spaced, behind=-1):
        self.node, self.open, self.count, self.start, self.behind = 0, "", 0, bool(spaced), behind

    def step(self, piece, tokens):
        """Go on by any piece."""
        trie = tokens.trie
        after = trie.children[self.node].get(piece)
        # a known token goes on if it can, else the next begins
        self.node = after if after is not None else trie.children[0].get(piece, 0)
        if piece in tokens.brackets:
            still = nested(self.open, tokens.brackets[piece])
            self.open = "" if still is None else still
        self.count += 1


class Rules:
    """Which pieces are allowed in a `State`: those from which a filling can still end in time, all brackets closed."""

    def __init__(self, tokens, options):
        self.tokens, self.options = tokens, options
        trie = tokens.trie
        if options.known:
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
        left = min(self.options.max_pieces - state.count, self._far + 4 * len(state.open))
        start = (state.start, state.behind) if not state.count else None
        key = (state.node if self.options.known else -1, state.open, left, start)
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= _ROWS:
                self._rows = {}
            row = self._rows[key] = self._allowed(state)
        return row

    def _allowed(self, state):
        tokens, trie, known = self.tokens, self.tokens.trie, self.options.known
        left = self.options.max_pieces - state.count
        room = left - self._closing(state.open)
        done = state.count > 0 and (not known or bool(trie.ends[state.node]))
        if not state.count:
            row = self.begin[int(state.start)]
            if known and state.behind in tokens.clashes:
                agreeing = row & ~tokens.clashes[state.behind]
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
        """Pieces it takes to close brackets. Of known tokens one, behind a word, as brackets in a row are read as one token."""
        if not still:
            return 0
        if not self.options.known:
            return len(still) if self.closers.issuperset(still) else NEVER
        return 1 + after_bracket * self.tokens.trie.word if still[::-1] in self.closers else NEVER


def chosen_log_probs(logits, allowed, options):
    """Log-probabilities under temperature, top-k and top-p, in this order: float32 (n, v), -inf for what is cut.

    Args:
        logits: float32 (n, v).
        allowed: bool (n, v).
        options: `Decoding`.

    Source:
        Holtzman et al., arXiv:1904.09751, section 3.1 (top-p).
    """
    scores = logits.masked_fill(~allowed, -torch.inf) / options.temperature
    if options.top_k and options.top_k < scores.shape[1]:
        least = scores.topk(options.top_k, dim=1).values[:, -1:]
        scores = scores.masked_fill(scores < least, -torch.inf)
    if options.top_p < 1:
        ordered, order = scores.softmax(1).sort(dim=1, descending=True, stable=True)
        # the first piece always stays; another if those before it hold less than top_p
        cut = ordered.cumsum(1) - ordered >= options.top_p
        scores = scores.masked_fill(torch.zeros_like(cut).scatter(1, order, cut), -torch.inf)
    return scores.log_softmax(1)


class Decoder:
    """Fills and scores layouts with a trained `Network`; no gradients.

    Args:
        network: `Network`, in evaluation mode.
        tokens: `Tokens`.
        options: `Decoding`.
        exemplars: `Exemplars` that noise is turned into; None draws from the Gaussian prior.
    """

    def __init__(self, network, tokens, options, exemplars=None):
        self.network, self.tokens, self.options, self.exemplars = network, tokens, options, exemplars
        self.rules = Rules(tokens, options)
        self.device = next(network.parameters()).device

    @torch.inference_mode()
    def fill(self, layouts, content=None, blend=1.0, seed=0):
        """Write into every gap, from left to right.

        Args:
            layouts: list of b `Layout`; fillings they have are ignored.
            content: float32 (rows, c) that `Gap.slot` refers to, or None.
            blend: float 0..1, how near drawn content is to the given one; 1 takes it as it is, and so is content that tells a
                spelling. With exemplars it weighs nearness when one is chosen; without, content is
                blend * given + sqrt(1 - blend^2) * drawn.
            seed: int.

        Returns:
            `Filled`. Where content is drawn from the prior, `log_probs` are given that content.
        """
        network, device = self.network, self.device
        generator = torch.Generator().manual_seed(seed)
        prefix = self._prefix(layouts)
        b, dims, spelled = len(layouts), network.config.content_dims, network.config.spelled_dims
        rows = [torch.zeros(0, dims + spelled) if content is None else torch.as_tensor(content, dtype=torch.float32)]
        n_rows, told = len(rows[0]), rows[0][:, dims:].any(1).tolist()
        slots = [[gap.slot for gap in layout.gaps] for layout in layouts]
        shared = network.config.content == "global"
        near = self._near(layouts)
        offsets = np.cumsum([0] + [len(layout.gaps) for layout in layouts])
        fills = [[[] for _ in layout.gaps] for layout in layouts]
        log_probs = np.zeros(b)
        at = np.zeros(b, np.int64)  # gap each prompt is at
        piece = np.full(b, FILL)  # fed next
        numbers = prefix.lengths.clone()
        states = [self._begun(layout, 0) if layout.gaps else None for layout in layouts]
        active = np.array([bool(layout.gaps) for layout in layouts])
        alive = np.flatnonzero(active)
        past, valid, there = prefix.past, prefix.valid, np.arange(b)
        while len(alive):
            if len(alive) < len(there):  # finished prompts leave the batch
                keep = torch.as_tensor(np.flatnonzero(np.isin(there, alive)))
                past = [(k[keep], v[keep]) for k, v in past]
                valid, numbers, there = valid[keep], numbers[keep], alive
            gaps = [layouts[i].gaps[at[i]] for i in alive]
            ids = torch.as_tensor(piece[alive])[:, None].to(device)
            codes = torch.tensor([gap.code for gap in gaps])[:, None].to(device)
            places = torch.tensor([layouts[i].marks[at[i]] for i in alive])[:, None].to(device)
            x = network.pieces(ids) + network.codes(codes) + near[offsets[alive] + at[alive]][:, None]
            index = [slots[i][at[i]] if p != FILL else -1 for i, p in zip(alive, piece[alive], strict=True)]
            seen = [j for j, slot in enumerate(index) if slot >= 0]
            if seen:
                every = torch.cat(rows)[[index[j] for j in seen]].to(device)
                steps = torch.tensor([len(fills[alive[j]][at[alive[j]]]) for j in seen], device=device)
                x[seen, 0] += network.mapping(every, steps)
            valid = torch.cat([valid, valid.new_ones(len(alive), 1)], 1)
            hidden, past = network.decoder(x, numbers[:, None], places, valid[:, None, None], past)
            hidden, numbers = hidden[:, 0], numbers + 1
            begins = np.array([j for j, p in enumerate(piece[alive]) if p == FILL], np.int64)
            for j in begins:  # the content of this gap, before its words
                i = alive[j]
                given = slots[i][at[i]]
                if given == NOISE or (given >= 0 and blend < 1 and not told[given]):
                    drawn = [s for s in slots[i][: at[i]] if s >= n_rows]
                    if shared and drawn:
                        slots[i][at[i]] = drawn[0]
                        continue
                    mean, scale = network.prior_of(hidden[j : j + 1])
                    mean, scale = mean.cpu(), scale.cpu()
                    if self.exemplars is None or not len(self.exemplars.codes):
                        z = mean + scale.exp() * torch.randn(mean.shape, generator=generator)
                    else:
                        wanted = rows[0][given : given + 1, :dims] if given >= 0 else None
                        z = draw(self.exemplars, gaps[j].code, mean, scale, generator, wanted, blend)
                    if given >= 0 and self.exemplars is None:
                        z = blend * rows[0][given : given + 1, :dims] + math.sqrt(1 - blend**2) * z
                    slots[i][at[i]] = sum(map(len, rows))
                    rows.append(functional.pad(z, (0, spelled)))  # what is drawn has a meaning and no spelling
            piece[alive[begins]] = GO
            writing = np.setdiff1d(np.arange(len(alive)), begins)
            if not len(writing):
                continue
            who = alive[writing]
            allowed = torch.as_tensor(np.stack([self.rules.allowed(states[i]) for i in who]))
            scores = chosen_log_probs(network.logits(hidden[writing]).cpu(), allowed, self.options)
            # exponential races instead of multinomial: one draw per piece, the same on every backend
            noise = torch.empty(scores.shape).exponential_(generator=generator)
            picked = (scores - noise.log()).argmax(1)
            log_probs[who] += scores.gather(1, picked[:, None])[:, 0].double().numpy()
            for i, one in zip(who, picked.tolist(), strict=True):
                if one == END:
                    at[i] += 1
                    piece[i] = FILL
                    if at[i] < len(layouts[i].gaps):
                        states[i] = self._begun(layouts[i], at[i])
                    else:
                        active[i] = False
                else:
                    fills[i][at[i]].append(one)
                    states[i].step(one, self.tokens)
                    piece[i] = one
            alive = np.flatnonzero(active)
        return Filled([[tuple(f) for f in one] for one in fills], log_probs, torch.cat(rows).numpy(), slots)

    @torch.inference_mode()
    def score(self, layouts, fills, owner=None, content=None):
        """Log-probability of given fillings, exactly as `fill` would have drawn them.

        Args:
            layouts: list of `Layout`.
            fills: list of c lists, for each candidate a tuple of pieces per gap.
            owner: int (c,), which layout a candidate fills; None for one candidate per layout, in order.
            content: float32 (rows, c) that `Gap.slot` refers to, or None.

        Returns:
            float64 (c,), nats; -inf for what could not have been written.
        """
        owner = np.arange(len(layouts)) if owner is None else np.asarray(owner)
        prefix, near = self._prefix(layouts), self._near(layouts)
        offsets = np.cumsum([0] + [len(layout.gaps) for layout in layouts])
        content = None if content is None else torch.as_tensor(content, device=self.device).float()
        out = np.zeros(len(fills))
        order = np.argsort([sum(map(len, fill)) for fill in fills], kind="stable")
        for first in range(0, len(order), _CHUNK):
            rows = order[first : first + _CHUNK]
            out[rows] = self._score(layouts, prefix, near, offsets, content, owner[rows], [fills[i] for i in rows])
        return out

    def _score(self, layouts, prefix, near, offsets, given, owner, fills):
        c, device = len(fills), self.device
        t = max(1, max(sum(len(f) + 2 for f in fill) for fill in fills))
        ids, codes, places = np.full((c, t), FILL), np.zeros((c, t), np.int64), np.zeros((c, t), np.int64)
        gap, content, steps = np.zeros((c, t), np.int64), np.full((c, t), -1), np.zeros((c, t), np.int64)
        positions, targets, masks = [], [], []
        for i, (o, fill) in enumerate(zip(owner, fills, strict=True)):
            layout, at = layouts[o], 0
            for j, (one, mark, pieces) in enumerate(zip(layout.gaps, layout.marks, fill, strict=True)):
                stop = at + len(pieces) + 2
                ids[i, at:stop] = (FILL, GO, *pieces)
                codes[i, at:stop], places[i, at:stop], gap[i, at:stop] = one.code, mark, offsets[o] + j
                content[i, at + 1 : stop], steps[i, at + 1 : stop] = one.slot, np.arange(len(pieces) + 1)
                state = self._begun(layout, j)
                for k, piece in enumerate((*pieces, END)):
                    positions.append(i * t + at + 1 + k)
                    targets.append(piece)
                    masks.append(self.rules.allowed(state))
                    if piece != END:
                        state.step(piece, self.tokens)
                at = stop
        if not targets:
            return np.zeros(c)
        ids, codes, places, gap = (torch.as_tensor(a, device=device) for a in (ids, codes, places, gap))
        x = self.network.pieces(ids) + self.network.codes(codes) + near[gap]
        if given is not None:
            seen = np.nonzero(content >= 0)
            x[seen] += self.network.mapping(given[content[seen]], torch.as_tensor(steps[seen], device=device))
        rows = torch.as_tensor(owner)
        numbers = prefix.lengths[rows][:, None] + torch.arange(t, device=device)
        causal = torch.ones(t, t, dtype=torch.bool, device=device).tril()
        mask = torch.cat([prefix.valid[rows][:, None].expand(c, t, -1), causal.expand(c, t, t)], 2)[:, None]
        past = [(k[rows], v[rows]) for k, v in prefix.past]
        hidden, _ = self.network.decoder(x, numbers, places, mask, past)
        hidden = hidden.reshape(c * t, -1)[torch.as_tensor(positions, device=device)]
        found = np.zeros(len(targets))
        for first in range(0, len(targets), 2048):
            part = slice(first, first + 2048)
            allowed = torch.as_tensor(np.stack(masks[part]))
            scores = chosen_log_probs(self.network.logits(hidden[part]).cpu(), allowed, self.options)
            found[part] = scores.gather(1, torch.tensor(targets[part])[:, None])[:, 0].double().numpy()
        return np.bincount(np.array(positions) // t, weights=found, minlength=c)

    def _begun(self, layout, number):
        """The state before anything is written in a gap: an article in front of it says how it may begin."""
        gap, behind = layout.gaps[number], layout.neighbours[number][0]
        return State(gap.spaced, behind if gap.spaced and behind in self.tokens.clashes else -1)

    def _prefix(self, layouts):
        """Keys and values of the visible parts."""
        lengths = torch.tensor([len(layout.ids) for layout in layouts], device=self.device)
        b, p = len(layouts), int(lengths.max())
        ids, codes = np.zeros((b, p), np.int64), np.zeros((b, p), np.int64)
        for i, layout in enumerate(layouts):
            ids[i, : len(layout.ids)], codes[i, : len(layout.ids)] = layout.ids, layout.codes
        x = self.network.pieces(torch.as_tensor(ids, device=self.device)) + self.network.codes(
            torch.as_tensor(codes, device=self.device)
        )
        at = torch.arange(p, device=self.device)
        valid = at[None] < lengths[:, None]
        # padding sees itself alone, as a row without any key would be NaN
        mask = valid[:, None, None] | torch.eye(p, dtype=torch.bool, device=self.device)
        if not self.network.two_way:
            mask = mask.tril()
        _, past = self.network.decoder(x, at.expand(b, p), at.expand(b, p), mask)
        return Prefix(past, valid, lengths)

    def _near(self, layouts):
        near = [row for layout in layouts for row in layout.neighbours]
        table = torch.tensor(near, dtype=torch.int64, device=self.device).reshape(-1, 4)
        return self.network.near(self.network.pieces(table).flatten(1))


class Prefix(NamedTuple):
    """`past`: per layer (keys, values) of the visible parts; `valid` bool (b, p); `lengths` int64 (b,)."""

    past: list
    valid: torch.Tensor
    lengths: torch.Tensor
