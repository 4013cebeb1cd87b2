"""VQ-VAE: codes by vector quantisation, tuned by what codes and content together tell of a unit and of its neighbours."""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from vector_quantize_pytorch import VectorQuantize

from workbench import training

_OFFSETS = (-2, -1, 1, 2)  # neighbours that a hidden unit's code is predicted from
_CONTENT = 16  # numbers of content
_NOISE = 0.5  # standard deviation of the noise on content, whose numbers have mean 0 and variance 1
_WIDTH = 64  # hidden numbers of the decoder and of the prediction
_DECAY = 0.99  # of the running averages that the code vectors are
_DEAD = 0.5  # a code with fewer units a step, on average, begins anew at a unit of the step
_COMMITMENT, _CONTRAST, _MASKED = 1.0, 0.1, 0.3  # weights of the losses; that of reconstruction is 1
_SHARPNESS = 10.0  # what cosines are multiplied by in InfoNCE
_CONTRASTED = 256  # units compared with each other in InfoNCE
_RATE = 3e-3
_STEPS = 24  # steps a round, fewer if that were under 8 prompts each, more if over 256
_FEWEST, _MOST = 8, 256


class Tuned(NamedTuple):
    """What `tune` learned.

    `turn` float32 (d, d) and `shift` float32 (d,): `features @ turn + shift` are the vectors whose nearest code vector counts;
    `vectors` float32 (k, d), the code vectors; `history` list of dicts, means of the losses by step, see `losses`.
    """

    turn: np.ndarray
    shift: np.ndarray
    vectors: np.ndarray
    history: list


class Network(nn.Module):
    """A VQ-VAE of units.

    A linear map, the identity at first, and the nearest code vector: the code. Another linear map and noise: the content, 16
    numbers. A decoder reconstructs the features from both.

    Args:
        vectors: float32 tensor (k, d), the first code vectors.
        counts: float tensor (k,), units of each code in a step, on average.
        stopped: bool, the gradient of the reconstruction does not reach the codes.

    Source:
        van den Oord et al., "Neural discrete representation learning", arXiv:1711.00937: straight-through gradient and
        commitment, section 3.2; running averages, appendix A.1.
    """

    def __init__(self, vectors, counts, stopped=True):
        super().__init__()
        k, d = vectors.shape
        self.stopped = stopped
        self.turn = nn.Linear(d, d)
        with torch.no_grad():
            self.turn.weight.copy_(torch.eye(d))
            self.turn.bias.zero_()
        self.quantise = VectorQuantize(d, k, decay=_DECAY, commitment_weight=1.0, threshold_ema_dead_code=_DEAD)
        seed_codes(self.quantise, vectors, counts)
        self.content = nn.Sequential(nn.Linear(d, _CONTENT), nn.LayerNorm(_CONTENT, elementwise_affine=False))
        self.decoder = _perceptron(d + _CONTENT, d)
        self.found = nn.Linear(_CONTENT, d)
        self.guess = _perceptron(len(_OFFSETS) * (d + 1), k)

    def losses(self, x, inside):
        """The losses of units of whole prompts, one prompt after the other.

        Args:
            x: float32 tensor (n, d), features.
            inside: bool tensor (n, 4), whether the units 2 and 1 before and 1 and 2 after are of the same prompt.

        Returns:
            dict of scalar tensors: `reconstruction`, mean squared error of the features over their variance; `commitment`, the
            same of the nearest code vector; `contrast`, nats to find a unit by its content (InfoNCE); `masked`, nats of a
            unit's code, predicted from the code vectors of its neighbours.
        """
        spread = (x - x.mean(0)).square().mean().clamp(min=1e-9)
        quantised, codes, commitment = self.quantise(self.turn(x))
        content = self.content(x)
        content = content + _NOISE * torch.randn_like(content)
        known = quantised.detach() if self.stopped else quantised
        decoded = self.decoder(torch.cat([known, content], 1))
        some = slice(min(_CONTRASTED, len(x)))
        near = functional.normalize(self.found(content[some]), dim=1) @ functional.normalize(x[some], dim=1).T
        own = torch.arange(len(near), device=x.device)
        # `roll` brings others from beyond the ends of a prompt; they count as zeros
        around = [torch.roll(quantised, -offset, 0) * row[:, None] for offset, row in zip(_OFFSETS, inside.T, strict=True)]
        return {
            "reconstruction": (decoded - x).square().mean() / spread,
            "commitment": commitment.squeeze() / spread,
            "contrast": functional.cross_entropy(near * _SHARPNESS, own),
            "masked": functional.cross_entropy(self.guess(torch.cat([*around, inside.to(x.dtype)], 1)), codes),
        }


