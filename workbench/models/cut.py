"""Cuts: one law of the next symbol. Temperature, top-k and top-p, the same when drawing and when scoring.

Which symbols are kept jumps: the last bits of a logit decide whether one is in. Those bits differ between drawing (one symbol at
a time, from a cache) and scoring (whole texts, in other batches), so a text would now and then get another log-probability, or
none. So whoever draws can note how many symbols were kept, and scoring takes that number where its own cut is as good within
`CLOSE`.
"""

import math
import numbers
from dataclasses import dataclass

from workbench.values import ModelError

CLOSE = 1e-4  # nats or probability within which two cuts are the same; float32 networks agree to 1e-5
_COLDEST = 1e-30  # a lower temperature would be 0 in float32


def check_cut(temperature, top_k, top_p):
    """Refuse options of `Cut` that are out of range: ValueError."""
    if not isinstance(temperature, numbers.Real) or not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be above 0, got {temperature!r}. Near 0 the best symbol always wins.")
    if not isinstance(top_k, numbers.Integral) or isinstance(top_k, bool) or top_k < 0:
        raise ValueError(f"top_k must be an int, 0 for all or a number of symbols, got {top_k!r}.")
    if not isinstance(top_p, numbers.Real) or not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p!r}. 1 keeps everything.")


@dataclass(frozen=True)
class Cut:
    """How the next symbol is chosen.

    `temperature` > 0 divides the logits, near 0 the best symbol always wins. Then the `top_k` best are kept (0: all), then the
    fewest that hold `top_p` of the probability. Symbols that tie with the last one kept are kept too.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self):
        check_cut(self.temperature, self.top_k, self.top_p)

    @property
    def whole(self):
        """Whether all symbols stay possible."""
        return self.top_k == 0 and self.top_p == 1

    def log_law(self, logits, allowed=None, kept=None):
        """Log-probabilities of the next symbol.

        Args:
            logits: float (n, v).
            allowed: bool (n, v), which symbols may be chosen, at least one in each row; None for all.
            kept: int64 (n,), how many symbols drawing kept, 0 where that is not known; None if it is known nowhere.

        Returns:
            (float (n, v), nats, -inf for symbols cut off; int64 (n,), how many were kept, 0 if none is ever cut).

        Raises:
            ModelError: a row holds NaN or infinity, or nothing that may be chosen.

        Source:
            Nucleus sampling: Holtzman et al., arXiv:1904.09751, section 3.1.
        """
        import torch  # not at the top: options are checked without it

        if allowed is not None:
            logits = logits.masked_fill(~allowed, -math.inf)
        top = logits.amax(-1, keepdim=True)
        if not torch.isfinite(top).all():  # else whoever draws until a text ends would draw for ever
            raise ModelError(
                "The model gives NaN or infinity where scores of symbols belong, so nothing can be drawn or scored. Are its "
                "weights damaged? Load it from its source or fit it again."
            )
        # less the largest first, so that no temperature overflows
        logits = (logits - top) / max(self.temperature, _COLDEST)
        if self.whole:
            return logits.log_softmax(-1), torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
        values, order = logits.sort(dim=-1, descending=True, stable=True)
        size = self._size(values, 0)
        if kept is not None:
            fewest, most = self._size(values, -CLOSE), self._size(values, CLOSE)
            size = torch.where((kept >= fewest) & (kept <= most), kept, size)
        rank = torch.arange(values.shape[-1], device=values.device)
        values = values.masked_fill(rank >= size[:, None], -math.inf).log_softmax(-1)
        return torch.full_like(values, -math.inf).scatter(-1, order, values), size

    def _size(self, values, slack):
        """How many of sorted logits (n, v) stay, if cuts were looser by `slack`: int64 (n,)."""
        import torch  # not at the top: options are checked without it

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
        """How many symbols are no worse than the last of `size`, but for 2 `CLOSE` more or less `slack`."""
        last = values.gather(-1, (size - 1)[:, None])
        return (values >= last - 2 * CLOSE - slack).sum(-1)
