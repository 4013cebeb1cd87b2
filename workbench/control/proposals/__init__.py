"""Proposals: things that sample and say how likely their samples are, under two verbs, `sample` and `log_score`."""

from workbench.control.proposals.adapters import FromDistribution, FromDSL, FromScipy, of
from workbench.control.proposals.lm import LMProposal

__all__ = ["FromDSL", "FromDistribution", "FromScipy", "LMProposal", "of"]
