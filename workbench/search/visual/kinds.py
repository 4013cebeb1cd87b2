"""What a visual prompt does to pictures: its numbers, how they begin, and how they are put on."""

import itertools

import torch
from torch.nn import functional

from workbench.values import ModelError

PIXELS = ("pad", "channel", "mask")
_POOLED = 4  # a maker sees the picture in 4 x 4 pixels


def starts(tower, config):
    """The numbers that a prompt may begin with: list of dicts of name -> float32 tensor (1, ...), of which the best is taken.

    Raises:
        ModelError: tokens for a model that reads pixels only.
        ValueError: a border that leaves nothing of the picture.
    """
    size, random = tower.size, torch.Generator().manual_seed(config.seed)
    if config.kind == "pad":
        if 2 * config.width >= size:
            raise ValueError(f"VisualConfig: a border of {config.width} pixels leaves nothing of {size}. Take less.")
        return [{"border": torch.zeros(1, 3, int(edge(size, config.width).sum()))}]
    if config.kind == "mask":
        return [{"mask": torch.ones(1, 1 if config.shared else 3, size, size)}]
    if config.kind == "channel":  # from one order of colors to another, or to their opposites, the way leads over grey
        maps = [
            torch.cat([sign * torch.eye(3)[list(order)], torch.ones(3, 1)], 1)[None]
            for sign in (1, -1)
            for order in itertools.permutations(range(3))
        ]
        return [{"channel": torch.zeros(1, 1, size, size), "map": one} for one in maps]
    if not tower.layers:
        raise ModelError(f"The model reads pixels only: a visual prompt of {config.kind!r} needs a vision transformer.")
    layers = tower.layers if config.kind == "deep" else 1
    return [{"tokens": 0.02 * torch.randn(1, layers, config.tokens, tower.width, generator=random)}]


def prompted(kind, numbers, pixels, config):
    """Pictures with a prompt: (float32 (n, 3, s, s), tokens (1 or n, layers, k, w) or None)."""
    if kind == "pad":
        if config.shrink:
            size, inner = pixels.shape[-1], pixels.shape[-1] - 2 * config.width
            small = functional.interpolate(pixels, (inner, inner), mode="bilinear", antialias=True)
            pixels = functional.pad(small, [(size - inner) // 2] * 4)
        out = pixels.clone()
        out[:, :, edge(pixels.shape[-1], config.width)] = numbers["border"].expand(len(pixels), -1, -1)
        return out, None
    if kind == "mask":
        mask = numbers["mask"]
        if config.binary:  # the gradient passes as if nothing was rounded
            mask = mask + ((mask > 0.5).float() - mask).detach()
        return pixels * mask, None
    if kind == "channel":
        four = torch.cat([pixels, numbers["channel"].expand(len(pixels), -1, -1, -1)], 1)
        return torch.einsum("noc,nchw->nohw", numbers["map"].expand(len(pixels), -1, -1), four), None
    return pixels, numbers["tokens"]


def edge(size, width):
    """Which pixels of a square are its border: bool (size, size)."""
    inside = torch.zeros(size, size, dtype=torch.bool)
    inside[width : size - width, width : size - width] = True
    return ~inside


def count(start, maker):
    """How many numbers a prompt has that begins as `start`, with a maker of some width: int."""
    with torch.device("meta"):  # shapes alone
        numbers = Numbers({name: value.to("meta") for name, value in start.items()}, maker, 0)
    return sum(value.numel() for value in numbers.parameters())


class Numbers(torch.nn.Module):
    """The numbers of a prompt, and the network that changes them for each picture, if there is one.

    Args:
        start: dict of name -> tensor (1, ...).
        maker: int, its width, or 0.
        seed: int.
    """

    def __init__(self, start, maker, seed):
        super().__init__()
        self.own = torch.nn.ParameterDict({name: torch.nn.Parameter(value.clone()) for name, value in start.items()})
        self.maker = None
        if maker:
            with torch.random.fork_rng([]):
                torch.manual_seed(seed)
                n = sum(value.numel() for value in start.values())
                self.maker = torch.nn.Sequential(
                    torch.nn.AdaptiveAvgPool2d(_POOLED),
                    torch.nn.Flatten(),
                    torch.nn.Linear(3 * _POOLED**2, maker),
                    torch.nn.ReLU(),
                    torch.nn.Linear(maker, n),
                )
            torch.nn.init.zeros_(self.maker[-1].weight)  # begins as a prompt that is the same for all
            torch.nn.init.zeros_(self.maker[-1].bias)

    def forward(self, pixels):
        """The numbers for pictures (n, 3, s, s): dict of name -> tensor (1 or n, ...)."""
        own = dict(self.own.items())
        if self.maker is None:
            return own
        parts = self.maker(pixels).split([value.numel() for value in own.values()], 1)
        return {name: own[name] + part.view(-1, *own[name].shape[1:]) for name, part in zip(own, parts, strict=True)}
