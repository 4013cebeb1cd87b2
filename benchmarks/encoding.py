"""Encoding: words per second of `encode` and of SentenceTransformer's token embeddings, and whether they are equal.

Run: `python benchmarks/encoding.py [--prompts 2000] [--rounds 3] [--threads 2]`

All ways get the same prompts of the built-in grammar, in turn, and the median of the rounds counts, since other work on a
machine comes and goes. The peer is timed as it is offered (all layers) and cut to the layer that is read here, without the
step from wordpieces to words; ours is timed with that step and with writing to disk. Words are those of `workbench.words`.
Also printed is the CPU time, which other work disturbs less.
"""

import argparse
import statistics
import sys
import tempfile
import time

import numpy as np
import torch

from workbench import encode, models
from workbench.words import WORD, split
from workbench.world import grammar

TARGET, TOLERANCE = 1.8, 1e-3


def load_peer(source, layer=None):
    """SentenceTransformer from the same folder or hub id as ours, cut to `layer` layers if given."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        sys.exit("This benchmark compares with sentence-transformers: pip install -e .[bench,offline]")
    peer = SentenceTransformer(source, device="cpu")
    if layer:
        peer[0].auto_model.encoder.layer = peer[0].auto_model.encoder.layer[:layer]
    return peer


def word_means(states, text, encoder):
    """The mean over each word's pieces, by hand: the peer's tensor (t, d) of one prompt -> (w, d)."""
    offsets = encoder.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    if len(offsets) != len(states):
        sys.exit(f"The peer read {len(states)} wordpieces of {len(offsets)}: its window is shorter than this prompt.")
    means = []
    for word in split(text):
        if word.kind == WORD:
            means.append(
                np.mean([s for s, (a, b) in zip(states, offsets, strict=True) if a < word.end and word.start < b], axis=0)
            )
    return np.array(means, np.float32).reshape(-1, states.shape[1])


def timed(run):
    """Seconds on the clock and of the CPU."""
    clock, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - clock, time.process_time() - cpu


def main():
    """Print the table; the exit status is 1 if the features differ or the ratio misses its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=2000, metavar="N", help="prompts of the grammar (2000)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="times each way is run (3)")
    parser.add_argument("--layer", type=int, default=3, metavar="N", help="layer that is read (3)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), metavar="N", help="cores to use (all)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    texts = [prompt.text for prompt in grammar.generate(options.prompts)]
    encoder = models.load_encoder(layer=options.layer, device="cpu")
    peer, cut = load_peer(encoder.source), load_peer(encoder.source, options.layer)

    def ours():
        with tempfile.TemporaryDirectory() as folder:
            encode.encode(texts, encoder, folder, progress=False)

    ways = {
        "encode": ours,
        "SentenceTransformer, as offered": lambda: peer.encode(texts, output_value="token_embeddings"),
        f"SentenceTransformer, cut to layer {options.layer}": lambda: cut.encode(texts, output_value="token_embeddings"),
    }
    features = encode.words(texts, encoder)
    n_words = sum(len(rows) for rows in features)
    states = cut.encode(texts, output_value="token_embeddings")
    gap = max(
        float(np.abs(rows - word_means(s.numpy(force=True), text, encoder)).max(initial=0))
        for rows, s, text in zip(features, states, texts, strict=True)
    )
    del states
    ways["SentenceTransformer, as offered"]()  # the first run of each model is slower; the other two have had theirs
    seconds = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, run in ways.items():
            seconds[name].append(timed(run))

    print(f"{options.prompts:,} prompts, {n_words:,} words, {options.threads} threads, median of {options.rounds} rounds\n")
    print(f"{'':40} {'words/s':>9} {'ours is':>8} {'words per CPU s':>16} {'ours is':>8}")
    rates = {name: [n_words / statistics.median(column) for column in zip(*runs, strict=True)] for name, runs in seconds.items()}
    clock, cpu = rates["encode"]
    for name, (a, b) in rates.items():
        print(f"{name:40} {a:9,.0f} {clock / a:7.2f}x {b:16,.0f} {cpu / b:7.2f}x")
    ratio = clock / rates["SentenceTransformer, as offered"][0]
    print(f"\nLargest difference of a feature at layer {options.layer}: {gap:.1e} (allowed {TOLERANCE:.0e})")
    print(f"Ratio to the peer as offered: {ratio:.2f} (target {TARGET})")
    return int(gap > TOLERANCE or ratio < TARGET)


if __name__ == "__main__":
    sys.exit(main())
