"""Train the aesthetic head: CLIP features of pictures -> the score that `models.aesthetic.beauty` gives them."""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from tools.world import cards, runs
from workbench import files, training
from workbench.models import aesthetic, load_clip
from workbench.world import scenes
from workbench.world.render import render_all

STEPS, PICTURES, HIDDEN, BATCH, RATE = 2000, 12_000, 64, 256, 3e-3
MINUTES = 1  # on one core
GATES = {"Pearson": (">=", 0.95), "Pearson, held-out pairs": (">=", 0.95)}
_FRESH = 5 * 10**9  # seeds of pictures to check on begin here; those to train on stay below
_WHAT = """A head of one hidden layer (64) on the image features of the CLIP beside it. It guesses the score that
`workbench.models.aesthetic.beauty` defines: contrast + colorfulness - fine noise, about 0 to 10. That is a rule of this world, so
that the head can be measured; real ones guess people's votes. `workbench.models.aesthetic.load_aesthetic()` loads it."""
_HOW = (
    """AdamW on the squared error, 12,000 pictures of pairs of color and object that are not held out; the CLIP stays as it is."""
)


def train(folder, seed=0, steps=STEPS, progress=True):
    """Train a head into `folder`, with its card; the CLIP is "clip" beside it."""
    folder = Path(folder)
    features, target = _measured(_clip(folder), PICTURES, seed, "train")
    torch.manual_seed(seed)
    mean, scale = features.mean(0), 1 / features.std(0).clamp(min=1e-4)
    middle, spread = target.mean(), target.std()
    x, y = (features - mean) * scale, (target - middle) / spread
    model = _Head(x.shape[1])
    checkpoint = runs.checkpoint(folder, "aesthetic", seed=seed, steps=steps, pictures=PICTURES)

    def loss(step):
        rows = torch.randint(len(x), (BATCH,))
        return functional.mse_loss(model(x[rows]), y[rows])

    modules, optimizer = {"model": model}, training.adamw(model, weight_decay=0.05)
    rate = training.cosine(RATE, steps)
    training.train(
        loss, modules, optimizer, steps, rate, name="aesthetic", clip=None, checkpoint=checkpoint, seed=seed, progress=progress
    )
    weights = {
        "mean": mean,
        "scale": scale,
        "hidden": model.hidden.weight.T,
        "hidden_bias": model.hidden.bias,
        "out": model.out.weight[0] * spread,
        "linear": model.linear.weight[0] * spread,
        "bias": model.out.bias[0] * spread + middle,
    }
    head = aesthetic.Aesthetic({key: value.detach().numpy() for key, value in weights.items()})
    with files.replacing_folder(folder) as temporary:
        head.save(temporary)
        cards.write(temporary, "aesthetic", check(temporary), GATES, seed, steps, _WHAT, _HOW, kind="an aesthetic head")
    checkpoint.remove()


class _Head(torch.nn.Module):
    """Features (n, width) -> scores (n,): a hidden layer beside a linear one."""

    def __init__(self, width):
        super().__init__()
        self.hidden, self.out = torch.nn.Linear(width, HIDDEN), torch.nn.Linear(HIDDEN, 1)
        self.linear = torch.nn.Linear(width, 1, bias=False)

    def forward(self, x):
        return (self.out(torch.tanh(self.hidden(x))) + self.linear(x))[:, 0]


def _clip(folder):
    return load_clip(str(folder.with_name("clip")), device="cpu")


def _measured(clip, n, seed, split):
    """Features (n, d) and true scores (n,) of fresh pictures, tensors."""
    pictures = render_all(scenes.scenes(n, seed, split), seed)
    return clip.image_features(pictures).float(), torch.from_numpy(aesthetic.beauty(pictures))


def check(folder, seed=0, n=2000):
    """Pearson correlation of guess and truth on pictures that no training has drawn.

    Args:
        folder: str or Path of a saved head; the CLIP is "clip" beside it.
        seed: int >= 0.
        n: int, pictures a split.

    Returns:
        dict of str to float: "Pearson", -1..1, on pairs of the training, and "Pearson, held-out pairs"; "mean error", on the
        scale of `aesthetic.beauty`, and "spread", the standard deviation of the truth, to compare it with.
    """
    folder = Path(folder)
    head, clip, figures = aesthetic.Aesthetic.load(folder), _clip(folder), {}
    for split, suffix in (("train", ""), ("held_out", ", held-out pairs")):
        features, truth = _measured(clip, n, _FRESH + seed, split)
        guess, truth = head.score(features), truth.numpy()
        figures[f"Pearson{suffix}"] = float(np.corrcoef(guess, truth)[0, 1])
        if split == "train":
            figures |= {"mean error": float(np.abs(guess - truth).mean()), "spread": float(truth.std())}
    return figures
