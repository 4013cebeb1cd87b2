"""The text tower of a CLIP for texts that begin alike: the beginning runs once, and only the positions that are read run at all.

A position of this tower sees only those before it. So the keys and values of a fixed beginning are the same in every text and
are kept; positions after the end token change nothing and are left out; in the last block only the pooled position goes on.
"""

import numpy as np
import torch
from torch.nn import functional

from workbench import checks
from workbench.models.loading import printable

_TOKENISED = 4096  # texts given to the tokenizer at a time
_ROWS = 2048  # tokens in one forward: more gains nothing on a CPU and costs memory
_WORTH = 64  # tokens that must be saved before sorted texts are cut into two groups with beginnings of their own


class TextTower:
    """Features of texts that begin with the same tokens.

    Args:
        clip: `models.CLIP`.
        beginning: list of int, the ids that all texts begin with, such as the begin token and a prefix; it may be empty.

    Attributes:
        table: float32 tensor (v, w), the token vectors.
    """

    def __init__(self, clip, beginning):
        self.text, self.project = clip.model.text_model, clip.model.text_projection
        self.table = self.text.embeddings.token_embedding.weight.detach()
        self.places = self.text.embeddings.position_embedding.weight.detach()
        self.start, self.memory = 0, [None] * len(self.text.encoder.layers)
        if beginning:
            with torch.no_grad():
                self.memory = self._run(self.table[torch.tensor(beginning, device=self.table.device)][None])[1]
            self.start = len(beginning)

    def features(self, vectors):
        """Where texts lie; torch can differentiate it.

        Args:
            vectors: float32 tensor (n, t, w), the token vectors after the beginning. The last one is pooled, so it is that of
                the end token.

        Returns:
            float32 tensor (n, d), L2 norm 1.
        """
        pooled = self.text.final_layer_norm(self._run(vectors)[0][:, -1])
        return functional.normalize(self.project(pooled), dim=-1)

    def _run(self, vectors):
        """States (n, 1, w) of the last position after all blocks, and the keys and values (n, h, t, w/h) of each block."""
        t, memory = vectors.shape[1], []
        x = vectors + self.places[self.start : self.start + t]
        allowed = torch.ones(t, self.start + t, dtype=torch.bool, device=x.device).tril(self.start)
        for layer, past in zip(self.text.encoder.layers, self.memory, strict=True):
            attention, normed = layer.self_attn, layer.layer_norm1(x)
            k, v = _heads(attention, attention.k_proj(normed)), _heads(attention, attention.v_proj(normed))
            memory.append((k, v))
            if past is not None:
                k, v = (torch.cat([old.expand(len(x), -1, -1, -1), new], 2) for old, new in zip(past, (k, v), strict=True))
            if layer is self.text.encoder.layers[-1]:
                x, normed, allowed = x[:, -1:], normed[:, -1:], allowed[-1:]
            q = _heads(attention, attention.q_proj(normed))
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
            x = x + attention.out_proj(mixed.transpose(1, 2).flatten(2))
            x = x + layer.mlp(layer.layer_norm2(x))
        return x, memory


def _heads(attention, x):
    """(n, t, w) -> (n, heads, t, w / heads)."""
    return x.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)


def phrase_features(clip, phrases, prefix="", *, joint=", "):
    """Features of phrases after a prefix: those of `clip.text_features` of prefix + joint + phrase, many times as fast.

    Texts are compared token by token, so this is exact too where the tokenizer joins the prefix's end with a phrase's start.

    Args:
        clip: `models.CLIP`.
        phrases: list of n str. What goes beyond the window is cut, as everywhere with CLIP.
        prefix: str, "" for none.
        joint: str between a prefix and a phrase.

    Returns:
        float32 tensor (n, d) on the model's device, L2 norm 1.

    Raises:
        ValueError: no phrases, or a prefix that leaves no room for a phrase in the window.
        TypeError: something that is not a str.

    Source:
        Ranking after a fixed prefix is what pharmapsychotic/clip-interrogator does, each text in full and padded to the window.
    """
    phrases = checks.texts(phrases, "phrases")
    if not isinstance(prefix, str) or not isinstance(joint, str):
        raise TypeError(f"prefix and joint are str, got {type(prefix).__name__} and {type(joint).__name__}.")
    texts = [f"{prefix}{joint}{phrase}" for phrase in phrases] if prefix else phrases
    if prefix and len(_tokens(clip, [prefix])[0]) >= clip.window:
        raise ValueError(
            f"The prefix fills the window of {clip.window} tokens, so no phrase after it would be read. Shorten it: "
            f"{prefix[:60]!r}..."
        )
    tokens = _tokens(clip, texts)
    different = sorted(set(tokens))
    rows = {one: i for i, one in enumerate(different)}
    features = torch.cat([_features(clip, different[start:end], shared) for start, end, shared in _groups(different)])
    return features[[rows[one] for one in tokens]]


def _groups(tokens):
    """Cut sorted lists of tokens into groups that each run their own beginning: triples (start, end, tokens in common)."""
    start, shared = 0, len(tokens[0]) - 1
    for i in range(1, len(tokens)):
        same = next((n for n, (a, b) in enumerate(zip(tokens[i - 1], tokens[i], strict=False)) if a != b), len(tokens[i - 1]))
        less = min(shared, same, len(tokens[i]) - 1)
        if (shared - less) * (i - start) > less + _WORTH:
            yield start, i, shared
            start, shared = i, len(tokens[i]) - 1
        else:
            shared = less
    yield start, len(tokens), shared


@torch.no_grad()
def _features(clip, tokens, shared):
    """Features (n, d) of texts that have their first `shared` tokens in common, in batches of equal length."""
    tower, out = TextTower(clip, tokens[0][:shared]), torch.empty(len(tokens), clip.width, device=clip.device)
    lengths = torch.tensor([len(one) - shared for one in tokens])
    for length in lengths.unique().tolist():
        for rows in (lengths == length).nonzero()[:, 0].split(max(1, _ROWS // length)):
            ids = torch.tensor([tokens[i][shared:] for i in rows.tolist()], device=clip.device)
            out[rows.to(clip.device)] = tower.features(tower.table[ids])
    return out


def _tokens(clip, texts):
    """The tokens of each text, tuples of int, up to the one that the model pools; those after it change nothing."""
    ids = []
    for start in range(0, len(texts), _TOKENISED):
        some = [printable(text) for text in texts[start : start + _TOKENISED]]
        ids += clip.tokenizer(some, truncation=True, max_length=clip.window)["input_ids"]
    end = clip.model.config.text_config.eos_token_id
    if end == 2:  # transformers pools the highest id where a config is older than this rule
        return [tuple(one[: int(np.argmax(one)) + 1]) for one in ids]
    return [tuple(one[: one.index(end) + 1] if end in one else one[:1]) for one in ids]
