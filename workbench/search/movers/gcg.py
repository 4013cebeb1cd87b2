"""GCG: greedy coordinate gradient."""

import torch

from workbench.search.movers.swaps import Swaps


class GCG(Swaps):
    """`width` random swaps at random positions; the best is taken even if it is worse.

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
