"""Draws: samples of an EBM made from draws of a proposal, by quasi-rejection or by resampling."""

import math
import warnings
from dataclasses import dataclass

import numpy as np

from workbench import checks
from workbench.control.guide.pool import Pool, first_draws, source_of
from workbench.control.guide.scoring import draw
from workbench.values import GuideError

_CHUNK = 4096  # draws at a time
_MOST = 10**9  # draws that are begun at all
_PATIENCE = 20  # times the draws that are needed on average


@dataclass(frozen=True, eq=False)
class Draws:
    """Samples near a target, and how near.

    Attributes:
        samples: list of n.
        proposed: int, draws of the proposal in all.
        acceptance: float, share of them that was kept; of resampling, the share of draws that is among the samples.
        pool: `Pool` of the first draws; `pool.estimates(betas)` says what other betas would give.
        beta: float, bound used; None for resampling.
        tvd, kl: floats, estimated distance of the distribution of these samples from the target, 0..1 and nats; None for
            resampling.
    """

    samples: list
    proposed: int
    acceptance: float
    pool: Pool
    beta: float | None = None
    tvd: float | None = None
    kl: float | None = None

    def report(self):
        """Text of two or three lines."""
        lines = [f"{len(self.samples):,} samples of {self.proposed:,} draws ({self.acceptance:.2%})"]
        if self.beta is not None:
            found = self.pool.estimates(self.beta)
            lines.append(f"beta {self.beta:.4g}: acceptance {found.acceptance[0]:.3f} ± {found.acceptance_error[0]:.2g}, ")
            lines[-1] += f"TVD {self.tvd:.3f} ± {found.tvd_error[0]:.2g}, KL {self.kl:.3f} ± {found.kl_error[0]:.2g} nats"
        lines.append(f"effective sample size of the pool {self.pool.ess:.1%} of {len(self.pool.samples):,}")
        return "\n".join(lines)


