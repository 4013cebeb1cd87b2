"""The text tower of a CLIP for many texts that begin alike: what they have in common is computed once.

Texts are sorted and cut into pieces. The common beginning of a piece is run alone; of each layer its keys and values are kept.
The rest of its texts becomes a tree of tokens: a token that follows the same tokens in several texts is one row. Rows are not
padded; a row looks at the kept keys and at the rows on its way to the root, which is what a causal mask shows it. The last
layer computes the pooled tokens only.
"""

import numpy as np
import torch

from workbench import checks
from workbench.models.loading import printable

_TOKENISED = 4096  # texts given to the tokenizer at a time

_ROWS = 512  # rows of a tree: more gains nothing on a CPU and costs memory
_WORTH = 4  # a piece that has so many more tokens in common than all texts have gets a beginning of its own


def encode(model, tokens):
    """Projected features of texts given as tokens, as `CLIPModel.get_text_features` computes them.

    Args:
        model: transformers.CLIPModel in evaluation mode.
        tokens: list of n lists of int, n >= 1, each from the begin token to the one that is pooled; none longer than the window.

    Returns:
        float32 tensor (n, d) on the model's device, not normalised.
    """
    tower, device = model.text_model, model.text_projection.weight.device
    order = sorted(range(len(tokens)), key=tokens.__getitem__)
    tokens = [tokens[i] for i in order]
    least = _shared(tokens)
    begin, out = _remember(tower, tokens[0][:least]), []
    for start, end in _chunks(tokens):
        some, shared, memory = tokens[start:end], least, begin
        if _shared(some) >= least + _WORTH:
            shared = _shared(some)
            memory = _remember(tower, some[0][:shared])
        pooled, ends = _grow(tower, memory, [one[shared:] for one in some], shared)
        out.append(model.text_projection(tower.final_layer_norm(pooled))[ends])
    features = torch.empty(len(tokens), out[0].shape[1], device=device)
    features[torch.tensor(order, device=device)] = torch.cat(out)
    return features


def _shared(tokens):
    """How many tokens all of some sorted texts begin with, so that each has one more."""
    first, last, most = tokens[0], tokens[-1], min(map(len, tokens)) - 1
    return next((i for i in range(most) if first[i] != last[i]), most)


def _remember(tower, ids):
    """Keys and values of a text in each layer: list of pairs (heads, p, width of a head)."""
    ids = torch.tensor(ids, dtype=torch.long, device=tower.embeddings.token_embedding.weight.device)
    x, memory = _embed(tower, ids, torch.arange(len(ids), device=ids.device)), []
    for layer in tower.encoder.layers:
        normed, attention = layer.layer_norm1(x), layer.self_attn
        q, k, v = (_heads(attention, to(normed)).transpose(0, 1) for to in _projections(attention))
        memory.append((k, v))
        mixed = torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]
        x = _finish(layer, x, mixed.transpose(0, 1))
    return memory


def _grow(tower, memory, tails, shared):
    """Last hidden states of the pooled tokens, each once (e, width), and which of them is that of each text (n,)."""
    ids, paths, ends = _tree(tails)
    device = memory[0][0].device
    depths = np.repeat(np.arange(len(paths)), [len(path) for path in paths])
    x = _embed(tower, torch.from_numpy(ids).to(device), torch.from_numpy(depths + shared).to(device))
    leaves, ends = np.unique(ends, return_inverse=True)
    begins = np.cumsum([0] + [len(path) for path in paths])
    last = [path[leaves[(leaves >= a) & (leaves < a + len(path))] - a] for a, path in zip(begins, paths, strict=False)]
    paths, last = ([torch.from_numpy(p).to(device) for p in some if len(p)] for some in (paths, last))
    leaves = torch.from_numpy(leaves).to(device)
    for layer, (keys, values) in zip(tower.encoder.layers, memory, strict=True):
        normed, attention = layer.layer_norm1(x), layer.self_attn
        to_q, to_k, to_v = _projections(attention)
        k, v = _heads(attention, to_k(normed)), _heads(attention, to_v(normed))
        if layer is tower.encoder.layers[-1]:
            x, normed, paths = x[leaves], normed[leaves], last
        q = _heads(attention, to_q(normed))
        by_depth = zip(q.split([len(path) for path in paths]), paths, strict=True)
        mixed = [_attend(some, keys, values, k[path], v[path]) for some, path in by_depth]
        x = _finish(layer, x, torch.cat(mixed))
    return x, torch.from_numpy(ends.reshape(-1)).to(device)


