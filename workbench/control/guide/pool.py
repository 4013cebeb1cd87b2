"""Pool: one set of draws from a proposal with what each counts for, and all that can be told from it about a target."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from workbench.control import proposals
from workbench.control.guide.scoring import draw, whole
from workbench.values import GuideError


class Estimates(NamedTuple):
    """Of rejection at each beta, all float64 (b,), nats for KL; each `_error` is a standard error.

    `beta`; `acceptance`, share of draws that are kept; `tvd`, total variation distance of what is kept from the target; `kl`,
    KL(target, what is kept).
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
        target: what tells the target from others, or None.
    """

    samples: list
    log_ratio: np.ndarray
    proposal: object = None
    target: tuple | None = None

    @property
    def log_z(self):
        """Log of the mean of P/q: the log normaliser, if q covers the target."""
        return _log_mean(self.log_ratio)

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
        """What rejection at each beta would accept and how far it would be from the target, with no new draw.

        Args:
            betas: float or list of b floats above 0: a draw is kept with probability min(1, P / (beta * q)).

        Returns:
            `Estimates`.

        Source:
            Eikema et al., TMLR 2022 (first version arXiv:2112.05702); errors by the delta method.
        """
        betas = np.atleast_1d(np.asarray(betas, np.float64))
        if not ((betas > 0) & np.isfinite(betas)).all():
            raise ValueError(f"beta must be above 0, got {betas[~((betas > 0) & np.isfinite(betas))][0]!r}.")
        return Estimates(betas, *np.array([self._at(beta) for beta in betas]).T)

    def beta_for(self, acceptance):
        """The largest beta, that is the best match, at which this share of draws is still kept: float.

        If the target excludes so many draws that no beta keeps this share, the one that keeps the most.

        Raises:
            ValueError: a share outside 0..1.
        """
        if not 0 < acceptance <= 1:
            raise ValueError(f"acceptance must be above 0 and at most 1, got {acceptance!r}.")
        # the mean of min(1, r / beta) falls in beta, and between two ratios it is solved in one line
        scale, n = self.log_ratio.max(), len(self.log_ratio)
        r = np.exp(np.sort(self.log_ratio[np.isfinite(self.log_ratio)]) - scale)
        below, above = np.cumsum(r), np.arange(len(r))[::-1]
        last = np.count_nonzero((below / r + above) / n >= acceptance) - 1  # accepted, were beta each ratio in turn
        beta = r[0] if last < 0 else below[last] / (n * acceptance - above[last])
        return float(beta * np.exp(scale))

    def _relative(self):
        """P / (Z q) of each draw, 1 in the mean."""
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
        # how each estimate moves with one draw, u having mean 1
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
        proposal: anything `proposals.of` takes; None is the one base of the target.
        n: int.
        seed: int.

    Raises:
        GuideError: no draw has any probability under the target.
    """
    proposal = source_of(ebm, proposal)
    samples = draw(proposal, whole("n", n, 2), seed)
    log_ratio = ebm.log_ratio(samples, proposal)
    if not np.isfinite(log_ratio).any():
        raise GuideError(
            f"None of {n} draws of {type(proposal).__name__} has any probability under the target. Draw more, or use a proposal "
            "that is nearer to it, such as a tuned one."
        )
    return Pool(samples, log_ratio, proposal, ebm.key)


def source_of(ebm, proposal):
    """What to draw from: the proposal, or if it is None the only base of the target.

    Raises:
        GuideError: no proposal, and no base or several.
    """
    if proposal is not None:
        return proposals.of(proposal)
    if len(ebm.bases) != 1:
        raise GuideError(f"This target has {len(ebm.bases)} bases, so say which proposal to draw from: give proposal=.")
    return ebm.bases[0]


def first_draws(ebm, proposal, first, seed):
    """A new `Pool` if `first` is a number, or the one that was given.

    Raises:
        GuideError: the given one is of another proposal or target.
    """
    if not isinstance(first, Pool):
        return pool(ebm, proposal, first, seed)
    if first.proposal != proposal or first.target != ebm.key:
        what = "drawn from another proposal" if first.proposal != proposal else "of another target"
        raise GuideError(f"This pool is {what}. Take ebm.fit.pool of the same target, guide.pool(ebm, proposal), or a number.")
    return first


def _log_mean(log_x):
    top = log_x.max()
    return float(top + np.log(np.mean(np.exp(log_x - top))))
