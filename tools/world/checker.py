"""Train the checker, the judge of pictures: it learns to name attributes on all pairs, held-out ones too, sharp and blurred."""

from pathlib import Path

import torch
from torch.nn import functional

from tools.world import cards, runs
from workbench import files, training
from workbench.models import checker
from workbench.world import scenes
from workbench.world.render import render_all

_VALUES = {name: scenes.VALUES[name] for name in scenes.ATTRIBUTES}  # artists are textures: not judged
STEPS, BATCH, RATE, PICTURES = 500, 128, 3e-3, 40_000
MINUTES = 2  # on one core
GATES = {f"{split} {name}": (">=", 0.995) for split in ("train", "held_out") for name in scenes.ATTRIBUTES} | {
    f"blurred {name}": (">=", 0.98) for name in scenes.ATTRIBUTES
}
_FRESH = 2 * 10**9  # seeds of pictures to check on begin here; those to train on stay below
_WHAT = """A convolutional network of 0.2 million parameters that reads object, color, background and style from a picture of
32 x 32 pixels. It judges what the pipeline draws and the prompts that are found for pictures, and knows nothing of the CLIP.
`workbench.models.checker.load_checker()` loads it."""
_HOW = """AdamW, 3e-3 with a cosine, batches of 128 of 40,000 pictures of all pairs of color and object, those held out from the
other models too, shifted a little, half of them blurred, with noise and a wrong shade, as a network may draw them."""


def train(folder, seed=0, steps=STEPS, progress=True):
    """Train a checker into `folder`, with its card."""
    folder = Path(folder)
    truth = scenes.scenes(PICTURES, seed, split="any")
    pictures = render_all(truth, seed * PICTURES)
    targets = torch.tensor([[values.index(getattr(scene, name)) for name, values in _VALUES.items()] for scene in truth])
    sizes = [len(values) for values in _VALUES.values()]
    torch.manual_seed(seed)
    model = checker.network(_VALUES).to(memory_format=torch.channels_last)
    checkpoint = runs.checkpoint(folder, "checker", seed=seed, steps=steps, batch=BATCH, rate=RATE)

    def loss(step):
        rows = torch.randint(PICTURES, (BATCH,))
        logits = model(_disturbed(checker.as_tensor(pictures[rows.numpy()]))).split(sizes, dim=1)
        return sum(functional.cross_entropy(part, targets[rows, i]) for i, part in enumerate(logits))

    modules, optimizer = {"model": model}, training.adamw(model, weight_decay=0.05)
    rate = training.cosine(RATE, steps, warmup=100)
    training.train(
        loss, modules, optimizer, steps, rate, name="checker", clip=None, checkpoint=checkpoint, seed=seed, progress=progress
    )
    with files.replacing_folder(folder) as temporary:
        checker.Checker(model, _VALUES).save(temporary)
        cards.write(temporary, "checker", check(temporary), GATES, seed, steps, _WHAT, _HOW, kind="a classifier")
    checkpoint.remove()


def _disturbed(batch):
    """What drawing by a network does to a picture: a little shift, blur, noise and a wrong shade. Half stay sharp."""
    n = len(batch)
    dx, dy = torch.randint(-2, 3, (2,)).tolist()
    batch = torch.roll(batch, (dy, dx), (2, 3))
    blurred = functional.avg_pool2d(functional.pad(batch, (1, 1, 1, 1), mode="replicate"), 3, 1)
    batch = torch.lerp(batch, blurred, (torch.rand(n, 1, 1, 1) * 2 - 1).clamp(min=0))
    batch = batch * (1 + 0.1 * torch.randn(n, 1, 1, 1)) + 0.04 * torch.randn(n, 3, 1, 1)
    return (batch + 0.15 * torch.rand(n, 1, 1, 1) * torch.randn(batch.shape)).clamp(-1, 1)


def check(folder, seed=0, *, n=4000):
    """Accuracy on pictures never trained on.

    Args:
        folder: str or Path of a saved checker.
        seed: int of the pictures.
        n: int, pictures a split.

    Returns:
        dict of str -> float 0..1: "train object" and so on for pairs of the train split, "held_out object" for those that the
        other models never see (the checker does), "blurred object" for pictures under a 3 x 3 mean.
    """
    judge, figures = checker.Checker.load(folder), {}
    for split in ("train", "held_out"):
        truth = scenes.scenes(n, _FRESH + seed, split=split)
        pictures = render_all(truth, _FRESH + seed)
        figures |= {f"{split} {name}": value for name, value in judge.accuracy(pictures, truth).items()}
        if split == "train":
            batch = functional.avg_pool2d(checker.as_tensor(pictures), 3, 1, 1, count_include_pad=False)
            soft = ((batch + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
            figures |= {f"blurred {name}": value for name, value in judge.accuracy(soft, truth).items()}
    return figures
