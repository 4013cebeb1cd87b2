"""Learn the library of prompts that `library.world()` gives, and write it into the package.

    python tools/world_library.py [--steps 150] [--rows 256] [--out workbench/world/prompts]

Twelve tasks of the built-in world for its tiny language model: name the object, color, background or style of a scene, from
captions in one of three forms. All prompts share a start, and each task has scenes of its own. It takes some minutes on one core;
equal options give equal bytes on one machine, with one version of torch and one number of threads.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from workbench import files, library, soft
from workbench.models import load_lm
from workbench.world import scenes

HERE = Path(__file__).resolve().parents[1]
DATE = "2026-11-28T00:00:00Z"  # of the recipe, so that a second run writes the same
CONFIG = soft.SoftConfig(start="a photo of a", vectors=8, rate=0.1, batch=32)
UNSEEN = 300  # captions that accuracy and loss are measured on


def task(attribute, form, n, seed):
    """Captions of one form and the attribute of their scenes: (list of n str, list of n str)."""
    drawn = scenes.scenes(n, seed, "any")
    texts = [scenes.caption(scene, form, seed * 100_000 + i).lower() for i, scene in enumerate(drawn)]
    return texts, [getattr(scene, attribute).lower() for scene in drawn]


def build(folder, rows, steps):
    """Learn the twelve prompts and put them into a library: `library.Library`."""
    lm, shelf = load_lm("world"), library.Library.open(folder, "workbench")
    config = CONFIG.replace(steps=steps)
    names = [(attribute, form) for attribute in scenes.ATTRIBUTES for form in scenes.FORMS]
    for seed, (attribute, form) in enumerate(names):
        texts, labels = task(attribute, form, rows, seed)
        unseen = task(attribute, form, UNSEEN, 100 + seed)
        prompt = soft.tune(lm, texts, labels, config)
        classes = list(prompt.labels)
        loss, _, said = soft.gradient(lm, prompt.vectors, *unseen, config, classes=classes)
        right = np.mean([one == other for one, other in zip(said, unseen[1], strict=True)])
        card = library.Card(
            name=f"{attribute} of a {form}",
            data=library.DataSet(f"scenes of the built-in world, {form}", licence="MIT"),
            date=DATE,
            tags=(attribute, form),
            submitter="workbench",
            share=True,
            accuracy=round(float(right), 4),
            loss=round(loss, 4),
            note=f"Chance is 1 in {len(classes)}.",
        )
        shelf.add(prompt, card, soft.sketch(lm, texts, labels, config), rows=(texts, labels))
        print(f"{card.name}: {right:.2f} right, chance {1 / len(classes):.2f}, {loss:.2f} nats", flush=True)
    return shelf


def main():
    """Learn and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150, help="steps of each prompt (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=256, help="captions of each task (default: %(default)s)")
    parser.add_argument("--out", type=files.path, default=HERE / "workbench" / "world" / "prompts", help="folder to write to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        library.save(build(folder, options.rows, options.steps), options.out)
    print(f"{options.out}: {sum(path.stat().st_size for path in options.out.iterdir()) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
