"""Train the aesthetic head: CLIP features of pictures -> the score that `models.aesthetic.beauty` gives them."""

from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from tools.world import cards, checkpoints
from workbench.models import aesthetic, load_clip
from workbench.world import scenes
from workbench.world.render import render_all

STEPS, PICTURES, HIDDEN, BATCH = 2000, 12_000, 64, 256
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
    """Train a head and write it to `folder`, with its card.

    Args:
        folder: str or Path of this model; replaced when the training is done. The CLIP is "clip" beside it.
        seed: int >= 0.
        steps: int, batches of 256 pictures.
        progress: bool, show a progress bar.

    Raises:
        ModelError: there is no CLIP beside the folder.
    """
    folder = Path(folder)
    features, target = _measured(_clip(folder), PICTURES, seed, "train")
    torch.manual_seed(seed)
    mean, scale = features.mean(0), 1 / features.std(0).clamp(min=1e-4)
    middle, spread = target.mean(), target.std()
    x, y = (features - mean) * scale, (target - middle) / spread
    hidden, out, linear = (
        torch.nn.Linear(x.shape[1], HIDDEN),
        torch.nn.Linear(HIDDEN, 1),
        torch.nn.Linear(x.shape[1], 1, bias=False),
    )
    parameters = [*hidden.parameters(), *out.parameters(), *linear.parameters()]
    optimizer = torch.optim.AdamW(parameters, 3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in tqdm(range(steps), desc="aesthetic", disable=not progress):
        rows = torch.randint(len(x), (BATCH,))
        guess = (out(torch.tanh(hidden(x[rows]))) + linear(x[rows]))[:, 0]
        loss = torch.nn.functional.mse_loss(guess, y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        weights = {
            "mean": mean,
            "scale": scale,
            "hidden": hidden.weight.T,
            "hidden_bias": hidden.bias,
            "out": out.weight[0] * spread,
            "linear": linear.weight[0] * spread,
            "bias": out.bias[0] * spread + middle,
        }
    head = aesthetic.Aesthetic({key: value.detach().numpy() for key, value in weights.items()})
    with checkpoints.whole_folder(folder) as temporary:
        head.save(temporary)
        cards.write(temporary, "aesthetic", check(temporary), GATES, seed, steps, _WHAT, _HOW, kind="an aesthetic head")


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
