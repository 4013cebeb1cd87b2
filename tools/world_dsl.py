"""Learn the DSL that `DeepDSL.load("world")` gives, and write it into the package.

    python tools/world_dsl.py [--steps 3000] [--n 24000] [--codes 44] [--out workbench/world/dsl]

Two thirds of its prompts are those of `outside.py`, a third is of the training split of the lessons' grammar. The lists of
`workbench/language/lexicon` are its first codes. This takes half an hour to an hour on one core of a laptop. You can stop it at
any time: the same command continues.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import outside

from workbench import DeepDSL, DSLConfig, corpus, files, ngram
from workbench.language.codebook import CodebookConfig

HERE = Path(__file__).resolve().parents[1]
TIDY = 1 / 3  # share of the lessons' grammar


def prompts(n, seed=0):
    """The prompts of both grammars, one after the other: list of n str. It learned those of seed 0."""
    tidy = round(n * TIDY)
    return [*outside.generate(n - tidy, seed), *corpus.load("world", n=tidy, seed=seed, progress=False)]


def config(steps, codes):
    """The options of the shipped DSL: the full budget, few words, and no misspelt ones; without steps it only reads."""
    full = DSLConfig.full()
    writer = replace(full.writer, steps=steps, pieces=4000, min_count=5) if steps else None
    # longer n-grams gain nothing here and take megabytes
    return replace(full, writer=writer, codebook=CodebookConfig(n_codes=codes), ngram=ngram.NgramConfig())


def fit(n, steps, codes, progress=True):
    """The shipped language: `DeepDSL`."""
    return DeepDSL.fit(prompts(n), config(steps, codes), codes=outside.codes(), progress=progress)


def main():
    """Learn and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000, help="steps of the writer; 0: it only reads (default: %(default)s)")
    parser.add_argument("--n", type=int, default=24_000, help="prompts of both grammars (default: %(default)s)")
    parser.add_argument("--codes", type=int, default=44, help="codes, those of the lexicon among them (default: %(default)s)")
    parser.add_argument("--out", type=files.path, default=HERE / "workbench" / "world" / "dsl", help="folder to write to")
    options = parser.parse_args()
    dsl = fit(options.n, options.steps, options.codes)
    dsl.save(options.out)
    size = sum(path.stat().st_size for path in options.out.iterdir()) / 1e6
    minutes = f", writer trained for {dsl.writer_.seconds_ / 60:.0f} minutes" if dsl.writer_ else ""
    print(f"{options.out}: {size:.1f} MB{minutes}")


if __name__ == "__main__":
    main()
