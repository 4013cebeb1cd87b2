"""Learn the DSL that `DeepDSL.load("world")` gives, and write it into the package.

    python tools/world_dsl.py [--steps 4000] [--n 40000] [--out workbench/world/dsl]

It learns only from the training split of the built-in grammar. This takes half an hour to an hour on one core of a laptop.
You can stop it at any time: the same command continues.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from workbench import DeepDSL, DSLConfig, corpus, files, ngram

HERE = Path(__file__).resolve().parents[1]


def config(steps):
    """The options of the shipped DSL: the full budget, few words, and no misspelt ones."""
    full = DSLConfig.full()
    writer = replace(full.writer, steps=steps, pieces=3000, min_count=5)
    return replace(full, writer=writer, ngram=ngram.NgramConfig())  # longer n-grams gain nothing here and take megabytes


def main():
    """Learn and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000, help="steps of the writer (default: %(default)s)")
    parser.add_argument("--n", type=int, default=40_000, help="prompts of the grammar (default: %(default)s)")
    parser.add_argument("--out", type=files.path, default=HERE / "workbench" / "world" / "dsl", help="folder to write to")
    options = parser.parse_args()
    dsl = DeepDSL.fit(corpus.load("world", n=options.n), config(options.steps))
    dsl.save(options.out)
    size = sum(path.stat().st_size for path in options.out.iterdir()) / 1e6
    print(f"{options.out}: {size:.1f} MB, writer trained for {dsl.writer_.seconds_ / 60:.0f} minutes")


if __name__ == "__main__":
    main()
