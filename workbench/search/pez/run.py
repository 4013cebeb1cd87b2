"""The state that all methods share: the tokens to choose from, the draws, and the best prompt of each restart so far."""

import math

import torch

from workbench.search.pez.nearest import Nearest

_CHUNK = 512  # prompts scored at once
_LOOKED_AT = 64  # swaps looked at for text, the best first, before a position is left as it is


class Run:
    """Searches that run side by side; row i is restart i % restarts of search i // restarts.

    Args:
        objective: has `table` (v, w); `gradient(vectors, rows, draws) -> ((n,) scores, (n, t, w))`, the gradient of their sum,
            or with `config.strict` of their mean over the restarts, as in the released loop (AdamW all but evens that out);
            `score(vectors, rows) -> (n,)`; larger is better.
        vocabulary: `Vocabulary`.
        fluency: function from n texts to float32 (n,) nats, or None.
        config: `PEZConfig`.
        searches: int s.
    """

    def __init__(self, objective, vocabulary, fluency, config, searches):
        self.objective, self.vocabulary, self.fluency, self.config = objective, vocabulary, fluency, config
        self.device = objective.table.device
        self.allowed = vocabulary.allowed.to(self.device)
        whole = len(self.allowed) == len(objective.table)
        self.table = objective.table if whole else objective.table[self.allowed]
        self.nearest = Nearest(self.table, exact=config.restarts * config.length if config.strict else 0)
        self.searches, self.restarts, self.length = searches, config.restarts, config.length
        self.draws = [torch.Generator().manual_seed(config.seed + i) for i in range(searches)]
        n = searches * config.restarts
        self.ids = torch.zeros(n, config.length, dtype=torch.long, device=self.device)  # where the rows are now
        self.similarity = torch.full((n,), -math.inf, device=self.device)
        self.best_ids = torch.full_like(self.ids, -1)
        self.best_similarity = torch.full_like(self.similarity, -math.inf)
        self.best_total = torch.full_like(self.similarity, -math.inf)  # what fluency costs taken off
        self.best_again = torch.zeros(n, dtype=torch.bool, device=self.device)  # its text is split into the same tokens

    def draw(self, rows, function):
        """Draws for `rows`, whole searches: `function(generator)` of each search gives (restarts, ...); -> (len(rows), ...)."""
        searches = (rows[:: self.restarts] // self.restarts).tolist()
        return torch.cat([function(self.draws[i]) for i in searches]).to(self.device)

    def random_ids(self, rows):
        """Random tokens (n, t) to start from."""
        shape = (self.restarts, self.length)
        return self.allowed[self.draw(rows, lambda g: torch.randint(len(self.allowed), shape, generator=g))]

    def project(self, vectors):
        """Ids (n, t) of the tokens nearest to vectors (n, t, w)."""
        return self.allowed[self.nearest.find(vectors.reshape(-1, vectors.shape[-1]))].view(vectors.shape[:2])

    def gradient(self, vectors, rows):
        """Scores (n,) at vectors (n, t, w), and the gradient (n, t, w)."""
        return self.objective.gradient(vectors, rows, self.draws)

    def score(self, ids, rows):
        """Scores (n,) of prompts ids (n, t)."""
        parts = zip(ids.split(_CHUNK), rows.split(_CHUNK), strict=True)
        return torch.cat([self.objective.score(self.objective.table[part], some) for part, some in parts])

    def totals(self, ids, similarity, least=None):
        """Similarity (n,) less what the fluency of the texts of ids (n, t) costs; -inf if it cannot be more than `least` (n,)."""
        if not self.fluency or not len(ids):
            return similarity
        # nats are 0 at least, so most swaps need not be shown to the language model
        hopes = torch.ones_like(similarity, dtype=torch.bool) if least is None else similarity > least
        out = torch.full_like(similarity, -math.inf)
        if hopes.any():
            nats = self.fluency([self.vocabulary.text(row) for row in ids[hopes].tolist()])
            out[hopes] = similarity[hopes] - self.config.fluency * nats.to(similarity.device)
        return out

    def keep(self, rows, ids, similarity):
        """Note where `rows` are now, and keep what is better than all before."""
        self.ids[rows], self.similarity[rows] = ids, similarity
        # a search that looks for prompts that split again looks at all until it has one
        worth = (similarity > self.best_total[rows]) | (self.config.insist & ~self.best_again[rows])
        rows, ids, similarity = rows[worth], ids[worth], similarity[worth]
        if not len(rows):
            return
        total, lists = self.totals(ids, similarity), ids.tolist()
        fine = torch.tensor([self.vocabulary.clean(row) for row in lists], device=self.device)
        again = torch.zeros_like(fine)
        if self.config.insist:
            again = torch.tensor([self.vocabulary.retokenises(row) for row in lists], device=self.device)
        before = self.best_again[rows]
        better = fine & ((again & ~before) | ((again == before) & (total > self.best_total[rows])))
        rows = rows[better]
        self.best_ids[rows], self.best_similarity[rows] = ids[better], similarity[better]
        self.best_total[rows], self.best_again[rows] = total[better], again[better]

    def best_rows(self):
        """The row of the best prompt so far of each search."""
        order = [(bool(again), float(total)) for again, total in zip(self.best_again, self.best_total, strict=True)]
        firsts = range(0, len(order), self.restarts)
        best = [max(range(first, first + self.restarts), key=order.__getitem__) for first in firsts]
        return torch.tensor(best, device=self.device)

    def choose(self, ids, totals):
        """Of candidates ids (n, c, t) with totals (n, c): the number (n,) of the best whose text may be used, -1 for none."""
        if not self.vocabulary.blocked and not self.config.insist:
            return totals.argmax(1)
        out = []
        for row, order in enumerate(totals.argsort(1, descending=True)[:, :_LOOKED_AT].tolist()):
            prompts = ((number, ids[row, number].tolist()) for number in order)
            out.append(next((number for number, prompt in prompts if self._usable(prompt)), -1))
        return torch.tensor(out, device=self.device)

    def _usable(self, ids):
        return self.vocabulary.clean(ids) and (not self.config.insist or self.vocabulary.retokenises(ids))
