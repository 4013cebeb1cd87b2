"""Pictures from tokens: one after the other in rows, or many at once in a few passes, by two networks of one size.

A picture's 8 x 8 latents are rounded to a code of a first and one of a second codebook (`gate.py`). Both networks read the
caption through the pipeline's frozen text tower. One learns to write the 64 tokens row by row; the other one to write what is
masked, and to predict how much the first codebook leaves of each token, which is its importance (Fei, Fan, Zhu, Huang,
arXiv:2210.02291). Truth is what the checker reads.
"""

import math
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import DynamicCache, LlamaConfig, LlamaModel

from decode_parts import gate
from workbench.models.checker import load_checker
from workbench.models.checker import pixels as as_pixels
from workbench.models.pipeline import load_pipeline
from workbench.training import adamw, cosine, train
from workbench.world import render, scenes

WORDS = 16  # tokens of the longest caption, and room
CELLS = 64  # of a picture
CODES = 256  # of each of the two codebooks
WIDTH, LAYERS, HEADS = 128, 6, 4
RATE, BATCH = 1e-3, 48
PASSES = 8
WAYS = (
    ("raster", CELLS),
    ("importance", PASSES),
    ("confidence", PASSES),
    ("random", PASSES),
    ("importance", 2 * PASSES),
    ("confidence", 2 * PASSES),
    ("random", 2 * PASSES),
    ("random", 1),
)


def measure(pictures=12_000, steps=1500, n=512, seed=0, progress=True):
    """Train both networks and draw n new captions in every way: list of dicts, one for each way, and the seconds of training."""
    world = World(pictures, seed)
    networks, seconds = {}, {}
    for name in ("raster", "masked"):
        begin = time.process_time()
        networks[name] = learn(world, name, steps, seed, progress)
        seconds[name] = time.process_time() - begin
    asked = scenes.scenes(n, seed + 7)
    real = render.render_all(asked, seed=seed + 7)
    other = render.render_all(scenes.scenes(n, seed + 8), seed=seed + 8)
    rows = [{"way": "pictures of the world", **world.judge(other, scenes.scenes(n, seed + 8), real)}]
    codes = world.codes(gate.encode(world.pipe, real))
    rows.append({"way": "the same, rounded to codes", **world.judge(world.pictures(codes), asked, real)})
    for order, passes in WAYS:
        network = networks["raster" if order == "raster" else "masked"]
        found, cost = [], []
        for i in range(0, n, 64):
            begin = time.process_time()
            found.append(draw(world, network, asked[i : i + 64], order, passes, seed + i))
            cost.append(time.process_time() - begin)
        begin = time.process_time()
        for i in range(4):
            draw(world, network, asked[i : i + 1], order, passes, seed + i)
        single = (time.process_time() - begin) / 4
        row = {"way": order, "passes": passes, **world.judge(world.pictures(torch.cat(found)), asked, real)}
        rows.append(row | {"seconds": sum(cost) / n, "seconds_alone": single})
        if progress:
            print(rows[-1], flush=True)
    return {"rows": rows, "seconds": seconds, "early": early(world, networks["masked"], asked[:256], seed)}