def _attend(q, keys, values, k, v):
    """Attention of rows of one depth: q (r, h, w) over the common keys (h, p, w) and over their own way, k (r, g, h, w)."""
    q = q * q.shape[-1] ** -0.5
    common = torch.matmul(q.transpose(0, 1), keys.transpose(1, 2))  # (h, r, p)
    own = (q[:, None] * k).sum(-1).permute(2, 0, 1)  # (h, r, g)
    weights = torch.cat([common, own], dim=-1).softmax(-1)
    common, own = weights.split([keys.shape[1], k.shape[1]], dim=-1)
    mixed = torch.matmul(common, values).transpose(0, 1)  # (r, h, w)
    return mixed + (own.permute(1, 2, 0)[..., None] * v).sum(1)


def _tree(tails):
    """Sorted lists of tokens as a tree.

    Returns:
        ids int64 (rows,), by depth; for each depth the rows on the way from the root, itself included, int64 (r, depth + 1);
        the row that each list ends with, int64 (n,).
    """
    lengths = np.array([len(tail) for tail in tails])
    ids = np.full((len(tails), lengths.max()), -1)
    ids[np.arange(ids.shape[1]) < lengths[:, None]] = [token for tail in tails for token in tail]
    differs = np.ones(ids.shape, bool)
    differs[1:] = ids[1:] != ids[:-1]
    new = (ids >= 0) & np.logical_or.accumulate(differs, axis=1)
    # a token that is not new has the number of the last new one above it, since the lists are sorted
    number = np.cumsum(new.T.ravel()).reshape(new.shape[::-1]).T - 1
    paths = [number[new[:, depth], : depth + 1] for depth in range(ids.shape[1])]
    return ids.T[new.T], paths, number[np.arange(len(tails)), lengths - 1]


def _chunks(tails):
    """Cut sorted lists of tokens so that the tree of each piece has about `_ROWS` rows: pairs (start, end)."""
    start, rows, before = 0, 0, []
    for i, tail in enumerate(tails):
        same = 0
        while same < min(len(tail), len(before)) and tail[same] == before[same]:
            same += 1
        if rows and rows + len(tail) - same > _ROWS:
            yield start, i
            start, rows, same = i, 0, 0
        rows += len(tail) - same
        before = tail
    yield start, len(tails)


def _embed(tower, ids, positions):
    return tower.embeddings.token_embedding(ids) + tower.embeddings.position_embedding(positions)


def _projections(attention):
    return attention.q_proj, attention.k_proj, attention.v_proj


def _heads(attention, x):
    return x.view(len(x), attention.num_heads, attention.head_dim)


def _finish(layer, x, mixed):
    x = x + layer.self_attn.out_proj(mixed.flatten(1))
    return x + layer.mlp(layer.layer_norm2(x))


def phrase_features(clip, phrases, prefix="", *, joint=", "):
    """Where phrases lie behind a prefix: as `clip.text_features` of prefix + joint + phrase, many times as fast.

    What texts have in common runs through the text tower once, the prefix above all; of the phrases only tokens that differ do,
    without padding. This goes by tokens, so it is exact too where the tokenizer joins the prefix's end with a phrase's start.

    Args:
        clip: `models.CLIP`.
        phrases: list of n str. What goes beyond the window is cut, as everywhere with CLIP.
        prefix: str, "" for none.
        joint: str between a prefix and a phrase.

    Returns:
        float32 tensor (n, d) on the model's device, L2 norm 1.

    Raises:
        ValueError: no phrases, or a prefix that leaves no room for a phrase in the window.
        TypeError: something that is no str.

    Source:
        Ranking behind a fixed prefix is what pharmapsychotic/clip-interrogator does, each text in full and padded to the window.
    """
    phrases = checks.texts(phrases, "phrases")
    if not isinstance(prefix, str) or not isinstance(joint, str):
        raise TypeError(f"prefix and joint are str, got {type(prefix).__name__} and {type(joint).__name__}.")
    texts = [f"{prefix}{joint}{phrase}" for phrase in phrases] if prefix else phrases
    if prefix and len(_tokens(clip, [prefix])[0]) >= clip.window:
        raise ValueError(
            f"The prefix fills the window of {clip.window} tokens, so that no phrase behind it would be read. Shorten it: "
            f"{prefix[:60]!r}..."
        )
    with torch.inference_mode():
        features = encode(clip.model, _tokens(clip, texts))
    return torch.nn.functional.normalize(features, dim=-1).clone()


def _tokens(clip, texts):
    """Tokens of each text from the first to the one that the model pools; those after it change nothing."""
    ids = []
    for start in range(0, len(texts), _TOKENISED):
        some = [printable(text) for text in texts[start : start + _TOKENISED]]
        ids += clip.tokenizer(some, truncation=True, max_length=clip.window)["input_ids"]
    end = clip.model.config.text_config.eos_token_id
    if end == 2:  # the rule of transformers for configs from before it was the number of the end token: the highest one is pooled
        return [one[: int(np.argmax(one)) + 1] for one in ids]
    return [one[: one.index(end) + 1] if end in one else one[:1] for one in ids]
