"""Soft prompts of SmolLM2: against peft's prompt tuning, and what they learn of small tasks against simpler ways.

    python benchmarks/soft.py              # five tasks, five draws of 128 rows, 500 unseen texts: two hours on one core
    python benchmarks/soft.py --dtype bfloat16          # the same; half the time on a processor with instructions for it
    python benchmarks/soft.py --quick      # one task, one draw, 200 unseen texts: minutes; the last line is JSON

The folder of `--data` holds `tasks/sst2.jsonl` and others, one JSON object a line: text, label, split (train or valid). Seconds
are CPU seconds of this process. What a library finds, costs and gains is in `library.py`, of which the quick run takes halves,
and prompts from prompts are in `soft_meta.py`.
"""

import argparse
import json
import os
import time
import warnings
from pathlib import Path

import numpy as np
import soft_meta
import torch
from library import halves

from workbench import soft
from workbench.models import load_lm
from workbench.models.lm import DTYPES
from workbench.search.soft.frozen import Frozen, frozen
from workbench.search.soft.rows import read_rows

STEP_ROWS, STEP_VECTORS = 8, 16  # of the steps that are timed
QUICK_ROWS = 12  # of a half task, whose sibling is looked for
KEYS = ("sst2", "sst2_zero_shot", "sst2_logreg", "peft_loss_difference", "times_peft_fp32", "times_peft_suffix8")
PARTS = ("peft", "tasks", "meta")
LATER = ("siblings_first", "world_meta_unseen", "world_meta_shuffled")


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("WORKBENCH_DATA", "../shared/data"), help="folder of data")
    parser.add_argument("--lm", default="smollm2")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the model's weights, here and in peft's run")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="steps beside peft, tasks, prompts from prompts")
    parser.add_argument("--tasks", nargs="+", default=["sst2", "agnews", "subj", "trec", "cola"])
    parser.add_argument("--rows", type=int, default=128, help="texts to learn from")
    parser.add_argument("--valid", type=int, help="unseen texts: 500, or 200 with --quick")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5, help="draws of the texts to learn from")
    parser.add_argument("--rounds", type=int, default=5, help="times that each step is timed")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.tasks, args.seeds, args.rounds = ["sst2"], 1, 1
    args.valid = args.valid or (200 if args.quick else 500)
    torch.set_num_threads(1)
    tasks = {name: Task(args.data / "tasks" / f"{name}.jsonl") for name in args.tasks}
    lm, found = loaded(args.lm, args.dtype), {}
    if "peft" in args.parts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            found |= beside_peft(lm, next(iter(tasks.values())), args.rounds)
    for name, task in tasks.items() if "tasks" in args.parts else ():
        found |= learned(lm, name, task, args)
    if args.quick:
        right, n = halves(lm, args.data / "tasks", QUICK_ROWS, longest=150)["gradient"]
        found["siblings_first"] = round(right / n, 3)
    if "meta" in args.parts:
        found |= soft_meta.measure(load_lm("world"), min(args.seeds, 3))
    print(json.dumps({key: found.get(key) for key in (*KEYS, *LATER)}))


def loaded(name, dtype):
    """The language model; in bfloat16 with the attention whose gradient is not slow there."""
    lm = load_lm(name, dtype)
    if dtype == "bfloat16":
        lm.model.set_attn_implementation("eager")
    return lm


class Task:
    """The rows of a file."""

    def __init__(self, path):
        if not path.is_file():
            raise SystemExit(f"There is no file {path}: name the folder of the data with --data or WORKBENCH_DATA.")
        rows = [json.loads(line) for line in path.open(encoding="utf-8")]
        self.rows = {
            split: [(row["text"], row["label"]) for row in rows if row["split"] == split] for split in ("train", "valid")
        }

    def draw(self, split, n, seed):
        """Texts and labels of n rows: two lists."""
        order = np.random.default_rng(seed).permutation(len(self.rows[split]))[:n]
        texts, labels = zip(*[self.rows[split][i] for i in order], strict=True)
        return list(texts), list(labels)


# ---- beside peft --------------------------------------------------------------------------------------------------------


def beside_peft(lm, task, rounds):
    """Loss and gradient of one batch by peft and by us, and the seconds of a step of each, in turns."""
    texts, labels = task.draw("train", STEP_ROWS, 0)
    config = soft.SoftConfig(layout="prefix", loss="likelihood", vectors=STEP_VECTORS, start=None, steps=0)
    vectors, classes = soft.tune(lm, texts, labels, config).vectors, sorted(set(labels))
    ways = {"peft": Peft(lm, vectors, texts, labels), "prefix 16": Ours(lm, config, [vectors], [(texts, labels)], classes)}
    for k in (16, 8, 5):
        ways[f"suffix {k}"] = Ours(lm, config.replace(layout="suffix"), [vectors[:k]], [(texts, labels)], classes)
    for layout in soft.LAYOUTS:
        own = [(texts[i::4], labels[i::4]) for i in range(4)]  # two rows for each prompt
        ways[f"{layout} 8, 4 at once"] = Ours(lm, config.replace(layout=layout), [vectors[:8]] * 4, own, classes)
        ways[f"{layout} 8, 1 of 4"] = Ours(lm, config.replace(layout=layout), [vectors[:8]], own[:1], classes)
    seconds = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            begin = time.process_time()
            way.step()
            if turn:  # the first one warms up
                seconds[name].append(time.process_time() - begin)
    least = {name: min(found) for name, found in seconds.items()}
    theirs, ours = ways["peft"], ways["prefix 16"]
    loss = abs(theirs.loss - ours.loss)
    gradient = float(np.linalg.norm(theirs.gradient - ours.gradient) / np.linalg.norm(theirs.gradient))
    print(f"loss by peft {theirs.loss:.6f}, by us {ours.loss:.6f}; gradients differ by {gradient:.1e} of their norm", flush=True)
    for name, found in least.items():
        print(f"{name:20} {found:6.3f} s a step, {least['peft'] / found:5.2f} times peft's steps a second")
    for layout in soft.LAYOUTS:
        times = least[f"{layout} 8, 4 at once"] / least[f"{layout} 8, 1 of 4"]
        print(f"{layout}: 4 prompts of 2 rows in a batch cost {times:.2f} of one alone", flush=True)
    return {
        "peft_loss_difference": float(f"{loss:.1e}"),
        "times_peft_fp32": round(least["peft"] / least["prefix 16"], 2),
        "times_peft_suffix8": round(least["peft"] / least["suffix 8"], 2),
    }


