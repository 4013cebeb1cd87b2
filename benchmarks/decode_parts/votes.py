"""Search by votes: how far genetic search, Thompson sampling, hill climbing and random pages get with equal votes.

    python -m benchmarks.decode_parts.votes [--seeds 10] [--drawn]     # from the folder above; --drawn draws 4,096 pictures first

A made-up voter has a taste that is known, of standard deviation 1 over all prompts, and noise. "Share" is how much of the way
from the mean prompt to the best of all the prompt went that a method holds for best. Seconds are CPU seconds of this process.
"""

import argparse
import time

import numpy as np
from scipy.stats import spearmanr

from workbench.search.genetic import Genes, VoteConfig, Voter, Voting, simulate
from workbench.search.pairs import strengths
from workbench.template import parse

SIZES = (6, 8, 6, 6, 4, 12, 12)  # values of the seven slots: 995,328 prompts
PAGES = (10, 20, 60)
WAYS = {
    "random": {"method": "random"},
    "climb": {"method": "climb"},
    "genetic, own votes only": {"method": "genetic", "relatives": False},
    "genetic": {"method": "genetic"},
    "thompson": {"method": "thompson"},
}
PHRASES = ("watercolor", "mosaic", "woodcut", "embroidery", "sketch", "photo", "by Monetta", "by Vangora", "by Kandova")
PHRASES += ("at night", "at sea", "blue")
START = "a red circle in the snow"


def quick(seeds=8):
    """Shares after 20 pages of 8 at noise .5: dict of "genetic_20_pages" and "random_20_pages" -> float."""
    found = {way: np.mean([pages(WAYS[way], seed, 0.5, (20,))[0] for seed in range(seeds)]) for way in ("genetic", "random")}
    return {f"{way}_20_pages": round(float(share), 3) for way, share in found.items()}


def pages(options, seed, noise, counts=PAGES):
    """Shares after so many pages of 8 with 3 marks, among 995,328 prompts: list of float."""
    rng = np.random.default_rng([99, seed])
    weights = [rng.normal(size=size) for size in SIZES]
    spread = np.sqrt(sum(some.var() for some in weights))
    weights = [(some - some.mean()) / spread for some in weights]
    template = parse(", ".join(f"<slot {i}:?>" for i in range(len(SIZES))))
    genes = Genes(template, tuple(tuple(f"{i}-{j}" for j in range(size)) for i, size in enumerate(SIZES)))
    worth = {
        text: value for texts, some in zip(genes.options, weights, strict=True) for text, value in zip(texts, some, strict=True)
    }

    def taste(texts):
        return [sum(worth[part] for part in text.split(", ")) for text in texts]

    voting = Voting(genes, VoteConfig(page=8, marks=3, looks=1, seed=seed, **options))
    best, voter = sum(some.max() for some in weights), Voter(taste, noise, seed)
    return [taste([simulate(voting, voter, count).best()])[0] / best for count in counts]


def added(seed):
    """A taste for 12 phrases that is a sum: function of texts."""
    worth = dict(zip(PHRASES, np.random.default_rng([98, seed]).normal(size=len(PHRASES)), strict=True))
    return lambda texts: [sum(worth.get(part, 0.0) for part in text.split(", ")) for text in texts]


def drawn(steps=4):
    """The taste of the true `beauty` of the pictures of all 4,096 prompts, drawn once: function of texts."""
    from workbench.models import load_pipeline
    from workbench.models.aesthetic import beauty

    genes = Genes.mask(PHRASES, START)
    texts = genes.texts(genes.all())
    worth = dict(
        zip(texts, beauty(load_pipeline("world").draw(texts, steps=steps, seed=[7] * len(texts), batch=64)), strict=True)
    )
    return lambda some: [float(worth[text]) for text in some]


def masks(options, seed, taste, noise=0.5, votes=300):
    """The share after so many votes on pairs among the 4,096 masks of 12 phrases: float."""
    genes = Genes.mask(PHRASES, START)
    values = np.array(taste(genes.texts(genes.all())))
    voter = Voter(lambda texts: (np.array(taste(texts)) - values.mean()) / values.std(), noise, seed)
    best = simulate(Voting(genes, VoteConfig(seed=seed, **options)), voter, votes).best()
    return float((taste([best])[0] - values.mean()) / (values.max() - values.mean()))


def exact(answers=10_000, things=20):
    """Spearman's correlation of Bradley-Terry strengths with the true ones after so many answers: float."""
    rng, true = np.random.default_rng(0), np.linspace(-3, 3, things)
    pairs = np.array([rng.choice(things, 2, replace=False) for _ in range(answers)])
    first = rng.random(answers) < 1 / (1 + np.exp(true[pairs[:, 1]] - true[pairs[:, 0]]))
    return float(spearmanr(strengths(np.where(first[:, None], pairs, pairs[:, ::-1]), things), true).statistic)


def main():
    """Read the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--drawn", action="store_true", help="also by the beauty of 4,096 drawn pictures")
    args = parser.parse_args()
    begin = time.process_time()
    print("| noise | pages | " + " | ".join(WAYS) + " |\n" + "| --- " * (2 + len(WAYS)) + "|")
    for noise in (0.5, 1.5):
        found = {way: np.array([pages(options, seed, noise) for seed in range(args.seeds)]) for way, options in WAYS.items()}
        for i, count in enumerate(PAGES):
            cells = (f"{found[way][:, i].mean():.2f} ± {found[way][:, i].std():.2f}" for way in WAYS)
            print(f"| {noise} | {count} | {' | '.join(cells)} |", flush=True)
    print("\n| taste | " + " | ".join(WAYS) + " |\n" + "| --- " * (1 + len(WAYS)) + "|")
    tastes, kept = {"a sum": added}, drawn() if args.drawn else None
    if args.drawn:
        tastes["beauty, drawn"] = lambda seed: kept
    for name, taste in tastes.items():
        found = {way: [masks(options, seed, taste(seed)) for seed in range(args.seeds)] for way, options in WAYS.items()}
        cells = (f"{np.mean(some):.3f}, {sum(share >= 0.95 for share in some)} of {args.seeds}" for some in found.values())
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print(f"\nBradley-Terry, 20 things, 10,000 answers: Spearman {exact():.4f}. {time.process_time() - begin:.0f} CPU seconds.")


if __name__ == "__main__":
    main()
