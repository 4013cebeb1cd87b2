"""The library of prompts: who finds a relative, what a query costs, and what a neighbour gains.

    python benchmarks/library.py world           # twelve tasks of the built-in world, new captions: a minute or two on one core
    python benchmarks/library.py halves          # two halves of each task of --data, SmolLM2: some minutes
    python benchmarks/library.py choose          # a classifier names the sibling of 16 rows, or refuses: some minutes
    python benchmarks/library.py help            # 16 rows with and without a neighbour, paired draws: some minutes
    python benchmarks/library.py size            # 100,000 entries of 8 x 576, 3 GB on disk: some minutes

The folder of `--data` holds `tasks/sst2.jsonl` and others, one JSON object a line: text, label, split.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import torch

from workbench import library, soft
from workbench.models import load_lm
from workbench.world import questions

MOST_LABELS = 20  # of a task whose halves are compared: each label costs a reading
HELPED = (("artist", "keywords"), ("style", "prompt"), ("background", "keywords"))
START = soft.SoftConfig(start=", very")  # of the shipped library


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["world", "halves", "choose", "help", "size"])
    parser.add_argument("--data", type=Path, default=os.environ.get("WORKBENCH_DATA", "../shared/data"), help="folder of data")
    parser.add_argument("--lm", default="smollm2", help="for halves and choose")
    parser.add_argument("--rows", type=int, default=64, help="texts of a half, or of a task of the world with 'world'")
    parser.add_argument("--draws", type=int, default=10, help="draws of 16 rows")
    parser.add_argument("--seed", type=int, default=1, help="which rows, with 'choose'")
    parser.add_argument("--entries", type=int, default=100_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.part == "world":
        world(args.rows)
    elif args.part == "halves":
        halves(load_lm(args.lm), args.data / "tasks", args.rows)
    elif args.part == "choose":
        choose(load_lm(args.lm), args.data / "tasks", args.seed)
    elif args.part == "help":
        helped(args.draws)
    else:
        size(args.entries)


def nearest(vectors):
    """The most similar other row of each, by the cosine after the mean is taken off: int64 (n,)."""
    x = np.asarray(vectors, np.float64)
    x = x - x.mean(0)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    scores = x @ x.T
    np.fill_diagonal(scores, -np.inf)
    return scores.argmax(1)


def first(vectors, kinds):
    """How many rows have one of their kind as the nearest other row: int."""
    return int(sum(kinds[i] == kinds[j] for i, j in enumerate(nearest(vectors))))


# ---- relatives ----------------------------------------------------------------------------------------------------------


def world(n):
    """New captions for each of the twelve tasks: is what asks the same nearest among the shipped entries of other forms?"""
    lm, shelf = load_lm("world"), library.world()
    config = START.replace(steps=200)
    tasks = [questions.rows(*task, n, 500 + i) for i, task in enumerate(questions.TASKS)]
    prompts = soft.tune_many(lm, tasks, config, progress=False)
    sketches = [soft.sketch(lm, *task, config) for task in tasks]
    print(f"{len(tasks)} tasks of the world, {n} new captions each; nearest entry among those of another form")
    for by in ("texts", "gradient", "prompt"):
        own = same = 0
        for task, prompt, made in zip(questions.TASKS, prompts, sketches, strict=True):
            answer = shelf.search(prompt if by == "prompt" else made, 12, by=by, start=made)
            others = [hit.entry.card.tags for hit in answer if hit.entry.card.tags[1] != task[1]]
            own += others[0][0] == task[0]
            same += answer.hits[0].entry.card.tags == task
        print(f"  by {by:9} asks the same: {own} of {len(tasks)} (chance 2 of 8); the very task first of all: {same}", flush=True)


def halves(lm, folder, rows, longest=300):
    """Two halves of each task, of different rows: is the sibling the nearest? -> dict of way -> (found, halves)."""
    names, config = sorted(path.stem for path in folder.glob("*.jsonl")), soft.SoftConfig()
    kinds, vectors = [], {"gradient": [], "texts": []}
    for name in names:
        path = folder / f"{name}.jsonl"
        found = [json.loads(line) for line in path.open(encoding="utf-8")]
        found = [(row["text"], row["label"]) for row in found if row["split"] == "train" and len(row["text"]) <= longest]
        order, labels = np.random.default_rng(0).permutation(len(found))[: 2 * rows], {label for _, label in found}
        if len(order) < 2 * rows or len(labels) > MOST_LABELS:
            print(f"{name}: left out, {len(found)} short texts and {len(labels)} labels")
            continue
        for part in (order[:rows], order[rows:]):
            texts, labels = zip(*[found[i] for i in part], strict=True)
            made = soft.sketch(lm, list(texts), list(labels), config)
            kinds.append(name)
            vectors["gradient"].append(made.gradient.ravel())
            vectors["texts"].append(made.features)
        lengths = [round(float(np.linalg.norm(one)), 2) for one in vectors["gradient"][-2:]]
        print(f"{name}: lengths of the mean gradients {lengths}", flush=True)
    out = {way: (first(found, kinds), len(kinds)) for way, found in vectors.items()}
    for way, (right, n) in out.items():
        print(
            f"by {way:9} the sibling comes first for {right} of {n} halves of {rows} rows (chance {n / (n - 1):.1f})", flush=True
        )
    return out


def choose(lm, folder, seed, rows=32, query=16, longest=250):
    """Two halves of each task: a classifier over all other halves names the sibling of new rows, or refuses if there is none."""
    given, asked, cache = {}, {}, {}
    for path in sorted(folder.glob("*.jsonl")):
        found = [json.loads(line) for line in path.open(encoding="utf-8")]
        found = [(row["text"], row["label"]) for row in found if row["split"] == "train" and len(row["text"]) <= longest]
        order = np.random.default_rng(seed).permutation(len(found))[: 2 * (rows + query)].tolist()
        for half in range(2):
            part = [found[i] for i in order[half::2]]
            given[path.stem, half], asked[path.stem, half] = part[:rows], part[rows:]

    def features(texts):
        fresh = sorted(set(texts) - set(cache))
        cache.update(zip(fresh, soft.features(lm, fresh), strict=True) if fresh else ())
        return np.stack([cache[text] for text in texts])

    def chosen(kind, gone):
        entries = [SimpleNamespace(id=f"{name} {half}") for name, half in given if not gone(name, half)]
        shelf = SimpleNamespace(
            entries=lambda where: entries, rows=lambda entry: zip(*given[entry.id[:-2], int(entry.id[-1])], strict=True)
        )
        found = library.Chooser(features, least=0.0).fit(shelf).choose(*zip(*asked[kind], strict=True))
        return found.entry.id[:-2] == kind[0], found.probability

    least, n = library.Chooser(features).least, len(given)
    with_sibling = [chosen(kind, lambda name, half, kind=kind: (name, half) == kind) for kind in given]
    without = [chosen(kind, lambda name, half, kind=kind: name == kind[0]) for kind in given]
    right, kept = sum(same for same, _ in with_sibling), sum(p >= least for _, p in with_sibling)
    print(f"{n} halves of {rows} rows, {query} new ones to choose by, seed {seed}")
    print(f"  the sibling is the likeliest for {right} of {n}; {kept} of them reach {least}, below which nothing is named")
    print(f"  without a sibling, refused: {sum(p < least for _, p in without)} of {n}", flush=True)


# ---- help ---------------------------------------------------------------------------------------------------------------


def helped(draws):
    """Sixteen rows with and without a neighbour: means and standard errors of paired differences over draws of the rows."""
    lm, config = load_lm("world"), START.replace(steps=40)
    for number, task in enumerate(HELPED):
        ways = {}
        with tempfile.TemporaryDirectory() as folder:
            shelf = library.load(library.WORLD, folder, "me")
            shelf.remove(next(entry.id for entry in shelf.entries() if entry.card.tags == task))
            for draw in range(draws):
                for way, right in one_draw(lm, shelf, task, 1000 * number + draw, config).items():
                    ways.setdefault(way, []).append(right)
        print(f"{' in '.join(task)}: 16 rows, {draws} draws, 300 unseen captions; gains are paired with scratch")
        for way, found in ways.items():
            gain = np.subtract(found, ways["scratch"])
            error = gain.std(ddof=1) / np.sqrt(draws)
            print(f"  {way:28} {np.mean(found):.3f}; gain {gain.mean():+.3f} +- {error:.3f}", flush=True)


def one_draw(lm, shelf, task, seed, config):
    """Shares of right answers of all ways for one draw of 16 rows: dict."""
    texts, labels = questions.rows(*task, 16, 10_000 + seed)
    unseen, truth = questions.rows(*task, 300, 50_000 + seed)

    def right(prompt):
        return float(np.mean([one == other for one, other in zip(prompt.classify(lm, unseen), truth, strict=True)]))

    made = soft.sketch(lm, texts, labels, config)
    scratch = soft.tune(lm, texts, labels, config, progress=False)
    out = {"scratch": right(scratch)}
    entries = shelf.entries()
    drawn = entries[int(np.random.default_rng(seed).integers(len(entries)))]
    kin = next(entry for entry in entries if entry.card.tags[0] == task[0])
    asked = {"gradient": made, "prompt": scratch}
    near = {by: shelf.search(query, 1, by=by, start=made).hits[0].entry for by, query in asked.items()}
    starts = {"random neighbour": drawn, "nearest by gradient": near["gradient"], "nearest by prompt": near["prompt"]}
    for way, entry in (starts | {"a true relative": kin}).items():
        prompt = soft.SoftPrompt.from_state(*shelf.get(entry.id).to_state())
        out[f"{way}, as start"] = right(soft.tune(lm, texts, labels, config, start=prompt, progress=False))
    out["a true relative, left alone"] = right(prompt)
    out["true relative, by gradient"] = near["gradient"].card.tags[0] == task[0]
    out["true relative, by prompt"] = near["prompt"].card.tags[0] == task[0]
    for how, k in (("start", 11), ("mix", 2)):
        out[f"augment, {how}, k={k}"] = right(soft.augment(lm, texts, labels, shelf, config, how=how, k=k).prompt)
    return out


# ---- size ---------------------------------------------------------------------------------------------------------------


def size(n, shape=(8, 576), batch=2_000):
    """Random entries: seconds of a query and memory of this process."""
    draw, start, process = np.random.default_rng(0), np.zeros(shape, np.float32), psutil.Process()
    state = {"options": {"layout": "suffix"}, "labels": ["a", "b"], "model": "random", "sha256": "0" * 64}

    def prompt():
        vectors = draw.normal(size=shape).astype(np.float32)
        config = SimpleNamespace(layout="suffix")
        known = {"labels": ("a", "b"), "model": "random", "sha256": "0" * 64, "config": config}
        return SimpleNamespace(vectors=vectors, to_state=lambda: (state, {"vectors": vectors}), **known)

    data = library.DataSet("random", "0" * 64)
    with tempfile.TemporaryDirectory() as folder:
        shelf, begin = library.Library.open(folder), time.perf_counter()
        for at in range(0, n, batch):
            known = {"data": data, "date": "2026-01-01T00:00:00Z"}
            cards = [library.Card(name=f"{i}", tags=(f"t{i % 100}",), **known) for i in range(at, at + batch)]
            shelf.add_many([(prompt(), card, start, None) for card in cards])
        print(f"{n:,} entries added in {time.perf_counter() - begin:.0f} s", flush=True)
        query, before = prompt(), process.memory_info().rss
        for name, where in {"a filter that 1 in 100 passes": {"tag": "t7"}, "no filter": None}.items():
            for metric in ("centred", "cosine", "l2"):
                seconds = []
                for _ in range(4):
                    begin = time.perf_counter()
                    answer = shelf.search(query, 5, metric=metric, where=where, start=start)
                    seconds.append(time.perf_counter() - begin)
                took = f"{min(seconds):.2f} s, the first time {seconds[0]:.2f} s"
                print(f"  {name}, {metric}: {answer.compared:,} compared, {took}", flush=True)
        used = process.memory_info().rss
        print(f"  resident memory {used / 1e6:.0f} MB, {(used - before) / 1e6:+.0f} MB by the queries")


if __name__ == "__main__":
    main()
