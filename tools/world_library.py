"""Learn the library of prompts that `library.world()` gives, and write it into the package.

    python tools/world_library.py [--steps 200] [--rows 256] [--out workbench/world/prompts]

The twelve tasks of `workbench/world/questions.py`, for the tiny language model of the built-in world. All prompts begin alike,
and each task has captions of its own. It takes about two minutes on one core; equal options give equal bytes on one machine, with
one version of torch and one number of threads.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from workbench import files, library, soft
from workbench.models import load_lm
from workbench.world import questions

HERE = Path(__file__).resolve().parents[1]
DATE = "2026-11-28T00:00:00Z"  # of the recipe, so that a second run writes the same
CONFIG = soft.SoftConfig(start=", very")
UNSEEN = 300  # captions that accuracy and loss are measured on


def build(folder, rows, steps, tasks=questions.TASKS, progress=True):
    """Learn the prompts and put them into a library: `library.Library`."""
    lm, items, config = load_lm("world"), [], CONFIG.replace(steps=steps)
    learned = [questions.rows(*task, rows, seed) for seed, task in enumerate(tasks)]
    prompts = soft.tune_many(lm, learned, config, progress=progress)
    for seed, ((asked, form), given, prompt) in enumerate(zip(tasks, learned, prompts, strict=True)):
        unseen = questions.rows(asked, form, UNSEEN, 1000 + seed)
        loss, _, said = soft.gradient(lm, prompt.vectors, *unseen, config, classes=list(prompt.labels))
        right = np.mean([one == other for one, other in zip(said, unseen[1], strict=True)])
        card = library.Card(
            name=f"{asked} in a {form}" if form != "keywords" else f"{asked} in keywords",
            data=library.DataSet(f"captions of the built-in world, {form} {seed}", licence="MIT"),
            date=DATE,
            tags=(asked, form),
            submitter="workbench",
            share=True,
            accuracy=round(float(right), 4),
            loss=round(loss, 4),
        )
        items.append((prompt, card, soft.sketch(lm, *given, config), given))
        print(f"{card.name}: {right:.3f} right, {loss:.3f} nats", flush=True)
    shelf = library.Library.open(folder, "workbench")
    shelf.add_many(items)
    return shelf


def main():
    """Learn and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="steps of each prompt (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=256, help="captions of each task (default: %(default)s)")
    parser.add_argument("--out", type=files.path, default=HERE / "workbench" / "world" / "prompts", help="folder to write to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        library.save(build(folder, options.rows, options.steps), options.out)
    print(f"{options.out}: {sum(path.stat().st_size for path in options.out.iterdir()) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
