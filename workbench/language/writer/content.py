"""Content: what a slot says, as a vector, and what is drawn where noise is asked for.

Content has two parts. The meaning, `CONTENT_DIMS` numbers, is read from a filler's words and features, or drawn. The spelling of
the first pieces, `SPELLED_DIMS` numbers, is read from a filler only, and is 0 in what is drawn.
"""

import math
from collections import Counter
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional

from workbench.artifacts import check_layout
from workbench.language.writer.config import CONTENT_DIMS, SPELLED, SPELLED_DIMS
from workbench.language.writer.tokens import PAD

_FIT = 16.0  # dimensions that count as independent in how well an exemplar fits
_NEAR = 30.0  # nats that an exemplar loses with its distance from wanted content, in units of their variance
_PER_CODE = 96  # fillers of a code that are kept, the most frequent


def spelled_rows(rows):
    """The first pieces of fillers side by side, padded: int64 (s, 12)."""
    out = np.full((len(rows), SPELLED), PAD)
    for i, ids in enumerate(rows):
        out[i, : min(len(ids), SPELLED)] = ids[:SPELLED]
    return out


class ContentPrior:
    """The prior of content: a Gaussian that the network predicts from the context, moved to an exemplar that fits it.

    A point of the Gaussian alone lies between fillers, where the writer was never trained. So the noise chooses an exemplar, by
    how often it occurs and how well it fits the Gaussian, and then a point of its posterior. Without exemplars the Gaussian is
    drawn from as it is.

    Attributes:
        codes, counts: int64 (m,), codes of m frequent fillers and how often they have them.
        mean, scale: float16 (m, c), mean and log of the standard deviation of their meaning.

    Source:
        A prior made of posteriors: Tomczak and Welling, arXiv:1705.07120 (VampPrior), with data as its components: Norouzi et
        al., arXiv:2004.04795 (exemplar VAE).
    """

    def __init__(self, codes=(), counts=(), mean=None, scale=None):
        self.codes, self.counts, self.mean, self.scale = np.asarray(codes), np.asarray(counts), mean, scale
        self._of_code = {}

    @cached_property
    def _variance(self):
        return torch.from_numpy(self.mean.astype(np.float32)).var(0).mean()

    def _exemplars(self, code):
        """Those of a code, or all where it has none: means, log scales, log counts, float32 (m, ...)."""
        if code not in self._of_code:
            rows = np.flatnonzero(self.codes == code)
            rows = rows if len(rows) else np.arange(len(self.codes))
            centres, spread = (torch.from_numpy(x[rows].astype(np.float32)) for x in (self.mean, self.scale))
            self._of_code[code] = centres, spread, torch.log(torch.from_numpy(self.counts[rows]).float())
        return self._of_code[code]

    def sample(self, code, mean, scale, generator, given=None, blend=0.0):
        """Draw content for one slot.

        Args:
            code: int, code of the slot; one without exemplars, such as that of a slot of unknown kind, takes those of all.
            mean: float32 (1, c), that the network predicts.
            scale: float32 (1, c), log of the standard deviation that it predicts.
            generator: torch.Generator.
            given: float32 (1, c), content that the drawn one should be near, or None.
            blend: float 0..1, how much nearness to `given` counts.

        Returns:
            float32 (1, c + spelling), the spelling 0.
        """
        if not len(self.codes):
            z = mean + scale.exp() * torch.randn(mean.shape, generator=generator)
            z = z if given is None else blend * given + math.sqrt(1 - blend**2) * z
        else:
            centres, spread, often = self._exemplars(code)
            weights = often + _FIT * (-0.5 * ((centres - mean) / scale.exp()) ** 2).mean(1)
            if given is not None:
                weights = weights - blend**2 * _NEAR * ((centres - given) ** 2).mean(1) / self._variance
            noise = torch.empty(len(centres)).exponential_(generator=generator)
            chosen = int((weights - noise.log()).argmax())
            z = centres[chosen][None] + spread[chosen].exp()[None] * torch.randn(mean.shape, generator=generator)
        return functional.pad(z, (0, SPELLED_DIMS))

    def tensors(self):
        """Its arrays by name, as `of_tensors` reads them."""
        return {f"exemplars.{name}": getattr(self, name) for name in ("codes", "counts", "mean", "scale")}

    @classmethod
    def of_tensors(cls, tensors):
        """The prior whose `tensors` are among these; KeyError or ValueError for what is none."""
        layout = {"codes": "int64 m", "counts": "int64 m"} | dict.fromkeys(("mean", "scale"), f"float16 m {CONTENT_DIMS}")
        check_layout(tensors, {f"exemplars.{name}": expected for name, expected in layout.items()})
        if tensors["exemplars.counts"].min(initial=1) < 1:
            raise ValueError("exemplars.counts has counts below 1")
        return cls(*(tensors[f"exemplars.{name}"] for name in ("codes", "counts", "mean", "scale")))

    @classmethod
    def learn(cls, codes, fillers, n_codes, posterior):
        """Exemplars are the most frequent fillers of each code.

        Args:
            codes: int (n,), code of each slot.
            fillers: int (n,), row of the filler of each slot.
            n_codes: int k.
            posterior: function, rows of m fillers -> mean and scale, float32 (m, c...).
        """
        pairs, found = Counter(zip(codes.tolist(), fillers.tolist(), strict=True)), []
        for code in range(n_codes):
            mine = sorted((-n, filler) for (c, filler), n in pairs.items() if c == code)
            found += [(filler, code, -n) for n, filler in mine[:_PER_CODE]]
        rows, codes, counts = np.array(found, np.int64).reshape(-1, 3).T
        return cls(codes, counts, *(x[:, :CONTENT_DIMS].astype(np.float16) for x in posterior(rows)))
