"""Reward models: a score learned from answers to "which of these two is better?"."""

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass, field

import numpy as np
import torch

from workbench.artifacts import Checkpoint, Saved
from workbench.search.pairs import pair_loss
from workbench.search.preference.config import PreferenceConfig
from workbench.training import adamw, cosine, train

_RIDGE = 0.1  # share of the mean variance that each direction of a normal law has at least
_NET = ("mean", "scale", "net.0.weight", "net.0.bias", "net.2.weight", "net.2.bias")
_NORMAL = ("mean", "root")


@dataclass(frozen=True, eq=False)
class RewardModel(Saved):
    """A score of feature vectors, learned from pairs.

    Attributes:
        tensors: dict of name -> float32 array: "mean" (d,), and "scale" (d,) and the weights of a network "net...", or "root"
            (d, d) of the normal law of "imitation".
        config: `PreferenceConfig` it was learned with.
        told: dict: `pairs`, how many there were; `contradictions`, how many of them stand the other way round as well.

    Source:
        Bradley and Terry, 1952; Askell et al., arXiv:2112.00861, section 3.
    """

    kind = "reward model"
    tensors: dict
    config: PreferenceConfig
    told: dict = field(default_factory=dict)

    @property
    def width(self):
        """Width d of the features it reads, int."""
        return len(self.tensors["mean"])

    def score(self, features):
        """How good things are; only differences mean something.

        Args:
            features: float (n, d), array or tensor; or (n, t, d), histories of t steps, whose scores are summed.

        Returns:
            float32 array (n,): with the kind "ranked", P(a is preferred to b) = sigmoid(score a - score b).

        Raises:
            ValueError: another shape, NaN or infinity.
        """
        x = _checked(features, "features")
        if x.shape[-1] != self.width:
            raise ValueError(
                f"This reward model reads features {self.width} wide, got {tuple(x.shape)}. Give those it was learned on."
            )
        if self.config.kind == "imitation":
            gap = (x - torch.from_numpy(self.tensors["mean"])) @ torch.from_numpy(self.tensors["root"])
            each = -0.5 * (gap**2).sum(-1)
            return (each if each.ndim == 1 else each.sum(1)).numpy()
        with torch.no_grad():
            return _Net.of(self.tensors)(x).numpy()

    def accuracy(self, better, worse):
        """Share of pairs, float arrays (n, d) or (n, t, d), whose first one has the higher score. Errors as in `learn`."""
        better, worse = _pairs(better, worse)
        return float(np.mean(self.score(better) > self.score(worse)))

    def to_state(self):
        """Config (JSON values) and tensors that `from_state` reads."""
        return {"options": asdict(self.config), "told": dict(self.told)}, dict(self.tensors)

    @classmethod
    def from_state(cls, config, tensors):
        """The `RewardModel` that `to_state` described; KeyError, TypeError or ValueError for what is none."""
        options = PreferenceConfig(**config["options"])
        if set(tensors) != set(_NORMAL if options.kind == "imitation" else _NET):
            raise ValueError(f"tensors {sorted(tensors)} are not those of a reward model of kind {options.kind!r}")
        found = cls(tensors, options, dict(config["told"]))
        found.score(np.zeros((1, found.width), np.float32))
        return found


def learn(better, worse, config=None, *, start=None, folder=None, progress=True):
    """Learn a reward model from pairs.

    Args:
        better: float (n, d), array or tensor, features of what was preferred, such as `CLIP.image_features`; or (n, t, d),
            histories of t steps, whose rewards are summed: then the model learns what a step is worth.
        worse: the same shape, what it was compared with.
        config: `PreferenceConfig`; None takes the defaults.
        start: `RewardModel` to go on from, learned on many pairs of other people; None begins anew.
        folder: str, Path or None, for checkpoints; the same call goes on from there, to the same result.
        progress: bool, show a progress bar.

    Returns:
        `RewardModel`. Pairs that stand the other way round too are kept, as people differ, and counted in `told`.

    Raises:
        ValueError: no pairs, other shapes, NaN; pairs of equal things only, or pairs that all cancel each other; a start of
            another kind, width or hidden layer.
        ArtifactError: `folder` holds another run.

    Source:
        Askell et al., arXiv:2112.00861, sections 3 and 4 (pre-training on public pairs); sums over histories: Xue et al.,
        arXiv:2212.02779.
    """
    config = config or PreferenceConfig()
    better, worse = _pairs(better, worse)
    votes = Counter(_compared(better, worse))
    told = {"pairs": len(better), "contradictions": sum(n for (a, b), n in votes.items() if (b, a) in votes)}
    if all(votes[b, a] == n for (a, b), n in votes.items()):  # two of three votes are an answer
        raise ValueError(
            f"All {len(better)} pairs contradict each other: each stands the other way round as often, or compares a thing with "
            "itself. Nothing can be learned. Take them out, or ask again."
        )
    if config.kind == "imitation":
        if start is not None:
            raise ValueError("Imitation is a normal law of the preferred ones: it cannot go on from a start. Take 'ranked'.")
        return RewardModel(_normal(better.reshape(-1, better.shape[-1])), config, told)
    net = _begun(better, worse, config, start)

    def loss(step):
        rows = torch.from_numpy(np.random.default_rng([config.seed, step]).choice(len(better), min(config.batch, len(better))))
        up, down = net(better[rows]), net(worse[rows])
        if config.kind == "binary":
            value = (torch.nn.functional.softplus(-up) + torch.nn.functional.softplus(down)).mean() / 2
        else:
            value = pair_loss(up, down)
        return value, {"loss": float(value.detach()), "accuracy": float((up > down).float().mean())}

    if config.steps:
        checkpoint = None
        if folder is not None:
            digest = hashlib.sha256(better.numpy().tobytes() + worse.numpy().tobytes())
            for value in net.state_dict().values():
                digest.update(value.numpy().tobytes())
            checkpoint = Checkpoint(folder, "reward model training", {"options": asdict(config), "data": digest.hexdigest()})
        rate = cosine(config.rate, config.steps, min(10, config.steps - 1), 0.1)
        optimizer = adamw(net, weight_decay=config.decay)
        train(
            loss,
            {"net": net},
            optimizer,
            config.steps,
            rate,
            name="learning a reward model",
            checkpoint=checkpoint,
            save_every=50,
            seed=config.seed,
            progress=progress,
        )
    return RewardModel({name: value.numpy().copy() for name, value in net.state_dict().items()}, config, told)


