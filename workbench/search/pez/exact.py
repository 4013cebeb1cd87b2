"""The text tower with the very bits of the model, at few of its positions: what `strict` computes with.

Where a gradient is nearly 0, AdamW makes a step of full size of a rounding error; after hundreds of steps one token in thousands
falls the other way, and its prompt goes elsewhere. So two loops have the same tokens for sure only if no bit differs. Here
the operations are those of the model, one by one, and torch differentiates them. Left out are the positions behind the end
token: to all before them they are exact zeros. Only, in which order a processor adds depends on the size of a matrix. Hence each
kind of multiplication is tried on random numbers first, and the cheapest way with the bits of the full size is taken.
"""

import torch
from torch.nn import functional

from workbench.search.pez.linear import PACKED_MOST, can_pack, packed
from workbench.search.pez.tower import special_ids


class ExactTower:
    """Features of prompts `begin, moving tokens, end` with the bits the model gives them at all positions of its window.

    Whether it does is tried on random prompts when it is made, which costs a step of the model. Where it does not, as with
    another kind of attention than torch's, the model's own blocks are run at all positions: slower, and the same bits.

    Args:
        clip: `models.CLIP`.
        length: int, moving tokens t.
        rows: int, prompts of a batch; of other batches the model's own blocks are run.

    Attributes:
        table: float32 tensor (v, w), the token vectors.
        shortened: bool, whether the positions behind the end token are left out.
    """

    def __init__(self, clip, length, rows):
        self.text, self.project, self.rows = clip.model.text_model, clip.model.text_projection, rows
        self.table = self.text.embeddings.token_embedding.weight.detach()
        self.places = self.text.embeddings.position_embedding.weight.detach()
        begin, end = special_ids(clip)
        self.end, behind = length + 1, len(self.places) - length - 2
        self.head, self.tail = self.table[[begin]], self.table[[end] + [0] * behind]
        self.blocks = None
        self.blocks = self._tried(_Blocks(self.text.encoder.layers, rows, length + 2, len(self.places)))
        self.shortened = self.blocks is not None

    def raw(self, vectors):
        """Features float32 (n, d), not normalised, of token vectors (n, t, w); torch can differentiate them."""
        n = len(vectors)
        short = self.blocks if n == self.rows else None
        tail = self.tail[:1] if short else self.tail
        x = torch.cat([self.head.expand(n, -1, -1), vectors, tail.expand(n, -1, -1)], 1)
        x = x + self.places[: x.shape[1]]
        for block in short.each if short else self.text.encoder.layers:
            x = block(x, short.mask if short else causal(x.shape[1], x.device))
            x = x[0] if isinstance(x, tuple) else x
        return self.project(self.text.final_layer_norm(x)[:, -1 if short else self.end])

    def features(self, vectors):
        """Features float32 (n, d), L2 norm 1, of token vectors (n, t, w)."""
        raw = self.raw(vectors)
        return raw / raw.norm(dim=1, keepdim=True)

    def _tried(self, blocks):
        """The short blocks, or None if one bit of a random batch differs, forwards or on the way back."""
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(len(self.table), (self.rows, self.end - 1), generator=generator)
        vectors = self.table[ids.to(self.table.device)]
        toward = torch.randn(self.rows, self.project.out_features, generator=generator).to(vectors.device)
        seen = []
        for self.blocks in (None, blocks):
            with torch.enable_grad():
                point = vectors.clone().requires_grad_()
                raw = self.raw(point)
                seen.append((raw.detach(), *torch.autograd.grad((raw * toward).sum(), point)))
        return blocks if all(map(torch.equal, *seen)) else None


def causal(n, device):
    """What is added to attention (1, 1, n, n): -inf at later positions."""
    return torch.full((n, n), -torch.inf, device=device).triu(1)[None, None]