class World:
    """The pipeline's two ends, codebooks learned from rendered pictures, and these pictures as codes."""

    def __init__(self, pictures, seed):
        self.pipe, self.checker = load_pipeline().pipe, load_checker()
        some = scenes.scenes(pictures, seed + 1)
        z = np.concatenate(
            [gate.encode(self.pipe, render.render_all(some[i : i + 1000], seed=seed + i)) for i in range(0, pictures, 1000)]
        )
        few = np.random.default_rng(seed).permutation(len(z))[: 200_000 // CELLS]
        self.rounding = gate.Rounding(z[few], CODES, CODES, seed)
        self.known = self.codes(z)
        left = gate.cells(z) - self.rounding.books[0].cluster_centers_[self.known[..., 0].numpy()]
        size = np.linalg.norm(left, axis=2)
        self.importance = torch.from_numpy(((size - size.mean()) / size.std()).astype(np.float32))
        self.captions = self.text([scenes.caption(one, "sentence", i) for i, one in enumerate(some)])

    def text(self, captions):
        """States of captions: float32 (n, 16, 128)."""
        ids = self.pipe.tokenizer(captions, padding="max_length", max_length=WORDS, truncation=True)["input_ids"]
        with torch.inference_mode():
            states = torch.cat([self.pipe.text_encoder(part)[0] for part in torch.tensor(ids).split(256)])
        return states.clone()

    def codes(self, latents):
        """Codes of latents: int64 (n, 64, 2)."""
        return torch.from_numpy(self.rounding.codes(latents))

    def pictures(self, codes):
        """Pictures of codes: list of arrays."""
        return gate.decode(self.pipe, self.rounding.latents(codes.numpy()))

    def judge(self, pictures, asked, real):
        """What the checker reads, and the Frechet distance of its features to pictures of the world: dict."""
        right = self.checker.accuracy(pictures, asked)
        return {key: right[key] for key in ("all", "object", "color")} | {
            "distance": frechet(self.features(pictures), self.features(real))
        }

    def features(self, pictures):
        """The layer before the checker's last: (n, 128)."""
        with torch.inference_mode():
            return self.checker.model[:-1](as_pixels(pictures)).double().numpy()


def frechet(a, b):
    """Frechet distance of two Gaussians with the moments of two samples (Heusel et al., arXiv:1706.08500)."""
    left, right = np.cov(a.T), np.cov(b.T)
    roots = np.linalg.eigvals(left @ right).real.clip(0)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(left) + np.trace(right) - 2 * np.sqrt(roots).sum())


class Network(nn.Module):
    """A transformer over the caption and 64 tokens; `causal` predicts the next token, otherwise masked ones."""

    def __init__(self, causal):
        super().__init__()
        self.causal = causal
        self.body = LlamaModel(
            LlamaConfig(
                vocab_size=1,
                hidden_size=WIDTH,
                intermediate_size=3 * WIDTH,
                num_hidden_layers=LAYERS,
                num_attention_heads=HEADS,
                max_position_embeddings=WORDS + CELLS,
                bos_token_id=None,
                eos_token_id=None,
                attn_implementation="eager",  # of which the gradient is not slow in bfloat16
            )
        )
        self.body.embed_tokens = nn.Identity()
        self.words = nn.Linear(128, WIDTH)
        self.first, self.second = nn.Embedding(CODES + 1, WIDTH), nn.Embedding(CODES, WIDTH)  # one more: no token yet
        self.place = nn.Parameter(0.02 * torch.randn(CELLS, WIDTH))
        self.coarse, self.fine = (
            nn.Linear(WIDTH, CODES),
            nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, CODES)),
        )
        self.given = nn.Embedding(CODES, WIDTH)
        self.left = nn.Linear(WIDTH, 1)

    def tokens(self, codes, known):
        """Embeddings of tokens (b, m, 2), `known` (b, m) bool; without their places."""
        both = self.first(codes[..., 0]) + self.second(codes[..., 1])
        return torch.where(known[..., None], both, self.first.weight[-1])

    def states(self, words, tokens, cache=None):
        """States of m tokens behind the caption: float32 (b, m, width)."""
        x = torch.cat([self.words(words), tokens], 1) if words is not None else tokens
        if self.causal:
            out = self.body(inputs_embeds=x, past_key_values=cache, use_cache=cache is not None)
        else:
            everything = torch.zeros(len(x), 1, x.shape[1], x.shape[1])
            out = self.body(inputs_embeds=x, attention_mask=everything, use_cache=False)
        return out.last_hidden_state[:, -tokens.shape[1] :]

    def losses(self, states, codes):
        """Nats of both codes of tokens: float32 (b, m)."""
        first = functional.cross_entropy(self.coarse(states).transpose(1, 2), codes[..., 0], reduction="none")
        fine = self.fine(states + self.given(codes[..., 0]))
        return first + functional.cross_entropy(fine.transpose(1, 2), codes[..., 1], reduction="none")