def quasi_rejection(ebm, proposal=None, beta=None, n=256, seed=0, *, budget=None, pool=None):
    """Draw from a proposal and keep each draw with probability min(1, P / (beta * q)).

    With a larger beta the samples are nearer to the target and fewer draws are kept; from the largest P / q on it is exact
    rejection. Distances and acceptance at this or any other beta are estimated from the first draws.

    Draws of one batch are accepted by systematic sampling, sorted by P / q: each is kept with its own probability, and of draws
    with a similar P / q the right share is kept. Moments of the set then scatter less than those of independent samples.

    Args:
        ebm: `EBM`, the target P, unnormalised: beta is on its scale.
        proposal: anything `proposals.of` takes; q. None is the only base of the target.
        beta: float above 0; or None, with
        budget: float of 1 or more, draws per sample: takes the largest beta that keeps to it.
        n: int, samples to return.
        seed: int.
        pool: int, draws that distances are estimated from and that are used as samples too; or a `Pool`, such as
            `ebm.fit.pool`, which costs no new draws and has the moments more closely than fresh draws can. None: as many new
            draws as the fit had, or 4,096.

    Returns:
        `Draws`.

    Raises:
        GuideError: no draw has any probability under the target, or far fewer are accepted than the pool says.
        ValueError: both or neither of beta and budget, or one out of range.

    Warns:
        UserWarning: the target excludes so many draws that no beta keeps to the budget.

    Source:
        "An approximate sampler for energy-based models with divergence diagnostics", Eikema, Kruszewski, Dance, Elsahar and
        Dymetman, TMLR 2022 (first version arXiv:2112.05702); systematic sampling: Madow 1949.
    """
    n, seed = checks.whole("n", n), checks.seed(seed)
    if (beta is None) == (budget is None):
        raise ValueError("Give one of beta=, the bound, and budget=, the draws that may be spent on a sample.")
    beta = None if beta is None else checks.number("beta", beta, 0, above=True)
    budget = None if budget is None else checks.number("budget", budget, 1)
    proposal = source_of(ebm, proposal)
    known = first_draws(ebm, proposal, pool, seed)
    beta = known.beta_for(1 / budget) if beta is None else beta
    found = known.estimates(beta)
    if budget is not None and found.acceptance[0] * budget < 1 - 1e-9:
        warnings.warn(
            f"A sample costs at least {1 / found.acceptance[0]:.1f} draws, more than budget={budget:g}: the target excludes "
            "all others. Use a proposal that is nearer to it, such as a tuned one.",
            stacklevel=2,
        )
    rng = np.random.default_rng([seed, 1])
    samples, log_ratio, out, ratios, proposed = known.samples, known.log_ratio, [], [], 0
    needed = n / max(float(found.acceptance[0]), 1e-300)
    if needed > _MOST:
        raise GuideError(f"{n} samples with beta={beta:g} would take {needed:.3g} draws. Take a smaller beta.")
    while True:
        keep = np.flatnonzero(_counts(np.exp(np.minimum(log_ratio - np.log(beta), 0)), log_ratio, rng))
        out += [samples[i] for i in keep]
        ratios += log_ratio[keep].tolist()
        proposed += len(samples)
        if len(out) >= n:
            break
        if proposed > len(known.samples) + _PATIENCE * needed:
            raise GuideError(
                f"Only {len(out)} of {n} samples were accepted in {proposed:,} draws, though {found.acceptance[0]:.2%} of the "
                "pool were: the proposal does not draw as it did. Draw a new pool, or take importance_resample."
            )
        size = min(_CHUNK, math.ceil(1.1 * (n - len(out)) / found.acceptance[0]) + 8)
        samples = draw(proposal, size, seed + 104_729 * proposed)
        log_ratio = ebm.parts(samples, proposal).log_score
    chosen = np.flatnonzero(_counts(np.full(len(out), n / len(out)), np.array(ratios), rng))
    kept = [out[i] for i in chosen]
    return Draws(kept, proposed, len(out) / proposed, known, beta, float(found.tvd[0]), float(found.kl[0]))


def importance_resample(ebm, proposal=None, n=256, seed=0, *, pool=None):
    """Draw a pool, and from it again in proportion to P / q. Samples repeat where few draws have most of the weight.

    Resampling is systematic, sorted by P / q, so that it adds very little noise. On the pool of the fit the moments are reached
    almost exactly.

    Args:
        ebm: `EBM`.
        proposal: anything `proposals.of` takes; None is the only base of the target.
        n: int, samples to return.
        seed: int.
        pool: as in `quasi_rejection`.

    Returns:
        `Draws`.

    Raises:
        GuideError: no draw has any probability under the target.

    Source:
        Rubin 1987, the SIR algorithm; systematic resampling: Kitagawa 1996, and Madow 1949 for the order.
    """
    n, seed = checks.whole("n", n), checks.seed(seed)
    known = first_draws(ebm, source_of(ebm, proposal), pool, seed)
    rng = np.random.default_rng([seed, 1])
    rows = rng.permutation(np.repeat(np.arange(len(known.samples)), _counts(n * known.weights, known.log_ratio, rng)))
    return Draws([known.samples[i] for i in rows], len(known.samples), len(np.unique(rows)) / len(known.samples), known)


def _counts(expected, order, rng):
    """How often each row is taken if it should be `expected` times on average: int64 (n,), `expected` rounded up or down.

    Systematic sampling with one random start, sorted by `order`, ties at random: over neighbouring rows the sum is that of
    `expected`, rounded up or down.
    """
    out, rows = np.floor(expected + 1e-9).astype(np.int64), rng.permutation(len(expected))
    rows = rows[np.argsort(order[rows], kind="stable")]
    ends = np.cumsum(np.maximum(expected - out, 0)[rows])
    points = np.arange(rng.random(), ends[-1], 1.0)
    np.add.at(out, rows[np.searchsorted(ends, points, side="right")], 1)
    return out
