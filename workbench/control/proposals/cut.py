"""Cuts: temperature, top-k and top-p as one law over the next token, the same to the last bit of meaning in drawing and scoring.

Which tokens are kept jumps: the last bits of a logit decide whether one is in. Those bits differ between drawing (one token at a
time, from a cache) and scoring (whole texts, in other batches), so that a text would now and then get another log-probability, or
none. Hence drawing notes how many tokens it kept, and scoring takes that number wherever its own cut is as good within `CLOSE`.
"""

import math
import numbers
from dataclasses import dataclass

import torch

CLOSE = 1e-4  # nats or probability within which two cuts are the same; float32 networks agree to 1e-5


@dataclass(frozen=True)
class Cut:
    """How the next token is chosen: `temperature` > 0 divides the logits, then the `top_k` best are kept (0: all), then the
    fewest that hold `top_p` of the probability. Tokens that tie with the last one kept are kept too.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self):
        if not isinstance(self.temperature, numbers.Real) or not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be above 0, got {self.temperature!r}. Near 0 the best token always wins.")
        if not isinstance(self.top_k, numbers.Integral) or isinstance(self.top_k, bool) or self.top_k < 0:
            raise ValueError(f"top_k must be an int, 0 for all tokens or a number of tokens, got {self.top_k!r}.")
        if not isinstance(self.top_p, numbers.Real) or not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p!r}.")

    @property
    def whole(self):
        """Whether all tokens stay possible."""
        return self.top_k == 0 and self.top_p == 1

    def log_law(self, logits, kept=None):
        """Log-probabilities of the next token.

        Args:
            logits: float (n, v).
            kept: int64 (n,), how many tokens drawing kept, 0 where that is not known; None if it is nowhere.

        Returns:
            (float (n, v), nats, -inf for tokens cut off; int64 (n,), how many were kept, 0 if none is ever cut).

        Source:
            Nucleus sampling: Holtzman et al., arXiv:1904.09751, section 3.1.
        """
        logits = logits / self.temperature
        if self.whole:
            return logits.log_softmax(-1), torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
        values, order = logits.sort(-1, descending=True)
        size = self._size(values, 0)
        if kept is not None:
            fewest, most = self._size(values, -CLOSE), self._size(values, CLOSE)
            size = torch.where((kept >= fewest) & (kept <= most), kept, size)
        rank = torch.arange(values.shape[-1], device=values.device)
        values = values.masked_fill(rank >= size[:, None], -math.inf).log_softmax(-1)
        return torch.full_like(values, -math.inf).scatter(-1, order, values), size

    def _size(self, values, slack):
        """How many of sorted logits (n, v) stay, if cuts were looser by `slack`: int64 (n,)."""
        n, v = values.shape
        k = torch.full((n,), self.top_k or v, device=values.device).clamp(max=v)
        k = torch.maximum(k, self._tied(values, k, slack))
        if self.top_p == 1:
            return k
        rank = torch.arange(v, device=values.device)
        p = values.masked_fill(rank >= k[:, None], -math.inf).softmax(-1)
        before = p.cumsum(-1) - p
        size = ((before < self.top_p + slack) & (rank < k[:, None])).sum(-1).clamp(min=1)
        return torch.minimum(torch.maximum(size, self._tied(values, size, slack)), k)

    @staticmethod
    def _tied(values, size, slack):
        """How many tokens are no worse than the last of `size`, but for 2 `CLOSE` more or less `slack`."""
        last = values.gather(-1, (size - 1)[:, None])
        return (values >= last - 2 * CLOSE - slack).sum(-1)
