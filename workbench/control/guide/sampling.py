"""Sampling from an EBM by draws of a proposal: quasi-rejection, resampling, and Metropolis-Hastings as a baseline."""

import math
import numbers
import warnings
from dataclasses import dataclass

import numpy as np

from workbench.control.guide.pool import Pool, first_draws, pool, source_of
from workbench.control.guide.scoring import draw, whole
from workbench.values import GuideError

_CHUNK = 4096  # draws at a time


@dataclass(frozen=True, eq=False)
class Draws:
    """Samples near a target, and how near.

    Attributes:
        samples: list of n.
        proposed: int, draws of the proposal spent in all.
        acceptance: float, share of them that was kept (resampling: that are different draws).
        beta: float, bound used; None but for quasi-rejection.
        tvd, kl: floats, estimated distance of the law of these samples from the target, 0..1 and nats; None but for
            quasi-rejection.
        pool: `Pool` that the estimates come from, with `estimates(betas)`; None for Metropolis-Hastings.
    """

    samples: list
    proposed: int
    acceptance: float
    beta: float | None = None
    tvd: float | None = None
    kl: float | None = None
    pool: Pool | None = None

    def estimates(self, betas):
        """See `Pool.estimates`.

        Raises:
            GuideError: these draws come without a pool.
        """
        if self.pool is None:
            raise GuideError("These draws come without a pool: draw them by quasi_rejection, or use guide.pool(ebm, proposal).")
        return self.pool.estimates(betas)

    def report(self):
        """Text of one to three lines."""
        lines = [f"{len(self.samples):,} samples of {self.proposed:,} draws ({self.acceptance:.2%})"]
        if self.beta is not None:
            found = self.estimates(self.beta)
            lines.append(f"beta {self.beta:.4g}: acceptance {found.acceptance[0]:.3f} ± {found.acceptance_error[0]:.2g}, ")
            lines[-1] += f"TVD {self.tvd:.3f} ± {found.tvd_error[0]:.2g}, KL {self.kl:.3f} ± {found.kl_error[0]:.2g} nats"
        if self.pool is not None:
            lines.append(f"effective sample size of the pool {self.pool.ess:.1%} of {len(self.pool.samples):,}")
        return "\n".join(lines)


def quasi_rejection(ebm, proposal=None, beta=None, n=256, seed=0, *, budget=None, first=None):
    """Draw from a proposal and keep each draw with probability min(1, P / (beta * q)).

    The larger beta, the nearer to the target and the fewer are kept; above the largest P / q it is exact rejection. Distances and
    acceptance at this or any other beta are estimated from the first draws.

    Each draw is kept with its own probability, but of draws made together it is decided together, systematically in the order of
    P / q: of those with about one P / q the right share is kept, to the nearest whole number. So moments of the whole set scatter
    less than those of independent samples would.

    Args:
        ebm: `EBM`, the target P, unnormalised: beta is on its scale.
        proposal: anything `proposals.of` takes; q. None is the one base of the target.
        beta: float above 0; or None, with
        budget: float of 1 or more, draws that may be spent on a sample: takes the largest beta that keeps to it.
        n: int, samples wanted.
        seed: int.
        first: int, draws that distances are estimated from, or a `Pool` of such, as `ebm.fit.pool`, which saves drawing anew.
            None: as many new ones as the fit of the EBM had, or 4,096. They are used as samples too. Those of the fit meet its
            moments more closely than fresh draws can.

    Returns:
        `Draws`.

    Raises:
        GuideError: no draw has any probability under the target.
        ValueError: both or neither of beta and budget, or one out of range.

    Source:
        "An approximate sampler for energy-based models with divergence diagnostics", Eikema, Kruszewski, Dance, Elsahar and
        Dymetman, TMLR 2022 (first version arXiv:2112.05702); keeping systematically: Madow 1949.
    """
    if first is None:  # what was affordable for the fit is so here
        fitted = getattr(ebm.fit, "pool", None)
        first = 4096 if fitted is None else len(fitted.samples)
    n, first = whole("n", n, 1), first if isinstance(first, Pool) else whole("first", first, 2)
    if (beta is None) == (budget is None):
        raise ValueError("Give one of beta=, the bound, and budget=, the draws that may be spent on a sample.")
    for name, value, least in (("beta", beta, 0), ("budget", budget, 1)):
        good = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
        if value is not None and not (good and (value > 0 if least == 0 else value >= 1)):
            raise ValueError(f"{name} must be {'above 0' if least == 0 else '1 or more'}, got {value!r}.")
    proposal = source_of(ebm, proposal)
    known = first_draws(ebm, proposal, first, seed)
    beta = known.beta_for(1 / budget) if beta is None else float(beta)
    found = known.estimates(beta)
    if budget is not None and found.acceptance[0] * budget < 1 - 1e-9:
        warnings.warn(
            f"A sample costs {1 / found.acceptance[0]:.1f} draws at the least, more than budget={budget:g}: the target excludes "
            "all others. Use a proposal that is nearer to it, such as a tuned one.",
            stacklevel=2,
        )
    rng = np.random.default_rng([seed, 1])
    samples, log_ratio, out, ratios, proposed = known.samples, known.log_ratio, [], [], 0
    while True:
        keep = np.flatnonzero(_counts(np.exp(np.minimum(log_ratio - np.log(beta), 0)), log_ratio, rng))
        out += [samples[i] for i in keep]
        ratios += log_ratio[keep].tolist()
        proposed += len(samples)
        if len(out) >= n:
            break
        size = min(_CHUNK, math.ceil(1.1 * (n - len(out)) / found.acceptance[0]) + 8)
        samples = draw(proposal, size, seed + 104_729 * proposed)
        log_ratio = ebm.log_ratio(samples, proposal)
    chosen = np.flatnonzero(_counts(np.full(len(out), n / len(out)), np.array(ratios), rng))
    out_of = len(out) / proposed
    return Draws([out[i] for i in chosen], proposed, out_of, beta, float(found.tvd[0]), float(found.kl[0]), known)


