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
        self.steer = None if options is None else options.steer
        self.rules = Rules(tokens, known, most or (KNOWN_PIECES if known else FREE_PIECES))
        self.device = next(network.parameters()).device

    @torch.inference_mode()
    def fill(self, layouts, content=None, blend=1.0, seed=0, enough=None):
        """Write into every gap, from left to right.

        Args:
            layouts: list of b `Layout`; fillings they have are ignored.
            content: float32 (rows, c) that `Gap.slot` refers to, or None.
            blend: float 0..1, how near drawn content is to the given one. 1 takes that as it is, and so is content with a
                spelling.
            seed: int.
            enough: function, which layouts are filled bool (b,) -> whether to leave the others as they are; None: never. It is
                not asked where there are so many that they are filled in turns.

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
        trail = torch.zeros(b, 0, 2 * network.pieces.weight.shape[1], device=device)  # states so far, for `steer`
        while len(alive):
            if len(alive) < len(there):  # finished prompts leave the batch
                keep = torch.as_tensor(np.flatnonzero(np.isin(there, alive)))
                past = [(k[keep], v[keep]) for k, v in past]
                valid, numbers, there, trail = valid[keep], numbers[keep], alive, trail[keep]
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
            if self.steer is not None:
                trail = torch.cat([trail, self._state(hidden, ids[:, 0])[:, None]], 1)
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
            logits = network.logits(hidden[writing]).cpu()
            if self.steer is not None:
                # what stands in the input of the next piece besides that piece, as it stands in the input of this one
                added = x[writing, 0] - network.pieces(ids[writing, 0])
                for j, at_row in enumerate(writing.tolist()):
                    if index[at_row] >= 0:
                        i, own = alive[at_row], torch.cat(rows)[index[at_row]][None].to(device)
                        step = torch.tensor([len(fills[i][at[i]])], device=device)
                        added[j] += (network.mapping(own, step + 1) - network.mapping(own, step))[0]
                behind = _Behind(
                    added, numbers[writing], places[writing, 0], valid[writing], [(k[writing], v[writing]) for k, v in past]
                )
                logits = self._steered(logits, allowed, behind, trail[writing])
            scores, _ = self.cut.log_law(logits, allowed)
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
            if enough is not None and enough(at >= n_gaps):
                break
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
        hidden, past = self.network.decoder(x, numbers, places, mask, past)
        trail = None if self.steer is None else self._state(hidden, ids)
        hidden = hidden.reshape(c * t, -1)[torch.as_tensor(positions, device=device)]
        found = np.zeros(len(targets))
        size = 2048 if self.steer is None else _CHUNK
        for first in range(0, len(targets), size):
            part = slice(first, first + size)
            allowed = torch.as_tensor(np.stack(masks[part]))
            logits = self.network.logits(hidden[part]).cpu()
            if self.steer is not None:
                row, place = np.divmod(np.array(positions[part]), t)
                added = x[row, place] - self.network.pieces(ids[row, place])
                for j in np.flatnonzero(content[row, place] >= 0):
                    own = given[content[row[j], place[j]]][None]
                    step = torch.tensor([steps[row[j], place[j]]], device=device)
                    added[j] += (self.network.mapping(own, step + 1) - self.network.mapping(own, step))[0]
                valid = mask[row, 0, place]
                behind = _Behind(added, numbers[row, place] + 1, places[row, place], valid, [(k[row], v[row]) for k, v in past])
                so_far = torch.minimum(torch.arange(t)[None], torch.as_tensor(place)[:, None])  # the last one again and again
                so_far = trail[torch.as_tensor(row)[:, None], so_far]
                logits = self._steered(logits, allowed, behind, so_far, torch.tensor(targets[part]))
            scores, _ = self.cut.log_law(logits, allowed)
            found[part] = scores.gather(1, torch.tensor(targets[part])[:, None])[:, 0].double().numpy()
        return np.bincount(np.array(positions) // t, weights=found, minlength=c)

    def _state(self, hidden, ids):
        """What a value head reads: hidden states (..., d), and the embeddings of pieces beside them: float (..., 2 d)."""
        return torch.cat([hidden, self.network.pieces(ids)], -1)

    def _steered(self, logits, allowed, behind, trail, taken=None):
        """Scores (n, v) as `steer` makes them."""

        def ahead(pieces):
            """Pieces int64 (n, k) -> states after each, float (n, k, 2 d), and those along the filling, float (n, t, 2 d)."""
            pieces = pieces.to(self.device)
            n, k = pieces.shape
            x = self.network.pieces(pieces) + behind.added[:, None]
            own = torch.eye(k, dtype=torch.bool, device=self.device).expand(n, k, k)
            mask = torch.cat([behind.valid[:, None].expand(n, k, -1), own], 2)[:, None]
            hidden, _ = self.network.decoder(
                x, behind.numbers[:, None].expand(n, k), behind.places[:, None].expand(n, k), mask, behind.past
            )
            return self._state(hidden, pieces), trail

        return self.steer(logits.masked_fill(~allowed, -torch.inf), ahead, taken)

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


class _Behind(NamedTuple):
    """Where n fillings stand: `added` float (n, d), what the next input has besides its piece; `numbers` and `places` int64 (n,),
    its coordinates; `valid` bool (n, s), what it sees; `past`, keys and values of that.
    """

    added: torch.Tensor
    numbers: torch.Tensor
    places: torch.Tensor
    valid: torch.Tensor
    past: list


class Prefix(NamedTuple):
    """`past`: per layer (keys, values) of the visible parts; `valid` bool (b, p); `lengths` int64 (b,).

    `near` float (g, d): what the neighbours of each gap add to its input; `offsets` int64 (b + 1,), first gap of each layout.
    """

    past: list
    valid: torch.Tensor
    lengths: torch.Tensor
    near: torch.Tensor
    offsets: np.ndarray