class Peft:
    """Steps of peft's prompt tuning on one batch, padded on the right."""

    def __init__(self, lm, vectors, texts, labels):
        import peft

        base = loaded(lm.name, str(lm.model.dtype).removeprefix("torch.")).model.requires_grad_(False)
        options = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=len(vectors))
        self.model = peft.get_peft_model(base, options)
        (self.weights,) = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.weights.data = torch.from_numpy(vectors.copy())
        split = [[ids(lm, text), ids(lm, f" {label}")] for text, label in zip(texts, labels, strict=True)]
        longest = max(len(text) + len(label) for text, label in split)

        def padded(rows, filler):
            return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])

        self.batch = {
            "input_ids": padded([text + label for text, label in split], 0),
            "attention_mask": padded([[1] * len(text + label) for text, label in split], 0),
            "labels": padded([[-100] * len(text) + label for text, label in split], -100),
        }

    def step(self):
        """Loss and gradient."""
        self.weights.grad = None
        loss = self.model(**self.batch).loss
        loss.backward()
        self.loss, self.gradient = float(loss.detach()), self.weights.grad.numpy()


class Ours:
    """Steps of our loop on the same rows; texts that stand before the vectors are read once, as in training."""

    def __init__(self, lm, config, vectors, tasks, classes):
        self.lm, self.points = lm, [torch.from_numpy(one.copy()).requires_grad_() for one in vectors]
        rows = [read_rows(lm, *task, config, len(one), classes) for task, one in zip(tasks, vectors, strict=True)]
        self.items = [(j, i) for j, task in enumerate(rows) for i in range(len(task.texts))]
        with frozen(lm):
            self.reader = Frozen(lm, config, rows, keep=True)

    def step(self):
        """Loss and gradient."""
        for point in self.points:
            point.grad = None
        with frozen(self.lm):
            losses, _ = self.reader.losses(self.points, self.items, backward=True)
        self.loss, self.gradient = losses[0], self.points[0].grad.numpy()


def ids(lm, text):
    """The tokens of a text: list of int."""
    return lm.tokenizer(text, add_special_tokens=False)["input_ids"]


# ---- what is learned ----------------------------------------------------------------------------------------------------


def learned(lm, name, task, args):
    """Accuracy on unseen texts of several ways, mean and spread over draws of the rows to learn from."""
    valid, truth = task.draw("valid", args.valid, 0)
    state, shares = soft.features(lm, valid), {}

    def add(way, answers):
        shares.setdefault(way, []).append(np.mean([a == b for a, b in zip(answers, truth, strict=True)]))

    config = soft.SoftConfig(steps=args.steps)
    seconds = []
    for seed in range(args.seeds):
        texts, labels = task.draw("train", args.rows, seed)
        add("majority", [max(set(labels), key=labels.count)] * len(truth))
        start = soft.tune(lm, texts, labels, config.replace(steps=0))
        if not seed:
            add("zero-shot", start.classify(lm, valid))
        add("4-shot", soft.few_shot(lm, texts, labels, config=config).classify(lm, valid))
        begin = time.process_time()
        prompt = soft.tune(lm, texts, labels, config.replace(seed=seed), progress=False)
        seconds.append(time.process_time() - begin)
        add("soft prompt", prompt.classify(lm, valid))
        add("logistic regression", regression(soft.features(lm, texts), labels, state))
    print(
        f"{name}: {len(truth)} unseen texts, {args.rows} to learn from, {args.seeds} draws, {np.mean(seconds):.0f} CPU s to learn"
    )
    for way, found in shares.items():
        print(f"  {way:20} {np.mean(found):.3f}" + (f" +- {np.std(found, ddof=1):.3f}" if len(found) > 1 else ""), flush=True)
    means = {way: round(float(np.mean(found)), 3) for way, found in shares.items()}
    return {name: means["soft prompt"], f"{name}_zero_shot": means["zero-shot"], f"{name}_logreg": means["logistic regression"]}


def regression(x, labels, unseen):
    """Labels of unseen features by logistic regression, its penalty chosen by cross-validation."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    search = GridSearchCV(head, {"logisticregression__C": [1e-4, 1e-3, 1e-2, 0.1, 1]}, cv=4)
    return search.fit(x, labels).predict(unseen).tolist()


if __name__ == "__main__":
    main()