def contradictions(better, worse):
    """Which pairs stand the other way round as well, or have the same thing on both sides: bool array (n,).

    Args:
        better: float (n, ...), array or tensor. Things are the same if all their numbers are.
        worse: the same shape.

    Raises:
        ValueError: as in `learn`.
    """
    compared = _compared(*_pairs(better, worse))
    known = set(compared)
    return np.array([(b, a) in known for a, b in compared])


def _compared(better, worse):
    """What each pair compares: list of n pairs of digests."""
    sides = [[hashlib.sha256(row.tobytes()).digest() for row in (side + 0.0).numpy()] for side in (better, worse)]  # -0 is 0
    return list(zip(*sides, strict=True))


class _Net(torch.nn.Module):
    """Features (n, d) or histories (n, t, d) -> scores (n,)."""

    def __init__(self, width, hidden):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.net = torch.nn.Sequential(torch.nn.Linear(width, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, 1))

    def forward(self, x):
        each = self.net((x - self.mean) * self.scale)[..., 0]
        return each if each.ndim == 1 else each.sum(1)

    @classmethod
    def of(cls, tensors):
        net = cls(len(tensors["mean"]), len(tensors["net.0.bias"]))
        net.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})
        return net


def _begun(better, worse, config, start):
    """The network before training: with the weights of a start, or with random ones and the spread of these features."""
    if start is not None:
        if start.config.kind == "imitation" or start.width != better.shape[-1] or start.config.hidden != config.hidden:
            raise ValueError(
                f"This start is of kind {start.config.kind!r}, reads features {start.width} wide and has {start.config.hidden} "
                f"hidden numbers; expected a network, {better.shape[-1]} and {config.hidden}. Learn a start like that."
            )
        return _Net.of(start.tensors)
    with torch.random.fork_rng([]):
        torch.manual_seed(config.seed)
        net = _Net(better.shape[-1], config.hidden)
    torch.nn.init.zeros_(net.net[2].weight)  # begins without an opinion
    torch.nn.init.zeros_(net.net[2].bias)
    rows = torch.cat([better, worse]).reshape(-1, better.shape[-1])
    net.mean.copy_(rows.mean(0))
    net.scale.copy_(1 / rows.std(0, correction=0).clamp_min(1e-3))
    return net


def _normal(rows):
    """The normal law of rows: its mean, and a root of the inverse of its covariance, which is drawn to a ball."""
    rows = rows.double()
    gap = rows - rows.mean(0)
    spread = gap.T @ gap / len(rows)
    size = max(float(spread.diagonal().mean()), 1e-9)
    spread = (1 - _RIDGE) * spread + _RIDGE * size * torch.eye(len(spread), dtype=torch.float64)
    root = torch.linalg.cholesky(torch.linalg.inv(spread))
    return {"mean": rows.mean(0).float().numpy(), "root": root.float().numpy()}


def _checked(x, name):
    """Features as a float32 tensor (n, d) or (n, t, d), n > 0."""
    x = x.detach().cpu() if isinstance(x, torch.Tensor) else torch.from_numpy(np.array(x, np.float32))
    if x.ndim not in (2, 3) or 0 in x.shape:
        empty = x.ndim and not len(x)
        raise ValueError(
            f"There are no {name}: an empty array was given."
            if empty
            else f"{name} must be (n, d), or (n, t, d) for histories, got shape {tuple(x.shape)}."
        )
    if not torch.isfinite(x).all():
        raise ValueError(f"{name} hold NaN or infinity.")
    return x.float().contiguous()


def _pairs(better, worse):
    better, worse = _checked(better, "pairs"), _checked(worse, "pairs")
    if better.shape != worse.shape:
        raise ValueError(
            f"Each preferred one needs one it was compared with: got shapes {tuple(better.shape)} and {tuple(worse.shape)}."
        )
    return better, worse
