"""Methods that swap tokens: what they share, HotFlip (AutoPrompt), GCG, and the polish at the end of other methods."""

import torch

from workbench.search.loop import Mover

_PLACES = 128  # positions whose gradient meets the whole vocabulary at once; 200 kB each with a real one


class Swaps(Mover):
    """Prompts ids (n, t) of all rows. A step scores the prompts of `propose` and takes the best.

    Attributes:
        takes_worse: bool, the best proposal is taken even if it is worse than the prompt before.
    """

    takes_worse = False
    kept = ("ids", "similarity", "total", "idle", "made")

    def __init__(self, run):
        super().__init__(run)
        self.ids, self.similarity = self.start()
        self.total = run.totals(self.ids, self.similarity)
        self.idle = torch.zeros_like(run.every)  # steps since the last swap of a row
        self.made = torch.zeros((), dtype=torch.long)  # steps

    def start(self):
        """(ids, similarity) of all rows at the beginning: random tokens."""
        ids = self.run.random_ids(self.run.every)
        return ids, self.run.score(ids, self.run.every)

    def propose(self, ids, gradient, rows):
        """Candidates int64 (n, c, t) in place of ids (n, t), given the gradient (n, t, w) at their vectors."""
        raise NotImplementedError

    def step(self, rows, progress):
        """The prompts after the swap and their similarity."""
        run, ids, total = self.run, self.ids[rows], self.total[rows]
        tried = self.propose(ids, run.objective.gradient(run.objective.table[ids], rows)[1], rows)
        n, c, t = tried.shape
        flat = tried.reshape(-1, t)
        similarity = run.score(flat, rows.repeat_interleave(c))
        # a prompt whose text is blocked is left for any that is not
        least = torch.full_like(total, -torch.inf) if self.takes_worse else total.where(run.usable(ids), -torch.inf)
        totals = run.totals(flat, similarity, least.repeat_interleave(c)).view(n, c)
        number, each = run.choose(tried, totals), torch.arange(n, device=ids.device)
        better = number >= 0
        if not self.takes_worse:
            better &= totals[each, number] > least
        number, each, swapped = number[better], each[better], rows[better]
        self.ids[swapped], self.total[swapped] = tried[each, number], totals[each, number]
        self.similarity[swapped] = similarity.view(n, c)[each, number]
        self.made += 1
        self.idle[rows] = torch.where(better, 0, self.idle[rows] + 1)
        return self.ids[rows], self.similarity[rows]

    def tokens(self, gradient, present):
        """Ids (m, k) of the tokens that a gradient (m, w) promises most from, without the `present` ones (m,)."""
        run, out = self.run, []
        k = max(1, min(run.config.candidates, len(run.allowed) - 1))
        for slope, token in zip(gradient.split(_PLACES), present.split(_PLACES), strict=True):
            gain = slope @ run.table.t()
            gain.masked_fill_(run.allowed[None] == token[:, None], -torch.inf)
            out.append(run.allowed[gain.topk(k, dim=1).indices])
        return torch.cat(out)

    def swaps_at(self, ids, gradient, places):
        """Candidates (n, c, t) that differ from ids (n, t) at `places` (n,)."""
        each = torch.arange(len(ids), device=ids.device)
        tokens = self.tokens(gradient[each, places], ids[each, places])
        tried = ids[:, None].repeat(1, tokens.shape[1], 1)
        return tried.scatter_(2, places[:, None, None].expand(-1, tokens.shape[1], 1), tokens[..., None])


class HotFlip(Swaps):
    """All candidates at a random position; the best is taken if it is better.

    Source:
        AutoPrompt, arXiv:2010.15980, section 2.2.
    """

    def propose(self, ids, gradient, rows):
        """The candidates at a random position of each row."""
        length, restarts = self.run.length, self.run.restarts
        return self.swaps_at(ids, gradient, self.run.draw(rows, lambda g: torch.randint(length, (restarts,), generator=g)))


class GCG(Swaps):
    """Greedy coordinate gradient: `width` random swaps at random positions; the best is taken even if it is worse.

    Source:
        Zou et al., arXiv:2307.15043, algorithm 1.
    """

    takes_worse = True

    def propose(self, ids, gradient, rows):
        """Random ones of the candidates at random positions."""
        run, (n, t) = self.run, ids.shape
        tokens = self.tokens(gradient.reshape(n * t, -1), ids.reshape(-1)).view(n, t, -1)
        shape, k = (run.restarts, run.config.width), tokens.shape[2]
        places = run.draw(rows, lambda g: torch.randint(t, shape, generator=g))
        which = run.draw(rows, lambda g: torch.randint(k, shape, generator=g))
        chosen = tokens[torch.arange(n, device=ids.device)[:, None], places, which]
        return ids[:, None].repeat(1, shape[1], 1).scatter_(2, places[..., None], chosen[..., None])


class Polish(Swaps):
    """From the best prompt of each search on: all candidates, position by position; the token may also move to another one."""

    best_only = True

    def start(self):
        """The best prompts so far; a row without a usable one goes on from where it is."""
        run = self.run
        lost = run.best_ids[:, 0] < 0
        return torch.where(lost[:, None], run.ids, run.best_ids), torch.where(lost, run.similarity, run.best_similarity)

    def propose(self, ids, gradient, rows):
        """The candidates at the next position, and the prompts in which its token and another one change places."""
        places = torch.full((len(rows),), int(self.made) % self.run.length, device=rows.device)
        return torch.cat([self.swaps_at(ids, gradient, places), exchanges(ids, places)], 1)

    def settled(self, rows):
        """Whether a whole round of positions changed nothing."""
        return self.idle[rows] >= self.run.length


def exchanges(ids, places):
    """The prompts (n, t, t) in which the token at `places` (n,) of ids (n, t) and that at each position have changed places."""
    n, t = ids.shape
    out = ids[:, None].repeat(1, t, 1)
    every = torch.arange(t, device=ids.device)
    out[:, every, every] = ids.gather(1, places[:, None]).expand(-1, t)
    return out.scatter_(2, places[:, None, None].expand(-1, t, 1), ids[..., None])
