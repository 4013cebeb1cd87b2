"""Guided sampling against what can be computed: Poisson laws, and a tiny language model with 2,801 texts; and its speed.

    python benchmarks/guide.py [--seeds 400] [--steps 60] [--skip tuning,coverage,...] [--out FILE]

The tiny model is that of the tests: 7 words, at most 4 tokens, random weights. The wish: half of its texts open with "castle"
(6 % do by themselves), half hold a "fox" (26 %). All texts are counted, so that target, lambda and distances are exact. "Loop" is
the plain way to fit moments: gradient steps on lambda, for each of which the scorers are called on all samples again.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np
from scipy import optimize, stats

from workbench import guide
from workbench.guide.divergences import DIVERGENCES
from workbench.guide.dual import solve
from workbench.proposals import FromDistribution, LMProposal
from workbench.values import Text

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from tiny_lm import every_text, tiny_lm  # noqa: E402

PARTS = ("poisson", "agreement", "coverage", "rejection", "tuning", "speed")
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
        other = LMProposal(toy.lm, max_tokens=12, batch=97, **options)
        known = np.abs(other.log_score(drawn) - truth)
        blind = np.abs(other.log_score([Text(text, ids=text.ids) for text in drawn]) - truth)
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


def rejection(say, args, toy):
    """Quasi-rejection from the tiny model to the wish, estimates against exact values."""
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


def main():
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=400, help="repetitions of the coverage")
    parser.add_argument("--steps", type=int, default=60, help="steps of tuning")
    parser.add_argument("--rate", type=float, default=0.5, help="step size of the loop")
    parser.add_argument("--tolerance", type=float, default=1e-3, help="how near the loop must bring the moments")
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
            say(f"\n## {name}\n\n{part.__doc__}\n")
            part(say, args, toy)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
