"""The text tower of a CLIP for prompts given as token vectors, and the gradient back to them, written out for speed.

What is fixed is computed once: the begin token and a prefix are attended to by all that follows but attend to none of it, so
their keys and values stay what they are. What is not read is left out: positions behind the end token, and in the last block
all positions but the end token. The weights take no gradient, so the way back is one multiplication per map.
"""

import math

import torch

from workbench.search.pez.linear import PACKED_MOST, Linear

layer_norm_back = torch.ops.aten.native_layer_norm_backward


class TextTower:
    """Features of prompts `begin, prefix, moving tokens, suffix, end`.

    Args:
        clip: `models.CLIP`.
        length: int, moving tokens t.
        prefix: list of int, fixed ids before them.
        suffix: list of int, fixed ids behind them.
        dtype: torch.dtype to compute in.
        rows: int, prompts of the usual batch; 0 if it is not known.

    Attributes:
        table: float32 tensor (v, w), the token vectors.
    """

    def __init__(self, clip, length, prefix=(), suffix=(), *, dtype=torch.float32, rows=0):
        text, config = clip.model.text_model, clip.model.config.text_config
        self.table = text.embeddings.token_embedding.weight.detach()
        self.length, self.dtype = length, dtype
        begin, end = special_ids(clip)
        self.head = torch.tensor([begin, *prefix], device=self.table.device)
        self.tail = torch.tensor([*suffix, end], device=self.table.device)
        self.n = length + len(self.tail)  # positions that are computed anew
        blocks = text.encoder.layers
        if rows and sum(p.numel() * p.element_size() for p in blocks.parameters()) > PACKED_MOST:
            rows = 0
        about = (config.num_attention_heads, config.hidden_act, dtype, rows * self.n)
        self.blocks = [_Block(block, *about, rows if block is blocks[-1] else None) for block in blocks]
        self.norm = _Norm(text.final_layer_norm, dtype)
        self.project = Linear(clip.model.text_projection.weight.to(dtype), None)
        places = text.embeddings.position_embedding.weight.detach()[: len(self.head) + self.n]
        self.places = places[len(self.head) :].to(dtype)
        self.fixed = self.table[self.tail].to(dtype)
        self.causal = torch.full((self.n, self.n), -math.inf, dtype=dtype, device=self.table.device).triu(1)
        self._remember_head((self.table[self.head] + places[: len(self.head)]).to(dtype))

    def _remember_head(self, x):
        """Keys and values of the fixed beginning, block by block."""
        alone = torch.full((len(x), len(x)), -math.inf, dtype=self.dtype, device=x.device).triu(1)
        for block in self.blocks:
            block.past, past = None, block.past_of(x)
            x, _ = block.forward(x, 1, alone)
            block.past = past

    def features(self, vectors):
        """Where prompts lie.

        Args:
            vectors: float tensor (n, t, w), token vectors of the moving tokens.

        Returns:
            float32 tensor (n, d), L2 norm 1.
        """
        return self._forward(vectors, None)[0]

    def gradient(self, vectors, directions):
        """Features, and the gradient of their products with given directions.

        Args:
            vectors: float tensor (n, t, w).
            directions: float32 tensor (n, d), of any norm.

        Returns:
            (float32 (n, d) features, float32 (n, t, w) gradient of `(features * directions).sum()` by `vectors`).
        """
        tape = []
        features, length = self._forward(vectors, tape)
        # through the normalisation: what points along the feature itself changes nothing
        back = directions - (features * directions).sum(1, keepdim=True) * features
        back = (back / length).to(self.dtype)
        back = self.norm.backward(self.project.backward(back), tape.pop())
        for block in reversed(self.blocks):
            back = block.backward(back, len(vectors), tape.pop())
        return features, back.view(len(vectors), self.n, -1)[:, : self.length].float()

    def _forward(self, vectors, tape):
        n = len(vectors)
        x = torch.cat([vectors.to(self.dtype), self.fixed.expand(n, -1, -1)], 1) + self.places
        x = x.view(n * self.n, -1)
        for block in self.blocks:
            x, seen = block.forward(x, n, self.causal)
            if tape is not None:
                tape.append(seen)
        x, seen = self.norm.forward(x)
        if tape is not None:
            tape.append(seen)
        raw = self.project.forward(x).float()
        length = raw.norm(dim=1, keepdim=True)
        return raw / length, length


def special_ids(clip):
    """Ids of the begin and of the end token of a CLIP."""
    ids = clip.tokenizer("")["input_ids"]
    return ids[0], ids[1]


class _Norm:
    """A frozen layer norm."""

    def __init__(self, layer, dtype):
        self.weight, self.bias, self.eps = layer.weight.detach().to(dtype), layer.bias.detach().to(dtype), layer.eps
        self.shape = list(self.weight.shape)

    def forward(self, x):
        out, mean, scale = torch.native_layer_norm(x, self.shape, self.weight, self.bias, self.eps)
        return out, (x, mean, scale)

    def backward(self, gradient, seen):
        x, mean, scale = seen
        return layer_norm_back(gradient, x, self.shape, mean, scale, self.weight, self.bias, [True, False, False])[0]


