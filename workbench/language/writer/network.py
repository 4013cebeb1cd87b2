"""Network: the decoder, the posterior of content, its prior and the mapping from content to what the decoder reads."""

import math

import torch
from torch import nn
from torch.nn import functional

from workbench.language.writer.config import CONTENT_DIMS, LETTERS, SPELLED
from workbench.language.writer.layout import NEIGHBOURS

_PIECE_WIDTH = 48


class Attention(nn.Module):
    """Self-attention with rotary positions; half of each head turns with the sequence, half with the place.

    Source:
        Su et al., arXiv:2104.09864.
    """

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.inside, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)

    def forward(self, x, turn, mask, past=None):
        """Attend: (b, t, d) -> (b, t, d), (keys, values). `turn`: cosines and sines, `mask`: bool (b, 1, t, s)."""
        b, t, d = x.shape
        q, k, v = self.inside(x).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        q, k = _turned(q, turn), _turned(k, turn)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        # Written out: the fused kernel takes several times as long for short rows and a mask on a CPU.
        scores = (q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5)).masked_fill(~mask, -1e4)
        y = scores.softmax(-1).to(v.dtype) @ v
        return self.out(y.transpose(1, 2).reshape(b, t, d)), (k, v)


class Block(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width, heads):
        super().__init__()
        self.attention = Attention(width, heads)
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, turn, mask, past=None):
        """X (b, t, d) -> (b, t, d), (keys, values)."""
        y, seen = self.attention(self.before(x), turn, mask, past)
        x = x + y
        return x + self.down(functional.gelu(self.up(self.between(x)), approximate="tanh")), seen


class Transformer(nn.Module):
    """The decoder: pieces in, hidden states out."""

    def __init__(self, width, layers, heads):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        quarter = width // heads // 4
        self.register_buffer("frequencies", 100.0 ** (-torch.arange(quarter) / quarter), persistent=False)

    def forward(self, x, numbers, places, mask, past=None):
        """X (b, t, d); numbers and places int64 (b, t) -> hidden (b, t, d), list of (keys, values) per layer."""
        angles = torch.cat([numbers[..., None] * self.frequencies, places[..., None] * self.frequencies], -1)[:, None]
        turn, seen = (angles.cos().to(x.dtype), angles.sin().to(x.dtype)), []
        for i, block in enumerate(self.blocks):
            x, cache = block(x, turn, mask, past[i] if past is not None else None)
            seen.append(cache)
        return self.norm(x), seen


class Mapping(nn.Module):
    """Mapping network: content and how many pieces of the filler are written -> what the decoder adds to its input there.

    Meaning goes to all positions of a filler alike; of the spelling, each gets the dimensions of the piece that is next.
    """

    def __init__(self, width):
        super().__init__()
        self.meaning = nn.Sequential(nn.Linear(CONTENT_DIMS, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.spelling = nn.Linear(LETTERS, width, bias=False)

    def forward(self, content, steps):
        """Content float (n, c), steps int64 (n,) -> (n, d). Content without a spelling has 0 there."""
        found = self.meaning(content[:, :CONTENT_DIMS])
        letters = content[:, CONTENT_DIMS:].view(-1, SPELLED, LETTERS)
        letters = functional.pad(letters, (0, 0, 0, 1))  # later pieces have no spelling
        return found + self.spelling(letters[torch.arange(len(steps), device=steps.device), steps.clamp(max=SPELLED)])


class Network(nn.Module):
    """All that is learned of the writer.

    Args:
        config: `WriterConfig`.
        n_pieces: int, size of the vocabulary.
        n_codes: int, codes shown: those of the codebook, literal, and the mask.
        n_features: int, width of a filler's feature vector.
    """

    def __init__(self, config, n_pieces, n_codes, n_features):
        super().__init__()
        width = config.width
        self.pieces, self.codes = nn.Embedding(n_pieces, width), nn.Embedding(n_codes, width)
        self.near = nn.Linear(NEIGHBOURS * width, width, bias=False)
        self.decoder = Transformer(width, config.layers, config.heads)
        self.bias = nn.Parameter(torch.zeros(n_pieces))
        self.guess = nn.Linear(width, n_codes - 2)  # the code of a masked slot
        self.prior = nn.Linear(width, 2 * CONTENT_DIMS)
        # posterior: the filler's own words, their order and their features, nothing of its neighbours
        self.spelling = nn.Embedding(n_pieces, _PIECE_WIDTH)
        self.reader = nn.Sequential(
            nn.Linear(n_features + SPELLED * _PIECE_WIDTH, 2 * width), nn.GELU(), nn.Linear(2 * width, 2 * CONTENT_DIMS)
        )
        self.mapping = Mapping(width)
        self.letters = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * LETTERS))
        self.features = nn.Linear(width, n_features)  # mapped content -> features of the filler
        for table in (self.pieces, self.codes, self.spelling):
            nn.init.normal_(table.weight, std=0.02 if table is not self.spelling else 0.3)
        for block in self.decoder.blocks:
            for layer in (block.attention.out, block.down):
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * config.layers))
        nn.init.zeros_(self.prior.weight)
        nn.init.zeros_(self.prior.bias)

    def embed(self, ids, codes, gap, neighbours, content):
        """Input of the decoder: (b, t, d).

        Args:
            ids: int64 (b, t).
            codes: int64 (b, t).
            gap: int64 (b, t), row of `neighbours`, g for none.
            neighbours: int64 (g, 4).
            content: float (b, t, d) mapped content to add, or None.
        """
        near = self.near(self.pieces(neighbours).flatten(1))
        near = torch.cat([near, near.new_zeros(1, near.shape[1])])
        x = self.pieces(ids) + self.codes(codes) + near[gap]
        return x if content is None else x + content

    def posterior(self, spelled, features):
        """Mean and log of the standard deviation of content: spelled int64 (s, 12), features float (s, f) -> two (s, c).

        The first `CONTENT_DIMS` are of the meaning, the others of the pieces, in their order.
        """
        x = torch.cat([features, self.spelling(spelled).flatten(1)], -1)
        # Letters are read from the embeddings of the pieces, so that a rare piece does as well as a common one; no gradient.
        letters = self.letters(self.pieces(spelled).detach()).float().chunk(2, -1)
        parts = zip(self.reader(x).float().chunk(2, -1), letters, strict=True)
        mean, scale = (torch.cat([meaning, spelling.flatten(1)], -1) for meaning, spelling in parts)
        return mean, scale.clamp(-5, 2)

    def prior_of(self, hidden):
        """The same of the prior of meaning, from the hidden state at the FILL of a gap: (g, d) -> two (g, CONTENT_DIMS)."""
        mean, scale = self.prior(hidden).float().chunk(2, -1)
        return mean, scale.clamp(-5, 2)

    def logits(self, hidden):
        """Scores of the next piece: (..., d) -> float32 (..., v)."""
        return (functional.linear(hidden, self.pieces.weight) + self.bias).float()


def visible_mask(prefix, length):
    """Who sees whom: bool (b, 1, t, t). The visible part sees itself whole; a filling what stands before it.

    Args:
        prefix: int64 (b,), length of the visible part.
        length: int, t.
    """
    at = torch.arange(length, device=prefix.device)
    return ((at[None, :] <= at[:, None])[None] | (at[None, None, :] < prefix[:, None, None]))[:, None]


def _turned(x, turn):
    cos, sin = turn
    left, right = x.chunk(2, -1)
    return torch.cat([left * cos - right * sin, left * sin + right * cos], -1)