class _Blocks:
    """Blocks of the model at n positions, with the bits of all `window`."""

    def __init__(self, layers, rows, n, window):
        small = sum(p.numel() * p.element_size() for p in layers.parameters()) <= PACKED_MOST
        self.shape, self.small, self.known = (rows, n, window), small, {}
        device = layers[0].self_attn.q_proj.weight.device
        attention = layers[0].self_attn
        self.mask = causal(self._seats(attention.num_heads, attention.head_dim, attention.scale, device), device)
        self.each = [_Block(layer, self.linear, layer is layers[-1]) for layer in layers]

    def linear(self, layer, only_end=False):
        """A function of x (rows, n, in), or (rows, 1, in) of the end token only, as the frozen `layer`, with a way back."""
        weight, bias = layer.weight.detach(), layer.bias.detach()
        n = 1 if only_end else self.shape[1]
        there, back = self._product(weight, bias, n), self._product(weight.t(), None, n)
        return lambda x: _Map.apply(x, there, back)

    def _product(self, weight, bias, n):
        """The cheapest x W^T + b, x (rows, n, in), with the bits of the full size; which it is depends on the shapes alone."""
        rows, end, window = self.shape
        key = (tuple(weight.shape), weight.is_contiguous(), bias is None, n)
        if key not in self.known:
            x = torch.randn(rows, window, weight.shape[1], generator=torch.Generator().manual_seed(0)).to(weight.device)
            want, x = functional.linear(x, weight, bias)[:, end - n : end], x[:, end - n : end].contiguous()
            ways = [*([0] if self.small and can_pack(weight) else []), *_ladder(n, window)]
            fits = (way for way in ways if torch.equal(self._way(weight, bias, n, way)(x), want))
            self.known[key] = next(fits, window)
        return self._way(weight, bias, n, self.known[key])

    def _way(self, weight, bias, n, positions):
        """A function x W^T + b, x filled up with zeros to so many positions a prompt; 0: packed for the processor."""
        rows = self.shape[0]
        if not positions:
            multiply = packed(weight, bias, rows * n)
            return lambda x: multiply(x.reshape(rows * n, -1)).view(rows, n, -1)
        if positions == n:
            return lambda x: functional.linear(x, weight, bias)
        return lambda x: functional.linear(functional.pad(x, (0, 0, 0, positions - n)), weight, bias)[:, :n]

    def _seats(self, heads, width, scale, device):
        """The fewest positions at which attention has the bits of the full size."""
        rows, n, window = self.shape
        made = torch.randn(4, rows, heads, window, width, generator=torch.Generator().manual_seed(0)).to(device)
        made[3, :, :, n:] = 0  # from behind the end token nothing comes back
        want = None
        for seats in (window, *_ladder(n, window)):
            mask, cut = causal(seats, device), window if seats == window else n
            with torch.enable_grad():
                q, k, v = points = [part[:, :, :cut].clone().requires_grad_() for part in made[:3]]
                out = attend(q, k, v, mask, scale)
                back = torch.autograd.grad(out, points, made[3, :, :, :cut].transpose(1, 2))
            got = [out[:, :n].detach(), *(part[:, :, :n] for part in back)]
            if want is not None and all(map(torch.equal, got, want)):
                return seats
            want = want or got
        return window


class _Block:
    """A block as transformers runs it, operation by operation: torch adds gradients in the order in which these were called."""

    def __init__(self, layer, linear, last):
        attention = layer.self_attn
        self.layer, self.heads, self.scale, self.last = layer, attention.num_heads, attention.scale, last
        self.q, self.k, self.v = linear(attention.q_proj), linear(attention.k_proj), linear(attention.v_proj)
        self.out, self.up, self.down = (linear(part, last) for part in (attention.out_proj, layer.mlp.fc1, layer.mlp.fc2))

    def __call__(self, x, mask):
        """Positions x (rows, n, w) -> (rows, n, w), of the last block (rows, 1, w); attention has the positions of `mask`."""
        shape = (*x.shape[:2], self.heads, -1)
        normed = self.layer.layer_norm1(x)
        q, k, v = (part(normed).view(shape).transpose(1, 2) for part in (self.q, self.k, self.v))
        mixed = attend(q, k, v, mask, self.scale).reshape(x.shape)
        if self.last:
            x, mixed = x[:, -1:], mixed[:, -1:]
        x = x + self.out(mixed)
        normed = self.layer.layer_norm2(x)
        return x + self.down(self.layer.mlp.activation_fn(self.up(normed)))


def attend(q, k, v, mask, scale):
    """Attention (rows, n, heads, w/heads) of q, k, v (rows, heads, n, w/heads), filled up with zeros to the size of `mask`."""
    n = q.shape[2]
    if mask.shape[-1] > n:
        q, k, v = (functional.pad(part, (0, 0, 0, mask.shape[-1] - n)) for part in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)[:, :, :n].transpose(1, 2)


def _ladder(n, window):
    """Numbers of positions to try, rising: n, then multiples of 8."""
    return [n, *range(n // 8 * 8 + 8, window, 8), window]


class _Map(torch.autograd.Function):
    """A linear map with its way back, both given as functions."""

    @staticmethod
    def forward(ctx, x, there, back):
        ctx.back = back
        return there(x)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.back(gradient), None, None
