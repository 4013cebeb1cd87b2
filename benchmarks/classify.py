"""Prompts that make a real language model classify texts: those found against none, one written by hand and random ones.

    python benchmarks/classify.py                                # SmolLM2, 200 unseen texts, 3 seeds: hours on one core
    python benchmarks/classify.py --texts 16 --steps 40 --valid 100 --seeds 0

The file of `--data` has one JSON object a line: text, label (positive or negative), split (train or valid).
"""

import argparse
import json
import random
import time

import numpy as np
import torch

from workbench import classify, pez
from workbench.models import load_lm
from workbench.search.classify import TextObjective
from workbench.search.vocabulary import Vocabulary

WORDS = {"positive": "great", "negative": "terrible"}
ENDING = " It was"
HAND = "Is this movie great or terrible?"


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/tasks/sst2.jsonl")
    parser.add_argument("--lm", default="smollm2")
    parser.add_argument("--texts", type=int, default=128, help="texts to search with, half of each label")
    parser.add_argument("--valid", type=int, default=200, help="texts to measure on, half of each label")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--method", default="pez", choices=pez.METHODS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    with open(args.data, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    begin = time.perf_counter()
    lm = load_lm(args.lm)
    print(f"{args.lm} loaded in {time.perf_counter() - begin:.1f} s; {args.valid} unseen texts, {args.texts} to search with")
    config = pez.PEZConfig(method=args.method, steps=args.steps, restarts=1, polish=0, vocabulary="words")
    vocabulary = Vocabulary(lm.tokenizer, len(lm.model.get_input_embeddings().weight), config, ignore_space=False)
    objective = TextObjective(lm, *balanced(rows, "valid", args.valid, 0), WORDS, config, vocabulary, ENDING)

    def show(name, prompt, rest=""):
        begin, ids = time.perf_counter(), lm.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            nats, right = objective.by_text(torch.tensor(ids, dtype=torch.long), framed=False)
        right = float(right.double().mean())
        seconds = time.perf_counter() - begin
        print(f"{name:12} accuracy {right:.3f}  nats {-nats.mean().item():.3f}  {seconds:4.0f} s  {prompt!r}{rest}", flush=True)
        return right

    show("none", "")
    show("by hand", HAND)
    found, chance = [], []
    for seed in args.seeds:
        ids = random.Random(seed).sample(vocabulary.allowed.tolist(), config.length)
        chance.append(show(f"random {seed}", lm.tokenizer.decode(ids)))
        texts, labels = balanced(rows, "train", args.texts, seed)
        got = classify.search_text(lm, texts, labels, WORDS, config.replace(seed=seed), ending=ENDING)
        found.append(show(f"found {seed}", got.text, f"  ({got.accuracy:.3f} on its own texts, {got.seconds:.0f} s)"))
    print(f"found {np.mean(found):.3f} +- {np.std(found):.3f}, random {np.mean(chance):.3f} +- {np.std(chance):.3f}")


def balanced(rows, split, n, seed):
    """Texts and labels, n of a split, as many of each label: (list of str, list of str)."""
    rows, kept = [row for row in random.Random(seed).sample(rows, len(rows)) if row["split"] == split], []
    for label in WORDS:
        kept += [row for row in rows if row["label"] == label][: n // len(WORDS)]
    return [row["text"] for row in kept], [row["label"] for row in kept]


if __name__ == "__main__":
    main()
