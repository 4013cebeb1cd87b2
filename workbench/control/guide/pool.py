"""Pool: draws of a proposal with their weights under a target, and estimates of how rejection would do with them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from workbench import checks
from workbench.control import proposals
from workbench.control.guide.scoring import draw
from workbench.values import GuideError


class Estimates(NamedTuple):
    """Of rejection at each beta, all float64 (b,); each `_error` is a standard error.

    `beta`; `acceptance`, share of draws that are kept; `tvd`, total variation distance of what is kept from the target; `kl`,
    KL(target, what is kept), nats.
    """

    beta: np.ndarray
    acceptance: np.ndarray
    acceptance_error: np.ndarray
    tvd: np.ndarray
    tvd_error: np.ndarray
    kl: np.ndarray
    kl_error: np.ndarray


@dataclass(frozen=True, eq=False)
class Pool:
    """Draws of a proposal q, and log P - log q of each under a target P, unnormalised.

    Attributes:
        samples: list of n.
        log_ratio: float64 (n,), nats, -inf for what the target excludes.
        proposal: `Proposal` they were drawn from; None if that is not known.
        target: `EBM.key` of the target, or None.
    """

    samples: list
    log_ratio: np.ndarray
    proposal: object = None
    target: tuple | None = None

    @property
    def log_z(self):
        """Log of the mean of P/q: the log normaliser, if q covers the target."""
        top = self.log_ratio.max()
        return float(top + np.log(np.mean(np.exp(self.log_ratio - top))))

    @property
    def weights(self):
        """Share of each draw in the target: float64 (n,), 1 in total."""
        w = np.exp(self.log_ratio - self.log_ratio.max())
        return w / w.sum()

    @property
    def ess(self):
        """Effective sample size as a share of n: (mean weight)^2 / mean of weight^2, 0..1; 1 if q is the target."""
        return float(1 / np.sum(self.weights**2) / len(self.log_ratio))

    @property
    def kl(self):
        """KL(target, q), nats, estimated."""
        u = self._relative()
        return float(np.mean(u * np.log(np.where(u > 0, u, 1))))

    @property
    def tvd(self):
        """Total variation distance of q from the target, 0..1, estimated."""
        return float(np.abs(self._relative() - 1).mean() / 2)

    def estimates(self, betas):
        """What rejection at each beta would accept and how far from the target it would be, without new draws.

        Args:
            betas: float or list of b floats above 0: a draw is kept with probability min(1, P / (beta * q)).

        Returns:
            `Estimates`.

        Source:
            Eikema et al., TMLR 2022 (first version arXiv:2112.05702); errors by the delta method.
        """
        betas = np.array([checks.number("beta", beta, 0, above=True) for beta in np.atleast_1d(np.asarray(betas, np.float64))])
        return Estimates(betas, *np.array([self._at(beta) for beta in betas]).T)

    def beta_for(self, acceptance):
        """The largest beta, and so the nearest match, at which this share of draws is still kept: float.

        If the target excludes so many draws that no beta keeps this share, the one that keeps the most.

        Raises:
            ValueError: a share outside 0..1.
        """
        acceptance = checks.number("acceptance", acceptance, 0, 1, above=True)
        # the mean of min(1, r / beta) falls with beta, and between two ratios there is a closed form
        scale, n = self.log_ratio.max(), len(self.log_ratio)
        r = np.exp(np.sort(self.log_ratio[np.isfinite(self.log_ratio)]) - scale)
        below, above = np.cumsum(r), np.arange(len(r))[::-1]
        last = np.count_nonzero((below / r + above) / n >= acceptance) - 1  # acceptance with each ratio as beta
        beta = r[0] if last < 0 else below[last] / (n * acceptance - above[last])
        return float(beta * np.exp(scale))

    def _relative(self):
        """P / (Z q) of each draw; the mean is 1."""
        return self.weights * len(self.log_ratio)

    def _at(self, beta):
        n, u = len(self.log_ratio), self._relative()
        cap = beta / np.exp(self.log_z)
        m = np.minimum(u, cap)
        kept = m.mean()
        over = np.log(np.where(u > m, u / cap, 1))
        gap = u * over
        kl = gap.mean() + np.log(kept)
        more = u > m / kept
        tvd = (u - m / kept)[more].sum() / n
        # influence of one draw on each estimate; u has mean 1
        kl_pull = gap - gap.mean() - (gap.mean() + 1) * (u - 1) + (m - kept) / kept
        tvd_pull = np.where(more, u - m / kept, 0) - tvd - (u * more).mean() * (u - 1)
        tvd_pull += (m * more).mean() / kept**2 * (m - kept)
        accept = np.exp(np.minimum(self.log_ratio - np.log(beta), 0))
        errors = [np.std(pull) / np.sqrt(n) for pull in (accept, tvd_pull, kl_pull)]
        return accept.mean(), errors[0], tvd, errors[1], max(kl, 0.0), errors[2]


def pool(ebm, proposal=None, n=4096, seed=0):
    """Draw a `Pool`: n samples of a proposal with their log P - log q. Each scorer is called once.

    Args:
        ebm: `EBM`.
        proposal: anything `proposals.of` takes; None is the only base of the target.
        n: int.
        seed: int.

    Raises:
        GuideError: no draw has any probability under the target, or no proposal is given for a target with several bases.
    """
    proposal, n = source_of(ebm, proposal), checks.whole("n", n, 2)
    samples = draw(proposal, n, checks.seed(seed))
    log_ratio = ebm.parts(samples, proposal).log_score
    if not np.isfinite(log_ratio).any():
        raise GuideError(
            f"None of {n} draws of {type(proposal).__name__} has any probability under the target. Draw more, or use a proposal "
            "that is nearer to it, such as a tuned one."
        )
    return Pool(samples, log_ratio, proposal, ebm.key)


def source_of(ebm, proposal):
    """The proposal to draw from; for None the only base of the target, and a GuideError if there is none or several."""
    if proposal is not None:
        return proposals.of(proposal)
    if len(ebm.bases) != 1:
        raise GuideError(f"This target has {len(ebm.bases)} bases, so say which proposal to draw from: give proposal=.")
    return ebm.bases[0]


def first_draws(ebm, proposal, known, seed):
    """A new `Pool` of as many draws as `known` says, or `known` itself, which must be of this proposal and target."""
    if known is None:  # what was affordable for the fit is affordable here
        fitted = getattr(ebm.fit, "pool", None)
        known = 4096 if fitted is None else len(fitted.samples)
    if not isinstance(known, Pool):
        return pool(ebm, proposal, checks.whole("pool", known, 2), seed)
    if known.proposal != proposal or known.target != ebm.key:
        what = "drawn from another proposal" if known.proposal != proposal else "of another target"
        raise GuideError(f"This pool is {what}. Take ebm.fit.pool of the same target, guide.pool(ebm, proposal), or a number.")
    return known
