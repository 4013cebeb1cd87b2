"""Exemplars: content that noise is turned into. The posterior of frequent fillers, mixed as the context asks for."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import torch

_FIT = 16.0  # dimensions that count as independent in how well an exemplar fits
_NEAR = 30.0  # nats that an exemplar loses with its distance from wanted content, in units of their variance
_PER_CODE = 96  # fillers of a code that are kept, the most frequent


class Exemplars(NamedTuple):
    """Posteriors of m frequent fillers: `codes` and `counts` int64 (m,), `mean` and `scale` (log of the standard deviation)
    float16 (m, c).
    """

    codes: np.ndarray
    counts: np.ndarray
    mean: np.ndarray
    scale: np.ndarray


def frequent(codes, fillers, n_codes):
    """The most frequent fillers of each code.

    Args:
        codes: int (n,), code of each slot; `n_codes` for literal text.
        fillers: int (n,), row of the filler of each slot.
        n_codes: int k.

    Returns:
        (int64 (m,), int64 (m,), int64 (m,)): fillers, their codes, how often they have them.
    """
    pairs = Counter(zip(codes.tolist(), fillers.tolist(), strict=True))
    found = []
    for code in range(n_codes):
        mine = sorted(((n, filler) for (c, filler), n in pairs.items() if c == code), key=lambda pair: (-pair[0], pair[1]))
        found += [(filler, code, n) for n, filler in mine[:_PER_CODE]]
    table = np.array(found, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def draw(exemplars, code, mean, scale, generator, given=None, blend=0.0):
    """Content for a slot: float32 (1, c).

    A Gaussian that the context foretells puts noise between fillers, where the decoder has never been. So the noise chooses an
    exemplar, by how often it occurs and how well it fits what the context foretells, and then a point of its posterior.

    Args:
        exemplars: `Exemplars`.
        code: int, code of the slot; one without exemplars, such as that of a slot of unknown kind, takes those of all.
        mean: float32 (1, c), of the content that the context foretells.
        scale: float32 (1, c), log of its standard deviation.
        generator: torch.Generator.
        given: float32 (1, c), content that the drawn one should be near, or None.
        blend: float 0..1, how much nearness to `given` counts against how common an exemplar is and how it fits.

    Source:
        A prior made of posteriors: Tomczak and Welling, arXiv:1705.07120 (VampPrior), with data as its components: Norouzi et
        al., arXiv:2004.04795 (exemplar VAE).
    """
    rows = np.flatnonzero(exemplars.codes == code)
    rows = rows if len(rows) else np.arange(len(exemplars.codes))
    centres, spread = (torch.from_numpy(x[rows].astype(np.float32)) for x in (exemplars.mean, exemplars.scale))
    fit = _FIT * (-0.5 * ((centres - mean) / scale.exp()) ** 2).mean(1)
    weights = torch.log(torch.from_numpy(exemplars.counts[rows]).float()) + fit
    if given is not None:
        apart = ((centres - given) ** 2).mean(1) / torch.from_numpy(exemplars.mean.astype(np.float32)).var(0).mean()
        weights = weights - blend**2 * _NEAR * apart
    noise = torch.empty(len(rows)).exponential_(generator=generator)
    chosen = int((weights - noise.log()).argmax())
    return centres[chosen][None] + spread[chosen].exp()[None] * torch.randn(mean.shape, generator=generator)
