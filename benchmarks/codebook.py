"""Codes against labels: V-measure of the default codebook and of its baselines, on the grammar and on real gold spans.

    python benchmarks/codebook.py [--data ../shared/data] [--train 6000] [--seeds 3] [--codes 16 32 64] [--hmm] [--out FILE]

All methods learn from the same training prompts without labels; held-out prompts are only coded. Grammar: test prompts in which
half of the open fillers never occur in training. Real: gold spans of prompts that were not learned from; options were chosen on
the dev half (by content hash), the table shows the test half. Without the data folder only the grammar is measured.
"lost": share of the variance of held-out features that is left inside the codes, 0..1: what codes alone do not reconstruct.
"""

import argparse
import functools
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import v_measure_score

from workbench import corpus, encode, models
from workbench.language.codebook import Codebook, CodebookConfig
from workbench.language.units import Units
from workbench.words import WORD, split
from workbench.world.grammar import OPEN_SLOTS

EXCERPT = 40_000  # rows k-means is fitted on


def half(prompt):
    """Say "dev" or "test", by content."""
    return "test" if int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % 2 else "dev"


class Coded:
    """Prompts as rows of units (or of single words) with the features every method starts from."""

    def __init__(self, prompts, encoder, units, words_only=False):
        features = encode.encode(prompts, encoder, progress=False)
        self.spans, layer, texts, before = [], [], [], []
        for i, prompt in enumerate(prompts):
            vectors, spans = features[i].astype(np.float32), units.split(prompt)
            if words_only:
                tokens = [w for w in split(prompt) if w.kind == WORD]
                spans = [
                    s._replace(
                        start=w.start,
                        end=w.end,
                        first=j,
                        last=j + 1,
                        text=prompt[w.start : w.end].lower(),
                        before=s.before if j == s.first else 0,
                    )
                    for s in spans
                    for j, w in enumerate(tokens[s.first : s.last], s.first)
                ]
            self.spans.append(spans)
            layer += [vectors[s.first : s.last].mean(0) for s in spans]
            texts += [s.text for s in spans]
            before += [s.before for s in spans]
        self.layer, self.before = np.array(layer, np.float32), np.array(before, np.int8)
        self.types, self.ids = np.unique(texts, return_inverse=True)
        self.static = encoder.embed_words(list(self.types))
        self.offsets = np.cumsum([0] + [len(s) for s in self.spans])

    def rows(self):
        """What `Codebook.fit` and `encode` take."""
        return self.layer, self.static, self.ids, self.before

    def lengths(self):
        """Units per prompt, prompts without units left out."""
        return [n for n in np.diff(self.offsets) if n]


class Grammar:
    """Truth of the grammar: a label per word."""

    def __init__(self, n):
        self.corpus = corpus.load("world", n=n, seed=1, split="test", progress=False)
        self.prompts = list(self.corpus)

    def scores(self, coded, codes):
        """V-measures (0..1) by column of the table."""
        labels, found, unseen = [], [], []
        for i, (prompt, spans) in enumerate(zip(self.prompts, coded.spans, strict=True)):
            truth = self.corpus.truth(i)
            words = [(w.start, label) for w, label in zip(split(prompt), truth.labels, strict=True) if w.kind == WORD]
            held = [(f.start, f.end) for f in truth.fillers if f.unseen]
            for j, span in enumerate(spans):
                for start, label in words[span.first : span.last]:
                    labels.append(label)
                    found.append(codes[coded.offsets[i] + j])
                    unseen.append(label in OPEN_SLOTS and any(a <= start < b for a, b in held))
        labels, found, unseen = np.array(labels), np.array(found), np.array(unseen)
        return {
            "grammar, all words": v_measure_score(labels, found),
            "grammar, unseen fillers": v_measure_score(labels[unseen], found[unseen]),
        }


