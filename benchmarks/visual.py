"""Visual prompts on shifted pictures of the built-in world: each kind against the frozen model, a linear probe and full tuning.

    python benchmarks/visual.py [--shifts inverted rotated ...] [--kinds pad mask ...] [--seeds 3] [--pictures 512] [--out FILE]
    python benchmarks/visual.py --quick      # one seed, three pairs of shift and kind; the last line is JSON

A CLIP that knows the world reads one attribute of pictures that another camera took (`workbench.world.shifts`), of which it has
seen none. Prompts, probe and tuning learn from the same pictures, and are measured on 512 others. Linear probe: logistic
regression on the frozen features. Full tuning: all weights of the vision tower. Seconds are CPU seconds of this process.
"""

import argparse
import copy
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from workbench import visual
from workbench.models import load_clip
from workbench.search.soft.learning import batch
from workbench.search.visual.towers import read_pictures
from workbench.training import adamw, cosine, train
from workbench.world import render, scenes, shifts

# What is read of the pictures of each shift: what the shift makes hard.
ATTRIBUTE = {"inverted": "color", "swapped": "color", "dark": "color", "rotated": "object", "noise": "object"}
ATTRIBUTE |= {"blot": "object", "edges": "object"}
QUICK = (("inverted", "mask"), ("rotated", "channel"), ("swapped", "channel"))
UNSEEN = 512


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shifts", nargs="+", default=list(shifts.SHIFTS), choices=shifts.SHIFTS)
    parser.add_argument("--kinds", nargs="+", default=list(visual.KINDS), choices=visual.KINDS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=512, help="to learn from")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, help="file for the table")
    args = parser.parse_args()
    torch.set_num_threads(1)
    clip = load_clip("world", device="cpu")
    if args.quick:
        found = {f"{shift}_{kind}": measure(clip, shift, [kind], 1, args.pictures)[kind][0] for shift, kind in QUICK}
        print(json.dumps({name: round(value, 3) for name, value in found.items()}))
        return
    ways = ["frozen", "probe", "tuned", *args.kinds]
    lines = [f"| shift | attribute | {' | '.join(ways)} |", "| --- " * (2 + len(ways)) + "|"]
    for shift in args.shifts:
        found = measure(clip, shift, args.kinds, args.seeds, args.pictures)
        cells = " | ".join(f"{mean:.3f} ± {spread:.3f}, {seconds:.0f} s" for mean, spread, seconds in map(found.get, ways))
        lines.append(f"| {shift} | {ATTRIBUTE[shift]} | {cells} |")
        print(lines[-1], flush=True)
    print("\n".join(lines))
    if args.out:
        args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(clip, shift, kinds, seeds, n):
    """Accuracy on unseen pictures: dict of way -> (mean, spread over seeds, mean CPU seconds to learn)."""
    shares, what = {}, ATTRIBUTE[shift]
    for seed in range(seeds):
        (pictures, labels), (unseen, truth) = (drawn(m, 10 * seed + k, shift, what) for k, m in enumerate((n, UNSEEN)))
        ways = {"frozen": lambda seed: visual.VisualConfig(kind="mask", steps=0)}
        ways |= {kind: lambda seed, kind=kind: visual.VisualConfig(kind=kind, seed=seed) for kind in kinds}
        begin = time.process_time()
        if len(kinds) > 1:
            head = probe(clip.image_features(pictures).numpy(), labels)
            add(shares, "probe", head.predict(clip.image_features(unseen).numpy()), truth, begin)
            begin = time.process_time()
            add(shares, "tuned", tuned(clip, pictures, labels, unseen, seed), truth, begin)
        for name, config in ways.items():
            begin = time.process_time()
            prompt = visual.tune(clip, pictures, labels, config(seed), progress=False)
            took = time.process_time() - begin
            add(shares, name, prompt.classify(clip, unseen), truth, time.process_time() - took)
    return {
        name: (float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0, float(np.mean(took)))
        for name, (values, took) in shares.items()
    }


def add(shares, name, answers, truth, begin):
    """Note the share of right answers, and the seconds since `begin`."""
    values, took = shares.setdefault(name, ([], []))
    took.append(time.process_time() - begin)
    values.append(np.mean([a == b for a, b in zip(answers, truth, strict=True)]))


def drawn(n, seed, shift, what):
    """Pictures with a shift, and their labels."""
    some = scenes.scenes(n, seed)
    return shifts.shifted(render.render_all(some, 100_000 * seed), shift, seed), [getattr(scene, what) for scene in some]


def probe(features, labels):
    """Logistic regression on features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(features, labels)


def tuned(clip, pictures, labels, unseen, seed, steps=300):
    """Labels of unseen pictures once all weights of the vision tower have learned too."""
    other = replace(clip, model=copy.deepcopy(clip.model))
    tower, pixels, classes, targets = read_pictures(other, pictures, labels, "{label}")
    tower.texts, weights = tower.texts.clone(), other.model.vision_model
    weights.requires_grad_(True)

    def loss(step):
        rows = batch(range(len(pixels)), 32, step, seed)
        return torch.nn.functional.cross_entropy(tower.scores(pixels[rows]), targets[rows])

    train(loss, {"tower": weights}, adamw(weights), steps, cosine(3e-4, steps, 5), seed=seed, progress=False)
    with torch.inference_mode():
        return [classes[best] for best in tower.scores(tower.pixels(unseen)).argmax(1).tolist()]


if __name__ == "__main__":
    main()
