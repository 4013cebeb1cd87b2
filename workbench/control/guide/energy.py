"""Energy: target distributions known up to a constant, as products of proposals, exponential tilts and yes-or-no filters."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from workbench import checks
from workbench.control import proposals
from workbench.control.guide.scoring import answers, check_scorer, log_scores, name_of, names_of, scores
from workbench.values import GuideError


class Parts(NamedTuple):
    """An `EBM` on n samples: `log_score` float64 (n,), unnormalised; `features` float64 (n, t), scores of the tilts; `passes`
    bool (n, f), answers of the filters.
    """

    log_score: np.ndarray
    features: np.ndarray
    passes: np.ndarray


@dataclass(frozen=True, eq=False)
class EBM:
    """An energy-based model: P(x) = product of bases(x) * exp(sum of weight * score(x)) * product of filters(x), unnormalised.

    `constrain` makes one. By hand: `EBM((proposal,))` is the proposal itself, and `EBM((proposal,), {reward: 1 / beta})` is the
    optimum of reinforcement learning with a KL penalty, the policy with the highest E[reward] - beta * KL(policy, proposal).
    `ebm * other` is a product of experts, with another EBM or a proposal.

    Attributes:
        bases: tuple of proposals, or of what `proposals.of` takes.
        tilts: tuple of pairs (scorer, weight), also given as a dict; the weights are the lambda of `constrain`.
        filters: tuple of scorers with values 0 and 1; a sample for which one of them gives 0 has no probability.
        fit: `Fit`, what `constrain` found, or None.

    Raises:
        GuideError: a base that is not a proposal, or a scorer that is not a function.
        ValueError: a weight that is not a finite number.

    Source:
        Reinforcement learning as such a target: Korbak et al., arXiv:2205.11275.
    """

    bases: tuple = ()
    tilts: tuple = ()
    filters: tuple = ()
    fit: object = None

    def __post_init__(self):
        tilts = tuple(self.tilts.items() if isinstance(self.tilts, dict) else self.tilts)
        if not all(isinstance(tilt, (tuple, list)) and len(tilt) == 2 for tilt in tilts):
            raise GuideError(f"tilts is a dict of scorer -> weight, got {self.tilts!r}.")
        for scorer in [*(s for s, _ in tilts), *self.filters]:
            check_scorer(scorer)
        for scorer, weight in tilts:
            checks.number(f"The weight of {name_of(scorer)!r}", weight)
        object.__setattr__(self, "bases", tuple(proposals.of(base) for base in self.bases))
        object.__setattr__(self, "tilts", tuple((scorer, float(weight)) for scorer, weight in tilts))

    def log_score(self, samples):
        """Log P(x), unnormalised: float64 (n,), nats, -inf where a filter gives 0. Each scorer is called once."""
        return self.parts(samples).log_score

    def parts(self, samples, proposal=None):
        """`Parts` on samples; with a proposal q that drew them, `log_score` is log P(x) - log q(x).

        A base that is the proposal itself is then not computed.

        Raises:
            GuideError: the proposal gives no probability to a sample that it drew, or a scorer fails.
        """
        named, n = list(self.scorers.items()), len(samples)
        passes = [answers(scorer, samples, name) for name, scorer in named[len(self.tilts) :]]
        features = [scores(scorer, samples, name) for name, scorer in named[: len(self.tilts)]]
        out = np.zeros(n)
        for (_, weight), column in zip(self.tilts, features, strict=True):
            out += weight * column
        alive = np.logical_and.reduce([np.ones(n, bool), *passes])
        some = [sample for sample, lives in zip(samples, alive, strict=True) if lives]
        bases = list(self.bases)
        if proposal is not None and proposal in bases:
            bases.remove(proposal)
        elif proposal is not None and some:
            drawn = log_scores(proposal, some)
            if not np.isfinite(drawn).all():
                raise GuideError(
                    f"{type(proposal).__name__} gives no probability to {np.count_nonzero(~np.isfinite(drawn))} of {len(some)} "
                    "samples that it drew: its sample and log_score do not agree."
                )
            out[alive] -= drawn
        for base in bases if some else ():
            out[alive] += log_scores(base, some)
        out[~alive] = -np.inf
        return Parts(out, np.reshape(features, (-1, n)).T, np.reshape(passes, (-1, n)).T)

    def __mul__(self, other):
        if not isinstance(other, EBM):
            if not hasattr(other, "log_score") and not hasattr(other, "rvs") and not hasattr(other, "model"):
                return NotImplemented
            other = EBM((other,))
        return EBM(self.bases + other.bases, self.tilts + other.tilts, self.filters + other.filters)

    __rmul__ = __mul__

    def given(self, context):
        """The target in a context: each base that has contexts is taken there; scorers see the context in the samples."""
        bases = tuple(base.given(context) if hasattr(base, "given") else base for base in self.bases)
        return replace(self, bases=bases, fit=None)

    @property
    def scorers(self):
        """All scorers, tilts first: dict of name -> scorer, as `means` takes it."""
        scorers = [scorer for scorer, _ in self.tilts] + list(self.filters)
        return dict(zip(names_of(scorers), scorers, strict=True))

    @property
    def weights(self):
        """Weights of the tilts: dict of name -> float."""
        return dict(zip(self.scorers, (weight for _, weight in self.tilts), strict=False))

    @property
    def key(self):
        """Equal for equal targets: bases, tilts and filters."""
        return self.bases, self.tilts, self.filters

    def report(self):
        """What `constrain` found, as text: lambda with standard errors, moments, effective sample size.

        Raises:
            GuideError: this EBM was not made by `constrain`.
        """
        if self.fit is None:
            raise GuideError("There is no fit to report: this EBM was not made by constrain, or was multiplied since.")
        return self.fit.report()