def learn(world, name, steps, seed, progress=True):
    """A trained network, `"raster"` or `"masked"`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(name == "raster")

    def loss(step):
        with torch.autocast("cpu", torch.bfloat16):
            return nats_of(torch.randint(len(world.known), (BATCH,)))

    def nats_of(rows):
        codes, words = world.known[rows], world.captions[rows]
        if network.causal:
            nats = network.losses(network.states(words, shifted(network, codes)), codes)
            return nats.mean(), {"nats": float(nats.detach().mean())}
        hidden = torch.cos(torch.rand(BATCH) * math.pi / 2)[:, None]  # the share of masked tokens, as in MaskGIT
        known = torch.rand(BATCH, CELLS).argsort(1).argsort(1) >= (hidden * CELLS).ceil()
        states = network.states(words, network.tokens(codes, known) + network.place)
        nats = network.losses(states, codes)[~known].mean()
        error = functional.mse_loss(network.left(states)[..., 0][~known], world.importance[rows][~known])
        return nats + 0.5 * error, {"nats": float(nats.detach()), "error": float(error.detach())}

    optimizer = adamw(network, weight_decay=0.05, betas=(0.9, 0.98))
    rate = cosine(RATE, steps, 100)
    train(loss, {"network": network}, optimizer, steps, rate, name=name, every=100, seed=seed, progress=progress)
    return network.eval().requires_grad_(False)


def shifted(network, codes):
    """What a raster network reads in front of each token: the token before it and the place."""
    begin = network.first.weight[-1].expand(len(codes), 1, -1)
    before = network.tokens(codes[:, :-1], torch.ones(len(codes), codes.shape[1] - 1, dtype=torch.bool))
    return torch.cat([begin, before], 1) + network.place[: codes.shape[1]]


@torch.inference_mode()
def draw(world, network, asked, order, passes, seed, seen=None):
    """Codes of new pictures: int64 (n, 64, 2); `seen` collects what stands after each pass, the rest at its likeliest."""
    words = world.text([scenes.caption(one, "sentence", i) for i, one in enumerate(asked)])
    random = torch.Generator().manual_seed(seed)
    codes = torch.zeros(len(asked), CELLS, 2, dtype=torch.int64)
    if order == "raster":
        cache = DynamicCache()
        tokens = shifted(network, codes[:, :1])
        for i in range(CELLS):
            states = network.states(words if i == 0 else None, tokens, cache)[:, -1:]
            codes[:, i : i + 1], _ = pick(network, states, random)
            if i + 1 < CELLS:
                tokens = network.tokens(codes[:, i : i + 1], torch.ones(len(asked), 1, dtype=torch.bool)) + network.place[i + 1]
        return codes
    known = torch.zeros(len(asked), CELLS, dtype=torch.bool)
    for turn in range(1, passes + 1):
        states = network.states(words, network.tokens(codes, known) + network.place)
        found, chance = pick(network, states, random)
        noise = -torch.log(-torch.log(torch.rand(chance.shape, generator=random)))
        rank = {
            "importance": network.left(states)[..., 0],
            "confidence": chance + 4.5 * (1 - turn / passes) * noise,  # noise as in MaskGIT, less at each pass
            "random": noise,
        }[order]
        many = CELLS - math.floor(CELLS * math.cos(math.pi / 2 * turn / passes) + 1e-6)  # tokens that stand after this pass
        rank = rank.masked_fill(known, math.inf)
        chosen = rank.argsort(1, descending=True).argsort(1) < many
        codes = torch.where((chosen & ~known)[..., None], found, codes)
        known = known | chosen
        if seen is not None:
            seen.append(torch.where(known[..., None], codes, likeliest(network, states)))
    return codes


def pick(network, states, random):
    """Both codes drawn for each state, (b, m, 2), and the log-probability of the pair, (b, m)."""
    out, chance = [], 0
    logits = network.coarse(states)
    for _ in range(2):
        log = logits.log_softmax(-1)
        noise = -torch.log(-torch.log(torch.rand(log.shape, generator=random)))
        out.append((log + noise).argmax(-1))
        chance = chance + log.gather(-1, out[-1][..., None])[..., 0]
        if len(out) == 1:
            logits = network.fine(states + network.given(out[0]))
    return torch.stack(out, -1), chance


def likeliest(network, states):
    """The likeliest codes of each state."""
    first = network.coarse(states).argmax(-1)
    return torch.stack([first, network.fine(states + network.given(first)).argmax(-1)], -1)


def early(world, network, asked, seed):
    """Share of pictures that show the object asked for after each of 8 passes, by order: dict of str -> list of float."""
    out = {}
    for order in ("importance", "confidence", "random"):
        seen = []
        draw(world, network, asked, order, PASSES, seed, seen)
        out[order] = [round(world.checker.accuracy(world.pictures(codes), asked)["object"], 3) for codes in seen]
    return out
