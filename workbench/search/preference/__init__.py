"""Preferences: what people like better, from pairs, from edits and from logs.

`learn` makes a `RewardModel` of pairs of feature vectors (ranked, binary or by imitation; from the start or from a model of other
people's pairs). `chain` is the cheapest way from one text to another, word by word. `learn_policy` learns from an old log what to
show next, so that people come back: the rewards of its steps may come from a `RewardModel` of pairs of histories. Only feature
vectors and tokens are read: where they come from is the caller's choice.
"""

from workbench.search.preference.chains import COSTS, Chain, Edit, chain
from workbench.search.preference.config import KINDS, LongTermConfig, PreferenceConfig
from workbench.search.preference.long_term import LongTermPolicy, learn_policy, steps
from workbench.search.preference.reward_model import RewardModel, contradictions, learn

__all__ = ["COSTS", "KINDS", "Chain", "Edit", "LongTermConfig", "LongTermPolicy", "PreferenceConfig", "RewardModel", "chain"]
__all__ += ["contradictions", "learn", "learn_policy", "steps"]
