"""Guided sampling against what can be computed: Poisson laws, and a tiny language model with 2,801 texts; and its speed.

    python benchmarks/guide.py [--seeds 400] [--steps 60] [--skip tuning,coverage,...] [--out FILE]

The tiny model is that of the tests: 7 words, at most 4 tokens, random weights. The moments: half of its texts open with "castle"
(6 % do by themselves), half hold a "fox" (26 %). All texts are counted, so that target, lambda and distances are exact. "Loop" is
the plain way to fit moments: gradient steps on lambda, for each of which the scorers are called on all samples again.

The parts "language" and "pictures" steer the DSL that comes with the package, by three moments at once and by what pictures of
its prompts show. They write some 8,000 and 3,000 prompts, at 15 to 30 ms each.
"""

import argparse
import inspect
import math
import sys
import time
from pathlib import Path

import numpy as np
from scipy import optimize, stats

from workbench import guide, ngram
from workbench.control.guide.divergences import DIVERGENCES
from workbench.control.guide.dual import solve
from workbench.control.proposals import FromDistribution, FromDSL, LMProposal
from workbench.control.scorers import contains, has_slot, n_words, of_picture, shows, slot_like
from workbench.language.dsl import DeepDSL
from workbench.models import load_lm, load_pipeline
from workbench.values import Sample

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("tests", "tools")]
import world_dsl  # noqa: E402
from tiny_lm import every_text, tiny_lm  # noqa: E402

PARTS = ("poisson", "agreement", "coverage", "sets", "rejection", "tuning", "speed", "language", "pictures")
COUNTS = np.arange(120)


def castle_first(texts):
    """Whether texts open with the rare word."""
    return [text.startswith("castle") for text in texts]


def fox(texts):
    """Whether texts hold the commoner word."""
    return ["fox" in text.split() for text in texts]


class Toy:
    """The tiny model, all its texts, and the exact answer."""

    def __init__(self):
        self.lm, self.texts = tiny_lm(), every_text(4)
        self.proposal = LMProposal(self.lm, max_tokens=4)
        self.base = np.exp(self.proposal.log_score(self.texts))
        self.features = np.array([castle_first(self.texts), fox(self.texts)], float).T
        dual = optimize.minimize(lambda x: np.log(self.base @ np.exp(self.features @ x)) - x.sum() / 2, np.zeros(2), tol=1e-12)
        self.weights, self.kl = dual.x, -dual.fun
        self.target = self.base * np.exp(self.features @ dual.x)
        self.target /= self.target.sum()

    def moments(self, weights):
        """Exact moments of the target with these weights."""
        p = self.base * np.exp(self.features @ weights)
        return p @ self.features / p.sum()


