"""Units against labelled spans: are phrases left whole, and does a unit stay within one kind?

    python benchmarks/units.py [--data ../shared/data] [--train 40000]

Phrases are learned from prompts without their labels. Real prompts: gold spans, the threshold was chosen on the dev half (by
content hash), the test half says how good it is. Without the data folder the grammar is measured instead: learned from its
training split, scored on the fillers of its test split, half of which never occur in training.

Columns: words of a unit, mean; of the labelled spans of two words and more, the share that lies inside one unit (whole) and the
share that is exactly one unit (exact); share of all units that overlap spans of two kinds (mixed).
"""

import argparse
import hashlib
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from workbench.language.units import Span, Units, UnitsConfig
from workbench.words import JOINT, WORD, split
from workbench.world import grammar

PROMPTS = ("diffusiondb.txt", "sd_discord.txt")  # in the folder `prompts`; the second is optional
THRESHOLDS = (0.3, 0.4, 0.5)
TARGETS = {"whole": 0.90, "exact": 0.78, "mixed": 0.01}
COLUMNS = ("words", *TARGETS)


def half(prompt):
    """Say "dev" or "test", by content."""
    return "test" if int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % 2 else "dev"


def single_words(text):
    """Each word is a unit."""
    tokens = [token for token in split(text) if token.kind == WORD]
    return [Span(t.start, t.end, i, i + 1, 0, text[t.start : t.end].lower()) for i, t in enumerate(tokens)]


def whole_segments(text):
    """All words between two separators are a unit."""
    spans, segment, word = [], [], 0
    for token in [*split(text), None]:
        if token is not None and token.kind in (WORD, JOINT):
            segment += [token] if token.kind == WORD else []
        elif segment:
            start, end = segment[0].start, segment[-1].end
            spans.append(Span(start, end, word, word + len(segment), 1, text[start:end].lower()))
            word, segment = word + len(segment), []
    return spans


def n_words(text):
    """How many words a text has."""
    return sum(token.kind == WORD for token in split(text))


def score(cut, labelled):
    """Compare units with labelled spans.

    Args:
        cut: function, prompt -> list of `Span`.
        labelled: list of (prompt, [(start, end, kind), ...]).

    Returns:
        dict of the four columns: words, whole, exact, mixed.
    """
    units = words = mixed = long = whole = exact = 0
    for prompt, spans in labelled:
        found = cut(prompt)
        units += len(found)
        words += sum(unit.last - unit.first for unit in found)
        mixed += sum(len({kind for a, b, kind in spans if a < unit.end and unit.start < b}) > 1 for unit in found)
        for start, end, _ in spans:
            if n_words(prompt[start:end]) > 1:
                long += 1
                whole += any(unit.start <= start and end <= unit.end for unit in found)
                exact += any((unit.start, unit.end) == (start, end) for unit in found)
    return {"words": words / units, "whole": whole / long, "exact": exact / long, "mixed": mixed / units}


def real_prompts(folder, n):
    """Prompts to learn from, and the labelled ones by half."""
    texts = []
    for name in PROMPTS:
        if (path := folder / "prompts" / name).is_file():
            texts += path.read_text("utf-8").rstrip("\n").split("\n")
    labelled = {"dev": [], "test": []}
    with open(folder / "gold_spans.jsonl", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            labelled[half(row["prompt"])].append((row["prompt"], row["spans"]))
    return texts[:n], labelled


def grammar_prompts(n):
    """Prompts of the grammar to learn from, and fillers of its test split by half."""
    labelled = {"dev": [], "test": []}
    for prompt in grammar.generate(3000, split="test"):
        labelled[half(prompt.text)].append((prompt.text, [(f.start, f.end, f.label) for f in prompt.fillers]))
    return [prompt.text for prompt in grammar.generate(min(n, 20_000))], labelled


def main():
    """Print one table a half; the exit status is 1 if the default misses a target on the test half of real prompts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("WORKBENCH_DATA", "../shared/data"), help="folder of data")
    parser.add_argument("--train", type=int, default=40_000, metavar="N", help="prompts to learn from, at most (40000)")
    options = parser.parse_args()
    real = (options.data / "gold_spans.jsonl").is_file() and (options.data / "prompts" / PROMPTS[0]).is_file()
    if real:
        texts, labelled = real_prompts(options.data, options.train)
    else:
        print(f"Real prompts are skipped: no gold_spans.jsonl and prompts/{PROMPTS[0]} in {options.data}. Grammar instead.\n")
        texts, labelled = grammar_prompts(options.train)

    default, ways = UnitsConfig(), {"words": single_words, "all between separators": whole_segments}
    for threshold in sorted({*THRESHOLDS, default.threshold}):
        begin = time.perf_counter()
        units = Units(replace(default, threshold=threshold)).fit(texts, progress=sys.stderr.isatty())
        seconds = time.perf_counter() - begin
        name = f"NPMI >= {threshold:g}" + (" (default)" if threshold == default.threshold else "")
        ways[name] = units.split
        print(f"{name}: {len(units.phrases_):,} phrases of {len(texts):,} prompts in {seconds:.1f} s", flush=True)

    for side, rows in labelled.items():
        print(f"\n| {side} half, {len(rows):,} prompts | {' | '.join(COLUMNS)} |\n| --- |{' ---: |' * len(COLUMNS)}")
        for name, cut in ways.items():
            scores = score(cut, rows)
            print(f"| {name} | {scores['words']:.2f} | {scores['whole']:.3f} | {scores['exact']:.3f} | {scores['mixed']:.4f} |")
            if name.endswith("(default)"):
                reported = scores
    if not real:
        return 0
    met = {name: reported[name] <= goal if name == "mixed" else reported[name] >= goal for name, goal in TARGETS.items()}
    goals = ", ".join(f"{name} {reported[name]:.3f} ({TARGETS[name]}: {'met' if met[name] else 'MISSED'})" for name in TARGETS)
    print(f"\nDefault on the test half: {goals}")
    return int(not all(met.values()))


if __name__ == "__main__":
    sys.exit(main())
