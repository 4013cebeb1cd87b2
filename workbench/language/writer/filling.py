"""Filling: gaps are filled piece by piece, with the exact log-probability of what was or could have been written."""

from typing import NamedTuple

import numpy as np
import torch

from workbench import checks
from workbench.language.writer.config import CONTENT_DIMS, SPELLED_DIMS
from workbench.language.writer.content import ContentPrior
from workbench.language.writer.layout import NEIGHBOURS
from workbench.language.writer.rules import Rules, State
from workbench.language.writer.tokens import END, FILL, GO
from workbench.models.cut import Cut

NOISE = -2  # as `Gap.slot`: content is drawn from the prior when the gap is reached
KNOWN_PIECES, FREE_PIECES = 32, 256  # pieces of a filling at most: of known words, and where any word may be spelled
_CHUNK = 256  # candidates scored at once
_ROWS = 64  # layouts filled at once: those of one length, so that none waits for others and memory is not moved for nothing


class Filled(NamedTuple):
    """What `fill` returns: `fills` per layout a list of tuples of pieces, `log_probs` float64 (b,) in nats, `content` float32
    (rows, c), which gaps refer to by `slots`, per layout a list of int.
    """

    fills: list
    log_probs: np.ndarray
    content: np.ndarray
    slots: list


class GapFiller:
    """Fills and scores layouts with a trained `Network`; no gradients.

    Args:
        network: `Network`, in evaluation mode.
        tokens: `Tokens`.
        options: `Decoding`; None to score any text.
        prior: `ContentPrior` that noise is drawn from; None is the Gaussian without exemplars.
        most: int, pieces of a filling at most; None is the constant for known or for any words.
    """

    def __init__(self, network, tokens, options, prior=None, most=None):
        self.network, self.tokens, self.prior = network, tokens, prior or ContentPrior()
        self.cut, known = (Cut(), None) if options is None else (options.cut, options.known)
        self.rules = Rules(tokens, known, most or (KNOWN_PIECES if known else FREE_PIECES))
        self.device = next(network.parameters()).device

    @torch.inference_mode()
    def fill(self, layouts, content=None, blend=1.0, seed=0):
        """Write into every gap, from left to right.

        Args:
            layouts: list of b `Layout`; fillings they have are ignored.
            content: float32 (rows, c) that `Gap.slot` refers to, or None.
            blend: float 0..1, how near drawn content is to the given one. 1 takes that as it is, and so is content with a
                spelling.
            seed: int.

        Returns:
            `Filled`. Where content is drawn from the prior, `log_probs` are given that content.
        """
        seed = checks.seed(seed)
        if len(layouts) > _ROWS:
            return self._in_turns(layouts, content, blend, seed)
        network, device = self.network, self.device
        generator = torch.Generator().manual_seed(seed)
        b, prefix = len(layouts), self._prefix(layouts)
        rows = [torch.zeros(0, CONTENT_DIMS + SPELLED_DIMS) if content is None else torch.as_tensor(content, dtype=torch.float32)]
        spelled = rows[0][:, CONTENT_DIMS:].any(1).tolist()
        slots = [[gap.slot for gap in layout.gaps] for layout in layouts]
        fills = [[[] for _ in layout.gaps] for layout in layouts]
        log_probs = np.zeros(b)
        at = np.zeros(b, np.int64)  # gap each prompt is at
        piece = np.full(b, FILL)  # fed next
        numbers = prefix.lengths.clone()
        states = [State.begun(layout, 0, self.tokens) if layout.gaps else None for layout in layouts]
        n_gaps = np.diff(prefix.offsets)
        alive = np.flatnonzero(n_gaps)
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
            x = network.pieces(ids) + network.codes(codes) + prefix.near[prefix.offsets[alive] + at[alive]][:, None]
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
                if given == NOISE or (given >= 0 and blend < 1 and not spelled[given]):
                    mean, scale = (x.cpu() for x in network.prior_of(hidden[j : j + 1]))
                    wanted = rows[0][given : given + 1, :CONTENT_DIMS] if given >= 0 else None
                    slots[i][at[i]] = sum(map(len, rows))
                    rows.append(self.prior.sample(gaps[j].code, mean, scale, generator, wanted, blend))
            piece[alive[begins]] = GO
            writing = np.setdiff1d(np.arange(len(alive)), begins)
            if not len(writing):
                continue
            who = alive[writing]
            allowed = torch.as_tensor(np.stack([self.rules.allowed(states[i]) for i in who]))
            scores, _ = self.cut.log_law(network.logits(hidden[writing]).cpu(), allowed)
            # exponential races instead of multinomial: one draw per piece, the same on every backend
            noise = torch.empty(scores.shape).exponential_(generator=generator)
            picked = (scores - noise.log()).argmax(1)
            log_probs[who] += scores.gather(1, picked[:, None])[:, 0].double().numpy()
            for i, one in zip(who, picked.tolist(), strict=True):
                if one == END:
                    at[i] += 1
                    piece[i] = FILL
                    if at[i] < n_gaps[i]:
                        states[i] = State.begun(layouts[i], at[i], self.tokens)
                else:
                    fills[i][at[i]].append(one)
                    states[i].step(one, self.tokens)
                    piece[i] = one
            alive = np.flatnonzero(at < n_gaps)
        return Filled([[tuple(f) for f in one] for one in fills], log_probs, torch.cat(rows).numpy(), slots)

    def _in_turns(self, layouts, content, blend, seed):
        """`Filled` of many layouts, a few of near length at a time."""
        order = sorted(range(len(layouts)), key=lambda i: len(layouts[i].ids) + 2 * len(layouts[i].gaps))
        given = 0 if content is None else len(content)
        fills, slots, log_probs, drawn = [None] * len(layouts), [None] * len(layouts), np.zeros(len(layouts)), []
        for turn, first in enumerate(range(0, len(order), _ROWS)):
            rows = order[first : first + _ROWS]
            found = self.fill([layouts[i] for i in rows], content, blend, seed + 15_485_863 * turn)
            log_probs[rows] = found.log_probs
            shift = sum(map(len, drawn))
            for i, fill, some in zip(rows, found.fills, found.slots, strict=True):
                fills[i], slots[i] = fill, [slot + shift if slot >= given else slot for slot in some]
            drawn.append(found.content[given:])
        kept = found.content[:given]
        return Filled(fills, log_probs, np.concatenate([kept, *drawn]), slots)

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
        prefix = self._prefix(layouts)
        content = None if content is None else torch.as_tensor(content, device=self.device).float()
        out = np.zeros(len(fills))
        order = np.argsort([sum(map(len, fill)) for fill in fills], kind="stable")
        for first in range(0, len(order), _CHUNK):
            rows = order[first : first + _CHUNK]
            out[rows] = self._score(layouts, prefix, content, owner[rows], [fills[i] for i in rows])
        return out

    def _score(self, layouts, prefix, given, owner, fills):
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
                codes[i, at:stop], places[i, at:stop], gap[i, at:stop] = one.code, mark, prefix.offsets[o] + j
                content[i, at + 1 : stop], steps[i, at + 1 : stop] = one.slot, np.arange(len(pieces) + 1)
                state = State.begun(layout, j, self.tokens)
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
        x = self.network.pieces(ids) + self.network.codes(codes) + prefix.near[gap]
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
            scores, _ = self.cut.log_law(self.network.logits(hidden[part]).cpu(), allowed)
            found[part] = scores.gather(1, torch.tensor(targets[part])[:, None])[:, 0].double().numpy()
        return np.bincount(np.array(positions) // t, weights=found, minlength=c)

    def _prefix(self, layouts):
        """What is the same for all that may fill the gaps."""
        lengths = torch.tensor([len(layout.ids) for layout in layouts], device=self.device)
        b, p = len(layouts), int(lengths.max())
        table = np.zeros((2, b, p), np.int64)
        for i, layout in enumerate(layouts):
            table[:, i, : len(layout.ids)] = layout.ids, layout.codes
        ids, codes = torch.as_tensor(table, device=self.device)
        x = self.network.pieces(ids) + self.network.codes(codes)
        at = torch.arange(p, device=self.device)
        valid = at[None] < lengths[:, None]
        # padding sees itself alone, as a row without any key would be NaN
        mask = valid[:, None, None] | torch.eye(p, dtype=torch.bool, device=self.device)
        _, past = self.network.decoder(x, at.expand(b, p), at.expand(b, p), mask)
        near = [row for layout in layouts for row in layout.neighbours]
        near = torch.tensor(near, dtype=torch.int64, device=self.device).reshape(-1, NEIGHBOURS)
        near = self.network.near(self.network.pieces(near).flatten(1))
        return Prefix(past, valid, lengths, near, np.cumsum([0] + [len(layout.gaps) for layout in layouts]))


class Prefix(NamedTuple):
    """`past`: per layer (keys, values) of the visible parts; `valid` bool (b, p); `lengths` int64 (b,).

    `near` float (g, d): what the neighbours of each gap add to its input; `offsets` int64 (b + 1,), first gap of each layout.
    """

    past: list
    valid: torch.Tensor
    lengths: torch.Tensor
    near: torch.Tensor
    offsets: np.ndarray