def gold_rows(folder):
    """The rows of the gold spans: list of dicts."""
    with open(folder / "gold_spans.jsonl", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


class Spans:
    """Truth of real prompts: typed spans; a span has the code that most of its words have."""

    def __init__(self, folder, n):
        self.rows = gold_rows(folder)[:n]
        self.prompts = [row["prompt"] for row in self.rows]

    def found(self, coded, codes):
        """For "dev" and "test": lists of the labels of spans, of their codes, and of their phrases as typed."""
        found = {"dev": ([], [], []), "test": ([], [], [])}
        for i, row in enumerate(self.rows):
            for start, end, label in row["spans"]:
                votes = {}
                for j, span in enumerate(coded.spans[i]):
                    if span.start < end and span.end > start:
                        code = codes[coded.offsets[i] + j]
                        votes[code] = votes.get(code, 0) + span.last - span.first
                if votes:
                    for column, value in zip(
                        found[half(row["prompt"])], (label, max(votes, key=votes.get), row["prompt"][start:end]), strict=True
                    ):
                        column.append(value)
        return found

    def scores(self, coded, codes):
        """V-measures (0..1) by column of the table."""
        found = self.found(coded, codes)
        return {f"real spans, {side}": v_measure_score(labels, chosen) for side, (labels, chosen, _) in found.items()}


def not_gold(data):
    """Real prompts to learn from: those of two files that are no prompts of gold spans."""
    gold = {row["prompt"] for row in gold_rows(data)}
    texts = [t for f in ("diffusiondb", "sd_discord") for t in corpus.load(data / "prompts" / f"{f}.txt", progress=False)]
    return [t for t in texts if t not in gold]


def unit(x):
    """Rows of L2 norm 1."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)


def random_codes(k, seed, train, held):
    """Random codes."""
    return np.random.default_rng(seed).integers(0, k, len(held.ids))


def k_means(feature):
    """k-means on `feature(train, held, seed)`, which gives two arrays."""

    def run(k, seed, train, held):
        x, y = feature(train, held, seed)
        rows = np.random.default_rng(seed).choice(len(x), min(EXCERPT, len(x)), replace=False)
        return KMeans(k, n_init=1, max_iter=50, random_state=seed).fit(x[rows]).predict(y)

    return run


def layer_only(train, held, seed):
    """Layer vectors, centred, L2 norm 1."""
    mean = train.layer.mean(0)
    return unit(train.layer - mean), unit(held.layer - mean)


def principal(train, held, seed):
    """The features of our codebook (eigenwords beside the layer, principal components)."""
    book = Codebook(CodebookConfig(epochs=0)).fit(*train.rows(), progress=False, seed=seed)
    return book.features(*train.rows()[:3]), book.features(*held.rows()[:3])


@functools.lru_cache(8)
def held_features(train, held, seed):
    """The features of our codebook for held-out units."""
    return principal(train, held, seed)[1]


def lost(x, codes):
    """Share of the variance of features that is left inside codes, 0..1."""
    order, counts = np.argsort(codes, kind="stable"), np.unique(codes, return_counts=True)[1]
    sums = np.add.reduceat(x[order], np.cumsum(counts) - counts, axis=0, dtype=np.float64)
    between = (sums**2 / counts[:, None]).sum()
    middle = len(x) * (x.mean(0, dtype=np.float64) ** 2).sum()
    total = (x.astype(np.float64) ** 2).sum()
    return float((total - between) / (total - middle))


def hmm(k, seed, train, held):
    """Hmmlearn's Gaussian HMM, spherical variances, on the same features, seeded by k-means as it is by default."""
    from hmmlearn.hmm import GaussianHMM  # a library that only this baseline needs

    x, y = principal(train, held, seed)
    model = GaussianHMM(k, covariance_type="spherical", n_iter=10, random_state=seed).fit(x, train.lengths())
    return model.predict(y, held.lengths())


def ours(name, config):
    """A method of our codebook; `DEAD` and `DECODED` note what the table has no column for."""

    def run(k, seed, train, held):
        book = Codebook(replace(config, n_codes=k)).fit(*train.rows(), progress=False, seed=seed)
        unused = int((np.bincount(book.encode(*train.rows()), minlength=k) == 0).sum())
        DEAD[name] = max(DEAD.get(name, 0), unused)
        if config.method == "vq":
            DECODED.setdefault((name, k), []).append(book.history_[-1]["reconstruction"])
        return book.encode(*held.rows())

    return run


DEAD, DECODED = {}, {}
OURS = {
    "VQ-VAE": CodebookConfig(method="vq"),
    "VQ-VAE, gradient not stopped": CodebookConfig(method="vq", stop_gradient=False),
    "**Codebook (the default)**": CodebookConfig(),
}
METHODS = {
    "random": ("units", random_codes),
    "k-means, layer 3, words (the baseline)": ("words", k_means(layer_only)),
    "k-means, layer 3, units": ("units", k_means(layer_only)),
    "k-means, eigenwords + layer 3, units": ("units", k_means(principal)),
    "Gaussian HMM (hmmlearn), same features": ("units", hmm),
    **{name: ("units", ours(name, config)) for name, config in OURS.items()},
}


def worlds(args, encoder):
    """(name, truth, {"units": (train, held), "words": ...}) for the grammar and, if there, for real prompts."""
    sources = [("grammar", Grammar(args.test), list(corpus.load("world", n=args.train, progress=False)))]
    data = Path(os.environ.get("WORKBENCH_DATA", args.data))
    if (data / "gold_spans.jsonl").is_file():
        truth = Spans(data, args.gold)
        texts = not_gold(data)
        chosen = np.random.default_rng(0).choice(len(texts), min(args.train, len(texts)), replace=False)
        sources.append(("real", truth, [texts[i] for i in sorted(chosen)]))
    else:
        print(f"no gold_spans.jsonl in {data}: only the grammar is measured", flush=True)
    for name, truth, train in sources:
        units = Units().fit(train if name == "grammar" else texts, progress=False)
        views = {}
        for view in ("units", "words"):
            views[view] = tuple(Coded(p, encoder, units, view == "words") for p in (train, truth.prompts))
        yield name, truth, views


def main():
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(Path(__file__).parents[2] / "shared" / "data"))
    parser.add_argument("--train", type=int, default=6000)
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--gold", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--codes", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--hmm", action="store_true", help="with hmmlearn's Gaussian HMM, minutes a fit")
    parser.add_argument("--out")
    args = parser.parse_args()
    encoder, table, columns, decoded = models.load_encoder(), {}, [], {}
    for name, truth, views in worlds(args, encoder):
        for k in args.codes:
            for method, (view, run) in METHODS.items():
                if method.startswith("Gaussian") and not args.hmm:
                    continue
                train, held = views[view]
                found = []
                for seed in range(args.seeds):
                    codes = run(k, seed, train, held)
                    found.append(truth.scores(held, codes))
                    if view == "units":
                        found[-1][f"{name}, lost"] = lost(held_features(train, held, seed), codes)
                for column in found[0]:
                    values = np.array([f[column] for f in found])
                    columns += [column] if column not in columns else []
                    table[k, method, column] = f"{values.mean():.3f} ± {values.std():.3f}"
                print(name, k, method, {c: table[k, method, c] for c in found[0]}, flush=True)
        decoded |= {f"{name}, {method}, K = {k}": round(float(np.mean(v)), 3) for (method, k), v in DECODED.items()}
        DECODED.clear()
    lines = [f"| K | method | {' | '.join(columns)} |", "| --- " * (2 + len(columns)) + "|"]
    for k in args.codes:
        for method in METHODS:
            if any((k, method, c) in table for c in columns):
                lines.append(f"| {k} | {method} | " + " | ".join(table.get((k, method, c), "-") for c in columns) + " |")
    lines += ["", f"Mean ± spread of {args.seeds} seeds. Dead codes at any K, at most: {DEAD}."]
    lines += [f"Share of the variance that is lost with content, in training: {decoded}."]
    print("\n".join(lines))
    if args.out:
        Path(args.out).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