class _Block:
    """One block of the tower; with `last`, the number of prompts, only the last position of each goes through all of it."""

    def __init__(self, layer, heads, activation, dtype, rows, last):
        attention, self.heads, self.only_end = layer.self_attn, heads, last is not None
        q, k, v = attention.q_proj, attention.k_proj, attention.v_proj
        self.width = q.out_features
        scale = (self.width // heads) ** -0.5
        ends = last if self.only_end else rows

        def linear(*layers, rows=rows):
            weight, bias = (torch.cat([part.detach() for part in parts]).to(dtype) for parts in zip(*layers, strict=True))
            return Linear(weight, bias, rows)

        query = (q.weight * scale, q.bias * scale)
        if self.only_end:
            self.q, self.kv = linear(query, rows=ends), linear((k.weight, k.bias), (v.weight, v.bias))
        else:
            self.qkv = linear(query, (k.weight, k.bias), (v.weight, v.bias))
            self.kv = Linear(self.qkv.weight[self.width :], self.qkv.bias[self.width :])
        self.out = linear((attention.out_proj.weight, attention.out_proj.bias), rows=ends)
        self.act, factor = _activation(activation, layer.mlp.activation_fn)
        self.up = linear((layer.mlp.fc1.weight * factor, layer.mlp.fc1.bias * factor), rows=ends)
        self.down = linear((layer.mlp.fc2.weight / factor, layer.mlp.fc2.bias), rows=ends)
        self.norm1, self.norm2 = _Norm(layer.layer_norm1, dtype), _Norm(layer.layer_norm2, dtype)
        self.past = None

    def past_of(self, x):
        """Keys and values (2, heads, p, w/heads) of positions x (p, w) that stay fixed."""
        kv = self.kv.forward(self.norm1.forward(x)[0])
        return kv.view(len(x), 2, self.heads, -1).permute(1, 2, 0, 3)

    def forward(self, x, n, causal):
        """Positions x (n * t, w) -> (n * t, w), or (n, w) in the last block; and what the way back needs."""
        normed, seen1 = self.norm1.forward(x)
        parts = 2 if self.only_end else 3
        if self.only_end:
            x = x.view(n, -1, self.width)[:, -1]
            kv = self.kv.forward(normed)
            q = self.q.forward(normed.view(n, -1, self.width)[:, -1].contiguous()).view(n * self.heads, 1, -1)
            made = kv.view(n, -1, parts, self.heads, self.width // self.heads).permute(2, 0, 3, 1, 4)
            k, v = made[0], made[1]
        else:
            qkv = self.qkv.forward(normed)
            made = qkv.view(n, -1, parts, self.heads, self.width // self.heads).permute(2, 0, 3, 1, 4)
            q, k, v = made[0].reshape(n * self.heads, -1, made.shape[-1]), made[1], made[2]
        p = 0
        if self.past is not None:
            p = self.past.shape[2]
            k = torch.cat([self.past[0].expand(n, -1, -1, -1), k], 2)
            v = torch.cat([self.past[1].expand(n, -1, -1, -1), v], 2)
        k, v = k.reshape(n * self.heads, -1, k.shape[-1]), v.reshape(n * self.heads, -1, v.shape[-1])
        weights = torch.bmm(q, k.transpose(1, 2))
        if not self.only_end:
            weights[:, :, p:] += causal
        weights = torch.softmax(weights, -1)
        mixed = torch.bmm(weights, v).view(n, self.heads, -1, v.shape[-1]).transpose(1, 2).reshape(-1, self.width)
        x = x + self.out.forward(mixed)
        normed, seen2 = self.norm2.forward(x)
        up = self.up.forward(normed)
        return x + self.down.forward(self.act.forward(up)), (seen1, q, k, v, weights, seen2, up, p)

    def backward(self, back, n, seen):
        """Gradient of the output -> gradient (n * t, w) of the input."""
        seen1, q, k, v, weights, seen2, up, p = seen
        back = back + self.norm2.backward(self.up.backward(self.act.backward(self.down.backward(back), up)), seen2)
        mixed = self.out.backward(back).view(n, -1, self.heads, v.shape[-1]).transpose(1, 2)
        mixed = mixed.reshape(n * self.heads, -1, v.shape[-1])
        dv = torch.bmm(weights.transpose(1, 2), mixed)
        dw = torch._softmax_backward_data(torch.bmm(mixed, v.transpose(1, 2)), weights, -1, weights.dtype)
        dq, dk = torch.bmm(dw, k), torch.bmm(dw.transpose(1, 2), q)
        if p:
            dk, dv = dk[:, p:], dv[:, p:]
        if self.only_end:
            dnormed = self.kv.backward(self._joined([dk, dv], n)).view(n, -1, self.width)
            dnormed[:, -1] += self.q.backward(self._joined([dq], n))
            first = self.norm1.backward(dnormed.view(-1, self.width), seen1)
            first.view(n, -1, self.width)[:, -1] += back
            return first
        return back + self.norm1.backward(self.qkv.backward(self._joined([dq, dk, dv], n)), seen1)

    def _joined(self, parts, n):
        """Gradients (n * heads, t, w/heads) of each part -> (n * t, parts * w)."""
        together = torch.stack([part.view(n, self.heads, -1, part.shape[-1]) for part in parts], 0)
        return together.permute(1, 3, 0, 2, 4).reshape(-1, len(parts) * self.width)


class _SiLU:
    def forward(self, x):
        return torch.nn.functional.silu(x)

    def backward(self, gradient, x):
        return torch.ops.aten.silu_backward(gradient, x)


class _GELU:
    def forward(self, x):
        return torch.nn.functional.gelu(x)

    def backward(self, gradient, x):
        return torch.ops.aten.gelu_backward(gradient, x)


class _Other:
    """Any other activation: torch differentiates it."""

    def __init__(self, function):
        self.forward = function

    def backward(self, gradient, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.forward(x), x, gradient)[0]


def _activation(name, layer):
    """The activation and the factor its input is to be multiplied by, its output divided by."""
    if name == "quick_gelu":
        # x sigmoid(1.702 x) = silu(1.702 x) / 1.702: one pass over memory instead of three
        return _SiLU(), 1.702
    if name in ("gelu", "silu"):
        return (_GELU() if name == "gelu" else _SiLU()), 1.0
    return _Other(layer), 1.0
