"""What the parts of a search share: the tokens to choose from, the random draws, and the best prompt of each restart so far."""

import math

import torch
from torch.nn.functional import normalize

from workbench import checks

_CHUNK = 512  # prompts scored at once
_VECTORS = 256  # vectors compared with the whole vocabulary at once; a row of a real one takes 200 kB each
_LOOKED_AT = 64  # candidates whose text is looked at, the best first, before a row stays as it is


class Run:
    """Searches side by side. Row i is restart i % restarts of search i // restarts.

    Args:
        objective: what is searched for; `workbench.search.loop` says what it has.
        vocabulary: `Vocabulary`.
        config: `PEZConfig`.
        searches: int s.
        fluency: function from n texts to float32 (n,) nats, or None.
    """

    def __init__(self, objective, vocabulary, config, searches, fluency=None):
        self.objective, self.vocabulary, self.fluency, self.config = objective, vocabulary, fluency, config
        self.device = objective.table.device
        self.allowed = vocabulary.allowed.to(self.device)
        self.table = objective.table if len(self.allowed) == len(objective.table) else objective.table[self.allowed]
        self.unit = normalize(self.table, dim=1)
        self.searches, self.restarts, self.length = searches, config.restarts, config.length
        self.draws = [torch.Generator().manual_seed(checks.seed(config.seed + i)) for i in range(searches)]
        n = searches * config.restarts
        self.every = torch.arange(n, device=self.device)
        self.ids = torch.zeros(n, config.length, dtype=torch.long, device=self.device)  # where the rows are now
        self.similarity = torch.full((n,), -math.inf, device=self.device)
        self.best_ids = torch.full_like(self.ids, -1)
        self.best_similarity = torch.full_like(self.similarity, -math.inf)
        self.best_total = torch.full_like(self.similarity, -math.inf)  # less the cost of fluency

    def searches_of(self, rows):
        """The searches, a list of int, of which `rows` are all restarts."""
        return (rows[:: self.restarts] // self.restarts).tolist()

    def draw(self, rows, function):
        """Draws (n, ...) for whole searches: `function(generator)` gives the (restarts, ...) of each."""
        return torch.cat([function(self.draws[i]) for i in self.searches_of(rows)]).to(self.device)

    def random_ids(self, rows):
        """Random tokens (n, t) to start from."""
        shape = (self.restarts, self.length)
        return self.allowed[self.draw(rows, lambda g: torch.randint(len(self.allowed), shape, generator=g))]

    def project(self, vectors):
        """Ids (n, t) of the tokens nearest to vectors (n, t, w)."""
        return self.allowed[nearest(vectors, self.unit)]

    def score(self, ids, rows):
        """Scores (n,) of prompts ids (n, t)."""
        parts = zip(ids.split(_CHUNK), rows.split(_CHUNK), strict=True)
        return torch.cat([self.objective.score(part, some) for part, some in parts])

    def totals(self, ids, similarity, least=None):
        """Similarity (n,) less the cost of fluency of ids (n, t); -inf where it cannot be more than `least` (n,)."""
        if not self.fluency or not len(ids):
            return similarity
        # nats are at least 0, so the language model need not read most swaps
        hopes = torch.ones_like(similarity, dtype=torch.bool) if least is None else similarity > least
        out = torch.full_like(similarity, -math.inf)
        if hopes.any():
            nats = self.fluency([self.vocabulary.text(row) for row in ids[hopes].tolist()])
            out[hopes] = similarity[hopes] - self.config.fluency * nats.to(similarity.device)
        return out

    def usable(self, ids):
        """Which prompts ids (n, t) have a text free of what is blocked: bool (n,)."""
        return torch.tensor([self.vocabulary.clean(row) for row in ids.tolist()], dtype=torch.bool, device=self.device)

    def keep(self, rows, ids, similarity):
        """Note where `rows` are now, and keep what is better than all before."""
        self.ids[rows], self.similarity[rows] = ids, similarity
        worth = similarity > self.best_total[rows]
        rows, ids, similarity = rows[worth], ids[worth], similarity[worth]
        if not len(rows):
            return
        total = self.totals(ids, similarity)
        better = self.usable(ids) & (total > self.best_total[rows])
        rows = rows[better]
        self.best_ids[rows], self.best_similarity[rows] = ids[better], similarity[better]
        self.best_total[rows] = total[better]

    def best_rows(self):
        """The row of the best prompt so far of each search."""
        return self.best_total.view(self.searches, -1).argmax(1) + self.every[:: self.restarts]

    def choose(self, ids, totals):
        """Of candidates ids (n, c, t) with totals (n, c): the number (n,) of the best whose text may be used, -1 for none."""
        if not self.vocabulary.blocked:
            return totals.argmax(1)
        out = []
        for row, order in enumerate(totals.argsort(1, descending=True)[:, :_LOOKED_AT].tolist()):
            out.append(next((number for number in order if self.vocabulary.clean(ids[row, number].tolist())), -1))
        return torch.tensor(out, device=self.device)


def nearest(vectors, unit):
    """Numbers int64 (...) of the rows of `unit` (v, w), L2 norm 1, with the largest cosine to vectors (..., w)."""
    flat = normalize(vectors.reshape(-1, vectors.shape[-1]), dim=1)
    return torch.cat([(part @ unit.t()).argmax(1) for part in flat.split(_VECTORS)]).view(vectors.shape[:-1])