def _perceptron(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, n_out))


def seed_codes(quantise, vectors, counts):
    """Put code vectors where they shall begin.

    `VectorQuantize.codebook` alone would not do: at the first update it is computed anew, from the running averages.

    Args:
        quantise: `VectorQuantize`.
        vectors: float32 tensor (k, d).
        counts: float tensor (k,), units of each code in a step, on average: what the vectors weigh in the running averages.
    """
    quantise.codebook, inner = vectors, quantise._codebook
    inner.cluster_size.copy_(counts[None])
    inner.embed_avg.copy_(inner.embed * counts[None, :, None])


def tune(x, vectors, before, epochs, stopped=True, seed=0, progress=True):
    """Tune code vectors by reconstruction, commitment, InfoNCE and masked prediction.

    Args:
        x: float32 (n, d), features of units, prompts one after the other.
        vectors: float32 (k, d), the first code vectors, such as medoids.
        before: int8 (n,), 2 where a prompt begins.
        epochs: int, rounds over the prompts; 0 gives back what came.
        stopped: bool, see `Network`.
        seed: int.
        progress: bool, show a progress bar.

    Returns:
        `Tuned`.
    """
    prompt = np.cumsum(before == 2) - 1
    begins = np.append(np.flatnonzero(before == 2), len(x))
    there = np.arange(len(x))[:, None] + _OFFSETS
    inside = (there >= 0) & (there < len(x)) & (prompt[np.clip(there, 0, len(x) - 1)] == prompt[:, None])
    n_prompts = len(begins) - 1
    per_epoch = max(1, min(n_prompts // _FEWEST, max(_STEPS, -(-n_prompts // _MOST))))
    x, inside, vectors = (torch.as_tensor(array) for array in (x, inside, vectors))
    counts = torch.bincount(torch.cdist(x, vectors).argmin(1), minlength=len(vectors))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        network = Network(vectors, counts / per_epoch, stopped)

    def loss(step):
        epoch, batch = divmod(step, per_epoch)
        chosen = np.array_split(np.random.default_rng([seed, epoch]).permutation(n_prompts), per_epoch)[batch]
        rows = np.concatenate([np.arange(begins[i], begins[i + 1]) for i in chosen])
        found = network.losses(x[rows], inside[rows])
        weighted = zip((1.0, _COMMITMENT, _CONTRAST, _MASKED), found.values(), strict=True)
        return sum(weight * value for weight, value in weighted), {name: float(v.detach()) for name, v in found.items()}

    run = training.train(
        loss,
        {"network": network},
        training.adamw(network),
        epochs * per_epoch,
        training.cosine(_RATE, max(1, epochs * per_epoch)),
        name="learning codes",
        every=per_epoch,
        seed=seed,
        progress=progress,
    )
    turn, shift = (value.detach().numpy() for value in (network.turn.weight.T, network.turn.bias))
    with torch.no_grad():
        vectors = used(network.turn(x), network.quantise.codebook.detach().clone())
    return Tuned(np.ascontiguousarray(turn), shift, vectors.numpy(), run.history)


def used(x, vectors):
    """Code vectors that each have a unit: one without goes to the unit that is farthest from its code.

    Args:
        x: float32 tensor (n, d).
        vectors: float32 tensor (k, d), changed in place.

    Returns:
        `vectors`. Only where fewer than k units differ, some stay without.
    """
    for _ in range(len(vectors)):
        distances, codes = torch.cdist(x, vectors).min(1)
        unused = torch.bincount(codes, minlength=len(vectors)) == 0
        if not unused.any():
            break
        vectors[unused.nonzero()[0]] = x[distances.argmax()]
    return vectors
