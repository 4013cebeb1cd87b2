"""Search by votes: somebody marks what is better, and prompts get better for it.

`Genes` says which prompts there are: phrases that are on or off, or the slots of a template. `Voting` shows a page of them and
takes marks; a `VoteConfig` chooses between a genetic search, linear Thompson sampling and two baselines. What is liked is learned
by Bradley and Terry's model, and `Voting.taste` ranks what a learned language writes. `widgets.votes` is for a person, `Voter`
is one that is made up, with a taste that is known.
"""

from workbench.search.genetic.config import VoteConfig
from workbench.search.genetic.genes import Genes
from workbench.search.genetic.proposers import METHODS
from workbench.search.genetic.taste import Taste
from workbench.search.genetic.voters import Voter, simulate
from workbench.search.genetic.voting import Turn, VoteError, Voting

__all__ = ["METHODS", "Genes", "Taste", "Turn", "VoteConfig", "VoteError", "Voter", "Voting", "simulate"]
