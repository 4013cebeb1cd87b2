"""Energy: targets that are known up to a constant, as products of proposals, exponential tilts and yes-or-no filters."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from workbench.control import proposals
from workbench.control.guide.scoring import log_scores, name_of, names_of, scores
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

    Attributes:
        bases: tuple of `Proposal`; EBM() of a lone proposal is that proposal.
        tilts: tuple of pairs (scorer, weight); the weights are the lambda of `constrain`.
        filters: tuple of scorers with values 0 and 1; what any of them calls 0 has no probability.
        fit: `Fit`, what `constrain` found, or None.
    """

    bases: tuple = ()
    tilts: tuple = ()
    filters: tuple = ()
    fit: object = None

    def __post_init__(self):
        object.__setattr__(self, "bases", tuple(proposals.of(base) for base in self.bases))

    def log_score(self, samples):
        """Log P(x), unnormalised: float64 (n,), nats, -inf where a filter says no. Each scorer is called once."""
        return self.parts(samples).log_score

    def log_ratio(self, samples, proposal):
        """Log P(x) - log q(x) for samples of a proposal: float64 (n,). A base that is the proposal itself is never computed.

        Raises:
            GuideError: the proposal says that it cannot have drawn a sample.
        """
        return self.parts(samples, proposal).log_score

    def parts(self, samples, proposal=None):
        """`Parts` on samples; with a proposal, its log-probability is taken off `log_score`."""
        tilts, filters = names_of([s for s, _ in self.tilts]), names_of(self.filters)
        passes = [_answers(s, samples, name) for s, name in zip(self.filters, filters, strict=True)]
        features = [scores(s, samples, name) for (s, _), name in zip(self.tilts, tilts, strict=True)]
        out = np.zeros(len(samples))
        for (_, weight), found in zip(self.tilts, features, strict=True):
            out += weight * found
        alive = np.flatnonzero(np.all(passes, axis=0)) if passes else np.arange(len(samples))
        some = [samples[i] for i in alive]
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
        dead = np.ones(len(samples), bool)
        dead[alive] = False
        out[dead] = -np.inf
        columns = (np.array(found).reshape(-1, len(samples)).T for found in (features, passes))
        return Parts(out, *columns)

    def __mul__(self, other):
        """Product of experts: with another EBM, or a proposal. What was known of the fit is forgotten."""
        if not isinstance(other, EBM):
            if not hasattr(other, "log_score") and not hasattr(other, "rvs") and not hasattr(other, "model"):
                return NotImplemented
            other = EBM((other,))
        return EBM(self.bases + other.bases, self.tilts + other.tilts, self.filters + other.filters)

    __rmul__ = __mul__

    def given(self, context):
        """The target in a context: each base that knows contexts is taken there; scorers see it in the samples."""
        bases = tuple(base.given(context) if hasattr(base, "given") else base for base in self.bases)
        return replace(self, bases=bases, fit=None)

    def moments(self, samples):
        """Means of all tilts and filters over some samples: dict of name -> float. Each scorer is called once.

        Compare them with what was asked for, `fit.moments`; n fresh draws of a share p scatter by sqrt(p (1 - p) / n).
        """
        scorers = [s for s, _ in self.tilts] + list(self.filters)
        return {name: float(scores(s, samples, name).mean()) for s, name in zip(scorers, names_of(scorers), strict=True)}

    @property
    def key(self):
        """What two targets must agree in to be the same: bases, tilts and filters."""
        return self.bases, self.tilts, self.filters

    @property
    def weights(self):
        """Weights of the tilts: dict of name -> float."""
        return dict(zip(names_of([s for s, _ in self.tilts]), (w for _, w in self.tilts), strict=True))

    def report(self):
        """What `constrain` found, as text: lambda with standard errors, moments, effective sample size.

        Raises:
            GuideError: this EBM was not fitted.
        """
        if self.fit is None:
            raise GuideError("There is no fit to report: this EBM was not made by constrain, or was multiplied since.")
        return self.fit.report()


class Not:
    """The opposite of a yes-or-no scorer."""

    def __init__(self, scorer):
        self.scorer, self.name = scorer, f"not {name_of(scorer)}"

    def __call__(self, samples):
        """1 where the scorer says 0: float64 (n,)."""
        return 1.0 - _answers(self.scorer, samples, name_of(self.scorer))


def exponential(weights):
    """An EBM of tilts alone, to multiply with: exp(sum of weight * score(x)).

    Args:
        weights: dict of scorer -> finite float.

    Raises:
        GuideError: a weight that is no finite number, or something that is no scorer.
    """
    if not isinstance(weights, dict) or not weights:
        raise GuideError(f"exponential takes a dict of scorer -> weight, got {weights!r}.")
    for scorer, weight in weights.items():
        if not callable(scorer):
            raise GuideError(f"A scorer is a function of a list of samples, got {scorer!r}.")
        if isinstance(weight, bool) or not np.isreal(weight) or not np.isfinite(weight):
            raise GuideError(f"The weight of {name_of(scorer)!r} must be a finite number, got {weight!r}.")
    return EBM(tilts=tuple((scorer, float(weight)) for scorer, weight in weights.items()))


def rlhf(proposal, reward, beta):
    """The target of reinforcement learning with a KL penalty, as an EBM: proposal(x) * exp(reward(x) / beta).

    The policy that has the highest E[reward] - beta * KL(policy, proposal) is this distribution.

    Args:
        proposal: anything `proposals.of` takes.
        reward: scorer.
        beta: float above 0; the smaller, the more the reward counts.

    Source:
        Korbak et al., arXiv:2205.11275.
    """
    if isinstance(beta, bool) or not np.isreal(beta) or not 0 < beta < np.inf:
        raise ValueError(f"beta must be above 0, got {beta!r}.")
    return EBM((proposal,)) * exponential({reward: 1 / beta})


def _answers(scorer, samples, name):
    found = scores(scorer, samples, name)
    if not np.isin(found, (0, 1)).all():
        raise GuideError(f"Filter {name!r} must answer 0 or 1, got {found[~np.isin(found, (0, 1))][0]}.")
    return found.astype(bool)