def importance_resample(ebm, proposal=None, n=256, seed=0, *, draws=4096):
    """Draw a pool and draw from it anew, in proportion to P / q. Samples repeat where few draws count.

    Resampling is systematic, in the order of P / q: how often draws of about one P / q are taken follows their share to the
    nearest whole number, so that it adds next to no noise to moments. On the pool of the fit they are met almost exactly.

    Args:
        ebm: `EBM`.
        proposal: anything `proposals.of` takes; None is the one base of the target.
        n: int, samples wanted.
        seed: int.
        draws: int, size of the pool, or a `Pool`, as `ebm.fit.pool`, which saves drawing anew.

    Returns:
        `Draws`; `acceptance` is the share of the pool that is among the samples.

    Raises:
        GuideError: no draw has any probability under the target.

    Source:
        Rubin 1987, the SIR algorithm; systematic resampling: Kitagawa 1996, and Madow 1949 for the order.
    """
    n = whole("n", n, 1)
    known = first_draws(ebm, source_of(ebm, proposal), draws, seed)
    rng = np.random.default_rng([seed, 1])
    rows = rng.permutation(np.repeat(np.arange(len(known.samples)), _counts(n * known.weights, known.log_ratio, rng)))
    return Draws([known.samples[i] for i in rows], len(known.samples), len(np.unique(rows)) / len(known.samples), pool=known)


def metropolis_hastings(ebm, proposal=None, n=256, seed=0, *, burn=200, thin=5):
    """One chain whose next state is a fresh draw of the proposal, taken with probability min(1, ratio): a baseline.

    Args:
        ebm: `EBM`.
        proposal: anything `proposals.of` takes; None is the one base of the target.
        n: int, samples wanted; neighbours are often equal.
        seed: int.
        burn: int, steps before the first sample.
        thin: int, steps from one sample to the next.

    Returns:
        `Draws`; `acceptance` is the share of steps that moved.

    Raises:
        GuideError: no draw has any probability under the target.

    Source:
        Tierney 1994, independence chains; as a baseline in Eikema et al., TMLR 2022.
    """
    n, burn, thin = whole("n", n, 1), whole("burn", burn, 0), whole("thin", thin, 1)
    rng = np.random.default_rng([seed, 1])
    known = pool(ebm, proposal, max(2, burn + n * thin), seed)
    luck = np.log(rng.random(len(known.samples)))
    state, moved, out = 0, 0, []
    for step, ratio in enumerate(known.log_ratio):
        if not np.isfinite(known.log_ratio[state]) or (step and luck[step] < ratio - known.log_ratio[state]):
            moved += step > 0
            state = step
        if step >= burn and (step - burn) % thin == thin - 1:
            out.append(known.samples[state])
    return Draws(out[:n], len(known.samples), moved / len(known.samples))


def _counts(wished, order, rng):
    """How often each row is taken if it should be `wished` times in the mean: int64 (n,), `wished` rounded up or down.

    Rounding goes by one random start, in the order of `order`, ties at random: over rows that are next to each other in it, the
    sum is that of `wished`, rounded up or down.
    """
    out, rows = np.floor(wished + 1e-9).astype(np.int64), rng.permutation(len(wished))
    rows = rows[np.argsort(order[rows], kind="stable")]
    ends = np.cumsum(np.maximum(wished - out, 0)[rows])
    points = np.arange(rng.random(), ends[-1], 1.0)
    np.add.at(out, rows[np.searchsorted(ends, points, side="right")], 1)
    return out
