"""The prior over templates against a strong bigram: perplexity of held-out templates, of the grammar and of real prompts.

    python benchmarks/prior.py [--data ../shared/data] [--train 20000] [--real 18000] [--test 2000] [--out FILE]

Codes come from a DeepDSL that is fitted on the training prompts only. Both models see the same templates with the same symbols
(rare literals replaced) and choose on the same tenth of the training templates. Perplexity is per slot or end, all symbols
counted, as in `TemplatePrior.perplexity`; per symbol next to it. "codes only": literals removed, both learn code runs. The
grammar is measured twice: on its test split, half of whose open fillers no training prompt has, and on prompts like those learned
from. Without the data folder only the grammar is measured.
"""

import argparse
import itertools
import math
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np

from workbench import DeepDSL, corpus
from workbench.language.dsl import DSLConfig
from workbench.language.prior import TemplatePrior
from workbench.template import Template

CHUNK = 500  # prompts read at a time


class Bigram:
    """log p(literal | previous code) + log p(code | previous code, literal), interpolated with all that is less specific.

    Each level is (count + weight * next level) / (total + weight), a Dirichlet prior (MacKay and Peto 1995); below
    p(code | previous, literal) stands a mixture of p(code | literal) and p(code | previous). Weights are chosen on held-out
    templates, out of a grid; then all templates are counted.
    """

    GRID = tuple(itertools.product((1, 3, 10, 30, 100), (1, 3, 10, 30), (1, 3, 10, 30, 100), (0.1, 0.3, 0.5, 0.7, 0.9)))

    def __init__(self, n_codes, n_literals):
        self.n_codes, self.n_literals = n_codes, n_literals

    def fit(self, steps, seed=0):
        """Learn from lists of (code, literal)."""
        order = np.random.default_rng(seed).permutation(len(steps))  # the same tenth as TemplatePrior holds out
        cut = max(1, len(steps) // 10)
        self._count([steps[i] for i in order[cut:]])
        events = self._events([steps[i] for i in order[:cut]])
        self.weights_ = max(self.GRID, key=lambda weights: self._log_p(events, weights).sum())
        self._count(steps)
        return self

    def log_score(self, steps):
        """Log-probability of each template, float64 (n,)."""
        per_step = self._log_p(self._events(steps), self.weights_)
        return np.add.reduceat(per_step, np.cumsum([0] + [len(found) for found in steps[:-1]]))

    def _walk(self, steps):
        for found in steps:
            last = self.n_codes  # the end stands for the start too
            for code, literal in found:
                yield last, literal, code
                last = code

    def _count(self, steps):
        self._counts = Counter()
        for last, literal, code in self._walk(steps):
            self._counts.update(
                (
                    ("p", last),
                    ("l", literal),
                    ("c", code),
                    ("pl", last, literal),
                    ("lc", literal, code),
                    ("pc", last, code),
                    ("plc", last, literal, code),
                )
            )
            self._counts["n"] += 1

    def _events(self, steps):
        """Counts that matter for each step: float64 (8, steps)."""
        c = self._counts
        rows = [
            (c["p", p], c["l", i], c["c", x], c["pl", p, i], c["lc", i, x], c["pc", p, x], c["plc", p, i, x], c["n"])
            for p, i, x in self._walk(steps)
        ]
        return np.array(rows, np.float64).T

    def _log_p(self, events, weights):
        p, i, x, pi, ix, px, pix, n = events
        a, b, d, share = weights
        literal = (pi + a * (i + 0.5) / (n + 0.5 * self.n_literals)) / (p + a)
        alone = (x + 0.5) / (n + 0.5 * (self.n_codes + 1))
        mixed = share * (ix + b * alone) / (i + b) + (1 - share) * (px + b * alone) / (p + b)
        return np.log(literal) + np.log((pix + d * mixed) / (pi + d))


def read(dsl, prompts):
    """Templates of prompts, in blocks, as reading a whole corpus at once takes memory."""
    prompts = list(prompts)
    return [t for at in range(0, len(prompts), CHUNK) for t in dsl.read(prompts[at : at + CHUNK])]


def without_literals(templates):
    """The code runs."""
    return [Template.build(t.slots) for t in templates if t.slots]


def measure(train, held):
    """Fit both models on templates -> (prior, seconds, {name: (prior, bigram per slot, the same per symbol, left out)})."""
    begin = time.perf_counter(), time.process_time()
    prior = TemplatePrior().fit(train, progress=False)
    seconds = time.perf_counter() - begin[0], time.process_time() - begin[1]
    bigram = Bigram(len(prior.codes_), len(prior.literals_) + 1).fit(prior.simplify(train)[0])
    rows = {}
    for name, templates in held.items():
        steps, report = prior.simplify(templates)
        choices = sum(map(len, steps))
        symbols = choices + sum(literal > 0 for found in steps for _, literal in found)
        ours, theirs = -math.log(prior.perplexity(templates)) * choices, bigram.log_score(steps).sum()
        rows[name] = (
            *(math.exp(-total / choices) for total in (ours, theirs)),
            *(math.exp(-total / symbols) for total in (ours, theirs)),
            f"{report['replaced']} / {report['cut']} / {sum(report['left_out'].values())} of {report['templates']}",
        )
    return prior, seconds, rows


def sources(args):
    """(name, training prompts, {name: held-out prompts})."""
    learned = corpus.load("world", n=args.train, progress=False)
    like = corpus.load("world", n=args.test, seed=1, progress=False)
    known = set(learned)
    held = {
        "grammar, test split (unseen fillers)": corpus.load("world", n=args.test, seed=1, split="test", progress=False),
        "grammar, like training": [text for text in like if text not in known],
    }
    yield learned, held
    folder = Path(os.environ.get("WORKBENCH_DATA", args.data)) / "prompts"
    files = [folder / f"{name}.txt" for name in ("diffusiondb", "sd_discord")]
    if not all(path.is_file() for path in files):
        print(f"not both of {', '.join(path.name for path in files)} in {folder}: only the grammar is measured", flush=True)
        return
    texts = corpus.Corpus.from_texts([text for path in files for text in corpus.load(path, progress=False)])
    order = np.random.default_rng(0).permutation(len(texts))
    held, learned = order[: args.test], order[args.test : args.test + args.real]
    yield [texts[int(i)] for i in learned], {"real prompts": [texts[int(i)] for i in held]}


def main():
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(Path(__file__).parents[2] / "shared" / "data"))
    parser.add_argument("--train", type=int, default=20_000)
    parser.add_argument("--real", type=int, default=18_000)
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--out")
    args = parser.parse_args()
    columns = ("templates", "prior", "bigram", "ratio", "prior, per symbol", "bigram, per symbol", "replaced / cut / left out")
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for prompts, held in sources(args):
        dsl = DeepDSL.fit(prompts, DSLConfig(writer=None), progress=False)
        train, held = read(dsl, prompts), {name: read(dsl, texts) for name, texts in held.items()}
        for variant, change in (("", list), (", codes only", without_literals)):
            prior, seconds, rows = measure(change(train), {name: change(t) for name, t in held.items()})
            note = f"{prior.report_['used']:,} templates, learned in {seconds[0]:.0f} s, {seconds[1]:.0f} s of CPU time"
            print(f"{', '.join(rows)}{variant}: {note}; {prior.report_}", flush=True)
            for name, (ours, theirs, ours_symbol, theirs_symbol, counts) in rows.items():
                figures = f"{ours:.2f} | {theirs:.2f} | {ours / theirs:.3f} | {ours_symbol:.2f} | {theirs_symbol:.2f} | {counts}"
                lines.append(f"| {name}{variant} | {figures} |")
            begin = time.perf_counter()
            prior.sample(64, seed=0)
            print(f"64 samples: {time.perf_counter() - begin:.2f} s", flush=True)
    print("\n".join(lines))
    if args.out:
        Path(args.out).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
