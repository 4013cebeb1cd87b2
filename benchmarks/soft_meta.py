"""Prompts without training for the task, where the truth is known; and long contexts distilled into a few vectors.

    python benchmarks/soft_meta.py             # three seeds, of 100 orders and of 20: half an hour on one core
    python benchmarks/soft_meta.py --quick     # one seed, 100 orders: under two minutes; the last line is JSON

Tasks: name the kind of a word, by five label words in another order each time. 100 orders or 20 are learned from and 10 others
asked; chance is .2. All runs on the tiny language model of the picture world; seconds are CPU seconds.
"""

import argparse
import json
import time

import numpy as np
import torch

from workbench import meta, soft
from workbench.models import load_lm
from workbench.world import permuted, scenes

PROMPT = soft.SoftConfig(vectors=5, start=None, batch=32, rate=0.1)
CONFIG = meta.MetaConfig(
    prompt=PROMPT, join="each", examples=5, map="layers", example="{text}, {label}", tasks=4, batch=16, rate=0.03, steps=600
)
LONG = 4800  # steps of a whole run: more orders become known, and unseen ones too
LEARNED, ASKED, ROWS, TUNED = 100, 10, 120, 2
CONTEXT = ", ".join(
    f"a {color} {thing} at night, woodcut" for color, thing in zip(scenes.COLORS[:6], scenes.OBJECTS, strict=True)
)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help=f"steps of a meta-prompt: {LONG:,}, or {CONFIG.steps} with --quick")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.steps = args.steps or (CONFIG.steps if args.quick else LONG)
    lm, seeds = load_lm("world"), 1 if args.quick else args.seeds
    if not args.quick:
        measure(lm, seeds, args.steps, learned=20)
    found = measure(lm, seeds, args.steps) | distilled(lm, seeds)
    print(json.dumps(found))


def measure(lm, seeds=1, steps=CONFIG.steps, learned=LEARNED):
    """Accuracies on orders that nothing was learned from: dict of the keys of `soft.py`."""
    shares, seconds = {}, []
    for seed in range(seeds):
        config = CONFIG.replace(steps=steps, seed=seed, prompt=PROMPT.replace(seed=seed))
        orders = permuted.orders(learned + ASKED, seed)
        tasks = [meta.Task(str(i), *permuted.rows(ROWS, order, 100 * seed + i)) for i, order in enumerate(orders[:learned])]
        begin = time.process_time()
        maker = meta.learn(lm, tasks, config, progress=False)
        seconds.append(time.process_time() - begin)
        for number, order in enumerate(orders[learned:]):
            for way, prompt in ways(lm, maker, order, config, 1000 * (seed + 1) + number, number < TUNED).items():
                texts, labels = permuted.rows(500, order, 10_000 + 100 * seed + number)
                right = np.mean([a == b for a, b in zip(prompt.classify(lm, texts), labels, strict=True)])
                shares.setdefault(way, []).append(right)
        for task in tasks[:ASKED]:
            prompt = maker.make(lm, examples(task.texts, task.labels), permuted.LABELS)
            right = np.mean([a == b for a, b in zip(prompt.classify(lm, task.texts), task.labels, strict=True)])
            shares.setdefault("made, an order that was learned from", []).append(right)
        print(f"seed {seed}: last row of the history {maker.history[-1]}", flush=True)
    print(f"{learned} orders learned from, {ASKED} others asked, {seeds} seeds, {np.mean(seconds):.0f} CPU s to learn; chance .2")
    for way, found in shares.items():
        error = np.std(found, ddof=1) / len(found) ** 0.5  # over orders
        print(f"  {way:40} {np.mean(found):.3f} +- {error:.3f}", flush=True)
    return {
        "world_meta_unseen": round(float(np.mean(shares["made"])), 3),
        "world_meta_shuffled": round(float(np.mean(shares["made, labels of examples shuffled"])), 3),
    }


def ways(lm, maker, order, config, seed, tuned):
    """Prompts for one order: dict of way -> `SoftPrompt`."""
    texts, labels = permuted.rows(160, order, seed)
    shown = examples(texts, labels)
    turned = np.random.default_rng(seed).permutation([label for _, label in shown]).tolist()
    mixed = [(text, label) for (text, _), label in zip(shown, turned, strict=True)]
    start = soft.tune(lm, texts, labels, config.prompt.replace(steps=0))
    begin = time.process_time()
    made = maker.make(lm, shown, permuted.LABELS)
    seconds = time.process_time() - begin
    found = {
        "start": start,
        "one sign step, 64 rows": meta.sign_step(lm, texts[:64], labels[:64], config.prompt, start=start),
        "made": made,
        "made, labels of examples shuffled": maker.make(lm, mixed, permuted.LABELS),
    }
    if tuned:
        begin = time.process_time()
        steps = config.prompt.replace(steps=150)
        found["tuned, 160 rows, 150 steps"] = soft.tune(lm, texts, labels, steps, start=start, progress=False)
        print(f"    CPU s: made {seconds:.3f}, tuned {time.process_time() - begin:.1f}", flush=True)
    return found


def examples(texts, labels):
    """The first row of each label: list of pairs."""
    return [(texts[labels.index(label)], label) for label in permuted.LABELS]


def distilled(lm, seeds=1):
    """How much of a context 16 vectors keep: the fall of the divergence, and perplexity on texts the context is not about."""
    kept, other = [], []
    for seed in range(seeds):
        drawn = scenes.scenes(120, seed=seed)
        about = [scenes.caption(s._replace(background="night", style="woodcut"), seed=i).lower() for i, s in enumerate(drawn)]
        config = soft.SoftConfig(layout="prefix", vectors=16, start=None, steps=150, batch=16, rate=0.03, seed=seed)
        prompt = soft.distil(lm, CONTEXT, about[:80], config, progress=False)
        none = lm.tokenizer.bos_token  # the mark of a text's beginning
        kept.append(1 - soft.divergence(lm, CONTEXT, prompt, about[80:]) / soft.divergence(lm, CONTEXT, none, about[80:]))
        texts = [scenes.caption(scene, seed=i).lower() for i, scene in enumerate(scenes.scenes(60, seed=1_000 + seed))]
        table = lm.model.get_input_embeddings().weight.detach().numpy()
        teacher = table[lm.tokenizer(CONTEXT, add_special_tokens=False)["input_ids"]]
        written = soft.SoftConfig(layout="prefix")
        nats = [soft.gradient(lm, vectors, texts, None, written)[0] for vectors in (prompt.vectors, teacher)]
        other.append(np.exp(nats[0] - nats[1]))
    print(
        f"16 vectors for a context of {len(teacher)} tokens: divergence falls by {np.mean(kept):.3f} (each: {np.round(kept, 3)})"
    )
    print(f"  perplexity of other captions after the vectors, over that after the context: {np.mean(other):.3f}", flush=True)
    return {"distilled": round(float(np.mean(kept)), 3), "distilled_others": round(float(np.mean(other)), 3)}


if __name__ == "__main__":
    main()