def poisson(say, args, toy):
    """Rejection between two Poisson laws, exact values by summation; z is the error in standard errors."""
    p, q = stats.poisson(11).pmf(COUNTS), stats.poisson(10).pmf(COUNTS)
    pool = guide.pool(guide.EBM((stats.poisson(11),)), stats.poisson(10), 20_000, seed=0)
    say("| beta | acceptance, exact | estimated | z | TVD, exact | estimated | z | KL, exact | estimated | z |")
    say("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for beta in (0.5, 0.8, 1.0, 1.5, 2.0):
        kept = np.minimum(p, beta * q)
        kept /= kept.sum()
        some = p > 0
        truth = (
            np.minimum(q, p / beta).sum(),
            np.abs(p - kept).sum() / 2,
            p[some] @ np.log(p[some] / kept[some]),
        )
        _, *found = (float(value[0]) for value in pool.estimates(beta))
        cells = [f"{t:.4f} | {v:.4f} | {(v - t) / e:+.1f}" for t, v, e in zip(truth, found[::2], found[1::2], strict=True)]
        say(f"| {beta} | {' | '.join(cells)} |")


def agreement(say, args, toy):
    """Log-probability of what was drawn, as drawing counted it and as scoring gives it, in batches of another size."""
    say("| cut | texts | largest difference, nats | if scoring did not know the cut: largest | texts off by more than 1e-4 |")
    say("| --- | --- | --- | --- | --- |")
    for options in ({}, {"temperature": 0.7, "top_k": 5, "top_p": 0.9}, {"top_p": 0.6}):
        law = LMProposal(toy.lm, max_tokens=12, **options)
        drawn = law.sample(5000, seed=0)
        truth = np.array([text.log_prob for text in drawn])

        def off(texts, law=law, truth=truth):
            return np.abs(np.concatenate([law.log_score(texts[at : at + 97]) for at in range(0, len(texts), 97)]) - truth)

        known, blind = off(drawn), off([Sample(text, ids=text.ids) for text in drawn])
        whole = np.abs(LMProposal(toy.lm, max_tokens=12).log_score(drawn) - truth)
        note = f"; scored without the cut {np.median(whole):.1f} in the median" if options else ""
        say(f"| {options or 'none'} | 5,000 | {known.max():.1e} | {blind.max():.1e}{note} | {(blind > 1e-4).sum()} |")


def coverage(say, args, toy):
    """How often 95 % intervals of lambda hold the exact value, and how far estimates lie off."""
    say("| n | seeds | coverage | lambda off by, mean | largest | moments off by, mean | within .03 |")
    say("| --- | --- | --- | --- | --- | --- | --- |")
    for n in (2048, 4096, 16_384):
        hits, off, moments = [], [], []
        for seed in range(args.seeds):
            rows = np.random.default_rng([seed, 3]).choice(len(toy.texts), n, p=toy.base / toy.base.sum())
            found = solve(toy.features[rows], np.full(2, 0.5), np.zeros(n), np.zeros(n, int), np.array([n]))
            gap = np.abs(found.weights - toy.weights)
            hits.append(gap < 1.96 * np.sqrt(np.diag(found.covariance)))
            off.append(gap)
            moments.append(np.abs(toy.moments(found.weights) - 0.5))
        off, moments = np.array(off), np.array(moments)
        say(
            f"| {n:,} | {args.seeds} | {np.mean(hits):.3f} | {off.mean():.3f} | {off.max():.3f} | {moments.mean():.4f} | "
            f"{(moments.max(1) <= 0.03).mean():.2f} |"
        )


def sets(say, args, toy):
    """How far moments of a set are from those asked for (.5 and .5), lambda fitted on 4,096 draws, by how the set is made."""
    p = toy.base / toy.base.sum()
    law = FromDistribution(
        lambda n, seed: np.random.default_rng([seed, 7]).choice(len(p), n, p=p).tolist(), lambda rows: np.log(p[np.array(rows)])
    )

    def first(rows):
        return toy.features[rows, 0]

    def second(rows):
        return toy.features[rows, 1]

    def plain(ebm, seed):
        known = guide.pool(ebm, n=4096, seed=seed)
        rows = np.random.default_rng([seed, 1]).choice(4096, 1000, p=known.weights)
        return [known.samples[row] for row in rows]

    ways = {
        "1,000 of 4,096 new draws, resampled at random": plain,
        "1,000 of 4,096 new draws, `importance_resample`": lambda e, s: guide.importance_resample(e, n=1000, seed=s).samples,
        "150 new ones by `quasi_rejection`, beta 60": lambda e, s: guide.quasi_rejection(e, beta=60, n=150, seed=s).samples,
        "1,000 of the draws of the fit, `importance_resample`": lambda e, s: (
            guide.importance_resample(e, n=1000, seed=s, pool=e.fit.pool).samples
        ),
        "150 of the draws of the fit, `quasi_rejection`, beta 60": lambda e, s: (
            guide.quasi_rejection(e, beta=60, n=150, seed=s, pool=e.fit.pool).samples
        ),
    }
    found = {name: [] for name in ways}
    for seed in range(min(100, args.seeds)):
        ebm = guide.constrain(law, {first: 0.5, second: 0.5}, n=4096, seed=seed)
        for name, way in ways.items():
            found[name].append([abs(moment - 0.5) for moment in guide.means(way(ebm, seed + 10_000), ebm.scorers).values])
    say("| set | seeds | moments off by, mean | largest | both within .03 |")
    say("| --- | --- | --- | --- | --- |")
    for name, rows in found.items():
        off = np.array(rows)
        say(f"| {name} | {len(off)} | {off.mean():.4f} | {off.max():.3f} | {(off.max(1) <= 0.03).mean():.2f} |")


def rejection(say, args, toy):
    """Quasi-rejection from the tiny model to the target, estimates against exact values."""
    ebm = guide.constrain(toy.proposal, {castle_first: 0.5, fox: 0.5}, n=16_384, seed=0)
    weights = np.array(list(ebm.weights.values()))
    r = np.exp(toy.features @ weights)
    p = toy.base * r / (toy.base @ r)
    say(f"lambda: exact {toy.weights.round(3)}, found {weights.round(3)}")
    say(f"KL(target, base): exact {toy.kl:.3f}, found {ebm.fit.kl:.3f}")
    say("")
    say("| beta | acceptance, exact | estimated | TVD, exact | estimated | KL, exact | estimated |")
    say("| --- | --- | --- | --- | --- | --- | --- |")
    pool = guide.pool(ebm, toy.proposal, 8192, seed=1)
    for beta in (5, 20, 60):
        kept = toy.base * np.minimum(r / beta, 1)
        rate = kept.sum()
        kept /= rate
        found = pool.estimates(beta)
        truth = (rate, np.abs(p - kept).sum() / 2, p @ np.log(p / kept))
        columns = zip(truth, (found.acceptance, found.tvd, found.kl), strict=True)
        say(f"| {beta} | {' | '.join(f'{t:.3f} | {float(v[0]):.3f}' for t, v in columns)} |")


def tuning(say, args, toy):
    """Exact distances of the policy after tuning."""
    ebm = guide.constrain(toy.proposal, {castle_first: 0.5, fox: 0.5}, n=16_384, seed=0)
    say("| divergence | draws | steps x batch | KL(target, policy) | TVD | effective sample size | moments | seconds |")
    say("| --- | --- | --- | --- | --- | --- | --- | --- |")

    def line(name, draws, proposal, seconds):
        q = np.exp(proposal.log_score(toy.texts))
        kl, tvd = toy.target @ np.log(toy.target / q), np.abs(toy.target - q).sum() / 2
        ess, (a, b) = 1 / (toy.target**2 / q).sum(), q @ toy.features
        size = f"{args.steps} x 256" if name != "none" else "-"
        say(f"| {name} | {draws} | {size} | {kl:.3f} | {tvd:.3f} | {ess:.2f} | {a:.3f} / {b:.3f} | {seconds:.1f} |")

    line("none", "-", toy.proposal, 0)
    for name in DIVERGENCES:
        for offline in (False, True):
            started = time.perf_counter()
            tuned = guide.tune(toy.lm, ebm, name, args.steps, config=guide.TuneConfig(offline=offline), progress=False)
            line(name, "off-line" if offline else "on-line", tuned.proposal, time.perf_counter() - started)


def speed(say, args, toy):
    """Fitting moments of 2,048 samples with 2 features: scorer calls and CPU time, medians of 5 rounds in turns."""
    drawn = toy.proposal.sample(2048, seed=0)
    law = FromDistribution(lambda n, seed: drawn, toy.proposal.log_score)
    calls = {"ours": 0, "loop": 0}

    def counted(scorer, who):
        def count(texts):
            calls[who] += len(texts)
            return scorer(texts)

        return count

    def ours():
        guide.constrain(law, {counted(castle_first, "ours"): 0.5, counted(fox, "ours"): 0.5}, n=2048)

    def loop():
        weights, steps = np.zeros(2), 0
        while True:
            x = np.array([counted(castle_first, "loop")(drawn), counted(fox, "loop")(drawn)], float).T
            w = np.exp(x @ weights)
            gap = 0.5 - w @ x / w.sum()
            steps += 1
            if np.abs(gap).max() < args.tolerance or steps > 10_000:
                return steps
            weights += args.rate * gap

    times = {"ours": [], "loop": []}
    for _ in range(5):
        for name, run in (("ours", ours), ("loop", loop)):
            started = time.process_time()
            steps = run()
            times[name].append(time.process_time() - started)
    a, b = (float(np.median(times[name])) for name in ("ours", "loop"))
    say(f"ours: {calls['ours'] // 5:,} scorer calls, moments met to 1e-10, {a * 1e3:.1f} ms of CPU")
    say(
        f"loop: {calls['loop'] // 5:,} scorer calls in {steps} steps (rate {args.rate}, moments met to {args.tolerance}), "
        f"{b * 1e3:.1f} ms of CPU"
    )
    say(f"ours takes {a / b:.3f} of the loop's time (target: .2 at most)")


def distinct(texts):
    """Distinct-2: different pairs of neighbouring words over all pairs."""
    pairs = [pair for text in texts for words in [ngram.tokens(text)] for pair in zip(words, words[1:], strict=False)]
    return len(set(pairs)) / len(pairs)


def language(say, args, toy):
    """The DSL, asked for three things at once: moments, variety and fluency of what it writes then.

    Fluency is the perplexity under an n-gram model (Kneser-Ney, order 3) of 6,000 other prompts like those it learned from, over
    that of the unguided ones; distinct-2 is over that of as many unguided prompts. "prompts of the grammars" weights 6,000 of
    those to the same moments: what the moments alone do to the perplexity. The second set of moments is much rarer.
    """
    dsl = DeepDSL.load("world")
    artist, paints = has_slot(dsl, "artist"), slot_like(dsl, "medium", "painting") >= 0.5
    judge = ngram.KneserNey().fit([ngram.tokens(text) for text in world_dsl.prompts(6000, seed=2)])
    real = world_dsl.prompts(6000, seed=3)

    def perplexity(texts):
        return judge.perplexity([ngram.tokens(text) for text in texts])

    def table(ebm, moments, budget, fresh):
        say(f"```text\n{ebm.report()}\n```")
        say("")
        known, n = ebm.fit.pool, int(args.pool / budget)
        names, base = list(ebm.scorers), perplexity(known.samples)
        say(f"| set | samples | new draws | {' | '.join(names)} | distinct-2 | perplexity | ratio |")
        say("| --- " * (6 + len(names)) + "|")

        def line(name, samples, draws):
            cells = " | ".join(f"{value:.3f}" for value in guide.means(samples, ebm.scorers).values)
            variety, mark = distinct(samples) / distinct(known.samples[: len(samples)]), perplexity(samples)
            say(f"| {name} | {len(samples):,} | {draws:,} | {cells} | {variety:.3f} | {mark:.2f} | {mark / base:.3f} |")

        asked = {getattr(scorer, "__name__", ""): value for scorer, value in moments.items()}
        line("unguided", known.samples, args.pool)
        say(f"| asked | | | {' | '.join(f'{asked[name]:.3f}' for name in names)} | .900 at least | | 1.100 at most |")
        beta = known.beta_for(1 / budget)
        draws = guide.quasi_rejection(ebm, beta=beta, n=n, seed=1, pool=known)
        line(f"`quasi_rejection` of the draws of the fit, TVD {draws.tvd:.3f}", draws.samples, 0)
        some = guide.importance_resample(ebm, n=n, pool=known).samples
        line(f"`importance_resample` of the draws of the fit, {len(set(some)):,} different", some, 0)
        if fresh:
            draws = guide.quasi_rejection(ebm, beta=beta, n=n, seed=1, pool=args.pool)
            line(f"`quasi_rejection`, TVD {draws.tvd:.3f}", draws.samples, draws.proposed)
        same = guide.constrain(FromDistribution(lambda n, seed: real, lambda texts: np.zeros(len(texts))), moments, n=len(real))
        share = perplexity(guide.importance_resample(same, n=6000, pool=same.fit.pool).samples) / perplexity(real)
        say(f"| prompts of the grammars | 6,000 | | {' | ' * len(names)} | {perplexity(real) * share:.2f} | {share:.3f} |")
        say("")

    moments = {n_words() <= 25: 1.0, artist: 0.6, paints: 0.3}
    ebm = guide.constrain(dsl, moments, n=args.pool, seed=0)
    table(ebm, moments, args.budget, True)
    drawn = ebm.fit.pool.samples
    rare = {n_words() <= 20: 1.0, artist: 0.7, contains("red"): 0.5}
    law = FromDistribution(lambda n, seed: drawn, lambda texts: np.zeros(len(texts)))
    table(guide.constrain(law, rare, n=len(drawn)), rare, 4 * args.budget, False)


def pictures(say, args, toy):
    """Half of the pictures that the pipeline draws (4 steps) should show one thing, as the checker reads them.

    "anew" is the share once the same texts are drawn again with other seeds, 20 steps: where it falls back to what it is by
    itself, the moment was reached by lucky pictures and not by texts that say something of it.
    """
    pipeline, n = load_pipeline("world"), args.pictures
    say("| proposal | moment | by itself | draws | effective | set of draws of the fit | seen | set of new draws | seen | anew |")
    say("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, source, values in (
        ("the DSL", FromDSL(DeepDSL.load("world")), ("star", "snow")),
        ("the language model of captions", LMProposal(load_lm("world")), ("circle",)),
    ):
        drawn = {seed: source.sample(n, seed) for seed in (0, 1)}
        law = FromDistribution(lambda n, seed, drawn=drawn: drawn[seed], lambda texts: np.zeros(len(texts)))
        for value in values:
            asked = of_picture(pipeline, shows(value), steps=4)
            ebm = guide.constrain(law, {asked: 0.5}, n=n, seed=0)
            near = guide.importance_resample(ebm, n=int(ebm.fit.ess / 2), pool=ebm.fit.pool)
            fresh = guide.pool(ebm, n=n, seed=1)
            fresh = guide.importance_resample(ebm, n=int(ebm.fit.ess / 2), pool=fresh)
            again = of_picture(pipeline, shows(value), steps=20, seed=1)(near.samples).mean()
            cells = [f"{ebm.fit.before[0]:.3f}", f"{n:,}", f"{ebm.fit.ess:.0f}"]
            for draws in (near, fresh):
                cells += [f"{len(draws.samples)}, {len(set(draws.samples))} different", f"{asked(draws.samples).mean():.3f}"]
            say(f"| {name} | {value}: .5 | {' | '.join(cells)} | {again:.3f} |")


def main():
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=400, help="repetitions of the coverage")
    parser.add_argument("--steps", type=int, default=60, help="steps of tuning")
    parser.add_argument("--rate", type=float, default=0.5, help="step size of the loop")
    parser.add_argument("--tolerance", type=float, default=1e-3, help="how near the loop must bring the moments")
    parser.add_argument("--pool", type=int, default=4096, help="prompts that the moments of `language` are fitted on")
    parser.add_argument("--budget", type=float, default=10, help="draws per sample of `language`")
    parser.add_argument("--pictures", type=int, default=768, help="prompts that the moments of `pictures` are fitted on")
    parser.add_argument("--skip", default="", help=f"parts to leave out, of {','.join(PARTS)}")
    parser.add_argument("--out", type=Path, help="file for the same text")
    args = parser.parse_args()
    lines, toy = [], Toy()

    def say(line):
        lines.append(line)
        print(line, flush=True)

    assert math.isclose(toy.base.sum(), 1, abs_tol=1e-5)
    for name in PARTS:
        if name not in args.skip.split(","):
            part = globals()[name]
            say(f"\n## {name}\n\n{inspect.cleandoc(part.__doc__)}\n")
            part(say, args, toy)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
