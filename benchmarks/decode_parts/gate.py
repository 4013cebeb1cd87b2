"""The gate before coarse to fine on pictures: what the checker still reads after the latents were rounded to codes."""

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans

from workbench.models.checker import load_checker
from workbench.models.pipeline import load_pipeline
from workbench.world import render, scenes

GATE = 0.95


def measure(pictures=3000, seed=0, sizes=((128, 0), (512, 0), (128, 128), (256, 256)), unseen=512):
    """Share of new pictures of which all four attributes are read from rounded latents: list of dicts, one for each codebook.

    Two numbers are the codes of a first and of a second codebook, which rounds what the first one leaves.
    """
    pipe, checker = load_pipeline().pipe, load_checker()
    learned, known = _latents(pipe, pictures, seed + 1), scenes.scenes(unseen, seed + 2)
    drawn = render.render_all(known, seed=seed + 2)
    z = encode(pipe, drawn)
    rows = [{"codes": "pictures", "all": checker.accuracy(drawn, known)["all"], "left": 0.0}]
    rows.append({"codes": "latents", "all": checker.accuracy(decode(pipe, z), known)["all"], "left": 0.0})
    for first, second in sizes:
        back = (rounding := Rounding(learned, first, second, seed)).latents(rounding.codes(z))
        left = float(((z - back) ** 2).sum() / ((z - z.mean((0, 2, 3), keepdims=True)) ** 2).sum())
        name = f"{first} + {second}" if second else str(first)
        rows.append({"codes": name, "all": checker.accuracy(decode(pipe, back), known)["all"], "left": left})
    return rows


class Rounding:
    """Latents as codes by k-means: a first codebook, and with `second` one that rounds what the first leaves."""

    def __init__(self, learned, first, second=0, seed=0):
        options = {"random_state": seed, "batch_size": 4096, "n_init": 1}
        rest, self.shape, self.books = cells(learned).reshape(-1, learned.shape[1]), learned.shape[1:], []
        for size in filter(None, (first, second)):
            self.books.append(MiniBatchKMeans(size, **options).fit(rest))
            rest = rest - self.books[-1].cluster_centers_[self.books[-1].predict(rest)]

    def codes(self, latents):
        """Codes of latents (n, channels, h, w): int64 (n, h * w, codebooks)."""
        rest, found = cells(latents).reshape(-1, latents.shape[1]), []
        for book in self.books:
            found.append(book.predict(rest))
            rest = rest - book.cluster_centers_[found[-1]]
        return np.stack(found, -1).astype(np.int64).reshape(len(latents), -1, len(self.books))

    def latents(self, codes):
        """Latents of codes: float32 (n, channels, h, w)."""
        found = sum(book.cluster_centers_[codes[..., i]] for i, book in enumerate(self.books))
        channels, height, width = self.shape
        return found.reshape(len(codes), height, width, channels).transpose(0, 3, 1, 2).astype(np.float32)


def cells(latents):
    """(n, channels, h, w) -> (n, h * w, channels)."""
    return latents.transpose(0, 2, 3, 1).reshape(len(latents), -1, latents.shape[1])


def _latents(pipe, n, seed):
    return encode(pipe, render.render_all(scenes.scenes(n, seed), seed=seed))


@torch.inference_mode()
def encode(pipe, pictures):
    """Latents of n pictures: float32 array (n, 12, 8, 8)."""
    x = torch.from_numpy(np.stack([np.asarray(one) for one in pictures])).permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.cat([pipe.vae.encode(part).latents for part in x.split(256)]).numpy()


@torch.inference_mode()
def decode(pipe, latents):
    """Pictures of latents: list of n uint8 arrays (32, 32, 3)."""
    x = torch.cat([pipe.vae.decode(part).sample for part in torch.from_numpy(latents).split(256)])
    return [np.uint8(np.clip(one, 0, 255)) for one in ((x.permute(0, 2, 3, 1) + 1) * 127.5).round().numpy()]
