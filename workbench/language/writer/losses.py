"""Losses: what a batch says of the network. Nats of the pieces, KL of content to its prior, InfoNCE, and the guess of codes."""

import numpy as np
import torch
from torch.nn import functional

from workbench.language.writer.config import CONTENT_DIMS, SPELLED_DIMS
from workbench.language.writer.content import spelled_rows
from workbench.language.writer.layout import batch, rounded
from workbench.language.writer.network import visible_mask
from workbench.language.writer.tokens import END

BETA = 0.05  # weight of the KL term
FREE_NATS = 0.05  # KL of a dimension that costs nothing
CONTRAST = 0.1  # weight of InfoNCE between mapped content and the features of fillers
GUESS = 0.1  # weight of the guess of a masked slot's code
_BOUND = 0.1  # weight of the KL of spelling against that of meaning
_SPARE = 64, 256  # numbers of rows are rounded up to multiples of these: slots, positions


def batch_loss(network, layouts, slots):
    """The weighted loss of a batch.

    Args:
        network: `Network`.
        layouts: list of `Layout`, gaps filled.
        slots: list of rows of content, as `Batches` gives them.

    Returns:
        (scalar tensor, dict of its terms as floats): `nats` for each piece, and `kl` for each slot, `guess` and `contrast` where
        the batch has such rows.

    Source:
        ELBO with free bits: Kingma et al., arXiv:1606.04934, section 2.4 and appendix C.8; a prior that depends on the context:
        Sohn et al. 2015, "Learning structured output representation using deep conditional generative models"; InfoNCE: van
        den Oord et al., arXiv:1807.03748.
    """
    device = next(network.parameters()).device
    arrays = batch(layouts, END)
    tensors = arrays._make(torch.as_tensor(array, device=device) for array in arrays)
    b, t = tensors.ids.shape
    with torch.autocast(device.type, torch.bfloat16, enabled=fast_halves(device)):
        content = _Content(network, slots, device) if slots else None
        added = content.at(tensors.content, tensors.steps) if slots else None
        x = network.embed(tensors.ids, tensors.codes, tensors.gap, tensors.neighbours, added)
        numbers = torch.arange(t, device=device).expand(b, t)
        hidden, _ = network.decoder(x, numbers, tensors.places, visible_mask(tensors.prefix, t))
        flat = hidden.reshape(b * t, -1)
        wanted = torch.nonzero(tensors.targets.reshape(-1) >= 0)[:, 0]
        n = len(wanted)
        wanted = functional.pad(wanted, (0, rounded(n, _SPARE[1]) - n))
        sought = tensors.targets.reshape(-1)[wanted]
        sought[n:] = -100
        loss = functional.cross_entropy(network.logits(flat[wanted]), sought, reduction="sum", ignore_index=-100) / n
        values = {"nats": float(loss.detach())}
        begun = flat[tensors.starts]
        if (tensors.truth >= 0).any():
            guess = functional.cross_entropy(network.guess(begun).float(), tensors.truth, ignore_index=-1)
            loss, values["guess"] = loss + GUESS * guess, float(guess.detach())
        if slots:
            kl, freed = content.kl(begun, tensors.slots)
            loss, values["kl"] = loss + BETA * freed / n, float(kl.detach())
            near = content.contrast()
            loss, values["contrast"] = loss + CONTRAST * near, float(near.detach())
    return loss, values


class _Content:
    """The content of a batch's rows: drawn from the posterior, and compared with the prior."""

    def __init__(self, network, slots, device):
        self.network, self.n, self.spare = network, len(slots), rounded(len(slots), _SPARE[0]) - len(slots)
        spelled = np.pad(spelled_rows([ids for ids, _, _ in slots]), ((0, self.spare), (0, 0)))
        features = np.pad(np.stack([feature for _, feature, _ in slots]), ((0, self.spare), (0, 0)))
        self.features = torch.as_tensor(features, device=device)
        spell_too = torch.tensor([too for _, _, too in slots] + [False] * self.spare, device=device)
        self.read = torch.ones(len(spell_too), CONTENT_DIMS + SPELLED_DIMS, device=device)
        self.read[:, CONTENT_DIMS:] = spell_too[:, None]
        self.mean, self.scale = network.posterior(torch.as_tensor(spelled, device=device), self.features)
        self.z = self.read * (self.mean + self.scale.exp() * torch.randn(self.mean.shape, device=device))

    def at(self, where, steps):
        """What positions add to their input: rows of content and pieces written, int64 (b, t) each -> (b, t, d)."""
        b, t = where.shape
        seen = torch.nonzero(where.reshape(-1) >= 0)[:, 0]
        seen = functional.pad(seen, (0, rounded(len(seen), _SPARE[1]) - len(seen)), value=b * t)
        slot_of, written = (functional.pad(x.reshape(-1), (0, 1))[seen] for x in (where, steps))
        mapped = self.network.mapping(self.z[slot_of], written)
        return mapped.new_zeros(b * t + 1, mapped.shape[1]).index_copy(0, seen, mapped)[:-1].view(b, t, -1)

    def kl(self, begun, rows):
        """KL of the posterior to the prior: mean of the rows, and the sum of what is not free.

        Args:
            begun: float (g, d), hidden state where each gap begins.
            rows: int64 (g,), row of content of each gap, -1 for none.
        """
        gaps = torch.nonzero(rows >= 0)[:, 0]
        order = gaps[torch.argsort(rows[gaps])]  # gap of each row of content
        mean, scale = self.network.prior_of(begun[functional.pad(order, (0, self.spare))])
        # Spelling has the standard normal distribution as its prior. It is never drawn from it: that only keeps it in bounds.
        prior_mean, prior_scale = (functional.pad(x, (0, SPELLED_DIMS))[: self.n] for x in (mean, scale))
        mean, scale, read = (x[: self.n] for x in (self.mean, self.scale, self.read))
        kl = prior_scale - scale + ((2 * scale).exp() + (mean - prior_mean) ** 2) / (2 * (2 * prior_scale).exp()) - 0.5
        weights = torch.ones(kl.shape[1], device=kl.device)
        weights[CONTENT_DIMS:] = _BOUND
        kl, counted = kl * read * weights, read.sum(0)
        freed = (torch.clamp(kl.sum(0) / counted.clamp(min=1), min=FREE_NATS) * counted).sum()
        return kl.sum(1).mean(), freed

    def contrast(self):
        """InfoNCE between mapped content and the features of the fillers: nats."""
        begin = self.network.mapping(self.z, torch.zeros(len(self.z), dtype=torch.int64, device=self.z.device))
        return info_nce(self.network.features(begin), self.features, self.n)


def info_nce(found, features, n):
    """How well each mapped content finds the features of its own filler among those of the batch: nats, a mean.

    Args:
        found: float (s, f), predicted from content.
        features: float (s, f).
        n: int, rows that count.
    """
    scores = functional.normalize(found.float(), dim=-1) @ functional.normalize(features.float(), dim=-1).T * 10
    same = (features[:, None] == features[None]).all(-1) if len(features) <= 64 else torch.cdist(features, features) < 1e-4
    own = torch.arange(len(features), device=features.device)
    same[own, own] = False  # the same filler in another prompt is no wrong answer
    same[:, n:] = True
    return functional.cross_entropy(scores.masked_fill(same, -1e4)[:n], own[:n])


def fast_halves(device):
    """Whether bfloat16 is worth it: on a GPU, and on a CPU that multiplies it natively."""
    if device.type != "cpu":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.backends.mkldnn.is_available() and "AVX512" in torch.backends.cpu.get_cpu_capability()
