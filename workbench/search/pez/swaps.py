"""Methods that swap tokens: HotFlip (AutoPrompt), GCG, and the polish at the end of the others."""

import torch

_PLACES = 128  # positions whose gradient meets the whole vocabulary at once; 200 kB each with a real one


class Swaps:
    """Prompts ids (n, t) of all rows; `step` tries swaps that the gradient proposes.

    Args:
        run: `Run`.
        kind: str. "hotflip": all candidates at a random position, the best is taken if it is better (AutoPrompt, section 2.2);
            "polish": the same, position after position, starting from the best prompts so far, and the token there may also
            change places with another; "gcg": `width` random swaps at random positions, the best is taken even if it is worse
            (GCG, algorithm 1).
    """

    def __init__(self, run, kind):
        self.run, self.kind, self.made = run, kind, 0
        every = torch.arange(run.searches * run.restarts, device=run.device)
        if kind == "polish":
            lost = run.best_ids[:, :1] < 0  # nothing usable was met: go on from where the row is
            self.ids = torch.where(lost, run.ids, run.best_ids)
            self.similarity = torch.where(lost[:, 0], run.similarity, run.best_similarity)
        else:
            self.ids = run.random_ids(every)
            self.similarity = run.score(self.ids, every)
        self.total = run.totals(self.ids, self.similarity)
        self.idle = torch.zeros_like(every)  # steps since the last swap of a row

    def step(self, rows, fraction):
        """Try swaps in `rows`. Returns (ids int64 (n, t), similarity float32 (n,)) after them."""
        ids, total = self.ids[rows], self.total[rows]
        _, gradient = self.run.gradient(self.run.objective.table[ids], rows)
        if self.kind == "gcg":
            tried = self._random_swaps(ids, gradient, rows)
        else:
            places = self._places(rows)
            tried = self._swaps_at(ids, gradient, places)
            if self.kind == "polish":
                tried = torch.cat([tried, _exchanges(ids, places)], 1)
        n, c, t = tried.shape
        flat = tried.reshape(-1, t)
        similarity = self.run.score(flat, rows.repeat_interleave(c))
        # only gcg goes on to what is worse, and whoever may not stay
        least = torch.full_like(total, -torch.inf) if self.kind == "gcg" else total.where(self._usable(ids), -torch.inf)
        totals = self.run.totals(flat, similarity, least.repeat_interleave(c)).view(n, c)
        number = self.run.choose(tried, totals)
        each = torch.arange(n, device=ids.device)
        better = number >= 0
        if self.kind != "gcg":
            better &= totals[each, number] > least
        number, each, rows_better = number[better], each[better], rows[better]
        self.ids[rows_better] = tried[each, number]
        self.similarity[rows_better] = similarity.view(n, c)[each, number]
        self.total[rows_better] = totals[each, number]
        self.made += 1
        self.idle[rows] = torch.where(better, 0, self.idle[rows] + 1)
        return self.ids[rows], self.similarity[rows]

    def settled(self, rows):
        """Of which rows (n,) a whole round of positions brought nothing, so that a further polish would not either."""
        return self.idle[rows] >= self.run.length

    def _usable(self, ids):
        """Whether the present prompts (n,) may stay: those that may not are left for any that may."""
        run = self.run
        if not run.vocabulary.blocked and not run.config.insist:
            return torch.ones(len(ids), dtype=torch.bool, device=ids.device)
        return torch.tensor([run._usable(row) for row in ids.tolist()], device=ids.device)

    def _places(self, rows):
        if self.kind == "polish":
            return torch.full((len(rows),), self.made % self.run.length, device=rows.device)
        length, restarts = self.run.length, self.run.restarts
        return self.run.draw(rows, lambda g: torch.randint(length, (restarts,), generator=g))

    def _swaps_at(self, ids, gradient, places):
        """The candidates (n, c, t) that differ from ids (n, t) at `places` (n,)."""
        each = torch.arange(len(ids), device=ids.device)
        tokens = self._proposals(gradient[each, places], ids[each, places])
        tried = ids[:, None].repeat(1, tokens.shape[1], 1)
        return tried.scatter_(2, places[:, None, None].expand(-1, tokens.shape[1], 1), tokens[..., None])

    def _random_swaps(self, ids, gradient, rows):
        run, (n, t) = self.run, ids.shape
        tokens = self._proposals(gradient.reshape(n * t, -1), ids.reshape(-1)).view(n, t, -1)
        shape, k = (run.restarts, run.config.width), tokens.shape[2]
        places = run.draw(rows, lambda g: torch.randint(t, shape, generator=g))
        which = run.draw(rows, lambda g: torch.randint(k, shape, generator=g))
        chosen = tokens[torch.arange(n, device=ids.device)[:, None], places, which]
        return ids[:, None].repeat(1, shape[1], 1).scatter_(2, places[..., None], chosen[..., None])

    def _proposals(self, gradient, present):
        """Ids (m, k) of the tokens that a gradient (m, w) promises most from, the `present` ones (m,) left out."""
        run, out = self.run, []
        k = max(1, min(run.config.candidates, len(run.allowed) - 1))
        for slope, token in zip(gradient.split(_PLACES), present.split(_PLACES), strict=True):
            gain = slope @ run.table.t()
            gain.masked_fill_(run.allowed[None] == token[:, None], -torch.inf)
            out.append(run.allowed[gain.topk(k, dim=1).indices])
        return torch.cat(out)

    def state(self):
        """Tensors that `restore` takes."""
        tensors = {"ids": self.ids, "similarity": self.similarity, "total": self.total, "idle": self.idle}
        return {f"swap_{name}": tensor for name, tensor in tensors.items()} | {"swap_made": torch.tensor(self.made)}

    def restore(self, tensors):
        """Go on from `state`."""
        for name in ("ids", "similarity", "total", "idle"):
            setattr(self, name, tensors[f"swap_{name}"])
        self.made = int(tensors["swap_made"])


def _exchanges(ids, places):
    """The prompts (n, t, t) in which the token at `places` (n,) of ids (n, t) and that at each position have changed places."""
    n, t = ids.shape
    out = ids[:, None].repeat(1, t, 1)
    every = torch.arange(t, device=ids.device)
    out[:, every, every] = ids.gather(1, places[:, None]).expand(-1, t)
    return out.scatter_(2, places[:, None, None].expand(-1, t, 1), ids[..., None])
