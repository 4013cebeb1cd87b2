"""Proposals: things with two verbs, `sample(n, seed=0)` and `log_score(samples)`, which say how likely their samples are."""

from workbench.control.proposals.adapters import FromDistribution, FromDSL, FromScipy, of
from workbench.control.proposals.causal import LMProposal

__all__ = ["FromDSL", "FromDistribution", "FromScipy", "LMProposal", "of"]
